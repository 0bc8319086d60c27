//! In step: who is known to have everything that this node has is sent the own log's new vertices at once, instead of being told
//! that there are some. Whoever hands on others' vertices only announces them, and whoever has a line to their author waits for
//! the author's word, so that nothing comes twice.

use std::collections::{BTreeMap, BTreeSet};

use super::ask::{LIVE_RANGE, RANGE_PATIENCE_MS};
use super::confirm::is_within;
use super::{Action, Now, Replica};
use crate::amount::Timestamp;
use crate::ids::LogId;
use crate::ledger::{History, LogRow, Rows as _};
use crate::sync::{Channel, Claim, FrontierEntry, INITIAL_CREDIT, Message, Session, Step};
use crate::trust::PeerId;
use crate::vertex::SignedHeader;

/// Most bytes of blocks that are sent without being asked for at once: some ten transfers with their proofs of place. The round trip
/// that this saves is half a second's worth of a line of 1 Mbit/s, and what is longer takes longer than that.
const MAX_PUSH: usize = 64 << 10;
/// Credit that is left for what a peer asks for, bytes: it stores what it was sent more slowly than it comes where less is left.
const PUSH_RESERVE: i64 = (INITIAL_CREDIT / 2).cast_signed();
/// Most heads in an announcement of which it is looked whether they come from their authors: that means a look at all peers for each,
/// and news of one moment are few.
const MAX_EXPECTED: usize = 16;
/// How long after everything came that a peer had more both are compared again, in milliseconds: long enough for what is on its way,
/// and soon, for only then they know to be in step. Once a connection, because where news never end both are never equal.
const HASTE_MS: u64 = 2_000;

/// News of a log that is to come from its author, for another peer announced it first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    author: PeerId,
    /// Epoch and position that were announced.
    to: (u64, u64),
    since: Timestamp,
}

/// A vertex of the own log as it is sent.
struct Written {
    header: Vec<u8>,
    body: Vec<u8>,
    /// The logs that it rests on.
    rests_on: BTreeSet<LogId>,
}

/// Vertices of the own log behind a position, looked up once for all who have that.
#[derive(Default)]
struct News(BTreeMap<(u64, u64), Vec<Written>>);

impl News {
    /// Those up to the head that a peer in step lacks; none where they are too many bytes, or begin an epoch: then more belongs to
    /// them than they say.
    fn since(
        &mut self,
        session: &Session,
        (log, head): (&LogId, &LogRow),
        history: &dyn History,
    ) -> &[Written] {
        let step = session.step.as_ref();
        // Nothing is looked up for whom it could not be sent.
        let Some(step) = step.filter(|step| {
            !step.told.contains(log) && session.credit >= PUSH_RESERVE && session.follows_whole(log)
        }) else {
            return &[];
        };
        self.0.entry(step.own).or_insert_with(|| {
            let (epoch, seq) = step.own;
            let mut bytes = 0;
            let mut found = Vec::new();
            if epoch != head.epoch || head.frozen.is_some() {
                return found;
            }
            for seq in seq + 1..=head.seq {
                let written = read(log, (epoch, seq), history);
                let Some(written) = written.filter(|written| {
                    bytes += written.header.len() + written.body.len();
                    bytes <= MAX_PUSH
                }) else {
                    return Vec::new();
                };
                found.push(written);
            }
            found
        })
    }
}

fn read(log: &LogId, (epoch, seq): (u64, u64), history: &dyn History) -> Option<Written> {
    let id = history.vertex_at(log, epoch, seq)?;
    let header = history.block(&id)?;
    let signed = SignedHeader::read(&header).ok()?;
    let body = history.block(&signed.header.body)?;
    let of = |id| history.vertex(id).map(|vertex| vertex.log);
    Some(Written {
        header,
        body,
        rests_on: signed.header.parents.iter().filter_map(of).collect(),
    })
}

