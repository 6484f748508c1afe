//! Cutting the power, and cutting the log.

use crate::help::*;
use protocol::record::validate;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::io::sim::Faults;
use store::{Error, Flush, IndexKey, Store};

/// What a history knows of one topic.
#[derive(Default)]
struct Topic {
    acknowledged: Vec<String>,
    /// May or may not survive, in order.
    open: Vec<String>,
}

#[test]
fn what_was_acknowledged_survives_any_crash_and_queues_equal_the_log() {
    for seed in seeds(300) {
        history(seed);
    }
}

fn history(seed: u64) {
    let rng = &mut SmallRng::seed_from_u64(seed);
    let mut sim = Sim::new(seed);
    let synced = rng.random_bool(0.8);
    if !synced {
        // Then only what a checkpoint flushed is sure to survive.
        sim.options.flush = Flush::Async { interval: Duration::from_secs(1) };
    }
    let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
    let mut states: Vec<String> = Vec::new();
    let mut open_states = Vec::new();
    let mut state_at = 0;
    for life in 0..rng.random_range(2..6) {
        if rng.random_bool(0.3) {
            sim.disk.set_faults(Faults { changes_left: Some(rng.random_range(0..20)), ..Faults::default() });
            drop(sim.try_open());
            sim.disk.set_faults(Faults::default());
            if rng.random_bool(0.5) {
                sim.disk.crash();
            }
        }
        let ((store, recovery), replayed) = sim.open_replaying();
        check_topics(&store, &mut topics, seed, life);
        let acknowledged = states.len();
        states.append(&mut open_states);
        assert!(state_at + replayed.len() >= acknowledged, "SEED={seed} life {life}: {replayed:?} of {states:?}");
        states.truncate(state_at + replayed.len());
        assert_eq!(states[state_at..], replayed, "SEED={seed} life {life}: {recovery:?}");

        sim.disk.set_faults(Faults { short_writes: rng.random_bool(0.5), ..Faults::default() });
        for step in 0..rng.random_range(0..60) {
            match rng.random_range(0..20) {
                0..=11 => {
                    let name = format!("topic-{}", rng.random_range(0..4));
                    let count = if rng.random_bool(0.2) { rng.random_range(2..8) } else { 1 };
                    let bodies: Vec<_> = (0..count)
                        .map(|i| format!("{life}.{step}.{i}:{}", "x".repeat(rng.random_range(0..1500))))
                        .collect();
                    let records: Vec<_> =
                        bodies.iter().map(|body| record(&name, body.as_bytes(), "KEYS\u{1}key\u{2}")).collect();
                    store.append_batch(&store.queue(&name, 0), &records).unwrap();
                    topics.entry(name).or_default().open.extend(bodies);
                }
                12..=13 => {
                    let body = format!("state {life}.{step}");
                    store.append_state(body.as_bytes()).unwrap();
                    open_states.push(body);
                }
                14 => {
                    let topic = format!("topic-{}", rng.random_range(0..4));
                    let end = store.remove_topic(&topic).unwrap().end;
                    store.write_pending();
                    assert!(store.acknowledged().reached(end));
                    store.checkpoint(None).unwrap();
                    acknowledge(&mut topics);
                    states.append(&mut open_states);
                    topics.remove(&topic);
                }
                15..=16 => {
                    store.write_pending();
                    if synced {
                        acknowledge(&mut topics);
                        states.append(&mut open_states);
                    }
                    if synced && rng.random_bool(0.3) {
                        // The log is flushed, so the faults meet derived files only, and must do no harm.
                        let [write, sync, full] = std::array::from_fn(|_| rng.random_bool(0.4));
                        sim.disk.set_faults(Faults { write, sync, full, ..Faults::default() });
                        let _ = store.checkpoint(None);
                        let _ = store.merge_keys();
                        sim.disk.set_faults(Faults::default());
                    }
                }
                17 => {
                    let covered = rng.random_bool(0.5).then(|| store.appended());
                    store.checkpoint(covered).unwrap();
                    acknowledge(&mut topics);
                    states.append(&mut open_states);
                    if covered.is_some() {
                        state_at = states.len();
                    }
                }
                18 if rng.random_bool(0.2) => {
                    store.close().unwrap();
                    acknowledge(&mut topics);
                    states.append(&mut open_states);
                    break;
                }
                18 => store.merge_keys().unwrap(),
                _ => sim.clock.set(1_000_000 + step),
            }
        }
        sim.disk.crash();
        drop(store);
    }
    let (store, _) = sim.open();
    check_topics(&store, &mut topics, seed, 99);
}

