//! What brokers say by themselves, over the connections that we opened.

use std::sync::Arc;

use protocol::record::RecordView;
use protocol::request::{
    CheckTransactionState, CheckTransactionStateHeader, NotifyUnsubscribeLite, NotifyUnsubscribeLiteHeader, Request,
};
use protocol::{Frame, HeaderError, properties};
use remoting::{Answer, NoParked, Peer, Response, Service};
use tracing::debug;

use super::transaction::Producers;
use crate::clients::Clients;
use crate::transaction;

/// Hands it on to the clients that it is for.
pub(super) struct Listener {
    clients: Arc<Clients>,
    producers: Arc<Producers>,
}

impl Listener {
    pub(super) fn new(clients: Arc<Clients>, producers: Arc<Producers>) -> Listener {
        Listener { clients, producers }
    }

    fn check_transaction(&self, request: &Frame) -> Result<(), HeaderError> {
        let header: CheckTransactionStateHeader<'_> = request.header()?;
        let Ok(view) = RecordView::parse(&request.body) else { return Ok(()) };
        let Some(broker) = header.broker_name.filter(|name| !name.is_empty()) else {
            debug!("a broker that does not say its name asks about a transaction");
            return Ok(());
        };
        let group = view.property(properties::PRODUCER_GROUP).unwrap_or(view.topic());
        let Some(client) = self.producers.one_of(group) else {
            // Another may be there at the next check.
            debug!(group, "nobody to ask about a transaction");
            return Ok(());
        };
        let unique_key = view.property(properties::UNIQUE_KEY).or(header.transaction_id).unwrap_or_default();
        let (queue_offset, log_offset) = (header.tran_state_table_offset, header.commit_log_offset);
        client.recover(transaction::Place { broker, queue_offset, log_offset }, unique_key, &request.body);
        Ok(())
    }

    fn unsubscribe_lite(&self, request: &Frame) -> Result<(), HeaderError> {
        let header: NotifyUnsubscribeLiteHeader<'_> = request.header()?;
        if let Some(client) = self.clients.get(header.client_id) {
            client.lose_lite_topic(header.consumer_group, header.lite_topic);
        }
        Ok(())
    }
}

impl Service for Listener {
    type Parked = NoParked;

    fn call(self: &Arc<Self>, _peer: &Arc<Peer>, request: Frame, _arrived: tokio::time::Instant) -> Answer<NoParked> {
        let heard = match request.code {
            CheckTransactionState::CODE => self.check_transaction(&request),
            NotifyUnsubscribeLite::CODE => self.unsubscribe_lite(&request),
            other => return Response::unsupported(other).into(),
        };
        heard.map_or_else(Response::from, |()| Response::ok()).into()
    }
}
