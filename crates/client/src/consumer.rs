//! Receiving: as a member of a group, or all queues without one.

mod balance;
mod batch;
mod progress;
mod puller;

use std::sync::Arc;

use protocol::body::{ConsumerData, SubscriptionData};
use protocol::name;
use protocol::tag::{TagFilter, java_hash};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use batch::Batch;

use crate::{Client, Error, Received, clock, limits};
use balance::Balancer;

/// Which messages of a topic a consumer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Tags separated by `||`, or `*` for everything.
    Tags(String),
    /// An SQL92 expression over properties; brokers refuse it unless they are configured to evaluate it.
    Sql(String),
}

impl Default for Filter {
    fn default() -> Self {
        Filter::Tags("*".into())
    }
}

impl Filter {
    pub(crate) fn expression(&self) -> &str {
        match self {
            Filter::Tags(expression) | Filter::Sql(expression) => expression,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Filter::Tags(_) => "TAG",
            Filter::Sql(_) => "SQL92",
        }
    }

    /// Whether a message that the broker let pass is wanted indeed: the broker compares hashes of tags only.
    fn wants(&self, message: &Received) -> bool {
        match self {
            Filter::Sql(_) => true,
            Filter::Tags(expression) => match TagFilter::parse(expression) {
                TagFilter::All => true,
                TagFilter::AnyOf(tags) => message.tag().is_some_and(|tag| tags.iter().any(|wanted| wanted == tag)),
            },
        }
    }
}

/// Where a consumer begins in a queue for which its group has no offset yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With what comes from now on.
    #[default]
    Last,
    /// With the oldest message there is.
    First,
    /// With the first message stored at or after this time, in milliseconds since 1970.
    AtMs(i64),
}

/// What a consumer receives, and how.
#[derive(Debug, Clone, Default)]
pub struct ConsumerConfig {
    group: Option<String>,
    subscriptions: Vec<(String, Filter)>,
    start: Start,
    until_end: bool,
}

impl ConsumerConfig {
    /// A member of a group: queues are shared with the other members, Java ones included, and offsets are kept by the
    /// brokers.
    pub fn group(group: impl Into<String>) -> ConsumerConfig {
        ConsumerConfig { group: Some(group.into()), ..ConsumerConfig::default() }
    }

    /// A reader of all queues that leaves no trace at the brokers.
    pub fn all_queues() -> ConsumerConfig {
        ConsumerConfig::default()
    }

    /// The same with a whole topic.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> ConsumerConfig {
        self.filtered(topic, Filter::default())
    }

    /// The same with some messages of a topic. All members of a group should ask for the same.
    #[must_use]
    pub fn filtered(mut self, topic: impl Into<String>, filter: Filter) -> ConsumerConfig {
        self.subscriptions.push((topic.into(), filter));
        self
    }

    /// The same with a place to start.
    #[must_use]
    pub fn start(self, start: Start) -> ConsumerConfig {
        ConsumerConfig { start, ..self }
    }

    /// The same, ending where the queues end now instead of waiting for more. Not for groups, where a member cannot
    /// know what the others have read.
    #[must_use]
    pub fn until_end(self) -> ConsumerConfig {
        ConsumerConfig { until_end: true, ..self }
    }

    fn check(&self) -> Result<(), Error> {
        let invalid = |problem: String| Err(Error::Invalid(problem));
        if self.subscriptions.is_empty() {
            return invalid("a consumer needs a topic".into());
        }
        if self.group.is_some() && self.until_end {
            return invalid("a member of a group cannot stop at the end: it does not know where the others are".into());
        }
        match self.group.as_deref().map(name::check_group) {
            Some(Err(error)) => invalid(error.to_string()),
            _ => Ok(()),
        }
    }

    fn heartbeat_data(&self, group: &str) -> ConsumerData {
        let version = clock::now_ms();
        let subscription = |topic: &str, filter: &Filter| {
            let tags_set = match TagFilter::parse(filter.expression()) {
                TagFilter::AnyOf(tags) if matches!(filter, Filter::Tags(_)) => tags,
                _ => Vec::new(),
            };
            SubscriptionData {
                code_set: tags_set.iter().map(|tag| java_hash(tag)).collect(),
                expression_type: Some(filter.kind().into()),
                sub_string: filter.expression().to_owned(),
                sub_version: version,
                tags_set,
                topic: topic.to_owned(),
                ..SubscriptionData::default()
            }
        };
        let start = match self.start {
            Start::Last => "CONSUME_FROM_LAST_OFFSET",
            Start::First => "CONSUME_FROM_FIRST_OFFSET",
            Start::AtMs(_) => "CONSUME_FROM_TIMESTAMP",
        };
        ConsumerData {
            consume_from_where: Some(start.into()),
            consume_type: Some("CONSUME_PASSIVELY".into()),
            group_name: group.to_owned(),
            subscription_data_set: self
                .subscriptions
                .iter()
                .map(|(topic, filter)| subscription(topic, filter))
                .collect(),
            ..ConsumerData::default()
        }
    }
}

