//! Peers that are slow, silent or gone. Time is tokio's paused clock, which jumps when everybody waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use remoting::{CallError, Pool, bind};
use testkit::Wire;
use tokio::time::Instant;

use crate::echo::{LOCAL, request, serve, serve_at};
#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_asked_for_no_more_and_closed_in_the_end() {
    let world = serve();
    let mut wire = Wire::connect(world.address).await;
    let mut bytes = BytesMut::new();
    for number in 0..1000 {
        request(1).encode(number, &mut bytes);
    }
    wire.write(&bytes).await;
    let begin = Instant::now();
    world.closes(1).await;
    assert!((29..40).contains(&begin.elapsed().as_secs()), "closed after {:?}", begin.elapsed());
    let asked = world.echo.asked.load(Ordering::Relaxed);
    println!("{asked} of 1000 answers of 1 MiB were made");
    assert!(asked < 30, "{asked} MiB of answers were made for somebody who does not read");
    world.end().await;
}

#[tokio::test]
async fn a_peer_that_reads_slowly_gets_everything() {
    let world = serve();
    let mut wire = Wire::connect(world.address).await;
    for number in 0..30 {
        wire.send(&request(1), number).await;
    }
    for number in 0..30 {
        // Thirty of these take far longer than a stalled write may. Time stands still only here: while bytes are under
        // way in the kernel, a paused clock would find nothing to do and jump to the end of the patience.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::time::resume();
        let answer = wire.read().await.expect("it is answered");
        assert_eq!((answer.opaque, answer.body.len()), (number, 1 << 20));
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_is_answered_at_its_deadline() {
    let world = serve();
    let mut wire = Wire::connect(world.address).await;
    let mut number = 0;
    // One after the other, several at once, sooner than the one before, and after a pause.
    for waits in [&[3][..], &[2, 2, 5, 7], &[1], &[4, 1]] {
        let begin = Instant::now();
        for seconds in waits {
            wire.send(&request(5).with_body(vec![0; *seconds]), number).await;
            number += 1;
        }
        // They are answered in order: a short one behind a longer one waits for that.
        let mut latest = 0;
        for (seconds, opaque) in waits.iter().zip(number - waits.len() as i32..) {
            assert_eq!(wire.read().await.map(|answer| answer.opaque), Some(opaque));
            latest = latest.max(*seconds as u64);
            assert_eq!(begin.elapsed().as_secs(), latest, "{waits:?}");
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection_and_any_word_keeps_it() {
    let world = serve();
    let _silent = Wire::connect(world.address).await;
    let mut lively = Wire::connect(world.address).await;
    let begin = Instant::now();
    for number in 0..3 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        lively.send(&request(2), number).await;
        assert_eq!(lively.read().await.map(|answer| answer.opaque), Some(number));
    }
    assert!(begin.elapsed() >= Duration::from_secs(180));
    assert_eq!(world.echo.closed.load(Ordering::Relaxed), 1);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_holds_up_the_end() {
    let world = serve();
    let mut unread = Wire::connect(world.address).await;
    for number in 0..30 {
        unread.send(&request(1), number).await;
    }
    let mut unanswered = Wire::connect(world.address).await;
    unanswered.send(&request(3), 1).await;
    let mut half = Wire::connect(world.address).await;
    half.write(&[0, 0]).await;
    let _idle = Wire::connect(world.address).await;
    while world.echo.asked.load(Ordering::Relaxed) < 4 {
        tokio::task::yield_now().await;
    }
    let took = world.end().await;
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_with_its_answer_its_time_or_its_connection() {
    let world = serve();
    let pool = Pool::default();
    let address = world.address.to_string();
    let second = Duration::from_secs(1);
    assert_eq!(pool.call(&address, request(2), second).await.expect("it is answered").code, 0);
    let begin = Instant::now();
    let late = pool.call(&address, request(3), second).await.expect_err("nobody answers");
    assert!(matches!(late, CallError::Timeout { code: 3, .. }), "{late}");
    assert!((1000..1100).contains(&begin.elapsed().as_millis()));
    // The other end may ask too, on the same connection.
    let answer = pool.call(&address, request(4), second).await.expect("it is answered");
    assert_eq!(&answer.body[..], b"3", "this pool serves nothing: request code not supported");

    let waiting = pool.call(&address, request(3), second * 60);
    let ending = async {
        tokio::task::yield_now().await;
        tokio::time::sleep(second).await;
        world.end().await;
    };
    let (closed, ()) = tokio::join!(waiting, ending);
    let closed = closed.expect_err("nobody answers");
    assert!(matches!(closed, CallError::Closed(_)), "{closed}");
    let refused = pool.call(&address, request(2), second).await.expect_err("nobody listens");
    assert!(matches!(refused, CallError::Connect { .. }), "{refused}");

    let again = serve_at(address.parse().expect("an address"), Arc::default());
    assert_eq!(pool.call(&address, request(2), second).await.expect("the pool connects again").code, 0);
    pool.close().await;
    again.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_delivered_does_not_pile_up() {
    let world = serve();
    let socket = bind(LOCAL).expect("a free port");
    let address = socket.local_addr().expect("it has one").to_string();
    let pool = Pool::default();
    let peer = pool.peer(&address).await.expect("somebody listens");
    // Nobody reads there. Each notice is large, so that the sockets are full soon.
    let notice = request(1).with_body(vec![1; 1 << 20]);
    let mut accepted = 0;
    let busy = loop {
        match peer.notify(notice.clone()) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
        assert!(accepted < 10_000, "notices pile up");
    };
    assert!(matches!(busy, CallError::Busy(_)), "{busy}");
    world.end().await;
}