/// Whether a peer is sent these without being asked: it has what they rest on, and stores what it is sent as fast as it comes.
fn takes(session: &Session, news: &[Written]) -> bool {
    let Some(step) = &session.step else {
        return false;
    };
    let uncertain = |written: &Written| !step.told.is_disjoint(&written.rests_on);
    let size = |written: &Written| (written.header.len() + written.body.len()) as i64;
    !news.is_empty()
        && !news.iter().any(uncertain)
        && session.credit - news.iter().map(size).sum::<i64>() >= PUSH_RESERVE
}

impl Replica {
    /// Tells everybody what moved: who is in step is sent what this node wrote itself, and is told the new heads of everything
    /// else; others are told of all. Nobody is told what it sent itself.
    pub(super) fn tell_news(&mut self, history: &dyn History, out: &mut Vec<Action>) {
        let moved: BTreeMap<LogId, Option<PeerId>> = std::mem::take(&mut self.moved);
        let heads: Vec<_> = moved
            .into_iter()
            .filter_map(|(log, from)| Some((FrontierEntry::of(&log, &history.head(&log)?), from)))
            .collect();
        let own = self.home.log();
        let moved = heads.iter().find(|(entry, _)| entry.log == own);
        let wrote = moved.filter(|(_, from)| from.is_none());
        let wrote = wrote.and_then(|_| history.log(&own));
        let grew_elsewhere = moved.is_some() && wrote.is_none();
        let mut vertices = News::default();
        for (peer, session) in &mut self.sessions {
            if !session.established() {
                continue;
            }
            if grew_elsewhere {
                session.step = None;
            }
            for (entry, from) in &heads {
                let author = self.authorities.0.get(&entry.log);
                let theirs = author.map(|author| author.region()) == session.region.as_ref();
                if *from == Some(*peer) || theirs {
                    session.has(&entry.log);
                } else if entry.log != own {
                    // It may have said so before this was durable here.
                    let claim = session.claims.get(&entry.log);
                    let has = |claim: &Claim| {
                        !claim.forked && (claim.epoch, claim.seq) >= (entry.epoch, entry.seq)
                    };
                    match claim.is_some_and(has) {
                        true => session.has(&entry.log),
                        false => session.tell(entry.log),
                    }
                }
            }
            let pushed = wrote.as_ref().is_some_and(|head| {
                let news = vertices.since(session, (&own, head), history);
                let takes = takes(session, news);
                if takes {
                    for Written { header, body, .. } in news {
                        session.spend(header, body);
                        let message = Message::Vertex(header.clone().into(), body.clone().into());
                        out.push(Action::Send(*peer, Channel::Live, message));
                    }
                    session.has_own((head.epoch, head.seq));
                } else {
                    session.tell(own);
                }
                takes
            });
            let news: Vec<_> = heads
                .iter()
                .filter(|(entry, from)| *from != Some(*peer) && !(pushed && entry.log == own))
                .map(|(entry, _)| entry.clone())
                .collect();
            if !news.is_empty() {
                out.push(Action::Send(*peer, Channel::Live, Message::Announce(news)));
            }
        }
    }

    /// Notes that a peer was compared: in step is who has the same of everything. News cross each other, so one comparison that
    /// finds a difference means little; two in a row mean that it follows this node's log no more, or not all of it.
    pub(super) fn note_step(
        session: &mut Session,
        own: Option<&FrontierEntry>,
        (equal, before): (bool, Option<bool>),
    ) {
        if equal && !session.reads_only {
            session.step = Some(Step {
                own: own.map_or((1, 0), |own| (own.epoch, own.seq)),
                told: BTreeSet::new(),
            });
        } else if before == Some(false) {
            session.step = None;
        }
    }

    /// Has those compared again soon who were not equal when they met, and of whom nothing is missing any more.
    pub(super) fn hasten(&mut self, now: Now) {
        for session in self.sessions.values_mut() {
            let differed = matches!(session.compared, Some((_, false))) && !session.reads_only;
            let done = session.claims.is_empty() && session.ranges.is_empty();
            if differed && done && !session.hastened {
                session.hastened = true;
                session.next_beacon = session.next_beacon.min(now.time.plus_ms(HASTE_MS));
            }
        }
    }

