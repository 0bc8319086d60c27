//! The tricks of a lying home: each is one vertex, or the lack of one, that would get it money, time or belief if
//! anybody took it. Here stands which one is played and when; what it says, `forgeries` writes.

use city_protocol::ledger::Rows as _;
use city_protocol::refusal::Refusal;
use city_protocol::sync::Message;

use super::dice::Dice;
use super::stage::Sim;
use super::trace::name_of;
use crate::liar::{Liar, Vertex, start};
use crate::world::Sent;

/// What the lying home tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trick {
    /// It settles what nobody accepted.
    FalseSettle,
    /// It takes one transfer twice.
    DoubleAccept,
    /// It takes a transfer whose deadline has passed, in a vertex that it dates before.
    LateAccept,
    /// It gives back what was neither rejected nor is late.
    GroundlessRefund,
    /// It rests on what lies beyond a cut which its own log names.
    BeyondCut,
    /// It begins an epoch with fewer officers than it takes.
    UnsignedEpoch,
    /// It shows headers, and never the bodies behind them.
    WithheldBody,
    /// It signs a checkpoint in which somebody has a hundredth more.
    FalseCheckpoint,
    /// It signs a true state over a snapshot that says otherwise.
    FalseSnapshot,
}

impl Trick {
    const ALL: [Self; 9] = [
        Self::FalseSettle,
        Self::DoubleAccept,
        Self::LateAccept,
        Self::GroundlessRefund,
        Self::BeyondCut,
        Self::UnsignedEpoch,
        Self::WithheldBody,
        Self::FalseCheckpoint,
        Self::FalseSnapshot,
    ];

    /// One that so few homes can play: half a year of many homes takes minutes of real time, and a cut needs a home
    /// that is cut off and others that look on.
    pub(super) fn thrown(dice: &mut Dice, homes: usize) -> Self {
        match dice.pick(&Self::ALL) {
            Self::LateAccept if homes >= 5 => Self::GroundlessRefund,
            Self::BeyondCut if homes < 4 => Self::DoubleAccept,
            trick => trick,
        }
    }

    /// What is counted when an honest home saw through it.
    pub(super) const fn seen_through(self) -> &'static str {
        match self {
            Self::FalseSettle => "false settlements seen through",
            Self::DoubleAccept => "double acceptances seen through",
            Self::LateAccept => "late acceptances seen through",
            Self::GroundlessRefund => "groundless refunds seen through",
            Self::BeyondCut => "cites beyond a cut seen through",
            Self::UnsignedEpoch => "unsigned epochs seen through",
            Self::WithheldBody => "withheld bodies seen through",
            Self::FalseCheckpoint => "false checkpoints seen through",
            Self::FalseSnapshot => "false snapshots seen through",
        }
    }
}

impl Sim {
    /// Plays the story's trick, if the time has come for it; says whether it was this turn's lie.
    pub(super) fn plays_its_trick(&mut self) -> bool {
        let (Some(trick), Some(liar)) = (self.plan.trick, self.liar()) else {
            return false;
        };
        // Who waits too long is found out by chance: later it lies like everybody.
        let patient = self.step < self.plan.steps * 3 / 4;
        if self.tricked || !patient || self.world.homes[liar].down {
            return false;
        }
        match trick {
            Trick::WithheldBody => self.show_headers_only(liar),
            Trick::BeyondCut if !self.has_a_fault(liar) => self.convict_the_accomplice(),
            // Half a year has to pass first.
            Trick::LateAccept => {}
            _ => {
                if let Some(vertex) = self.forged(trick, liar) {
                    self.tell_everybody(trick, liar, &vertex);
                }
            }
        }
        true
    }

    /// A trick is told to all who listen.
    pub(super) fn tell_everybody(&mut self, trick: Trick, face: usize, vertex: &Vertex) {
        let mut told = Vec::new();
        for home in self.honest() {
            if self.world.is_connected(face, home) {
                told.push(home);
                self.send_vertex(face, home, vertex);
            }
        }
        self.say(format!("{face} plays {trick:?} on {told:?}"));
        if !told.is_empty() {
            self.tricked = true;
            self.tricks.insert(vertex.id, trick);
            self.count("tricks");
        }
    }

    pub(super) fn send_vertex(&mut self, face: usize, home: usize, vertex: &Vertex) {
        let message = Message::Vertex(vertex.header.clone().into(), vertex.body.clone().into());
        self.send(face, home, &message);
    }

    /// From now on some get headers without what stands behind them.
    fn show_headers_only(&mut self, liar: usize) {
        let honest = self.honest();
        self.headers_only = honest
            .into_iter()
            .filter(|_| self.dice.percent(70))
            .collect();
        self.tricked = !self.headers_only.is_empty();
        self.say(format!(
            "{liar} shows {:?} no bodies any more",
            self.headers_only
        ));
        self.count("tricks");
    }

