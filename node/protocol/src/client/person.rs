//! What a person's own device does: holds both keys, writes drafts, signs them. Keys and the values behind
//! private fields never leave it but by the person's will.

use super::{Home, Order, Sender, Takes, Waiting};
use crate::amount::Timestamp;
use crate::body::{
    Accept, CHALLENGE_LEN, Enrol, Kind, Label, Login, NewKeys, PersonBody, PrivateValues, Reject,
    Revoke, Rotate, Transfer, read_person_body,
};
use crate::crypto::{KemSecretKey, SecretKey, Signer as _, Suite};
use crate::ids::{AccountId, LogId, NetworkId};
use crate::json;
use crate::pki::{ClientRequest, fingerprint};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::stage::{Draft, Signed, SignedBySeveral, SignedTransfer};
use crate::vertex::EntrySignature;

/// A person with keys and a home.
#[derive(Debug)]
pub struct Person {
    signing: SecretKey,
    kem: KemSecretKey,
    account: AccountId,
    network: NetworkId,
    home: LogId,
    region: Region,
}

impl Person {
    /// A person with these keys at this home.
    #[must_use]
    pub fn new(signing: SecretKey, kem: KemSecretKey, home: impl Into<Home>) -> Self {
        let home = home.into();
        Self {
            account: AccountId::new(&home.log, &signing.public().id()),
            signing,
            kem,
            network: home.network,
            home: home.log,
            region: home.region,
        }
    }

    /// A person with fresh keys of the suite that the home itself has.
    #[must_use]
    pub fn generate(home: impl Into<Home>) -> Self {
        let home = home.into();
        let suite = home.suite;
        Self::of_suite(home, suite)
    }

    /// A person with fresh keys of a suite; the network must admit it.
    #[must_use]
    pub fn of_suite(home: impl Into<Home>, suite: Suite) -> Self {
        let signing = SecretKey::generate(suite.signing());
        let kem = KemSecretKey::generate(suite.kem());
        Self::new(signing, kem, home)
    }

    /// The same keys as those of an account that was opened with others.
    #[must_use]
    pub fn of_account(self, account: AccountId) -> Self {
        Self { account, ..self }
    }

    /// The same person with fresh keys of a suite, for a rotation or recovery. The account stays.
    #[must_use]
    pub fn renewed(&self, suite: Suite) -> Self {
        Self {
            signing: SecretKey::generate(suite.signing()),
            kem: KemSecretKey::generate(suite.kem()),
            account: self.account,
            network: self.network,
            home: self.home,
            region: self.region.clone(),
        }
    }

    /// The account: that of the key which enrolled.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The home's log.
    #[must_use]
    pub const fn home(&self) -> LogId {
        self.home
    }

