//! People: they enrol, get grants, prove their place, send and take.

use std::sync::Arc;

use city_protocol::amount::Amount;
use city_protocol::body::{
    Accept, Correct, Dimension, Enrol, GoodsOrMoney, Grant, Kind, Label, OfficersBody, Order,
    PersonBody, Reject, Transfer, Ungrant, officer_message,
};
use city_protocol::crypto::{KemPublicKey, SecretKey, Signer as _};
use city_protocol::ids::{AccountId, Digest, LogId, TransferId};
use city_protocol::json;
use city_protocol::ledger::Rows as _;
use city_protocol::pki::{Crls, verify_client};
use city_protocol::place::{Grade, PlaceProof, Point, Subject, Verdict};
use city_protocol::refusal::Refusal;
use city_protocol::region::Region;
use city_protocol::replica::{BookedEntry, Input, Outcome, PlaceRequest};
use city_protocol::stage::{Draft, Signed, SignedBySeveral, Submission, Verified};
use city_protocol::vertex::EntrySignature;

use super::keys::{kem_key, signing_key};
use super::world::World;

/// Somebody with a signing key.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) key: Arc<SecretKey>,
    pub(crate) kem: KemPublicKey,
    pub(crate) home: usize,
    pub(crate) home_log: LogId,
    pub(crate) region: Region,
    pub(crate) account: AccountId,
}

impl World {
    pub(crate) fn person(&mut self, name: &str, home: usize) -> Person {
        let key = signing_key(name);
        let home_log = self.homes[home].log();
        let account = AccountId::new(&home_log, &key.public().id());
        self.people
            .insert(key.public().id(), Arc::new(key.public().clone()));
        let region = self.homes[home].region.clone();
        Person {
            key,
            kem: kem_key(name),
            home,
            home_log,
            region,
            account,
        }
    }

    /// A person with an account.
    pub(crate) fn citizen(&mut self, name: &str, home: usize) -> Person {
        let person = self.person(name, home);
        let enrol = self.enrol_body(&person);
        self.enrol(&person, enrol).unwrap();
        person
    }

    /// A person with an account that officers gave so much.
    pub(crate) fn rich_citizen(&mut self, name: &str, home: usize, amount: &str) -> Person {
        let person = self.citizen(name, home);
        self.grant(&person, amount).unwrap();
        person
    }

    pub(crate) fn enrol_body(&self, person: &Person) -> Enrol {
        let public = person.key.public();
        let certificate = self.ca.client(&person.account, public, &person.kem);
        Enrol {
            version: 1,
            kind: Kind::Enrol,
            network: self.network(),
            alg: public.algorithm(),
            key: public.id(),
            home: person.home_log,
            sequence: 0,
            created_at: self.now,
            public_key: public.as_bytes().to_vec(),
            kem_alg: person.kem.algorithm(),
            kem_key: person.kem.as_bytes().to_vec(),
            certificate: Digest::of(&[&certificate]),
        }
    }

    pub(crate) fn enrol(&mut self, person: &Person, body: Enrol) -> Result<BookedEntry, Refusal> {
        let certificate = self
            .ca
            .client(&person.account, person.key.public(), &person.kem);
        let roots = &self.genesis.roots;
        let certificate = verify_client(
            roots,
            &certificate,
            &[],
            &Crls::none(),
            self.now,
            &person.region,
        )
        .unwrap();
        let signed = Draft(body)
            .sign(&*person.key)?
            .verify_enrolment(&certificate.certificate)?;
        self.submit(person.home, Submission::Enrol(signed))
    }

    pub(crate) fn grant_body(&self, person: &Person, amount: &str) -> Grant {
        let home = &self.homes[person.home];
        Grant {
            version: 1,
            kind: Kind::Grant,
            network: self.network(),
            home: home.log(),
            officers_sequence: home.row(&home.log()).officers_sequence + 1,
            created_at: self.now,
            account: person.account,
            amount: amount.parse().unwrap(),
            reason: Label::new("地域の応援").unwrap(),
        }
    }

    /// 2 of 3 officers grant.
    pub(crate) fn grant(&mut self, person: &Person, amount: &str) -> Result<BookedEntry, Refusal> {
        let body = self.grant_body(person, amount);
        let officers = self.homes[person.home].officers[..2].to_vec();
        self.submit(person.home, Submission::Grant(decided_by(&body, &officers)))
    }

    pub(crate) fn next_transfer_id(&mut self) -> TransferId {
        self.transfers += 1;
        let mut id = [0xaa; 16];
        id[8..].copy_from_slice(&self.transfers.to_be_bytes());
        TransferId(id)
    }

    /// What place checking would say of somebody in the middle of the sender's municipality.
    pub(crate) fn inside(&self, person: &Person) -> Verdict {
        Verdict {
            grade: Grade::Plausible,
            municipality: Some(person.region.municipality().into()),
            point: Some(Point::new(365_613_000, 1_366_562_000).unwrap()),
            fix_time: Some(self.now),
            boundary: Some(Digest::of(&[b"outlines"])),
            policy: 1,
            ..Verdict::default()
        }
    }

