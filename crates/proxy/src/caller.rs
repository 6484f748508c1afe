//! Who calls: what a call carries besides its message.
//!
//! Source: `GrpcConstants`, `ContextInitPipeline`.

use std::net::SocketAddr;
use std::time::Duration;

use protocol::peer::{Language, VERSION};
use tonic::metadata::MetadataMap;

use crate::status::Refusal;
use crate::v2::Code;

/// Both ends of a connection, as the listener saw them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) client_id: String,
    pub(crate) language: Language,
    /// Release as an `MQVersion` ordinal, for admin tools.
    pub(crate) version: i32,
    /// The same as the client says it.
    pub(crate) version_text: String,
    pub(crate) ends: Ends,
    /// What is left of the client's patience, if it has told.
    pub(crate) timeout: Option<Duration>,
}

impl Caller {
    /// Who sent a request.
    ///
    /// # Errors
    /// It does not say.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Result<Caller, Refusal> {
        let metadata = request.metadata();
        let client_id = text(metadata, "x-mq-client-id");
        if client_id.trim().is_empty() {
            return Err(Refusal::new(Code::ClientIdRequired, "client id cannot be empty"));
        }
        let unknown = || SocketAddr::from(([0, 0, 0, 0], 0));
        let ends = request.extensions().get::<Ends>().copied();
        Ok(Caller {
            client_id: client_id.to_owned(),
            // Java knows no other languages than these and fails; the name matters to nobody but admin tools.
            language: Language::named(text(metadata, "x-mq-language")).unwrap_or(OTHER),
            version: VERSION,
            version_text: text(metadata, "x-mq-client-version").to_owned(),
            ends: ends.unwrap_or_else(|| Ends { remote: unknown(), local: unknown() }),
            timeout: timeout(text(metadata, "grpc-timeout")),
        })
    }
}

/// `LanguageCode.OTHER`.
const OTHER: Language = Language(7);

fn text<'m>(metadata: &'m MetadataMap, name: &str) -> &'m str {
    metadata.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Up to eight digits and a unit. Source: "gRPC over HTTP2", `Timeout`.
fn timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(number.checked_mul(3600)?),
        'M' => Duration::from_secs(number.checked_mul(60)?),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read() {
        for (text, wanted) in [
            ("5S", Some(Duration::from_secs(5))),
            ("2500m", Some(Duration::from_millis(2500))),
            ("1H", Some(Duration::from_secs(3600))),
            ("1x", None),
            ("S", None),
            ("", None),
            ("5é", None),
            ("99999999999999999999H", None),
        ] {
            assert_eq!(timeout(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_call_without_a_client_id_is_refused() {
        let mut request = tonic::Request::new(());
        assert_eq!(Caller::of(&request).unwrap_err().code, Code::ClientIdRequired);
        request.metadata_mut().insert("x-mq-client-id", " ".parse().unwrap());
        assert_eq!(Caller::of(&request).unwrap_err().code, Code::ClientIdRequired);
        request.metadata_mut().insert("x-mq-client-id", "c".parse().unwrap());
        request.metadata_mut().insert("x-mq-language", "KLINGON".parse().unwrap());
        assert_eq!(Caller::of(&request).unwrap().language, OTHER);
    }
}
