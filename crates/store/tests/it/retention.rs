//! Deleting what is old.

use crate::help::*;
use std::time::Duration;
use store::io::Space;
use store::{IndexKey, LogOffset, QueueOffset, Store};

const HOUR: i64 = 3_600_000;

/// Some segments of records, one every minute.
fn fill(sim: &Sim, store: &Store) {
    for i in 0..100 {
        sim.clock.set(HOUR * 100 + i * 60_000);
        let record = record("T", &[b'x'; 1000], "KEYS\u{1}k\u{2}");
        store.append(&store.queue("T", 0), &record).unwrap();
        if i < 3 {
            append(store, "early", "");
        }
        store.write_pending();
    }
    store.checkpoint(None).unwrap();
}

#[test]
fn old_segments_go_and_queues_and_keys_follow() {
    let mut sim = Sim::new(0);
    sim.options.retention.max_age = Duration::from_secs(60 * 60);
    sim.options.retention.delete_hour = Some(4);
    let (store, _) = sim.open();
    fill(&sim, &store);
    sim.clock.set(HOUR * 101 + 20 * 60_000);
    assert_eq!(store.sweep().unwrap(), 0, "it is five o'clock");
    sim.disk.set_space(Space { total: 100, available: 22 });
    assert_eq!(store.sweep().unwrap(), 1, "the disk is so full that the hour does not matter");
    sim.disk.set_space(Space { total: 100, available: 50 });
    sim.clock.set(HOUR * 124);
    let before = store.usage().unwrap().segments;
    assert_eq!(store.sweep().unwrap(), before - 1, "all but the last, at four o'clock");

    let check = |store: &Store| {
        let queue = store.find_queue("T", 0).unwrap();
        let min = queue.min_offset().0;
        assert!(min > 50 && queue.max_offset() == QueueOffset(100));
        assert_eq!(queue_offsets(store, &queue), (min..100).collect::<Vec<_>>());
        assert_eq!(bodies(store, &queue).len() as u64, 100 - min);
        let early = store.find_queue("early", 0).unwrap();
        assert_eq!((early.min_offset(), early.max_offset()), (QueueOffset(3), QueueOffset(3)));
        let found = block(store.query("T", IndexKey::Key("k"), 1000, 0, i64::MAX)).unwrap();
        assert_eq!(found.len() as u64, 100 - min);
        let slices = block(store.read(&[(LogOffset(0), 100)])).unwrap();
        assert_eq!(slices[0].bytes, None, "a deleted range says so");
        assert_eq!(block(store.record_at(LogOffset(0))).unwrap(), None);
    };
    check(&store);
    sim.disk.crash();
    drop(store);
    let (store, _) = sim.open();
    check(&store);
    store.checkpoint(None).unwrap();
    sim.disk.crash();
    drop(store);
    let (store, _) = sim.open();
    check(&store);
    append(&store, "early", "late");
    store.write_pending();
    assert_eq!(bodies(&store, &store.queue("early", 0)), ["late"]);

    // Made from a log that does not begin at 0, queues keep their offsets.
    store.close().unwrap();
    for path in sim.disk.files(std::path::Path::new("/store/queues")) {
        sim.disk.delete(&path);
    }
    drop(store);
    let (store, recovery) = sim.open();
    assert!(recovery.rebuilt_queues);
    assert_eq!(queue_offsets(&store, &store.queue("early", 0)), [3]);
    assert_eq!(store.queue("T", 0).max_offset(), QueueOffset(100));
}

#[test]
fn bytes_and_a_full_disk_count_at_any_age() {
    let mut sim = Sim::new(0);
    sim.options.retention.max_bytes = Some(4 * (16 << 10));
    let (store, _) = sim.open();
    fill(&sim, &store);
    store.sweep().unwrap();
    assert_eq!(store.usage().unwrap().segments, 4);
    sim.disk.set_space(Space { total: 100, available: 12 });
    store.sweep().unwrap();
    assert_eq!(store.usage().unwrap().segments, 1);
}

#[test]
fn state_that_would_be_replayed_is_not_deleted() {
    let mut sim = Sim::new(0);
    sim.options.retention.max_bytes = Some(1);
    let (store, _) = sim.open();
    store.append_state(b"state").unwrap();
    fill(&sim, &store);
    assert_eq!(store.sweep().unwrap(), 0);
    store.checkpoint(Some(store.appended())).unwrap();
    assert!(store.sweep().unwrap() > 3);
}
