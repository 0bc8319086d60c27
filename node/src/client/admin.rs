//! Calls of the admin socket.

use std::io;
use std::path::Path;

use city_protocol::ids::{BlockId, Digest};
use serde_json::Value;

use super::ClientError;
use super::http::{Link, Target};
use crate::access::audit::{AuditVerdict, LinesPage, Which};
use crate::admin::check_path;
use crate::admin::pages::{AuditPage, Balances, ErasedPage, Status, TransferShown, VerifyPage};
use crate::api::wire::PrivatePage;
use crate::engine::{Pin, StoreStats};
use crate::keys::Exchanged;
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
