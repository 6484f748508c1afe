//! What `--help` says, kept in files beside this one, so that a change of it is seen in review.
//!
//! `UPDATE_HELP=1 cargo test -p cli --test tool help` accepts what changed.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_help_of_commands_is_as_kept() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tool/help");
    for line in [
        "context",
        "context add",
        "broker list",
        "broker status",
        "broker config",
        "broker config get",
        "broker config set",
        "cluster",
        "cluster status",
        "config check",
        "config keys",
        "topic",
        "topic update",
        "top",
        "man",
        "completions",
        "group",
        "group update",
        "group reset",
        "dlq",
        "dlq list",
        "dlq show",
        "dlq replay",
        "message",
        "message get",
        "message query",
        "message trace",
        "timer",
        "timer list",
        "timer cancel",
        "transaction",
        "transaction list",
        "transaction resolve",
        "transaction resume",
    ] {
        let ran = Command::new(super::binary()).args(line.split(' ')).arg("-h").output().expect("it runs");
        let said = String::from_utf8(ran.stdout).expect("it is text");
        // The options that all commands share are left out.
        let common = said.find("Common options:").expect("every command has them");
        let examples = said.find("Examples:").unwrap_or(said.len());
        let said = format!("{}{}", &said[..common], &said[examples..]);
        let file = dir.join(line.replace(' ', "-") + ".txt");
        if std::env::var_os("UPDATE_HELP").is_some() {
            fs::write(&file, &said).expect("it is written");
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(said, kept, "{line}: if this is meant, run UPDATE_HELP=1 cargo test -p cli --test tool help");
    }
}
