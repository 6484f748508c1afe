//! How many routes a second a name server tells, and what a registration costs.
//!
//! `cargo run --release -p namesrv --example lookups -- [topics] [threads]`

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use namesrv::{Advertise, Clock, NameServer, Registration, Settings, Topics};
use protocol::body::{DataVersion, TopicConfig};

const ASKER: [u8; 4] = [127, 0, 0, 1];

fn registration(topics: &[TopicConfig], version: i64) -> Registration {
    Registration {
        cluster: "DefaultCluster".into(),
        broker_name: "broker-a".into(),
        broker_id: 0,
        at: Advertise::SameHost { port: 10911 },
        ha: None,
        topics: Topics::Changed(topics.to_vec()),
        version: DataVersion { counter: version, ..DataVersion::default() },
        timeout: None,
        enable_acting_master: None,
        zone: None,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let topics = arguments.next().transpose()?.unwrap_or(100_000);
    let threads = arguments.next().transpose()?.unwrap_or(1);
    let settings = Settings { listen_port: 0, ..Settings::default() };
    let data_dir = std::env::temp_dir();
    let running = NameServer::start(settings, &data_dir, Clock::system(), Default::default()).await?;
    let server = running.name_server().clone();
    let names: Vec<String> = (0..topics).map(|at| format!("topic-of-some-length-{at:07}")).collect();
    let configs: Vec<TopicConfig> = names.iter().map(|name| TopicConfig::new(name, 8)).collect();

    let timed = |what: &str, step: &dyn Fn()| {
        let start = Instant::now();
        step();
        println!("{what}: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    };
    let register = |configs: &[TopicConfig], version| {
        server.register(registration(configs, version)).expect("the name server has room");
    };
    timed("first registration", &|| register(&configs, 1));
    timed("same version again", &|| register(&configs, 1));
    timed("new version, nothing changed", &|| register(&configs, 2));
    timed("new version, one topic told", &|| register(&configs[..1], 3));

    // Half of the time a registration of everything is going on, to see that readers do not wait for it.
    for registering in [false, true] {
        let (stop, asked, slowest) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let start = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (server, names, stop, asked, slowest) = (&server, &names, &stop, &asked, &slowest);
                scope.spawn(move || {
                    let (mut at, mut count) = (thread * 7919, 0);
                    while !stop.load(Ordering::Relaxed) {
                        at = (at + 48271) % names.len();
                        let before = Instant::now();
                        let route = server.route(&names[at], ASKER.into()).expect("was registered");
                        assert!(!route.to_body(true).is_empty());
                        slowest.fetch_max(before.elapsed().as_nanos() as u64, Ordering::Relaxed);
                        count += 1;
                    }
                    asked.fetch_add(count, Ordering::Relaxed);
                });
            }
            let mut version = 10;
            while start.elapsed() < Duration::from_secs(2) {
                if registering {
                    version += 1;
                    register(&configs, version);
                } else {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        let asked = asked.into_inner();
        let each = start.elapsed().as_secs_f64() * 1e6 * threads as f64 / asked as f64;
        let during = if registering { " while registering" } else { "" };
        let slowest = slowest.into_inner() as f64 / 1e3;
        println!(
            "{topics} topics, {threads} threads{during}: {:.0} k routes/s, {each:.2} us each, slowest {slowest:.0} us",
            asked as f64 / start.elapsed().as_secs_f64() / 1e3
        );
    }
    running.stop().await;
    Ok(())
}
