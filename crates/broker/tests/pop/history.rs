//! Random histories against a model.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::help::*;
use crate::model::{Message, Model, drain, step};
use crate::popping::*;

fn history(mut random: SmallRng) {
    let mut world = World::small();
    world.write_period = Duration::from_millis(random.random_range(1..40));
    world.config.snapshot_interval = Duration::from_millis(random.random_range(20..3000));
    let model = RefCell::new(Model::default());
    let mut number = 0;
    for _ in 0..random.random_range(1..4) {
        let end = if random.random_bool(0.6) { End::Crash } else { End::Clean };
        let ended_ms = world.live(end, async |broker| {
            topics(broker);
            for _ in 0..random.random_range(1..60) {
                number += 1;
                step(broker, &model, &mut random, number).await;
                sleep_ms(random.random_range(0..60)).await;
            }
            broker.now_ms()
        });
        if end == End::Crash {
            model.borrow_mut().crashed(ended_ms);
        }
    }
    // In the end everything that was stored comes until it is acked. Time passes in large steps.
    world.write_period = Duration::from_millis(100);
    world.config.offset_interval = Duration::from_secs(1);
    world.live(End::Clean, async |broker| {
        topics(broker);
        drain(broker, &model).await;
        let model = model.borrow();
        let all: HashMap<_, _> = model.plain.iter().chain(&model.ordered).collect();
        let is_lost = |message: &Message| message.stored && !message.acked && !message.acked_late;
        let lost: Vec<_> = all.iter().filter(|(_, message)| is_lost(message)).collect();
        assert!(lost.is_empty(), "{lost:?}");
        assert_eq!(broker.invisible_messages(), 0);
    });
}

#[test]
fn no_message_is_lost_none_comes_early_and_order_holds() {
    histories(history);
}
