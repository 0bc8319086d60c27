//! The register of a CA: what was issued, revoked and listed, one JSON object a line, in `issued.jsonl`.
//!
//! Appended to and fsynced before a certificate or list leaves the CA; never rewritten. A line that a power
//! cut tore is cut off before the next is written. Two commands at once take turns by a lock on the file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read as _, Seek, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use city_protocol::amount::Timestamp;
use serde::{Deserialize, Serialize};

use super::revocation::Reason;

/// The file's name.
pub(super) const REGISTER: &str = "issued.jsonl";

/// Longest line in bytes: a name of 64 characters and some numbers have about 500.
const MAX_LINE: u64 = 4096;

/// Most lines: certificates of a million people over ten years would need a database.
const MAX_LINES: usize = 1_000_000;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateKind {
    /// A person's, under the post-quantum root.
    Client,
    /// A home's or terminal's, under the post-quantum root.
    Node,
    /// A further CA's, under the post-quantum root.
    Intermediate,
    /// A TLS server's, under the classical root.
    TlsServer,
    /// A TLS client's, under the classical root.
    TlsClient,
}

impl CertificateKind {
    /// Its name on the command line and in the register.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Node => "node",
            Self::Intermediate => "intermediate",
            Self::TlsServer => "tls-server",
            Self::TlsClient => "tls-client",
        }
    }
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// What for.
    pub kind: CertificateKind,
    /// Which of the CA's issuers signed it: the name of its files, such as `root` or `tls-root-2`.
    pub issuer: String,
    /// The serial number in hex.
    pub serial: String,
    /// Whom it names.
    pub subject: String,
    /// SHA-256 of the DER in hex.
    pub fingerprint: String,
    /// First second of validity, milliseconds since 1970.
    pub not_before: Timestamp,
    /// Last second of validity, milliseconds since 1970.
    pub not_after: Timestamp,
}

/// A certificate that was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// Who had issued it.
    pub issuer: String,
    /// Its serial number in hex.
    pub serial: String,
    /// When it was revoked, milliseconds since 1970.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The last second of its validity: some time after it, lists need not name it any more.
    pub not_after: Timestamp,
}

/// A list that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Whose list.
    pub issuer: String,
    /// Its number.
    pub number: u64,
    /// thisUpdate, milliseconds since 1970.
    pub this_update: Timestamp,
    /// nextUpdate, milliseconds since 1970.
    pub next_update: Timestamp,
    /// How many certificates stand on it.
    pub entries: usize,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event {
    Issued(Issued),
    Revoked(Revoked),
    Listed(Listed),
}

/// Something went wrong with a register; the text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The file cannot be read or written.
    #[error("{path}: {source}; nothing was issued")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line in the middle is not one of ours.
    #[error(
        "{path}: line {line} is damaged ({what}); restore the file from a backup, or take that line out after \
         noting whose certificate it was"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// More lines than this software keeps in mind.
    #[error("{path}: more than {MAX_LINES} lines; begin a further root (ca init --add-root)")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

/// What a register says, folded.
#[derive(Debug, Default)]
pub(super) struct Register {
    path: PathBuf,
    /// How much of the file has been read: whole lines only.
    read: u64,
    lines: usize,
    issued: Vec<Issued>,
    /// By issuer and serial number.
    revoked: BTreeMap<(String, String), Revoked>,
    /// The newest of each issuer.
    listed: BTreeMap<String, Listed>,
}

