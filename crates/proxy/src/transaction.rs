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

/// The transaction id of a half message.
pub(crate) fn id(unique_key: &str, queue_offset: u64, log_offset: u64) -> String {
    format!("{unique_key}@{queue_offset}@{log_offset}")
}

/// Places of a half message in its queue and in the log.
fn places(id: &str) -> Option<(i64, i64)> {
    let mut words = id.rsplitn(3, '@');
    let log_offset = words.next()?.parse().ok()?;
    let queue_offset = words.next()?.parse().ok()?;
    words.next().filter(|key| !key.is_empty())?;
    Some((queue_offset, log_offset))
}

pub(crate) async fn end(context: &Context, request: &EndTransactionRequest) -> Result<EndTransactionResponse, Refusal> {
    let topic = validate::topic(request.topic.as_ref())?;
    if request.transaction_id.trim().is_empty() {
        return Err(Refusal::new(Code::InvalidTransactionId, "transaction id cannot be blank"));
    }
    let missing = || Refusal::new(Code::InternalServerError, "cannot found transaction data");
    let (queue_offset, log_offset) = places(&request.transaction_id).ok_or_else(missing)?;
    let commit = match TransactionResolution::try_from(request.resolution) {
        Ok(TransactionResolution::Commit) => true,
        Ok(TransactionResolution::Rollback) => false,
        // The producer does not know yet; it will be asked.
        _ => return Ok(EndTransactionResponse { status: Some(status::ok()) }),
    };
    let end = EndTransaction {
        // A gRPC producer has no group but its topic. Source: `EndTransactionActivity`.
        producer_group: topic,
        queue_offset,
        log_offset,
        commit,
        from_check: request.source == TransactionSource::SourceServerCheck as i32,
    };
    let ended = match context.broker.end_transaction(&end).await {
        Err(broker::Error::NotFound(reason)) => {
            return Err(Refusal { message: format!("cannot found transaction data: {reason}"), ..missing() });
        }
        ended => ended?,
    };
    context.safe(ended.end).await?;
    Ok(EndTransactionResponse { status: Some(status::ok()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_where_the_half_lies() {
        assert_eq!(places(&id("01AB", 7, 4096)), Some((7, 4096)));
        assert_eq!(places(&id("a@b", 0, 0)), Some((0, 0)));
        for bad in ["", "01AB", "01AB@1", "@1@2", "01AB@x@2", "01AB@1@"] {
            assert_eq!(places(bad), None, "{bad}");
        }
    }
}
