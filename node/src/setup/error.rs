//! What can go wrong with a data directory: every text names the file and what to do.

use std::io;
use std::path::PathBuf;

use city_protocol::Refusal;
use city_protocol::crypto::Suite;

use crate::config::ConfigError;
use crate::keys::{KeyFileError, KeystoreError, PassphraseError};
use crate::pki::{AuthorityError, IssueError, TlsError};
use crate::place::import::ImportError;

/// A data directory could not be made. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// Something stands there already.
    #[error(
        "{}: exists and is not an empty directory; nothing is overwritten: choose another directory or move this one away",
        path.display()
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The empty directory was made for another user.
    #[error("{}: belongs to another user; run init as that user: sudo -u '#{owner}' city-node init …", path.display())]
    OtherUser {
        /// The directory.
        path: PathBuf,
        /// Its owner's id.
        owner: u32,
    },
    /// The directory above is not there.
    #[error("{}: the directory {} does not exist; make it first: mkdir -p {}", path.display(), parent.display(), parent.display())]
    NoParent {
        /// The directory that was to be made.
        path: PathBuf,
        /// The one above.
        parent: PathBuf,
    },
    /// The system refused.
    #[error("{}: {source}; check the path, its permissions and the free space", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The finished directory could not get its name.
    #[error(
        "{}: the finished directory cannot be put there ({source}); if this is a mount point, choose a directory inside it",
        path.display()
    )]
    Name {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A new network rests on a root that no other network rests on.
    #[error(
        "{}: no root for a new network stands here: a network rests on it already (genesis.cbor), or it is an intermediate; \
         join that network with --network, or make a CA with `city-node ca init`", ca.display()
    )]
    NoFreeRoot {
        /// The CA's directory.
        ca: PathBuf,
    },
    /// A live network needs a CA whose keys are protected.
    #[error(
        "--purpose live: refused, because the CA's keys would lie on this disk in the clear, or with their \
         passphrase beside them; give one of yours with --ca-passphrase-file"
    )]
    LiveNeedsPassphrase,
    /// Outlines drawn for the demo are not for a live network.
    #[error(
        "--coarse-demo-boundaries: the network's purpose is live, and these outlines are not official; give --boundaries"
    )]
    CoarseForLive,
    /// The boundaries do not hold the municipality.
    #[error(
        "the boundaries do not hold the municipality {code}; give the file of its prefecture with --boundaries, or correct --region"
    )]
    NotInBoundaries {
        /// Its code.
        code: String,
    },
    /// The number of officers does not make sense.
    #[error(
        "{given} officers, of whom {needed} must sign: give 1 to {max} different --officer files and --officers-needed from 1 to their number; \
         an officer makes a key with: city-node key generate officer.key",
        max = super::init::MAX_OFFICERS
    )]
    Officers {
        /// How many different ones were given.
        given: usize,
        /// How many must sign.
        needed: u64,
    },
    /// A key of a suite that the network does not admit.
    #[error(
        "{whose}: keys of the suite {suite} are not admitted in this network, which knows {known}; make keys of one of those"
    )]
    Suite {
        /// The argument.
        whose: &'static str,
        /// The suite.
        suite: Suite,
        /// The suites that the genesis record lists.
        known: String,
    },
    /// The network's name is empty or too long.
    #[error("--new-network: a name has 1 to 40 characters, such as \"石川県 demo\"")]
    NetworkName,
    /// The root's prefix does not cover the region.
    #[error(
        "--prefix {prefix}: does not cover the region {region}; leave it out for the region's prefecture"
    )]
    Prefix {
        /// The prefix.
        prefix: String,
        /// The region.
        region: String,
    },
    /// The genesis record beside the CA cannot be used.
    #[error(
        "{}: not a genesis record ({refusal}); name the CA directory of an existing network with --network", path.display()
    )]
    Genesis {
        /// The file.
        path: PathBuf,
        /// Why.
        refusal: Refusal,
    },
    /// The genesis record does not rest on this CA.
    #[error(
        "{}: does not list the root of the CA beside it; restore the directory from a backup", path.display()
    )]
    OtherCa {
        /// The genesis record.
        path: PathBuf,
    },
    /// The home's charter is not of this network, or cannot be read.
    #[error(
        "{}: not the charter of a home of this network ({refusal}); copy charter.json from the home's data directory", path.display()
    )]
    HomeCharter {
        /// The file.
        path: PathBuf,
        /// Why.
        refusal: Refusal,
    },
    /// The terminal is to stand in another municipality than its home.
    #[error(
        "--region {region}: the home in {} is of {home}; a terminal belongs to its home's municipality", path.display()
    )]
    OtherHome {
        /// What was asked for.
        region: String,
        /// The home's region.
        home: String,
        /// The home's charter.
        path: PathBuf,
    },
    /// What was made would not be admitted by other nodes.
    #[error(
        "the new charter would be refused ({refusal}); check that the network's roots cover the region and that this machine's clock is right"
    )]
    Charter {
        /// Why.
        refusal: Refusal,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The key store cannot be made.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The CA cannot be made or opened.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A certificate could not be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A TLS certificate could not be issued.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The boundaries could not be imported.
    #[error(transparent)]
    Boundary(#[from] ImportError),
    /// The configuration that was given would be refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The finished directory does not hold together.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A data directory does not hold a usable identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The data directory is another user's: files written into it now could not be read by its node later.
    #[error("{}: belongs to another user; use it as that user: sudo -u '#{owner}' city-node …", path.display())]
    OtherUser {
        /// The data directory.
        path: PathBuf,
        /// Its owner's id.
        owner: u32,
    },
    /// A file that is not a key cannot be read.
    #[error("{}: cannot be read ({source}); make a data directory with: city-node init, or restore the file from a backup", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is longer than its kind can be.
    #[error("{}: longer than {limit} bytes; restore the file from a backup", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The genesis record is not one.
    #[error("{}: not a genesis record ({refusal}); copy it again from the network's CA", path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// Why.
        refusal: Refusal,
    },
    /// The charter was written for another network.
    #[error(
        "{}: is the charter of another network than {}; put the genesis record back that this directory was made with",
        charter.display(), genesis.display()
    )]
    OtherNetwork {
        /// The charter.
        charter: PathBuf,
        /// The genesis record.
        genesis: PathBuf,
    },
    /// The charter does not hold.
    #[error("{}: refused ({refusal}); its bytes are the log's identity and cannot be edited: restore it from a backup", path.display())]
    Charter {
        /// The file.
        path: PathBuf,
        /// Why.
        refusal: Refusal,
    },
    /// A certificate file does not hold PEM certificates.
    #[error("{}: does not hold PEM certificates; restore it from a backup", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
    },
    /// The certificate file is not one of the charter's municipality.
    #[error("{}: is not a node certificate of the municipality in {}; restore it from a backup, or have the CA issue one", certificate.display(), charter.display())]
    OtherCertificate {
        /// The certificate file.
        certificate: PathBuf,
        /// The charter.
        charter: PathBuf,
    },
    /// A key file does not belong to the certificate.
    #[error("{}: is not the {what} in {}; restore both from one backup", key.display(), certificate.display())]
    OtherKey {
        /// The key file.
        key: PathBuf,
        /// What the certificate names, such as "ledger key".
        what: &'static str,
        /// The certificate file.
        certificate: PathBuf,
    },
    /// The TLS certificate and its key do not belong together.
    #[error("{} and {} do not belong together ({source}); restore both from one backup", certificate.display(), key.display())]
    TlsPair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// rustls's reason.
        source: TlsError,
    },
    /// The TLS key is not PKCS#8 in PEM.
    #[error("{}: not a PKCS#8 key in PEM; restore it from a backup", path.display())]
    TlsKey {
        /// The file.
        path: PathBuf,
    },
    /// The configuration names another municipality than the charter.
    #[error(
        "{}: node.region is {configured}, but {} is the charter of {chartered}; set node.region back, or name the right data directory",
        config.display(), charter.display()
    )]
    OtherRegion {
        /// The configuration.
        config: PathBuf,
        /// Its region.
        configured: String,
        /// The charter.
        charter: PathBuf,
        /// Its region.
        chartered: String,
    },
    /// A home that is configured as a terminal.
    #[error(
        "{}: names terminal.home, but {} is a home's certificate: it would never write its log again; take [terminal] out, \
         or name the terminal's data directory (city-node init --role terminal makes one)",
        config.display(), certificate.display()
    )]
    NoTerminal {
        /// The configuration.
        config: PathBuf,
        /// The node certificate.
        certificate: PathBuf,
    },
    /// A terminal without a home.
    #[error(
        "{}: terminal.home is missing, and {} is a terminal's certificate; write the home's app port there, such as \
         \"https://node.example:8443\"",
        config.display(), certificate.display()
    )]
    NoHome {
        /// The configuration.
        config: PathBuf,
        /// The node certificate.
        certificate: PathBuf,
    },
    /// Recorded data in a live network.
    #[error(
        "{}: gnss.recorded is true or gnss.device is a file, but the network's purpose is live; change that and connect a receiver",
        config.display()
    )]
    RecordedInLive {
        /// The configuration.
        config: PathBuf,
    },
    /// A key file cannot be read.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The key store cannot be opened.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
}

impl IdentityError {
    /// Whether the next try may succeed without anybody's doing: a TPM that starts or tests itself, a disk that fails
    /// for a moment.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::Key(KeyFileError::Io { source, .. }) => {
                source.raw_os_error().is_some() && source.kind() != io::ErrorKind::NotFound
            }
            Self::Keystore(error) => error.may_pass(),
            _ => false,
        }
    }
}

/// A node could not be backed up or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The passphrase, or what it seals.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The directory.
    #[error(transparent)]
    Init(#[from] InitError),
    /// A file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The key store.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The backup does not hold a node.
    #[error("the backup does not hold a node ({0}); take another one")]
    Content(&'static str),
    /// It would be too large.
    #[error(
        "the backup would be longer than {limit} bytes; import fewer boundaries, of this prefecture only"
    )]
    TooLarge {
        /// The limit.
        limit: u64,
    },
}
