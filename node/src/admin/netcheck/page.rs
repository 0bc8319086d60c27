//! The JSON of `netcheck`.

use city_protocol::amount::Timestamp;
use serde::{Deserialize, Serialize};

/// The network, tried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetCheckPage {
    /// 1.
    pub schema: u64,
    /// Whether everything that should work does.
    pub ok: bool,
    /// This node's peer id.
    pub peer_id: String,
    /// Where this node listens for peers.
    pub listens: Vec<Listen>,
    /// Whether it stands behind an address translation.
    pub nat: Nat,
    /// Callers since the start that were not on the whitelist.
    pub strangers: u64,
    /// Every peer on the whitelist.
    pub peers: Vec<PeerCheck>,
}

/// A configured address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// As configured.
    pub address: String,
    /// Whether a socket listens there.
    pub bound: bool,
    /// Where, with the real port.
    pub bound_as: Vec<String>,
}

/// What peers see of this node's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nat {
    /// `direct`: they see an address that this node has; `translated`: another; `unknown`: no peer that this node called has
    /// said.
    pub guess: String,
    /// What they see.
    pub observed: Vec<String>,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCheck {
    /// Peer id.
    pub peer_id: String,
    /// Its name on the whitelist.
    pub name: String,
    /// Its municipality on the whitelist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether it is as it should be.
    pub ok: bool,
    /// Whether this node's whitelist lets it in now.
    pub listed: bool,
    /// Whether it has this node on its whitelist: known once its hello was accepted, or when it closed a call. False where this
    /// node only reads there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lists_us: Option<bool>,
    /// Its addresses.
    pub addresses: Vec<AddressTried>,
    /// Whether TLS and both streams stand.
    pub connected: bool,
    /// Who called: `us` or `them`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_by: Option<String>,
    /// The remote address of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What carries it: `tcp` or `quic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Whether its hello was accepted: network, version, certificate, region, clock.
    pub hello: bool,
    /// Version of the sync protocol that it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u64>,
    /// Its program, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// The last ping, there and back, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_us: Option<u64>,
    /// By how much its clock was ahead of this node's when it said hello, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// The last comparison of heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<Heads>,
    /// Why the last call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Why this node ended the last connection that it ended; only where no connection stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_away: Option<String>,
    /// Seconds for which it is not spoken to, because it broke the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banned_s: Option<u64>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// An address that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressTried {
    /// The address.
    pub address: String,
    /// Whether a TCP connection came about; false of an address of QUIC.
    pub tcp: bool,
    /// Of an address of QUIC whether QUIC answers there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quic: Option<bool>,
    /// How long that took, or how long nothing came, milliseconds.
    pub took_ms: u64,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl AddressTried {
    /// Whether somebody is there.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.quic.unwrap_or(self.tcp)
    }
}

/// A comparison of heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heads {
    /// Whether they were equal.
    pub equal: bool,
    /// When.
    pub at: Timestamp,
}
