//! `store export`: the ledger, or a range of one log, as blocks in causal order, each once.
//!
//! The genesis block comes first, so that a stranger can begin. What is written while it runs is not in it: the walk ends
//! at the durable end as it was at the beginning.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;

use city_protocol::Refusal;
use city_protocol::codec;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::region::Region;
use city_protocol::vertex::{SignedHeader, Stub};
use serde::{Deserialize, Serialize};

use super::graph::{Facts, Graph};
use crate::store::{Position, ReadError, Store};

/// Which logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logs {
    /// One.
    Log(LogId),
    /// Those whose charter names this municipality.
    Of(Region),
}

impl std::str::FromStr for Logs {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if text.contains('/') {
            return text.parse().map(Self::Of);
        }
        text.parse().map(Self::Log)
    }
}

/// What is exported: everything, or the vertices of some logs and positions with their bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these logs.
    pub logs: Option<Logs>,
    /// Only positions from here.
    pub from: Option<u64>,
    /// Only positions up to here, inclusive.
    pub to: Option<u64>,
    /// What is left of bodies that were pruned, too, in their places.
    pub stubs: bool,
}

/// Why nothing, or not all, was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Blocks cannot be read, and are not known to be elsewhere in the log.
    #[error(
        "segment {} is damaged at byte {}: let the node fetch the blocks from a peer first; `city-node store verify` says what is bad", .0.segment, .0.offset
    )]
    Damaged(Position),
    /// The segments cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nothing was selected.
    #[error("no vertex of that log and range is here: `city-node store stats` lists the logs")]
    Nothing,
    /// Whoever takes the blocks cannot.
    #[error("the export could not be written; look at the disk and its free space")]
    Write(#[source] io::Error),
}

/// Gives every selected block to `take`.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    store: &Store,
    genesis: &Genesis,
    selection: &Selection,
    take: &mut dyn FnMut(&BlockId, &[u8]) -> io::Result<()>,
) -> Result<(), ExportError> {
    let graph = read_graph(store)?;
    let logs = selected_logs(store, genesis, &graph, selection)?;
    let Selection {
        logs: wanted,
        from,
        to,
        stubs,
    } = selection;
    let everything = wanted.is_none() && from.is_none() && to.is_none();
    let is_selected = |facts: &Facts| {
        let log = logs.as_ref().is_none_or(|logs| logs.contains(&facts.log));
        let behind = from.is_none_or(|from| facts.seq >= from);
        log && behind && to.is_none_or(|to| facts.seq <= to)
    };
    let bodies = graph.bodies(is_selected);
    // What others sent as a body is none of this node's stubs, whatever its form.
    let sent = if *stubs {
        graph.bodies(|_| true)
    } else {
        HashSet::new()
    };
    let is_wanted_stub = |id: &BlockId, body: &BlockId| {
        let in_its_place = graph.get(body).is_none() && bodies.contains(body);
        *stubs && in_its_place && !sent.contains(id)
    };
    if !everything && bodies.is_empty() {
        return Err(ExportError::Nothing);
    }
    let root = genesis.to_block();
    let network = BlockId::of(&root);
    take(&network, &root).map_err(ExportError::Write)?;
    let order = graph.causal(|node| match (&node.vertex, &node.stub_of) {
        _ if node.id == network => false,
        // This node's own writing, which proves nothing to others.
        (None, Some(body)) => is_wanted_stub(&node.id, body),
        _ if everything => true,
        (Some(facts), _) => is_selected(facts),
        (None, None) => bodies.contains(&node.id),
    });
    for node in order {
        let block = store.read_block(&node.at)?;
        take(&block.id, &block.bytes).map_err(ExportError::Write)?;
    }
    Ok(())
}

/// All blocks of a store that can be read; damage that matters is an error.
pub(super) fn read_graph(store: &Store) -> Result<Graph, ExportError> {
    let repaired = store.ledger().repaired();
    let mut graph = Graph::default();
    for block in store.blocks_from(Position::START) {
        match block {
            Ok(block) => drop(graph.add(&block)),
            Err(ReadError::Damaged(at)) if repaired.contains(&at) => {}
            Err(ReadError::Damaged(at)) => return Err(ExportError::Damaged(at)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(graph)
}

fn selected_logs(
    store: &Store,
    genesis: &Genesis,
    graph: &Graph,
    selection: &Selection,
) -> Result<Option<BTreeSet<LogId>>, ExportError> {
    Ok(match &selection.logs {
        None => None,
        Some(Logs::Log(log)) => Some(BTreeSet::from([*log])),
        Some(Logs::Of(region)) => {
            let read = |at: &_| store.read_block(at).map(|block| block.bytes);
            let regions = graph.regions(genesis, read)?;
            let of = regions.into_iter().filter(|(_, other)| other == region);
            Some(of.map(|(log, _)| log).collect())
        }
    })
}

/// What of one log is in an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPart {
    /// The log.
    pub log: LogId,
    /// Its vertices.
    pub vertices: u64,
    /// Entries in them.
    pub entries: u64,
    /// The lowest position.
    pub from: u64,
    /// The epoch of the highest position.
    pub epoch: u64,
    /// The highest position.
    pub to: u64,
    /// The vertex there.
    pub head: BlockId,
}

/// What went by: it is made of the blocks themselves, by whoever writes them.
#[derive(Debug, Default)]
pub struct Inventory {
    seen: HashSet<BlockId>,
    outside: BTreeSet<BlockId>,
    stubs: u64,
    logs: BTreeMap<LogId, LogPart>,
}

impl Inventory {
    /// Counts a block; it must come behind everything to which it links, as an export has it.
    pub fn take(&mut self, id: &BlockId, block: &[u8]) {
        self.seen.insert(*id);
        for link in codec::links(block).unwrap_or_default() {
            if !self.seen.contains(&link) {
                self.outside.insert(link);
            }
        }
        let Ok(header) = SignedHeader::read(block) else {
            self.stubs += u64::from(Stub::read(block).is_ok());
            return;
        };
        let h = header.header;
        let part = self.logs.entry(h.log).or_insert(LogPart {
            log: h.log,
            vertices: 0,
            entries: 0,
            from: h.seq,
            epoch: 0,
            to: 0,
            head: header.id,
        });
        part.vertices += 1;
        part.entries += h.count;
        part.from = part.from.min(h.seq);
        if (part.epoch, part.to) < (h.epoch, h.seq) {
            (part.epoch, part.to, part.head) = (h.epoch, h.seq, header.id);
        }
    }

    /// How many blocks there are.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.seen.len() as u64
    }

    /// How many of them are what is left of bodies that were pruned.
    #[must_use]
    pub const fn stubs(&self) -> u64 {
        self.stubs
    }

    /// Its logs, in order of their ids.
    pub fn logs(&self) -> impl Iterator<Item = &LogPart> {
        self.logs.values()
    }

    /// Blocks to which something in it links and that are not in it, in order: with the whole ledger there are only bodies
    /// of vertices that were kept as evidence without them, and bodies that were pruned.
    #[must_use]
    pub fn outside(&self) -> Vec<BlockId> {
        let missing = |id: &&BlockId| !self.seen.contains(id);
        self.outside.iter().filter(missing).copied().collect()
    }
}
