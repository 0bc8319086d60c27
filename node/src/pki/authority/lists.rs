//! What the CA knows of its certificates: revokes them, issues lists, and tells.

use std::path::PathBuf;
use std::str::FromStr;
use std::{fs, io};

use city_protocol::amount::Timestamp;
use city_protocol::pki::{CRL_GRACE_MS, MAX_CRL_ENTRIES, fingerprint};
use data_encoding::HEXLOWER;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::pem::{LineEnding, encode_string};

use super::{Authority, AuthorityError};
use crate::keys::KeyFileError;
use crate::keys::file::write_public;
use crate::pki::issue::{IssueError, Issuer, Validity};
use crate::pki::register::{Event, Issued, Listed, Register, Revoked};
use crate::pki::revocation::{ListRequest, Reason, Revocation};

/// Which certificate is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By its serial number in hex, as `ca show` and `openssl x509 -serial` print it.
    Serial(String),
    /// By SHA-256 of its DER in hex.
    Fingerprint(String),
}

impl Selector {
    /// Takes the first certificate of a PEM text.
    #[must_use]
    pub fn of_certificate(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem).ok()?;
        Certificate::from_der(&der).ok()?;
        Some(Self::Fingerprint(HEXLOWER.encode(&fingerprint(&der).0)))
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex: String = text
            .strip_prefix("sha256:")
            .unwrap_or(text)
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let is_hex = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        match hex.len() {
            64 if is_hex => Ok(Self::Fingerprint(hex)),
            1..=42 if is_hex => Ok(Self::Serial(hex)),
            _ => Err(format!(
                "{text:?} is neither a serial number (at most 42 hex digits) nor a fingerprint (64)"
            )),
        }
    }
}

/// A certificate that is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// Which.
    pub issued: Issued,
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// Whether it was before.
    pub already: bool,
}

/// A list that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFile {
    /// Where it stands, in PEM.
    pub path: PathBuf,
    /// What the register says of it.
    pub listed: Listed,
}

/// What a list can say of a moment.
const fn full_second(at: Timestamp) -> Timestamp {
    Timestamp(at.0 / 1000 * 1000)
}

impl Authority {
    /// Revokes a certificate; it stands on the lists that are issued from now on. One that was revoked before
    /// stays so, from then on and for the reason of then.
    ///
    /// # Errors
    /// [`AuthorityError::Unknown`] or [`AuthorityError::Register`].
    pub fn revoke(
        &self,
        which: &Selector,
        reason: Reason,
        at: Timestamp,
    ) -> Result<Withdrawn, AuthorityError> {
        let mut register = self.register();
        let meant = |issued: &&Issued| match which {
            Selector::Serial(serial) => {
                issued.serial.trim_start_matches('0') == serial.trim_start_matches('0')
            }
            Selector::Fingerprint(fingerprint) => issued.fingerprint == *fingerprint,
        };
        let (Selector::Serial(text) | Selector::Fingerprint(text)) = which;
        let unknown = || AuthorityError::Unknown(text.clone());
        let found = register
            .issued()
            .iter()
            .find(meant)
            .cloned()
            .ok_or_else(unknown)?;
        if let Some(before) = register.revocation(&found.issuer, &found.serial) {
            return Ok(Withdrawn {
                at: before.at,
                reason: before.reason,
                already: true,
                issued: found,
            });
        }
        let at = full_second(at);
        register.append(|_| {
            Event::Revoked(Revoked {
                issuer: found.issuer.clone(),
                serial: found.serial.clone(),
                at,
                reason,
                not_after: found.not_after,
            })
        })?;
        Ok(Withdrawn {
            issued: found,
            at,
            reason,
            already: false,
        })
    }

    /// The newest list of every issuer, as it stands beside its certificate: name and PEM.
    ///
    /// # Errors
    /// [`AuthorityError::File`] if one cannot be read.
    pub fn lists(&self) -> Result<Vec<(String, Vec<u8>)>, AuthorityError> {
        let ids = self.pq.iter().map(|issuer| &issuer.id);
        let ids = ids.chain(self.tls.iter().map(|issuer| &issuer.id));
        let mut lists = Vec::new();
        for name in ids.map(|id| format!("{id}.crl.pem")) {
            let path = self.directory.join(&name);
            match fs::read(&path) {
                Ok(list) => lists.push((name, list)),
                // A CA from before there were lists.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(KeyFileError::Io { path, source }.into()),
            }
        }
        Ok(lists)
    }

    /// Issues a new list of every issuer and writes it as `ISSUER.crl.pem` beside its certificate.
    ///
    /// # Errors
    /// An [`AuthorityError`].
    pub fn write_lists(&self, dates: Validity) -> Result<Vec<ListFile>, AuthorityError> {
        let pq = self.pq.iter().map(|issuer| {
            self.write_list(&issuer.id, dates, |request| {
                Issuer::new(&issuer.chain[0], &issuer.key)?.crl(request)
            })
        });
        let tls = self.tls.iter().map(|issuer| {
            self.write_list(&issuer.id, dates, |request| issuer.authority.crl(request))
        });
        pq.chain(tls).collect()
    }

    fn write_list(
        &self,
        issuer: &str,
        dates: Validity,
        sign: impl FnOnce(&ListRequest<'_>) -> Result<Vec<u8>, IssueError>,
    ) -> Result<ListFile, AuthorityError> {
        // Once it has expired, a list in its grace could not name it as valid any more.
        let named = |register: &Register| -> Vec<Revoked> {
            let of_issuer = register.revoked().filter(|one| one.issuer == issuer);
            let needed =
                of_issuer.filter(|one| one.not_after.plus_ms(CRL_GRACE_MS) >= dates.not_before);
            needed.cloned().collect()
        };
        let enter = |register: &Register| {
            let entries = named(register).len();
            if entries > MAX_CRL_ENTRIES {
                return Err(AuthorityError::ListTooLong {
                    issuer: issuer.into(),
                    entries,
                });
            }
            Ok(Event::Listed(Listed {
                issuer: issuer.into(),
                number: register.listed(issuer).map_or(1, |list| list.number + 1),
                this_update: full_second(dates.not_before),
                next_update: full_second(dates.not_after),
                entries,
            }))
        };
        // Written before anybody takes the next number.
        self.register().append_then(enter, |register| {
            let listed = register.listed(issuer).cloned();
            let listed = listed.expect("a list of this issuer was just entered");
            let der = Self::sign_list(&listed, dates, &named(register), sign)?;
            let pem = encode_string("X509 CRL", LineEnding::LF, &der)
                .map_err(|error| IssueError::Encoding(error.into()))?;
            let path = self.directory.join(format!("{issuer}.crl.pem"));
            write_public(&path, pem.as_bytes())?;
            Ok(ListFile { path, listed })
        })
    }

    fn sign_list(
        listed: &Listed,
        dates: Validity,
        revoked: &[Revoked],
        sign: impl FnOnce(&ListRequest<'_>) -> Result<Vec<u8>, IssueError>,
    ) -> Result<Vec<u8>, AuthorityError> {
        let revocation = |one: &Revoked| {
            let serial = HEXLOWER.decode(one.serial.as_bytes());
            let serial = serial.map_err(|_| AuthorityError::Unknown(one.serial.clone()))?;
            Ok::<_, AuthorityError>(Revocation {
                serial,
                at: one.at,
                reason: one.reason,
            })
        };
        let revoked: Vec<_> = revoked.iter().map(revocation).collect::<Result<_, _>>()?;
        Ok(sign(&ListRequest {
            number: listed.number,
            dates,
            revoked: &revoked,
        })?)
    }
}
