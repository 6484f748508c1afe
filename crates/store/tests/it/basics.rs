//! Appending, waiting, reading, opening again.

use crate::help::*;
use std::future::Future;
use std::task::{Context, Poll, Waker};
use store::{Error, LogOffset, QueueOffset};

#[test]
fn what_was_acknowledged_is_read_now_and_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let expected: Vec<_> = (0..100).map(|i| format!("body {i}")).collect();
    {
        let (store, _) = open(options(dir.path()));
        let mut end = LogOffset(0);
        for body in &expected {
            end = append(&store, "T", body).end;
        }
        wait(&store, end);
        assert_eq!(bodies(&store, &store.queue("T", 0)), expected);
        assert_eq!(store.queue("T", 0).max_offset(), QueueOffset(100));
        store.close().unwrap();
    }
    let (store, _) = open(options(dir.path()));
    assert_eq!(bodies(&store, &store.find_queue("T", 0).unwrap()), expected);
    let appended = append(&store, "T", "more");
    assert_eq!(appended.queue_offset, QueueOffset(100));
    wait(&store, appended.end);
    assert_eq!(bodies(&store, &store.queue("T", 0)).len(), 101);
}

#[test]
fn nothing_is_visible_before_it_is_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(store::Options { threads: false, ..options(dir.path()) });
    let queue = store.queue("T", 0);
    let mut wait = Box::pin(queue.wait_beyond(QueueOffset(0)));
    let cx = &mut Context::from_waker(Waker::noop());
    assert_eq!(wait.as_mut().poll(cx), Poll::Pending);
    let appended = append(&store, "T", "x");
    assert!(!store.acknowledged().reached(appended.end));
    assert_eq!((queue.max_offset(), queue.next_offset()), (QueueOffset(0), QueueOffset(1)));
    assert_eq!(bodies(&store, &queue), [""; 0]);
    assert_eq!(block(store.record_at(appended.log_offset)).unwrap(), None);
    assert_eq!(wait.as_mut().poll(cx), Poll::Pending);

    store.write_pending();
    assert!(store.acknowledged().reached(appended.end));
    assert_eq!(bodies(&store, &queue), ["x"]);
    assert!(block(store.record_at(appended.log_offset)).unwrap().is_some());
    assert_eq!(block(store.record_at(LogOffset(appended.log_offset.0 + 1))).unwrap(), None);
    assert_eq!(wait.as_mut().poll(cx), Poll::Ready(()));
}

#[test]
fn a_record_for_another_queue_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(options(dir.path()));
    let result = store.append(&store.queue("A", 0), &record("B", b"", ""));
    assert!(matches!(result, Err(Error::WrongQueue { .. })), "{result:?}");
}

#[test]
fn what_one_thread_gathers_is_written_with_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(options(dir.path()));
    // A writer that has not come to rest yet takes a part before it is told; the next time it rests.
    let mut tries = 0;
    loop {
        let before = store.stats().syncs;
        let end = {
            let _gather = store.gather();
            (0..100).map(|i| append(&store, "T", &format!("body {i}")).end).max().unwrap()
        };
        wait(&store, end);
        tries += 1;
        if store.stats().syncs - before == 1 {
            break;
        }
        assert!(tries < 10, "never written with one sync");
        std::thread::yield_now();
    }
    let gathered = tries * 100;
    assert_eq!(bodies(&store, &store.queue("T", 0)).len(), gathered);

    // Whoever waits does not wait for what it holds back itself.
    let _gather = store.gather();
    append(&store, "T", "one more");
    store.flush().unwrap();
    assert_eq!(bodies(&store, &store.queue("T", 0)).len(), gathered + 1);
}
