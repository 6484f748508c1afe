//! The directory of a Java broker opens here.

use crate::help::*;
use protocol::record::{BLANK_BYTES, NewRecord, Stamp, put_blank};
use std::path::{Path, PathBuf};
use store::{IndexKey, LogOffset};

/// Two files from the middle of a log, as a broker of another file size leaves them; queue offsets begin at 7.
fn java_log(sim: &Sim, file_bytes: usize) -> (LogOffset, usize) {
    let base = 3 * file_bytes as u64;
    let (mut log, mut queue_offset) = (Vec::new(), 7);
    while log.len() < file_bytes + file_bytes / 2 {
        let body = format!("body {queue_offset} {}", "x".repeat(300));
        let record = NewRecord { queue_id: 2, ..record("orders", body.as_bytes(), "KEYS\u{1}o1\u{2}") };
        let measured = record.measure().unwrap();
        let left = file_bytes - log.len() % file_bytes;
        if left < (measured.encoded_len() + BLANK_BYTES) as usize {
            put_blank(left as u32, &mut log);
            log.resize(file_bytes, 0);
        }
        let stamp = Stamp { queue_offset, log_offset: base + log.len() as u64, store_timestamp: 1_000_000 };
        measured.encode(&stamp, &mut log);
        queue_offset += 1;
    }
    let end = base + log.len() as u64;
    log.resize(2 * file_bytes, 0);
    for (i, bytes) in log.chunks(file_bytes).enumerate() {
        let name = format!("/store/commitlog/{:020}", base + (i * file_bytes) as u64);
        sim.disk.put(&PathBuf::from(name), bytes.to_vec());
    }
    // What else lies there is none of our business.
    for other in ["checkpoint", "consumequeue/orders/2/00000000000000000000", "index/20260101000000000", "abort"] {
        sim.disk.put(&Path::new("/store").join(other), vec![1; 100]);
    }
    (LogOffset(end), (queue_offset - 7) as usize)
}

#[test]
fn queues_and_keys_are_made_from_its_log() {
    let sim = Sim::new(0);
    let (end, count) = java_log(&sim, 8 << 10);
    let (store, recovery) = sim.open();
    assert_eq!(store.log_range(), (LogOffset(24 << 10), end), "{recovery:?}");
    assert!(recovery.rebuilt_queues && recovery.rebuilt_keys && !recovery.clean);
    let queue = store.find_queue("orders", 2).unwrap();
    let expected: Vec<_> = (7..7 + count as u64).collect();
    assert_eq!(queue_offsets(&store, &queue), expected);
    assert_eq!(queue.min_offset().0, 7);
    assert_eq!(block(store.query("orders", IndexKey::Key("o1"), 1000, 0, i64::MAX)).unwrap().len(), count);

    // And goes on: the last file is filled at its size, new ones have ours.
    for i in 0..100 {
        let record = NewRecord { queue_id: 2, ..record("orders", &[b'y'; 500], "") };
        let appended = store.append(&queue, &record).unwrap();
        assert_eq!(appended.queue_offset.0, 7 + (count + i) as u64);
    }
    store.close().unwrap();
    drop(store);
    let (store, recovery) = sim.open();
    assert!(recovery.clean && recovery.scanned_records == 0);
    let queue = store.find_queue("orders", 2).unwrap();
    assert_eq!(bodies(&store, &queue).len(), count + 100);
}
