//! Transfers that could not be delivered: kept at their sender's wish, durable before that is said, sent again only when
//! somebody says so. By themselves they would move money hours later, when whoever signed may have paid otherwise.
//!
//! One file each, sealed by the key ring, because the private values stand in them. Nothing is sent after the transfer's own
//! `expires_at`; what has expired makes room.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::Transfer;
use city_protocol::crypto::{FieldPlace, Signature};
use city_protocol::ids::{AccountId, Digest};
use city_protocol::json::base64_bytes;
use city_protocol::place::SignedPlace;
use city_protocol::stage::Signed;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::api::MAX_BODY;
use crate::api::wire::TransferForm;
use crate::keys::file::{read_secret_up_to, remove, replace_secret};
use crate::keys::{KeyFileError, Keyring, RingError};

/// Most drafts: an afternoon of a village hall whose line is cut.
const MAX_DRAFTS: usize = 256;
/// Most bytes of all files: 256 of the usual 30 KB with room for long ones; a kiosk's disk is small.
const MAX_BYTES: u64 = 16 << 20;
/// Most drafts of one account, so that nobody fills the box alone. Only the next in turn can be booked anyway.
pub const PER_ACCOUNT: usize = 8;
/// Longest file: a request's body as it came, escaped as text, a proof of place with its signature, and the sealing.
const MAX_FILE: u64 = 3 * MAX_BODY as u64;
/// What the files' names end with.
const ENDING: &str = ".draft";
/// The table and the field that the files are sealed for.
const TABLE: &str = "outbox";
const FIELD: &str = "draft";
/// Form of a file's content.
const SCHEMA: u64 = 1;

const HELD: &str = "no holder of this lock panics";

/// What is shown of a draft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Identity of the transfer.
    pub identity: Digest,
    /// Who sends.
    pub sender: AccountId,
    /// To whom.
    pub receiver: AccountId,
    /// How much.
    pub amount: Amount,
    /// The sender's number.
    pub sequence: u64,
    /// When it was kept.
    pub kept_at: Timestamp,
    /// Until when it can be sent.
    pub expires_at: Timestamp,
}

/// What is sent of a draft.
#[derive(Debug)]
pub struct Content {
    /// The request's body as it came.
    pub form: Zeroizing<String>,
    /// The terminal's own proof of the place that it names.
    pub place: Option<SignedPlace>,
}

/// Why nothing was kept, or not found again.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// There is no room.
    #[error("the terminal keeps {MAX_DRAFTS} drafts, {} MiB, or {PER_ACCOUNT} of this account already; send or drop some first", MAX_BYTES >> 20)]
    Full,
    /// It can never be sent.
    #[error("the transfer has expired: sign it anew")]
    Expired,
    /// A file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The key ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// What a file holds.
    #[error("{}: not a draft that this version wrote; remove it", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
}

impl OutboxError {
    /// Whether there was no room on the disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::File(KeyFileError::Io { source, .. }) => {
                source.kind() == io::ErrorKind::StorageFull
            }
            Self::Ring(error) => error.is_full(),
            _ => false,
        }
    }
}

/// The drafts of a terminal; cheap to clone. Its methods wait for the disk.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    ring: Arc<Keyring>,
    /// Held while a file is written, too: of two who keep the same, one writes.
    drafts: Mutex<BTreeMap<Digest, (Draft, u64)>>,
}

/// A file's content under its seal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<'a> {
    schema: u64,
    kept_at: Timestamp,
    form: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<SealedPlace>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedPlace {
    #[serde(with = "base64_bytes")]
    proof: Vec<u8>,
    alg: String,
    #[serde(with = "base64_bytes")]
    sig: Vec<u8>,
}

impl From<&SignedPlace> for SealedPlace {
    fn from(place: &SignedPlace) -> Self {
        Self {
            proof: place.proof.clone(),
            alg: place.signature.algorithm().to_string(),
            sig: place.signature.as_bytes().to_vec(),
        }
    }
}

