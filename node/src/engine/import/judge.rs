//! Judging a file: every vertex of it is verified on every core, then folded in order over the store.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use city_protocol::Refusal;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{Changes, Frozen, History, Rows as _};
use city_protocol::replica::{Action, ClockQuality, Input, MAX_AHEAD_MS, Now, Replica};
use city_protocol::vertex::{SignedHeader, Stub, VerifiedVertex};

use super::on_trust::{OnTrust, check_body};
use super::{ImportError, ImportReport, ImportedLog, Importer, Terms, TrustMark};
use crate::engine::graph::{Facts, Graph};
use crate::engine::overlay::{Overlay, OverlayError};
use crate::engine::{Directory, utc};
use crate::store::{ArchiveReader, Location, Store};

/// Vertices that are verified and folded together.
const STEP_VERTICES: usize = 64;
/// Bytes of their blocks after which a step ends anyway: with the longest vertices 64 would be 70 MB.
const STEP_BYTES: u64 = 16 << 20;
/// A vertex of the file that is not here yet.
#[derive(Clone, Copy)]
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
    /// What is left of it, in the file.
    Stub(Location),
    Nowhere(BlockId),
}

/// What there is of a body.
enum Came {
    Body(Vec<u8>),
    Stub(Vec<u8>),
}

impl Candidate {
    /// Bytes of the body in the file.
    const fn body_len(&self) -> u32 {
        match self.body {
            BodyAt::File(at) | BodyAt::Stub(at) => at.len,
            BodyAt::Store(_) | BodyAt::Nowhere(_) => 0,
        }
    }
}

/// What came of a file in which everything held.
pub(super) struct Judged {
    pub(super) report: ImportReport,
    /// What is to be noted before any of it is taken.
    pub(super) marks: Vec<TrustMark>,
}

