//! The network that a new node belongs to: founded with a CA and a genesis record of its own, or opened
//! beside a CA on this machine.

use std::path::{Path, PathBuf};

use city_protocol::amount::Timestamp;
use city_protocol::crypto::Suite;
use city_protocol::genesis::{Genesis, Purpose};
use city_protocol::region::{Region, RegionPrefix};

use super::directory::{CaDir, DataDir, Staged};
use super::error::InitError;
use super::identity::read_genesis;
use super::init::{LIST_DAYS, ROOT_DAYS, validity};
use crate::keys::Passphrase;
use crate::keys::file::{write_public, write_secret};
use crate::pki::{Authority, CaLock};

/// Longest network name in characters: with " CA TLS" behind it, it must fit a common name of 64.
const MAX_NETWORK_NAME: usize = 40;
/// The same in bytes, as a genesis record takes it.
const MAX_NETWORK_NAME_BYTES: usize = 128;

/// The network of a new node.
#[derive(Debug)]
pub enum NetworkChoice {
    /// A new network with a CA of its own.
    New {
        /// Its name.
        name: String,
        /// What it is for; `live` needs a passphrase that was given.
        purpose: Purpose,
        /// What its root may speak for; the region's prefecture if `None`.
        prefix: Option<RegionPrefix>,
        /// Where the CA will stand; `ca/` in the data directory if `None`.
        ca: Option<PathBuf>,
        /// How its keys are kept.
        protection: CaProtection,
        /// Suite of the CA's post-quantum root.
        ca_suite: Suite,
        /// Which suites the network admits.
        suites: Vec<Suite>,
    },
    /// A new network that rests on a CA which is there already; its `genesis.cbor` is put beside it.
    NewUnder {
        /// Its name.
        name: String,
        /// What it is for.
        purpose: Purpose,
        /// What the root may speak for; the region's prefecture if `None`.
        prefix: Option<RegionPrefix>,
        /// The CA's directory.
        ca: PathBuf,
        /// The passphrase of its keys, if they are sealed.
        passphrase: Option<Passphrase>,
        /// Which suites the network admits.
        suites: Vec<Suite>,
    },
    /// The network of a CA on this machine, with its `genesis.cbor` beside it.
    Join {
        /// The CA's directory.
        ca: PathBuf,
        /// The passphrase of its keys, if they are sealed.
        passphrase: Option<Passphrase>,
    },
}

/// How the keys of a new CA are kept.
#[derive(Debug)]
pub enum CaProtection {
    /// As they are: whoever reads the files can issue certificates.
    Unencrypted,
    /// Sealed by this passphrase.
    Given(Passphrase),
    /// Sealed by one that is made up and written to `ca.passphrase` in the data directory.
    Generated,
}

/// The network, open for issuing.
pub(super) struct Network {
    pub(super) genesis: Genesis,
    pub(super) authority: Authority,
    pub(super) ca: PathBuf,
    /// A new CA outside the data directory, not yet named.
    pub(super) staged: Option<Staged>,
    /// Where the genesis record is still to be written: beside a CA that was there before.
    pub(super) record: Option<PathBuf>,
}

