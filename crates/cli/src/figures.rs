//! What a running broker says about itself, read from the table that Java's tools read.
//!
//! Source: `AdminBrokerProcessor.prepareRuntimeInfo`, `StoreStatsService.getRuntimeInfo`.

use std::collections::BTreeMap;

/// The figures of one broker. Any of them may be missing: brokers differ by version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, String>);

impl Figures {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|text| text.trim())
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    /// The first of several rates: that of the last ten seconds.
    fn rate(&self, key: &str) -> Option<f64> {
        self.text(key)?.split(' ').next()?.parse().ok()
    }

    pub(crate) fn version(&self) -> &str {
        self.text("brokerVersionDesc").unwrap_or("an unknown version")
    }

    /// When it started, in milliseconds since 1970 by its own clock.
    pub(crate) fn started_ms(&self) -> Option<i64> {
        self.number("bootTimestamp")
    }

    /// How long ago that was, by its own clock.
    pub(crate) fn uptime_seconds(&self) -> Option<i64> {
        uptime_seconds(self.text("runtime")?)
    }

    /// Messages a second that producers send.
    pub(crate) fn in_per_second(&self) -> Option<f64> {
        self.rate("putTps")
    }

    /// Messages a second that consumers get.
    pub(crate) fn out_per_second(&self) -> Option<f64> {
        self.rate("getTransferredTps")
    }

    /// Messages stored since the start.
    pub(crate) fn stored(&self) -> Option<i64> {
        self.number("putMessageTimesTotal")
    }

    /// Share of the disk in use, 0 to 1.
    pub(crate) fn disk_used(&self) -> Option<f64> {
        self.number("commitLogDiskRatio")
    }

    /// Size of the disk and what is free of it, in words.
    pub(crate) fn disk_text(&self) -> Option<&str> {
        self.text("commitLogDirCapacity").map(|text| text.trim_end_matches('.'))
    }

    /// Bytes of messages that are kept.
    pub(crate) fn log_bytes(&self) -> Option<u64> {
        let (min, max): (i64, i64) = (self.number("commitLogMinOffset")?, self.number("commitLogMaxOffset")?);
        u64::try_from(max - min).ok()
    }

    /// When the oldest message was stored.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        self.number("earliestMessageTimeStamp").filter(|ms| *ms > 0)
    }

    /// Messages that wait for a time of their own.
    pub(crate) fn timers(&self) -> Option<i64> {
        self.number("timerCongestNum")
    }

    /// The slowest of 100 sends, in milliseconds; brokers that do not measure it say 0.
    pub(crate) fn send_p99_ms(&self) -> Option<f64> {
        self.number("putLatency99").filter(|ms| *ms > 0.0)
    }
}

/// Seconds of `[ 0 days, 0 hours, 1 minutes, 3 seconds ]`.
fn uptime_seconds(text: &str) -> Option<i64> {
    let mut seconds = 0;
    for part in text.trim_matches(['[', ']', ' ']).split(',') {
        let (number, unit) = part.trim().split_once(' ')?;
        let unit_seconds = match unit.trim() {
            "days" => 86_400,
            "hours" => 3_600,
            "minutes" => 60,
            "seconds" => 1,
            _ => return None,
        };
        seconds += number.parse::<i64>().ok()? * unit_seconds;
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_are_read() {
        assert_eq!(uptime_seconds("[ 1 days, 2 hours, 3 minutes, 4 seconds ]"), Some(93_784));
        assert_eq!(uptime_seconds("a while"), None);
    }

    #[test]
    fn figures_are_read_as_java_and_we_write_them() {
        let pairs = [
            ("putTps", "12.5 3.0 1.0"),
            ("commitLogMinOffset", "100"),
            ("commitLogMaxOffset", "350"),
            ("commitLogDirCapacity", "Total : 98.2 GiB, Free : 20.0 GiB."),
            ("earliestMessageTimeStamp", "-1"),
            ("putLatency99", "0"),
        ];
        let table = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let figures = Figures(table);
        assert_eq!((figures.in_per_second(), figures.out_per_second()), (Some(12.5), None));
        assert_eq!(figures.log_bytes(), Some(250));
        assert_eq!(figures.disk_text(), Some("Total : 98.2 GiB, Free : 20.0 GiB"));
        assert_eq!((figures.oldest_ms(), figures.send_p99_ms()), (None, None));
    }
}
