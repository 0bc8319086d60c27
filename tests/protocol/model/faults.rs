//! What a home's log loses when it signs one position twice, and how it goes on: it goes back to where both agree and
//! stands there until its officers begin another epoch; what others had credited by then stays, and the home answers
//! for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use city_protocol::refusal::Refusal::{self, *};

use super::filling::home_asked;
use super::published::Published;
use super::spec::{
    AIKA, Account, BORROWED, EXPENSE, Ledger, Municipality, ROUND, Sent, Who, first, home_of,
};
use super::words::{Begun, Verdict};

/// How much time passes before officers begin an epoch: everybody looks for what is overdue right behind it.
pub(super) const DELAY: u64 = ROUND + 1;

/// Everything that a home's log says at some moment.
#[derive(Debug)]
pub(super) struct Log {
    accounts: BTreeMap<Who, Account>,
    home: Municipality,
    says: Published,
    head: u64,
    changed: bool,
    transfers: Vec<Sent>,
    /// How much had been booked, and rested on the other home, by then.
    booked: usize,
    rests: usize,
}

impl Ledger {
    /// The home that was convicted and has not begun again.
    pub(crate) fn convicted(&self) -> Option<usize> {
        (0..2).find(|home| self.stopped[*home])
    }

    pub(crate) fn is_convicted(&self) -> bool {
        self.convicted().is_some()
    }

    /// Whether the other home came to rest on something of this home's epoch.
    pub(crate) fn is_relied_on(&self, home: usize) -> bool {
        let since = self.past[home].first().map_or(0, |past| past.rests);
        let mut rests = self.rests.iter().skip(since);
        rests.any(|(by, _)| *by != home)
    }

    /// What the logs say is kept: one may go back to it.
    pub(super) fn remember(&mut self) {
        for home in [0, 1] {
            let log = Arc::new(self.log(home));
            self.past[home].push(log);
        }
    }

    fn log(&self, home: usize) -> Log {
        let accounts = self.accounts.iter();
        let accounts = accounts.filter(|(who, _)| home_of(**who) == home);
        Log {
            accounts: accounts.map(|(who, it)| (*who, it.clone())).collect(),
            home: self.homes[home].clone(),
            says: self.says[home].clone(),
            head: self.heads[home],
            changed: self.changed[home],
            transfers: self.transfers.clone(),
            booked: self.booked.len(),
            rests: self.rests.len(),
        }
    }

    /// A home signs another vertex where one of its own stands already, or two at the next position. Everybody hears of
    /// it, and takes back what stands behind the last vertex that all agree about.
    pub(super) fn lie(&mut self, home: usize, to: usize) -> Verdict {
        self.now += 1;
        self.carry();
        let before = Arc::clone(&self.past[home][to]);
        self.go_back(home, &before);
        (self.stopped[home], self.convicted[home]) = (true, true);
        let epoch = self.says[home].epoch;
        self.says[1 - home].faults.insert(epoch);
        self.wrote(1 - home);
        self.carry();
        Verdict::Done
    }

    fn go_back(&mut self, home: usize, before: &Log) {
        self.accounts.retain(|who, _| home_of(*who) != home);
        self.accounts.extend(before.accounts.clone());
        self.homes[home] = before.home.clone();
        self.says[home] = Published {
            notes: self.says[home].notes,
            ..before.says.clone()
        };
        (self.heads[home], self.changed[home]) = (before.head, before.changed);
        for (n, sent) in self.transfers.iter_mut().enumerate() {
            let then = before.transfers.get(n);
            if home_of(sent.from) == home {
                sent.lost = then.is_none_or(|then| then.lost);
                sent.settled = then.is_some_and(|then| then.settled);
                sent.refunded = then.is_some_and(|then| then.refunded);
                sent.refund_known = sent.refunded;
            }
            if home_of(sent.to) == home {
                sent.accepted = then.is_some_and(|then| then.accepted);
                sent.rejected = then.is_some_and(|then| then.rejected);
                sent.adopted = then.is_some_and(|then| then.adopted);
                sent.answer_known &= sent.is_answered();
            }
        }
        let transfers = &self.transfers;
        self.accepted.retain(|n| transfers[*n].accepted);
        let mut n = 0;
        self.rests.retain(|(by, _)| {
            n += 1;
            n <= before.rests || *by != home
        });
        let asked: Vec<usize> = self.booked.iter().map(|it| home_asked(&it.1)).collect();
        let mut n = 0;
        self.booked.retain(|_| {
            n += 1;
            n <= before.booked || asked[n - 1] != home
        });
    }

