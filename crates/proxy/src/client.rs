//! The life of clients: settings, heartbeat, leaving, and forgetting those who left without a word.
//!
//! Source: `ClientActivity`.

use std::sync::Arc;
use std::time::Duration;

use broker::{FilterText, Heartbeat};
use protocol::body::{ConsumerData, GroupConfig, HeartbeatData, ProducerData, SubscriptionData};
use protocol::tag::{TagFilter, java_hash};
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
    pub(crate) fn settle(&self, caller: &Caller, said: Settings) -> Result<(Arc<Client>, Settings), Refusal> {
        let group = self.check(&said)?;
        let told = agree::agreed(&self.broker, &said, &group, self.check_message_type);
        let client = self.clients.settle(caller, said, told.clone(), self.broker.now_ms())?;
        self.register(&client);
        Ok((client, told))
    }

    /// Checks settings. The answer is the settings of the group, those of nobody for a producer.
    fn check(&self, said: &Settings) -> Result<Arc<GroupConfig>, Refusal> {
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
                    self.broker.check_filter(filter(entry.expression.as_ref()))?;
                }
                let group = self.broker.groups().require(group)?;
                let first = subscription.subscriptions.first().and_then(|entry| entry.topic.as_ref());
                lite::check(kind(said), &group, first.map(|topic| &*topic.name))?;
                Ok(group)
            }
            None => Err(Refusal::new(Code::BadRequest, "the settings name neither a publishing nor a subscription")),
        }
    }

    /// Makes a client a member of its groups, as often as it says that it is alive.
    fn register(&self, client: &Arc<Client>) {
        let (said, said_ms) = client.said();
        let Caller { client_id, language, version, ends, .. } = client.caller();
        let mut data = HeartbeatData { client_id, ..HeartbeatData::default() };
        match &said.pub_sub {
            Some(PubSub::Publishing(publishing)) => {
                let producer = |topic: &crate::v2::Resource| ProducerData { group_name: topic.name.clone() };
                data.producer_data_set = publishing.topics.iter().map(producer).collect();
            }
            Some(PubSub::Subscription(subscription)) => {
                let entries = subscription.subscriptions.iter();
                data.consumer_data_set = vec![ConsumerData {
                    consume_from_where: Some("CONSUME_FROM_LAST_OFFSET".into()),
                    consume_type: Some(
                        match kind(&said) {
                            ClientType::PushConsumer | ClientType::LitePushConsumer => "CONSUME_PASSIVELY",
                            _ => "CONSUME_ACTIVELY",
                        }
                        .into(),
                    ),
                    group_name: subscription.group.as_ref().map(|group| group.name.clone()).unwrap_or_default(),
                    subscription_data_set: entries
                        .map(|entry| {
                            let topic = entry.topic.as_ref().map(|topic| topic.name.clone()).unwrap_or_default();
                            subscription_data(topic, filter(entry.expression.as_ref()), said_ms)
                        })
                        .collect(),
                    ..ConsumerData::default()
                }];
            }
            None => {}
        }
        self.broker.reach().add(client.connection, || client.clone());
        let address = ends.remote.to_string();
        let beat = Heartbeat { connection: client.connection, address, language, version, data };
        let changed = self.broker.heartbeat(&beat);
        self.broker.tell(&changed);
    }

    /// Removes a client from everything.
    pub(crate) fn forget(&self, client: &Arc<Client>) {
        if lite::is_lite(kind(&client.said().0)) {
            lite::leave(self, client);
        }
        self.clients.remove(&client.id);
        self.broker.reach().remove(client.connection);
        let changed = self.broker.sessions().disconnected(client.connection);
        self.broker.tell(&changed);
        self.renewals.release(self, &client.id);
    }

    /// Looks after clients until it is dropped: tells them of changed settings, renews what they hold, forgets them.
    pub(crate) async fn look_after_clients(self: Arc<Self>) {
        loop {
            tokio::time::sleep(ROUND).await;
            let silence_ms = self.broker.config().session_timeout.as_millis() as i64;
            let before_ms = self.broker.now_ms() - silence_ms;
            for client in self.clients.all() {
                if client.is_silent_since(before_ms) {
                    debug!(client = client.id, "client forgotten after a long silence");
                    self.forget(&client);
                    continue;
                }
                let (said, _) = client.said();
                // What cannot be told now, of a group that was deleted for one, is left as it was told.
                if let Ok(group) = self.check(&said) {
                    client.tell_settings(agree::agreed(&self.broker, &said, &group, self.check_message_type));
                }
            }
            self.renewals.round(&self);
        }
    }
}

fn subscription_data(topic: String, filter: FilterText<'_>, version: i64) -> SubscriptionData {
    let tags = match (filter.kind, TagFilter::parse(filter.expression)) {
        (Some("TAG"), TagFilter::AnyOf(tags)) => tags,
        _ => Vec::new(),
    };
    SubscriptionData {
        code_set: tags.iter().map(|tag| java_hash(tag)).collect(),
        expression_type: filter.kind.map(str::to_owned),
        sub_string: if filter.expression.is_empty() { "*".into() } else { filter.expression.to_owned() },
        sub_version: version,
        tags_set: tags,
        topic,
        ..SubscriptionData::default()
    }
}

fn unknown() -> Refusal {
    Refusal::new(Code::UnrecognizedClientType, "cannot find client settings for this client")
}

pub(crate) fn heartbeat(context: &Context, caller: &Caller) -> Result<HeartbeatResponse, Refusal> {
    let client = context.clients.get(&caller.client_id).ok_or_else(unknown)?;
    let (said, _) = client.said();
    if !matches!(
        kind(&said),
        ClientType::Producer | ClientType::PushConsumer | ClientType::SimpleConsumer | ClientType::PullConsumer
    ) && !lite::is_lite(kind(&said))
    {
        return Err(Refusal::new(Code::UnrecognizedClientType, format!("{:?} is not served here", kind(&said))));
    }
    context.check(&said)?;
    client.heard(context.broker.now_ms());
    context.register(&client);
    Ok(HeartbeatResponse { status: Some(status::ok()) })
}

pub(crate) fn terminated(context: &Context, caller: &Caller) -> Result<NotifyClientTerminationResponse, Refusal> {
    let client = context.clients.get(&caller.client_id).ok_or_else(unknown)?;
    context.forget(&client);
    Ok(NotifyClientTerminationResponse { status: Some(status::ok()) })
}
