//! What the replica is told and what it asks for: inputs are nouns, actions are imperatives.

use std::sync::Arc;

use crate::amount::Timestamp;
use crate::body::{Note, OwnEntry, Trust};
use crate::ids::{AccountId, BlockId, Digest, LogId, TransferId};
use crate::ledger::{Changes, Frozen};
use crate::pki::Crls;
use crate::place::{self, PlaceProof, Subject};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::stage::{SignedBySeveral, Submission};
use crate::sync::{Channel, Message};
use crate::trust::{PeerId, SignedData};
use crate::vertex::{Receipt, SignedHeader, VerifiedVertex};

/// How good the node's clock is (DESIGN §6.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockQuality {
    /// Set from a receiver.
    Gnss,
    /// Synchronised over a network.
    Ntp,
    /// The system's clock, at or after the floor.
    Rtc,
    /// Not better than the build time or the last vertex: nothing is sequenced.
    Floor,
}

impl ClockQuality {
    /// Its name in status and `start` entries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gnss => "gnss",
            Self::Ntp => "ntp",
            Self::Rtc => "rtc",
            Self::Floor => "floor",
        }
    }
}

/// What time it is, and how well that is known.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The time.
    pub time: Timestamp,
    /// How good.
    pub quality: ClockQuality,
}

/// Names a question that somebody waits for.
pub type Ticket = u64;

/// What a client asks for when it wants its place proven.
#[derive(Clone, Debug)]
pub struct PlaceRequest {
    /// Whose place it is.
    pub subject: Subject,
    /// For which account.
    pub account: AccountId,
    /// For which transfer.
    pub transfer_id: TransferId,
    /// Fresh random bytes of the client.
    pub nonce: [u8; 16],
    /// What place checking says.
    pub verdict: Box<place::Verdict>,
    /// Salted digest of the raw sentences.
    pub raw: Option<Digest>,
}

/// What the replica is told.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is handled; queues box it"
)]
pub enum Input {
    /// The node started: the first input.
    Started,
    /// Somebody submits something that was verified.
    Submit(Ticket, Submission),
    /// The officers begin a new epoch of the own log.
    BeginEpoch(Ticket, SignedBySeveral),
    /// Somebody wants the own log to have a checkpoint of what it is now.
    Checkpoint(Ticket),
    /// Somebody wants a proof of place.
    Place(Ticket, PlaceRequest),
    /// A terminal of this municipality made a proof of place, and its signature is good: it is held as an own one is.
    HoldPlace(Ticket, Box<PlaceProof>),
    /// A peer sent a vertex, of so many bytes, that was verified.
    Vertex(PeerId, Box<VerifiedVertex>, u64),
    /// A peer sent a header, of so many bytes, without its body; its signature was verified.
    Header(PeerId, Box<SignedHeader>, u64),
    /// A peer sent something that proves nothing but its own fault, or what newer software writes; the bytes are
    /// those of a vertex, and 0 for any other message.
    Garbage(PeerId, Refusal, u64),
    /// A peer sent another message.
    Message(PeerId, Channel, Message),
    /// A whitelisted peer is connected; this announcement goes into our hello, and this is the region for
    /// which the whitelist names it.
    Connected(PeerId, Box<SignedData>, Option<Region>),
    /// A peer is connected that may only read, because whitelisted ones recommend it; otherwise the same. Its hello is judged
    /// alike, and it is served what it wants. Nothing of it is asked for or stored, nor does it confirm anything.
    Reader(PeerId, Box<SignedData>, Option<Region>),
    /// It is gone.
    Disconnected(PeerId),
    /// What is revoked now: for the certificates of nodes that say hello, never for the past.
    Lists(Arc<Crls>),
    /// The newest lists and CA certificates that this home's operator put there, verified: what its log is to say of
    /// them once that is news.
    Trust(Box<Trust>),
    /// The operator writes on the board.
    Note(Ticket, Box<Note>),
    /// Time passed.
    Tick,
    /// Close the open vertex and give out what is to be written.
    Seal,
    /// What [`Action::Append`] gave out is durable and indexed.
    Committed,
    /// It could not be written; nothing of it is stored.
    Aborted(Refusal),
    /// A vertex of the own store, while the index is rebuilt or caught up.
    Replay(Box<VerifiedVertex>),
    /// A header block of the own store that stands without its body: its log is followed by headers, or it is half of a proof
    /// that its log signed two vertices for one position. While the index is rebuilt or caught up, like [`Input::Replay`].
    Alone(Box<SignedHeader>),
    /// A header block of a file that stands without its body, and can be no more than half of such a proof: nobody verified it.
    Evidence(Box<SignedHeader>),
}

/// What the replica asks for.
#[derive(Debug)]
pub enum Action {
    /// Write these blocks and rows together, then say [`Input::Committed`] or [`Input::Aborted`].
    Append(Changes),
    /// Answer a question.
    Reply(Ticket, Result<Outcome, Refusal>),
    /// Send a message.
    Send(PeerId, Channel, Message),
    /// Close a peer's connection.
    Disconnect(PeerId, Refusal),
    /// A log stopped counting.
    Frozen(LogId, Frozen, Option<Refusal>),
    /// The data directory is older than the own log: note it durably, so that no later run signs before every peer
    /// was heard.
    RolledBack {
        /// Epoch and position up to which the log is here.
        here: (u64, u64),
        /// Those of the vertex that a peer has shown.
        shown: (u64, u64),
    },
}

/// A good answer.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is booked.
    Booked(Box<BookedEntry>),
    /// The proof of place, held for five minutes.
    Place(Box<PlaceProof>),
}

/// What a submitter gets: where its entry stands, and the receipt.
#[derive(Clone, Debug)]
pub struct BookedEntry {
    /// Identity of the submission.
    pub identity: Digest,
    /// Vertex.
    pub vertex: BlockId,
    /// Position.
    pub at: OwnEntry,
    /// The receipt.
    pub receipt: Receipt,
    /// Whether it had been booked before: the first receipt.
    pub repeated: bool,
}
