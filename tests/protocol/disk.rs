//! A home's disk: what was written, group by group, and the index of it. It can be cut off in the middle of a
//! group, set back to an older state, and its index can be made again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use city_protocol::ids::BlockId;
use city_protocol::ledger::{Changes, History};
use city_protocol::vertex::Stub;

/// Rows that a group sets or deletes.
type RowChanges = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What one append wrote.
#[derive(Clone, Default, PartialEq)]
struct Group {
    blocks: Vec<BlockId>,
    rows: Arc<RowChanges>,
}

/// Blocks in the order in which they were appended, and the rows of the index.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Disk {
    pub(crate) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) blocks: HashMap<BlockId, Arc<Vec<u8>>>,
    groups: Vec<Group>,
    /// What is left of bodies that were pruned, by their ids.
    pub(crate) stubs: HashMap<BlockId, Arc<Stub>>,
}

impl Disk {
    /// Appends, fsyncs and indexes.
    pub(crate) fn write(&mut self, changes: Changes) {
        let blocks = self.append(changes.blocks);
        self.index(blocks, changes.rows);
    }

    /// The box fails while this group is written: only its first `bytes` survive, and no row of it.
    pub(crate) fn tear(&mut self, changes: Changes, bytes: usize) {
        let mut left = bytes;
        let whole = |(_, block): &(BlockId, Vec<u8>)| {
            let fits = block.len() <= left;
            left = left.saturating_sub(block.len());
            fits
        };
        // What is written of the first block that does not fit is cut off when the log is opened.
        let survived: Vec<_> = changes.blocks.into_iter().take_while(whole).collect();
        let blocks = self.append(survived);
        self.index(blocks, RowChanges::new());
    }

    /// Whether the last group was cut off, so that the log knows more than the index.
    pub(crate) fn log_is_ahead(&self) -> bool {
        self.groups
            .last()
            .is_some_and(|group| group.rows.is_empty())
    }

    /// How many groups were written.
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The disk as it was when only so many groups were written.
    pub(crate) fn as_of(&self, groups: usize) -> Self {
        let mut old = Self {
            stubs: self.stubs.clone(),
            ..Self::default()
        };
        for group in &self.groups[..groups] {
            let stored = |id: &BlockId| Some((*id, self.blocks.get(id)?.clone()));
            old.blocks.extend(group.blocks.iter().filter_map(stored));
            old.index(group.blocks.clone(), (*group.rows).clone());
        }
        old
    }

    /// The index falls back to what the first groups wrote; gives the blocks that it does not know any more, for
    /// folding them again.
    pub(crate) fn forget_index(&mut self, groups: usize) -> Vec<BlockId> {
        let old = self.as_of(groups);
        let unknown = self.groups[groups..]
            .iter()
            .flat_map(|group| group.blocks.clone())
            .collect();
        self.rows = old.rows;
        self.groups = old.groups;
        unknown
    }

    /// Notes that these blocks, which were in the log already, are indexed by these rows.
    pub(crate) fn index(&mut self, blocks: Vec<BlockId>, rows: RowChanges) {
        for (key, value) in &rows {
            match value {
                Some(value) => drop(self.rows.insert(key.clone(), value.clone())),
                None => drop(self.rows.remove(key)),
            }
        }
        let rows = Arc::new(rows);
        self.groups.push(Group { blocks, rows });
    }

    fn append(&mut self, blocks: Vec<(BlockId, Vec<u8>)>) -> Vec<BlockId> {
        let mut ids = Vec::new();
        for (id, bytes) in blocks {
            assert_eq!(BlockId::of(&bytes), id, "a block stands under its own id");
            self.blocks.insert(id, Arc::new(bytes));
            ids.push(id);
        }
        ids
    }

    pub(crate) fn read(&self) -> &dyn History {
        self
    }
}

impl History for Disk {
    fn row(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.get(key).cloned()
    }

    fn rows(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.rows
            .range(after.unwrap_or(prefix).to_vec()..)
            .filter(|(key, _)| after.is_none_or(|after| key.as_slice() > after))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    fn block(&self, id: &BlockId) -> Option<Vec<u8>> {
        self.blocks.get(id).map(|bytes| bytes.to_vec())
    }

    fn stub(&self, body: &BlockId) -> Option<Stub> {
        self.stubs.get(body).map(|stub| Stub::clone(stub))
    }
}
