//! Settings of the broker at run time.

use protocol::request::BrokerConfigReply;
use protocol::{Fields, code};
use remoting::Response;
use serde_json::json;
use settings::{Settings as _, Update, UpdateError};
use tracing::info;

use crate::code::{Outcome, Refusal};
use crate::table::Call;

pub(crate) fn get(call: &Call) -> Outcome {
    let text = call.context.settings.read().to_properties_text();
    let version = json!({ "counter": 0, "stateVersion": 0, "timestamp": call.context.started_ms }).to_string();
    let fields = Fields::of(&BrokerConfigReply { version: &version });
    Ok(Response { fields, ..Response::ok().with_body(text) })
}

/// Keys that may not be changed from afar. Source: `configBlackList`.
const FORBIDDEN: [&str; 3] = ["configBlackList", "brokerConfigPath", "storePathRootDir"];

pub(crate) fn update(call: &Call) -> Outcome {
    let mut settings = call.context.settings.write();
    let update = Update::parse(&[&*settings], &call.frame.body, &FORBIDDEN).map_err(|error| {
        let code = if matches!(error, UpdateError::Forbidden(_)) { code::NO_PERMISSION } else { code::SYSTEM_ERROR };
        Refusal::new(code, error.to_string())
    })?;
    update.apply(&mut [&mut *settings]);
    call.broker().reconfigure(settings.broker_config());
    let mut response = Response::ok();
    if !update.restart.is_empty() {
        response.remark = Some(format!("takes effect at the next start: {}", update.restart.join(", ")));
    }
    let keys: Vec<_> = update.changes.iter().map(|(key, _)| *key).collect();
    info!(keys = keys.join(","), client = %call.peer.remote(), "settings changed");
    Ok(response)
}

/// Retention runs by itself every few seconds, queues and index included, so asking for it changes nothing.
pub(crate) fn clean(_call: &Call) -> Outcome {
    Ok(Response::ok())
}
