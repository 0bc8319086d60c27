//! What people and officers submit in the model's stories, as they sign it.

use std::sync::Arc;

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{
    Accept, Amendment, Correct, Grant, Kind, Label, Officer, Officers, OfficersBody,
    OfficersRevoke, Order, Reject, Revoke, Rotate, Ungrant,
};
use city_protocol::crypto::SecretKey;
use city_protocol::ids::Digest;
use city_protocol::pki::{Crls, verify_client};
use city_protocol::refusal::Refusal;
use city_protocol::replica::BookedEntry;
use city_protocol::stage::{Draft, SignedBySeveral, Submission};

use super::charters;
use super::keys::Key;
use super::spec::{self, Who};
use super::steps::Signed;
use super::town::Town;
use super::words::{Decided, Elected, Said, Signatures};
use crate::keys::signing_key;
use crate::people::{Person, decided_by, signed};
use crate::renewal::{self, revoke_body, rotate_body, with_key};

impl Town {
    pub(super) fn enrol(&mut self, who: Who, at: usize) -> Result<BookedEntry, Refusal> {
        let (world, person) = (&self.world, &self.people[who]);
        let key = person.key.public();
        let certificate = world.ca.client(&person.account, key, &person.kem);
        let roots = &world.genesis.roots;
        let verified = verify_client(
            roots,
            &certificate,
            &[],
            &Crls::none(),
            world.now,
            &person.region,
        );
        let draft = Draft(world.enrol_body(person)).sign(&*person.key);
        let enrol = draft.and_then(|enrol| enrol.verify_enrolment(&verified.unwrap().certificate));
        self.submit(at, enrol.map(Submission::Enrol))
    }

    pub(super) fn grant(&self, to: Who, by: &Decided, officers_sequence: u64) -> Grant {
        Grant {
            home: self.log(by.at),
            officers_sequence,
            amount: Amount::from_hundredths(by.amount),
            ..self.world.grant_body(&self.people[to], "1.00")
        }
    }

    pub(super) fn ungrant(&self, from: Who, by: &Decided, officers_sequence: u64) -> Ungrant {
        Ungrant {
            home: self.log(by.at),
            officers_sequence,
            amount: Amount::from_hundredths(by.amount),
            ..self.world.ungrant_body(&self.people[from], "1.00")
        }
    }

    pub(super) fn correct(
        &self,
        who: Who,
        transfer: Option<usize>,
        by: &Decided,
        officers_sequence: u64,
    ) -> Correct {
        let transfer = transfer.map(|n| self.sent[n].identity);
        Correct {
            home: self.log(by.at),
            officers_sequence,
            amount: Amount::from_hundredths(by.amount),
            ..self.world.correct_body(&self.people[who], "1.00", transfer)
        }
    }

    pub(super) fn close(&self, who: Who, officers_sequence: u64) -> OfficersRevoke {
        let grant = self.world.grant_body(&self.people[who], "1.00");
        OfficersRevoke {
            version: 1,
            kind: Kind::Revoke,
            network: grant.network,
            home: grant.home,
            officers_sequence,
            created_at: grant.created_at,
            account: grant.account,
            reason: grant.reason,
        }
    }

    /// A decision with this number, as these officers sign it.
    pub(super) fn signed_by<B: OfficersBody>(
        &self,
        signers: &Signatures,
        sequence: u64,
        body: impl Fn(u64) -> B,
    ) -> SignedBySeveral {
        let officers: Vec<_> = signers.of.iter().map(|who| self.officer(*who)).collect();
        let mut signed = decided_by(&body(sequence), &officers);
        if signers.forged {
            let other = decided_by(&body(sequence + 7), &officers);
            signed.signatures.pop();
            signed
                .signatures
                .extend(other.signatures.into_iter().last());
        }
        signed
    }

    /// The key of an officer.
    pub(super) fn officer(&self, (home, nth): charters::Officer) -> Arc<SecretKey> {
        let first = self.world.homes[home]
            .officers
            .get(usize::try_from(nth).unwrap());
        let make = || signing_key(&format!("officer {nth} elected in {home}"));
        let mut officers = self.officers.borrow_mut();
        let key = officers.entry((home, nth));
        let key = key.or_insert_with(|| first.cloned().unwrap_or_else(make));
        Arc::clone(key)
    }

