//! Searching a queue by store time.

use super::Queue;
use crate::core::Core;
use crate::store::Boundary;
use crate::{Error, QueueOffset};
use protocol::record::{self, HEAD_BYTES};

impl Core {
    /// Semantics of `ConsumeQueue.getOffsetInQueueByTime` (RocketMQ 5.3.4): lower is the first entry at or after the
    /// time, upper the last at or before it, both clamped to `[min, max]`.
    pub(crate) async fn offset_by_time(&self, queue: &Queue, ms: i64, bound: Boundary) -> Result<QueueOffset, Error> {
        let (min, max) = (queue.min_offset().0, queue.max_offset().0);
        // Entries before `low` are earlier than wanted, those from `high` on are not.
        let (mut low, mut high) = (min, max);
        while low < high {
            let middle = low + (high - low) / 2;
            let earlier = match self.store_time(queue, QueueOffset(middle)).await? {
                Some(time) => time < ms || (bound == Boundary::Upper && time == ms),
                // Deleted while we search.
                None => true,
            };
            if earlier { low = middle + 1 } else { high = middle }
        }
        Ok(QueueOffset(match bound {
            Boundary::Lower => low,
            Boundary::Upper => low.saturating_sub(1).max(min),
        }))
    }

    pub(crate) async fn store_time(&self, queue: &Queue, offset: QueueOffset) -> Result<Option<i64>, Error> {
        let entries = self.entries(queue, offset, 1).await?;
        let Some(entry) = entries.first().filter(|entry| entry.queue_offset == offset) else { return Ok(None) };
        let head = entry.size.min(HEAD_BYTES as u32);
        let slices = self.read(&[(entry.log_offset, head)]).await?;
        Ok(slices[0].bytes.as_deref().and_then(record::store_timestamp))
    }
}
