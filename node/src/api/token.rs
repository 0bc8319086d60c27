//! Tokens of logged-in people: JWTs signed with an Ed25519 key of the node's own, and which of them ended early.
//!
//! A token is good for an hour and only here: issuer is the home's log, audience the network. What is revoked is
//! remembered in one small file until it would have ended anyway, so it survives a restart. The key may be lost:
//! then everybody logs in again. Tokens are never logged.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use city_protocol::amount::Timestamp;
use city_protocol::ids::{AccountId, KeyId, LogId, NetworkId};
use data_encoding::HEXLOWER;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto, decode, encode,
};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use serde::{Deserialize, Serialize};
use x509_cert::der::pem::{LineEnding, decode_vec, encode_string};
use zeroize::Zeroizing;

use crate::client::person::random;
use crate::keys::file::write_public;
use crate::keys::{KeyFileError, Keystore, KeystoreError};

/// How long a token is good, in milliseconds: one hour.
pub const TOKEN_MS: u64 = 60 * 60 * 1000;
/// Longest token in bytes: ours have some 500.
const MAX_TOKEN: usize = 2048;
/// Most revoked tokens that are remembered one by one: as many logouts an hour as a city has. Beyond it all
/// tokens end, and everybody logs in again.
const MAX_REVOKED: usize = 16_384;
/// What a PEM file of a PKCS#8 key says it is (RFC 7468 section 10).
const LABEL: &str = "PRIVATE KEY";
/// Longest file of revoked tokens in bytes.
const MAX_FILE: u64 = 2 << 20;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The token's own id: 16 random bytes, hexadecimal.
    pub jti: String,
    /// The home's log.
    pub iss: String,
    /// The network.
    pub aud: String,
    /// The account.
    pub sub: AccountId,
    /// The key that it logged in with: when the account has another, the token has ended.
    pub key: KeyId,
    /// When it was issued, in seconds since the Unix epoch.
    pub iat: u64,
    /// When it ends, in the same.
    pub exp: u64,
}

/// A token is not good: it is not ours, or it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadToken;

/// The key or the list of revoked tokens could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The key file.
    #[error(transparent)]
    File(#[from] KeystoreError),
    /// The key in it.
    #[error(
        "{path}: not an Ed25519 key in PKCS#8 PEM; remove the file, a new one is made and everybody logs in again"
    )]
    Key {
        /// The file.
        path: PathBuf,
    },
}

/// Issues tokens, reads them, and ends them.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: String,
    audience: String,
    revoked: Mutex<Revoked>,
    /// Held by who writes it, and never by who reads a token.
    file: Mutex<PathBuf>,
}

/// What is remembered of revoked tokens.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoked {
    /// Form: 1.
    schema: u64,
    /// Every token issued before this second has ended.
    issued_before: u64,
    /// Ids of revoked tokens with the second in which they end.
    tokens: BTreeMap<String, u64>,
}

const HELD: &str = "no holder of this lock panics";

