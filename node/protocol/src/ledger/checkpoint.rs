//! The rule of `checkpoint`: whoever folded the log knows its state, and takes nothing on trust.

use super::checks::{Folded, plain};
use super::fold::{Fold, FoldContext};
use super::rows::{CheckpointRow, Table, TreeRow, key};
use super::view::{Changes, Layers, Rows};
use crate::checkpoint::{Checkpoint, Tree, take};
use crate::ids::{Digest, LogId};
use crate::refusal::Refusal;
use crate::vertex::Entry;

/// Least time between the positions of two checkpoints of a log, in milliseconds: one costs whoever follows the log a
/// walk over all of its state, so that nobody may ask for it with each vertex.
pub const MIN_CHECKPOINT_GAP_MS: u64 = 60 * 60 * 1000;

impl Fold {
    pub(super) fn checkpoint(&mut self, ctx: &FoldContext<'_>, entry: &Entry) -> Folded {
        let body = Checkpoint::read(&entry.body)?;
        plain(entry)?;
        // The vertex that begins an epoch rests on a cut, which not everybody came to on the same way.
        if self.new_epoch {
            return Err(Refusal::BadEntry.into());
        }
        // The state of the vertex before: not with what stands before the entry in this one.
        let before = ctx.layers;
        let row = before.log(&self.log).ok_or(Refusal::BadCheckpoint)?;
        let last = last_checkpoint(&self.rows(ctx), &self.log);
        let too_soon = last.is_some_and(|last| {
            row.seq <= last.count || row.time < last.time.plus_ms(MIN_CHECKPOINT_GAP_MS)
        });
        if too_soon || (body.position.epoch, body.position.seq) != (row.epoch, row.seq) {
            return Err(Refusal::BadCheckpoint.into());
        }
        let charter = ctx.authority.charter_hash;
        let tree = tree_of(&before, &self.log);
        let peaks_before = tree.count().count_ones();
        let (state, snapshot, tree) = take(&before, ctx.network, charter, self.log, tree)?;
        if body != state {
            return Err(Refusal::BadCheckpoint.into());
        }
        let at = self.next_position();
        let checkpoint = CheckpointRow {
            at,
            epoch: row.epoch,
            seq: row.seq,
            time: row.time,
            snapshot: snapshot.id,
        };
        let name = key(Table::Checkpoint, &[&self.log.0, &at.seq.to_be_bytes()]);
        self.changes.put(name, &checkpoint);
        let (count, time) = (row.seq, row.time);
        let newest = TreeRow { count, at, time };
        for number in count.count_ones()..peaks_before {
            self.changes.delete(peak_key(&self.log, number));
        }
        put_tree(&mut self.changes, &self.log, &tree, newest);
        // What did not change since an earlier snapshot is stored already.
        let new = |(id, _): &(_, _)| before.get_block(id).is_none();
        self.changes
            .blocks
            .extend(snapshot.blocks.into_iter().filter(new));
        Ok(())
    }
}

/// What is remembered of a log's newest checkpoint.
fn last_checkpoint(rows: &Layers<'_>, log: &LogId) -> Option<TreeRow> {
    rows.typed(&key(Table::Tree, &[&log.0]))
}

/// The tree over a log's vertices up to its newest checkpoint; empty before the first.
#[must_use]
pub fn tree_of(rows: &Layers<'_>, log: &LogId) -> Tree {
    let kept = || {
        let last = last_checkpoint(rows, log)?;
        let peaks = (0..last.count.count_ones()).map(|number| {
            let root: Digest = rows.typed(&peak_key(log, number))?;
            Some(root.0)
        });
        Tree::from_peaks(last.count, &peaks.collect::<Option<Vec<_>>>()?)
    };
    kept().unwrap_or_default()
}

fn put_tree(changes: &mut Changes, log: &LogId, tree: &Tree, row: TreeRow) {
    changes.put(key(Table::Tree, &[&log.0]), &row);
    for (number, root) in (0..).zip(tree.peaks()) {
        changes.put(peak_key(log, number), &Digest(root));
    }
}

fn peak_key(log: &LogId, number: u32) -> Vec<u8> {
    key(Table::Tree, &[&log.0, &number.to_be_bytes()])
}
