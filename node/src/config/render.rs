//! [`Config`] → the commented TOML file that `init` writes and `config show` prints.

use city_drivers::gnss::Baud;
use city_protocol::place::PlacePolicy;
use toml::Value;

use super::keys::{KEYS, Key, NOT_AFTER, PEER, PEER_KEYS, SECTIONS};
use super::limits;
use super::model::{Config, Peer};
use super::values::{self, DAY_MS, rfc3339};
use crate::net::Limits;
use crate::trust::Role;

/// How the file begins.
const HEADER: &str = "\
# Configuration of city-node. `city-node config check FILE` names every mistake in it.
#
# Relative paths are relative to the data directory. Every key but those of peers can be overridden by an
# environment variable: CITY_NODE_ and its path in capitals with _ for the dots, such as CITY_NODE_API_LISTEN for
# api.listen; lists are separated by commas, an empty variable counts as not set. Unknown keys are refused.
";

/// What stands above the whitelist.
const PEERS: &str = "\
# The whitelist: who may connect. One [[network.peer]] for each; a change counts after `city-node reload`, or a restart.
";

impl Config {
    /// The whole configuration as a commented file; it reads back as the same configuration.
    #[must_use]
    pub fn to_toml(&self) -> String {
        self.render(true)
    }

    /// The same without comments and with every default spelled out.
    #[must_use]
    pub fn to_plain_toml(&self) -> String {
        self.render(false)
    }

    fn render(&self, comments: bool) -> String {
        let mut file = String::from(if comments { HEADER } else { "" });
        for (section, about) in SECTIONS {
            if !file.is_empty() {
                file.push('\n');
            }
            if comments {
                file.push_str(&comment(about));
            }
            file.push_str(&format!("[{section}]\n"));
            for key in KEYS.iter().filter(|key| key.section() == section) {
                self.render_key(&mut file, key, comments);
            }
            if section == "network" {
                self.render_peers(&mut file, comments);
            }
        }
        file
    }

    fn render_key(&self, file: &mut String, key: &Key, comments: bool) {
        let value = self.value(key.path);
        if comments {
            file.push_str(&comment(key.about));
        }
        match value {
            // A default of the policy or of a limit is left to the program, which may learn better.
            Some(value)
                if comments && (self.is_default_policy(key) || self.is_default_limit(key)) =>
            {
                file.push_str(&format!("# {} = {value}\n", key.name()));
            }
            Some(value) => file.push_str(&format!("{} = {value}\n", key.name())),
            None if comments => {
                file.push_str(&format!("# {} = \"{}\"\n", key.name(), key.example));
            }
            None => {}
        }
    }

    fn is_default_limit(&self, key: &Key) -> bool {
        limits::find(key.path)
            .is_some_and(|field| field.get(&self.network.limits) == field.get(&Limits::default()))
    }

    fn is_default_policy(&self, key: &Key) -> bool {
        let default = policy(&PlacePolicy::default());
        key.section() == "place.policy"
            && policy(&self.place.policy).get(key.name()) == default.get(key.name())
    }

    fn render_peers(&self, file: &mut String, comments: bool) {
        if comments {
            file.push('\n');
            file.push_str(PEERS);
            for key in &PEER_KEYS {
                let what = format!("{}: {}", key.path, key.about);
                file.push_str(&comment(&what));
            }
            if self.network.peers.is_empty() {
                file.push_str(&format!("# [[{PEER}]]\n"));
                for key in &PEER_KEYS {
                    let list = key.shape == super::keys::Shape::List;
                    let (open, close) = if list { ("[", "]") } else { ("", "") };
                    file.push_str(&format!(
                        "# {} = {open}\"{}\"{close}\n",
                        key.path, key.example
                    ));
                }
            }
        }
        for peer in &self.network.peers {
            file.push_str(&format!("\n[[{PEER}]]\n"));
            for (name, value) in peer_values(peer) {
                file.push_str(&format!("{name} = {value}\n"));
            }
        }
    }

