//! Whether the own log is known to be whole (DESIGN §6.9). A data directory that was put back from an old copy looks as
//! good as new to itself; only who was told of the log's end, or a counter outside of it, knows better.
//!
//! What peers say of the own log is heard before the first signature of a run. Who says that there is more is waited
//! for; the signed header proves it, and then nothing is signed any more in this run. Where nobody could be heard, the
//! home books small amounts only, and says so in what it books.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, ClockQuality, Now, Replica, frontier};
use crate::amount::{Amount, Timestamp};
use crate::ids::AccountId;
use crate::ledger::{History, Rows as _};
use crate::refusal::Refusal;
use crate::sync::{FrontierEntry, Message, frontier_hash};
use crate::trust::PeerId;
use crate::vertex::{Booked, Entry, SignedHeader};

/// How long peers who say that they have more of the own log may take to show it, in milliseconds: as long as a range
/// may bring nothing. Once in a run and for all of them together, so that a liar does not keep a home from its work.
const SHOW_MS: u64 = 30_000;
/// In which time an account's amounts are added up, in milliseconds: a day. A home without peers stays unconfirmed for
/// months, and people go on to pay.
pub const UNCONFIRMED_WINDOW_MS: u64 = 24 * 60 * 60 * 1000;
/// Most accounts whose amounts are added up; others have to wait until the home is confirmed, or for the next day.
const MAX_SENDERS: usize = 10_000;

/// What whoever starts the replica knows of the own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// There is nothing newer of it: this data directory made the charter and was never started again, or a counter
    /// outside of it agrees.
    Confirmed,
    /// That is not known.
    Unconfirmed {
        /// How long a first peer is waited for before anything is signed, in milliseconds; 0 where there is none.
        wait_ms: u64,
        /// How much one account may send in [`UNCONFIRMED_WINDOW_MS`] while it is not known.
        limit: Amount,
    },
}

/// Where the own log stands in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is known to be whole.
    Confirmed,
    /// A peer is waited for: nothing is signed.
    Waiting,
    /// Nobody could be heard: small amounts only.
    Unconfirmed,
    /// A peer has shown a later vertex of it: nothing is signed.
    RolledBack,
}

impl Standing {
    /// Its name in `status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Waiting => "waiting",
            Self::Unconfirmed => "unconfirmed",
            Self::RolledBack => "rolled-back",
        }
    }
}

/// What was heard so far.
pub(super) struct Confirming {
    standing: Standing,
    wait_ms: u64,
    limit: Amount,
    /// Since when a peer is waited for; none before the time is known.
    since: Option<Timestamp>,
    /// A peer was heard that has nothing more.
    heard: bool,
    /// Peers that say that they have more, or something else, and have not shown it.
    claimants: BTreeSet<PeerId>,
    /// Since when the first of them may show it.
    claimed_at: Option<Timestamp>,
    /// What accounts sent while nothing was confirmed, and since when that is added up.
    sent: BTreeMap<AccountId, (Timestamp, Amount)>,
    /// What of it is not durable yet.
    pending: Vec<(AccountId, Amount)>,
}

impl Confirming {
    pub(super) fn new(known: Confirmation) -> Self {
        let (standing, wait_ms, limit) = match known {
            Confirmation::Confirmed => (Standing::Confirmed, 0, Amount::ZERO),
            Confirmation::Unconfirmed { wait_ms: 0, limit } => (Standing::Unconfirmed, 0, limit),
            Confirmation::Unconfirmed { wait_ms, limit } => (Standing::Waiting, wait_ms, limit),
        };
        Self {
            standing,
            wait_ms,
            limit,
            since: None,
            heard: false,
            claimants: BTreeSet::new(),
            claimed_at: None,
            sent: BTreeMap::new(),
            pending: Vec::new(),
        }
    }

    pub(super) const fn standing(&self) -> Standing {
        self.standing
    }

    pub(super) const fn signs(&self) -> bool {
        matches!(self.standing, Standing::Confirmed | Standing::Unconfirmed)
    }

