//! Evaluations of SQL92 filters per second on one core, and how long compiling takes:
//! `cargo run --release -p broker --example sql92`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use broker::Sql;
use protocol::properties;

const CASES: [&str; 6] = [
    "region = 'eu-west'",
    "amount > 100",
    "amount BETWEEN 5.5 AND 1000.0 AND region IN ('eu-west', 'eu-north', 'us-east')",
    "TAGS IS NOT NULL AND (level = 3 OR level = 4) AND NOT region = 'us-east'",
    "orderId STARTSWITH '2026' OR orderId CONTAINS 'test'",
    "missing = 1 OR nothing > 2 OR absent IS NOT NULL",
];

/// How often the body runs in a second or so.
fn rate<T>(mut body: impl FnMut() -> T) -> f64 {
    let (started, mut rounds) = (Instant::now(), 0u32);
    while started.elapsed() < Duration::from_secs(1) {
        (0..1000).for_each(|_| {
            black_box(body());
        });
        rounds += 1000;
    }
    f64::from(rounds) / started.elapsed().as_secs_f64()
}

fn main() {
    let mut text = String::new();
    // What a broker stores with an ordinary message.
    let pairs = [
        ("KEYS", "order-4711"),
        ("TAGS", "paid"),
        ("region", "eu-west"),
        ("amount", "129"),
        ("level", "3"),
        ("orderId", "20261122-4711"),
        ("WAIT", "true"),
        ("MSG_REGION", "DefaultRegion"),
        ("TRACE_ON", "true"),
        ("CLUSTER", "DefaultCluster"),
        ("UNIQ_KEY", "7F00000100003D4B0000000000000001"),
    ];
    pairs.iter().for_each(|(name, value)| properties::push(&mut text, name, value));
    for case in CASES {
        let sql = Sql::parse(case).expect("the cases are correct");
        let evaluated = rate(|| sql.matches(black_box(&text)));
        let compiled = rate(|| Sql::parse(black_box(case)));
        println!("{:6.2} M evaluations/s, {:5.2} us to compile: {case}", evaluated / 1e6, 1e6 / compiled);
    }
}
