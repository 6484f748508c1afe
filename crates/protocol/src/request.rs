//! Every request, declared once: code, name, header, reply.
//!
//! The client's calls, the server's decoding, metrics and the protocol page come from these lines.
//! Source: `RequestCode` and the header classes.

mod admin;
mod client;
mod lite;
mod offset;
mod pop;
mod pull;
mod push;
mod query;
mod route;
mod send;

pub use admin::*;
pub use client::*;
pub use lite::*;
pub use offset::*;
pub use pop::*;
pub use pull::*;
pub use push::*;
pub use query::*;
pub use route::*;
pub use send::*;

use crate::header;
use crate::header::Header;

/// A kind of request.
pub trait Request {
    /// Its code.
    const CODE: i32;
    /// Its name in the protocol.
    const NAME: &'static str;
    /// What a peer sends.
    type Header<'a>: Header<'a>;
    /// What it gets back besides code and body.
    type Reply<'a>: Header<'a>;
}

header! {
    /// No fields at all.
    pub struct NoFields {}
}

/// Declares requests: `code NAME Type(Header) -> Reply`.
macro_rules! requests {
    ($($(#[$doc:meta])* $code:literal $name:ident $type:ident($header:ty) -> $reply:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $type;

            impl $crate::request::Request for $type {
                const CODE: i32 = $code;
                const NAME: &'static str = stringify!($name);
                type Header<'a> = $header;
                type Reply<'a> = $reply;
            }
        )*

        pub(super) const TABLE: &[(i32, &str)] = &[$(($code, stringify!($name)),)*];
    };
}
use requests;

/// Code and name of every request declared here, by code.
pub fn table() -> Vec<(i32, &'static str)> {
    let tables = [
        send::TABLE,
        pull::TABLE,
        offset::TABLE,
        client::TABLE,
        push::TABLE,
        query::TABLE,
        route::TABLE,
        admin::TABLE,
        pop::TABLE,
        lite::TABLE,
    ];
    let mut all = tables.concat();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fields, Frame, HeaderError};

    #[test]
    fn codes_are_declared_once() {
        let table = table();
        assert!(table.windows(2).all(|pair| pair[0].0 != pair[1].0), "{table:?}");
    }

    #[test]
    fn a_header_says_what_is_missing_or_wrong() {
        let mut fields = Fields::default();
        fields.push("topic", "T");
        assert_eq!(QueueHeader::decode(&fields), Err(HeaderError::Missing("queueId")));
        fields.push("queueId", "x");
        assert!(matches!(QueueHeader::decode(&fields), Err(HeaderError::Invalid { name: "queueId", .. })));
    }

    #[test]
    fn short_and_long_names_of_a_send_mean_the_same() {
        let short =
            Frame::request(310, &SendMessageV2Header { topic: "T", queue_id: 3, ..SendMessageV2Header::default() });
        let long = SendMessageHeader { topic: "T", queue_id: 3, ..SendMessageHeader::default() };
        let read: SendMessageHeader<'_> = short.header::<SendMessageV2Header<'_>>().unwrap().into();
        assert_eq!(read, long);
    }
}
