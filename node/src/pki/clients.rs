//! People's certificates: judged once for each submission's account and remembered until that can change.
//!
//! Beside the signature every submission needs a certificate of its account: a path to a root pinned to the
//! region, lists, dates, the account as its name, and the account's active key. The certificate last admitted
//! stands in `clients/<account>.pem`, so that a client sends it once; a lost file is asked for again. A verdict
//! is dropped when roots or lists are exchanged, so a revoked certificate ends at once.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use city_protocol::amount::Timestamp;
use city_protocol::crypto::PublicKey;
use city_protocol::ids::{AccountId, Digest, KeyId};
use city_protocol::pki::algorithms::read_key_info;
use city_protocol::pki::{
    CertificateRefusal, ClientCertificate, MAX_CERTIFICATE_DER, MAX_INTERMEDIATES, NodeCertificate,
    Role, fingerprint, verify_client, verify_node,
};
use city_protocol::region::Region;
use lru::LruCache;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::pem::{LineEnding, encode_string};

use super::reload::{DoorKeeper, Doors};
use crate::keys::KeyFileError;
use crate::keys::file::write_public;

/// Verdicts kept in memory: 16,384 of some 200 bytes; the others are judged again, 0.5 ms each.
const VERDICTS: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");
/// Most accounts whose certificates are kept: a city; 262,144 of 13 KB are 3.4 GB. Beyond it clients send theirs
/// each time that it is asked for.
const MAX_KEPT: usize = 1 << 18;
/// Longest file: a leaf and its intermediates in PEM, a third longer than DER, and room.
const MAX_FILE: u64 = ((1 + MAX_INTERMEDIATES) * MAX_CERTIFICATE_DER * 3 / 2) as u64;

/// A certificate as a client sends it: leaf and intermediates, DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCertificate {
    /// The leaf.
    pub leaf: Vec<u8>,
    /// Its intermediates towards a root.
    pub chain: Vec<Vec<u8>>,
}

/// Why a submission has no good certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientRefusal {
    /// The node has none of this account, or another than the one named.
    #[error(
        "the node has no such certificate of this account: send `certificate` and `chain` once"
    )]
    Required,
    /// It was judged, and not admitted.
    #[error(transparent)]
    Refused(#[from] CertificateRefusal),
    /// It is another account's, or for a key that is not the account's active one.
    #[error(
        "the certificate is for another account or for a key that is not the account's active one; ask the municipality for one"
    )]
    Other,
    /// It is not a terminal's, or another municipality's.
    #[error("the certificate is not that of a terminal of this municipality")]
    NoTerminal,
    /// The trust store could not be read: nobody is admitted.
    #[error(
        "the node's trust store could not be read; its operator must look at `city-node status`"
    )]
    Closed,
}

/// The certificates of this home's people; cheap to clone.
#[derive(Clone)]
pub struct Clients(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    keeper: DoorKeeper,
    region: Region,
    kept: AtomicUsize,
    verdicts: Mutex<Verdicts>,
}

struct Verdicts {
    /// Of which picture of the doors they are.
    generation: u64,
    by_account: LruCache<AccountId, Verdict>,
}

#[derive(Clone, Copy)]
struct Verdict {
    fingerprint: Digest,
    key: KeyId,
    valid_until: Timestamp,
}

const HELD: &str = "no holder of this lock panics";

