//! The settings that a client is told: its own, with what the server decides laid over them.
//!
//! Source: `GrpcClientSettingsManager.mergeProducerData`, `mergeSubscriptionData`.

use std::time::Duration;

use protocol::body::GroupConfig;
use serde::Deserialize;

use crate::limits::RECEIVE_MESSAGES_MAX;
use crate::lite;
use crate::v2::retry_policy::Strategy;
use crate::v2::settings::PubSub;
use crate::v2::{CustomizedBackoff, ExponentialBackoff, Metric, RetryPolicy, Settings};
use crate::validate::LITE_TOPIC_BYTES_MAX;

/// Source: `grpcClientProducerMaxAttempts`.
const PRODUCER_ATTEMPTS: i32 = 3;
/// Source: `grpcClientProducerBackoffInitialMillis`, `MaxMillis`, `Multiplier`.
const PRODUCER_BACKOFF: (Duration, Duration, f32) = (Duration::from_millis(10), Duration::from_secs(1), 2.0);
/// Source: `grpcClientConsumerMaxLongPollingTimeoutMillis`.
const LONG_POLLING: Duration = Duration::from_secs(20);

/// What a client that said this is told. `group` is that of a consumer.
pub(crate) fn agreed(
    said: &Settings,
    group: &GroupConfig,
    message_bytes_max: usize,
    check_message_type: bool,
) -> Settings {
    let mut settings = said.clone();
    // Clients collect figures only where there is somebody to take them.
    settings.metric = Some(Metric { on: false, endpoints: None });
    match &mut settings.pub_sub {
        Some(PubSub::Publishing(publishing)) => {
            publishing.max_body_size = i32::try_from(message_bytes_max).unwrap_or(i32::MAX);
            publishing.validate_message_type = check_message_type;
            let (initial, max, multiplier) = PRODUCER_BACKOFF;
            settings.backoff_policy = Some(RetryPolicy {
                max_attempts: PRODUCER_ATTEMPTS,
                strategy: Some(exponential(initial, max, multiplier)),
            });
        }
        Some(PubSub::Subscription(subscription)) => {
            // A lite topic is consumed in order, whatever the group says of others.
            subscription.fifo = Some(group.consume_message_orderly || lite::parent(group).is_some());
            subscription.receive_batch_size = Some(RECEIVE_MESSAGES_MAX);
            subscription.long_polling_timeout = Some(proto(LONG_POLLING));
            subscription.lite_subscription_quota = Some(lite::quota(group));
            subscription.max_lite_topic_size = Some(LITE_TOPIC_BYTES_MAX as i32);
            settings.backoff_policy =
                Some(RetryPolicy { max_attempts: max_attempts(group), strategy: Some(Backoff::of(group).strategy()) });
        }
        None => {}
    }
    settings
}

/// Deliveries of a message until it is a dead letter.
pub(crate) fn max_attempts(group: &GroupConfig) -> i32 {
    group.retry_max_times.saturating_add(1)
}

/// A duration in the protocol's form.
pub(crate) fn proto(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos() as i32,
    }
}

fn exponential(initial: Duration, max: Duration, multiplier: f32) -> Strategy {
    Strategy::ExponentialBackoff(ExponentialBackoff {
        initial: Some(proto(initial)),
        max: Some(proto(max)),
        multiplier,
    })
}

/// How long a group waits before a message is delivered again.
#[derive(Debug, PartialEq)]
pub(crate) enum Backoff {
    Exponential { initial: Duration, max: Duration, multiplier: f32 },
    Customized(Vec<Duration>),
}

/// The member `groupRetryPolicy` of a group's settings. Source: `GroupRetryPolicy`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Policy {
    r#type: Option<String>,
    exponential_retry_policy: Option<Exponential>,
    customized_retry_policy: Option<Customized>,
}

/// Source: `ExponentialRetryPolicy`.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Exponential {
    initial: u64,
    max: u64,
    multiplier: u64,
}

impl Default for Exponential {
    fn default() -> Self {
        Exponential { initial: 5000, max: 7_200_000, multiplier: 2 }
    }
}

/// Source: `CustomizedRetryPolicy`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Customized {
    next: Vec<u64>,
}

