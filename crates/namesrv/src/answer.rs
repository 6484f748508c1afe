//! What a name server answers, request by request. Response codes of this wire are chosen here and nowhere else.

#![allow(clippy::result_large_err, reason = "a refusal is a response like any other and no larger than success")]

use std::io;
use std::sync::Arc;

use protocol::body::{DataVersion, KvTable, TopicList, TopicRoute};
use protocol::code::{self, Code};
use protocol::name::ORDER_TOPIC_NAMESPACE;
use protocol::peer::VERSION_STANDARD_JSON;
use protocol::request::*;
use protocol::{Frame, json, perm};
use remoting::{NoParked, Peer, Response, Service};
use settings::{Settings as _, Update, UpdateError};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::limits::ANSWER_BYTES_MAX;
use crate::registration::checksum_matches;
use crate::routes::Session;
use crate::{Advertise, NameServer, Of, Refused, Registered, Registration, Settings, lookup};

type Answer = remoting::Answer<NoParked>;
type Reply = Result<Response, Response>;

/// Keys that nobody changes from afar. Source: `NamesrvConfig.configBlackList`, `DefaultRequestProcessor`.
const FORBIDDEN: [&str; 4] = ["configBlackList", "configStorePath", "kvConfigPath", "rocketmqHome"];

impl Service for NameServer {
    type Parked = NoParked;

    fn call(self: &Arc<Self>, peer: &Arc<Peer>, request: Frame, _arrived: Instant) -> Answer {
        match request.code {
            GetRoute::CODE => self.get_route(peer, &request).into(),
            GetClusterInfo::CODE => body(self.cluster_info(reached_at(peer)).to_body()).into(),
            RegisterBroker::CODE => self.register_broker(peer, request),
            UnregisterBroker::CODE => self.unregister_broker(request),
            BrokerHeartbeat::CODE => self.broker_heartbeat(&request).into(),
            QueryDataVersion::CODE => self.query_data_version(&request).into(),
            GetBrokerMemberGroup::CODE => self.get_broker_member_group(peer, &request).into(),
            WipeWritePerm::CODE => self.wipe_write_perm(request),
            AddWritePerm::CODE => self.add_write_perm(request),
            GetAllTopics::CODE => self.list(self.settings.load().enable_all_topic_list, |server| server.topics()),
            GetTopicsByCluster::CODE => self.get_topics_by_cluster(&request),
            GetUnitTopics::CODE => self.list_of_units(|server| server.routes.unit_topics()),
            GetUnitSubTopics::CODE => self.list_of_units(|server| server.routes.unit_sub_topics(false)),
            GetUnitSubUnunitTopics::CODE => self.list_of_units(|server| server.routes.unit_sub_topics(true)),
            GetSystemTopicsFromNamesrv::CODE => body(json::to_vec(&self.routes.system_topics(reached_at(peer)))).into(),
            DeleteTopicInNamesrv::CODE => self.delete_topic_in_namesrv(request),
            RegisterTopic::CODE => self.register_topic(request),
            PutKvConfig::CODE => self.put_kv_config(request),
            GetKvConfig::CODE => self.get_kv_config(&request).into(),
            DeleteKvConfig::CODE => self.delete_kv_config(request),
            GetKvList::CODE => self.get_kv_list(&request).into(),
            UpdateNamesrvConfig::CODE => self.update_config(request),
            GetNamesrvConfig::CODE => body(self.settings.load().to_properties_text()).into(),
            other => Response::unsupported(other).into(),
        }
    }

    fn closed(self: &Arc<Self>, peer: &Arc<Peer>) {
        if self.routes.has_peer(peer) {
            let peer = peer.clone();
            // When too many changes wait, the next look for silent brokers finds the closed connection.
            self.writer.try_change(move |server| {
                for broker in server.routes.unregister_peer(&peer) {
                    info!(%broker, peer = %peer.remote(), "broker forgotten, its connection ended");
                }
            });
        }
    }
}