/// Receives messages. Made by [`Client::consumer`].
///
/// Messages are delivered at least once: what was not acknowledged before a member leaves or its queue moves to
/// another member is delivered again. Within a queue, batches come in order.
pub struct Consumer {
    // Before the channel: the tasks must know that they stop when batches nobody took are dropped.
    stop: DropGuard,
    batches: mpsc::Receiver<Batch>,
    task: JoinHandle<()>,
}

impl Client {
    /// Starts to receive.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] for a topic that is not there, [`Error::Invalid`] for a configuration that cannot work.
    pub async fn consumer(&self, mut config: ConsumerConfig) -> Result<Consumer, Error> {
        config.check()?;
        for (topic, _) in &config.subscriptions {
            let route = self.route(topic).await?;
            if route.readable.is_empty() {
                return Err(Error::NoQueue { topic: topic.clone(), wanted: "readable" });
            }
        }
        let changed = Arc::new(Notify::new());
        if let Some(group) = &config.group {
            config.subscriptions.push((name::retry_topic(group), Filter::default()));
            let data = config.heartbeat_data(group);
            self.shared.join(data.clone())?;
            self.shared.listener.watch(data, changed.clone());
            self.shared.heartbeat().await;
        }
        let stop = CancellationToken::new();
        let (deliver, batches) = mpsc::channel(limits::BATCHES_MAX);
        let balancer = Balancer::new(self.clone(), config, changed, deliver, stop.clone());
        Ok(Consumer { stop: stop.drop_guard(), batches, task: tokio::spawn(balancer.run()) })
    }
}

impl Consumer {
    /// The next batch, all from one queue. `None` when there will be no more, which only happens to a consumer that
    /// ends where the queues end. May be dropped at any time without losing a batch.
    pub async fn recv(&mut self) -> Option<Batch> {
        loop {
            let batch = self.batches.recv().await?;
            if batch.is_current() {
                return Some(batch);
            }
        }
    }

    /// Stops receiving, commits the offsets and leaves the group. What was not acknowledged by now comes again.
    pub async fn close(self) {
        let Consumer { stop, batches, task } = self;
        drop(stop);
        // A panic of the task was reported when it happened.
        let _ = task.await;
        drop(batches);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::sample;

    #[track_caller]
    fn check(filter: &str, wanted: bool) {
        assert_eq!(Filter::Tags(filter.into()).wants(&sample()), wanted, "{filter}");
    }

    #[test]
    fn tags_are_compared_as_text() {
        check("*", true);
        check("", true);
        check("a", true);
        check("b || a", true);
        check("b", false);
        check("aa", false);
    }

    #[test]
    fn heartbeats_name_tags_and_their_hashes() {
        let config = ConsumerConfig::group("G").filtered("T", Filter::Tags("a || bc".into())).start(Start::First);
        let data = config.heartbeat_data("G");
        assert_eq!(data.consume_from_where.as_deref(), Some("CONSUME_FROM_FIRST_OFFSET"));
        assert_eq!(data.subscription_data_set[0].tags_set, ["a", "bc"]);
        assert_eq!(data.subscription_data_set[0].code_set, [97, 3137]);

        let sql = ConsumerConfig::group("G").filtered("T", Filter::Sql("a > 1 || b".into())).heartbeat_data("G");
        assert_eq!(sql.subscription_data_set[0].expression_type.as_deref(), Some("SQL92"));
        assert!(sql.subscription_data_set[0].tags_set.is_empty());
    }

    #[test]
    fn configurations_that_cannot_work_are_refused() {
        assert!(ConsumerConfig::group("G").topic("T").check().is_ok());
        assert!(ConsumerConfig::group("G").check().is_err());
        assert!(ConsumerConfig::group("bad group").topic("T").check().is_err());
        assert!(ConsumerConfig::group("G").topic("T").until_end().check().is_err());
        assert!(ConsumerConfig::all_queues().topic("T").until_end().check().is_ok());
    }
}
