//! What consumers choose to receive, and what producers choose by priority, on a broker with a real store.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Config, Error, FilterText, NewMessage, PullRequest, PullStatus, Pulled, Receipt};
use protocol::body::TopicConfig;
use protocol::properties;
use protocol::record::records;

struct Bench {
    broker: Arc<Broker>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn open(change: impl FnOnce(&mut Config)) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("config"));
        change(&mut config);
        let mut options = store::Options::new(dir.path());
        options.segment_bytes = 64 << 20;
        let (broker, _) = Broker::open(config, options).unwrap();
        broker.topics().put(TopicConfig::new("T", 1)).unwrap();
        broker.topics().put(TopicConfig::new("P", 8)).unwrap();
        Bench { broker, _dir: dir }
    }

    async fn send_to(&self, topic: &str, queue_id: i32, pairs: &[(&str, &str)], body: &[u8]) -> Receipt {
        let mut text = String::new();
        pairs.iter().for_each(|(name, value)| properties::push(&mut text, name, value));
        let host: SocketAddr = "127.0.0.1:10911".parse().unwrap();
        let message = NewMessage {
            topic,
            template: "TBW102",
            template_queues: 4,
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            max_reconsume_times: None,
            unit: false,
            properties: &text,
            batch: false,
            body,
        };
        let receipt = self.broker.send(&message).unwrap();
        self.broker.store().acknowledged().wait(receipt.appended.end).await.unwrap();
        receipt
    }

    async fn send(&self, number: usize) {
        self.send_to("T", 0, &[("n", &number.to_string())], b"body").await;
    }

    async fn pull(&self, offset: i64, max_messages: i32, expression: &str, suspend: Option<Duration>) -> Pulled {
        self.try_pull(offset, max_messages, "SQL92", expression, suspend).await.unwrap()
    }

    async fn try_pull(
        &self,
        offset: i64,
        max_messages: i32,
        kind: &str,
        expression: &str,
        suspend: Option<Duration>,
    ) -> Result<Pulled, Error> {
        let filter = Some(FilterText { kind: Some(kind), expression });
        let request = PullRequest {
            group: "G",
            topic: "T",
            queue_id: 0,
            offset,
            max_messages,
            commit: None,
            suspend,
            filter,
            sub_version: 0,
            lite_topic: None,
        };
        self.broker.begin_pull(&request)?.run().await
    }
}

/// The property `n` of what was pulled.
fn numbers(pulled: &Pulled) -> Vec<usize> {
    let numbers = pulled.records.iter().flat_map(|slice| records(slice).map(Result::unwrap));
    let numbers: Vec<_> = numbers.map(|record| record.property("n").unwrap().parse().unwrap()).collect();
    assert_eq!(numbers.len(), pulled.count);
    numbers
}

#[tokio::test]
async fn what_does_not_match_is_left_out() {
    let bench = Bench::open(|_| {});
    for number in 0..20 {
        bench.send(number).await;
    }
    let pulled = bench.pull(0, 32, "n BETWEEN 3 AND 5 OR n = 7 OR n > 17", None).await;
    assert_eq!((pulled.status, pulled.next, pulled.max), (PullStatus::Found, 20, 20));
    assert_eq!(numbers(&pulled), [3, 4, 5, 7, 18, 19]);
    // As many slices as there are runs of matches: nothing is copied together.
    assert!((3..=6).contains(&pulled.records.len()));

    let pulled = bench.pull(4, 2, "n <> 5", None).await;
    assert_eq!((numbers(&pulled), pulled.next), (vec![4, 6], 7));
    let pulled = bench.pull(2, 32, "n > 100", None).await;
    assert_eq!((pulled.status, pulled.next, pulled.count), (PullStatus::NoMatchedMessage, 20, 0));
    let pulled = bench.pull(20, 32, "n > 100", None).await;
    assert_eq!((pulled.status, pulled.next), (PullStatus::OffsetOverflowOne, 20));
    bench.broker.stop().await;
}

