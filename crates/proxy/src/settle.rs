//! What is done with a message that was received.

use broker::Invisible;
use protocol::receipt::Receipt;

/// Whose message it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) lite_topic: Option<&'a str>,
}

/// The receipt of a message whose invisible time was changed. Source: `ConsumerProcessor.changeInvisibleTime`.
pub(crate) fn changed(receipt: &Receipt, to: Invisible) -> Receipt {
    Receipt {
        start_offset: receipt.queue_offset,
        pop_ms: to.pop_ms,
        invisible_ms: to.invisible_ms,
        revive_queue: to.revive_queue,
        ..receipt.clone()
    }
}
