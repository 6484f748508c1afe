//! The pages in `docs/` say what the broker does.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use broker_server::{Node, Remote, Settings};
use protocol::code::{Code, REQUEST_CODE_NOT_SUPPORTED};
use protocol::{Frame, request};
use remoting::Pool;

const PROTOCOL: &str = include_str!("../../../docs/protocol.md");

#[test]
fn the_page_of_settings_is_current() {
    let page = include_str!("../../../docs/configuration.md");
    let expected = settings::page("Broker", &Settings::default());
    assert!(page.contains(&expected), "put this into docs/configuration.md:\n\n{expected}");
}

/// Cells of the rows of a section that begin with a number, by that number.
fn rows(heading: &str) -> BTreeMap<i32, Vec<&'static str>> {
    let (_, section) = PROTOCOL.split_once(&format!("\n## {heading}\n")).expect("the page has this section");
    let section = section.split("\n## ").next().unwrap();
    let cells = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
    let rows = section.lines().map(cells).filter(|cells| cells.len() > 3);
    rows.filter_map(|cells| Some((cells[1].parse().ok()?, cells[2..].to_vec()))).collect()
}

#[test]
fn every_request_has_a_row() {
    let (served, missing) = (rows("Requests"), rows("Not served"));
    for (code, name) in request::table() {
        let quoted = format!("`{name}`");
        let row = served.get(&code).map(|row| row[0]);
        assert_eq!(row, Some(&*quoted), "docs/protocol.md, Requests, lacks: | {code} | {quoted} | broker | ... |");
        assert!(!missing.contains_key(&code), "docs/protocol.md, Not served, still lists {code}");
    }
    let codes: Vec<i32> = request::table().iter().map(|(code, _)| *code).collect();
    let strange: Vec<_> = served.keys().filter(|code| !codes.contains(code)).collect();
    assert!(strange.is_empty(), "docs/protocol.md, Requests, lists codes that are not declared: {strange:?}");
}

#[test]
fn every_response_code_has_a_row() {
    let rows = rows("Responses");
    let known = (-10_000..10_000).filter_map(|code| Some((code, Code(code).name()?)));
    let known: BTreeMap<i32, String> = known.map(|(code, name)| (code, format!("`{name}`"))).collect();
    for (code, name) in &known {
        let row = rows.get(code).map(|row| row[0]);
        assert_eq!(row, Some(&**name), "docs/protocol.md, Responses, lacks: | {code} | {name} | ... |");
    }
    assert_eq!(rows.len(), known.len(), "docs/protocol.md, Responses, lists codes that are not declared");
}

/// Whether "broker" stands in the row is asked of a running one.
#[tokio::test]
async fn the_broker_serves_what_the_page_says() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        store_dir: directory.path().to_owned(),
        listen_port: 0,
        fast_listen_port: Some(0),
        segment_bytes: 1 << 20,
        ..Settings::default()
    };
    let node = Node::start(
        settings,
        metrics::Settings { port: 0, ..Default::default() },
        Vec::<Remote>::new(),
        Default::default(),
    )
    .await
    .unwrap();
    let pool = Pool::default();
    let answers = async |port: u16, code: i32| {
        let address = format!("127.0.0.1:{port}");
        let answer = pool.call(&address, Frame { code, ..Frame::default() }, Duration::from_secs(10)).await;
        answer.unwrap().code != REQUEST_CODE_NOT_SUPPORTED.0
    };
    for (code, row) in rows("Requests").into_iter().chain(rows("Not served")) {
        let broker = row[1].contains("broker");
        let fast = broker && !row[1].contains("main port");
        assert_eq!(answers(node.address().port(), code).await, broker, "{code}: docs/protocol.md says {:?}", row[1]);
        assert_eq!(answers(node.fast_address().port(), code).await, fast, "{code}: docs/protocol.md says {:?}", row[1]);
    }
    node.stop().await;
}
