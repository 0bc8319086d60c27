//! The sums of DESIGN §6.1, added up again from the entries by somebody who knows nothing of the fold; the journal,
//! the index and what was acknowledged against the same logs.

use std::collections::{BTreeMap, BTreeSet};

use city_protocol::amount::Amount;
use city_protocol::body::{
    Accept, Answer, AnsweredBy, Grant, Kind, OfficersBody as _, Order, PersonBody as _, Refund,
    Reject, Settle, Transfer, Ungrant, identity,
};
use city_protocol::crypto::TAG_GRANT;
use city_protocol::ids::{AccountId, Digest, LogId};
use city_protocol::ledger::{FaultRow, LogRow, Rows as _, Table, read_row};
use city_protocol::replica::log_rows;
use city_protocol::vertex::{Entry, decode_body};

use super::step::{SHARED, same_rows, table};
use super::{Finding, ensure};
use crate::sim::boxes::fold_again;
use crate::sim::stage::{Acked, Sim};

/// Tables that are a home's own, besides the order of arrival, which a rebuild begins anew, and the faults, whose
/// proof may be another pair of the same position's vertices.
const OWN: [Table; 3] = [Table::Log, Table::FaultEntry, Table::Invalid];

/// What one log comes to, in hundredths.
#[derive(Default)]
struct Sums {
    available: BTreeMap<AccountId, i128>,
    open: BTreeMap<Digest, (AccountId, i128)>,
    sent_to: BTreeMap<Digest, (LogId, i128)>,
    accepted: BTreeMap<Digest, (LogId, i128)>,
    /// Transfers with an answer, of either kind.
    answered: BTreeSet<Digest>,
    granted: i128,
    ungranted: i128,
    settled: i128,
}

/// The home whose books are looked at: the others have the same rows.
pub(super) fn audited(sim: &Sim) -> usize {
    let honest = sim.honest();
    honest[sim.trace.events as usize % honest.len()]
}

/// An honest home's books: each log's sums, over each account and over all logs, and nothing negative anywhere.
pub(crate) fn books_balance(sim: &Sim) -> Finding {
    let home = audited(sim);
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
            available,
            open,
            sums.settled,
            accepted,
        ];
        let t = row.totals;
        let shown = [
            t.granted,
            t.ungranted,
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
    in_transit(sim, &logs).map_err(|what| format!("at {home}: {what}"))
}

/// Over the logs of those who did no wrong: what is in transit is exactly what was sent and not taken yet.
fn in_transit(sim: &Sim, logs: &BTreeMap<LogId, Sums>) -> Finding {
    let clean = |log: &LogId| sim.is_clean(log);
    let mut transit = 0;
    for (log, sums) in logs.iter().filter(|(log, _)| clean(log)) {
        let sent = sums.sent_to.iter().filter(|(_, (to, _))| clean(to));
        transit += sent.map(|(_, (_, amount))| amount).sum::<i128>();
        for (transfer, (from, amount)) in sums.accepted.iter().filter(|(_, (from, _))| clean(from))
        {
            let sent = logs.get(from).and_then(|sums| sums.sent_to.get(transfer));
            ensure(sent == Some(&(*log, *amount)), || {
                format!("{transfer} was taken, and {sent:?} was sent")
            })?;
            transit -= amount;
        }
    }
    ensure(transit == 0, || {
        format!("{transit} are in transit, and all was taken")
    })
}

/// Adds up one log's entries, in their order.
fn added_up(sim: &Sim, home: usize, log: &LogId, row: &LogRow) -> Result<Sums, String> {
    let disk = sim.world.homes[home].disk.read();
    let mut sums = Sums::default();
    for seq in 1..=row.seq {
        let vertex = disk
            .vertex_at(log, row.epoch, seq)
            .and_then(|id| disk.vertex(&id));
        let body = vertex.and_then(|vertex| disk.block(&vertex.body));
        let body = body.ok_or_else(|| format!("vertex {seq} is not here"))?;
        for entry in decode_body(&body).map_err(|refusal| format!("{refusal:?} at {seq}"))? {
            sums.add(log, &entry)
                .map_err(|what| format!("{what} at {seq}"))?;
        }
    }
    Ok(sums)
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
                    let account = match &answer.by {
                        AnsweredBy::Receiver(common) => AccountId::new(log, &common.key),
                        AnsweredBy::Order(account, _) | AnsweredBy::Home(account, _) => *account,
                    };
                    self.move_by(account, amount)?;
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
    let cuts = |disk| -> Vec<_> {
        let faults = table(Table::Fault, disk).into_iter();
        faults
            .map(|(name, row)| (name.to_vec(), read_row::<FaultRow>(row).cut))
            .collect()
    };
    ensure(cuts(shown) == cuts(rebuilt), || {
        format!("{home} cuts logs elsewhere when it makes its index again")
    })?;
    // More may be known: what was judged when it came stands aside when its log's cut is known before.
    let again = table(Table::Vertex, rebuilt);
    let lost = table(Table::Vertex, shown)
        .into_keys()
        .find(|id| !again.contains_key(id));
    ensure(lost.is_none(), || {
        format!("{home} loses vertices when its index is made again")
    })
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
        _ => None,
    });
    let same = entry
        .zip(tag)
        .is_some_and(|(entry, tag)| identity(tag, &entry.body) == acked.identity);
    there && same
}
