//! Later charters: booking the own log's, and knowing who decides in a log at each of its vertices.

use std::sync::Arc;

use super::admit::{dated, officers_entry};
use super::{ClockQuality, Now, Replica, Ticket};
use crate::body::{Amendment, Kind, OfficersBody as _, identity, read_officers_body};
use crate::ids::{Digest, LogId, sha256};
use crate::ledger::{History, Rows};
use crate::refusal::Refusal;
use crate::stage::SignedBySeveral;
use crate::vertex::{Authority, VerifiedVertex, amends};

impl Replica {
    /// Books what changes officers and witnesses, in a vertex of its own: what waits was decided under the charter that
    /// ends.
    pub(super) fn admit_amendment(
        &mut self,
        ticket: Ticket,
        signed: SignedBySeveral,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let identity = identity(Amendment::TAG, &signed.bytes);
        let log = self.home.log();
        if let Some(at) = self.rows_now(history).submission(&log, &identity) {
            return self.repeat(ticket, identity, at, history);
        }
        let body: Amendment = read_officers_body(&signed.bytes)?;
        dated(body.created_at, now)?;
        if now.quality == ClockQuality::Floor {
            return Err(Refusal::ClockUnknown);
        }
        self.seal(now, history);
        let rows = self.layers(history);
        if !self.home.sequences(&rows) {
            return Err(self.home.refusal());
        }
        let row = rows.log(&log).ok_or(Refusal::NotSequencing)?;
        let entry = officers_entry(Kind::Charter, signed, now);
        let next = self
            .home
            .authority
            .amend(&self.genesis, &entry, row.epoch)?;
        let (before, charter) = ((row.epoch, row.charter), next.in_force());
        let open = self.open_decided(&next, entry, row, history)?;

        self.home.learn(next.into());
        self.open = Some(open.awaited(ticket, identity));
        self.seal(now, history);
        let row = self.layers(history).log(&log);
        if row.is_some_and(|row| row.charter == Some(charter)) {
            self.authorities.0.insert(log, self.home.authority());
        } else {
            // It could not be dated: whoever waited was told.
            self.home.unlearn(before.0, before.1);
        }
        Ok(())
    }

    /// Who signs and decides at this vertex: what is known of its log, with the charter that the vertex brings, or what
    /// it brings itself where it begins a log or an epoch.
    pub(super) fn authority_at(
        &self,
        vertex: &VerifiedVertex,
        history: &dyn History,
    ) -> Result<Arc<Authority>, Refusal> {
        let h = &vertex.header.header;
        let first = vertex.entries.iter().flatten().next();
        let Some(known) = self.authorities.0.get(&h.log) else {
            return Ok(Arc::clone(&vertex.authority));
        };
        match first {
            Some(entry) if entry.kind == Kind::EpochStart => Ok(Arc::clone(&vertex.authority)),
            Some(entry) if amends(&vertex.header, entry) => {
                known.amend(&self.genesis, entry, h.epoch).map(Arc::new)
            }
            _ => Ok(self.as_folded(known, h, history)),
        }
    }

    /// Remembers a charter of a branch that does not count, so that the officers whom it names can be asked for: a later
    /// epoch may begin behind it.
    pub(super) fn learn_branch(&mut self, vertex: &VerifiedVertex, history: &dyn History) {
        let log = vertex.header.header.log;
        let Some(known) = self.authorities.0.get(&log) else {
            return;
        };
        let in_force = known.in_force();
        let brings = vertex.entries.iter().flatten().next();
        let brings = brings.filter(|entry| amends(&vertex.header, entry));
        if brings.is_some_and(|entry| !known.knows(&Digest(sha256(&[&entry.body]))))
            // What does not hold names nobody.
            && let Ok(branch) = self.authority_at(vertex, history)
        {
            let branch = Arc::new(branch.under(Some(in_force)));
            self.authorities.0.insert(log, branch);
        }
    }

    /// A log counts up to another position now: this charter is in force there.
    pub(super) fn put_in_force(&mut self, log: LogId, charter: Option<Digest>) {
        let Some(known) = self.authorities.0.get(&log) else {
            return;
        };
        if known.in_force() != charter.unwrap_or(known.charter_hash) {
            let authority = Arc::new(known.under(charter));
            if log == self.home.log() {
                self.home.learn(Arc::clone(&authority));
            }
            self.authorities.0.insert(log, authority);
        }
    }
}
