//! What a million queues cost: memory, a checkpoint, a restart.
//!
//! `cargo run --release -p store --example many_queues -- [topics] [queues each] [dir]`

use protocol::record::NewRecord;
use std::time::Instant;
use store::{Options, Store};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| args.get(i).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (topics, queues) = (number(0, 100_000), number(1, 10));
    let scratch = tempfile::tempdir().expect("a directory for temporary files");
    let dir = args.get(2).map_or(scratch.path().to_path_buf(), Into::into);
    let options = Options { tail_cache_bytes: 1 << 20, ..Options::new(dir) };

    let (store, _) = Store::open(options.clone(), &mut |_| {}).expect("the store opens");
    let before = rss();
    let started = Instant::now();
    for topic in 0..topics {
        let topic = format!("topic-{topic:07}");
        for queue in 0..queues {
            let queue = store.queue(&topic, queue as u32);
            let record = NewRecord {
                topic: &topic,
                queue_id: queue.id(),
                flag: 0,
                sys_flag: 0,
                born_timestamp: 0,
                born_host: ([127, 0, 0, 1], 5000).into(),
                store_host: ([127, 0, 0, 1], 10911).into(),
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body: b"x",
                properties: "",
                more_properties: "",
            };
            while store.append(&queue, &record).is_err() {
                std::thread::yield_now();
            }
        }
    }
    println!("{} queues with one message each in {:?}", topics * queues, started.elapsed());
    let started = Instant::now();
    store.checkpoint(None).expect("a checkpoint");
    println!("checkpoint of what was left in {:?}", started.elapsed());
    println!("{} bytes of memory a queue, with the allocator's slack", (rss() - before) / (topics * queues));
    store.close().expect("the store closes");
    drop(store);

    let before = rss();
    let started = Instant::now();
    let (store, recovery) = Store::open(options, &mut |_| {}).expect("the store opens again");
    println!("opened again in {:?}, {recovery:?}", started.elapsed());
    println!("{} bytes more resident than before", rss().saturating_sub(before));
    let last = store.find_queue(&format!("topic-{:07}", topics - 1), queues as u32 - 1).expect("it was saved");
    assert_eq!(last.max_offset().0, 1);
    println!("{} KiB resident", rss() / 1024);
}

fn rss() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).unwrap_or(0) * 1024
}
