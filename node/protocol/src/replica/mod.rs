//! The heart: asked and answers. `Replica::handle(input, now, history) → actions`.
//!
//! `admit` books what people submit, `answers` what they and the home itself say to transfers (`clearing` is its policy),
//! `seal` signs the own log's vertices, `settlements` enters what follows from others' vertices, `expiry` looks for what
//! is overdue, `adoption` answers for what a cut took back, `epochs` begins the own log's and follows others', `amend` takes later charters, `checkpoints` takes
//! the own log's state and puts states back, `home` holds the own keys, `confirm` asks whether the own log is whole, `receipts` makes proofs. `follow` judges what peers
//! send, `headers` follows logs by their headers alone (`following` says which, `ends` up to where), `faults` freezes logs that convict themselves, `peers` speaks the sync protocol with `compare`, `ask`, `serve` and `step`, `pen` holds what
//! waits, `trust` enters what its CAs revoked, `notes` the operator's, `witness` says what rests on what, `places` the proofs of place that wait for their transfer. Nothing here waits, reads a clock
//! or writes: what is to be visible is given out only after [`Input::Committed`].

mod admit;
mod adoption;
mod amend;
mod answers;
mod ask;
mod asked;
mod checkpoints;
mod clearing;
mod compare;
mod confirm;
mod ends;
mod epochs;
mod expiry;
mod faults;
mod follow;
mod following;
mod headers;
mod home;
mod notes;
mod peers;
mod pen;
mod places;
mod receipts;
mod seal;
mod serve;
mod settlements;
mod step;
mod trust;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::amount::{Amount, Timestamp};
use crate::body::Start;
use crate::crypto::{PublicKey, Signer};
use crate::genesis::Genesis;
use crate::ids::{BlockId, Digest, KeyId, LogId, NetworkId};
use crate::ledger::{
    self, Changes, FoldContext, Frozen, HeadersRow, History, Layers, LogRow, Rows, Table, key,
    stored_authority,
};
use crate::pki::Crls;
use crate::place::PlacePolicy;
use crate::refusal::Refusal;
use crate::sync::{FrontierEntry, Session, frontier_hash};
use crate::trust::PeerId;
use crate::vertex::{Authority, KeySource, SignedHeader};

use adoption::Adoptions;
pub use answers::deadline_of;
use ask::InFlight;
pub use asked::{Action, BookedEntry, ClockQuality, Input, Now, Outcome, PlaceRequest, Ticket};
pub use clearing::{Clearing, MAX_CLEARING_LIMITS, REJECT_GRACE_MS};
pub use confirm::{Confirmation, Standing, UNCONFIRMED_WINDOW_MS};
use expiry::Sweep;
use following::Following;
pub use following::{Follow, FollowPolicy, MAX_FOLLOW_POLICIES};
use home::Home;
use pen::Pen;
use places::HeldPlaces;
use receipts::VertexBody;
pub use receipts::stored_receipt;
use seal::OpenVertex;
use step::Expected;
use trust::Saying;
pub use trust::TRUST_EVERY_MS;
use witness::Witnessing;

/// A vertex this far ahead of the local clock waits, in milliseconds: ten minutes.
pub const MAX_AHEAD_MS: u64 = 10 * 60 * 1000;
/// Most logs that a node knows: every municipality of a large country, with room.
pub const MAX_LOGS: usize = 4096;

/// What the replica is made of.
pub struct ReplicaConfig {
    /// Genesis record.
    pub genesis: Arc<Genesis>,
    /// The charter of the own log; a terminal's is its home's.
    pub authority: Arc<Authority>,
    /// The keys that are at hand to sign the own log. That of its newest epoch signs; without it nothing is
    /// sequenced. A terminal has none: it follows its home's log like the others, and writes nothing.
    pub signers: Vec<Box<dyn Signer>>,
    /// What the municipality asks of place evidence.
    pub policy: PlacePolicy,
    /// The `start` entry of this run.
    pub start: Start,
    /// Whether the own log may be extended: not where acknowledged blocks may be lost, because a position must
    /// never be signed twice.
    pub may_sequence: bool,
}

