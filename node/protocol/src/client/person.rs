//! What a person's own device does: holds both keys, writes drafts, signs them. Keys and the values behind
//! private fields never leave it but by the person's will.

use city_protocol::Refusal;
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{
    Accept, AccountTitle, CHALLENGE_LEN, Dimension, Enrol, GoodsOrMoney, Kind, Label, Login,
    NewKeys, PersonBody, PrivateField, PrivateValues, Revoke, Rotate, Salted, Transfer,
    read_person_body,
};
use city_protocol::crypto::{
    KemPublicKey, KemSecretKey, SealedBox, SealedBoxContext, SecretKey, Signer as _, Suite,
};
use city_protocol::ids::{AccountId, Digest, LogId, NetworkId, TransferId};
use city_protocol::json;
use city_protocol::pki::fingerprint;
use city_protocol::region::Region;
use city_protocol::stage::{Draft, Signed, SignedBySeveral, SignedTransfer};
use city_protocol::vertex::EntrySignature;

use crate::api::wire::{IncomingItem, NodePage};
use crate::pki::ClientRequest;

/// How long the home may sequence a transfer after it was written, in milliseconds: ten minutes, twice what a
/// proof of place is fresh.
const EXPIRES_MS: u64 = 10 * 60 * 1000;

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
    pub fn new(signing: SecretKey, kem: KemSecretKey, home: &NodePage) -> Self {
        Self {
            account: AccountId::new(&home.log, &signing.public().id()),
            signing,
            kem,
            network: home.network,
            home: home.log,
            region: home.region.clone(),
        }
    }

    /// A person with fresh keys of the suite that the home itself has.
    #[must_use]
    pub fn generate(home: &NodePage) -> Self {
        Self::of_suite(home, home.suite)
    }

    /// A person with fresh keys of a suite; the network must admit it ([`NodePage::suites`]).
    #[must_use]
    pub fn of_suite(home: &NodePage, suite: Suite) -> Self {
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

    /// The draft of a transfer, and what stands behind its private fields.
    ///
    /// # Errors
    /// [`Refusal::BadField`] for a label that is empty or too long, [`Refusal::TooLarge`] for private values that are.
    pub fn draft(&self, order: &Order) -> Result<(Draft<Transfer>, PrivateValues), Refusal> {
        let key = self.signing.public();
        let salted = |value: &str| Salted::new(random(), value);
        let (subject, details, location) = (
            salted(&order.subject)?,
            salted(&order.details)?,
            salted(&order.location)?,
        );
        let message = order.message.as_ref();
        let body = Transfer {
            version: 1,
            kind: Kind::Transfer,
            network: self.network,
            alg: key.algorithm(),
            key: key.id(),
            home: self.home,
            receiver_home: order.receiver_home,
            sequence: order.sequence,
            transfer_id: order.transfer_id,
            created_at: order.created_at,
            expires_at: order.created_at.plus_ms(EXPIRES_MS),
            sender: self.account(),
            receiver: order.receiver,
            from_wallet: Label::new(&order.from_wallet)?,
            to_wallet: Label::new(&order.to_wallet)?,
            amount: order.amount,
            subject: subject.digest(),
            action_level: Label::new(&order.action_level)?,
            dimension: order.dimension,
            organism_name: Label::new(&order.organism_name)?,
            sender_municipality: self.region.clone(),
            receiver_municipality: order.receiver_municipality.clone(),
            goods_or_money: order.goods_or_money,
            proof_of_place: order.proof_of_place,
            details: details.digest(),
            location: location.digest(),
            fluctuation: None,
            account_title: order.account_title,
            verifiable_credential: None,
            message: message.map(|(key, text)| self.seal(order, key, text)),
            attributes: None,
        };
        let private = [
            (PrivateField::Subject, subject),
            (PrivateField::Details, details),
            (PrivateField::Location, location),
        ];
        Ok((Draft(body), PrivateValues::new(private.into())?))
    }

    /// The signed transfer, and what stands behind its private fields.
    ///
    /// # Errors
    /// What the body itself refuses.
    pub fn transfer(&self, order: &Order) -> Result<(SignedTransfer, PrivateValues), Refusal> {
        let (draft, private) = self.draft(order)?;
        Ok((draft.sign(&self.signing)?, private))
    }

    fn seal(&self, order: &Order, key: &KemPublicKey, text: &str) -> SealedBox {
        let context = SealedBoxContext {
            network: self.network,
            sender: self.account(),
            receiver: order.receiver,
            transfer_id: order.transfer_id,
        };
        key.seal(&context, text.as_bytes())
    }

    /// The signed acceptance of a transfer that waits, as this account's entry number `sequence`.
    ///
    /// # Errors
    /// What the body itself refuses.
    pub fn accept(
        &self,
        incoming: &IncomingItem,
        sequence: u64,
        now: Timestamp,
    ) -> Result<Signed<Accept>, Refusal> {
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
            transfer: incoming.transfer,
            transfer_id: incoming.transfer_id,
            sender: incoming.sender,
            sender_home: incoming.sender_home,
            amount: incoming.amount,
        };
        Draft(body).sign(&self.signing)
    }
}

/// What a person wants to send. [`Order::new`] fills in plain values for what is seldom chosen.
#[derive(Clone, Debug)]
pub struct Order {
    /// Receiver.
    pub receiver: AccountId,
    /// The receiver's home.
    pub receiver_home: LogId,
    /// Where the receiver belongs.
    pub receiver_municipality: Region,
    /// How much.
    pub amount: Amount,
    /// The sender's next sequence number.
    pub sequence: u64,
    /// The transfer's own id, the one that the proof of place was asked for with.
    pub transfer_id: TransferId,
    /// When it is written; it expires ten minutes later.
    pub created_at: Timestamp,
    /// Digest of the proof of place.
    pub proof_of_place: Digest,
    /// Private: what it is about.
    pub subject: String,
    /// Private: details.
    pub details: String,
    /// Private: where.
    pub location: String,
    /// The sender's label of where it comes from.
    pub from_wallet: String,
    /// The sender's label of where it goes.
    pub to_wallet: String,
    /// Level of the action.
    pub action_level: String,
    /// How far it reaches.
    pub dimension: Dimension,
    /// `human`, `ai`, `robot`, or a name.
    pub organism_name: String,
    /// What is given.
    pub goods_or_money: GoodsOrMoney,
    /// How the sender names the expense.
    pub account_title: Option<AccountTitle>,
    /// A message that only the owner of this key opens.
    pub message: Option<(KemPublicKey, String)>,
}

impl Order {
    /// 愛貨 from person to person, with a fresh id; everything but receiver and amount may be changed after.
    #[must_use]
    pub fn new(receiver: AccountId, receiver_home: &NodePage, amount: Amount) -> Self {
        Self {
            receiver,
            receiver_home: receiver_home.log,
            receiver_municipality: receiver_home.region.clone(),
            amount,
            sequence: 1,
            transfer_id: TransferId(random()),
            created_at: Timestamp(0),
            proof_of_place: Digest([0; 32]),
            subject: String::new(),
            details: String::new(),
            location: String::new(),
            from_wallet: "main".into(),
            to_wallet: "main".into(),
            action_level: "1".into(),
            dimension: Dimension::Local,
            organism_name: "human".into(),
            goods_or_money: GoodsOrMoney::Money,
            account_title: None,
            message: None,
        }
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

/// Fresh random bytes, for ids, nonces and salts.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}
