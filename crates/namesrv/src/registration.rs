//! What a broker says of itself, and how it says so in a frame.
//!
//! A compressed body is a zlib stream of pieces, each with its length as 4 bytes before it:
//!
//! | piece | content |
//! |---|---|
//! | data version | JSON |
//! | 4 bytes | number of topics |
//! | each topic | `name read write perm filter attributes`, a space between them |
//! | filter servers | JSON, not read: nobody has any |
//! | mappings | of static topics, not read |
//!
//! Source: `RegisterBrokerBody`, `TopicConfig.decode`.

use std::io::Read;
use std::time::Duration;

use flate2::read::ZlibDecoder;
use protocol::body::{DataVersion, RegisterBrokerBody, TopicConfig, TopicTable};
use protocol::peer::VERSION_REGISTER_BODY;
use protocol::request::RegisterBrokerHeader;
use protocol::{Frame, json};

use crate::Advertise;
use crate::limits::{EXPIRY, INFLATED_BYTES_MAX, NAME_BYTES_MAX};

/// What a broker says of itself.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Cluster.
    pub cluster: String,
    /// Broker name.
    pub broker_name: String,
    /// 0 is the master.
    pub broker_id: i64,
    /// Where clients reach it.
    pub at: Advertise,
    /// Where replicas reach it.
    pub ha: Option<Advertise>,
    /// Its topics. Those of a replica do not count while it has a master.
    pub topics: Topics,
    /// Version of the topics. While it stays the same only unknown topics are looked at.
    pub version: DataVersion,
    /// Silence after which it is forgotten; `None` keeps it until it unregisters.
    pub timeout: Option<Duration>,
    /// Whether a replica may answer for a lost master; `None` from brokers that have never heard of that.
    pub enable_acting_master: Option<bool>,
    /// Zone of the broker.
    pub zone: Option<String>,
}

/// Topics of a registration.
#[derive(Debug, Clone)]
pub enum Topics {
    /// These and no others.
    All(Vec<TopicConfig>),
    /// These; what is known of others stays.
    Changed(Vec<TopicConfig>),
}

impl Topics {
    pub(crate) fn list(&self) -> &[TopicConfig] {
        match self {
            Topics::All(topics) | Topics::Changed(topics) => topics,
        }
    }
}

/// What a broker learns by registering.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registered {
    /// The master, told to a replica.
    pub master: Option<Advertise>,
    /// Where the master's log can be copied from.
    pub ha: Option<Advertise>,
}

/// Why a registration was not taken. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The registration makes no sense; sending it again will not help.
    #[error("{0}")]
    Invalid(String),
    /// The name server is full.
    #[error("{what} would exceed the limit of {limit}")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many fit.
        limit: usize,
    },
}

impl Registration {
    /// Reads the body of REGISTER_BROKER. `whole` takes its topics as all of the broker's.
    pub(crate) fn decode(header: &RegisterBrokerHeader<'_>, frame: &Frame, whole: bool) -> Result<Self, Refused> {
        let names = [header.cluster_name, header.broker_name, header.broker_addr, header.zone_name.unwrap_or("-")];
        if let Some(name) = names.iter().find(|name| name.trim().is_empty() || name.len() > NAME_BYTES_MAX) {
            let shown: String = name.chars().take(64).collect();
            return Err(Refused::Invalid(format!("a name or address of 1 to {NAME_BYTES_MAX} bytes, not {shown:?}")));
        }
        let (version, topics) = decode_body(header.compressed, frame).map_err(Refused::Invalid)?;
        let timeout = header.heartbeat_timeout_millis.and_then(|millis| u64::try_from(millis).ok());
        Ok(Registration {
            cluster: header.cluster_name.into(),
            broker_name: header.broker_name.into(),
            broker_id: header.broker_id,
            at: Advertise::fixed(header.broker_addr),
            ha: header.ha_server_addr.filter(|ha| !ha.is_empty()).map(Advertise::fixed),
            topics: if whole { Topics::All(topics) } else { Topics::Changed(topics) },
            version,
            timeout: Some(timeout.filter(|millis| *millis > 0).map_or(EXPIRY, Duration::from_millis)),
            enable_acting_master: header.enable_acting_master,
            zone: header.zone_name.map(str::to_owned),
        })
    }
}

