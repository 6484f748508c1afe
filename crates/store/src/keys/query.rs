//! Finding records by key, newest first.

use super::run::Run;
use super::{IndexKey, Key};
use crate::core::Core;
use crate::limits::EXAMINED_MAX;
use crate::{Error, LogOffset};
use bytes::Bytes;
use protocol::record::RecordView;
use std::sync::Arc;

/// One query on its way.
struct Search<'a> {
    topic: &'a str,
    key: IndexKey<'a>,
    max: usize,
    times: std::ops::RangeInclusive<i64>,
    examined: usize,
    /// The record looked at last: one that carries a key twice must not be shown twice.
    last: Option<u64>,
    found: Vec<Bytes>,
}

impl Core {
    pub(crate) async fn query(
        &self,
        topic: &str,
        key: IndexKey<'_>,
        max: usize,
        begin_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<Bytes>, Error> {
        let hash = key.hash(topic);
        let mut search =
            Search { topic, key, max, times: begin_ms..=end_ms, examined: 0, last: None, found: Vec::new() };
        let (in_memory, runs) = self.snapshot(hash);
        if self.examine(&mut search, in_memory).await? {
            return Ok(search.found);
        }
        for run in runs.iter().rev().filter(|run| run.times.overlaps(begin_ms, end_ms)) {
            for page in run.pages(hash).rev() {
                let (at, len) = run.page(page);
                let bytes = self.read_file(&run.file, at, len).await?;
                let keys = bytes.as_chunks().0.iter().map(Key::from_bytes);
                let logs = keys.filter(|key| key.hash == hash).map(|key| key.log).collect();
                if self.examine(&mut search, logs).await? {
                    return Ok(search.found);
                }
            }
        }
        Ok(search.found)
    }

    /// The records with a hash that are in no run yet, and the runs, of one moment.
    fn snapshot(&self, hash: u64) -> (Vec<u64>, Vec<Arc<Run>>) {
        // The active keys are few enough to be searched under the lock; the others are shared.
        let (active, frozen, runs) = {
            let appender = self.appender.lock();
            let active: Vec<Key> = appender.keys.0.keys.iter().filter(|key| key.hash == hash).copied().collect();
            let frozen = self.keys.frozen.lock();
            (active, frozen.clone(), self.keys.runs.read().clone())
        };
        let frozen = frozen.iter().flat_map(|chunk| &chunk.keys).filter(|key| key.hash == hash);
        (frozen.chain(&active).map(|key| key.log).collect(), runs)
    }

    /// Looks at records from the last to the first; true if the search is over.
    async fn examine(&self, search: &mut Search<'_>, logs: Vec<u64>) -> Result<bool, Error> {
        for log in logs.into_iter().rev() {
            if search.found.len() >= search.max || search.examined >= EXAMINED_MAX {
                return Ok(true);
            }
            if search.last.replace(log) == Some(log) {
                continue;
            }
            search.examined += 1;
            let Some(bytes) = self.record_at(LogOffset(log)).await? else { continue };
            let Ok(record) = RecordView::parse(&bytes) else { continue };
            let stored = record.store_timestamp();
            if stored < *search.times.start() {
                // Store times rise with the log: what follows is older still.
                return Ok(true);
            }
            if search.times.contains(&stored)
                && record.topic() == search.topic
                && search.key.matches(record.properties())
            {
                search.found.push(bytes);
            }
        }
        Ok(search.found.len() >= search.max)
    }
}
