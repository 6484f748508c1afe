//! The few calls around a measurement, one at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::BytesMut;
use protocol::body::{ClusterInfo, TopicConfig, TopicRoute};
use protocol::code::{self, Code};
use protocol::request::{CreateTopicHeader, GetRouteHeader, OffsetReply, QueueHeader, TopicHeader};
use protocol::{Frame, Header};
use serde::de::DeserializeOwned;

use crate::Error;
use crate::args::{Shape, Where};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Queues of the topics at one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) address: String,
    pub(crate) queues: u32,
}

/// A connection that waits for each answer.
pub(crate) struct Control {
    address: String,
    stream: TcpStream,
    input: BytesMut,
    next: i32,
}

impl Control {
    pub(crate) fn open(address: &str) -> Result<Control, Error> {
        let stream = connect(address)?;
        stream.set_read_timeout(Some(CALL_TIMEOUT))?;
        Ok(Control { address: address.to_owned(), stream, input: BytesMut::new(), next: 0 })
    }

    pub(crate) fn call(&mut self, frame: &Frame) -> Result<Frame, Error> {
        self.next += 1;
        let mut out = BytesMut::new();
        frame.encode(self.next, &mut out);
        self.stream.write_all(&out).map_err(|source| self.lost(source))?;
        loop {
            match Frame::decode(&mut self.input) {
                Ok(Some(answer)) if answer.is_response() && answer.opaque == self.next => return Ok(answer),
                Ok(Some(_)) => continue,
                Ok(None) => {}
                Err(error) => return Err(self.unreadable("a call", &error)),
            }
            let mut piece = [0; 64 * 1024];
            match self.stream.read(&mut piece).map_err(|source| self.lost(source))? {
                0 => return Err(self.lost(std::io::ErrorKind::UnexpectedEof.into())),
                bytes => self.input.extend_from_slice(&piece[..bytes]),
            }
        }
    }

    /// Makes a topic or sets its queues.
    pub(crate) fn create_topic(&mut self, topic: &str, queues: u32) -> Result<(), Error> {
        let answer = self.call(&create_topic_request(topic, queues))?;
        self.success("create a topic", &answer)
    }

    /// The name that receipts of popped messages carry.
    pub(crate) fn broker_name(&mut self) -> Result<String, Error> {
        let answer = self.call(&Frame { code: 26, ..Frame::default() })?;
        self.success("tell its settings", &answer)?;
        let text = String::from_utf8_lossy(&answer.body);
        let name = text.lines().find_map(|line| line.strip_prefix("brokerName="));
        name.map(str::to_owned).ok_or_else(|| self.unreadable("its settings", &"there is no brokerName in them"))
    }

    /// Offset behind the last message of a queue (30), or of the first (31).
    pub(crate) fn offset(&mut self, code: i32, topic: &str, queue: u32) -> Result<i64, Error> {
        let answer = self.call(&Frame::request(code, &QueueHeader { topic, queue_id: queue as i32 }))?;
        self.success("tell an offset", &answer)?;
        let reply: OffsetReply = answer.header().map_err(|error| self.unreadable("an offset", &error))?;
        Ok(reply.offset)
    }

    pub(crate) fn body<T: DeserializeOwned>(&self, what: &'static str, answer: &Frame) -> Result<T, Error> {
        self.success(what, answer)?;
        protocol::json::parse(&answer.body).map_err(|error| self.unreadable(what, &error))
    }

    fn success(&self, what: &'static str, answer: &Frame) -> Result<(), Error> {
        if Code(answer.code) == code::SUCCESS {
            return Ok(());
        }
        let remark = answer.remark.as_deref().map(|remark| format!(", {remark}")).unwrap_or_default();
        Err(Error::Refused { address: self.address.clone(), what, code: Code(answer.code), remark })
    }

    fn lost(&self, source: std::io::Error) -> Error {
        Error::Connection { address: self.address.clone(), source }
    }

    fn unreadable(&self, what: &'static str, reason: &dyn std::fmt::Display) -> Error {
        Error::Unreadable { address: self.address.clone(), what, reason: reason.to_string() }
    }
}

