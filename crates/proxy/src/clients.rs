//! Clients that told their settings: by client id, which is all that their calls have in common.
//!
//! To the broker each is one member of its groups, whichever of its connections a call comes over.
//! Source: `GrpcClientSettingsManager`, `GrpcChannelManager`, `GrpcClientChannel`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use broker::{AskError, ConnectionId, Question, Told};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use crate::caller::Caller;
use crate::convert;
use crate::limits::{ANSWER_WITHIN, CLIENTS_MAX, COMMANDS_MAX, QUESTIONS_MAX, TELEMETRY_STREAMS_MAX};
use crate::status::{self, Refusal};
use crate::transaction;
use crate::v2::telemetry_command::Command;
use crate::v2::{self, Code, Settings, TelemetryCommand};

/// One client.
pub(crate) struct Client {
    pub(crate) id: String,
    /// Its number in the broker's sessions.
    pub(crate) connection: ConnectionId,
    state: Mutex<State>,
    /// Bytes of messages on their way to it.
    pub(crate) unread: AtomicUsize,
}

struct State {
    caller: Caller,
    /// As the client said them, and when.
    said: Arc<Settings>,
    said_ms: i64,
    /// As it was told them last.
    told: Settings,
    heard_ms: i64,
    /// The newest of its streams.
    stream: Option<Stream>,
    questions: HashMap<String, oneshot::Sender<Result<Told, AskError>>>,
}

struct Stream {
    number: u64,
    commands: mpsc::Sender<TelemetryCommand>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Clients {
    table: Mutex<HashMap<String, Arc<Client>>>,
    streams: AtomicUsize,
    numbers: AtomicU64,
}

impl Clients {
    /// Takes a place for one more stream, until [`Clients::leave`].
    pub(crate) fn enter(&self) -> Result<(), Refusal> {
        if self.streams.fetch_add(1, Ordering::Relaxed) >= TELEMETRY_STREAMS_MAX {
            self.leave();
            return Err(Refusal::new(
                Code::TooManyRequests,
                format!("flow limit: there are {TELEMETRY_STREAMS_MAX} telemetry streams already"),
            ));
        }
        Ok(())
    }

    /// A stream has ended.
    pub(crate) fn leave(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// A number for a stream.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Client>> {
        self.table.lock().get(id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.table.lock().values().cloned().collect()
    }

    /// Takes settings in.
    ///
    /// # Errors
    /// There are too many clients.
    pub(crate) fn settle(
        &self,
        caller: &Caller,
        said: Settings,
        told: Settings,
        now_ms: i64,
    ) -> Result<Arc<Client>, Refusal> {
        let mut table = self.table.lock();
        let said = Arc::new(said);
        if let Some(client) = table.get(&caller.client_id) {
            let mut state = client.state.lock();
            // A newer version of the same subscriptions would be news to nobody.
            if state.said != said {
                state.said_ms = now_ms.max(state.said_ms + 1);
            }
            (state.caller, state.said, state.told, state.heard_ms) = (caller.clone(), said, told, now_ms);
            drop(state);
            return Ok(client.clone());
        }
        if table.len() >= CLIENTS_MAX {
            let message = format!("flow limit: there are {CLIENTS_MAX} clients already");
            return Err(Refusal::new(Code::TooManyRequests, message));
        }
        let state = State {
            caller: caller.clone(),
            said,
            said_ms: now_ms,
            told,
            heard_ms: now_ms,
            stream: None,
            questions: HashMap::new(),
        };
        let client = Arc::new(Client {
            id: caller.client_id.clone(),
            connection: ConnectionId::next(),
            state: Mutex::new(state),
            unread: AtomicUsize::new(0),
        });
        table.insert(caller.client_id.clone(), client.clone());
        Ok(client)
    }

    /// Forgets a client.
    pub(crate) fn remove(&self, id: &str) -> Option<Arc<Client>> {
        self.table.lock().remove(id)
    }
}

impl Client {
    pub(crate) fn said(&self) -> (Arc<Settings>, i64) {
        let state = self.state.lock();
        (state.said.clone(), state.said_ms)
    }

    pub(crate) fn caller(&self) -> Caller {
        self.state.lock().caller.clone()
    }

    /// The client is alive.
    pub(crate) fn heard(&self, now_ms: i64) {
        self.state.lock().heard_ms = now_ms;
    }

