//! Why the trust log could not be read or written, and why nothing was changed, with what to do about it.

use city_protocol::Refusal;
use city_protocol::ids::BlockId;
use city_protocol::trust::RotationRefusal;

use super::fold::MAX_IGNORED;
use super::keeper::{MAX_ADDRESSES, MAX_HOURS};
use super::keyfile::BadKey;
use super::recommend::MAX_OWN;
use crate::keys::{KeyFileError, RingError};
use crate::net::MAX_WHITELIST;
use crate::store::{AppendError, ReadError, SideError};

/// Why the trust log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A record is not one of ours.
    #[error(
        "record {id} of the trust log is not readable ({refusal}); restore the trust directory from a backup"
    )]
    Record {
        /// Its id.
        id: BlockId,
        /// Why.
        refusal: Refusal,
    },
    /// The log is damaged.
    #[error("the trust log cannot be read; look at the disk")]
    Read(#[from] ReadError),
    /// It cannot be written.
    #[error("the trust log cannot be written; look at the disk")]
    Write(#[from] SideError),
    /// The private values.
    #[error("the names in the trust log are encrypted and cannot be read or written")]
    Private(#[from] RingError),
}

impl TrustError {
    /// Whether there was no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Write(SideError::Append(AppendError::Full { .. })) => true,
            Self::Private(error) => error.is_full(),
            _ => false,
        }
    }
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The node itself.
    #[error("{0} is this node's own peer id; it needs no entry")]
    Myself(String),
    /// The configuration lists it.
    #[error(
        "{0} stands in config.toml ([[network.peer]]), which an operator's decision does not change: change it there, and \
         run `city-node reload` if the node runs"
    )]
    InConfig(String),
    /// It is not listed.
    #[error("{0} is not on the whitelist; see `city-node whitelist list`")]
    NotListed(String),
    /// There are too many.
    #[error("the whitelist has {MAX_WHITELIST} peers, the most it may have: remove some first")]
    Full,
    /// A name that is none.
    #[error("the name {0}; write one of 1 to 64 characters, such as 小松市")]
    Name(String),
    /// Too long or too short.
    #[error(
        "the permission is for 1 to {MAX_HOURS} hours; leave the hours out for one without an end"
    )]
    Hours,
    /// Addresses that are none.
    #[error(
        "the address {0}; write one like /dns/node.example/tcp/7420, /ip4/192.0.2.1/tcp/7420, /dnsaddr/node.example or, over QUIC, /dns/node.example/udp/7420/quic-v1"
    )]
    Address(String),
    /// Too many.
    #[error("more than {MAX_ADDRESSES} addresses; name the best ones")]
    Addresses,
    /// It would be listed for nothing.
    #[error(
        "every listed peer has the role sync: name it, too; leave a peer that must not sync off the whitelist"
    )]
    NoSync,
    /// It is listed.
    #[error("{0} is on the whitelist; `city-node whitelist remove` takes it off")]
    IsListed(String),
    /// It does not ask.
    #[error(
        "{0} has not asked to be listed and nobody recommends it; see `city-node peer pending`, or use `city-node whitelist add`"
    )]
    NotPending(String),
    /// Too many are not heard.
    #[error(
        "{MAX_IGNORED} peers are ignored, the most that can be; approve one, or turn network.accept_whitelist_requests off"
    )]
    IgnoredFull,
    /// This node does not recommend it.
    #[error("{0} is not recommended by this node; see `city-node peer recommendations`")]
    NotRecommended(String),
    /// This node recommends it already, for as long.
    #[error(
        "{0} is recommended already, until about that time or later; see `city-node peer recommendations`"
    )]
    Recommended(String),
    /// Too many.
    #[error("this node recommends {MAX_OWN} peers, the most it may: revoke some first")]
    OwnFull,
    /// Too long or too short.
    #[error("a recommendation holds 1 to 2160 hours (90 days)")]
    RecommendHours,
    /// Too few recommend it.
    #[error(
        "{peer} is recommended by {have}, and network.recommendations_needed is {needed}; list it with `city-node whitelist add` if you know it yourself"
    )]
    TooFew {
        /// Who.
        peer: String,
        /// How many recommend it.
        have: usize,
        /// How many have to.
        needed: u64,
    },
    /// The key file.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// Another node's list.
    #[error("the list is not taken: {}", super::list::why(.0))]
    List(Refusal),
    /// A list of somebody whom nobody listed here.
    #[error(
        "the list is signed by {0}, which is not on this node's whitelist: list it first, if you know it"
    )]
    ListOfAStranger(String),
    /// It does not name the peer.
    #[error("{0} does not stand on the list; nothing was added")]
    NotOnList(String),
    /// A rotation that is not good.
    #[error("the rotation is not followed: {}", super::rotation::why(.0))]
    Rotation(#[from] RotationRefusal),
    /// It would say again what ended.
    #[error(
        "the permission of {0} has ended, and a rotation revives none; list the new peer id with `city-node whitelist add`, if it is to connect"
    )]
    NotInForce(String),
    /// It leads to somebody who was taken off.
    #[error(
        "{0} was taken off this node's whitelist, is ignored, or had its key replaced, and a rotation brings nobody back; use `city-node \
         whitelist add` if it is to connect"
    )]
    NotBroughtBack(String),
    /// Nothing to compare the new certificate with.
    #[error(
        "of which municipality {0} is nobody said here, so its successor cannot be compared; give its old node certificate first \
         (city-node whitelist add-key)"
    )]
    NoMunicipality(String),
    /// Two successors.
    #[error(
        "{old} has two successors: {first} was followed, and this rotation names {second}; nothing was changed. Ask its operator which \
         of them is theirs: whoever made the other one has their key and a certificate of their CA"
    )]
    Contested {
        /// Whose key ended.
        old: String,
        /// Who was followed.
        first: String,
        /// Who claims it, too.
        second: String,
    },
    /// One peer has more recorded than a day takes.
    #[error("too much was recorded of this peer today")]
    TooMuchSaid,
    /// The trust log.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Which messages of peers were taken.
    #[error("which messages of peers were taken cannot be noted; look at the disk")]
    Seen(#[from] KeyFileError),
}