/// Routes.
impl NameServer {
    fn get_route(&self, peer: &Peer, request: &Frame) -> Reply {
        let header: GetRouteHeader<'_> = request.header()?;
        let route = self.route(header.topic, reached_at(peer)).map(|mut route| {
            let zone = request.fields.get("__ZONE_NAME").filter(|zone| !zone.is_empty());
            let zone_mode = request.fields.get("__ZONE_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("true"));
            if let (Some(zone), true) = (zone, zone_mode) {
                lookup::keep_zone(zone, &mut route);
            }
            route
        });
        let Some(route) = route else {
            let text = format!(
                "No topic route info in name server for the topic: {}\n\
                 See https://rocketmq.apache.org/docs/bestPractice/06FAQ/ for further details.",
                header.topic
            );
            return Err(Response::error(code::TOPIC_NOT_EXIST, text));
        };
        let standard_json = request.version >= VERSION_STANDARD_JSON || header.accept_standard_json_only;
        body(route.to_body(standard_json))
    }

    fn get_broker_member_group(&self, peer: &Peer, request: &Frame) -> Reply {
        let header: GetBrokerMemberGroupHeader<'_> = request.header()?;
        let group = self.routes.member_group(header.cluster_name, header.broker_name, reached_at(peer));
        body(group.member_group_body())
    }

    fn delete_topic_in_namesrv(&self, request: Frame) -> Answer {
        self.writer.answer(request, |server, request| {
            let header: DeleteTopicInNamesrvHeader<'_> = request.header()?;
            let cluster = header.cluster_name.filter(|cluster| !cluster.is_empty());
            server.delete_topic(header.topic, cluster.map_or(Of::Everyone, Of::Cluster));
            Ok(Response::ok())
        })
    }

    fn register_topic(&self, request: Frame) -> Answer {
        self.writer.answer(request, |server, request| {
            let header: TopicHeader<'_> = request.header()?;
            if !request.body.is_empty() {
                let route: TopicRoute = json::parse(&request.body).map_err(wrong_body)?;
                server.routes.add_topic(header.topic, &route.queue_datas)?;
            }
            Ok(Response::ok())
        })
    }
}

/// Brokers.
impl NameServer {
    fn register_broker(&self, peer: &Arc<Peer>, request: Frame) -> Answer {
        let peer = peer.clone();
        self.writer.answer(request, move |server, request| {
            let header: RegisterBrokerHeader<'_> = request.header()?;
            if !checksum_matches(&header, &request.body) {
                return Err(Response::error(code::SYSTEM_ERROR, "crc32 not match"));
            }
            let registered = server.take_registration(&header, &peer, request)?;
            let reached_at = reached_at(&peer);
            let [master, ha] = [registered.master, registered.ha].map(|at| at.map(|at| at.text(reached_at)));
            let reply = RegisterBrokerReply { ha_server_addr: ha.as_deref(), master_addr: master.as_deref() };
            let order = server.kv.list(ORDER_TOPIC_NAMESPACE);
            let order = order.filter(|_| server.settings.load().return_order_topic_config);
            let order = order.map(|order: KvTable| json::to_vec(&order)).unwrap_or_default();
            Ok(Response::of(&reply).with_body(order))
        })
    }

    fn take_registration(
        &self,
        header: &RegisterBrokerHeader<'_>,
        peer: &Arc<Peer>,
        request: &Frame,
    ) -> Result<Registered, Refused> {
        let fields: Vec<(&str, &str)> = request.fields.iter().collect();
        let fingerprint = self.routes.fingerprint((request.version, fields, &request.body[..]));
        let at = Advertise::fixed(header.broker_addr);
        if let Some(registered) = self.routes.refresh(header.cluster_name, &at, peer, fingerprint) {
            return Ok(registered);
        }
        let whole = self.settings.load().delete_topic_with_broker_registration;
        let registration = Registration::decode(header, request, whole);
        let session = Session { peer: Some(peer.clone()), fingerprint: Some(fingerprint) };
        let registered = registration.and_then(|registration| self.routes.register(registration, session));
        if let Err(error) = &registered {
            warn!(broker = header.broker_name, at = header.broker_addr, %error, "registration refused");
        }
        registered
    }