    pub(crate) fn prove_place(
        &mut self,
        person: &Person,
        transfer_id: TransferId,
        verdict: Verdict,
    ) -> PlaceProof {
        let proof = self.try_place(person, transfer_id, verdict);
        proof.expect("a proof of place")
    }

    /// What the home answers to whoever asks for a proof of place.
    pub(crate) fn try_place(
        &mut self,
        person: &Person,
        transfer_id: TransferId,
        verdict: Verdict,
    ) -> Result<PlaceProof, Refusal> {
        let ticket = self.new_ticket();
        let request = PlaceRequest {
            subject: Subject::KioskSession,
            account: person.account,
            transfer_id,
            nonce: [3; 16],
            verdict: Box::new(verdict),
            raw: None,
        };
        self.tell(person.home, Input::Place(ticket, request));
        match self.homes[person.home].answers.remove(&ticket) {
            Some(Ok(Outcome::Place(proof))) => Ok(*proof),
            Some(Err(refusal)) => Err(refusal),
            other => panic!("a proof of place, not {other:?}"),
        }
    }

    /// A transfer whose place is proven, in the sender's turn.
    pub(crate) fn transfer_body(&mut self, from: &Person, to: &Person, amount: &str) -> Transfer {
        self.draft_transfer(from, to, amount).unwrap()
    }

    /// The same, or why the home proves no place.
    pub(crate) fn draft_transfer(
        &mut self,
        from: &Person,
        to: &Person,
        amount: &str,
    ) -> Result<Transfer, Refusal> {
        let transfer_id = self.next_transfer_id();
        let verdict = self.inside(from);
        let proof = self.try_place(from, transfer_id, verdict)?;
        Ok(Transfer {
            amount: amount.parse().unwrap_or(Amount::ZERO),
            ..self.transfer_with(from, to, transfer_id, proof.digest())
        })
    }

    /// A transfer of 1.00 with this proof of place, in the sender's turn.
    pub(crate) fn transfer_with(
        &self,
        from: &Person,
        to: &Person,
        transfer_id: TransferId,
        proof_of_place: Digest,
    ) -> Transfer {
        let label = |text: &str| Label::new(text).unwrap();
        let disk = self.homes[from.home].disk.read();
        let sequence = disk
            .account(&from.home_log, &from.account)
            .map_or(1, |a| a.next_sequence);
        Transfer {
            version: 1,
            kind: Kind::Transfer,
            network: self.network(),
            alg: from.key.public().algorithm(),
            key: from.key.public().id(),
            home: from.home_log,
            receiver_home: to.home_log,
            sequence,
            transfer_id,
            created_at: self.now,
            expires_at: self.now.plus_ms(600_000),
            sender: from.account,
            receiver: to.account,
            from_wallet: label("main"),
            to_wallet: label("main"),
            amount: Amount::from_hundredths(100),
            subject: Digest::of(&[b"salt", "雪かき".as_bytes()]),
            action_level: label("1"),
            dimension: Dimension::Local,
            organism_name: label("human"),
            sender_municipality: from.region.clone(),
            receiver_municipality: to.region.clone(),
            goods_or_money: GoodsOrMoney::Money,
            proof_of_place,
            details: Digest::of(&[b"salt", b"details"]),
            location: Digest::of(&[b"salt", b"location"]),
            fluctuation: None,
            account_title: None,
            verifiable_credential: None,
            message: None,
            attributes: None,
        }
    }

    /// Somebody sends 愛貨.
    pub(crate) fn transfer(
        &mut self,
        from: &Person,
        to: &Person,
        amount: &str,
    ) -> Result<BookedEntry, Refusal> {
        let body = self.transfer_body(from, to, amount);
        self.submit(from.home, Submission::Transfer(signed(body, from)?))
    }

    pub(crate) fn accept_body(&self, receiver: &Person, sent: &BookedEntry) -> Accept {
        let transfer: Transfer = serde_json::from_slice(&sent.receipt.entry.body).unwrap();
        self.accept_of(receiver, sent.identity, &transfer)
    }

    /// The acceptance of a transfer, in the receiver's turn.
    pub(crate) fn accept_of(
        &self,
        receiver: &Person,
        identity: Digest,
        transfer: &Transfer,
    ) -> Accept {
        let disk = self.homes[receiver.home].disk.read();
        let account = disk.account(&receiver.home_log, &receiver.account);
        Accept {
            version: 1,
            kind: Kind::Accept,
            network: self.network(),
            alg: receiver.key.public().algorithm(),
            key: receiver.key.public().id(),
            home: receiver.home_log,
            sequence: account.map_or(1, |a| a.next_sequence),
            created_at: self.now,
            transfer: identity,
            transfer_id: transfer.transfer_id,
            sender: transfer.sender,
            sender_home: transfer.home,
            amount: transfer.amount,
        }
    }

