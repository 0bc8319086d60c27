//! Calls of the admin socket.

use std::io;
use std::path::Path;

use city_protocol::ids::{AccountId, BlockId, Digest, LogId};
use serde_json::Value;

use super::ClientError;
use super::http::{Link, Target};
use crate::access::audit::{AuditVerdict, LinesPage, Which};
use crate::admin::check_path;
use crate::admin::pages::{
    AccountsPage, AuditPage, Balances, ErasedPage, Status, TransferShown, VerifyPage,
};
use crate::api::wire::PrivatePage;
use crate::engine::{Pin, StoreStats};
use crate::journal::Ask;
use crate::journal::pages::{self as journal, BooksPage, LogsPage, MovementsPage, SumsPage};
use crate::keys::Exchanged;
use crate::ledger::equivocation::{EquivocationPage, EquivocationsPage};
use crate::ledger::pages::{EntryPage, HeadsPage, LinesPage as VertexLines, VertexShown};
use crate::store::ArchiveStream;

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
        let mut stream = ArchiveStream::default();
        let path = format!("/v1/store/export?{query}");
        self.0
            .pull(&path, |piece| Ok(stream.push(piece, take)?))
            .await?;
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
}
