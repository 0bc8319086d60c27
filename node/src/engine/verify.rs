//! The full check of `store verify`: every hash, signature and link of the stored log, without the index.

use std::collections::{BTreeMap, HashMap};

use city_protocol::Refusal;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::vertex::{
    Checked, KeySource as _, SignedHeader, VerifiedVertex, authority_of, verify_header,
};

use super::Directory;
use super::ahead::Beside;
use crate::store::{Block, Position, ReadError, Store};

/// What a full check of the store found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Blocks whose hash was checked.
    pub blocks: u64,
    /// Vertices whose header signature, body and entry signatures hold.
    pub vertices: u64,
    /// Of them those whose body was pruned: their header's signature and the hashes of their entries hold.
    pub pruned: u64,
    /// Headers without a body, of logs that are followed by headers and of proofs against others: their signature holds.
    pub headers: u64,
    /// Of the vertices those at a position at which another one of their log stands, too: whoever signed both convicted itself, and
    /// both are kept.
    pub forked: u64,
    /// Logs that were taken on trust, and up to which position: of pruned bodies up to there nobody here saw what people
    /// signed.
    pub trusted: BTreeMap<LogId, u64>,
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

/// A vertex whose links are looked at when all are known.
struct Link {
    id: BlockId,
    log: LogId,
    at: (u64, u64),
    prev: BlockId,
    parents: Vec<BlockId>,
    /// Whether only its header is here: then it says nothing but that others may rest on it.
    alone: bool,
}

/// Checks every hash, signature and link of the stored log, without the index.
///
/// Vertices that were fetched again stand behind what follows from them, so keys and links are looked up after
/// everything was read, not by the order in the files.
///
/// # Errors
/// [`ReadError`] when the segments cannot be read at all.
pub fn verify_store(
    store: &Store,
    genesis: &Genesis,
    mut progress: impl FnMut(u64),
) -> Result<VerifyReport, ReadError> {
    let mut report = VerifyReport::default();
    match store.notes().trusted_up_to() {
        Ok(trusted) => report.trusted = trusted,
        Err(error) => report.problem(error.to_string()),
    }
    let repaired = store.ledger().repaired();
    // First only the keys: charters and enrolments may stand behind what they sign.
    let directory = Directory::default();
    each_vertex(store, |header, body, _| {
        if let Some(body) = body {
            learn(genesis, &directory, header, &body.bytes);
        }
    })?;
    let mut links: Vec<Link> = Vec::new();
    let (blocks, bad) = each_vertex(store, |header, body, block| {
        let alone = body.is_none();
        let vertex = match body.filter(|body| body.id == header.header.body) {
            Some(body) => VerifiedVertex::verify(genesis, &directory, block, body.bytes).map(Some),
            None => verify_header(genesis, &directory, block).map(|_| None),
        };
        let vertex = match vertex {
            Ok(vertex) => vertex,
            Err(refusal) => {
                report.problem(format!(
                    "vertex {}: {refusal} ({})",
                    header.id,
                    refusal.code()
                ));
                return;
            }
        };
        let h = &header.header;
        links.push(Link {
            id: header.id,
            log: h.log,
            at: (h.epoch, h.seq),
            prev: h.prev,
            parents: h.parents.clone(),
            alone,
        });
        if alone {
            report.headers += 1;
            return;
        }
        match vertex {
            Some(vertex) => check_entries(&vertex, &directory, &mut report),
            None => report.pruned += 1,
        }
        report.vertices += 1;
        if report.vertices.is_multiple_of(100) {
            progress(report.vertices);
        }
    })?;
    report.blocks = blocks;
    for at in bad.iter().filter(|at| !repaired.contains(at)) {
        report.problem(format!(
            "segment {} is damaged at byte {}",
            at.segment, at.offset
        ));
    }
    check_links(&links, genesis, &mut report);
    Ok(report)
}

/// Walks header after header with the body that stands before it, or behind it where the vertex was not found valid; or
/// with the stub of one that was pruned; or alone. Gives the number of blocks, and the places that cannot be read.
pub(crate) fn each_vertex(
    store: &Store,
    mut look: impl FnMut(&SignedHeader, Option<Block>, &[u8]),
) -> Result<(u64, Vec<Position>), ReadError> {
    let (mut blocks, mut bad) = (0, Vec::new());
    let mut body: Option<Beside> = None;
    let mut alone: Option<(SignedHeader, Vec<u8>)> = None;
    for block in store.blocks_from(Position::START) {
        let block = match block {
            Ok(block) => block,
            Err(ReadError::Damaged(at)) => {
                bad.push(at);
                continue;
            }
            Err(error) => return Err(error),
        };
        blocks += 1;
        let Ok(header) = SignedHeader::read(&block.bytes) else {
            match alone.take() {
                Some((header, bytes)) if header.header.body == block.id => {
                    look(&header, Some(block.clone()), &bytes);
                    // Unless it is the next one's, which says the same.
                    body = Some(Beside::new(block, header.header.body.into()));
                }
                other => {
                    if let Some((header, bytes)) = other {
                        look(&header, None, &bytes);
                    }
                    body = Some(Beside::new(block, None));
                }
            }
            continue;
        };
        if let Some((header, bytes)) = alone.take() {
            look(&header, None, &bytes);
        }
        let beside =
            |body: &Beside| body.block.id == header.header.body || body.stub_of(&header).is_some();
        match body.take().filter(beside) {
            Some(body) => look(&header, Some(body.block), &block.bytes),
            None => alone = Some((header, block.bytes)),
        }
    }
    if let Some((header, bytes)) = alone {
        look(&header, None, &bytes);
    }
    Ok((blocks, bad))
}

/// Learns the keys that a vertex brings. Each proves itself: a charter by the log's id, an epoch's
/// by its officers, a certificate by its chain.
fn learn(genesis: &Genesis, directory: &Directory, header: &SignedHeader, body: &[u8]) {
    let entries = city_protocol::vertex::decode_body(body);
    if let Ok(authority) = authority_of(genesis, directory, header, &entries) {
        directory.learn_authority(&authority);
    }
    directory.learn_keys(entries.as_deref().unwrap_or_default());
}

fn check_links(links: &[Link], genesis: &Genesis, report: &mut VerifyReport) {
    let known: HashMap<BlockId, &Link> = links.iter().map(|link| (link.id, link)).collect();
    let mut positions: HashMap<(LogId, (u64, u64)), BlockId> = HashMap::new();
    for link in links.iter().filter(|link| !link.alone) {
        let (epoch, seq) = link.at;
        let follows = match known.get(&link.prev) {
            Some(prev) => {
                let same_or_next = [prev.at.0, prev.at.0 + 1].contains(&epoch);
                prev.log == link.log && same_or_next && prev.at.1 + 1 == seq
            }
            None => (seq, link.prev) == (1, genesis.network()),
        };
        let first = *positions.entry((link.log, link.at)).or_insert(link.id);
        report.forked += u64::from(follows && first != link.id);
        if !follows {
            report.problem(format!(
                "vertex {} does not follow the head of its log",
                link.id
            ));
        }
        if let Some(parent) = link.parents.iter().find(|id| !known.contains_key(id)) {
            report.problem(format!("vertex {}: parent {parent} is not stored", link.id));
        }
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
    // Again, because the keys of people that are kept are bounded.
    directory.learn_keys(entries);
    for (i, entry) in entries.iter().enumerate() {
        for (sig, known) in entry.sig.iter().zip(vertex.known[i].checked()) {
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
