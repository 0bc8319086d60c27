//! `store import`: vertices of a CAR file are judged as if a peer had sent them, all of them, before one is written.
//!
//! They are folded over the store into a store of its own beside it, which is thrown away; only when everything held are
//! their blocks appended, group by group, and indexed as after a crash. A crash in between leaves whole vertices that hold,
//! and the same import goes on from there.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use city_protocol::Refusal;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{Changes, Frozen, History, Rows as _};
use city_protocol::replica::{Action, ClockQuality, Input, MAX_AHEAD_MS, Now, Replica};
use city_protocol::vertex::{SignedHeader, VerifiedVertex};
use serde::{Deserialize, Serialize};

use super::graph::{Facts, Graph};
use super::overlay::{Overlay, OverlayError};
use super::{Directory, RebuildError, bring_up_to_date, utc};
use crate::store::{
    AppendError, ArchiveError, ArchiveReader, Location, OpenOutcome, Position, Store, StoreError,
    StoreOptions,
};

/// The directory in the data directory where an import is judged.
pub const IMPORT_DIR: &str = "import.tmp";
/// Vertices that are verified and folded together.
const STEP_VERTICES: usize = 64;
/// Bytes of their blocks after which a step ends anyway: with the longest vertices 64 would be 70 MB.
const STEP_BYTES: u64 = 16 << 20;
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
    /// Logs that stand still since this import, and why: the file proves that they broke a rule.
    pub frozen: Vec<(LogId, String)>,
    /// Whether the own log may be longer than what is here now: the node then signs nothing until its peers have nothing
    /// newer of it.
    pub own_unconfirmed: bool,
}

