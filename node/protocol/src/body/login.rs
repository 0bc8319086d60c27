//! What a person signs to log in. It follows the rules of every body that people sign, but is no entry: it is
//! never booked, has no sequence, and answers one challenge once.

use serde::{Deserialize, Serialize};

use super::{BODY_VERSION, precise_refusal};
use crate::crypto::{Algorithm, PublicKey, Signer, TAG_LOGIN};
use crate::ids::{AccountId, KeyId, LogId, NetworkId};
use crate::json;
use crate::refusal::Refusal;
use crate::vertex::EntrySignature;

/// Length of a challenge in bytes.
pub const CHALLENGE_LEN: usize = 32;

/// The `type` of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoginKind {
    /// `login`.
    Login,
}

/// Logs a person in at their home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Form of the body: 1.
    pub version: u64,
    /// `login`.
    #[serde(rename = "type")]
    pub kind: LoginKind,
    /// Network.
    pub network: NetworkId,
    /// Algorithm of the signing key.
    pub alg: Algorithm,
    /// Signing key: the account's active one.
    pub key: KeyId,
    /// The account's home.
    pub home: LogId,
    /// The account.
    pub account: AccountId,
    /// What the home gave to be signed: 32 random bytes, base64.
    #[serde(with = "json::base64_bytes")]
    pub challenge: Vec<u8>,
}

impl Login {
    /// The login of an account with this key.
    #[must_use]
    pub fn new(
        network: NetworkId,
        home: LogId,
        account: AccountId,
        key: &PublicKey,
        challenge: [u8; CHALLENGE_LEN],
    ) -> Self {
        Self {
            version: BODY_VERSION,
            kind: LoginKind::Login,
            network,
            alg: key.algorithm(),
            key: key.id(),
            home,
            account,
            challenge: challenge.to_vec(),
        }
    }

    /// Signs it, on the person's own device; gives the exact bytes and their signature.
    #[must_use]
    pub fn sign(&self, signer: &dyn Signer) -> (Vec<u8>, EntrySignature) {
        let bytes = json::canonical(self);
        let signature = signer.sign(TAG_LOGIN, &bytes);
        let signature = EntrySignature::new(signer.public_key().id(), &signature);
        (bytes, signature)
    }
}

/// A login with a signature of the right length, not yet checked.
#[derive(Clone, Debug)]
pub struct SignedLogin {
    login: Login,
    bytes: Vec<u8>,
    signature: EntrySignature,
}

impl SignedLogin {
    /// Reads the exact bytes that were signed.
    ///
    /// # Errors
    /// As for every body that people sign; [`Refusal::WrongAlgorithm`], [`Refusal::WrongKey`],
    /// [`Refusal::WrongHome`] where its parts do not fit; [`Refusal::SignatureLength`].
    pub fn read(bytes: &[u8], signature: EntrySignature) -> Result<Self, Refusal> {
        let value = json::read_object(bytes, json::MAX_SIGNED_BODY)?;
        precise_refusal(&value)?;
        let login: Login = serde_json::from_value(value).map_err(|_| Refusal::BadField)?;
        if login.challenge.len() != CHALLENGE_LEN {
            return Err(Refusal::BadField);
        }
        if !login.account.is_of(&login.home) {
            return Err(Refusal::WrongHome);
        }
        if signature.alg != login.alg {
            return Err(Refusal::WrongAlgorithm);
        }
        if signature.key != login.key {
            return Err(Refusal::WrongKey);
        }
        signature.signature()?;
        Ok(Self {
            login,
            bytes: bytes.to_vec(),
            signature,
        })
    }

    /// The body.
    #[must_use]
    pub const fn login(&self) -> &Login {
        &self.login
    }

    /// Checks the signature with a key of the same algorithm, whichever key the body names: a home that does not
    /// know the account checks it with some key all the same, so that both take the same time.
    ///
    /// # Errors
    /// [`Refusal::BadSignature`], [`Refusal::WrongAlgorithm`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), Refusal> {
        key.verify(TAG_LOGIN, &self.bytes, &self.signature.signature()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{SecretKey, TAG_TRANSFER};

    fn hanako() -> (SecretKey, Login) {
        let key = SecretKey::generate(Algorithm::Dilithium5);
        let home = LogId([7; 32]);
        let account = AccountId::new(&home, &key.public().id());
        let network = NetworkId::of(b"genesis");
        let login = Login::new(network, home, account, key.public(), [9; CHALLENGE_LEN]);
        (key, login)
    }

    #[test]
    fn a_login_is_read_as_it_was_signed_and_nothing_else() {
        let (key, login) = hanako();
        let (bytes, signature) = login.sign(&key);
        let read = SignedLogin::read(&bytes, signature.clone()).unwrap();
        assert_eq!(read.login(), &login);
        assert_eq!(read.verify(key.public()), Ok(()));
        let other = SecretKey::generate(Algorithm::Dilithium5);
        assert_eq!(read.verify(other.public()), Err(Refusal::BadSignature));
        // A signature for another purpose says nothing here.
        let transfer = key.sign(TAG_TRANSFER, &bytes);
        let transfer = EntrySignature::new(key.public().id(), &transfer);
        let read = SignedLogin::read(&bytes, transfer).unwrap();
        assert_eq!(read.verify(key.public()), Err(Refusal::BadSignature));

        let check = |change: &dyn Fn(&mut Login), expected: Refusal| {
            let (_, mut login) = hanako();
            login.key = key.public().id();
            login.account = AccountId::new(&login.home, &login.key);
            change(&mut login);
            let bytes = json::canonical(&login);
            let signature = key.sign(TAG_LOGIN, &bytes);
            let signature = EntrySignature::new(key.public().id(), &signature);
            let read = SignedLogin::read(&bytes, signature);
            assert_eq!(read.err(), Some(expected));
        };
        check(&|login| login.version = 2, Refusal::UnknownVersion);
        check(
            &|login| {
                login.challenge.pop();
            },
            Refusal::BadField,
        );
        check(&|login| login.home = LogId([8; 32]), Refusal::WrongHome);
        check(&|login| login.key = other.public().id(), Refusal::WrongKey);
        let spaced = [b" ", &bytes[..]].concat();
        assert_eq!(
            SignedLogin::read(&spaced, signature).err(),
            Some(Refusal::NotCanonical)
        );
    }
}
