//! What does this broker answer? One line for each request code.

use std::sync::Arc;

use protocol::Frame;
use protocol::request::{self as r, Request};
use remoting::{Answer, Peer, Response};
use tokio::time::Instant;

use crate::code::{Outcome, Refusal};
use crate::handler::{
    assignment, client, config, group, lite, message, offset, pop, pull, relay, reply, reset, send, stats, topic,
    transaction,
};
use crate::service::{Context, ParkedSend};

/// A request with everything a handler may want to know about it.
pub(crate) struct Call {
    pub(crate) context: Arc<Context>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) frame: Frame,
}

impl Call {
    pub(crate) fn broker(&self) -> &Arc<broker::Broker> {
        &self.context.broker
    }
}

/// Handlers that answer at once.
fn now(handler: fn(&Call) -> Outcome, call: &Call) -> Answer<ParkedSend> {
    handler(call).map_or_else(|Refusal(response)| response.into(), Answer::from)
}

/// Handlers that may wait: for a read, for another peer, for name servers.
fn later<F>(handler: fn(Call) -> F, call: Call) -> Answer<ParkedSend>
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let future = handler(call);
    Answer::later(async { future.await.map_err(|Refusal(response)| *response) })
}

pub(crate) fn answer(
    context: &Arc<Context>,
    fast: bool,
    peer: &Arc<Peer>,
    frame: Frame,
    arrived: Instant,
) -> Answer<ParkedSend> {
    if let r::SendMessageV2::CODE | r::SendBatchMessage::CODE | r::SendMessage::CODE = frame.code {
        return send::send(context, peer, &frame, arrived);
    }
    let call = Call { context: context.clone(), peer: peer.clone(), frame };
    match call.frame.code {
        // Source: `BrokerController.registerProcessor`: the fast port has no pull processor.
        r::PullMessage::CODE | r::LitePullMessage::CODE if fast => Response::unsupported(call.frame.code).into(),
        r::PopMessage::CODE | r::PeekMessage::CODE | r::Notification::CODE | r::PollingInfo::CODE if fast => {
            Response::unsupported(call.frame.code).into()
        }

        r::PullMessage::CODE | r::LitePullMessage::CODE => pull::pull(call),
        r::PopMessage::CODE => pop::pop(&call),
        r::AckMessage::CODE => now(pop::ack, &call),
        r::BatchAckMessage::CODE => now(pop::batch_ack, &call),
        r::ChangeInvisibleTime::CODE => now(pop::change_invisible, &call),
        r::Notification::CODE => later(pop::notification, call),
        r::PeekMessage::CODE => later(pop::peek, call),
        r::PollingInfo::CODE => now(pop::polling_info, &call),
        r::PopRollback::CODE => now(pop::rollback, &call),
        r::QueryAssignment::CODE => later(assignment::query, call),
        r::SetMessageRequestMode::CODE => now(assignment::set_mode, &call),
        r::GetAllMessageRequestMode::CODE => now(assignment::all_modes, &call),

        r::SendReply::CODE | r::SendReplyV2::CODE => later(reply::reply, call),
        r::ConsumerSendBack::CODE => later(send::send_back, call),
        r::RecallMessage::CODE => later(send::recall, call),
        r::EndTransaction::CODE => transaction::end(call),
        r::ResumeCheckHalfMessage::CODE => later(transaction::resume, call),

        r::HeartBeat::CODE => client::heartbeat(call),
        r::UnregisterClient::CODE => now(client::unregister, &call),
        r::GetConsumerList::CODE => now(client::consumer_list, &call),
        r::LockBatch::CODE => now(client::lock, &call),
        r::UnlockBatch::CODE => now(client::unlock, &call),
        r::CheckClientConfig::CODE => now(client::check_config, &call),
        r::GetConsumerConnections::CODE => now(client::consumer_connections, &call),
        r::GetProducerConnections::CODE => now(client::producer_connections, &call),
        r::GetAllProducers::CODE => now(client::all_producers, &call),

        r::QueryConsumerOffset::CODE => later(offset::query, call),
        r::UpdateConsumerOffset::CODE => now(offset::update, &call),
        r::GetMaxOffset::CODE => now(offset::max, &call),
        r::GetMinOffset::CODE => now(offset::min, &call),
        r::SearchOffset::CODE => later(offset::search, call),
        r::GetEarliestStoreTime::CODE => later(offset::earliest_time, call),
        r::GetAllConsumerOffset::CODE => now(offset::all, &call),
        r::GetAllDelayOffset::CODE => now(offset::delays, &call),
        r::CloneGroupOffset::CODE => now(offset::clone_group, &call),

        r::ViewMessage::CODE => later(message::view, call),
        r::QueryMessage::CODE => later(message::query, call),
        r::QueryConsumeQueue::CODE => later(message::consume_queue, call),

        r::CreateTopic::CODE => later(topic::create, call),
        r::CreateTopicList::CODE => later(topic::create_list, call),
        r::DeleteTopic::CODE => later(topic::delete, call),
        r::GetAllTopicConfig::CODE => now(topic::all, &call),
        r::GetTopicConfig::CODE => now(topic::get, &call),
        r::GetSystemTopics::CODE => now(topic::system, &call),
        r::CleanUnusedTopic::CODE => now(topic::clean_unused, &call),

        r::CreateGroup::CODE => later(group::create, call),
        r::CreateGroupList::CODE => later(group::create_list, call),
        r::DeleteGroup::CODE => later(group::delete, call),
        r::GetAllGroupConfig::CODE => now(group::all, &call),
        r::GetGroupConfig::CODE => now(group::get, &call),
        r::QueryTopicConsumers::CODE => now(group::of_topic, &call),
        r::QueryTopicsByConsumer::CODE => now(group::topics, &call),
        r::QuerySubscription::CODE => now(group::subscription, &call),

        r::GetTopicStats::CODE => later(stats::topic, call),
        r::GetConsumeStats::CODE => later(stats::consume, call),
        r::GetBrokerConsumeStats::CODE => later(stats::consume_of_all, call),
        r::QueryConsumeTimeSpan::CODE => later(stats::time_span, call),
        r::GetBrokerRuntimeInfo::CODE => later(stats::runtime_info, call),
        r::ViewBrokerStats::CODE => now(stats::view, &call),
        r::GetBrokerHaStatus::CODE => now(stats::ha_status, &call),

        r::GetBrokerConfig::CODE => now(config::get, &call),
        r::UpdateBrokerConfig::CODE => later(config::update, call),
        r::CleanExpiredConsumeQueue::CODE => later(config::clean, call),
        r::DeleteExpiredCommitLog::CODE => later(config::clean, call),

        r::PopLiteMessage::CODE if fast => Response::unsupported(call.frame.code).into(),
        r::PopLiteMessage::CODE => later(lite::pop, call),
        r::LiteSubscriptionCtl::CODE => now(lite::subscribe, &call),
        r::GetBrokerLiteInfo::CODE => now(lite::broker_info, &call),
        r::GetParentTopicInfo::CODE => now(lite::parent_info, &call),
        r::GetLiteTopicInfo::CODE => later(lite::topic_info, call),
        r::GetLiteClientInfo::CODE => now(lite::client_info, &call),
        r::GetLiteGroupInfo::CODE => later(lite::group_info, call),
        r::TriggerLiteDispatch::CODE => now(lite::dispatch, &call),

        r::ResetOffset::CODE => later(reset::reset, call),
        r::GetConsumerStatus::CODE => later(relay::consumer_status, call),
        r::GetConsumerRunningInfo::CODE => later(relay::running_info, call),
        r::ConsumeMessageDirectly::CODE => later(relay::consume_directly, call),

        other => Response::unsupported(other).into(),
    }
}
