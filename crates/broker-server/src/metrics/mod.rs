//! Metrics of a broker under RocketMQ 5's names, collected when somebody asks.
//!
//! Source: RocketMQ 5.5.0, `BrokerMetricsConstant`, `DefaultStoreMetricsConstant`; the names on the wire are those of
//! its Prometheus exporter, checked against a running one. Nothing is counted for metrics alone: everything comes from
//! counters and tables that exist anyway.

mod age;
mod later;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker::{Broker, Count, Counted, Lag, MESSAGE_TYPE, SIZE_BOUNDS, Spread};
use metrics::{Collected, Exposition, Kind, Name, Source, Value};
use parking_lot::Mutex;
use protocol::{name, peer};

use crate::service::Context;
use age::Ages;

/// What the port of metrics and health answers from.
pub(crate) struct Monitor {
    context: Arc<Context>,
    /// Set once name servers know of this broker, and taken back when it stops.
    serving: AtomicBool,
    ages: Mutex<Ages>,
}

impl Monitor {
    pub(crate) fn new(context: Arc<Context>) -> Monitor {
        Monitor { context, serving: AtomicBool::new(false), ages: Mutex::default() }
    }

    pub(crate) fn set_serving(&self, serving: bool) {
        self.serving.store(serving, Ordering::Relaxed);
    }
}

impl Source for Monitor {
    // Source: `BrokerMetricsConstant.OPEN_TELEMETRY_METER_NAME`.
    const SCOPE: &'static str = "broker-meter";

    fn settings(&self) -> metrics::Settings {
        self.context.metrics.read().clone()
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        let settings = self.context.settings.read();
        vec![
            ("cluster", settings.cluster_name.clone()),
            ("node_type", "broker".into()),
            ("node_id", settings.broker_name.clone()),
        ]
    }

    fn ill(&self) -> Option<String> {
        self.context.broker.store().failure().map(|failure| failure.to_string())
    }

    fn not_ready(&self) -> Option<String> {
        if !self.serving.load(Ordering::Relaxed) {
            return Some("starting or stopping".into());
        }
        self.ill().or_else(|| {
            let used = self.context.broker.store().usage().ok()?.space.used_ratio() * 100.0;
            let most = self.context.settings.read().disk_warning;
            (used > f64::from(most))
                .then(|| format!("the disk is {used:.0} % full, messages are refused above {most} %"))
        })
    }

    async fn collect(self: &Arc<Self>) -> Collected {
        let broker = self.context.broker.clone();
        let lags = tokio::task::spawn_blocking(move || sorted_lags(&broker)).await.unwrap_or_default();
        let mut ages = std::mem::take(&mut *self.ages.lock());
        let latencies = ages.of(&self.context.broker, &lags).await;
        *self.ages.lock() = ages;
        let (log_min, _) = self.context.broker.store().log_range();
        let first = self.context.broker.store().record_at(log_min).await.ok().flatten();
        let oldest_ms = first.and_then(|record| protocol::record::store_timestamp(&record));
        let monitor = self.clone();
        Box::new(move |out| {
            let broker = &monitor.context.broker;
            tables(out, broker);
            messages_in(out, broker);
            sizes(out, broker);
            monitor.context.latencies.show(out);
            by_group(out, broker);
            behind(out, broker, &lags, &latencies);
            connections(out, broker);
            store(out, broker, oldest_ms);
            later::timers(out, broker);
            later::transactions(out, broker);
            later::popped(out, broker);
        })
    }
}

fn sorted_lags(broker: &Broker) -> Vec<Lag> {
    let mut lags = broker.lags();
    // What is beyond the limit of series must be the same each time.
    lags.sort_unstable_by(|one, other| (&one.topic, &one.group).cmp(&(&other.topic, &other.group)));
    lags
}

fn tables(out: &mut Exposition<'_>, broker: &Broker) {
    let permission = u64::from(broker.config().permission.unsigned_abs());
    out.single("rocketmq_broker_permission", Kind::Gauge, "What topics allow: 4 reading, 2 writing.", permission);
    out.single("rocketmq_topic_number", Kind::Gauge, "Topics, those of the system included.", broker.topics().len());
    let groups = broker.groups().names().len();
    out.single("rocketmq_consumer_group_number", Kind::Gauge, "Consumer groups, those of the system included.", groups);
}

/// Counts since the start, in the order of their names.
fn counts(broker: &Broker, what: Counted) -> BTreeMap<String, Count> {
    let mut counts = BTreeMap::new();
    broker.stats().each(what, |name, count| {
        counts.insert(name.to_owned(), count);
    });
    counts
}

/// How what was counted spreads, and its sum, in the order of the topics.
fn spreads(broker: &Broker, what: Counted) -> BTreeMap<String, (Spread, u64)> {
    let mut spreads = BTreeMap::new();
    broker.stats().each_spread(what, |topic, spread, sum| {
        spreads.insert(topic.to_owned(), (spread, sum));
    });
    spreads
}

