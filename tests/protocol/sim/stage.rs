//! The stage of one story: a world whose frames, disks and boxes are in the hands of chance, and what the
//! audience writes down to check it afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use city_protocol::amount::Timestamp;
use city_protocol::body::{MAX_FUTURE_MS, OwnEntry};
use city_protocol::crypto::SecretKey;
use city_protocol::ids::{BlockId, Digest, KeyId, LogId};
use city_protocol::ledger::Frozen;
use city_protocol::refusal::Refusal;
use city_protocol::replica::{Input, Outcome, Ticket};
use city_protocol::stage::Submission;

use super::dice::Dice;
use super::foundation::Foundation;
use super::guard::Guard;
use super::plan::Plan;
use super::trace::Trace;
use super::tricks::Trick;
use super::wire::Wire;
use crate::liar::Vertex;
use crate::people::Person;
use crate::world::{Sent, World};

/// Submissions that are remembered for sending them again.
const REMEMBERED: usize = 24;

/// An entry that was acknowledged.
#[derive(Clone)]
pub(crate) struct Acked {
    pub(crate) log: LogId,
    pub(crate) identity: Digest,
    pub(crate) vertex: BlockId,
    pub(crate) at: OwnEntry,
}

/// A submission that somebody waits for.
pub(crate) struct Asked {
    pub(crate) home: usize,
    pub(crate) ticket: Ticket,
    pub(crate) submission: Submission,
    /// What it was answered before, if it is sent again.
    pub(crate) before: Option<Acked>,
}

/// The stage.
pub(crate) struct Sim {
    pub(crate) plan: Plan,
    pub(crate) dice: Dice,
    pub(crate) world: World,
    pub(crate) trace: Trace,
    pub(crate) wire: Wire,
    /// People by home.
    pub(crate) people: Vec<Vec<Person>>,
    /// Every key that somebody of the story has or had.
    pub(crate) keys: BTreeMap<KeyId, Arc<SecretKey>>,
    pub(crate) guards: Vec<Guard>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) acked: Vec<Acked>,
    /// Some of what was acknowledged, to be sent again.
    pub(crate) remembered: Vec<(Acked, usize, Submission)>,
    /// The second box with the liar's keys.
    pub(crate) twin: Option<usize>,
    /// The liar's officers took its second box away: it is honest from here on.
    pub(crate) reformed: bool,
    /// Whom the liar sends no vertices.
    pub(crate) starved: BTreeSet<usize>,
    /// Whether the liar has played its trick.
    pub(crate) tricked: bool,
    /// The vertices of tricks that were told.
    pub(crate) tricks: BTreeMap<BlockId, Trick>,
    /// Whom the liar shows headers without bodies.
    pub(crate) headers_only: BTreeSet<usize>,
    /// One of the two vertices that convict the accomplice.
    pub(crate) beyond: Option<Vertex>,
    /// What the liar sent, to be sent again.
    pub(crate) overheard: Vec<Sent>,
    /// Honest homes whose whole data directory was restored: they may have signed a position twice.
    pub(crate) excused: BTreeSet<usize>,
    /// How often what happened.
    pub(crate) tally: BTreeMap<&'static str, u64>,
    /// What honest homes did that they must never do.
    pub(crate) complaints: Vec<String>,
    pub(crate) step: u64,
    next_tick: Timestamp,
    pub(crate) begun: Timestamp,
}