fn acknowledge(topics: &mut BTreeMap<String, Topic>) {
    for topic in topics.values_mut() {
        topic.acknowledged.append(&mut topic.open);
    }
}

/// Every acknowledged body is there, followed by a beginning of the open ones; that is what counts from now on.
fn check_topics(store: &Store, topics: &mut BTreeMap<String, Topic>, seed: u64, life: u64) {
    for id in 0..4 {
        let name = format!("topic-{id}");
        let found = store.find_queue(&name, 0).map(|queue| bodies(store, &queue)).unwrap_or_default();
        let topic = topics.entry(name.clone()).or_default();
        let mut all = std::mem::take(&mut topic.acknowledged);
        let least = all.len();
        all.append(&mut topic.open);
        assert!(found.len() >= least, "SEED={seed} life {life} {name}: {} of {least}", found.len());
        assert_eq!(found[..], all[..found.len().min(all.len())], "SEED={seed} life {life} {name}");
        let by_key = block(store.query(&name, IndexKey::Key("key"), usize::MAX, 0, i64::MAX)).unwrap();
        let by_key = by_key.iter().map(|bytes| validate(bytes, true).unwrap().body().to_vec());
        let newest: Vec<_> = by_key.take(found.len()).collect();
        assert!(newest.iter().rev().eq(found.iter().map(|body| body.as_bytes())), "SEED={seed} life {life} {name}");
        topic.acknowledged = found;
        if let Some(queue) = store.find_queue(&name, 0) {
            assert_eq!(queue_offsets(store, &queue), (0..topic.acknowledged.len() as u64).collect::<Vec<_>>());
            assert_eq!(queue.next_offset().0, topic.acknowledged.len() as u64);
        }
    }
}

#[test]
fn a_log_cut_at_every_byte_keeps_every_whole_record() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let mut ends = vec![0];
    for i in 0..4 {
        // Properties keep the record from ending in zeros, which a cut would not be seen by.
        let body = format!("body {i}");
        let record = record("T", body.as_bytes(), "k\u{1}v\u{2}");
        ends.push(store.append(&store.queue("T", 0), &record).unwrap().end.0 as usize);
        if i == 1 {
            store.checkpoint(None).unwrap();
        }
    }
    store.write_pending();
    let segment = PathBuf::from("/store/commitlog/00000000000000000000");
    let end = *ends.last().unwrap();
    for cut in ends[2]..=end {
        let copy = sim.copy();
        copy.disk.edit(&segment, |data| data[cut..].fill(0));
        copy.disk.edit(&segment, |data| data[end..end + 300].fill(7));
        let (store, recovery) = copy.open();
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        let queue = store.queue("T", 0);
        assert_eq!(bodies(&store, &queue).len(), whole, "cut at {cut}: {recovery:?}");
        assert!(recovery.truncated_bytes > 0);
        let expected: Vec<_> = (0..whole).map(|i| format!("body {i}")).chain(["new".into()]).collect();
        append(&store, "T", "new");
        store.write_pending();
        assert_eq!(bodies(&store, &queue), expected);
        // Stale bytes behind the cut must not come back.
        copy.disk.crash();
        drop(store);
        let (store, _) = copy.open();
        assert_eq!(bodies(&store, &store.queue("T", 0)), expected, "cut at {cut}");
    }
}

#[test]
fn a_log_that_is_shorter_than_its_checkpoint_is_believed() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let ends: Vec<_> = (0..6).map(|i| append(&store, "T", &format!("body {i}")).end.0 as usize).collect();
    store.close().unwrap();
    sim.disk.edit(Path::new("/store/commitlog/00000000000000000000"), |data| data[ends[3]..].fill(0));
    let (store, recovery) = sim.open();
    assert!(recovery.rebuilt_queues);
    assert_eq!(bodies(&store, &store.queue("T", 0)).len(), 4);
    assert_eq!(append(&store, "T", "new").queue_offset.0, 4);
}

#[test]
fn a_damaged_record_in_the_middle_does_not_take_the_others_with_it() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let ends: Vec<_> = (0..60).map(|i| append(&store, "T", &format!("{i} {}", "x".repeat(1000))).end.0).collect();
    store.close().unwrap();
    let rebuilt = |damage: u64| {
        sim.disk.edit(Path::new("/store/commitlog/00000000000000000000"), |data| data[damage as usize] ^= 1);
        for path in sim.disk.files(Path::new("/store/queues")) {
            sim.disk.delete(&path);
        }
        sim.open()
    };
    let (store, recovery) = rebuilt(ends[4] - 500);
    assert_eq!(recovery.damaged_bytes, ends[4] - ends[3]);
    let queue = store.queue("T", 0);
    assert_eq!(bodies(&store, &queue).len(), 59);
    assert_eq!(queue.max_offset().0, 60);
    assert_eq!(append(&store, "T", "new").queue_offset.0, 60);
}

