//! The JSON of the admin socket's answers, shared with the client library. Moments are milliseconds since the
//! Unix epoch, amounts text; every object has `schema`.

use std::collections::BTreeMap;

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{OwnEntry, PrivateField};
use city_protocol::crypto::Algorithm;
use city_protocol::genesis::Purpose;
use city_protocol::ids::{AccountId, BlockId, Digest, KeyId, LogId, NetworkId};
use city_protocol::place::{Figures, Grade, PlacePolicy, Point, Reason, SeenSatellite};
use serde::{Deserialize, Serialize};

use crate::trust::pages::ReaderShown;

pub use crate::api::wire::{ClockPage, TerminalPage, TransferPage};
pub use crate::place::antenna::Said;
pub use crate::place::outline::Outline;
pub use crate::terminal::Draft;

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// 1.
    pub schema: u64,
    /// Version of the software.
    pub version: String,
    /// Network.
    pub network: NetworkId,
    /// Its name.
    pub network_name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The municipality.
    pub region: String,
    /// Its name, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_name: Option<String>,
    /// Own log.
    pub log: LogId,
    /// The charter in force.
    #[serde(default)]
    pub charter: CharterInForce,
    /// The node's peer id.
    pub peer_id: String,
    /// Clock.
    pub clock: ClockPage,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Whether the node sequences.
    pub sequencing: bool,
    /// Why not, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_sequencing_because: Option<Because>,
    /// Whether the own log is known to be whole: `confirmed`, `waiting` for a first peer, `unconfirmed`, or `rolled-back`.
    #[serde(default)]
    pub standing: String,
    /// How much each account may send in a day, where that is limited because nobody confirmed the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed_limit: Option<Amount>,
    /// What the TPM's counter showed at the start, if one is configured and agrees: the data directory is no old copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_by_counter: Option<u64>,
    /// Heads of all logs, in order of their ids.
    pub frontier: Vec<Head>,
    /// What peers compare.
    pub frontier_hash: Digest,
    /// Ranges asked for, vertices that wait, acceptances not settled yet.
    pub in_flight: u64,
    /// Connected peers.
    pub peers: Vec<Peer>,
    /// Callers that were not on the whitelist, since the start.
    pub denied_strangers: u64,
    /// Vertices of peers that were verified in vain since the start: whoever sends one is cut off.
    #[serde(default)]
    pub wasted_verifications: u64,
    /// Calls that were refused for their address: too many handshakes from there were under way, or led to nothing, or as many were
    /// connected from there as may be.
    pub refused_sources: u64,
    /// Strangers that ask to be whitelisted and wait for an operator.
    #[serde(default)]
    pub whitelist_requests: u64,
    /// Peers that `config.toml` names although another peer id followed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outdated_peers: Vec<OutdatedPeer>,
    /// The receiver.
    pub receiver: Receiver,
    /// What place checking says.
    pub place: Place,
    /// The store.
    pub store: StorePage,
    /// Logs that stopped counting.
    pub faults: Vec<Fault>,
    /// Certificates, roots and lists of revoked certificates.
    #[serde(default)]
    pub certificates: Certificates,
    /// At a terminal: where its home is, and whether it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalPage>,
    /// At a terminal: how many transfers it keeps that could not be delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drafts: Option<u64>,
}

/// A peer that the configuration names by a peer id that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutdatedPeer {
    /// What the configuration names.
    pub old: String,
    /// What it has to name.
    pub new: String,
}

/// `POST /v1/keys/probe`: keys that were tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbePage {
    /// 1.
    pub schema: u64,
    /// The own keys, then the connected peers.
    pub lines: Vec<ProbeLine>,
}

/// One key, or one peer's certificate and keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeLine {
    /// `own`, or a peer id.
    pub whose: String,
    /// What was tried.
    pub what: String,
    /// Whether it held.
    pub ok: bool,
    /// What it is, or why it did not hold.
    pub found: String,
}

/// `GET /v1/outbox`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxPage {
    /// 1.
    pub schema: u64,
    /// The home that they are for.
    pub home: TerminalPage,
    /// What is kept, by account and number.
    pub drafts: Vec<Draft>,
}

/// `POST /v1/outbox/{identity}/drop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedPage {
    /// 1.
    pub schema: u64,
    /// What was dropped.
    pub identity: Digest,
}

/// The charter in force: who decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharterInForce {
    /// Its number; the first is 1.
    pub number: u64,
    /// H(body); absent where the node does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charter: Option<Digest>,
    /// How many officers must sign.
    pub k: u64,
    /// How many there are.
    pub n: u64,
}

/// Certificates, roots and lists of revoked certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// How often they were exchanged since the start.
    pub exchanges: u64,
    /// What ends soon, has ended, is missing or could not be read, in words.
    pub warnings: Vec<String>,
    /// Lists of revoked certificates that this node judges by: its own, and those that logs carry.
    #[serde(default)]
    pub lists: u64,
    /// What the own log said last of its CAs; absent where it said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<TrustSaid>,
}

