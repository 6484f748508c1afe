//! Settings of consumer groups, and what they consume.

use protocol::body::{GroupConfig, GroupConfigList, GroupList, QuerySubscriptionReply, TopicList};
use protocol::request::{
    DeleteGroupHeader, GroupHeader, GroupPageHeader, GroupTopicHeader, TopicHeader, TotalGroupsReply,
};
use protocol::{Fields, code, json};
use remoting::Response;

use super::page::Wanted;
use super::topic::registered_and_safe;
use crate::code::{Outcome, Refusal};
use crate::table::Call;

pub(crate) async fn create(call: Call) -> Outcome {
    let config: GroupConfig = json::parse(&call.frame.body)?;
    call.broker().groups().put_with_attributes(config)?;
    registered_and_safe(&call).await?;
    Ok(Response::ok())
}

pub(crate) async fn create_list(call: Call) -> Outcome {
    let list: GroupConfigList = json::parse(&call.frame.body)?;
    for config in list.group_config_list {
        call.broker().groups().put_with_attributes(config)?;
    }
    registered_and_safe(&call).await?;
    Ok(Response::ok())
}

pub(crate) async fn delete(call: Call) -> Outcome {
    let header: DeleteGroupHeader<'_> = call.frame.header()?;
    call.broker().delete_group(header.group_name, header.clean_offset)?;
    registered_and_safe(&call).await?;
    Ok(Response::ok())
}

pub(crate) fn all(call: &Call) -> Outcome {
    let header: GroupPageHeader<'_> = call.frame.header()?;
    let wanted = Wanted { first: header.group_seq, version: header.data_version, most: header.max_group_num };
    let mut table = call.broker().groups().to_table();
    let total = table.subscription_group_table.len();
    let page = wanted.range(total, table.data_version);
    if page.len() < total {
        let groups = std::mem::take(&mut table.subscription_group_table);
        table.subscription_group_table = groups.into_iter().skip(page.start).take(page.len()).collect();
        let shown = &table.subscription_group_table;
        table.forbidden_table.retain(|group, _| shown.contains_key(group));
    }
    let fields = Fields::of(&TotalGroupsReply { total_group_num: total as i32 });
    Ok(Response { fields, ..Response::ok().with_body(json::to_vec(&table)) })
}

/// Makes a group that is not there, where that is allowed: Java's proxy asks before it lets a new group receive. Source:
/// `AdminBrokerProcessor.getSubscriptionGroup`.
pub(crate) fn get(call: &Call) -> Outcome {
    let header: GroupHeader<'_> = call.frame.header()?;
    let group = call.broker().groups().require(header.group).map_err(|_| {
        let remark = format!("No group in this broker. group: {}", header.group);
        Refusal::new(code::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
    })?;
    Ok(Response::ok().with_body(json::to_vec(&*group)))
}

pub(crate) fn of_topic(call: &Call) -> Outcome {
    let header: TopicHeader<'_> = call.frame.header()?;
    let group_list = call.broker().groups_of_topic(header.topic);
    Ok(Response::ok().with_body(json::to_vec(&GroupList { group_list })))
}

pub(crate) fn topics(call: &Call) -> Outcome {
    let header: GroupHeader<'_> = call.frame.header()?;
    let topic_list = call.broker().topics_of_group(header.group);
    Ok(Response::ok().with_body(json::to_vec(&TopicList { broker_addr: None, topic_list })))
}

pub(crate) fn subscription(call: &Call) -> Outcome {
    let header: GroupTopicHeader<'_> = call.frame.header()?;
    let subscription_data = call.broker().sessions().subscription(header.group, header.topic).flatten();
    let reply =
        QuerySubscriptionReply { group: header.group.to_owned(), subscription_data, topic: header.topic.to_owned() };
    Ok(Response::ok().with_body(json::to_vec(&reply)))
}
