//! Who is at the other end of a TLS connection, as far as its certificate says. Made once a connection, right
//! after the handshake, by the trust store; no request is read before.

use std::net::{IpAddr, Ipv4Addr};

use city_protocol::amount::Timestamp;
use city_protocol::ids::AccountId;
use rustls::pki_types::CertificateDer;

use crate::pki::{Doors, OperatorName, TlsClient, TlsRefusal, TlsSubject};

/// The other end of a connection; stands beside every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) source: IpAddr,
    /// What its certificate came to.
    pub(crate) shown: Shown,
}

/// What became of a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// None was shown.
    Nothing,
    /// It is not admitted: nothing but this is ever answered on the connection.
    Refused(TlsRefusal),
    /// It is good.
    Good(TlsClient),
}

impl Default for Peer {
    /// Requests without a socket, such as a test's, share one source.
    fn default() -> Self {
        Self {
            source: Ipv4Addr::UNSPECIFIED.into(),
            shown: Shown::Nothing,
        }
    }
}

impl Shown {
    /// Judges what was shown.
    pub(super) fn judge(
        chain: Option<&[CertificateDer<'_>]>,
        doors: &Doors,
        now: Timestamp,
    ) -> Self {
        match chain {
            None => Self::Nothing,
            Some(chain) => match doors.trust.tls.judge(chain, now) {
                Ok(client) => Self::Good(client),
                Err(refusal) => Self::Refused(refusal),
            },
        }
    }

    /// When it ends by itself.
    pub(super) const fn not_after(&self) -> Option<Timestamp> {
        match self {
            Self::Good(client) => Some(client.not_after),
            _ => None,
        }
    }
}

impl Peer {
    /// The account that a good certificate names.
    pub(crate) const fn account(&self) -> Option<&AccountId> {
        match &self.shown {
            Shown::Good(TlsClient {
                subject: TlsSubject::Account(account),
                ..
            }) => Some(account),
            _ => None,
        }
    }

    /// The operator that a good certificate names.
    pub(crate) const fn operator(&self) -> Option<&OperatorName> {
        match &self.shown {
            Shown::Good(TlsClient {
                subject: TlsSubject::Operator(name),
                ..
            }) => Some(name),
            _ => None,
        }
    }
}
