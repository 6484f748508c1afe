//! Where the entries of a queue are to be found.

use super::{Entry, Extent, Queue};

impl Queue {
    /// The next step of reading visible entries from `next` on: moves `next` to `min` if it is below, then either
    /// takes entries out of the tail (`None`: that was all there is) or names an extent and how many entries of it
    /// are wanted.
    pub(crate) fn plan(&self, next: &mut u64, wanted: usize, out: &mut Vec<Entry>) -> Option<(Extent, usize)> {
        let state = self.state.lock();
        let max = state.max(self.visible());
        *next = state.min.max(*next);
        if *next >= max {
            return None;
        }
        if *next >= state.tail_first {
            let visible = (*next - state.tail_first) as usize..(max - state.tail_first) as usize;
            out.reserve(visible.len().min(wanted));
            let slots = (*next..).zip(state.tail.range(visible)).filter(|(_, slot)| !slot.is_hole());
            out.extend(slots.take(wanted).map(|(at, slot)| slot.entry(at)));
            return None;
        }
        let count = (max - *next).min(wanted as u64);
        let after = state.extents.partition_point(|extent| extent.first <= *next);
        let extent = *state.extents.get(after.checked_sub(1)?)?;
        let end = state.extents.get(after).map_or(state.tail_first, |following| following.first);
        Some((extent, count.min(end - *next) as usize))
    }

    /// Whether an extent still belongs to the queue.
    pub(crate) fn owns(&self, extent: &Extent) -> bool {
        let state = self.state.lock();
        state.extents.binary_search_by_key(&extent.first, |own| own.first).is_ok_and(|at| state.extents[at] == *extent)
    }
}
