//! What brokers ask of us.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::body::ConsumerData;
use protocol::peer::{VERSION, version_name};
use protocol::request::{
    ConsumerGroupHeader, GetConsumerRunningInfo, GetConsumerRunningInfoHeader, NotifyConsumerIdsChanged, Request,
};
use protocol::{Frame, HeaderError, code, json};
use remoting::{Answer, NoParked, Peer, Response, Service};
use tokio::sync::Notify;

use crate::clock;

/// Wakes the consumers whose group changed, and says what a consumer subscribes to; refuses everything else, which
/// only admin tools ask.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    groups: Mutex<HashMap<String, Watched>>,
}

#[derive(Debug)]
struct Watched {
    data: ConsumerData,
    started_ms: i64,
    changed: Arc<Notify>,
}

impl Listener {
    /// `changed` is notified when members of the group come or go.
    pub(crate) fn watch(&self, data: ConsumerData, changed: Arc<Notify>) {
        let group = data.group_name.clone();
        self.groups.lock().insert(group, Watched { data, started_ms: clock::now_ms(), changed });
    }

    pub(crate) fn forget(&self, group: &str) {
        self.groups.lock().remove(group);
    }

    fn members_changed(&self, request: &Frame) -> Result<Response, HeaderError> {
        let header: ConsumerGroupHeader<'_> = request.header()?;
        if let Some(watched) = self.groups.lock().get(header.consumer_group) {
            watched.changed.notify_one();
        }
        Ok(Response::ok())
    }

    /// As much of `ConsumerRunningInfo` as tools compare: who we are and what we subscribe to.
    fn running_info(&self, request: &Frame) -> Result<Response, HeaderError> {
        let header: GetConsumerRunningInfoHeader<'_> = request.header()?;
        let groups = self.groups.lock();
        let Some(watched) = groups.get(header.consumer_group) else {
            let remark = format!("no consumer of group {} here", header.consumer_group);
            return Ok(Response::error(code::SYSTEM_ERROR, remark));
        };
        let info = serde_json::json!({
            "mqPopTable": {},
            "mqTable": {},
            "properties": {
                "PROP_CLIENT_VERSION": version_name(VERSION),
                "PROP_CONSUMER_START_TIMESTAMP": watched.started_ms.to_string(),
                "PROP_CONSUMEORDERLY": "false",
                "PROP_CONSUME_TYPE": watched.data.consume_type,
                "PROP_NAMESERVER_ADDR": "",
                "PROP_THREADPOOL_CORE_SIZE": "1",
            },
            "statusTable": {},
            "subscriptionSet": watched.data.subscription_data_set,
            "userConsumerInfo": {},
        });
        Ok(Response::ok().with_body(json::to_vec(&info)))
    }
}

impl Service for Listener {
    type Parked = NoParked;

    fn call(self: &Arc<Self>, _peer: &Arc<Peer>, request: Frame, _arrived: tokio::time::Instant) -> Answer<NoParked> {
        let answer = match request.code {
            NotifyConsumerIdsChanged::CODE => self.members_changed(&request),
            GetConsumerRunningInfo::CODE => self.running_info(&request),
            other => Ok(Response::unsupported(other)),
        };
        answer.unwrap_or_else(Response::from).into()
    }
}
