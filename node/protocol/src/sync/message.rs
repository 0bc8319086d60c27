//! The messages of `/city-node/sync/1` and `/city-node/live/1`: deterministic DAG-CBOR, one a frame.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::body::{MAX_PRIVATE_VALUES, PrivateBytes};
use crate::codec;
use crate::ids::{BlockId, Digest, LogId, NetworkId};
use crate::ledger::{Frozen, LogRow};
use crate::refusal::Refusal;
use crate::trust::{SignedData, SignedRotation};

/// Version of these protocols.
pub const PROTOCOL_VERSION: u64 = 1;
/// Longest message in bytes: a body block, its header and the map around them.
pub const MAX_MESSAGE: usize = crate::vertex::MAX_BODY + crate::vertex::MAX_HEADER + 1024;
/// Most entries of a frontier: every municipality of a large country, with room for forks.
const MAX_FRONTIER: usize = 4096;

/// Longest frame of a recommendation in bytes: what is said, at most 1 KiB, and what is around it. They wait for the disk.
const MAX_RECOMMEND: usize = 2048;
/// Longest frame of a request for certificates: 64 peer ids, and what is around them.
const MAX_KEY_REQUEST: usize = 4096;
/// Longest frame that carries a certificate: the longest signed message, and what is around it.
const MAX_CERTIFICATE: usize = crate::trust::MAX_SIGNED_DATA + 1024;
/// Longest frame of a rotation, which carries one, too.
const MAX_ROTATION: usize = crate::trust::MAX_ROTATION + 1024;

/// The first message on a connection, both ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Version.
    pub v: u64,
    /// Network.
    pub network: NetworkId,
    /// Software name and version, for `peers`.
    pub software: String,
    /// The announcement of the node certificate, signed by the transport key.
    pub announcement: SignedData,
    /// Logs that this node follows; empty means all.
    pub follows: Vec<LogId>,
}

/// One log's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontierEntry {
    /// Log.
    pub log: LogId,
    /// Epoch.
    pub epoch: u64,
    /// Position of the head; of the cut for a forked log.
    pub seq: u64,
    /// First 16 bytes of the head's digest; for a forked log of SHA-256(log ‖ epoch ‖ cut id).
    pub head: ByteBuf,
    /// Whether the log is forked: it stays at its cut.
    pub forked: bool,
}

impl FrontierEntry {
    /// The entry of a log as this node has it.
    #[must_use]
    pub fn of(log: &LogId, row: &LogRow) -> Self {
        let forked = matches!(row.frozen, Some(Frozen::Equivocation(_)));
        let head = if forked {
            Digest::of(&[&log.0, &row.epoch.to_be_bytes(), row.head.digest()]).0
        } else {
            *row.head.digest()
        };
        Self {
            log: *log,
            epoch: row.epoch,
            seq: row.seq,
            head: ByteBuf::from(&head[..16]),
            forked,
        }
    }
}

/// The 32 bytes that two nodes compare: SHA-256 over the frontier's DAG-CBOR, in order of log ids.
#[must_use]
pub fn frontier_hash(entries: &[FrontierEntry]) -> Digest {
    Digest::of(&[&codec::encode(&entries)])
}

/// Asks for vertices `from..=to` of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Want {
    /// Log.
    pub log: LogId,
    /// Epoch.
    pub epoch: u64,
    /// First position.
    pub from: u64,
    /// Last position.
    pub to: u64,
}

