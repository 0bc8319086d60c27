//! The encrypted file of private values: one writer thread that shares an fsync among all who wait, and readers.
//!
//! After a failed fsync nothing is written any more: what is on the disk is not known. Erasing overwrites the
//! record's key in place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use city_protocol::Refusal;
use city_protocol::body::PrivateValues;
use city_protocol::crypto::{DataKeyId, FieldPlace, sealed_by};
use city_protocol::ids::Digest;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::index::{Index, Place};
use super::record::{self, Head, KEY_AT, Kind, MAX_RECORD, Scan, is_erased, is_erased_fully, scan};
use super::rewrap::UNFINISHED;
use crate::keys::{ERASED, Keyring, RingError};

/// The file in its directory.
pub(super) const FILE: &str = "values";
/// Requests that wait for the writer: with the longest values 32 MiB.
const REQUESTS: usize = 1024;
/// Most requests that share one fsync.
const MAX_GROUP: usize = 256;
/// The table of the key ring's records.
pub(super) const TABLE: &str = "private";
/// The field of such a record.
const FIELD: &str = "values";

/// Why private values could not be kept, read or erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The file or its directory.
    #[error("{}: {source}; look at the disk and at the rights of the directory", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The key ring is another one.
    #[error(
        "{}: the values are sealed by the data key {key}, which this key ring does not have; put back the keys \
         directory that belongs to this data, or move the file away to go on without the values", path.display()
    )]
    OtherRing {
        /// The file.
        path: PathBuf,
        /// The key that sealed them.
        key: DataKeyId,
    },
    /// The key ring did not seal or open a record.
    #[error("the key ring: {0}")]
    Ring(#[from] RingError),
    /// A record is not what was written.
    #[error("the record is damaged; the other home may still have the values")]
    Damaged,
    /// There is no room.
    #[error("there is no room for more private values")]
    Full,
    /// An earlier write failed.
    #[error("an earlier write of private values failed; restart the node and look at the disk")]
    Failed,
}

/// What is kept of a transfer.
#[derive(Debug)]
pub enum Kept {
    /// Nothing, and never was.
    Nothing,
    /// It was erased.
    Erased,
    /// The values.
    Values(PrivateValues),
}

/// The private values of a node; cheap to clone.
#[derive(Clone)]
pub struct Vault {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

struct Shared {
    path: PathBuf,
    file: File,
    keyring: Arc<Keyring>,
    index: Mutex<Index>,
}

enum Request {
    Put {
        kind: Kind,
        transfer: Digest,
        values: PrivateValues,
        /// Whether the transfer is in the ledger: what was erased then stays so.
        booked: bool,
        reply: Reply<()>,
    },
    Erase(Digest, Reply<bool>),
    Withdraw(Vec<Digest>, Reply<()>),
    Delivered(Digest),
    Checked(Reply<()>),
}

type Reply<T> = oneshot::Sender<Result<T, VaultError>>;

impl Vault {
    /// Opens the file in this directory, which is made if it is not there; starts the writer.
    ///
    /// # Errors
    /// [`VaultError::Io`], or [`VaultError::OtherRing`] if nothing in the file can be opened. Nothing is changed then.
    pub fn open(directory: &Path, keyring: Arc<Keyring>) -> Result<Self, VaultError> {
        let path = directory.join(FILE);
        let failed = |source| VaultError::Io {
            path: path.clone(),
            source,
        };
        // What a rewriting left that was cut off: erased values still open there.
        remove_unfinished(directory).map_err(failed)?;
        let file = open_file(directory, &path).map_err(failed)?;
        let mut index = Index::default();
        let mut known = Known::new(&keyring);
        let mut half_erased = Vec::new();
        let found = scan(&file, |found| {
            index.take(&found);
            if let Some(wrapped) = &found.wrapped {
                known.look(wrapped);
                if is_erased(wrapped) && !is_erased_fully(wrapped) {
                    half_erased.push(found.offset);
                }
            }
        })
        .map_err(failed)?;
        known.judge(&path)?;
        tell(&path, &found);
        // What a cut left of a write, and erasures that it interrupted.
        let total = file.metadata().map_err(failed)?.len();
        if total > found.end {
            tracing::warn!(
                bytes = total - found.end,
                "private values: a torn tail is cut off"
            );
            file.set_len(found.end).map_err(failed)?;
        }
        for offset in half_erased {
            file.write_all_at(&ERASED, offset + KEY_AT)
                .map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        let (records, erased) = index.count();
        tracing::debug!(records, erased, "private values");
        let shared = Arc::new(Shared {
            path: path.clone(),
            file,
            keyring,
            index: Mutex::new(index),
        });
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let writer = Writer {
            shared: Arc::clone(&shared),
            end: found.end,
            failed: false,
        };
        thread::Builder::new()
            .name("private".into())
            .spawn(move || writer.run(inbox))
            .map_err(failed)?;
        Ok(Self { shared, requests })
    }

    /// What is kept of a transfer. Reads the disk.
    ///
    /// # Errors
    /// [`VaultError::Damaged`], [`VaultError::Ring`].
    pub fn get(&self, transfer: &Digest) -> Result<Kept, VaultError> {
        let place = self.shared.index().get(transfer);
        let Some(place) = place else {
            return Ok(Kept::Nothing);
        };
        if place.is_erased() {
            return Ok(Kept::Erased);
        }
        self.shared.read(transfer, place)
    }

    /// Keeps values, durably when this answers. The same again changes nothing.
    ///
    /// # Errors
    /// [`VaultError`]; nothing is kept then.
    pub(super) async fn put(
        &self,
        kind: Kind,
        transfer: Digest,
        values: PrivateValues,
        booked: bool,
    ) -> Result<(), VaultError> {
        self.ask(|reply| Request::Put {
            kind,
            transfer,
            values,
            booked,
            reply,
        })
        .await
    }

    /// Erases the values of a transfer, durably when this answers; says whether there were any.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn erase(&self, transfer: Digest) -> Result<bool, VaultError> {
        self.ask(|reply| Request::Erase(transfer, reply)).await
    }

