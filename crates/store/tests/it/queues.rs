//! Queues: order, extents, waiting, searching by time, batches, deleted topics.

use crate::help::*;
use protocol::record::NewRecord;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::io::Io;
use store::{Boundary, Error, Options, QueueOffset, Store};

#[test]
fn long_queues_cross_extents_of_every_class() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let mut expected = Vec::new();
    for round in 0..30_u64 {
        for i in 0..round * round + 1 {
            expected.push(format!("{round}.{i}"));
            append(&store, "T", expected.last().unwrap());
            append(&store, "other", "");
        }
        store.checkpoint(None).unwrap();
    }
    let check = |store: &store::Store| {
        let queue = store.queue("T", 0);
        assert_eq!(bodies(store, &queue), expected);
        for from in (0..expected.len()).step_by(97) {
            let entries = block(store.entries(&queue, QueueOffset(from as u64), 40)).unwrap();
            let offsets: Vec<_> = entries.iter().map(|entry| entry.queue_offset.0 as usize).collect();
            assert_eq!(offsets, (from..expected.len().min(from + 40)).collect::<Vec<_>>());
        }
    };
    check(&store);
    store.close().unwrap();
    drop(store);
    check(&sim.open().0);
}

#[test]
fn segments_roll_with_a_blank_and_batches_stay_together() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let queue = store.queue("T", 0);
    let body = [b'x'; 900];
    for batch in 0..20 {
        let records: Vec<NewRecord<'_>> = (0..7).map(|_| record("T", &body, "")).collect();
        let appended = store.append_batch(&queue, &records).unwrap();
        assert_eq!(appended.queue_offset, QueueOffset(7 * batch));
        assert_eq!(appended.log_offsets.len(), 7);
        let (first, last) = (appended.log_offset.0 / (16 << 10), (appended.end.0 - 1) / (16 << 10));
        assert_eq!(first, last, "a batch lies in one segment");
    }
    let too_large: Vec<NewRecord<'_>> = (0..20).map(|_| record("T", &body, "")).collect();
    assert!(matches!(store.append_batch(&queue, &too_large), Err(Error::TooLarge { .. })));
    store.write_pending();
    assert_eq!(bodies(&store, &queue).len(), 140);
    assert!(store.usage().unwrap().segments > 5);
    sim.disk.crash();
    drop(store);
    let (store, recovery) = sim.open();
    assert_eq!(bodies(&store, &store.queue("T", 0)).len(), 140, "{recovery:?}");
}

#[test]
fn transaction_records_enter_a_queue_only_when_committed() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let queue = store.queue("T", 0);
    for (sys_flag, expected) in [(0x4, 0), (0x8, 0), (0xC, 1), (0, 1)] {
        let appended = store.append(&queue, &NewRecord { sys_flag, ..record("T", b"", "") }).unwrap();
        let offset = if sys_flag & 4 == 0 { appended.queue_offset.0 } else { expected };
        assert_eq!(offset, expected, "flag {sys_flag:#x}");
    }
    store.write_pending();
    assert_eq!(queue.max_offset(), QueueOffset(2));
    sim.disk.crash();
    drop(store);
    assert_eq!(sim.open().0.queue("T", 0).max_offset(), QueueOffset(2));
}

#[test]
fn entries_carry_tag_codes_and_delivery_times() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let cases = [
        ("T", "", 0),
        ("T", "TAGS\u{1}TagA\u{2}", 2_598_919),
        ("T", "DELAY\u{1}3\u{2}TAGS\u{1}TagA\u{2}", 2_598_919),
        ("SCHEDULE_TOPIC_XXXX", "DELAY\u{1}3\u{2}TAGS\u{1}TagA\u{2}", 1_010_000),
        ("SCHEDULE_TOPIC_XXXX", "DELAY\u{1}99\u{2}", 8_200_000),
        ("SCHEDULE_TOPIC_XXXX", "DELAY\u{1}0\u{2}TAGS\u{1}TagA\u{2}", 2_598_919),
    ];
    for (topic, properties, _) in cases {
        store.append(&store.queue(topic, 0), &record(topic, b"", properties)).unwrap();
    }
    store.write_pending();
    let codes = |store: &store::Store, topic: &str| {
        let entries = block(store.entries(&store.queue(topic, 0), QueueOffset(0), 10)).unwrap();
        entries.iter().map(|entry| entry.tag_code).collect::<Vec<_>>()
    };
    let expected = |topic: &str| cases.iter().filter(|case| case.0 == topic).map(|case| case.2).collect::<Vec<_>>();
    sim.disk.crash();
    for store in [store, sim.open().0] {
        for topic in ["T", "SCHEDULE_TOPIC_XXXX"] {
            assert_eq!(codes(&store, topic), expected(topic));
        }
    }
}

