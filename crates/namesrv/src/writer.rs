//! One thread that makes all changes asked for over the network, in the order in which they came.
//!
//! A registration may carry a hundred thousand topics and a change of key-values waits for the disk; neither may hold
//! up a connection's loop, and neither may be overtaken by a later one of the same broker.

#![allow(clippy::result_large_err, reason = "a refusal is a response like any other and no larger than success")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use protocol::{Frame, code};
use remoting::{Answer, Response};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::error;

use crate::NameServer;
use crate::limits::{JOB_BYTES_MAX, JOBS_MAX};

type Job = Box<dyn FnOnce(&NameServer) + Send>;

/// The way to the writer.
pub(crate) struct Writer {
    jobs: mpsc::Sender<Option<Job>>,
    bytes: Arc<Semaphore>,
}

/// The jobs that wait, for the thread to take.
pub(crate) struct Jobs(mpsc::Receiver<Option<Job>>);

impl Writer {
    pub(crate) fn new() -> (Writer, Jobs) {
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        (Writer { jobs, bytes: Arc::new(Semaphore::new(JOB_BYTES_MAX)) }, Jobs(waiting))
    }

    /// Has a change made and answered.
    pub(crate) fn answer<P>(
        &self,
        request: Frame,
        change: impl FnOnce(&NameServer, &Frame) -> Result<Response, Response> + Send + 'static,
    ) -> Answer<P> {
        let busy = |what: &str| Response::error(code::SYSTEM_BUSY, format!("too many {what} wait already"));
        let header_bytes: usize = request.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let bytes = header_bytes + request.body.len();
        let Ok(permit) = self.bytes.clone().try_acquire_many_owned(bytes as u32) else {
            return busy("bytes of changes").into();
        };
        let (done, answer) = oneshot::channel();
        let job = move |server: &NameServer| {
            let result = change(server, &request);
            drop(permit);
            // Who asked may be gone; the change is made all the same.
            let _ = done.send(result);
        };
        if !self.try_change(job) {
            return busy("changes").into();
        }
        Answer::later(async {
            answer.await.unwrap_or_else(|_| Err(Response::error(code::SYSTEM_ERROR, "the change was not made")))
        })
    }

    /// Has a change made that nobody waits for; false when too many wait.
    pub(crate) fn try_change(&self, change: impl FnOnce(&NameServer) + Send + 'static) -> bool {
        self.jobs.try_send(Some(Box::new(change))).is_ok()
    }

    /// Lets the thread end when it has done what was asked so far.
    pub(crate) async fn end(&self) {
        // An error means that it has ended already.
        let _ = self.jobs.send(None).await;
    }
}

impl Jobs {
    /// Starts the thread.
    pub(crate) fn start(mut self, server: Arc<NameServer>) -> std::io::Result<thread::JoinHandle<()>> {
        thread::Builder::new().name("namesrv-writer".into()).spawn(move || {
            while let Some(Some(job)) = self.0.blocking_recv() {
                // A fault in one change must not end all later ones. The tables stay usable: every entry is replaced
                // as a whole.
                if catch_unwind(AssertUnwindSafe(|| job(&server))).is_err() {
                    error!("a change was given up half-way, this is a fault of the name server");
                }
            }
        })
    }
}
