//! How transfers end: what receivers and their homes say, and what senders' homes make of it.

use city_protocol::refusal::Refusal::{self, *};

use super::spec::{
    AIKA, DAY, DEADLINE, EXPENSE, GRACE, LIMIT, Ledger, PAYABLE, RECEIVED, Sent, Who, first,
    home_of,
};
use super::words::{Said, Verdict};

impl Ledger {
    /// The receiver, and nobody else, takes a transfer or turns it down, once and in time.
    pub(super) fn say(&mut self, said: &Said) -> Result<Verdict, Refusal> {
        let Said {
            rejects,
            by,
            key,
            transfer: n,
            sequence,
            amount,
        } = *said;
        let sent = self.transfers[n].clone();
        let here = home_of(by) == home_of(sent.to);
        let account = self.accounts.get(&by);
        let next = account.map_or(0, |account| account.used + 1);
        let known = !sent.lost && (sent.known || home_of(by) == home_of(sent.from));
        let frozen = self.convicted[home_of(sent.from)] && home_of(by) != home_of(sent.from);
        let in_time = self.now <= sent.at + DEADLINE;
        let back = if home_of(by) == home_of(sent.from) {
            sent.refunded
        } else {
            sent.refund_known
        };
        first([
            (amount == 0, BadAmount),
            (sequence == 0, BadField),
            (sent.accepted && here, AlreadyAccepted),
            (sent.rejected && here, AlreadyAnswered),
            (account.is_none(), UnknownAccount),
            (account.is_some_and(|it| it.key() != key), WrongKey),
            (account.is_some_and(|it| it.revoked), KeyRevoked),
            (sequence < next, SequenceUsed),
            (sequence > next, SequenceGap),
            (
                !rejects && self.is_beyond_limit(by, n, amount),
                ClearingLimit,
            ),
            (frozen, LogFrozen),
            (!known, UnknownTransfer),
            (back && in_time, AlreadyAnswered),
            (self.stopped[home_of(by)], NotSequencing),
            (by != sent.to, UnknownTransfer),
            (amount != sent.amount, TransferMismatch),
            (!in_time, DeadlinePassed),
        ])?;
        self.account(by).used = sequence;
        if rejects {
            self.reject(n);
            return Ok(Verdict::Booked(None));
        }
        self.take_in(n);
        Ok(Verdict::Booked(Some(self.accounts[&by].available)))
    }

    /// 小松市 takes only so much from 金沢市 before 金沢市 takes from it.
    fn is_beyond_limit(&self, by: Who, n: usize, amount: u64) -> bool {
        let limited = home_of(self.transfers[n].from) == 0 && home_of(by) == 1;
        let [taken, returned] = self.clearing(1);
        limited && taken.saturating_sub(returned) + amount > LIMIT
    }

    /// The transfer is the receiver's.
    fn take_in(&mut self, n: usize) {
        self.transfers[n].accepted = true;
        let (from, to, _) = self.transfers[n].parties();
        self.credit(n);
        self.wrote(home_of(to));
        if home_of(from) == home_of(to) {
            self.transfers[n].answer_known = true;
            self.settle(n);
        } else {
            self.rests.push((home_of(to), n));
        }
    }

    /// The receiver has more by it.
    pub(super) fn credit(&mut self, n: usize) {
        self.accepted.push(n);
        let (_, to, amount) = self.transfers[n].parties();
        let home = &mut self.homes[home_of(to)];
        home.accepted_in += amount;
        home.journal.push((to, AIKA, true, amount));
        home.journal.push((to, RECEIVED, false, amount));
        self.account(to).available += amount;
    }

    /// It is not; within one home the sender has it back at once.
    fn reject(&mut self, n: usize) {
        self.transfers[n].rejected = true;
        self.wrote(home_of(self.transfers[n].to));
        if self.transfers[n].is_within_one_home() {
            self.transfers[n].answer_known = true;
            self.refund(n);
        }
    }

    /// The sender's home closes a transfer whose acceptance it has seen.
    pub(super) fn settle(&mut self, n: usize) {
        self.transfers[n].settled = true;
        let (from, to, amount) = self.transfers[n].parties();
        let home = &mut self.homes[home_of(from)];
        home.open_out -= amount;
        home.settled_out += amount;
        home.journal.push((from, PAYABLE, true, amount));
        home.journal.push((from, AIKA, false, amount));
        self.account(from).open_out -= amount;
        self.wrote(home_of(from));
        if home_of(from) != home_of(to) {
            self.rests.push((home_of(from), n));
        }
    }

    /// The sender's home gives a transfer back.
    pub(super) fn refund(&mut self, n: usize) {
        let sent = &mut self.transfers[n];
        sent.refunded = true;
        sent.refund_known = sent.is_within_one_home();
        let (from, _, amount) = sent.parties();
        if sent.rejected && !sent.is_within_one_home() {
            self.rests.push((home_of(from), n));
        }
        let home = &mut self.homes[home_of(from)];
        home.open_out -= amount;
        home.journal.push((from, PAYABLE, true, amount));
        home.journal.push((from, EXPENSE, false, amount));
        let account = self.account(from);
        account.open_out -= amount;
        account.available += amount;
        self.wrote(home_of(from));
    }

    /// What the receiver's home answers without asking: what the receiver ordered, and no after a week for an account
    /// that is not there or has no key.
    pub(super) fn answer_by_itself(&mut self, n: usize) {
        let sent = &self.transfers[n];
        let late = self.now > sent.at + DEADLINE;
        let stands = self.stopped[home_of(sent.to)]
            || (self.convicted[home_of(sent.from)] && !sent.is_within_one_home());
        let closed = sent.is_answered() || !sent.is_open() || sent.refund_known;
        if late || stands || !sent.known || closed {
            return;
        }
        let waited = self.now - sent.at >= GRACE;
        let (from, to, amount) = sent.parties();
        match self.accounts.get(&to) {
            Some(account) if !account.revoked => {
                let takes = account.order.is_some_and(|order| {
                    order.most.is_none_or(|most| amount <= most)
                        && order.until.is_none_or(|until| self.now <= until)
                        && order.only.is_none_or(|only| only == from)
                });
                if takes && !self.is_beyond_limit(to, n, amount) {
                    self.take_in(n);
                }
            }
            _ if waited => self.reject(n),
            _ => {}
        }
    }

    /// Officers of the sender's home give a transfer back that was not answered a year behind its deadline.
    pub(super) fn is_silent(&self, n: usize) -> Result<(), Refusal> {
        const SILENCE: u64 = 365 * DAY;
        let sent = &self.transfers[n];
        first([
            (sent.lost, UnknownTransfer),
            (sent.is_answered() && sent.answer_known, AlreadyAnswered),
            (self.now <= sent.at + DEADLINE + SILENCE, NotExpired),
        ])
    }
}

/// Whether it goes from one home to another.
pub(super) const fn passes(sent: &Sent, from: usize, to: usize) -> bool {
    home_of(sent.from) == from && home_of(sent.to) == to
}
