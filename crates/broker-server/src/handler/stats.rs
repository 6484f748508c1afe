//! Figures.

use std::collections::BTreeMap;

use broker::{Counted, Rates};
use protocol::body::{ConsumeTimeSpans, QueueTimeSpan};
use protocol::json::Keyed;
use protocol::peer::{VERSION, version_name};
use protocol::request::{
    BrokerConsumeStatsHeader, GetConsumeStatsHeader, GroupTopicHeader, TopicHeader, ViewBrokerStatsHeader,
};
use protocol::{code, json, name};
use remoting::Response;
use serde_json::json;

use crate::code::{Outcome, Refusal};
use crate::table::Call;

pub(crate) async fn topic(call: Call) -> Outcome {
    let header: TopicHeader<'_> = call.frame.header()?;
    let stats = call.broker().topic_stats(header.topic).await?;
    Ok(Response::ok().with_body(stats.to_body()))
}

pub(crate) async fn consume(call: Call) -> Outcome {
    let header: GetConsumeStatsHeader<'_> = call.frame.header()?;
    let one = header.topic.filter(|topic| !topic.is_empty());
    let list = header.topic_list.unwrap_or_default().split(';').filter(|topic| !topic.is_empty());
    let topics: Vec<_> = one.into_iter().chain(list).collect();
    let stats = call.broker().consume_stats(header.consumer_group, &topics).await?;
    Ok(Response::ok().with_body(stats.to_body()))
}

/// How far every group is in every topic it consumes. Source: `AdminBrokerProcessor.fetchAllConsumeStatsInBroker`.
pub(crate) async fn consume_of_all(call: Call) -> Outcome {
    let header: BrokerConsumeStatsHeader = call.frame.header()?;
    let broker = call.broker();
    let mut list = Keyed::default();
    let mut total_diff = 0;
    for group in broker.groups().names() {
        let mut stats_of_group = Vec::new();
        for topic in broker.topics_of_group(&group) {
            let ordered = broker.topics().get(&topic).is_some_and(|topic| topic.config().order);
            if header.is_order && !ordered {
                continue;
            }
            let stats = broker.consume_stats(&group, &[&topic]).await?;
            total_diff +=
                stats.offsets.values().map(|offset| offset.broker_offset - offset.consumer_offset).sum::<i64>();
            stats_of_group.push(stats.to_body());
        }
        if !stats_of_group.is_empty() {
            list.raw_entry(&group, &format!("[{}]", stats_of_group.join(",")));
        }
    }
    // Java has one map of one group in each item; tools read all of them alike.
    let body = format!(
        "{{\"brokerAddr\":\"{}\",\"consumeStatsList\":[{}],\"totalDiff\":{total_diff},\"totalInflightDiff\":0}}",
        call.context.store_host(&call.peer),
        list.finish()
    );
    Ok(Response::ok().with_body(body))
}

pub(crate) async fn time_span(call: Call) -> Outcome {
    let header: GroupTopicHeader<'_> = call.frame.header()?;
    let broker = call.broker();
    let topic = broker.topics().require(header.topic)?;
    let mut spans = ConsumeTimeSpans::default();
    for queue_id in 0..topic.config().read_queue_nums {
        let (min, max) = broker.queue_range(header.topic, queue_id);
        let consumed = broker.offsets().get(header.topic, header.group, queue_id);
        let time_at = async |offset: i64| -> Result<i64, broker::Error> {
            Ok(broker.store_time(header.topic, queue_id, offset).await?.unwrap_or(0))
        };
        let consumed_at = match consumed {
            Some(offset) if offset > 0 => time_at(offset - 1).await?,
            _ => time_at(min).await?,
        };
        let behind = consumed.unwrap_or(min) < max;
        spans.consume_time_span_set.push(QueueTimeSpan {
            consume_time_stamp: consumed_at,
            delay_time: if behind { broker.now_ms() - consumed_at } else { 0 },
            max_time_stamp: time_at(max - 1).await?,
            message_queue: broker.message_queue(header.topic, queue_id),
            min_time_stamp: time_at(min).await?,
        });
    }
    Ok(Response::ok().with_body(json::to_vec(&spans)))
}

