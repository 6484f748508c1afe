//! Settings of topics.

use protocol::body::{TopicConfig, TopicConfigList, TopicList, TopicTable};
use protocol::request::{CreateTopicHeader, TopicHeader, TopicPageHeader, TotalTopicsReply};
use protocol::{Fields, code, json, name};
use remoting::Response;

use super::page::Wanted;
use crate::code::{Outcome, Refusal};
use crate::table::Call;

pub(crate) async fn create(call: Call) -> Outcome {
    let header: CreateTopicHeader<'_> = call.frame.header()?;
    check_name(&call, header.topic)?;
    let config = TopicConfig {
        topic_name: header.topic.to_owned(),
        read_queue_nums: header.read_queue_nums,
        write_queue_nums: header.write_queue_nums,
        perm: header.perm,
        topic_filter_type: header.topic_filter_type.unwrap_or("SINGLE_TAG").to_owned(),
        topic_sys_flag: header.topic_sys_flag.unwrap_or(0),
        order: header.order,
        ..TopicConfig::default()
    };
    call.broker().topics().put_with_attributes(config, header.attributes.unwrap_or_default())?;
    registered_and_safe(&call).await?;
    Ok(Response::ok())
}

pub(crate) async fn create_list(call: Call) -> Outcome {
    let list: TopicConfigList = json::parse(&call.frame.body)?;
    // A bad name refuses the whole list.
    for config in &list.topic_config_list {
        check_name(&call, &config.topic_name)?;
    }
    for config in list.topic_config_list {
        let changes: Vec<_> = config.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        call.broker().topics().put_with_attributes(config, &changes.join(","))?;
    }
    registered_and_safe(&call).await?;
    Ok(Response::ok())
}

fn check_name(call: &Call, topic: &str) -> Result<(), Refusal> {
    name::check_topic(topic).map_err(broker::Error::from)?;
    if call.broker().is_system_topic(topic) {
        let remark = format!("The topic[{topic}] is conflict with system topic.");
        return Err(Refusal::new(code::INVALID_PARAMETER, remark));
    }
    Ok(())
}

pub(crate) async fn delete(call: Call) -> Outcome {
    let header: TopicHeader<'_> = call.frame.header()?;
    call.broker().delete_topic(header.topic)?;
    registered_and_safe(&call).await?;
    Ok(Response::ok())
}

/// Waits until name servers know of the change and the log holds it for good.
pub(crate) async fn registered_and_safe(call: &Call) -> Result<(), Refusal> {
    let store = call.broker().store();
    store.acknowledged().wait(store.appended()).await?;
    call.context.registered.clone().wait().await;
    Ok(())
}

pub(crate) fn all(call: &Call) -> Outcome {
    let header: TopicPageHeader<'_> = call.frame.header()?;
    let wanted = Wanted { first: header.topic_seq, version: header.data_version, most: header.max_topic_num };
    // The version first: what is added meanwhile makes the caller start again rather than miss it.
    let data_version = call.broker().topics().version();
    let mut topics = call.broker().topics().all();
    topics.sort_unstable_by(|one, other| one.name().cmp(other.name()));
    let fields = Fields::of(&TotalTopicsReply { total_topic_num: topics.len() as i32 });
    let page = &topics[wanted.range(topics.len(), data_version)];
    let topic_config_table = page.iter().map(|topic| (topic.name().to_owned(), topic.config().clone())).collect();
    let table = TopicTable { data_version, topic_config_table };
    Ok(Response { fields, ..Response::ok().with_body(json::to_vec(&table)) })
}

pub(crate) fn get(call: &Call) -> Outcome {
    let header: TopicHeader<'_> = call.frame.header()?;
    let topic = call.broker().topics().get(header.topic).ok_or_else(|| {
        Refusal::new(code::TOPIC_NOT_EXIST, format!("No topic in this broker. topic: {}", header.topic))
    })?;
    Ok(Response::ok().with_body(json::to_vec(topic.config())))
}

pub(crate) fn system(call: &Call) -> Outcome {
    let topics = call.broker().topics().all();
    let names = topics.iter().map(|topic| topic.name()).filter(|name| call.broker().is_system_topic(name));
    let list = TopicList { broker_addr: None, topic_list: names.map(str::to_owned).collect() };
    Ok(Response::ok().with_body(json::to_vec(&list)))
}

/// Queues without a topic do not outlive the deletion of the topic here, so there is nothing to clean.
pub(crate) fn clean_unused(_call: &Call) -> Outcome {
    Ok(Response::ok())
}
