//! Calls of the admin socket.

use std::io;
use std::path::Path;

use city_protocol::ids::{AccountId, BlockId, Digest, LogId};
use city_protocol::vertex::MAX_RECEIPT;
use serde_json::Value;

use super::ClientError;
use super::http::{Link, Target};
use crate::access::audit::{AuditVerdict, LinesPage, Which};
use crate::admin::PlaceProofForm;
use crate::admin::check_path;
use crate::admin::netcheck::NetCheckPage;
use crate::admin::pages::{
    AccountsPage, AuditPage, Balances, ClearedPage, DroppedPage, ErasedPage, OutboxPage,
    OutlinePage, ProbePage, Status, TransferShown, VerifyPage,
};
use crate::api::wire::{PrivatePage, SignedPlaceForm, SubmittedPage};
use crate::engine::{Pin, StoreStats};
use crate::journal::Ask;
use crate::journal::pages::{self as journal, BooksPage, LogsPage, MovementsPage, SumsPage};
use crate::keys::Exchanged;
use crate::ledger::checkpoints::{CheckpointPage, CheckpointsPage, ProofPage, Provable};
use crate::ledger::equivocation::{EquivocationPage, EquivocationsPage};
use crate::ledger::notes::{HexKey, NoteForm, NotePage, NotedPage, NotesPage};
use crate::ledger::pages::{EntryPage, HeadsPage, LinesPage as VertexLines, VertexShown};
use crate::store::ArchiveStream;
use crate::trust::pages::{
    AddForm, AnnouncedPage, ApproveForm, AskForm, AskedPage, CleanedPage, EnrolmentPage,
    ExportForm, ExportedPage, FollowForm, FollowedPage, ImportForm, ImportedPage, KeyForm,
    KeysAskedPage, KeysWantedForm, ListedPage, PeerText, RecommendForm, RecommendationsPage,
    ReloadedPage, RotateForm, RotatedPage, RotationsPage, WhitelistPage,
};

/// A running node on this machine.
pub struct AdminClient(Link);