/// Tools parse several of these as numbers without looking whether they are there, so all of Java's are.
pub(crate) async fn runtime_info(call: Call) -> Outcome {
    let context = &call.context;
    let broker = call.broker();
    let store = broker.store();
    let now = broker.now_ms();
    let (log_min, log_max) = store.log_range();
    let usage = store.usage()?;
    let used = usage.space.used_ratio();
    let [put, get] = broker.stats().totals();
    let get_rates = rates(broker.stats().get_rates());
    let flush_behind = store.appended().0 - store.flushed().get().0;
    let first = store.record_at(log_min).await?;
    let earliest = first.and_then(|record| protocol::record::store_timestamp(&record)).unwrap_or(-1);
    let uptime = std::time::Duration::from_secs(((now - context.started_ms) / 1000).max(0) as u64);

    let mut table = BTreeMap::<String, String>::new();
    let mut put_key = |key: &str, value: String| table.insert(key.to_owned(), value);
    put_key("bootTimestamp", context.started_ms.to_string());
    put_key("runtime", runtime_text(uptime.as_secs()));
    put_key("brokerVersionDesc", version_name(VERSION));
    put_key("brokerActive", "true".into());
    put_key("putMessageTimesTotal", put.messages.to_string());
    put_key("putMessageSizeTotal", put.bytes.to_string());
    put_key("putMessageAverageSize", format!("{:.1}", put.bytes as f64 / put.messages.max(1) as f64));
    put_key("putTps", rates(broker.stats().put_rates()));
    for key in ["getFoundTps", "getTotalTps", "getTransferredTps"] {
        put_key(key, get_rates.clone());
    }
    put_key("getMissTps", rates(Rates::default()));
    put_key("msgPutTotalTodayNow", put.messages.to_string());
    put_key("msgGetTotalTodayNow", get.messages.to_string());
    put_key("commitLogMinOffset", log_min.0.to_string());
    put_key("commitLogMaxOffset", log_max.0.to_string());
    put_key("commitLogDiskRatio", used.to_string());
    put_key("consumeQueueDiskRatio", used.to_string());
    put_key("remainHowManyDataToFlush", bytes_text(flush_behind));
    put_key("earliestMessageTimeStamp", earliest.to_string());
    put_key("startAcceptSendRequestTimeStamp", "0".into());
    let dir = format!("Total : {}, Free : {}.", bytes_text(usage.space.total), bytes_text(usage.space.available));
    put_key("commitLogDirCapacity", dir);
    // Figures of parts that this broker does not have: nothing waits there.
    for key in [
        "putMessageEntireTimeMax",
        "putMessageFailedTimes",
        "dispatchMaxBuffer",
        "getMessageEntireTimeMax",
        "putLatency99",
        "putLatency999",
        "msgPutTotalYesterdayMorning",
        "msgPutTotalTodayMorning",
        "msgGetTotalYesterdayMorning",
        "msgGetTotalTodayMorning",
        "dispatchBehindBytes",
        "pageCacheLockTimeMills",
        "timerOffsetBehind",
        "remainTransientStoreBufferNumbs",
        "remainHowManyDataToCommit",
        "EndTransactionQueueSize",
        "EndTransactionThreadPoolQueueCapacity",
    ] {
        put_key(key, "0".into());
    }
    put_key("timerReadBehind", (broker.timer_lag_ms() / 1000).to_string());
    put_key("timerCongestNum", broker.pending_timers().to_string());
    for key in ["timerEnqueueTps", "timerDequeueTps"] {
        put_key(key, "0.0".into());
    }
    put_key("putMessageDistributeTime", String::new());
    for pool in ["send", "pull", "litePull", "query", "ack"] {
        put_key(&format!("{pool}ThreadPoolQueueSize"), "0".into());
        put_key(&format!("{pool}ThreadPoolQueueCapacity"), "100000".into());
        put_key(&format!("{pool}ThreadPoolQueueHeadWaitTimeMills"), "0".into());
    }
    for (level, offset) in broker.delay_offsets().offset_table {
        let (_, max) = broker.queue_range(name::SCHEDULE_TOPIC, level - 1);
        put_key(&format!("scheduleMessageOffset_{level}"), format!("{offset},{max}"));
    }
    Ok(Response::ok().with_body(json!({ "table": table }).to_string()))
}

fn rates(Rates(rates): Rates) -> String {
    rates.map(|rate| rate.to_string()).join(" ")
}

fn runtime_text(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60 % 60, seconds / 3600 % 24, seconds / 86_400);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {} seconds ]", seconds % 60)
}

fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// What happened in the last minute, hour and day, by the names of Java's tables of figures.
///
/// Source: `AdminBrokerProcessor.ViewBrokerStatsData`, `BrokerStatsManager`. `avgpt` is the mean of a request
/// there; requests are not counted here, so it is 0.
pub(crate) fn view(call: &Call) -> Outcome {
    let header: ViewBrokerStatsHeader<'_> = call.frame.header()?;
    let stats = call.broker().stats();
    let missing = || {
        let remark = format!("The stats <{}> <{}> not exist", header.stats_name, header.stats_key);
        Refusal::new(code::SYSTEM_ERROR, remark)
    };
    let [put, get] = stats.broker_windows();
    let of = |what, bytes| stats.windows(what, header.stats_key, bytes);
    let windows = match header.stats_name {
        "TOPIC_PUT_NUMS" => of(Counted::Put, false),
        "TOPIC_PUT_SIZE" => of(Counted::Put, true),
        "GROUP_GET_NUMS" => of(Counted::Get, false),
        "GROUP_GET_SIZE" => of(Counted::Get, true),
        "SNDBCK_PUT_NUMS" => of(Counted::GivenBack, false),
        "DLQ_PUT_NUMS" => of(Counted::Dead, false),
        "BROKER_PUT_NUMS" => Some(put),
        "BROKER_GET_NUMS" => Some(get),
        _ => None,
    };
    let [minute, hour, day] =
        windows.ok_or_else(missing)?.map(|window| json!({ "avgpt": 0.0, "sum": window.sum, "tps": window.per_second }));
    let body = json!({ "statsDay": day, "statsHour": hour, "statsMinute": minute });
    Ok(Response::ok().with_body(body.to_string()))
}

/// A master without replicas.
pub(crate) fn ha_status(call: &Call) -> Outcome {
    let body = json!({
        "haConnectionInfo": [],
        "inSyncSlaveNums": 0,
        "master": true,
        "masterCommitLogMaxOffset": call.broker().store().log_range().1.0,
    });
    Ok(Response::ok().with_body(body.to_string()))
}
