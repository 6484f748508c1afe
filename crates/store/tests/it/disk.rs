//! Disks that fail or fill up.

use crate::help::*;
use std::future::Future;
use std::task::{Context, Poll, Waker};
use store::io::Space;
use store::io::sim::Faults;
use store::{Error, Flush, QueueOffset};

#[test]
fn a_failed_sync_answers_every_waiter_and_stops_the_log() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let before = append(&store, "T", "durable");
    store.write_pending();
    let ends: Vec<_> = (0..3).map(|_| append(&store, "T", "lost?").end).collect();
    let mut waits: Vec<_> = ends.iter().map(|end| Box::pin(store.acknowledged().wait(*end))).collect();
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(waits.iter_mut().all(|wait| wait.as_mut().poll(cx).is_pending()));

    sim.disk.set_faults(Faults { sync: true, ..Faults::default() });
    store.write_pending();
    for mut wait in waits {
        assert!(matches!(wait.as_mut().poll(cx), Poll::Ready(Err(Error::Failed(_)))));
    }
    // A later success proves nothing about the pages of the failed one.
    sim.disk.set_faults(Faults::default());
    let refused = store.append(&store.queue("T", 0), &record("T", b"", ""));
    assert!(matches!(refused, Err(Error::Failed(_))), "{refused:?}");
    assert!(matches!(store.failure(), Some(Error::Failed(_))));
    assert!(store.acknowledged().reached(before.end));
    assert_eq!(bodies(&store, &store.queue("T", 0)), ["durable"]);
    assert!(store.close().is_err());
    drop(store);

    let (store, recovery) = sim.open();
    assert!(!recovery.clean);
    assert_eq!(bodies(&store, &store.queue("T", 0))[0], "durable");
    append(&store, "T", "again");
    store.write_pending();
    assert_eq!(store.failure().map(|error| error.to_string()), None);
}

#[test]
fn a_full_disk_is_answered_and_nothing_is_torn_when_there_is_room_again() {
    for seed in seeds(50) {
        let sim = Sim::new(seed);
        let (store, _) = sim.open();
        append(&store, "T", "before");
        store.write_pending();
        sim.disk.set_faults(Faults { full: true, ..Faults::default() });
        let pending = append(&store, "T", &"x".repeat(3000));
        (0..5).for_each(|_| store.write_pending());
        let refused = store.append(&store.queue("T", 0), &record("T", b"", ""));
        assert!(matches!(refused, Err(Error::DiskFull)), "{refused:?}");
        assert!(!store.acknowledged().reached(pending.end));

        sim.disk.set_faults(Faults { short_writes: true, ..Faults::default() });
        store.write_pending();
        assert!(store.acknowledged().reached(pending.end));
        append(&store, "T", "after");
        store.write_pending();
        sim.disk.crash();
        drop(store);
        let (store, _) = sim.open();
        let bodies = bodies(&store, &store.queue("T", 0));
        assert_eq!(bodies.iter().map(String::len).collect::<Vec<_>>(), [6, 3000, 5], "SEED={seed}");
    }
}

#[test]
fn a_disk_above_the_refuse_ratio_takes_no_more() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    sim.disk.set_space(Space { total: 100, available: 5 });
    store.sweep().unwrap();
    let refused = store.append(&store.queue("T", 0), &record("T", b"", "")).expect_err("there is little room");
    assert!(refused.to_string().contains("95 % of it is in use, more than the 90 %"), "{refused}");
    sim.disk.set_space(Space { total: 100, available: 50 });
    store.sweep().unwrap();
    append(&store, "T", "");
}