/// What `status` shows of the replica.
#[derive(Clone, Debug)]
pub struct ReplicaStatus {
    /// Own log.
    pub log: LogId,
    /// Whether this node sequences.
    pub sequencing: bool,
    /// Whether the own log is known to be whole.
    pub standing: Standing,
    /// How much each account may send in [`UNCONFIRMED_WINDOW_MS`], where it is not.
    pub unconfirmed_limit: Option<Amount>,
    /// The heads, in order of log ids.
    pub frontier: Vec<FrontierEntry>,
    /// What peers compare.
    pub frontier_hash: Digest,
    /// Ranges asked for, vertices that wait, and own transfers accepted elsewhere but not settled yet.
    pub in_flight: usize,
    /// How many of those are vertices whose time has not come: nobody can hurry them.
    pub early: usize,
    /// Peers whose hello was accepted, with their regions.
    pub peers: Vec<(PeerId, String)>,
    /// When each peer's frontier was compared last, and whether it was equal.
    pub compared: Vec<(PeerId, Timestamp, bool)>,
    /// Peers at which this node may only read, as they say.
    pub read_only_at: Vec<PeerId>,
}

/// The node certificate that a connected peer announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Whose hello it came with.
    pub peer: PeerId,
    /// Node certificate, DER.
    pub certificate: Vec<u8>,
    /// Its intermediates, DER.
    pub chain: Vec<Vec<u8>>,
}

/// One node's view of its network.
pub struct Replica {
    genesis: Arc<Genesis>,
    network: NetworkId,
    policy: PlacePolicy,
    home: Home,
    authorities: Authorities,
    /// What is to be written with the next append.
    batch: Changes,
    /// What becomes visible once that is durable.
    after: Vec<Action>,
    /// Logs whose head moved in this batch, and the peer it came from.
    moved: BTreeMap<LogId, Option<PeerId>>,
    open: Option<OpenVertex>,
    /// Heads of other logs that are not among the own log's ancestors yet.
    unacknowledged: BTreeSet<LogId>,
    /// What is owed to the logs that name this home as their witness.
    witnessing: Witnessing,
    pen: Pen,
    /// Vertices that were asked for by id, and until when an answer is awaited.
    fetching: BTreeMap<BlockId, Timestamp>,
    /// Beginnings of epochs that no rule allows: each is judged once.
    refused: BTreeSet<BlockId>,
    places: HeldPlaces,
    sessions: BTreeMap<PeerId, Session>,
    /// What is revoked, for hellos.
    lists: Arc<Crls>,
    in_flight: BTreeMap<LogId, InFlight>,
    /// News that come from their authors by themselves.
    expected: BTreeMap<LogId, Expected>,
    /// Headers that were replayed without a body and wait for their rival, by log, epoch and position.
    halves: BTreeMap<(LogId, u64, u64), SignedHeader>,
    /// The vertex that an acceptance cited last.
    cited: Option<VertexBody>,
    /// Where the sweep stands.
    sweep: Sweep,
    /// What is taken from other municipalities, and answered without asking.
    clearing: Clearing,
    /// Which logs are followed by their headers alone.
    following: Following,
    /// Logs of which something was taken on trust.
    trusted: BTreeSet<LogId>,
    /// What the own log lost at a cut and others rest on.
    adoptions: Adoptions,
    /// What the own log is to say of its CAs' lists.
    saying: Saying,
    /// Whether a known fault could not be entered yet, or not as far as it is known.
    owes_faults: bool,
    /// How often the own log gets a checkpoint by itself.
    checkpoint_every_ms: Option<u64>,
    /// Vertices stored so far: the next arrival order.
    order: u64,
    appending: bool,
}

/// The authorities of the logs that are known.
#[derive(Clone, Debug, Default)]
pub struct Authorities(BTreeMap<LogId, Arc<Authority>>);

impl Authorities {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Authority>> {
        self.0.values()
    }
}

impl KeySource for Authorities {
    fn authority(&self, log: &LogId) -> Option<Arc<Authority>> {
        self.0.get(log).cloned()
    }

    fn public_key(&self, _: &KeyId) -> Option<Arc<PublicKey>> {
        None
    }
}

