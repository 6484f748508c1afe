//! The end of transactions, and asking producers about those that have none.

use std::sync::Arc;

use broker::EndTransaction;
use protocol::request::{EndTransactionHeader, ResumeCheckHalfMessageHeader};
use protocol::sysflag::{TRANSACTION_COMMIT, TRANSACTION_ROLLBACK};
use protocol::{code, id};
use remoting::{Answer, Response};
use tracing::debug;

use crate::code::{Outcome, Refusal};
use crate::service::{Context, ParkedSend};
use crate::table::Call;

pub(crate) fn end(call: Call) -> Answer<ParkedSend> {
    match call.frame.header::<EndTransactionHeader<'_>>() {
        Err(error) => Response::from(error).into(),
        // The producer does not know yet; it will be asked. Source: `EndTransactionProcessor.processRequest`.
        Ok(header) if !matches!(header.commit_or_rollback, TRANSACTION_COMMIT | TRANSACTION_ROLLBACK) => Answer::Never,
        Ok(_) => Answer::later(async { try_end(call).await.map_err(|Refusal(response)| *response) }),
    }
}

async fn try_end(call: Call) -> Outcome {
    let header: EndTransactionHeader<'_> = call.frame.header()?;
    let end = EndTransaction {
        producer_group: header.producer_group,
        queue_offset: header.tran_state_table_offset,
        log_offset: header.commit_log_offset,
        commit: header.commit_or_rollback == TRANSACTION_COMMIT,
        from_check: header.from_transaction_check,
    };
    let ended = call.broker().end_transaction(&end).await.inspect_err(|error| {
        debug!(group = header.producer_group, offset = header.commit_log_offset, %error, "transaction not ended");
    })?;
    if !call.frame.is_oneway() {
        call.broker().store().acknowledged().wait(ended.end).await?;
    }
    Ok(Response::ok())
}

pub(crate) async fn resume(call: Call) -> Outcome {
    let header: ResumeCheckHalfMessageHeader<'_> = call.frame.header()?;
    let id = header.msg_id.unwrap_or_default();
    let place = id::parse_offset_id(id).and_then(|(_, offset)| i64::try_from(offset).ok());
    let unreadable = || Refusal::new(code::SYSTEM_ERROR, format!("{id:?} is not the offset id of a message"));
    let end = call.broker().resume_checks(place.ok_or_else(unreadable)?).await?;
    call.broker().store().acknowledged().wait(end).await?;
    Ok(Response::ok())
}

/// Asks producers about half messages when it is time, whatever wire they speak.
pub(crate) async fn ask_producers(context: Arc<Context>) {
    loop {
        for check in context.broker.due_checks().await {
            if let Some(producer) = context.broker.reach().get(check.connection) {
                producer.check_transaction(&check);
            }
        }
    }
}