#[test]
fn a_checkpoint_that_fails_is_made_up_for() {
    for seed in seeds(100) {
        let sim = Sim::new(seed);
        let (store, _) = sim.open();
        for i in 0..20 {
            append(&store, "T", &format!("{i}"));
            store.write_pending();
            // The log is flushed, so only derived files meet the fault.
            let faults = Faults { write: i % 3 == 0, sync: i % 4 == 1, full: i % 5 == 2, ..Faults::default() };
            sim.disk.set_faults(faults);
            let result = store.checkpoint(None);
            assert_eq!(result.is_err(), faults != Faults::default() && !faults.full || faults.full && result.is_err());
            sim.disk.set_faults(Faults::default());
        }
        if seed % 2 == 0 {
            store.checkpoint(None).unwrap();
        }
        sim.disk.crash();
        drop(store);
        let (store, _) = sim.open();
        let expected: Vec<_> = (0..20).map(|i| i.to_string()).collect();
        assert_eq!(bodies(&store, &store.queue("T", 0)), expected, "SEED={seed}");
    }
}

#[test]
fn too_much_at_once_is_busy() {
    let mut sim = Sim::new(0);
    sim.options.backlog_bytes_max = 1000;
    let (store, _) = sim.open();
    append(&store, "T", &"x".repeat(800));
    let refused = store.append(&store.queue("T", 0), &record("T", &[0; 200], ""));
    assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
    store.write_pending();
    append(&store, "T", &"x".repeat(800));
    store.write_pending();
    let large = vec![0; 20_000];
    let refused = store.append(&store.queue("T", 0), &record("T", &large, ""));
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
}

#[test]
fn without_waiting_for_the_disk_written_is_acknowledged_and_a_sync_follows() {
    let mut sim = Sim::new(0);
    sim.options.flush = Flush::Async { interval: std::time::Duration::from_secs(1) };
    let (store, _) = sim.open();
    let end = append(&store, "T", "x").end;
    store.write_pending();
    assert!(store.acknowledged().reached(end) && !store.flushed().reached(end));
    assert_eq!(bodies(&store, &store.queue("T", 0)), ["x"]);
    store.checkpoint(None).unwrap();
    assert!(store.flushed().reached(end));
}

#[test]
fn closing_does_not_wait_for_room_on_a_full_disk() {
    let mut sim = Sim::new(0);
    sim.options.threads = true;
    let (store, _) = sim.open();
    sim.disk.set_faults(Faults { full: true, ..Faults::default() });
    let end = append(&store, "T", &"x".repeat(100)).end;
    assert!(matches!(store.close(), Err(Error::DiskFull)));
    assert!(block(store.acknowledged().wait(end)).is_err());
    drop(store);
    sim.disk.set_faults(Faults::default());
    assert!(!sim.open().1.clean);
}

#[test]
fn messages_that_lie_close_cost_one_visit_to_the_device() {
    // Between two messages of a queue others have so many bytes; 30 messages then take so many visits.
    for (between, visits) in [(500, 1..=1), (20_000, 3..=4), (40_000, 30..=30)] {
        let mut sim = Sim::new(0);
        sim.options.segment_bytes = 4 << 20;
        let (store, _) = sim.open();
        let wanted: Vec<String> = (0..30).map(|i| format!("{i:0500}")).collect();
        for body in &wanted {
            append(&store, "T", body);
            append(&store, "Others", &"x".repeat(between));
        }
        store.close().expect("closes");
        drop(store);

        // What was just written is in memory; a store that was just opened has none of it.
        let (store, _) = sim.open();
        let queue = store.queue("T", 0);
        let entries = block(store.entries(&queue, QueueOffset(0), 100)).expect("the entries are read");
        let ranges: Vec<_> = entries.iter().map(|entry| (entry.log_offset, entry.size)).collect();
        sim.disk.set_faults(Faults { cold: true, ..Faults::default() });
        let before = store.stats().cold_reads;
        let slices = block(store.read(&ranges)).expect("the records are read");
        assert!(visits.contains(&(store.stats().cold_reads - before)), "{between}: {}", store.stats().cold_reads);
        assert_eq!(slices.len(), 30);
        assert_eq!(bodies(&store, &queue), wanted);
    }
}
