//! The end of transactions.
//!
//! Java remembers for thirty seconds where a half message lies, by its transaction id; a decision that comes later, or to
//! another proxy, fails there. Here the id itself says where: clients hand it back as it is.
//! Source: `EndTransactionActivity`.

use broker::EndTransaction;

use crate::context::Context;
use crate::status::{self, Refusal};
use crate::v2::{Code, EndTransactionRequest, EndTransactionResponse, TransactionResolution, TransactionSource};
use crate::validate;

/// Where a half message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// Name of the broker.
    pub(crate) broker: &'a str,
    /// Place in its queue.
    pub(crate) queue_offset: i64,
    /// Place in the log.
    pub(crate) log_offset: i64,
}

impl<'a> Place<'a> {
    /// The transaction id of the message.
    pub(crate) fn id(&self, unique_key: &str) -> String {
        let Place { broker, queue_offset, log_offset } = self;
        format!("{unique_key}@{queue_offset}@{log_offset}@{broker}")
    }

    /// The message of a transaction id: its unique key, and where it lies.
    fn read(id: &'a str) -> Option<(&'a str, Place<'a>)> {
        let mut words = id.rsplitn(4, '@');
        let broker = words.next().filter(|broker| !broker.is_empty())?;
        let log_offset = words.next()?.parse().ok()?;
        let queue_offset = words.next()?.parse().ok()?;
        let unique_key = words.next().filter(|key| !key.is_empty())?;
        Some((unique_key, Place { broker, queue_offset, log_offset }))
    }
}

pub(crate) async fn end(context: &Context, request: &EndTransactionRequest) -> Result<EndTransactionResponse, Refusal> {
    let topic = validate::topic(request.topic.as_ref())?;
    if request.transaction_id.trim().is_empty() {
        return Err(Refusal::new(Code::InvalidTransactionId, "transaction id cannot be blank"));
    }
    let (unique_key, place) =
        Place::read(&request.transaction_id).ok_or_else(|| not_found("the id is not of this server"))?;
    let commit = match TransactionResolution::try_from(request.resolution) {
        Ok(TransactionResolution::Commit) => true,
        Ok(TransactionResolution::Rollback) => false,
        // The producer does not know yet; it will be asked.
        _ => return Ok(EndTransactionResponse { status: Some(status::ok()) }),
    };
    let end = EndTransaction {
        // A gRPC producer has no group but its topic. Source: `EndTransactionActivity`.
        producer_group: topic,
        queue_offset: place.queue_offset,
        log_offset: place.log_offset,
        commit,
        from_check: request.source == TransactionSource::SourceServerCheck as i32,
    };
    context.backend.end_transaction(place.broker, unique_key, &end).await?;
    Ok(EndTransactionResponse { status: Some(status::ok()) })
}

/// There is no such transaction, or no longer.
pub(crate) fn not_found(reason: &str) -> Refusal {
    Refusal::new(Code::InternalServerError, format!("cannot found transaction data: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_where_the_half_lies() {
        let place = Place { broker: "broker-a", queue_offset: 7, log_offset: 4096 };
        assert_eq!(Place::read(&place.id("01AB")), Some(("01AB", place)));
        assert_eq!(Place::read(&place.id("a@b")), Some(("a@b", place)));
        for bad in ["", "01AB", "01AB@1", "@1@2@b", "01AB@x@2@b", "01AB@1@@b", "01AB@1@2@"] {
            assert_eq!(Place::read(bad), None, "{bad}");
        }
    }
}
