//! Every byte RocketMQ puts on a wire or in a record, and its meaning.
//!
//! Nothing here performs I/O, reads a clock or is asynchronous, and decoding untrusted bytes neither panics nor
//! allocates what a length field merely claims. Facts of the protocol name the Java class they were checked
//! against, release 5.5.0 unless another is named.

mod fields;
mod find;
pub mod frame; // start here
pub mod header;
pub mod request;

pub mod batch;
pub mod body;
pub mod code;
pub mod id;
pub mod json;
pub mod limits;
pub mod name;
pub mod peer;
pub mod perm;
pub mod properties;
pub mod recall;
pub mod receipt;
pub mod receipt_template;
pub mod record;
pub mod sysflag;
pub mod tag;
pub mod trace;

pub use fields::Fields;
pub use frame::{Encoding, Frame, FrameError};
pub use header::{Header, HeaderError};
