//! What the own home answers for once its officers have begun another epoch: entries that the cut took back and on
//! which other homes rest. They are found in others' vertices, as those come and by a sweep in small steps; a lost
//! vertex that is not here any more is asked for, because its header has to be verified before it is cited.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Now, Replica};
use crate::amount::{Amount, Timestamp};
use crate::body::{Adopt, Answer, Kind, Refund, RefundReason, Settle, Transfer, read_person_body};
use crate::codec;
use crate::ids::{BlockId, Digest, LogId};
use crate::ledger::{History, Rows, Table, key, try_read_row};
use crate::refusal::Refusal;
use crate::trust::PeerId;
use crate::vertex::{
    Cite, Entry, EntryCite, Known, MAX_PARENT_AHEAD_MS, decode_body, merkle_paths,
};

/// Positions looked at in one step of the sweep.
const SWEEP_ROWS: usize = 1024;
/// Bodies read in one step of the sweep: at most 32 MiB.
const SWEEP_BODIES: usize = 32;
/// Most lost vertices that are asked for at a time; the sweep finds the others when it comes by again.
const MAX_LOST: usize = 256;
/// Pause before the sweep looks again for what could not be answered for, in milliseconds: an hour.
const AGAIN_MS: u64 = 60 * 60 * 1000;

/// What is looked for, and what is missing for it.
#[derive(Debug, Default)]
pub(super) struct Adoptions {
    /// Where the sweep stands; none when it is done.
    sweep: Option<Vec<u8>>,
    /// Whether something was found that could not be answered for yet.
    again: bool,
    /// When the sweep begins once more because of it.
    again_at: Option<Timestamp>,
    /// Lost vertices that are not here, with the vertices of others that rest on them.
    lost: BTreeMap<BlockId, BTreeSet<BlockId>>,
}

impl Adoptions {
    /// Everything is looked through from the beginning: an epoch began, or what was found was not written.
    pub(super) fn begin(&mut self) {
        self.sweep = Some(Vec::new());
        self.lost.clear();
        (self.again, self.again_at) = (false, None);
    }

    /// Whether this lost vertex was asked for.
    pub(super) fn awaits(&self, id: &BlockId) -> bool {
        self.lost.contains_key(id)
    }
}

/// An entry of another log that may rest on a lost one of the own.
struct Foreign<'a> {
    vertex: BlockId,
    log: LogId,
    transfer: Digest,
    amount: Amount,
    lost: &'a EntryCite,
}

impl Replica {
    /// One step: asks for lost vertices that are missing, and looks through some of the others' vertices.
    pub(super) fn adopt_step(&mut self, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        self.ask_for_lost(now, out);
        if self.adoptions.again_at.is_some_and(|at| at <= now.time) {
            self.adoptions.begin();
        }
        let own = self.home.log();
        let Some(since) = self.first_cut(history) else {
            self.adoptions.sweep = None;
            return;
        };
        if !self.home.sequences(&self.layers(history)) {
            return;
        }
        let Some(after) = self.adoptions.sweep.take() else {
            return;
        };
        let after = Some(after.as_slice()).filter(|after| !after.is_empty());
        let page = history.rows(&key(Table::Position, &[]), after, SWEEP_ROWS);
        let (mut last, mut bodies) = (None, 0);
        for (name, value) in &page {
            last = Some(name);
            let id: Option<BlockId> = try_read_row(value);
            let id = id.filter(|_| !name[1..].starts_with(&own.0));
            let Some((id, row)) = id.and_then(|id| Some((id, history.vertex(&id)?))) else {
                continue;
            };
            if row.time < since {
                continue;
            }
            let body = history.block(&row.body);
            if let Some(entries) = body.and_then(|body| decode_body(&body).ok()) {
                self.adopt_below(id, row.log, &entries, now, history);
            }
            bodies += 1;
            if bodies == SWEEP_BODIES {
                break;
            }
        }
        let ended = page.len() < SWEEP_ROWS && last == page.last().map(|(name, _)| name);
        if !ended {
            self.adoptions.sweep = last.cloned();
        } else if self.adoptions.again {
            self.adoptions.again = false;
            self.adoptions.again_at = Some(now.time.plus_ms(AGAIN_MS));
        }
    }

    /// Answers for every own entry that was lost and on which these entries of another log rest.
    pub(super) fn adopt_below(
        &mut self,
        vertex: BlockId,
        log: LogId,
        entries: &[Entry],
        now: Now,
        history: &dyn History,
    ) {
        let own = self.home.log();
        if log == own || self.layers(history).epoch(&own, 2).is_none() {
            return;
        }
        let mut paths = Vec::new();
        for (i, entry) in entries.iter().enumerate() {
            let Some(foreign) = foreign(vertex, log, entry, &own) else {
                continue;
            };
            if !self.is_to_be_adopted(entry.kind, &foreign, history) {
                continue;
            }
            if paths.is_empty() {
                let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
                paths = merkle_paths(&leaves).1;
            }
            let cite = entry.to_cite(vertex, i as u64, &paths[i]);
            self.adopt(&foreign, cite, now, history);
        }
    }