    /// How much each account may send in a day, where that is limited.
    pub(super) fn limit(&self) -> Option<Amount> {
        (self.standing == Standing::Unconfirmed).then_some(self.limit)
    }

    /// The officers closed what was uncertain.
    pub(super) const fn closed(&mut self) {
        self.standing = Standing::Confirmed;
    }

    /// Why nothing is signed, or would be if this were not the reason.
    pub(super) const fn refusal(&self) -> Refusal {
        match self.standing {
            Standing::Waiting => Refusal::Unconfirmed,
            _ => Refusal::NotSequencing,
        }
    }

    /// What follows from what was heard up to now.
    fn judge(&mut self, now: Now) {
        if !matches!(self.standing, Standing::Waiting | Standing::Unconfirmed) {
            return;
        }
        let (now, known) = (now.time, now.quality != ClockQuality::Floor);
        // A clock that was put back does not make the wait longer than it is; one that was set for the first time, and
        // jumped over years, not shorter. Until then nothing is signed anyway.
        let since = self.since.filter(|since| known && *since <= now);
        let since = since.unwrap_or(now);
        self.since = known.then_some(since);
        let showing = self
            .claimed_at
            .is_some_and(|at| is_within(at, SHOW_MS, now));
        self.standing = if showing && !self.claimants.is_empty() {
            Standing::Waiting
        } else if self.heard {
            Standing::Confirmed
        } else if now.since(since) < self.wait_ms {
            Standing::Waiting
        } else {
            Standing::Unconfirmed
        };
    }

    /// A peer says what it has of the own log.
    fn hear(&mut self, from: PeerId, agrees: bool, now: Timestamp) {
        if agrees {
            self.claimants.remove(&from);
            self.heard = true;
        } else {
            self.claimants.insert(from);
            self.claimed_at.get_or_insert(now);
        }
    }

    /// Whether an account may send so much more now.
    pub(super) fn admits(
        &self,
        account: &AccountId,
        amount: Amount,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.standing != Standing::Unconfirmed {
            return Ok(());
        }
        let before = match self.sent.get(account) {
            Some((since, before)) if is_within(*since, UNCONFIRMED_WINDOW_MS, now) => *before,
            None if self.is_full(now) => return Err(Refusal::Unconfirmed),
            Some(_) | None => Amount::ZERO,
        };
        match before.plus(amount) {
            Ok(sum) if sum <= self.limit => Ok(()),
            _ => Err(Refusal::Unconfirmed),
        }
    }

    /// Whether as many accounts are added up as can be.
    fn is_full(&self, now: Timestamp) -> bool {
        let running =
            |(since, _): &&(Timestamp, Amount)| is_within(*since, UNCONFIRMED_WINDOW_MS, now);
        self.sent.len() >= MAX_SENDERS && self.sent.values().filter(running).count() >= MAX_SENDERS
    }

    /// It was put into the open vertex.
    pub(super) fn sends(&mut self, account: AccountId, amount: Amount, now: Timestamp) {
        if self.standing != Standing::Unconfirmed {
            return;
        }
        if self.sent.len() >= MAX_SENDERS {
            self.sent
                .retain(|_, (since, _)| is_within(*since, UNCONFIRMED_WINDOW_MS, now));
        }
        let entry = self.sent.entry(account).or_insert((now, Amount::ZERO));
        if !is_within(entry.0, UNCONFIRMED_WINDOW_MS, now) {
            *entry = (now, Amount::ZERO);
        }
        entry.1 = entry.1.plus(amount).unwrap_or(self.limit);
        self.pending.push((account, amount));
    }

    /// What was sent is durable.
    pub(super) fn committed(&mut self) {
        self.pending.clear();
    }

    /// It could not be written, and counts no more.
    pub(super) fn aborted(&mut self) {
        for (account, amount) in self.pending.drain(..) {
            if let Some((_, sum)) = self.sent.get_mut(&account) {
                *sum = sum.minus(amount).unwrap_or(Amount::ZERO);
            }
        }
    }

