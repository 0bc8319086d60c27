//! `ledger prune`: which bodies may go, the archive that they go to first, and the ledger written again with stubs in
//! their place.
//!
//! The rule of what may go is the protocol's (`ledger::stub_of`); here is the order: archive, durable and read again, then the
//! ledger, under a manifest as in every compaction.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use city_protocol::amount::Timestamp;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{CheckpointRow, History, Rows as _, Stays, prunable_to, stub_of};
use city_protocol::vertex::{SignedHeader, decode_body};
use serde::Serialize;

use super::ahead::Beside;
use super::compact::Dead;
use crate::store::{
    ArchiveError, ArchiveReader, Block, CompactError, Compacted, Fate, Location, Position,
    ReadError, Store,
};

/// Most bytes of stubs in one run: they are held in memory until the ledger is written again. About 500,000 transfers;
/// what is more goes in the next run.
const MAX_STUBS: usize = 256 << 20;

/// What of one log is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrunedLog {
    /// The log.
    pub log: LogId,
    /// Bodies.
    pub bodies: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The position of the newest checkpoint that this node found to be the log's state: everything lies behind it.
    pub checkpoint: u64,
}

/// What a run prunes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PruneReport {
    /// What goes, in order of the logs' ids.
    pub logs: Vec<PrunedLog>,
    /// Bodies that are old enough and stay, and why.
    pub stays: BTreeMap<&'static str, u64>,
    /// Bytes of what is left of the bodies that go.
    pub stub_bytes: u64,
    /// Whether there is more than one run takes: run it again.
    pub more: bool,
}

impl PruneReport {
    /// How many bodies go.
    #[must_use]
    pub fn bodies(&self) -> u64 {
        self.logs.iter().map(|log| log.bodies).sum()
    }

    /// Bytes of them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.logs.iter().map(|log| log.bytes).sum()
    }
}

/// A body that is to go.
struct Leaving {
    id: BlockId,
    body: Location,
    header: Location,
}

/// What is to be done.
pub struct PrunePlan {
    /// What people are told of it.
    pub report: PruneReport,
    leaving: Vec<Leaving>,
    /// What stands where a body stood.
    stubs: HashMap<Position, Vec<u8>>,
    /// Bodies that came back from an archive, and their second headers: their stubs are here.
    again: HashSet<Position>,
}

/// Why bodies could not be archived.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The archive could not be written.
    #[error(
        "the archive could not be written; nothing was pruned: look at its disk and the free space"
    )]
    Write(#[source] io::Error),
    /// The archive could not be read again.
    #[error("the archive cannot be read again ({0}); nothing was pruned: write it to another disk")]
    Archive(#[from] ArchiveError),
    /// Something is missing in it.
    #[error(
        "the archive holds {found} of {expected} bodies; nothing was pruned: write it to another disk"
    )]
    Short {
        /// Bodies in it.
        found: u64,
        /// Bodies that are to go.
        expected: u64,
    },
    /// The ledger could not be written again.
    #[error(transparent)]
    Compact(#[from] CompactError),
}

