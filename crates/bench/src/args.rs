//! Options that several measurements share.

use std::time::Duration;

use clap::{Args, ValueEnum};
use protocol::Encoding;

use crate::Error;
use crate::engine::WINDOW_MAX;
use crate::template::{Messages, Topics};

/// Where the server is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Where {
    /// Name server that knows the brokers [default: that of the current context, or 127.0.0.1:9876]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) namesrv: Option<String>,

    /// Broker to talk to directly, without a name server; may be repeated
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "namesrv")]
    pub(crate) broker: Vec<String>,
}

impl Where {
    /// The name server to ask.
    pub(crate) fn name_server(&self) -> &str {
        self.namesrv.as_deref().unwrap_or("127.0.0.1:9876")
    }
}

/// Topics and their queues.
#[derive(Debug, Clone, Args)]
pub(crate) struct Shape {
    /// Topic; with several, the base of their names
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,

    /// Number of topics
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) topics: u64,

    /// Queues of each topic at each broker
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) queues: u32,

    /// How request headers are written
    #[arg(long, value_enum, default_value_t = HeaderForm::Json)]
    pub(crate) header: HeaderForm,
}

impl Shape {
    pub(crate) fn topics(&self) -> Topics {
        Topics::new(&self.topic, self.topics)
    }

    pub(crate) fn encoding(&self) -> Encoding {
        match self.header {
            HeaderForm::Json => Encoding::Json,
            HeaderForm::Binary => Encoding::Binary,
        }
    }
}

/// See [`Encoding`].
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum HeaderForm {
    /// As Java clients do by default
    Json,
    /// The compact form
    Binary,
}

/// How much is asked, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// Connections to each broker
    #[arg(long, short = 'c', value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) connections: u32,

    /// Threads that share the connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: u32,

    /// Seconds that are measured
    #[arg(long, short = 'd', value_name = "SECONDS", default_value_t = 10.0)]
    pub(crate) duration: f64,

    /// Seconds before them that are not
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub(crate) warm_up: f64,

    /// Requests to make instead, measured from the first on
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

impl Load {
    pub(crate) fn threads(&self) -> usize {
        self.threads.min(self.connections) as usize
    }

    pub(crate) fn warm_up(&self) -> Result<Duration, Error> {
        if self.count.is_some() { Ok(Duration::ZERO) } else { seconds(self.warm_up) }
    }

    pub(crate) fn duration(&self) -> Result<Duration, Error> {
        if self.count.is_some() { Ok(Duration::from_secs(86_400)) } else { seconds(self.duration) }
    }
}

pub(crate) fn seconds(value: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(value).map_err(|error| Error::Impossible(format!("{value} seconds: {error}")))
}

/// Requests in flight.
#[derive(Debug, Clone, Args)]
pub(crate) struct Window {
    /// Requests in flight on each connection [default: 512, with --rate 4096]
    #[arg(long, short = 'w', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=WINDOW_MAX as i64))]
    window: Option<u32>,
}

impl Window {
    pub(crate) fn of(&self, rate: Option<f64>) -> usize {
        self.window.unwrap_or(if rate.is_some() { 4096 } else { 512 }) as usize
    }
}

/// What is sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct Content {
    /// Bytes of a body
    #[arg(long, short = 's', value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(0..=4_194_304))]
    pub(crate) size: u32,

    /// Messages in one request
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) batch: u32,

    /// Give messages a key for look-ups, with so many different ones
    #[arg(long, value_name = "N")]
    pub(crate) keys: Option<u64>,

    /// Give messages this tag
    #[arg(long)]
    pub(crate) tag: Option<String>,
}

impl Content {
    pub(crate) fn messages(&self, encoding: Encoding) -> Result<Messages, Error> {
        let batch = self.batch as usize;
        if batch.saturating_mul(self.size as usize + 200) > protocol::limits::FRAME_BYTES_MAX {
            return Err(Error::Impossible(format!("{batch} messages of {} bytes do not fit one frame", self.size)));
        }
        Ok(Messages {
            encoding,
            body_bytes: self.size as usize,
            batch,
            keys: self.keys.is_some(),
            tag: self.tag.clone(),
        })
    }
}

/// What is watched and how it is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct Watch {
    /// Process of the server, whose CPU time and memory are told; may be repeated
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub(crate) server_pid: Vec<u32>,

    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// No line while it runs
    #[arg(long, short = 'q')]
    pub(crate) quiet: bool,
}
