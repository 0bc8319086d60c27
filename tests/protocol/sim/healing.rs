//! After the story: everything works again, and time passes until nothing moves any more.

use city_protocol::ledger::{Table, key};
use city_protocol::replica::{Clearing, Follow, MAX_LOGS};

use super::oracles::homes_are_in_step;
use super::stage::Sim;

/// How often frontiers are compared, in milliseconds, and a little more.
const ROUND_MS: u64 = 61_000;
/// Rounds that healing may take; they are minutes of simulated time.
const ROUNDS: usize = 60;

/// Longer than a home pauses between two vertices that only witness, in milliseconds: six minutes.
const WITNESS_PAUSE_MS: u64 = 6 * 60_000;

/// Three sweeps for what is overdue, in milliseconds.
const SWEEPS_MS: u64 = 3 * 60 * 60 * 1000 + 60_000;

/// How long it takes at most until something is witnessed, in milliseconds: five minutes, and until it is noticed.
const WITNESS_MS: u64 = 6 * 60 * 1000;

impl Sim {
    /// Boxes run, clocks are right, everybody is connected; then everybody takes what waits.
    pub(crate) fn heal(&mut self) {
        self.say("healing".into());
        self.repair_all();
        self.silence();
        self.wire.rough = false;
        self.starved.clear();
        if self.dice.percent(50) {
            self.headers_only.clear();
        }
        self.lift_policies();
        // Longer than anything is dated ahead, or waits in the pen.
        self.pass(30 * 60_000, 60_000);
        self.everybody_connects();
        if let (Some(liar), true) = (self.liar(), !self.plan.heals && self.dice.percent(50)) {
            self.say(format!("{liar} is gone"));
            for other in 0..self.world.homes.len() {
                for face in [Some(liar), self.twin].into_iter().flatten() {
                    self.cut(face, other);
                }
            }
        }
        self.settle_down();
        // What was restored is whole again by now, and books again after one more start.
        if self.resume() {
            self.everybody_connects();
            self.settle_down();
        }
        if self.plan.heals && self.officers_heal() {
            self.settle_down();
            self.make_good();
        }
        self.everybody_recovers();
        for home in self.honest() {
            self.everybody_takes(home);
        }
        if self.plan.ages {
            // What is overdue is looked for once an hour, by the receiver's home and then by the sender's.
            self.pass(SWEEPS_MS, 600_000);
        }
        // Who has just witnessed with a vertex of its own does so again only after that.
        self.pass(WITNESS_PAUSE_MS, 20_000);
        self.settle_down();
        // Who witnessed something just now witnesses the rest a little later.
        self.pass(WITNESS_MS, 10_000);
        self.settle_down();
    }

    /// Operators take from each other what comes, and follow all of it.
    fn lift_policies(&mut self) {
        if self.plan.limited || self.plan.headed {
            self.world.clearing = Clearing::default();
            self.world.follow = Follow::default();
            for home in self.honest() {
                let disk = self.world.homes[home].disk.read();
                let headers = disk.rows(&key(Table::Headers, &[]), None, MAX_LOGS).len();
                (0..headers).for_each(|_| self.count("logs followed by headers"));
            }
            for home in 0..self.world.homes.len() {
                self.switch_off(home);
                self.switch_on(home);
            }
        }
    }

    /// What the liar's log answers for by now is counted, and a little of what it owes is made good.
    fn make_good(&mut self) {
        let Some(liar) = self.liar() else { return };
        let h = &self.world.homes[liar];
        let adopted = h.row(&h.log()).totals.shortfall > 0;
        if adopted {
            self.count("shortfalls");
            self.officers_correct(liar);
            self.settle_down();
        }
    }

    fn settle_down(&mut self) {
        for round in 0..ROUNDS {
            self.pass(ROUND_MS, 10_000);
            if homes_are_in_step(self).is_ok() && round > 1 {
                return;
            }
        }
    }
}
