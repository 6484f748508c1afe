//! The JSON header: keys in alphabetical order, every field a string.
//!
//! Reading is as tolerant as Java's: numbers and strings stand for each other, unknown members are skipped.
//! Source: `RemotingSerializable`, `RemotingCommand`.

use bytes::{BufMut, BytesMut};

use super::{Frame, FrameError, Head, OURS, quick};
use crate::fields::{FieldWriter, Fields, put_int};
use crate::json::{ScanError, Scanner, put_string};
use crate::peer::Language;

pub(super) fn encode(head: &Head<'_>, fields: impl FnOnce(&mut FieldWriter<'_>), out: &mut BytesMut) {
    out.put_slice(b"{\"code\":");
    put_int(out, head.code.into());
    out.put_slice(b",\"extFields\":{");
    fields(&mut FieldWriter::json(out));
    out.put_slice(b"},\"flag\":");
    put_int(out, head.flag.into());
    out.put_slice(b",\"language\":\"");
    out.put_slice(OURS.0.name().unwrap_or("JAVA").as_bytes());
    out.put_slice(b"\",\"opaque\":");
    put_int(out, head.opaque.into());
    if let Some(remark) = head.remark {
        out.put_slice(b",\"remark\":");
        put_string(out, remark);
    }
    out.put_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    put_int(out, OURS.1.into());
    out.put_u8(b'}');
}

pub(super) fn decode(header: &[u8]) -> Result<Frame, FrameError> {
    let text = std::str::from_utf8(header).map_err(|error| FrameError::Header(error.to_string()))?;
    match quick::read(text) {
        Some(frame) => Ok(frame),
        None => read(text).map_err(|error| FrameError::Header(error.to_string())),
    }
}

fn read(text: &str) -> Result<Frame, ScanError> {
    let mut frame = Frame::default();
    let mut scanner = Scanner::new(text);
    scanner.begin_object()?;
    while scanner.next_member()? {
        let mut decoded = String::new();
        let name = scanner.name(&mut decoded)?;
        scanner.colon()?;
        match name {
            "code" => frame.code = scanner.int()?,
            "version" => frame.version = scanner.int()?,
            "opaque" => frame.opaque = scanner.int()?,
            "flag" => frame.flag = scanner.int()?,
            "language" => frame.language = language(scanner.scalar(&mut String::new())?),
            "remark" => frame.remark = scanner.nullable()?,
            "extFields" => frame.fields = fields(&mut scanner, text)?,
            _ => scanner.skip_value()?,
        }
    }
    scanner.end()?;
    Ok(frame)
}

pub(super) fn language(text: &str) -> Language {
    text.parse().map(Language).ok().or_else(|| Language::named(text)).unwrap_or_default()
}

