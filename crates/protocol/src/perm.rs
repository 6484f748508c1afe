//! Permission bits of topics and brokers. Source: `PermName`.

/// New topics may be made after this one.
pub const INHERIT: i32 = 1;
/// Producers may send.
pub const WRITE: i32 = 2;
/// Consumers may receive.
pub const READ: i32 = 4;

/// Whether consumers may receive.
pub fn is_readable(perm: i32) -> bool {
    perm & READ != 0
}

/// Whether producers may send.
pub fn is_writeable(perm: i32) -> bool {
    perm & WRITE != 0
}

/// Whether new topics may be made after this one.
pub fn is_inherited(perm: i32) -> bool {
    perm & INHERIT != 0
}

/// Whether the bits make sense at all.
pub fn is_valid(perm: i32) -> bool {
    (0..8).contains(&perm)
}

/// `RWX` with a dash for every absent bit.
pub fn text(perm: i32) -> String {
    let bit = |set: bool, letter| if set { letter } else { '-' };
    [bit(is_readable(perm), 'R'), bit(is_writeable(perm), 'W'), bit(is_inherited(perm), 'X')].into_iter().collect()
}
