//! Durable appends per second and CPU per append.
//!
//! `cargo run --release -p store --example append_bench -- [threads] [in flight each] [seconds] [body bytes] [dir]`

use protocol::record::NewRecord;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::{LogOffset, Options, Store};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| args.get(i).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (threads, in_flight, seconds, body_bytes) = (number(0, 2), number(1, 512), number(2, 5), number(3, 1024));
    let scratch = tempfile::tempdir().expect("a directory for temporary files");
    let dir = args.get(4).map_or(scratch.path().to_path_buf(), Into::into);
    let (store, recovery) = Store::open(Options::new(dir), &mut |_| {}).expect("the store opens");
    println!("{recovery:?}");

    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = (Instant::now(), cpu());
    let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
        let run = |thread: usize| produce(&store, thread, in_flight, body_bytes, &stop, &done);
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        for _ in 0..seconds {
            std::thread::sleep(Duration::from_secs(1));
            println!("{:>9} durable, rss {} MiB", done.load(Ordering::Relaxed), rss_mib());
        }
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().expect("a producer")).collect()
    });
    let (elapsed, [user, system]) = (started.0.elapsed(), cpu());
    let (user, system) = (user - started.1[0], system - started.1[1]);
    let cpu_used = user + system;
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    let n = done.load(Ordering::Relaxed) as f64;
    let stats = store.stats();
    println!(
        "{:.0} appends/s, {:.2} us CPU each ({:.2} in the kernel), {:.0} per CPU second; p50 {:?}, p99 {:?}, max {:?}",
        n / elapsed.as_secs_f64(),
        cpu_used.as_secs_f64() * 1e6 / n,
        system.as_secs_f64() * 1e6 / n,
        n / cpu_used.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0),
    );
    println!(
        "{} syncs of {:?} on average, the longest {:?}",
        stats.syncs,
        stats.sync_time / stats.syncs.max(1) as u32,
        stats.sync_time_max
    );
    let closing = Instant::now();
    store.close().expect("the store closes");
    println!("closed in {:?}", closing.elapsed());
}

/// Keeps `in_flight` appends waiting for the mark, as a connection task would.
fn produce(
    store: &Store,
    thread: usize,
    in_flight: usize,
    body_bytes: usize,
    stop: &AtomicBool,
    done: &AtomicU64,
) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let topic = format!("bench-{thread}");
    let queues: Vec<_> = (0..8).map(|id| store.queue(&topic, id)).collect();
    let body = vec![b'x'; body_bytes];
    let mut waiting: VecDeque<(LogOffset, Instant)> = VecDeque::new();
    let mut latencies = Vec::new();
    let mut n = 0_u64;
    while !stop.load(Ordering::Relaxed) || !waiting.is_empty() {
        while waiting.len() < in_flight && !stop.load(Ordering::Relaxed) {
            let properties =
                format!("UNIQ_KEY\u{1}7F0000010007123456780000{n:08X}\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}");
            let queue = &queues[n as usize % queues.len()];
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
                body: &body,
                properties: &properties,
                more_properties: "",
            };
            match store.append(queue, &record) {
                Ok(appended) => waiting.push_back((appended.end, Instant::now())),
                Err(store::Error::Busy { .. }) => break,
                Err(error) => panic!("{error}"),
            }
            n += 1;
        }
        let Some((first, _)) = waiting.front() else { continue };
        runtime.block_on(store.acknowledged().wait(*first)).expect("the log does not fail");
        let now = Instant::now();
        while let Some((end, since)) = waiting.front()
            && store.acknowledged().reached(*end)
        {
            latencies.push(now - *since);
            done.fetch_add(1, Ordering::Relaxed);
            waiting.pop_front();
        }
    }
    latencies
}

/// Of the process: in user mode, in the kernel.
fn cpu() -> [Duration; 2] {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let mut fields = stat.rsplit(')').next().expect("a name").split_whitespace().skip(11);
    // Clock ticks are hundredths of a second on every Linux that matters here.
    std::array::from_fn(|_| Duration::from_millis(10 * fields.next().and_then(|f| f.parse().ok()).unwrap_or(0)))
}

fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