/// The request that makes a topic.
pub(crate) fn create_topic_request(topic: &str, queues: u32) -> Frame {
    let header = CreateTopicHeader {
        topic,
        read_queue_nums: queues as i32,
        write_queue_nums: queues as i32,
        perm: protocol::perm::READ | protocol::perm::WRITE,
        topic_filter_type: Some("SINGLE_TAG"),
        topic_sys_flag: Some(0),
        order: false,
        attributes: None,
    };
    Frame { fields: with_default_topic(&header), ..Frame::request(17, &header) }
}

/// The header as Java's tool writes it: its broker wants to see the template as well.
fn with_default_topic<'a>(header: &impl Header<'a>) -> protocol::Fields {
    let mut fields = protocol::Fields::of(header);
    fields.push("defaultTopic", "TBW102");
    fields
}

/// The brokers to measure: those named, or every master that the name server knows.
pub(crate) fn brokers(place: &Where) -> Result<Vec<String>, Error> {
    if !place.broker.is_empty() {
        return Ok(place.broker.clone());
    }
    let mut namesrv = Control::open(place.name_server())?;
    let answer = namesrv.call(&Frame { code: 106, ..Frame::default() })?;
    let cluster: ClusterInfo = namesrv.body("list its brokers", &answer)?;
    let masters: Vec<String> =
        cluster.broker_addr_table.values().filter_map(|broker| broker.broker_addrs.get(&0).cloned()).collect();
    if masters.is_empty() {
        return Err(Error::Impossible(format!("the name server {} knows no broker", place.name_server())));
    }
    Ok(masters)
}

/// Makes the topics at every broker.
pub(crate) fn make_topics(place: &Where, shape: &Shape) -> Result<Vec<Broker>, Error> {
    let topics = shape.topics();
    let addresses = brokers(place)?;
    for address in &addresses {
        let mut broker = Control::open(address)?;
        for index in 0..topics.count {
            broker.create_topic(&topics.name(index), shape.queues)?;
        }
    }
    Ok(addresses.into_iter().map(|address| Broker { address, queues: shape.queues }).collect())
}

/// Finds the topics: where they are and how many queues the first has for readers.
pub(crate) fn find_topics(place: &Where, shape: &Shape) -> Result<Vec<Broker>, Error> {
    let name = shape.topics().name(0);
    if place.broker.is_empty() {
        let mut namesrv = Control::open(place.name_server())?;
        let header = GetRouteHeader { topic: &name, accept_standard_json_only: true };
        let answer = namesrv.call(&Frame::request(105, &header))?;
        let route: TopicRoute = namesrv.body("tell the route of the topic", &answer)?;
        let queues = |broker: &str| route.queue_datas.iter().find(|queues| queues.broker_name == broker);
        let found = route.broker_datas.iter().filter_map(|broker| {
            let queues = queues(&broker.broker_name)?.read_queue_nums;
            Some(Broker { address: broker.broker_addrs.get(&0)?.clone(), queues: queues as u32 })
        });
        let found: Vec<Broker> = found.filter(|broker| broker.queues > 0).collect();
        return match found.is_empty() {
            true => Err(Error::Impossible(format!("no broker serves the topic {name:?}"))),
            false => Ok(found),
        };
    }
    let settings = |address: &String| {
        let mut broker = Control::open(address)?;
        let answer = broker.call(&Frame::request(351, &TopicHeader { topic: &name }))?;
        let topic: TopicConfig = broker.body("tell the settings of the topic", &answer)?;
        Ok(Broker { address: address.clone(), queues: topic.read_queue_nums.max(1) as u32 })
    };
    place.broker.iter().map(settings).collect()
}

/// A connection, made within a few seconds or not at all.
pub(crate) fn connect(address: &str) -> Result<TcpStream, Error> {
    let failed = |source| Error::Connection { address: address.to_owned(), source };
    let resolved: Vec<SocketAddr> = address.to_socket_addrs().map_err(failed)?.collect();
    let mut last = std::io::ErrorKind::AddrNotAvailable.into();
    for address in resolved {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}
