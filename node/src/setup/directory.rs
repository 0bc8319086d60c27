//! Where everything stands in a data directory and beside a CA, and how a directory is built aside and
//! then named: a failed `init` leaves nothing behind.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::error::InitError;
use super::package;
use crate::keys::KeyFileError;

/// Mode of the data directory and what is in it: the ledger is the node's own, keys are nobody else's.
const PRIVATE_MODE: u32 = 0o700;

/// A node's data directory. The methods name paths; nothing is opened or made by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The data directory at this path.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// That of the installed package.
    #[must_use]
    pub fn packaged() -> Self {
        Self::new(package::DATA_DIR)
    }

    /// Whether it is the installed package's.
    #[must_use]
    pub fn is_packaged(&self) -> bool {
        *self == Self::packaged()
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path from the configuration: relative ones are relative to this directory.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.0.join(path)
    }

    /// `config.toml`, the configuration of a portable run.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// `network/genesis.cbor`, the genesis record.
    #[must_use]
    pub fn genesis(&self) -> PathBuf {
        self.0.join("network").join(CaDir::GENESIS)
    }

    /// `network/tls-root.pem`, the classical root that TLS clients trust.
    #[must_use]
    pub fn tls_root(&self) -> PathBuf {
        self.0.join("network").join(CaDir::TLS_ROOT)
    }

    /// `keys/`.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// `keys/ledger.key`, which signs vertices.
    #[must_use]
    pub fn ledger_key(&self) -> PathBuf {
        self.keys().join("ledger.key")
    }

    /// `keys/kem.key`, which opens what is sealed for the node.
    #[must_use]
    pub fn kem_key(&self) -> PathBuf {
        self.keys().join("kem.key")
    }

    /// `keys/ledger-next.key`, which is to sign the next epoch; there until that has begun.
    #[must_use]
    pub fn next_ledger_key(&self) -> PathBuf {
        self.keys().join("ledger-next.key")
    }

    /// `keys/kem-next.key`, which comes with it.
    #[must_use]
    pub fn next_kem_key(&self) -> PathBuf {
        self.keys().join("kem-next.key")
    }

    /// `certs/node-next.pem`, the certificate of both and its chain.
    #[must_use]
    pub fn next_node_certificate(&self) -> PathBuf {
        self.0.join("certs").join("node-next.pem")
    }

    /// `keys/transport.key`, libp2p's Ed25519 key.
    #[must_use]
    pub fn transport_key(&self) -> PathBuf {
        self.keys().join("transport.key")
    }

    /// Every secret file that a master secret can wrap: what ends with `.key` in `keys/` and `certs/`, but for what
    /// master secrets are kept in; in order.
    ///
    /// # Errors
    /// [`KeyFileError::Io`].
    pub fn secret_files(&self) -> Result<Vec<PathBuf>, KeyFileError> {
        let mut files = Vec::new();
        for directory in [self.keys(), self.0.join("certs")] {
            let failed = |source| KeyFileError::Io {
                path: directory.clone(),
                source,
            };
            for entry in fs::read_dir(&directory).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let name = path.file_name().unwrap_or_default().as_encoded_bytes();
                // A hidden one is what a write that was cut off left.
                let others = name.starts_with(b"master-") || name.starts_with(b".");
                if name.ends_with(b".key") && !others {
                    files.push(path);
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// `certs/node.pem`, the node certificate and its chain, leaf first, without the root.
    #[must_use]
    pub fn node_certificate(&self) -> PathBuf {
        self.0.join("certs").join("node.pem")
    }

    /// `certs/tls.pem`, the TLS server certificate, leaf first.
    #[must_use]
    pub fn tls_certificate(&self) -> PathBuf {
        self.0.join("certs").join("tls.pem")
    }

    /// `certs/tls.key`, its key: PKCS#8 in PEM, 0600.
    #[must_use]
    pub fn tls_key(&self) -> PathBuf {
        self.0.join("certs").join("tls.key")
    }

    /// `crls/`, lists of revoked certificates, PEM or DER; need not be there.
    #[must_use]
    pub fn crls(&self) -> PathBuf {
        self.0.join("crls")
    }

    /// `crl-marks.json`, how new those lists were that were used.
    #[must_use]
    pub fn crl_marks(&self) -> PathBuf {
        self.0.join("crl-marks.json")
    }

    /// `crls-from-logs/`, the newest lists that the network's logs carry, one file a series; the node makes it.
    #[must_use]
    pub fn crls_from_logs(&self) -> PathBuf {
        self.0.join("crls-from-logs")
    }

    /// `clients/`, people's certificates that were admitted; the node makes it, and asks for lost ones again.
    #[must_use]
    pub fn clients(&self) -> PathBuf {
        self.0.join("clients")
    }

    /// `keys/token.key`, which signs the tokens of those who log in; made at a start if it is missing.
    #[must_use]
    pub fn token_key(&self) -> PathBuf {
        self.keys().join("token.key")
    }

    /// `revoked-tokens.json`, tokens that ended early.
    #[must_use]
    pub fn revoked_tokens(&self) -> PathBuf {
        self.0.join("revoked-tokens.json")
    }

    /// `access/`, the access log; the node makes it.
    #[must_use]
    pub fn access(&self) -> PathBuf {
        self.0.join("access")
    }

    /// `charter.json`, the exact bytes of the first entry's body.
    #[must_use]
    pub fn charter(&self) -> PathBuf {
        self.0.join("charter.json")
    }

    /// `boundary.cbor`, the boundary index that `init` wrote.
    #[must_use]
    pub fn boundary(&self) -> PathBuf {
        self.0.join("boundary.cbor")
    }

    /// `NEVER_BEGUN`, there until the own log has its first vertex.
    #[must_use]
    pub fn never_begun(&self) -> PathBuf {
        self.0.join(crate::store::NEVER_BEGUN)
    }

    /// `private.json`, values that are encrypted at rest.
    #[must_use]
    pub fn private(&self) -> PathBuf {
        self.0.join("private.json")
    }

    /// `ledger/`, the segments of the log. The store makes it.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    /// `index/`, which can be rebuilt from the log. The store makes it.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.0.join("index")
    }

    /// `private/`, private values of transfers, encrypted; the node makes it.
    #[must_use]
    pub fn private_values(&self) -> PathBuf {
        self.0.join("private")
    }

    /// `outbox/`, a terminal's drafts, encrypted; the node makes it.
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.0.join("outbox")
    }

    /// `seen.cbor`, which of peers' signed messages about keys were taken.
    #[must_use]
    pub fn seen(&self) -> PathBuf {
        self.0.join("seen.cbor")
    }

    /// `SPOOFING`, that the receiver indicated spoofing and nobody has cleared it.
    #[must_use]
    pub fn spoofing(&self) -> PathBuf {
        self.0.join("SPOOFING")
    }

    /// `trust/`, the trust log. The store makes it.
    #[must_use]
    pub fn trust(&self) -> PathBuf {
        self.0.join("trust")
    }

    /// The admin socket: `admin.sock`, or the service's in its runtime directory.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        if self.is_packaged() {
            PathBuf::from(package::ADMIN_SOCKET)
        } else {
            self.0.join("admin.sock")
        }
    }

    /// `ca/`, where a new network's CA stands unless another place is named.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.0.join("ca")
    }

    /// `ca.passphrase`, what opens the keys of a new CA if `init` made it up: to be kept elsewhere.
    #[must_use]
    pub fn ca_passphrase(&self) -> PathBuf {
        self.0.join(CaDir::PASSPHRASE)
    }
}

