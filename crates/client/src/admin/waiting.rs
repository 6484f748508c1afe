//! Messages that wait: for their time, or for a decision.

use protocol::request::{
    EndTransaction, EndTransactionHeader, RecallMessage, RecallMessageHeader, ResumeCheckHalfMessage,
    ResumeCheckHalfMessageHeader,
};

use super::Admin;
use crate::Error;

impl Admin {
    /// Cancels a message that waits for its time at a broker, by its handle; see [`protocol::recall`].
    pub async fn recall(&self, address: &str, topic: &str, recall_handle: &str) -> Result<(), Error> {
        let header = RecallMessageHeader { producer_group: None, topic, recall_handle };
        self.at::<RecallMessage>(address, &header).await?;
        Ok(())
    }

    /// Decides a transaction at the broker that holds the half message.
    pub async fn end_transaction(&self, address: &str, end: &EndTransactionHeader<'_>) -> Result<(), Error> {
        self.at::<EndTransaction>(address, end).await?;
        Ok(())
    }

    /// Lets the broker that set a half message aside ask about it again, by the offset id of what it set aside.
    pub async fn resume_checks(&self, address: &str, topic: &str, offset_id: &str) -> Result<(), Error> {
        let header = ResumeCheckHalfMessageHeader { topic: Some(topic), msg_id: Some(offset_id) };
        self.at::<ResumeCheckHalfMessage>(address, &header).await?;
        Ok(())
    }
}
