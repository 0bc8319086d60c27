//! Folding the stored log again: after a crash, a power cut, or for `store rebuild`. The signatures of vertices that
//! were found valid are not verified again; those of others, whose headers stand before their bodies, are.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use city_protocol::Refusal;
use city_protocol::genesis::Genesis;
use city_protocol::ids::BlockId;
use city_protocol::ledger::{Changes, History};
use city_protocol::replica::{Action, ClockQuality, Input, Now, Replica};
use city_protocol::vertex::{
    Entry, KeySource, Known, SignedHeader, Stub, VerifiedVertex, authority_of, decode_body,
};

use super::ahead::{Ahead, Body, read_ahead};
use super::history::{location_key, location_value, stub_key};
use super::{Directory, StoreHistory, utc};
use crate::store::{
    Block, IndexError, Location, OpenOutcome, Position, ReadError, Store, Watermark,
};

/// Bytes of blocks that are folded and indexed together: the fold holds them until then, and some thousand rows
/// are what the index takes best.
const STEP_BYTES: usize = 4 << 20;
/// Blocks after which they are indexed anyway.
const STEP_BLOCKS: usize = 512;

/// What was done to bring the index up to date.
#[derive(Clone, Copy, Debug, Default)]
pub struct RebuildReport {
    /// Vertices folded.
    pub vertices: u64,
    /// Places in the log that could not be read.
    pub damaged: u64,
}

/// Why a rebuild did not come to an end.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The log cannot be read.
    #[error("the ledger's segments cannot be read; look at the disk")]
    Read(#[from] ReadError),
    /// The index cannot be written.
    #[error("the index cannot be written; look at the disk")]
    Index(#[from] IndexError),
}

/// Folds what the index does not know yet. `progress` is told how many vertices were folded.
///
/// Three threads work at once: one reads ahead, this one folds, and the index's own writes rows.
///
/// # Errors
/// [`RebuildError`].
pub fn bring_up_to_date(
    store: &Arc<Store>,
    genesis: &Genesis,
    replica: &mut Replica,
    outcome: OpenOutcome,
    mut progress: impl FnMut(u64),
) -> Result<RebuildReport, RebuildError> {
    let (from, count) = match outcome {
        OpenOutcome::Empty | OpenOutcome::Current(_) => return Ok(RebuildReport::default()),
        OpenOutcome::CatchUp(mark) => (mark.position, mark.count),
        OpenOutcome::Rebuild(_) => (Position::START, 0),
    };
    let history = StepHistory {
        store: StoreHistory::new(Arc::clone(store)),
        stubs: HashMap::new(),
    };
    let now = Now {
        time: utc(),
        quality: ClockQuality::Floor,
    };
    // With this clock the replica learns what is stored and enters nothing of its own.
    drop(replica.handle(Input::Started, now, &history));
    let mut folding = Folding {
        genesis,
        replica,
        history,
        now,
        directory: Directory::default(),
        unjudged: None,
        rows: Vec::new(),
        blocks: HashMap::new(),
        last: None,
        count,
        report: RebuildReport::default(),
    };
    store.folding(true);
    let folded = thread::scope(|scope| {
        for ahead in read_ahead(scope, store, from) {
            folding.take(ahead)?;
            if folding.is_full() {
                folding.write(store)?;
                progress(folding.report.vertices);
            }
        }
        Ok::<(), RebuildError>(())
    });
    store.folding(false);
    folded?;
    folding.was_alone();
    folding.write(store)?;
    progress(folding.report.vertices);
    Ok(folding.report)
}

/// The store, and the stubs of the step that is being folded, which the index does not name yet: a log that convicts itself is
/// folded again from them. Blocks of the step are with the replica.
struct StepHistory {
    store: StoreHistory,
    stubs: HashMap<BlockId, Location>,
}

impl History for StepHistory {
    fn row(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.store.row(key)
    }

    fn rows(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.store.rows(prefix, after, limit)
    }

    fn block(&self, id: &BlockId) -> Option<Vec<u8>> {
        self.store.block(id)
    }

    fn unchecked_block(&self, id: &BlockId) -> Option<Vec<u8>> {
        self.store.unchecked_block(id)
    }

    fn stub(&self, body: &BlockId) -> Option<Stub> {
        match self.stubs.get(body) {
            Some(at) => self.store.stub_at(at, body),
            None => self.store.stub(body),
        }
    }
}

/// The fold in the middle of the log.
struct Folding<'a> {
    genesis: &'a Genesis,
    replica: &'a mut Replica,
    history: StepHistory,
    now: Now,
    directory: Directory,
    /// A header whose body may follow: it was stored without having been found valid.
    unjudged: Option<SignedHeader>,
    /// Where the blocks of this step stand.
    rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The same by their ids: the index does not name them yet.
    blocks: HashMap<BlockId, Location>,
    /// The last of them.
    last: Option<(Location, BlockId)>,
    /// Blocks so far.
    count: u64,
    report: RebuildReport,
}

