//! What the store promises.

mod basics;
mod crash;
mod disk;
mod help;
mod java;
mod keys;
mod queues;
mod retention;
