//! Short ways to say what the tests do.

use protocol::record::{self, NewRecord};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use store::io::sim::SimDisk;
use store::{Appended, Error, LogOffset, ManualClock, Options, Queue, QueueOffset, Recovery, Store};

pub(crate) fn options(dir: &Path) -> Options {
    Options { segment_bytes: 1 << 20, ..Options::new(dir) }
}

pub(crate) fn open(options: Options) -> (Arc<Store>, Recovery) {
    Store::open(options, &mut |_| {}).expect("the store opens")
}

pub(crate) fn record<'a>(topic: &'a str, body: &'a [u8], properties: &'a str) -> NewRecord<'a> {
    NewRecord {
        topic,
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: "127.0.0.1:1".parse().unwrap(),
        store_host: "127.0.0.1:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
        more_properties: "",
    }
}

pub(crate) fn append(store: &Store, topic: &str, body: &str) -> Appended {
    store.append(&store.queue(topic, 0), &record(topic, body.as_bytes(), "")).expect("the store takes a record")
}

pub(crate) fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) fn wait(store: &Store, at: LogOffset) {
    block(store.acknowledged().wait(at)).expect("the log does not fail");
}

/// Bodies of everything a consumer of the queue can get.
pub(crate) fn bodies(store: &Store, queue: &Arc<Queue>) -> Vec<String> {
    block(async {
        let mut bodies = Vec::new();
        let mut next = queue.min_offset();
        loop {
            let entries = store.entries(queue, next, 100).await.unwrap();
            let Some(last) = entries.last() else { return bodies };
            next = QueueOffset(last.queue_offset.0 + 1);
            let ranges: Vec<_> = entries.iter().map(|entry| (entry.log_offset, entry.size)).collect();
            for slice in store.read(&ranges).await.unwrap() {
                let bytes = slice.bytes.expect("what a queue offers can be read");
                assert_eq!(record::records(&bytes).count(), slice.count);
                bodies.extend(record::records(&bytes).map(|r| String::from_utf8(r.unwrap().body().to_vec()).unwrap()));
            }
        }
    })
}

/// A store without threads on a simulated disk.
pub(crate) struct Sim {
    pub(crate) disk: SimDisk,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) options: Options,
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        let options = Options { segment_bytes: 16 << 10, threads: false, ..Options::new("/store") };
        Self { disk: SimDisk::new(seed), clock: Arc::new(ManualClock::at(1_000_000)), options }
    }

    /// Another disk with the same files.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self { options: self.options.clone(), ..Self::new(0) };
        for path in self.disk.files(Path::new("/store")) {
            let mut bytes = Vec::new();
            self.disk.edit(&path, |data| bytes.clone_from(data));
            copy.disk.put(&path, bytes);
        }
        copy
    }

    pub(crate) fn open(&self) -> (Arc<Store>, Recovery) {
        self.open_replaying().0
    }

    pub(crate) fn try_open(&self) -> Result<(Arc<Store>, Recovery), Error> {
        Store::open_with(Arc::new(self.disk.clone()), self.clock.clone(), self.options.clone(), &mut |_| {})
    }

    /// Also the bodies of the state records that were replayed.
    pub(crate) fn open_replaying(&self) -> ((Arc<Store>, Recovery), Vec<String>) {
        let mut replayed = Vec::new();
        let mut replay = |body: &[u8]| replayed.push(String::from_utf8(body.to_vec()).unwrap());
        let io = Arc::new(self.disk.clone());
        let opened = Store::open_with(io, self.clock.clone(), self.options.clone(), &mut replay);
        (opened.expect("the store opens"), replayed)
    }
}

/// Seeds of a random test: the one in `SEED`, or `count` from 0 on.
pub(crate) fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().expect("SEED is a number"));
    given.map_or(0..count, |seed| seed..seed + 1).inspect(|seed| println!("SEED={seed}"))
}

pub(crate) fn queue_offsets(store: &Store, queue: &Arc<Queue>) -> Vec<u64> {
    let entries = block(store.entries(queue, QueueOffset(0), usize::MAX)).unwrap();
    entries.iter().map(|entry| entry.queue_offset.0).collect()
}