    /// The home's region.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.region
    }

    /// The signing key, for its file only.
    #[must_use]
    pub const fn signing(&self) -> &SecretKey {
        &self.signing
    }

    /// The key for opening sealed messages.
    #[must_use]
    pub const fn kem(&self) -> &KemSecretKey {
        &self.kem
    }

    /// Has the municipal CA issue this person's certificate: `issue` is what the CA does with the request.
    pub fn request_certificate<T>(&self, issue: impl FnOnce(&ClientRequest<'_>) -> T) -> T {
        let account = self.account();
        issue(&ClientRequest {
            account: &account,
            key: self.signing.public(),
            kem: Some(self.kem.public()),
        })
    }

    /// The signed answer to a challenge: the exact bytes and their signature.
    #[must_use]
    pub fn login(&self, challenge: [u8; CHALLENGE_LEN]) -> (Vec<u8>, EntrySignature) {
        let key = self.signing.public();
        Login::new(self.network, self.home, self.account(), key, challenge).sign(&self.signing)
    }

    /// The signed enrolment with this certificate (DER).
    ///
    /// # Errors
    /// What the body itself refuses.
    pub fn enrol(&self, certificate: &[u8], now: Timestamp) -> Result<Signed<Enrol>, Refusal> {
        let key = self.signing.public();
        let body = Enrol {
            version: 1,
            kind: Kind::Enrol,
            network: self.network,
            alg: key.algorithm(),
            key: key.id(),
            home: self.home,
            sequence: 0,
            created_at: now,
            public_key: key.as_bytes().to_vec(),
            kem_alg: self.kem.public().algorithm(),
            kem_key: self.kem.public().as_bytes().to_vec(),
            certificate: fingerprint(certificate),
        };
        Draft(body).sign(&self.signing)
    }

    /// What this person's keys are, with the certificate (DER) that was issued for them: for a rotation or recovery.
    #[must_use]
    pub fn new_keys(&self, certificate: &[u8]) -> NewKeys {
        NewKeys {
            alg: self.signing.public().algorithm(),
            public_key: self.signing.public().as_bytes().to_vec(),
            kem_alg: self.kem.public().algorithm(),
            kem_key: self.kem.public().as_bytes().to_vec(),
            certificate: fingerprint(certificate),
        }
    }

    /// The rotation of this person's keys to those of `new`, signed by both, as the account's entry number
    /// `sequence`.
    ///
    /// # Errors
    /// What the body itself refuses.
    pub fn rotate(
        &self,
        new: &Self,
        certificate: &[u8],
        sequence: u64,
        now: Timestamp,
    ) -> Result<SignedBySeveral, Refusal> {
        let key = self.signing.public();
        let body = Rotate {
            version: 1,
            kind: Kind::Rotate,
            network: self.network,
            alg: key.algorithm(),
            key: key.id(),
            home: self.home,
            sequence,
            created_at: now,
            account: self.account,
            new: new.new_keys(certificate),
        };
        signed_by(&body, &[&self.signing, &new.signing])
    }

    /// The revocation of this person's own key, as the account's entry number `sequence`.
    ///
    /// # Errors
    /// [`Refusal::BadField`] for a reason that is empty, too long or holds control characters.
    pub fn revoke(
        &self,
        reason: &str,
        sequence: u64,
        now: Timestamp,
    ) -> Result<SignedBySeveral, Refusal> {
        let key = self.signing.public();
        let body = Revoke {
            version: 1,
            kind: Kind::Revoke,
            network: self.network,
            alg: key.algorithm(),
            key: key.id(),
            home: self.home,
            sequence,
            created_at: now,
            account: self.account,
            reason: Label::new(reason)?,
        };
        signed_by(&body, &[&self.signing])
    }

    /// What of this person stands in a draft.
    #[must_use]
    pub fn sender(&self) -> Sender<'_> {
        Sender {
            network: self.network,
            home: self.home,
            region: &self.region,
            account: self.account,
            key: self.signing.public(),
        }
    }

    /// The draft of a transfer, and what stands behind its private fields.
    ///
    /// # Errors
    /// As for [`Order::draft`].
    pub fn draft(&self, order: &Order) -> Result<(Draft<Transfer>, PrivateValues), Refusal> {
        order.draft(&self.sender())
    }

    /// The signed transfer, and what stands behind its private fields.
    ///
    /// # Errors
    /// What the body itself refuses.
    pub fn transfer(&self, order: &Order) -> Result<(SignedTransfer, PrivateValues), Refusal> {
        let (draft, private) = self.draft(order)?;
        Ok((draft.sign(&self.signing)?, private))
    }

    /// The signed rejection of a transfer that waits, as this account's entry number `sequence`.
    ///
    /// # Errors
    /// What the body itself refuses.
    pub fn reject(
        &self,
        waiting: impl Into<Waiting>,
        sequence: u64,
        now: Timestamp,
    ) -> Result<Signed<Reject>, Refusal> {
        let waiting = waiting.into();
        let key = self.signing.public();
        let body = Reject {
            version: 1,
            kind: Kind::Reject,
            network: self.network,
            alg: key.algorithm(),
            key: key.id(),
            home: self.home,
            sequence,
            created_at: now,
            transfer: waiting.transfer,
            transfer_id: waiting.transfer_id,
            sender: waiting.sender,
            sender_home: waiting.sender_home,
            amount: waiting.amount,
        };
        Draft(body).sign(&self.signing)
    }

    /// The signed standing order, as this account's entry number `sequence`: what the home takes by itself from here
    /// on, or nothing more.
    ///
    /// # Errors
    /// What the body itself refuses.
    pub fn standing_order(
        &self,
        takes: Option<Takes>,
        sequence: u64,
        now: Timestamp,
    ) -> Result<Signed<crate::body::Order>, Refusal> {
        let key = self.signing.public();
        let accept = takes.is_some();
        let Takes {
            senders,
            max_amount,
            until,
        } = takes.unwrap_or_default();
        let senders = senders.map(|senders| senders.into_iter().collect());
        let body = crate::body::Order {
            version: 1,
            kind: Kind::Order,
            network: self.network,
            alg: key.algorithm(),
            key: key.id(),
            home: self.home,
            sequence,
            created_at: now,
            account: self.account,
            accept,
            senders,
            max_amount,
            until,
        };
        Draft(body).sign(&self.signing)
    }

    /// The signed acceptance of a transfer that waits, as this account's entry number `sequence`.
    ///
    /// # Errors
    /// What the body itself refuses.
    pub fn accept(
        &self,
        waiting: impl Into<Waiting>,
        sequence: u64,
        now: Timestamp,
    ) -> Result<Signed<Accept>, Refusal> {
        let waiting = waiting.into();
        let key = self.signing.public();
        let body = Accept {
            version: 1,
            kind: Kind::Accept,
            network: self.network,
            alg: key.algorithm(),
            key: key.id(),
            home: self.home,
            sequence,
            created_at: now,
            transfer: waiting.transfer,
            transfer_id: waiting.transfer_id,
            sender: waiting.sender,
            sender_home: waiting.sender_home,
            amount: waiting.amount,
        };
        Draft(body).sign(&self.signing)
    }
}

/// The same bytes signed by each of these keys.
fn signed_by<B: PersonBody>(body: &B, keys: &[&SecretKey]) -> Result<SignedBySeveral, Refusal> {
    let bytes = json::canonical(body);
    read_person_body::<B>(&bytes)?;
    let sign = |key: &&SecretKey| EntrySignature::new(key.public().id(), &key.sign(B::TAG, &bytes));
    let signatures = keys.iter().map(sign).collect();
    Ok(SignedBySeveral { bytes, signatures })
}
