//! Topics whose records are state of the caller.

use crate::help::*;
use std::sync::Arc;
use std::time::Duration;
use store::{LogOffset, STATE_TOPIC, Store};

/// Topic and body of everything that opening hands over.
fn reopen(sim: &Sim) -> (Arc<Store>, Vec<String>) {
    let mut replayed = Vec::new();
    let io = Arc::new(sim.disk.clone());
    let (store, _) = Store::open_replaying(io, sim.clock.clone(), sim.options.clone(), &mut |record| {
        let body = String::from_utf8(record.body().to_vec()).unwrap();
        replayed.push(if record.topic() == STATE_TOPIC { format!("state {body}") } else { body });
    })
    .expect("the store opens");
    (store, replayed)
}

#[test]
fn watched_topics_are_handed_over_in_the_order_of_the_log() {
    let mut sim = Sim::new(0);
    sim.options.replay_topics = vec!["watched".into()];
    let (store, _) = reopen(&sim);
    append(&store, "watched", "1");
    append(&store, "other", "2");
    store.append_state(b"3").unwrap();
    append(&store, "watched", "4");
    store.write_pending();
    drop(store);
    let (store, replayed) = reopen(&sim);
    assert_eq!(replayed, ["1", "state 3", "4"]);

    // A record of a watched topic alone is reason enough to keep the place of the checkpoint.
    let covered = store.appended();
    append(&store, "watched", "5");
    store.write_pending();
    store.checkpoint(Some(covered)).unwrap();
    store.close().unwrap();
    drop(store);
    let (store, replayed) = reopen(&sim);
    assert_eq!(replayed, ["5"]);
    store.close().unwrap();
    drop(store);
    sim.options.replay_all = true;
    assert_eq!(reopen(&sim).1, ["1", "state 3", "4", "5"]);
}

#[test]
fn retention_waits_until_watched_records_are_released() {
    let mut sim = Sim::new(0);
    sim.options.replay_topics = vec!["watched".into()];
    sim.options.retention.max_bytes = Some(2 * (16 << 10));
    sim.options.retention.max_age = Duration::MAX;
    let (store, _) = reopen(&sim);
    for _ in 0..60 {
        append(&store, "watched", &"x".repeat(1000));
        store.write_pending();
    }
    store.checkpoint(Some(store.appended())).unwrap();
    assert_eq!((store.sweep().unwrap(), store.held_back()), (0, Some(LogOffset(16 << 10))));
    store.release(LogOffset(16 << 10));
    assert_eq!(store.held_back(), None);
    assert_eq!((store.sweep().unwrap(), store.held_back()), (1, Some(LogOffset(32 << 10))));
    store.release(store.appended());
    assert!(store.sweep().unwrap() > 0);
    assert_eq!(store.usage().unwrap().segments, 2);
}