fn messages_in(out: &mut Exposition<'_>, broker: &Broker) {
    let counts = counts(broker, Counted::Put);
    let kinds: BTreeMap<&str, String> =
        counts.keys().map(|topic| (topic.as_str(), message_type(broker, topic))).collect();
    let mut family = |name: &str, help: &str, of: fn(Count) -> u64| {
        out.family(name, Kind::Counter, help, |family| {
            for (topic, count) in &counts {
                let is_system = truth(broker.is_system_topic(topic));
                let labels =
                    [("topic", topic.as_str()), ("message_type", &kinds[topic.as_str()]), ("is_system", is_system)];
                family.add(&labels, of(*count));
            }
        });
    };
    family("rocketmq_messages_in_total", "Messages stored, by the type their topic is declared to have.", |count| {
        count.messages
    });
    family("rocketmq_throughput_in_total", "Bytes of records stored.", |count| count.bytes);
}

fn sizes(out: &mut Exposition<'_>, broker: &Broker) {
    let topics = spreads(broker, Counted::Put);
    let kinds: Vec<String> = topics.keys().map(|topic| message_type(broker, topic)).collect();
    let all = topics.iter().zip(&kinds).map(|((topic, (sizes, bytes)), kind)| {
        let is_system = truth(broker.is_system_topic(topic));
        (
            vec![("topic", topic.as_str()), ("message_type", kind.as_str()), ("is_system", is_system)],
            *sizes,
            *bytes as f64,
        )
    });
    let all = all.collect::<Vec<_>>();
    out.histogram("rocketmq_message_size", "Sizes of the records stored, of a batch the mean.", &SIZE_BOUNDS, &all);
}

/// Java labels each message with its own type, here it is what the topic declares. Source: `TopicMessageType`.
fn message_type(broker: &Broker, topic: &str) -> String {
    let declared = broker.topics().get(topic).and_then(|topic| topic.config().attributes.get(MESSAGE_TYPE).cloned());
    declared.map_or_else(|| "unspecified".into(), |declared| declared.to_lowercase())
}

fn by_group(out: &mut Exposition<'_>, broker: &Broker) {
    let delivered = counts(broker, Counted::Get);
    let dead = counts(broker, Counted::Dead);
    let mut family = |name: &str, help: &str, counts: &BTreeMap<String, Count>, of: fn(Count) -> u64| {
        out.family(name, Kind::Counter, help, |family| {
            for (key, count) in counts {
                // Names of topics have no "@".
                let (topic, group) = key.split_once('@').unwrap_or((key, ""));
                let system = truth(broker.is_system_topic(topic) || name::SYSTEM_GROUPS.contains(&group));
                let retry = truth(topic.starts_with(name::RETRY_PREFIX));
                let labels = [("topic", topic), ("consumer_group", group), ("is_retry", retry), ("is_system", system)];
                family.add(&labels, of(*count));
            }
        });
    };
    family("rocketmq_messages_out_total", "Messages delivered to consumers.", &delivered, |count| count.messages);
    family("rocketmq_throughput_out_total", "Bytes of records delivered to consumers.", &delivered, |count| {
        count.bytes
    });
    family("rocketmq_send_to_dlq_messages_total", "Messages set aside as dead letters.", &dead, |count| count.messages);
}

fn behind(out: &mut Exposition<'_>, broker: &Broker, lags: &[Lag], latencies: &[Option<i64>]) {
    // In the order of topics and groups.
    let in_flight = broker.in_flight();
    let popping = popping_groups(broker);
    // A pop moves the offset, so what is in flight comes on top of what the offset says. Others have in hand what only
    // their members know.
    let count = |lag: &Lag| {
        let found = in_flight.binary_search_by(|(topic, group, _)| (topic, group).cmp(&(&lag.topic, &lag.group)));
        found.map_or(0, |at| in_flight[at].2)
    };
    let popped: Vec<u64> = lags.iter().map(count).collect();
    let mut family = |name: Name<'_>, help: &str, of: &dyn Fn(usize) -> Option<Value>| {
        out.family(name, Kind::Gauge, help, |family| {
            for (at, lag) in lags.iter().enumerate() {
                let Some(value) = of(at) else { continue };
                let system = truth(broker.is_system_topic(&lag.topic) || name::SYSTEM_GROUPS.contains(&&*lag.group));
                let retry = truth(lag.topic.starts_with(name::RETRY_PREFIX));
                let labels = [
                    ("topic", &*lag.topic),
                    ("consumer_group", &*lag.group),
                    ("is_retry", retry),
                    ("is_system", system),
                ];
                family.add(&labels, value);
            }
        });
    };
    let help = "Messages a group has not consumed yet.";
    family("rocketmq_consumer_lag_messages".into(), help, &|at| Some((lags[at].messages + popped[at]).into()));
    let help = "Messages that nobody has popped yet, for groups that pop.";
    let pops = |at: usize| popped[at] > 0 || popping.contains(&lags[at].group);
    family("rocketmq_consumer_ready_messages".into(), help, &|at| pops(at).then(|| lags[at].messages.into()));
    let help = "Popped messages that wait for an ack.";
    family("rocketmq_consumer_inflight_messages".into(), help, &|at| pops(at).then(|| popped[at].into()));
    let help = "Age of the oldest message a group has not consumed yet, in milliseconds.";
    family(("rocketmq_consumer_lag_latency", "milliseconds").into(), help, &|at| latencies[at].map(Value::from));
    let help = "Age of the oldest message a group has not consumed yet.";
    family("rocketmq_consumer_lag_seconds".into(), help, &|at| latencies[at].map(|ms| (ms as f64 / 1000.0).into()));
}

