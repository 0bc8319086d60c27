//! The stages of what a person submits: Draft → Signed → Verified. The types are the stages; each can
//! only be made from the one before.

use crate::body::{
    Accept, Enrol, Order, PersonBody, PrivateField, PrivateValues, Reject, Salted, Transfer,
    identity, read_person_body,
};
use crate::crypto::{PublicKey, Signature, Signer};
use crate::ids::Digest;
use crate::journal::Expense;
use crate::json;
use crate::pki::ClientCertificate;
use crate::refusal::Refusal;
use crate::vertex::{EntryHashes, EntrySignature};

/// A body that its author has not signed yet.
#[derive(Clone, Debug)]
pub struct Draft<B>(pub B);

impl<B: PersonBody> Draft<B> {
    /// Signs the draft, on the author's own device.
    ///
    /// # Errors
    /// What the body itself refuses, so that nobody signs what no home would take.
    pub fn sign(self, signer: &dyn Signer) -> Result<Signed<B>, Refusal> {
        let bytes = json::canonical(&self.0);
        let signature = signer.sign(B::TAG, &bytes);
        Signed::read(
            &bytes,
            EntrySignature::new(signer.public_key().id(), &signature),
        )
    }
}

/// A body with a signature of the right length, not yet checked.
#[derive(Clone, Debug)]
pub struct Signed<B> {
    body: B,
    bytes: Vec<u8>,
    entry_signature: EntrySignature,
    signature: Signature,
}

/// A signed transfer.
pub type SignedTransfer = Signed<Transfer>;
/// A verified transfer.
pub type VerifiedTransfer = Verified<Transfer>;

impl<B: PersonBody> Signed<B> {
    /// Reads the exact bytes that were signed.
    ///
    /// # Errors
    /// The refusals of the body; [`Refusal::WrongAlgorithm`] or [`Refusal::WrongKey`] where body and
    /// signature name different ones; [`Refusal::SignatureLength`].
    pub fn read(bytes: &[u8], signature: EntrySignature) -> Result<Self, Refusal> {
        let body: B = read_person_body(bytes)?;
        let common = body.common();
        if signature.alg != common.alg {
            return Err(Refusal::WrongAlgorithm);
        }
        if signature.key != common.key {
            return Err(Refusal::WrongKey);
        }
        let checked_length = signature.signature()?;
        Ok(Self {
            body,
            bytes: bytes.to_vec(),
            entry_signature: signature,
            signature: checked_length,
        })
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &B {
        &self.body
    }

    /// The bytes that were signed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The signature.
    #[must_use]
    pub const fn signature(&self) -> &EntrySignature {
        &self.entry_signature
    }

    /// The identity of the submission.
    #[must_use]
    pub fn identity(&self) -> Digest {
        identity(B::TAG, &self.bytes)
    }

    /// Checks the signature with the account's key.
    ///
    /// # Errors
    /// [`Refusal::WrongKey`], [`Refusal::WrongAlgorithm`], [`Refusal::BadSignature`].
    pub fn verify(self, key: &PublicKey) -> Result<Verified<B>, Refusal> {
        if key.id() != self.entry_signature.key {
            return Err(Refusal::WrongKey);
        }
        key.verify(B::TAG, &self.bytes, &self.signature)?;
        let identity = self.identity();
        let signatures = std::slice::from_ref(&self.entry_signature);
        let hashes = EntryHashes::of(&self.bytes, signatures);
        Ok(Verified {
            body: self.body,
            bytes: self.bytes,
            signature: self.entry_signature,
            identity,
            hashes,
            expense: None,
        })
    }
}

impl Signed<Enrol> {
    /// Checks an enrolment against the client certificate that was verified for it.
    ///
    /// # Errors
    /// [`Refusal::BadCertificate`] where body and certificate differ, and those of [`Signed::verify`].
    pub fn verify_enrolment(
        self,
        certificate: &ClientCertificate,
    ) -> Result<Verified<Enrol>, Refusal> {
        let body = &self.body;
        let key = body.signing_key()?;
        let kem = certificate.kem.as_ref();
        let same = body.certificate == certificate.fingerprint
            && body.account() == certificate.account
            && key == certificate.key
            && kem.is_some_and(|kem| {
                kem.algorithm() == body.kem_alg && kem.as_bytes() == body.kem_key
            });
        if !same {
            return Err(Refusal::BadCertificate);
        }
        self.verify(&key)
    }
}

/// A body whose signature verifies under the key that it names.
#[derive(Clone, Debug)]
pub struct Verified<B> {
    body: B,
    bytes: Vec<u8>,
    signature: EntrySignature,
    identity: Digest,
    hashes: EntryHashes,
    /// What the private details of a transfer decided, if they came beside it.
    expense: Option<Expense>,
}

impl<B> Verified<B> {
    /// The body.
    #[must_use]
    pub const fn body(&self) -> &B {
        &self.body
    }

    /// The identity of the submission.
    #[must_use]
    pub const fn identity(&self) -> Digest {
        self.identity
    }

    /// The hashes of the body and of its one signature, for the entry.
    #[must_use]
    pub const fn hashes(&self) -> EntryHashes {
        self.hashes
    }

    /// The body as it was read, the bytes and the signature, for the entry.
    #[must_use]
    pub fn into_parts(self) -> (B, Vec<u8>, EntrySignature) {
        (self.body, self.bytes, self.signature)
    }
}

impl Verified<Transfer> {
    /// The same transfer, judged by the private values that came beside it: the details may decide its expense account.
    ///
    /// # Errors
    /// [`Refusal::PrivateMismatch`] if they are not what was signed.
    pub fn with_private(mut self, values: &PrivateValues) -> Result<Self, Refusal> {
        values.check(&self.body)?;
        let details = values.get(PrivateField::Details).map(Salted::expose_value);
        self.expense = Some(Expense::decided(self.body.account_title, details));
        Ok(self)
    }

    /// The expense account that its home books.
    #[must_use]
    pub fn expense(&self) -> Expense {
        let without = || Expense::decided(self.body.account_title, None);
        self.expense.unwrap_or_else(without)
    }
}

/// What may be submitted to a home by people and officers.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "transfers are the common case; queues box it"
)]
pub enum Submission {
    /// An enrolment.
    Enrol(Verified<Enrol>),
    /// Other keys for an account, signed by the old and the new one.
    Rotate(SignedBySeveral),
    /// An account's key is closed, by the person or by officers.
    Revoke(SignedBySeveral),
    /// New keys for an account, from officers.
    Recover(SignedBySeveral),
    /// 愛貨 for an account, from officers.
    Grant(SignedBySeveral),
    /// 愛貨 that officers take back.
    Ungrant(SignedBySeveral),
    /// What officers put right.
    Correct(SignedBySeveral),
    /// Other officers or witnesses.
    Amend(SignedBySeveral),
    /// What a person's home takes without asking each time.
    Order(Verified<Order>),
    /// A transfer.
    Transfer(Verified<Transfer>),
    /// An acceptance.
    Accept(Verified<Accept>),
    /// A rejection.
    Reject(Verified<Reject>),
}

/// A body and all signatures that were given for it; the fold checks who had to sign.
#[derive(Clone, Debug)]
pub struct SignedBySeveral {
    /// The exact bytes that were signed.
    pub bytes: Vec<u8>,
    /// The signatures.
    pub signatures: Vec<EntrySignature>,
}
