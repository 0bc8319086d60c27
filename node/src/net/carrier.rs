//! What carries a connection, as its address says. Pure.

use libp2p::{Multiaddr, multiaddr::Protocol};
use std::fmt;

/// TCP with TLS and yamux over it, or QUIC, which is all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// `/…/tcp/PORT`, and names whose records are not known yet.
    Tcp,
    /// `/…/udp/PORT/quic-v1` (RFC 9000).
    Quic,
}

impl Carrier {
    /// What carries a connection with this address.
    #[must_use]
    pub fn of(address: &Multiaddr) -> Self {
        let mut parts = address.iter();
        match parts.any(|part| part == Protocol::QuicV1) {
            true => Self::Quic,
            false => Self::Tcp,
        }
    }

    /// Whether QUIC may carry it: of a name whose records say where the peer is (`/dnsaddr/HOST`) that is not known up here.
    #[must_use]
    pub fn may_be_quic(address: &Multiaddr) -> bool {
        !address.iter().any(|part| matches!(part, Protocol::Tcp(_)))
    }

    /// Its name in JSON: `tcp` or `quic`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Quic => "QUIC",
        })
    }
}