    /// Whether the own log lost what this rests on and has not answered for it. What it cannot tell, because the lost
    /// vertex is not here, is asked for.
    fn is_to_be_adopted(
        &mut self,
        kind: Kind,
        foreign: &Foreign<'_>,
        history: &dyn History,
    ) -> bool {
        let own = self.home.log();
        let rows = self.rows_now(history);
        let booked = match kind {
            Kind::Accept => rows.transfer(&own, &foreign.transfer).is_some(),
            _ => {
                let sent = rows.transfer(&foreign.log, &foreign.transfer);
                let is_ours = sent.is_some_and(|sent| sent.receiver_home == own);
                !is_ours || rows.answer(&own, &foreign.transfer).is_some()
            }
        };
        if booked {
            return false;
        }
        let lost = foreign.lost.vertex;
        if let Some(row) = rows.vertex(&lost) {
            let counts = rows.vertex_at(&own, row.epoch, row.seq) == Some(lost);
            return row.log == own && !counts;
        }
        let waiting = &mut self.adoptions.lost;
        if waiting.len() < MAX_LOST || waiting.contains_key(&lost) {
            waiting.entry(lost).or_default().insert(foreign.vertex);
        }
        self.adoptions.again = true;
        false
    }

    fn adopt(&mut self, foreign: &Foreign<'_>, cite: Cite, now: Now, history: &dyn History) {
        let body = Adopt {
            v: 1,
            transfer: foreign.transfer,
            amount: foreign.amount,
        };
        let mut entry = Entry::home_authored(Kind::Adopt, codec::encode(&body));
        entry.cites = vec![Cite::Entry(Box::new(foreign.lost.clone())), cite];
        entry.booked.shortfall = self.shortfall(foreign, history);
        match self.push(vec![(entry, Known::default())], now, history) {
            Ok(()) => self
                .open
                .as_mut()
                .expect("push leaves the vertex open")
                .cites(Some(foreign.vertex)),
            // The clock is known later; a receiver may enrol again, or change to its lost key again.
            Err(Refusal::ClockUnknown | Refusal::UnknownAccount | Refusal::Busy) => {
                self.adoptions.again = true;
            }
            Err(_) => {}
        }
    }

    /// What the sender of a lost transfer has not, as the rules reckon it.
    fn shortfall(&self, foreign: &Foreign<'_>, history: &dyn History) -> Option<Amount> {
        if foreign.lost.kind != Kind::Transfer {
            return None;
        }
        let transfer: Transfer = read_person_body(&foreign.lost.body).ok()?;
        let rows = self.rows_now(history);
        let sender = rows.account(&self.home.log(), &transfer.sender);
        let sender = sender.filter(|row| row.key == transfer.key);
        let has = sender.map_or(Amount::ZERO, |row| row.available);
        let short = foreign.amount.minus(has.min(foreign.amount)).ok()?;
        Some(short).filter(|short| *short > Amount::ZERO)
    }

    /// A lost vertex is here again: what rests on it is answered for.
    pub(super) fn adopt_above(&mut self, lost: &BlockId, now: Now, history: &dyn History) {
        for id in self.adoptions.lost.remove(lost).unwrap_or_default() {
            let rows = self.layers(history);
            let found = rows.vertex(&id).and_then(|row| {
                let body = rows.get_block(&row.body)?;
                Some((row.log, decode_body(&body).ok()?))
            });
            if let Some((log, entries)) = found {
                self.adopt_below(id, log, &entries, now, history);
            }
        }
    }

    /// Asks one peer after the other: those who rest on what was lost keep it.
    fn ask_for_lost(&mut self, now: Now, out: &mut Vec<Action>) {
        let peers: Vec<PeerId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.gives())
            .map(|(peer, _)| *peer)
            .collect();
        if peers.is_empty() || self.adoptions.lost.is_empty() {
            return;
        }
        let turn = usize::try_from(now.time.0 / 1000).unwrap_or(0);
        let lost: Vec<BlockId> = self.adoptions.lost.keys().copied().collect();
        for id in lost {
            self.fetch(peers[turn % peers.len()], id, now, out);
        }
    }

    /// Nothing that rests on what the first cut took back is older than this; none while no epoch was closed.
    fn first_cut(&self, history: &dyn History) -> Option<Timestamp> {
        let own = self.home.log();
        let first = history.epoch(&own, 2)?;
        let cut = history
            .vertex_at(&own, 1, first.seq.saturating_sub(1))
            .and_then(|id| history.vertex(&id));
        let time = cut.map_or(Timestamp(0), |cut| cut.time);
        Some(time.minus_ms(MAX_PARENT_AHEAD_MS))
    }
}

/// What an entry of another log says about a transfer, if it rests on an entry of the own log.
fn foreign<'a>(vertex: BlockId, log: LogId, entry: &'a Entry, own: &LogId) -> Option<Foreign<'a>> {
    let [Cite::Entry(lost)] = entry.cites.as_slice() else {
        return None;
    };
    let (transfer, amount) = match entry.kind {
        Kind::Accept => {
            let accept = Answer::read(entry.kind, &entry.body).ok()?;
            let ours = accept.sender_home == *own;
            ours.then_some((accept.transfer, accept.amount))?
        }
        Kind::Settle => {
            let settle = Settle::read(&entry.body).ok()?;
            (settle.transfer, settle.amount)
        }
        Kind::Refund => {
            let refund = Refund::read(&entry.body).ok()?;
            let rejected = refund.reason == RefundReason::Rejected;
            rejected.then_some((refund.transfer, refund.amount))?
        }
        _ => return None,
    };
    Some(Foreign {
        vertex,
        log,
        transfer,
        amount,
        lost,
    })
}