impl Tokens {
    /// The tokens of a home: its key is made if there is none. A list of revoked tokens that cannot be read ends
    /// all tokens issued before `now`.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn open(
        keystore: &Keystore,
        key: &Path,
        revoked: &Path,
        home: &LogId,
        network: &NetworkId,
        now: Timestamp,
    ) -> Result<Self, TokenError> {
        let pair = open_key(keystore, key)?;
        let der = Zeroizing::new(pair.serialize_der());
        let mut validation = Validation::new(Algorithm::EdDSA);
        let (issuer, audience) = (home.to_string(), network.to_string());
        validation.set_issuer(&[&issuer]);
        validation.set_audience(&[&audience]);
        // Dates are judged by the node's own clock, which has a floor.
        validation.validate_exp = false;
        let all = Revoked {
            schema: 1,
            issued_before: now.0 / 1000,
            tokens: BTreeMap::new(),
        };
        let found = match read_revoked(revoked) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Revoked {
                issued_before: 0,
                ..all
            },
            Err(error) => {
                tracing::error!(%error, file = %revoked.display(), "the list of revoked tokens cannot be read: everybody logs in again");
                all
            }
        };
        Ok(Self {
            encoding: EncodingKey::from_ed_der(&der),
            decoding: DecodingKey::from_ed_der(pair.der_bytes()),
            validation,
            issuer,
            audience,
            revoked: Mutex::new(found),
            file: Mutex::new(revoked.to_owned()),
        })
    }

    /// A token for an account that logged in with this key.
    ///
    /// # Panics
    /// Never: the key was checked when it was opened.
    #[must_use]
    pub fn issue(
        &self,
        account: AccountId,
        key: KeyId,
        now: Timestamp,
    ) -> (Zeroizing<String>, Claims) {
        let claims = Claims {
            jti: HEXLOWER.encode(&random::<16>()),
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: account,
            key,
            iat: now.0 / 1000,
            exp: (now.0 + TOKEN_MS) / 1000,
        };
        let token = encode(&Header::new(Algorithm::EdDSA), &claims, &self.encoding);
        let token = token.expect("an Ed25519 key signs everything");
        (Zeroizing::new(token), claims)
    }

    /// Reads a token that is good now.
    ///
    /// # Errors
    /// [`BadToken`], whatever is wrong with it.
    pub fn read(&self, token: &str, now: Timestamp) -> Result<Claims, BadToken> {
        if token.len() > MAX_TOKEN {
            return Err(BadToken);
        }
        let read = decode::<Claims>(token, &self.decoding, &self.validation);
        let claims = read.map_err(|_| BadToken)?.claims;
        let second = now.0 / 1000;
        let revoked = self.revoked.lock().expect(HELD);
        let over = second >= claims.exp
            || claims.iat < revoked.issued_before
            || revoked.tokens.contains_key(&claims.jti);
        if over { Err(BadToken) } else { Ok(claims) }
    }

    /// Ends a token; durable when this returns. Waits for the disk.
    ///
    /// # Errors
    /// What the system says: the token has ended all the same, but comes back with a restart.
    pub fn revoke(&self, claims: &Claims, now: Timestamp) -> Result<(), KeyFileError> {
        self.end(claims, now.0 / 1000);
        // Of two writers the later one writes what both know.
        let file = self.file.lock().expect(HELD);
        let text = serde_json::to_vec(&*self.revoked.lock().expect(HELD));
        let text = text.expect("texts and numbers have a JSON form");
        write_public(&file, &text)
    }

    fn end(&self, claims: &Claims, second: u64) {
        let mut revoked = self.revoked.lock().expect(HELD);
        revoked.tokens.retain(|_, end| *end > second);
        if revoked.tokens.len() >= MAX_REVOKED {
            revoked.tokens.clear();
            revoked.issued_before = second + 1;
        } else {
            revoked.tokens.insert(claims.jti.clone(), claims.exp);
        }
    }
}

/// Signs a fresh probe with the key of the tokens as it stands on the disk, and verifies it by its public half.
///
/// # Errors
/// In words, what does not hold.
pub(crate) fn probe_key(keystore: &Keystore, path: &Path) -> Result<String, String> {
    let pair = open_key(keystore, path).map_err(|error| error.to_string())?;
    let der = Zeroizing::new(pair.serialize_der());
    let (probe, made): ([u8; 32], _) = (random(), EncodingKey::from_ed_der(&der));
    let signature = crypto::sign(&probe, &made, Algorithm::EdDSA).map_err(|e| e.to_string())?;
    let public = DecodingKey::from_ed_der(pair.der_bytes());
    match crypto::verify(&signature, &probe, &public, Algorithm::EdDSA) {
        Ok(true) => Ok("ed25519".into()),
        _ => Err("its signature does not verify".into()),
    }
}