/// Why nothing was imported. Of what was refused nothing is kept.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It belongs to another network.
    #[error("the file belongs to network {found} (wrong-network), this node to {expected}")]
    OtherNetwork {
        /// The root in its header.
        found: BlockId,
        /// This node's.
        expected: BlockId,
    },
    /// A vertex does not hold.
    #[error("vertex {vertex}: {refusal} ({code}); nothing was imported", code = refusal.code())]
    Refused {
        /// The vertex.
        vertex: BlockId,
        /// Why.
        refusal: Refusal,
    },
    /// A vertex rests on what is neither in the file nor here.
    #[error(
        "vertex {vertex}: {missing} is neither in the file nor here (missing-block); nothing was imported: import what comes before it first"
    )]
    Missing {
        /// The vertex.
        vertex: BlockId,
        /// What it rests on.
        missing: BlockId,
    },
    /// The file proves that a log broke a rule.
    #[error(
        "log {log}: the file proves that it broke a rule ({code}) and would freeze it here; nothing was imported: if that is \
         wanted, give --with-faults"
    )]
    Fault {
        /// The log.
        log: LogId,
        /// `equivocation`, or the refusal's code.
        code: String,
    },
    /// Two file systems' worth of space is needed for a while.
    #[error("the disk is full: {needed} bytes and the reserve are needed; nothing was imported")]
    Full {
        /// Bytes of what would come.
        needed: u64,
    },
    /// The store beside the store.
    #[error("what is imported could not be judged in {IMPORT_DIR}; nothing was imported")]
    Aside(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The ledger could not be written.
    #[error(
        "the ledger could not be written: what came until now holds; look at the disk, and import the file again"
    )]
    Append(#[from] AppendError),
    /// The index could not follow.
    #[error(
        "the blocks are in the ledger, the index does not follow: the next start makes it again"
    )]
    Rebuild(#[from] RebuildError),
    /// The store's files.
    #[error("the data directory could not be written; look at the disk and its rights")]
    Io(#[from] io::Error),
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
    /// Whether proofs against logs are taken, too.
    pub with_faults: bool,
}

/// A vertex of the file that is not here yet.
struct Candidate {
    id: BlockId,
    log: LogId,
    entries: u64,
    header: Location,
    body: BodyAt,
}

#[derive(Clone, Copy)]
enum BodyAt {
    File(Location),
    Store(BlockId),
    Nowhere(BlockId),
}

impl Candidate {
    /// Bytes of the body in the file.
    const fn body_len(&self) -> u32 {
        match self.body {
            BodyAt::File(at) => at.len,
            BodyAt::Store(_) | BodyAt::Nowhere(_) => 0,
        }
    }
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
        let done = judged.and_then(|(aside, report)| {
            let taken = self.take(&aside, report);
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
    ) -> Result<(Arc<Store>, ImportReport), ImportError> {
        let network = self.genesis.network();
        let options = StoreOptions {
            keep_row: None,
            ..self.options.clone()
        };
        let (aside, _) =
            Store::open(&self.dir.join(IMPORT_DIR), network, options).map_err(aside)?;
        let aside = Arc::new(aside);
        let overlay = Overlay::new(Arc::clone(self.store), Arc::clone(&aside), network);
        let mut judge = Judge {
            file,
            graph,
            genesis: self.genesis,
            replica: (self.replica)(),
            overlay,
            directory: Directory::default(),
            // With this clock nothing is entered into the own log.
            now: Now {
                time: utc(),
                quality: ClockQuality::Floor,
            },
            with_faults: self.with_faults,
            report: ImportReport::default(),
            came: BTreeMap::new(),
        };
        judge.start()?;
        let (mut candidates, pruned) = judge.candidates();
        judge.bring_back(&pruned)?;
        let halves: Vec<Candidate> = candidates
            .extract_if(.., |c| matches!(c.body, BodyAt::Nowhere(_)))
            .collect();
        let mut rest = candidates.as_slice();
        let mut done = 0;
        while !rest.is_empty() {
            let step;
            (step, rest) = rest.split_at(step_of(rest.iter().map(Candidate::body_len)));
            judge.step(step)?;
            done += step.len() as u64;
            progress(done);
        }
        judge.evidence(&halves)?;
        let report = judge.finish();
        Ok((aside, report))
    }

    /// Appends what was judged, and brings the index up to date.
    fn take(&self, aside: &Store, mut report: ImportReport) -> Result<ImportReport, ImportError> {
        let needed = aside.ledger().bytes()?;
        let reserve = self.options.limits.space_reserve;
        if self.options.files.free_space(&self.dir)? < needed.saturating_add(reserve) {
            return Err(ImportError::Full { needed });
        }
        report.own_unconfirmed = self.guard_own_log(&report)?;
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
        Ok(report)
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

/// How many vertices the next step takes, by the lengths of their bodies in the file.
fn step_of(bodies: impl Iterator<Item = u32>) -> usize {
    let mut bytes = 0;
    let fits = bodies.take(STEP_VERTICES).take_while(|len| {
        let room = bytes < STEP_BYTES;
        bytes += u64::from(*len);
        room
    });
    fits.count()
}

fn aside(error: StoreError) -> ImportError {
    ImportError::Aside(Box::new(error))
}

struct Judge<'a> {
    file: &'a ArchiveReader,
    graph: &'a Graph,
    genesis: &'a Genesis,
    replica: Replica,
    overlay: Overlay,
    directory: Directory,
    now: Now,
    with_faults: bool,
    report: ImportReport,
    came: BTreeMap<LogId, (u64, u64)>,
}

impl Judge<'_> {
    fn start(&mut self) -> Result<(), ImportError> {
        drop(self.replica.handle(Input::Started, self.now, &self.overlay));
        self.commit()?;
        let known = self.replica.authorities();
        self.directory.learn_authorities(known.iter());
        Ok(())
    }

    /// The vertices of the file that are not here, each behind what it links to; and the bodies, with their headers, that
    /// were pruned here.
    fn candidates(&mut self) -> (Vec<Candidate>, Vec<[Location; 2]>) {
        let network = self.genesis.network();
        let bodies = self.graph.bodies(|_| true);
        let mut candidates = Vec::new();
        let mut pruned = Vec::new();
        for node in self.graph.causal(|_| true) {
            let Some(facts) = &node.vertex else {
                let of_ours = node.id == network || bodies.contains(&node.id);
                self.report.left_out += u64::from(!of_ours);
                continue;
            };
            let history: &dyn History = &self.overlay;
            let refused = || history.invalid(&facts.log, facts.epoch) == Some(node.id);
            let folds =
                is_unfolded(history, &node.id, facts) && self.graph.get(&facts.body).is_some();
            if history.vertex(&node.id).is_some() && !folds || refused() {
                self.report.known += 1;
                let absent = !self.overlay.base_has(&facts.body);
                let body = self.graph.get(&facts.body).filter(|_| absent);
                pruned.extend(body.map(|body| [body.at, node.at]));
                continue;
            }
            let body = match self.graph.get(&facts.body) {
                Some(body) => BodyAt::File(body.at),
                None if self.overlay.base_has(&facts.body) => BodyAt::Store(facts.body),
                None => BodyAt::Nowhere(facts.body),
            };
            candidates.push(Candidate {
                id: node.id,
                log: facts.log,
                entries: facts.count,
                header: node.at,
                body,
            });
        }
        (candidates, pruned)
    }

    /// Takes bodies of vertices that are here: the hashes in their headers say that they are the same.
    fn bring_back(&mut self, pruned: &[[Location; 2]]) -> Result<(), ImportError> {
        let mut rest = pruned;
        while !rest.is_empty() {
            let step;
            (step, rest) = rest.split_at(step_of(rest.iter().map(|[body, _]| body.len)));
            let mut changes = Changes::default();
            for at in step.iter().flatten() {
                let block = self.file.block(at)?;
                changes.blocks.push((BlockId::of(&block), block));
            }
            let written = self.overlay.write(changes);
            written.map_err(|error: OverlayError| ImportError::Aside(error.into()))?;
            self.report.bodies += step.len() as u64;
        }
        Ok(())
    }

    /// Verifies some vertices on every core, then folds them in order and looks what became of each.
    fn step(&mut self, step: &[Candidate]) -> Result<(), ImportError> {
        let mut blocks = Vec::with_capacity(step.len());
        for candidate in step {
            let header = self.file.block(&candidate.header)?;
            let body = match candidate.body {
                BodyAt::File(at) => self.file.block(&at)?,
                BodyAt::Store(id) | BodyAt::Nowhere(id) => {
                    let missing = ImportError::Missing {
                        vertex: candidate.id,
                        missing: id,
                    };
                    self.overlay.block(&id).ok_or(missing)?
                }
            };
            blocks.push((header, body));
        }
        let verified = self.verify(&blocks);
        let mut codes = HashMap::new();
        for ((candidate, verified), (header, body)) in step.iter().zip(verified).zip(blocks) {
            let refused = |refusal| ImportError::Refused {
                vertex: candidate.id,
                refusal,
            };
            let vertex = match verified {
                // Its log's first vertex, or the first of its epoch, stands in this step and is known by now.
                Err(Refusal::UnknownLog) => {
                    VerifiedVertex::verify(self.genesis, &self.directory, &header, body)
                }
                verdict => verdict,
            };
            let vertex = vertex.map_err(refused)?;
            if vertex.header.header.time > self.now.time.plus_ms(MAX_AHEAD_MS) {
                return Err(refused(Refusal::FutureDated));
            }
            self.directory.learn_authority(&vertex.authority);
            if let Ok(entries) = &vertex.entries {
                self.directory.learn_keys(entries);
            }
            let input = Input::Replay(Box::new(vertex));
            let told = self.replica.handle(input, self.now, &self.overlay);
            self.hear(told, &mut codes)?;
        }
        let told = self.commit()?;
        self.hear(told, &mut codes)?;
        step.iter()
            .try_for_each(|candidate| self.is_here(candidate))
    }

    fn verify(&self, blocks: &[(Vec<u8>, Vec<u8>)]) -> Vec<Result<VerifiedVertex, Refusal>> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let each = blocks.len().div_ceil(cores).max(1);
        let (genesis, directory) = (self.genesis, &self.directory);
        let verify = |part: &[(Vec<u8>, Vec<u8>)]| -> Vec<Result<VerifiedVertex, Refusal>> {
            let verify = |(header, body): &(Vec<u8>, Vec<u8>)| {
                VerifiedVertex::verify(genesis, directory, header, body.clone())
            };
            part.iter().map(verify).collect()
        };
        std::thread::scope(|scope| {
            let parts: Vec<_> = blocks
                .chunks(each)
                .map(|part| scope.spawn(move || verify(part)))
                .collect();
            let verdicts = parts.into_iter().map(|part| part.join());
            verdicts
                .flat_map(|part| part.expect("verifying does not panic"))
                .collect()
        })
    }

    /// Headers whose bodies are nowhere: halves of proofs against their logs, or else their bodies are missing.
    fn evidence(&mut self, halves: &[Candidate]) -> Result<(), ImportError> {
        let mut codes = HashMap::new();
        for half in halves {
            let block = self.file.block(&half.header)?;
            let header = SignedHeader::read(&block).expect("it was read as one before");
            let input = Input::Evidence(Box::new(header));
            let told = self.replica.handle(input, self.now, &self.overlay);
            self.hear(told, &mut codes)?;
        }
        let told = self.commit()?;
        self.hear(told, &mut codes)?;
        for half in halves {
            let BodyAt::Nowhere(missing) = half.body else {
                continue;
            };
            if !self.proves(half) {
                let vertex = half.id;
                return Err(ImportError::Missing { vertex, missing });
            }
            // A proof that is here is no vertex that came.
            self.report.known += 1;
        }
        Ok(())
    }

    /// Whether a header is part of what convicted its log, or lies beyond where it was convicted.
    fn proves(&self, half: &Candidate) -> bool {
        let history: &dyn History = &self.overlay;
        let Some(facts) = self.graph.get(&half.id).and_then(|n| n.vertex.as_deref()) else {
            return false;
        };
        let fault = history.fault(&facts.log, facts.epoch);
        fault.is_some_and(|fault| fault.cut < facts.seq)
    }

    /// A vertex that was handed to the replica is stored now; if it is not, why.
    fn is_here(&mut self, candidate: &Candidate) -> Result<(), ImportError> {
        let vertex = candidate.id;
        let history: &dyn History = &self.overlay;
        let facts = self.graph.get(&vertex).and_then(|n| n.vertex.as_deref());
        let facts = facts.expect("candidates are headers");
        let refused = history.invalid(&facts.log, facts.epoch) == Some(vertex);
        let stored = history.vertex(&vertex).is_some() && !is_unfolded(history, &vertex, facts);
        if stored || refused || self.proves(candidate) {
            let came = self.came.entry(candidate.log).or_default();
            came.0 += 1;
            came.1 += candidate.entries;
            return Ok(());
        }
        let node = self.graph.get(&vertex).expect("it was found above");
        let links = self.graph.links(node).iter();
        let mut missing = links.filter(|id| **id != facts.body && history.block(id).is_none());
        Err(match missing.next() {
            Some(missing) => ImportError::Missing {
                vertex,
                missing: *missing,
            },
            // All it names is here, and it does not follow from it.
            None => ImportError::Refused {
                vertex,
                refusal: Refusal::BadVertex,
            },
        })
    }

    /// Writes what the replica gives out into the store beside; gives what it then tells.
    fn commit(&mut self) -> Result<Vec<Action>, ImportError> {
        let mut told = Vec::new();
        while self.replica.has_work() {
            let actions = self.replica.handle(Input::Seal, self.now, &self.overlay);
            let mut wrote = false;
            for action in actions {
                match action {
                    Action::Append(changes) => {
                        let written = self.overlay.write(changes);
                        written.map_err(|error: OverlayError| ImportError::Aside(error.into()))?;
                        wrote = true;
                    }
                    other => told.push(other),
                }
            }
            if !wrote {
                break;
            }
            told.extend(
                self.replica
                    .handle(Input::Committed, self.now, &self.overlay),
            );
        }
        Ok(told)
    }

    /// Hears of logs that stand still now.
    fn hear(
        &mut self,
        told: Vec<Action>,
        codes: &mut HashMap<LogId, String>,
    ) -> Result<(), ImportError> {
        for action in told {
            let Action::Frozen(log, frozen, refusal) = action else {
                continue;
            };
            let code = refusal.map_or(frozen.as_str(), Refusal::code).to_owned();
            let newer = matches!(frozen, Frozen::Unsupported(_));
            if !self.with_faults || newer {
                return Err(ImportError::Fault { log, code });
            }
            if codes.insert(log, code.clone()).is_none() {
                self.report.frozen.push((log, code));
            }
        }
        Ok(())
    }

    fn finish(self) -> ImportReport {
        let history: &dyn History = &self.overlay;
        let logs = self.came.iter().map(|(log, (vertices, entries))| {
            let row = history.log(log);
            ImportedLog {
                log: *log,
                vertices: *vertices,
                entries: *entries,
                epoch: row.as_ref().map_or(0, |row| row.epoch),
                seq: row.as_ref().map_or(0, |row| row.seq),
            }
        });
        ImportReport {
            logs: logs.collect(),
            ..self.report
        }
    }
}

/// Whether only a vertex's header stands in its log, so that its body is judged like any that comes.
fn is_unfolded(history: &dyn History, id: &BlockId, facts: &Facts) -> bool {
    let at = (facts.epoch, facts.seq);
    let Some(row) = history.log(&facts.log) else {
        return false;
    };
    let counts = row.frozen.is_none_or(|frozen| facts.seq <= frozen.cut());
    // What no rule allows as an epoch's beginning is stored aside.
    let goes_on = facts.epoch == row.epoch || history.headers(&facts.log).is_some();
    (row.epoch, row.seq) < at && counts && goes_on && history.vertex(id).is_some()
}
