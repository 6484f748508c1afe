//! What was acknowledged against what can be read.

use std::collections::HashMap;
use std::fmt;

/// A message of a test: who sent it, and its number there. Its text opens the body, padding may follow a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// Producer.
    pub producer: u32,
    /// Number, rising with every message of the producer.
    pub number: u64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.producer, self.number)
    }
}

impl Id {
    /// A body that says who it is and has at least this many bytes.
    pub fn body(self, bytes: usize) -> String {
        let mut body = format!("{self} ");
        let padding = bytes.saturating_sub(body.len());
        body.extend(std::iter::repeat_n('.', padding));
        body
    }

    /// Whose body it is.
    pub fn of_body(body: &[u8]) -> Option<Id> {
        let text = std::str::from_utf8(body).ok()?.split(' ').next()?;
        let (producer, number) = text.split_once('-')?;
        Some(Id { producer: producer.parse().ok()?, number: number.parse().ok()? })
    }
}

/// Where a message is: topic, queue, offset there.
pub type Place = (String, i32, i64);

#[derive(Debug, Clone)]
struct Fate {
    topic: String,
    /// Where the broker said it is.
    acknowledged: Option<(i32, i64)>,
    /// Where it was found.
    read: Option<(i32, i64)>,
}

/// The fate of every message of a test.
#[derive(Debug, Clone, Default)]
pub struct History {
    fates: HashMap<Id, Fate>,
    /// Newest number of each producer in each queue, as the queue is read from front to back.
    newest: HashMap<(String, i32, u32), u64>,
    verdict: Verdict,
}

/// What came of it all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages that the broker acknowledged.
    pub acknowledged: usize,
    /// Messages that nobody acknowledged: in flight when the connection ended, or refused.
    pub unacknowledged: usize,
    /// Messages that were read.
    pub read: usize,
    /// Acknowledged and not there.
    pub lost: Vec<Id>,
    /// There more than once. No producer of ours sends anything twice.
    pub doubled: Vec<Id>,
    /// Behind a later message of the same producer in the same queue.
    pub reordered: Vec<Id>,
    /// Somewhere else than the broker said.
    pub misplaced: Vec<Id>,
    /// Read and never sent.
    pub unknown: Vec<Place>,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_good(&self) -> bool {
        self.lost.is_empty()
            && self.doubled.is_empty()
            && self.reordered.is_empty()
            && self.misplaced.is_empty()
            && self.unknown.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "acknowledged {}, in flight {}, read {}, lost {}, doubled {}, reordered {}, misplaced {}, unknown {}",
            self.acknowledged,
            self.unacknowledged,
            self.read,
            self.lost.len(),
            self.doubled.len(),
            self.reordered.len(),
            self.misplaced.len(),
            self.unknown.len()
        )?;
        for (what, ids) in [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("reordered", &self.reordered),
            ("misplaced", &self.misplaced),
        ] {
            if !ids.is_empty() {
                let some: Vec<_> = ids.iter().take(20).map(Id::to_string).collect();
                write!(f, "\n  {what}: {}", some.join(" "))?;
            }
        }
        match self.unknown.is_empty() {
            true => Ok(()),
            false => write!(f, "\n  unknown: {:?}", &self.unknown[..self.unknown.len().min(20)]),
        }
    }
}

impl History {
    /// A message is about to be sent.
    pub fn sent(&mut self, id: Id, topic: &str) {
        let fate = Fate { topic: topic.to_owned(), acknowledged: None, read: None };
        assert!(self.fates.insert(id, fate).is_none(), "{id} was sent before");
    }

    /// The broker says that it has it.
    pub fn acknowledged(&mut self, id: Id, queue: i32, offset: i64) {
        self.fates.get_mut(&id).expect("only what was sent is acknowledged").acknowledged = Some((queue, offset));
    }

    /// Whether the broker said so.
    pub fn is_acknowledged(&self, id: Id) -> bool {
        self.fates.get(&id).is_some_and(|fate| fate.acknowledged.is_some())
    }

    /// Everything in a topic of which the broker said so.
    pub fn acknowledged_in(&self, topic: &str) -> Vec<Id> {
        let of_topic = self.fates.iter().filter(|(_, fate)| fate.topic == topic && fate.acknowledged.is_some());
        of_topic.map(|(id, _)| *id).collect()
    }

    /// Where a message was sent.
    pub fn topic_of(&self, id: Id) -> Option<&str> {
        self.fates.get(&id).map(|fate| fate.topic.as_str())
    }

    /// A message was found. Each queue must be read once, from front to back.
    pub fn read(&mut self, topic: &str, queue: i32, offset: i64, body: &[u8]) {
        self.verdict.read += 1;
        let Some((id, fate)) = Id::of_body(body).and_then(|id| Some((id, self.fates.get_mut(&id)?))) else {
            self.verdict.unknown.push((topic.to_owned(), queue, offset));
            return;
        };
        if fate.read.replace((queue, offset)).is_some() {
            self.verdict.doubled.push(id);
        }
        if fate.topic != topic || fate.acknowledged.is_some_and(|at| at != (queue, offset)) {
            self.verdict.misplaced.push(id);
        }
        match self.newest.entry((topic.to_owned(), queue, id.producer)) {
            std::collections::hash_map::Entry::Occupied(mut newest) if *newest.get() < id.number => {
                newest.insert(id.number);
            }
            std::collections::hash_map::Entry::Occupied(_) => self.verdict.reordered.push(id),
            std::collections::hash_map::Entry::Vacant(newest) => {
                newest.insert(id.number);
            }
        }
    }

    /// What is known when everything was read.
    pub fn verdict(&self) -> Verdict {
        let mut verdict = self.verdict.clone();
        for (id, fate) in &self.fates {
            match fate.acknowledged {
                Some(_) => verdict.acknowledged += 1,
                None => verdict.unacknowledged += 1,
            }
            if fate.acknowledged.is_some() && fate.read.is_none() {
                verdict.lost.push(*id);
            }
        }
        verdict.lost.sort_unstable();
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> Id {
        Id { producer: 1, number }
    }

    fn history(reads: &[(u64, i64)]) -> Verdict {
        let mut history = History::default();
        for number in 1..=3 {
            history.sent(id(number), "T");
        }
        history.acknowledged(id(1), 0, 0);
        history.acknowledged(id(2), 0, 1);
        for (number, offset) in reads {
            history.read("T", 0, *offset, id(*number).body(20).as_bytes());
        }
        history.verdict()
    }

    #[test]
    fn everything_that_can_go_wrong_is_told() {
        assert!(history(&[(1, 0), (2, 1)]).is_good());
        assert!(history(&[(1, 0), (2, 1), (3, 2)]).is_good());
        assert_eq!(history(&[(1, 0)]).lost, [id(2)]);
        assert_eq!(history(&[(1, 0), (2, 1), (2, 2)]).doubled, [id(2)]);
        assert_eq!(history(&[(2, 0), (1, 1)]).reordered, [id(1)]);
        assert_eq!(history(&[(1, 1), (2, 2)]).misplaced, [id(1), id(2)]);
        assert_eq!(history(&[(1, 0), (2, 1), (4, 2)]).unknown, [("T".to_owned(), 0, 2)]);
    }
}