impl SealedPlace {
    fn read(self) -> Option<SignedPlace> {
        let signature = Signature::new(self.alg.parse().ok()?, &self.sig).ok()?;
        Some(SignedPlace {
            proof: self.proof,
            signature,
        })
    }
}

impl Outbox {
    /// The drafts in this directory, which is made if it is missing. A file that cannot be read is told in the log, and
    /// stays.
    ///
    /// # Errors
    /// What the system says of the directory.
    pub fn open(directory: PathBuf, ring: Arc<Keyring>) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        let mut drafts = BTreeMap::new();
        for path in files(&directory)? {
            match open(&path, &ring) {
                Ok((draft, _, len)) => drop(drafts.insert(draft.identity, (draft, len))),
                Err(error) => {
                    tracing::error!(file = %path.display(), %error, "a kept draft cannot be read");
                }
            }
        }
        Ok(Self(Arc::new(Inner {
            directory,
            ring,
            drafts: Mutex::new(drafts),
        })))
    }

    /// Keeps what was signed; durable when this returns. The same again changes nothing.
    ///
    /// # Errors
    /// [`OutboxError`]; nothing was kept then.
    pub fn keep(
        &self,
        form: &str,
        signed: &Signed<Transfer>,
        place: Option<&SignedPlace>,
        now: Timestamp,
    ) -> Result<Draft, OutboxError> {
        let draft = draft(signed, now);
        if draft.expires_at < now {
            return Err(OutboxError::Expired);
        }
        let mut drafts = self.0.drafts.lock().expect(HELD);
        if let Some((kept, _)) = drafts.get(&draft.identity) {
            return Ok(kept.clone());
        }
        let sealed = Sealed {
            schema: SCHEMA,
            kept_at: now,
            form: form.into(),
            place: place.map(SealedPlace::from),
        };
        let content = Zeroizing::new(serde_json::to_vec(&sealed).expect("texts and numbers"));
        let sealed = self.0.ring.seal(place_of(&draft.identity), &content)?;
        let len = sealed.len() as u64;
        self.make_room(&mut drafts, &draft.sender, len, now)?;
        replace_secret(&self.path(&draft.identity), &sealed)?;
        drafts.insert(draft.identity, (draft.clone(), len));
        Ok(draft)
    }

    /// Removes what can never be sent, and says whether there is room then.
    fn make_room(
        &self,
        drafts: &mut BTreeMap<Digest, (Draft, u64)>,
        sender: &AccountId,
        len: u64,
        now: Timestamp,
    ) -> Result<(), OutboxError> {
        let expired: Vec<Digest> = drafts
            .values()
            .filter(|(draft, _)| draft.expires_at < now)
            .map(|(draft, _)| draft.identity)
            .collect();
        for identity in expired {
            remove(&self.path(&identity))?;
            drafts.remove(&identity);
        }
        let bytes: u64 = drafts.values().map(|(_, len)| len).sum();
        let theirs = drafts.values().filter(|(draft, _)| draft.sender == *sender);
        if drafts.len() >= MAX_DRAFTS || bytes + len > MAX_BYTES || theirs.count() >= PER_ACCOUNT {
            return Err(OutboxError::Full);
        }
        Ok(())
    }

    /// Everything that is kept, in the order in which it can be booked: by account and number.
    #[must_use]
    pub fn list(&self) -> Vec<Draft> {
        let drafts = self.0.drafts.lock().expect(HELD);
        let mut list: Vec<Draft> = drafts.values().map(|(draft, _)| draft.clone()).collect();
        list.sort_by_key(|draft| (draft.sender, draft.sequence, draft.kept_at));
        list
    }

    /// What is to be sent of a draft; none if there is no such draft.
    ///
    /// # Errors
    /// [`OutboxError::Expired`], or what is wrong with its file.
    pub fn content(
        &self,
        identity: &Digest,
        now: Timestamp,
    ) -> Result<Option<Content>, OutboxError> {
        let drafts = self.0.drafts.lock().expect(HELD);
        let Some((draft, _)) = drafts.get(identity) else {
            return Ok(None);
        };
        if draft.expires_at < now {
            return Err(OutboxError::Expired);
        }
        let (_, content, _) = open(&self.path(identity), &self.0.ring)?;
        Ok(Some(content))
    }

    /// Removes a draft, durably; says whether there was one.
    ///
    /// # Errors
    /// [`OutboxError::File`].
    pub fn forget(&self, identity: &Digest) -> Result<bool, OutboxError> {
        let mut drafts = self.0.drafts.lock().expect(HELD);
        if !drafts.contains_key(identity) {
            return Ok(false);
        }
        remove(&self.path(identity))?;
        drafts.remove(identity);
        Ok(true)
    }

    fn path(&self, identity: &Digest) -> PathBuf {
        let name = HEXLOWER.encode(&identity.0);
        self.0.directory.join(name + ENDING)
    }
}

