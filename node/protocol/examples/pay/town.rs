//! The two homes that the example speaks to: those of the crate's own tests, with their disks in memory. In life they
//! are reached over HTTPS, and the CA certifies what `Person::request_certificate` asks for.

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::body::{Accept, Transfer};
use city_protocol::client::Home;
use city_protocol::client::officer::{self, NextDecision};
use city_protocol::client::person::Person;
use city_protocol::crypto::{Signer, Suite};
use city_protocol::ids::{Digest, NetworkId, TransferId};
use city_protocol::pki::{Crls, verify_client};
use city_protocol::place::{Grade, PlaceProof, Point, Subject, Verdict};
use city_protocol::replica::{Input, Outcome, PlaceRequest};
use city_protocol::stage::{Signed, Submission};

use super::world::World;

/// 金沢市, 小松市 and 白山市, connected.
pub(crate) struct Town(World);

impl Town {
    pub(crate) fn new() -> Self {
        Self(World::connected())
    }

    /// The genesis record's block: what `data/network/genesis.cbor` of a node holds.
    pub(crate) fn genesis(&self) -> Vec<u8> {
        self.0.genesis.to_block()
    }

    pub(crate) fn network(&self) -> NetworkId {
        self.0.network()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.now
    }

    /// What `GET /send/api/node` says.
    pub(crate) fn home(&self, home: usize) -> Home {
        Home {
            network: self.0.network(),
            log: self.0.homes[home].log(),
            region: self.0.homes[home].region.clone(),
            suite: Suite::Dilithium5Ntru,
        }
    }

    /// The CA certifies each person's keys, and their home enrols them.
    pub(crate) fn open_accounts<const N: usize>(
        &mut self,
        people: [(usize, &Person); N],
    ) -> Result<(), Refusal> {
        for (home, person) in people {
            let ca = &self.0.ca;
            let der = person.request_certificate(|request| {
                let kem = request.kem.expect("a person has one");
                ca.client(request.account, request.key, kem)
            });
            let roots = &self.0.genesis.roots;
            let region = person.region();
            let admitted = verify_client(roots, &der, &[], &Crls::none(), self.0.now, region)
                .map_err(|_| Refusal::BadCertificate)?;
            let signed = person.enrol(&der, self.0.now)?;
            let verified = signed.verify_enrolment(&admitted.certificate)?;
            self.0.submit(home, Submission::Enrol(verified))?;
        }
        self.0.run();
        Ok(())
    }

    /// Two of three officers give a person 愛貨; the receipt.
    pub(crate) fn grant(
        &mut self,
        home: usize,
        person: &Person,
        amount: &str,
    ) -> Result<Vec<u8>, Refusal> {
        let at = &self.0.homes[home];
        let next = NextDecision {
            network: self.0.network(),
            home: at.log(),
            officers_sequence: at.row(&at.log()).officers_sequence + 1,
        };
        let body = officer::grant(next, person.account(), amount.parse()?, "始め", self.0.now)?;
        let two: [&dyn Signer; 2] = [&*at.officers[0], &*at.officers[1]];
        let signed = officer::sign_together(&body, &two)?;
        let booked = self.0.submit(home, Submission::Grant(signed))?;
        Ok(booked.receipt.to_bytes())
    }

    /// `POST /send/api/place`.
    pub(crate) fn place(&mut self, home: usize, person: &Person, id: TransferId) -> PlaceProof {
        let ticket = self.0.new_ticket();
        let verdict = Verdict {
            grade: Grade::Plausible,
            municipality: Some(person.region().municipality().into()),
            point: Point::new(365_613_000, 1_366_562_000).ok(),
            fix_time: Some(self.0.now),
            boundary: Some(Digest::of(&[b"outlines"])),
            policy: 1,
            ..Verdict::default()
        };
        let request = PlaceRequest {
            subject: Subject::KioskSession,
            account: person.account(),
            transfer_id: id,
            nonce: [3; 16],
            verdict: Box::new(verdict),
            raw: None,
        };
        self.0.tell(home, Input::Place(ticket, request));
        match self.0.homes[home].answers.remove(&ticket) {
            Some(Ok(Outcome::Place(proof))) => *proof,
            other => panic!("a proof of place, not {other:?}"),
        }
    }

    /// `POST /send/api/transfers`; the receipt. Then everybody hears of it.
    pub(crate) fn send(
        &mut self,
        home: usize,
        person: &Person,
        signed: Signed<Transfer>,
    ) -> Result<Vec<u8>, Refusal> {
        let verified = signed.verify(person.signing().public())?;
        let booked = self.0.submit(home, Submission::Transfer(verified))?;
        self.0.run();
        Ok(booked.receipt.to_bytes())
    }

    /// `POST /send/api/accepts`; the receipt.
    pub(crate) fn accept(
        &mut self,
        home: usize,
        person: &Person,
        signed: Signed<Accept>,
    ) -> Result<Vec<u8>, Refusal> {
        let verified = signed.verify(person.signing().public())?;
        let booked = self.0.submit(home, Submission::Accept(verified))?;
        self.0.run();
        Ok(booked.receipt.to_bytes())
    }
}
