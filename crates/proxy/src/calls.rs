//! How many calls there were, how they ended and how long they took.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Exposition, Requests, Times};
use parking_lot::RwLock;

use crate::v2::Code;

/// Times by call and code of the answer: as many as the protocol has calls, each with the few codes it is answered with.
#[derive(Debug, Default)]
pub(crate) struct Calls(RwLock<BTreeMap<(&'static str, i32), Arc<Times>>>);

/// The call that waits for messages.
pub(crate) const RECEIVE: &str = "receive_message";

impl Calls {
    pub(crate) fn add(&self, call: &'static str, code: i32, took: Duration) {
        if let Some(times) = self.0.read().get(&(call, code)) {
            return times.add(took);
        }
        self.0.write().entry((call, code)).or_default().add(took);
    }

    pub(crate) fn show(&self, out: &mut Exposition<'_>) {
        let all = self.0.read();
        let named = all.iter().map(|((call, code), times)| {
            let code = Code::try_from(*code).map_or("other", |code| code.as_str_name()).to_lowercase();
            (*call, code, times.all())
        });
        let named: Vec<_> = named.collect();
        let all = named.iter().map(|(call, code, times)| Requests {
            protocol: "grpc",
            request: call,
            response: code,
            polling: *call == RECEIVE,
            oneway: false,
            times: *times,
        });
        metrics::requests(out, &all.collect::<Vec<_>>());
    }
}
