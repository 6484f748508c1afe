//! Settings of the broker at run time.

use std::fs;
use std::io;
use std::path::Path;

use protocol::request::BrokerConfigReply;
use protocol::{Fields, code};
use remoting::Response;
use serde_json::json;
use settings::{Settings as _, Update, UpdateError, properties};
use tracing::info;

use crate::code::{Outcome, Refusal};
use crate::limits::CLEAN_WAIT;
use crate::table::Call;

pub(crate) fn get(call: &Call) -> Outcome {
    let text = call.context.settings.read().to_properties_text() + &call.context.metrics.read().to_properties_text();
    let version = json!({ "counter": 0, "stateVersion": 0, "timestamp": call.context.started_ms }).to_string();
    let fields = Fields::of(&BrokerConfigReply { version: &version });
    Ok(Response { fields, ..Response::ok().with_body(text) })
}

/// File of the settings that were changed at run time, below the data directory. It counts at the next start.
pub const CHANGED_SETTINGS: &str = "config/changed.properties";

/// Adds changes to those of earlier updates.
fn keep(path: &Path, changes: &[(&str, String)]) -> io::Result<()> {
    let earlier = match fs::read(path) {
        Ok(text) => properties::parse(&text).map_err(io::Error::other)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let kept = earlier.iter().filter(|pair| changes.iter().all(|(key, _)| *key != pair.key));
    let mut text: String = kept.map(|pair| properties::line(&pair.key, &pair.value)).collect();
    text.extend(changes.iter().map(|(key, value)| properties::line(key, value)));
    settings::replace_file(path, text.as_bytes())
}

/// Keys that may not be changed from afar. Source: `configBlackList`.
const FORBIDDEN: [&str; 3] = ["configBlackList", "brokerConfigPath", "storePathRootDir"];

/// A change is on the disk before it counts. That may take long, so it happens beside the connections, holds nothing that
/// others need, and one change waits for the other.
pub(crate) async fn update(call: Call) -> Outcome {
    let turn = call.context.updates.clone().lock_owned().await;
    let updated = tokio::task::spawn_blocking(move || {
        let outcome = update_now(&call);
        drop(turn);
        outcome
    });
    updated.await.map_err(|error| Refusal::new(code::SYSTEM_ERROR, error.to_string()))?
}

fn update_now(call: &Call) -> Outcome {
    let context = &call.context;
    let (dir, update) = {
        let (settings, metrics) = (context.settings.read(), context.metrics.read());
        (settings.store_dir.clone(), Update::parse(&[&*settings, &*metrics], &call.frame.body, &FORBIDDEN))
    };
    let update = update.map_err(|error| {
        let code = if matches!(error, UpdateError::Forbidden(_)) { code::NO_PERMISSION } else { code::SYSTEM_ERROR };
        Refusal::new(code, error.to_string())
    })?;
    keep(&dir.join(CHANGED_SETTINGS), &update.changes).map_err(|error| {
        Refusal::new(code::SYSTEM_ERROR, format!("the change could not be saved, so it was not made: {error}"))
    })?;
    let config = {
        let (mut settings, mut metrics) = (context.settings.write(), context.metrics.write());
        update.apply(&mut [&mut *settings, &mut *metrics]);
        settings.broker_config()
    };
    call.broker().reconfigure(config);
    let mut response = Response::ok();
    if !update.restart.is_empty() {
        response.remark = Some(format!("takes effect at the next start: {}", update.restart.join(", ")));
    }
    let keys: Vec<_> = update.changes.iter().map(|(key, _)| *key).collect();
    info!(keys = keys.join(","), client = %call.peer.remote(), "settings changed");
    Ok(response)
}

/// Deletes what retention allows now, with its queue entries and keys, without waiting for the next round. If there is
/// much of it, the answer comes before the end: `mqadmin` waits for five seconds, and Java's broker answers at once.
pub(crate) async fn clean(call: Call) -> Outcome {
    let store = call.broker().store().clone();
    let swept = tokio::task::spawn_blocking(move || store.sweep());
    if let Ok(swept) = tokio::time::timeout(CLEAN_WAIT, swept).await {
        swept.map_err(|error| Refusal::new(code::SYSTEM_ERROR, error.to_string()))??;
    }
    Ok(Response::ok())
}
