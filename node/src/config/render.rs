//! [`Config`] → the commented TOML file that `init` writes and `config show` prints.

use city_protocol::place::PlacePolicy;
use toml::Value;

use super::keys::{KEYS, Key, NOT_AFTER, PEER, PEER_KEYS, SECTIONS};
use super::model::{Config, Peer};
use super::values::{DAY_MS, rfc3339};

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
# The whitelist: who may connect. One [[network.peer]] for each; a change counts after a restart.
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
            // A default of the policy is left to the program, which may learn better.
            Some(value) if comments && self.is_default_policy(key) => {
                file.push_str(&format!("# {} = {value}\n", key.name()));
            }
            Some(value) => file.push_str(&format!("{} = {value}\n", key.name())),
            None if comments => {
                file.push_str(&format!("# {} = \"{}\"\n", key.name(), key.example));
            }
            None => {}
        }
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
            "network.mdns" => Value::Boolean(self.network.mdns),
            "api.listen" => text(&self.api.listen),
            "api.operator_listen" => text(&self.api.operator_listen?),
            "api.operators" => list(&self.api.operators.iter().collect::<Vec<_>>()),
            "api.tls12" => Value::Boolean(self.api.tls12),
            "gnss.device" => text(&self.gnss.device.as_ref()?.display()),
            "gnss.baud" => whole(self.gnss.baud.into()),
            "gnss.recorded" => Value::Boolean(self.gnss.recorded),
            "place.boundary" => text(&self.place.boundary.display()),
            "clearing.limit" => text(&self.clearing.limit),
            "clearing.limits" => {
                let limits = self.clearing.limits.iter();
                let limits = limits.map(|(prefix, limit)| format!("{prefix}={limit}"));
                list(&limits.collect::<Vec<_>>())
            }
            "clearing.grace_days" => whole(self.clearing.grace_ms / DAY_MS),
            "clearing.reject_over_limit" => Value::Boolean(self.clearing.reject_over_limit),
            "keys.backend" => text(&self.keys.backend),
            "keys.tpm" => text(&self.keys.tpm.address),
            "keys.tpm_pcrs" => list(&self.keys.tpm.pcrs),
            "keys.tpm_counter" => text(&format!("{:#010x}", self.keys.tpm_counter?)),
            "keys.encrypt" => list(&self.keys.encrypt.iter().collect::<Vec<_>>()),
            "clock.trust_system" => Value::Boolean(self.clock.trust_system),
            "store.reserve_mib" => whole(self.store.reserve_mib),
            "store.cache_mib" => whole(self.store.cache_mib),
            "log.level" => text(&self.log.level),
            path => match path.rsplit_once('.')? {
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