impl Register {
    /// Reads the register in a CA's directory; a directory without one has issued nothing yet.
    pub(super) fn open(directory: &Path) -> Result<Self, RegisterError> {
        let mut register = Self {
            path: directory.join(REGISTER),
            ..Self::default()
        };
        match File::open(&register.path) {
            Ok(mut file) => register.catch_up(&mut file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(register.io(error)),
        }
        Ok(register)
    }

    pub(super) fn issued(&self) -> &[Issued] {
        &self.issued
    }

    pub(super) fn revoked(&self) -> impl Iterator<Item = &Revoked> {
        self.revoked.values()
    }

    pub(super) fn revocation(&self, issuer: &str, serial: &str) -> Option<&Revoked> {
        self.revoked.get(&(issuer.to_owned(), serial.to_owned()))
    }

    pub(super) fn listed(&self, issuer: &str) -> Option<&Listed> {
        self.listed.get(issuer)
    }

    /// Makes a line of what the register says now, under its lock, and makes it durable.
    pub(super) fn append(
        &mut self,
        event: impl FnOnce(&Self) -> Event,
    ) -> Result<(), RegisterError> {
        self.append_then(|register| Ok(event(register)), |_| Ok(()))
    }

    /// The same, and does under the same lock what follows from the line: of two who do, the later one comes
    /// second with both. If there is no line, nothing was done; if nothing can be done, the line stands.
    pub(super) fn append_then<T, E: From<RegisterError>>(
        &mut self,
        event: impl FnOnce(&Self) -> Result<Event, E>,
        then: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let file = self.lock()?;
        let event = event(self)?;
        self.write(&file, event)?;
        let done = then(self);
        drop(file);
        done
    }

    /// Opens and locks the file, and reads what others have appended.
    fn lock(&mut self) -> Result<File, RegisterError> {
        let io = |error| RegisterError::Io {
            path: self.path.clone(),
            source: error,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
            .map_err(io)?;
        file.lock().map_err(io)?;
        self.catch_up(&mut file)?;
        if self.lines >= MAX_LINES {
            return Err(RegisterError::TooLong {
                path: self.path.clone(),
            });
        }
        Ok(file)
    }

    fn write(&mut self, mut file: &File, event: Event) -> Result<(), RegisterError> {
        let mut line = serde_json::to_vec(&event).expect("plain fields have a JSON form");
        line.push(b'\n');
        let begun = self.read;
        // What stands behind the last whole line was never promised to anybody.
        let written = file
            .set_len(begun)
            .and_then(|()| file.seek(SeekFrom::Start(begun)))
            .and_then(|_| file.write_all(&line))
            .and_then(|()| file.sync_all())
            .and_then(|()| match self.path.parent() {
                Some(directory) if begun == 0 => File::open(directory)?.sync_all(),
                _ => Ok(()),
            });
        written.map_err(|error| self.io(error))?;
        self.read = begun + line.len() as u64;
        self.lines += 1;
        self.fold(event);
        Ok(())
    }

    /// Reads what others have appended.
    fn catch_up(&mut self, file: &mut File) -> Result<(), RegisterError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RegisterError::Io { path, source }
        };
        file.seek(SeekFrom::Start(self.read))
            .map_err(failed(&self.path))?;
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut lines)
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)
                .map_err(failed(&self.path))?;
            let whole = line.last() == Some(&b'\n');
            if !whole && (length as u64) < MAX_LINE {
                // The end, or what a power cut left of a line.
                return Ok(());
            }
            let damaged = |what: String| RegisterError::Line {
                path: self.path.clone(),
                line: self.lines + 1,
                what,
            };
            if !whole {
                return Err(damaged(format!("longer than {MAX_LINE} bytes")));
            }
            let event =
                serde_json::from_slice(&line).map_err(|error| damaged(error.to_string()))?;
            if self.lines >= MAX_LINES {
                return Err(RegisterError::TooLong {
                    path: self.path.clone(),
                });
            }
            self.read += length as u64;
            self.lines += 1;
            self.fold(event);
        }
    }

    fn fold(&mut self, event: Event) {
        match event {
            Event::Issued(issued) => self.issued.push(issued),
            Event::Revoked(revoked) => {
                let key = (revoked.issuer.clone(), revoked.serial.clone());
                // The first date stands: what it did before was in order.
                self.revoked.entry(key).or_insert(revoked);
            }
            Event::Listed(listed) => {
                self.listed.insert(listed.issuer.clone(), listed);
            }
        }
    }

    fn io(&self, source: io::Error) -> RegisterError {
        RegisterError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn issued(serial: &str) -> Event {
        Event::Issued(Issued {
            kind: CertificateKind::Client,
            issuer: "root".into(),
            serial: serial.into(),
            subject: "花子".into(),
            fingerprint: "00".into(),
            not_before: Timestamp(1),
            not_after: Timestamp(2),
        })
    }

    fn serials(directory: &Path) -> Vec<String> {
        let register = Register::open(directory).unwrap();
        register
            .issued()
            .iter()
            .map(|one| one.serial.clone())
            .collect()
    }

    #[test]
    fn what_was_appended_stays_and_a_torn_line_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(REGISTER);
        let mut register = Register::open(directory.path()).unwrap();
        register.append(|_| issued("01")).unwrap();
        register.append(|_| issued("02")).unwrap();
        assert_eq!(serials(directory.path()), ["01", "02"]);

        let whole = fs::read(&path).unwrap();
        for cut in 1..whole.len() / 2 {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            assert_eq!(serials(directory.path()), ["01"]);
        }
        let mut register = Register::open(directory.path()).unwrap();
        register.append(|_| issued("03")).unwrap();
        assert_eq!(serials(directory.path()), ["01", "03"]);

        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("issued", "uttered", 1)).unwrap();
        let told = Register::open(directory.path()).unwrap_err().to_string();
        assert!(told.contains("line 1 is damaged"), "{told}");
        fs::write(&path, vec![b' '; 5000]).unwrap();
        let told = Register::open(directory.path()).unwrap_err().to_string();
        assert!(told.contains("longer than 4096 bytes"), "{told}");
    }

    /// A reviewer's finding: list 7 could take the place of list 8, whose number was taken while 7 was made.
    #[test]
    fn what_follows_from_a_line_is_done_before_the_next_line() {
        let directory = tempfile::tempdir().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut one = Register::open(directory.path()).unwrap();
        let mut two = Register::open(directory.path()).unwrap();
        let other = one.append_then(
            |_| Ok::<_, RegisterError>(issued("01")),
            |_| {
                let other = std::thread::spawn(move || {
                    two.append(|_| issued("02")).unwrap();
                    sender.send(()).unwrap();
                });
                let waits = receiver.recv_timeout(std::time::Duration::from_millis(200));
                assert!(waits.is_err(), "another came between");
                Ok(other)
            },
        );
        other.unwrap().join().unwrap();
        receiver.recv().unwrap();
        assert_eq!(serials(directory.path()), ["01", "02"]);
    }

    #[test]
    fn two_who_write_see_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let mut one = Register::open(directory.path()).unwrap();
        let mut two = Register::open(directory.path()).unwrap();
        let next = |register: &Register| {
            Event::Listed(Listed {
                issuer: "root".into(),
                number: register.listed("root").map_or(1, |list| list.number + 1),
                this_update: Timestamp(1),
                next_update: Timestamp(2),
                entries: 0,
            })
        };
        one.append(next).unwrap();
        two.append(next).unwrap();
        one.append(next).unwrap();
        assert_eq!(one.listed("root").unwrap().number, 3);
    }
}
