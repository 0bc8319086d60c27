//! Proofs out of the store: the receipt of any entry, its vertex under the newest checkpoint, an account in its state.

use city_protocol::body::OwnEntry;
use city_protocol::checkpoint::{Held, Leaf, Proof, StatePart, verify_snapshot, vertex_leaf};
use city_protocol::genesis::Genesis;
use city_protocol::ids::{AccountId, BlockId, Digest, LogId};
use city_protocol::ledger::{
    Changes, CheckpointRow, History, Layers, LogRow, Rows as _, Table, key, try_read_row,
};
use city_protocol::replica::stored_receipt;
use city_protocol::vertex::{Authority, Entry, Receipt, decode_body, merkle_path};

use crate::journal::log_rows;

/// Most checkpoints of a log that are looked through for the newest: one an hour for a century.
const MAX_CHECKPOINTS: usize = 1_000_000;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Nothing stands there.
    #[error(
        "nothing is stored there, or its body was pruned: look in the archive that was written then"
    )]
    Absent,
    /// There is no checkpoint that covers it.
    #[error(
        "no checkpoint covers it yet; its home writes one a day, or now: city-node ledger checkpoint make"
    )]
    NoCheckpoint,
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
    genesis: &'a Genesis,
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
        let receipt = self.receipt(log, &row, at).ok_or(ProofError::Absent)?;
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

    /// The receipt of a log's newest checkpoint.
    #[must_use]
    pub fn checkpoint(&self, log: &LogId) -> Option<Receipt> {
        let row = self.history.log(log)?;
        self.receipt(log, &row, self.newest(log)?.at)
    }

    fn newest(&self, log: &LogId) -> Option<CheckpointRow> {
        let prefix = key(Table::Checkpoint, &[&log.0]);
        let rows = self.history.rows(&prefix, None, MAX_CHECKPOINTS);
        try_read_row(&rows.last()?.1)
    }

    fn receipt(&self, log: &LogId, row: &LogRow, at: OwnEntry) -> Option<Receipt> {
        let authority = authority_of(self.history, self.genesis, log, row.epoch)?;
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

/// Who signs a log up to an epoch, as the log itself says.
pub(super) fn authority_of(
    history: &dyn History,
    genesis: &Genesis,
    log: &LogId,
    epoch: u64,
) -> Option<Authority> {
    let first = |id: &BlockId| -> Option<Entry> {
        let vertex = history.vertex(id)?;
        let entries = decode_body(&history.block(&vertex.body)?).ok()?;
        entries.into_iter().next()
    };
    let row = history.log(log)?;
    let begin = Authority::from_charter(genesis, &first(&row.first)?.body).ok()?;
    (2..=epoch).try_fold(begin, |authority, epoch| {
        let start = first(&history.epoch(log, epoch)?.id)?;
        authority.begin_epoch(genesis, &start).ok()
    })
}
