//! Connections as peers see them.

mod echo;
mod limits;
mod page;
mod tls;