/// Whether the body is the one whose checksum the header names. Source: `DefaultRequestProcessor.checksum`.
pub(crate) fn checksum_matches(header: &RegisterBrokerHeader<'_>, body: &[u8]) -> bool {
    // Java makes its checksums positive by dropping the top bit. 0 asks for no check.
    let expected = header.body_crc32.unwrap_or(0);
    expected == 0 || expected == (crc32fast::hash(body) & 0x7fff_ffff) as i32
}

fn decode_body(compressed: bool, frame: &Frame) -> Result<(DataVersion, Vec<TopicConfig>), String> {
    let body = &frame.body[..];
    if body.is_empty() {
        return Ok((DataVersion::default(), Vec::new()));
    }
    // Java brokers with compressedRegister=true compress and say that they did not (BrokerOuterAPI.registerBrokerAll);
    // a zlib stream starts with 0x78 and JSON never does.
    if compressed || body[0] == 0x78 {
        return decode_compressed(body);
    }
    let (version, table) = if frame.version >= VERSION_REGISTER_BODY {
        let body: RegisterBrokerBody = json::parse(body).map_err(|error| error.to_string())?;
        let topics = body.topic_config_serialize_wrapper;
        (topics.data_version, topics.topic_config_table)
    } else {
        let table: TopicTable = json::parse(body).map_err(|error| error.to_string())?;
        (table.data_version, table.topic_config_table)
    };
    let named = |(key, topic): (String, TopicConfig)| match topic.topic_name.is_empty() {
        true => TopicConfig { topic_name: key, ..topic },
        false => topic,
    };
    Ok((version, table.into_iter().map(named).collect()))
}

fn decode_compressed(body: &[u8]) -> Result<(DataVersion, Vec<TopicConfig>), String> {
    let mut inflated = Vec::new();
    let read = ZlibDecoder::new(body).take(INFLATED_BYTES_MAX + 1).read_to_end(&mut inflated);
    read.map_err(|error| format!("inflate the registration: {error}"))?;
    if inflated.len() as u64 > INFLATED_BYTES_MAX {
        return Err(format!("the registration inflates to more than {INFLATED_BYTES_MAX} bytes"));
    }
    let mut pieces = Pieces(&inflated);
    let version = json::parse(pieces.piece()?).map_err(|error| error.to_string())?;
    let count = pieces.int()?;
    // A topic takes at least its length, so a count that only claims reserves nothing.
    let topics = (0..count).map(|_| topic(pieces.piece()?)).collect::<Result<_, _>>()?;
    Ok((version, topics))
}

fn topic(piece: &[u8]) -> Result<TopicConfig, String> {
    let text = std::str::from_utf8(piece).map_err(|error| error.to_string())?;
    let wrong =
        || format!("topic {:?} is not 'name read write perm filter'", text.chars().take(64).collect::<String>());
    let mut words = text.split(' ');
    let name = words.next().filter(|name| !name.is_empty()).ok_or_else(wrong)?;
    let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong);
    let (read_queue_nums, write_queue_nums, perm) = (number()?, number()?, number()?);
    Ok(TopicConfig { topic_name: name.into(), read_queue_nums, write_queue_nums, perm, ..TopicConfig::default() })
}

struct Pieces<'b>(&'b [u8]);

impl<'b> Pieces<'b> {
    fn int(&mut self) -> Result<usize, String> {
        let (int, rest) = self.0.split_first_chunk::<4>().ok_or("the registration ends too early")?;
        self.0 = rest;
        usize::try_from(i32::from_be_bytes(*int)).map_err(|_| "a length of the registration is negative".into())
    }

    fn piece(&mut self) -> Result<&'b [u8], String> {
        let bytes = self.int()?;
        let (piece, rest) = self.0.split_at_checked(bytes).ok_or("the registration ends too early")?;
        self.0 = rest;
        Ok(piece)
    }
}
