//! One broker after the other.

use std::collections::BTreeMap;

use client::{Admin, Broker};
use jiff::Timestamp;

use super::{Findings, reason};
use crate::figures::Figures;

/// Percentages of the disk, where a broker does not say its own: it deletes messages early above the first, and refuses new ones
/// above the second. Source: `diskSpaceCleanForciblyRatio`, `diskSpaceWarningLevelRatio`.
const DISK_NOTE: f64 = 85.0;
const DISK_BAD: f64 = 90.0;

/// Clocks that differ by more than this spoil delays, timestamps and offsets by time.
const CLOCK_SECONDS_MAX: i64 = 5;

type Settings = BTreeMap<String, String>;

/// Examines a broker; false when it does not answer.
pub(super) async fn examine(admin: &Admin, broker: &Broker, findings: &mut Findings) -> bool {
    let subject = format!("broker {} {}", broker.name, broker.address);
    let figures = match admin.runtime_info(&broker.address).await {
        Ok(figures) => Figures(figures),
        Err(error) => {
            let advice = "Start it, open its port in the firewall, or correct its brokerIP1.";
            findings.bad(subject, reason(&error), advice);
            return false;
        }
    };
    findings.good(&subject, format!("answers, {}, id {}", figures.version(), broker.id));
    clock(&subject, &figures, Timestamp::now().as_millisecond(), findings);
    let settings = admin.broker_config(&broker.address).await;
    disk(&subject, &figures, settings.as_ref().ok(), findings);
    match settings {
        Ok(settings) => durability(&subject, &settings, findings),
        Err(error) => findings.note(subject, format!("settings: {}", reason(&error)), "They could not be examined."),
    }
    true
}

/// A broker says when it started and how long ago that was by its own clock.
fn clock(subject: &str, figures: &Figures, now_ms: i64, findings: &mut Findings) {
    let (Some(started), Some(uptime)) = (figures.started_ms(), figures.uptime_seconds()) else { return };
    let ahead = started / 1000 + uptime - now_ms / 1000;
    if ahead.abs() > CLOCK_SECONDS_MAX {
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        let found = format!("its clock is {} s {direction} the one here", ahead.abs());
        findings.bad(subject, found, "Run a time service such as chrony on every machine.");
    }
}

fn disk(subject: &str, figures: &Figures, settings: Option<&Settings>, findings: &mut Findings) {
    let Some(used) = figures.disk_used().map(|used| used * 100.0) else { return };
    let limit = |key: &str, default| settings.and_then(|set| set.get(key)?.parse().ok()).unwrap_or(default);
    let found = format!("its disk is {used:.0} % full");
    let advice = "Give it a larger disk, or a shorter fileReservedTime.";
    if used > limit("diskSpaceWarningLevelRatio", DISK_BAD) {
        findings.bad(subject, format!("{found}: it refuses messages"), advice);
    } else if used > limit("diskSpaceCleanForciblyRatio", DISK_NOTE) {
        findings.note(subject, format!("{found}: it deletes messages before their time"), advice);
    }
}

fn durability(subject: &str, settings: &Settings, findings: &mut Findings) {
    let is = |key: &str, value: &str| settings.get(key).is_some_and(|set| set == value);
    if is("flushDiskType", "ASYNC_FLUSH") {
        let found = "acknowledges messages before they are on disk (flushDiskType=ASYNC_FLUSH)";
        findings.note(subject, found, "A power cut loses the last half second; SYNC_FLUSH does not.");
    }
    if is("autoCreateTopicEnable", "true") {
        let found = "makes a topic of every unknown name (autoCreateTopicEnable=true)";
        findings.note(subject, found, "Handy while developing; in production a misspelt topic goes unnoticed.");
    }
}

/// What only shows when brokers are seen together.
pub(super) fn compare(brokers: &[Broker], findings: &mut Findings) {
    let mut names: Vec<&str> = brokers.iter().map(|broker| broker.name.as_str()).collect();
    names.dedup();
    for name in names {
        if !brokers.iter().any(|broker| broker.name == name && broker.is_master()) {
            let advice = "It takes no messages: start its master, or promote a replica.";
            findings.bad(format!("broker {name}"), "has replicas but no master", advice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::Level;

    fn levels(findings: &Findings) -> Vec<Level> {
        findings.0.iter().map(|finding| finding.level).collect()
    }

    fn figures(pairs: &[(&str, &str)]) -> Figures {
        Figures(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let started =
            figures(&[("bootTimestamp", "1000000"), ("runtime", "[ 0 days, 0 hours, 1 minutes, 0 seconds ]")]);
        for (now_ms, expected) in [(1_060_500, 0), (1_064_000, 0), (1_100_000, 1), (1_000_000, 1)] {
            let mut findings = Findings::default();
            clock("b", &started, now_ms, &mut findings);
            assert_eq!(findings.0.len(), expected, "{now_ms}");
        }
    }

    #[test]
    fn full_disks_are_found() {
        let own = Settings::from([
            ("diskSpaceCleanForciblyRatio".into(), "95".into()),
            ("diskSpaceWarningLevelRatio".into(), "97".into()),
        ]);
        for (ratio, by_default, by_its_own) in [
            ("0.8", vec![], vec![]),
            ("0.88", vec![Level::Note], vec![]),
            ("0.96", vec![Level::Bad], vec![Level::Note]),
            ("0.98", vec![Level::Bad], vec![Level::Bad]),
        ] {
            for (settings, expected) in [(None, by_default), (Some(&own), by_its_own)] {
                let mut findings = Findings::default();
                disk("b", &figures(&[("commitLogDiskRatio", ratio)]), settings, &mut findings);
                assert_eq!(levels(&findings), expected, "{ratio} {settings:?}");
            }
        }
    }

    #[test]
    fn a_name_without_a_master_is_found() {
        let broker =
            |name: &str, id| Broker { cluster: "C".into(), name: name.into(), id, address: format!("{name}:{id}") };
        let mut findings = Findings::default();
        compare(&[broker("a", 0), broker("a", 1), broker("b", 1)], &mut findings);
        assert_eq!(findings.0.len(), 1);
        assert_eq!(findings.0[0].subject, "broker b");
    }
}
