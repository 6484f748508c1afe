//! A disk that fails, seen through the verbs of the broker. The disk is simulated; the settings files are real.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Config, Error, NewMessage, PullRequest, Pulled, Recovery};
use store::io::sim::{Faults, SimDisk};
use store::{Options, SystemClock};
use tempfile::TempDir;
use testkit::Seed;

struct World {
    disk: SimDisk,
    config: TempDir,
    broker: Arc<Broker>,
}

fn open(disk: &SimDisk, config: &Path) -> (Arc<Broker>, Recovery) {
    let options = Options { segment_bytes: 1 << 20, ..Options::new("/store") };
    let config = Config { snapshot_interval: Duration::from_secs(3600), ..Config::new(config.to_owned()) };
    let (broker, recovery) =
        Broker::open_with(Arc::new(disk.clone()), Arc::new(SystemClock), config, options).expect("the broker opens");
    broker.start();
    (broker, recovery)
}

impl World {
    fn new(test: &str) -> World {
        let disk = SimDisk::new(Seed::take(test).0);
        let config = tempfile::tempdir().expect("a directory");
        let (broker, _) = open(&disk, config.path());
        World { disk, config, broker }
    }

    /// Stores a message; the outer error says that it was refused, the inner one that it never became safe.
    async fn send(&self, body: &str) -> Result<Result<i64, store::Error>, Error> {
        let nobody = "127.0.0.1:1".parse().expect("an address");
        let message = NewMessage {
            topic: "T",
            template: "TBW102",
            template_queues: 4,
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: nobody,
            store_host: nobody,
            reconsume_times: 0,
            max_reconsume_times: None,
            unit: false,
            properties: "",
            batch: false,
            body: body.as_bytes(),
        };
        let receipt = self.broker.send(&message)?;
        let safe = self.broker.store().acknowledged().wait(receipt.appended.end).await;
        Ok(safe.map(|()| receipt.appended.queue_offset.0 as i64))
    }

    /// How many messages a new group reads.
    async fn pull(&self, group: &str) -> Pulled {
        let request = PullRequest {
            group,
            topic: "T",
            queue_id: 0,
            offset: 0,
            max_messages: 32,
            commit: None,
            suspend: None,
            filter: Some(broker::FilterText { kind: None, expression: "*" }),
            sub_version: 0,
            lite_topic: None,
        };
        self.broker.begin_pull(&request).expect("the pull is in order").run().await.expect("the queue can be read")
    }

    /// Loses the process and what was not durable.
    async fn crash_and_open(self) -> World {
        self.disk.crash();
        self.broker.stop().await;
        drop(self.broker);
        let (broker, recovery) = open(&self.disk, self.config.path());
        assert!(!recovery.clean);
        World { broker, ..self }
    }
}

async fn fails_for_good(test: &str, faults: Faults) {
    let world = World::new(test);
    for expected in 0..3 {
        assert_eq!(world.send("kept").await.expect("it is taken").expect("it is safe"), expected);
    }
    world.disk.set_faults(faults);
    let doubtful = world.send("doubtful").await.expect("nobody knows yet").expect_err("it is not safe");
    assert!(doubtful.to_string().contains("until it is reopened"), "{doubtful}");
    let refused = world.send("refused").await.expect_err("the log has failed");
    assert!(matches!(refused, Error::Store(store::Error::Failed(_))), "{refused}");
    // Those who read go on, new groups included, and see nothing that was not acknowledged.
    let pulled = world.pull("G").await;
    assert_eq!((pulled.count, pulled.max), (3, 3));
    world.broker.offsets().commit("T", "G", 0, 2);
    assert_eq!(world.broker.offsets().get("T", "G", 0), Some(2));

    // A later success would prove nothing about what failed.
    world.disk.set_faults(Faults::default());
    assert!(world.send("refused").await.is_err());

    let world = world.crash_and_open().await;
    let pulled = world.pull("G").await;
    assert!(pulled.count == 3 || pulled.count == 4, "the doubtful one may be there: {}", pulled.count);
    assert_eq!(world.send("after").await.expect("it is taken").expect("it is safe"), pulled.count as i64);
    world.broker.stop().await;
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_until_the_next_start() {
    fails_for_good("failed sync", Faults { sync: true, ..Faults::default() }).await;
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_acknowledged_until_the_next_start() {
    fails_for_good("failed write", Faults { write: true, ..Faults::default() }).await;
}

#[tokio::test]
async fn short_writes_are_nobodys_business() {
    let world = World::new("short writes");
    world.disk.set_faults(Faults { short_writes: true, ..Faults::default() });
    for expected in 0..200 {
        assert_eq!(world.send("kept").await.expect("it is taken").expect("it is safe"), expected);
    }
    let world = world.crash_and_open().await;
    assert_eq!(world.pull("G").await.max, 200);
    world.broker.stop().await;
}

#[tokio::test]
async fn a_broker_without_room_still_ends() {
    let world = World::new("no room");
    world.send("kept").await.expect("it is taken").expect("it is safe");
    world.disk.set_faults(Faults { full: true, ..Faults::default() });
    let in_doubt = tokio::time::timeout(Duration::from_millis(300), world.send("in doubt")).await;
    assert!(in_doubt.is_err(), "it waits for room");
    let refused = world.send("refused").await.expect_err("there is no room");
    assert!(matches!(refused, Error::Store(store::Error::DiskFull)), "{refused}");
    let stopped = tokio::time::timeout(Duration::from_secs(20), world.broker.stop()).await;
    assert!(stopped.is_ok(), "it ends");
}
