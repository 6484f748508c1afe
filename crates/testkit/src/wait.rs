//! Waiting for conditions instead of sleeping.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen soon. Long, because machines that run tests are busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again until the answer is there.
///
/// # Panics
/// After [`DEADLINE`], naming what was waited for.
#[track_caller]
pub fn eventually<'a, T: 'a>(
    what: &'a str,
    mut ask: impl AsyncFnMut() -> Option<T> + 'a,
) -> impl Future<Output = T> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let begin = Instant::now();
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(begin.elapsed() < DEADLINE, "{caller}: waited {DEADLINE:?} in vain: {what}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The same where nothing is asynchronous.
#[track_caller]
pub fn eventually_blocking<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}
