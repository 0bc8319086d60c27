//! What the homes have, beside what the model says that they have.

use city_protocol::amount::Amount;
use city_protocol::body::{Order, OwnEntry};
use city_protocol::ids::{AccountId, KeyId};
use city_protocol::journal::Side;
use city_protocol::ledger::{AccountRow, Rows as _};

use super::keys::Key;
use super::spec::{self, Ledger, Who, home_of};
use super::town::Town;
use crate::people::Person;
use crate::world::{HAKUSAN, KANAZAWA, KOMATSU};

impl Town {
    /// Reads what was booked since the last time.
    pub(super) fn read_journals(&mut self) {
        for home in [KANAZAWA, KOMATSU] {
            let log = self.log(home);
            let (read, before) = (self.journal[home].0, self.journal[home].1.len());
            for posting in self.world.journal_after(home, &log, read) {
                let whose = |person: &Person| person.account == posting.account;
                let who = self.people.iter().position(whose).unwrap();
                let debit = posting.side == Side::Debit;
                let line = (who, posting.code, debit, posting.amount.hundredths());
                self.journal[home].1.push(line);
            }
            // What a home enters in one step has an order of its own.
            self.journal[home].1[before..].sort_unstable();
            self.journal[home].0 = self.world.homes[home].row(&log).seq;
        }
    }

    /// Accounts, sums and journals are the model's, and the sums hold.
    pub(crate) fn compare(&self, ledger: &Ledger) {
        assert_eq!(self.world.now.0, ledger.now);
        for (who, person) in self.people.iter().enumerate() {
            let home = &self.world.homes[person.home];
            let row = home.disk.read().account(&person.home_log, &person.account);
            let expected = ledger.accounts.get(&who);
            let found = row.map(|row| {
                let found = self.account_in_words(who, &row);
                let key = expected.map(spec::Account::key);
                assert_eq!(found.keys.last().copied(), key, "the key of {who}");
                let keys = expected.map_or_else(Vec::new, |it| it.keys.clone());
                spec::Account { keys, ..found }
            });
            assert_eq!(found.as_ref(), expected, "account of {who}");
        }
        for (n, expected) in ledger.homes.iter().enumerate() {
            let row = self.world.homes[n].row(&self.log(n));
            let accounts = ledger
                .accounts
                .iter()
                .filter(|(who, _)| home_of(**who) == n);
            let available = accounts.map(|(_, account)| account.available).sum::<u64>();
            assert_eq!(row.totals.available, available);
            let rows = self.world.homes[n].disk.read();
            let clearing = rows.clearing(&self.log(n), &self.log(1 - n));
            let clearing = [clearing.accepted, clearing.settled];
            assert_eq!(clearing, ledger.clearing(n), "home {n}");
            assert!(row.totals.conserved(), "{:?}", row.totals);
            let found = spec::Municipality {
                officers_used: row.officers_sequence,
                granted: row.totals.granted,
                shortfall: row.totals.shortfall,
                ungranted: row.totals.ungranted,
                open_out: row.totals.open_out,
                settled_out: row.totals.settled_out,
                accepted_in: row.totals.accepted_in,
                journal: self.journal[n].1.clone(),
            };
            assert_eq!(found, *expected, "home {n}");
        }
        self.compare_charters(ledger);
        self.compare_boards(ledger);
        self.compare_checkpoints(ledger);
        assert!(ledger.conserved());
        self.compare_verdicts(ledger);
    }

    /// An account in the model's words, with the key that counts alone.
    pub(super) fn account_in_words(&self, who: Who, row: &AccountRow) -> spec::Account {
        spec::Account {
            used: row.next_sequence - 1,
            available: row.available.hundredths(),
            open_out: row.open_out.hundredths(),
            keys: vec![self.key_in_words(&row.key).1],
            revoked: row.revoked,
            order: row
                .order
                .and_then(|at| self.order_at(&self.people[who], &at)),
        }
    }

    /// Whose key this is, and the how manyth.
    pub(super) fn key_in_words(&self, id: &KeyId) -> Key {
        let keys = self.keys.borrow();
        let named = keys.iter().find(|(_, (key, _))| key.public().id() == *id);
        *named.unwrap().0
    }

    /// The order that stands at a place of a person's log, in the model's words.
    fn order_at(&self, person: &Person, at: &OwnEntry) -> Option<spec::Order> {
        let rows = self.world.homes[person.home].disk.read();
        let entry = rows.entry(&person.home_log, at).unwrap();
        let order: Order = serde_json::from_slice(&entry.body).unwrap();
        let who = |account: &AccountId| {
            let mut people = self.people.iter();
            people
                .position(|person| person.account == *account)
                .unwrap()
        };
        order.accept.then(|| spec::Order {
            most: order.max_amount.map(Amount::hundredths),
            until: order.until.map(|until| until.0),
            only: order.senders.as_ref().map(|senders| who(&senders[0])),
        })
    }

    /// At the end every home's books are in order, and 白山市 has the same as their authors.
    pub(crate) fn finish(&mut self, ledger: &Ledger) {
        self.journal = Default::default();
        self.read_journals();
        for (found, expected) in self.journal.iter().zip(&ledger.homes) {
            let mut expected = expected.journal.clone();
            expected.sort_unstable();
            assert_eq!(found.1, expected);
        }
        self.world.audit();
        for home in [KANAZAWA, KOMATSU] {
            let log = self.log(home);
            assert_eq!(
                self.world.homes[HAKUSAN].row(&log),
                self.world.homes[home].row(&log)
            );
        }
    }
}
