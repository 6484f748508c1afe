//! The tool against a server, seen as a person or a script sees it: what was typed, what came out, the exit status.

#![allow(clippy::print_stdout, reason = "a test tells how to accept what changed")]

mod docs;
mod help;
mod operate;

use std::process::Command;

use serde_json::Value;
use testkit::{Client, Message, Pull, Server, ServerCommand, eventually};

fn binary() -> std::ffi::OsString {
    std::env::var_os("ROCKETMQ_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_rocketmq").into())
}

/// What a command did.
#[derive(Debug)]
struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.out
    }

    #[track_caller]
    fn json(self) -> Vec<Value> {
        let text = self.ok();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    }

    /// Fails with this status and says this.
    #[track_caller]
    fn fails(self, status: i32, says: &str) {
        assert!(self.status == status && self.err.contains(says), "{self:?}");
    }
}

fn ran(command: &mut Command) -> Ran {
    let ran = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
    Ran { status: ran.status.code().unwrap_or(-1), out: text(ran.stdout), err: text(ran.stderr) }
}

struct Tool {
    server: Server,
    /// Where its user keeps contexts.
    config: tempfile::TempDir,
}

impl Tool {
    fn start() -> Tool {
        let server = ServerCommand::new(binary()).set("mappedFileSizeCommitLog", 4 << 20).start();
        Tool { server, config: tempfile::tempdir().expect("it is made") }
    }

    async fn client(&self) -> Client {
        self.server.client().await
    }

    /// A line of which the server's address is no part.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(binary());
        command.args(line.split(' ')).env("TZ", "UTC").env("XDG_CONFIG_HOME", self.config.path());
        for variable in ["NAMESRV_ADDR", "ROCKETMQ_NAMESRV_ADDR", "ROCKETMQ_CONTEXT"] {
            command.env_remove(variable);
        }
        command
    }

    fn bare(&self, line: &str) -> Ran {
        ran(&mut self.command(line))
    }

    fn run(&self, line: &str) -> Ran {
        ran(self.command(line).arg("--namesrv").arg(self.server.name_server().to_string()))
    }
}

