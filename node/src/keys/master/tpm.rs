//! The master secret sealed by the TPM: `master-<id>.tpm` holds what only this TPM opens, and if registers are named,
//! only while they hold what they held at sealing.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_drivers::tpm::{Pcrs, Sealed, Tpm, TpmAddress};
use serde::{Deserialize, Serialize};

use super::{Backend, BackendKind, MasterError, MasterId, MasterSecret};
use crate::engine::Counter;
use crate::keys::file::{read_secret, write_secret};

/// The form of the file.
const VERSION: u8 = 1;
/// What the file says it is.
const KIND: &str = "tpm-sealed";

/// The TPM.
#[derive(Clone, Debug)]
pub struct TpmBackend {
    /// Where it is.
    pub address: TpmAddress,
    /// The registers that new secrets are bound to.
    pub pcrs: Pcrs,
}

/// A counter in the TPM's memory.
pub struct TpmCounter {
    /// Where the TPM is.
    pub address: TpmAddress,
    /// The counter's index.
    pub index: u32,
}

impl Counter for TpmCounter {
    fn read(&mut self) -> Result<Option<u64>, String> {
        let shown = Tpm::open(&self.address).and_then(|mut tpm| tpm.counter(self.index));
        shown.map_err(|error| error.to_string())
    }

    fn make(&mut self) -> Result<u64, String> {
        let made = Tpm::open(&self.address).and_then(|mut tpm| tpm.make_counter(self.index));
        made.map_err(|error| error.to_string())
    }

    fn count(&mut self) -> Result<u64, String> {
        let counted = Tpm::open(&self.address).and_then(|mut tpm| tpm.count(self.index));
        counted.map_err(|error| error.to_string())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    v: u8,
    kind: &'a str,
    pcrs: Vec<u8>,
    public: &'a str,
    private: &'a str,
}

pub(super) fn path(directory: &Path, id: MasterId) -> PathBuf {
    directory.join(format!("master-{id}.tpm"))
}

impl Backend for TpmBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Tpm
    }

    fn fresh(&self, _: Option<MasterId>) -> Result<MasterSecret, MasterError> {
        Ok(MasterSecret::generate())
    }

    fn keep(&self, directory: &Path, secret: &MasterSecret) -> Result<(), MasterError> {
        let sealed = Tpm::open(&self.address)?.seal(secret.expose_secret(), &self.pcrs)?;
        let (public, private) = (
            STANDARD.encode(&sealed.public),
            STANDARD.encode(&sealed.private),
        );
        let fields = Fields {
            v: VERSION,
            kind: KIND,
            pcrs: sealed.pcrs.as_slice().to_vec(),
            public: &public,
            private: &private,
        };
        let mut json = serde_json::to_vec(&fields).expect("plain fields have a JSON form");
        json.push(b'\n');
        Ok(write_secret(&path(directory, secret.id()), &json)?)
    }

    fn give(&self, directory: &Path, id: MasterId) -> Result<MasterSecret, MasterError> {
        let path = path(directory, id);
        let content = read_secret(&path)?;
        let form = |what| MasterError::Form {
            place: path.display().to_string(),
            what,
        };
        let sealed = read(&content).map_err(form)?;
        let bytes = Tpm::open(&self.address)?.unseal(&sealed)?;
        let secret = MasterSecret::from_bytes(&bytes).ok_or_else(|| form("not 32 bytes"))?;
        let found = secret.id();
        if found == id {
            Ok(secret)
        } else {
            Err(MasterError::Other {
                place: path.display().to_string(),
                found,
                wanted: id,
            })
        }
    }
}

fn read(content: &[u8]) -> Result<Sealed, &'static str> {
    let fields: Fields<'_> = serde_json::from_slice(content).map_err(|_| "not its JSON object")?;
    if fields.v != VERSION || fields.kind != KIND {
        return Err("another kind or version");
    }
    let base64 = |text: &str| STANDARD.decode(text).map_err(|_| "not base64");
    Ok(Sealed {
        public: base64(fields.public)?,
        private: base64(fields.private)?,
        pcrs: Pcrs::new(&fields.pcrs).map_err(|_| "numbers that are no registers")?,
    })
}
