//! The trust log: what was decided about peers, for ever. The whitelist is its fold.
//!
//! Records are deterministic DAG-CBOR in a side log of the store; each names the one before it, so the head
//! that stands in every `start` entry commits to them all. What `config.toml` lists is recorded at each start where
//! it changed; what operators decide, before they have an answer. The two stand beside each other.
//!
//! `record` what is written · `fold` what it comes to · `config` what the file says, recorded · `keyfile` a peer's key, read
//! and checked · `keeper` changes (`decide`: durable before they count), `enrol` those that begin with a stranger's request, `recommend`
//! those that begin with a peer's word (`readers` who may read by it), `exchange` certificates that peers bring, each message once (`seen`) · `rotation` transport keys that
//! follow others (`followed` what that comes to) · `cleanup` what is over goes · `list` lists as files · `relist` the file, read
//! again · `pages` how it is shown.

mod cleanup;
mod config;
mod decide;
mod enrol;
mod error;
mod exchange;
mod fold;
mod followed;
mod keeper;
pub mod keyfile;
mod list;
pub mod pages;
mod readers;
mod recommend;
mod record;
mod relist;
mod rotation;
mod seen;

pub use cleanup::Cleaned;
pub use config::{Wanted, reconcile, wanted};
pub use error::{ChangeError, TrustError};
pub use exchange::Taken;
pub use fold::{
    Delisted, Entry, Fold, Ignored, Listed, MAX_IGNORED, MAX_KEYS, MAX_PENDING, PENDING_MS,
    Recommendation, Request,
};
pub use followed::{Contested, Followed, MAX_CARRIED, Rotated};
pub use keeper::{Keeper, MAX_ADDRESSES, MAX_HOURS, Needed, Terms};
pub use list::Chosen;
pub use readers::{MAX_DEPTH, Reader, Readers};
pub use recommend::MAX_SAID;
pub use record::{Decision, HeldKey, KeyKind, Record, Role};
pub use relist::Relisted;
pub use rotation::{Bringer, Following, MAX_OWN_CARRIED, Moved};
