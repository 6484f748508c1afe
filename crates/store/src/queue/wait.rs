//! Waiting for a queue to grow.

use super::{Queue, State};
use crate::wakers::{Key, Wakers};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Made by the first who waits on a queue and dropped with the wake-up, so that an idle queue carries a null pointer.
#[derive(Debug)]
pub(crate) struct Waiters {
    pub(super) wakers: Wakers,
    /// A wake-up is on its way already.
    announced: bool,
}

impl Default for Waiters {
    fn default() -> Self {
        Self { wakers: Wakers::unique(), announced: false }
    }
}

impl State {
    /// Of an append: whether somebody waits and is not going to be woken yet.
    pub(crate) fn wants_announcement(&mut self) -> bool {
        match &mut self.waiters {
            Some(waiters) if !waiters.announced => {
                waiters.announced = true;
                true
            }
            _ => false,
        }
    }
}

/// See [`Queue::wait_beyond`].
#[must_use = "futures do nothing unless polled"]
pub struct WaitBeyond {
    queue: Arc<Queue>,
    offset: u64,
    key: Option<Key>,
}

impl WaitBeyond {
    pub(super) fn new(queue: Arc<Queue>, offset: u64) -> Self {
        Self { queue, offset, key: None }
    }
}

impl Future for WaitBeyond {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let queue = &this.queue;
        let mut state = queue.state.lock();
        let max = state.max(queue.visible());
        if max > this.offset || state.removed {
            return Poll::Ready(());
        }
        state.waiters.get_or_insert_default().wakers.put(&mut this.key, 0, cx.waker());

        // Entries that wait for their flush already were not announced, as nobody waited.
        if state.next() > max && state.wants_announcement() {
            let first_hidden = (max - state.tail_first) as usize;
            let end = state.tail[first_hidden].end();
            queue.progress().announce(end, queue.clone());
            if queue.visible() >= end {
                // It was flushed in between, and whoever flushed it may have missed us.
                drop(state);
                queue.wake();
            }
        }
        Poll::Pending
    }
}

impl Drop for WaitBeyond {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let mut state = self.queue.state.lock();
            if let Some(waiters) = &mut state.waiters {
                waiters.wakers.remove(key);
                if waiters.wakers.is_empty() && !waiters.announced {
                    state.waiters = None;
                }
            }
        }
    }
}

impl fmt::Debug for WaitBeyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitBeyond").field("queue", &self.queue).field("offset", &self.offset).finish()
    }
}