impl Replica {
    /// A replica that has not been told anything yet; the first input is [`Input::Started`].
    #[must_use]
    pub fn new(config: ReplicaConfig) -> Self {
        let network = config.genesis.network();
        Self {
            network,
            genesis: config.genesis,
            policy: config.policy,
            home: Home::new(
                config.authority,
                config.signers,
                config.start,
                config.may_sequence,
            ),
            authorities: Authorities::default(),
            batch: Changes::default(),
            after: Vec::new(),
            moved: BTreeMap::new(),
            open: None,
            unacknowledged: BTreeSet::new(),
            witnessing: Witnessing::default(),
            pen: Pen::default(),
            fetching: BTreeMap::new(),
            refused: BTreeSet::new(),
            places: HeldPlaces::default(),
            sessions: BTreeMap::new(),
            lists: Arc::new(Crls::none()),
            in_flight: BTreeMap::new(),
            expected: BTreeMap::new(),
            halves: BTreeMap::new(),
            cited: None,
            sweep: Sweep::default(),
            clearing: Clearing::default(),
            following: Following::default(),
            trusted: BTreeSet::new(),
            adoptions: Adoptions::default(),
            saying: Saying::default(),
            owes_faults: false,
            checkpoint_every_ms: None,
            order: 0,
            appending: false,
        }
    }

    /// The same with another policy towards other municipalities than the default one.
    #[must_use]
    pub fn with_clearing(self, clearing: Clearing) -> Self {
        Self { clearing, ..self }
    }

    /// The same of a node that took something of these logs on trust: stubs that somebody else wrote. Where a vertex behind
    /// them breaks a rule, they may be why. So that proves nothing against its log, which stands still as `unsupported`.
    #[must_use]
    pub fn with_trusted(self, trusted: BTreeSet<LogId>) -> Self {
        Self { trusted, ..self }
    }

    /// Takes one input and says what is to be done.
    pub fn handle(&mut self, input: Input, now: Now, history: &dyn History) -> Vec<Action> {
        let mut out = Vec::new();
        self.look_whether_confirmed(now);
        match input {
            Input::Started => self.started(now, history),
            Input::Submit(ticket, submission) => self.submit(ticket, submission, now, history),
            Input::BeginEpoch(ticket, signed) => self.begin_epoch(ticket, signed, now, history),
            Input::Checkpoint(ticket) => self.make_checkpoint(ticket, now, history),
            Input::Place(ticket, request) => {
                self.hold_place(ticket, request, now, history, &mut out);
            }
            Input::HoldPlace(ticket, proof) => {
                self.hold_others_place(ticket, *proof, now, history, &mut out);
            }
            Input::Vertex(from, ..) if self.only_reads(&from) => {}
            Input::Vertex(from, vertex, bytes) => {
                self.received_bytes(&from, bytes);
                self.ingest(Some(from), *vertex, now, history, &mut out);
            }
            Input::Header(from, ..) if self.only_reads(&from) => {}
            Input::Header(from, header, bytes) => {
                self.received_bytes(&from, bytes);
                self.ingest_header(Some(from), &header, now, history, &mut out);
            }
            // Honest peers send those too: a single vertex of a log that is not known here yet, and
            // what newer software writes.
            Input::Garbage(from, Refusal::UnknownLog | Refusal::UnknownVersion, bytes) => {
                // Or else its credit would be used up by what is of no use here.
                self.received_bytes(&from, bytes);
                self.give_credit(&mut out);
            }
            Input::Garbage(from, refusal, _) => out.push(Action::Disconnect(from, refusal)),
            Input::Message(from, channel, message) => {
                self.message(from, channel, message, now, history, &mut out);
            }
            Input::Connected(peer, announcement, region) => {
                let session = Session::new(now.time);
                self.connected(peer, *announcement, region, session, &mut out);
            }
            Input::Reader(peer, announcement, region) => {
                let session = Session::of_reader(now.time);
                self.connected(peer, *announcement, region, session, &mut out);
            }
            Input::Disconnected(peer) => self.disconnected(&peer, now, history, &mut out),
            Input::Lists(lists) => self.take_lists(lists, now, &mut out),
            Input::Trust(body) => self.saying.take(*body, now),
            Input::Note(ticket, note) => self.admit_note(ticket, &note, now, history),
            Input::Tick => self.tick(now, history, &mut out),
            Input::Seal => self.append(now, history, &mut out),
            Input::Committed => self.committed(now, history, &mut out),
            Input::Aborted(refusal) => self.aborted(refusal, now, history, &mut out),
            Input::Replay(vertex) => {
                let header = vertex.header.clone();
                self.ingest(None, *vertex, now, history, &mut out);
                let _proven = self.pair(&header, now, history);
            }
            Input::Alone(header) => self.alone(*header, now, history, &mut out),
            Input::Evidence(header) => self.evidence(*header, now, history),
        }
        if self.batch.is_empty() && self.open.is_none() && !self.appending {
            out.append(&mut self.after);
        }
        out
    }

