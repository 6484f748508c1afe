//! `kill -9` at random moments, under a load of all kinds and during start-up.
//!
//! Every kind of message has a load that runs while a server lives, and a model of what the outside world may believe
//! of each message. After every restart what is there is compared with it, and in the end everything that waits for
//! something must have come.

mod lites;
mod lives;
mod plain;
mod pops;
mod reader;
mod timers;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::SmallRng;
use testkit::{Client, History, Id, Seed, Server, ServerCommand};
use tokio::task::JoinHandle;

use self::lites::Lites;
use self::lives::{Lives, now_ms};
use self::plain::{Known, MESSAGES_MAX};
pub(crate) use self::plain::{Producer, QUEUES, TOPICS};
use self::pops::Pops;
use self::timers::Timers;
use self::transactions::Transfers;
use crate::{alone, rocketmq};

const PRODUCERS: u32 = 4;

/// All loads and their models, of all rounds.
struct Mixed {
    seed: Seed,
    history: Arc<Mutex<History>>,
    known: Arc<Mutex<Known>>,
    /// First number of each producer: those of plain messages, and the one of messages that are popped.
    numbers: [u64; PRODUCERS as usize + 1],
    lives: Lives,
    timers: Timers,
    transfers: Transfers,
    pops: [Pops; 3],
    lites: Lites,
}

/// What runs while a server lives.
struct Running {
    producers: Vec<JoinHandle<u64>>,
    others: Vec<JoinHandle<()>>,
}

impl Mixed {
    fn new(seed: Seed) -> Mixed {
        let lives = Lives::default();
        Mixed {
            seed,
            history: Arc::default(),
            known: Arc::default(),
            numbers: [0; PRODUCERS as usize + 1],
            timers: Timers::new(&lives),
            transfers: Transfers::new(),
            lites: Lites::new(&lives),
            pops: [
                Pops::new("workers", pops::TASKS, false, &lives),
                Pops::new("others", pops::TASKS, false, &lives),
                Pops::new("steppers", pops::STEPS, true, &lives),
            ],
            lives,
        }
    }

    async fn make_topics(client: &Client) {
        for topic in pops::TOPICS.into_iter().chain([timers::TOPIC, transactions::TOPIC]) {
            client.create_topic(topic, QUEUES).await.expect("a topic is made");
        }
        Lites::set_up(client).await;
    }

    fn start(&self, server: &Server, round: u64, window: usize) -> Running {
        let address = server.address();
        let stream = |number: u64| -> SmallRng { self.seed.stream((round << 8) | number) };
        let producer = |number: u32| {
            let popped = number == PRODUCERS;
            let load = Producer {
                producer: number,
                first: self.numbers[number as usize],
                topics: if popped { &pops::TOPICS } else { &TOPICS },
                messages_max: if popped { pops::MESSAGES_MAX } else { MESSAGES_MAX },
                window: if popped { 10 } else { window },
                history: self.history.clone(),
            };
            tokio::spawn(load.run(address, stream(u64::from(number) + 1)))
        };
        let producers = (0..=PRODUCERS).map(producer).collect();
        let mut others = vec![
            tokio::spawn(plain::consume(address, self.known.clone(), stream(0xFF))),
            tokio::spawn(plain::make_topics(address, round, self.known.clone())),
            tokio::spawn(self.timers.clone().run(address, round, stream(0xFE))),
            tokio::spawn(self.transfers.clone().run(address, round, stream(0xFD))),
            tokio::spawn(self.lites.clone().produce(address, round, stream(0xFC))),
            tokio::spawn(self.lites.clone().consume(address, stream(0xFB))),
        ];
        for (number, pops) in (0xF0..).zip(&self.pops) {
            others.push(tokio::spawn(pops.clone().run(address, stream(number))));
        }
        Running { producers, others }
    }

    /// Waits until the loads have seen that their server is gone. Returns some of the last messages that were
    /// acknowledged.
    async fn end(&mut self, running: Running) -> Vec<Id> {
        let mut in_doubt = Vec::new();
        for (producer, load) in running.producers.into_iter().enumerate() {
            let next = load.await.expect("producers do not panic");
            let id = |number| Id { producer: producer as u32, number };
            let history = self.history.lock();
            let last = (self.numbers[producer]..next).rev().take(50).map(id);
            in_doubt.extend(last.filter(|id| history.is_acknowledged(*id)).take(2));
            self.numbers[producer] = next;
        }
        for load in running.others {
            load.await.expect("loads do not panic");
        }
        self.lites.crashed();
        in_doubt
    }

