//! The commit log: records in memory, their way into the files, and back.
//!
//! [`append`] stamps a record and copies it into a chunk of memory; [`writer`] takes what is there, writes and syncs
//! it for everybody who waits, and keeps it in the [`tail`] cache; [`prepare`] writes zeros ahead of the writer;
//! [`read`] finds records again, in the tail or in a [`segment`].

pub(crate) mod append;
pub(crate) mod dispatch;
pub(crate) mod gather;
pub(crate) mod prepare;
pub(crate) mod read;
pub(crate) mod segment;
pub(crate) mod tail;
pub(crate) mod writer;
