//! A person's keys in one file that a passphrase seals.
//!
//! Inside stands `city-node/wallet/v1\0` and six parts, each with its length before it: signing algorithm, public and
//! secret key, KEM algorithm, public and secret key. A public key that follows from its secret is left empty
//! (`ml-dsa-87`, `ml-kem-1024`), so that a copy on paper is short.

use city_protocol::Refusal;
use city_protocol::crypto::{
    Algorithm, KemAlgorithm, KemPublicKey, KemSecretKey, PublicKey, SecretKey, Suite,
};
use zeroize::Zeroizing;

use crate::keys::passphrase::{self, Passphrase, PassphraseError, Purpose};

/// How the content begins.
const MAGIC: &[u8] = b"city-node/wallet/v1\0";
/// Largest wallet file in bytes: 10.4 KB of keys, in base64, and room.
pub const MAX_WALLET: u64 = 32 * 1024;
/// Where the public key stands in an expanded ML-KEM-1024 key (FIPS 203, algorithm 16: dk = dk_PKE ‖ ek ‖ H(ek) ‖ z).
const ML_KEM_1024_EK: std::ops::Range<usize> = 1536..3104;

/// A person's keys.
#[derive(Debug)]
pub struct Wallet {
    signing: SecretKey,
    kem: KemSecretKey,
}

/// A wallet could not be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// The passphrase, or what it seals.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// It opened, and does not hold a person's keys.
    #[error("it does not hold a person's keys ({0}); restore it from its backup")]
    Content(&'static str),
}

impl Wallet {
    /// Fresh keys of a suite.
    #[must_use]
    pub fn generate(suite: Suite) -> Self {
        Self {
            signing: SecretKey::generate(suite.signing()),
            kem: KemSecretKey::generate(suite.kem()),
        }
    }

    /// The public signing key.
    #[must_use]
    pub const fn signing_public(&self) -> &PublicKey {
        self.signing.public()
    }

    /// The public key that messages are sealed for.
    #[must_use]
    pub const fn kem_public(&self) -> &KemPublicKey {
        self.kem.public()
    }

    /// The key that opens messages.
    #[must_use]
    pub const fn kem(&self) -> &KemSecretKey {
        &self.kem
    }

    /// Both keys, to sign and open with.
    #[must_use]
    pub fn into_keys(self) -> (SecretKey, KemSecretKey) {
        (self.signing, self.kem)
    }

    /// Seals it: the content of a wallet file.
    ///
    /// # Errors
    /// [`WalletError::Passphrase`].
    pub fn seal(&self, passphrase: &Passphrase) -> Result<Vec<u8>, WalletError> {
        let signing = self.signing.public();
        let kem = self.kem.public();
        let follows = |yes: bool, public| if yes { &[][..] } else { public };
        let parts = [
            signing.algorithm().id().as_bytes(),
            follows(
                signing.algorithm() == Algorithm::MlDsa87,
                signing.as_bytes(),
            ),
            self.signing.expose_secret(),
            kem.algorithm().id().as_bytes(),
            follows(kem.algorithm() == KemAlgorithm::MlKem1024, kem.as_bytes()),
            self.kem.expose_secret(),
        ];
        let length: usize = parts.iter().map(|part| part.len() + 4).sum();
        // Room for all of it, so that no copy is left behind by growing.
        let mut content = Zeroizing::new(Vec::with_capacity(MAGIC.len() + length));
        content.extend_from_slice(MAGIC);
        for part in parts {
            let length = u32::try_from(part.len()).expect("a key is short");
            content.extend_from_slice(&length.to_be_bytes());
            content.extend_from_slice(part);
        }
        Ok(passphrase::seal(Purpose::Wallet, passphrase, &content)?)
    }

    /// Opens a wallet file's content, and proves that each pair belongs together.
    ///
    /// # Errors
    /// [`WalletError`].
    pub fn open(sealed: &[u8], passphrase: &Passphrase) -> Result<Self, WalletError> {
        let content = passphrase::open(Purpose::Wallet, passphrase, sealed)?;
        Self::read(&content).map_err(WalletError::Content)
    }

    fn read(content: &[u8]) -> Result<Self, &'static str> {
        let rest = content
            .strip_prefix(MAGIC)
            .ok_or("another kind or version")?;
        let mut rest = rest;
        let mut parts = [&[][..]; 6];
        for part in &mut parts {
            let (length, after) = rest.split_first_chunk().ok_or("cut off")?;
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| "cut off")?;
            (*part, rest) = after.split_at_checked(length).ok_or("cut off")?;
        }
        if !rest.is_empty() {
            return Err("longer than its keys");
        }
        let [alg, public, secret, kem_alg, kem_public, kem_secret] = parts;
        let bad_pair = |_: Refusal| "a key pair that does not belong together";
        let algorithm: Algorithm = named(alg)?;
        let signing = match public {
            [] if algorithm == Algorithm::MlDsa87 => SecretKey::from_seed(secret),
            public => SecretKey::from_parts(algorithm, public, secret),
        };
        let algorithm: KemAlgorithm = named(kem_alg)?;
        let kem_public = match kem_public {
            [] if algorithm == KemAlgorithm::MlKem1024 => {
                kem_secret.get(ML_KEM_1024_EK).ok_or("a key is cut off")?
            }
            public => public,
        };
        Ok(Self {
            signing: signing.map_err(bad_pair)?,
            kem: KemSecretKey::from_parts(algorithm, kem_public, kem_secret).map_err(bad_pair)?,
        })
    }
}

fn named<A: std::str::FromStr>(id: &[u8]) -> Result<A, &'static str> {
    std::str::from_utf8(id)
        .ok()
        .and_then(|id| id.parse().ok())
        .ok_or("an algorithm that this software does not know")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase() -> Passphrase {
        Passphrase::new(Zeroizing::new("雪月花の十二文字より長い".into())).unwrap()
    }

    #[test]
    fn a_wallet_of_either_suite_comes_back_from_its_file() {
        for suite in Suite::ALL {
            let wallet = Wallet::generate(*suite);
            let sealed = wallet.seal(&passphrase()).unwrap();
            assert!((sealed.len() as u64) < MAX_WALLET);
            let again = Wallet::open(&sealed, &passphrase()).unwrap();
            assert_eq!(again.signing_public(), wallet.signing_public());
            assert_eq!(again.kem_public(), wallet.kem_public());
            assert_eq!(again.kem.expose_secret(), wallet.kem.expose_secret());
            assert_eq!(
                again.signing.expose_secret(),
                wallet.signing.expose_secret()
            );
            let told = format!("{wallet:?}");
            assert!(told.contains("redacted"), "{told}");
        }
    }

    #[test]
    fn what_does_not_hold_a_persons_keys_is_refused() {
        let wallet = Wallet::generate(Suite::Fips);
        let sealed = wallet.seal(&passphrase()).unwrap();
        let content = passphrase::open(Purpose::Wallet, &passphrase(), &sealed).unwrap();
        for length in [0, MAGIC.len(), MAGIC.len() + 3, content.len() - 1] {
            assert!(Wallet::read(&content[..length]).is_err(), "{length}");
        }
        let longer = [content.as_slice(), &[0]].concat();
        assert_eq!(Wallet::read(&longer).err(), Some("longer than its keys"));
        let mut huge = content.to_vec();
        huge[MAGIC.len()..MAGIC.len() + 4].fill(0xff);
        assert_eq!(Wallet::read(&huge).err(), Some("cut off"));
        let other = passphrase::seal(Purpose::Master, &passphrase(), &content).unwrap();
        assert!(Wallet::open(&other, &passphrase()).is_err());
    }
}