/// The fields point into a copy of the whole text: one copy of some hundred bytes is cheaper than thirty of a few.
fn fields(scanner: &mut Scanner<'_>, text: &str) -> Result<Fields, ScanError> {
    if scanner.null() {
        return Ok(Fields::default());
    }
    let mut fields = Fields::over(text);
    scanner.begin_object()?;
    while scanner.next_member()? {
        let name = fields.put(|decoded| scanner.string(decoded))?;
        scanner.colon()?;
        if !scanner.null() {
            let value = fields.put(|decoded| scanner.value(decoded))?;
            fields.add(name, value);
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a header means, read plainly: character by character, everything copied.
    fn plainly(text: &str) -> Option<(i32, Vec<(String, String)>)> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let string = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let fields = value["extFields"].as_object()?;
        let fields = fields.iter().filter(|(_, value)| !value.is_null());
        Some((string(&value["opaque"]).parse().ok()?, fields.map(|(k, v)| (k.clone(), string(v))).collect()))
    }

    #[track_caller]
    fn check(text: &str) {
        let frame = read(text).expect(text);
        let fields = frame.fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(Some((frame.opaque, fields)), plainly(text), "{text}");
        same(text);
    }

    /// Whatever the quick reader reads, the tolerant one reads alike.
    #[track_caller]
    fn same(text: &str) -> bool {
        let Some(quick) = quick::read(text) else { return false };
        let frame = read(text).expect(text);
        let parts = |frame: &Frame| (frame.code, frame.opaque, frame.flag, frame.version, frame.language);
        assert_eq!(parts(&quick), parts(&frame), "{text}");
        assert_eq!((quick.fields, quick.remark), (frame.fields, frame.remark), "{text}");
        true
    }

    #[test]
    fn escapes_mean_what_they_mean_to_others() {
        check(
            r#"{"extFields":{"i":"UNIQ_KEY\u0001AB\u0002TAGS\u0001t\u0002","\u0061\n":"\"\\\/\b\f\r\t\ud83d\ude00x"},"opaque":7}"#,
        );
        check(r#"{"extFields":{"":"","a":"","bcdefgh":"12345678","x":"1234567\u0031","é":"日本"},"opaque":"8"}"#);
        check(r#"{ "opaque" : 1 , "extFields" : { "n" : -15 , "b" : true , "o" : {"a":[1,{}]} , "z" : null } }"#);
        for refused in [r#""\u12g4""#, r#""\u+123""#, r#""\u123"#, r#""\x""#, r#""\"#, r#""abc"#, r#""é\ué""#] {
            assert!(read(&format!(r#"{{"extFields":{{"a":{refused}}}}}"#)).is_err(), "{refused}");
        }
        let lone = read(r#"{"extFields":{"a":"\ud83dx","b":"\ude00"}}"#).expect("is read");
        assert_eq!((lone.fields.get("a"), lone.fields.get("b")), (Some("?x"), Some("?")));
    }

    #[test]
    fn what_clients_send_is_read_quickly() {
        // Java 5.x, with the properties of a message.
        let header = r#"{"code":310,"extFields":{"a":"G","b":"T","e":"3","g":"1795340067708","i":"UNIQ_KEY\u00017F\u0002WAIT\u0001true\u0002\"\\\n","m":"false"},"flag":0,"language":"JAVA","opaque":-12,"serializeTypeCurrentRPC":"JSON","version":479}"#;
        assert!(same(header) && same(r#"{"code":2147483647,"extFields":{},"opaque":-2147483648}"#));
        for unusual in [
            r#"{"code":2147483648}"#,
            r#"{"code":""}"#,
            r#"{"code":}"#,
            r#"{"code":-}"#,
            r#"{}"#,
            r#"{"code":1}x"#,
            r#"{"code":1,}"#,
            r#"{"code": 1}"#,
            r#"{"remark":null}"#,
            r#"{"extFields":null}"#,
            r#"{"extFields":{"a":1}}"#,
            r#"{"extFields":{"a":"\u0080"}}"#,
            r#"{"extFields":{"a":"\u00zz"}}"#,
            r#"{"extFields":{"\n":""}}"#,
        ] {
            assert!(!same(unusual), "{unusual}");
        }
        for cut in 0..header.len() {
            assert!(!same(&header[..cut]), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_text_means_what_it_means_to_others(
            pairs in proptest::collection::btree_map("[a-zA-Z\u{1}\"\\\\é]{1,12}", ".{0,30}|[\u{1}\u{2}\"'\\\\a-z😀]{0,40}", 0..20),
            opaque: i32, escaped: bool,
        ) {
            let mut text = serde_json::json!({"code": 310, "extFields": pairs, "opaque": opaque}).to_string();
            if escaped {
                // As some clients write it: nothing but ASCII.
                text = text.chars().map(|c| if c.is_ascii() { c.to_string() } else {
                    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }).collect();
            }
            check(&text);
        }

        #[test]
        fn any_text_is_survived(text in "[{}\\[\\]\"':,\\\\un0-9a-f é]{0,60}") {
            for text in [format!(r#"{{"extFields":{{{text}}}}}"#), format!(r#"{{"extFields":{{"a":"{text}"}}}}"#), text] {
                let _ = read(&text);
                same(&text);
            }
        }
    }
}
