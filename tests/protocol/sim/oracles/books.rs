//! The sums of DESIGN §6.1, added up again from the entries by somebody who knows nothing of the fold; the journal,
//! the index and what was acknowledged against the same logs.

use std::collections::{BTreeMap, BTreeSet};

use city_protocol::amount::Amount;
use city_protocol::body::{
    Accept, Adopt, Answer, AnsweredBy, Correct, Enrol, Grant, Kind, NewKeys, OfficersBody as _,
    Order, PersonBody as _, Recover, Refund, Reject, Revoke, Rotate, Settle, Transfer, Ungrant,
    identity,
};
use city_protocol::crypto::TAG_GRANT;
use city_protocol::ids::{AccountId, Digest, KeyId, LogId};
use city_protocol::ledger::{
    AccountRow, FaultRow, Frozen, LogRow, Rows as _, Table, VertexRow, key, read_row,
};
use city_protocol::replica::log_rows;
use city_protocol::vertex::{Cite, Entry, SignedHeader, decode_body};

use super::step::{SHARED, same_rows, table};
use super::{Finding, ensure};
use crate::disk::Disk;
use crate::sim::boxes::fold_again;
use crate::sim::stage::{Acked, Sim};

/// Tables that are a home's own and follow from its log alone. The order of arrival a rebuild begins anew.
const OWN: [Table; 5] = [
    Table::Log,
    Table::FaultEntry,
    Table::Charter,
    Table::Invalid,
    Table::Witness,
];

/// What one log comes to, in hundredths.
#[derive(Default)]
pub(super) struct Sums {
    available: BTreeMap<AccountId, i128>,
    open: BTreeMap<Digest, (AccountId, i128)>,
    /// What was sent and not given back, and to which home.
    pub(super) sent_to: BTreeMap<Digest, (LogId, i128)>,
    /// What was taken, and from which home.
    pub(super) accepted: BTreeMap<Digest, (LogId, i128)>,
    /// Transfers with an answer, of either kind.
    answered: BTreeSet<Digest>,
    granted: i128,
    ungranted: i128,
    settled: i128,
    shortfall: i128,
    /// Accounts by the keys that they were given later than by enrolling.
    given: BTreeMap<KeyId, AccountId>,
    /// The key that an account has.
    keys: BTreeMap<AccountId, KeyId>,
}

/// The home whose books are looked at: the others have the same rows.
pub(super) fn audited(sim: &Sim) -> usize {
    let honest = sim.honest();
    honest[sim.trace.events as usize % honest.len()]
}

/// An honest home's books: each log's sums, over each account and over all logs, and nothing negative anywhere.
pub(crate) fn books_balance(sim: &Sim) -> Finding {
    let home = audited(sim);
    let logs = sums_of(sim, home)?;
    in_transit(sim, home, &logs).map_err(|what| format!("at {home}: {what}"))
}

/// What each log comes to at a home, which shows the same.
pub(super) fn sums_of(sim: &Sim, home: usize) -> Result<BTreeMap<LogId, Sums>, String> {
    let disk = sim.world.homes[home].disk.read();
    let mut logs = BTreeMap::new();
    for (log, row) in log_rows(disk) {
        let name = format!("{} at {home}", sim.name_of(&log));
        let sums = added_up(sim, home, &log, &row).map_err(|what| format!("{name}: {what}"))?;
        ensure(row.totals.conserved(), || {
            format!("{name}: {:?} are not conserved", row.totals)
        })?;
        let open: i128 = sums.open.values().map(|(_, amount)| amount).sum();
        let accepted: i128 = sums.accepted.values().map(|(_, amount)| amount).sum();
        let available: i128 = sums.available.values().sum();
        let added = [
            sums.granted,
            sums.ungranted,
            sums.shortfall,
            available,
            open,
            sums.settled,
            accepted,
        ];
        let t = row.totals;
        let shown = [
            t.granted,
            t.ungranted,
            t.shortfall,
            t.available,
            t.open_out,
            t.settled_out,
            t.accepted_in,
        ]
        .map(i128::from);
        ensure(added == shown, || {
            format!("{name}: shows {shown:?}, and it is {added:?}")
        })?;
        for (account, sum) in &sums.available {
            let row = disk.account(&log, account);
            let shown = row.map(|row| i128::from(row.available.hundredths()));
            ensure(shown == Some(*sum), || {
                format!("{name}: {account} has {sum}, and {shown:?} is shown")
            })?;
        }
        sim.world
            .books(home, &log)
            .map_err(|what| format!("{name}: {what}"))?;
        logs.insert(log, sums);
    }
    Ok(logs)
}

