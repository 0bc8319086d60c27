//! The messages of `/city-node/sync/1` and `/city-node/live/1`: deterministic DAG-CBOR, one a frame.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::body::{MAX_PRIVATE_VALUES, PrivateBytes};
use crate::codec;
use crate::ids::{BlockId, Digest, LogId, NetworkId};
use crate::ledger::{Frozen, LogRow};
use crate::refusal::Refusal;
use crate::trust::{SignedData, SignedRotation};

/// Version of what is said: 2 since a frontier is shown by one side only, 3 since a log may be followed by its headers. Who
/// speaks another is told so, and not banned.
pub const PROTOCOL_VERSION: u64 = 3;
/// Longest message in bytes: a body block, its header and the map around them.
pub const MAX_MESSAGE: usize = crate::vertex::MAX_BODY + crate::vertex::MAX_HEADER + 1024;
/// Most entries of a frontier: every municipality of a large country, with room for forks.
pub(crate) const MAX_FRONTIER: usize = 4096;

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
    /// Logs that this node follows whole; empty means all. Of others it wants headers.
    pub follows: Vec<LogId>,
    /// Whether the peer that is greeted may only read here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_only: bool,
}

/// One log's head; an array of its five fields in a message, for there may be thousands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "(LogId, u64, u64, ByteBuf, bool)",
    into = "(LogId, u64, u64, ByteBuf, bool)"
)]
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

impl From<(LogId, u64, u64, ByteBuf, bool)> for FrontierEntry {
    fn from((log, epoch, seq, head, forked): (LogId, u64, u64, ByteBuf, bool)) -> Self {
        Self {
            log,
            epoch,
            seq,
            head,
            forked,
        }
    }
}

impl From<FrontierEntry> for (LogId, u64, u64, ByteBuf, bool) {
    fn from(entry: FrontierEntry) -> Self {
        (entry.log, entry.epoch, entry.seq, entry.head, entry.forked)
    }
}

/// The 32 bytes that two nodes compare: SHA-256 over the frontier's DAG-CBOR, in order of log ids.
#[must_use]
pub fn frontier_hash(entries: &[FrontierEntry]) -> Digest {
    Digest::of(&[&codec::encode(&entries)])
}

/// A frontier in short: what two nodes compare first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beacon {
    /// [`frontier_hash`]: the same where both have the same of every log.
    pub hash: Digest,
    /// The sum of all positions, modulo 2^64: a hint which of two has more, and so is to show its frontier.
    pub sum: u64,
}

impl Beacon {
    /// That of a frontier.
    #[must_use]
    pub fn of(entries: &[FrontierEntry]) -> Self {
        let sum = |sum: u64, entry: &FrontierEntry| sum.wrapping_add(entry.seq);
        Self {
            hash: frontier_hash(entries),
            sum: entries.iter().fold(0, sum),
        }
    }
}

/// The first 16 bytes of a log's id: enough to ask somebody for it who named it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ByteBuf", into = "ByteBuf")]
pub struct LogPrefix([u8; 16]);

impl LogPrefix {
    /// The lowest and the highest log id that begin so.
    #[must_use]
    pub fn bounds(&self) -> (LogId, LogId) {
        let (mut low, mut high) = ([0; 32], [u8::MAX; 32]);
        low[..16].copy_from_slice(&self.0);
        high[..16].copy_from_slice(&self.0);
        (LogId(low), LogId(high))
    }
}

impl From<&LogId> for LogPrefix {
    fn from(log: &LogId) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&log.0[..16]);
        Self(first)
    }
}

impl TryFrom<ByteBuf> for LogPrefix {
    type Error = &'static str;

    fn try_from(bytes: ByteBuf) -> Result<Self, Self::Error> {
        let first = bytes.as_slice().try_into();
        first.map(Self).map_err(|_| "a log is named by 16 bytes")
    }
}

