//! Which client consumes which queues, and whether by pull or by pop, when the broker decides that.
//!
//! Source: `QueryAssignmentProcessor`, `MessageRequestModeManager`.

use std::sync::Arc;

use parking_lot::Mutex;
use protocol::body::{
    MessageModel, MessageQueue, MessageRequestMode, MessageRequestModeTable, QueryAssignmentBody,
    SetMessageRequestModeBody,
};
use protocol::name::RETRY_PREFIX;
use protocol::perm;
use serde::{Deserialize, Serialize};

use crate::limits::POP_OWNERS_MAX;
use crate::state::{Change, Journal};
use crate::{Broker, Error, Forbidden};

/// How groups get the messages of topics, where that was set.
pub(crate) struct RequestModes {
    table: Mutex<MessageRequestModeTable>,
    journal: Arc<Journal>,
}

impl RequestModes {
    pub(crate) fn new(journal: Arc<Journal>) -> RequestModes {
        RequestModes { table: Mutex::default(), journal }
    }

    fn get(&self, topic: &str, group: &str) -> Option<SetMessageRequestModeBody> {
        self.table.lock().message_request_mode_map.get(topic)?.get(group).cloned()
    }

    fn set(&self, row: SetMessageRequestModeBody) -> Result<(), Error> {
        let mut table = self.table.lock();
        let rows: usize = table.message_request_mode_map.values().map(|groups| groups.len()).sum();
        if rows >= POP_OWNERS_MAX {
            return Err(Error::Parameter(format!("request modes are set for {rows} pairs of topic and group already")));
        }
        self.journal.append(&Change::RequestMode(row.clone()))?;
        put(&mut table, row);
        Ok(())
    }

    pub(crate) fn to_table(&self) -> MessageRequestModeTable {
        self.table.lock().clone()
    }

    pub(crate) fn remove_topic(&self, topic: &str) {
        self.table.lock().message_request_mode_map.remove(topic);
    }

    pub(crate) fn remove_group(&self, group: &str) {
        self.table.lock().message_request_mode_map.retain(|_, groups| {
            groups.remove(group);
            !groups.is_empty()
        });
    }

    // Loading: not journaled.

    pub(crate) fn load(&self, table: MessageRequestModeTable) {
        *self.table.lock() = table;
    }

    pub(crate) fn replay(&self, row: SetMessageRequestModeBody) {
        put(&mut self.table.lock(), row);
    }
}

fn put(table: &mut MessageRequestModeTable, row: SetMessageRequestModeBody) {
    let groups = table.message_request_mode_map.entry(row.topic.clone()).or_default();
    groups.insert(row.consumer_group.clone(), row);
}

/// Queues of a client and how it consumes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// By pull or by pop.
    pub mode: MessageRequestMode,
    /// Its queues; `None` tells it to keep what it has.
    pub queues: Option<Vec<MessageQueue>>,
}

impl Broker {
    /// Sets how a group gets the messages of a topic.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn set_request_mode(&self, row: SetMessageRequestModeBody) -> Result<(), Error> {
        self.check_running()?;
        if row.topic.starts_with(RETRY_PREFIX) {
            return Err(Error::forbidden(Forbidden::Topic, "retry topic is not allowed to set mode"));
        }
        self.topics.require(&row.topic)?;
        self.groups.require(&row.consumer_group)?;
        self.pop.modes.set(row)
    }

    /// How groups get the messages of topics, where that was set.
    pub fn request_modes(&self) -> MessageRequestModeTable {
        self.pop.modes.to_table()
    }

    /// Shares out the readable queues of a topic, which may lie at several brokers.
    ///
    /// # Errors
    /// The broker is stopping.
    pub fn assign(&self, asked: &QueryAssignmentBody, mut queues: Vec<MessageQueue>) -> Result<Assignment, Error> {
        self.check_running()?;
        let QueryAssignmentBody { client_id, consumer_group, message_model, strategy_name, topic } = asked;
        let config = self.config();
        let set = self.pop.modes.get(topic, consumer_group);
        let (mode, share) = match set {
            Some(row) => (row.mode, row.pop_share_queue_num),
            None if topic.starts_with(RETRY_PREFIX) => (MessageRequestMode::Pull, 0),
            None => (config.pop.default_request_mode, config.pop.default_share_queues),
        };
        let everything = *message_model == MessageModel::Broadcasting || !config.pop.server_load_balancer;
        if queues.is_empty() {
            return Ok(Assignment { mode, queues: None });
        }
        queues.sort_unstable();
        if everything {
            return Ok(Assignment { mode, queues: Some(queues) });
        }
        let clients = self.sessions.client_ids(consumer_group);
        let queues = Strategy::by_name(strategy_name).filter(|_| !clients.is_empty()).map(|strategy| match mode {
            MessageRequestMode::Pull => strategy.share(&queues, &clients, client_id),
            MessageRequestMode::Pop => strategy.share_for_pop(queues, &clients, client_id, share),
        });
        Ok(Assignment { mode, queues })
    }

    /// The queues of a topic that this broker has for readers.
    pub fn readable_queues(&self, topic: &str) -> Vec<MessageQueue> {
        let broker = self.config().permission;
        let topic_here = self.topics.get(topic).filter(|topic| perm::is_readable(topic.config().perm & broker));
        let count = topic_here.map_or(0, |topic| topic.config().read_queue_nums);
        (0..count).map(|queue_id| self.message_queue(topic, queue_id)).collect()
    }
}