/// Over all logs that a home knows, also of those who broke the rules: what is available and what is in transit is what was
/// granted and not taken back, and what is answered for. In transit is what was sent and not taken, less what was taken and is
/// not sent: each of them waits for somebody, or a cut took its other half back for which nobody can answer yet.
pub(super) fn in_transit(sim: &Sim, home: usize, logs: &BTreeMap<LogId, Sums>) -> Finding {
    let names = |from: &LogId, to: &LogId| format!("{} to {}", sim.name_of(from), sim.name_of(to));
    let half = |half: Option<&(LogId, i128)>| match half {
        None => "nothing".into(),
        Some((log, amount)) => format!("{amount} of {}", sim.name_of(log)),
    };
    let rows = sim.world.homes[home].disk.read();
    let (mut transit, mut all) = (0, 0);
    for (log, sums) in logs {
        for (transfer, (to, amount)) in &sums.sent_to {
            transit += amount;
            let there = logs.get(to);
            let taken = there.and_then(|there| there.accepted.get(transfer));
            let row = rows.transfer(log, transfer);
            let fits = match taken {
                Some(taken) => *taken == (*log, *amount),
                // Settled by an answer that its log lost to a cut.
                None if !sums.open.contains_key(transfer) => lost_something(sim, home, to),
                // A home that is there gives back what was rejected.
                None if there.is_some_and(|there| there.answered.contains(transfer)) => {
                    stands_still(sim, home, log)
                }
                // It waits for its receiver. Of those who did no wrong everybody has taken what there was.
                None => row.as_ref().is_some_and(|row| {
                    let receiver = row.receiver.as_str().as_bytes();
                    let waiting = key(Table::Incoming, &[&to.0, receiver, &transfer.0]);
                    rows.row(&waiting).is_some() && !(sim.is_clean(log) && sim.is_clean(to))
                }),
            };
            ensure(fits, || {
                let (names, taken) = (names(log, to), half(taken));
                format!("{transfer} over {amount} went from {names}, and {taken} is taken: {row:?}")
            })?;
        }
        for (transfer, (from, amount)) in &sums.accepted {
            transit -= amount;
            let sent = logs.get(from).and_then(|there| there.sent_to.get(transfer));
            let fits = match sent {
                Some(sent) => *sent == (*log, *amount),
                None => lost_something(sim, home, from),
            };
            ensure(fits, || {
                let (names, sent) = (names(from, log), half(sent));
                format!("{transfer} over {amount} was taken from {names}, and {sent} is sent")
            })?;
        }
        let available: i128 = sums.available.values().sum();
        all += available - (sums.granted - sums.ungranted + sums.shortfall);
    }
    ensure(all + transit == 0, || {
        format!(
            "{transit} are in transit, and the logs are short of {}",
            -all
        )
    })
}

/// Whether a cut took something back for which nobody can answer yet: the log stands at it.
fn lost_something(sim: &Sim, home: usize, log: &LogId) -> bool {
    let row = sim.world.homes[home].disk.read().log(log);
    row.is_some_and(|row| matches!(row.frozen, Some(Frozen::Equivocation(_))))
}

/// Whether nothing more is entered into a log: it does not count any more, or its home does not book.
fn stands_still(sim: &Sim, home: usize, log: &LogId) -> bool {
    let row = sim.world.homes[home].disk.read().log(log);
    let books = |other: &usize| {
        let h = &sim.world.homes[*other];
        h.log() == *log && h.replica.status(h.disk.read()).sequencing
    };
    row.is_none_or(|row| row.frozen.is_some()) || !sim.honest().iter().any(books)
}

/// Adds up one log's entries, in their order.
fn added_up(sim: &Sim, home: usize, log: &LogId, row: &LogRow) -> Result<Sums, String> {
    let mut sums = Sums::default();
    let disk = &sim.world.homes[home].disk;
    let mut last = 0;
    for (seq, entry) in entries_of(disk, log, row) {
        sums.add(log, &entry)
            .map_err(|what| format!("{what} at {seq}"))?;
        last = seq;
    }
    // The last that counts may be empty, but it has to be there.
    let whole = (last..=row.seq).all(|seq| body_at(disk, log, row, seq).is_some());
    ensure(whole || row.seq == 0, || {
        format!("a vertex behind {last} is not here")
    })?;
    Ok(sums)
}

