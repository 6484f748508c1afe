//! Metrics of a server, defined once and shown in two ways: as text that Prometheus fetches, and pushed to an
//! OpenTelemetry collector.
//!
//! A [`Source`] collects its figures when somebody asks. It puts them into an [`Exposition`], which knows the limit of
//! series and hands each to the writer of one form. Beside them, on the same port, are health and readiness. What is
//! counted, and when a server is well, is the source's business.

mod metrics; // start here
mod settings;
mod source;

mod exposition;
mod otlp;
mod text;

mod http;
mod latency;
mod process;
mod push;

mod limits;

pub use self::exposition::{Distribution, Exposition, Family, Kind, Name, Value};
pub use self::latency::{Latencies, Requests, Times, requests};
pub use self::metrics::{Metrics, StartError};
pub use self::settings::{ExporterType, Pairs, Settings};
pub use self::source::{Collected, Source};
