//! Folding the own log again: after a crash, a power cut, or for `store rebuild`; and the full check of
//! `store verify`. Signatures are not verified in a rebuild: what is stored was verified before.

use std::sync::Arc;

use city_protocol::Refusal;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::Changes;
use city_protocol::replica::{Action, ClockQuality, Input, Now, Replica};
use city_protocol::vertex::{Authority, Checked, KeySource as _, SignedHeader, VerifiedVertex};

use super::history::{location_key, location_value};
use super::{Directory, StoreHistory, utc};
use crate::store::{
    Block, IndexError, Location, OpenOutcome, Position, ReadError, Store, Watermark,
};

/// Rows after which a rebuild commits: sled grows large when it is fed without pause.
const STEP: usize = 4096;

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
/// # Errors
/// [`RebuildError`].
pub fn bring_up_to_date(
    store: &Arc<Store>,
    genesis: &Genesis,
    replica: &mut Replica,
    outcome: OpenOutcome,
    mut progress: impl FnMut(u64),
) -> Result<RebuildReport, RebuildError> {
    let (from, mut count) = match outcome {
        OpenOutcome::Empty | OpenOutcome::Current(_) => return Ok(RebuildReport::default()),
        OpenOutcome::CatchUp(mark) => (mark.position, mark.count),
        OpenOutcome::Rebuild(_) => (Position::START, 0),
    };
    let history = StoreHistory::new(Arc::clone(store));
    let now = Now {
        time: utc(),
        quality: ClockQuality::Floor,
    };
    let directory = Directory::default();
    // With this clock the replica learns what is stored and enters nothing of its own.
    drop(replica.handle(Input::Started, now, &history));
    let mut report = RebuildReport::default();
    let mut body: Option<Block> = None;
    let mut rows: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    let mut last: Option<(Location, BlockId)> = None;
    for block in store.blocks_from(from) {
        let block = match block {
            Ok(block) => block,
            Err(ReadError::Damaged(_)) => {
                report.damaged += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        count += 1;
        rows.push((location_key(&block.id), Some(location_value(&block.at))));
        last = Some((block.at, block.id));
        let Ok(header) = SignedHeader::read(&block.bytes) else {
            body = Some(block);
            continue;
        };
        let vertex = body
            .take()
            .filter(|body| body.id == header.header.body)
            .and_then(|body| stored_vertex(genesis, replica, &directory, header, body.bytes));
        if let Some(vertex) = vertex {
            let authority = Arc::clone(&vertex.authority);
            directory.learn_authority(&authority);
            drop(replica.handle(Input::Replay(Box::new(vertex)), now, &history));
            report.vertices += 1;
        }
        let Some((at, id)) = last else { continue };
        // Each vertex is folded on what is indexed, so it is indexed before the next one.
        let changes = drain(replica, now, &history);
        rows.extend(changes.rows);
        store.commit_rows(std::mem::take(&mut rows), &Watermark::after(&at, id, count))?;
        drop(replica.handle(Input::Committed, now, &history));
        if report.vertices.is_multiple_of(STEP as u64) {
            progress(report.vertices);
        }
    }
    if let (Some((at, id)), false) = (last, rows.is_empty()) {
        store.commit_rows(rows, &Watermark::after(&at, id, count))?;
    }
    progress(report.vertices);
    Ok(report)
}

/// What the replica wants written; its blocks are in the log already.
fn drain(replica: &mut Replica, now: Now, history: &StoreHistory) -> Changes {
    replica
        .handle(Input::Seal, now, history)
        .into_iter()
        .find_map(|action| match action {
            Action::Append(changes) => Some(changes),
            _ => None,
        })
        .unwrap_or_default()
}

/// A vertex of the own store, taken as verified.
fn stored_vertex(
    genesis: &Genesis,
    replica: &Replica,
    directory: &Directory,
    header: SignedHeader,
    body_block: Vec<u8>,
) -> Option<VerifiedVertex> {
    let log = header.header.log;
    let entries = city_protocol::vertex::decode_body(&body_block);
    let authority = directory
        .authority(&log)
        .or_else(|| replica.authorities().authority(&log))
        .or_else(|| {
            let charter = &entries.as_ref().ok()?.first()?.body;
            Authority::from_charter(genesis, charter).ok().map(Arc::new)
        })?;
    let checked = entries
        .iter()
        .flatten()
        .map(|e| vec![Checked::Good; e.sig.len()])
        .collect();
    Some(VerifiedVertex {
        header,
        body_block,
        entries,
        checked,
        authority,
    })
}

/// What a full check of the store found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Blocks whose hash was checked.
    pub blocks: u64,
    /// Vertices whose header signature, body and entry signatures hold.
    pub vertices: u64,
    /// Entries in them.
    pub entries: u64,
    /// Signatures of people and officers that were verified.
    pub signatures: u64,
    /// What is wrong, in words; empty when all is well. At most 100.
    pub problems: Vec<String>,
}

/// Most problems that are listed.
const MAX_PROBLEMS: usize = 100;

impl VerifyReport {
    fn problem(&mut self, text: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(text);
        }
    }
}

