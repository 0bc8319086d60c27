//! The system under test: real homes, real submissions, real signatures, asked what the model is asked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{Order, OwnEntry, Recover};
use city_protocol::crypto::{KemPublicKey, SecretKey};
use city_protocol::ids::{AccountId, Digest, LogId, TransferId};
use city_protocol::journal::Side;
use city_protocol::ledger::Rows as _;
use city_protocol::place::{Grade, Verdict as PlaceVerdict};
use city_protocol::refusal::Refusal;
use city_protocol::replica::{BookedEntry, Input};
use city_protocol::stage::Submission;

use super::keys::Key;
use super::spec::{self, Ledger, Line, Who, home_of};
use super::steps::Evidence;
use super::words::{self, Request, Verdict};
use crate::keychange::recover_body;
use crate::people::{Person, signed};
use crate::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

/// Three homes: two with people, and 白山市, which only follows.
pub(crate) struct Town {
    pub(super) world: World,
    pub(super) people: Vec<Person>,
    /// Every key that was ever signed with, or named: making one takes a while.
    pub(super) keys: RefCell<BTreeMap<Key, (Arc<SecretKey>, KemPublicKey)>>,
    /// Homes that are not connected.
    apart: BTreeSet<(usize, usize)>,
    /// Digests of the proofs of place, in order of their making.
    proofs: Vec<Digest>,
    /// Booked transfers, in order.
    pub(super) sent: Vec<BookedEntry>,
    /// Everything booked, with the home that booked it.
    booked: Vec<(usize, Submission, BookedEntry)>,
    /// How far each home's journal was read, and what it says.
    journal: [(u64, Vec<Line>); 2],
}

impl Town {
    pub(crate) fn new() -> Self {
        let mut world = World::empty();
        world.clearing.limits = vec![(
            "Asia/JP/17/17201".parse().unwrap(),
            Amount::from_hundredths(spec::LIMIT),
        )];
        for code in ["17201", "17203", "17210"] {
            world.add_home(code);
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            world.connect(a, b);
        }
        world.run();
        let names = ["hanako", "jiro", "taro", "yoko"];
        let people = (0..)
            .zip(names)
            .map(|(who, name)| world.person(name, home_of(who)));
        let people: Vec<Person> = people.collect();
        let first = people.iter().enumerate();
        let first = first.map(|(who, it)| ((who, 0), (it.key.clone(), it.kem.clone())));
        Self {
            world,
            keys: RefCell::new(first.collect()),
            people,
            apart: BTreeSet::new(),
            proofs: Vec::new(),
            sent: Vec::new(),
            booked: Vec::new(),
            journal: Default::default(),
        }
    }

    /// Asks the homes, and gives their answer in the model's words.
    pub(crate) fn ask(&mut self, request: &Request) -> Verdict {
        let verdict = self.answer(request);
        self.read_journals();
        verdict
    }

