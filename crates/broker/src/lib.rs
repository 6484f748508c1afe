//! Topics, consumer groups, offsets, sessions, and the verbs of a broker: send, pull, give back, look up.
//!
//! Verbs take and return plain values. Nothing here has heard of frames or sockets: a client's connection is a
//! [`ConnectionId`], and who must be told that a group changed is a list of them that the verb returns.

mod broker; // start here
mod config;
mod error;

mod filter;
mod pop;
mod pull;
mod query;
mod reply;
mod retry;
mod select;
mod send;

mod deliver;
mod due;
mod schedule;
mod timer;
mod transaction;

mod lite;

mod client_index;
mod group;
mod lag;
mod lock;
mod offset;
mod reach;
mod session;
mod topic;

mod attribute;
mod limits;
mod snapshot;
mod state;
mod stats;

pub use attribute::MESSAGE_TYPE;
pub use broker::Broker;
pub use config::{Config, PopConfig};
pub use error::{Error, Forbidden};
pub use filter::{FilterText, Sql, SqlError};
pub use group::Groups;
pub use lag::Lag;
pub use lite::{LiteAction, LiteStart, LiteSubscription, PopLite, PopLiteRequest, Unsubscribed};
pub use lock::QueueLocks;
pub use offset::{Offsets, QueryOffset};
pub use pop::{
    Ack, Assignment, ChangeInvisible, Invisible, Notice, NoticeRequest, NoticeWait, Peeked, Pop, PopFrom, PopRequest,
    PopStatus, Popped, PoppedMessage,
};
pub use pull::{Pull, PullRequest, PullStatus, Pulled};
pub use query::MessageQuery;
pub use reach::{AskError, Asked, Client, Question, Reach, Told};
pub use reply::ReplyTo;
pub use retry::SendBack;
pub use send::{NewMessage, Receipt};
pub use session::{ConnectionId, ConsumerSession, Heartbeat, Members, ProducerSession, Sessions};
pub use stats::{COMMIT_BOUNDS_S, Count, Counted, DELAY_BOUNDS_S, Rates, SIZE_BOUNDS, Spread, Stats, Window};
pub use store::{Boundary, IndexKey, LogOffset, QueueOffset, Recovery};
pub use timer::{Recalled, TIMER_BOUNDS_S};
pub use topic::{Topic, Topics};
pub use transaction::{EndTransaction, TransactionCheck};
