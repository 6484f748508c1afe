//! A list of sleeping tasks, each with a number that says what it waits for.
//!
//! A slot is found again by its index, so that polling or dropping one of thousands of waits costs the same as the
//! only one, and a slot is used again, so that waiting allocates nothing once the list has grown.

use crate::limits::WAKER_SLOTS_KEPT;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

#[derive(Debug, Default)]
pub(crate) struct Wakers {
    slots: Vec<Slot>,
    free: Vec<u32>,
    generation: u64,
}

#[derive(Debug)]
struct Slot {
    until: u64,
    generation: u64,
    waker: Option<Waker>,
}

/// Where a wait is in the list. Stale once the wait was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    slot: u32,
    generation: u64,
}

impl Wakers {
    /// A list whose keys mean nothing to any other list made this way: for lists that come and go.
    pub(crate) fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { generation: NEXT.fetch_add(1, Ordering::Relaxed) << 32, ..Self::default() }
    }

    /// Adds a wait, or renews the waker of the one at `key`.
    pub(crate) fn put(&mut self, key: &mut Option<Key>, until: u64, waker: &Waker) {
        if let Some(slot) = key.and_then(|key| self.slot(key)) {
            match &mut slot.waker {
                Some(old) => old.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return;
        }
        self.generation += 1;
        let slot = Slot { until, generation: self.generation, waker: Some(waker.clone()) };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        *key = Some(Key { slot: index, generation: self.generation });
    }

    /// Forgets a wait that is not wanted any more.
    pub(crate) fn remove(&mut self, key: Key) {
        if let Some(slot) = self.slot(key) {
            slot.waker = None;
            self.free.push(key.slot);
        }
    }

    /// Takes out the wakers of those who wait for at most `reached`.
    pub(crate) fn take(&mut self, reached: u64, out: &mut Vec<Waker>) {
        if self.is_empty() {
            return;
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.until <= reached
                && let Some(waker) = slot.waker.take()
            {
                out.push(waker);
                self.free.push(index as u32);
            }
        }
        if self.is_empty() && self.slots.len() > WAKER_SLOTS_KEPT {
            *self = Self { generation: self.generation, ..Self::default() };
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        (slot.generation == key.generation && slot.waker.is_some()).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_reached_is_taken_and_slots_are_used_again() {
        let (mut wakers, mut out) = (Wakers::default(), Vec::new());
        let mut keys = [None; 3];
        for (until, key) in (1..).zip(&mut keys) {
            wakers.put(key, until, Waker::noop());
        }
        wakers.take(2, &mut out);
        assert_eq!(out.len(), 2);
        let mut again = None;
        wakers.put(&mut again, 9, Waker::noop());
        assert_eq!(wakers.slots.len(), 3);
        // The first wait is over: its stale key must not remove the one that took its slot.
        keys[..2].iter().for_each(|key| wakers.remove(key.expect("was put")));
        wakers.take(9, &mut out);
        assert_eq!(out.len(), 4);
        assert!(wakers.is_empty());
    }
}
