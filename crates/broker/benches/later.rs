//! What happens later, in figures: timers, popped messages, transactions, lite topics, filters.
//!
//! `cargo bench -p broker --bench later` measures all, each in a process of its own so that memory counts from zero;
//! a name behind `--` measures one. The log is flushed in the background: the disk is measured elsewhere.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker::{
    Ack, Broker, Config, EndTransaction, LiteAction, LiteSubscription, NewMessage, PopFrom, PopLiteRequest, PopRequest,
    Receipt, Sql,
};
use protocol::body::{GroupConfig, TopicConfig};
use protocol::properties;
use protocol::record::RecordView;
use store::{Clock, Flush, Options};
use tempfile::TempDir;

const MILLION: usize = 1_000_000;

const CASES: [&str; 5] = ["timers", "pops", "transactions", "lite-topics", "filters"];

fn main() {
    match std::env::args().skip(1).find(|arg| !arg.starts_with('-')) {
        Some(case) => run(&case),
        None => {
            for case in CASES {
                let this = std::env::current_exe().unwrap();
                assert!(std::process::Command::new(this).arg(case).status().unwrap().success());
            }
        }
    }
}

fn run(case: &str) {
    if case == "filters" {
        return filters();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new();
        match case {
            "timers" => timers(&mut world).await,
            "pops" => pops(&mut world).await,
            "transactions" => transactions(&mut world).await,
            "lite-topics" => lite_topics(&mut world).await,
            other => panic!("{other:?} is none of {CASES:?}"),
        }
    });
}

/// The machine's clock, which may be set forward.
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now_ms(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64 + self.0.load(Ordering::Relaxed)
    }
}

struct World {
    dir: TempDir,
    clock: Arc<Ahead>,
    /// Memory when the log's own share of it was taken.
    resident: u64,
}

impl World {
    fn new() -> World {
        World { dir: tempfile::tempdir().unwrap(), clock: Arc::default(), resident: 0 }
    }

    /// A broker whose caches are full already.
    async fn warm(&mut self) -> Arc<Broker> {
        let broker = self.open();
        let body = "x".repeat(4096);
        for _ in 0..10_000 {
            send(&broker, "warm", "", &body).await;
        }
        self.settle(&broker).await;
        self.resident = resident();
        broker
    }

    fn open(&self) -> Arc<Broker> {
        let mut options = Options::new(self.dir.path());
        options.flush = Flush::Async { interval: Duration::from_millis(500) };
        options.tail_cache_bytes = 16 << 20;
        let config = Config::new(self.dir.path().join("config"));
        let (broker, _) = Broker::open_with(Arc::new(store::io::Disk), self.clock.clone(), config, options).unwrap();
        broker.start();
        broker
    }

    /// Everything is in the files, so that what is left in memory is what has to be there.
    async fn settle(&self, broker: &Broker) {
        broker.store().flushed().wait(broker.store().appended()).await.unwrap();
        broker.store().checkpoint(None).unwrap();
    }

    async fn print_memory(&self, broker: &Broker, what: &str) {
        self.settle(broker).await;
        let grown = resident().saturating_sub(self.resident);
        println!("  {} bytes of memory for each {what}, {} MB in all", grown / MILLION as u64, resident() >> 20);
    }
}

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Does something a million times and says how fast that was.
async fn measure(what: &str, mut work: impl AsyncFnMut(usize)) {
    let begin = Instant::now();
    for number in 0..MILLION {
        work(number).await;
    }
    print_rate(what, begin);
}

fn print_rate(what: &str, begin: Instant) {
    println!("  {:.0} k {what} a second", MILLION as f64 / begin.elapsed().as_secs_f64() / 1000.0);
}

