//! The properties area, `name \x01 value \x02` repeated, scanned in place.

/// The well-formed pairs, in their order.
///
/// An entry counts only if it has a name, the separator and a value that is not empty; others are passed over, and
/// the last terminator may be missing. Source: RocketMQ 5.3.4, `MessageDecoder.string2messageProperties`.
pub fn pairs(properties: &str) -> impl Iterator<Item = (&str, &str)> {
    properties
        .split('\u{2}')
        .filter_map(|entry| entry.split_once('\u{1}'))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
}

/// The value of `name`, the last one if there are several, as a hash map would keep it.
pub fn property<'a>(properties: &'a str, name: &str) -> Option<&'a str> {
    pairs(properties).filter(|(n, _)| *n == name).last().map(|(_, value)| value)
}

/// The number a consume queue keeps for a TAGS value: Java's `String.hashCode`, sign-extended.
pub fn tag_code(tags: &str) -> i64 {
    i64::from(tags.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(properties: &str, expected: &[(&str, &str)]) {
        assert_eq!(pairs(properties).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn odd_entries_are_passed_over() {
        check("", &[]);
        check("a\u{1}1\u{2}b\u{1}2\u{2}", &[("a", "1"), ("b", "2")]);
        check("a\u{1}1\u{2}b\u{1}2", &[("a", "1"), ("b", "2")]);
        check("a\u{1}\u{2}\u{1}x\u{2}ab\u{2}c\u{1}3", &[("c", "3")]);
        check("a\u{1}1\u{1}1\u{2}", &[("a", "1\u{1}1")]);
    }

    #[test]
    fn the_last_value_wins() {
        assert_eq!(property("a\u{1}1\u{2}a\u{1}2\u{2}", "a"), Some("2"));
        assert_eq!(property("a\u{1}1\u{2}", "b"), None);
    }

    #[test]
    fn tag_codes_are_those_of_java() {
        assert_eq!(tag_code(""), 0);
        assert_eq!(tag_code("TagA"), 2_598_919);
        assert_eq!(tag_code("polygenelubricants"), i64::from(i32::MIN));
    }
}
