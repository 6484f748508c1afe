//! Messages in flight: popped, invisible to others, not acked.
//!
//! Each is an entry of the due table, at the time at which it becomes visible again. A receipt says that time, so an
//! ack finds the entry without an index, and a stale receipt finds none.
//!
//! Entries are made and go much faster than anyone wants records in the log, so they are *netted*: a few times a second
//! what was popped and is still there, and what the log knows and is gone, becomes one record
//! ([`Broker::record_flights`]). The offsets that the pops moved follow **behind** it: a crash may take the last
//! moment's offsets and deliver their messages again, but never keeps an offset without what it left in flight.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::owner::Owner;
use crate::due::{Changing, Detail, Due, Key, Kind};
use crate::limits::FLIGHTS_OF_A_RECORD;
use crate::state::Change;
use crate::{Broker, Error};

/// First detail: the log knows the entry.
const RECORDED: u32 = 1;
/// First detail: the delivery does not count. Source: `PopCheckPoint.suspend`.
const SUSPENDED: u32 = 2;

/// Bits of a place that are the queue offset; the queue has the other 16, as a topic has at most 65,536 queues.
const OFFSET_BITS: u32 = 48;

/// What the log does not say yet.
#[derive(Default)]
pub(crate) struct Flights {
    /// Made since, perhaps gone already.
    fresh: Mutex<Vec<Key>>,
    /// Gone although the log knows them.
    gone: Mutex<Vec<Key>>,
    /// Held by who writes, so that what is gone is told after what was made.
    recording: Mutex<()>,
}

/// A message in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    pub(super) owner: u32,
    pub(super) queue_id: i32,
    pub(super) offset: u64,
    pub(super) visible_ms: i64,
}

impl Flight {
    pub(super) fn key(self) -> Key {
        let place = u64::from(self.queue_id.cast_unsigned()) << OFFSET_BITS | self.offset & ((1 << OFFSET_BITS) - 1);
        Key { due_ms: self.visible_ms, place, owner: self.owner }
    }

    pub(super) fn of(key: &Key) -> Flight {
        Flight {
            owner: key.owner,
            // 16 bits are left.
            queue_id: (key.place >> OFFSET_BITS) as i32,
            offset: key.place & ((1 << OFFSET_BITS) - 1),
            visible_ms: key.due_ms,
        }
    }
}

/// The details of a new entry. The invisible time tells later when the message was popped.
pub(super) fn detail(invisible_ms: i64, suspended: bool) -> Detail {
    [if suspended { SUSPENDED } else { 0 }, u32::try_from(invisible_ms).unwrap_or(u32::MAX)]
}

pub(super) fn is_suspended(detail: &Detail) -> bool {
    detail[0] & SUSPENDED != 0
}

pub(super) fn popped_ms(key: &Key, detail: &Detail) -> i64 {
    key.due_ms - i64::from(detail[1])
}

impl Flights {
    /// Makes the entries of one pop.
    pub(super) fn begin(&self, change: &Changing<'_>, keys: &[Key], detail: Detail) {
        change.insert_all(Kind::Invisible, keys.iter().map(|key| (*key, detail)));
        self.fresh.lock().extend_from_slice(keys);
    }

    /// Takes an entry out. `None` if there is none: the receipt was stale.
    pub(super) fn end(&self, change: &Changing<'_>, key: &Key) -> Option<Detail> {
        let detail = change.remove(Kind::Invisible, key)?;
        if detail[0] & RECORDED != 0 {
            self.gone.lock().push(*key);
        }
        Some(detail)
    }
}

/// Messages of one queue that one group popped, all until the same time, as a part of a record of the log: owner, time,
/// details, queue, and pairs of first offset and number of offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run(u32, i64, Detail, i32, Vec<(u64, u32)>);

/// What took off and what landed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlightChange {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gone: Vec<Run>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    made: Vec<Run>,
}

fn runs(mut entries: Vec<(Key, Detail)>) -> Vec<Run> {
    entries.sort_unstable_by_key(|(key, detail)| (key.owner, key.due_ms, *detail, key.place));
    entries.dedup();
    let mut runs: Vec<Run> = Vec::new();
    for (key, detail) in entries {
        let Flight { owner, queue_id, offset, visible_ms } = Flight::of(&key);
        match runs.last_mut() {
            Some(Run(o, ms, d, q, offsets)) if (*o, *ms, *d, *q) == (owner, visible_ms, detail, queue_id) => {
                match offsets.last_mut() {
                    Some((first, count)) if *first + u64::from(*count) == offset => *count += 1,
                    _ => offsets.push((offset, 1)),
                }
            }
            _ => runs.push(Run(owner, visible_ms, detail, queue_id, vec![(offset, 1)])),
        }
    }
    runs
}

impl Run {
    fn keys(&self) -> impl Iterator<Item = (Key, Detail)> {
        let Run(owner, visible_ms, detail, queue_id, offsets) = self;
        let offsets = offsets.iter().flat_map(|(first, count)| *first..first.saturating_add(u64::from(*count)));
        offsets.map(|offset| {
            let flight = Flight { owner: *owner, queue_id: *queue_id, offset, visible_ms: *visible_ms };
            (flight.key(), *detail)
        })
    }
}