/// Makes dead letters of what is in `topic`, and returns how many.
async fn give_up(client: &Client, topic: &str, group: &str) -> usize {
    let pull = Pull { group, ..Pull::from(topic, 0, 0) };
    let messages = client.pull(&pull).await.expect("it can be read").messages;
    for message in &messages {
        client.send_back(group, message, -1, 16).await.expect("it is taken");
    }
    messages.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_moved_and_a_dry_run_moves_nothing() {
    let tool = Tool::start();
    let client = tool.client().await;
    client.create_topic("orders", 2).await.expect("it is made");
    for number in 0..10 {
        client.send("orders", number % 2, &Message::new("b")).await.expect("it is stored");
    }
    client.pull(&Pull { group: "billing", ..Pull::from("orders", 0, 0) }).await.expect("it can be read");
    for queue in 0..2 {
        client.commit("billing", "orders", queue, 5).await.expect("it is kept");
    }
    let stands =
        async || [client.committed("billing", "orders", 0).await, client.committed("billing", "orders", 1).await];

    let planned = &tool.run("group reset billing --topic orders --to beginning --dry-run --json").json()[0];
    assert_eq!((&planned["dryRun"], &planned["queues"][1]["to"]), (&Value::from(true), &Value::from(0)), "{planned}");
    assert_eq!(stands().await.map(Result::ok), [Some(5), Some(5)], "nothing moved");

    tool.run("group reset billing --topic orders --to beginning").fails(2, "--yes");
    let out = tool.run("group reset billing --topic orders --to beginning --yes").ok();
    assert!(out.contains("moved group \"billing\"") && out.contains("BROKER"), "{out}");
    assert_eq!(stands().await.map(Result::ok), [Some(0), Some(0)]);

    tool.run("group reset billing --topic orders --queue 1 --offset 3 --yes").ok();
    assert_eq!(stands().await.map(Result::ok), [Some(0), Some(3)], "only one queue moved");
    tool.run("group reset billing --topic orders --queue 1 --offset 99 --yes").fails(2, "has 0 to 5");
    tool.run("group reset billing --topic orders --to end --yes").ok();
    assert_eq!(stands().await.map(Result::ok), [Some(5), Some(5)]);
    tool.run("group reset billing --topic orders --to -1h --yes").ok();
    assert_eq!(stands().await.map(Result::ok), [Some(0), Some(0)], "all came within the hour");
    tool.run("group reset nobody --topic orders --to end --yes").fails(3, "nobody");
    tool.run("group reset billing --topic nowhere --to end --yes").fails(3, "nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_shown_and_sent_again() {
    let tool = Tool::start();
    let client = tool.client().await;
    assert_eq!(tool.run("dlq list").ok(), "no group has dead letters\n");
    tool.run("dlq show billing").fails(3, "no dead letters");
    client.create_topic("orders", 1).await.expect("it is made");
    for number in 0..3 {
        let message = Message::new(format!("order {number}")).tag("t").property("customer", "c1").property("KEYS", "k");
        client.send("orders", 0, &message).await.expect("it is stored");
    }
    assert_eq!(give_up(&client, "orders", "billing").await, 3);

    let listed = tool.run("dlq list --json").json();
    assert_eq!((&listed[0]["group"], &listed[0]["messages"]), (&Value::from("billing"), &Value::from(3)), "{listed:?}");
    let shown = tool.run("dlq show billing --json --count 2").json();
    assert_eq!(shown.iter().map(|one| one["body"].as_str()).collect::<Vec<_>>(), [Some("order 0"), Some("order 1")]);
    let table = tool.run("dlq show billing").ok();
    assert!(table.lines().count() == 4 && table.contains("FROM TOPIC") && table.contains("orders"), "{table}");

    let dry = &tool.run("dlq replay billing --dry-run --json").json()[0];
    assert_eq!((&dry["found"], &dry["sent"], &dry["targets"]["orders"]), (&3.into(), &0.into(), &3.into()), "{dry}");
    assert_eq!(client.range("orders", 0).await.1, 3, "a dry run sends nothing");

    let begin = std::time::Instant::now();
    let ran = &tool.run("dlq replay billing --rate 5 --yes --json").json()[0];
    assert_eq!((&ran["sent"], &ran["failed"], &ran["notTried"]), (&3.into(), &0.into(), &0.into()), "{ran}");
    assert!(begin.elapsed().as_millis() >= 400, "three at five a second take 400 ms: {:?}", begin.elapsed());
    let again = client.read("orders", 0, 3).await;
    assert_eq!(again.iter().map(|one| one.text()).collect::<Vec<_>>(), ["order 0", "order 1", "order 2"]);
    let (first, copy) = (client.read("orders", 0, 0).await, &again[0]);
    assert_eq!(["customer", "KEYS", "TAGS"].map(|name| copy.property(name)), [Some("c1"), Some("k"), Some("t")]);
    assert_eq!(copy.property("RETRY_TOPIC"), None);
    assert_ne!(copy.property("UNIQ_KEY"), first[0].property("UNIQ_KEY"), "a copy is a message of its own");
    assert!(copy.property("DLQ_ORIGIN_MESSAGE_ID").is_some());

    let id = shown[1]["id"].as_str().expect("it has one");
    client.create_topic("elsewhere", 1).await.expect("it is made");
    let out = tool.run(&format!("dlq replay billing --id {id} --to elsewhere --yes")).ok();
    assert_eq!(out, "1 dead letters for elsewhere\nsent 1, failed 0\n");
    assert_eq!(client.read("elsewhere", 0, 0).await[0].text(), "order 1");
    tool.run("dlq replay billing --id nothing --yes").fails(3, "0 such dead letters");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_says_who_sent_and_who_consumed_a_message() {
    let tool = Tool::start();
    let client = tool.client().await;
    tool.run("message trace ID").fails(3, "RMQ_SYS_TRACE_TOPIC");
    // As a Java client with tracing stores it, the entries of several messages together.
    let sent = |id: &str| format!("Pub|1700000000000|R|makers|orders|{id}|a|k|10.0.0.1:10911|5|3|0|OFFSET|true\n");
    let began = |id: &str| format!("SubBefore|1700000001000|R|eaters|REQ-{id}|{id}|1|k\n");
    let ended = |id: &str| format!("SubAfter|REQ-{id}|{id}|7|false|k|1|1700000001007\n");
    for entries in [sent("ID") + &sent("OTHER"), ended("ID") + &began("ID") + &began("OTHER")] {
        let body = entries.replace('|', "\u{1}").replace('\n', "\u{2}");
        let message = Message::new(body).property("KEYS", "ID OTHER k");
        client.send("RMQ_SYS_TRACE_TOPIC", 0, &message).await.expect("it is stored");
    }
    let steps = eventually("the trace can be found", async || {
        let ran = tool.run("message trace ID --json");
        (ran.status == 0).then(|| ran.json()).filter(|steps| steps.len() == 3)
    });
    let shown: Vec<_> = steps
        .await
        .iter()
        .map(|step| format!("{} {} {} {} {}", step["what"], step["group"], step["tookMs"], step["success"], step["id"]))
        .collect();
    let expected = [
        r#""sent" "makers" 3 true "ID""#,
        r#""received" "eaters" null null "ID""#,
        r#""consumed" "eaters" 7 false "ID""#,
    ];
    assert_eq!(shown, expected);
    let out = tool.run("message trace ID").ok();
    assert!(out.contains("to orders at 10.0.0.1:10911") && out.contains("try 2"), "{out}");
    assert_eq!(tool.run("message trace k --json").json().len(), 5, "those of both messages");
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_are_listed_and_cancelled() {
    let tool = Tool::start();
    let client = tool.client().await;
    client.create_topic("later", 1).await.expect("it is made");
    assert_eq!(tool.run("timer list").ok(), "no message waits for its time\n");
    for (key, seconds) in [("far", 7200), ("near", 3600)] {
        let message = Message::new("b").unique_key(key).property("TIMER_DELAY_SEC", &seconds.to_string());
        client.send("later", 0, &message).await.expect("it is stored");
    }
    let ids = async || {
        let listed = tool.run("timer list --topic later --json").json();
        listed.iter().map(|timer| timer["id"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    eventually("both wait, the next one first", async || (ids().await == ["near", "far"]).then_some(())).await;
    assert_eq!(tool.run("timer list --topic other --json").json(), [Value::Null; 0]);

    tool.run("timer cancel near --topic other --yes").fails(3, "waits for topic");
    let out = tool.run("timer cancel near --topic later --yes").ok();
    assert!(out.starts_with("cancelled message near, which was due for \"later\" at "), "{out}");
    eventually("one is left", async || (ids().await == ["far"]).then_some(())).await;
    tool.run("timer cancel near --topic later --yes").fails(3, "near");
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_listed_and_decided() {
    let tool = Tool::start();
    let client = tool.client().await;
    client.create_topic("payments", 1).await.expect("it is made");
    assert_eq!(tool.run("transaction list").ok(), "no transaction waits for its producer\n");
    for key in ["one", "two"] {
        let message = Message::new(key).unique_key(key).property("TRAN_MSG", "true").property("PGROUP", "payers");
        client.send("payments", 0, &message).await.expect("it is stored");
    }
    let ids = async || {
        let listed = tool.run("transaction list --group payers --json").json();
        assert!(listed.iter().all(|half| half["topic"] == "payments"), "{listed:?}");
        listed.iter().map(|half| half["id"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    eventually("both wait, the oldest first", async || (ids().await == ["one", "two"]).then_some(())).await;

    let out = tool.run("transaction resolve two --commit --yes").ok();
    assert_eq!(out, "committed the transaction two for topic \"payments\"\n");
    eventually("one waits", async || (ids().await == ["one"]).then_some(())).await;
    assert_eq!(client.read("payments", 0, 0).await[0].text(), "two");
    tool.run("transaction resolve two --rollback --yes").fails(3, "two");

    let ran = &tool.run("transaction resolve one --rollback --yes --json").json()[0];
    assert_eq!((&ran["result"], &ran["producerGroup"]), (&"rolled back".into(), &"payers".into()));
    eventually("none waits", async || ids().await.is_empty().then_some(())).await;
    assert_eq!(client.range("payments", 0).await.1, 1, "what was rolled back is not delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_were_given_up_are_resumed() {
    let tool = Tool::start();
    let client = tool.client().await;
    client.create_topic("payments", 1).await.expect("it is made");
    tool.run("broker config set transactionCheckMax=0 transactionTimeOut=100 --yes").ok();
    let message = Message::new("one").unique_key("one").property("TRAN_MSG", "true").property("PGROUP", "payers");
    client.send("payments", 0, &message).await.expect("it is stored");
    let ids = async |arguments: &str| {
        let listed = tool.run(&format!("transaction list {arguments} --json")).json();
        listed.iter().filter_map(|half| half["id"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    eventually("it is given up", async || (ids("--given-up").await == ["one"]).then_some(())).await;
    eventually("it waits no more", async || ids("--count 9").await.is_empty().then_some(())).await;

    tool.run("broker config set transactionCheckMax=15 --yes").ok();
    tool.run("transaction resume two").fails(3, "given up");
    let out = tool.run("transaction resume one").ok();
    assert_eq!(out, "its producers are asked about the transaction one for topic \"payments\" again\n");
    assert_eq!(ids("--count 9").await, ["one"]);
    tool.run("transaction resume one").fails(1, "resumed before");
    tool.run("transaction resolve one --commit --yes").ok();
    assert_eq!(client.read("payments", 0, 0).await[0].text(), "one");
}
