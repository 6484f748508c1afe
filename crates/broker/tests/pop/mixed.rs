//! Random histories of everything at once: one group pops the topic into which timers, recalls and transactions deliver.
//!
//! The models of both sides hold as they do alone. What the one delivers, the other hands out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::help::*;
use crate::later;
use crate::model::{self, LAST_MOMENT_MS, Message};
use crate::popping::topics;

#[derive(Default)]
struct Models {
    later: later::Model,
    pops: RefCell<model::Model>,
}

impl Models {
    /// What the one model sent may be popped.
    fn share(&self) {
        let mut pops = self.pops.borrow_mut();
        for body in self.later.borrow().keys() {
            if !pops.plain.contains_key(body) {
                pops.plain.insert(body.clone(), Message::default());
            }
        }
    }

    /// A crash right after the delivery of a timer may deliver it once more.
    fn crashed(&self, started_ms: i64, ended_ms: i64) {
        let mut pops = self.pops.borrow_mut();
        pops.crashed(ended_ms);
        for (body, message) in self.later.borrow().iter().filter(|(_, message)| message.due_ms > 0) {
            let delivered_ms = message.due_ms.max(started_ms);
            let is_last_moment = (ended_ms - LAST_MOMENT_MS..=ended_ms).contains(&delivered_ms);
            pops.plain.get_mut(body).expect("it was shared").doubled |= is_last_moment;
        }
    }
}

fn history(mut random: SmallRng) {
    let mut world = World::small();
    world.write_period = Duration::from_millis(random.random_range(1..40));
    world.config.snapshot_interval = Duration::from_millis(random.random_range(20..10_000));
    world.config.transaction_timeout = Duration::from_secs(1);
    world.config.transaction_check_interval = Duration::from_secs(2);
    let models = Models::default();
    let (mut crashes, mut number) = (0, 0);
    for _ in 0..random.random_range(1..4) {
        let end = if random.random_bool(0.7) { End::Crash } else { End::Clean };
        let steps = random.random_range(1..60);
        let (started_ms, ended_ms) = world.live(end, async |broker| {
            let started_ms = broker.now_ms();
            topics(broker);
            let work = async {
                for _ in 0..steps {
                    number += 1;
                    if random.random_bool(0.4) {
                        later::step(broker, &models.later, &mut random, number).await;
                        models.share();
                    } else {
                        model::step(broker, &models.pops, &mut random, number).await;
                    }
                    let longest_ms = if random.random_bool(0.1) { 3000 } else { 60 };
                    sleep_ms(random.random_range(0..longest_ms)).await;
                }
            };
            later::live(broker, &models.later, work).await;
            (started_ms, broker.now_ms())
        });
        if end == End::Crash {
            crashes += 1;
            models.crashed(started_ms, ended_ms);
        }
        world.pass(Duration::from_millis(random.random_range(0..20_000)));
    }
    // In the end everything comes that must come, and is popped until it is acked. Time passes in large steps.
    world.write_period = Duration::from_millis(250);
    world.config.snapshot_interval = Duration::from_secs(100);
    world.config.offset_interval = Duration::from_secs(1);
    world.live(End::Clean, async |broker| {
        topics(broker);
        let work = async {
            sleep_ms(60_000).await;
            model::drain(broker, &models.pops).await;
        };
        later::live(broker, &models.later, work).await;
        assert_eq!((broker.pending_timers(), broker.open_transactions()), (0, 0), "nothing waits for ever");
        assert_eq!(broker.invisible_messages(), 0);
        let there: BTreeSet<_> = bodies(broker, "T").await.into_iter().chain(bodies(broker, "O").await).collect();
        let pops = models.pops.take();
        for (body, message) in pops.plain.iter().chain(&pops.ordered) {
            let is_consumed = message.acked || message.acked_late;
            assert!(there.contains(body) || !message.stored, "{body} is lost: {message:?}");
            assert!(is_consumed || !there.contains(body), "{body} was never consumed: {message:?}");
        }
        later::check(broker, &models.later.take(), crashes, |body| pops.plain.contains_key(body)).await;
    });
}

#[test]
fn whatever_is_delivered_later_is_popped_as_everything_else() {
    histories(history);
}