/// Seals every draft again by the data key in use, while no node runs; says how many. What could not be opened before
/// cannot be after.
///
/// # Errors
/// [`OutboxError`]; doing it again goes on from there.
pub fn seal_again(directory: &Path, ring: &Keyring) -> Result<usize, OutboxError> {
    let failed = |source| KeyFileError::Io {
        path: directory.into(),
        source,
    };
    let files = match files(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        files => files.map_err(failed)?,
    };
    let mut sealed = 0;
    for path in files {
        let Some(identity) = identity(&path) else {
            continue;
        };
        let old = read_secret_up_to(&path, MAX_FILE)?;
        let Ok(content) = ring.open_field(place_of(&identity), &old) else {
            continue;
        };
        let new = ring.seal(place_of(&identity), &content)?;
        replace_secret(&path, &new)?;
        sealed += 1;
    }
    Ok(sealed)
}

/// The files of drafts, in order.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)?.take(2 * MAX_DRAFTS) {
        let path = entry?.path();
        if identity(&path).is_some() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The identity that a file is named by.
fn identity(path: &Path) -> Option<Digest> {
    let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?;
    let bytes = HEXLOWER.decode(name.as_bytes()).ok()?;
    Some(Digest(bytes.try_into().ok()?))
}

/// Reads a draft's file.
fn open(path: &Path, ring: &Keyring) -> Result<(Draft, Content, u64), OutboxError> {
    let bad = || OutboxError::Content { path: path.into() };
    let identity = identity(path).ok_or_else(bad)?;
    let file = read_secret_up_to(path, MAX_FILE)?;
    let content = ring.open_field(place_of(&identity), &file)?;
    let sealed: Sealed<'_> = serde_json::from_slice(&content).map_err(|_| bad())?;
    let form: TransferForm = serde_json::from_str(&sealed.form).map_err(|_| bad())?;
    let signature = form.signature.read().map_err(|_| bad())?;
    let signed = Signed::<Transfer>::read(form.body.as_bytes(), signature).map_err(|_| bad())?;
    if sealed.schema != SCHEMA || signed.identity() != identity {
        return Err(bad());
    }
    let place = match sealed.place {
        Some(place) => Some(place.read().ok_or_else(bad)?),
        None => None,
    };
    let draft = draft(&signed, sealed.kept_at);
    let form = Zeroizing::new(sealed.form.into_owned());
    Ok((draft, Content { form, place }, file.len() as u64))
}

fn draft(signed: &Signed<Transfer>, kept_at: Timestamp) -> Draft {
    let body = signed.body();
    Draft {
        identity: signed.identity(),
        sender: body.sender,
        receiver: body.receiver,
        amount: body.amount,
        sequence: body.sequence,
        kept_at,
        expires_at: body.expires_at,
    }
}

/// What a draft's file is sealed for.
fn place_of(identity: &Digest) -> FieldPlace<'_> {
    FieldPlace {
        table: TABLE,
        record: &identity.0,
        field: FIELD,
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