    fn answer(&mut self, request: &Request) -> Verdict {
        let answer = match *request {
            Request::Enrol { who, at } => self.enrol(who, at),
            Request::Grant(to, ref by) => {
                let grant =
                    self.signed_by(by.at, by.signers, by.sequence, |n| self.grant(to, by, n));
                self.submit(by.at, Ok(Submission::Grant(grant)))
            }
            Request::Ungrant(from, ref by) => {
                let ungrant = self.signed_by(by.at, by.signers, by.sequence, |n| {
                    self.ungrant(from, by, n)
                });
                self.submit(by.at, Ok(Submission::Ungrant(ungrant)))
            }
            Request::Correct(who, transfer, ref by) => {
                let correct = self.signed_by(by.at, by.signers, by.sequence, |n| {
                    self.correct(who, transfer, by, n)
                });
                self.submit(by.at, Ok(Submission::Correct(correct)))
            }
            Request::Prove { who, id, evidence } => return self.prove(who, id, evidence),
            Request::Transfer(ref draft) => self.transfer(draft),
            Request::Answer(ref said) => self.say(said),
            Request::Order {
                who,
                key,
                sequence,
                takes,
            } => self.order(who, key, sequence, takes),
            Request::Rotate {
                who,
                key,
                sequence,
                new,
                signed,
            } => self.rotate((who, key), sequence, new, signed),
            Request::Revoke { who, key, sequence } => self.revoke(who, key, sequence),
            Request::Close {
                who,
                signers,
                sequence,
            } => {
                let at = home_of(who);
                let close = self.signed_by(at, signers, sequence, |n| self.close(who, n));
                self.submit(at, Ok(Submission::Revoke(close)))
            }
            Request::Recover {
                who,
                signers,
                sequence,
                new,
            } => {
                let (at, new) = (home_of(who), self.with_key(who, new));
                let recover = self.signed_by(at, signers, sequence, |n| Recover {
                    officers_sequence: n,
                    ..recover_body(&self.world, &self.people[who], &new)
                });
                self.submit(at, Ok(Submission::Recover(recover)))
            }
            Request::Again(n) => return self.again(n),
            Request::Carry => return self.carry(),
            Request::Clock { ms, tick } => return self.clock(ms, tick),
            Request::Restart(home) => return self.restart(home),
        };
        match answer {
            Ok(booked) => {
                if booked.repeated {
                    return Verdict::Repeated;
                }
                let balance = booked.receipt.entry.booked.balance_after;
                Verdict::Booked(balance.map(Amount::hundredths))
            }
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    /// Submits, if there is anything to submit, and remembers what was booked.
    pub(super) fn submit(
        &mut self,
        at: usize,
        submission: Result<Submission, Refusal>,
    ) -> Result<BookedEntry, Refusal> {
        let submission = submission?;
        let booked = self.world.submit(at, submission.clone())?;
        booked.receipt.verify(&self.world.genesis)?;
        if !booked.repeated {
            self.booked.push((at, submission, booked.clone()));
        }
        Ok(booked)
    }

    fn prove(&mut self, who: Who, id: u64, evidence: Evidence) -> Verdict {
        let (world, person) = (&mut self.world, &self.people[who]);
        let inside = world.inside(person);
        let place = match evidence {
            Evidence::Inside => inside,
            Evidence::Outside => {
                let other = world.homes[1 - person.home].region.municipality().into();
                PlaceVerdict {
                    municipality: Some(other),
                    ..inside
                }
            }
            Evidence::Claimed => PlaceVerdict {
                grade: Grade::Claimed,
                ..inside
            },
            Evidence::Nowhere => PlaceVerdict {
                grade: Grade::None,
                municipality: None,
                point: None,
                ..inside
            },
        };
        match world.try_place(person, transfer_id(id), place) {
            Ok(proof) => {
                self.proofs.push(proof.digest());
                Verdict::Done
            }
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    fn transfer(&mut self, draft: &words::Draft) -> Result<BookedEntry, Refusal> {
        if draft.proof == Some(self.proofs.len()) {
            let proven = self.prove(draft.from, draft.id, Evidence::Inside);
            assert_eq!(proven, Verdict::Done);
        }
        let never = Digest::of(&[b"a proof that nobody made"]);
        let proof = draft.proof.map_or(never, |n| self.proofs[n]);
        let (from, to) = (&self.people[draft.from], &self.people[draft.to]);
        let signer = &self.with_key(draft.signer.0, draft.signer);
        let mut body = self
            .world
            .transfer_with(from, to, transfer_id(draft.id), proof);
        body.amount = Amount::from_hundredths(draft.amount);
        body.sequence = draft.sequence;
        body.created_at = Timestamp(draft.created_at);
        body.expires_at = Timestamp(draft.expires_at);
        body.key = signer.key.public().id();
        let submission = signed(body, signer).map(Submission::Transfer);
        let booked = self.submit(draft.at, submission)?;
        if !booked.repeated {
            self.sent.push(booked.clone());
        }
        Ok(booked)
    }

    /// The same once more: the first receipt, byte for byte.
    fn again(&mut self, n: usize) -> Verdict {
        let (at, submission, first) = self.booked[n].clone();
        let second = self.world.submit(at, submission).unwrap();
        assert!(second.repeated);
        assert_eq!(second.receipt, first.receipt);
        assert_eq!(
            (second.identity, second.vertex, second.at),
            (first.identity, first.vertex, first.at)
        );
        Verdict::Repeated
    }

    fn clock(&mut self, ms: u64, tick: bool) -> Verdict {
        self.world.now = self.world.now.plus_ms(ms);
        for home in [KANAZAWA, KOMATSU, HAKUSAN] {
            if tick {
                self.world.tell(home, Input::Tick);
                self.world.commit(home);
            }
        }
        Verdict::Done
    }

    /// A home that starts again is connected when the post is next carried.
    fn restart(&mut self, home: usize) -> Verdict {
        self.world.restart(home);
        let others = [KANAZAWA, KOMATSU, HAKUSAN]
            .into_iter()
            .filter(|other| *other != home);
        self.apart
            .extend(others.map(|other| (home.min(other), home.max(other))));
        Verdict::Done
    }

    fn carry(&mut self) -> Verdict {
        for (a, b) in std::mem::take(&mut self.apart) {
            self.world.connect(a, b);
        }
        self.world.run();
        assert!(self.world.in_step(&[KANAZAWA, KOMATSU, HAKUSAN]));
        Verdict::Done
    }

    pub(super) fn log(&self, home: usize) -> LogId {
        self.world.homes[home].log()
    }

    /// Reads what was booked since the last time.
    fn read_journals(&mut self) {
        for home in [KANAZAWA, KOMATSU] {
            let log = self.log(home);
            let (read, before) = (self.journal[home].0, self.journal[home].1.len());
            for posting in self.world.journal_after(home, &log, read) {
                let whose = |person: &Person| person.account == posting.account;
                let who = self.people.iter().position(whose).unwrap();
                let debit = posting.side == Side::Debit;
                let line = (who, posting.code, debit, posting.amount.hundredths());
                self.journal[home].1.push(line);
            }
            // What a home enters in one step has an order of its own.
            self.journal[home].1[before..].sort_unstable();
            self.journal[home].0 = self.world.homes[home].row(&log).seq;
        }
    }

    /// Accounts, sums and journals are the model's, and the sums hold.
    pub(crate) fn compare(&self, ledger: &Ledger) {
        assert_eq!(self.world.now.0, ledger.now);
        for (who, person) in self.people.iter().enumerate() {
            let home = &self.world.homes[person.home];
            let row = home.disk.read().account(&person.home_log, &person.account);
            let expected = ledger.accounts.get(&who);
            let found = row.map(|row| {
                let keys = self.keys.borrow();
                let mut keys = keys.iter();
                let named = keys.find(|(_, (key, _))| key.public().id() == row.key);
                let key = expected.map(|it| (who, it.key()));
                assert_eq!(named.map(|(named, _)| *named), key, "the key of {who}");
                spec::Account {
                    used: row.next_sequence - 1,
                    available: row.available.hundredths(),
                    open_out: row.open_out.hundredths(),
                    keys: expected.map_or_else(Vec::new, |it| it.keys.clone()),
                    revoked: row.revoked,
                    order: row.order.and_then(|at| self.order_at(person, &at)),
                }
            });
            assert_eq!(found.as_ref(), expected, "account of {who}");
        }
        for (n, expected) in ledger.homes.iter().enumerate() {
            let row = self.world.homes[n].row(&self.log(n));
            let accounts = ledger
                .accounts
                .iter()
                .filter(|(who, _)| home_of(**who) == n);
            let available = accounts.map(|(_, account)| account.available).sum::<u64>();
            assert_eq!(row.totals.available, available);
            assert!(row.totals.conserved(), "{:?}", row.totals);
            let found = spec::Municipality {
                officers_used: row.officers_sequence,
                granted: row.totals.granted,
                ungranted: row.totals.ungranted,
                open_out: row.totals.open_out,
                settled_out: row.totals.settled_out,
                accepted_in: row.totals.accepted_in,
                journal: self.journal[n].1.clone(),
            };
            assert_eq!(found, *expected, "home {n}");
        }
        assert!(ledger.conserved());
        for home in &self.world.homes {
            assert!(home.frozen.is_empty() && home.disconnected.is_empty());
        }
    }

    /// The order that stands at a place of a person's log, in the model's words.
    fn order_at(&self, person: &Person, at: &OwnEntry) -> Option<spec::Order> {
        let rows = self.world.homes[person.home].disk.read();
        let entry = rows.entry(&person.home_log, at).unwrap();
        let order: Order = serde_json::from_slice(&entry.body).unwrap();
        let who = |account: &AccountId| {
            let mut people = self.people.iter();
            people
                .position(|person| person.account == *account)
                .unwrap()
        };
        order.accept.then(|| spec::Order {
            most: order.max_amount.map(Amount::hundredths),
            until: order.until.map(|until| until.0),
            only: order.senders.as_ref().map(|senders| who(&senders[0])),
        })
    }

    /// At the end every home's books are in order, and 白山市 has the same as their authors.
    pub(crate) fn finish(&self) {
        self.world.audit();
        for home in [KANAZAWA, KOMATSU] {
            let log = self.log(home);
            assert_eq!(
                self.world.homes[HAKUSAN].row(&log),
                self.world.homes[home].row(&log)
            );
        }
    }
}

/// The n-th id that a client chose.
fn transfer_id(n: u64) -> TransferId {
    let mut id = [0xaa; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    TransferId(id)
}
