//! What waits for a time or for a decision: timers, transactions, popped messages.

use broker::{Broker, COMMIT_BOUNDS_S, Counted, DELAY_BOUNDS_S, TIMER_BOUNDS_S};
use metrics::{Exposition, Kind, Name};

use super::{LOCAL, counts, spreads};

/// Java counts with milliseconds for a unit and divides by a thousand before; names and figures are as it has them.
/// Source: `EndTransactionProcessor`.
const COMMIT_LATENCY: Name<'_> = Name { base: "rocketmq_finish_message_latency", unit: "ms" };

pub(super) fn transactions(out: &mut Exposition<'_>, broker: &Broker) {
    let help = "Half messages that wait for the decision of their producer.";
    out.single("rocketmq_half_messages", Kind::Gauge, help, broker.open_transactions());
    by_topic(out, broker, "rocketmq_commit_messages_total", "Transactions committed.", Counted::Committed, &[]);
    by_topic(out, broker, "rocketmq_rollback_messages_total", "Transactions rolled back.", Counted::RolledBack, &[]);
    let all = spreads(broker, Counted::Committed);
    let all = all.iter().map(|(topic, (counts, sum))| (vec![("topic", topic.as_str())], *counts, *sum as f64));
    let help = "Seconds, in spite of the name, from the birth of a half message to its commit.";
    out.histogram(COMMIT_LATENCY, help, &COMMIT_BOUNDS_S, &all.collect::<Vec<_>>());
}

pub(super) fn timers(out: &mut Exposition<'_>, broker: &Broker) {
    out.single(
        "rocketmq_timing_messages",
        Kind::Gauge,
        "Messages that wait for a time of their own.",
        broker.pending_timers(),
    );
    let help = "Messages stored to wait for a time of their own.";
    by_topic(out, broker, "rocketmq_timer_enqueue_total", help, Counted::Timed, &LOCAL);
    let help = "Messages delivered at a time of their own.";
    by_topic(out, broker, "rocketmq_timer_dequeue_total", help, Counted::Fired, &LOCAL);
    let (late, ahead) = broker.timer_spread();
    let mut gauge = |name: Name<'_>, help: &str, value: u64| {
        out.family(name, Kind::Gauge, help, |family| family.add(&LOCAL, value));
    };
    gauge("rocketmq_timer_dequeue_lag".into(), "Messages whose time has come and that are not delivered yet.", late);
    let late_ms = broker.timer_lag_ms().unsigned_abs();
    gauge(("rocketmq_timer_dequeue_latency", "milliseconds").into(), "How late the next of them is.", late_ms);
    let help = "Messages due from now on, up to this time and after the one before; of a day.";
    out.family("rocketmq_timer_message_snapshot", Kind::Gauge, help, |family| {
        for (bound, count) in TIMER_BOUNDS_S.iter().zip(ahead) {
            let [storage, medium] = LOCAL;
            family.add(&[storage, medium, ("timer_bound_s", &bound.to_string())], count);
        }
    });
    let all = spreads(broker, Counted::Timed);
    let all = all.iter().map(|(topic, (counts, sum))| {
        let [storage, medium] = LOCAL;
        (vec![storage, medium, ("topic", topic.as_str())], *counts, *sum as f64)
    });
    let help = "How long messages are to wait for a time of their own.";
    out.histogram(("rocketmq_delay_message_latency", "seconds"), help, &DELAY_BOUNDS_S, &all.collect::<Vec<_>>());
}

pub(super) fn popped(out: &mut Exposition<'_>, broker: &Broker) {
    let help = "Popped messages that wait for an ack.";
    out.single("rocketmq_pop_checkpoint_buffer_size", Kind::Gauge, help, broker.invisible_messages());
    let help = "How late the next popped message is that was not acked in time.";
    out.single(("rocketmq_pop_revive_latency", "milliseconds"), Kind::Gauge, help, broker.revive_lag_ms());
}

fn by_topic(out: &mut Exposition<'_>, broker: &Broker, name: &str, help: &str, what: Counted, labels: &[(&str, &str)]) {
    out.family(name, Kind::Counter, help, |family| {
        for (topic, count) in &counts(broker, what) {
            let own = [("topic", topic.as_str())];
            family.add(&[labels, &own].concat(), count.messages);
        }
    });
}