    /// A frame of the liar, without the body if it is for one of those.
    pub(super) fn without_body(&self, sent: &mut Sent) {
        let (_, to, _, frame) = sent;
        if !self.headers_only.contains(to) || name_of(frame) != b"vertex" {
            return;
        }
        if let Ok(Message::Vertex(header, _)) = Message::decode(frame) {
            *frame = Message::Vertex(header, Vec::new().into()).encode();
        }
    }

    /// The home whose key is used against it: its officers were robbed, and it books nothing.
    pub(crate) fn accomplice(&self) -> Option<usize> {
        let cut = self.plan.trick == Some(Trick::BeyondCut);
        (self.plan.liar && cut).then(|| self.plan.homes - 2)
    }

    /// Whether the liar's own log says that the accomplice's is at fault.
    fn has_a_fault(&self, liar: usize) -> bool {
        let homes = &self.world.homes;
        let (own, other) = (
            homes[liar].log(),
            self.accomplice().map(|home| homes[home].log()),
        );
        other.is_some_and(|other| {
            let rows = homes[liar].disk.read();
            rows.fault_cut(&own, &other, 1).is_some()
        })
    }

    /// Somebody who has the accomplice's key signs two vertices at one position, and everybody hears of both.
    fn convict_the_accomplice(&mut self) {
        let Some(robbed) = self.accomplice() else {
            return;
        };
        if self.beyond.is_some() {
            return;
        }
        let mut pen = Liar::new(&self.world, robbed);
        pen.time = self
            .time_at(robbed)
            .max(self.world.homes[robbed].row(&pen.log).time);
        let [one, two] = ["one", "another"].map(|name| pen.sign(&[start(name)]));
        let mut told = false;
        for home in 0..self.plan.homes {
            if home != robbed && self.world.is_connected(robbed, home) {
                told = true;
                self.send_vertex(robbed, home, &one);
                self.send_vertex(robbed, home, &two);
            }
        }
        self.say(format!("the key of {robbed} signs twice, heard: {told}"));
        if told {
            self.excused.insert(robbed);
            self.beyond = Some(one);
        }
    }

    /// Somebody honest sends to one of the liar's people; then the liar's box sleeps.
    pub(super) fn prepare_to_be_late(&mut self) {
        let Some(liar) = self.liar() else { return };
        // Whoever sends needs a box that runs; it hears its peers first.
        if self.world.homes[0].down {
            self.switch_on(0);
        }
        self.everybody_connects();
        self.pass(15_000, 1_000);
        let (sender, receiver) = (self.people[0][0].clone(), self.people[liar][0].clone());
        self.send_between(&sender, &receiver, "0.01");
        self.pass(60_000, 20_000);
        self.say(format!("{liar} sleeps"));
        self.world.homes[liar].down = true;
        self.follow_up();
    }

    /// It wakes up as it was, hears how late it is, and answers as if it were not.
    pub(super) fn be_late(&mut self) {
        let Some(liar) = self.liar() else { return };
        for home in self.honest() {
            let person = self.people[home][0].clone();
            self.grant_to(home, &person);
        }
        self.pass(60_000, 20_000);
        self.world.homes[liar].down = false;
        self.everybody_connects();
        if let Some(vertex) = self.late_accept(liar) {
            self.tell_everybody(Trick::LateAccept, liar, &vertex);
        }
    }

    /// What an honest home's hanging up says of the tricks that never become a verdict.
    pub(super) fn sees_through(&mut self, home: usize, refusal: Refusal) {
        let trick = match (self.plan.trick, refusal) {
            (Some(Trick::UnsignedEpoch), Refusal::OfficersShort) => Trick::UnsignedEpoch,
            (Some(Trick::WithheldBody), Refusal::BadVertex)
                if self.headers_only.contains(&home) =>
            {
                Trick::WithheldBody
            }
            _ => return,
        };
        self.count(trick.seen_through());
    }

    /// After a story: which tricks some honest home called by their name.
    pub(super) fn count_verdicts_on_tricks(&mut self) {
        let seen: Vec<_> = self
            .tricks
            .iter()
            .filter(|(id, _)| {
                let said = |home: usize| self.world.homes[home].verdicts.get(id);
                let invalid = |home| said(home).is_some_and(|said| said.contains(&false));
                self.honest().into_iter().any(invalid)
            })
            .map(|(_, trick)| trick.seen_through())
            .collect();
        for what in seen {
            self.count(what);
        }
    }
}