fn open_key(keystore: &Keystore, path: &Path) -> Result<KeyPair, TokenError> {
    let bad = || TokenError::Key {
        path: path.to_owned(),
    };
    match keystore.read(path) {
        Ok(pem) => {
            // Not by rcgen, whose reader and writer leave the key's text behind in memory that was freed.
            let (label, der) = decode_vec(&pem).map_err(|_| bad())?;
            let der = Zeroizing::new(der);
            if label != LABEL {
                return Err(bad());
            }
            let pair = KeyPair::try_from(der.as_slice()).map_err(|_| bad())?;
            if pair.is_compatible(&PKCS_ED25519) {
                Ok(pair)
            } else {
                Err(bad())
            }
        }
        Err(KeystoreError::File(KeyFileError::Missing { .. })) => {
            let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(|_| bad())?;
            let der = Zeroizing::new(pair.serialize_der());
            let pem = encode_string(LABEL, LineEnding::LF, &der).map_err(|_| bad())?;
            let pem = Zeroizing::new(pem);
            keystore.write_new(path, pem.as_bytes())?;
            Ok(pair)
        }
        Err(error) => Err(error.into()),
    }
}

fn read_revoked(path: &Path) -> io::Result<Revoked> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::Error::other("the file is too large"));
    }
    let revoked: Revoked = serde_json::from_slice(&fs::read(path)?)?;
    if revoked.schema == 1 {
        Ok(revoked)
    } else {
        Err(io::Error::other("a newer version wrote the file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Access;
    use crate::keys::file::write_secret;

    const NOW: Timestamp = Timestamp(1_775_001_600_000);

    struct Home(tempfile::TempDir);

    impl Home {
        fn tokens(&self, network: &[u8], now: Timestamp) -> Tokens {
            let network = NetworkId::of(network);
            let (key, revoked) = (
                self.0.path().join("token.key"),
                self.0.path().join("revoked"),
            );
            let keystore = Keystore::open(self.0.path(), &mut Access::unattended()).unwrap();
            Tokens::open(&keystore, &key, &revoked, &LogId([7; 32]), &network, now).unwrap()
        }
    }

    fn hanako() -> (AccountId, KeyId) {
        let key = KeyId([5; 32]);
        (AccountId::new(&LogId([7; 32]), &key), key)
    }

    #[test]
    fn a_token_is_good_for_an_hour_here_and_nowhere_else() {
        let home = Home(tempfile::tempdir().unwrap());
        let tokens = home.tokens(b"g", NOW);
        let (account, key) = hanako();
        let (token, claims) = tokens.issue(account, key, NOW);
        assert_eq!(tokens.read(&token, NOW), Ok(claims.clone()));
        assert_eq!((claims.exp - claims.iat, claims.jti.len()), (3600, 32));
        assert!(tokens.read(&token, NOW.plus_ms(TOKEN_MS - 1)).is_ok());
        assert_eq!(tokens.read(&token, NOW.plus_ms(TOKEN_MS)), Err(BadToken));
        assert_eq!(home.tokens(b"other", NOW).read(&token, NOW), Err(BadToken));
        let stranger = Home(tempfile::tempdir().unwrap());
        assert_eq!(stranger.tokens(b"g", NOW).read(&token, NOW), Err(BadToken));
        // Nobody's signature, an algorithm of none, a bit more.
        let parts: Vec<&str> = token.split('.').collect();
        let none = data_encoding::BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"none"}"#);
        for bad in [
            format!("{none}.{}.", parts[1]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}x", *token),
            String::new(),
            "x".repeat(MAX_TOKEN + 1),
        ] {
            assert_eq!(tokens.read(&bad, NOW), Err(BadToken), "{bad}");
        }
    }

    #[test]
    fn a_key_file_as_it_was_written_before_is_read() {
        let home = Home(tempfile::tempdir().unwrap());
        // rcgen ends lines with CR LF.
        let pem = KeyPair::generate_for(&PKCS_ED25519)
            .unwrap()
            .serialize_pem();
        write_secret(&home.0.path().join("token.key"), pem.as_bytes()).unwrap();
        let (account, key) = hanako();
        let (token, _) = home.tokens(b"g", NOW).issue(account, key, NOW);
        assert!(home.tokens(b"g", NOW).read(&token, NOW).is_ok());
    }

    #[test]
    fn what_is_revoked_stays_so_over_restarts_and_is_forgotten_when_it_would_have_ended() {
        let home = Home(tempfile::tempdir().unwrap());
        let tokens = home.tokens(b"g", NOW);
        let (account, key) = hanako();
        let (one, claims) = tokens.issue(account, key, NOW);
        let (other, _) = tokens.issue(account, key, NOW);
        tokens.revoke(&claims, NOW).unwrap();
        for tokens in [tokens, home.tokens(b"g", NOW)] {
            assert_eq!(tokens.read(&one, NOW), Err(BadToken));
            assert!(tokens.read(&other, NOW).is_ok());
        }
        let tokens = home.tokens(b"g", NOW);
        let later = NOW.plus_ms(2 * TOKEN_MS);
        let (_, claims) = tokens.issue(account, key, later);
        tokens.revoke(&claims, later).unwrap();
        assert_eq!(tokens.revoked.lock().unwrap().tokens.len(), 1);
        // A list that nobody can read ends everything before.
        fs::write(home.0.path().join("revoked"), "{").unwrap();
        let (third, _) = tokens.issue(account, key, later);
        let opened = home.tokens(b"g", later.plus_ms(1000));
        assert_eq!(opened.read(&third, later.plus_ms(1000)), Err(BadToken));
    }

    #[test]
    fn a_slow_disk_keeps_nobody_from_reading_tokens() {
        let home = Home(tempfile::tempdir().unwrap());
        let tokens = home.tokens(b"g", NOW);
        let (account, key) = hanako();
        let (token, claims) = tokens.issue(account, key, NOW);
        let (other, _) = tokens.issue(account, key, NOW);
        std::thread::scope(|scope| {
            // The disk is busy with somebody's logout.
            let writing = tokens.file.lock().unwrap();
            let logout = scope.spawn(|| tokens.revoke(&claims, NOW));
            while tokens.read(&token, NOW).is_ok() {
                std::thread::yield_now();
            }
            assert!(tokens.read(&other, NOW).is_ok());
            assert!(!logout.is_finished(), "it is not durable yet");
            drop(writing);
            logout.join().unwrap().unwrap();
        });
        assert_eq!(home.tokens(b"g", NOW).read(&token, NOW), Err(BadToken));
    }

    #[test]
    fn too_many_logouts_end_all_tokens_and_not_the_memory() {
        let home = Home(tempfile::tempdir().unwrap());
        let tokens = home.tokens(b"g", NOW);
        let (account, key) = hanako();
        let (token, claims) = tokens.issue(account, key, NOW);
        let fill = (0..MAX_REVOKED).map(|n| (n.to_string(), claims.exp));
        tokens.revoked.lock().unwrap().tokens = fill.collect();
        let (_, last) = tokens.issue(account, key, NOW);
        tokens.revoke(&last, NOW).unwrap();
        assert_eq!(tokens.read(&token, NOW), Err(BadToken));
        let later = NOW.plus_ms(2000);
        let (new, _) = tokens.issue(account, key, later);
        assert!(tokens.read(&new, later).is_ok());
    }

    #[test]
    fn a_damaged_key_is_named_with_what_to_do() {
        let home = Home(tempfile::tempdir().unwrap());
        let path = home.0.path().join("token.key");
        write_secret(&path, b"no key").unwrap();
        let keystore = Keystore::open(home.0.path(), &mut Access::unattended()).unwrap();
        let network = NetworkId::of(b"g");
        let error = Tokens::open(&keystore, &path, &path, &LogId([7; 32]), &network, NOW);
        let text = error.err().unwrap().to_string();
        assert!(
            text.contains("token.key") && text.contains("remove the file"),
            "{text}"
        );
    }
}
