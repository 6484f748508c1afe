//! Filling settings at the start: file, then environment, then flags.

use std::fs;
use std::path::{Path, PathBuf};

use crate::problem::{Origin, Problem, Problems, Severity};
use crate::{Error, Key, Settings, hint, java, properties};

/// The one variable that every RocketMQ script exports without our prefix, and its key.
const CLASSIC: (&str, &str) = ("NAMESRV_ADDR", "namesrvAddr");

/// Where settings come from. A later source overrides an earlier one: file, environment, flags.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<PathBuf>,
    environment: Vec<(String, String)>,
    flags: Vec<(String, String)>,
}

impl Sources {
    /// No source: every setting keeps its default.
    pub fn new() -> Sources {
        Sources::default()
    }

    /// Adds a file of properties, or one of JSON such as `rmq-proxy.json`. It must exist: who names a file wants it read.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Sources {
        self.files.push(path.into());
        self
    }

    /// Adds environment variables, as from [`std::env::vars`]; see [`environment_name`].
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Sources {
        self.environment.extend(variables);
        self
    }

    /// Adds keys and values from the command line.
    #[must_use]
    pub fn flags(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Sources {
        self.flags.extend(pairs);
        self
    }

    /// Sets everything that is given. `groups` share the sources: each takes its own keys, and a key that several
    /// declare goes to all of them.
    ///
    /// An unknown key of a file is a warning, so that any `broker.conf` of a Java broker starts; an unknown flag is an
    /// error, because somebody just typed it.
    ///
    /// # Errors
    /// Everything found, if at least one of it is an error. The groups may be half filled then.
    pub fn load(&self, groups: &mut [&mut dyn Settings]) -> Result<Problems, Problems> {
        let mut loader = Loader { groups, problems: Problems::default() };
        for path in &self.files {
            loader.file(path);
        }
        loader.environment(&self.environment);
        for (key, value) in &self.flags {
            loader.set(key, value, Origin::Flag, Severity::Error);
        }
        if loader.problems.has_errors() { Err(loader.problems) } else { Ok(loader.problems) }
    }
}

struct Loader<'l, 'g> {
    groups: &'l mut [&'g mut dyn Settings],
    problems: Problems,
}