/// Founds the chosen network, or opens it.
pub(super) fn open_network(
    choice: NetworkChoice,
    data: &DataDir,
    draft: &DataDir,
    region: &Region,
    now: Timestamp,
) -> Result<Network, InitError> {
    match choice {
        NetworkChoice::Join { ca, passphrase } => join(&ca, passphrase.as_ref()),
        NetworkChoice::New {
            purpose: Purpose::Live,
            protection: CaProtection::Unencrypted | CaProtection::Generated,
            ..
        }
        | NetworkChoice::NewUnder {
            purpose: Purpose::Live,
            passphrase: None,
            ..
        } => Err(InitError::LiveNeedsPassphrase),
        NetworkChoice::New {
            name,
            purpose,
            prefix,
            ca,
            protection,
            ca_suite,
            suites,
        } => {
            let prefix = prefix_for(prefix.as_ref(), region)?;
            let ca = ca.unwrap_or(data.ca());
            let outside = Some(&ca).filter(|ca| **ca != data.ca());
            let staged = outside.map(|ca| Staged::begin(ca)).transpose()?;
            let directory = staged
                .as_ref()
                .map_or(draft.ca(), |staged| staged.path().into());
            let lock = match protection {
                CaProtection::Unencrypted => CaLock::Unencrypted,
                CaProtection::Given(passphrase) => CaLock::Passphrase(passphrase),
                CaProtection::Generated => {
                    let (passphrase, text) = Passphrase::generate();
                    write_secret(&draft.ca_passphrase(), text.as_bytes())?;
                    CaLock::Passphrase(passphrase)
                }
            };
            let years = validity(now, ROOT_DAYS);
            named(&name)?;
            let authority =
                Authority::create(&directory, &format!("{name} CA"), ca_suite, &lock, years)?;
            authority.write_lists(validity(now, LIST_DAYS))?;
            let path = CaDir::new(&directory).genesis();
            let terms = (name, purpose, prefix, suites);
            let genesis = record(&authority, &path, terms, now)?;
            write_public(&path, &genesis.to_block())?;
            Ok(Network {
                genesis,
                authority,
                ca,
                staged,
                record: None,
            })
        }
        NetworkChoice::NewUnder {
            name,
            purpose,
            prefix,
            ca,
            passphrase,
            suites,
        } => {
            named(&name)?;
            let prefix = prefix_for(prefix.as_ref(), region)?;
            let path = CaDir::new(&ca).genesis();
            let authority = Authority::open(&ca, passphrase.as_ref())?;
            if path.exists() || !authority.chain().is_empty() {
                return Err(InitError::NoFreeRoot { ca });
            }
            let terms = (name, purpose, prefix, suites);
            let genesis = record(&authority, &path, terms, now)?;
            Ok(Network {
                genesis,
                authority,
                ca,
                staged: None,
                record: Some(path),
            })
        }
    }
}

pub(super) fn join(
    directory: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<Network, InitError> {
    let path = CaDir::new(directory).genesis();
    let mut authority = Authority::open(directory, passphrase)?;
    let genesis = read_genesis(&path).map_err(|error| match error {
        super::IdentityError::Genesis { path, refusal } => InitError::Genesis { path, refusal },
        other => other.into(),
    })?;
    if !authority.issue_under(&genesis.roots) {
        return Err(InitError::OtherCa { path });
    }
    Ok(Network {
        genesis,
        authority,
        ca: directory.into(),
        staged: None,
        record: None,
    })
}

fn named(name: &str) -> Result<(), InitError> {
    let length = name.chars().count();
    let fits = (1..=MAX_NETWORK_NAME).contains(&length) && name.len() <= MAX_NETWORK_NAME_BYTES;
    if !fits || name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(InitError::NetworkName);
    }
    Ok(())
}

/// The genesis record of a network that rests on the CA's root.
fn record(
    authority: &Authority,
    path: &Path,
    (name, purpose, prefix, suites): (String, Purpose, RegionPrefix, Vec<Suite>),
    now: Timestamp,
) -> Result<Genesis, InitError> {
    let root = authority
        .root(prefix)
        .map_err(crate::pki::IssueError::from)?;
    let genesis = Genesis {
        v: 1,
        name,
        purpose,
        created_at: now,
        roots: vec![root],
        suites,
    };
    // Read back, so that no record is written that no node would take.
    Genesis::read(&genesis.to_block()).map_err(|refusal| InitError::Genesis {
        path: path.to_owned(),
        refusal,
    })
}

fn prefix_for(prefix: Option<&RegionPrefix>, region: &Region) -> Result<RegionPrefix, InitError> {
    let Some(prefix) = prefix else {
        let prefecture = region
            .as_str()
            .rsplit_once('/')
            .map_or("", |(prefecture, _)| prefecture);
        return Ok(prefecture
            .parse()
            .expect("a region without its last level is a prefix"));
    };
    if prefix.covers(region) {
        Ok(prefix.clone())
    } else {
        Err(InitError::Prefix {
            prefix: prefix.to_string(),
            region: region.to_string(),
        })
    }
}
