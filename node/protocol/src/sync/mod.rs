//! Sync: what two nodes say to each other and what each remembers of the other. Heads first: a log is
//! one author's sequence, so a frontier says everything. The replica drives it; sockets stand elsewhere.

mod message;
mod session;

pub(crate) use message::MAX_FRONTIER;
pub use message::{
    Beacon, FrontierEntry, Hello, LogPrefix, MAX_MESSAGE, Message, PROTOCOL_VERSION, Want,
    frontier_hash,
};
pub use session::{
    Channel, Claim, INITIAL_CREDIT, MAX_RANGES, READER_CREDIT, Range, Session, Step,
};
