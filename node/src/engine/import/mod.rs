//! `store import`: vertices of a CAR file are judged as if a peer had sent them, all of them, before one is written.
//!
//! They are folded over the store into a store of its own beside it, which is thrown away; only when everything held are
//! their blocks appended, group by group, and indexed as after a crash. A crash in between leaves whole vertices that hold,
//! and the same import goes on from there.
//!
//! `judge` verifies and folds · `on_trust` stubs in the place of bodies, and bodies that come later · `error` why not.

mod error;
mod judge;
mod on_trust;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::replica::Replica;
use city_protocol::vertex::SignedHeader;
use serde::{Deserialize, Serialize};

use super::graph::Graph;
use super::{StoreHistory, bring_up_to_date};
use crate::store::{
    AppendError, ArchiveReader, OpenOutcome, Position, Store, StoreError, StoreOptions, TrustMark,
};

pub use error::ImportError;
use judge::{Judge, Judged};
use on_trust::{OnTrust, has_bodies};

/// The directory in the data directory where an import is judged.
pub const IMPORT_DIR: &str = "import.tmp";
/// Bytes after which a group of verified blocks is appended with the end of its vertex.
const GROUP_BYTES: usize = 4 << 20;

/// What came of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedLog {
    /// The log.
    pub log: LogId,
    /// Vertices that were not here.
    pub vertices: u64,
    /// Entries in them.
    pub entries: u64,
    /// The epoch of its head now.
    pub epoch: u64,
    /// The position of its head now.
    pub seq: u64,
}

/// What of one log was taken on trust: stubs in the place of bodies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedLog {
    /// The log.
    pub log: LogId,
    /// How many bodies.
    pub bodies: u64,
    /// Epoch of the state that the checkpoint behind them names.
    pub epoch: u64,
    /// Its position.
    pub seq: u64,
    /// The vertex in which the checkpoint stands.
    pub vertex: BlockId,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// What came, in order of the logs' ids.
    pub logs: Vec<ImportedLog>,
    /// Vertices that were here.
    pub known: u64,
    /// Of them those whose bodies were pruned and are here again.
    pub bodies: u64,
    /// Blocks that are no vertex's and were left out.
    pub left_out: u64,
    /// What of the logs was taken on trust, in order of their ids.
    pub trusted: Vec<TrustedLog>,
    /// Logs of which nothing is on trust any more: all bodies are here.
    pub borne_out: Vec<LogId>,
    /// Logs that stand still since this import, and why: the file proves that they broke a rule.
    pub frozen: Vec<(LogId, String)>,
    /// Whether the own log may be longer than what is here now: the node then signs nothing until its peers have nothing
    /// newer of it.
    pub own_unconfirmed: bool,
}

/// What an operator lets an import do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Take proofs against logs, too.
    pub with_faults: bool,
    /// Take stubs in the place of bodies, as far as checkpoints bear them out: the SHA-256 of the file, by which that is
    /// remembered.
    pub on_trust: Option<Digest>,
}

/// Where to import, and on what terms.
pub struct Importer<'a> {
    /// The store, its index up to date.
    pub store: &'a Arc<Store>,
    /// Its directory.
    pub dir: PathBuf,
    /// How it was opened: the store beside it is opened in the same way.
    pub options: StoreOptions,
    /// The genesis record.
    pub genesis: &'a Genesis,
    /// The own log.
    pub own: LogId,
    /// Replicas that sequence nothing.
    pub replica: &'a dyn Fn() -> Replica,
    /// On what terms.
    pub terms: Terms,
}