    fn unregister_broker(&self, request: Frame) -> Answer {
        self.writer.answer(request, |server, request| {
            let header: BrokerHeader<'_> = request.header()?;
            let at = Advertise::fixed(header.broker_addr);
            server.unregister(header.cluster_name, header.broker_name, &at);
            info!(broker = header.broker_name, address = header.broker_addr, "broker unregistered");
            Ok(Response::ok())
        })
    }

    fn broker_heartbeat(&self, request: &Frame) -> Reply {
        let header: BrokerHeartbeatHeader<'_> = request.header()?;
        self.routes.heard(header.cluster_name, &Advertise::fixed(header.broker_addr));
        Ok(Response::ok())
    }

    fn query_data_version(&self, request: &Frame) -> Reply {
        let header: BrokerHeader<'_> = request.header()?;
        let theirs: DataVersion = json::parse(&request.body).map_err(wrong_body)?;
        let at = Advertise::fixed(header.broker_addr);
        self.routes.heard(header.cluster_name, &at);
        let ours = self.routes.version(header.cluster_name, &at);
        let response = Response::of(&QueryDataVersionReply { changed: ours != Some(theirs) });
        Ok(response.with_body(ours.map(|ours| json::to_vec(&ours)).unwrap_or_default()))
    }

    fn wipe_write_perm(&self, request: Frame) -> Answer {
        self.writer.answer(request, |server, request| {
            let header: BrokerNameHeader<'_> = request.header()?;
            let count = server.routes.change_perm(header.broker_name, |perm| perm & !perm::WRITE);
            info!(broker = header.broker_name, topics = count, "write permission wiped");
            Ok(Response::of(&WipeWritePermReply { wipe_topic_count: count as i32 }))
        })
    }

    fn add_write_perm(&self, request: Frame) -> Answer {
        self.writer.answer(request, |server, request| {
            let header: BrokerNameHeader<'_> = request.header()?;
            let count = server.routes.change_perm(header.broker_name, |_| perm::READ | perm::WRITE);
            info!(broker = header.broker_name, topics = count, "write permission given back");
            Ok(Response::of(&AddWritePermReply { add_topic_count: count as i32 }))
        })
    }
}

/// Lists of topics. They walk all topics, so they are made beside the connections and a few at a time.
impl NameServer {
    fn get_topics_by_cluster(self: &Arc<Self>, request: &Frame) -> Answer {
        let cluster = match request.header::<ClusterHeader<'_>>() {
            Ok(header) => header.cluster.to_owned(),
            Err(error) => return Response::from(error).into(),
        };
        self.list_of_units(move |server| server.routes.topics_of_cluster(&cluster))
    }

    fn list_of_units(self: &Arc<Self>, list: impl FnOnce(&NameServer) -> Vec<String> + Send + 'static) -> Answer {
        self.list(self.settings.load().enable_topic_list, list)
    }

    fn list(self: &Arc<Self>, enabled: bool, list: impl FnOnce(&NameServer) -> Vec<String> + Send + 'static) -> Answer {
        if !enabled {
            return Response::error(code::SYSTEM_ERROR, "disable").into();
        }
        self.beside(self.lists.clone(), move |server| {
            body(json::to_vec(&TopicList { broker_addr: None, topic_list: list(server) }))
        })
    }

    /// Work that takes long, where nobody waits for it who did not ask for it.
    fn beside(
        self: &Arc<Self>,
        permits: Arc<Semaphore>,
        work: impl FnOnce(&NameServer) -> Reply + Send + 'static,
    ) -> Answer {
        let server = self.clone();
        Answer::later(async move {
            let permit = permits.acquire_owned().await;
            let done = spawn_blocking(move || {
                let reply = work(&server);
                drop(permit);
                reply
            });
            done.await.map_err(|error| Response::error(code::SYSTEM_ERROR, error.to_string()))?
        })
    }
}