#[test]
fn reopening_after_a_clean_close_reads_no_log() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    (0..100).for_each(|i| drop(append(&store, "T", &format!("body {i}"))));
    store.append_state(b"state").unwrap();
    store.checkpoint(Some(store.appended())).unwrap();
    store.close().unwrap();
    assert!(matches!(store.append_state(b""), Err(Error::Closed)));
    let ((store, recovery), replayed) = sim.open_replaying();
    assert!(recovery.clean);
    assert_eq!((recovery.scanned_records, replayed.len()), (0, 0));
    assert_eq!(bodies(&store, &store.queue("T", 0)).len(), 100);
}

#[test]
fn deleted_queues_and_keys_are_made_from_the_log_again() {
    for missing in ["/store/queues", "/store/keys", "/store/progress", "/store"] {
        let sim = Sim::new(0);
        let (store, _) = sim.open();
        for i in 0..500 {
            let record = record("T", b"body", "KEYS\u{1}k\u{2}");
            store.append(&store.queue("T", 0), &record).unwrap();
            if i == 250 {
                store.checkpoint(None).unwrap();
            }
            if i % 50 == 0 {
                store.write_pending();
            }
        }
        store.append_state(b"state").unwrap();
        store.close().unwrap();
        for path in sim.disk.files(Path::new(missing)) {
            if !path.starts_with("/store/commitlog") {
                sim.disk.delete(&path);
            }
        }
        let ((store, recovery), replayed) = sim.open_replaying();
        assert_eq!(bodies(&store, &store.queue("T", 0)).len(), 500, "{missing}: {recovery:?}");
        let found = block(store.query("T", store::IndexKey::Key("k"), 1000, 0, i64::MAX)).unwrap();
        assert_eq!((found.len(), replayed), (500, vec!["state".to_owned()]), "{missing}");
    }
}

#[test]
fn a_store_is_opened_once() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    assert!(matches!(sim.try_open(), Err(Error::Locked(_))));
    store.close().unwrap();
    sim.open();
}

#[test]
fn whole_records_behind_a_torn_one_do_not_come_back() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let ends: Vec<_> = ["a1", "b1", "c1"].map(|body| append(&store, "T", body).end.0 as usize).to_vec();
    store.write_pending();
    sim.disk.crash();
    drop(store);
    // The disk wrote the third record of a batch and not the second.
    sim.disk.edit(Path::new("/store/commitlog/00000000000000000000"), |data| data[ends[0]..ends[1]].fill(0));
    let (store, _) = sim.open();
    assert_eq!(bodies(&store, &store.queue("T", 0)), ["a1"]);
    append(&store, "T", "b2");
    store.write_pending();
    sim.disk.crash();
    drop(store);
    let (store, _) = sim.open();
    assert_eq!(bodies(&store, &store.queue("T", 0)), ["a1", "b2"]);
}

#[test]
fn a_damaged_derived_file_is_made_again() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let expected: Vec<_> = (0..40).map(|i| format!("body {i}")).collect();
    for (i, body) in expected.iter().enumerate() {
        store.append(&store.queue("T", 0), &record("T", body.as_bytes(), "KEYS\u{1}k\u{2}")).unwrap();
        if i % 10 == 0 {
            store.checkpoint(None).unwrap();
        }
    }
    store.close().unwrap();
    drop(store);
    let derived = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("rows-") || name == "progress" || path.starts_with("/store/keys")
    };
    for path in sim.disk.files(Path::new("/store")).into_iter().filter(derived) {
        let mut len = 0;
        sim.disk.edit(&path, |data| len = data.len());
        // Of a run, what says where its keys are; a damaged key is merely not found.
        let from = if path.starts_with("/store/keys") { len - 40 } else { 0 };
        for at in from..len {
            let copy = sim.copy();
            copy.disk.edit(&path, |data| data[at] ^= 0x41);
            let (store, recovery) = copy.open();
            assert_eq!(bodies(&store, &store.queue("T", 0)), expected, "{path:?} at {at}: {recovery:?}");
            let in_rows = path.starts_with("/store/queues");
            assert!(!in_rows || recovery.rebuilt_queues || at > len - 200, "{path:?} at {at} of {len}: {recovery:?}");
            let found = block(store.query("T", IndexKey::Key("k"), 100, 0, i64::MAX)).unwrap();
            assert_eq!(found.len(), 40, "{path:?} at {at}: {recovery:?}");
        }
    }
}

