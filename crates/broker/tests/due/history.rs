//! Random histories against a model.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::help::*;
use crate::model::{Model, check, live, step};

fn history(mut random: SmallRng) {
    let mut world = World::small();
    world.write_period = Duration::from_millis(random.random_range(1..40));
    world.config.snapshot_interval = Duration::from_millis(random.random_range(1000..10_000));
    world.config.transaction_timeout = Duration::from_secs(1);
    world.config.transaction_check_interval = Duration::from_secs(2);
    let model = Model::default();
    let mut crashes = 0;
    let mut number = 0;
    for _ in 0..random.random_range(1..4) {
        let end = if random.random_bool(0.7) { End::Crash } else { End::Clean };
        crashes += usize::from(end == End::Crash);
        let steps = random.random_range(1..40);
        world.live(end, async |broker| {
            let work = async {
                for _ in 0..steps {
                    number += 1;
                    step(broker, &model, &mut random, number).await;
                    if random.random_bool(0.2) {
                        sleep_ms(random.random_range(0..3000)).await;
                    }
                }
            };
            live(broker, &model, work).await;
        });
        world.pass(Duration::from_millis(random.random_range(0..20_000)));
    }
    // Time passes in large steps.
    world.write_period = Duration::from_secs(1);
    world.config.snapshot_interval = Duration::from_secs(100);
    world.config.offset_interval = Duration::from_secs(10);
    world.live(End::Clean, async |broker| {
        live(broker, &model, sleep_ms(60_000)).await;
        assert_eq!((broker.pending_timers(), broker.open_transactions()), (0, 0), "nothing waits for ever");
        check(broker, &model.take(), crashes, |_| false).await;
    });
}

#[test]
fn nothing_is_lost_and_everything_is_decided_once() {
    histories(history);
}
