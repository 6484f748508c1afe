//! What brokers ask of us.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::Frame;
use protocol::request::{ConsumerGroupHeader, NotifyConsumerIdsChanged, Request};
use remoting::{Answer, NoParked, Outbox, Peer, ReplyTo, Response, Service};
use tokio::sync::Notify;

/// Wakes the consumers whose group changed; refuses everything else, which only admin tools ask.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    groups: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Listener {
    /// `changed` is notified when members of the group come or go.
    pub(crate) fn watch(&self, group: &str, changed: Arc<Notify>) {
        self.groups.lock().insert(group.to_owned(), changed);
    }

    pub(crate) fn forget(&self, group: &str) {
        self.groups.lock().remove(group);
    }
}

impl Service for Listener {
    type Parked = NoParked;

    fn call(self: &Arc<Self>, _peer: &Arc<Peer>, request: Frame) -> Answer<NoParked> {
        if request.code != NotifyConsumerIdsChanged::CODE {
            return Response::unsupported(request.code).into();
        }
        let header: Result<ConsumerGroupHeader<'_>, _> = request.header();
        if let Ok(header) = header
            && let Some(changed) = self.groups.lock().get(header.consumer_group)
        {
            changed.notify_one();
        }
        Response::ok().into()
    }

    fn is_ready(&self, parked: &NoParked) -> bool {
        match *parked {}
    }

    async fn ready(&self, parked: &NoParked) {
        match *parked {}
    }

    fn settle(&self, parked: NoParked, _to: ReplyTo, _out: &mut Outbox) {
        match parked {}
    }
}