    /// Whether it was silent since then and has no stream.
    pub(crate) fn is_silent_since(&self, ms: i64) -> bool {
        let state = self.state.lock();
        state.heard_ms < ms && state.stream.is_none()
    }

    /// Whether it has a stream, or was heard of since then.
    pub(crate) fn is_there(&self, since_ms: i64) -> bool {
        !self.is_silent_since(since_ms)
    }

    /// Opens the line for commands over a stream of this number; the newest stream wins.
    pub(crate) fn listen(&self, number: u64) -> mpsc::Receiver<TelemetryCommand> {
        let (commands, line) = mpsc::channel(COMMANDS_MAX);
        self.state.lock().stream = Some(Stream { number, commands });
        line
    }

    /// A stream has ended. Returns whether the client has no other.
    pub(crate) fn hang_up(&self, number: u64) -> bool {
        let mut state = self.state.lock();
        let last = state.stream.as_ref().is_some_and(|stream| stream.number == number);
        if last {
            state.stream = None;
            state.questions.clear();
        }
        last
    }

    /// Tells the client its settings, if they are not what it was told before.
    pub(crate) fn tell_settings(&self, settings: Settings) {
        if self.state.lock().told == settings {
            return;
        }
        if self.command(Command::Settings(settings.clone())).is_ok() {
            self.state.lock().told = settings;
        }
    }

    /// Sends a command, if there is a stream with room for it.
    fn command(&self, command: Command) -> Result<(), AskError> {
        let command = TelemetryCommand { status: Some(status::ok()), command: Some(command) };
        let state = self.state.lock();
        let gone = || AskError::Gone(self.id.clone());
        state.stream.as_ref().ok_or_else(gone)?.commands.try_send(command).map_err(|_| gone())
    }

    /// The client answered a question.
    pub(crate) fn answered(&self, nonce: &str, answer: Result<Told, AskError>) {
        if let Some(who) = self.state.lock().questions.remove(nonce) {
            // Whoever asked may have given up.
            let _ = who.send(answer);
        }
    }

    /// Asks it something on behalf of an admin tool.
    pub(crate) async fn put(self: Arc<Self>, question: Question) -> Result<Told, AskError> {
        let nonce = rand::random::<u64>().to_string();
        let command = match question {
            Question::ThreadStack => {
                Command::PrintThreadStackTraceCommand(v2::PrintThreadStackTraceCommand { nonce: nonce.clone() })
            }
            Question::Consume(record) => {
                let message = convert::message(&record, None).ok_or_else(|| AskError::Refused {
                    client: self.id.clone(),
                    reason: "the message is not readable".into(),
                })?;
                let command = v2::VerifyMessageCommand { nonce: nonce.clone(), message: Some(message) };
                Command::VerifyMessageCommand(command)
            }
        };
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.state.lock();
            state.questions.retain(|_, who| !who.is_closed());
            if state.questions.len() >= QUESTIONS_MAX {
                return Err(AskError::Timeout(self.id.clone()));
            }
            state.questions.insert(nonce.clone(), answer);
        }
        self.command(command)?;
        match tokio::time::timeout(ANSWER_WITHIN, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(AskError::Gone(self.id.clone()))),
            Err(_) => {
                self.state.lock().questions.remove(&nonce);
                Err(AskError::Timeout(self.id.clone()))
            }
        }
    }

    /// Asks a producer what became of a transaction, whose half message this record is.
    pub(crate) fn recover(&self, place: transaction::Place<'_>, unique_key: &str, record: &Bytes) {
        let Some(message) = convert::message(record, None) else { return };
        let transaction_id = place.id(unique_key);
        let command = v2::RecoverOrphanedTransactionCommand { message: Some(message), transaction_id };
        if let Err(error) = self.command(Command::RecoverOrphanedTransactionCommand(command)) {
            // Another producer may be asked at the next check.
            debug!(unique_key, %error, "producer not asked about a transaction");
        }
    }

    /// Another client of the group took a lite topic over.
    pub(crate) fn lose_lite_topic(&self, group: &str, lite_topic: &str) {
        let command = v2::NotifyUnsubscribeLiteCommand { lite_topic: lite_topic.to_owned() };
        if let Err(error) = self.command(Command::NotifyUnsubscribeLiteCommand(command)) {
            debug!(group, lite_topic, %error, "client not told that it lost a lite topic");
        }
    }

    /// Whether it has a stream.
    pub(crate) fn is_listening(&self) -> bool {
        self.state.lock().stream.is_some()
    }
}