impl Folding<'_> {
    fn take(&mut self, ahead: Ahead) -> Result<(), RebuildError> {
        match ahead {
            Ahead::Damaged => self.report.damaged += 1,
            Ahead::Failed(error) => return Err(error.into()),
            Ahead::Block(block) => {
                self.note(&block);
                self.follows_its_header(&block);
            }
            Ahead::Header(block, header) => {
                self.note(&block);
                self.was_alone();
                // A torn group may have left its body before the watermark, who knows as whose; or another vertex has the same.
                match self.body(&header.header.body) {
                    Some(bytes) => {
                        let vertex = self.unknown_vertex(*header, bytes);
                        self.fold(vertex);
                    }
                    // Or its log is followed by headers, or it is of a proof of an equivocation, which is kept as such.
                    None => self.unjudged = Some(*header),
                }
            }
            Ahead::Pruned(left, stub, block, header) => {
                self.note(&left);
                let place = (stub_key(&stub.body()), Some(location_value(&left.at)));
                self.rows.push(place);
                self.history.stubs.insert(stub.body(), left.at);
                self.note(&block);
                self.was_alone();
                let (entries, known) = stub.entries.into_iter().map(Known::pruned).unzip();
                let vertex = self.vertex(*header, Vec::new(), Ok(entries), known);
                self.fold(vertex);
            }
            Ahead::Vertex(body, block, header) => {
                self.note(&body.block);
                self.follows_its_header(&body.block);
                self.note(&block);
                self.was_alone();
                let Body {
                    block,
                    entries,
                    known,
                } = *body;
                let vertex = self.vertex(*header, block.bytes, entries, known);
                self.fold(vertex);
            }
        }
        Ok(())
    }

    /// A block that stands in the log so far.
    fn body(&self, id: &BlockId) -> Option<Vec<u8>> {
        let here = self.blocks.get(id);
        let here = here.and_then(|at| self.history.store.block_at(at, id));
        here.or_else(|| self.history.block(id))
    }

    /// A block is taken into account.
    fn note(&mut self, block: &Block) {
        self.count += 1;
        self.blocks.insert(block.id, block.at);
        let place = (location_key(&block.id), Some(location_value(&block.at)));
        self.rows.push(place);
        self.last = Some((block.at, block.id));
    }

    /// This may be the body of the header right before it.
    fn follows_its_header(&mut self, block: &Block) {
        let of_this = |header: &mut SignedHeader| header.header.body == block.id;
        if let Some(header) = self.unjudged.take_if(of_this)
            && let Some(vertex) = self.unknown_vertex(header, block.bytes.clone())
        {
            self.tell(Input::Replay(Box::new(vertex)));
        }
    }

    /// The header before this one has no body.
    fn was_alone(&mut self) {
        if let Some(header) = self.unjudged.take() {
            self.tell(Input::Alone(Box::new(header)));
        }
    }

    /// A vertex of which nothing is known.
    fn unknown_vertex(&self, header: SignedHeader, body: Vec<u8>) -> Option<VerifiedVertex> {
        let entries = decode_body(&body);
        let known = entries.iter().flatten().map(Known::nothing).collect();
        self.vertex(header, body, entries, known)
    }

    /// A vertex of the own store, with what is known of its entries.
    fn vertex(
        &self,
        header: SignedHeader,
        body_block: Vec<u8>,
        entries: Result<Vec<Entry>, Refusal>,
        known: Vec<Known>,
    ) -> Option<VerifiedVertex> {
        let log = &header.header.log;
        let (ahead, folded) = (
            self.directory.authority(log),
            self.replica.authorities().authority(log),
        );
        // What stands before its body was not found valid by all, and is learned only as far as the replica takes it.
        let is_ahead =
            ahead.is_some_and(|ahead| folded.is_none_or(|folded| !folded.knows_more_than(&ahead)));
        let keys: &dyn KeySource = match is_ahead {
            true => &self.directory,
            false => self.replica.authorities(),
        };
        let authority = authority_of(self.genesis, keys, &header, &entries).ok()?;
        Some(VerifiedVertex {
            header,
            body_block,
            entries,
            known,
            authority,
        })
    }

    fn fold(&mut self, vertex: Option<VerifiedVertex>) {
        let Some(vertex) = vertex else { return };
        self.directory.learn_authority(&vertex.authority);
        self.tell(Input::Replay(Box::new(vertex)));
        self.report.vertices += 1;
    }

    fn tell(&mut self, input: Input) {
        drop(self.replica.handle(input, self.now, &self.history));
    }

    /// Whether it is time to give rows to the index.
    fn is_full(&self) -> bool {
        self.replica.pending_bytes() >= STEP_BYTES || self.rows.len() >= STEP_BLOCKS
    }

    /// Gives the index what was folded so far.
    fn write(&mut self, store: &Store) -> Result<(), RebuildError> {
        let Some((at, id)) = self.last.take() else {
            return Ok(());
        };
        let mut rows = std::mem::take(&mut self.rows);
        rows.extend(drain(self.replica, self.now, &self.history).rows);
        store.commit_rows(rows, &Watermark::after(&at, id, self.count))?;
        self.history.stubs.clear();
        self.blocks.clear();
        self.tell(Input::Committed);
        Ok(())
    }
}

/// What the replica wants written; its blocks are in the log already.
fn drain(replica: &mut Replica, now: Now, history: &StepHistory) -> Changes {
    replica
        .handle(Input::Seal, now, history)
        .into_iter()
        .find_map(|action| match action {
            Action::Append(changes) => Some(changes),
            _ => None,
        })
        .unwrap_or_default()
}