/// Groups whose members that are online pop.
fn popping_groups(broker: &Broker) -> BTreeSet<String> {
    let sessions = broker.sessions();
    let pops = |group: &String| {
        sessions
            .consumer_connection(group)
            .is_some_and(|members| members.consume_type.as_deref() == Some("CONSUME_POP"))
    };
    sessions.consumer_groups().into_iter().filter(pops).collect()
}

fn connections(out: &mut Exposition<'_>, broker: &Broker) {
    let lower = |language: peer::Language| language.name().unwrap_or("OTHER").to_lowercase();
    let mut producers = BTreeMap::<(String, String), u64>::new();
    let mut seen = BTreeSet::new();
    for producer in broker.sessions().all_producers().into_values().flatten() {
        // A client that is in several groups has one connection.
        if seen.insert(producer.remote_ip) {
            let version = peer::version_name(producer.version).to_lowercase();
            *producers.entry((lower(producer.language), version)).or_default() += 1;
        }
    }
    let name = "rocketmq_producer_connections";
    out.family(name, Kind::Gauge, "Connections of producers.", |family| {
        for ((language, version), count) in &producers {
            let labels = [("language", language.as_str()), ("version", version), ("protocol_type", "remoting")];
            family.add(&labels, *count);
        }
    });
    let mut groups = broker.sessions().consumer_groups();
    groups.sort_unstable();
    let name = "rocketmq_consumer_connections";
    out.family(name, Kind::Gauge, "Connections of consumers, by group.", |family| {
        for group in &groups {
            let Some(consumer) = broker.sessions().consumer_connection(group) else { continue };
            let mut counts = BTreeMap::<(String, String), u64>::new();
            for connection in &consumer.connection_set {
                let version = peer::version_name(connection.version).to_lowercase();
                *counts.entry((lower(connection.language), version)).or_default() += 1;
            }
            // Source: `ConsumeType.getTypeCN`.
            let mode = match consumer.consume_type.as_deref() {
                Some("CONSUME_ACTIVELY") => "pull",
                Some("CONSUME_POP") => "pop",
                _ => "push",
            };
            let system = truth(name::SYSTEM_GROUPS.contains(&group.as_str()));
            for ((language, version), count) in &counts {
                let labels = [
                    ("consumer_group", group.as_str()),
                    ("language", language),
                    ("version", version),
                    ("consume_mode", mode),
                    ("protocol_type", "remoting"),
                    ("is_system", system),
                ];
                family.add(&labels, *count);
            }
        }
    });
}

/// Where the log is. Source: `DefaultStoreMetricsManager.newAttributesBuilder`.
const LOCAL: [(&str, &str); 2] = [("storage_type", "local"), ("storage_medium", "disk")];

fn store(out: &mut Exposition<'_>, broker: &Broker, oldest_ms: Option<i64>) {
    let store = broker.store();
    let mut gauge = |name: Name<'_>, help: &str, value: Value| {
        out.family(name, Kind::Gauge, help, |family| family.add(&LOCAL, value));
    };
    let (min, max) = store.log_range();
    gauge(("rocketmq_storage_size", "bytes").into(), "Bytes of messages that are kept.", (max.0 - min.0).into());
    let unflushed = store.appended().0.saturating_sub(store.flushed().get().0);
    gauge(("rocketmq_storage_flush_behind", "bytes").into(), "Bytes that are not on the disk yet.", unflushed.into());
    let unseen = store.appended().0.saturating_sub(store.visible().0);
    gauge(("rocketmq_storage_dispatch_behind", "bytes").into(), "Bytes that consumers do not see yet.", unseen.into());
    let kept_ms = oldest_ms.map_or(0, |oldest_ms| broker.now_ms() - oldest_ms);
    let help = "Age of the oldest message that is kept.";
    gauge(("rocketmq_storage_message_reserve_time", "milliseconds").into(), help, kept_ms.into());
    if let Ok(usage) = store.usage() {
        let help = "Share of the disk that is in use, 0 to 1.";
        gauge("rocketmq_storage_disk_used_ratio".into(), help, usage.space.used_ratio().into());
    }
    let stats = store.stats();
    out.single("rocketmq_storage_syncs_total", Kind::Counter, "Syncs of the log.", stats.syncs);
    let help = "Time that syncs of the log took.";
    out.single("rocketmq_storage_sync_seconds_total", Kind::Counter, help, stats.sync_time.as_secs_f64());
    let help = "Reads that had to wait for the disk.";
    out.single("rocketmq_storage_cold_reads_total", Kind::Counter, help, stats.cold_reads);
    let failed = u64::from(store.failure().is_some());
    out.single("rocketmq_storage_failed", Kind::Gauge, "1 when the log takes no more records.", failed);
}

fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