#[test]
fn a_missing_file_of_the_log_is_named() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    (0..40).for_each(|i| drop(append(&store, "T", &format!("{i} {}", "x".repeat(1000)))));
    store.close().unwrap();
    sim.disk.delete(Path::new("/store/commitlog/00000000000000016384"));
    let error = sim.try_open().expect_err("is refused").to_string();
    let places = ["from 16384 to 32768", "commitlog/00000000000000000000", "commitlog/00000000000000032768"];
    places.iter().for_each(|place| assert!(error.contains(place), "{error}"));
}

#[test]
fn a_start_that_dies_anywhere_is_followed_by_a_good_one() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    // Into the third segment, a fourth one behind it, and of the third one the last record is torn.
    let mut expected: Vec<_> = (0..40).map(|i| format!("{i} {}", "x".repeat(1000))).collect();
    let ends: Vec<_> = expected.iter().map(|body| append(&store, "T", body).end.0 as usize).collect();
    store.append_state(b"state").unwrap();
    store.write_pending();
    sim.disk.crash();
    drop(store);
    let (last, base) = (PathBuf::from("/store/commitlog/00000000000000032768"), 32768);
    sim.disk.edit(&last, |data| data[ends[38] - base + 100..].fill(0));
    sim.disk.put(Path::new("/store/commitlog/00000000000000049152"), vec![0; 16 << 10]);
    expected.truncate(39);

    for power_cut in [false, true] {
        for changes in 0.. {
            let copy = sim.copy();
            copy.disk.set_faults(Faults { changes_left: Some(changes), ..Faults::default() });
            let opened = copy.try_open();
            let died = opened.is_err();
            drop(opened);
            copy.disk.set_faults(Faults::default());
            if power_cut {
                copy.disk.crash();
            }
            let when = format!("after {changes} changes, power cut: {power_cut}");
            let (store, _) = copy.try_open().unwrap_or_else(|error| panic!("{when}: {error}"));
            assert_eq!(bodies(&store, &store.queue("T", 0)), expected, "{when}");
            append(&store, "T", "new");
            store.close().unwrap();
            for path in copy.disk.files(Path::new("/store/commitlog")) {
                copy.disk.edit(&path, |data| assert_eq!(data.len(), 16 << 10, "{when}: {path:?}"));
            }
            let (store, _) = copy.open();
            assert_eq!(bodies(&store, &store.queue("T", 0)).last().unwrap(), "new", "{when}");
            if !died {
                assert!(changes > 3, "a start changes something");
                break;
            }
        }
    }
}

#[test]
fn what_threads_were_told_survives_a_crash_at_any_moment() {
    for seed in seeds(40) {
        let mut sim = Sim::new(seed);
        sim.options.threads = true;
        sim.options.segment_bytes = 64 << 10;
        sim.options.checkpoint_bytes = 20_000;
        let mut told: Vec<BTreeMap<u64, String>> = vec![BTreeMap::new(); 3];
        for life in 0..3 {
            let (store, _) = sim.open();
            for (topic, told) in told.iter().enumerate() {
                let queue = store.queue(&format!("topic-{topic}"), 0);
                let found = bodies(&store, &queue);
                for (offset, body) in told {
                    assert_eq!(found.get(*offset as usize), Some(body), "SEED={seed} life {life} topic {topic}");
                }
                assert_eq!(queue_offsets(&store, &queue), (0..found.len() as u64).collect::<Vec<_>>());
            }
            let rng = &mut SmallRng::seed_from_u64(seed * 10 + life);
            let (answers, answered) = (AtomicUsize::new(0), rng.random_range(1..200));
            std::thread::scope(|scope| {
                for (topic, told) in told.iter_mut().enumerate() {
                    let (store, disk, answers) = (&store, &sim.disk, &answers);
                    scope.spawn(move || {
                        for i in 0.. {
                            let name = format!("topic-{topic}");
                            let body = format!("{life}.{i} {}", "x".repeat(i % 700));
                            let record = record(&name, body.as_bytes(), "KEYS\u{1}k\u{2}");
                            let Ok(appended) = store.append(&store.queue(&name, 0), &record) else { return };
                            if block(store.acknowledged().wait(appended.end)).is_err() {
                                return;
                            }
                            told.insert(appended.queue_offset.0, body);
                            if answers.fetch_add(1, Ordering::SeqCst) == answered {
                                disk.crash();
                            }
                        }
                    });
                }
            });
        }
    }
}
