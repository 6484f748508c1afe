//! Values that are typed: times, pairs, permissions, names.

use std::time::Duration;

use client::Start;
use jiff::{SignedDuration, Timestamp};
use protocol::{name, perm};

/// Servers have other things to do than to answer the same question all the time.
const PERIOD_MIN: Duration = Duration::from_millis(100);

/// A length of time, such as `500ms`, `3s` or `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<SignedDuration> = text.parse().ok();
    let positive = parsed.and_then(|length| Duration::try_from(length).ok()).filter(|length| !length.is_zero());
    positive.ok_or_else(|| "write a number and a unit: 500ms, 3s, 1h30m".into())
}

/// A pause in seconds, or a length of time.
pub(crate) fn period(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let period = seconds.map_or_else(|| duration(text), Ok)?;
    if period < PERIOD_MIN { Err(format!("write at least {} seconds", PERIOD_MIN.as_secs_f32())) } else { Ok(period) }
}

/// Where to begin: `beginning`, `end`, a point in time, or how long ago (`-10m`).
pub(crate) fn start(text: &str) -> Result<Start, String> {
    match text {
        "beginning" | "first" | "earliest" => return Ok(Start::First),
        "end" | "last" | "latest" => return Ok(Start::Last),
        _ => {}
    }
    if let Some(ago) = text.strip_prefix('-') {
        let ago = duration(ago)?;
        let then = Timestamp::now().checked_sub(ago).map_err(|error| error.to_string())?;
        return Ok(Start::AtMs(then.as_millisecond()));
    }
    let point = text.parse::<Timestamp>().or_else(|_| {
        let local = text.parse::<jiff::civil::DateTime>()?;
        Ok::<_, jiff::Error>(local.to_zoned(jiff::tz::TimeZone::system())?.timestamp())
    });
    let point = point.map_err(|_| "write beginning, end, -10m for ten minutes ago, or a time: 2026-01-31T08:00:00Z")?;
    Ok(Start::AtMs(point.as_millisecond()))
}

/// `name=value`, both not empty: brokers drop a property without a value.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write name=value".into()),
    }
}

/// `r`, `w`, `rw`, or the bits as a number.
pub(crate) fn permission(text: &str) -> Result<i32, String> {
    let bits = match text.to_ascii_lowercase().as_str() {
        "r" | "ro" => perm::READ,
        "w" | "wo" => perm::WRITE,
        "rw" | "wr" => perm::READ | perm::WRITE,
        number => number.parse().ok().filter(|bits| perm::is_valid(*bits)).ok_or("write r, w or rw")?,
    };
    Ok(bits)
}

/// The name of a group.
pub(crate) fn group(text: &str) -> Result<String, String> {
    name::check_group(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// `on` or `off`.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        _ => Err("write on or off".into()),
    }
}

/// The name of a context.
pub(crate) fn context(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let sound = !text.is_empty() && text.len() <= 64 && text.chars().all(fits);
    if sound { Ok(text.to_owned()) } else { Err("write up to 64 letters, digits, . _ -".into()) }
}

/// The name of a topic that may be made.
pub(crate) fn topic(text: &str) -> Result<String, String> {
    name::check_topic(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(parsed: Result<T, String>, expected: Option<T>) {
        assert_eq!(parsed.ok(), expected);
    }

    #[test]
    fn lengths_of_time_have_units() {
        check(duration("500ms"), Some(Duration::from_millis(500)));
        check(duration("1h30m"), Some(Duration::from_secs(5400)));
        check(duration("3"), None);
        check(duration("-3s"), None);
        check(duration("0s"), None);
        check(duration(""), None);
    }

    #[test]
    fn periods_are_seconds_or_have_a_unit() {
        check(period("2"), Some(Duration::from_secs(2)));
        check(period("0.5"), Some(Duration::from_millis(500)));
        check(period("500ms"), Some(Duration::from_millis(500)));
        check(period("0"), None);
        check(period("-1"), None);
    }

    #[test]
    fn names_of_contexts_are_words() {
        check(context("prod-1.eu"), Some("prod-1.eu".into()));
        check(context(""), None);
        check(context("a b"), None);
    }

    #[test]
    fn starts_are_words_points_or_ages() {
        check(start("beginning"), Some(Start::First));
        check(start("end"), Some(Start::Last));
        check(start("1970-01-01T00:00:01Z"), Some(Start::AtMs(1000)));
        check(start("1970-01-01T01:00:01+01:00"), Some(Start::AtMs(1000)));
        check(start("soon"), None);
        check(start("-"), None);
        let Ok(Start::AtMs(then)) = start("-10m") else { panic!("an age is a point in time") };
        let now = Timestamp::now().as_millisecond();
        assert!((now - 601_000..=now - 600_000).contains(&then));
    }

    #[test]
    fn pairs_have_both_halves() {
        check(pair("a=b=c"), Some(("a".into(), "b=c".into())));
        check(pair("a="), None);
        check(pair("=b"), None);
        check(pair("a"), None);
    }

    #[test]
    fn permissions_are_letters_or_bits() {
        check(permission("rw"), Some(6));
        check(permission("R"), Some(4));
        check(permission("7"), Some(7));
        check(permission("8"), None);
        check(permission("x"), None);
    }
}