impl FlightChange {
    /// Applies the change to the table, as it was applied when it was appended.
    pub(crate) fn replay(&self, due: &Due) {
        let change = due.change();
        for (key, _) in self.gone.iter().flat_map(Run::keys) {
            change.remove(Kind::Invisible, &key);
        }
        for (key, detail) in self.made.iter().flat_map(Run::keys) {
            change.insert(Kind::Invisible, key, detail);
        }
    }
}

impl Broker {
    /// Writes into the log what it does not know of messages in flight. Inside of a change of the due table.
    ///
    /// # Errors
    /// The log takes no records now; they are kept for the next attempt.
    pub(crate) fn record_flights(&self) -> Result<(), Error> {
        let flights = &self.pop.flights;
        let _one_at_a_time = flights.recording.lock();
        // What is gone first: an entry that goes right after this line is in the next record.
        let mut gone = std::mem::take(&mut *flights.gone.lock());
        let mut fresh = std::mem::take(&mut *flights.fresh.lock());
        while !gone.is_empty() || !fresh.is_empty() {
            let gone_part = gone.len().saturating_sub(FLIGHTS_OF_A_RECORD);
            let fresh_part = fresh.len().saturating_sub(FLIGHTS_OF_A_RECORD);
            let made = self.due.update(Kind::Invisible, fresh[fresh_part..].iter().copied(), |detail| {
                detail[0] |= RECORDED;
            });
            let change = FlightChange {
                gone: runs(gone[gone_part..].iter().map(|key| (*key, [0; 2])).collect()),
                made: runs(made),
            };
            if (!change.gone.is_empty() || !change.made.is_empty())
                && let Err(error) = self.journal.append(&Change::Flights(change))
            {
                flights.gone.lock().append(&mut gone);
                flights.fresh.lock().append(&mut fresh);
                return Err(error);
            }
            gone.truncate(gone_part);
            fresh.truncate(fresh_part);
        }
        Ok(())
    }

    /// Lets messages land that come again anyway, because the end of the log with the offset behind them was lost: else
    /// they would come twice. Only while the tables are being made.
    pub(crate) fn land_doubled_flights(&self) {
        let mut cursors = HashMap::new();
        let mut comes_again = |key: &Key| {
            let Flight { owner, queue_id, offset, .. } = Flight::of(key);
            let cursor = cursors.entry((owner, queue_id)).or_insert_with(|| {
                let owner = self.pop.owners.get(owner)?;
                self.offsets.get(&owner.topic, &owner.group, queue_id)
            });
            cursor.is_some_and(|cursor| i64::try_from(offset).is_ok_and(|offset| offset >= cursor))
        };
        let all = self.due.due(Kind::Invisible, i64::MAX, usize::MAX).into_iter().map(|(key, _)| key);
        let doubled: Vec<Key> = all.filter(|key| comes_again(key)).collect();
        let change = self.due.change();
        for key in &doubled {
            self.pop.flights.end(&change, key);
        }
    }

    /// The entry that a receipt stands for.
    pub(super) fn flight_key(&self, owner: &Owner, queue_id: i32, offset: i64, visible_ms: i64) -> Option<Key> {
        let offset = u64::try_from(offset).ok()?;
        Some(Flight { owner: owner.number, queue_id, offset, visible_ms }.key())
    }

    /// How many popped messages wait for an ack, by topic and group in this order. It walks all of them.
    pub fn in_flight(&self) -> Vec<(String, String, u64)> {
        let counts = self.due.by_owner(Kind::Invisible).into_iter();
        let named = counts.filter_map(|(number, count)| {
            let owner = self.pop.owners.get(number)?;
            Some((owner.topic.clone(), owner.group.clone(), count))
        });
        let mut named: Vec<_> = named.collect();
        named.sort_unstable();
        named
    }

    /// Milliseconds by which the first of those is late that were not acked in time.
    pub fn revive_lag_ms(&self) -> i64 {
        self.due.first(Kind::Invisible).map_or(0, |due_ms| (self.now_ms() - due_ms).max(0))
    }

    /// How many popped messages wait for an ack.
    pub fn invisible_messages(&self) -> usize {
        self.due.len(Kind::Invisible)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_queue_and_offset() {
        let flight = Flight { owner: 7, queue_id: 65_535, offset: (1 << 48) - 1, visible_ms: 5 };
        let again = Flight::of(&flight.key());
        assert_eq!((again.queue_id, again.offset), (65_535, (1 << 48) - 1));
        assert_eq!(again.key(), flight.key());
    }

    #[test]
    fn neighbours_are_written_as_one() {
        let key = |queue_id, offset, visible_ms| Flight { owner: 1, queue_id, offset, visible_ms }.key();
        let entries: Vec<_> = [(0, 5, 9), (0, 4, 9), (0, 6, 9), (0, 8, 9), (1, 5, 9), (0, 5, 8), (0, 5, 8)]
            .map(|(queue, offset, ms)| (key(queue, offset, ms), [1, 50]))
            .into();
        let made = runs(entries.clone());
        assert_eq!(made.len(), 3);
        assert_eq!(made[1].4, [(4, 3), (8, 1)]);
        let due = Due::default();
        let change = FlightChange { gone: Vec::new(), made };
        let text = serde_json::to_string(&change).unwrap();
        let read: FlightChange = serde_json::from_str(&text).unwrap();
        read.replay(&due);
        read.replay(&due);
        assert_eq!(due.len(Kind::Invisible), 6);
        FlightChange { gone: runs(entries), made: Vec::new() }.replay(&due);
        assert_eq!(due.len(Kind::Invisible), 0);
    }
}