/// A CA's directory, as far as a joining node looks into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaDir(PathBuf);

impl CaDir {
    const GENESIS: &str = "genesis.cbor";
    const TLS_ROOT: &str = "tls-root.pem";
    const PASSPHRASE: &str = "ca.passphrase";

    /// The CA at this path.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `ca.passphrase` beside the directory: where `init` writes one that it made up.
    #[must_use]
    pub fn passphrase(&self) -> PathBuf {
        let beside = self.0.parent().unwrap_or(Path::new("."));
        beside.join(Self::PASSPHRASE)
    }

    /// Whether a CA, or a part of one, stands in a directory.
    #[must_use]
    pub fn stands_in(directory: &Path) -> bool {
        ["root.pem", "intermediate.pem", Self::TLS_ROOT]
            .iter()
            .any(|name| directory.join(name).exists())
    }

    /// `genesis.cbor` of the network that rests on this CA.
    #[must_use]
    pub fn genesis(&self) -> PathBuf {
        self.0.join(Self::GENESIS)
    }

    /// `tls-root.pem`.
    #[must_use]
    pub fn tls_root(&self) -> PathBuf {
        self.0.join(Self::TLS_ROOT)
    }
}

/// A directory that is being built beside its future place. Dropped without [`Staged::name`], it is
/// removed with all that is in it.
pub(super) struct Staged {
    aside: PathBuf,
    target: PathBuf,
    leftovers: Vec<PathBuf>,
    done: bool,
}