/// A `trust` entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustSaid {
    /// Where it stands.
    pub at: OwnEntry,
    /// When it was said.
    pub time: Timestamp,
    /// Its lists.
    pub lists: Vec<ListSaid>,
    /// How many CAs' certificates it carries.
    pub certificates: u64,
}

/// A list of revoked certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListSaid {
    /// Whose.
    pub issuer: String,
    /// Its number in hex, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// When it was issued.
    pub this_update: Timestamp,
    /// By when the next one comes.
    pub next_update: Timestamp,
    /// How many certificates it names.
    pub revoked: u64,
}

/// Why the node does not sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// Stable code: `damaged`, `lost`, `gone`, `rolled-back`, `counter`, `frozen`, `clock`, `disk-full`, `failed`.
    pub code: String,
    /// What to do.
    pub remedy: String,
}

/// A log's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Log.
    pub log: LogId,
    /// Its municipality, if its charter is at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the municipality, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Epoch.
    pub epoch: u64,
    /// Position.
    pub seq: u64,
    /// First 16 bytes of the head's digest, hexadecimal, as peers compare it.
    pub head: String,
    /// The head itself; for a forked log the last vertex that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vertex: Option<BlockId>,
    /// How many other municipalities witness the head: 0 is `sequenced`.
    #[serde(default)]
    pub witnesses: u64,
    /// Whether it is forked.
    pub forked: bool,
    /// The position up to which it was taken on trust: stubs of somebody else's writing stand for bodies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_up_to: Option<u64>,
    /// What this municipality owes because its people did not have what was adopted; nothing where nothing is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<Amount>,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Peer id.
    pub peer_id: String,
    /// Its municipality, once its hello was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the municipality, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address.
    pub address: String,
    /// What carries the connection: `tcp` or `quic`.
    #[serde(default)]
    pub transport: String,
    /// Since when.
    pub since: Timestamp,
    /// What it calls its program; known a moment after connecting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// Whether it may only read, because others recommend it.
    #[serde(default)]
    pub reads_only: bool,
    /// Who those are, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<ReaderShown>,
    /// Whether this node may only read there, as the peer says.
    #[serde(default)]
    pub only_read_at: bool,
}

impl Peer {
    /// Who of the two only reads, for people.
    pub(crate) const fn reading(&self) -> &'static str {
        match (self.reads_only, self.only_read_at) {
            (true, _) => "  only reads",
            (_, true) => "  this node only reads there",
            _ => "",
        }
    }
}

/// The receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// The device, if one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Whether it is open.
    pub connected: bool,
    /// The device that `auto` found, if it is another than the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What the line carries: NMEA, UBX, or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Speed of a serial line, bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baud: Option<u32>,
    /// What the receiver, its plug or gpsd says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Fixes since the start.
    pub fixes: u64,
    /// Bytes that belonged to no sentence or message.
    pub noise_bytes: u64,
    /// Sentences and messages with a wrong checksum.
    pub bad_checksums: u64,
    /// Why it is not open, or not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How it finds its antenna: `ok`, `short` or `open`, if it supervises it and says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub antenna: Option<String>,
    /// What it said in words since it was connected, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Said>,
}

impl Receiver {
    /// What is wrong with its antenna, and what helps, if it says so.
    #[must_use]
    pub fn antenna_fault(&self) -> Option<&'static str> {
        match self.antenna.as_deref()? {
            "short" => Some("SHORT CIRCUIT in the antenna's line: look at its cable and plugs"),
            "open" => Some("NO ANTENNA, or one that draws no current: look at its cable and plugs"),
            _ => None,
        }
    }
}

/// What place checking says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Strength of the evidence.
    pub grade: Grade,
    /// Code of the municipality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub municipality: Option<String>,
    /// Its name, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Latitude, decimal degrees, not rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<f64>,
    /// Longitude, decimal degrees, not rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon: Option<f64>,
    /// Satellites used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub satellites_used: Option<u8>,
    /// Why the grade is not higher, as codes.
    pub reasons: Vec<String>,
    /// Whether transfers are taken here with this evidence.
    pub satisfies_policy: bool,
}

/// `GET /v1/place`, as those read it who show it: what place checking says, with its figures.
#[derive(Clone, Debug, Deserialize)]
pub struct PlaceShown {
    /// In short.
    pub summary: Place,
    /// In full.
    pub verdict: VerdictShown,
    /// The receiver.
    pub receiver: Receiver,
    /// The satellites of the newest epoch that lists any.
    pub satellites: Vec<SeenSatellite>,
    /// The policy by which it is judged.
    #[serde(default)]
    pub policy: PlacePolicy,
}

/// `GET /v1/place/outline`: the home's outline, for the eye.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlinePage {
    /// Version of this form.
    pub schema: u64,
    /// The outline; nothing without a boundary index that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outline: Option<Outline>,
}

