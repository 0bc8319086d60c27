//! What time and the post bring: deadlines that pass, and what each home hears of the other.

use super::spec::{DEADLINE, FRESH, Ledger, ROUND, home_of};
use super::words::Verdict;

impl Ledger {
    /// A home looks for what is overdue: own transfers that nobody answered, and what waits for its accounts.
    fn round(&mut self, home: usize) {
        self.rounds[home] = self.now + ROUND;
        if self.stopped[home] {
            return;
        }
        for n in 0..self.transfers.len() {
            let sent = &self.transfers[n];
            let deadline = sent.at + DEADLINE;
            let shown = sent.is_within_one_home() || self.heard[home] > deadline;
            if home_of(sent.from) != home || !sent.is_open() {
                continue;
            }
            // An answer whose effect a cut took back.
            if sent.answer_known {
                self.close_transfer(n);
            } else if !sent.is_answered() && shown && self.now > deadline {
                self.refund(n);
            }
        }
        let mut passed = 0;
        for n in 0..self.transfers.len() {
            let sent = &self.transfers[n];
            let waits = sent.known && !sent.lost && !sent.is_answered() && !sent.refund_known;
            if home_of(sent.to) != home || !waits {
                continue;
            }
            if self.now > sent.at + DEADLINE {
                passed = passed.max(sent.at + DEADLINE);
            } else {
                self.answer_by_itself(n);
            }
        }
        // The other home has to see that the deadline has passed.
        if self.heads[home] <= passed {
            self.wrote(home);
        }
    }

    /// Everybody hears everything, and what follows from it.
    pub(super) fn carry(&mut self) -> Verdict {
        for n in 0..self.transfers.len() {
            if !self.transfers[n].known && !self.transfers[n].lost {
                self.transfers[n].known = true;
                self.answer_by_itself(n);
            }
        }
        let accepted = self.accepted.clone();
        for n in accepted.into_iter().chain(0..self.transfers.len()) {
            let sent = &mut self.transfers[n];
            if sent.is_answered() && !sent.answer_known {
                sent.answer_known = true;
                if sent.is_open() {
                    self.close_transfer(n);
                }
            }
        }
        for n in 0..self.transfers.len() {
            self.transfers[n].refund_known = self.transfers[n].refunded;
        }
        self.heard = [self.heads[1], self.heads[0]];
        self.told = self.says.clone();
        Verdict::Done
    }

    /// A transfer is closed by its answer.
    fn close_transfer(&mut self, n: usize) {
        if self.transfers[n].accepted {
            self.settle(n);
        } else {
            self.refund(n);
        }
    }

    /// A home is woken: it forgets old proofs, and looks for what is overdue.
    pub(super) fn tick(&mut self, home: usize) {
        let now = self.now;
        let mut proofs = self.proofs.iter_mut();
        for proof in proofs.by_ref().filter(|proof| home_of(proof.who) == home) {
            proof.held &= now - proof.at <= FRESH;
        }
        if self.rounds[home] <= now {
            self.round(home);
        }
    }

    /// Time passes. Old proofs are forgotten when the home is woken, not before.
    pub(super) fn clock(&mut self, ms: u64, tick: bool) -> Verdict {
        self.now += ms;
        for home in [0, 1].into_iter().filter(|_| tick) {
            self.tick(home);
        }
        Verdict::Done
    }

    /// A home that starts again has its log, and forgets what it held in memory.
    pub(super) fn restart(&mut self, home: usize) -> Verdict {
        for proof in self
            .proofs
            .iter_mut()
            .filter(|proof| home_of(proof.who) == home)
        {
            proof.held = false;
        }
        self.round(home);
        Verdict::Done
    }
}
