//! The life of clients: settings, heartbeat, leaving, and forgetting those who left without a word.
//!
//! Source: `ClientActivity`.

use std::sync::Arc;
use std::time::Duration;

use broker::FilterText;
use protocol::body::GroupConfig;
use tracing::debug;

use crate::caller::Caller;
use crate::clients::Client;
use crate::context::Context;
use crate::limits::TOPICS_OF_A_CLIENT;
use crate::status::{self, Refusal};
use crate::v2::settings::PubSub;
use crate::v2::{
    ClientType, Code, FilterExpression, FilterType, HeartbeatResponse, NotifyClientTerminationResponse, Settings,
};
use crate::{agree, lite, validate};

/// Time between two looks at all clients. Source: `GrpcClientSettingsManager`, `DefaultReceiptHandleManager`.
const ROUND: Duration = Duration::from_secs(5);

/// What kind of client the settings speak of.
pub(crate) fn kind(settings: &Settings) -> ClientType {
    ClientType::try_from(settings.client_type.unwrap_or_default()).unwrap_or(ClientType::Unspecified)
}

/// A filter of the protocol in the broker's words.
pub(crate) fn filter(expression: Option<&FilterExpression>) -> FilterText<'_> {
    match expression {
        Some(filter) if filter.r#type == FilterType::Sql as i32 => {
            FilterText { kind: Some("SQL92"), expression: &filter.expression }
        }
        Some(filter) => FilterText { kind: Some("TAG"), expression: &filter.expression },
        None => FilterText { kind: Some("TAG"), expression: "*" },
    }
}

impl Context {
    /// Takes settings of a client in and returns those that it is told.
    pub(crate) async fn settle(&self, caller: &Caller, said: Settings) -> Result<(Arc<Client>, Settings), Refusal> {
        let group = self.check(&said).await?;
        let told = self.agreed(&said, &group);
        let client = self.clients.settle(caller, said, told.clone(), self.backend.now_ms())?;
        self.backend.register(&client);
        Ok((client, told))
    }

    fn agreed(&self, said: &Settings, group: &GroupConfig) -> Settings {
        agree::agreed(said, group, self.backend.message_bytes_max(), self.check_message_type)
    }

    /// Checks settings. The answer is the settings of the group, those of nobody for a producer.
    async fn check(&self, said: &Settings) -> Result<Arc<GroupConfig>, Refusal> {
        let too_many = |count: usize| match count > TOPICS_OF_A_CLIENT {
            true => Err(Refusal::new(
                Code::BadRequest,
                format!("{count} topics are too many for one client, the limit is {TOPICS_OF_A_CLIENT}"),
            )),
            false => Ok(()),
        };
        match &said.pub_sub {
            Some(PubSub::Publishing(publishing)) => {
                too_many(publishing.topics.len())?;
                publishing.topics.iter().try_for_each(|topic| validate::topic(Some(topic)).map(drop))?;
                Ok(Arc::default())
            }
            Some(PubSub::Subscription(subscription)) => {
                too_many(subscription.subscriptions.len())?;
                let group = validate::group(subscription.group.as_ref())?;
                for entry in &subscription.subscriptions {
                    validate::topic(entry.topic.as_ref())?;
                    self.backend.check_filter(filter(entry.expression.as_ref()))?;
                }
                let group = self.backend.group(group).await?;
                let first = subscription.subscriptions.first().and_then(|entry| entry.topic.as_ref());
                lite::check(kind(said), &group, first.map(|topic| &*topic.name))?;
                Ok(group)
            }
            None => Err(Refusal::new(Code::BadRequest, "the settings name neither a publishing nor a subscription")),
        }
    }

    /// Removes a client from everything.
    pub(crate) fn forget(&self, client: &Arc<Client>) {
        if lite::is_lite(kind(&client.said().0)) {
            self.backend.lite_leave(client);
        }
        self.clients.remove(&client.id);
        self.backend.unregister(client);
        self.renewals.release(self, &client.id);
    }

    /// Looks after clients until it is dropped: tells them of changed settings, renews what they hold, forgets them.
    pub(crate) async fn look_after_clients(self: Arc<Self>) {
        loop {
            tokio::time::sleep(ROUND).await;
            let silence_ms = self.backend.session_timeout().as_millis() as i64;
            let before_ms = self.backend.now_ms() - silence_ms;
            for client in self.clients.all() {
                if client.is_silent_since(before_ms) {
                    debug!(client = client.id, "client forgotten after a long silence");
                    self.forget(&client);
                    continue;
                }
                let (said, _) = client.said();
                // What cannot be told now, of a group that was deleted for one, is left as it was told.
                if let Ok(group) = self.check(&said).await {
                    client.tell_settings(self.agreed(&said, &group));
                }
            }
            self.renewals.round(&self).await;
        }
    }
}

fn unknown() -> Refusal {
    Refusal::new(Code::UnrecognizedClientType, "cannot find client settings for this client")
}

pub(crate) async fn heartbeat(context: &Context, caller: &Caller) -> Result<HeartbeatResponse, Refusal> {
    let client = context.clients.get(&caller.client_id).ok_or_else(unknown)?;
    let (said, _) = client.said();
    if !matches!(
        kind(&said),
        ClientType::Producer | ClientType::PushConsumer | ClientType::SimpleConsumer | ClientType::PullConsumer
    ) && !lite::is_lite(kind(&said))
    {
        return Err(Refusal::new(Code::UnrecognizedClientType, format!("{:?} is not served here", kind(&said))));
    }
    context.check(&said).await?;
    client.heard(context.backend.now_ms());
    context.backend.register(&client);
    Ok(HeartbeatResponse { status: Some(status::ok()) })
}

pub(crate) fn terminated(context: &Context, caller: &Caller) -> Result<NotifyClientTerminationResponse, Refusal> {
    let client = context.clients.get(&caller.client_id).ok_or_else(unknown)?;
    context.forget(&client);
    Ok(NotifyClientTerminationResponse { status: Some(status::ok()) })
}