/// A message between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Message {
    /// Who I am.
    Hello(Box<Hello>),
    /// Hash of my frontier.
    Beacon(Digest),
    /// My frontier.
    Frontier(Vec<FrontierEntry>),
    /// New heads.
    Announce(Vec<FrontierEntry>),
    /// Send me a range.
    Want(Want),
    /// Send me single vertices by id.
    Fetch(Vec<BlockId>),
    /// A vertex: header block and body block.
    Vertex(ByteBuf, ByteBuf),
    /// I have stored this many bytes of what you sent: send so many more.
    Credit(u64),
    /// Two headers of one position: the log convicts itself.
    Proof(ByteBuf, ByteBuf),
    /// What stands behind the private fields of this transfer (identity, DAG-CBOR of
    /// [`PrivateValues`](crate::body::PrivateValues)): from the sender's home to the receiver's, and to nobody else.
    Private(Digest, PrivateBytes),
    /// I have stored what you sent for this transfer.
    PrivateStored(Digest),
    /// What I say of another peer: a signed [`TrustRecommendation`](crate::trust::TrustRecommendation).
    Recommend(Box<SignedData>),
    /// My node certificate, after it was renewed: a signed [`KeyAnnouncement`](crate::trust::KeyAnnouncement).
    KeyAnnouncement(Box<SignedData>),
    /// Send me these nodes' certificates: a signed [`KeyRequest`](crate::trust::KeyRequest).
    KeyRequest(Box<SignedData>),
    /// One of those that you asked for: a signed [`KeyResponse`](crate::trust::KeyResponse).
    KeyResponse(Box<SignedData>),
    /// A transport key follows another: mine, or that of a node whose rotation I followed.
    Rotation(Box<SignedRotation>),
}

impl Message {
    /// The frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`].
    pub fn decode(frame: &[u8]) -> Result<Self, Refusal> {
        let message = codec::decode(frame, MAX_MESSAGE)?;
        match &message {
            Self::Frontier(entries) | Self::Announce(entries) if entries.len() > MAX_FRONTIER => {
                Err(Refusal::TooLarge)
            }
            Self::Fetch(ids) if ids.len() > MAX_FRONTIER => Err(Refusal::TooLarge),
            Self::Recommend(_) if frame.len() > MAX_RECOMMEND => Err(Refusal::TooLarge),
            Self::KeyRequest(_) if frame.len() > MAX_KEY_REQUEST => Err(Refusal::TooLarge),
            Self::KeyAnnouncement(_) | Self::KeyResponse(_) if frame.len() > MAX_CERTIFICATE => {
                Err(Refusal::TooLarge)
            }
            Self::Rotation(_) if frame.len() > MAX_ROTATION => Err(Refusal::TooLarge),
            Self::Private(_, values) if values.expose().len() > MAX_PRIVATE_VALUES => {
                Err(Refusal::TooLarge)
            }
            Self::Hello(hello)
                if hello.follows.len() > MAX_FRONTIER || hello.software.len() > 64 =>
            {
                Err(Refusal::TooLarge)
            }
            _ => Ok(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_reads_back_and_nothing_else_does() {
        let log = LogId([1; 32]);
        let entry = FrontierEntry {
            log,
            epoch: 1,
            seq: 7,
            head: ByteBuf::from([2; 16]),
            forked: false,
        };
        let messages = [
            Message::Beacon(frontier_hash(std::slice::from_ref(&entry))),
            Message::Frontier(vec![entry.clone()]),
            Message::Announce(vec![entry]),
            Message::Want(Want {
                log,
                epoch: 1,
                from: 1,
                to: 2,
            }),
            Message::Fetch(vec![BlockId::of(b"x")]),
            Message::Vertex(ByteBuf::from([1]), ByteBuf::from([2])),
            Message::Credit(5),
            Message::Proof(ByteBuf::from([1]), ByteBuf::from([2])),
            Message::Private(Digest([3; 32]), vec![1].into()),
            Message::PrivateStored(Digest([3; 32])),
        ];
        for message in messages {
            let frame = message.encode();
            assert_eq!(Message::decode(&frame), Ok(message));
            let longer = [frame.as_slice(), &[0]].concat();
            assert_eq!(Message::decode(&longer), Err(Refusal::BadCbor));
        }
        let values = vec![0; MAX_PRIVATE_VALUES + 1];
        let frame = Message::Private(Digest([3; 32]), values.into()).encode();
        assert_eq!(Message::decode(&frame), Err(Refusal::TooLarge));
        // A list that claims 2^30 entries.
        let lie = b"\xa1hfrontier\x9a\x40\x00\x00\x00";
        assert_eq!(Message::decode(lie), Err(Refusal::BadCbor));
    }
}