/// What of a verdict is shown.
#[derive(Clone, Debug, Deserialize)]
pub struct VerdictShown {
    /// Strength of the evidence.
    pub grade: Grade,
    /// Why it is not stronger.
    pub reasons: Vec<Reason>,
    /// The position, not rounded.
    pub point: Option<Point>,
    /// The receiver's time of the position.
    pub fix_time: Option<Timestamp>,
    /// Satellites used.
    pub satellites_used: Option<u8>,
    /// Horizontal dilution of precision, hundredths.
    pub hdop_centi: Option<u16>,
    /// The measured figures.
    pub figures: Figures,
}

/// `POST /v1/place/clear-spoofing`: what was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearedPage {
    /// Version of this form.
    pub schema: u64,
    /// Since when spoofing had been indicated; nothing, if it had not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indicated_since: Option<Timestamp>,
}

/// The store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorePage {
    /// Blocks that are indexed.
    pub blocks: u64,
    /// The segment that is being written.
    pub segment: u32,
    /// Bytes in it.
    pub segment_bytes: u64,
    /// Whether writing failed: the node restarts and recovers.
    pub failed: bool,
}

/// A log that stopped counting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Log.
    pub log: LogId,
    /// Its municipality, if its charter is at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// `equivocation`, `invalid` or `unsupported`.
    pub reason: String,
    /// The last position that counts.
    pub cut: u64,
}

/// `GET /v1/balances`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balances {
    /// 1.
    pub schema: u64,
    /// What is available to each account of every log here, as text such as `876.55`.
    pub balances: BTreeMap<AccountId, String>,
    /// Whether there are more accounts than are listed.
    pub truncated: bool,
}

/// An account of this home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountShown {
    /// The account.
    pub account: AccountId,
    /// What it may send.
    pub available: Amount,
    /// Sent and not yet settled.
    pub open_out: Amount,
    /// Its key: the active one, or the one that was closed last.
    pub key: KeyId,
    /// The key's algorithm, if the entry that names it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<Algorithm>,
    /// Since when it has that key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_since: Option<Timestamp>,
    /// Whether the key is closed.
    pub revoked: bool,
    /// The number of its next entry.
    pub next_sequence: u64,
}

/// `GET /v1/accounts?after=…&limit=…`: the accounts of this home, in order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountsPage {
    /// 1.
    pub schema: u64,
    /// This home's log.
    pub log: LogId,
    /// Some of them.
    pub accounts: Vec<AccountShown>,
    /// If there may be more: `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<AccountId>,
}

/// `GET /v1/audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// 1.
    pub schema: u64,
    /// Whether all sums hold.
    pub conserved: bool,
    /// Whether the journal rebuilt from the log is the one shown.
    pub journal_matches: bool,
    /// Postings compared.
    pub postings: u64,
    /// Σ grants.
    pub granted: String,
    /// Σ of what officers took back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<String>,
    /// Σ of what senders of adopted transfers did not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<String>,
    /// Σ available.
    pub available_sum: String,
    /// Sent and not yet accepted, as far as the logs here say.
    pub in_transit: String,
    /// What is available to each account.
    pub available: BTreeMap<AccountId, String>,
}

/// `GET /v1/verify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyPage {
    /// 1.
    pub schema: u64,
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Blocks whose hash was checked.
    pub blocks: u64,
    /// Vertices whose signature, body and links were checked.
    pub vertices: u64,
    /// Of them those whose body was pruned: the hashes of their entries were checked.
    #[serde(default)]
    pub pruned: u64,
    /// Headers whose body is not here: their signatures were checked.
    #[serde(default)]
    pub headers: u64,
    /// Of the vertices those at a position at which another one of their log stands, too.
    #[serde(default)]
    pub forked: u64,
    /// Logs that were taken on trust, and up to which position: of pruned bodies up to there nobody here saw what people
    /// signed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trusted: BTreeMap<LogId, u64>,
    /// Entries in them.
    pub entries: u64,
    /// Signatures of people and officers that were checked.
    pub signatures: u64,
    /// What is wrong; at most 100.
    pub problems: Vec<String>,
}

/// A private field as the signed body has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedField {
    /// The field.
    pub field: PrivateField,
    /// SHA-256(salt ‖ value).
    pub digest: Digest,
}

/// `GET /v1/transfers/{identity}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferShown {
    /// 1.
    pub schema: u64,
    /// How far it has come; without its receipt.
    pub transfer: TransferPage,
    /// Region of the sender's home, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_region: Option<String>,
    /// Region of the receiver's home, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver_region: Option<String>,
    /// Digest of its immutable fields.
    pub transaction_hash: Digest,
    /// Its private fields.
    pub signed: Vec<SignedField>,
    /// The exact JSON that was signed.
    pub body: String,
}

/// `POST /v1/private/{identity}/erase`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedPage {
    /// 1.
    pub schema: u64,
    /// Identity of the transfer.
    pub transfer: Digest,
    /// Whether there were values: false if they were erased before, or never here.
    pub erased: bool,
}
