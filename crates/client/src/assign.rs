//! Who in a group consumes which queues.

use protocol::body::MessageQueue;

/// The queues of member `me`: consecutive, equally many for each member, the first members taking the rest.
///
/// `queues` and `members` must be sorted, so that every member, Java ones included, cuts the same list.
/// Nothing is assigned to a client that is not a member. Source: `AllocateMessageQueueAveragely`.
pub(crate) fn averagely(queues: &[MessageQueue], members: &[String], me: &str) -> Vec<MessageQueue> {
    let Some(index) = members.iter().position(|member| member == me) else { return Vec::new() };
    let (each, rest) = (queues.len() / members.len(), queues.len() % members.len());
    let start = index * each + index.min(rest);
    let count = each + usize::from(index < rest);
    queues[start..start + count].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Java's arithmetic, word for word.
    fn java(queues: i64, members: i64, index: i64) -> Vec<i64> {
        let rest = queues % members;
        let average = if queues <= members {
            1
        } else if rest > 0 && index < rest {
            queues / members + 1
        } else {
            queues / members
        };
        let start = if rest > 0 && index < rest { index * average } else { index * average + rest };
        let range = average.min(queues - start);
        (0..range).map(|i| (start + i) % queues).collect()
    }

    fn ours(queues: i64, members: i64, index: i64) -> Vec<i64> {
        let queue =
            |id| MessageQueue { broker_name: "b".into(), queue_id: i32::try_from(id).unwrap(), topic: "T".into() };
        let queues: Vec<_> = (0..queues).map(queue).collect();
        let members: Vec<_> = (0..members).map(|member| format!("{member:03}")).collect();
        averagely(&queues, &members, &format!("{index:03}")).iter().map(|queue| queue.queue_id.into()).collect()
    }

    #[test]
    fn every_member_gets_what_java_gives_it() {
        for queues in 0..40 {
            for members in 1..20 {
                for index in 0..members {
                    let (java, ours) = (java(queues, members, index), ours(queues, members, index));
                    assert_eq!(ours, java, "{queues} queues, member {index} of {members}");
                }
            }
        }
    }

    #[test]
    fn a_table_of_the_cases() {
        assert_eq!(ours(8, 3, 0), [0, 1, 2]);
        assert_eq!(ours(8, 3, 1), [3, 4, 5]);
        assert_eq!(ours(8, 3, 2), [6, 7]);
        assert_eq!(ours(2, 3, 1), [1]);
        assert_eq!(ours(2, 3, 2), [] as [i64; 0]);
        assert_eq!(ours(4, 2, 7), [] as [i64; 0]);
    }
}
