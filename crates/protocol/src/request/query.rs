//! Looking messages up.

use super::{NoFields, requests};
use crate::header;

requests! {
    /// Messages by key, unique key or tag.
    12 QUERY_MESSAGE QueryMessage(QueryMessageHeader<'a>) -> QueryMessageReply;
    /// One message by its commit log offset.
    33 VIEW_MESSAGE_BY_ID ViewMessage(ViewMessageHeader<'a>) -> NoFields;
}

header! {
    /// `QueryMessageRequestHeader`.
    pub struct QueryMessageHeader<'a> {
        /// Topic.
        pub topic: &'a str = "topic",
        /// Key.
        pub key: &'a str = "key",
        /// Most messages wanted.
        pub max_num: i32 = "maxNum",
        /// Store time not before this.
        pub begin_timestamp: i64 = "beginTimestamp",
        /// Store time not after this.
        pub end_timestamp: i64 = "endTimestamp",
        /// `K` keys, `U` unique key, `T` tags; since 5.4.0.
        pub index_type: Option<&'a str> = "indexType",
        /// `true` means the unique key, whatever the type.
        pub unique_key_query: bool = "_UNIQUE_KEY_QUERY",
    }
}

header! {
    /// `QueryMessageResponseHeader`.
    pub struct QueryMessageReply {
        /// Time the index was last written.
        pub index_last_update_timestamp: i64 = "indexLastUpdateTimestamp",
        /// Commit log offset up to which it reaches.
        pub index_last_update_phyoffset: i64 = "indexLastUpdatePhyoffset",
    }
}

header! {
    /// `ViewMessageRequestHeader`.
    pub struct ViewMessageHeader<'a> {
        /// Topic, for a second look when the offset is stale.
        pub topic: Option<&'a str> = "topic",
        /// Commit log offset.
        pub offset: i64 = "offset",
    }
}