/// The body of a log's vertex at a position of its chain.
fn body_at(disk: &Disk, log: &LogId, row: &LogRow, seq: u64) -> Option<Vec<u8>> {
    let disk = disk.read();
    let id = disk.vertex_on_chain(log, row.epoch, seq)?;
    disk.block(&disk.vertex(&id)?.body)
}

/// The entries of a log as far as their bodies are there, with the positions of their vertices, over all epochs.
pub(crate) fn entries_of<'a>(
    disk: &'a Disk,
    log: &'a LogId,
    row: &'a LogRow,
) -> impl Iterator<Item = (u64, Entry)> + 'a {
    let bodies = (1..=row.seq).map_while(move |seq| Some((seq, body_at(disk, log, row, seq)?)));
    bodies.flat_map(|(seq, body)| {
        let entries = decode_body(&body).unwrap_or_default();
        entries.into_iter().map(move |entry| (seq, entry))
    })
}

/// Between two steps: each log's totals are conserved, and are what its accounts have.
pub(crate) fn sums_hold(sim: &Sim, home: usize) -> Finding {
    let disk = &sim.world.homes[home].disk;
    let mut available: BTreeMap<&[u8], u64> = BTreeMap::new();
    let mut open: BTreeMap<&[u8], u64> = BTreeMap::new();
    for (name, row) in table(Table::Account, disk) {
        let row: AccountRow = read_row(row);
        *available.entry(&name[1..33]).or_default() += row.available.hundredths();
        *open.entry(&name[1..33]).or_default() += row.open_out.hundredths();
    }
    for (log, row) in log_rows(disk.read()) {
        let sum = |of: &BTreeMap<&[u8], u64>| of.get(&log.0[..]).copied().unwrap_or(0);
        let (t, shown) = (row.totals, (row.totals.available, row.totals.open_out));
        let added = (sum(&available), sum(&open));
        ensure(t.conserved() && added == shown, || {
            let name = sim.name_of(&log);
            format!("the sums of {name} at {home} are {t:?}, and its accounts have {added:?}")
        })?;
    }
    Ok(())
}

