//! The allocator, and the one setting of it that matters.
#![allow(unsafe_code, reason = "mimalloc has no safe way to set an option after the process has started")]

use std::ffi::{c_int, c_long};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` in the enumeration `mi_option_e` of mimalloc 3.3.2, which the bindings do not name.
const PURGE_DELAY: c_int = 15;

/// Gives freed memory back to the system at once instead of keeping it for later: a broker that was busy does not
/// stay large. To be called first in `main`.
pub(crate) fn return_memory_at_once() {
    const AT_ONCE: c_long = 0;
    // SAFETY: `mi_option_set` stores the value in an array of its own with one atomic store, after checking the index
    // against the array's length; it is allowed at any time and from any thread. A wrong index in some other release
    // would set another tuning value, which changes speed, not correctness.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, AT_ONCE) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_we_mean() {
        // Its default is what tells it from its neighbours, which are switches.
        // SAFETY: reads the same array; see above.
        let default = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert!(default >= 10, "purge delay of {default} ms");
        return_memory_at_once();
        // SAFETY: see above.
        assert_eq!(unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }, 0);
    }
}