    /// Whether a [`Input::Seal`] would give something to write.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.batch.is_empty()
            || self
                .open
                .as_ref()
                .is_some_and(|open| open.is_worth_sealing())
    }

    /// Bytes that wait for the next append: the commit thread seals before this grows large.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.batch.block_bytes() + self.open.as_ref().map_or(0, OpenVertex::bytes)
    }

    /// What `status` shows, as of what is durable.
    #[must_use]
    pub fn status(&self, history: &dyn History) -> ReplicaStatus {
        let frontier = frontier(history);
        ReplicaStatus {
            log: self.home.log(),
            sequencing: self.home.sequences(history),
            standing: self.home.confirming.standing(),
            unconfirmed_limit: self.home.confirming.limit(),
            frontier_hash: frontier_hash(&frontier),
            frontier,
            in_flight: self.in_flight.len() + self.pen.len() + self.unsettled(history),
            early: self.pen.early(),
            peers: self
                .sessions
                .iter()
                .filter_map(|(peer, s)| Some((*peer, s.region.as_ref()?.to_string())))
                .collect(),
            compared: self
                .sessions
                .iter()
                .filter_map(|(peer, s)| s.compared.map(|(at, equal)| (*peer, at, equal)))
                .collect(),
            read_only_at: self
                .sessions
                .iter()
                .filter_map(|(peer, s)| s.only_read_at.then_some(*peer))
                .collect(),
        }
    }

    /// What the peers announced whose hello was accepted.
    #[must_use]
    pub fn announced(&self) -> Vec<Announced> {
        let sessions = self.sessions.iter();
        sessions
            .filter_map(|(peer, session)| {
                let (certificate, chain) = session.announced.clone()?;
                Some(Announced {
                    peer: *peer,
                    certificate,
                    chain,
                })
            })
            .collect()
    }

    /// The authorities of the logs that are known, for the pool that verifies.
    #[must_use]
    pub const fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    fn started(&mut self, now: Now, history: &dyn History) {
        self.order = order(history);
        self.halves.clear();
        self.authorities
            .0
            .insert(self.home.log(), self.home.authority());
        for (log, row) in head_rows(history) {
            self.unfreeze_after_upgrade(&log, history);
            let Some(authority) = stored_authority(history, &self.genesis, &log, row.epoch) else {
                continue;
            };
            let authority = Arc::new(authority);
            if log == self.home.log() {
                self.home.learn(authority.clone());
            } else {
                self.unacknowledged.insert(log);
            }
            self.authorities.0.insert(log, authority);
        }
        self.recall_followed(history);
        self.recall_owed(now, history);
        self.begin_own_log(now, history);
        self.sweep_from_the_beginning();
        self.adoptions.begin();
        self.saying.begin(now);
        self.sweep(now, history);
    }

    /// A log that stopped at a vertex of a newer version is tried again by newer software.
    fn unfreeze_after_upgrade(&mut self, log: &LogId, history: &dyn History) {
        let row = history.log(log);
        if let Some(row) = row.filter(|row| matches!(row.frozen, Some(Frozen::Unsupported(_)))) {
            let frozen = None;
            self.batch
                .put(key(Table::Log, &[&log.0]), &LogRow { frozen, ..row });
        }
    }

    fn layers<'a>(&'a self, history: &'a dyn History) -> Layers<'a> {
        Layers {
            history,
            batch: &self.batch,
            vertex: None,
        }
    }

    fn context<'a>(
        &'a self,
        authority: &'a Authority,
        history: &'a dyn History,
    ) -> FoldContext<'a> {
        FoldContext {
            network: self.network,
            authority,
            keys: &self.authorities,
            layers: self.layers(history),
        }
    }

    /// Gives out what is to be written.
    fn append(&mut self, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        self.seal(now, history);
        if self.batch.is_empty() {
            return;
        }
        self.batch.put(key(Table::Order, &[]), &self.order);
        self.appending = true;
        // The batch stays as a layer of its own until it is durable: nothing is handled in between.
        out.push(Action::Append(std::mem::take(&mut self.batch)));
    }

    fn committed(&mut self, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        self.appending = false;
        self.home.start_is_written(history);
        self.home.epoch_is_written();
        self.home.confirming.committed();
        out.append(&mut self.after);
        self.give_credit(out);
        self.tell_news(history, out);
        self.request_all(now, history, out);
        self.hasten(now);
    }

    fn aborted(
        &mut self,
        refusal: Refusal,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        self.appending = false;
        self.batch = Changes::default();
        self.home.confirming.aborted();
        self.abandon_open(refusal);
        self.moved.clear();
        self.order = order(history);
        let own = self.home.log();
        self.authorities
            .0
            .retain(|log, _| *log == own || history.log(log).is_some());
        let durable = |log| {
            let row = history.head(log);
            row.map_or((1, None), |row| (row.epoch, row.charter))
        };
        for (log, authority) in &mut self.authorities.0 {
            let (epoch, charter) = durable(log);
            let in_force = charter.unwrap_or(authority.charter_hash);
            if authority.epoch() < epoch || !authority.knows(&in_force) {
                // Headers that were given up are here again.
                let stored = stored_authority(history, &self.genesis, log, epoch);
                *authority = stored.map_or_else(|| Arc::clone(authority), Arc::new);
            }
            if authority.epoch() > epoch || authority.in_force() != in_force {
                *authority = Arc::new(authority.until(epoch, charter));
            }
        }
        let (epoch, charter) = durable(&own);
        self.home.unlearn(epoch, charter);
        self.recall_followed(history);
        // Asked for again by the next comparison, not at once: there may be no room for a while.
        self.forget_claims(now);
        // Which heads were acknowledged in the lost vertices is not remembered: all may be, again.
        self.unacknowledged = self
            .authorities
            .0
            .keys()
            .copied()
            .filter(|log| *log != own)
            .collect();
        self.sweep_from_the_beginning();
        self.adoptions.begin();
        for action in self.after.drain(..) {
            match action {
                Action::Reply(ticket, Ok(_)) => out.push(Action::Reply(ticket, Err(refusal))),
                // What was refused anyway keeps its own reason.
                Action::Reply(ticket, Err(own)) => out.push(Action::Reply(ticket, Err(own))),
                _ => {}
            }
        }
    }
}