/// How queues are shared out. Source: `AllocateMessageQueueAveragely`, `AllocateMessageQueueAveragelyByCircle`.
#[derive(Debug, Clone, Copy)]
enum Strategy {
    Averagely,
    ByCircle,
}

impl Strategy {
    fn by_name(name: &str) -> Option<Strategy> {
        match name {
            "AVG" => Some(Strategy::Averagely),
            "AVG_BY_CIRCLE" => Some(Strategy::ByCircle),
            _ => None,
        }
    }

    fn share(self, queues: &[MessageQueue], clients: &[String], client: &str) -> Vec<MessageQueue> {
        let Some(at) = clients.iter().position(|known| known == client) else { return Vec::new() };
        match self {
            Strategy::Averagely => {
                let (each, more) = (queues.len() / clients.len(), queues.len() % clients.len());
                let first = at * each + at.min(more);
                let count = each + usize::from(at < more);
                queues[first.min(queues.len())..(first + count).min(queues.len())].to_vec()
            }
            Strategy::ByCircle => queues.iter().skip(at).step_by(clients.len()).cloned().collect(),
        }
    }

    /// With POP several clients may consume one queue: those of the next `share` clients count too, and without such a
    /// number every client consumes everything. Source: `QueryAssignmentProcessor.allocate4Pop`.
    fn share_for_pop(
        self,
        queues: Vec<MessageQueue>,
        clients: &[String],
        client: &str,
        share: i32,
    ) -> Vec<MessageQueue> {
        let share = usize::try_from(share).unwrap_or(0);
        if share == 0 || share + 1 >= clients.len() {
            let mut whole: Vec<_> = queues.into_iter().map(|queue| MessageQueue { queue_id: -1, ..queue }).collect();
            whole.dedup();
            return whole;
        }
        let Some(at) = clients.iter().position(|known| known == client) else { return Vec::new() };
        if clients.len() > queues.len() {
            return vec![queues[at % queues.len()].clone()];
        }
        let sharers = (at..=at + share).map(|at| &clients[at % clients.len()]);
        let mut shared: Vec<_> = sharers.flat_map(|sharer| self.share(&queues, clients, sharer)).collect();
        shared.sort_unstable();
        shared.dedup();
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: i32) -> Vec<MessageQueue> {
        let queue = |queue_id| MessageQueue { broker_name: "b".into(), queue_id, topic: "T".into() };
        (0..count).map(queue).collect()
    }

    fn clients(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("c{at}")).collect()
    }

    fn ids(queues: &[MessageQueue]) -> Vec<i32> {
        queues.iter().map(|queue| queue.queue_id).collect()
    }

    #[track_caller]
    fn check(strategy: Strategy, count: i32, of: usize, shares: &[&[i32]]) {
        let got: Vec<_> =
            clients(of).iter().map(|client| ids(&strategy.share(&queues(count), &clients(of), client))).collect();
        assert_eq!(got, shares);
    }

    #[test]
    fn queues_are_shared_out_as_java_does() {
        check(Strategy::Averagely, 5, 2, &[&[0, 1, 2], &[3, 4]]);
        check(Strategy::Averagely, 2, 3, &[&[0], &[1], &[]]);
        check(Strategy::ByCircle, 5, 2, &[&[0, 2, 4], &[1, 3]]);
        assert!(Strategy::by_name("AVG").is_some() && Strategy::by_name("x").is_none());
        assert!(Strategy::Averagely.share(&queues(3), &clients(2), "stranger").is_empty());
    }

    #[test]
    fn with_pop_clients_share_queues() {
        let share = |count, of: usize, share| {
            let clients = clients(of);
            let of = |client: &String| ids(&Strategy::Averagely.share_for_pop(queues(count), &clients, client, share));
            clients.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(share(4, 2, 0), [[-1], [-1]]);
        assert_eq!(share(4, 3, 2), [[-1], [-1], [-1]]);
        assert_eq!(share(4, 4, 1), [vec![0, 1], vec![1, 2], vec![2, 3], vec![0, 3]]);
        assert_eq!(share(2, 5, 1), [[0], [1], [0], [1], [0]]);
    }
}