impl Loader<'_, '_> {
    fn file(&mut self, path: &Path) {
        let found = |line| Origin::File(path.into(), line);
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => return self.tell(Severity::Error, found(0), error.to_string()),
        };
        if bytes.trim_ascii_start().starts_with(b"{") {
            return self.json(path, &bytes);
        }
        let pairs = match properties::parse(&bytes) {
            Ok(pairs) => pairs,
            Err(error) => return self.tell(Severity::Error, found(error.line), error.to_string()),
        };
        for (at, pair) in pairs.iter().enumerate() {
            if let Some(later) = pairs[at + 1..].iter().find(|later| later.key == pair.key) {
                let text = format!("{} is set again on line {}, which counts", pair.key, later.line);
                self.tell(Severity::Warning, found(pair.line), text);
            } else {
                self.set(&pair.key, &pair.value, found(pair.line), Severity::Warning);
            }
        }
    }

    /// The form of `rmq-proxy.json`: one object of keys and values. Source: `org.apache.rocketmq.proxy.config.Configuration`.
    fn json(&mut self, path: &Path, bytes: &[u8]) {
        let object = match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes) {
            Ok(object) => object,
            Err(error) => {
                return self.tell(Severity::Error, Origin::File(path.into(), error.line()), error.to_string());
            }
        };
        for (key, value) in object {
            let text = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Null => continue,
                other => other.to_string(),
            };
            self.set(&key, &text, Origin::File(path.into(), 0), Severity::Warning);
        }
    }

    fn environment(&mut self, variables: &[(String, String)]) {
        let names: Vec<(String, &'static str)> =
            self.keys().map(|key| (environment_name(key.name), key.name)).collect();
        let classic = variables.iter().filter(|(name, _)| name == CLASSIC.0).map(|pair| (pair, Some(CLASSIC.1)));
        let ours = variables.iter().filter(|(name, _)| name.starts_with("ROCKETMQ_"));
        let ours = ours.map(|pair| (pair, names.iter().find(|(name, _)| *name == pair.0).map(|(_, key)| *key)));
        // Ours come later, so that they count where both are set. An empty variable is one that was not set: compose
        // files pass those on.
        for ((name, value), key) in classic.chain(ours).filter(|((_, value), _)| !value.is_empty()) {
            match key {
                Some(key) if self.keys().any(|known| known.name == key) => {
                    self.set(key, value, Origin::Environment(name.clone()), Severity::Warning);
                }
                Some(_) => {}
                None => self.unknown_variable(name, &names),
            }
        }
    }

    /// Speaks up only about what looks like a typing error: Kubernetes sets `ROCKETMQ_PORT_9876_TCP` and the like for
    /// a service named rocketmq, and ROCKETMQ_HOME is in many images.
    fn unknown_variable(&mut self, name: &str, names: &[(String, &'static str)]) {
        let part = |name: &str| name.trim_start_matches("ROCKETMQ_").to_owned();
        let known: Vec<String> = names.iter().map(|(name, _)| part(name)).collect();
        if let Some(meant) = hint::closest(&part(name), known.iter().map(String::as_str)) {
            let text = format!("no setting has this name, did you mean ROCKETMQ_{meant}?");
            self.tell(Severity::Warning, Origin::Environment(name.into()), text);
        }
    }

    fn set(&mut self, key: &str, value: &str, origin: Origin, unknown: Severity) {
        let mut known = false;
        let mut wrong = None;
        for group in self.groups.iter_mut() {
            match group.set(key, value) {
                Ok(()) => known = true,
                Err(Error::Unknown { .. }) => {}
                Err(error @ Error::Invalid { .. }) => wrong = Some(error),
            }
        }
        if let Some(error) = wrong {
            self.tell(Severity::Error, origin, error.to_string());
        } else if !known {
            let (severity, text) = java::judge(key, value).unwrap_or_else(|| {
                let all = self.keys().map(|key| key.name).chain(java::names());
                (unknown, Error::Unknown { key: key.into(), hint: hint::closest(key, all) }.to_string())
            });
            self.tell(severity, origin, text);
        }
    }

    fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.groups.iter().flat_map(|group| group.keys())
    }

    fn tell(&mut self, severity: Severity, origin: Origin, text: String) {
        self.problems.0.push(Problem { severity, origin, text });
    }
}

/// Environment variable of a key: `listenPort` is `ROCKETMQ_LISTEN_PORT`.
pub fn environment_name(key: &str) -> String {
    let mut name = String::from("ROCKETMQ_");
    let chars: Vec<char> = key.chars().collect();
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| chars[at]);
        let starts_word = before.is_some_and(|before| before.is_lowercase() || before.is_ascii_digit())
            || (before.is_some_and(char::is_uppercase) && chars.get(at + 1).is_some_and(|next| next.is_lowercase()));
        if c.is_uppercase() && starts_word {
            name.push('_');
        }
        name.push(if *c == '.' { '_' } else { c.to_ascii_uppercase() });
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::settings! {
        /// Of the front.
        struct Front {
            /// Port.
            pub listen_port: u16 = "listenPort", 10911, Restart;
            /// Name servers.
            pub namesrv_addr: Vec<crate::HostPort> = "namesrvAddr", Vec::new(), Live;
        }
    }

    crate::settings! {
        /// Of the back.
        struct Back {
            /// Path.
            pub root: std::path::PathBuf = "storePathRootDir", "store".into(), Restart;
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    /// Loads a file's text; gives the settings and what was told without the file's name.
    fn load(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> (Front, Back, Result<String, String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.conf");
        fs::write(&path, text).unwrap();
        let (mut front, mut back) = (Front::default(), Back::default());
        let sources = Sources::new().file(&path).environment(pairs(variables)).flags(pairs(flags));
        let told = sources.load(&mut [&mut front, &mut back]);
        let strip = |problems: Problems| problems.to_string().replace(&format!("{}/", directory.path().display()), "");
        (front, back, told.map(strip).map_err(strip))
    }

    #[test]
    fn later_sources_override_earlier_ones() {
        let text = "listenPort=1\nstorePathRootDir=/a\nnamesrvAddr=x:1\n";
        let variables = [
            ("ROCKETMQ_LISTEN_PORT", "2"),
            ("ROCKETMQ_NAMESRV_ADDR", "y:2;z:3"),
            ("NAMESRV_ADDR", "y:1"),
            ("ROCKETMQ_STORE_PATH_ROOT_DIR", ""),
            ("PATH", "/bin"),
        ];
        let (front, back, told) = load(text, &variables, &[("storePathRootDir", "/c")]);
        assert_eq!((front.listen_port, back.root.to_str()), (2, Some("/c")));
        assert_eq!(front.namesrv_addr.len(), 2);
        assert_eq!(told, Ok(String::new()));
    }

    #[test]
    fn everything_wrong_is_told_together() {
        let text = "listenPort=no\nlisten_port=1\nsendMessageThreadPoolNums=4\naclEnable=true\nflub=1\n\
                    namesrvAddr=a:1\nnamesrvAddr=b\n";
        let (_, _, told) = load(text, &[("ROCKETMQ_LISTN_PORT", "1"), ("ROCKETMQ_HOME", "/x")], &[("flags", "1")]);
        assert_eq!(
            told.unwrap_err(),
            "error: broker.conf:1: listenPort is \"no\", but it must be a whole number from 0 to 65535\n\
             error: broker.conf:4: aclEnable=true asks for access control by plain_acl.yml, which this server does not have yet\n\
             error: broker.conf:7: namesrvAddr is \"b\", but it must be host:port, an IPv6 address in brackets\n\
             error: command line: unknown key \"flags\"\n\
             warning: broker.conf:2: unknown key \"listen_port\", did you mean listenPort?\n\
             warning: broker.conf:5: unknown key \"flub\"\n\
             warning: broker.conf:6: namesrvAddr is set again on line 7, which counts\n\
             warning: environment variable ROCKETMQ_LISTN_PORT: no setting has this name, did you mean ROCKETMQ_LISTEN_PORT?\n\
             note: broker.conf:3: sendMessageThreadPoolNums is accepted and ignored: this server has no such thread pool"
        );
    }

    #[test]
    fn a_foreign_broker_conf_starts() {
        let text = "# comment\nbrokerFastFailureEnable = true\naclEnable=false\nsomethingOfTheirs=1\n";
        let (front, _, told) = load(text, &[], &[]);
        assert_eq!(front, Front::default());
        assert!(told.is_ok(), "{told:?}");
    }

    #[test]
    fn a_file_may_be_an_object_like_that_of_the_java_proxy() {
        let (front, _, told) =
            load("{\n  \"listenPort\": 1,\n  \"namesrvAddr\": \"a:1;b:2\",\n  \"flub\": []\n}\n", &[], &[]);
        assert_eq!((front.listen_port, front.namesrv_addr.len()), (1, 2));
        assert_eq!(told.as_deref(), Ok("warning: broker.conf: unknown key \"flub\""));
        let (_, _, told) = load("{\n  \"listenPort\": \"x\"\n}", &[], &[]);
        assert!(told.unwrap_err().starts_with("error: broker.conf: listenPort is"));
        let (_, _, told) = load("{\n  \"listenPort\" 1}", &[], &[]);
        assert!(told.unwrap_err().starts_with("error: broker.conf:2: "));
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let told = Sources::new().file("/does/not/exist.conf").load(&mut []).unwrap_err();
        assert!(told.to_string().starts_with("error: /does/not/exist.conf: "), "{told}");
    }

    #[test]
    fn variables_are_upper_snake_case() {
        let check = |key, name| assert_eq!(environment_name(key), name);
        check("listenPort", "ROCKETMQ_LISTEN_PORT");
        check("brokerIP1", "ROCKETMQ_BROKER_IP1");
        check("checkCRCOnRecover", "ROCKETMQ_CHECK_CRC_ON_RECOVER");
        check("tls.server.mode", "ROCKETMQ_TLS_SERVER_MODE");
    }
}
