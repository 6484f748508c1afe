//! A broker with a gRPC server in front of it, and clients of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Config};
use protocol::body::TopicConfig;
use proxy::v2::messaging_service_client::MessagingServiceClient;
use proxy::v2::settings::PubSub;
use proxy::v2::telemetry_command::Command;
use proxy::v2::*;
use proxy::{Advertised, Proxy};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status as GrpcStatus, Streaming};

/// How long a test waits for something that should come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) broker: Arc<Broker>,
    pub(crate) proxy: Proxy,
    _dir: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Server {
        let settings = proxy::Settings { grpc_server_port: 0, ..proxy::Settings::default() };
        Server::start_as(change, settings).await
    }

    pub(crate) async fn start_as(change: impl FnOnce(&mut Config), settings: proxy::Settings) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("config"));
        change(&mut config);
        let mut options = store::Options::new(dir.path());
        options.segment_bytes = 4 << 20;
        let (broker, _) = Broker::open(config, options).unwrap();
        broker.start();
        let advertised = Advertised { remoting_port: 10911, ..Advertised::default() };
        let proxy =
            Proxy::start(broker.clone(), IpAddr::V4(Ipv4Addr::LOCALHOST), &settings, advertised, Arc::default())
                .await
                .unwrap();
        Server { broker, proxy, _dir: dir }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// Makes a topic of a type.
    pub(crate) fn topic(&self, name: &str, kind: &str) -> Resource {
        let config = TopicConfig::new(name, 4);
        self.broker.topics().put_with_attributes(config, &format!("+message.type={kind}")).unwrap();
        resource(name)
    }

    pub(crate) async fn client(&self, id: &str) -> Client {
        Client::connect(&format!("http://{}", self.address()), id).await
    }

    pub(crate) async fn stop(self) {
        self.proxy.stop().await;
        self.broker.stop().await;
    }
}

/// Says who calls.
#[derive(Clone)]
pub(crate) struct Who(String);

impl Interceptor for Who {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, GrpcStatus> {
        let headers = request.metadata_mut();
        if !self.0.is_empty() {
            headers.insert("x-mq-client-id", MetadataValue::try_from(&self.0).unwrap());
        }
        headers.insert("x-mq-language", MetadataValue::from_static("RUST"));
        headers.insert("x-mq-client-version", MetadataValue::from_static("5.0.9"));
        Ok(request)
    }
}

type Stub = MessagingServiceClient<InterceptedService<Channel, Who>>;

/// One client.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) stub: Stub,
}

/// A telemetry stream of a client.
pub(crate) struct Line {
    pub(crate) to: mpsc::Sender<TelemetryCommand>,
    pub(crate) from: Streaming<TelemetryCommand>,
}

impl Client {
    pub(crate) async fn connect(url: &str, id: &str) -> Client {
        let channel = Endpoint::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
        let stub = MessagingServiceClient::with_interceptor(channel, Who(id.into()));
        Client { stub: stub.max_decoding_message_size(64 << 20).max_encoding_message_size(usize::MAX) }
    }

    /// Opens a telemetry stream and says these settings; the answer is what the client is told.
    pub(crate) async fn settle(&mut self, settings: Settings) -> (Line, Settings) {
        let mut line = self.telemetry().await;
        line.say(Command::Settings(settings)).await;
        match line.hear().await {
            Command::Settings(settings) => (line, settings),
            other => panic!("{other:?} instead of settings"),
        }
    }

    pub(crate) async fn telemetry(&mut self) -> Line {
        let (to, mut said) = mpsc::channel(16);
        let said = futures_util::stream::poll_fn(move |cx| said.poll_recv(cx));
        let from = self.stub.telemetry(said).await.unwrap().into_inner();
        Line { to, from }
    }

    pub(crate) async fn send(&mut self, message: Message) -> SendMessageResponse {
        self.stub.send_message(SendMessageRequest { messages: vec![message] }).await.unwrap().into_inner()
    }

    /// Sends what must be accepted.
    #[track_caller]
    pub(crate) fn sent(response: &SendMessageResponse) -> &SendResultEntry {
        check(&response.status, Code::Ok);
        &response.entries[0]
    }

