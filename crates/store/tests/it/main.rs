//! What the store promises.

mod basics;
mod help;
