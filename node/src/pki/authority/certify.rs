//! Issues certificates, each into the register before it leaves.

use std::net::IpAddr;

use city_protocol::crypto::PublicKey;
use city_protocol::pki::{ClientRequest, fingerprint};
use data_encoding::HEXLOWER;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{Authority, AuthorityError};
use crate::pki::issue::{IssueError, Issuer, NodeRequest, Validity};
use crate::pki::register::{CertificateKind, Event, Issued};
use crate::pki::tls::{TlsIdentity, TlsKey};
use crate::pki::tls_client::TlsSubject;

impl Authority {
    /// Issues a node certificate in DER.
    ///
    /// # Errors
    /// An [`AuthorityError`].
    pub fn issue_node(
        &self,
        request: &NodeRequest<'_>,
        validity: Validity,
    ) -> Result<Vec<u8>, AuthorityError> {
        let subject = format!("{} ({})", request.region, request.role);
        self.certify(CertificateKind::Node, subject, |issuer| {
            issuer.node(request, validity)
        })
    }

    /// Issues a person's certificate in DER.
    ///
    /// # Errors
    /// An [`AuthorityError`].
    pub fn issue_client(
        &self,
        request: &ClientRequest<'_>,
        validity: Validity,
    ) -> Result<Vec<u8>, AuthorityError> {
        let subject = request.account.to_string();
        self.certify(CertificateKind::Client, subject, |issuer| {
            issuer.client(request, validity)
        })
    }

    /// Issues the certificate of a further CA called `name`, with `path_len` CAs below it at most.
    ///
    /// # Errors
    /// An [`AuthorityError`].
    pub fn issue_intermediate(
        &self,
        name: &str,
        key: &PublicKey,
        path_len: u8,
        validity: Validity,
    ) -> Result<Vec<u8>, AuthorityError> {
        self.certify(CertificateKind::Intermediate, name.into(), |issuer| {
            issuer.may_have_below(path_len)?;
            issuer.intermediate(name, key, path_len, validity)
        })
    }

    /// Issues a TLS server certificate with a fresh key.
    ///
    /// # Errors
    /// An [`AuthorityError`].
    pub fn issue_tls_server(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        validity: Validity,
    ) -> Result<TlsIdentity, AuthorityError> {
        let key = TlsKey::generate()?;
        let certificate = self.certify_tls_server(&key, names, addresses, validity)?;
        Ok(key.into_identity(certificate))
    }

    /// Issues a TLS server certificate for a key that somebody holds.
    ///
    /// # Errors
    /// An [`AuthorityError`].
    pub fn certify_tls_server(
        &self,
        key: &TlsKey,
        names: &[String],
        addresses: &[IpAddr],
        validity: Validity,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let tls = self.tls_issuer();
        let certificate = tls
            .authority
            .certify_server(key, names, addresses, validity)?;
        let all = names
            .iter()
            .cloned()
            .chain(addresses.iter().map(IpAddr::to_string));
        let subject = all.collect::<Vec<_>>().join(" ");
        self.record(CertificateKind::TlsServer, &tls.id, subject, &certificate)?;
        Ok(certificate)
    }

    /// Issues a TLS client certificate for a key that somebody holds.
    ///
    /// # Errors
    /// An [`AuthorityError`].
    pub fn certify_tls_client(
        &self,
        key: &TlsKey,
        subject: &TlsSubject,
        validity: Validity,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let tls = self.tls_issuer();
        let certificate = tls.authority.certify_client(key, subject, validity)?;
        let name = match subject {
            TlsSubject::Account(account) => format!("account {account}"),
            TlsSubject::Operator(name) => format!("operator {name}"),
        };
        self.record(CertificateKind::TlsClient, &tls.id, name, &certificate)?;
        Ok(certificate)
    }

    fn certify(
        &self,
        kind: CertificateKind,
        subject: String,
        sign: impl FnOnce(&Issuer<'_>) -> Result<Vec<u8>, IssueError>,
    ) -> Result<Vec<u8>, AuthorityError> {
        let pq = &self.pq[self.active];
        let der = sign(&Issuer::new(&pq.chain[0], &pq.key)?)?;
        self.record(kind, &pq.id, subject, &der)?;
        Ok(der)
    }

    /// Makes it durable that a certificate was issued.
    fn record(
        &self,
        kind: CertificateKind,
        issuer: &str,
        mut subject: String,
        der: &[u8],
    ) -> Result<(), AuthorityError> {
        let read = Certificate::from_der(der).map_err(IssueError::from)?;
        let tbs = read.tbs_certificate();
        let ms = |time: x509_cert::time::Time| {
            let ms = u64::try_from(time.to_unix_duration().as_millis());
            ms.map(city_protocol::amount::Timestamp)
                .map_err(|_| IssueError::Validity)
        };
        // A server has up to 32 names; a line of the register is a line.
        if let Some((cut, _)) = subject.char_indices().nth(MAX_SUBJECT) {
            subject.truncate(cut);
            subject.push('…');
        }
        let issued = Issued {
            kind,
            issuer: issuer.into(),
            serial: HEXLOWER.encode(tbs.serial_number().as_bytes()),
            subject,
            fingerprint: HEXLOWER.encode(&fingerprint(der).0),
            not_before: ms(tbs.validity().not_before)?,
            not_after: ms(tbs.validity().not_after)?,
        };
        Ok(self.register().append(|_| Event::Issued(issued))?)
    }
}

/// Most characters of a subject in the register.
const MAX_SUBJECT: usize = 200;