#[test]
fn searching_by_time_follows_the_table() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let queue = store.queue("T", 0);
    let search = |at, boundary| block(store.offset_by_time(&queue, at, boundary)).unwrap().0;
    assert_eq!((search(5, Boundary::Lower), search(5, Boundary::Upper)), (0, 0), "an empty queue");
    for at in [1_010_000, 1_020_000, 1_020_000, 1_020_000, 1_030_000] {
        sim.clock.set(at);
        append(&store, "T", "");
    }
    store.write_pending();
    for (at, lower, upper, case) in [
        (1_000_000, 0, 0, "all later"),
        (1_010_000, 0, 0, "the first one"),
        (1_015_000, 1, 0, "between two"),
        (1_020_000, 1, 3, "several"),
        (1_025_000, 4, 3, "between two"),
        (1_030_000, 4, 4, "the last one"),
        (1_040_000, 5, 4, "all earlier"),
    ] {
        assert_eq!((search(at, Boundary::Lower), search(at, Boundary::Upper)), (lower, upper), "{case}");
    }
    assert_eq!(block(store.store_time(&queue, QueueOffset(2))).unwrap(), Some(1_020_000));
    assert_eq!(block(store.store_time(&queue, QueueOffset(5))).unwrap(), None);
}

#[test]
fn a_deleted_topic_stays_deleted_and_begins_anew() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let old = store.queue("T", 0);
    append(&store, "T", "old");
    store.checkpoint(None).unwrap();
    append(&store, "T", "old too");
    store.remove_topic("T").unwrap();
    assert!(store.find_queue("T", 0).is_none() && old.is_removed());
    let refused = store.append(&old, &record("T", b"", ""));
    assert!(matches!(refused, Err(Error::WrongQueue { .. })), "{refused:?}");
    assert_eq!(append(&store, "T", "new").queue_offset, QueueOffset(0));
    store.write_pending();
    for clean in [false, true] {
        let (store, _) = if clean {
            let (store, _) = sim.open();
            store.close().unwrap();
            sim.open()
        } else {
            sim.disk.crash();
            sim.open()
        };
        assert_eq!(bodies(&store, &store.find_queue("T", 0).unwrap()), ["new"]);
    }
}

#[test]
fn freed_extents_are_used_again() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let size = || {
        let mut size = 0;
        sim.disk.edit(std::path::Path::new("/store/queues/extents-8"), |data| size = data.len());
        size
    };
    let mut sizes = Vec::new();
    for round in 0..10 {
        for topic in 0..20 {
            append(&store, &format!("T{topic}"), &round.to_string());
        }
        store.checkpoint(None).unwrap();
        sizes.push(size());
        (0..20).for_each(|topic| drop(store.remove_topic(&format!("T{topic}")).unwrap()));
        store.checkpoint(None).unwrap();
    }
    assert!(sizes[9] <= 2 * sizes[0], "{sizes:?}");
}

