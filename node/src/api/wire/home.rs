//! What a node says of itself, and apps and officers work with: its municipality, its policy, its officers.

use std::collections::BTreeMap;

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::client::Home;
use city_protocol::client::officer::{CharterBefore, NextDecision};
use city_protocol::crypto::{Algorithm, Suite};
use city_protocol::genesis::Purpose;
use city_protocol::ids::{Digest, KeyId, LogId, NetworkId};
use city_protocol::json::base64_bytes;
use city_protocol::place::Grade;
use city_protocol::region::Region;
use city_protocol::replica::Clearing;
use serde::{Deserialize, Serialize};

use super::TerminalPage;

/// How many officers there are, how many must sign, and their next number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfficersPage {
    /// How many must sign.
    pub k: u64,
    /// How many there are.
    pub n: u64,
    /// The next `officers_sequence`.
    pub officers_sequence: u64,
}

/// One officer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfficerPage {
    /// Algorithm.
    pub alg: Algorithm,
    /// Key id.
    pub key: KeyId,
    /// Raw public key, base64.
    #[serde(with = "base64_bytes")]
    pub public_key: Vec<u8>,
}

/// `GET /send/api/charter`: the charter in force, and what the next one has to name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharterPage {
    /// 1.
    pub schema: u64,
    /// Network.
    pub network: NetworkId,
    /// This home's log.
    pub log: LogId,
    /// The municipality.
    pub region: Region,
    /// Its number; the first is 1.
    pub number: u64,
    /// H(body).
    pub charter: Digest,
    /// How many officers must sign.
    pub k: u64,
    /// The officers.
    pub officers: Vec<OfficerPage>,
    /// The logs that are asked to witness this one.
    pub witnesses: Vec<LogId>,
    /// The next `officers_sequence`.
    pub officers_sequence: u64,
}

impl From<&CharterPage> for NextDecision {
    fn from(page: &CharterPage) -> Self {
        Self {
            network: page.network,
            home: page.log,
            officers_sequence: page.officers_sequence,
        }
    }
}

impl From<&CharterPage> for CharterBefore {
    fn from(page: &CharterPage) -> Self {
        Self {
            number: page.number,
            charter: page.charter,
            region: page.region.clone(),
        }
    }
}

/// The node's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockPage {
    /// The time.
    pub time: Timestamp,
    /// `gnss`, `ntp`, `rtc` or `floor`.
    pub quality: String,
}

/// `GET /send/api/node`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePage {
    /// 1.
    pub schema: u64,
    /// Network.
    pub network: NetworkId,
    /// Its name.
    pub network_name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// This home's log.
    pub log: LogId,
    /// The municipality.
    pub region: Region,
    /// Suite of the node's keys.
    pub suite: Suite,
    /// Suites that the network admits, for people's keys too.
    pub suites: Vec<Suite>,
    /// Officers.
    pub officers: OfficersPage,
    /// Clock.
    pub clock: ClockPage,
    /// Weakest grade of place evidence that a transfer needs here.
    pub place_required: Grade,
    /// How long a proof of place is fresh, in milliseconds.
    #[serde(default)]
    pub place_fresh_ms: u64,
    /// How long a receiver may answer a transfer, in milliseconds.
    #[serde(default)]
    pub accept_deadline_ms: u64,
    /// What it takes from other municipalities; a node of an earlier version does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clearing: Option<ClearingPage>,
    /// Last moments of algorithms and suites, by their ids; what has none does not end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_after: BTreeMap<String, Timestamp>,
    /// Where the outlines of municipalities come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary_credit: Option<String>,
    /// Whether this is a terminal of the home that the page is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalPage>,
}

/// What a home takes from other municipalities, and when it says no by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearingPage {
    /// How much is accepted from any other municipality beyond what was settled to it.
    pub limit: Amount,
    /// Other limits by region; the longest prefix counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Amount>,
    /// Whether what is beyond the limit is rejected at once, instead of waiting.
    pub reject_over_limit: bool,
    /// How long a transfer waits for an account that is unknown or closed before it is rejected, in milliseconds.
    pub grace_ms: u64,
}

impl From<&Clearing> for ClearingPage {
    fn from(policy: &Clearing) -> Self {
        let limits = policy.limits.iter();
        Self {
            limit: policy.limit,
            limits: limits
                .map(|(region, limit)| (region.as_str().into(), *limit))
                .collect(),
            reject_over_limit: policy.reject_over_limit,
            grace_ms: policy.grace_ms,
        }
    }
}

impl From<&NodePage> for Home {
    fn from(page: &NodePage) -> Self {
        Self {
            network: page.network,
            log: page.log,
            region: page.region.clone(),
            suite: page.suite,
        }
    }
}

impl From<&NodePage> for NextDecision {
    fn from(page: &NodePage) -> Self {
        Self {
            network: page.network,
            home: page.log,
            officers_sequence: page.officers.officers_sequence,
        }
    }
}