    /// Erases values whose transfers were not booked, as if they had never been here.
    pub(super) async fn withdraw(&self, transfers: Vec<Digest>) -> Result<(), VaultError> {
        self.ask(|reply| Request::Withdraw(transfers, reply)).await
    }

    /// Notes that the receiver's home has them. Durable with the next write: to send them once more is harmless.
    pub(super) async fn delivered(&self, transfer: Digest) {
        let _stopping = self.requests.send(Request::Delivered(transfer)).await;
    }

    /// Notes that every record so far was looked up in the ledger.
    pub(super) async fn checked(&self) -> Result<(), VaultError> {
        self.ask(Request::Checked).await
    }

    /// Transfers of this home's people that were not looked up in the ledger yet.
    pub(super) fn unchecked(&self) -> Vec<Digest> {
        let places = self.shared.index().unchecked();
        self.shared.transfers(&places)
    }

    /// Transfers whose values the receivers' homes do not have yet, in the order in which they came.
    pub(super) fn to_send(&self) -> Vec<Digest> {
        let places = self.shared.index().to_send();
        self.shared.transfers(&places)
    }

    /// Whether a transfer's values still have to be sent.
    pub(super) fn is_to_send(&self, transfer: &Digest) -> bool {
        let place = self.shared.index().get(transfer);
        place.is_some_and(Place::is_to_send)
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, VaultError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        sent.map_err(|_| VaultError::Failed)?;
        answer.await.unwrap_or(Err(VaultError::Failed))
    }
}

pub(super) fn remove_unfinished(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(UNFINISHED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(directory)?.sync_all(),
    }
}

fn open_file(directory: &Path, path: &Path) -> io::Result<File> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).open(path)?;
    File::open(directory)?.sync_all()?;
    if let Some(above) = directory.parent() {
        File::open(above)?.sync_all()?;
    }
    Ok(file)
}

fn tell(path: &Path, found: &Scan) {
    for (offset, bytes) in &found.damaged {
        let path = path.display();
        tracing::error!(%path, offset, bytes, "private values are damaged: what stood here is lost");
    }
}

/// Whether the key ring is the one under which the file was written.
struct Known {
    keys: Vec<DataKeyId>,
    live: usize,
    foreign: usize,
    last_foreign: Option<DataKeyId>,
}

