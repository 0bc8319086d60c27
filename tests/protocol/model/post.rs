//! What time and the post bring: deadlines that pass, and what each home hears of the other.

use super::spec::{DEADLINE, FRESH, Ledger, ROUND, home_of};
use super::words::Verdict;

impl Ledger {
    /// A home looks for what is overdue: own transfers that nobody answered, and what waits for its accounts.
    fn round(&mut self, home: usize) {
        self.rounds[home] = self.now + ROUND;
        for n in 0..self.transfers.len() {
            let sent = &self.transfers[n];
            let deadline = sent.at + DEADLINE;
            let shown = sent.is_within_one_home() || self.heard[home] > deadline;
            let open = !sent.is_answered() && !sent.refunded;
            if home_of(sent.from) == home && open && shown && self.now > deadline {
                self.refund(n);
            }
        }
        let mut passed = 0;
        for n in 0..self.transfers.len() {
            let sent = &self.transfers[n];
            if home_of(sent.to) != home || !sent.known || sent.is_answered() || sent.refund_known {
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
            if !self.transfers[n].known {
                self.transfers[n].known = true;
                self.answer_by_itself(n);
            }
        }
        for n in self.accepted.clone() {
            if !self.transfers[n].settled && !self.transfers[n].refunded {
                self.settle(n);
            }
        }
        for n in 0..self.transfers.len() {
            if self.transfers[n].rejected && !self.transfers[n].refunded {
                self.refund(n);
            }
            self.transfers[n].refund_known = self.transfers[n].refunded;
        }
        self.heard = [self.heads[1], self.heads[0]];
        self.told = self.says.clone();
        Verdict::Done
    }

    /// Time passes. Old proofs are forgotten when the home is woken, not before.
    pub(super) fn clock(&mut self, ms: u64, tick: bool) -> Verdict {
        self.now += ms;
        let now = self.now;
        for proof in self.proofs.iter_mut().filter(|_| tick) {
            proof.held &= now - proof.at <= FRESH;
        }
        for home in [0, 1] {
            if tick && self.rounds[home] <= now {
                self.round(home);
            }
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