    /// Compares what is there now with what is known.
    async fn verify(&self, server: &Server, client: &Client, in_doubt: &[Id], when: &str) {
        let topics = TOPICS.into_iter().chain(pops::TOPICS);
        plain::verify_new(client, topics, &self.history, &self.known, when).await;
        plain::verify_samples(client, &self.history, in_doubt).await;
        plain::verify_tables(client, &self.known).await;
        self.timers.verify(client, when).await;
        self.transfers.verify(client, when).await;
        self.lites.verify(client, when).await;
        let verdict = self.history.lock().verdict();
        assert!(verdict.is_good(), "{when}: {verdict}\n{}", server.output());
        assert_eq!(server.panics(), [""; 0], "{when}");
    }

    /// Waits until everything that must come has come.
    async fn finish(&self, client: &Client) {
        tokio::join!(
            self.timers.finish(client),
            self.transfers.finish(client),
            self.lites.finish(client),
            self.pops[0].finish(client, &self.history),
            self.pops[1].finish(client, &self.history),
            self.pops[2].finish(client, &self.history),
        );
    }

    fn print(&self) {
        println!("kill -9: {}", self.timers);
        println!("kill -9: {}", self.transfers);
        self.pops.iter().for_each(|pops| println!("kill -9: {pops}"));
        println!("kill -9: {}", self.lites);
    }
}

fn server() -> ServerCommand {
    // Above what the smallest prepared segment needs, so that zeros are written ahead as in production.
    rocketmq()
        .set("mappedFileSizeCommitLog", 16 << 20)
        .set("messageDelayLevel", timers::LEVELS)
        .set("transactionTimeOut", 500)
        .set("transactionCheckInterval", 300)
        // However often a crash eats the answer.
        .set("transactionCheckMax", 10_000)
}

/// How long a server lives.
fn life(rng: &mut SmallRng) -> Duration {
    Duration::from_millis(match rng.random_range(0..25) {
        // Long enough for a checkpoint and a copy of the tables to fall into it.
        0 => rng.random_range(9_500..12_000),
        // Long enough for what is written a few times a second.
        1..5 => rng.random_range(1_600..3_000),
        _ => rng.random_range(5..500),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let _alone = alone().await;
    let rounds: u64 = std::env::var("KILL_ROUNDS").map_or(10, |text| text.parse().expect("KILL_ROUNDS is a number"));
    let seed = Seed::take("kill_9");
    let mut rng = seed.stream(0);
    let command = server();
    let mut mixed = Mixed::new(seed);
    let mut starts = Vec::new();
    let mut killed_starts = 0;
    let mut in_doubt = Vec::new();

    for round in 0..=rounds {
        if round > 0 && rng.random_ratio(1, 4) {
            // The recovery of the last round dies as well.
            let usual = starts.iter().copied().max().unwrap_or(Duration::from_millis(100));
            command.start_and_kill_after(usual.mul_f64(rng.random_range(0.0..1.1)));
            mixed.lives.ended(None);
            killed_starts += 1;
        }
        let server = command.start();
        let ready_ms = now_ms();
        starts.push(server.ready_after());
        let client = server.client().await;
        let when = format!("seed {}, round {round}", seed.0);
        if round == 0 {
            Mixed::make_topics(&client).await;
        }
        mixed.verify(&server, &client, &in_doubt, &when).await;
        if round % 20 == 19 || round == rounds {
            plain::verify_all(&client, command.data_path(), &mixed.known).await;
        }
        if round % 20 == 19 {
            let verdict = mixed.history.lock().verdict();
            println!("kill -9: after {round} rounds: {verdict}; this start took {:?}", server.ready_after());
        }
        if round == rounds {
            mixed.finish(&client).await;
            mixed.verify(&server, &client, &in_doubt, "at the end").await;
            break;
        }

        let life = life(&mut rng);
        let window = if life > Duration::from_secs(5) { 2 } else { rng.random_range(1..300) };
        let running = mixed.start(&server, round, window);
        tokio::time::sleep(life).await;
        client.close().await;
        server.kill();
        mixed.lives.ended(Some(ready_ms));
        in_doubt = mixed.end(running).await;
    }

    starts.sort_unstable();
    let verdict = mixed.history.lock().verdict();
    println!("kill -9: {rounds} rounds and {killed_starts} killed starts; {verdict}");
    mixed.print();
    println!(
        "kill -9: {} topics made; restart median {:?}, max {:?}",
        mixed.known.lock().made.len(),
        starts[starts.len() / 2],
        starts[starts.len() - 1]
    );
    assert!(verdict.acknowledged > rounds as usize, "there was a load");
}
