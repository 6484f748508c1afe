//! The hash under which a key is found. It is on disk, so it must not change with a library.

use smallvec::SmallVec;

/// Hashes of the keys of one record.
pub(crate) type KeyHashes = SmallVec<[u64; 4]>;

/// What a record can be found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKey<'a> {
    /// One token of the KEYS property.
    Key(&'a str),
    /// The UNIQ_KEY property.
    UniqueKey(&'a str),
    /// The whole TAGS property.
    Tag(&'a str),
}

impl IndexKey<'_> {
    /// The index does not tell topics, kinds and keys apart any further than this; who finds a record checks it.
    pub(crate) fn hash(&self, topic: &str) -> u64 {
        let (kind, text) = match self {
            Self::Key(text) => (1, text),
            Self::UniqueKey(text) => (2, text),
            Self::Tag(text) => (3, text),
        };
        mix(mix(kind, topic.as_bytes()), text.as_bytes())
    }

    /// Whether a record with these properties is what was looked for.
    pub(crate) fn matches(&self, properties: &str) -> bool {
        let (wanted, split) = match self {
            Self::Key(text) => (("KEYS", *text), true),
            Self::UniqueKey(text) => (("UNIQ_KEY", *text), false),
            Self::Tag(text) => (("TAGS", *text), false),
        };
        protocol::properties::get(properties, wanted.0).is_some_and(|value| match split {
            true => value.split(' ').any(|token| token == wanted.1),
            false => value == wanted.1,
        })
    }
}

/// Adds the hashes that one property of a record is found by.
///
/// Source: RocketMQ 5.3.4 `IndexService.buildIndex` for UNIQ_KEY and KEYS, 5.4.0 for TAGS.
pub(crate) fn hashes(topic: &str, name: &str, value: &str, out: &mut KeyHashes) {
    match name {
        "UNIQ_KEY" => out.push(IndexKey::UniqueKey(value).hash(topic)),
        "TAGS" => out.push(IndexKey::Tag(value).hash(topic)),
        "KEYS" => out.extend(value.split(' ').filter(|t| !t.is_empty()).map(|token| IndexKey::Key(token).hash(topic))),
        _ => {}
    }
}

/// Folds eight bytes at a time into the state with a wide multiplication, the length last.
fn mix(seed: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut state = seed ^ 0x9E37_79B9_7F4A_7C15;
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), 0xD6E8_FEB8_6659_FD93);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    state = fold(state ^ u64::from_le_bytes(last), 0xA076_1D64_78BD_642F);
    fold(state ^ bytes.len() as u64, 0xE703_7ED1_A0B4_28DB)
}

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    wide as u64 ^ (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs on disk hold these numbers: a change here means that no old run finds anything.
    #[test]
    fn hashes_stay_what_they_are() {
        let hashes = ["", "a", "12345678", "7F0000010007123456780000"].map(|key| IndexKey::UniqueKey(key).hash("T"));
        assert_eq!(hashes, GOLDEN);
    }

    const GOLDEN: [u64; 4] =
        [16_993_224_923_045_034_898, 9_738_542_735_115_278_181, 2_081_271_438_352_980_458, 11_157_171_573_208_330_582];

    #[test]
    fn topics_kinds_and_keys_are_told_apart() {
        let mut all: Vec<u64> = Vec::new();
        for topic in ["", "T", "TT", "topic-with-a-longer-name"] {
            for text in ["", "T", "a", "a\0", "12345678", "123456789"] {
                all.extend(
                    [IndexKey::Key(text), IndexKey::UniqueKey(text), IndexKey::Tag(text)].map(|k| k.hash(topic)),
                );
            }
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_property_gives_one_hash_per_key() {
        let mut found = KeyHashes::new();
        hashes("T", "KEYS", " a  b ", &mut found);
        hashes("T", "OTHER", "a", &mut found);
        assert_eq!(found[..], [IndexKey::Key("a").hash("T"), IndexKey::Key("b").hash("T")]);
        assert!(IndexKey::Key("b").matches("KEYS\u{1} a  b \u{2}") && !IndexKey::Key("c").matches("KEYS\u{1}a b\u{2}"));
        assert!(!IndexKey::UniqueKey("a").matches("UNIQ_KEY\u{1}a b\u{2}"));
    }
}
