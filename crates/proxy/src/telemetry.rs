//! The telemetry stream: settings both ways, questions to the client, its answers.
//!
//! There is no task behind it: the stream of our commands, as it is read, reads what the client says.
//! Source: `ClientActivity.telemetry`, `GrpcClientChannel`.

use std::pin::Pin;
use std::sync::Arc;

use broker::{AskError, Told};
use futures_util::Stream;
use futures_util::stream::{once, unfold};
use tokio::sync::mpsc;
use tonic::{Request, Streaming};

use crate::caller::Caller;
use crate::clients::Client;
use crate::context::Context;
use crate::status::{self, Refusal};
use crate::v2::telemetry_command::Command;
use crate::v2::{Code, Status, TelemetryCommand};
use crate::{client, lite};

pub(crate) type Commands = Pin<Box<dyn Stream<Item = Result<TelemetryCommand, tonic::Status>> + Send>>;

/// Answers a telemetry call.
pub(crate) fn telemetry(context: Arc<Context>, request: Request<Streaming<TelemetryCommand>>) -> Commands {
    let caller = match Caller::of(&request) {
        Ok(caller) => caller,
        Err(refusal) => return refused(refusal),
    };
    if let Err(refusal) = context.clients.enter() {
        return refused(refusal);
    }
    let number = context.clients.number();
    let line =
        Line { context, caller, number, incoming: request.into_inner(), client: None, commands: None, done: false };
    Box::pin(unfold(line, |mut line| async {
        let next = line.next().await?;
        Some((next, line))
    }))
}

/// A stream of nothing but a refusal.
fn refused(refusal: Refusal) -> Commands {
    let command = TelemetryCommand { status: Some(refusal.into()), command: None };
    Box::pin(once(std::future::ready(Ok(command))))
}

/// Our side of one stream.
struct Line {
    context: Arc<Context>,
    caller: Caller,
    number: u64,
    incoming: Streaming<TelemetryCommand>,
    /// Known from its first settings on.
    client: Option<Arc<Client>>,
    commands: Option<mpsc::Receiver<TelemetryCommand>>,
    done: bool,
}

impl Line {
    /// The next command for the client; `None` at the end.
    async fn next(&mut self) -> Option<Result<TelemetryCommand, tonic::Status>> {
        loop {
            if self.done {
                return None;
            }
            let commands = async {
                match &mut self.commands {
                    Some(commands) => commands.recv().await,
                    None => std::future::pending().await,
                }
            };
            let said = tokio::select! {
                () = self.context.stop.cancelled() => return None,
                // Another stream of the same client took the line over.
                command = commands => return command.map(Ok),
                said = self.incoming.message() => said,
            };
            match said {
                Ok(Some(said)) => match self.hear(said).await {
                    Ok(None) => {}
                    Ok(Some(answer)) => return Some(Ok(answer)),
                    Err(refusal) => {
                        self.done = true;
                        return Some(Err(refusal.into_grpc()));
                    }
                },
                // It left, in order or not: neither is our error.
                Ok(None) | Err(_) => return None,
            }
        }
    }

    async fn hear(&mut self, said: TelemetryCommand) -> Result<Option<TelemetryCommand>, Refusal> {
        let status = said.status;
        match said.command {
            Some(Command::Settings(settings)) => {
                let (client, told) = self.context.settle(&self.caller, settings).await?;
                if self.client.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &client)) {
                    self.commands = Some(client.listen(self.number));
                    self.client = Some(client);
                }
                let command = Some(Command::Settings(told));
                return Ok(Some(TelemetryCommand { status: Some(status::ok()), command }));
            }
            Some(Command::ThreadStackTrace(trace)) => {
                let stack = Told::ThreadStack(trace.thread_stack_trace.unwrap_or_default());
                self.answered(&trace.nonce, told(&self.caller, status, |code| (code == Code::Ok).then_some(stack)));
            }
            Some(Command::VerifyMessageResult(result)) => {
                let told = told(&self.caller, status, |code| match code {
                    Code::Ok => Some(Told::Consumed),
                    Code::FailedToConsumeMessage => Some(Told::Later),
                    Code::MessageCorrupted => Some(Told::Unreadable),
                    _ => None,
                });
                self.answered(&result.nonce, told);
            }
            // Commands are ours to give; one from a client of another release is left alone.
            _ => {}
        }
        Ok(None)
    }

    fn answered(&self, nonce: &str, answer: Result<Told, AskError>) {
        if let Some(client) = &self.client {
            client.answered(nonce, answer);
        }
    }
}

fn told(caller: &Caller, status: Option<Status>, read: impl FnOnce(Code) -> Option<Told>) -> Result<Told, AskError> {
    let status = status.unwrap_or_else(status::ok);
    let code = Code::try_from(status.code).unwrap_or(Code::Unspecified);
    read(code).ok_or_else(|| AskError::Refused {
        client: caller.client_id.clone(),
        reason: format!("{} {}", code.as_str_name(), status.message),
    })
}

impl Drop for Line {
    fn drop(&mut self) {
        self.context.clients.leave();
        if let Some(client) = &self.client
            && client.hang_up(self.number)
            && lite::is_lite(client::kind(&client.said().0))
        {
            // It subscribes again when it comes back. Source: `ClientActivity.telemetry`.
            self.context.backend.lite_leave(client);
        }
    }
}
