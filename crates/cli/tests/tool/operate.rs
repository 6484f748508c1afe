//! Commands with which somebody looks after a cluster.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Message, Pull, eventually};

use super::Tool;

#[test]
fn contexts_name_clusters_and_what_is_said_now_counts_more() {
    let tool = Tool::start();
    let address = tool.server.name_server().to_string();
    let add = |name: &str, address: &str| tool.bare(&format!("context add {name} --namesrv {address}"));
    assert!(tool.bare("context list").ok().starts_with("no contexts"));
    tool.bare("context add here").fails(2, "--namesrv HOST:PORT");
    add("bad/name", "a:1").fails(2, "letters");
    assert_eq!(add("here", &address).ok(), format!("added context \"here\" for {address}\n"));
    add("nowhere", "127.0.0.1:1").ok();

    tool.bare("topic list --context here").ok();
    tool.bare("topic list --context elsewhere").fails(3, "there is no context \"elsewhere\"");
    tool.bare("topic list --context here --namesrv a:1").fails(2, "cannot be used with");
    tool.bare("context use here").ok();
    tool.bare("topic list").ok();
    let shown = &tool.bare("context show --json").json()[0];
    assert_eq!((&shown["namesrv"], &shown["chosenBy"]), (&address.into(), &"context \"here\" (current)".into()));

    let mut command = tool.command("topic list");
    let ran = super::ran(command.env("NAMESRV_ADDR", "127.0.0.1:1").env("ROCKETMQ_CONTEXT", "here"));
    ran.ok();
    let mut command = tool.command("context show");
    let ran = super::ran(command.env("NAMESRV_ADDR", "c:1").env("ROCKETMQ_NAMESRV_ADDR", "o:1")).ok();
    assert!(ran.contains("o:1") && ran.contains("Chosen by    ROCKETMQ_NAMESRV_ADDR"), "{ran}");

    let listed = tool.bare("context list").ok();
    assert!(listed.lines().count() == 3 && listed.contains("here     *        127.0.0.1:"), "{listed}");
    tool.bare("context remove here").ok();
    tool.bare("context show here").fails(3, "here");
    assert_eq!(tool.bare("context show --json").json()[0]["chosenBy"], "the default");
    tool.bare("namesrv --context nowhere --listen-port 0").fails(2, "a server knows no contexts");
}