/// Sends, waiting a little where the log has no room.
async fn send(broker: &Broker, topic: &str, properties: &str, body: &str) -> Receipt {
    let message = NewMessage {
        topic,
        template: "TBW102",
        template_queues: 4,
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 0,
        born_host: ([127, 0, 0, 1], 5000).into(),
        store_host: ([127, 0, 0, 1], 10911).into(),
        reconsume_times: 0,
        max_reconsume_times: None,
        unit: false,
        properties,
        batch: false,
        body: body.as_bytes(),
    };
    loop {
        match broker.send(&message) {
            Ok(receipt) => return receipt,
            Err(broker::Error::Store(store::Error::Busy { .. })) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn text(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    pairs.iter().for_each(|(name, value)| properties::push(&mut text, name, value));
    text
}

async fn timers(world: &mut World) {
    println!("a million timers");
    let broker = world.warm().await;
    let hour_ms = 3_600_000;
    let first_ms = world.clock.now_ms() + hour_ms;
    measure("timers created", async |number| {
        // Due within a second.
        let (at, key) = ((first_ms + number as i64 / 1000).to_string(), format!("key{number}"));
        let pairs = text(&[(properties::TIMER_DELIVER_MS, &at), (properties::UNIQUE_KEY, &key)]);
        send(&broker, "T", &pairs, "body").await;
    })
    .await;
    world.print_memory(&broker, "timer").await;
    // Shortly before the first; an earlier one wakes who waits for it by the old time.
    world.clock.0.fetch_add(first_ms - world.clock.now_ms() - 300, Ordering::Relaxed);
    let at = (world.clock.now_ms() + 1).to_string();
    send(&broker, "T", &text(&[(properties::TIMER_DELIVER_MS, &at), (properties::UNIQUE_KEY, "last")]), "body").await;
    while world.clock.now_ms() < first_ms {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let begin = Instant::now();
    while broker.pending_timers() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    print_rate("timers fired", begin);
    broker.stop().await;
}

async fn pops(world: &mut World) {
    println!("a million popped messages");
    let broker = world.warm().await;
    broker.topics().put(TopicConfig::new("T", 4)).unwrap();
    for _ in 0..MILLION {
        send(&broker, "T", "", "body").await;
    }
    world.settle(&broker).await;
    world.resident = resident();
    let request = PopRequest {
        group: "G",
        topic: "T",
        queue_id: -1,
        max_messages: 32,
        invisible: Duration::from_secs(3600),
        wait: Duration::ZERO,
        from: PopFrom::Min,
        filter: None,
        order: false,
        attempt_id: None,
    };
    let begin = Instant::now();
    let mut receipts = Vec::with_capacity(MILLION);
    while receipts.len() < MILLION {
        let popped = broker.begin_pop(&request).unwrap().run().await.unwrap();
        receipts.extend(popped.messages.into_iter().map(|message| message.receipt));
    }
    print_rate("messages popped", begin);
    // The receipts are the consumers' share.
    world.resident += (receipts.capacity() * size_of_val(&receipts[0])) as u64;
    world.print_memory(&broker, "message in flight").await;
    measure("messages acked", async |number| {
        let receipt = &receipts[number];
        let (queue_id, queue_offset) = (receipt.queue_id, receipt.queue_offset);
        broker.ack(&Ack { topic: "T", group: "G", queue_id, queue_offset, receipt }).unwrap();
    })
    .await;
    assert_eq!(broker.invisible_messages(), 0);
    broker.stop().await;
}

async fn transactions(world: &mut World) {
    println!("a million open transactions");
    let broker = world.warm().await;
    let mut places = Vec::with_capacity(MILLION);
    measure("halves stored", async |number| {
        let key = format!("key{number}");
        let half = [
            (properties::TRANSACTION_PREPARED, "true"),
            (properties::PRODUCER_GROUP, "G"),
            (properties::CHECK_IMMUNITY_SECONDS, "3600"),
            (properties::UNIQUE_KEY, &key),
        ];
        let appended = send(&broker, "T", &text(&half), "body").await.appended;
        places.push((appended.queue_offset.0 as i64, appended.log_offset.0 as i64));
    })
    .await;
    world.resident += (places.capacity() * size_of_val(&places[0])) as u64;
    world.print_memory(&broker, "open transaction").await;
    measure("halves committed", async |number| {
        let (queue_offset, log_offset) = places[number];
        let end = EndTransaction { producer_group: "G", queue_offset, log_offset, commit: true, from_check: true };
        while let Err(error) = broker.end_transaction(&end).await {
            assert!(matches!(error, broker::Error::Store(store::Error::Busy { .. })), "{error}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(broker.open_transactions(), 0);
    broker.stop().await;
}

async fn lite_topics(world: &mut World) {
    println!("a million lite topics");
    let broker = world.warm().await;
    broker.topics().put_with_attributes(TopicConfig::new("P", 8), "+message.type=LITE").unwrap();
    let attributes = [("+lite.bind.topic".to_owned(), "P".to_owned())].into_iter().collect();
    let group = GroupConfig { group_name: "G".into(), attributes, ..GroupConfig::default() };
    broker.groups().put_with_attributes(group).unwrap();
    measure("lite topics made, with a message each", async |number| {
        send(&broker, "P", &text(&[("__LITE_TOPIC", &format!("lite{number}"))]), "body").await;
    })
    .await;
    world.print_memory(&broker, "lite topic").await;
    broker.stop().await;
    drop(broker);
    let begin = Instant::now();
    let broker = world.open();
    println!("  {:.2} s for a start, {} MB then", begin.elapsed().as_secs_f64(), resident() >> 20);
    measure("messages to lite topics that are there", async |number| {
        send(&broker, "P", &text(&[("__LITE_TOPIC", &format!("lite{number}"))]), "body").await;
    })
    .await;
    world.settle(&broker).await;

    let begin = Instant::now();
    let mut taken = 0;
    for client in 0..1000 {
        taken += consume_lite(&broker, client * 100..(client + 1) * 100).await;
    }
    let rate = |taken: usize, begin: Instant| taken as f64 / begin.elapsed().as_secs_f64() / 1000.0;
    println!("  {:.0} k messages popped and acked a second, by clients of 100 each", rate(taken, begin));
    let begin = Instant::now();
    let taken = consume_lite(&broker, 100_000..200_000).await;
    println!("  {:.0} k messages popped and acked a second, by one client of 100,000", rate(taken, begin));
    broker.stop().await;
}

/// A client that subscribes to lite topics and takes what they have.
async fn consume_lite(broker: &Arc<Broker>, numbers: std::ops::Range<usize>) -> usize {
    let client_id = &format!("client{}", numbers.start);
    let names: Vec<String> = numbers.map(|number| format!("lite{number}")).collect();
    let lite_topics: &[&str] = &names.iter().map(String::as_str).collect::<Vec<_>>();
    let (action, group, topic) = (LiteAction::PartialAdd, "G", "P");
    let wanted = LiteSubscription { action, client_id, group, topic, lite_topics, start: None, connection: None };
    broker.lite_subscribe(&wanted).unwrap();
    let (invisible, wait) = (Duration::from_secs(60), Duration::ZERO);
    let request = PopLiteRequest { client_id, group, topic, max_messages: 32, invisible, wait, attempt_id: None };
    let mut taken = 0;
    loop {
        let popped = broker.begin_pop_lite(&request).unwrap().run().await.unwrap();
        if popped.messages.is_empty() {
            assert!(taken >= names.len(), "each has something");
            return taken;
        }
        taken += popped.messages.len();
        for message in &popped.messages {
            let record = RecordView::parse(&message.record).unwrap();
            let lite_topic = record.property("__LITE_TOPIC").unwrap();
            let (receipt, queue_offset) = (&message.receipt, message.receipt.queue_offset);
            broker.ack_lite(&Ack { topic, group, queue_id: 0, queue_offset, receipt }, lite_topic).unwrap();
        }
    }
}

fn filters() {
    println!("SQL92 filters, on a message with ten properties");
    let mut shown = String::new();
    for number in 0..6 {
        properties::push(&mut shown, &format!("other{number}"), "some value");
    }
    [("a", "7"), ("region", "north"), ("price", "12.5"), ("TAGS", "x")]
        .iter()
        .for_each(|(name, value)| properties::push(&mut shown, name, value));
    for expression in [
        "a > 5",
        "a BETWEEN 1 AND 9 AND region IN ('south', 'north')",
        "(a = 1 OR price >= 12.5) AND region IS NOT NULL AND region NOT CONTAINS 'z'",
    ] {
        let sql = Sql::parse(expression).unwrap();
        let begin = Instant::now();
        for _ in 0..MILLION {
            assert!(std::hint::black_box(&sql).matches(std::hint::black_box(&shown)));
        }
        println!("  {:.0} ns for {expression}", begin.elapsed().as_nanos() as f64 / MILLION as f64);
    }
}
