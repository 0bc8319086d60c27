//! Who lies convicts itself, and who does not is never convicted.

use std::collections::{BTreeMap, BTreeSet};

use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{Frozen, Rows as _};
use city_protocol::vertex::SignedHeader;

use super::{Finding, ensure};
use crate::sim::stage::Sim;

/// At most one vertex per (log, epoch, seq) stands on honest disks, or every honest home has the proof.
pub(crate) fn nobody_forks_unnoticed(sim: &Sim) -> Finding {
    let mut positions: BTreeMap<(LogId, u64, u64), BTreeSet<BlockId>> = BTreeMap::new();
    for home in sim.honest() {
        let disk = &sim.world.homes[home].disk;
        for block in disk.blocks.values() {
            if let Ok(header) = SignedHeader::read(block) {
                let h = &header.header;
                positions
                    .entry((h.log, h.epoch, h.seq))
                    .or_default()
                    .insert(header.id);
            }
        }
    }
    for ((log, epoch, seq), ids) in positions.into_iter().filter(|(_, ids)| ids.len() > 1) {
        for home in sim.honest() {
            let h = &sim.world.homes[home];
            let row = h.disk.read().log(&log);
            // What the officers closed is never a new fault; those who followed the log before have the proof.
            if row.as_ref().is_some_and(|row| row.epoch > epoch) {
                continue;
            }
            let cut = row.and_then(|row| match row.frozen {
                Some(Frozen::Equivocation(cut)) => Some(cut),
                _ => None,
            });
            let name = sim.name_of(&log);
            ensure(cut.is_some_and(|cut| cut < seq), || {
                format!(
                    "{} vertices at {seq} of {name}, and {home} has the cut {cut:?}",
                    ids.len()
                )
            })?;
            let proof = h.disk.read().fault(&log, epoch);
            let held = proof.is_some_and(|proof| {
                proof
                    .vertices
                    .iter()
                    .all(|id| h.disk.blocks.contains_key(id))
            });
            ensure(held, || format!("{home} holds no proof against {name}"))?;
        }
    }
    Ok(())
}

/// Nobody says of a vertex that it is valid where another, or it itself at another time, says that it is not.
pub(crate) fn verdicts_agree(sim: &Sim) -> Finding {
    let mut said: BTreeMap<BlockId, BTreeSet<bool>> = BTreeMap::new();
    for home in sim.honest() {
        for (id, verdicts) in &sim.world.homes[home].verdicts {
            said.entry(*id).or_default().extend(verdicts);
        }
    }
    match said.iter().find(|(_, verdicts)| verdicts.len() > 1) {
        Some((id, _)) => Err(format!("{id} is valid here and invalid there")),
        None => Ok(()),
    }
}

/// What the liar made up counts nowhere, and its log stands before it, alike at every honest home.
pub(crate) fn nobody_believes_a_trick(sim: &Sim) -> Finding {
    let Some(liar) = sim.liar() else {
        return Ok(());
    };
    let log = sim.world.homes[liar].log();
    let heads = sim.honest().into_iter().map(|home| {
        let row = sim.world.homes[home].disk.read().log(&log);
        row.map(|row| (row.epoch, row.seq, row.head))
    });
    let heads: BTreeSet<_> = heads.collect();
    ensure(heads.len() == 1, || {
        format!("the liar's log ends at {heads:?}")
    })?;
    for (id, trick) in &sim.tricks {
        for home in sim.honest() {
            let h = &sim.world.homes[home];
            let rows = h.disk.read();
            let counts = rows
                .vertex(id)
                .is_some_and(|row| rows.vertex_at(&row.log, row.epoch, row.seq) == Some(*id));
            let believed = h.verdicts.get(id).is_some_and(|said| said.contains(&true));
            ensure(!counts && !believed, || {
                format!("{home} believes the {trick:?} of {liar}")
            })?;
        }
    }
    Ok(())
}