    /// Notes which heads of this node's a peer shows to have.
    pub(super) fn hear_heads(&mut self, from: &PeerId, told: &Message, history: &dyn History) {
        let (Message::Frontier(entries)
        | Message::Difference(entries)
        | Message::Announce(entries)) = told
        else {
            return;
        };
        let own = self.home.log();
        let session = self.sessions.get_mut(from);
        let Some(session) = session.filter(|session| session.step.is_some()) else {
            return;
        };
        for entry in entries {
            let told = session.step.as_ref();
            if !told.is_some_and(|step| step.told.contains(&entry.log)) {
                continue;
            }
            let row = history.head(&entry.log);
            if let Some(row) = row.filter(|row| FrontierEntry::of(&entry.log, row) == *entry) {
                session.has(&entry.log);
                if entry.log == own {
                    session.has_own((row.epoch, row.seq));
                }
            }
        }
    }

    /// Notes that a peer is being sent a vertex that it asked for on the live stream: behind the head nothing is missing.
    pub(super) fn served(
        session: &mut Session,
        (log, own): (&LogId, &LogId),
        at: (u64, u64),
        history: &dyn History,
    ) {
        let row = history.head(log);
        if session.step.is_some() && row.is_some_and(|row| (row.epoch, row.seq) == at) {
            session.has(log);
            if log == own {
                session.has_own(at);
            }
        }
    }

    /// Notes which of the news that a peer announces come from their authors by themselves: to them there is a line, too, and both
    /// know to be in step.
    pub(super) fn expect(
        &mut self,
        from: &PeerId,
        entries: &[FrontierEntry],
        now: Now,
        history: &dyn History,
    ) {
        let speaker = self
            .sessions
            .get(from)
            .and_then(|session| session.region.clone());
        for entry in entries.iter().take(MAX_EXPECTED) {
            let author = self.authorities.0.get(&entry.log);
            // Headers are asked for.
            let Some(author) = author.filter(|author| {
                // An author that announces its news does not send it.
                speaker.as_ref() != Some(author.region()) && !self.by_headers(&entry.log)
            }) else {
                continue;
            };
            let row = self.layers(history).log(&entry.log);
            let Some(row) = row.filter(|row| row.seq > 0 && row.frozen.is_none()) else {
                continue;
            };
            let news = entry.epoch == row.epoch && !entry.forked && entry.seq > row.seq;
            if !news || entry.seq - row.seq > LIVE_RANGE || self.in_flight.contains_key(&entry.log)
            {
                continue;
            }
            let mut peers = self.sessions.iter();
            let by = peers.find(|(peer, session)| {
                let is_author = session.region.as_ref() == Some(author.region());
                is_author && *peer != from && session.step.is_some()
            });
            if let Some((author, _)) = by {
                let expected = Expected {
                    author: *author,
                    to: (entry.epoch, entry.seq),
                    since: now.time,
                };
                // Who announces more while something is waited for does not make the wait any longer.
                let mut waiting = self.expected.get(&entry.log).copied();
                waiting = waiting.filter(|waiting| (row.epoch, row.seq) < waiting.to);
                let since = waiting.map_or(now.time, |waiting| waiting.since);
                self.expected
                    .insert(entry.log, Expected { since, ..expected });
            }
        }
    }

    /// Whether the author of a log is waited for, before another peer is asked for the news. An author that says itself that there
    /// are some does not send them unasked.
    pub(super) fn is_expected(&mut self, log: &LogId, now: Now, history: &dyn History) -> bool {
        let Some(Expected { author, to, since }) = self.expected.get(log).copied() else {
            return false;
        };
        let row = self.layers(history).log(log);
        let missing = row.is_none_or(|row| (row.epoch, row.seq) < to);
        let session = self.sessions.get(&author);
        let silent = session.is_some_and(|author| !author.claims.contains_key(log));
        let waits = missing && silent && is_within(since, RANGE_PATIENCE_MS, now.time);
        if !waits {
            self.expected.remove(log);
        }
        waits
    }
}
