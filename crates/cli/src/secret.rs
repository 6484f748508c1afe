//! Credentials of a command: from flags, files, the environment, a question, or the context.
//!
//! A secret on the command line is seen by everybody who lists processes, so there is always another way.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use client::Credentials;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::args::Common;
use crate::contexts::Known;
use crate::failure::Failure;

/// Variables of the environment.
const ACCESS_KEY: &str = "ROCKETMQ_ACCESS_KEY";
const SECRET_KEY: &str = "ROCKETMQ_SECRET_KEY";

/// What flags and environment say; `None` when they name nobody. A name without a secret is asked for on a terminal.
pub(crate) fn given(common: &Common) -> Result<Option<Credentials>> {
    choose(common, variable, ask)
}

/// What the environment alone says.
pub(crate) fn of_environment() -> Option<Credentials> {
    Some(Credentials { access_key: variable(ACCESS_KEY)?, secret_key: variable(SECRET_KEY)? })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl From<Known> for Credentials {
    fn from(Known { access_key, secret_key }: Known) -> Self {
        Credentials { access_key, secret_key }
    }
}

fn choose(
    common: &Common,
    variable: impl Fn(&str) -> Option<String>,
    ask: impl FnOnce(&str) -> Result<String>,
) -> Result<Option<Credentials>> {
    let named = common.secret_key.is_some() || common.secret_key_file.is_some();
    let Some(access_key) = common.access_key.clone().or_else(|| variable(ACCESS_KEY)) else {
        if named || variable(SECRET_KEY).is_some() {
            let text = format!("a secret key is given, but nobody it belongs to: name --access-key or {ACCESS_KEY}");
            return Err(Failure::Usage(text).into());
        }
        return Ok(None);
    };
    let secret_key = match (&common.secret_key, &common.secret_key_file) {
        (Some(secret), _) => secret.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => match variable(SECRET_KEY) {
            Some(secret) => secret,
            None => ask(&access_key)?,
        },
    };
    if secret_key.is_empty() {
        return Err(Failure::Usage(format!("the secret key of {access_key:?} is empty")).into());
    }
    Ok(Some(Credentials { access_key, secret_key }))
}

/// The first line of a file, or of standard input for `-`.
fn read(file: &Path) -> Result<String> {
    let text = if file == Path::new("-") {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).context("read the secret key from standard input")?;
        line
    } else {
        fs::read_to_string(file).with_context(|| format!("read the secret key from {}", file.display()))?
    };
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Asks on the terminal, without showing what is typed.
fn ask(access_key: &str) -> Result<String> {
    if !io::stdin().is_terminal() {
        let text = format!(
            "the secret key of {access_key:?} is missing: set {SECRET_KEY}, or name a file with --secret-key-file \
             (- for standard input)"
        );
        return Err(Failure::Usage(text).into());
    }
    let mut told = io::stderr().lock();
    write!(told, "Secret key of {access_key}: ")?;
    told.flush()?;
    let typed = {
        let _silent = Silent::begin()?;
        line_of(io::stdin().lock())
    };
    writeln!(told)?;
    typed
}

/// Reads what is typed until the end of the line, letter by letter: Ctrl-C is one of them, so that the terminal is set
/// right again before we leave.
fn line_of(input: impl io::BufRead) -> Result<String> {
    let mut line = Vec::new();
    for byte in input.bytes() {
        match byte? {
            b'\r' | b'\n' => break,
            CTRL_C | CTRL_D => return Err(Failure::Usage("no secret key was typed".into()).into()),
            BACKSPACE | DELETE => drop(line.pop()),
            other => line.push(other),
        }
    }
    String::from_utf8(line).context("the secret key is not text")
}

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const DELETE: u8 = 127;

/// A terminal that shows nothing and hands over each key, until this is dropped.
struct Silent(Termios);

impl Silent {
    fn begin() -> Result<Silent> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Silent(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Arguments;

    #[track_caller]
    fn check(line: &str, variables: &[(&str, &str)], expected: Result<Option<(&str, &str)>, &str>) {
        let words = std::iter::once("rocketmq").chain(line.split_whitespace()).chain(["topic", "list"]);
        let common = Arguments::try_parse_from(words).unwrap().common;
        let variable = |name: &str| Some(variables.iter().find(|(set, _)| *set == name)?.1.to_owned());
        let chosen = choose(&common, variable, |name| Ok(format!("asked {name}")));
        match (&chosen, expected) {
            (Ok(chosen), Ok(expected)) => {
                let chosen = chosen.as_ref().map(|chosen| (chosen.access_key.as_str(), chosen.secret_key.as_str()));
                assert_eq!(chosen, expected);
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            _ => panic!("{line}: {chosen:?}"),
        }
    }

    #[test]
    fn a_secret_comes_from_where_it_is_named_and_is_asked_for_at_last() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        fs::write(&file, "from a file \nand more\n").unwrap();
        let both = [(ACCESS_KEY, "env"), (SECRET_KEY, "its")];
        check("", &[], Ok(None));
        check("", &both, Ok(Some(("env", "its"))));
        check("--access-key alice", &both, Ok(Some(("alice", "its"))));
        check("--access-key alice --secret-key s", &both, Ok(Some(("alice", "s"))));
        check(&format!("--secret-key-file {}", file.display()), &both, Ok(Some(("env", "from a file"))));
        check("--access-key alice", &[], Ok(Some(("alice", "asked alice"))));
        check("--secret-key s", &[], Err("name --access-key"));
        check("", &both[1..], Err("nobody it belongs to"));
        check("--secret-key-file /nowhere", &both, Err("read the secret key from /nowhere"));
    }

    #[test]
    fn what_is_typed_may_be_corrected_or_given_up() {
        assert_eq!(line_of(&b"ab\x7fc\nrest"[..]).unwrap(), "ac");
        assert_eq!(line_of(&b"ab"[..]).unwrap(), "ab");
        assert!(line_of(&b"ab\x03"[..]).is_err());
    }
}