#[test]
fn brokers_and_clusters_are_shown_and_set() {
    let tool = Tool::start();
    let broker = &tool.run("broker list --json").json()[0][0];
    assert_eq!((&broker["broker"], &broker["cluster"]), (&"broker-a".into(), &"DefaultCluster".into()), "{broker}");
    assert!(broker["diskUsed"].as_f64().is_some_and(|used| used > 0.0 && used < 1.0), "{broker}");
    let table = tool.run("broker list").ok();
    assert!(table.lines().count() == 2 && table.starts_with("BROKER"), "{table}");
    let status = tool.run("broker status broker-a").ok();
    assert!(status.starts_with("Broker broker-a at ") && status.contains("master in DefaultCluster"), "{status}");
    tool.run("broker status broker-z").fails(3, "no broker \"broker-z\" is registered");
    tool.run("broker list --data x").fails(2, "unexpected argument");
    assert_eq!(tool.run("cluster list --json").json()[0][0]["brokers"], serde_json::json!(["broker-a"]));
    assert!(tool.run("cluster status").ok().contains("topics: 0, groups: 0, members: 0, lag: 0"));

    let get = |key: &str| tool.run(&format!("broker config get {key} --json")).json()[0]["settings"][key].clone();
    assert_eq!(get("maxMessageSize"), "4194304");
    tool.run("broker config set maxMessageSize=1024").fails(2, "--yes");
    let out = tool.run("broker config set maxMessageSize=1024 --broker broker-a").ok();
    assert!(out.starts_with("changed maxMessageSize at broker-a"), "{out}");
    assert_eq!(get("maxMessageSize"), "1024");
    let out = tool.run("broker config set mappedFileSizeCommitLog=1048576 --yes").ok();
    assert!(out.contains("restart") || out.contains("next start"), "what waits is told: {out}");
    tool.run("broker config set maxMessageSize=much --yes").fails(1, "maxMessageSize");
    tool.run("broker config get flub").fails(3, "no setting \"flub\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_at_the_disk_and_at_what_waits() {
    let tool = Tool::start();
    let client = tool.client().await;
    client.create_topic("orders", 1).await.expect("it is made");
    for _ in 0..3 {
        client.send("orders", 0, &Message::new("b")).await.expect("it is stored");
    }
    client.commit("billing", "orders", 0, 1).await.expect("it is kept");
    tool.run("group create billing").ok();
    let said = tool.run("doctor").ok();
    for finding in ["a synced write of 4 KiB takes", "2 messages wait and no member is online", "Nothing is wrong"] {
        assert!(said.contains(finding), "{finding}: {said}");
    }
    assert!(!said.contains("deleted before it"), "{said}");
}

#[test]
fn files_of_settings_are_checked_before_a_server_starts() {
    let tool = Tool::start();
    let dir = tempfile::tempdir().expect("it is made");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        path.display().to_string()
    };
    let good = file("broker.conf", "listenPort=10921\nbrokerName=b\n");
    assert_eq!(tool.bare(&format!("config check {good}")).ok(), format!("{good}: usable\n"));
    let json = file("rmq-proxy.json", "{\"grpcServerPort\": 8082}");
    assert_eq!(tool.bare(&format!("config check {good} {json}")).ok(), format!("{good}, {json}: usable\n"));
    let bad = file("bad.conf", "listenPort=x\nflushDiskTyp=SYNC_FLUSH\n");
    let ran = tool.bare(&format!("config check {bad}"));
    assert_eq!(ran.status, 1);
    assert!(
        ran.out.contains("bad.conf:1: listenPort is \"x\"") && ran.out.contains("did you mean flushDiskType"),
        "{ran:?}"
    );
    let ran = tool.bare(&format!("config check {bad} --json"));
    let verdict: Value = serde_json::from_str(&ran.out).expect("it is JSON");
    assert_eq!((&verdict["usable"], &verdict["problems"][0]["severity"]), (&false.into(), &"error".into()));
    let out = tool.bare("config keys flushDiskType --json").json();
    assert_eq!(out[0][0]["default"], "SYNC_FLUSH", "{out:?}");
    tool.bare("config keys nothinglikethis").fails(3, "nothinglikethis");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_and_groups_are_made_and_changed() {
    let tool = Tool::start();
    tool.run("topic update orders --queues 4").fails(3, "orders");
    tool.run("topic create orders --queues 2 --attribute message.type=FIFO").ok();
    tool.run("topic update orders").fails(2, "required");
    assert_eq!(tool.run("topic update orders --queues 4").ok(), "changed topic \"orders\" at broker-a\n");
    let topics = async || {
        let listed = tool.run("topic list orders --json").json().remove(0);
        (listed[0]["queues"] == 4).then_some(listed)
    };
    let listed = eventually("the change is seen", topics).await;
    assert_eq!(
        (&listed[0]["perm"], &listed[0]["attributes"]["message.type"]),
        (&"RW-".into(), &"FIFO".into()),
        "{listed}"
    );
    tool.run("topic update orders --perm r --broker elsewhere").fails(3, "elsewhere");

    tool.run("group update billing --retries 3").fails(3, "billing");
    assert_eq!(tool.run("group create billing --fifo on").ok(), "created group \"billing\" at broker-a\n");
    assert_eq!(
        tool.run("group update billing --retries 3 --consume off").ok(),
        "changed group \"billing\" at broker-a\n"
    );
    let shown = &tool.run("group show billing --json").json()[0]["settings"];
    let kept = (&shown["consumeMessageOrderly"], &shown["retryMaxTimes"], &shown["consumeEnable"]);
    assert_eq!(kept, (&true.into(), &3.into(), &false.into()), "what was not said stayed: {shown}");
    tool.run("group update billing").fails(2, "say what to change");
    tool.run("group create bad*name").fails(2, "bad*name");
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_rates_and_lag() {
    let tool = Tool::start();
    let client = tool.client().await;
    client.create_topic("orders", 1).await.expect("it is made");
    client.send("orders", 0, &Message::new("b")).await.expect("it is stored");
    client.pull(&Pull { group: "billing", ..Pull::from("orders", 0, 0) }).await.expect("it can be read");
    client.commit("billing", "orders", 0, 1).await.expect("it is kept");
    let sending = async {
        for _ in 0..20 {
            client.send("orders", 0, &Message::new("b")).await.expect("it is stored");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let looking = async { tokio::task::block_in_place(|| tool.run("top --once --json --interval 1").json().remove(0)) };
    let ((), look) = tokio::join!(sending, looking);
    let topic = &look["topics"][0];
    assert_eq!((&topic["topic"], &look["brokers"][0]["reachable"]), (&"orders".into(), &true.into()), "{look}");
    let group = &look["groups"][0];
    assert_eq!((&group["group"], &group["members"]), (&"billing".into(), &0.into()), "{look}");

    eventually("all is counted", async || {
        let look = tool.run("top --once --json --interval 0.1 ord").json().remove(0);
        (look["topics"][0]["messages"] == 21 && look["groups"] == serde_json::json!([])).then_some(())
    })
    .await;
    let look = tool.run("top --once --json --interval 0.1 bill").json().remove(0);
    assert_eq!(look["groups"][0]["lag"], 20, "{look}");
    assert!(tool.run("top --once --interval 0.1").ok().contains("GROUP    DONE/S  LAG"));
    tool.run("top").fails(2, "needs a terminal");
}

#[test]
fn a_watch_shows_it_again_and_a_closed_pipe_ends_it() {
    let tool = Tool::start();
    let mut shell = std::process::Command::new("sh");
    let line =
        format!("{:?} broker list --watch=0.1 --namesrv {} | head -n 5", super::binary(), tool.server.name_server());
    let begin = Instant::now();
    let ran = super::ran(shell.args(["-c", &line])).ok();
    assert_eq!(ran.lines().filter(|line| line.starts_with("BROKER")).count(), 2, "{ran}");
    assert!(begin.elapsed() < Duration::from_secs(20));
    tool.run("broker list --watch=0").fails(2, "at least 0.1 seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_complete_what_is_in_the_cluster() {
    let tool = Tool::start();
    tool.run("topic create orders").ok();
    tool.run("group create billing").ok();
    let complete = |line: &str| {
        let mut command = tool.command("--");
        // Fish asks in the simplest way.
        command.env("ROCKETMQ_COMPLETE", "fish").env("ROCKETMQ_NAMESRV_ADDR", tool.server.name_server().to_string());
        super::ran(command.arg("rocketmq").args(line.split(' '))).ok()
    };
    assert_eq!(complete("topic describe or"), "orders\n");
    assert_eq!(complete("group reset ").lines().next(), Some("billing"), "names come before flags");
    assert_eq!(complete("broker status ").lines().next(), Some("broker-a"));
    assert_eq!(complete("consume orders --group b"), "billing\n");
    assert!(complete("topic desc").starts_with("describe\t"));
    let begin = Instant::now();
    assert_eq!(
        complete("topic describe --namesrv 192.0.2.1:9876 or"),
        "",
        "a cluster that does not answer has no names"
    );
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    for shell in ["bash", "zsh", "fish"] {
        let script = tool.bare(&format!("completions {shell}")).ok();
        assert!(script.contains("ROCKETMQ_COMPLETE"), "{script}");
    }
}

#[test]
fn manual_pages_are_written_for_all_commands() {
    let tool = Tool::start();
    assert!(tool.bare("man").ok().contains(".TH rocketmq 1"));
    let dir = tempfile::tempdir().expect("it is made");
    tool.bare(&format!("man --dir {}", dir.path().display())).ok();
    for page in ["rocketmq.1", "rocketmq-topic-create.1", "rocketmq-broker-config-set.1"] {
        let text = std::fs::read_to_string(dir.path().join(page)).expect("it is there");
        assert!(text.contains(".SH NAME") && text.contains(".SH OPTIONS"), "{page}: {text}");
    }
}
