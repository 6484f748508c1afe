//! What the store promises.

mod basics;
mod crash;
mod disk;
mod help;
mod keys;
mod queues;
mod replay;
mod retention;
