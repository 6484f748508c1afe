//! Tags: their hash in the consume queue and the tag expression of a subscription.

/// `String.hashCode` of Java: over UTF-16 units, wrapping.
pub fn java_hash(text: &str) -> i32 {
    if text.is_ascii() {
        return text.bytes().fold(0i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    }
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Which tags a subscription wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagFilter {
    /// Everything, with or without a tag.
    All,
    /// One of these tags.
    AnyOf(Vec<String>),
}

impl TagFilter {
    /// Reads `*`, the empty text, or tags separated by `||`. Source: `FilterAPI.buildSubscriptionData`.
    pub fn parse(expression: &str) -> TagFilter {
        let expression = expression.trim();
        if expression.is_empty() || expression == "*" {
            return TagFilter::All;
        }
        let tags = expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        TagFilter::AnyOf(tags)
    }

    /// Whether a consume queue entry with this tag hash may match; equal hashes are told apart by the client.
    pub fn matches(&self, tag_code: i64) -> bool {
        match self {
            TagFilter::All => true,
            // Only the low 32 bits count: the entry holds the hash sign-extended.
            TagFilter::AnyOf(tags) => tags.iter().any(|tag| java_hash(tag) == tag_code as i32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_equal_java() {
        // Values of `"…".hashCode()` in Java 17.
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("TagA", 2_598_919),
            ("日本", 835_047),
            ("hello world", 1_794_106_052),
            ("polygenelubricants", i32::MIN),
        ] {
            assert_eq!(java_hash(text), hash, "{text}");
        }
    }

    #[test]
    fn expressions() {
        for all in ["", "*", "  ", " * "] {
            assert_eq!(TagFilter::parse(all), TagFilter::All);
        }
        let filter = TagFilter::parse(" a || b||  ");
        assert_eq!(filter, TagFilter::AnyOf(vec!["a".into(), "b".into()]));
        assert!(filter.matches(97) && filter.matches(98) && !filter.matches(99) && !filter.matches(0));
    }
}
