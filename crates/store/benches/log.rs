//! What the log costs for each message: appending it, and handing it to a consumer. `cargo bench -p store`

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use protocol::record::NewRecord;
use store::{Flush, LogOffset, Options, Queue, QueueOffset, Store};

const PROPERTIES: &str = "UNIQ_KEY\u{1}7F0000010007123456780000000000A1\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}\
                          MSG_REGION\u{1}DefaultRegion\u{2}TRACE_ON\u{1}true\u{2}CLUSTER\u{1}DefaultCluster\u{2}";
/// Appends that one write takes, as under load.
const WRITTEN: usize = 256;
/// Messages of a pull.
const PULLED: usize = 32;

/// A store without threads: what is measured happens here, and no device is waited for.
fn open(dir: &tempfile::TempDir) -> Arc<Store> {
    let mut options = Options::new(dir.path());
    options.threads = false;
    options.flush = Flush::Async { interval: Duration::from_secs(1) };
    options.retention.max_bytes = Some(4 << 30);
    Store::open(options, &mut |_| {}).unwrap().0
}

fn append(store: &Store, queue: &Arc<Queue>, body: &[u8]) {
    let record = NewRecord {
        topic: "orders",
        queue_id: queue.id(),
        flag: 0,
        sys_flag: 0,
        born_timestamp: 0,
        born_host: ([127, 0, 0, 1], 5000).into(),
        store_host: ([127, 0, 0, 1], 10911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: PROPERTIES,
        more_properties: "",
    };
    store.append(queue, &record).unwrap();
}

fn appends(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let queues: Vec<_> = (0..4).map(|id| store.queue("orders", id)).collect();
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(WRITTEN as u64));
    for bytes in [100, 1024] {
        let body = vec![b'x'; bytes];
        group.bench_function(format!("{bytes}_bytes"), |bench| {
            bench.iter(|| {
                (0..WRITTEN).for_each(|i| append(&store, &queues[i % 4], &body));
                store.write_pending();
                // Keeps memory and disk as they are in a broker that runs for long.
                if store.appended().0 % (64 << 20) < (1 << 20) {
                    store.checkpoint(Some(store.appended())).unwrap();
                    store.sweep().unwrap();
                }
            });
        });
    }
}

fn pulls(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let queue = store.queue("orders", 0);
    let body = vec![b'x'; 1024];
    for i in 0..8192 {
        append(&store, &queue, &body);
        // Another queue between two messages, so that ranges do not join.
        if i % 4 == 3 {
            append(&store, &store.queue("orders", 1), &body);
        }
        if i % 64 == 63 {
            store.write_pending();
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut group = criterion.benchmark_group("pull");
    group.throughput(Throughput::Elements(PULLED as u64));
    let mut from = 0;
    group.bench_function("hot", |bench| {
        bench.iter(|| {
            from = (from + PULLED as u64) % 8192;
            runtime.block_on(async {
                let entries = store.entries(&queue, QueueOffset(from), PULLED).await.unwrap();
                let ranges: Vec<(LogOffset, u32)> = entries.iter().map(|e| (e.log_offset, e.size)).collect();
                assert_eq!(ranges.len(), PULLED);
                black_box(store.read(&ranges).await.unwrap());
            });
        });
    });
}

criterion_group!(benches, appends, pulls);
criterion_main!(benches);
