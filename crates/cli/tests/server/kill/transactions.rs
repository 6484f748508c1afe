//! Half messages: committed, rolled back, or left to the broker's questions.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::record::validate;
use protocol::request::{
    CheckTransactionState, CheckTransactionStateHeader, EndTransaction, EndTransactionHeader, Request,
};
use protocol::{Frame, id, properties, sysflag};
use rand::RngExt;
use rand::rngs::SmallRng;
use testkit::{Client, Id, Message, Sent, Wire, eventually, heartbeat_frame};

use super::reader::Reader;

pub(super) const TOPIC: &str = "transfers";
/// Of one round.
const MESSAGES_MAX: u64 = 300;

/// What the outside world may believe of a message.
#[derive(Debug, Default)]
struct Transfer {
    acknowledged: bool,
    /// The broker asked about it.
    checked: bool,
    delivered: bool,
}

/// What its producer wants, whenever and however often it is asked.
fn is_committed(id: Id) -> bool {
    id.number.is_multiple_of(2)
}

/// Everything about them, of all rounds.
#[derive(Clone)]
pub(super) struct Transfers {
    transfers: Arc<Mutex<HashMap<Id, Transfer>>>,
    reader: Arc<Mutex<Reader>>,
}

/// Where a half message is, and who says what is to become of it.
struct Half {
    id: Id,
    queue_offset: i64,
    log_offset: i64,
    from_check: bool,
}

impl Half {
    fn decide(&self) -> Frame {
        let commit = is_committed(self.id);
        Frame::request(
            EndTransaction::CODE,
            &EndTransactionHeader {
                topic: Some(TOPIC),
                producer_group: "P",
                tran_state_table_offset: self.queue_offset,
                commit_log_offset: self.log_offset,
                commit_or_rollback: if commit { sysflag::TRANSACTION_COMMIT } else { sysflag::TRANSACTION_ROLLBACK },
                from_transaction_check: self.from_check,
                msg_id: &key_of(self.id),
                transaction_id: None,
            },
        )
    }
}

fn key_of(id: Id) -> String {
    format!("transfer-{id}")
}

impl Transfers {
    pub(super) fn new() -> Transfers {
        Transfers { transfers: Arc::default(), reader: Arc::new(Mutex::new(Reader::of(TOPIC))) }
    }

    /// Sends and decides until the connection ends, and answers the broker's questions.
    pub(super) async fn run(self, address: SocketAddr, round: u64, mut rng: SmallRng) {
        let Some(mut wire) = Wire::try_connect(address).await else { return };
        let mut numbers = round * MESSAGES_MAX..(round + 1) * MESSAGES_MAX;
        loop {
            let some = numbers.by_ref().take(rng.random_range(1..10));
            let ids: Vec<Id> = some.map(|number| Id { producer: 0, number }).collect();
            let Some(sent) = self.send(&mut wire, &ids).await else { return };
            // The others are left to the broker's questions.
            let told: Vec<_> = sent.into_iter().filter(|_| rng.random_ratio(2, 3)).collect();
            if self.answer(&mut wire, told).await.is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..20))).await;
        }
    }

    /// Answers questions until the connection ends.
    pub(super) async fn run_answers(self, address: SocketAddr) {
        let Some(mut wire) = Wire::try_connect(address).await else { return };
        while self.answer(&mut wire, Vec::new()).await.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn send(&self, wire: &mut Wire, ids: &[Id]) -> Option<Vec<Half>> {
        let half = |id: &Id| {
            self.transfers.lock().insert(*id, Transfer::default());
            let message = Message::new(id.body(300)).unique_key(&key_of(*id));
            let message = message.property(properties::TRANSACTION_PREPARED, "true");
            message.property(properties::PRODUCER_GROUP, "P").frame(TOPIC, (id.number % 4) as i32)
        };
        let frames: Vec<Frame> = ids.iter().map(half).collect();
        let mut halves = Vec::new();
        for (id, answer) in ids.iter().zip(wire.ask_all(&frames).await?) {
            let sent = Sent::from_answer(&answer).expect("a half message is stored");
            self.transfers.lock().get_mut(id).expect("it was sent").acknowledged = true;
            let (_, log_offset) = id::parse_offset_id(&sent.msg_id).expect("the id says where the half is");
            let (queue_offset, log_offset) = (sent.offset, log_offset as i64);
            halves.push(Half { id: *id, queue_offset, log_offset, from_check: false });
        }
        Some(halves)
    }

    /// Decides these, and those that the broker asked about. `None` when the connection ended.
    async fn answer(&self, wire: &mut Wire, mut halves: Vec<Half>) -> Option<()> {
        // Says that the producer is there, and lets questions arrive.
        wire.ask(&heartbeat_frame("transfers", "nobody", &[])).await?;
        for asked in wire.take_asked().iter().filter(|asked| asked.code == CheckTransactionState::CODE) {
            let header: CheckTransactionStateHeader<'_> = asked.header().expect("a question says about what");
            let record = validate(&asked.body, false).expect("a question shows the message");
            let id = Id::of_body(record.body()).expect("every message says who it is");
            self.transfers.lock().get_mut(&id).expect("it was sent").checked = true;
            halves.push(Half {
                id,
                queue_offset: header.tran_state_table_offset,
                log_offset: header.commit_log_offset,
                from_check: true,
            });
        }
        let frames: Vec<Frame> = halves.iter().map(Half::decide).collect();
        // A second answer to one question is refused, which does no harm.
        wire.ask_all(&frames).await.map(drop)
    }

    /// Reads what was delivered since the last look.
    pub(super) async fn verify(&self, client: &Client, when: &str) {
        let mut reader = std::mem::replace(&mut *self.reader.lock(), Reader::of(TOPIC));
        for message in reader.read(client, when).await {
            let id = Id::of_body(&message.body).expect("every message says who it is");
            let mut transfers = self.transfers.lock();
            let transfer = transfers.get_mut(&id).expect("only what was sent is delivered");
            assert!(is_committed(id), "{when}: {id} came and was never committed: {transfer:?}");
            assert!(!transfer.delivered, "{when}: {id} came twice: {transfer:?}");
            transfer.delivered = true;
        }
        *self.reader.lock() = reader;
    }

    /// Waits until everything that must come has come.
    pub(super) async fn finish(&self, client: &Client) {
        let answers = tokio::spawn(self.clone().run_answers(client.address()));
        let all = async || {
            self.verify(client, "at the end").await;
            let is_missing =
                |(id, transfer): (&Id, &Transfer)| transfer.acknowledged && is_committed(*id) && !transfer.delivered;
            (!self.transfers.lock().iter().any(is_missing)).then_some(())
        };
        eventually("every committed transaction is delivered", all).await;
        answers.abort();
    }
}

impl fmt::Display for Transfers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transfers = self.transfers.lock();
        let count = |wanted: fn(&Transfer) -> bool| transfers.values().filter(|transfer| wanted(transfer)).count();
        write!(
            f,
            "transactions: acknowledged {}, asked about {}, committed and delivered {}",
            count(|transfer| transfer.acknowledged),
            count(|transfer| transfer.checked),
            count(|transfer| transfer.delivered)
        )
    }
}
