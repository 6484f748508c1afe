//! How far the log is: marks that only rise, and waiting for them.

use crate::Error;
use crate::offset::LogOffset;
use crate::wakers::{Key, Wakers};
use parking_lot::Mutex;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// One mark of the log: everything before it has been written, or flushed.
#[derive(Default)]
pub struct Mark {
    at: AtomicU64,
    waiting: Mutex<Wakers>,
    /// Set once, when the mark will never rise again.
    ended: OnceLock<Error>,
}

impl Mark {
    pub(crate) fn new(at: u64) -> Self {
        Self { at: at.into(), ..Self::default() }
    }

    /// The mark now.
    pub fn get(&self) -> LogOffset {
        LogOffset(self.at.load(Ordering::Acquire))
    }

    /// Whether all bytes before `at` are behind the mark.
    pub fn reached(&self, at: LogOffset) -> bool {
        self.get() >= at
    }

    /// Waits until the mark reaches `at`, usually [`crate::Appended::end`]. May be dropped at any time.
    ///
    /// # Errors
    /// [`Error::Failed`] or [`Error::Closed`] if the mark will never get there. The record may or may not survive.
    pub fn wait(&self, at: LogOffset) -> Wait<'_> {
        Wait { mark: self, at: at.0, key: None }
    }

    /// [`Mark::wait`] for a thread; `None` if the mark is not there in time.
    pub(crate) fn wait_blocking(&self, at: LogOffset, timeout: Duration) -> Option<Result<(), Error>> {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
        let deadline = Instant::now() + timeout;
        let mut wait = std::pin::pin!(self.wait(at));
        loop {
            if let Poll::Ready(result) = wait.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(result);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            std::thread::park_timeout(left);
        }
    }

    /// Raises the mark and wakes who waited for that. `scratch` is left empty.
    pub(crate) fn raise(&self, at: u64, scratch: &mut Vec<Waker>) {
        self.at.fetch_max(at, Ordering::AcqRel);
        self.waiting.lock().take(at, scratch);
        scratch.drain(..).for_each(Waker::wake);
    }

    /// Ends the mark: who waits for more gets the error. The first reason stays.
    pub(crate) fn end(&self, error: Error) {
        let mut wakers = Vec::new();
        {
            let mut waiting = self.waiting.lock();
            let _ = self.ended.set(error);
            waiting.take(u64::MAX, &mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Why the mark will not rise any more.
    pub(crate) fn ended(&self) -> Option<&Error> {
        self.ended.get()
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mark").field("at", &self.get()).field("ended", &self.ended.get()).finish()
    }
}

/// See [`Mark::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Wait<'a> {
    mark: &'a Mark,
    at: u64,
    key: Option<Key>,
}

impl Future for Wait<'_> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.mark.reached(LogOffset(this.at)) {
            // Whoever raised the mark takes our waker out, if he has not done so: nothing is left to be removed.
            this.key = None;
            return Poll::Ready(Ok(()));
        }
        let mut waiting = this.mark.waiting.lock();
        // Looked at again under the lock that `raise` and `end` take after they changed it: no wake-up is missed.
        if this.mark.reached(LogOffset(this.at)) {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = this.mark.ended.get() {
            return Poll::Ready(Err(error.clone()));
        }
        waiting.put(&mut this.key, this.at, cx.waker());
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.mark.waiting.lock().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn wait(mark: &Mark, at: u64) -> Result<(), Error> {
        mark.wait_blocking(LogOffset(at), Duration::from_secs(60)).expect("in time")
    }

    #[test]
    fn waits_end_when_the_mark_rises_or_ends() {
        let mark = Arc::new(Mark::new(10));
        assert!(wait(&mark, 10).is_ok());
        let waiter = std::thread::spawn({
            let mark = mark.clone();
            move || (wait(&mark, 20), wait(&mark, 21))
        });
        mark.raise(20, &mut Vec::new());
        mark.end(Error::Closed);
        let (first, second) = waiter.join().unwrap();
        assert!(first.is_ok());
        assert!(matches!(second, Err(Error::Closed)));
    }

    #[test]
    fn no_wake_up_is_missed() {
        let mark = Arc::new(Mark::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let mark = mark.clone();
                std::thread::spawn(move || (1..=20_000).all(|at| wait(&mark, at).is_ok()))
            })
            .collect();
        let mut scratch = Vec::new();
        (1..=20_000).for_each(|at| mark.raise(at, &mut scratch));
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    }
}
