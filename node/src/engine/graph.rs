//! Blocks by what they link to: of a store, or of a CAR file. Export, import, compaction and figures walk it.
//!
//! Owns no blocks, only where they stand. Which of them is a vertex is told by their form alone; nothing is verified here.

use std::collections::{BTreeMap, HashMap, HashSet};

use city_protocol::amount::Timestamp;
use city_protocol::codec;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::region::Region;
use city_protocol::vertex::{Authority, SignedHeader, Stub, decode_body};

use crate::store::{Block, Location};

/// What is known of one block.
pub(super) struct Node {
    pub(super) id: BlockId,
    pub(super) at: Location,
    /// Its links, as a range of all.
    links: (usize, usize),
    /// What it says if it is a vertex's header.
    pub(super) vertex: Option<Box<Facts>>,
    /// The body of which this is what is left, if it is a stub.
    pub(super) stub_of: Option<BlockId>,
}

/// What a header says.
pub(super) struct Facts {
    pub(super) log: LogId,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) time: Timestamp,
    pub(super) count: u64,
    pub(super) body: BlockId,
}

/// Blocks, each once, in the order in which they came: some 200 bytes of memory a block.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    by_id: HashMap<BlockId, usize>,
    links: Vec<BlockId>,
    /// The first stub of each body.
    stubs: HashMap<BlockId, usize>,
}

impl Graph {
    /// Adds a block; false if it is known.
    pub(super) fn add(&mut self, block: &Block) -> bool {
        let next = self.nodes.len();
        if *self.by_id.entry(block.id).or_insert(next) != next {
            return false;
        }
        let header = SignedHeader::read(&block.bytes).ok();
        let vertex = header.map(|header| {
            let h = header.header;
            Box::new(Facts {
                log: h.log,
                epoch: h.epoch,
                seq: h.seq,
                time: h.time,
                count: h.count,
                body: h.body,
            })
        });
        let from = self.links.len();
        // What is of no form that has links has none.
        self.links
            .extend(codec::links(&block.bytes).unwrap_or_default());
        let stub = match &vertex {
            Some(_) => None,
            None => Stub::read(&block.bytes).ok(),
        };
        let stub_of = stub.map(|stub| stub.body());
        if let Some(body) = stub_of {
            self.stubs.entry(body).or_insert(next);
        }
        self.nodes.push(Node {
            id: block.id,
            at: block.at,
            links: (from, self.links.len()),
            stub_of,
            vertex,
        });
        true
    }

    pub(super) fn get(&self, id: &BlockId) -> Option<&Node> {
        self.by_id.get(id).map(|at| &self.nodes[*at])
    }

    /// What is left of a body, by its id.
    pub(super) fn stub(&self, body: &BlockId) -> Option<&Node> {
        self.stubs.get(body).map(|at| &self.nodes[*at])
    }

    pub(super) fn links(&self, node: &Node) -> &[BlockId] {
        &self.links[node.links.0..node.links.1]
    }

    /// The bodies that headers of these logs and positions name.
    pub(super) fn bodies(&self, wanted: impl Fn(&Facts) -> bool) -> HashSet<BlockId> {
        let vertices = self.nodes.iter().filter_map(|node| node.vertex.as_deref());
        let wanted = vertices.filter(|facts| wanted(facts));
        wanted.map(|facts| facts.body).collect()
    }

    /// Those that are wanted, each behind all of them to which it links, or behind the stub of a body that is not here; else
    /// in the order in which they came.
    pub(super) fn causal(&self, wanted: impl Fn(&Node) -> bool) -> Vec<&Node> {
        // Hashes link backwards only, and a stub links to nothing, so there is no circle.
        let mut reached = vec![false; self.nodes.len()];
        let mut order = Vec::new();
        let mut open: Vec<(usize, usize)> = Vec::new();
        for from in 0..self.nodes.len() {
            if reached[from] || !wanted(&self.nodes[from]) {
                continue;
            }
            reached[from] = true;
            open.push((from, 0));
            while let Some((at, next)) = open.last_mut() {
                let node = &self.nodes[*at];
                let Some(link) = self.links(node).get(*next) else {
                    order.push(node);
                    open.pop();
                    continue;
                };
                *next += 1;
                let to = self.by_id.get(link).or_else(|| self.stubs.get(link));
                let Some(&to) = to else { continue };
                if !reached[to] && wanted(&self.nodes[to]) {
                    reached[to] = true;
                    open.push((to, 0));
                }
            }
        }
        order
    }

    /// The municipality of each log whose charter can be read and holds.
    pub(super) fn regions<E>(
        &self,
        genesis: &Genesis,
        mut read: impl FnMut(&Location) -> Result<Vec<u8>, E>,
    ) -> Result<BTreeMap<LogId, Region>, E> {
        let mut regions = BTreeMap::new();
        let first = |facts: &&Facts| (facts.epoch, facts.seq) == (1, 1);
        let vertices = self.nodes.iter().filter_map(|node| node.vertex.as_deref());
        for facts in vertices.filter(first) {
            let Some(body) = self.get(&facts.body) else {
                continue;
            };
            let entries = decode_body(&read(&body.at)?).unwrap_or_default();
            let charter = entries.first().map(|entry| entry.body.as_slice());
            let authority = charter.and_then(|body| Authority::from_charter(genesis, body).ok());
            if let Some(authority) = authority.filter(|authority| authority.log == facts.log) {
                regions.insert(facts.log, authority.region().clone());
            }
        }
        Ok(regions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(links: &[BlockId], mark: &str) -> Block {
        let bytes = codec::encode(&(links, mark));
        let at = Location {
            segment: 1,
            offset: 0,
            len: 1,
        };
        Block {
            id: BlockId::of(&bytes),
            at,
            bytes,
        }
    }

    /// What was fetched again stands behind what follows from it.
    #[test]
    fn whatever_the_order_in_the_file_causes_come_first() {
        let root = block(&[], "root");
        let a = block(&[root.id], "a");
        let b = block(&[a.id, root.id], "b");
        let c = block(&[BlockId::of(b"not here"), b.id], "c");
        let all = [&c, &b, &root, &a, &c];
        let mut graph = Graph::default();
        let new: Vec<bool> = all.iter().map(|block| graph.add(block)).collect();
        assert_eq!(new, [true, true, true, true, false]);
        let order = |graph: &Graph, without: Option<BlockId>| -> Vec<BlockId> {
            let wanted = graph.causal(|node| Some(node.id) != without);
            wanted.iter().map(|node| node.id).collect()
        };
        assert_eq!(order(&graph, None), [root.id, a.id, b.id, c.id]);
        assert_eq!(order(&graph, Some(a.id)), [root.id, b.id, c.id]);
    }
}