/// What the name of an unfinished directory ends with.
const UNFINISHED: &str = ".new";

/// What the name of an unfinished directory begins with.
fn prefix(target: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

/// Finding none is no reason not to go on, so neither is not being able to look.
fn leftovers(parent: &Path, prefix: &OsStr) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let unfinished = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        name.starts_with(prefix.as_encoded_bytes()) && name.ends_with(UNFINISHED.as_bytes())
    });
    unfinished.map(|entry| entry.path()).collect()
}

impl Staged {
    /// Begins a directory that will be called `target`, which must not be there or be empty.
    pub(super) fn begin(target: &Path) -> Result<Self, InitError> {
        let failed = |source| InitError::Directory {
            path: target.into(),
            source,
        };
        match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
            Ok(true) => check_owner(target)?,
            Ok(false) => {
                return Err(InitError::NotEmpty {
                    path: target.into(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(InitError::NotEmpty {
                    path: target.into(),
                });
            }
            Err(error) => return Err(failed(error)),
        }
        // `data/.` and `data/..` have no name; the directory behind them has.
        let target = match target.file_name() {
            Some(_) => target.to_path_buf(),
            None => target.canonicalize().map_err(failed)?,
        };
        let parent = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if !parent.is_dir() {
            return Err(InitError::NoParent {
                path: target.clone(),
                parent: parent.into(),
            });
        }
        let leftovers = leftovers(parent, &prefix(&target));
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the operating system gives randomness");
        let mut name = prefix(&target);
        name.push(format!("{:016x}{UNFINISHED}", u64::from_ne_bytes(random)));
        let aside = parent.join(name);
        make_private(&aside)?;
        Ok(Self {
            aside,
            target,
            leftovers,
            done: false,
        })
    }

    /// What earlier inits of the same directory left beside it when they were killed. They may hold keys, which
    /// nothing was ever signed with.
    pub(super) fn leftovers(&self) -> &[PathBuf] {
        &self.leftovers
    }

    /// Where the files are written for now.
    pub(super) fn path(&self) -> &Path {
        &self.aside
    }

    /// Gives the directory its name; from then on it stays. An empty directory of that name is replaced,
    /// one that was filled in the meantime is not.
    pub(super) fn name(mut self) -> Result<Named, InitError> {
        fs::rename(&self.aside, &self.target).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                InitError::NotEmpty {
                    path: self.target.clone(),
                }
            }
            _ => InitError::Name {
                path: self.target.clone(),
                source,
            },
        })?;
        self.done = true;
        let named = Named(Some(self.target.clone()));
        // The name must survive a power cut.
        let parent = self
            .target
            .parent()
            .filter(|parent| *parent != Path::new(""));
        fs::File::open(parent.unwrap_or(Path::new(".")))
            .and_then(|directory| directory.sync_all())
            .map_err(|source| InitError::Directory {
                path: self.target.clone(),
                source,
            })?;
        Ok(named)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.done {
            // Nothing better can be done with an error here; the name says that it is unfinished.
            let _ = fs::remove_dir_all(&self.aside);
        }
    }
}

/// A directory that has its name but is taken back if what belongs to it fails.
pub(super) struct Named(Option<PathBuf>);

impl Named {
    /// Everything worked: the directory stays.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// An empty directory that was prepared for another user, as the package does, is not taken over: what root
/// would write into it the node could not read.
fn check_owner(target: &Path) -> Result<(), InitError> {
    let metadata = fs::metadata(target).map_err(|source| InitError::Directory {
        path: target.into(),
        source,
    })?;
    match foreign_owner(&metadata) {
        None => Ok(()),
        Some(owner) => Err(InitError::OtherUser {
            path: target.into(),
            owner,
        }),
    }
}

/// The owner, if it is not the user of this process.
pub(super) fn foreign_owner(metadata: &fs::Metadata) -> Option<u32> {
    Some(metadata.uid()).filter(|owner| *owner != rustix::process::geteuid().as_raw())
}

/// Makes a directory with mode 0700, whatever the umask allows.
pub(super) fn make_private(path: &Path) -> Result<(), InitError> {
    DirBuilder::new()
        .mode(PRIVATE_MODE)
        .create(path)
        .map_err(|source| InitError::Directory {
            path: path.into(),
            source,
        })
}
