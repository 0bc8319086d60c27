//! Every reason for which this crate says no, with its stable code.
//!
//! A refusal is an answer, not a fault: it is counted and told to whoever asked. The codes are part of
//! the interface (API, receipts, docs/formats.md) and never change their meaning.

/// Why something was refused. [`Refusal::code`] is stable; the text is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    // Bytes and forms.
    /// Not an id, or not in its one spelling.
    #[error("not a well-formed id")]
    BadId,
    /// Longer than the limit of its kind.
    #[error("longer than the limit of its kind")]
    TooLarge,
    /// Not deterministic DAG-CBOR of the expected shape.
    #[error("not deterministic DAG-CBOR of the expected shape")]
    BadCbor,
    /// Not JSON.
    #[error("not JSON")]
    BadJson,
    /// JSON, but not in canonical form (RFC 8785 restricted): order, spelling, duplicate keys, blanks.
    #[error("JSON is not in canonical form (RFC 8785 with this project's limits)")]
    NotCanonical,
    /// A field is missing, empty, unknown or of the wrong type.
    #[error("a field is missing, empty, unknown or of the wrong type")]
    BadField,
    /// Not an amount such as `123.45`, greater than zero.
    #[error("an amount is written like 123.45 and is greater than zero")]
    BadAmount,
    /// Not a region path.
    #[error("a region is Continent/Country/Prefecture/Municipality in codes")]
    BadRegion,
    /// A version this software does not know.
    #[error("a version this software does not know")]
    UnknownVersion,

    // Signatures, keys, certificates.
    /// An algorithm id this software does not know.
    #[error("unknown algorithm id")]
    UnknownAlgorithm,
    /// The suite is not one of this network's, or two algorithms are not of one suite.
    #[error("the algorithm or suite is not one that this network admits")]
    SuiteNotAdmitted,
    /// Past the date until which this home takes the algorithm. Never a verdict on history.
    #[error("this home no longer takes this algorithm; move to a key of another suite")]
    AlgorithmExpired,
    /// The named algorithm is not the key's.
    #[error("the algorithm is not the one this key was enrolled with")]
    WrongAlgorithm,
    /// A public key has the wrong length or form.
    #[error("a public key of the wrong length or form")]
    BadKey,
    /// A signature has the wrong length.
    #[error("a signature of the wrong length")]
    SignatureLength,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    BadSignature,
    /// Signed with a key that is not the account's.
    #[error("the key is not the account's active key")]
    WrongKey,
    /// An account of this home has or had this key already.
    #[error("an account has or had this key already; make a new one")]
    KeyUsed,
    /// The account's key is closed.
    #[error("the account's key was revoked; officers can give the account a new one")]
    KeyRevoked,
    /// An epoch's beginning names another head than the log's.
    #[error("the log's head is another than the cut that the officers signed; propose again")]
    EpochMismatch,
    /// A later charter rests on another than the one in force, or a header names another.
    #[error(
        "another charter is in force, or the region is not the log's; ask the home (`officers charter show`), and propose again"
    )]
    CharterMismatch,
    /// Too few, repeated or foreign officers.
    #[error("fewer than the needed officers signed, or one is not an officer")]
    OfficersShort,
    /// The certificate, its path or its binding was refused.
    #[error("the certificate was refused")]
    BadCertificate,

    // Network, home, account.
    /// Made for another network.
    #[error("made for another network")]
    WrongNetwork,
    /// Made for another home.
    #[error("made for another home")]
    WrongHome,
    /// No such account here.
    #[error("no such account at this home")]
    UnknownAccount,
    /// No such log here.
    #[error("no such log is known here")]
    UnknownLog,
    /// The account is already enrolled with another certificate or key.
    #[error("the account is already enrolled differently")]
    AccountExists,
    /// Sender and receiver are the same.
    #[error("sender and receiver are the same account")]
    SameAccount,
    /// The receiver's id does not belong to the receiver's home.
    #[error("the receiver does not belong to the receiver's home")]
    WrongReceiver,

    // Admission and state.
    /// Ahead of the account's next sequence number.
    #[error("the sequence number is ahead of the account's next")]
    SequenceGap,
    /// A sequence number that another body already used.
    #[error("another submission already used this sequence number")]
    SequenceUsed,
    /// A transfer id that another body of this account already used.
    #[error("another transfer of this account already used this transfer id")]
    TransferIdUsed,
    /// Past its last time.
    #[error("expired")]
    Expired,
    /// Dated in the future.
    #[error("dated more than five minutes in the future")]
    FutureDated,
    /// More than what is available.
    #[error("the amount is more than what is available")]
    Overdraft,
    /// A sum would not fit.
    #[error("a sum would leave the range of amounts")]
    OutOfRange,
    /// No such transfer, or not one that can be accepted here.
    #[error("no such transfer is known here, or it is somebody else's")]
    UnknownTransfer,
    /// The transfer has already been accepted.
    #[error("the transfer has already been accepted")]
    AlreadyAccepted,
    /// The transfer has already been rejected, refunded or accepted otherwise.
    #[error("the transfer has already been answered otherwise")]
    AlreadyAnswered,
    /// The receiver's standing order does not take this transfer.
    #[error("the receiver's standing order does not take this transfer")]
    OrderMismatch,
    /// What may be accepted from the sender's municipality is used up.
    #[error(
        "what may be accepted from the sender's municipality beyond what it took in return is used up; try again later"
    )]
    ClearingLimit,
    /// The time after which this may be given back has not passed, or not by what is cited.
    #[error(
        "the time after which this may be given back has not passed, or the cited vertex does not show it"
    )]
    NotExpired,
    /// The body does not match the transfer that it names.
    #[error("the body does not match the transfer it names")]
    TransferMismatch,
    /// A private value is not what stands behind the digest in the signed body.
    #[error("a private value is not the one whose digest was signed")]
    PrivateMismatch,
    /// The accept deadline has passed.
    #[error("the accept deadline of the transfer has passed")]
    DeadlinePassed,
    /// The log that this rests on is frozen by a fault.
    #[error("the log it rests on is frozen by a fault")]
    LogFrozen,

    // Place.
    /// The proof of place is not known here or no longer held.
    #[error("no such proof of place is held; ask for one again")]
    PlaceUnknown,
    /// The proof of place binds another account or transfer.
    #[error("the proof of place was made for another account or transfer")]
    PlaceMismatch,
    /// The evidence is weaker than the municipality's policy asks.
    #[error("the place evidence is weaker than the policy asks")]
    PlaceInsufficient,
    /// There is no position at all.
    #[error("there is no position")]
    NoPosition,

    // Node.
    /// The clock cannot be trusted: nothing is sequenced.
    #[error("the node's clock cannot be trusted yet, so nothing is sequenced")]
    ClockUnknown,
    /// No room on the disk: nothing was stored.
    #[error("the node's disk is full; nothing was stored")]
    StorageFull,
    /// Too much is waiting.
    #[error("the node is busy; try again")]
    Busy,
    /// This node does not sequence (its own log is frozen or damaged, or it is stopping).
    #[error("this node does not sequence at the moment")]
    NotSequencing,
    /// It was booked, and this node does not have the body any more.
    #[error(
        "it was booked long ago, and this node pruned its body: the receipt can be made from the archive that was written then"
    )]
    BodyPruned,
    /// The home cannot confirm that its log is whole, and the amount is more than it takes meanwhile, or it waits
    /// for a peer and takes nothing yet.
    #[error(
        "the home cannot confirm yet that its log is whole: for some seconds after its start it takes nothing, and then small amounts only; try again when it has heard its peers"
    )]
    Unconfirmed,

    // Vertices.
    /// The header contradicts itself, its body or its predecessor.
    #[error("the header contradicts its body or its predecessor")]
    BadVertex,
    /// An entry stands where its kind may not stand.
    #[error("an entry stands where its kind may not stand, or rests on nothing")]
    BadEntry,
    /// A cite does not prove what it claims.
    #[error("a cite does not prove what it claims")]
    BadCite,
    /// What the home booked is not what the rules give.
    #[error("what the home booked is not what the rules give")]
    BadBooking,
    /// The receipt does not prove its entry.
    #[error("the receipt does not prove its entry")]
    BadReceipt,
    /// A checkpoint does not give the state of its log.
    #[error("the checkpoint is not the state of its log")]
    BadCheckpoint,
    /// A note stands under another municipality's name.
    #[error(
        "a key with a `/` begins with the region path of the municipality that writes it, such as Asia/JP/17/17201/hours"
    )]
    NoteKey,
    /// A log has no room for more notes.
    #[error(
        "the home's log holds as many notes as it may; write over one that stands there, or delete long ones"
    )]
    NotesFull,
}

