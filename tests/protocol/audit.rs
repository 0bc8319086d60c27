//! What must hold after every story: sums, postings, frontiers.

use std::collections::BTreeMap;

use city_protocol::ids::{AccountId, LogId};
use city_protocol::journal::{AIKA, PAYABLE, Place, Posting, Side, postings, stub_postings};
use city_protocol::ledger::Rows as _;
use city_protocol::vertex::{OwnCite, SignedHeader};

use super::world::World;

impl World {
    /// All postings of a log as a home has it.
    pub(crate) fn journal(&self, home: usize, log: &LogId) -> Vec<Posting> {
        self.journal_after(home, log, 0)
    }

    /// The postings of what a log's vertices say after this position.
    pub(crate) fn journal_after(&self, home: usize, log: &LogId, after: u64) -> Vec<Posting> {
        let disk = self.homes[home].disk.read();
        let row = disk.log(log).unwrap();
        let mut journal = Vec::new();
        for seq in after + 1..=row.seq {
            let id = disk.vertex_on_chain(log, row.epoch, seq).unwrap();
            let header = SignedHeader::read(&disk.block(&id).unwrap())
                .unwrap()
                .header;
            let entries = disk.stored_entries(&header.body).unwrap();
            for (index, (entry, known)) in entries.iter().enumerate() {
                let at = OwnCite {
                    epoch: header.epoch,
                    seq,
                    index: index as u64,
                };
                let place = Place {
                    log: *log,
                    time: header.time,
                    vertex: id,
                    at,
                };
                let posted = match known.stub() {
                    Some(stub) => stub_postings(stub, &place, disk),
                    None => postings(entry, &place, disk),
                };
                journal.extend(posted.unwrap());
            }
        }
        journal
    }

    /// Every log of every home: sums are conserved, debit equals credit, postings give the balances.
    pub(crate) fn audit(&self) {
        for (i, home) in self.homes.iter().enumerate() {
            for entry in home.replica.status(home.disk.read()).frontier {
                let row = home.row(&entry.log);
                assert!(row.totals.conserved(), "{}: {:?}", home.region, row.totals);
                self.books(i, &entry.log).unwrap();
            }
        }
    }

    /// The journal of one log: debit equals credit, and postings give the balances that are shown.
    pub(crate) fn books(&self, home: usize, log: &LogId) -> Result<(), String> {
        let mut sides: i128 = 0;
        let mut available: BTreeMap<AccountId, i128> = BTreeMap::new();
        for posting in self.journal(home, log) {
            let amount = i128::from(posting.amount.hundredths());
            let signed = if posting.side == Side::Debit {
                amount
            } else {
                -amount
            };
            sides += signed;
            if [AIKA, PAYABLE].contains(&posting.code) {
                *available.entry(posting.account).or_default() += signed;
            }
        }
        if sides != 0 {
            return Err(format!("debit and credit differ by {sides}"));
        }
        let (total, shown) = (
            available.values().sum(),
            self.homes[home].row(log).totals.available,
        );
        if i128::from(shown) != total {
            return Err(format!("postings give {total}, and {shown} is shown"));
        }
        for (account, sum) in available {
            let row = self.homes[home].disk.read().account(log, &account).unwrap();
            if i128::from(row.available.hundredths()) != sum {
                return Err(format!("postings give {account} {sum}"));
            }
        }
        Ok(())
    }

    /// All these homes have the same frontier, and nothing is on its way.
    pub(crate) fn in_step(&self, homes: &[usize]) -> bool {
        let status = |i: &usize| {
            let home = &self.homes[*i];
            home.replica.status(home.disk.read())
        };
        let first = status(&homes[0]);
        homes
            .iter()
            .map(status)
            .all(|other| other.frontier_hash == first.frontier_hash && other.in_flight == 0)
    }

    #[track_caller]
    pub(crate) fn assert_in_step(&self, homes: &[usize]) {
        for i in homes {
            let home = &self.homes[*i];
            let status = home.replica.status(home.disk.read());
            let heads: Vec<_> = status
                .frontier
                .iter()
                .map(|e| (e.log.to_string()[..6].to_owned(), e.seq, e.forked))
                .collect();
            println!("{}: in flight {}, {heads:?}", home.region, status.in_flight);
        }
        assert!(
            self.in_step(homes),
            "the frontiers differ or something is in flight"
        );
    }
}