impl From<LogPrefix> for ByteBuf {
    fn from(prefix: LogPrefix) -> Self {
        Self::from(prefix.0)
    }
}

/// Asks for vertices `from..=to` of a log; an array of its four fields in a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "(LogPrefix, u64, u64, u64)",
    into = "(LogPrefix, u64, u64, u64)"
)]
pub struct Want {
    /// Log.
    pub log: LogPrefix,
    /// Epoch.
    pub epoch: u64,
    /// First position.
    pub from: u64,
    /// Last position.
    pub to: u64,
}

impl From<(LogPrefix, u64, u64, u64)> for Want {
    fn from((log, epoch, from, to): (LogPrefix, u64, u64, u64)) -> Self {
        Self {
            log,
            epoch,
            from,
            to,
        }
    }
}

impl From<Want> for (LogPrefix, u64, u64, u64) {
    fn from(want: Want) -> Self {
        (want.log, want.epoch, want.from, want.to)
    }
}

/// A message between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Message {
    /// Who I am.
    Hello(Box<Hello>),
    /// My frontier in short. Who has more answers another one with its frontier, who has less with its own.
    Beacon(Beacon),
    /// My frontier.
    Frontier(Vec<FrontierEntry>),
    /// The answer to a frontier: the heads of mine that are no plain step behind it, and in any case that of the log of
    /// whoever asked.
    Difference(Vec<FrontierEntry>),
    /// New heads.
    Announce(Vec<FrontierEntry>),
    /// Send me these ranges, at most one a log.
    Want(Vec<Want>),
    /// Send me the headers of these ranges, at most one a log; whole the vertices that begin a log or an epoch of it, or bring a
    /// charter.
    WantHeaders(Vec<Want>),
    /// Send me single vertices by id.
    Fetch(Vec<BlockId>),
    /// A vertex: header block and body block.
    Vertex(ByteBuf, ByteBuf),
    /// A vertex's header block alone: more of it was not asked for, or is not here.
    Header(ByteBuf),
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
            Self::Frontier(entries) | Self::Difference(entries) | Self::Announce(entries)
                if entries.len() > MAX_FRONTIER =>
            {
                Err(Refusal::TooLarge)
            }
            Self::Want(wants) | Self::WantHeaders(wants) if wants.len() > MAX_FRONTIER => {
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
            Message::Beacon(Beacon::of(std::slice::from_ref(&entry))),
            Message::Frontier(vec![entry.clone()]),
            Message::Difference(vec![entry.clone()]),
            Message::Announce(vec![entry]),
            Message::Want(vec![Want {
                log: LogPrefix::from(&log),
                epoch: 1,
                from: 1,
                to: 2,
            }]),
            Message::WantHeaders(vec![Want {
                log: LogPrefix::from(&log),
                epoch: 1,
                from: 2,
                to: 9,
            }]),
            Message::Fetch(vec![BlockId::of(b"x")]),
            Message::Header(ByteBuf::from([1])),
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
        // A log that is named by 15 bytes or 17, a range of three fields or five.
        for lie in [
            [b"\xa1dwant\x81\x84\x4f".as_slice(), &[1; 15], &[1, 1, 2]].concat(),
            [b"\xa1dwant\x81\x84\x51".as_slice(), &[1; 17], &[1, 1, 2]].concat(),
            [b"\xa1dwant\x81\x83\x50".as_slice(), &[1; 16], &[1, 1]].concat(),
            [b"\xa1dwant\x81\x85\x50".as_slice(), &[1; 16], &[1, 1, 2, 3]].concat(),
        ] {
            assert_eq!(Message::decode(&lie), Err(Refusal::BadCbor), "{lie:02x?}");
        }
        let most = b"\xa1dwant\x81\x84\x50".as_slice();
        let good = [most, &[1; 16], &[1, 1, 2]].concat();
        assert!(matches!(Message::decode(&good), Ok(Message::Want(_))));
    }
}