    /// The earliest of these moments, from this one on, to which a home may go back here: whoever took what the other
    /// home settled by then has the account and the key with which they took it.
    pub(super) fn moment(&self, home: usize, from: usize) -> usize {
        let mut now = self.clone();
        now.carry();
        let last = self.past[home].len() - 1;
        let fits = |to: &usize| {
            let then = &self.past[home][*to];
            now.transfers.iter().enumerate().all(|(n, sent)| {
                let across = home_of(sent.to) == home && home_of(sent.from) != home;
                let was = then.transfers.get(n).is_some_and(Sent::is_answered);
                let keys = |accounts: &BTreeMap<Who, Account>| {
                    accounts.get(&sent.to).map(|account| account.keys.clone())
                };
                !across || was || !sent.accepted || keys(&then.accounts) == keys(&now.accounts)
            })
        };
        (from..=last).find(fits).unwrap_or(last)
    }

    /// Officers close an epoch at the newest vertex that counts, and begin the next.
    pub(super) fn begin_epoch(&mut self, begun: &Begun) -> Result<Verdict, Refusal> {
        self.now += DELAY;
        let at = begun.at;
        let met = self.charter(at).is_met_by(&begun.signers);
        first([
            (begun.sequence == 0, BadField),
            (begun.old_epoch != self.says[at].epoch, BadEntry),
            (!met, OfficersShort),
            (begun.signers.forged, BadSignature),
        ])?;
        self.decided(at, &begun.signers, begun.sequence)?;
        first([(!begun.at_head, EpochMismatch)])?;
        self.homes[at].officers_used = begun.sequence;
        self.says[at].epoch += 1;
        self.wrote(at);
        self.stopped[at] = false;
        self.past[at].clear();
        self.tick(at);
        self.adopt(at);
        self.tick(1 - at);
        self.carry();
        self.convicted[at] = false;
        self.told = self.says.clone();
        Ok(Verdict::Booked(None))
    }

    /// A home answers for what it lost and the other rests on, in the order in which the other came to rest on it.
    fn adopt(&mut self, at: usize) {
        for (by, n) in self.rests.clone() {
            if by == at {
                continue;
            }
            let sent = &self.transfers[n];
            if home_of(sent.from) == at && sent.lost && sent.accepted {
                self.adopt_transfer(n);
            } else if home_of(sent.to) == at && !sent.is_answered() {
                self.adopt_answer(n);
            }
        }
    }

    /// The sender pays for a transfer that was taken, if they have the key still with which they signed it; what they
    /// have not is the municipality's shortfall.
    fn adopt_transfer(&mut self, n: usize) {
        let sent = &mut self.transfers[n];
        (sent.lost, sent.settled, sent.answer_known) = (false, true, true);
        let (from, _, amount) = sent.parties();
        let key = sent.key;
        let account = self.accounts.get_mut(&from).filter(|it| it.key() == key);
        let paid = account.map_or(0, |account| {
            let paid = amount.min(account.available);
            account.available -= paid;
            paid
        });
        for (is, word) in [(paid > 0, "adopted paid"), (paid < amount, "adopted short")] {
            self.adopted.extend(Some(word).filter(|_| is));
        }
        let home = &mut self.homes[home_of(from)];
        home.settled_out += amount;
        home.shortfall += amount - paid;
        home.journal.push((from, EXPENSE, true, amount));
        for (code, amount) in [(AIKA, paid), (BORROWED, amount - paid)] {
            if amount > 0 {
                home.journal.push((from, code, false, amount));
            }
        }
        self.wrote(home_of(from));
    }

    /// An answer stands as the sender's home took it.
    fn adopt_answer(&mut self, n: usize) {
        let sent = &mut self.transfers[n];
        (sent.accepted, sent.rejected) = (sent.settled, sent.refunded);
        (sent.adopted, sent.answer_known) = (true, true);
        let (_, to, _) = sent.parties();
        let word = if sent.accepted {
            "adopted yes"
        } else {
            "adopted no"
        };
        self.adopted.push(word);
        if self.transfers[n].accepted {
            self.credit(n);
        }
        self.wrote(home_of(to));
    }
}
