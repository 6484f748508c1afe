//! Named clusters, kept in one file of the user, and which cluster a command talks to.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::home;

/// Where a server on this machine has its name server.
const DEFAULT: &str = "127.0.0.1:9876";

/// Variables of the environment that name a cluster, the strongest first.
const OUR_ADDRESS: &str = "ROCKETMQ_NAMESRV_ADDR";
const OUR_CONTEXT: &str = "ROCKETMQ_CONTEXT";
const CLASSIC_ADDRESS: &str = "NAMESRV_ADDR";

/// One cluster under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    /// Name servers, as `--namesrv` takes them.
    pub(crate) namesrv: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Who asks, where the cluster checks that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credentials: Option<Known>,
}

/// Credentials as they are kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Known {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// The file: all contexts, and which one counts when nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contexts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Named>,
}

impl Contexts {
    /// The file in which they are.
    pub(crate) fn path() -> Result<PathBuf> {
        let dir = home::dir("XDG_CONFIG_HOME", ".config");
        Ok(dir.context("no home directory to keep contexts in: set HOME or XDG_CONFIG_HOME")?.join("contexts.json"))
    }

    /// What the file says; none without a file or a home.
    pub(crate) fn load() -> Result<Contexts> {
        Contexts::path().map_or_else(|_| Ok(Contexts::default()), |path| Contexts::read(&path))
    }

    fn read(path: &Path) -> Result<Contexts> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Contexts::default()),
            Err(error) => return Err(error).with_context(|| format!("read the contexts in {}", path.display())),
        };
        serde_json::from_slice(&bytes)
            .with_context(|| format!("the contexts in {} are not readable, correct or remove the file", path.display()))
    }

    /// Replaces the file as a whole; it may hold secrets, so only the user may read it.
    pub(crate) fn save(&self) -> Result<()> {
        let path = Contexts::path()?;
        self.write(&path).with_context(|| format!("write the contexts to {}", path.display()))
    }

    fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(settings::replace_private_file(path, &text)?)
    }

    /// A context by its name.
    pub(crate) fn get(&self, name: &str) -> Result<&Named> {
        self.contexts.get(name).ok_or_else(|| {
            let text = format!("there is no context {name:?}. See \"rocketmq context list\".");
            Failure::NotFound(text).into()
        })
    }
}

/// The cluster a command talks to, and who chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) namesrv: String,
    pub(crate) chosen: Chosen,
    /// Those of the context, if it was one and has any. They are for its cluster and no other.
    pub(crate) credentials: Option<Known>,
}

/// Who chose a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// `--namesrv`.
    Flag,
    /// An address in a variable of the environment.
    Variable(&'static str),
    /// A context, and what named it.
    Context { name: String, by: &'static str },
    /// Nobody.
    Default,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Chosen::Flag => f.write_str("--namesrv"),
            Chosen::Variable(name) => f.write_str(name),
            Chosen::Context { name, by } => write!(f, "context {name:?} ({by})"),
            Chosen::Default => f.write_str("the default"),
        }
    }
}

impl Target {
    /// What the flags, the environment and the file of contexts choose.
    pub(crate) fn resolve(namesrv: Option<&str>, context: Option<&str>) -> Result<Target> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Target::choose(namesrv, context, variable, Contexts::load)
    }

    /// Flags win over the environment, that over the current context. Of the variables ours win over the one that every
    /// script of RocketMQ exports: who sets one of ours means this tool.
    fn choose(
        namesrv: Option<&str>,
        context: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
        contexts: impl FnOnce() -> Result<Contexts>,
    ) -> Result<Target> {
        let at = |namesrv: String, chosen| Ok(Target { namesrv, chosen, credentials: None });
        let named = |contexts: &Contexts, name: &str, by| {
            let Named { namesrv, credentials, .. } = contexts.get(name)?.clone();
            Ok(Target { namesrv, chosen: Chosen::Context { name: name.to_owned(), by }, credentials })
        };
        if let Some(namesrv) = namesrv {
            return at(namesrv.to_owned(), Chosen::Flag);
        }
        if let Some(name) = context {
            return named(&contexts()?, name, "--context");
        }
        if let Some(namesrv) = variable(OUR_ADDRESS) {
            return at(namesrv, Chosen::Variable(OUR_ADDRESS));
        }
        if let Some(name) = variable(OUR_CONTEXT) {
            return named(&contexts()?, &name, OUR_CONTEXT);
        }
        if let Some(namesrv) = variable(CLASSIC_ADDRESS) {
            return at(namesrv, Chosen::Variable(CLASSIC_ADDRESS));
        }
        let contexts = contexts()?;
        match &contexts.current {
            Some(name) => named(&contexts, name, "current"),
            None => at(DEFAULT.into(), Chosen::Default),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn contexts() -> Contexts {
        let known = Known { access_key: "alice".into(), secret_key: "12345678".into() };
        let named = |namesrv: &str| Named {
            namesrv: namesrv.into(),
            description: None,
            credentials: (namesrv == "p:1").then(|| known.clone()),
        };
        Contexts {
            current: Some("home".into()),
            contexts: BTreeMap::from([("home".into(), named("h:1")), ("prod".into(), named("p:1"))]),
        }
    }

    #[track_caller]
    fn check(flag: Option<&str>, context: Option<&str>, variables: &[(&str, &str)], expected: &str) {
        let variable =
            |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        let target = Target::choose(flag, context, variable, || Ok(contexts())).unwrap();
        assert_eq!(format!("{} {}", target.namesrv, target.chosen), expected);
        // Secrets go to the cluster they are for.
        assert_eq!(target.credentials.is_some(), target.namesrv == "p:1");
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_current_context() {
        let all = [(OUR_ADDRESS, "o:1"), (OUR_CONTEXT, "prod"), (CLASSIC_ADDRESS, "c:1")];
        check(Some("f:1"), Some("prod"), &all, "f:1 --namesrv");
        check(None, Some("prod"), &all, "p:1 context \"prod\" (--context)");
        check(None, None, &all, "o:1 ROCKETMQ_NAMESRV_ADDR");
        check(None, None, &all[1..], "p:1 context \"prod\" (ROCKETMQ_CONTEXT)");
        check(None, None, &all[2..], "c:1 NAMESRV_ADDR");
        check(None, None, &[], "h:1 context \"home\" (current)");
        let nothing = Target::choose(None, None, |_| None, || Ok(Contexts::default())).unwrap();
        assert_eq!((nothing.namesrv.as_str(), nothing.chosen), (DEFAULT, Chosen::Default));
    }

    #[test]
    fn a_context_that_is_not_there_is_an_error_and_never_the_default() {
        let error = Target::choose(None, Some("nowhere"), |_| None, || Ok(contexts())).unwrap_err();
        assert!(error.to_string().contains("there is no context \"nowhere\""), "{error}");
    }

    #[test]
    fn the_file_is_replaced_as_a_whole_and_its_mistakes_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("below/contexts.json");
        assert_eq!(Contexts::read(&path).unwrap(), Contexts::default());
        contexts().write(&path).unwrap();
        assert_eq!(Contexts::read(&path).unwrap(), contexts());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "it holds secrets");
        assert!(!format!("{:?}", contexts()).contains("12345678"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        fs::write(&path, "{").unwrap();
        assert!(Contexts::read(&path).unwrap_err().to_string().contains("contexts.json"));
    }
}
