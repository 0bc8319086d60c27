//! Proofs out of the store: the receipt of any entry, its vertex under the newest checkpoint, an account in its state.

use city_protocol::body::{Kind, OwnEntry, Refund};
use city_protocol::checkpoint::{Held, Leaf, Proof, StatePart, verify_snapshot, vertex_leaf};
use city_protocol::genesis::Genesis;
use city_protocol::ids::{AccountId, Digest, LogId};
use city_protocol::ledger::{
    Changes, CheckpointRow, FalseRefund, History, Layers, LogRow, Rows as _, Table, TransferState,
    key, stored_authority, try_read_row,
};
use city_protocol::replica::stored_receipt;
use city_protocol::vertex::{Entry, Receipt, decode_body, merkle_path};

use crate::journal::log_rows;

/// Most checkpoints of a log that are looked through for the newest: one an hour for a century.
const MAX_CHECKPOINTS: usize = 1_000_000;

/// Most vertices of one log that are looked through for its refund, from the head: some hundred MiB are read.
const MAX_SEARCHED: u64 = 100_000;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Nothing stands there.
    #[error("nothing is stored there")]
    Absent,
    /// The body was pruned.
    #[error(
        "the body of vertex {seq} was pruned here: prove it out of the archive that was written then (ledger prove … --from FILE.car), \
         or bring the archive's bodies back (store import FILE.car)"
    )]
    Pruned {
        /// Position of the vertex.
        seq: u64,
    },
    /// There is no checkpoint that covers it.
    #[error(
        "no checkpoint covers it yet; its home writes one a day, or now: city-node ledger checkpoint make"
    )]
    NoCheckpoint,
    /// The transfer was not given back as expired, or not accepted.
    #[error(
        "this node knows of no acceptance beside a refund of that transfer; there is nothing false to prove"
    )]
    NothingFalse,
    /// The account has no state there.
    #[error("the newest checkpoint knows no such account")]
    NoAccount,
    /// The blocks of the checkpoint do not hold its state.
    #[error(
        "the checkpoint's blocks are missing or damaged; check the store: city-node ledger verify"
    )]
    Blocks,
}

/// Makes proofs of what one node has.
pub struct Prover<'a> {
    history: &'a dyn History,
    pub(super) genesis: &'a Genesis,
}

impl<'a> Prover<'a> {
    /// A prover of what stands here.
    #[must_use]
    pub const fn new(history: &'a dyn History, genesis: &'a Genesis) -> Self {
        Self { history, genesis }
    }

    /// Where the entry of a submission stands, in whatever log.
    #[must_use]
    pub fn find(&self, identity: &Digest) -> Option<(LogId, OwnEntry)> {
        log_rows(self.history).into_iter().find_map(|(log, _)| {
            let transfer = self.history.transfer(&log, identity).map(|row| row.at);
            let at = transfer.or_else(|| self.history.submission(&log, identity))?;
            Some((log, at))
        })
    }

    /// The entry at a position and index of a log's chain.
    #[must_use]
    pub fn at(&self, log: &LogId, seq: u64, index: u64) -> Option<OwnEntry> {
        let row = self.history.log(log)?;
        let epoch = self.history.epoch_of(log, row.epoch, seq);
        Some(OwnEntry { epoch, seq, index })
    }