#[test]
fn waiters_never_miss_an_arrival() {
    const MESSAGES: u64 = 3000;
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(Options { checkpoint_bytes: 50_000, ..options(dir.path()) });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let consumers: Vec<_> = (0..8)
        .map(|i| {
            let (store, seen, queue) = (store.clone(), seen.clone(), store.queue("T", i % 2));
            runtime.spawn(async move {
                let mut next = QueueOffset(0);
                while next.0 < MESSAGES {
                    // Some waits are given up half-way, as by a client that hangs up.
                    let given_up = queue.wait_beyond(next);
                    tokio::select! { () = given_up => {}, () = tokio::task::yield_now() => {} }
                    queue.wait_beyond(next).await;
                    let entries = store.entries(&queue, next, 100).await.unwrap();
                    assert_eq!(entries[0].queue_offset, next);
                    next = QueueOffset(entries.last().unwrap().queue_offset.0 + 1);
                    seen.fetch_add(entries.len() as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for i in 0..MESSAGES {
        for queue_id in 0..2 {
            let queue = store.queue("T", queue_id);
            let appended = store.append(&queue, &NewRecord { queue_id, ..record("T", b"body", "") }).unwrap();
            if i % 7 == 0 {
                wait(&store, appended.end);
            }
        }
    }
    runtime.block_on(async {
        for consumer in consumers {
            let limit = std::time::Duration::from_secs(30);
            tokio::time::timeout(limit, consumer).await.expect("nobody waits for ever").unwrap();
        }
    });
    assert_eq!(seen.load(Ordering::Relaxed), 8 * MESSAGES);
    store.close().unwrap();
}

/// One record, three queues; after a checkpoint, after a crash, and when all that is derived is made again.
#[test]
fn a_record_stands_in_the_queues_of_several_topics() {
    let sim = Sim::new(0);
    let (mut store, _) = sim.open();
    let send = |store: &Store, topics: &[&str], body: &str| {
        let further: Vec<_> = topics.iter().map(|topic| store.queue(topic, 0)).collect();
        let record = record("P", body.as_bytes(), "TAGS\u{1}t\u{2}");
        store.append_dispatched(&store.queue("P", 0), &further, &record)
    };
    let check = |store: &Store| {
        for (topic, expected) in [("P", "1 2 3 4"), ("%LMQ%a", "1 2"), ("%LMQ%b", "2 3")] {
            let queue = store.queue(topic, 0);
            assert_eq!(bodies(store, &queue).join(" "), expected, "{topic}");
            let tags: Vec<_> = block(store.entries(&queue, QueueOffset(0), 9)).unwrap();
            assert!(tags.iter().enumerate().all(|(at, entry)| entry.queue_offset.0 == at as u64));
        }
    };
    send(&store, &["%LMQ%a"], "1").unwrap();
    let both = send(&store, &["%LMQ%a", "%LMQ%b"], "2").unwrap();
    store.checkpoint(None).unwrap();
    send(&store, &["%LMQ%b"], "3").unwrap();
    append(&store, "P", "4");
    store.write_pending();
    check(&store);
    let bytes = block(store.record_at(both.log_offset)).unwrap().unwrap();
    let view = protocol::record::RecordView::parse(&bytes).unwrap();
    let property = |name| protocol::properties::get(view.properties(), name).unwrap();
    assert_eq!(property("INNER_MULTI_DISPATCH"), "%LMQ%a,%LMQ%b");
    assert_eq!(property("INNER_MULTI_QUEUE_OFFSET"), "00000000000000000001,00000000000000000000");

    drop(store);
    (store, _) = sim.open();
    check(&store);
    drop(store);
    sim.disk.files("/store/queues".as_ref()).iter().for_each(|path| sim.disk.remove(path).unwrap());
    let recovery;
    (store, recovery) = sim.open();
    assert!(recovery.rebuilt_queues);
    check(&store);

    let old = store.queue("%LMQ%a", 0);
    store.remove_topic("%LMQ%a").unwrap();
    let refused = store.append_dispatched(&store.queue("P", 0), &[old], &record("P", b"5", ""));
    assert!(matches!(refused, Err(Error::WrongQueue { topic, .. }) if *topic == *"%LMQ%a"));
    send(&store, &["%LMQ%a"], "6").unwrap();
    store.write_pending();
    assert_eq!(bodies(&store, &store.queue("%LMQ%a", 0)), ["6"]);
}