    /// The value of a key as TOML; `None` where nothing is set.
    fn value(&self, path: &str) -> Option<Value> {
        let text = |text: &dyn ToString| Value::String(text.to_string());
        let whole = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        Some(match path {
            "node.region" => text(&self.node.region),
            "network.listen" => list(&self.network.listen),
            "network.quic" => Value::Boolean(self.network.quic),
            "network.mdns" => Value::Boolean(self.network.mdns),
            "network.recommendations_needed" => whole(self.network.recommendations_needed),
            "network.recommendations_to_read" => whole(self.network.recommendations_to_read),
            "network.recommendation_depth" => whole(self.network.recommendation_depth),
            "network.auto_share_keys" => Value::Boolean(self.network.auto_share_keys),
            "network.auto_request_keys" => Value::Boolean(self.network.auto_request_keys),
            "network.max_message_age_hours" => whole(self.network.max_message_age_hours),
            "network.accept_whitelist_requests" => {
                Value::Boolean(self.network.accept_whitelist_requests)
            }
            "api.listen" => text(&self.api.listen),
            "api.operator_listen" => text(&self.api.operator_listen?),
            "api.operators" => list(&self.api.operators.iter().collect::<Vec<_>>()),
            "api.tls12" => Value::Boolean(self.api.tls12),
            "terminal.home" => text(&self.terminal.as_ref()?.home),
            "terminal.tls_root" => text(&self.terminal.as_ref()?.tls_root.display()),
            "gnss.device" => text(&self.gnss.device.as_ref()?.display()),
            "gnss.baud" => match self.gnss.baud {
                Baud::Fixed(baud) => whole(baud.into()),
                Baud::Auto => text(&"auto"),
            },
            "gnss.configure" => Value::Boolean(self.gnss.configure),
            "gnss.recorded" => Value::Boolean(self.gnss.recorded),
            "place.boundary" => text(&self.place.boundary.display()),
            "place.surveyed" => {
                let point = self.place.surveyed?;
                Value::String(format!("{},{}", point.lat_text(), point.lon_text()))
            }
            "place.surveyed_radius_m" => whole(self.place.surveyed_radius_m.into()),
            "home.confirm_wait_s" => whole(self.home.confirm_wait_s),
            "home.unconfirmed_limit" => text(&self.home.unconfirmed_limit),
            "clearing.limit" => text(&self.clearing.limit),
            "clearing.limits" => {
                let limits = self.clearing.limits.iter();
                let limits = limits.map(|(prefix, limit)| format!("{prefix}={limit}"));
                list(&limits.collect::<Vec<_>>())
            }
            "clearing.grace_days" => whole(self.clearing.grace_ms / DAY_MS),
            "clearing.reject_over_limit" => Value::Boolean(self.clearing.reject_over_limit),
            "follow.policy" => text(&self.follow.policy.as_str()),
            "follow.policies" => {
                let policies = self.follow.policies.iter();
                let policies = policies.map(|(prefix, how)| format!("{prefix}={}", how.as_str()));
                list(&policies.collect::<Vec<_>>())
            }
            "keys.backend" => text(&self.keys.backend),
            "keys.tpm" => text(&self.keys.tpm.address),
            "keys.tpm_pcrs" => list(&self.keys.tpm.pcrs),
            "keys.tpm_counter" => text(&format!("{:#010x}", self.keys.tpm_counter?)),
            "keys.encrypt" => list(&self.keys.encrypt.iter().collect::<Vec<_>>()),
            "clock.trust_system" => Value::Boolean(self.clock.trust_system),
            "store.reserve_mib" => whole(self.store.reserve_mib),
            "store.cache_mib" => whole(self.store.cache_mib),
            "checkpoint.every" => text(&values::span_text(self.checkpoint.every_ms)),
            "retention.bodies" => text(&values::span_text(self.retention.bodies_ms)),
            "log.level" => text(&self.log.level),
            path => match path.rsplit_once('.')? {
                (limits::SECTION, _) => whole(limits::find(path)?.get(&self.network.limits)),
                (NOT_AFTER, id) => text(&rfc3339(self.not_after.of(id)?)),
                ("place.policy", field) => policy(&self.place.policy).remove(field)?,
                _ => return None,
            },
        })
    }
}

/// The policy's fields as its own serde writes them.
fn policy(policy: &PlacePolicy) -> toml::Table {
    toml::Table::try_from(policy).expect("numbers and one word have a TOML form")
}

fn peer_values(peer: &Peer) -> Vec<(&'static str, Value)> {
    let mut values = vec![
        ("peer_id", Value::String(peer.peer_id.to_string())),
        ("name", Value::String(peer.name.clone())),
        ("region", Value::String(peer.region.to_string())),
    ];
    if !peer.addresses.is_empty() {
        values.push(("addresses", list(&peer.addresses)));
    }
    if let Some(at) = peer.expires_at {
        values.push(("expires_at", Value::String(rfc3339(at))));
    }
    if peer.roles != Role::sync_only() {
        let roles: Vec<Role> = peer.roles.iter().copied().collect();
        values.push(("roles", list(&roles)));
    }
    values
}

fn list<T: ToString>(items: &[T]) -> Value {
    Value::Array(
        items
            .iter()
            .map(|item| Value::String(item.to_string()))
            .collect(),
    )
}

fn comment(text: &str) -> String {
    text.lines().map(|line| format!("# {line}\n")).collect()
}