    /// The proof of an entry; with `checkpoint` also that its vertex stands under the newest one.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn entry(&self, log: &LogId, at: OwnEntry, checkpoint: bool) -> Result<Proof, ProofError> {
        let row = self.history.log(log).ok_or(ProofError::Absent)?;
        let receipt = self.receipt(log, &row, at);
        let receipt = receipt.ok_or_else(|| match self.history.entry_stub(log, &at) {
            Some(_) => ProofError::Pruned { seq: at.seq },
            None => ProofError::Absent,
        })?;
        let mut proof = Proof {
            v: 1,
            entry: Some(receipt),
            path: None,
            state: None,
            checkpoint: None,
        };
        if checkpoint {
            let newest = self.newest(log).filter(|newest| at.seq <= newest.seq);
            let newest = newest.ok_or(ProofError::NoCheckpoint)?;
            let held = self.receipt(log, &row, newest.at);
            proof.checkpoint = Some(held.ok_or(ProofError::NoCheckpoint)?);
            let ids = (1..=newest.seq).map(|seq| self.history.vertex_on_chain(log, row.epoch, seq));
            let leaves = ids
                .map(|id| Some(vertex_leaf(&id?)))
                .collect::<Option<Vec<_>>>();
            let leaves = leaves.ok_or(ProofError::Absent)?;
            let index = usize::try_from(at.seq - 1).map_err(|_| ProofError::Absent)?;
            proof.path = Some(
                merkle_path(&leaves, index)
                    .into_iter()
                    .map(Digest)
                    .collect(),
            );
        }
        Ok(proof)
    }

    /// The proof of what an account had at its home's newest checkpoint.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn account(&self, log: &LogId, account: &AccountId) -> Result<Proof, ProofError> {
        let receipt = self.checkpoint(log).ok_or(ProofError::NoCheckpoint)?;
        let held = Held::verify(&receipt, self.genesis).map_err(|_| ProofError::Blocks)?;
        let (mut hashes, mut found) = (Vec::new(), None);
        let look = |leaf: &Leaf| {
            if matches!(leaf, Leaf::Account(of) if of.account == *account) {
                found = Some((hashes.len(), leaf.clone()));
            }
            hashes.push(Leaf::hash(&leaf.to_bytes()));
        };
        verify_snapshot(&held.body, |id| self.history.block(id), look)
            .map_err(|_| ProofError::Blocks)?;
        let (index, leaf) = found.ok_or(ProofError::NoAccount)?;
        let path = merkle_path(&hashes, index)
            .into_iter()
            .map(Digest)
            .collect();
        let index = index as u64;
        Ok(Proof {
            v: 1,
            entry: None,
            path: None,
            state: Some(StatePart { leaf, index, path }),
            checkpoint: Some(receipt),
        })
    }

    /// The proof that a transfer was accepted in time and given back as expired all the same.
    ///
    /// # Errors
    /// [`ProofError::Absent`] where the transfer or one of the three vertices is not here, else
    /// [`ProofError::NothingFalse`].
    pub fn false_refund(&self, identity: &Digest) -> Result<FalseRefund, ProofError> {
        let logs = log_rows(self.history).into_iter();
        let sent = |(log, row)| Some((log, row, self.history.transfer(&log, identity)?));
        let (log, row, transfer) = logs.filter_map(sent).next().ok_or(ProofError::Absent)?;
        let home = transfer.receiver_home;
        let answer = self.history.answer(&home, identity);
        let answer = answer.filter(|answer| !answer.rejected);
        let refunded = transfer.state == TransferState::Refunded;
        let taken = answer
            .filter(|_| refunded)
            .ok_or(ProofError::NothingFalse)?;
        let there = self.history.log(&home).ok_or(ProofError::Absent)?;
        let back = self
            .refund_of(&log, &row, identity)
            .ok_or(ProofError::Absent)?;
        let receipts = (
            self.receipt(&log, &row, transfer.at),
            self.receipt(&home, &there, taken.at),
            self.receipt(&log, &row, back),
        );
        let (Some(transfer), Some(accept), Some(refund)) = receipts else {
            return Err(ProofError::Absent);
        };
        let proof = FalseRefund::of(transfer, accept, refund);
        match proof.verify(self.genesis) {
            Ok(_) => Ok(proof),
            Err(_) => Err(ProofError::NothingFalse),
        }
    }

    /// Where a log gave a transfer back, looked for from its head.
    fn refund_of(&self, log: &LogId, row: &LogRow, transfer: &Digest) -> Option<OwnEntry> {
        let lowest = row.seq.saturating_sub(MAX_SEARCHED) + 1;
        (lowest..=row.seq).rev().find_map(|seq| {
            let id = self.history.vertex_on_chain(log, row.epoch, seq)?;
            let vertex = self.history.vertex(&id)?;
            let entries = decode_body(&self.history.block(&vertex.body)?).ok()?;
            let is_it = |entry: &Entry| {
                entry.kind == Kind::Refund
                    && Refund::read(&entry.body).is_ok_and(|body| body.transfer == *transfer)
            };
            let index = entries.iter().position(is_it)? as u64;
            let epoch = vertex.epoch;
            Some(OwnEntry { epoch, seq, index })
        })
    }

    /// The receipt of a log's newest checkpoint.
    #[must_use]
    pub fn checkpoint(&self, log: &LogId) -> Option<Receipt> {
        let row = self.history.log(log)?;
        self.receipt(log, &row, self.newest(log)?.at)
    }

    fn newest(&self, log: &LogId) -> Option<CheckpointRow> {
        self.rows(log).pop()
    }

    /// Every checkpoint of a log that was found to be its state, oldest first.
    pub(super) fn rows(&self, log: &LogId) -> Vec<CheckpointRow> {
        let prefix = key(Table::Checkpoint, &[&log.0]);
        let rows = self.history.rows(&prefix, None, MAX_CHECKPOINTS);
        rows.iter()
            .filter_map(|(_, row)| try_read_row(row))
            .collect()
    }

    /// The log in which an account is.
    pub(super) fn home_of(&self, account: &AccountId) -> Option<LogId> {
        let mut logs = log_rows(self.history).into_iter().map(|(log, _)| log);
        logs.find(|log| account.is_of(log))
    }

    fn receipt(&self, log: &LogId, row: &LogRow, at: OwnEntry) -> Option<Receipt> {
        let authority = stored_authority(self.history, self.genesis, log, row.epoch)?;
        let nothing = Changes::default();
        let rows = Layers {
            history: self.history,
            batch: &nothing,
            vertex: None,
        };
        let identity = Digest([0; 32]);
        stored_receipt(&rows, &authority, identity, at).map(|booked| booked.receipt)
    }
}
