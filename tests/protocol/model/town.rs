//! The system under test: real homes, real submissions, real signatures, asked what the model is asked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::Recover;
use city_protocol::crypto::{KemPublicKey, SecretKey};
use city_protocol::ids::{BlockId, Digest, LogId, TransferId};
use city_protocol::place::{Grade, Verdict as PlaceVerdict};
use city_protocol::refusal::Refusal;
use city_protocol::replica::{BookedEntry, Input};
use city_protocol::stage::Submission;

use super::board::Text;
use super::charters::Officer;
use super::keys::Key;
use super::lies::Past;
use super::spec::{self, Line, Who, home_of};
use super::steps::Evidence;
use super::words::{self, Request, Verdict};
use crate::checkpoints;
use crate::notes;
use crate::people::{Person, signed};
use crate::renewal::recover_body;
use crate::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

/// Three homes: two with people, and 白山市, which only follows.
pub(crate) struct Town {
    pub(super) world: World,
    pub(super) people: Vec<Person>,
    /// Every key that was ever signed with, or named: making one takes a while.
    pub(super) keys: RefCell<BTreeMap<Key, (Arc<SecretKey>, KemPublicKey)>>,
    /// The keys of officers, and the names of each home's charters, in order.
    pub(super) officers: RefCell<BTreeMap<Officer, Arc<SecretKey>>>,
    pub(super) charters: [Vec<Digest>; 2],
    /// Homes that are not connected.
    apart: BTreeSet<(usize, usize)>,
    /// Digests of the proofs of place, in order of their making.
    proofs: Vec<Digest>,
    /// Booked transfers, in order.
    pub(super) sent: Vec<BookedEntry>,
    /// Everything booked, with the home that booked it.
    pub(super) booked: Vec<(usize, Submission, BookedEntry)>,
    /// The vertices of each home's notes, in order.
    pub(super) notes: [Vec<BlockId>; 2],
    /// How long the longest way back from a vertex is.
    pub(super) ways: RefCell<BTreeMap<BlockId, u64>>,
    /// Where each home's log stood after each step of its epoch, and where its epochs were cut.
    pub(super) past: [Vec<Past>; 2],
    pub(super) cuts: BTreeMap<(usize, u64), u64>,
    /// How far each home's journal was read, and what it says.
    pub(super) journal: [(u64, Vec<Line>); 2],
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
        let charters =
            [KANAZAWA, KOMATSU].map(|home| vec![world.homes[home].authority.charter_hash]);
        let mut town = Self {
            world,
            keys: RefCell::new(first.collect()),
            people,
            officers: RefCell::default(),
            charters,
            apart: BTreeSet::new(),
            proofs: Vec::new(),
            sent: Vec::new(),
            booked: Vec::new(),
            notes: Default::default(),
            past: Default::default(),
            cuts: BTreeMap::new(),
            ways: RefCell::default(),
            journal: Default::default(),
        };
        town.remember();
        town
    }

    /// Asks the homes, and gives their answer in the model's words.
    pub(crate) fn ask(&mut self, request: &Request) -> Verdict {
        let verdict = self.answer(request);
        self.read_journals();
        self.remember();
        verdict
    }

    fn answer(&mut self, request: &Request) -> Verdict {
        let answer = match *request {
            Request::Enrol { who, at } => self.enrol(who, at),
            Request::Grant(to, ref by) => {
                let grant = self.signed_by(&by.signers, by.sequence, |n| self.grant(to, by, n));
                self.submit(by.at, Ok(Submission::Grant(grant)))
            }
            Request::Ungrant(from, ref by) => {
                let ungrant =
                    self.signed_by(&by.signers, by.sequence, |n| self.ungrant(from, by, n));
                self.submit(by.at, Ok(Submission::Ungrant(ungrant)))
            }
            Request::Correct(who, transfer, ref by) => {
                let correct = self.signed_by(&by.signers, by.sequence, |n| {
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
                ref signers,
                sequence,
            } => {
                let at = home_of(who);
                let close = self.signed_by(signers, sequence, |n| self.close(who, n));
                self.submit(at, Ok(Submission::Revoke(close)))
            }
            Request::Recover {
                who,
                ref signers,
                sequence,
                new,
            } => {
                let (at, new) = (home_of(who), self.with_key(who, new));
                let recover = self.signed_by(signers, sequence, |n| Recover {
                    officers_sequence: n,
                    ..recover_body(&self.world, &self.people[who], &new)
                });
                self.submit(at, Ok(Submission::Recover(recover)))
            }
            Request::Elect(ref elected) => self.elect(elected),
            Request::Note { at, ref key, text } => self.note(at, key, text),
            Request::Lie { home, to } => return self.lie(home, to),
            Request::Epoch(ref begun) => self.begin_epoch(begun),
            Request::Checkpoint(home) => self.checkpoint(home),
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

    /// A home's own word.
    fn note(&mut self, at: usize, key: &str, text: Option<Text>) -> Result<BookedEntry, Refusal> {
        let value = text.map(bytes_of);
        let booked = notes::write(&mut self.world, at, key, value.as_deref())?;
        booked.receipt.verify(&self.world.genesis)?;
        self.notes[at].push(booked.vertex);
        Ok(booked)
    }

    /// What a home says of its own state.
    fn checkpoint(&mut self, home: usize) -> Result<BookedEntry, Refusal> {
        let booked = checkpoints::make(&mut self.world, home)?;
        booked.receipt.verify(&self.world.genesis)?;
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

    pub(super) fn carry(&mut self) -> Verdict {
        for (a, b) in std::mem::take(&mut self.apart) {
            self.world.connect(a, b);
        }
        self.world.run();
        self.assert_in_step();
        Verdict::Done
    }

    pub(super) fn log(&self, home: usize) -> LogId {
        self.world.homes[home].log()
    }
}

/// The n-th id that a client chose.
fn transfer_id(n: u64) -> TransferId {
    let mut id = [0xaa; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    TransferId(id)
}

/// A note's value: its number, and what fills it up.
fn bytes_of(text: Text) -> Vec<u8> {
    let mut value = text.number.to_be_bytes().to_vec();
    value.resize(text.bytes, 7);
    value
}
