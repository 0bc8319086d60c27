//! What people do: they send, take, are given something, and ask again.

use city_protocol::amount::Amount;
use city_protocol::body::{Label, Note, Order, PersonBody as _, Transfer, identity};
use city_protocol::ids::Digest;
use city_protocol::ledger::{History, IncomingRow, Rows as _, Table, key, read_row};
use city_protocol::replica::Input;
use city_protocol::stage::Submission;

use super::stage::{Acked, Asked, Sim};
use crate::people::{Person, signed};

/// Most of what waits for one person that is looked at.
const INCOMING: usize = 64;

impl Sim {
    /// A few people of one home send something, and stand in one vertex.
    pub(crate) fn people_send(&mut self) {
        let home = self.dice.index(self.plan.homes);
        let Some(boxed) = self.open_box(home) else {
            return;
        };
        for _ in 0..self.dice.between(1, 4) {
            let sender = self.somebody(home, boxed);
            let other = self.dice.index(self.plan.homes);
            let receiver = self.somebody(other, other);
            if sender.account == receiver.account {
                continue;
            }
            // Now and then more than anybody has.
            let most = match self.dice.below(100) {
                0..=2 => 100_000,
                3..=14 => 7_000,
                _ => 900,
            };
            let amount = Amount::from_hundredths(self.dice.between(1, most)).to_string();
            self.draft_and_send(&sender, &receiver, &amount);
        }
        self.commit(boxed);
    }

    /// One person sends to another, in a vertex of its own.
    pub(super) fn send_between(&mut self, sender: &Person, receiver: &Person, amount: &str) {
        self.draft_and_send(sender, receiver, amount);
        self.commit(sender.home);
    }

    fn draft_and_send(&mut self, sender: &Person, receiver: &Person, amount: &str) {
        let drafted = self.world.draft_transfer(sender, receiver, amount);
        if let Ok(body) = drafted.and_then(|body| signed(body, sender)) {
            self.ask(sender.home, Submission::Transfer(body), None);
        }
    }

    /// Somebody takes what waits.
    pub(crate) fn somebody_takes(&mut self) {
        let home = self.dice.index(self.plan.homes);
        let Some(boxed) = self.open_box(home) else {
            return;
        };
        for _ in 0..3 {
            let person = self.somebody(home, boxed);
            let waiting = waiting_for(self.world.homes[boxed].disk.read(), &person);
            if let Some((transfer, body)) = waiting.first() {
                self.take(&person, *transfer, body);
                self.commit(boxed);
            }
        }
    }

    /// Everybody of this home takes all that waits and can be taken.
    pub(crate) fn everybody_takes(&mut self, home: usize) {
        for person in self.people[home].clone() {
            let person = self.at_box(&person, home);
            for (transfer, body) in waiting_for(self.world.homes[home].disk.read(), &person) {
                self.take(&person, transfer, &body);
                self.commit(home);
            }
        }
    }

    fn take(&mut self, person: &Person, transfer: Digest, body: &Transfer) {
        let accept = self.world.accept_of(person, transfer, body);
        let accept = signed(accept, person).unwrap();
        self.ask(person.home, Submission::Accept(accept), None);
    }

    /// Somebody does not take what waits.
    pub(crate) fn somebody_rejects(&mut self) {
        let home = self.dice.index(self.plan.homes);
        let Some(boxed) = self.open_box(home) else {
            return;
        };
        let person = self.somebody(home, boxed);
        let waiting = waiting_for(self.world.homes[boxed].disk.read(), &person);
        if let Some((transfer, body)) = waiting.last() {
            let reject = self.world.reject_of(&person, *transfer, body);
            let reject = signed(reject, &person).unwrap();
            self.ask(boxed, Submission::Reject(reject), None);
            self.count("rejections");
            self.commit(boxed);
        }
    }

    /// Somebody says what their home takes for them from now on, or that it takes nothing any more.
    pub(crate) fn somebody_orders(&mut self) {
        let home = self.dice.index(self.plan.homes);
        let Some(boxed) = self.open_box(home) else {
            return;
        };
        let person = self.somebody(home, boxed);
        let accept = self.dice.percent(70);
        let most = Amount::from_hundredths(self.dice.between(1, 900));
        let until = self
            .world
            .now
            .plus_ms(self.dice.between(1, 30) * 86_400_000);
        let order = Order {
            accept,
            max_amount: (accept && self.dice.percent(50)).then_some(most),
            until: (accept && self.dice.percent(50)).then_some(until),
            ..self.world.order_body(&person, None)
        };
        let order = signed(order, &person).unwrap();
        self.ask(boxed, Submission::Order(order), None);
        self.count("standing orders");
        self.commit(boxed);
    }

    /// Somebody whose answer got lost, or who does not believe it, asks again.
    pub(crate) fn somebody_asks_again(&mut self) {
        if !self.asked.is_empty() && self.dice.percent(50) {
            let lost = self.dice.index(self.asked.len());
            if !self.world.homes[self.asked[lost].home].down {
                let asked = self.asked.swap_remove(lost);
                self.ask(asked.home, asked.submission, None);
                self.commit(asked.home);
            }
        } else if !self.remembered.is_empty() {
            let (before, home, submission) =
                self.remembered[self.dice.index(self.remembered.len())].clone();
            if !self.world.homes[home].down {
                self.ask(home, submission, Some(before));
                self.commit(home);
            }
        }
    }

    /// One home after the other writes on the board or deletes what stands there, under keys that all of them use.
    pub(crate) fn somebody_notes(&mut self) {
        let (honest, step) = (self.honest(), self.step);
        let home = honest[step as usize % honest.len()];
        if !step.is_multiple_of(3) || self.world.homes[home].down {
            return;
        }
        let value = (!step.is_multiple_of(7)).then(|| step.to_be_bytes().to_vec().into());
        let note = Note {
            v: 1,
            key: Label::new(&format!("key {}", step % 5)).expect("it is short"),
            value,
        };
        let ticket = self.world.new_ticket();
        self.world.tell(home, Input::Note(ticket, Box::new(note)));
        self.commit(home);
    }

    pub(crate) fn ask(&mut self, home: usize, submission: Submission, before: Option<Acked>) {
        let ticket = self.world.ask(home, submission.clone());
        self.asked.push(Asked {
            home,
            ticket,
            submission,
            before,
        });
    }

    /// A running box of this home: the liar has two.
    pub(super) fn open_box(&mut self, home: usize) -> Option<usize> {
        let twin = self
            .twin
            .filter(|_| self.lies(home) && self.dice.percent(50));
        let boxed = twin.unwrap_or(home);
        (!self.world.homes[boxed].down).then_some(boxed)
    }

    /// Somebody of this home, who goes to this box of it.
    pub(super) fn somebody(&mut self, home: usize, boxed: usize) -> Person {
        let person = self.dice.index(self.people[home].len());
        self.at_box(&self.people[home][person], boxed)
    }
}

/// What waits for somebody at the own home: transfers with their identities.
pub(crate) fn waiting_for(disk: &dyn History, person: &Person) -> Vec<(Digest, Transfer)> {
    let prefix = key(
        Table::Incoming,
        &[&person.home_log.0, person.account.as_str().as_bytes()],
    );
    let rows = disk.rows(&prefix, None, INCOMING);
    let transfer = |(_, row): (Vec<u8>, Vec<u8>)| {
        let row: IncomingRow = read_row(&row);
        let entry = disk.entry(&row.log, &row.at)?;
        let body = serde_json::from_slice(&entry.body).ok()?;
        Some((identity(Transfer::TAG, &entry.body), body))
    };
    rows.into_iter().filter_map(transfer).collect()
}