    /// Receives: the status, and the messages.
    pub(crate) async fn receive(&mut self, request: ReceiveMessageRequest) -> (Status, Vec<Message>) {
        let mut request = Request::new(request);
        request.set_timeout(Duration::from_secs(40));
        let mut stream = self.stub.receive_message(request).await.unwrap().into_inner();
        let (mut status, mut messages, mut left) = (None, Vec::new(), false);
        while let Some(part) = stream.message().await.unwrap() {
            assert!(!left, "something comes behind the delivery timestamp");
            match part.content.unwrap() {
                receive_message_response::Content::Status(first) => {
                    assert!(status.replace(first).is_none() && messages.is_empty(), "the status comes first, once");
                }
                receive_message_response::Content::Message(message) => messages.push(message),
                receive_message_response::Content::DeliveryTimestamp(_) => left = true,
            }
        }
        assert!(left, "the delivery timestamp is missing");
        (status.unwrap(), messages)
    }

    pub(crate) async fn ack(&mut self, group: &str, topic: &str, message: &Message) -> AckMessageResponse {
        let system = message.system_properties.as_ref().unwrap();
        let entry = AckMessageEntry {
            message_id: system.message_id.clone(),
            receipt_handle: system.receipt_handle.clone().unwrap(),
            lite_topic: None,
        };
        let request =
            AckMessageRequest { group: Some(resource(group)), topic: Some(resource(topic)), entries: vec![entry] };
        self.stub.ack_message(request).await.unwrap().into_inner()
    }
}

impl Line {
    pub(crate) async fn say(&self, command: Command) {
        self.to.send(TelemetryCommand { status: Some(ok()), command: Some(command) }).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Command {
        let heard = tokio::time::timeout(DEADLINE, self.from.message()).await.expect("a command in time");
        heard.unwrap().expect("the stream goes on").command.expect("a command")
    }
}

pub(crate) fn ok() -> Status {
    Status { code: Code::Ok as i32, message: "OK".into() }
}

pub(crate) fn resource(name: &str) -> Resource {
    Resource { resource_namespace: String::new(), name: name.into() }
}

pub(crate) fn producer(topics: &[&str]) -> Settings {
    let topics = topics.iter().map(|topic| resource(topic)).collect();
    Settings {
        client_type: Some(ClientType::Producer as i32),
        pub_sub: Some(PubSub::Publishing(Publishing { topics, ..Publishing::default() })),
        ..Settings::default()
    }
}

pub(crate) fn consumer(kind: ClientType, group: &str, topic: &str, expression: FilterExpression) -> Settings {
    let entry = SubscriptionEntry { topic: Some(resource(topic)), expression: Some(expression) };
    Settings {
        client_type: Some(kind as i32),
        request_timeout: Some(prost_types::Duration { seconds: 3, nanos: 0 }),
        pub_sub: Some(PubSub::Subscription(Subscription {
            group: Some(resource(group)),
            subscriptions: vec![entry],
            ..Subscription::default()
        })),
        ..Settings::default()
    }
}

pub(crate) fn tags(expression: &str) -> FilterExpression {
    FilterExpression { r#type: FilterType::Tag as i32, expression: expression.into() }
}

pub(crate) fn message(topic: &str, id: &str, body: &[u8]) -> Message {
    Message {
        topic: Some(resource(topic)),
        user_properties: Default::default(),
        system_properties: Some(SystemProperties {
            message_id: id.into(),
            body_encoding: Encoding::Identity as i32,
            message_type: MessageType::Normal as i32,
            ..SystemProperties::default()
        }),
        body: body.to_vec().into(),
    }
}

pub(crate) fn system(message: &mut Message) -> &mut SystemProperties {
    message.system_properties.as_mut().unwrap()
}

pub(crate) fn receive(group: &str, topic: &str) -> ReceiveMessageRequest {
    ReceiveMessageRequest {
        group: Some(resource(group)),
        message_queue: Some(MessageQueue { topic: Some(resource(topic)), ..MessageQueue::default() }),
        filter_expression: Some(tags("*")),
        batch_size: 16,
        invisible_duration: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
        auto_renew: false,
        long_polling_timeout: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
        attempt_id: None,
    }
}

#[track_caller]
pub(crate) fn check(status: &Option<Status>, wanted: Code) {
    let status = status.as_ref().expect("there is a status");
    assert_eq!(Code::try_from(status.code), Ok(wanted), "{}", status.message);
}
