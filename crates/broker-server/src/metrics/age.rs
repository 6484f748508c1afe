//! How old the oldest message is that a group has not consumed.

use std::collections::HashMap;
use std::time::Duration;

use broker::{Broker, Lag};
use tokio::time::Instant;

use crate::limits::{AGE_READS_TIME, AGES_KEPT};

/// Store times of messages that were looked at before: a group that stands still costs no read.
#[derive(Default)]
pub(super) struct Ages {
    known: HashMap<(String, String, i32), (i64, i64)>,
    /// Where the reads go on when the time of one scrape was not enough for all.
    next: usize,
}

impl Ages {
    /// Milliseconds since the first message that each group has not consumed was stored, in the order of `lags`: 0 for
    /// a group that is not behind, `None` where the time of this scrape was not enough to find out.
    pub(super) async fn of(&mut self, broker: &Broker, lags: &[Lag]) -> Vec<Option<i64>> {
        let (mut ages, mut known) = (vec![None; lags.len()], HashMap::new());
        let until = Instant::now() + AGE_READS_TIME;
        let mut first_missed = None;
        for at in (0..lags.len()).map(|at| (self.next + at) % lags.len()) {
            let lag = &lags[at];
            let mut oldest = Some(i64::MAX);
            for (queue, offset) in &lag.behind {
                let key = (lag.topic.clone(), lag.group.clone(), *queue);
                let stored = match self.known.get(&key) {
                    Some((known, stored)) if known == offset => Some(*stored),
                    _ if Instant::now() >= until => {
                        first_missed.get_or_insert(at);
                        None
                    }
                    // A message that went meanwhile has no age, and the next scrape sees what follows it.
                    _ => broker.store_time(&lag.topic, *queue, *offset).await.ok().flatten(),
                };
                if let Some(stored) = stored
                    && known.len() < AGES_KEPT
                {
                    known.insert(key, (*offset, stored));
                }
                oldest = oldest.zip(stored).map(|(oldest, stored)| oldest.min(stored));
            }
            ages[at] = match oldest {
                Some(i64::MAX) => Some(0),
                Some(stored) => Some((broker.now_ms() - stored).max(0)),
                None => None,
            };
        }
        (self.known, self.next) = (known, first_missed.unwrap_or(0));
        ages
    }
}

const _: () = assert!(AGE_READS_TIME.as_millis() < Duration::from_millis(200).as_millis());
