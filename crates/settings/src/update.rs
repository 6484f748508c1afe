//! Changing settings at run time.

use crate::problem::{Problem, Problems, Severity};
use crate::{Error, Origin, Settings, hint, java, properties};

/// The body of UPDATE_BROKER_CONFIG or UPDATE_NAMESRV_CONFIG, checked as a whole and not applied yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Keys whose value really changes, with the new text.
    pub changes: Vec<(&'static str, String)>,
    /// Those of them that take effect at the next start only.
    pub restart: Vec<&'static str>,
    /// Keys that were accepted and mean nothing here.
    pub notes: Problems,
}

/// Why an update was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The caller does not let this key be changed from afar.
    #[error("{0} cannot be changed at run time")]
    Forbidden(String),
    /// Not a properties text.
    #[error(transparent)]
    Text(#[from] properties::BadEscape),
    /// Unknown keys or values that do not fit, all of them.
    #[error("{0}")]
    Wrong(Problems),
}

impl Update {
    /// Checks a properties text against the groups that it may change. `forbidden` keys are refused first.
    pub fn parse(groups: &[&dyn Settings], text: &[u8], forbidden: &[&str]) -> Result<Update, UpdateError> {
        let mut update = Update { changes: Vec::new(), restart: Vec::new(), notes: Problems::default() };
        let pairs = properties::parse(text)?;
        if let Some(pair) = pairs.iter().find(|pair| forbidden.contains(&pair.key.as_str())) {
            return Err(UpdateError::Forbidden(pair.key.clone()));
        }
        let mut wrong = Problems::default();
        for pair in &pairs {
            if let Err((severity, text)) = update.take(groups, &pair.key, &pair.value) {
                let list = if severity == Severity::Note { &mut update.notes } else { &mut wrong };
                list.0.push(Problem { severity, origin: Origin::Request, text });
            }
        }
        if wrong.0.is_empty() { Ok(update) } else { Err(UpdateError::Wrong(wrong)) }
    }

    fn take(&mut self, groups: &[&dyn Settings], key: &str, value: &str) -> Result<(), (Severity, String)> {
        let mut owners = groups.iter().filter_map(|group| {
            let key = group.keys().iter().find(|known| known.name == key)?;
            Some((*group, key))
        });
        let Some((group, key)) = owners.next() else {
            let all = groups.iter().flat_map(|group| group.keys()).map(|key| key.name).chain(java::names());
            let unknown = || Error::Unknown { key: key.into(), hint: hint::closest(key, all) }.to_string();
            return Err(java::judge(key, value).unwrap_or_else(|| (Severity::Error, unknown())));
        };
        group.check(key.name, value).map_err(|error| (Severity::Error, error.to_string()))?;
        self.changes.retain(|(known, _)| *known != key.name);
        self.restart.retain(|known| *known != key.name);
        if group.get(key.name).is_none_or(|current| current != value.trim()) {
            self.changes.push((key.name, value.into()));
            if key.change == crate::Change::Restart {
                self.restart.push(key.name);
            }
        }
        Ok(())
    }

    /// Sets what was checked. The groups must be of the types that [`Update::parse`] saw.
    pub fn apply(&self, groups: &mut [&mut dyn Settings]) {
        for (key, value) in &self.changes {
            for group in groups.iter_mut() {
                // A group refuses only keys that are another's: the values were checked.
                let _ = group.set(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    crate::settings! {
        /// Test.
        struct Sample {
            /// Port.
            pub listen_port: u16 = "listenPort", 9876, Restart;
            /// Pause.
            pub pause: Duration as crate::Millis = "pause", Duration::from_secs(5), Live;
        }
    }

    fn update(text: &str) -> Result<(Sample, Update), UpdateError> {
        let mut sample = Sample::default();
        let update = Update::parse(&[&sample], text.as_bytes(), &["configBlackList"])?;
        update.apply(&mut [&mut sample]);
        Ok((sample, update))
    }

    #[test]
    fn an_update_tells_what_needs_a_restart() {
        let (sample, told) = update("listenPort=1\npause=7\nserverWorkerThreads=3\n").unwrap();
        assert_eq!((sample.listen_port, sample.pause), (1, Duration::from_millis(7)));
        assert_eq!(told.restart, ["listenPort"]);
        assert_eq!(told.notes.0.len(), 1);
    }

    #[test]
    fn what_is_said_already_is_no_change() {
        let (_, told) = update(&Sample::default().to_properties_text()).unwrap();
        assert_eq!((told.changes, told.restart), (Vec::new(), Vec::new()));
        let (sample, told) = update("listenPort=1\nlistenPort=9876\n").unwrap();
        assert_eq!((sample, told.changes), (Sample::default(), Vec::new()));
    }

    #[test]
    fn one_wrong_line_refuses_all() {
        let wrong = update("pause=7\npause2=x\nlistenPort=-1\n").unwrap_err().to_string();
        assert_eq!(
            wrong,
            "error: request: unknown key \"pause2\", did you mean pause?\n\
             error: request: listenPort is \"-1\", but it must be a whole number from 0 to 65535"
        );
        assert_eq!(update("pause=7\nconfigBlackList=").unwrap_err(), UpdateError::Forbidden("configBlackList".into()));
    }
}