/// Checks every hash, signature and link of the stored log, without the index.
///
/// # Errors
/// [`ReadError`] when the segments cannot be read at all.
pub fn verify_store(
    store: &Store,
    genesis: &Genesis,
    mut progress: impl FnMut(u64),
) -> Result<VerifyReport, ReadError> {
    let mut report = VerifyReport::default();
    let directory = Directory::default();
    let mut heads: std::collections::HashMap<(LogId, u64), (u64, BlockId)> = Default::default();
    let mut known: std::collections::HashSet<BlockId> = Default::default();
    let mut body: Option<Block> = None;
    for block in store.blocks_from(Position::START) {
        let block = match block {
            Ok(block) => block,
            Err(ReadError::Damaged(at)) => {
                report.problem(format!(
                    "segment {} is damaged at byte {}",
                    at.segment, at.offset
                ));
                continue;
            }
            Err(error) => return Err(error),
        };
        report.blocks += 1;
        let Ok(header) = SignedHeader::read(&block.bytes) else {
            body = Some(block);
            continue;
        };
        let h = header.header.clone();
        let Some(body) = body.take().filter(|body| body.id == h.body) else {
            continue;
        };
        let vertex = VerifiedVertex::verify(genesis, &directory, &block.bytes, body.bytes);
        let vertex = match vertex {
            Ok(vertex) => vertex,
            Err(refusal) => {
                report.problem(format!(
                    "vertex {}: {refusal} ({})",
                    header.id,
                    refusal.code()
                ));
                continue;
            }
        };
        check_links(&vertex, genesis, &heads, &known, &mut report);
        heads.insert((h.log, h.epoch), (h.seq, header.id));
        known.insert(header.id);
        directory.learn_authority(&vertex.authority);
        check_entries(&vertex, &directory, &mut report);
        report.vertices += 1;
        if report.vertices.is_multiple_of(100) {
            progress(report.vertices);
        }
    }
    Ok(report)
}

fn check_links(
    vertex: &VerifiedVertex,
    genesis: &Genesis,
    heads: &std::collections::HashMap<(LogId, u64), (u64, BlockId)>,
    known: &std::collections::HashSet<BlockId>,
    report: &mut VerifyReport,
) {
    let h = &vertex.header.header;
    let expected = heads
        .get(&(h.log, h.epoch))
        .map_or((1, genesis.network()), |(seq, id)| (seq + 1, *id));
    if (h.seq, h.prev) != expected {
        report.problem(format!(
            "vertex {} does not follow the head of its log",
            vertex.id()
        ));
    }
    if let Some(parent) = h.parents.iter().find(|parent| !known.contains(parent)) {
        report.problem(format!(
            "vertex {}: parent {parent} is not stored before it",
            vertex.id()
        ));
    }
}

fn check_entries(vertex: &VerifiedVertex, directory: &Directory, report: &mut VerifyReport) {
    let entries = match &vertex.entries {
        Ok(entries) => entries,
        Err(refusal) => {
            report.problem(format!(
                "vertex {}: {} ",
                vertex.id(),
                Refusal::code(*refusal)
            ));
            return;
        }
    };
    report.entries += entries.len() as u64;
    directory.learn_enrolments(entries);
    for (i, entry) in entries.iter().enumerate() {
        for (sig, known) in entry.sig.iter().zip(&vertex.checked[i]) {
            let verdict = match known {
                Checked::Good => Ok(()),
                Checked::Bad => Err(Refusal::BadSignature),
                Checked::Unknown => match directory.public_key(&sig.key) {
                    Some(key) => {
                        city_protocol::vertex::verify_entry_signature(entry, sig.key, &key)
                    }
                    None => Err(Refusal::UnknownAccount),
                },
            };
            match verdict {
                Ok(()) => report.signatures += 1,
                Err(refusal) => {
                    let (id, kind, code) = (vertex.id(), entry.kind, refusal.code());
                    report.problem(format!("vertex {id}, entry {i} ({kind}): {code}"));
                }
            }
        }
    }
}