pub(super) struct Judge<'a> {
    file: &'a ArchiveReader,
    graph: &'a Graph,
    genesis: &'a Genesis,
    replica: Replica,
    overlay: Overlay,
    directory: Directory,
    now: Now,
    terms: Terms,
    on_trust: OnTrust,
    report: ImportReport,
    came: BTreeMap<LogId, (u64, u64)>,
    /// What stands beyond a cut and was not stored: nobody rested on it yet.
    beyond: HashMap<BlockId, Candidate>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        importer: &'a Importer<'a>,
        (file, graph): (&'a ArchiveReader, &'a Graph),
        aside: Arc<Store>,
        on_trust: OnTrust,
    ) -> Self {
        let genesis = importer.genesis;
        Self {
            file,
            graph,
            genesis,
            replica: (importer.replica)(),
            overlay: Overlay::new(Arc::clone(importer.store), aside, genesis.network()),
            directory: Directory::default(),
            // With this clock nothing is entered into the own log.
            now: Now {
                time: utc(),
                quality: ClockQuality::Floor,
            },
            terms: importer.terms,
            on_trust,
            report: ImportReport::default(),
            came: BTreeMap::new(),
            beyond: HashMap::new(),
        }
    }

    /// Judges all of it. `progress` is told how many vertices were.
    pub(super) fn all(mut self, progress: &mut dyn FnMut(u64)) -> Result<Judged, ImportError> {
        self.start()?;
        let (mut candidates, pruned) = self.candidates()?;
        self.bring_back(&pruned)?;
        let halves: Vec<Candidate> = candidates
            .extract_if(.., |c| matches!(c.body, BodyAt::Nowhere(_)))
            .collect();
        let mut rest = candidates.as_slice();
        let mut done = 0;
        while !rest.is_empty() {
            let step;
            (step, rest) = rest.split_at(step_of(rest.iter().map(Candidate::body_len)));
            self.step(step)?;
            done += step.len() as u64;
            progress(done);
        }
        self.evidence(&halves)?;
        let trusted = self.on_trust.borne_out(&self.overlay)?;
        let marks = self.on_trust.marks(&trusted, self.now.time);
        let report = ImportReport {
            trusted,
            ..self.finish()
        };
        Ok(Judged { report, marks })
    }

    fn start(&mut self) -> Result<(), ImportError> {
        drop(self.replica.handle(Input::Started, self.now, &self.overlay));
        self.commit()?;
        let known = self.replica.authorities();
        self.directory.learn_authorities(known.iter());
        Ok(())
    }

    /// The vertices of the file that are not here, each behind what it links to; and the bodies, with their headers, that
    /// were pruned here.
    fn candidates(&mut self) -> Result<(Vec<Candidate>, Vec<[Location; 2]>), ImportError> {
        let network = self.genesis.network();
        let bodies = self.graph.bodies(|_| true);
        let mut candidates = Vec::new();
        let mut pruned = Vec::new();
        for node in self.graph.causal(|_| true) {
            let Some(facts) = &node.vertex else {
                let left = node.stub_of.as_ref();
                let of_ours = node.id == network
                    || bodies.contains(&node.id)
                    || left.is_some_and(|body| bodies.contains(body));
                self.report.left_out += u64::from(!of_ours);
                continue;
            };
            let history: &dyn History = &self.overlay;
            let refused = || history.invalid(&facts.log, facts.epoch) == Some(node.id);
            let stub = self.graph.stub(&facts.body);
            let comes = self.graph.get(&facts.body).is_some()
                || self.terms.on_trust.is_some() && stub.is_some();
            let folds = is_unfolded(history, &node.id, facts) && comes;
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
                None => match stub {
                    Some(stub) => {
                        self.on_trust.take(node.id, facts)?;
                        BodyAt::Stub(stub.at)
                    }
                    None => BodyAt::Nowhere(facts.body),
                },
            };
            candidates.push(Candidate {
                id: node.id,
                log: facts.log,
                entries: facts.count,
                header: node.at,
                body,
            });
        }
        Ok((candidates, pruned))
    }

    /// Takes bodies of vertices that are here: the hashes in their headers say that they are the same. Where the vertex was
    /// taken on trust, what people signed is verified now, and held to what was taken.
    fn bring_back(&mut self, pruned: &[[Location; 2]]) -> Result<(), ImportError> {
        let mut rest = pruned;
        let older = RefCell::default();
        while !rest.is_empty() {
            let step;
            (step, rest) = rest.split_at(step_of(rest.iter().map(|[body, _]| body.len)));
            let mut changes = Changes::default();
            for [body, header] in step {
                let blocks = [self.file.block(body)?, self.file.block(header)?];
                if self.on_trust.holds(&blocks[1]) {
                    let held = (&self.overlay, &older);
                    check_body((self.genesis, &self.directory), held, &blocks)?;
                }
                let blocks = blocks.map(|block| (BlockId::of(&block), block));
                changes.blocks.extend(blocks);
            }
            let written = self.overlay.write(changes);
            written.map_err(|error: OverlayError| ImportError::Aside(error.into()))?;
            self.report.bodies += step.len() as u64;
        }
        Ok(())
    }

    /// Verifies some vertices on every core, then folds them in order and looks what became of each.
    fn step(&mut self, step: &[Candidate]) -> Result<(), ImportError> {
        self.hand_over(step)?;
        self.hand_over_again(step)?;
        step.iter()
            .try_for_each(|candidate| self.is_here(candidate))
    }

    /// What stands beyond a cut is stored only for who rests on it. Where that comes later in the file, it is handed over once more:
    /// a peer would be asked for it.
    fn hand_over_again(&mut self, step: &[Candidate]) -> Result<(), ImportError> {
        for candidate in step {
            if !self.is_stored(&candidate.id) && self.proves(candidate) {
                self.beyond.insert(candidate.id, *candidate);
            }
        }
        loop {
            let waiting = step.iter().filter(|candidate| {
                !self.is_stored(&candidate.id) && !self.beyond.contains_key(&candidate.id)
            });
            let nodes = waiting.filter_map(|candidate| self.graph.get(&candidate.id));
            let links = nodes.flat_map(|node| self.graph.links(node));
            let wanted: BTreeSet<BlockId> = links
                .filter(|id| self.beyond.contains_key(*id))
                .copied()
                .collect();
            if wanted.is_empty() {
                return Ok(());
            }
            let again = wanted.iter().filter_map(|id| self.beyond.remove(id));
            let again: Vec<Candidate> = again.collect();
            self.hand_over(&again)?;
        }
    }

    fn is_stored(&self, id: &BlockId) -> bool {
        let history: &dyn History = &self.overlay;
        history.vertex(id).is_some()
    }

    /// Verifies some vertices and folds what can be folded of them.
    fn hand_over(&mut self, step: &[Candidate]) -> Result<(), ImportError> {
        let mut blocks = Vec::with_capacity(step.len());
        for candidate in step {
            let header = self.file.block(&candidate.header)?;
            let body = match candidate.body {
                BodyAt::File(at) => Came::Body(self.file.block(&at)?),
                BodyAt::Stub(at) => Came::Stub(self.file.block(&at)?),
                BodyAt::Store(id) | BodyAt::Nowhere(id) => {
                    let missing = ImportError::Missing {
                        vertex: candidate.id,
                        missing: id,
                    };
                    Came::Body(self.overlay.block(&id).ok_or(missing)?)
                }
            };
            blocks.push((header, body));
        }
        let verified = self.verify(&blocks);
        let mut codes = HashMap::new();
        for ((candidate, verified), (header, body)) in step.iter().zip(verified).zip(blocks) {
            let is_stub = matches!(body, Came::Stub(_));
            let refused = |refusal| {
                let vertex = candidate.id;
                match refusal {
                    Refusal::BadVertex if is_stub => ImportError::BadStub { vertex, refusal },
                    refusal => ImportError::Refused { vertex, refusal },
                }
            };
            let vertex = match verified {
                // Its log's first vertex, or the first of its epoch, stands in this step and is known by now.
                Err(Refusal::UnknownLog) => verify(self.genesis, &self.directory, &header, &body),
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
            if let Came::Stub(stub) = body {
                self.overlay.hold_stub(vertex.header.header.body, stub);
            }
            let input = Input::Replay(Box::new(vertex));
            let told = self.replica.handle(input, self.now, &self.overlay);
            self.hear(told, &mut codes)?;
        }
        let told = self.commit()?;
        self.hear(told, &mut codes)
    }

    fn verify(&self, blocks: &[(Vec<u8>, Came)]) -> Vec<Result<VerifiedVertex, Refusal>> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let each = blocks.len().div_ceil(cores).max(1);
        let (genesis, directory) = (self.genesis, &self.directory);
        let verify = |part: &[(Vec<u8>, Came)]| -> Vec<Result<VerifiedVertex, Refusal>> {
            let part = part.iter();
            part.map(|(header, body)| verify(genesis, directory, header, body))
                .collect()
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
        if matches!(candidate.body, BodyAt::Stub(_)) && (stored || self.proves(candidate)) {
            // Of a log that is convicted only what people signed is taken.
            let row = history.log(&facts.log);
            let frozen = row.and_then(|row| row.frozen);
            let counts = history.vertex_at(&facts.log, facts.epoch, facts.seq) == Some(vertex);
            if !counts || frozen.is_some() {
                let code = frozen.map_or(Refusal::BadVertex.code(), |frozen| frozen.as_str());
                return Err(ImportError::Lies {
                    log: facts.log,
                    code: code.to_owned(),
                });
            }
        }
        if stored || refused || self.proves(candidate) {
            let came = self.came.entry(candidate.log).or_default();
            came.0 += 1;
            came.1 += candidate.entries;
            return Ok(());
        }
        let node = self.graph.get(&vertex).expect("it was found above");
        let links = self.graph.links(node).iter();
        // Whoever is of this network has its genesis block, here or in the file.
        let needless = [facts.body, self.genesis.network()];
        let mut missing = links.filter(|id| !needless.contains(id) && history.block(id).is_none());
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
            if self.on_trust.explains(&log, frozen) {
                return Err(match frozen {
                    Frozen::Equivocation(_) => ImportError::Convicted { log },
                    _ => ImportError::Lies { log, code },
                });
            }
            let newer = matches!(frozen, Frozen::Unsupported(_));
            if !self.terms.with_faults || newer {
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

/// Verifies a vertex, or what is left of one.
fn verify(
    genesis: &Genesis,
    directory: &Directory,
    header: &[u8],
    body: &Came,
) -> Result<VerifiedVertex, Refusal> {
    match body {
        Came::Body(body) => VerifiedVertex::verify(genesis, directory, header, body.clone()),
        Came::Stub(stub) => {
            VerifiedVertex::verify_stub(genesis, directory, header, Stub::read(stub)?)
        }
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
