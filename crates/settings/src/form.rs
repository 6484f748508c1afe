//! How values are written as text.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A type with a text of its own. `parse` takes what `show` makes.
pub trait Setting: Sized {
    /// Reads a value; the text is trimmed. The error completes the sentence "key is value, but ...".
    fn parse(text: &str) -> Result<Self, String>;
    /// Writes a value.
    fn show(&self) -> String;
}

/// A way to write a `T`, chosen by field: the same `Duration` counts milliseconds under one key and hours under another.
pub trait Form<T> {
    /// Unit for humans, empty when there is none.
    const UNIT: &'static str;
    /// As [`Setting::parse`].
    fn parse(text: &str) -> Result<T, String>;
    /// As [`Setting::show`].
    fn show(value: &T) -> String;
}

/// The type's own text.
pub enum Plain {}

impl<T: Setting> Form<T> for Plain {
    const UNIT: &'static str = "";

    fn parse(text: &str) -> Result<T, String> {
        T::parse(text)
    }

    fn show(value: &T) -> String {
        value.show()
    }
}

/// A whole number from `MIN` to `MAX`.
pub enum Between<const MIN: i64, const MAX: i64> {}

/// A number of bytes from `MIN` to `MAX`.
pub enum Bytes<const MIN: i64 = 0, const MAX: i64 = { i64::MAX }> {}

macro_rules! bounded {
    ($($form:ident $unit:literal)*) => {$(
        impl<T: Setting + TryFrom<i64> + Copy + TryInto<i64>, const MIN: i64, const MAX: i64> Form<T> for $form<MIN, MAX> {
            const UNIT: &'static str = $unit;

            fn parse(text: &str) -> Result<T, String> {
                T::try_from(number(text, MIN, MAX)?).map_err(|_| "the number is too large for this key".into())
            }

            fn show(value: &T) -> String {
                value.show()
            }
        }
    )*};
}
bounded!(Between "" Bytes "bytes");

