//! The end of transactions, and asking producers about those that have none.

use std::sync::Arc;

use broker::{EndTransaction, TransactionCheck};
use protocol::request::{CheckTransactionState, CheckTransactionStateHeader, EndTransactionHeader, Request};
use protocol::sysflag::{TRANSACTION_COMMIT, TRANSACTION_ROLLBACK};
use protocol::{Frame, name};
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

/// Asks producers about half messages when it is time.
pub(crate) async fn ask_producers(context: Arc<Context>) {
    loop {
        for check in context.broker.due_checks().await {
            ask(&context, check);
        }
    }
}

fn ask(context: &Context, check: TransactionCheck) {
    let Some(peer) = context.connections.get(check.connection) else { return };
    let config = context.broker.config();
    let header = CheckTransactionStateHeader {
        topic: Some(name::HALF_TOPIC),
        tran_state_table_offset: check.queue_offset as i64,
        commit_log_offset: check.log_offset as i64,
        msg_id: Some(&check.unique_key),
        transaction_id: Some(&check.unique_key),
        offset_msg_id: Some(&check.offset_message_id),
        broker_name: Some(&config.broker_name),
    };
    let frame = Frame::request(CheckTransactionState::CODE, &header).with_body(check.record);
    if let Err(error) = peer.notify(frame) {
        // Another producer may be asked at the next check.
        debug!(group = check.group, client = %peer.remote(), %error, "producer not asked about a transaction");
    }
}