impl Sums {
    fn add(&mut self, log: &LogId, entry: &Entry) -> Finding {
        match entry.kind {
            Kind::Grant => {
                let body: Grant = read(&entry.body)?;
                self.move_by(body.account, hundredths(body.amount))?;
                self.granted += hundredths(body.amount);
            }
            Kind::Transfer => {
                let body: Transfer = read(&entry.body)?;
                let (transfer, amount) = (
                    identity(Transfer::TAG, &entry.body),
                    hundredths(body.amount),
                );
                self.move_by(body.sender, -amount)?;
                self.open.insert(transfer, (body.sender, amount));
                self.sent_to.insert(transfer, (body.receiver_home, amount));
            }
            Kind::Ungrant => {
                let body: Ungrant = read(&entry.body)?;
                self.move_by(body.account, -hundredths(body.amount))?;
                self.ungranted += hundredths(body.amount);
            }
            Kind::Accept | Kind::Reject => {
                let answer = Answer::read(entry.kind, &entry.body);
                let answer = answer.map_err(|refusal| format!("{refusal:?}"))?;
                let once = self.answered.insert(answer.transfer);
                ensure(once, || format!("{} is answered twice", answer.transfer))?;
                if answer.accepts {
                    let amount = hundredths(answer.amount);
                    self.move_by(self.receiver_of(log, &answer), amount)?;
                    let from = (answer.sender_home, amount);
                    self.accepted.insert(answer.transfer, from);
                }
            }
            Kind::Refund => {
                let body = Refund::read(&entry.body).map_err(|refusal| format!("{refusal:?}"))?;
                let open = self.open.remove(&body.transfer);
                let (sender, amount) =
                    open.ok_or_else(|| format!("{} was not open", body.transfer))?;
                self.move_by(sender, amount)?;
                self.sent_to.remove(&body.transfer);
            }
            Kind::Enrol => {
                let body: Enrol = read(&entry.body)?;
                self.keys.insert(AccountId::new(log, &body.key), body.key);
            }
            Kind::Rotate => {
                let body: Rotate = read(&entry.body)?;
                self.take_key(body.account, &body.new)?;
            }
            Kind::Recover => {
                let body: Recover = read(&entry.body)?;
                self.take_key(body.account, &body.new)?;
            }
            Kind::Correct => {
                let body: Correct = read(&entry.body)?;
                let amount = hundredths(body.amount);
                match body.transfer {
                    Some(transfer) => {
                        let open = self.open.remove(&transfer);
                        let same = open == Some((body.account, amount));
                        ensure(same, || format!("{transfer} was {open:?}"))?;
                        self.move_by(body.account, amount)?;
                        self.sent_to.remove(&transfer);
                    }
                    None => {
                        self.move_by(body.account, -amount)?;
                        self.shortfall -= amount;
                        ensure(self.shortfall >= 0, || "too much is made good".into())?;
                    }
                }
            }
            Kind::Adopt => self.adopt(log, entry)?,
            Kind::Settle => {
                let body = Settle::read(&entry.body).map_err(|refusal| format!("{refusal:?}"))?;
                let open = self.open.remove(&body.transfer);
                let (_, amount) = open.ok_or_else(|| format!("{} was not open", body.transfer))?;
                self.settled += amount;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whose account an answer is about.
    fn receiver_of(&self, log: &LogId, answer: &Answer) -> AccountId {
        match &answer.by {
            AnsweredBy::Receiver(common) => {
                let given = self.given.get(&common.key).copied();
                given.unwrap_or_else(|| AccountId::new(log, &common.key))
            }
            AnsweredBy::Order(account, _) | AnsweredBy::Home(account, _) => *account,
        }
    }

    fn take_key(&mut self, account: AccountId, new: &NewKeys) -> Finding {
        let key = new
            .signing_key()
            .map_err(|refusal| format!("{refusal:?}"))?;
        self.keys.insert(account, key.id());
        self.given.insert(key.id(), account);
        Ok(())
    }

    /// What a cut took back and somebody rests on: who sent it pays as far as they can, with the key that they have.
    fn adopt(&mut self, log: &LogId, entry: &Entry) -> Finding {
        let body = Adopt::read(&entry.body).map_err(|refusal| format!("{refusal:?}"))?;
        let [Cite::Entry(lost), _] = &entry.cites[..] else {
            return Err("it adopts nothing".into());
        };
        let amount = hundredths(body.amount);
        if lost.kind == Kind::Transfer {
            let transfer: Transfer = read(&lost.body)?;
            let signed = self.keys.get(&transfer.sender) == Some(&transfer.key);
            let has = self.available.get(&transfer.sender).copied();
            let paid = has.filter(|_| signed).unwrap_or(0).min(amount);
            let short = entry.booked.shortfall.map_or(0, hundredths);
            ensure(paid + short == amount, || {
                format!("{paid} could be paid of {amount}, and {short} is said to be missing")
            })?;
            self.move_by(transfer.sender, -paid)?;
            self.shortfall += short;
            self.settled += amount;
            let receiver = (transfer.receiver_home, amount);
            let before = self.sent_to.insert(body.transfer, receiver);
            return ensure(before.is_none(), || "adopted twice".into());
        }
        let answer = Answer::read(lost.kind, &lost.body);
        let answer = answer.map_err(|refusal| format!("{refusal:?}"))?;
        let once = self.answered.insert(answer.transfer);
        ensure(once, || format!("{} is answered twice", answer.transfer))?;
        if answer.accepts {
            self.move_by(self.receiver_of(log, &answer), amount)?;
            let from = (answer.sender_home, amount);
            self.accepted.insert(answer.transfer, from);
        }
        Ok(())
    }

    fn move_by(&mut self, account: AccountId, amount: i128) -> Finding {
        let sum = self.available.entry(account).or_default();
        *sum += amount;
        ensure(*sum >= 0, || format!("{account} falls to {sum}"))
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn hundredths(amount: Amount) -> i128 {
    i128::from(amount.hundredths())
}

/// An index made again from nothing but the blocks says what the index says: postings rebuilt are postings shown.
pub(crate) fn index_is_what_the_log_says(sim: &Sim) -> Finding {
    let home = audited(sim);
    let shown = &sim.world.homes[home].disk;
    let rebuilt = &fold_again(&sim.world, home, 0);
    for table in OWN.into_iter().chain(SHARED) {
        same_rows(sim, table, shown, rebuilt)
            .map_err(|what| format!("{what} when {home} makes its index again"))?;
    }
    same_faults(shown, rebuilt)
        .map_err(|what| format!("{what} when {home} makes its index again"))?;
    same_vertices(shown, rebuilt)
        .map_err(|what| format!("{what} when {home} makes its index again"))
}

/// Both know the same faults, and hold a proof of each; it may be another pair of the position's vertices.
fn same_faults(shown: &Disk, rebuilt: &Disk) -> Finding {
    let faults = |disk| -> Vec<(Vec<u8>, FaultRow)> {
        let faults = table(Table::Fault, disk).into_iter();
        faults
            .map(|(name, row)| (name.to_vec(), read_row(row)))
            .collect()
    };
    let (before, after) = (faults(shown), faults(rebuilt));
    let said = |(name, fault): &(Vec<u8>, FaultRow)| (name.clone(), fault.cut, fault.beginnings);
    ensure(before.iter().map(said).eq(after.iter().map(said)), || {
        format!("faults differ: {before:?}, {after:?}")
    })?;
    for (name, fault) in before.iter().chain(&after) {
        let [a, b] = fault.vertices;
        let headers = [a, b].map(|id| SignedHeader::read(shown.blocks.get(&id)?).ok());
        let at = |header: &Option<SignedHeader>| {
            let h = &header.as_ref()?.header;
            Some(([&h.log.0[..], &h.epoch.to_be_bytes()].concat(), h.seq))
        };
        let here = headers.each_ref().map(at);
        let position = Some((name[1..].to_vec(), fault.cut + 1));
        let proven = a != b && here.iter().all(|here| *here == position);
        ensure(proven || fault.beginnings, || {
            format!("{fault:?} proves nothing: {here:?}")
        })?;
    }
    Ok(())
}

/// Every vertex is known again, and by the same row but for the order in which it came.
fn same_vertices(shown: &Disk, rebuilt: &Disk) -> Finding {
    let again = table(Table::Vertex, rebuilt);
    for (id, row) in table(Table::Vertex, shown) {
        let lasting = |row: &&[u8]| VertexRow {
            order: 0,
            ..read_row(row)
        };
        let (before, after) = (lasting(&row), again.get(id).map(lasting));
        ensure(after.as_ref() == Some(&before), || {
            format!("{before:?} becomes {after:?}")
        })?;
    }
    Ok(())
}

/// What was acknowledged stands where the receipt says, on every honest home.
pub(crate) fn acknowledged_entries_stand(sim: &Sim) -> Finding {
    for acked in sim.acked.iter().filter(|acked| sim.is_clean(&acked.log)) {
        for home in sim.honest() {
            ensure(stands(sim, home, acked), || {
                format!(
                    "{:?} of {} is not at {home}",
                    acked.at,
                    sim.name_of(&acked.log)
                )
            })?;
        }
    }
    Ok(())
}

fn stands(sim: &Sim, home: usize, acked: &Acked) -> bool {
    let disk = sim.world.homes[home].disk.read();
    let there = disk.vertex_at(&acked.log, acked.at.epoch, acked.at.seq) == Some(acked.vertex);
    let entry = disk.entry(&acked.log, &acked.at);
    let tag = entry.as_ref().and_then(|entry| match entry.kind {
        Kind::Grant => Some(TAG_GRANT),
        Kind::Transfer => Some(Transfer::TAG),
        Kind::Accept => Some(Accept::TAG),
        Kind::Reject => Some(Reject::TAG),
        Kind::Order => Some(Order::TAG),
        Kind::Ungrant => Some(Ungrant::TAG),
        Kind::Correct => Some(Correct::TAG),
        Kind::Enrol => Some(Enrol::TAG),
        Kind::Rotate => Some(Rotate::TAG),
        Kind::Revoke => Some(Revoke::TAG),
        Kind::Recover => Some(Recover::TAG),
        _ => None,
    });
    let same = entry
        .zip(tag)
        .is_some_and(|(entry, tag)| identity(tag, &entry.body) == acked.identity);
    there && same
}
