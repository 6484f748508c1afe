//! Who serves which topic.
//!
//! A [`NameServer`] is told by brokers where they are and which topics they have, forgets those it no longer hears
//! of, and answers clients that look for a topic. It is a [`remoting::Service`] for brokers and clients on the
//! network, and a plain value for a broker in the same process. Name servers know nothing of each other.
//!
//! Source of all behaviour: `RouteInfoManager`, `DefaultRequestProcessor`, `ClientRequestProcessor` of 5.5.0.

mod advertise;
mod answer;
mod clock;
mod kv;
mod limits;
mod lookup;
mod registration;
mod routes;
mod server; // start here
mod settings;
mod writer;

pub use self::settings::Settings;
pub use advertise::Advertise;
pub use clock::Clock;
pub use registration::{Refused, Registered, Registration, Topics};
pub use routes::Of;
pub use server::{NameServer, Running, StartError};
