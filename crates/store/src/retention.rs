//! Deleting what is old, and the thread that keeps house.

use crate::checkpoint::Maintenance;
use crate::core::Core;
use crate::error::{Doing, Error};
use crate::io::free_slowly;
use crate::keys::Run;
use crate::log::segment::Segment;
use crate::queue::{Queue, SLOT_BYTES, Slot};
use protocol::record::{self, HEAD_BYTES};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

const HOUR_MS: i64 = 3_600_000;

impl Core {
    /// The housekeeper's thread: checkpoints and retention.
    pub(crate) fn run_housekeeper(&self) {
        let mut checkpointed = Instant::now();
        let mut swept = Instant::now();
        while !self.stopping.load(Ordering::Acquire) {
            let (checkpoint_interval, sweep_interval) =
                (self.options.checkpoint_interval, self.options.retention.check_interval);
            if self.checkpoint_wanted.swap(false, Ordering::AcqRel) || checkpointed.elapsed() >= checkpoint_interval {
                if let Err(error) = self.checkpoint(None, false) {
                    tracing::warn!(%error, "no checkpoint could be saved, trying again later");
                    self.checkpoint_due.store(u64::MAX, Ordering::Relaxed);
                }
                checkpointed = Instant::now();
            }
            if swept.elapsed() >= sweep_interval {
                match self.sweep_one() {
                    // The next one at once, but for a checkpoint that is due.
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "old segments could not be deleted, trying again later"),
                }
                swept = Instant::now();
            }
            let pause = (checkpoint_interval.saturating_sub(checkpointed.elapsed()))
                .min(sweep_interval.saturating_sub(swept.elapsed()));
            thread::park_timeout(pause);
        }
    }

    pub(crate) fn wake_housekeeper(&self) {
        if let Some(thread) = self.housekeeper.get() {
            thread.unpark();
        }
    }

    /// Deletes the segments whose time has come, oldest first, and returns how many. Queues and index follow.
    pub(crate) fn sweep(&self) -> Result<usize, Error> {
        let mut deleted = 0;
        while self.sweep_one()? {
            deleted += 1;
        }
        Ok(deleted)
    }

    /// The same of the oldest segment only; false if it stays.
    fn sweep_one(&self) -> Result<bool, Error> {
        let dir = &self.options.dir;
        let (segment, runs) = {
            let mut maintenance = self.maintenance.lock();
            let may_go = self.oldest_may_go(&maintenance)?;
            let segment = if may_go { self.segments.remove_first().doing("delete a segment in", dir)? } else { None };
            let start = self.segments.range().0;
            let mut runs = Vec::new();
            // An earlier round may have got no further than the segment.
            if start != maintenance.start {
                // What derives from the log must not forget what a crash could bring back.
                self.segments.sync_dir().doing("sync", dir)?;
                self.advance_queues()?;
                runs = self.keys.forget_before(start);
                maintenance.start = start;
                tracing::info!(log_start = start, "an old segment was deleted");
            }
            (segment, runs)
        };
        let deleted = segment.is_some();
        // Before the next one is looked at: how full the disk is decides about it.
        if let Some(segment) = segment {
            let path = segment.path.clone();
            free_slowly(segment, |segment| &*segment.file, || self.is_in_a_hurry())
                .doing("free the space of", &path)?;
        }
        self.free_runs(runs)?;
        Ok(deleted)
    }

    /// Gives the space of runs of keys back that were removed.
    pub(crate) fn free_runs(&self, runs: Vec<Arc<Run>>) -> Result<(), Error> {
        for run in runs {
            let path = run.path.clone();
            free_slowly(run, Run::file, || self.is_in_a_hurry()).doing("free the space of", &path)?;
        }
        Ok(())
    }

    /// Whether space is needed, or everything is to end, at once.
    fn is_in_a_hurry(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
            || self.disk_full.load(Ordering::Relaxed)
            || self.disk_refused.load(Ordering::Relaxed) > 0
    }

    /// Meaning of the ratios: `DefaultMessageStore.CleanCommitLogService` (RocketMQ 5.3.4).
    fn oldest_may_go(&self, maintenance: &Maintenance) -> Result<bool, Error> {
        let retention = &self.options.retention;
        let dir = &self.options.dir;
        let used = self.io.space(dir).doing("measure", dir)?.used_ratio();
        let used_percent = (used * 100.0).ceil() as u8;
        let refused = if used > retention.refuse_ratio { used_percent } else { 0 };
        match (self.disk_refused.swap(refused, Ordering::Relaxed) > 0, refused > 0) {
            (false, true) => {
                let limit = retention.refuse_ratio;
                tracing::warn!(used_percent, limit, dir = %dir.display(), "the disk is nearly full: messages are refused");
            }
            (true, false) => tracing::info!(used_percent, "there is room on the disk again: messages are accepted"),
            _ => {}
        }

        let segments = self.segments.all();
        // A segment that a replay would start in stays, and with that always the newest one.
        let [oldest, next, ..] = &segments[..] else { return Ok(false) };
        if oldest.end() > maintenance.replayed_from() || oldest.end() > self.progress.visible() {
            return Ok(false);
        }
        if !self.has_expired(next, &segments, used)? {
            return Ok(false);
        }
        if oldest.end() > self.released.load(Ordering::Acquire) {
            self.held_back.store(oldest.end(), Ordering::Release);
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether the rules allow the oldest segment, which `next` follows, to go.
    fn has_expired(&self, next: &Segment, segments: &[Arc<Segment>], used: f64) -> Result<bool, Error> {
        let retention = &self.options.retention;
        if used > retention.force_ratio {
            return Ok(true);
        }
        let log_bytes: u64 = segments.iter().map(|segment| segment.len).sum();
        if retention.max_bytes.is_some_and(|max| log_bytes > max) {
            return Ok(true);
        }
        let now_ms = self.clock.now_ms();
        let hour = now_ms.div_euclid(HOUR_MS).rem_euclid(24);
        let its_hour = retention.delete_hour.is_none_or(|delete_hour| i64::from(delete_hour) == hour);
        if !its_hour && used <= retention.clean_ratio {
            return Ok(false);
        }
        // What is in a segment was stored before the first record of the next.
        let mut head = [0; HEAD_BYTES];
        let n = next.file.read_at(&mut head, 0).doing("read", &next.path)?;
        let age_ms = record::store_timestamp(&head[..n]).filter(|stored| *stored > 0).map(|stored| now_ms - stored);
        Ok(age_ms.is_some_and(|age| u128::try_from(age).is_ok_and(|age| age >= retention.max_age.as_millis())))
    }

    /// Moves the first offsets of all queues behind what was deleted.
    pub(crate) fn advance_queues(&self) -> Result<(), Error> {
        let log_min = self.segments.range().0;
        let mut behind = Vec::new();
        self.queues.table.for_each(|queue| {
            let state = queue.state.lock();
            if state.min < state.next() && state.min_log < log_min {
                behind.push(queue.clone());
            }
        });
        for queue in behind {
            self.advance(&queue, log_min)?;
        }
        Ok(())
    }

    fn advance(&self, queue: &Arc<Queue>, log_min: u64) -> Result<(), Error> {
        // Checkpoints, which move entries between tail and extents, are kept out by the maintenance lock.
        let (extents, saved_end) = {
            let state = queue.state.lock();
            (state.extents.clone(), state.tail_first)
        };
        // An extent has expired if the entry after it would not be the first one that is left.
        let after = extents.partition_point(|extent| extent.first_log < log_min);
        let mut min = extents.get(after).map(|extent| (extent.first, extent.first_log));
        let mut keep = after;
        if let Some(extent) = after.checked_sub(1).map(|last| extents[last]) {
            let end = extents.get(after).map_or(saved_end, |following| following.first);
            let mut bytes = vec![0; (end - extent.first) as usize * SLOT_BYTES];
            let file = self.queues.extents.file(extent.class);
            file.read_at(&mut bytes, extent.position(extent.first))
                .doing("read queue entries of", &self.options.dir)?;
            let slots = bytes.as_chunks::<SLOT_BYTES>().0;
            let left = slots.iter().position(|slot| Slot::from_bytes(slot).log >= log_min);
            if let Some(left) = left {
                keep = after - 1;
                min = Some((extent.first + left as u64, Slot::from_bytes(&slots[left]).log));
            }
        }
        let listed = {
            let state = &mut *queue.state.lock();
            // Nothing saved is left: the first entry is that of the tail, or the next one.
            let tail = (state.tail_first, state.tail.front().map_or(log_min, |slot| slot.log));
            (state.min, state.min_log) = min.unwrap_or(tail);
            state.drop_extents(keep);
            std::mem::replace(&mut state.dirty, true)
        };
        if !listed {
            self.appender.lock().dirty.push(queue.clone());
        }
        Ok(())
    }
}
