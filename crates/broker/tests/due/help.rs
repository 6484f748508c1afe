//! A broker whose time the tests move, and which they may crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use broker::{Broker, Config, ConnectionId, Error, Heartbeat, NewMessage, Receipt};
use protocol::body::{HeartbeatData, ProducerData};
use protocol::peer::Language;
use protocol::properties;
use protocol::record::RecordView;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use store::{Clock, Flush, Options, QueueOffset};
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// The paused time of tokio, as a wall clock that goes on from life to life.
struct VirtualClock {
    begun: Instant,
    base_ms: i64,
    /// Threads outside of the runtime must not see another time.
    latest_ms: AtomicI64,
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> i64 {
        if tokio::runtime::Handle::try_current().is_ok() {
            let now = self.base_ms + self.begun.elapsed().as_millis() as i64;
            return self.latest_ms.fetch_max(now, Ordering::SeqCst).max(now);
        }
        self.latest_ms.load(Ordering::SeqCst)
    }
}

/// Runs many random histories, or the one that the environment variable `SEED` names. `HISTORIES` says how many.
pub(crate) fn histories(history: impl Fn(SmallRng) + Sync) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let (first, count) = match number("SEED") {
        Some(seed) => (seed, 1),
        None => (u64::from(rand::random::<u32>()), number("HISTORIES").unwrap_or(HISTORIES)),
    };
    let next = AtomicU64::new(first);
    let work = || {
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < first + count
        {
            let _told = Told(seed);
            history(SmallRng::seed_from_u64(seed));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

/// Some ten milliseconds each.
const HISTORIES: u64 = 1000;

/// Says how to repeat what failed.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What other threads print is not shown with the failure of a test, but this is.
            eprintln!("repeat this history with SEED={}", self.0);
        }
    }
}

/// How a life of a broker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Clean,
    /// Whatever was not written is gone.
    Crash,
}

/// A directory in which one broker after the other lives.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) config: Config,
    pub(crate) options: Options,
    /// Time between two writes of the log.
    pub(crate) write_period: Duration,
    now_ms: i64,
}

impl World {
    pub(crate) fn new() -> World {
        World::on(tempfile::tempdir().expect("a directory"))
    }

    /// One that costs little: its files are in memory where that is possible, and a start has less to look through for
    /// what a crash tore.
    pub(crate) fn small() -> World {
        let memory = std::path::Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let mut world = World::on(dir.expect("a directory"));
        world.options.segment_bytes = 128 << 10;
        world
    }

    fn on(dir: TempDir) -> World {
        let config = Config { snapshot_interval: Duration::from_secs(3), ..Config::new(dir.path().join("config")) };
        let flush = Flush::Async { interval: Duration::from_secs(1) };
        let mut options = Options { threads: false, flush, segment_bytes: 4 << 20, ..Options::new(dir.path()) };
        options.retention.refuse_ratio = 1.0;
        options.retention.force_ratio = 1.0;
        options.retention.clean_ratio = 1.0;
        World { dir, config, options, write_period: Duration::from_millis(1), now_ms: START_MS }
    }

    /// One life of the broker.
    pub(crate) fn live<T>(&mut self, end: End, life: impl AsyncFnOnce(&Arc<Broker>) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (answer, now_ms) = runtime.block_on(async {
            let clock =
                Arc::new(VirtualClock { begun: Instant::now(), base_ms: self.now_ms, latest_ms: self.now_ms.into() });
            let opened = Broker::open_with(Arc::new(store::io::Disk), clock, self.config.clone(), self.options.clone());
            let (broker, _) = opened.expect("the broker opens");
            let (store, period) = (broker.store().clone(), self.write_period);
            tokio::spawn(async move {
                loop {
                    store.write_pending();
                    tokio::time::sleep(period).await;
                }
            });
            broker.start();
            let answer = life(&broker).await;
            if end == End::Clean {
                broker.stop().await;
            }
            (answer, broker.now_ms())
        });
        self.now_ms = now_ms;
        answer
    }

    /// Lets time pass while no broker lives.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now_ms += time.as_millis() as i64;
    }
}

pub(crate) fn message<'a>(topic: &'a str, properties: &'a str, body: &'a str) -> NewMessage<'a> {
    NewMessage {
        topic,
        template: "TBW102",
        template_queues: 4,
        queue_id: 0,
        flag: 7,
        sys_flag: 0,
        born_timestamp: START_MS,
        born_host: "10.1.2.3:4444".parse().unwrap(),
        store_host: "10.1.2.4:10911".parse().unwrap(),
        reconsume_times: 0,
        max_reconsume_times: None,
        unit: false,
        properties,
        batch: false,
        body: body.as_bytes(),
    }
}

pub(crate) fn properties(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    pairs.iter().for_each(|(name, value)| properties::push(&mut text, name, value));
    text
}

/// Sends, and returns when the producer would hear of success.
pub(crate) async fn send(broker: &Broker, topic: &str, pairs: &[(&str, &str)], body: &str) -> Result<Receipt, Error> {
    let receipt = broker.send(&message(topic, &properties(pairs), body))?;
    broker.store().acknowledged().wait(receipt.appended.end).await?;
    Ok(receipt)
}

/// What a consumer finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) body: String,
    pub(crate) stored_ms: i64,
    pub(crate) sys_flag: i32,
    pub(crate) prepared_at: i64,
    pub(crate) properties: String,
}

impl Found {
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        properties::get(&self.properties, name)
    }
}

pub(crate) async fn consume(broker: &Broker, topic: &str) -> Vec<Found> {
    let mut all = Vec::new();
    for queue in broker.store().queues_of(topic) {
        let entries = broker.store().entries(&queue, QueueOffset(0), 1_000_000).await.unwrap();
        for entry in entries {
            let bytes =
                broker.store().record_at(entry.log_offset).await.unwrap().expect("what a queue offers is there");
            let record = RecordView::parse(&bytes).unwrap();
            all.push(Found {
                body: String::from_utf8(record.body().to_vec()).unwrap(),
                stored_ms: record.store_timestamp(),
                sys_flag: record.sys_flag(),
                prepared_at: record.prepared_transaction_offset(),
                properties: record.properties().to_owned(),
            });
        }
    }
    all
}

pub(crate) async fn bodies(broker: &Broker, topic: &str) -> Vec<String> {
    consume(broker, topic).await.into_iter().map(|found| found.body).collect()
}

pub(crate) async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// A producer says that it is there.
pub(crate) fn heartbeat(broker: &Broker, connection: u64, group: &str) {
    let data = HeartbeatData {
        client_id: format!("client-{connection}"),
        producer_data_set: vec![ProducerData { group_name: group.into() }],
        ..HeartbeatData::default()
    };
    broker.heartbeat(&Heartbeat {
        connection: ConnectionId(connection),
        address: String::new(),
        language: Language::JAVA,
        version: 0,
        data,
    });
}
