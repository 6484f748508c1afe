//! Appends that come together are written together.
//!
//! A writer that sleeps wakes with the first append, and would write and sync that one alone while the others of the
//! same moment wait for the next turn. So whoever has several requests in hand gathers: its appends wake the writer
//! once, behind the last of them.

use std::cell::Cell;
use std::marker::PhantomData;

use crate::core::Core;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gathering {
    No,
    Nothing,
    Something,
}

thread_local! {
    /// Of this thread; appends of others wake the writer as always.
    static GATHERING: Cell<Gathering> = const { Cell::new(Gathering::No) };
}

/// While it lives, appends of its thread leave the writer asleep. See [`crate::Store::gather`].
pub struct Gather<'a> {
    core: &'a Core,
    before: Gathering,
    /// It speaks of one thread.
    _stays: PhantomData<*const ()>,
}

impl<'a> Gather<'a> {
    pub(crate) fn begin(core: &'a Core) -> Gather<'a> {
        Gather { core, before: GATHERING.replace(Gathering::Nothing), _stays: PhantomData }
    }
}

impl Drop for Gather<'_> {
    fn drop(&mut self) {
        if GATHERING.replace(self.before) == Gathering::Something {
            self.core.wake_writer();
        }
    }
}

/// Whether this thread gathers, so that an append need not wake the writer now.
pub(crate) fn gathered() -> bool {
    let gathers = GATHERING.get() != Gathering::No;
    if gathers {
        GATHERING.set(Gathering::Something);
    }
    gathers
}
