//! How a command that failed says so: what went wrong, what to do, and the exit status.

use std::io;
use std::process::ExitCode;

use client::Error;
use protocol::code;

/// A failure of the tool itself that has its own exit status.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// The line that was typed makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The details were printed already; this is the exit status.
    #[error("")]
    Reported(u8),
}

pub(crate) const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;

/// Prints the error and returns the exit status.
#[expect(clippy::print_stderr, reason = "standard error is where errors go")]
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        // Who read our output has seen enough: `rocketmq ... | head`.
        return ExitCode::SUCCESS;
    }
    let text = explain(error);
    if !text.is_empty() {
        eprintln!("rocketmq: {text}");
    }
    ExitCode::from(status(error))
}

pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

/// The exit status of an error.
pub(crate) fn status(error: &anyhow::Error) -> u8 {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return match failure {
            Failure::NotFound(_) => NOT_FOUND,
            Failure::Usage(_) => USAGE,
            Failure::Reported(status) => *status,
        };
    }
    match error.downcast_ref::<Error>() {
        Some(Error::UnknownTopic(_)) => NOT_FOUND,
        Some(Error::Invalid(_)) => USAGE,
        Some(error) if error.code() == Some(code::SUBSCRIPTION_GROUP_NOT_EXIST) => NOT_FOUND,
        _ => FAILED,
    }
}

/// The chain of causes in one line, and what to do about it where we know that.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let text = without_numbers(&chain(error));
    let advice = match error.downcast_ref::<Error>() {
        Some(Error::NameServer { .. }) => "Is \"rocketmq server\" running? Use --namesrv, --context or NAMESRV_ADDR.",
        Some(Error::UnknownTopic(_)) => "See \"rocketmq topic list\", or make it with \"rocketmq topic create\".",
        Some(Error::NoQueue { .. }) => "See \"rocketmq topic describe\" for its permission and brokers.",
        Some(Error::UnknownBroker(_)) => "It may be down: see \"rocketmq doctor\".",
        Some(Error::Call(_)) => {
            "The broker may be down, or give clients an address that cannot be reached: see \"rocketmq doctor\"."
        }
        Some(Error::Refused { code: code::NO_PERMISSION, remark, .. }) => match of_credentials(remark) {
            Some(advice) => advice,
            None => return text,
        },
        _ => return text,
    };
    format!("{}. {advice}", text.trim_end_matches('.'))
}

/// Causes that the text before has told already are not told twice.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// What to do about what a Java broker says of credentials. Source: RocketMQ 5.5.0, `DefaultAuthenticationProvider`,
/// `DefaultAuthenticationHandler`.
fn of_credentials(remark: &str) -> Option<&'static str> {
    let advice = [
        ("username cannot be null", "This cluster wants credentials: use --access-key, or a context that has them."),
        ("check signature failed", "The secret key is not the one of this user."),
        ("is not found", "Check --access-key, or what the context has."),
        ("is disabled", "Somebody disabled this user on the cluster."),
        ("has no permission", "The user is known, but may not do this: see the cluster's access control lists."),
    ];
    advice.iter().find(|(said, _)| remark.contains(said)).map(|(_, advice)| *advice)
}

/// Leaves out the numbers that the system has for its errors: `Connection refused (os error 111)`.
pub(crate) fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str(part.split_once(')').map_or("", |(_number, rest)| rest));
    }
    kept
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use protocol::code::Code;

    use super::*;

    fn refused(code: Code) -> Error {
        Error::Refused { address: "a:1".into(), request: "GET", code, remark: "because\nof a long stack".into() }
    }

    #[track_caller]
    fn check(error: impl Into<anyhow::Error>, expected: u8) {
        assert_eq!(status(&error.into()), expected);
    }

    #[test]
    fn every_failure_has_its_status() {
        check(Failure::NotFound("no group \"G\"".into()), NOT_FOUND);
        check(Failure::Usage("so not".into()), USAGE);
        check(Failure::Reported(NOT_FOUND), NOT_FOUND);
        check(Error::UnknownTopic("T".into()), NOT_FOUND);
        check(Error::Invalid("empty".into()), USAGE);
        check(refused(code::SUBSCRIPTION_GROUP_NOT_EXIST), NOT_FOUND);
        check(refused(code::SYSTEM_BUSY), FAILED);
        check(io::Error::other("disk"), FAILED);
    }

    #[test]
    fn what_a_cluster_says_of_credentials_comes_with_advice() {
        let explained = |remark: &str| {
            let (address, remark) = ("a:1".into(), remark.into());
            explain(&Error::Refused { address, request: "GET", code: code::NO_PERMISSION, remark }.into())
        };
        assert_eq!(
            explained("check signature failed."),
            "a:1 refused GET: 16 NO_PERMISSION, check signature failed. The secret key is not the one of this user."
        );
        assert!(explained("User:x is not found.").ends_with("Check --access-key, or what the context has."));
        assert_eq!(explained("the topic is read-only"), "a:1 refused GET: 16 NO_PERMISSION, the topic is read-only");
    }

    #[test]
    fn errors_name_the_thing_and_say_what_to_do() {
        let error = Error::NameServer { addresses: "127.0.0.1:9876".into(), reason: "connection refused".into() };
        assert_eq!(
            explain(&error.into()),
            "cannot reach a name server at 127.0.0.1:9876: connection refused. \
             Is \"rocketmq server\" running? Use --namesrv, --context or NAMESRV_ADDR."
        );
        let refused = anyhow::Error::new(refused(code::SYSTEM_BUSY));
        assert_eq!(explain(&refused), "a:1 refused GET: 2 SYSTEM_BUSY, because");
    }

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("open f: {source}")]
        struct Open {
            source: io::Error,
        }
        let open = Open { source: io::Error::other("it is torn") };
        assert_eq!(explain(&anyhow::Error::new(open).context("start")), "start: open f: it is torn");
    }

    #[test]
    fn numbers_of_the_system_are_left_out() {
        assert_eq!(without_numbers("open f: No such file (os error 2): a"), "open f: No such file: a");
        assert_eq!(without_numbers("plain"), "plain");
    }

    #[test]
    fn a_closed_pipe_is_not_an_error() {
        let closed = Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)).context("print").unwrap_err();
        assert!(is_closed_pipe(&closed));
        assert!(!is_closed_pipe(&anyhow::anyhow!("other")));
    }
}