/// The arrival order that the next vertex gets.
fn order(history: &dyn History) -> u64 {
    history.typed(&key(Table::Order, &[])).unwrap_or(0)
}

/// All logs that are known, in order of their ids.
#[must_use]
pub fn log_rows(history: &dyn History) -> Vec<(LogId, LogRow)> {
    history
        .rows(&key(Table::Log, &[]), None, MAX_LOGS)
        .into_iter()
        .filter_map(|(key, row)| {
            let log = LogId(key.get(1..)?.try_into().ok()?);
            Some((log, ledger::read_row(&row)))
        })
        .collect()
}

/// The same with the heads that their headers have, where those go on behind what is folded.
#[must_use]
pub fn head_rows(history: &dyn History) -> Vec<(LogId, LogRow)> {
    let headers = history.rows(&key(Table::Headers, &[]), None, MAX_LOGS);
    let mut headers: BTreeMap<Vec<u8>, HeadersRow> = headers
        .into_iter()
        .map(|(name, row)| (name[1..].to_vec(), ledger::read_row(&row)))
        .collect();
    let rows = log_rows(history).into_iter();
    rows.map(|(log, row)| match headers.remove(&log.0[..]) {
        Some(headers) => (log, row.headed(headers)),
        None => (log, row),
    })
    .collect()
}

/// The frontier as of what is durable: the newest of every log.
#[must_use]
pub fn frontier(history: &dyn History) -> Vec<FrontierEntry> {
    head_rows(history)
        .iter()
        .filter(|(_, row)| row.seq > 0 || row.frozen.is_some())
        .map(|(log, row)| FrontierEntry::of(log, row))
        .collect()
}
