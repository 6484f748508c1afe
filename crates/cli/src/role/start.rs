//! What every role does at its start and end.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use remoting::TlsSettings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::{Problems, Settings, Severity, Sources};
use store::Recovery;
use tracing::{info, warn};

use crate::home;

/// Options that every role has.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Directory of everything that is stored [default: rocketmq in the user's data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) given: Given,
}

/// Options of every role, also of one that stores nothing.
#[derive(Debug, Clone, Args)]
pub(crate) struct Given {
    /// Settings in RocketMQ's own keys, such as a broker.conf or rmq-proxy.json; may be repeated, the last one wins
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,

    /// Sets one key, as in the file; may be repeated and wins over the file
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

impl Common {
    /// Settings and data directory of a broker, and whatever else shares its sources.
    ///
    /// What was changed at run time lies in the data directory and counts more than the file, less than the flags.
    pub(crate) fn load_broker(
        &self,
        flags: &Flags<'_>,
        also: &mut [&mut dyn Settings],
    ) -> anyhow::Result<(broker_server::Settings, PathBuf)> {
        let mut settings = broker_server::Settings::default();
        tell(load_with(&self.given.sources(flags)?, &mut settings, also))?;
        let named = Some(settings.store_dir.clone()).filter(|dir| !dir.as_os_str().is_empty());
        let dir = self.data_dir(named)?;
        let changed = dir.join(broker_server::CHANGED_SETTINGS);
        if changed.exists() {
            settings = broker_server::Settings::default();
            // What the other sources have to say was told above.
            let again = load_with(&self.given.sources(flags)?.file(changed), &mut settings, also);
            again.map_err(|problems| anyhow!("{}", list(&problems)))?;
        }
        settings.store_dir.clone_from(&dir);
        Ok((settings, dir))
    }

    /// The data directory, made if it is missing: that of the flag, that of the file, or the user's.
    pub(crate) fn data_dir(&self, named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
        let dir = match self.data.clone().or(named) {
            Some(dir) => dir,
            None => default_data_dir()?,
        };
        std::fs::create_dir_all(&dir).with_context(|| format!("make the data directory {}", dir.display()))?;
        dir.canonicalize().with_context(|| format!("open the data directory {}", dir.display()))
    }
}

impl Given {
    /// Fills a role's settings: file, then environment, then flags. Everything wrong is told at once.
    pub(crate) fn load(&self, flags: &Flags<'_>, settings: &mut [&mut dyn Settings]) -> anyhow::Result<()> {
        tell(self.sources(flags)?.load(settings))
    }

    fn sources(&self, flags: &Flags<'_>) -> anyhow::Result<Sources> {
        let mut sources = Sources::new().environment(std::env::vars());
        for file in &self.config {
            sources = sources.file(file);
        }
        let named = flags.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?)));
        let pairs = self.set.iter().map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            None => bail!("--set {pair}: it must be KEY=VALUE"),
        });
        Ok(sources.flags(named).flags(pairs.collect::<anyhow::Result<Vec<_>>>()?))
    }
}

fn load_with(
    sources: &Sources,
    settings: &mut broker_server::Settings,
    also: &mut [&mut dyn Settings],
) -> Result<Problems, Problems> {
    let mut groups: Vec<&mut dyn Settings> = vec![settings];
    for group in also {
        groups.push(&mut **group);
    }
    sources.load(&mut groups)
}

/// Lets this process open as many files as the system allows: logins often start with 1024, and each client is one.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        warn!(%error, "the limit of open files stays as it is");
    }
}

/// Keys with a flag of their own.
pub(crate) type Flags<'a> = [(&'a str, Option<String>)];

fn tell(found: Result<Problems, Problems>) -> anyhow::Result<()> {
    for problem in &found.map_err(|problems| anyhow!("{}", list(&problems)))?.0 {
        match problem.severity {
            Severity::Note => info!("{problem}"),
            _ => warn!("{problem}"),
        }
    }
    Ok(())
}

fn default_data_dir() -> anyhow::Result<PathBuf> {
    home::dir("XDG_DATA_HOME", ".local/share").context("no home directory to keep data in, name one with --data DIR")
}

fn list(problems: &Problems) -> String {
    let mut text = String::from("the settings are not usable:");
    for problem in &problems.0 {
        text.push_str(&format!("\n  {problem}"));
    }
    text
}

/// The lines a role prints when it is ready: facts first, then the line that scripts wait for.
pub(crate) fn print_ready(facts: &[(&str, String)], since: Instant, next: &[&str]) {
    let mut text = format!("RocketMQ in Rust {}\n", env!("CARGO_PKG_VERSION"));
    for (name, fact) in facts {
        text.push_str(&(format!("  {name:<12} {fact}") + "\n"));
    }
    text.push_str(&(format!("ready in {} ms", since.elapsed().as_millis()) + "\n"));
    for line in next {
        text.push_str(line);
        text.push('\n');
    }
    let mut out = std::io::stdout().lock();
    // Nobody may be listening; the server serves all the same.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// With what TLS is spoken, on every port of clients.
pub(crate) fn tls_text(settings: &TlsSettings) -> String {
    let certificate = match &settings.cert_path {
        Some(path) => format!("certificate {}", path.display()),
        None => "self-signed certificate".into(),
    };
    format!("beside plaintext on the same ports, {certificate}")
}

/// Where Prometheus finds metrics.
pub(crate) fn metrics_text(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "not served".into(), |at| format!("http://{at}/metrics, /health, /ready"))
}

/// What opening the store found, when it is worth a word.
pub(crate) fn recovery_text(recovery: &Recovery) -> String {
    let elapsed = recovery.elapsed;
    if !recovery.aborted {
        return String::new();
    }
    let cut = match recovery.truncated_bytes {
        0 => String::new(),
        bytes => format!(", {bytes} bytes of a torn record cut off"),
    };
    format!("; checked after an unclean end in {}{cut}", short(elapsed))
}

fn short(elapsed: Duration) -> String {
    format!("{} ms", elapsed.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_a_java_proxy_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rmq-proxy.json");
        let text = r#"{"rocketMQClusterName": "C", "grpcServerPort": 8082, "enableTopicMessageTypeCheck": false,
            "namesrvAddr": "10.0.0.1:9876;10.0.0.2:9876", "localServeAddr": null, "traceOn": false}"#;
        std::fs::write(&file, text).unwrap();
        let given = Given { config: vec![file.clone()], set: vec!["grpcServerPort=8083".into()] };
        let (mut grpc, mut cluster) = (proxy::Settings::default(), proxy::ClusterSettings::default());
        // A key that means nothing here is a warning.
        given.load(&[], &mut [&mut cluster, &mut grpc]).unwrap();
        assert_eq!((grpc.grpc_server_port, grpc.check_message_type), (8083, false));
        assert_eq!((cluster.cluster_name.as_deref(), cluster.namesrv_addr.len()), (Some("C"), 2));
        std::fs::write(&file, "{").unwrap();
        let error = given.load(&[], &mut [&mut cluster, &mut grpc]).unwrap_err();
        assert!(error.to_string().contains("rmq-proxy.json"), "{error}");
    }
}
