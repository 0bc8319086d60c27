//! Private values (DESIGN §5): what stands behind the digests in a transfer, kept encrypted by the two homes alone.
//!
//! `record` how they stand in the file · `index` where · `vault` the file with its writer · `rewrap` the same under
//! another data key · `courier` from the sender's home to the receiver's. Here: what is kept before it is booked, and
//! erased if it is not.

mod courier;
mod index;
mod record;
mod rewrap;
mod vault;
#[cfg(test)]
mod vault_tests;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use city_protocol::Refusal;
use city_protocol::body::{PrivateValues, Transfer};
use city_protocol::ids::Digest;
use city_protocol::ledger::{History, Rows as _};
use city_protocol::replica::BookedEntry;
use city_protocol::stage::{Submission, Verified};
use tokio::sync::mpsc;

pub use courier::{Courier, Post};
pub use rewrap::wrap_again;
pub use vault::{Kept, Vault, VaultError};

use crate::engine::EngineHandle;
use record::Kind;

/// Events that wait for the courier: with the longest values 8 MiB.
const POSTS: usize = 256;

/// Why values were not kept and their transfer not booked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The home refused the transfer, or what it came with.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The values could not be kept.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// The private values of a node and their way to other homes; cheap to clone.
#[derive(Clone)]
pub struct Keeper {
    vault: Vault,
    post: mpsc::Sender<Post>,
    pending: Arc<Mutex<HashSet<Digest>>>,
}

impl Keeper {
    /// Keeps values in this vault; what the other end receives is for a [`Courier`].
    #[must_use]
    pub fn new(vault: Vault) -> (Self, mpsc::Receiver<Post>) {
        let (post, posts) = mpsc::channel(POSTS);
        let keeper = Self {
            vault,
            post,
            pending: Arc::default(),
        };
        (keeper, posts)
    }

    /// The file.
    #[must_use]
    pub const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Where what concerns private values is told to the courier.
    #[must_use]
    pub const fn post(&self) -> &mpsc::Sender<Post> {
        &self.post
    }

    /// Keeps the values durably, then has the transfer booked; if it is refused they are erased again. Goes on to its
    /// end also when nobody waits for the answer any more.
    ///
    /// # Errors
    /// [`KeepError`]. [`Refusal::Busy`] while the same transfer is under way.
    pub async fn book(
        &self,
        engine: EngineHandle,
        transfer: Verified<Transfer>,
        values: PrivateValues,
    ) -> Result<BookedEntry, KeepError> {
        let pending = self.begin(transfer.identity())?;
        let keeper = self.clone();
        let booking = tokio::spawn(async move {
            let booked = keeper.keep_and_submit(&engine, transfer, values).await;
            drop(pending);
            booked
        });
        booking.await.unwrap_or(Err(Refusal::NotSequencing.into()))
    }

    async fn keep_and_submit(
        &self,
        engine: &EngineHandle,
        transfer: Verified<Transfer>,
        values: PrivateValues,
    ) -> Result<BookedEntry, KeepError> {
        let (identity, home) = (transfer.identity(), transfer.body().receiver_home);
        let kind = if home == engine.log() {
            Kind::Own
        } else {
            Kind::ToSend
        };
        let booked = is_booked(engine, &identity);
        if !booked && !engine.history().store().has_room().unwrap_or(true) {
            return Err(Refusal::StorageFull.into());
        }
        self.vault.put(kind, identity, values, booked).await?;
        match engine.submit(Submission::Transfer(transfer)).await {
            Ok(entry) => {
                if self.vault.is_to_send(&identity) {
                    // The courier is gone only when the daemon is stopping; the next start sends.
                    let _stopping = self.post.send(Post::Queue(identity, home)).await;
                }
                Ok(entry)
            }
            Err(refusal) => {
                // An engine that ends may have written it all the same: the next start looks.
                let ended = refusal == Refusal::NotSequencing && engine.status().await.is_err();
                if !ended
                    && !is_booked(engine, &identity)
                    && let Err(error) = self.vault.withdraw(vec![identity]).await
                {
                    tracing::error!(%error, "values of a refused transfer could not be erased; the next start does it");
                }
                Err(refusal.into())
            }
        }
    }

    /// Erases values whose transfers are not in the ledger, which must be up to date and whole: the node was stopped
    /// between keeping and booking. Values that other homes sent were kept after their transfers and stay: one that is
    /// not there now will be fetched again. Answers how many were erased.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn erase_orphans(&self, engine: &EngineHandle) -> Result<usize, VaultError> {
        let unchecked = self.vault.unchecked();
        if unchecked.is_empty() {
            return Ok(0);
        }
        let orphans: Vec<Digest> = unchecked
            .into_iter()
            .filter(|transfer| !is_booked(engine, transfer))
            .collect();
        let count = orphans.len();
        self.vault.withdraw(orphans).await?;
        self.vault.checked().await?;
        Ok(count)
    }

    fn begin(&self, transfer: Digest) -> Result<Pending, Refusal> {
        if !self.pending().insert(transfer) {
            return Err(Refusal::Busy);
        }
        Ok(Pending {
            keeper: self.clone(),
            transfer,
        })
    }

    fn pending(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transfer that is under way: two at once could erase what the other one keeps.
struct Pending {
    keeper: Keeper,
    transfer: Digest,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.keeper.pending().remove(&self.transfer);
    }
}

fn is_booked(engine: &EngineHandle, transfer: &Digest) -> bool {
    let history: &dyn History = engine.history();
    history.transfer(&engine.log(), transfer).is_some()
}
