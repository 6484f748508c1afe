//! The system clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    // A clock before 1970 counts as 1970: the time is only shown and compared.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Nanoseconds since 1970, to tell two clients of one process apart.
pub(crate) fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// Milliseconds since the month began, in UTC. Java takes its own time zone; the time is decoded only for display.
pub(crate) fn ms_of_month(now_ms: i64) -> u32 {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let (days, ms_of_day) = (now_ms.div_euclid(DAY_MS), now_ms.rem_euclid(DAY_MS));
    // Days since 0000-03-01, cut into eras of 400 years. Source: Howard Hinnant, `civil_from_days`.
    let day_of_era = (days + 719_468).rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5;
    (day_of_month * DAY_MS + ms_of_day) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(now_seconds: i64, day: u32, ms_of_day: u32) {
        assert_eq!(ms_of_month(now_seconds * 1000), (day - 1) * 86_400_000 + ms_of_day);
    }

    #[test]
    fn the_month_begins_at_its_first_day() {
        check(0, 1, 0);
        check(951_782_400, 29, 0); // 2000-02-29
        check(951_868_800, 1, 0); // 2000-03-01
        check(1_798_761_599, 31, 86_399_000); // 2026-12-31T23:59:59
        check(1_798_761_600, 1, 0); // 2027-01-01
    }
}
