//! Messages that wait: those that will be deleted unread, and queues that nobody moves.

use std::collections::HashMap;
use std::time::Duration;

use client::{Admin, Broker, Error};
use jiff::Timestamp;
use protocol::body::{MessageModel, MessageQueue, OffsetWrapper};

use super::Findings;
use crate::output::count;
use crate::survey::{self, Group};

/// Queues that are asked for in all: each costs two requests.
const QUEUES_ASKED_MAX: usize = 1_000;

/// A queue of which nothing was consumed for so long is looked at twice.
const IDLE: Duration = Duration::from_secs(10 * 60);
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// Messages are in danger when they are older than this share of the time they are kept.
const DANGER_PERCENT: i64 = 80;

type Queues<'g> = Vec<(&'g MessageQueue, &'g OffsetWrapper)>;

/// Queues in which more waits, and of which the last message consumed was stored before `before_ms`.
fn waiting(group: &Group, before_ms: i64) -> Queues<'_> {
    let waits = |offsets: &OffsetWrapper| {
        survey::lag(offsets) > 0 && offsets.consumer_offset >= 0 && offsets.last_timestamp < before_ms
    };
    group.offsets.iter().filter(|(_, offsets)| waits(offsets)).collect()
}

/// What a group loses if nothing changes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Loss {
    /// Deleted before it was consumed.
    gone: i64,
    /// Older than most of the time that messages are kept.
    endangered: i64,
}

impl Loss {
    /// One queue: where the group is, the oldest message there is, and the first that is not in danger.
    fn add(&mut self, consumer: i64, oldest: i64, safe: i64) {
        self.gone += (oldest - consumer).max(0);
        self.endangered += (safe - consumer.max(oldest)).max(0);
    }
}

/// Finds messages that were, or soon will be, deleted before their group consumed them.
pub(super) async fn retention(
    admin: &Admin,
    masters: &[Broker],
    groups: &[Group],
    findings: &mut Findings,
) -> Result<(), Error> {
    let mut kept_ms = HashMap::new();
    for broker in masters {
        let settings = admin.broker_config(&broker.address).await?;
        let hours = settings.get("fileReservedTime").and_then(|hours| hours.trim().parse::<i64>().ok());
        kept_ms.extend(hours.map(|hours| (broker.name.as_str(), hours * 3_600_000)));
    }
    let now_ms = Timestamp::now().as_millisecond();
    let mut asked = 0;
    for group in groups {
        let mut loss = Loss::default();
        for (queue, offsets) in waiting(group, i64::MAX) {
            let Some(kept_ms) = kept_ms.get(queue.broker_name.as_str()) else { continue };
            let danger_ms = now_ms - kept_ms * DANGER_PERCENT / 100;
            // What comes behind a message that is younger is younger as well.
            if offsets.last_timestamp >= danger_ms {
                continue;
            }
            asked += 1;
            if asked > QUEUES_ASKED_MAX {
                let found = format!("more than {QUEUES_ASKED_MAX} queues have old messages waiting");
                findings.note("groups", found, "The rest was not looked at: see \"rocketmq group list\".");
                return Ok(());
            }
            // A queue that went away meanwhile loses nothing any more.
            let (Ok(oldest), Ok(safe)) = (admin.min_offset(queue).await, admin.search_offset(queue, danger_ms).await)
            else {
                continue;
            };
            loss.add(offsets.consumer_offset, oldest, safe);
        }
        tell(group, loss, findings);
    }
    Ok(())
}

fn tell(group: &Group, loss: Loss, findings: &mut Findings) {
    let subject = format!("group {}", group.name);
    if loss.endangered > 0 {
        let found = format!("{} messages will soon be deleted before it consumes them", count(loss.endangered));
        let advice =
            "Add consumers, raise fileReservedTime of the brokers, or move the group with \"rocketmq group reset\".";
        findings.bad(&subject, found, advice);
    }
    if loss.gone > 0 {
        let found = format!("{} messages were deleted before it consumed them", count(loss.gone));
        let advice = "Raise fileReservedTime of the brokers, or delete the group if nobody needs it.";
        findings.note(&subject, found, advice);
    }
}

/// Finds queues that do not move although a member is there and messages wait.
pub(super) async fn stuck(
    admin: &Admin,
    masters: &[Broker],
    groups: &[Group],
    findings: &mut Findings,
) -> Result<(), Error> {
    let before_ms = Timestamp::now().as_millisecond() - IDLE.as_millis() as i64;
    let suspects: Vec<&Group> = groups.iter().filter(|group| may_be_stuck(group, before_ms)).collect();
    if suspects.is_empty() {
        return Ok(());
    }
    tokio::time::sleep(BETWEEN_LOOKS).await;
    for group in suspects {
        let later = survey::group(admin, masters, &group.name, None).await?;
        let queues = unmoved(group, &later, before_ms);
        let Some((queue, offsets)) = queues.first() else { continue };
        let found = format!(
            "{} of its queues with messages waiting do not move, such as {} {} at {} (offset {})",
            queues.len(),
            queue.topic,
            queue.queue_id,
            queue.broker_name,
            count(offsets.consumer_offset)
        );
        let advice = "A member may hang in its listener, or fail at this message again and again: look at its log.";
        findings.note(format!("group {}", group.name), found, advice);
    }
    Ok(())
}

fn may_be_stuck(group: &Group, before_ms: i64) -> bool {
    let shared = |group: &Group| {
        group.connection.as_ref().is_none_or(|connection| connection.message_model != MessageModel::Broadcasting)
    };
    !group.members.is_empty() && shared(group) && !waiting(group, before_ms).is_empty()
}

/// Queues that waited before and stand where they stood.
fn unmoved<'g>(before: &'g Group, later: &Group, before_ms: i64) -> Queues<'g> {
    let mut queues = waiting(before, before_ms);
    queues.retain(|(queue, offsets)| {
        later.offsets.get(*queue).is_some_and(|later| later.consumer_offset == offsets.consumer_offset)
    });
    queues
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(queues: &[(i64, i64, i64)]) -> Group {
        let mut group = Group::default();
        for (at, (broker_offset, consumer_offset, last_timestamp)) in queues.iter().copied().enumerate() {
            let queue = MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: at as i32 };
            let offsets = OffsetWrapper { broker_offset, consumer_offset, last_timestamp, ..OffsetWrapper::default() };
            group.offsets.insert(queue, offsets);
        }
        group
    }

    #[test]
    fn a_queue_is_stuck_when_it_is_idle_with_messages_and_stands_still() {
        let before = group(&[(10, 5, 100), (10, 5, 100), (10, 5, 900), (10, 10, 100)]);
        let later = group(&[(12, 5, 100), (12, 6, 950), (12, 5, 900), (12, 10, 100)]);
        let queues: Vec<i32> = unmoved(&before, &later, 500).iter().map(|(queue, _)| queue.queue_id).collect();
        assert_eq!(queues, [0]);
        assert!(!may_be_stuck(&before, 500), "nobody is there to move it");
    }

    #[test]
    fn messages_are_in_danger_only_where_they_are_old_and_unread() {
        let mut loss = Loss::default();
        loss.add(10, 0, 5);
        assert_eq!(loss, Loss::default(), "what is old was consumed");
        loss.add(10, 0, 15);
        loss.add(10, 12, 15);
        assert_eq!(loss, Loss { gone: 2, endangered: 8 });
        let mut findings = Findings::default();
        tell(&group(&[]), loss, &mut findings);
        assert_eq!(findings.0.len(), 2);
    }
}