impl Sim {
    /// Everything as it is before the first step.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::thrown(&mut dice);
        let foundation: Arc<Foundation> = Foundation::of(plan.homes, plan.crowd);
        let mut world = foundation.world(&plan, &mut dice);
        for home in 0..plan.homes {
            // Two clocks may differ by less than the five minutes that a hello allows.
            world.homes[home].clock_ahead_ms = dice.below(120_000).cast_signed();
        }
        if plan.skewed {
            let home = dice.index(plan.homes);
            let far = (dice.between(2, 30) * 60_000).cast_signed();
            world.homes[home].clock_ahead_ms = if dice.percent(50) { far } else { -far };
        }
        let wire = Wire::new(plan.rough);
        let begun = world.now;
        let guards = world.homes.iter().map(Guard::new).collect();
        Self {
            plan,
            dice,
            world,
            trace: Trace::default(),
            wire,
            keys: foundation.signing_keys(),
            people: foundation.people.clone(),
            guards,
            asked: Vec::new(),
            acked: Vec::new(),
            remembered: Vec::new(),
            twin: None,
            reformed: false,
            starved: BTreeSet::new(),
            tricked: false,
            tricks: BTreeMap::new(),
            headers_only: BTreeSet::new(),
            beyond: None,
            overheard: Vec::new(),
            excused: BTreeSet::new(),
            tally: BTreeMap::new(),
            complaints: Vec::new(),
            step: 0,
            next_tick: begun,
            begun,
        }
    }

    /// The home that lies.
    pub(crate) fn liar(&self) -> Option<usize> {
        self.plan.liar.then_some(self.plan.homes - 1)
    }

    /// Whether this box is the liar's or its twin.
    pub(crate) fn lies(&self, home: usize) -> bool {
        (Some(home) == self.liar() && !self.reformed) || Some(home) == self.twin
    }

    /// Homes that run the software as it is.
    pub(crate) fn honest(&self) -> Vec<usize> {
        (0..self.plan.homes)
            .filter(|home| !self.lies(*home))
            .collect()
    }

    /// Whether this is the log of a home that never did wrong.
    pub(crate) fn is_clean(&self, log: &LogId) -> bool {
        self.honest()
            .iter()
            .any(|home| self.world.homes[*home].log() == *log && !self.excused.contains(home))
    }

    /// Notes that something happened that a run of many stories must have seen.
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    pub(crate) fn say(&mut self, what: String) {
        self.trace.say(self.world.now, what);
    }

    pub(crate) fn complain(&mut self, what: String) {
        self.say(format!("COMPLAINT: {what}"));
        self.complaints.push(what);
    }

    /// Time passes: frames arrive, and everybody notices every `tick` milliseconds.
    pub(crate) fn pass(&mut self, ms: u64, tick: u64) {
        let end = self.world.now.plus_ms(ms);
        self.next_tick = self.next_tick.min(self.world.now.plus_ms(tick));
        loop {
            let arrives = self.wire.next().unwrap_or(end);
            let at = arrives.min(self.next_tick).min(end);
            self.world.now = at.max(self.world.now);
            if arrives == at
                && let Some(sent) = self.wire.pop()
            {
                self.arrive(sent);
            } else if self.next_tick == at {
                self.next_tick = at.plus_ms(tick);
                for home in 0..self.world.homes.len() {
                    self.world.tell(home, Input::Tick);
                    self.commit(home);
                }
            } else {
                return;
            }
        }
    }

    fn arrive(&mut self, sent: Sent) {
        let (from, to, channel, _) = sent;
        if !self.world.is_connected(from, to) || self.world.homes[to].down {
            return;
        }
        self.trace.frame(self.world.now, &sent);
        self.world.hand(from, to, channel, &sent.3);
        self.follow_up();
    }

    /// The home writes what it has, and the stage sees what comes of it.
    pub(crate) fn commit(&mut self, home: usize) {
        self.world.commit(home);
        self.follow_up();
    }

    /// After something happened: frames are posted, answers are written down, connections are closed.
    pub(crate) fn follow_up(&mut self) {
        for sent in self.world.take_sent() {
            if let Some(sent) = self.as_told(sent) {
                self.wire.post(self.world.now, sent, &mut self.dice);
            }
        }
        self.take_answers();
        for home in 0..self.world.homes.len() {
            self.notice(home);
        }
        let now = self.world.now;
        for (home, guard) in self.world.homes.iter().zip(&mut self.guards) {
            guard.mark(home, now);
        }
    }

    /// What a home did of which somebody has to take notice.
    fn notice(&mut self, home: usize) {
        let frozen = std::mem::take(&mut self.world.homes[home].frozen);
        for (log, frozen, refusal) in frozen {
            let name = self.name_of(&log);
            self.say(format!("{home} stops {name}: {frozen:?} {refusal:?}"));
            if self.lies(home) {
                continue;
            }
            self.count(match frozen {
                Frozen::Equivocation(_) => "convictions",
                Frozen::Invalid(_) | Frozen::Unsupported(_) => "invalid vertices",
            });
            if self.is_clean(&log) {
                self.complain(format!(
                    "{home} convicts the honest {name}: {frozen:?} {refusal:?}"
                ));
            }
        }
        if let Some(places) = self.world.homes[home].rolled_back.take() {
            self.say(format!("{home} is an old copy of itself: {places:?}"));
            self.guards[home].gone = true;
            if !self.lies(home) {
                self.count("old copies that notice it");
                if !self.excused.contains(&home) {
                    self.complain(format!("{home} believes that it is an old copy"));
                }
            }
        }
        let closed = std::mem::take(&mut self.world.homes[home].disconnected);
        for (peer, refusal) in closed {
            let them: Vec<_> = (0..self.world.homes.len())
                .filter(|other| self.world.homes[*other].peer() == peer)
                .collect();
            for other in them {
                if self.world.is_connected(home, other) {
                    self.say(format!("{home} hangs up on {other}: {refusal:?}"));
                    self.cut(home, other);
                }
                if self.lies(home) {
                    continue;
                }
                if self.lies(other) {
                    self.count("refusals of the liar");
                    self.sees_through(home, refusal);
                } else if !self.differ(home, other) {
                    self.complain(format!("{home} refuses the honest {other}: {refusal:?}"));
                }
            }
        }
        if self.world.homes[home].down {
            for other in 0..self.world.homes.len() {
                self.cut(home, other);
            }
        }
    }

    /// Whether two clocks differ by more than a hello allows.
    fn differ(&self, a: usize, b: usize) -> bool {
        self.time_at(a).0.abs_diff(self.time_at(b).0) > MAX_FUTURE_MS
    }

    fn take_answers(&mut self) {
        let mut asked = std::mem::take(&mut self.asked);
        asked.retain(|asked| {
            let Some(answer) = self.world.homes[asked.home].answers.remove(&asked.ticket) else {
                return true;
            };
            self.answered(asked, answer);
            false
        });
        self.asked.append(&mut asked);
    }

    fn answered(&mut self, asked: &Asked, answer: Result<Outcome, Refusal>) {
        let booked = match answer {
            Ok(Outcome::Booked(booked)) => booked,
            Ok(Outcome::Place(_)) => return,
            Err(refusal) => {
                self.count("refused submissions");
                if refusal == Refusal::ClearingLimit {
                    self.count("clearing limits reached");
                }
                return self.say(format!("{} refuses: {refusal:?}", asked.home));
            }
        };
        let home = &self.world.homes[asked.home];
        let acked = Acked {
            log: home.log(),
            identity: booked.identity,
            vertex: booked.vertex,
            at: booked.at,
        };
        let at = (acked.at.epoch, acked.at.seq, acked.at.index);
        self.say(format!(
            "{} acknowledges {at:?}, repeated: {}",
            asked.home, booked.repeated
        ));
        self.count(if booked.repeated {
            "repeated answers"
        } else {
            "answers"
        });
        let same = |before: &Acked| (before.vertex, &before.at) == (acked.vertex, &acked.at);
        if asked.before.as_ref().is_some_and(|before| !same(before)) && self.is_clean(&acked.log) {
            self.complain(format!("{} gives another receipt than before", asked.home));
        }
        if self.lies(asked.home) {
            return;
        }
        if self.remembered.len() == REMEMBERED {
            let oldest = self.dice.index(REMEMBERED);
            self.remembered.swap_remove(oldest);
        }
        self.remembered
            .push((acked.clone(), asked.home, asked.submission.clone()));
        self.acked.push(acked);
    }

    /// A connection ends; what was on its way is lost.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        if self.world.is_connected(a, b) {
            self.world.disconnect(a, b);
            self.wire.cut(a, b);
            self.follow_up();
        }
    }

    /// Two boxes are connected, if both run and neither speaks with the other's home already.
    pub(crate) fn join(&mut self, a: usize, b: usize) {
        let homes = &self.world.homes;
        let impossible = homes[a].down || homes[b].down || homes[a].peer() == homes[b].peer();
        let already = |one: usize, other: usize| {
            (0..homes.len()).any(|third| {
                homes[third].peer() == homes[other].peer() && self.world.is_connected(one, third)
            })
        };
        if impossible || already(a, b) || already(b, a) {
            return;
        }
        self.world.connect(a, b);
        self.follow_up();
    }

    pub(crate) fn name_of(&self, log: &LogId) -> String {
        let homes = &self.world.homes;
        homes
            .iter()
            .position(|home| home.log() == *log)
            .map_or_else(|| log.to_string(), |home| format!("log {home}"))
    }
}
