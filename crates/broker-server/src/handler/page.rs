//! Big tables, asked for a page at a time.

use std::ops::Range;

use protocol::body::DataVersion;
use protocol::json;

/// Entries of a page at most. Source: RocketMQ 5.5.0, `BrokerConfig.splitMetadataSize`.
const ENTRIES_MAX: usize = 2000;

/// What a caller wants of a table. Callers before 5.4.0 name nothing and get everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Entries before the page.
    pub(crate) first: Option<i32>,
    /// Version of the table that the entries before came from, as JSON.
    pub(crate) version: Option<&'a str>,
    /// Most entries.
    pub(crate) most: Option<i32>,
}

impl Wanted<'_> {
    /// Which of `total` entries, in the order of their names, to answer with.
    ///
    /// Source: `AdminBrokerProcessor.getAllTopicConfig`. One entry more than was asked for is answered where only one
    /// would be left: callers stop when `first >= total - 1` and would lose it.
    pub(crate) fn range(&self, total: usize, current: DataVersion) -> Range<usize> {
        if self.first.is_none() && self.version.is_none() && self.most.is_none() {
            return 0..total;
        }
        let same = self.version.and_then(|text| json::parse::<DataVersion>(text.as_bytes()).ok()) == Some(current);
        let first = if same { usize::try_from(self.first.unwrap_or(0)).unwrap_or(0) } else { 0 };
        let most = self.most.and_then(|most| usize::try_from(most).ok()).unwrap_or(ENTRIES_MAX).clamp(1, ENTRIES_MAX);
        let end = first.saturating_add(most).min(total);
        first.min(total)..if end + 1 == total { total } else { end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> DataVersion {
        DataVersion { counter: 3, state_version: 0, timestamp: 7 }
    }

    /// What a 5.5.0 client collects. Source: `MQClientAPIImpl.getAllTopicConfig`.
    fn collected(total: usize, most: i32) -> Vec<usize> {
        let (mut all, mut first, mut text) = (Vec::new(), 0, String::new());
        loop {
            let wanted = Wanted { first: Some(first as i32), version: Some(&text), most: Some(most) };
            let page = wanted.range(total, version());
            first += page.len();
            all.extend(page);
            text = String::from_utf8(json::to_vec(&version())).unwrap();
            if first + 1 >= total {
                return all;
            }
        }
    }

    #[test]
    fn pages_make_the_table_whatever_their_size() {
        for total in [0, 1, 2, 3, 9, 10, 11, 4001, 5000] {
            for most in [1, 2, 3, 10, 2000, i32::MAX] {
                assert_eq!(collected(total, most), (0..total).collect::<Vec<_>>(), "{total} by {most}");
            }
        }
    }

    #[test]
    fn a_table_that_changed_starts_again_and_old_callers_get_everything() {
        let page = |first, version| Wanted { first: Some(first), version, most: Some(10) };
        assert_eq!(page(50, Some("{\"counter\":2,\"stateVersion\":0,\"timestamp\":7}")).range(100, version()), 0..10);
        assert_eq!(page(50, Some("not JSON")).range(100, version()), 0..10);
        assert_eq!(page(-5, None).range(100, version()), 0..10);
        assert_eq!(Wanted { first: None, version: None, most: None }.range(9000, version()), 0..9000);
        assert_eq!(Wanted { first: None, version: None, most: Some(-1) }.range(9000, version()), 0..2000);
    }
}
