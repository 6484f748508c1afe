//! The calls of the protocol: each decodes who calls, and hands over to the file of its family.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use tokio::time::Instant;
use tonic::{Request, Response, Streaming, async_trait};

use crate::caller::Caller;
use crate::calls::RECEIVE;
use crate::context::Context;
use crate::delivery::Delivery;
use crate::status::{Answer, Refusal, answer};
use crate::v2::messaging_service_server::MessagingService;
use crate::v2::pull_message_response::Content;
use crate::v2::*;
use crate::{ack, client, dead_letter, lite, offset, receive, route, send, telemetry, transaction};

pub(crate) struct Service(pub(crate) Arc<Context>);

type Called<A> = Result<Response<A>, tonic::Status>;

/// Answers a call for which it matters who calls, and counts it.
async fn called<R, A: Answer>(
    service: &Service,
    name: &'static str,
    request: Request<R>,
    call: impl AsyncFnOnce(Caller, R) -> Result<A, Refusal>,
) -> Called<A> {
    let begun = Instant::now();
    let outcome = match Caller::of(&request) {
        Ok(caller) => call(caller, request.into_inner()).await,
        Err(refusal) => Err(refusal),
    };
    let answer = answer(outcome);
    service.0.calls.add(name, answer.code(), begun.elapsed());
    Ok(Response::new(answer))
}

#[async_trait]
impl MessagingService for Service {
    async fn query_route(&self, request: Request<QueryRouteRequest>) -> Called<QueryRouteResponse> {
        called(self, "query_route", request, async |caller, request| route::route(&self.0, &caller, &request).await)
            .await
    }

    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Called<HeartbeatResponse> {
        called(self, "heartbeat", request, async |caller, _| client::heartbeat(&self.0, &caller).await).await
    }

    async fn send_message(&self, request: Request<SendMessageRequest>) -> Called<SendMessageResponse> {
        called(self, "send_message", request, async |caller, request| send::send(&self.0, &caller, request).await).await
    }

    async fn query_assignment(&self, request: Request<QueryAssignmentRequest>) -> Called<QueryAssignmentResponse> {
        called(self, "query_assignment", request, async |caller, request| {
            route::assignment(&self.0, &caller, &request).await
        })
        .await
    }

    type ReceiveMessageStream = Delivery;

    async fn receive_message(&self, request: Request<ReceiveMessageRequest>) -> Called<Delivery> {
        let begun = Instant::now();
        let delivery = match Caller::of(&request) {
            Ok(caller) => receive::receive(self.0.clone(), caller, request.into_inner()).await,
            Err(refusal) => Delivery::refused(self.0.clone(), refusal),
        };
        self.0.calls.add(RECEIVE, delivery.code(), begun.elapsed());
        Ok(Response::new(delivery))
    }

    async fn ack_message(&self, request: Request<AckMessageRequest>) -> Called<AckMessageResponse> {
        called(self, "ack_message", request, async |_, request| ack::ack(&self.0, request).await).await
    }

    async fn forward_message_to_dead_letter_queue(
        &self,
        request: Request<ForwardMessageToDeadLetterQueueRequest>,
    ) -> Called<ForwardMessageToDeadLetterQueueResponse> {
        called(self, "forward_message_to_dead_letter_queue", request, async |_, request| {
            dead_letter::forward(&self.0, &request).await
        })
        .await
    }

    type PullMessageStream = Pin<Box<dyn Stream<Item = Result<PullMessageResponse, tonic::Status>> + Send>>;

    async fn pull_message(&self, request: Request<PullMessageRequest>) -> Called<Self::PullMessageStream> {
        if let Err(refusal) = Caller::of(&request) {
            let refused = PullMessageResponse { content: Some(Content::Status(refusal.into())) };
            return Ok(Response::new(Box::pin(futures_util::stream::iter([Ok(refused)]))));
        }
        Ok(Response::new(Box::pin(offset::pull(self.0.clone(), request.into_inner()).await)))
    }

    async fn update_offset(&self, request: Request<UpdateOffsetRequest>) -> Called<UpdateOffsetResponse> {
        called(self, "update_offset", request, async |_, request| offset::update(&self.0, &request).await).await
    }

    async fn get_offset(&self, request: Request<GetOffsetRequest>) -> Called<GetOffsetResponse> {
        called(self, "get_offset", request, async |_, request| offset::get(&self.0, &request).await).await
    }

    async fn query_offset(&self, request: Request<QueryOffsetRequest>) -> Called<QueryOffsetResponse> {
        called(self, "query_offset", request, async |_, request| offset::query(&self.0, &request).await).await
    }

    async fn end_transaction(&self, request: Request<EndTransactionRequest>) -> Called<EndTransactionResponse> {
        called(self, "end_transaction", request, async |_, request| transaction::end(&self.0, &request).await).await
    }

    type TelemetryStream = telemetry::Commands;

    async fn telemetry(&self, request: Request<Streaming<TelemetryCommand>>) -> Called<telemetry::Commands> {
        Ok(Response::new(telemetry::telemetry(self.0.clone(), request)))
    }

    async fn notify_client_termination(
        &self,
        request: Request<NotifyClientTerminationRequest>,
    ) -> Called<NotifyClientTerminationResponse> {
        called(self, "notify_client_termination", request, async |caller, _| client::terminated(&self.0, &caller)).await
    }

    async fn change_invisible_duration(
        &self,
        request: Request<ChangeInvisibleDurationRequest>,
    ) -> Called<ChangeInvisibleDurationResponse> {
        called(self, "change_invisible_duration", request, async |_, request| {
            ack::change_invisible(&self.0, &request).await
        })
        .await
    }

    async fn recall_message(&self, request: Request<RecallMessageRequest>) -> Called<RecallMessageResponse> {
        called(self, "recall_message", request, async |caller, request| send::recall(&self.0, &caller, &request).await)
            .await
    }

    async fn sync_lite_subscription(
        &self,
        request: Request<SyncLiteSubscriptionRequest>,
    ) -> Called<SyncLiteSubscriptionResponse> {
        called(self, "sync_lite_subscription", request, async |caller, request| {
            lite::sync(&self.0, &caller, &request).await
        })
        .await
    }
}
