//! Topics, groups and their members.

use std::collections::BTreeMap;

use client::{Admin, Broker, Error};
use protocol::name::RETRY_PREFIX;

use super::{Findings, backlog};
use crate::output::count;
use crate::survey::{self, Group};

/// Members whose subscriptions are asked for, in each group.
const MEMBERS_ASKED_MAX: usize = 20;

pub(super) async fn topics(admin: &Admin, masters: &[Broker], findings: &mut Findings) -> Result<(), Error> {
    let topics = survey::topics(admin, masters).await?;
    let lost: Vec<&str> =
        topics.iter().filter(|(_, topic)| topic.brokers.is_empty()).map(|(name, _)| name.as_str()).collect();
    if lost.is_empty() {
        findings.good("topics", format!("{}, all at a broker", topics.len()));
    }
    for topic in lost {
        let advice = "Start the broker that had it, or delete it with \"rocketmq topic delete\".";
        findings.bad(format!("topic {topic}"), "no broker that answers has it", advice);
    }
    Ok(())
}

pub(super) async fn groups(admin: &Admin, masters: &[Broker], findings: &mut Findings) -> Result<(), Error> {
    let groups = survey::groups(admin, masters, false).await?;
    let before = findings.0.len();
    for group in &groups {
        let subject = format!("group {}", group.name);
        if group.members.is_empty() && group.lag() > 0 {
            let found = format!("{} messages wait and no member is online", count(group.lag()));
            findings.note(&subject, found, "Start its consumers, or delete it with \"rocketmq group delete\".");
        }
        if let Some(found) = mixed(&subscriptions(admin, group).await) {
            let advice = "Members of a group must subscribe alike, or messages are lost to those that filter them: \
                          give the consumers the same topics and tags, or groups of their own.";
            findings.bad(&subject, found, advice);
        }
    }
    backlog::retention(admin, masters, &groups, findings).await?;
    backlog::stuck(admin, masters, &groups, findings).await?;
    if findings.0.len() == before {
        findings.good("groups", format!("{}, none waits for members or disagrees", groups.len()));
    }
    Ok(())
}

type Subscriptions = BTreeMap<String, String>;

/// What each member of a group says it subscribes to. Members that cannot tell are left out.
async fn subscriptions(admin: &Admin, group: &Group) -> Vec<(String, Subscriptions)> {
    let mut all = Vec::new();
    let (Some(broker), true) = (&group.broker, group.members.len() > 1) else { return all };
    for member in group.members.keys().take(MEMBERS_ASKED_MAX) {
        if let Ok(subscriptions) = admin.member_subscriptions(broker, &group.name, member).await {
            let own = subscriptions.into_iter().filter(|own| !own.topic.starts_with(RETRY_PREFIX));
            all.push((member.clone(), own.map(|own| (own.topic, own.sub_string)).collect()));
        }
    }
    all
}

/// How two members differ, if any do.
fn mixed(members: &[(String, Subscriptions)]) -> Option<String> {
    let (first, subscriptions) = members.first()?;
    let (other, differing) = members.iter().find(|(_, other)| other != subscriptions)?;
    Some(format!("{first} subscribes to {}, {other} to {}", text(subscriptions), text(differing)))
}

fn text(subscriptions: &Subscriptions) -> String {
    let parts: Vec<String> = subscriptions.iter().map(|(topic, expression)| format!("{topic}({expression})")).collect();
    if parts.is_empty() { "nothing".into() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, subscriptions: &[(&str, &str)]) -> (String, Subscriptions) {
        let own = subscriptions.iter().map(|(topic, expression)| ((*topic).to_owned(), (*expression).to_owned()));
        (name.to_owned(), own.collect())
    }

    #[test]
    fn members_that_differ_are_named() {
        assert_eq!(mixed(&[]), None);
        assert_eq!(mixed(&[member("a", &[("T", "*")]), member("b", &[("T", "*")])]), None);
        let found = mixed(&[member("a", &[("T", "*")]), member("b", &[("T", "x")]), member("c", &[])]).unwrap();
        assert_eq!(found, "a subscribes to T(*), b to T(x)");
    }
}
