//! The weather between the homes: connections come and go, and halves of the network live apart for days.

use super::stage::Sim;

impl Sim {
    /// Everybody connects to everybody; each to one face of the liar.
    pub(crate) fn everybody_connects(&mut self) {
        for a in 0..self.plan.homes {
            for b in a + 1..self.plan.homes {
                self.meet(a, b);
            }
        }
    }

    /// Two homes connect; if one of them is the liar, to one of its two boxes.
    fn meet(&mut self, a: usize, b: usize) {
        let twin = self.twin.filter(|_| self.lies(b) && self.dice.percent(50));
        self.join(a, twin.unwrap_or(b));
    }

    /// Connections change.
    pub(crate) fn weather(&mut self) {
        let (a, b) = (
            self.dice.index(self.plan.homes),
            self.dice.index(self.plan.homes),
        );
        match self.dice.below(6) {
            0 | 1 if a != b => {
                self.say(format!("{a} and {b} lose each other"));
                self.part(a, b);
            }
            2 | 3 if a != b => {
                self.say(format!("{a} and {b} meet"));
                self.meet(a.min(b), a.max(b));
            }
            4 => {
                let side: Vec<bool> = (0..self.plan.homes)
                    .map(|_| self.dice.percent(50))
                    .collect();
                self.count("partitions");
                self.say(format!("the network falls apart: {side:?}"));
                for a in 0..self.plan.homes {
                    for b in a + 1..self.plan.homes {
                        if side[a] != side[b] {
                            self.part(a, b);
                        }
                    }
                }
            }
            _ => {
                self.say("all meet".into());
                self.everybody_connects();
            }
        }
    }

    /// Two homes are not connected any more, whichever boxes of theirs were.
    fn part(&mut self, a: usize, b: usize) {
        self.cut(a, b);
        if let Some(twin) = self.twin {
            for (home, other) in [(a, b), (b, a)] {
                if self.lies(other) {
                    self.cut(home, twin);
                }
            }
        }
    }

    /// All connections end.
    pub(crate) fn silence(&mut self) {
        for a in 0..self.world.homes.len() {
            for b in a + 1..self.world.homes.len() {
                self.cut(a, b);
            }
        }
    }
}
