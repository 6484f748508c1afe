//! Who a client says it is, and the signature that proves it.
//!
//! Source: RocketMQ 5.5.0, `AclClientRPCHook`, `AclUtils.combineRequestContent`, `AclSigner`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use protocol::Frame;
use sha1::Sha1;

const ACCESS_KEY: &str = "AccessKey";
const SIGNATURE: &str = "Signature";

/// A user of a cluster that checks credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name of the user.
    pub access_key: String,
    /// The secret that it shares with the cluster. It never travels.
    pub secret_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Signs a request, whose fields must all be there: the server makes the same text of what it receives.
    pub(crate) fn sign(&self, frame: &mut Frame) {
        frame.fields.push(ACCESS_KEY, &self.access_key);
        let signature = signature(&self.secret_key, frame);
        frame.fields.push(SIGNATURE, &signature);
    }
}

/// HMAC-SHA1 of the values of all fields in the order of their names, and the body behind them.
fn signature(secret: &str, frame: &Frame) -> String {
    let mut fields: Vec<_> = frame.fields.iter().filter(|(name, _)| *name != SIGNATURE).collect();
    // Java compares letters of 16 bits, which is the same order for names of ASCII, as all are.
    fields.sort_unstable_by_key(|(name, _)| *name);
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    for (_, value) in fields {
        mac.update(value.as_bytes());
    }
    mac.update(&frame.body);
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_signed_in_the_order_of_their_names_and_the_body_behind_them() {
        let mut frame = Frame::default().with_body("body");
        for (name, value) in [("topic", "T"), ("b", "2"), ("Zone", "z")] {
            frame.fields.push(name, value);
        }
        let credentials = Credentials { access_key: "alice".into(), secret_key: "12345678".into() };
        credentials.sign(&mut frame);
        assert_eq!(frame.fields.get("AccessKey"), Some("alice"));
        // printf 'alicez2Tbody' | openssl dgst -sha1 -hmac 12345678 -binary | base64
        assert_eq!(frame.fields.get("Signature"), Some("0qnxWi8BBPvlSJWhCSVOg+9X5Ro="));
        assert!(!format!("{credentials:?}").contains("12345678"));
    }
}