impl PrunePlan {
    /// Looks through a store whose index is up to date for what may go of the vertices before a moment.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn make(
        store: &Store,
        history: &dyn History,
        before: Timestamp,
    ) -> Result<Self, ReadError> {
        let mut plan = Self {
            report: PruneReport::default(),
            leaving: Vec::new(),
            stubs: HashMap::new(),
            again: HashSet::new(),
        };
        let mut logs: BTreeMap<LogId, (Option<CheckpointRow>, PrunedLog)> = BTreeMap::new();
        let mut stubbed: HashSet<BlockId> = HashSet::new();
        let mut bytes = 0;
        let mut beside: Option<Beside> = None;
        let mut named: Option<BlockId> = None;
        for block in store.blocks_from(Position::START) {
            let block = match block {
                Ok(block) => block,
                // What matters is found by the compaction, which then refuses.
                Err(ReadError::Damaged(_)) => continue,
                Err(error) => return Err(error),
            };
            let Ok(header) = SignedHeader::read(&block.bytes) else {
                beside = Some(Beside::new(block, named.take()));
                continue;
            };
            let h = &header.header;
            let Some(body) = beside.take() else {
                named = Some(h.body);
                continue;
            };
            if body.stub_of(&header).is_some() {
                stubbed.insert(header.id);
                continue;
            }
            let body = body.block;
            if body.id != h.body {
                named = Some(h.body);
                continue;
            }
            if h.time >= before {
                continue;
            }
            let (checkpoint, sums) = logs.entry(h.log).or_insert_with(|| {
                let checkpoint = prunable_to(history, &h.log);
                let sums = PrunedLog {
                    log: h.log,
                    bodies: 0,
                    entries: 0,
                    bytes: 0,
                    checkpoint: checkpoint.map_or(0, |row| row.seq),
                };
                (checkpoint, sums)
            });
            let covered = checkpoint.is_some_and(|row| h.seq <= row.seq);
            let stub = match plan.judge(history, &header, &body, covered) {
                Ok(stub) => stub,
                Err(why) => {
                    *plan.report.stays.entry(why).or_default() += 1;
                    continue;
                }
            };
            sums.bodies += 1;
            sums.entries += h.count;
            sums.bytes += u64::from(body.at.len);
            if stubbed.contains(&header.id) {
                plan.again.extend([body.at.start(), block.at.start()]);
            } else {
                if bytes + stub.len() > MAX_STUBS {
                    (sums.bodies, sums.entries) = (sums.bodies - 1, sums.entries - h.count);
                    sums.bytes -= u64::from(body.at.len);
                    plan.report.more = true;
                    break;
                }
                bytes += stub.len();
                plan.stubs.insert(body.at.start(), stub);
            }
            plan.leaving.push(Leaving {
                id: body.id,
                body: body.at,
                header: block.at,
            });
        }
        plan.report.stub_bytes = bytes as u64;
        let sums = logs.into_values().map(|(_, sums)| sums);
        plan.report.logs = sums.filter(|sums| sums.bodies > 0).collect();
        Ok(plan)
    }

    /// The block that is to stand in a body's place, or why the body stays.
    fn judge(
        &self,
        history: &dyn History,
        header: &SignedHeader,
        body: &Block,
        covered: bool,
    ) -> Result<Vec<u8>, &'static str> {
        let vertex = history.vertex(&header.id).ok_or("elsewhere")?;
        let entries = decode_body(&body.bytes).map_err(|_| "elsewhere")?;
        let stub = stub_of(history, (header.id, &vertex), &entries);
        let stub = stub.map_err(|why| match why {
            Stays::Kept => "kept",
            Stays::Open => "open",
            Stays::Evidence => "evidence",
            Stays::Elsewhere => "elsewhere",
        })?;
        if !covered {
            return Err("no-checkpoint");
        }
        let vouched = stub.belongs_to(&header.header);
        vouched.then(|| stub.to_block()).ok_or("elsewhere")
    }

    /// Whether nothing goes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaving.is_empty()
    }

    /// Gives the genesis block and each body that goes, with its header behind it, to an archive.
    ///
    /// # Errors
    /// [`PruneError`].
    pub fn archive(
        &self,
        store: &Store,
        genesis: &Genesis,
        take: &mut dyn FnMut(&BlockId, &[u8]) -> io::Result<()>,
    ) -> Result<(), PruneError> {
        let root = genesis.to_block();
        take(&BlockId::of(&root), &root).map_err(PruneError::Write)?;
        for leaving in &self.leaving {
            for at in [&leaving.body, &leaving.header] {
                let block = store.read_block(at)?;
                take(&block.id, &block.bytes).map_err(PruneError::Write)?;
            }
        }
        Ok(())
    }

    /// Reads an archive to its end, every hash of it, and looks whether each body is in it.
    ///
    /// # Errors
    /// [`PruneError`].
    pub fn check(&self, archive: &ArchiveReader) -> Result<(), PruneError> {
        let mut missing: HashSet<BlockId> = self.leaving.iter().map(|body| body.id).collect();
        let expected = missing.len() as u64;
        archive.each(|block| {
            missing.remove(&block.id);
            Ok::<(), ArchiveError>(())
        })?;
        match missing.len() as u64 {
            0 => Ok(()),
            short => Err(PruneError::Short {
                found: expected - short,
                expected,
            }),
        }
    }

    /// Writes the ledger again with the stubs, and without what else is dead in it. Then the index is to be made again.
    ///
    /// # Errors
    /// [`PruneError`].
    pub fn prune(self, store: Store) -> Result<Compacted, PruneError> {
        let dead = Dead::of(&store)?;
        let Self {
            mut stubs, again, ..
        } = self;
        let mut fate = |block: &Block| {
            let at = block.at.start();
            if dead.holds(&block.at) || again.contains(&at) {
                return Fate::Goes;
            }
            match stubs.remove(&at) {
                Some(stub) => Fate::Becomes(BlockId::of(&stub), stub),
                None => Fate::Stays,
            }
        };
        Ok(store.compact(&mut fate)?)
    }
}