macro_rules! durations {
    ($($(#[$doc:meta])* $form:ident $unit:literal $millis:literal)*) => {$(
        $(#[$doc])*
        pub enum $form<const MIN: i64 = 0, const MAX: i64 = { i64::MAX / $millis }> {}

        impl<const MIN: i64, const MAX: i64> Form<Duration> for $form<MIN, MAX> {
            const UNIT: &'static str = $unit;

            fn parse(text: &str) -> Result<Duration, String> {
                let count = number(text, MIN, MAX)?;
                let count = u64::try_from(count).map_err(|_| "a time cannot be negative".to_owned())?;
                count.checked_mul($millis).map(Duration::from_millis).ok_or_else(|| "that is too long a time".into())
            }

            fn show(value: &Duration) -> String {
                (value.as_millis() / $millis).to_string()
            }
        }
    )*};
}
durations! {
    /// A time counted in milliseconds.
    Millis "ms" 1
    /// A time counted in seconds.
    Seconds "s" 1_000
    /// A time counted in minutes.
    Minutes "min" 60_000
    /// A time counted in hours.
    Hours "h" 3_600_000
}

fn number(text: &str, min: i64, max: i64) -> Result<i64, String> {
    let bounds = || match (min, max) {
        (_, 1_000_000_000_000_000..) => format!("it must be a whole number, {min} or more"),
        _ => format!("it must be a whole number from {min} to {max}"),
    };
    text.parse().ok().filter(|number| (min..=max).contains(number)).ok_or_else(bounds)
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Setting for $type {
            fn parse(text: &str) -> Result<Self, String> {
                parsed(text, &format!("it must be a whole number from {} to {}", <$type>::MIN, <$type>::MAX))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
integers!(u8 u16 u32 u64 usize i32 i64);

impl Setting for bool {
    // Java takes anything but "true" for false; a typing error in a switch deserves better.
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            _ if text.eq_ignore_ascii_case("true") => Ok(true),
            _ if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err("it must be true or false".into()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Setting for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("it must name a path".into()) } else { Ok(text.into()) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for IpAddr {
    fn parse(text: &str) -> Result<Self, String> {
        parsed(text.trim_start_matches('[').trim_end_matches(']'), "it must be an IP address")
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// An empty text is no value.
impl<T: Setting> Setting for Option<T> {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
}

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name or address, an IPv6 address without its brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Setting for HostPort {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "it must be host:port, an IPv6 address in brackets".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        if host.is_empty() || host.contains(char::is_whitespace) || (bare.is_none() && host.contains(':')) {
            return Err(wrong());
        }
        Ok(HostPort { host: host.into(), port: port.parse().map_err(|_| wrong())? })
    }

    fn show(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A list separated by semicolons, as in `namesrvAddr`.
impl<T: Setting> Setting for Vec<T> {
    fn parse(text: &str) -> Result<Self, String> {
        text.split(';').map(str::trim).filter(|item| !item.is_empty()).map(T::parse).collect()
    }

    fn show(&self) -> String {
        self.iter().map(T::show).collect::<Vec<_>>().join(";")
    }
}

fn parsed<T: FromStr>(text: &str, rule: &(impl Display + ?Sized)) -> Result<T, String> {
    text.parse().map_err(|_| rule.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::choices! {
        /// When a message counts as stored.
        enum FlushDiskType {
            /// On the disk.
            Sync = "SYNC_FLUSH",
            /// In the page cache.
            Async = "ASYNC_FLUSH",
        }
    }

    /// Parses, and checks that what is shown parses to the same.
    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug, F: Form<T>>(text: &str, expected: Result<T, &str>) {
        let parsed = F::parse(text);
        if let Ok(value) = &parsed {
            assert_eq!(F::parse(&F::show(value)).as_ref(), Ok(value));
        }
        assert_eq!(parsed, expected.map_err(str::to_owned));
    }

    #[test]
    fn values_are_read_and_shown() {
        check::<bool, Plain>("TRUE", Ok(true));
        check::<bool, Plain>("yes", Err("it must be true or false"));
        check::<u16, Plain>("9876", Ok(9876));
        check::<u16, Plain>("70000", Err("it must be a whole number from 0 to 65535"));
        check::<u32, Between<1, 8>>("8", Ok(8));
        check::<u32, Between<1, 8>>("9", Err("it must be a whole number from 1 to 8"));
        check::<u64, Bytes<1024>>("1073741824", Ok(1 << 30));
        check::<u64, Bytes<1024>>("1023", Err("it must be a whole number, 1024 or more"));
        check::<Duration, Millis>("5000", Ok(Duration::from_secs(5)));
        check::<Duration, Hours>("72", Ok(Duration::from_secs(72 * 3600)));
        check::<Duration, Minutes>("-1", Err("it must be a whole number from 0 to 153722867280912"));
        check::<FlushDiskType, Plain>("SYNC_FLUSH", Ok(FlushDiskType::Sync));
        check::<FlushDiskType, Plain>("ASYNC_FLUSH", Ok(FlushDiskType::Async));
        check::<FlushDiskType, Plain>("sync", Err("it must be one of SYNC_FLUSH, ASYNC_FLUSH"));
        check::<Option<PathBuf>, Plain>("", Ok(None));
        check::<Option<PathBuf>, Plain>("/x", Ok(Some("/x".into())));
        check::<IpAddr, Plain>("[::1]", Ok(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])));
    }

    #[test]
    fn addresses_are_host_and_port() {
        let at = |host: &str, port| HostPort { host: host.into(), port };
        check::<Vec<HostPort>, Plain>("a:9876; [::1]:9877;", Ok(vec![at("a", 9876), at("::1", 9877)]));
        for wrong in ["a", ":1", "a:x", "::1:9876", "a b:1"] {
            check::<HostPort, Plain>(wrong, Err("it must be host:port, an IPv6 address in brackets"));
        }
    }
}
