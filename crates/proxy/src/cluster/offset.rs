//! Offsets, and pulling by them.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::request::{
    GetMaxOffset, GetMinOffset, OffsetReply, PullMessage, PullMessageHeader, QueryConsumerOffset,
    QueryConsumerOffsetHeader, QueueHeader, Request, SearchOffset, SearchOffsetHeader, UpdateConsumerOffset,
    UpdateConsumerOffsetHeader,
};
use protocol::{Frame, Header, code, sysflag};

use super::{Cluster, Error};
use crate::local::single_records;
use crate::offset::{Found, PullFrom, QueueAt, Wanted};
use crate::status::Refusal;

impl Cluster {
    pub(crate) async fn commit_offset(&self, at: QueueAt<'_>, group: &str, offset: i64) -> Result<(), Refusal> {
        let header = UpdateConsumerOffsetHeader {
            consumer_group: group,
            topic: at.topic,
            queue_id: at.id,
            commit_offset: offset,
        };
        self.order::<UpdateConsumerOffset>(at.broker, &header).await?;
        Ok(())
    }

    pub(crate) async fn committed(&self, at: QueueAt<'_>, group: &str) -> Result<Option<i64>, Refusal> {
        let header = QueryConsumerOffsetHeader {
            consumer_group: group,
            topic: at.topic,
            queue_id: at.id,
            set_zero_if_not_found: None,
        };
        match self.offset::<QueryConsumerOffset>(at.broker, &header).await {
            Err(Error::Refused { code: code::QUERY_NOT_FOUND, .. }) => Ok(None),
            offset => Ok(Some(offset?)),
        }
    }

    pub(crate) async fn offset_of(&self, at: QueueAt<'_>, wanted: Wanted) -> Result<i64, Refusal> {
        let queue = QueueHeader { topic: at.topic, queue_id: at.id };
        Ok(match wanted {
            Wanted::Beginning => self.offset::<GetMinOffset>(at.broker, &queue).await?,
            Wanted::End => self.offset::<GetMaxOffset>(at.broker, &queue).await?,
            Wanted::AtTime(timestamp) => {
                let header = SearchOffsetHeader {
                    topic: at.topic,
                    queue_id: at.id,
                    timestamp,
                    boundary_type: Some("lower"),
                    lite_topic: None,
                };
                self.offset::<SearchOffset>(at.broker, &header).await?
            }
        })
    }

    async fn offset<R>(&self, broker: &str, header: &R::Header<'_>) -> Result<i64, Error>
    where
        R: for<'a> Request<Reply<'a> = OffsetReply>,
    {
        let answer = self.order::<R>(broker, header).await?;
        let reply = OffsetReply::decode(&answer.frame.fields).map_err(|error| answer.unreadable::<R>(error))?;
        Ok(reply.offset)
    }

    pub(crate) async fn pull(&self, at: QueueAt<'_>, from: &PullFrom<'_>) -> Result<Found, Refusal> {
        let suspend = if from.wait.is_zero() { 0 } else { sysflag::PULL_SUSPEND };
        let header = PullMessageHeader {
            consumer_group: from.group,
            topic: at.topic,
            queue_id: at.id,
            queue_offset: from.offset,
            max_msg_nums: from.max_messages,
            sys_flag: sysflag::PULL_SUBSCRIPTION | suspend,
            commit_offset: Some(0),
            suspend_timeout_millis: Some(i64::try_from(from.wait.as_millis()).unwrap_or(i64::MAX)),
            subscription: Some(from.filter.expression),
            sub_version: Some(0),
            expression_type: from.filter.kind,
            lite_topic: None,
        };
        // A broker notices the end of a wait at its next round, which comes every five seconds.
        let wait = from.wait + Duration::from_secs(5);
        let answer = self.exchange(at.broker, Frame::request(PullMessage::CODE, &header), wait).await?;
        let records = match answer.code() {
            code::SUCCESS => single_records(std::slice::from_ref(&answer.frame.body)),
            code::PULL_NOT_FOUND | code::PULL_RETRY_IMMEDIATELY => VecDeque::new(),
            code::PULL_OFFSET_MOVED => {
                let reply = answer.header::<PullMessage>()?;
                return Ok(Found::Outside { min: reply.min_offset, max: reply.max_offset });
            }
            _ => return Err(answer.refusal().into()),
        };
        let next = answer.header::<PullMessage>()?.next_begin_offset;
        Ok(Found::At { records, next })
    }
}
