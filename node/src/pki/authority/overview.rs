//! What can be told of a CA without its keys.

use std::path::Path;

use super::{
    Authority, AuthorityError, INTERMEDIATE, ROOT, TLS_ROOT, certificate, generations, read_pem,
};
use crate::pki::register::{Issued, Listed, Register, Revoked};

/// A CA as its public files and its register show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Post-quantum before classical, the oldest first.
    pub issuers: Vec<IssuerState>,
    /// The oldest first, each with its revocation.
    pub issued: Vec<(Issued, Option<Revoked>)>,
    /// Whether its keys are sealed.
    pub sealed: bool,
}

/// An issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerState {
    /// The name of its files.
    pub id: String,
    /// Its certificate in DER.
    pub certificate: Vec<u8>,
    /// Whether it is the newest of its kind, which issues.
    pub newest: bool,
    /// Its newest list.
    pub listed: Option<Listed>,
}

impl Overview {
    /// Looks at the CA in a directory.
    ///
    /// # Errors
    /// An [`AuthorityError`] that names the file.
    pub fn read(directory: &Path) -> Result<Self, AuthorityError> {
        let register = Register::open(directory)?;
        let kind = |stems: &[&str]| -> Result<Vec<IssuerState>, AuthorityError> {
            let mut issuers = Vec::new();
            for id in stems.iter().copied().flat_map(generations) {
                let path = certificate(directory, &id);
                if path.exists() {
                    issuers.push(IssuerState {
                        certificate: read_pem(&path)?.remove(0),
                        newest: false,
                        listed: register.listed(&id).cloned(),
                        id,
                    });
                }
            }
            let newest = issuers.last_mut().ok_or_else(|| AuthorityError::None {
                path: directory.to_owned(),
            })?;
            newest.newest = true;
            Ok(issuers)
        };
        let mut issuers = kind(&[INTERMEDIATE, ROOT])?;
        issuers.extend(kind(&[TLS_ROOT])?);
        let issued = register.issued().iter().map(|one| {
            let revoked = register.revocation(&one.issuer, &one.serial);
            (one.clone(), revoked.cloned())
        });
        Ok(Self {
            issuers,
            issued: issued.collect(),
            sealed: Authority::is_sealed(directory)?,
        })
    }
}
