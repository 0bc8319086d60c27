//! The network between the homes: every frame takes its time. An orderly wire is what a stream is; a rough one
//! also loses, doubles and reorders.

use std::collections::BTreeMap;

use city_protocol::amount::Timestamp;
use city_protocol::sync::Channel;

use super::dice::Dice;
use super::trace::name_of;
use crate::world::Sent;

/// Frames on their way.
#[derive(Default)]
pub(crate) struct Wire {
    frames: BTreeMap<(Timestamp, u64), Sent>,
    /// When the last frame of each stream arrives: a stream keeps its order.
    last: BTreeMap<(usize, usize, bool), Timestamp>,
    /// When each one's hello arrives: nothing of its stream overtakes it.
    greeted: BTreeMap<(usize, usize), Timestamp>,
    count: u64,
    pub(crate) rough: bool,
}

impl Wire {
    pub(crate) fn new(rough: bool) -> Self {
        Self {
            rough,
            ..Self::default()
        }
    }

    pub(crate) fn post(&mut self, now: Timestamp, sent: Sent, dice: &mut Dice) {
        let (from, to, channel, frame) = &sent;
        let slow = self.rough && dice.percent(5);
        let delay = if slow {
            dice.between(1_000, 90_000)
        } else {
            dice.between(5, 400)
        };
        let mut at = now.plus_ms(delay);
        // A stream that loses these is a connection that is lost, and that is told in the weather.
        let counted = [&b"hello"[..], b"credit"].contains(&name_of(frame));
        if name_of(frame) == b"hello" {
            self.greeted.insert((*from, *to), at);
        }
        if *channel == Channel::Sync {
            at = at.max(self.greeted.get(&(*from, *to)).copied().unwrap_or(at));
        }
        if self.rough && !counted {
            if dice.percent(4) {
                return;
            }
            if dice.percent(4) {
                let again = at.plus_ms(dice.between(5, 20_000));
                self.put(again, sent.clone());
            }
        } else {
            let last = self
                .last
                .entry((*from, *to, *channel == Channel::Live))
                .or_insert(at);
            at = at.max(*last);
            *last = at;
        }
        self.put(at, sent);
    }

    fn put(&mut self, at: Timestamp, sent: Sent) {
        self.count += 1;
        self.frames.insert((at, self.count), sent);
    }

    /// When the next frame arrives.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.frames.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<Sent> {
        self.frames.pop_first().map(|(_, sent)| sent)
    }

    /// What is between these two is lost.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        let between = |from: usize, to: usize| (from.min(to), from.max(to)) == (a.min(b), a.max(b));
        self.frames.retain(|_, (from, to, ..)| !between(*from, *to));
        self.last.retain(|(from, to, _), _| !between(*from, *to));
        self.greeted.retain(|(from, to), _| !between(*from, *to));
    }
}