impl Importer<'_> {
    /// Judges a file and takes what is new in it. `progress` is told how many vertices were judged.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn import(
        &self,
        file: &ArchiveReader,
        mut progress: impl FnMut(u64),
    ) -> Result<ImportReport, ImportError> {
        let expected = self.genesis.network();
        let found = file.root();
        if found != expected {
            return Err(ImportError::OtherNetwork { found, expected });
        }
        let mut graph = Graph::default();
        file.each(|block| {
            graph.add(&block);
            Ok::<(), ImportError>(())
        })?;
        self.clear()?;
        let judged = self.judge(file, &graph, &mut progress);
        let done = judged.and_then(|(aside, judged)| {
            let taken = self.take(&aside, judged);
            drop(aside);
            taken
        });
        // Also if it was refused.
        if let Err(error) = self.clear() {
            tracing::warn!(%error, "{IMPORT_DIR} could not be removed: the next import does");
        }
        done
    }

    fn clear(&self) -> io::Result<()> {
        match self.options.files.remove_dir(&self.dir.join(IMPORT_DIR)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Folds everything over the store, and writes it into the one beside.
    fn judge(
        &self,
        file: &ArchiveReader,
        graph: &Graph,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Arc<Store>, Judged), ImportError> {
        let network = self.genesis.network();
        let options = StoreOptions {
            keep_row: None,
            ..self.options.clone()
        };
        let (aside, _) =
            Store::open(&self.dir.join(IMPORT_DIR), network, options).map_err(aside)?;
        let aside = Arc::new(aside);
        let marks = self.store.notes().trusted_up_to()?;
        let on_trust = OnTrust::new(self.own, self.terms.on_trust, marks);
        let judge = Judge::new(self, (file, graph), Arc::clone(&aside), on_trust);
        let judged = judge.all(progress)?;
        Ok((aside, judged))
    }

    /// Appends what was judged, and brings the index up to date.
    fn take(&self, aside: &Store, judged: Judged) -> Result<ImportReport, ImportError> {
        let Judged { mut report, marks } = judged;
        let needed = aside.ledger().bytes()?;
        let reserve = self.options.limits.space_reserve;
        if self.options.files.free_space(&self.dir)? < needed.saturating_add(reserve) {
            return Err(ImportError::Full { needed });
        }
        report.own_unconfirmed = self.guard_own_log(&report)?;
        // Before any of it is in the ledger: what is there nobody has to take for seen.
        self.store.notes().note_trusted(&marks)?;
        let before = self.store.watermark();
        let mut group: Vec<(BlockId, Vec<u8>)> = Vec::new();
        let mut bytes = 0;
        let whole = |group: &mut Vec<(BlockId, Vec<u8>)>| -> Result<(), AppendError> {
            let blocks: Vec<(BlockId, &[u8])> = group
                .iter()
                .map(|(id, bytes)| (*id, bytes.as_slice()))
                .collect();
            self.store.append_group(&blocks)?;
            group.clear();
            Ok(())
        };
        for block in aside.blocks_from(Position::START) {
            let block = block.map_err(|error| ImportError::Aside(Box::new(error)))?;
            bytes += block.bytes.len();
            let ends = SignedHeader::read(&block.bytes).is_ok();
            group.push((block.id, block.bytes));
            if bytes >= GROUP_BYTES && ends {
                whole(&mut group)?;
                bytes = 0;
            }
        }
        whole(&mut group)?;
        if let Some(mark) = before {
            let outcome = OpenOutcome::CatchUp(mark);
            let mut replica = (self.replica)();
            bring_up_to_date(self.store, self.genesis, &mut replica, outcome, |_| ())?;
        }
        report.borne_out = self.forget_borne_out()?;
        Ok(report)
    }

    /// Forgets that something was taken on trust where all bodies are here: each was held to its stub as it came.
    fn forget_borne_out(&self) -> Result<Vec<LogId>, ImportError> {
        let notes = self.store.notes();
        let history = StoreHistory::new(Arc::clone(self.store));
        let mut logs = BTreeSet::new();
        for (log, seq) in notes.trusted_up_to()? {
            if has_bodies(&history, &log, seq) {
                logs.insert(log);
            }
        }
        notes.forget_trusted(&logs)?;
        Ok(logs.into_iter().collect())
    }

    /// Own vertices that this directory did not know of prove that it is older than the log: nobody but peers can tell
    /// whether there are more. Noted before the first of them is written.
    fn guard_own_log(&self, report: &ImportReport) -> Result<bool, ImportError> {
        let Some(own) = report.logs.iter().find(|part| part.log == self.own) else {
            return Ok(false);
        };
        let notes = self.store.notes();
        let repaired = notes
            .high_water()?
            .is_some_and(|mark| (mark.epoch, mark.seq) == (own.epoch, own.seq));
        if repaired {
            // A lost end is back, as far as this directory ever knew.
            return Ok(false);
        }
        notes.note_gone()?;
        notes.begun()?;
        Ok(true)
    }
}

fn aside(error: StoreError) -> ImportError {
    ImportError::Aside(Box::new(error))
}