    /// What a home that is not confirmed books beside when it received something.
    pub(super) const fn mark(&self, entry: &mut Entry) {
        let booked: &mut Booked = &mut entry.booked;
        if matches!(self.standing, Standing::Unconfirmed) && booked.received_at.is_some() {
            booked.unconfirmed = Some(true);
        }
    }
}

/// Whether that was less than so many milliseconds ago. A clock that was put back makes nothing last longer.
pub(super) fn is_within(since: Timestamp, ms: u64, now: Timestamp) -> bool {
    since <= now && now.since(since) < ms
}

impl Replica {
    /// The same where this is known of the own log; without it the log counts as confirmed.
    #[must_use]
    pub fn with_confirmation(mut self, known: Confirmation) -> Self {
        self.home.confirming = Confirming::new(known);
        self
    }

    /// Looks what follows from what was heard: what could not be signed before is looked for again.
    pub(super) fn look_whether_confirmed(&mut self, now: Now) {
        let before = self.home.confirming.signs();
        self.home.confirming.judge(now);
        match (before, self.home.confirming.signs()) {
            (false, true) => {
                self.sweep_from_the_beginning();
                self.adoptions.begin();
            }
            (true, false) => self.abandon_open(self.home.confirming.refusal()),
            _ => {}
        }
    }

    /// Hears what a peer says of the own log. Its words alone confirm, or make the home wait for what it will show.
    pub(super) fn hear_of_own_log(
        &mut self,
        from: PeerId,
        told: &Message,
        now: Now,
        history: &dyn History,
    ) {
        let standing = self.home.confirming.standing();
        if !matches!(standing, Standing::Waiting | Standing::Unconfirmed) {
            return;
        }
        let agrees = match told {
            // It has the same of every log.
            Message::Beacon(theirs) => {
                let same = frontier_hash(&frontier(history)) == theirs.hash;
                same.then_some(true)
            }
            Message::Frontier(entries)
            | Message::Difference(entries)
            | Message::Announce(entries) => {
                let own = entries.iter().find(|entry| entry.log == self.home.log());
                own.map(|entry| self.has_nothing_more(entry, history))
            }
            _ => None,
        };
        if let Some(agrees) = agrees {
            self.home.confirming.hear(from, agrees, now.time);
            self.look_whether_confirmed(now);
        }
    }

    fn has_nothing_more(&self, theirs: &FrontierEntry, history: &dyn History) -> bool {
        let Some(row) = history.log(&self.home.log()) else {
            return false;
        };
        let mine = FrontierEntry::of(&theirs.log, &row);
        match (theirs.epoch, theirs.seq).cmp(&(mine.epoch, mine.seq)) {
            std::cmp::Ordering::Less => !theirs.forked,
            std::cmp::Ordering::Equal => *theirs == mine,
            std::cmp::Ordering::Greater => false,
        }
    }

    /// A peer is gone, and shows nothing any more.
    pub(super) fn claimant_is_gone(&mut self, peer: &PeerId, now: Now) {
        if self.home.confirming.claimants.remove(peer) {
            self.look_whether_confirmed(now);
        }
    }

    /// A peer shows a vertex of the own log, signed by its key, behind everything that is here: what this home would
    /// sign next was signed before.
    pub(super) fn notice_rollback(
        &mut self,
        shown: &SignedHeader,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        let h = &shown.header;
        // Where nothing is signed anyway, the reason for that stands until the next start.
        if h.log != self.home.log() || !self.home.may_extend() {
            return;
        }
        let row = self.layers(history).log(&h.log);
        let (epoch, seq) = row.map_or((1, 0), |row| (row.epoch, row.seq));
        if (h.epoch, h.seq) > (epoch, seq) {
            self.home.confirming.standing = Standing::RolledBack;
            self.abandon_open(Refusal::NotSequencing);
            out.push(Action::RolledBack {
                here: (epoch, seq),
                shown: (h.epoch, h.seq),
            });
        }
    }
}
