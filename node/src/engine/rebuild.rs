//! Folding the stored log again: after a crash, a power cut, or for `store rebuild`. The signatures of vertices that
//! were found valid are not verified again; those of others, whose headers stand before their bodies, are.

use std::sync::Arc;

use city_protocol::genesis::Genesis;
use city_protocol::ids::BlockId;
use city_protocol::ledger::{Changes, History as _};
use city_protocol::replica::{Action, ClockQuality, Input, Now, Replica};
use city_protocol::vertex::{Entry, KeySource, Known, SignedHeader, VerifiedVertex, authority_of};

use super::history::{location_key, location_value};
use super::{Directory, StoreHistory, utc};
use crate::store::{
    Block, IndexError, Location, OpenOutcome, Position, ReadError, Store, Watermark,
};

/// Vertices that are folded and indexed together: sled takes one large commit far faster than many small
/// ones, and grows large when it is fed without pause.
const STEP_VERTICES: u64 = 64;
/// Bytes of blocks after which they are indexed anyway: the fold holds them until then.
const STEP_BYTES: usize = 8 << 20;
/// Places of blocks that belong to no vertex, after which they are indexed anyway.
const STEP_ROWS: usize = 4096;

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
    // A header whose body may follow: it was stored without having been found valid.
    let mut unjudged: Option<SignedHeader> = None;
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
            let of_this = |header: &mut SignedHeader| header.header.body == block.id;
            if let Some(header) = unjudged.take_if(of_this) {
                let (bytes, known) = (block.bytes.clone(), Known::nothing);
                let vertex = stored_vertex(genesis, replica, &directory, header, bytes, known);
                if let Some(vertex) = vertex {
                    drop(replica.handle(Input::Replay(Box::new(vertex)), now, &history));
                }
            }
            body = Some(block);
            continue;
        };
        if let Some(header) = unjudged.take() {
            drop(replica.handle(Input::Evidence(Box::new(header)), now, &history));
        }
        let before = body.take().filter(|body| body.id == header.header.body);
        let (body_block, known): (_, fn(&Entry) -> Known) = match before {
            Some(body) => (body.bytes, Known::stored),
            // A torn group may have left it before the watermark; who knows as whose.
            None => match history.block(&header.header.body) {
                Some(bytes) => (bytes, Known::nothing),
                // Or a proof of an equivocation, which is kept as headers alone.
                None => {
                    unjudged = Some(header);
                    continue;
                }
            },
        };
        let vertex = stored_vertex(genesis, replica, &directory, header, body_block, known);
        if let Some(vertex) = vertex {
            let authority = Arc::clone(&vertex.authority);
            directory.learn_authority(&authority);
            drop(replica.handle(Input::Replay(Box::new(vertex)), now, &history));
            report.vertices += 1;
        }
        let step = report.vertices.is_multiple_of(STEP_VERTICES)
            || replica.pending_bytes() >= STEP_BYTES
            || rows.len() >= STEP_ROWS;
        let Some((at, id)) = last.filter(|_| step) else {
            continue;
        };
        rows.extend(drain(replica, now, &history).rows);
        store.commit_rows(std::mem::take(&mut rows), &Watermark::after(&at, id, count))?;
        drop(replica.handle(Input::Committed, now, &history));
        progress(report.vertices);
    }
    if let Some(header) = unjudged {
        drop(replica.handle(Input::Evidence(Box::new(header)), now, &history));
    }
    rows.extend(drain(replica, now, &history).rows);
    if let (Some((at, id)), false) = (last, rows.is_empty()) {
        store.commit_rows(rows, &Watermark::after(&at, id, count))?;
        drop(replica.handle(Input::Committed, now, &history));
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

/// A vertex of the own store, with what is known of its entries.
fn stored_vertex(
    genesis: &Genesis,
    replica: &Replica,
    directory: &Directory,
    header: SignedHeader,
    body_block: Vec<u8>,
    known: impl Fn(&Entry) -> Known,
) -> Option<VerifiedVertex> {
    let entries = city_protocol::vertex::decode_body(&body_block);
    let keys: &dyn KeySource = match directory.authority(&header.header.log) {
        Some(_) => directory,
        None => replica.authorities(),
    };
    let authority = authority_of(genesis, keys, &header, &entries).ok()?;
    let known = entries.iter().flatten().map(known).collect();
    Some(VerifiedVertex {
        header,
        body_block,
        entries,
        known,
        authority,
    })
}
