//! The full check of `store verify`: every hash, signature and link of the stored log, without the index.

use std::collections::{HashMap, HashSet};

use city_protocol::Refusal;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::vertex::{Checked, KeySource as _, SignedHeader, VerifiedVertex};

use super::Directory;
use crate::store::{Block, Position, ReadError, Store};

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
    let mut heads: HashMap<(LogId, u64), (u64, BlockId)> = Default::default();
    let mut known: HashSet<BlockId> = Default::default();
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
    heads: &HashMap<(LogId, u64), (u64, BlockId)>,
    known: &HashSet<BlockId>,
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
