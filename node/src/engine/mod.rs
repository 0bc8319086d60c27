//! The engine: the replica with everything that waits around it.
//!
//! `commit` the one thread that owns the replica and writes · `guard` how far the own log was · `counter` that nobody can turn back · `history` reading the store · `hold` why nothing is booked · `rebuild` folding
//! the log again, `ahead` reading it for that · `verify` the full check · `graph` blocks by their links · `export`, `import` (judged in an
//! `overlay`), `compact`, `prune`, `stats` of the store · `pulse` that the commit thread goes round · `directory` keys that are at hand · `pool` verification on every core · `bridge` and
//! `lane` frames from peers, `outbox` to them, `budget` how many · `clock` the time and how well it is known. Requests go in by [`EngineHandle`];
//! nothing is answered or sent before it is durable.

mod ahead;
mod bridge;
mod budget;
mod clock;
mod commit;
mod compact;
mod counter;
mod directory;
mod ears;
mod export;
mod graph;
mod guard;
mod history;
mod hold;
mod import;
mod lane;
mod outbox;
mod overlay;
mod pool;
mod prune;
mod pulse;
mod rebuild;
mod stats;
mod verify;

use std::sync::Arc;

use city_protocol::Refusal;
use city_protocol::body::{Note, Trust};
use city_protocol::genesis::Genesis;
use city_protocol::ids::{AccountId, Digest, KeyId, LogId};
use city_protocol::ledger::{History, Rows as _};
use city_protocol::pki::Crls;
use city_protocol::place::PlaceProof;
use city_protocol::replica::{Announced, BookedEntry, Input, PlaceRequest, ReplicaStatus};
use city_protocol::stage::{SignedBySeveral, Submission};
use city_protocol::trust::PeerId;
use city_protocol::vertex::{Authority, KeySource as _};
use tokio::sync::{mpsc, oneshot};

pub use bridge::{Bridge, OwnCertificate, TransportKey};
pub use clock::{SystemClock, utc};
pub use commit::{Engine, EngineConfig, EngineError, Outgoing};
pub use compact::{Dead, compact};
pub use counter::{Counter, CounterVerdict, compare};
pub use directory::Directory;
pub use ears::{Said, Word};
pub use export::{ExportError, Inventory, LogPart, Logs, Selection, export};
pub use history::{StoreHistory, high_water_of, own_high_water};
pub use hold::Hold;
pub use import::{IMPORT_DIR, ImportError, ImportReport, ImportedLog, Importer, Terms, TrustedLog};
pub use pool::Pool;
pub use prune::{PruneError, PrunePlan, PruneReport, PrunedLog};
pub use pulse::Pulse;
pub use rebuild::{RebuildError, RebuildReport, bring_up_to_date};
pub use stats::{LogStats, Pin, StatsError, StoreStats, stats};
pub(crate) use verify::each_vertex;
pub use verify::{VerifyReport, verify_store};

use commit::Request;

/// A handle to the engine; cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    history: StoreHistory,
    directory: Arc<Directory>,
    pool: Pool,
    genesis: Arc<Genesis>,
    authority: Arc<Authority>,
    // Last: when the commit thread sees the last of these gone, no handle holds the store any more.
    requests: mpsc::Sender<Request>,
}

