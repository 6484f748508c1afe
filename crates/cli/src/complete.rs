//! Names that the shell completes: those of the running cluster, if it answers at once.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use client::{Client, Config, Error};
use protocol::name;

use crate::contexts::{Contexts, Target};
use crate::{secret, survey};

/// Somebody waits with a finger on the key.
const PATIENCE: Duration = Duration::from_millis(600);

/// Names offered at most: beyond, nobody reads them.
const NAMES_MAX: usize = 1_000;

/// The variable with which a shell asks for completions.
pub(crate) const VARIABLE: &str = "ROCKETMQ_COMPLETE";

/// Topics that people made.
pub(crate) fn topics() -> ArgValueCandidates {
    ArgValueCandidates::new(|| live(Kind::Topics))
}

/// Consumer groups.
pub(crate) fn groups() -> ArgValueCandidates {
    ArgValueCandidates::new(|| live(Kind::Groups))
}

/// Names of brokers.
pub(crate) fn brokers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| live(Kind::Brokers))
}

/// Contexts in the file of the user.
pub(crate) fn contexts() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(Contexts::load().unwrap_or_default().contexts.into_keys()))
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Topics,
    Groups,
    Brokers,
}

/// Asks the cluster that the line typed so far means. Whatever goes wrong, there is nothing to offer then.
fn live(kind: Kind) -> Vec<CompletionCandidate> {
    let words: Vec<String> = std::env::args_os().filter_map(|word: OsString| word.into_string().ok()).collect();
    let (namesrv, context) = (flag(&words, &["--namesrv", "-n"]), flag(&words, &["--context"]));
    let Ok(target) = Target::resolve(namesrv, context) else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    // Nobody is asked for a secret in the middle of a line.
    let credentials = secret::of_environment().or_else(|| target.credentials.clone().map(Into::into));
    let config = Config { timeout: PATIENCE, credentials, ..Config::new([&target.namesrv]) };
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, names(config, kind)).await });
    candidates(asked.ok().and_then(Result::ok).unwrap_or_default())
}

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    names.into_iter().take(NAMES_MAX).map(CompletionCandidate::new).collect()
}

/// The value of a flag in a line that may not be complete yet.
fn flag<'w>(words: &'w [String], names: &[&str]) -> Option<&'w str> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        if names.contains(&name) {
            return value.or_else(|| words.next().map(String::as_str)).filter(|value| !value.is_empty());
        }
    }
    None
}

async fn names(config: Config, kind: Kind) -> Result<BTreeSet<String>, Error> {
    let admin = Client::connect(config).await?.admin();
    let masters = admin.masters(None).await?;
    let mut names = BTreeSet::new();
    match kind {
        Kind::Topics => {
            names.extend(admin.topics().await?.into_iter().filter(|topic| !survey::is_internal(topic, &masters)))
        }
        Kind::Brokers => names.extend(admin.brokers().await?.into_iter().map(|broker| broker.name)),
        Kind::Groups => {
            for broker in &masters {
                names.extend(admin.group_configs(&broker.address).await?.into_keys());
            }
            names.retain(|group| !name::is_system_group(group));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(flag(&words, &["--namesrv", "-n"]), expected);
    }

    #[test]
    fn the_cluster_is_read_from_the_line_typed_so_far() {
        check("rocketmq topic describe --namesrv a:1", Some("a:1"));
        check("rocketmq --namesrv=a:1 topic describe", Some("a:1"));
        check("rocketmq topic -n a:1", Some("a:1"));
        check("rocketmq topic describe --namesrv", None);
        check("rocketmq topic describe", None);
    }
}