impl Clients {
    /// The certificates of a directory, which is made when the first is kept; `region` is the home's.
    ///
    /// # Errors
    /// What the system says of the directory.
    pub fn open(dir: PathBuf, keeper: DoorKeeper, region: Region) -> io::Result<Self> {
        let kept = match fs::read_dir(&dir) {
            Ok(entries) => entries.take(MAX_KEPT).count(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self(Arc::new(Inner {
            dir,
            keeper,
            region,
            kept: kept.into(),
            verdicts: Mutex::new(Verdicts {
                generation: 0,
                by_account: LruCache::new(VERDICTS),
            }),
        })))
    }

    /// Judges a certificate by itself, for an enrolment.
    ///
    /// # Errors
    /// [`ClientRefusal::Refused`], [`ClientRefusal::Closed`].
    pub fn judge(
        &self,
        shown: &ShownCertificate,
        now: Timestamp,
    ) -> Result<ClientCertificate, ClientRefusal> {
        self.0
            .judge(&self.0.keeper.now(), shown, now)
            .map(|found| found.0)
    }

    /// Judges the node certificate of a terminal of this municipality.
    ///
    /// # Errors
    /// [`ClientRefusal::Refused`]; [`ClientRefusal::NoTerminal`] for a home's, or another municipality's;
    /// [`ClientRefusal::Closed`].
    pub fn judge_terminal(
        &self,
        shown: &ShownCertificate,
        now: Timestamp,
    ) -> Result<NodeCertificate, ClientRefusal> {
        let trust = &self.0.keeper.now().trust;
        if trust.closed {
            return Err(ClientRefusal::Closed);
        }
        let judged = verify_node(&trust.roots, &shown.leaf, &shown.chain, &trust.crls, now);
        let terminal = judged?.certificate;
        if terminal.role == Role::Terminal && terminal.region == self.0.region {
            Ok(terminal)
        } else {
            Err(ClientRefusal::NoTerminal)
        }
    }

    /// Admits a submission that the account's active key signed: by the certificate that came with it, or by the
    /// one that was admitted before, which has this fingerprint where the submission names one. May read a file
    /// and wait for the disk.
    ///
    /// # Errors
    /// [`ClientRefusal`].
    pub fn admit(
        &self,
        account: &AccountId,
        key: &PublicKey,
        shown: Option<&ShownCertificate>,
        named: Option<&Digest>,
        now: Timestamp,
    ) -> Result<(), ClientRefusal> {
        let shown_print = shown.map(|shown| fingerprint(&shown.leaf));
        if let (Some(shown), Some(named)) = (&shown_print, named)
            && shown != named
        {
            return Err(ClientRefusal::Other);
        }
        let wanted = shown_print.as_ref().or(named);
        let doors = self.0.keeper.now();
        if self.0.is_known(&doors, account, &key.id(), wanted, now) {
            return Ok(());
        }
        let kept;
        let certificate = match shown {
            Some(shown) => shown,
            None => {
                kept = self.0.kept(account).ok_or(ClientRefusal::Required)?;
                // One of a key that was changed is of no use, whatever became of it: its owner has a newer one.
                if key_of(&kept.leaf).as_ref() != Some(key) {
                    return Err(ClientRefusal::Required);
                }
                &kept
            }
        };
        if wanted.is_some_and(|wanted| *wanted != fingerprint(&certificate.leaf)) {
            return Err(ClientRefusal::Required);
        }
        let judged = self.0.judge(&doors, certificate, now);
        let (found, valid_until) = judged.map_err(|refusal| match refusal {
            ClientRefusal::Refused(CertificateRefusal::Expired) if shown.is_none() => {
                ClientRefusal::Required
            }
            refusal => refusal,
        })?;
        if found.account != *account || found.key != *key {
            return Err(match shown {
                Some(_) => ClientRefusal::Other,
                None => ClientRefusal::Required,
            });
        }
        let verdict = Verdict {
            fingerprint: found.fingerprint,
            key: key.id(),
            valid_until,
        };
        self.0.remember(&doors, account, verdict);
        if shown.is_some() {
            self.keep(account, certificate);
        }
        Ok(())
    }

    /// Whether a good verdict on this account and key is remembered: no file, no waiting.
    #[must_use]
    pub fn is_known_good(&self, account: &AccountId, key: &PublicKey, now: Timestamp) -> bool {
        let doors = self.0.keeper.now();
        self.0.is_known(&doors, account, &key.id(), None, now)
    }

    /// Bars an account whose certificate for this key, as far as the node has one, was revoked. None, or one that
    /// ended otherwise, is no bar. May read a file.
    ///
    /// # Errors
    /// [`CertificateRefusal::Revoked`]; [`ClientRefusal::Closed`] while nobody can know what was revoked.
    pub fn bar(
        &self,
        account: &AccountId,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<(), ClientRefusal> {
        if self.0.keeper.now().trust.closed {
            return Err(ClientRefusal::Closed);
        }
        match self.admit(account, key, None, None, now) {
            Err(
                barred @ (ClientRefusal::Closed
                | ClientRefusal::Refused(CertificateRefusal::Revoked)),
            ) => Err(barred),
            _ => Ok(()),
        }
    }

    /// Keeps an admitted certificate on disk, durably, in place of an earlier one. A disk that cannot take it
    /// costs only that it is asked for again.
    pub fn keep(&self, account: &AccountId, certificate: &ShownCertificate) {
        if let Err(error) = self.0.write(account, certificate) {
            tracing::warn!(%error, "a person's certificate could not be kept; it will be asked for again");
        }
    }

    /// Whether a certificate of this account is kept.
    #[must_use]
    pub fn has(&self, account: &AccountId) -> bool {
        self.0.path(account).exists()
    }
}

impl Inner {
    fn is_known(
        &self,
        doors: &Doors,
        account: &AccountId,
        key: &KeyId,
        wanted: Option<&Digest>,
        now: Timestamp,
    ) -> bool {
        let mut verdicts = self.verdicts.lock().expect(HELD);
        if verdicts.generation != doors.generation {
            verdicts.generation = doors.generation;
            verdicts.by_account.clear();
        }
        let known = verdicts.by_account.get(account);
        known.is_some_and(|verdict| {
            verdict.key == *key
                && now <= verdict.valid_until
                && wanted.is_none_or(|wanted| *wanted == verdict.fingerprint)
        })
    }

    /// A verdict of an older picture is worth nothing any more.
    fn remember(&self, doors: &Doors, account: &AccountId, verdict: Verdict) {
        let mut verdicts = self.verdicts.lock().expect(HELD);
        if verdicts.generation == doors.generation {
            verdicts.by_account.put(*account, verdict);
        }
    }

    fn judge(
        &self,
        doors: &Doors,
        shown: &ShownCertificate,
        now: Timestamp,
    ) -> Result<(ClientCertificate, Timestamp), ClientRefusal> {
        let trust = &doors.trust;
        if trust.closed {
            return Err(ClientRefusal::Closed);
        }
        let found = verify_client(
            &trust.roots,
            &shown.leaf,
            &shown.chain,
            &trust.crls,
            now,
            &self.region,
        )?;
        Ok((found.certificate, found.valid_until))
    }

    fn path(&self, account: &AccountId) -> PathBuf {
        self.dir.join(format!("{account}.pem"))
    }

    /// What is not readable as certificates counts as lost.
    fn kept(&self, account: &AccountId) -> Option<ShownCertificate> {
        let mut pem = Vec::new();
        let file = File::open(self.path(account)).ok()?;
        file.take(MAX_FILE).read_to_end(&mut pem).ok()?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem)
            .map(|der| der.map(|der| der.to_vec()))
            .collect();
        let mut chain = chain.ok()?.into_iter();
        Some(ShownCertificate {
            leaf: chain.next()?,
            chain: chain.collect(),
        })
    }

    fn write(
        &self,
        account: &AccountId,
        certificate: &ShownCertificate,
    ) -> Result<(), KeyFileError> {
        let path = self.path(account);
        let is_new = !path.exists();
        if is_new && self.kept.load(Ordering::Relaxed) >= MAX_KEPT {
            return Ok(());
        }
        make(&self.dir).map_err(|source| KeyFileError::Io {
            path: self.dir.clone(),
            source,
        })?;
        let all = std::iter::once(&certificate.leaf).chain(&certificate.chain);
        let pem: String = all
            .map(|der| {
                encode_string("CERTIFICATE", LineEnding::LF, der)
                    .expect("bytes of a bounded length have a PEM form")
            })
            .collect();
        write_public(&path, pem.as_bytes())?;
        if is_new {
            self.kept.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The key that a certificate says it is for; nobody has judged it.
fn key_of(leaf: &[u8]) -> Option<PublicKey> {
    let read = Certificate::from_der(leaf).ok()?;
    read_key_info(read.tbs_certificate().subject_public_key_info()).ok()
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        // The name of the directory must survive a power cut, too.
        Ok(()) => File::open(dir.parent().unwrap_or(Path::new(".")))?.sync_all(),
    }
}
