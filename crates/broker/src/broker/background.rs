//! Work that goes on beside the verbs, and its end: saving, retention, stopping.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, warn};

use super::Broker;
use crate::Error;
use crate::snapshot::Tables;

/// Time between two looks at what retention wants; its own looks are 10 seconds apart.
const RETENTION_PERIOD: Duration = Duration::from_secs(5);

impl Broker {
    /// Starts the background work; [`Broker::stop`] ends it.
    pub fn start(self: &Arc<Self>) {
        for level in 1..=self.config().delay_levels.len() as i32 {
            self.tasks.spawn(self.clone().run_delay_level(level));
        }
        self.tasks.spawn(self.clone().run_timers());
        self.tasks.spawn(self.clone().run_invisible());
        self.tasks.spawn(self.clone().run_retention());
        self.tasks.spawn(self.clone().run_lite());
        self.tasks.spawn(self.clone().run_lite_sweeps());
        self.tasks.spawn(self.clone().every(self.config().offset_interval, |broker| {
            if let Err(error) = broker.save_offsets() {
                warn!(%error, "consumer offsets not saved, trying again");
            }
        }));
        self.tasks.spawn(self.clone().every(Duration::from_secs(10), |broker| {
            broker.stats.sample(broker.now_ms());
            broker.locks.sweep(broker.now_ms());
            broker.pop.sweep(broker.now_ms());
        }));
        let snapshots = self.clone();
        self.tasks.spawn(self.stopping.clone().run_until_cancelled_owned(async move {
            // The log behind a snapshot tells of no commit before it.
            if let Err(error) = snapshots.settle_commits().await {
                warn!(%error, "committed half messages not taken out, trying again with the next decision");
            }
            loop {
                // The first at once: a broker that crashes again and again soon after its start must not have more
                // and more of the log to replay.
                let broker = snapshots.clone();
                let _ = tokio::task::spawn_blocking(move || broker.save_snapshot(false)).await;
                tokio::time::sleep(snapshots.config().snapshot_interval).await;
            }
        }));
    }

    async fn every(self: Arc<Self>, period: Duration, work: impl Fn(&Broker)) {
        let stopping = self.stopping.clone();
        let rounds = async {
            loop {
                tokio::time::sleep(period).await;
                work(&self);
            }
        };
        stopping.run_until_cancelled(rounds).await;
    }

    /// Stops: ends waiting pulls and background work, saves everything, closes the store. Blocks on the disk.
    pub async fn stop(self: &Arc<Self>) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.settle_commits().await {
            warn!(%error, "committed half messages not taken out");
        }
        let broker = self.clone();
        let _ = tokio::task::spawn_blocking(move || {
            if let Err(error) = broker.save_offsets() {
                error!(%error, "consumer offsets not saved");
            }
            broker.save_snapshot(true);
            if let Err(error) = broker.store.close() {
                error!(%error, "store not closed cleanly, the next start will check its end");
            }
        })
        .await;
    }

    /// Copies the tables to files and tells the store that the log before is no longer needed for them.
    fn save_snapshot(&self, last: bool) {
        let mut known = self.saved.lock();
        // Changes are made in memory before or together with their record: whatever the log holds up to here is in
        // the tables that are read below.
        let (_, state_at) = self.store.log_range();
        // A change whose record is in the log is in the version, too: its lock is held over both.
        let version = self.topics.version();
        let tables = Tables {
            topics: (known.topics != Some(version)).then(|| self.topics.to_table()),
            groups: self.groups.to_table(),
            offsets: self.offsets.to_table(),
            delays: self.cursors.to_table(),
            request_modes: self.pop.modes.to_table(),
            orders: self.pop.orders.to_table(),
            owners: self.pop.owners.to_table(),
        };
        let dir = self.config().config_dir.clone();
        let saved = self.make_offsets_safe().map_err(|error| error.to_string());
        let saved = saved.and_then(|()| tables.save(&dir).map_err(|error| error.to_string()));
        let saved = saved.and_then(|()| {
            known.topics = Some(version);
            let due_at = known.due.save(&self.due, &dir, &self.store, || self.record_flights(), last, self.now_ms());
            let due_at = due_at.map_err(|error| error.to_string())?;
            self.store.checkpoint(Some(state_at.min(due_at))).map_err(|error| error.to_string())
        });
        if let Err(error) = saved {
            warn!(error, "settings not copied to files; the log has them, trying again");
        }
    }

    /// Makes the log know, for good, what the offsets that were just read left in flight: a file that has the ones
    /// without the others would lose messages.
    fn make_offsets_safe(&self) -> Result<(), Error> {
        if self.invisible_messages() == 0 {
            return Ok(());
        }
        {
            let _change = self.due.change();
            self.record_flights()?;
        }
        Ok(self.store.flush()?)
    }

    /// Lets retention delete what it wants to, once what still matters of it is somewhere else.
    async fn run_retention(self: Arc<Self>) {
        let stopping = self.stopping.clone();
        let rounds = async {
            loop {
                tokio::time::sleep(RETENTION_PERIOD).await;
                if let Err(error) = self.make_way().await {
                    warn!(%error, "old segments are kept, timers or half messages in them could not be moved");
                }
            }
        };
        stopping.run_until_cancelled(rounds).await;
    }

    async fn make_way(self: &Arc<Self>) -> Result<(), Error> {
        while let Some(before) = self.store.held_back() {
            self.roll_timers(before).await?;
            self.set_old_halves_aside(before).await?;
            self.store.flushed().wait(self.store.appended()).await?;
            self.store.release(before);
            let store = self.store.clone();
            let swept = tokio::task::spawn_blocking(move || store.sweep()).await;
            swept.map_err(|_| Error::Stopping)??;
        }
        Ok(())
    }
}
