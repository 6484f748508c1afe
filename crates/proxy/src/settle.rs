//! What is done with a message that was received: the verbs of POP, of lite topics and of others alike.

use std::time::Duration;

use broker::{Ack, ChangeInvisible};
use protocol::receipt::Receipt;

use crate::context::Context;

/// Whose message it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) lite_topic: Option<&'a str>,
}

impl Place<'_> {
    pub(crate) fn ack(&self, context: &Context, receipt: &Receipt) -> Result<(), broker::Error> {
        let Receipt { queue_id, queue_offset, .. } = *receipt;
        let ack = Ack { topic: self.topic, group: self.group, queue_id, queue_offset, receipt };
        match self.lite_topic {
            Some(lite_topic) => context.broker.ack_lite(&ack, lite_topic),
            None => context.broker.ack(&ack),
        }
    }

    /// Changes for how long the message is invisible. The answer is its receipt from now on.
    ///
    /// Source: `ConsumerProcessor.changeInvisibleTime`.
    pub(crate) fn change_invisible(
        &self,
        context: &Context,
        receipt: &Receipt,
        invisible: Duration,
        suspend: bool,
    ) -> Result<Receipt, broker::Error> {
        let Receipt { queue_id, queue_offset, .. } = *receipt;
        let (topic, group) = (self.topic, self.group);
        let change = ChangeInvisible { topic, group, queue_id, queue_offset, receipt, invisible, suspend };
        let changed = match self.lite_topic {
            Some(lite_topic) => context.broker.change_invisible_lite(&change, lite_topic)?,
            None => context.broker.change_invisible(&change)?,
        };
        Ok(Receipt {
            start_offset: receipt.queue_offset,
            pop_ms: changed.pop_ms,
            invisible_ms: changed.invisible_ms,
            revive_queue: changed.revive_queue,
            ..receipt.clone()
        })
    }
}
