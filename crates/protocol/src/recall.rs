//! The handle with which a producer calls a message back before its time.
//!
//! Base64, URL alphabet with padding, of `v1 <topic> <broker name> <time> <unique key>`, where the time is that of the
//! delivery in milliseconds since 1970, plus one. Source: `RecallMessageHandle`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;

/// What a handle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecallHandle {
    /// Topic of the message.
    pub topic: String,
    /// Broker that holds it.
    pub broker_name: String,
    /// One more than the time of its delivery, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its unique key.
    pub unique_key: String,
}

impl RecallHandle {
    /// The text of the handle.
    pub fn encode(&self) -> String {
        let RecallHandle { topic, broker_name, timestamp_ms, unique_key } = self;
        URL_SAFE.encode(format!("v1 {topic} {broker_name} {timestamp_ms} {unique_key}"))
    }

    /// Reads a handle; `None` if it is not one.
    pub fn decode(handle: &str) -> Option<RecallHandle> {
        let text = String::from_utf8(URL_SAFE.decode(handle).ok()?).ok()?;
        let mut words = text.split(' ');
        if words.next()? != "v1" {
            return None;
        }
        Some(RecallHandle {
            topic: words.next()?.to_owned(),
            broker_name: words.next()?.to_owned(),
            timestamp_ms: words.next()?.parse().ok()?,
            unique_key: words.next()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_round_trip() {
        let handle = RecallHandle {
            topic: "T".into(),
            broker_name: "broker-a".into(),
            timestamp_ms: 1_700_000_000_001,
            unique_key: "7F0000010000".into(),
        };
        // `Base64.getUrlEncoder()` of "v1 T broker-a 1700000000001 7F0000010000".
        assert_eq!(handle.encode(), "djEgVCBicm9rZXItYSAxNzAwMDAwMDAwMDAxIDdGMDAwMDAxMDAwMA==");
        assert_eq!(RecallHandle::decode(&handle.encode()), Some(handle));
        for bad in ["", "x", "djI=", "djEgVCBi", &URL_SAFE.encode("v2 T b 1 k"), &URL_SAFE.encode("v1 T b x k")] {
            assert_eq!(RecallHandle::decode(bad), None, "{bad}");
        }
    }
}