/// Seconds between two deliveries, of a group that says nothing. Source: `CustomizedRetryPolicy.next`.
const DEFAULT_SECONDS: [u64; 18] =
    [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

impl Backoff {
    pub(crate) fn of(group: &GroupConfig) -> Backoff {
        // A policy that makes no sense counts as none: it must not keep clients from starting.
        let policy: Policy = serde_json::from_value(group.group_retry_policy.clone()).unwrap_or_default();
        if policy.r#type.as_deref() == Some("EXPONENTIAL") {
            let Exponential { initial, max, multiplier } = policy.exponential_retry_policy.unwrap_or_default();
            let (initial, max) = (Duration::from_millis(initial), Duration::from_millis(max));
            return Backoff::Exponential { initial, max, multiplier: multiplier as f32 };
        }
        let next = policy.customized_retry_policy.unwrap_or_default().next;
        Backoff::Customized(match next.is_empty() {
            true => DEFAULT_SECONDS.map(Duration::from_secs).to_vec(),
            false => next.into_iter().map(Duration::from_millis).collect(),
        })
    }

    fn strategy(self) -> Strategy {
        match self {
            Backoff::Exponential { initial, max, multiplier } => exponential(initial, max, multiplier),
            Backoff::Customized(next) => {
                Strategy::CustomizedBackoff(CustomizedBackoff { next: next.into_iter().map(proto).collect() })
            }
        }
    }

    /// The pause after a message was delivered `deliveries` times before. Source:
    /// `CustomizedRetryPolicy.nextDelayDuration`, `ExponentialRetryPolicy.nextDelayDuration`.
    pub(crate) fn pause(&self, deliveries: i32) -> Duration {
        let deliveries = deliveries.max(0);
        match self {
            // Java skips the first two: the levels of older clients begin at ten seconds.
            Backoff::Customized(next) => {
                let at = (deliveries as usize + 2).min(next.len().saturating_sub(1));
                next.get(at).copied().unwrap_or_default()
            }
            Backoff::Exponential { initial, max, multiplier } => {
                let factor = f64::from(*multiplier).powi(deliveries.min(32));
                Duration::try_from_secs_f64(initial.as_secs_f64() * factor).map_or(*max, |pause| pause.min(*max))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(policy: serde_json::Value) -> GroupConfig {
        GroupConfig { group_retry_policy: policy, ..GroupConfig::default() }
    }

    #[test]
    fn retry_policies_are_read() {
        let seconds = |backoff: Backoff| match backoff {
            Backoff::Customized(next) => next.iter().map(Duration::as_secs).collect::<Vec<_>>(),
            Backoff::Exponential { .. } => panic!("{backoff:?}"),
        };
        assert_eq!(seconds(Backoff::of(&GroupConfig::default())), DEFAULT_SECONDS);
        assert_eq!(seconds(Backoff::of(&group(json!(null)))), DEFAULT_SECONDS);
        let own = json!({"type": "CUSTOMIZED", "customizedRetryPolicy": {"next": [1000, 3000]}});
        assert_eq!(seconds(Backoff::of(&group(own))), [1, 3]);
        let exponential = json!({"type": "EXPONENTIAL", "exponentialRetryPolicy": {"initial": 100, "max": 900}});
        let (initial, max) = (Duration::from_millis(100), Duration::from_millis(900));
        assert_eq!(Backoff::of(&group(exponential)), Backoff::Exponential { initial, max, multiplier: 2.0 });
    }

    #[test]
    fn pauses_grow_and_end() {
        let customized = Backoff::of(&GroupConfig::default());
        assert_eq!([0, 1, 99].map(|times| customized.pause(times).as_secs()), [10, 30, 7200]);
        let (initial, max) = (Duration::from_secs(5), Duration::from_secs(60));
        let exponential = Backoff::Exponential { initial, max, multiplier: 2.0 };
        assert_eq!([0, 1, 2, 99].map(|times| exponential.pause(times).as_secs()), [5, 10, 20, 60]);
        assert_eq!(Backoff::Customized(Vec::new()).pause(3), Duration::ZERO);
    }
}