impl EngineHandle {
    /// Submits something that was verified; answers when it is durable.
    ///
    /// # Errors
    /// The replica's refusal; [`Refusal::NotSequencing`] when the engine is stopping.
    pub async fn submit(&self, submission: Submission) -> Result<BookedEntry, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Submit(Box::new(submission), reply), answer)
            .await
    }

    /// Says what is revoked from now on: peers whose node certificate is listed are not spoken to.
    pub async fn lists(&self, lists: Arc<Crls>) {
        // An engine that is stopping speaks to nobody.
        let _stopping = self
            .requests
            .send(Request::Input(Box::new(Input::Lists(lists))))
            .await;
    }

    /// Says what the own log is to say of its CAs once that is news.
    pub async fn trust(&self, body: Trust) {
        // An engine that is stopping enters nothing.
        let _stopping = self
            .requests
            .send(Request::Input(Box::new(Input::Trust(Box::new(body)))))
            .await;
    }

    /// Writes on the board that all homes share; answers when it is durable.
    ///
    /// # Errors
    /// The replica's refusal; [`Refusal::NotSequencing`] when the engine is stopping.
    pub async fn note(&self, note: Note) -> Result<BookedEntry, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Note(Box::new(note), reply), answer).await
    }

    /// Begins a new epoch of the own log, as its officers decided; answers when it is durable.
    ///
    /// # Errors
    /// The replica's refusal; [`Refusal::NotSequencing`] when the engine is stopping.
    pub async fn begin_epoch(&self, signed: SignedBySeveral) -> Result<BookedEntry, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::BeginEpoch(Box::new(signed), reply), answer)
            .await
    }

    /// Has the own log get a checkpoint of what it is now.
    ///
    /// # Errors
    /// The replica's refusal: [`Refusal::Busy`] within an hour of the last; [`Refusal::NotSequencing`] when stopping.
    pub async fn checkpoint(&self) -> Result<BookedEntry, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Checkpoint(reply), answer).await
    }

    /// Has a proof of place made and held for five minutes.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when too many are held; [`Refusal::NotSequencing`] when stopping.
    pub async fn place(&self, request: PlaceRequest) -> Result<PlaceProof, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Place(Box::new(request), reply), answer)
            .await
    }

    /// Has a proof of place held that a terminal of this municipality made; whoever calls has judged its signature.
    ///
    /// # Errors
    /// The replica's refusal; [`Refusal::NotSequencing`] when stopping.
    pub async fn hold_place(&self, proof: PlaceProof) -> Result<PlaceProof, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::HoldPlace(Box::new(proof), reply), answer)
            .await
    }

    /// A proof of place that is held at the moment.
    ///
    /// # Errors
    /// [`Refusal::NotSequencing`] when stopping.
    pub async fn held_place(&self, digest: Digest) -> Result<Option<PlaceProof>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::HeldPlace(digest, reply), answer).await
    }

    /// The replica's state, as of what is durable.
    ///
    /// # Errors
    /// [`Refusal::NotSequencing`] when the engine is stopping.
    pub async fn status(&self) -> Result<ReplicaStatus, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Status(reply), answer).await
    }

    /// The node certificates of the connected peers.
    ///
    /// # Errors
    /// [`Refusal::NotSequencing`] when the engine is stopping.
    pub async fn announced(&self) -> Result<Vec<Announced>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Announced(reply), answer).await
    }

    /// Another peer id followed this one. An engine that stops need not know.
    pub async fn ended(&self, peer: PeerId) {
        let _stopping = self.requests.send(Request::Ended(peer)).await;
    }

    async fn ask<T>(
        &self,
        request: Request,
        answer: oneshot::Receiver<Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        self.requests
            .send(request)
            .await
            .map_err(|_| Refusal::NotSequencing)?;
        answer.await.unwrap_or(Err(Refusal::NotSequencing))
    }

    /// Reading what is durable.
    #[must_use]
    pub const fn history(&self) -> &StoreHistory {
        &self.history
    }

    /// Verification on every core.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Keys that are at hand.
    #[must_use]
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The genesis record.
    #[must_use]
    pub const fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// The own log's authority with its newest epoch: what receipts carry.
    #[must_use]
    pub fn newest_authority(&self) -> Arc<Authority> {
        let newest = self.directory.authority(&self.authority.log);
        newest.unwrap_or_else(|| Arc::clone(&self.authority))
    }

    /// The same under the charter that is in force at the own log's head: who its officers are.
    #[must_use]
    pub fn authority_in_force(&self) -> Arc<Authority> {
        let authority = self.newest_authority();
        let history: &dyn History = &self.history;
        let charter = history.log(&authority.log).and_then(|row| row.charter);
        if authority.in_force() == charter.unwrap_or(authority.charter_hash) {
            authority
        } else {
            Arc::new(authority.under(charter))
        }
    }

    /// The own log's authority as its first charter says: municipality, and the keys of its first epoch.
    #[must_use]
    pub const fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// The own log.
    #[must_use]
    pub fn log(&self) -> LogId {
        self.authority.log
    }

    /// Whether a submission that is neither a transfer nor an acceptance is booked here.
    #[must_use]
    pub fn is_booked(&self, identity: &Digest) -> bool {
        let history: &dyn History = &self.history;
        history.submission(&self.log(), identity).is_some()
    }

    /// The account of this home that signs with this key, or would if it had enrolled with it.
    #[must_use]
    pub fn account_of_key(&self, key: &KeyId) -> AccountId {
        let history: &dyn History = &self.history;
        history.account_of_key(&self.log(), key)
    }

    /// The signing key of an account of this home: the active one, or the one that was closed last.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`].
    pub fn account_key(
        &self,
        account: &AccountId,
    ) -> Result<Arc<city_protocol::crypto::PublicKey>, Refusal> {
        self.directory
            .account_key(&self.history, &self.log(), account)
    }

    /// The signing key by which an account of this home acts now.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], [`Refusal::KeyRevoked`].
    pub fn active_key(
        &self,
        account: &AccountId,
    ) -> Result<Arc<city_protocol::crypto::PublicKey>, Refusal> {
        self.directory
            .active_key(&self.history, &self.log(), account)
    }
}

/// The protocol's peer id of a libp2p peer id, if its key is Ed25519.
#[must_use]
pub fn protocol_peer(peer: &libp2p::PeerId) -> Option<PeerId> {
    PeerId::from_bytes(&peer.to_bytes()).ok()
}

/// The libp2p peer id of the protocol's.
///
/// # Panics
/// Never: both are the same bytes.
#[must_use]
pub fn libp2p_peer(peer: &PeerId) -> libp2p::PeerId {
    libp2p::PeerId::from_bytes(&peer.to_bytes()).expect("an Ed25519 peer id in its binary form")
}