/// Key-values, whose changes are on the disk before they count, and settings.
impl NameServer {
    fn put_kv_config(self: &Arc<Self>, request: Frame) -> Answer {
        self.beside(self.kv_changes.clone(), move |server| {
            let header: PutKvConfigHeader<'_> = request.header()?;
            server.kv.put(header.namespace, header.key, header.value).map_err(not_kept)?;
            Ok(Response::ok())
        })
    }

    fn delete_kv_config(self: &Arc<Self>, request: Frame) -> Answer {
        self.beside(self.kv_changes.clone(), move |server| {
            let header: KvKeyHeader<'_> = request.header()?;
            server.kv.delete(header.namespace, header.key).map_err(not_kept)?;
            Ok(Response::ok())
        })
    }

    fn get_kv_config(&self, request: &Frame) -> Reply {
        let header: KvKeyHeader<'_> = request.header()?;
        let Some(value) = self.kv.get(header.namespace, header.key) else {
            let text = format!("No config item, Namespace: {} Key: {}", header.namespace, header.key);
            return Err(Response::error(code::QUERY_NOT_FOUND, text));
        };
        Ok(Response::of(&KvValueReply { value: Some(&value) }))
    }

    fn get_kv_list(&self, request: &Frame) -> Reply {
        let header: NamespaceHeader<'_> = request.header()?;
        let Some(table) = self.kv.list(header.namespace) else {
            let text = format!("No config item, Namespace: {}", header.namespace);
            return Err(Response::error(code::QUERY_NOT_FOUND, text));
        };
        body(json::to_vec(&table))
    }

    /// Java writes the change into its configuration file. Here a change lasts until the next start, and what would
    /// only take effect then is refused: the file is the operator's.
    fn update_config(&self, request: Frame) -> Answer {
        self.writer.answer(request, |server, request| {
            let mut settings = Settings::clone(&server.settings.load());
            let update = Update::parse(&[&settings], &request.body, &FORBIDDEN).map_err(|error| {
                let code = match error {
                    UpdateError::Forbidden(_) => code::NO_PERMISSION,
                    UpdateError::Text(_) | UpdateError::Wrong(_) => code::SYSTEM_ERROR,
                };
                Response::error(code, error.to_string())
            })?;
            if !update.restart.is_empty() {
                let text = format!("set {} where the name server is started", update.restart.join(", "));
                return Err(Response::error(code::SYSTEM_ERROR, text));
            }
            update.apply(&mut [&mut settings]);
            server.settings.store(Arc::new(settings));
            for (key, value) in &update.changes {
                info!(key, value, "setting changed");
            }
            Ok(Response::ok())
        })
    }
}

impl From<Refused> for Response {
    fn from(refused: Refused) -> Response {
        let code: Code = match refused {
            Refused::Invalid(_) => code::SYSTEM_ERROR,
            Refused::Full { .. } => code::SYSTEM_BUSY,
        };
        Response::error(code, refused.to_string())
    }
}

fn reached_at(peer: &Peer) -> std::net::IpAddr {
    peer.local().ip()
}

fn body(bytes: impl Into<bytes::Bytes>) -> Reply {
    let bytes = bytes.into();
    if bytes.len() > ANSWER_BYTES_MAX {
        let text = format!("an answer of {} bytes does not fit a frame", bytes.len());
        return Err(Response::error(code::SYSTEM_ERROR, text));
    }
    Ok(Response::ok().with_body(bytes))
}

fn wrong_body(error: json::ScanError) -> Response {
    Response::error(code::SYSTEM_ERROR, format!("read the body: {error}"))
}

fn not_kept(error: io::Error) -> Response {
    Response::error(code::SYSTEM_ERROR, format!("write the key-values: {error}"))
}
