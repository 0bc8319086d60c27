//! `store stats`: what the ledger holds, how much of it is dead, and what all of it takes on the disk.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use city_protocol::amount::Timestamp;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::vertex::SignedHeader;
use serde::{Deserialize, Serialize};

use super::compact::Dead;
use super::graph::Graph;
use crate::store::{DATA_SCHEMA, Position, ReadError, Store};

/// What one log has here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStats {
    /// The log.
    pub log: LogId,
    /// Its municipality, if its charter is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Vertices, also those that do not count.
    pub vertices: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
    /// Epoch of the highest position.
    pub epoch: u64,
    /// The highest position.
    pub seq: u64,
}

/// `GET /v1/store/stats`, and `store stats --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreStats {
    /// 1.
    pub schema: u64,
    /// The form of the data directory.
    pub data_schema: u64,
    /// Segments of the ledger.
    pub segments: u64,
    /// Bytes of them.
    pub ledger_bytes: u64,
    /// Different blocks in them.
    pub blocks: u64,
    /// Blocks that a compaction would leave out.
    pub dead_blocks: u64,
    /// Bytes that it would give back: dead blocks, and places that cannot be read.
    pub dead_bytes: u64,
    /// Bodies that were pruned: stubs stand in their places.
    #[serde(default)]
    pub pruned: u64,
    /// Places that cannot be read.
    pub damaged: u64,
    /// The logs, the longest first.
    pub logs: Vec<LogStats>,
    /// Time of the oldest vertex, milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// Time of the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// Bytes of the index on the disk.
    pub index_bytes: u64,
    /// Bytes of the trust log, the access logs and private values on the disk.
    pub side_bytes: u64,
    /// All of these bytes over those of the live blocks.
    pub write_amplification: f64,
    /// Bytes that may still be written to this file system.
    pub free_bytes: u64,
}

/// Reads the whole ledger of a data directory.
///
/// # Errors
/// [`ReadError`], and what the operating system says of the directory.
pub fn stats(store: &Store, genesis: &Genesis, dir: &Path) -> Result<StoreStats, StatsError> {
    let ledger = store.ledger();
    let mut graph = Graph::default();
    let (mut damaged, mut read) = (0, 0_u64);
    for block in store.blocks_from(Position::START) {
        match block {
            Ok(block) => {
                read += u64::from(block.at.len);
                graph.add(&block);
            }
            Err(ReadError::Damaged(_)) => damaged += 1,
            Err(error) => return Err(error.into()),
        }
    }
    let dead = Dead::of(store)?;
    let mut regions = graph.regions(genesis, |at| store.read_block(at).map(|block| block.bytes))?;
    let mut logs: BTreeMap<LogId, LogStats> = BTreeMap::new();
    let (mut oldest, mut newest) = (None, None);
    for node in &graph.nodes {
        let Some(facts) = &node.vertex else { continue };
        let log = logs.entry(facts.log).or_insert_with(|| LogStats {
            log: facts.log,
            region: regions.remove(&facts.log).map(|region| region.to_string()),
            vertices: 0,
            entries: 0,
            bytes: 0,
            epoch: 0,
            seq: 0,
        });
        let body = graph.get(&facts.body).map_or(0, |body| body.at.len);
        log.vertices += 1;
        log.entries += facts.count;
        log.bytes += u64::from(node.at.len) + u64::from(body);
        (log.epoch, log.seq) = (log.epoch, log.seq).max((facts.epoch, facts.seq));
        oldest = Some(oldest.map_or(facts.time, |time: Timestamp| time.min(facts.time)));
        newest = newest.max(Some(facts.time));
    }
    let ledger_bytes = ledger.bytes()?;
    let segments = u64::from(ledger.end().segment - ledger.begin().segment) + 1;
    let live = read.saturating_sub(dead.bytes);
    let side = ["trust", "access", "private"].map(|part| on_disk(&dir.join(part)));
    let side_bytes = side.into_iter().sum::<io::Result<u64>>()?;
    let index_bytes = on_disk(&dir.join("index"))?;
    let mut logs: Vec<LogStats> = logs.into_values().collect();
    logs.sort_by_key(|log| std::cmp::Reverse(log.bytes));
    let all = ledger_bytes + index_bytes + side_bytes;
    Ok(StoreStats {
        schema: 1,
        data_schema: DATA_SCHEMA,
        segments,
        ledger_bytes,
        blocks: graph.nodes.len() as u64,
        dead_blocks: dead.blocks(),
        dead_bytes: ledger_bytes
            .saturating_sub(segments * crate::store::car::HEADER_LEN)
            .saturating_sub(live),
        pruned: graph
            .nodes
            .iter()
            .filter(|node| node.stub_of.is_some())
            .count() as u64,
        damaged,
        logs,
        oldest,
        newest,
        index_bytes,
        side_bytes,
        write_amplification: ratio(all, live),
        free_bytes: store.ledger().free_space()?,
    })
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The ledger.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The directory.
    #[error("the data directory could not be measured; look at its rights and at the disk")]
    Io(#[from] io::Error),
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people; two digits are shown"
)]
fn ratio(all: u64, live: u64) -> f64 {
    all as f64 / live.max(1) as f64
}

/// Bytes that a file or directory takes on the disk; a file that is gone meanwhile takes none.
fn on_disk(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        metadata => metadata?,
    };
    if !metadata.is_dir() {
        // `st_blocks` counts 512 bytes, whatever the file system's block (stat(2)).
        return Ok(metadata.blocks() * 512);
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        bytes += on_disk(&entry?.path())?;
    }
    Ok(bytes)
}

/// Where a ledger that is being written ends, and how far the own log is there: what a backup goes up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// 1.
    pub schema: u64,
    /// The last segment.
    pub segment: u32,
    /// Its durable bytes.
    pub bytes: u64,
    /// The own log's epoch; 0 if it has not begun.
    pub epoch: u64,
    /// The own log's position.
    pub seq: u64,
    /// The vertex there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<BlockId>,
}

impl Pin {
    /// The present end. The own log is read first: whatever it has stands before the end.
    #[must_use]
    pub fn of(history: &super::StoreHistory, own: &LogId) -> Self {
        let head = super::own_high_water(history, own);
        let end = history.store().ledger().end();
        Self {
            schema: 1,
            segment: end.segment,
            bytes: end.offset,
            epoch: head.map_or(0, |head| head.epoch),
            seq: head.map_or(0, |head| head.seq),
            head: head.and_then(|head| head.head),
        }
    }

    /// The same of a store that nobody runs, by its blocks: its index may not be up to date, or gone.
    ///
    /// # Errors
    /// [`ReadError`]; what is damaged is passed over.
    pub fn read(store: &Store, own: &LogId) -> Result<Self, ReadError> {
        let end = store.ledger().end();
        let mut pin = Self {
            schema: 1,
            segment: end.segment,
            bytes: end.offset,
            epoch: 0,
            seq: 0,
            head: None,
        };
        for block in store.blocks_from(Position::START) {
            let block = match block {
                Err(ReadError::Damaged(_)) => continue,
                block => block?,
            };
            let Ok(header) = SignedHeader::read(&block.bytes) else {
                continue;
            };
            let h = &header.header;
            if h.log == *own && (h.epoch, h.seq) > (pin.epoch, pin.seq) {
                (pin.epoch, pin.seq, pin.head) = (h.epoch, h.seq, Some(header.id));
            }
        }
        Ok(pin)
    }
}
