//! Finding records by key.

use crate::help::*;
use store::{IndexKey, Store};

fn found(store: &Store, topic: &str, key: IndexKey<'_>, max: usize, times: (i64, i64)) -> Vec<String> {
    let records = block(store.query(topic, key, max, times.0, times.1)).unwrap();
    let body = |bytes: &bytes::Bytes| {
        let record = protocol::record::validate(bytes, true).unwrap();
        String::from_utf8(record.body().to_vec()).unwrap()
    };
    records.iter().map(body).collect()
}

const EVER: (i64, i64) = (0, i64::MAX);

#[test]
fn keys_are_found_newest_first_wherever_they_lie() {
    let sim = Sim::new(0);
    let (store, _) = sim.open();
    let check = |store: &Store, n: i32| {
        let all: Vec<_> = (0..n).rev().filter(|i| i % 3 == 0).map(|i| i.to_string()).collect();
        assert_eq!(found(store, "T", IndexKey::Key("third"), 1000, EVER), all, "{n}");
        assert_eq!(found(store, "T", IndexKey::Key("third"), 5, EVER), all[..5.min(all.len())]);
        assert_eq!(found(store, "other", IndexKey::Key("third"), 5, EVER), [""; 0]);
        assert_eq!(found(store, "T", IndexKey::Tag("third"), 5, EVER), [""; 0]);
        if n > 0 {
            assert_eq!(found(store, "T", IndexKey::UniqueKey("u0"), 5, EVER), ["0"]);
            assert_eq!(found(store, "T", IndexKey::Tag("tag"), 1, EVER), [(n - 1).to_string()]);
            let times = (1_000_000 + i64::from(n) / 2, 1_000_000 + i64::from(n) / 2 + 2);
            let inside = found(store, "T", IndexKey::Tag("tag"), 9, times);
            assert_eq!(inside.len(), 3.min(n as usize - n as usize / 2), "{n}");
        }
    };
    for i in 0..600 {
        if i % 37 == 0 {
            store.write_pending();
            check(&store, i);
        }
        sim.clock.set(1_000_000 + i64::from(i));
        let properties = format!(
            "KEYS\u{1}a {} k{i} k{i}\u{2}UNIQ_KEY\u{1}u{i}\u{2}TAGS\u{1}tag\u{2}",
            if i % 3 == 0 { "third" } else { "" }
        );
        store.append(&store.queue("T", 0), &record("T", i.to_string().as_bytes(), &properties)).unwrap();
        if i % 20 == 0 {
            store.checkpoint(None).unwrap();
            store.merge_keys().unwrap();
        }
    }
    store.write_pending();
    check(&store, 600);
    assert_eq!(found(&store, "T", IndexKey::Key("k7"), 9, EVER), ["7"]);
    sim.disk.crash();
    drop(store);
    let (store, _) = sim.open();
    check(&store, 600);
    store.close().unwrap();
    drop(store);
    check(&sim.open().0, 600);
}