impl Known {
    fn new(keyring: &Keyring) -> Self {
        Self {
            keys: keyring.list().into_iter().map(|(id, _)| id).collect(),
            live: 0,
            foreign: 0,
            last_foreign: None,
        }
    }

    fn look(&mut self, wrapped: &[u8]) {
        let Ok(id) = sealed_by(wrapped) else { return };
        self.live += 1;
        if !self.keys.contains(&id) {
            self.foreign += 1;
            self.last_foreign = Some(id);
        }
    }

    fn judge(&self, path: &Path) -> Result<(), VaultError> {
        let Some(key) = self.last_foreign else {
            return Ok(());
        };
        if self.foreign == self.live {
            let path = path.into();
            return Err(VaultError::OtherRing { path, key });
        }
        let (records, last) = (self.foreign, key);
        tracing::error!(records, %last, "private values under data keys that the key ring does not have");
        Ok(())
    }
}

fn place_of(transfer: &Digest) -> FieldPlace<'_> {
    FieldPlace {
        table: TABLE,
        record: &transfer.0,
        field: FIELD,
    }
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self, place: Place) -> Result<Head, VaultError> {
        let mut head = [0; record::HEAD_LEN];
        let read = self.file.read_exact_at(&mut head, place.offset());
        read.map_err(|source| self.failed(source))?;
        Head::read(&head).ok_or(VaultError::Damaged)
    }

    fn read(&self, transfer: &Digest, place: Place) -> Result<Kept, VaultError> {
        let head = self.head(place)?;
        let mut bytes = vec![0; head.record_len().min(MAX_RECORD)];
        let read = self.file.read_exact_at(&mut bytes, place.offset());
        read.map_err(|source| self.failed(source))?;
        let parts = record::parts(&head, &bytes).filter(|_| head.transfer == *transfer);
        let (wrapped, sealed) = parts.ok_or(VaultError::Damaged)?;
        let key = match self.keyring.open_record(TABLE, &transfer.0, wrapped) {
            Err(RingError::Erased) => return Ok(Kept::Erased),
            other => other?,
        };
        let bytes = key.open(place_of(transfer), sealed)?;
        let values = PrivateValues::read(&bytes);
        values
            .map(Kept::Values)
            .map_err(|_: Refusal| VaultError::Damaged)
    }

    /// The identities that stand at these places; one that cannot be read was told when the file was opened.
    fn transfers(&self, places: &[Place]) -> Vec<Digest> {
        let heads = places.iter().filter_map(|place| self.head(*place).ok());
        heads.map(|head| head.transfer).collect()
    }

    fn failed(&self, source: io::Error) -> VaultError {
        VaultError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

/// The one thread that writes.
struct Writer {
    shared: Arc<Shared>,
    /// Where the next record begins.
    end: u64,
    /// An fsync failed: nothing is written again.
    failed: bool,
}

/// An answer that waits for the fsync.
type Answer = Box<dyn FnOnce(Result<(), VaultError>) + Send>;

impl Writer {
    fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(request) = inbox.blocking_recv() {
            let mut answers = Vec::new();
            let mut withdrawn = Vec::new();
            self.apply(request, &mut answers, &mut withdrawn);
            while answers.len() < MAX_GROUP
                && let Ok(request) = inbox.try_recv()
            {
                self.apply(request, &mut answers, &mut withdrawn);
            }
            self.finish(answers, withdrawn);
        }
    }

    /// Writes what is asked; who asked is answered after the fsync.
    fn apply(
        &mut self,
        request: Request,
        answers: &mut Vec<Answer>,
        withdrawn: &mut Vec<(u64, usize)>,
    ) {
        match request {
            Request::Put {
                kind,
                transfer,
                values,
                booked,
                reply,
            } => {
                let done = self.put(kind, transfer, &values, booked);
                answers.push(Box::new(|synced| drop(reply.send(done.and(synced)))));
            }
            Request::Erase(transfer, reply) => {
                let done = self.erase(&transfer);
                answers.push(Box::new(|synced| {
                    drop(reply.send(done.and_then(|found| synced.map(|()| found))));
                }));
            }
            Request::Withdraw(transfers, reply) => {
                let done = transfers
                    .iter()
                    .try_for_each(|transfer| self.withdraw(transfer, withdrawn));
                answers.push(Box::new(|synced| drop(reply.send(done.and(synced)))));
            }
            Request::Delivered(transfer) => {
                if let Err(error) = self.mark(Kind::Delivered, transfer) {
                    tracing::warn!(%error, "a delivery could not be noted; the values are sent once more");
                }
                self.shared.index().delivered(&transfer);
            }
            Request::Checked(reply) => {
                let at = self.end;
                let done = self.mark(Kind::Checked, Digest([0; 32]));
                self.shared.index().checked(at);
                answers.push(Box::new(|synced| drop(reply.send(done.and(synced)))));
            }
        }
    }

    fn put(
        &mut self,
        kind: Kind,
        transfer: Digest,
        values: &PrivateValues,
        booked: bool,
    ) -> Result<(), VaultError> {
        let before = self.shared.index().get(&transfer);
        if before.is_some_and(|place| booked || !place.is_erased()) {
            return Ok(());
        }
        if before.is_none() && self.shared.index().is_full() {
            return Err(VaultError::Full);
        }
        let (key, wrapped) = self.shared.keyring.new_record(TABLE, &transfer.0)?;
        let bytes: Zeroizing<Vec<u8>> = values.to_bytes();
        let sealed = key.seal(place_of(&transfer), &bytes);
        let at = self.append(&record::values(kind, transfer, &wrapped, &sealed))?;
        let place = Place::new(kind, at, false);
        self.shared.index().put(&transfer, place);
        Ok(())
    }

    fn erase(&mut self, transfer: &Digest) -> Result<bool, VaultError> {
        let place = self.shared.index().get(transfer);
        let Some(place) = place.filter(|place| !place.is_erased()) else {
            return Ok(false);
        };
        self.overwrite(place)?;
        self.shared.index().erased(transfer);
        Ok(true)
    }

    fn withdraw(
        &mut self,
        transfer: &Digest,
        withdrawn: &mut Vec<(u64, usize)>,
    ) -> Result<(), VaultError> {
        let place = self.shared.index().get(transfer);
        let Some(place) = place else { return Ok(()) };
        let head = self.shared.head(place)?;
        self.overwrite(place)?;
        self.shared.index().remove(transfer);
        withdrawn.push((place.offset(), head.record_len()));
        Ok(())
    }

    fn overwrite(&self, place: Place) -> Result<(), VaultError> {
        self.may_write()?;
        let at = place.offset() + KEY_AT;
        let written = self.shared.file.write_all_at(&ERASED, at);
        written.map_err(|source| self.shared.failed(source))
    }

    fn mark(&mut self, kind: Kind, transfer: Digest) -> Result<(), VaultError> {
        self.append(&record::marker(kind, transfer)).map(drop)
    }

    fn append(&mut self, record: &[u8]) -> Result<u64, VaultError> {
        self.may_write()?;
        let at = self.end;
        if let Err(source) = self.shared.file.write_all_at(record, at) {
            // What was written of it must not stand before the next record.
            let cut = self.shared.file.set_len(at);
            self.failed = cut.is_err();
            return Err(match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => VaultError::Full,
                _ => self.shared.failed(source),
            });
        }
        self.end += record.len() as u64;
        Ok(at)
    }

    const fn may_write(&self) -> Result<(), VaultError> {
        if self.failed {
            Err(VaultError::Failed)
        } else {
            Ok(())
        }
    }

    /// One fsync for all, then the answers.
    fn finish(&mut self, answers: Vec<Answer>, mut withdrawn: Vec<(u64, usize)>) {
        // A delivery alone waits for the next write.
        if answers.is_empty() {
            return;
        }
        if !self.failed
            && let Err(error) = self.shared.file.sync_data()
        {
            tracing::error!(%error, "private values could not be made durable; none are taken any more");
            self.failed = true;
        }
        for answer in answers {
            answer(self.may_write());
        }
        // The room of what was withdrawn at the end of the file is used again: its key was overwritten durably.
        withdrawn.sort_unstable();
        while let Some((at, length)) = withdrawn.pop()
            && at + length as u64 == self.end
            && !self.failed
        {
            if self.shared.file.set_len(at).is_err() {
                return;
            }
            self.end = at;
        }
    }
}