impl AdminClient {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] if nobody listens there, others as they come.
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        check_path(path)?;
        let link = Link::new(Target::Socket(path.to_owned()));
        link.connect().await?;
        Ok(Self(link))
    }

    /// How the node is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.0.get("/v1/status").await
    }

    /// Has the node try its own keys, and judge again what connected peers announced.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn probe_keys(&self) -> Result<ProbePage, ClientError> {
        self.0.post_as("/v1/keys/probe", None).await
    }

    /// How every peer can be reached, tried out now; a minute for a large whitelist.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn netcheck(&self) -> Result<NetCheckPage, ClientError> {
        self.0.get("/v1/netcheck").await
    }

    /// What a terminal keeps that could not be delivered.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn outbox(&self) -> Result<OutboxPage, ClientError> {
        self.0.get("/v1/outbox").await
    }

    /// Has a terminal send a draft to its home.
    ///
    /// # Errors
    /// [`ClientError`]: the terminal's problem, or the home's.
    pub async fn send_draft(&self, identity: &Digest) -> Result<SubmittedPage, ClientError> {
        let path = format!("/v1/outbox/{identity}/send");
        self.0.post_as(&path, None).await
    }

    /// Has a terminal forget a draft.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn drop_draft(&self, identity: &Digest) -> Result<DroppedPage, ClientError> {
        let path = format!("/v1/outbox/{identity}/drop");
        self.0.post_as(&path, None).await
    }

    /// What is available to each account.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn balances(&self) -> Result<Balances, ClientError> {
        self.0.get("/v1/balances").await
    }

    /// Accounts of this home, from the first or after one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn accounts(&self, after: Option<&AccountId>) -> Result<AccountsPage, ClientError> {
        let query = after.map(|id| format!("?after={id}")).unwrap_or_default();
        self.0.get(&format!("/v1/accounts{query}")).await
    }

    /// Writes on the board that all homes share, or deletes what stands there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn write_note(&self, form: &NoteForm) -> Result<NotedPage, ClientError> {
        self.0.post("/v1/notes", form).await
    }

    /// What counts under a key.
    ///
    /// # Errors
    /// [`ClientError`]: 404 where nobody ever wrote.
    pub async fn note(&self, key: &str) -> Result<NotePage, ClientError> {
        let key = HexKey(key.to_owned());
        self.0.get(&format!("/v1/notes/{key}")).await
    }

    /// What counts under the keys with this prefix that come after `after`; both may be empty.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn notes(&self, prefix: &str, after: &str) -> Result<NotesPage, ClientError> {
        let (prefix, after) = (HexKey(prefix.to_owned()), HexKey(after.to_owned()));
        let under = match prefix.0.as_str() {
            "" => String::new(),
            _ => format!("/under/{prefix}"),
        };
        self.0.get(&format!("/v1/notes{under}?after={after}")).await
    }

    /// How far each log has come.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ledger_heads(&self) -> Result<HeadsPage, ClientError> {
        self.0.get("/v1/ledger/heads").await
    }

    /// A vertex by its id.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ledger_vertex(&self, id: &BlockId) -> Result<VertexShown, ClientError> {
        self.0.get(&format!("/v1/ledger/vertices/{id}")).await
    }

    /// The vertex at a position of a log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ledger_position(&self, log: &LogId, seq: u64) -> Result<VertexShown, ClientError> {
        let path = format!("/v1/ledger/positions/{log}/{seq}");
        self.0.get(&path).await
    }

    /// The entry of what was submitted.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ledger_entry(&self, identity: &Digest) -> Result<EntryPage, ClientError> {
        self.0.get(&format!("/v1/ledger/entries/{identity}")).await
    }

    /// Vertices of a log behind a position.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ledger_lines(&self, log: &LogId, after: u64) -> Result<VertexLines, ClientError> {
        let path = format!("/v1/ledger/logs/{log}?after={after}");
        self.0.get(&path).await
    }

    /// The last vertices of all logs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ledger_last(&self, count: usize) -> Result<VertexLines, ClientError> {
        self.0.get(&format!("/v1/ledger/last/{count}")).await
    }

    /// The newest checkpoints of a log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn checkpoints(&self, log: &LogId) -> Result<CheckpointsPage, ClientError> {
        self.0.get(&format!("/v1/ledger/checkpoints/{log}")).await
    }

    /// Has the home write a checkpoint of its log now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn make_checkpoint(&self) -> Result<CheckpointPage, ClientError> {
        self.0.post("/v1/ledger/checkpoints", &()).await
    }

    /// A proof; with `checkpoint` also that an entry's vertex stands under the newest one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn proof(&self, what: &Provable, checkpoint: bool) -> Result<ProofPage, ClientError> {
        let under = if checkpoint { "/checkpoint" } else { "" };
        self.0
            .get(&format!("/v1/ledger/proofs/{what}{under}"))
            .await
    }

    /// The proof that a transfer was given back although it was accepted in time.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn false_refund(&self, identity: &Digest) -> Result<ProofPage, ClientError> {
        let path = format!("/v1/ledger/false-refunds/{identity}");
        self.0.get(&path).await
    }

    /// What any log signed twice.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn equivocations(&self) -> Result<EquivocationsPage, ClientError> {
        self.0.get("/v1/ledger/equivocations").await
    }

    /// What a log signed twice in an epoch, with its proof.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn equivocation(
        &self,
        log: &LogId,
        epoch: u64,
    ) -> Result<EquivocationPage, ClientError> {
        let path = format!("/v1/ledger/equivocations/{log}/{epoch}");
        self.0.get(&path).await
    }

    /// Sums, and the journal both ways.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn audit(&self) -> Result<AuditPage, ClientError> {
        self.0.get("/v1/audit").await
    }

    /// Every hash, signature and link of the store.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn verify(&self) -> Result<VerifyPage, ClientError> {
        self.0.get("/v1/verify").await
    }

    /// A transfer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transfer(&self, transfer: &Digest) -> Result<TransferShown, ClientError> {
        self.0.get(&format!("/v1/transfers/{transfer}")).await
    }

    /// What the node has of a transfer's private values.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn private(&self, transfer: &Digest) -> Result<PrivatePage, ClientError> {
        self.0.get(&format!("/v1/private/{transfer}")).await
    }

    /// Erases a transfer's private values.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn erase_private(&self, transfer: &Digest) -> Result<ErasedPage, ClientError> {
        let path = format!("/v1/private/{transfer}/erase");
        self.0.post(&path, &()).await
    }

    /// Exchanges the master secret of the node's keys.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rotate_master(&self) -> Result<Exchanged, ClientError> {
        self.0.post("/v1/keys/rotate-master", &()).await
    }

    /// Listed peers, from the first or behind one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn whitelist(&self, after: Option<&PeerText>) -> Result<WhitelistPage, ClientError> {
        let query = after.map(|peer| format!("?after={peer}"));
        let path = format!("/v1/whitelist{}", query.unwrap_or_default());
        self.0.get(&path).await
    }

    /// What is known of a peer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn listed(&self, peer: &PeerText) -> Result<ListedPage, ClientError> {
        self.0.get(&format!("/v1/whitelist/{peer}")).await
    }

    /// Lists a peer; it is recorded when this answers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_peer(
        &self,
        peer: &PeerText,
        form: &AddForm,
    ) -> Result<ListedPage, ClientError> {
        self.0.post(&format!("/v1/whitelist/{peer}"), form).await
    }

    /// Has the node hold a key of a listed peer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_key(
        &self,
        peer: &PeerText,
        form: &KeyForm,
    ) -> Result<ListedPage, ClientError> {
        let path = format!("/v1/whitelist/{peer}/keys");
        self.0.post(&path, form).await
    }

    /// Takes back what an operator listed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn unlist_peer(&self, peer: &PeerText) -> Result<ListedPage, ClientError> {
        let path = format!("/v1/whitelist/{peer}/remove");
        self.0.post(&path, &()).await
    }

    /// Who asks to be listed, and who is not heard.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn enrolment(&self) -> Result<EnrolmentPage, ClientError> {
        self.0.get("/v1/enrolment").await
    }

    /// Lists a peer that asked.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn approve(
        &self,
        peer: &PeerText,
        form: &ApproveForm,
    ) -> Result<ListedPage, ClientError> {
        let path = format!("/v1/enrolment/{peer}/approve");
        self.0.post(&path, form).await
    }

    /// Has the node hear no more of a peer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ignore(&self, peer: &PeerText) -> Result<EnrolmentPage, ClientError> {
        let path = format!("/v1/enrolment/{peer}/ignore");
        self.0.post(&path, &()).await
    }

    /// Has the node read its certificate anew and show it to its peers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn announce_key(&self) -> Result<AnnouncedPage, ClientError> {
        self.0.post("/v1/peer-keys/announce", &()).await
    }

    /// Has the node ask its peers for node certificates.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn request_keys(&self, form: &KeysWantedForm) -> Result<KeysAskedPage, ClientError> {
        self.0.post("/v1/peer-keys/request", form).await
    }

    /// The node's whitelist as a signed file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn export_whitelist(&self, form: &ExportForm) -> Result<ExportedPage, ClientError> {
        self.0.post("/v1/whitelist-file/export", form).await
    }

    /// Shows another node's list, and adds what is named of it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn import_whitelist(&self, form: &ImportForm) -> Result<ImportedPage, ClientError> {
        self.0.post("/v1/whitelist-file/import", form).await
    }

    /// Has the node take away what is over.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn clean_up(&self) -> Result<CleanedPage, ClientError> {
        self.0.post("/v1/upkeep/cleanup", &()).await
    }

    /// Has the node read its files again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reload(&self) -> Result<ReloadedPage, ClientError> {
        self.0.post("/v1/upkeep/reload", &()).await
    }

    /// Whose transport key another one followed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rotations(&self) -> Result<RotationsPage, ClientError> {
        self.0.get("/v1/rotations").await
    }

    /// Has the node follow a rotation.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn follow_rotation(&self, form: &FollowForm) -> Result<FollowedPage, ClientError> {
        self.0.post("/v1/rotations/follow", form).await
    }

    /// Has the node exchange its transport key, and tell its peers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rotate_transport(&self, form: &RotateForm) -> Result<RotatedPage, ClientError> {
        self.0.post("/v1/keys/rotate-transport", form).await
    }

    /// What is recommended, by others and by this node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn recommendations(&self) -> Result<RecommendationsPage, ClientError> {
        self.0.get("/v1/recommendations").await
    }

    /// Has the node recommend a peer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn recommend(
        &self,
        peer: &PeerText,
        form: &RecommendForm,
    ) -> Result<RecommendationsPage, ClientError> {
        self.0
            .post(&format!("/v1/recommendations/{peer}"), form)
            .await
    }

    /// Has the node take back what it recommends.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke_recommendation(
        &self,
        peer: &PeerText,
    ) -> Result<RecommendationsPage, ClientError> {
        let path = format!("/v1/recommendations/{peer}/revoke");
        self.0.post(&path, &()).await
    }

    /// Has the node ask another to list it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask_to_be_listed(&self, form: &AskForm) -> Result<AskedPage, ClientError> {
        self.0.post("/v1/enrolment/ask", form).await
    }

    /// Lines of the trust log or the access log behind a number.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn records(&self, which: Which, after: u64) -> Result<LinesPage, ClientError> {
        let log = which.name();
        self.0.get(&format!("/v1/records/{log}/{after}")).await
    }

    /// Every link of both logs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn verify_records(&self) -> Result<AuditVerdict, ClientError> {
        self.0.get("/v1/records/verify").await
    }

    /// The logs whose journal can be asked for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn journal_logs(&self) -> Result<LogsPage, ClientError> {
        self.0.get("/v1/journal/logs").await
    }

    /// Postings, a page of them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn journal_lines(&self, ask: &Ask) -> Result<journal::LinesPage, ClientError> {
        self.0.get(&format!("/v1/journal/lines?{ask}")).await
    }

    /// Sums of postings, a page of them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn journal_sums(&self, ask: &Ask) -> Result<SumsPage, ClientError> {
        self.0.get(&format!("/v1/journal/sums?{ask}")).await
    }

    /// An account's movements, a page of them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn journal_movements(&self, ask: &Ask) -> Result<MovementsPage, ClientError> {
        self.0.get(&format!("/v1/journal/movements?{ask}")).await
    }

    /// An account and its home, of one moment.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn journal_account(&self, account: &AccountId) -> Result<BooksPage, ClientError> {
        let path = format!("/v1/journal/accounts/{account}");
        self.0.get(&path).await
    }

    /// Takes every block of an export, and checks each against its id. `query` is what stands behind `?`.
    ///
    /// # Errors
    /// [`ClientError`]; what was taken until then is not the whole.
    pub async fn export(
        &self,
        query: &str,
        take: &mut dyn FnMut(&BlockId, &[u8]) -> io::Result<()>,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/store/export?{query}");
        self.blocks(&path, ArchiveStream::default(), take).await
    }

    /// The same of a log's newest checkpoint: its receipt first, then its snapshot.
    ///
    /// # Errors
    /// [`ClientError`]; what was taken until then is not the whole.
    pub async fn export_checkpoint(
        &self,
        log: &LogId,
        take: &mut dyn FnMut(&BlockId, &[u8]) -> io::Result<()>,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/ledger/checkpoints/{log}/export");
        let stream = ArchiveStream::of_blocks_to(MAX_RECEIPT);
        self.blocks(&path, stream, take).await
    }

    async fn blocks(
        &self,
        path: &str,
        mut stream: ArchiveStream,
        take: &mut dyn FnMut(&BlockId, &[u8]) -> io::Result<()>,
    ) -> Result<(), ClientError> {
        let push = |piece: &[u8]| Ok(stream.push(piece, take)?);
        self.0.pull(path, push).await?;
        Ok(stream.finish()?)
    }

    /// What the store holds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn store_stats(&self) -> Result<StoreStats, ClientError> {
        self.0.get("/v1/store/stats").await
    }

    /// Where the ledger ends now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn pin(&self) -> Result<Pin, ClientError> {
        self.0.get("/v1/store/pin").await
    }

    /// What place checking says, in full.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn place(&self) -> Result<Value, ClientError> {
        self.0.get("/v1/place").await
    }

    /// The home's outline, for the eye.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn outline(&self) -> Result<OutlinePage, ClientError> {
        self.0.get("/v1/place/outline").await
    }

    /// Has the node prove where it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn prove_place(&self, form: &PlaceProofForm) -> Result<SignedPlaceForm, ClientError> {
        self.0.post("/v1/place/proof", form).await
    }

    /// Forgets that the receiver indicated spoofing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn clear_spoofing(&self) -> Result<ClearedPage, ClientError> {
        self.0.post_as("/v1/place/clear-spoofing", None).await
    }
}
