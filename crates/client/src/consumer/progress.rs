//! How far one queue is consumed.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use protocol::body::MessageQueue;
use tokio::sync::Notify;

use crate::limits;

/// A message to be given back to its broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) log_offset: i64,
    pub(crate) id: String,
    pub(crate) topic: String,
}

/// One queue, shared by who pulls it, who acknowledges it and who commits it.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) queue: MessageQueue,
    state: Mutex<State>,
    /// Batches were finished: there may be room for more.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Behind the last message that was delivered or passed over; `None` until the start is known.
    next: Option<i64>,
    /// Delivered batches that are not finished: messages and failures by first offset.
    open: BTreeMap<i64, Open>,
    /// What the broker remembers.
    committed: Option<i64>,
    /// Counts the times consumption was moved elsewhere: batches from before do not count any more.
    era: u64,
    /// The queue is somebody else's now.
    revoked: bool,
}

#[derive(Debug, Default)]
struct Open {
    messages: usize,
    /// To be given back before the batch counts as consumed.
    failed: Vec<Failed>,
    /// The application is done with it.
    returned: bool,
}

impl State {
    /// Everything before this offset is finished.
    fn done(&self) -> Option<i64> {
        self.open.keys().next().copied().or(self.next)
    }
}

/// What a batch needs to report back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    first: i64,
    era: u64,
}

impl Progress {
    pub(crate) fn new(queue: MessageQueue) -> Progress {
        Progress { queue, state: Mutex::default(), room: Notify::new() }
    }

    /// Consumption goes on at `offset`; what was delivered before is forgotten. `known` says that the broker
    /// remembers this offset already.
    pub(crate) fn move_to(&self, offset: i64, known: bool) {
        let mut state = self.state.lock();
        state.open.clear();
        state.era += 1;
        state.next = Some(offset);
        state.committed = known.then_some(offset);
    }

    /// Nothing between the last delivery and `next` is wanted.
    pub(crate) fn pass(&self, next: i64) {
        self.state.lock().next = Some(next);
    }

    /// A batch that was pulled from `first` is about to be delivered; the next one begins at `next`.
    pub(crate) fn open(&self, first: i64, next: i64, messages: usize) -> Ticket {
        let mut state = self.state.lock();
        state.open.insert(first, Open { messages, ..Open::default() });
        state.next = Some(next);
        Ticket { first, era: state.era }
    }

    /// Whether a batch still counts.
    pub(crate) fn is_current(&self, ticket: Ticket) -> bool {
        let state = self.state.lock();
        !state.revoked && state.era == ticket.era
    }

    /// The application is done with a batch.
    pub(crate) fn finish(&self, ticket: Ticket, failed: Vec<Failed>) {
        let mut state = self.state.lock();
        if state.era != ticket.era {
            return;
        }
        if failed.is_empty() {
            state.open.remove(&ticket.first);
            self.room.notify_one();
        } else if let Some(open) = state.open.get_mut(&ticket.first) {
            *open = Open { failed, returned: true, ..*open };
        }
    }

    /// A batch is finished before `offset`; the messages from there on stay unfinished.
    pub(crate) fn split(&self, ticket: Ticket, offset: i64, messages: usize) {
        let mut state = self.state.lock();
        if state.era == ticket.era && state.open.remove(&ticket.first).is_some() {
            state.open.insert(offset, Open { messages, ..Open::default() });
        }
    }

    /// Batches whose failures must be given back to the broker.
    pub(crate) fn failures(&self) -> Vec<(Ticket, Vec<Failed>)> {
        let state = self.state.lock();
        let returned = state.open.iter().filter(|(_, open)| open.returned);
        returned.map(|(first, open)| (Ticket { first: *first, era: state.era }, open.failed.clone())).collect()
    }

    /// Waits until few enough messages are unfinished.
    pub(crate) async fn wait_for_room(&self) {
        while self.unfinished() >= limits::UNACKED_MAX {
            self.room.notified().await;
        }
    }

    fn unfinished(&self) -> usize {
        self.state.lock().open.values().map(|open| open.messages).sum()
    }

    /// The offset to commit, if it is not the one committed last: everything before it is finished.
    pub(crate) fn to_commit(&self) -> Option<i64> {
        let state = self.state.lock();
        state.done().filter(|done| state.committed != Some(*done))
    }

    pub(crate) fn committed(&self, offset: i64) {
        self.state.lock().committed = Some(offset);
    }

    /// The queue goes to somebody else: batches still on their way to the application are dropped.
    pub(crate) fn revoke(&self) {
        self.state.lock().revoked = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(start: i64) -> Progress {
        let progress = Progress::new(MessageQueue { broker_name: "b".into(), queue_id: 0, topic: "T".into() });
        progress.move_to(start, false);
        progress
    }

    fn failed() -> Vec<Failed> {
        vec![Failed { log_offset: 1, id: "a".into(), topic: "T".into() }]
    }

    #[test]
    fn commits_stop_before_the_first_unfinished_batch() {
        let progress = progress(10);
        assert_eq!(progress.to_commit(), Some(10));
        progress.committed(10);
        let first = progress.open(10, 20, 10);
        let second = progress.open(20, 25, 5);
        progress.finish(second, Vec::new());
        assert_eq!(progress.to_commit(), None);
        progress.finish(first, Vec::new());
        assert_eq!(progress.to_commit(), Some(25));
        progress.pass(40);
        assert_eq!(progress.to_commit(), Some(40));
    }

    #[test]
    fn failures_hold_the_offset_back_until_the_broker_has_them() {
        let progress = progress(0);
        let ticket = progress.open(0, 3, 3);
        progress.committed(0);
        progress.finish(ticket, failed());
        assert_eq!(progress.to_commit(), None);
        assert_eq!(progress.failures(), [(ticket, failed())]);
        progress.finish(ticket, Vec::new());
        assert_eq!(progress.failures(), []);
        assert_eq!(progress.to_commit(), Some(3));
    }

    #[test]
    fn a_batch_may_be_finished_in_part() {
        let progress = progress(10);
        let ticket = progress.open(10, 20, 10);
        progress.split(ticket, 14, 6);
        assert_eq!(progress.to_commit(), Some(14));
        progress.split(ticket, 16, 4);
        assert_eq!(progress.to_commit(), Some(14));
    }

    #[test]
    fn batches_from_before_a_move_do_not_count() {
        let progress = progress(100);
        let ticket = progress.open(100, 110, 10);
        progress.move_to(50, true);
        assert!(!progress.is_current(ticket));
        progress.finish(ticket, failed());
        assert_eq!(progress.failures(), []);
        assert_eq!(progress.to_commit(), None);
        progress.pass(51);
        assert_eq!(progress.to_commit(), Some(51));
    }

    #[test]
    fn a_revoked_queue_delivers_nothing_more() {
        let progress = progress(0);
        let ticket = progress.open(0, 1, 1);
        progress.revoke();
        assert!(!progress.is_current(ticket));
    }

    #[tokio::test]
    async fn room_comes_back_with_acknowledgements() {
        let progress = progress(0);
        let ticket = progress.open(0, 1000, limits::UNACKED_MAX);
        let wait = std::pin::pin!(progress.wait_for_room());
        let mut wait = wait;
        assert!(futures_util::poll!(&mut wait).is_pending());
        progress.finish(ticket, Vec::new());
        wait.await;
    }
}