    pub(super) fn elect(&mut self, elected: &Elected) -> Result<BookedEntry, Refusal> {
        let home = &self.world.homes[elected.at];
        let board = elected.next.officers.iter().map(|who| self.officer(*who));
        let officer = |key: Arc<SecretKey>| Officer {
            alg: key.public().algorithm(),
            key: key.public().as_bytes().to_vec(),
        };
        let officers = Officers {
            k: elected.next.k as u64,
            keys: board.map(officer).collect(),
        };
        let amendment = |officers_sequence| Amendment {
            version: 1,
            kind: Kind::Charter,
            network: self.world.network(),
            home: home.log(),
            officers_sequence,
            created_at: self.world.now,
            number: elected.number as u64,
            before: self.charters[elected.at][elected.after - 1],
            region: home.region.clone(),
            officers: officers.clone(),
            witnesses: Vec::new(),
            reason: Label::new("選挙").unwrap(),
        };
        let signed = self.signed_by(&elected.signers, elected.sequence, amendment);
        let named = Digest::of(&[&signed.bytes]);
        let booked = self.submit(elected.at, Ok(Submission::Amend(signed)))?;
        if !booked.repeated {
            self.charters[elected.at].push(named);
        }
        Ok(booked)
    }

    /// Somebody with a certain one of a person's keys.
    pub(super) fn with_key(&self, who: Who, named: Key) -> Person {
        let person = self.people[who].clone();
        let make = || {
            let made = with_key(&person, &format!("key {} of {}", named.1, named.0));
            (made.key, made.kem)
        };
        let (key, kem) = self
            .keys
            .borrow_mut()
            .entry(named)
            .or_insert_with(make)
            .clone();
        Person { key, kem, ..person }
    }

    pub(super) fn order(
        &mut self,
        who: Who,
        key: u64,
        sequence: u64,
        takes: Option<spec::Order>,
    ) -> Result<BookedEntry, Refusal> {
        let person = self.with_key(who, (who, key));
        let accounts = |who: Who| self.people[who].account;
        let body = Order {
            sequence,
            accept: takes.is_some(),
            senders: takes.and_then(|it| it.only).map(|who| vec![accounts(who)]),
            max_amount: takes.and_then(|it| it.most).map(Amount::from_hundredths),
            until: takes.and_then(|it| it.until).map(Timestamp),
            ..self.world.order_body(&person, None)
        };
        let submission = signed(body, &person).map(Submission::Order);
        self.submit(person.home, submission)
    }

    pub(super) fn rotate(
        &mut self,
        old: Key,
        sequence: u64,
        new: Key,
        signed: Signed,
    ) -> Result<BookedEntry, Refusal> {
        let (old, new) = (self.with_key(old.0, old), self.with_key(old.0, new));
        let body = Rotate {
            sequence,
            ..rotate_body(&self.world, &old, &new)
        };
        let keys = match signed {
            Signed::Both => vec![&old.key, &new.key],
            Signed::OldAlone => vec![&old.key],
            Signed::NewAlone => vec![&new.key],
        };
        let rotate = renewal::signed_by(&body, &keys);
        self.submit(old.home, Ok(Submission::Rotate(rotate)))
    }

    pub(super) fn revoke(
        &mut self,
        who: Who,
        key: u64,
        sequence: u64,
    ) -> Result<BookedEntry, Refusal> {
        let person = self.with_key(who, (who, key));
        let body = Revoke {
            sequence,
            ..revoke_body(&self.world, &person)
        };
        let revoke = signed(body, &person).map(|signed| {
            let (_, bytes, signature) = signed.into_parts();
            let signatures = vec![signature];
            Submission::Revoke(SignedBySeveral { bytes, signatures })
        });
        self.submit(person.home, revoke)
    }

    pub(super) fn say(&mut self, said: &Said) -> Result<BookedEntry, Refusal> {
        let person = self.with_key(said.by, (said.by, said.key));
        let sent = &self.sent[said.transfer];
        let amount = Amount::from_hundredths(said.amount);
        let submission = if said.rejects {
            let body = Reject {
                sequence: said.sequence,
                amount,
                ..self.world.reject_body(&person, sent)
            };
            signed(body, &person).map(Submission::Reject)
        } else {
            let body = Accept {
                sequence: said.sequence,
                amount,
                ..self.world.accept_body(&person, sent)
            };
            signed(body, &person).map(Submission::Accept)
        };
        self.submit(person.home, submission)
    }
}