#[tokio::test]
async fn one_pull_examines_a_bounded_number_of_bytes() {
    let bench = Bench::open(|_| {});
    for number in 0..12 {
        bench.send_to("T", 0, &[("n", &number.to_string())], &vec![0; 1 << 20]).await;
    }
    let mut next = 0;
    let mut pulls = 0;
    loop {
        let pulled = bench.pull(next, 32, "n = 11", None).await;
        assert!(pulled.next > next && pulled.next <= next + 5, "{} after {next}", pulled.next);
        (next, pulls) = (pulled.next, pulls + 1);
        if pulled.status == PullStatus::Found {
            assert_eq!((numbers(&pulled), next), (vec![11], 12));
            break;
        }
        assert_eq!(pulled.status, PullStatus::NoMatchedMessage);
    }
    assert!(pulls >= 3);
    bench.broker.stop().await;
}

#[tokio::test]
async fn a_waiting_pull_waits_on_when_what_arrives_does_not_match() {
    let bench = Bench::open(|_| {});
    let pull = bench.pull(0, 32, "n = 2", Some(Duration::from_secs(60)));
    let send = async {
        for number in 0..3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            bench.send(number).await;
        }
    };
    let (pulled, ()) = tokio::join!(pull, send);
    assert_eq!((numbers(&pulled), pulled.next), (vec![2], 3));
    bench.broker.stop().await;
}

#[tokio::test]
async fn bad_filters_are_refused_and_good_ones_too_when_they_are_off() {
    let bench = Bench::open(|_| {});
    let check = |kind, expression| bench.broker.check_filter(FilterText { kind, expression });
    assert!(check(None, "a || b").is_ok());
    assert!(check(Some("SQL92"), "n > 5").is_ok());
    assert!(matches!(check(Some("SQL92"), "n >"), Err(Error::Filter(text)) if text.contains("at character 4")));
    assert!(matches!(check(Some("XPATH"), "n"), Err(Error::Filter(_))));
    assert!(matches!(bench.try_pull(0, 1, "SQL92", "n >", None).await, Err(Error::Filter(_))));

    let config = Config { sql_filter: false, ..Config::clone(&bench.broker.config()) };
    bench.broker.reconfigure(config);
    let refused = bench.try_pull(0, 1, "SQL92", "n > 5", None).await;
    let text = "The broker does not support consumer to filter message by SQL92";
    assert!(matches!(refused, Err(Error::Unsupported(reason)) if reason == text));
    bench.broker.stop().await;
}

#[tokio::test]
async fn a_priority_chooses_the_queue_of_an_ordinary_message_only() {
    let bench = Bench::open(|_| {});
    let cases = [
        ("3", None, 3, true),
        ("0", None, 0, true),
        ("99", None, 7, true),
        ("-1", None, 5, true),
        ("x", None, 5, true),
        ("3", Some((properties::SHARDING_KEY, "k")), 5, false),
        ("3", Some((properties::DELAY, "0")), 5, false),
    ];
    for (priority, other, queue_id, kept) in cases {
        let pairs: Vec<_> = [(properties::PRIORITY, priority)].into_iter().chain(other).collect();
        let receipt = bench.send_to("P", 5, &pairs, b"body").await;
        assert_eq!(receipt.queue_id, queue_id, "{pairs:?}");
        let record = bench.broker.view(receipt.appended.log_offsets[0].0 as i64).await.unwrap();
        let text = records(&record).next().unwrap().unwrap().properties().to_owned();
        assert_eq!(properties::get(&text, properties::PRIORITY).is_some(), kept, "{pairs:?}");
    }
    bench.broker.stop().await;
}

#[tokio::test]
async fn the_trace_topic_is_there_if_it_is_wanted() {
    for wanted in [false, true] {
        let bench = Bench::open(|config| config.trace_topic = wanted);
        let topic = bench.broker.topics().get("RMQ_SYS_TRACE_TOPIC");
        assert_eq!(topic.map(|topic| topic.config().write_queue_nums), wanted.then_some(1));
        // Without it the first client that traces makes it by sending.
        bench.send_to("RMQ_SYS_TRACE_TOPIC", 0, &[], b"trace").await;
        let queues = bench.broker.topics().get("RMQ_SYS_TRACE_TOPIC").unwrap().config().write_queue_nums;
        assert_eq!(queues, if wanted { 1 } else { 4 });
        bench.broker.stop().await;
    }
}