impl Refusal {
    /// All of them, for whoever lists them.
    pub const ALL: &'static [Self] = &[
        Self::BadId,
        Self::TooLarge,
        Self::BadCbor,
        Self::BadJson,
        Self::NotCanonical,
        Self::BadField,
        Self::BadAmount,
        Self::BadRegion,
        Self::UnknownVersion,
        Self::UnknownAlgorithm,
        Self::SuiteNotAdmitted,
        Self::AlgorithmExpired,
        Self::WrongAlgorithm,
        Self::BadKey,
        Self::SignatureLength,
        Self::BadSignature,
        Self::WrongKey,
        Self::KeyUsed,
        Self::KeyRevoked,
        Self::EpochMismatch,
        Self::CharterMismatch,
        Self::OfficersShort,
        Self::BadCertificate,
        Self::WrongNetwork,
        Self::WrongHome,
        Self::UnknownAccount,
        Self::UnknownLog,
        Self::AccountExists,
        Self::SameAccount,
        Self::WrongReceiver,
        Self::SequenceGap,
        Self::SequenceUsed,
        Self::TransferIdUsed,
        Self::Expired,
        Self::FutureDated,
        Self::Overdraft,
        Self::OutOfRange,
        Self::UnknownTransfer,
        Self::AlreadyAccepted,
        Self::AlreadyAnswered,
        Self::OrderMismatch,
        Self::ClearingLimit,
        Self::NotExpired,
        Self::TransferMismatch,
        Self::PrivateMismatch,
        Self::DeadlinePassed,
        Self::LogFrozen,
        Self::PlaceUnknown,
        Self::PlaceMismatch,
        Self::PlaceInsufficient,
        Self::NoPosition,
        Self::ClockUnknown,
        Self::StorageFull,
        Self::Busy,
        Self::NotSequencing,
        Self::BodyPruned,
        Self::Unconfirmed,
        Self::BadVertex,
        Self::BadEntry,
        Self::BadCite,
        Self::BadBooking,
        Self::BadReceipt,
        Self::BadCheckpoint,
        Self::NoteKey,
        Self::NotesFull,
    ];

    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadId => "bad-id",
            Self::TooLarge => "too-large",
            Self::BadCbor => "bad-cbor",
            Self::BadJson => "bad-json",
            Self::NotCanonical => "not-canonical",
            Self::BadField => "bad-field",
            Self::BadAmount => "bad-amount",
            Self::BadRegion => "bad-region",
            Self::UnknownVersion => "unknown-version",
            Self::UnknownAlgorithm => "unknown-algorithm",
            Self::SuiteNotAdmitted => "suite-not-admitted",
            Self::AlgorithmExpired => "algorithm-expired",
            Self::WrongAlgorithm => "wrong-algorithm",
            Self::BadKey => "bad-key",
            Self::SignatureLength => "signature-length",
            Self::BadSignature => "bad-signature",
            Self::WrongKey => "wrong-key",
            Self::KeyUsed => "key-used",
            Self::KeyRevoked => "key-revoked",
            Self::EpochMismatch => "epoch-mismatch",
            Self::CharterMismatch => "charter-mismatch",
            Self::OfficersShort => "officers-short",
            Self::BadCertificate => "bad-certificate",
            Self::WrongNetwork => "wrong-network",
            Self::WrongHome => "wrong-home",
            Self::UnknownAccount => "unknown-account",
            Self::UnknownLog => "unknown-log",
            Self::AccountExists => "account-exists",
            Self::SameAccount => "same-account",
            Self::WrongReceiver => "wrong-receiver",
            Self::SequenceGap => "sequence-gap",
            Self::SequenceUsed => "sequence-used",
            Self::TransferIdUsed => "transfer-id-used",
            Self::Expired => "expired",
            Self::FutureDated => "future-dated",
            Self::Overdraft => "overdraft",
            Self::OutOfRange => "out-of-range",
            Self::UnknownTransfer => "unknown-transfer",
            Self::AlreadyAccepted => "already-accepted",
            Self::AlreadyAnswered => "already-answered",
            Self::OrderMismatch => "order-mismatch",
            Self::ClearingLimit => "clearing-limit",
            Self::NotExpired => "not-expired",
            Self::TransferMismatch => "transfer-mismatch",
            Self::PrivateMismatch => "private-mismatch",
            Self::DeadlinePassed => "deadline-passed",
            Self::LogFrozen => "log-frozen",
            Self::PlaceUnknown => "place-unknown",
            Self::PlaceMismatch => "place-mismatch",
            Self::PlaceInsufficient => "place-insufficient",
            Self::NoPosition => "no-position",
            Self::ClockUnknown => "clock-unknown",
            Self::StorageFull => "storage-full",
            Self::Busy => "busy",
            Self::NotSequencing => "not-sequencing",
            Self::BodyPruned => "body-pruned",
            Self::Unconfirmed => "unconfirmed",
            Self::BadVertex => "bad-vertex",
            Self::BadEntry => "bad-entry",
            Self::BadCite => "bad-cite",
            Self::BadBooking => "bad-booking",
            Self::BadReceipt => "bad-receipt",
            Self::BadCheckpoint => "bad-checkpoint",
            Self::NoteKey => "note-key",
            Self::NotesFull => "notes-full",
        }
    }
}