    /// The receiver takes a transfer.
    pub(crate) fn accept(
        &mut self,
        receiver: &Person,
        sent: &BookedEntry,
    ) -> Result<BookedEntry, Refusal> {
        let body = self.accept_body(receiver, sent);
        self.submit(receiver.home, Submission::Accept(signed(body, receiver)?))
    }
}

impl World {
    /// The rejection of a transfer, in the receiver's turn.
    pub(crate) fn reject_body(&self, receiver: &Person, sent: &BookedEntry) -> Reject {
        let accept = self.accept_body(receiver, sent);
        Reject {
            version: 1,
            kind: Kind::Reject,
            network: accept.network,
            alg: accept.alg,
            key: accept.key,
            home: accept.home,
            sequence: accept.sequence,
            created_at: accept.created_at,
            transfer: accept.transfer,
            transfer_id: accept.transfer_id,
            sender: accept.sender,
            sender_home: accept.sender_home,
            amount: accept.amount,
        }
    }

    /// The receiver does not take a transfer.
    pub(crate) fn reject(
        &mut self,
        receiver: &Person,
        sent: &BookedEntry,
    ) -> Result<BookedEntry, Refusal> {
        let body = self.reject_body(receiver, sent);
        self.submit(receiver.home, Submission::Reject(signed(body, receiver)?))
    }

    /// An order to take everything up to this amount, in the person's turn; nothing ends the order before.
    pub(crate) fn order_body(&self, person: &Person, max_amount: Option<&str>) -> Order {
        let disk = self.homes[person.home].disk.read();
        let account = disk.account(&person.home_log, &person.account);
        Order {
            version: 1,
            kind: Kind::Order,
            network: self.network(),
            alg: person.key.public().algorithm(),
            key: person.key.public().id(),
            home: person.home_log,
            sequence: account.map_or(1, |account| account.next_sequence),
            created_at: self.now,
            account: person.account,
            accept: max_amount.is_some(),
            senders: None,
            max_amount: max_amount.map(|most| most.parse().unwrap()),
            until: None,
        }
    }

    /// A person says what their home takes for them.
    pub(crate) fn order(&mut self, person: &Person, body: Order) -> Result<BookedEntry, Refusal> {
        self.submit(person.home, Submission::Order(signed(body, person)?))
    }

    /// What officers take back, as their next decision.
    pub(crate) fn ungrant_body(&self, person: &Person, amount: &str) -> Ungrant {
        let grant = self.grant_body(person, amount);
        Ungrant {
            version: 1,
            kind: Kind::Ungrant,
            network: grant.network,
            home: grant.home,
            officers_sequence: grant.officers_sequence,
            created_at: grant.created_at,
            account: grant.account,
            amount: grant.amount,
            reason: grant.reason,
        }
    }

    /// What officers put right, as their next decision.
    pub(crate) fn correct_body(
        &self,
        person: &Person,
        amount: &str,
        transfer: Option<Digest>,
    ) -> Correct {
        let grant = self.grant_body(person, amount);
        Correct {
            version: 1,
            kind: Kind::Correct,
            network: grant.network,
            home: grant.home,
            officers_sequence: grant.officers_sequence,
            created_at: grant.created_at,
            account: grant.account,
            amount: grant.amount,
            transfer,
            reason: grant.reason,
        }
    }

    /// The first two officers of a person's home.
    pub(crate) fn officers_of(&self, person: &Person) -> Vec<Arc<SecretKey>> {
        self.homes[person.home].officers[..2].to_vec()
    }
}

/// The body signed by its author and verified, as the API hands it on.
pub(crate) fn signed<B: PersonBody>(body: B, author: &Person) -> Result<Verified<B>, Refusal> {
    Draft(body).sign(&*author.key)?.verify(author.key.public())
}

/// The exact bytes signed by somebody, whatever they say.
pub(crate) fn signed_bytes<B: PersonBody>(
    bytes: &[u8],
    author: &Person,
) -> Result<Verified<B>, Refusal> {
    let signature = author.key.sign(B::TAG, bytes);
    let signature = EntrySignature::new(author.key.public().id(), &signature);
    Signed::<B>::read(bytes, signature)?.verify(author.key.public())
}

/// An officers' body with the signatures of these officers.
pub(crate) fn decided_by<B: OfficersBody>(
    body: &B,
    officers: &[Arc<SecretKey>],
) -> SignedBySeveral {
    let bytes = json::canonical(body);
    let sign = |key: &Arc<SecretKey>| {
        let public = key.public();
        let message = officer_message(public.algorithm(), &public.id(), &bytes);
        EntrySignature::new(public.id(), &key.sign(B::TAG, &message))
    };
    let signatures = officers.iter().map(sign).collect();
    SignedBySeveral { bytes, signatures }
}
