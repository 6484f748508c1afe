//! The pages in `docs/` say what the name server does.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::time::Duration;

use namesrv::{Clock, NameServer, Settings};
use protocol::Frame;
use protocol::code::REQUEST_CODE_NOT_SUPPORTED;
use remoting::Pool;

#[test]
fn the_page_of_settings_is_current() {
    let page = include_str!("../../../docs/configuration.md");
    let expected = settings::page("Name server", &Settings::default());
    assert!(page.contains(&expected), "put this into docs/configuration.md:\n\n{expected}");
}

/// Whether "name server" stands in the row of a request is asked of a running one. That every request has a row is
/// a test of `broker-server`.
#[tokio::test]
async fn the_name_server_serves_what_the_page_says() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { listen_port: 0, ..Settings::default() };
    let server = NameServer::start(settings, directory.path(), Clock::system(), Default::default()).await.unwrap();
    let address = format!("127.0.0.1:{}", server.address().port());
    let pool = Pool::default();
    let (_, page) = include_str!("../../../docs/protocol.md").split_once("\n## Requests\n").unwrap();
    let rows = page.split("\n## Responses\n").next().unwrap().lines();
    let rows = rows.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>()).filter(|cells| cells.len() > 4);
    for cells in rows {
        let Ok(code) = cells[1].parse() else { continue };
        let answer = pool.call(&address, Frame { code, ..Frame::default() }, Duration::from_secs(10)).await.unwrap();
        let served = answer.code != REQUEST_CODE_NOT_SUPPORTED.0;
        assert_eq!(served, cells[3].contains("name server"), "{code}: docs/protocol.md says {:?}", cells[3]);
    }
    server.stop().await;
}
