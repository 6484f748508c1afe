//! Offsets of queues and groups.

use std::collections::BTreeMap;

use protocol::body::{MessageQueue, QueueTable};
use protocol::code;
use protocol::request::{
    GetMaxOffset, GetMinOffset, QueryConsumerOffset, QueryConsumerOffsetHeader, QueueHeader, ResetOffset,
    ResetOffsetHeader, SearchOffset, SearchOffsetHeader, UpdateConsumerOffset, UpdateConsumerOffsetHeader,
};

use super::{Admin, unless};
use crate::Error;
use crate::client::unreadable;

impl Admin {
    /// The oldest offset of a queue.
    pub async fn min_offset(&self, queue: &MessageQueue) -> Result<i64, Error> {
        let address = self.address_of(queue).await?;
        let header = QueueHeader { topic: &queue.topic, queue_id: queue.queue_id };
        Ok(self.at::<GetMinOffset>(&address, &header).await?.reply::<GetMinOffset>()?.offset)
    }

    /// The offset behind the newest message of a queue.
    pub async fn max_offset(&self, queue: &MessageQueue) -> Result<i64, Error> {
        let address = self.address_of(queue).await?;
        let header = QueueHeader { topic: &queue.topic, queue_id: queue.queue_id };
        Ok(self.at::<GetMaxOffset>(&address, &header).await?.reply::<GetMaxOffset>()?.offset)
    }

    /// The offset of the first message stored at or after a time, in milliseconds since 1970.
    pub async fn search_offset(&self, queue: &MessageQueue, timestamp_ms: i64) -> Result<i64, Error> {
        let address = self.address_of(queue).await?;
        let header = SearchOffsetHeader {
            topic: &queue.topic,
            queue_id: queue.queue_id,
            timestamp: timestamp_ms,
            boundary_type: None,
            lite_topic: None,
        };
        Ok(self.at::<SearchOffset>(&address, &header).await?.reply::<SearchOffset>()?.offset)
    }

    /// Where a group goes on in a queue; `None` when it never consumed it.
    pub async fn consumer_offset(&self, group: &str, queue: &MessageQueue) -> Result<Option<i64>, Error> {
        let address = self.address_of(queue).await?;
        let header = QueryConsumerOffsetHeader {
            consumer_group: group,
            topic: &queue.topic,
            queue_id: queue.queue_id,
            // Otherwise a broker answers 0 for a young queue, and "from the end" would mean "from the beginning".
            set_zero_if_not_found: Some(false),
        };
        let answer = self.at::<QueryConsumerOffset>(&address, &header).await;
        match unless(answer, &[code::QUERY_NOT_FOUND])? {
            Some(answer) => Ok(Some(answer.reply::<QueryConsumerOffset>()?.offset)),
            None => Ok(None),
        }
    }

    /// Says where a group goes on in a queue. Members that consume it at the moment do not notice.
    pub async fn update_consumer_offset(&self, group: &str, queue: &MessageQueue, offset: i64) -> Result<(), Error> {
        let address = self.address_of(queue).await?;
        let header = UpdateConsumerOffsetHeader {
            consumer_group: group,
            topic: &queue.topic,
            queue_id: queue.queue_id,
            commit_offset: offset,
        };
        self.at::<UpdateConsumerOffset>(&address, &header).await?;
        Ok(())
    }

    /// Moves a group to a time in all queues of a topic, its members included; `None` moves it to the end. Returns where
    /// it stands now.
    pub async fn reset_offset(
        &self,
        group: &str,
        topic: &str,
        timestamp_ms: Option<i64>,
    ) -> Result<BTreeMap<MessageQueue, i64>, Error> {
        let timestamp = timestamp_ms.unwrap_or(-1);
        let mut moved = BTreeMap::new();
        for address in self.masters_of(topic).await? {
            let header =
                ResetOffsetHeader { topic, group, queue_id: Some(-1), offset: Some(-1), timestamp, is_force: true };
            let answer = self.at::<ResetOffset>(&address, &header).await?;
            let table = QueueTable::<i64>::from_body(&answer.frame.body);
            moved.extend(table.map_err(|error| unreadable::<ResetOffset>(&address, error))?.offsets);
        }
        Ok(moved)
    }

    /// Moves a group to an offset in one queue, its members included. Brokers before 5.0 do not know this request and
    /// move all queues to the end: ask them for a time instead.
    pub async fn reset_queue(&self, group: &str, queue: &MessageQueue, offset: i64) -> Result<(), Error> {
        let address = self.address_of(queue).await?;
        let (topic, queue_id, offset) = (&*queue.topic, Some(queue.queue_id), Some(offset));
        let header = ResetOffsetHeader { topic, group, queue_id, offset, timestamp: -1, is_force: true };
        self.at::<ResetOffset>(&address, &header).await?;
        Ok(())
    }

    async fn address_of(&self, queue: &MessageQueue) -> Result<String, Error> {
        let route = self.client.route(&queue.topic).await?;
        let address = route.address(&queue.broker_name, crate::route::MASTER).map(str::to_owned);
        address.ok_or_else(|| Error::UnknownBroker(queue.broker_name.clone()))
    }
}
