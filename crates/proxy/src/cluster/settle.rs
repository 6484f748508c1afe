//! What is done with a message that was received: at the broker that its receipt names.
//!
//! Source: `ConsumerProcessor.ackMessage`, `changeInvisibleTime`, `ProducerProcessor.forwardMessageToDeadLetterQueue`.

use std::sync::Arc;
use std::time::Duration;

use broker::Invisible;
use bytes::Bytes;
use protocol::receipt::Receipt;
use protocol::request::{
    AckMessage, AckMessageHeader, ChangeInvisibleTime, ChangeInvisibleTimeHeader, ConsumerSendBack,
    ConsumerSendBackHeader, ViewMessage, ViewMessageHeader,
};
use tracing::debug;

use super::{Cluster, Error};
use crate::settle::{self, Place};
use crate::status::Refusal;

/// The topic in which a message lies; lite topics have no retry topics.
fn real_topic(place: Place<'_>, receipt: &Receipt) -> String {
    match place.lite_topic {
        Some(_) => place.topic.to_owned(),
        None => receipt.real_topic(place.topic, place.group),
    }
}

impl Cluster {
    pub(crate) async fn ack(&self, place: Place<'_>, receipt: &Receipt) -> Result<(), Refusal> {
        let header = AckMessageHeader {
            consumer_group: place.group,
            topic: &real_topic(place, receipt),
            queue_id: receipt.queue_id,
            extra_info: &receipt.to_string(),
            offset: receipt.queue_offset,
            lite_topic: place.lite_topic,
        };
        self.order::<AckMessage>(&receipt.broker_name, &header).await?;
        Ok(())
    }

    pub(crate) async fn change_invisible(
        &self,
        place: Place<'_>,
        receipt: &Receipt,
        invisible: Duration,
        suspend: bool,
    ) -> Result<Receipt, Refusal> {
        Ok(self.try_change(place, receipt, invisible, suspend).await?)
    }

    async fn try_change(
        &self,
        place: Place<'_>,
        receipt: &Receipt,
        invisible: Duration,
        suspend: bool,
    ) -> Result<Receipt, Error> {
        let header = ChangeInvisibleTimeHeader {
            consumer_group: place.group,
            topic: &real_topic(place, receipt),
            queue_id: receipt.queue_id,
            extra_info: &receipt.to_string(),
            offset: receipt.queue_offset,
            invisible_time: i64::try_from(invisible.as_millis()).unwrap_or(i64::MAX),
            lite_topic: place.lite_topic,
            suspend,
        };
        let answer = self.order::<ChangeInvisibleTime>(&receipt.broker_name, &header).await?;
        let reply = answer.header::<ChangeInvisibleTime>()?;
        let to =
            Invisible { pop_ms: reply.pop_time, invisible_ms: reply.invisible_time, revive_queue: reply.revive_qid };
        Ok(settle::changed(receipt, to))
    }

    pub(crate) fn give_back(self: &Arc<Self>, place: Place<'_>, receipt: &Receipt, pause: Duration) {
        let (cluster, receipt) = (self.clone(), receipt.clone());
        let (group, topic) = (place.group.to_owned(), place.topic.to_owned());
        let lite_topic = place.lite_topic.map(str::to_owned);
        // Not called off by the end: it is what the end waits for.
        self.tasks.spawn(async move {
            let place = Place { group: &group, topic: &topic, lite_topic: lite_topic.as_deref() };
            if let Err(error) = cluster.try_change(place, &receipt, pause, false).await {
                debug!(group, topic, %error, "message not given back");
            }
        });
    }

    pub(crate) async fn bury(&self, place: Place<'_>, broker: &str, log_offset: u64) -> Result<(), Refusal> {
        let header = ConsumerSendBackHeader {
            offset: i64::try_from(log_offset).unwrap_or(i64::MAX),
            group: place.group,
            delay_level: -1,
            origin_msg_id: None,
            origin_topic: Some(place.topic),
            unit_mode: false,
            max_reconsume_times: Some(0),
        };
        self.order::<ConsumerSendBack>(broker, &header).await?;
        Ok(())
    }

    pub(crate) async fn view(&self, broker: &str, log_offset: i64) -> Result<Bytes, Refusal> {
        let header = ViewMessageHeader { topic: None, offset: log_offset };
        Ok(self.order::<ViewMessage>(broker, &header).await?.frame.body)
    }
}
