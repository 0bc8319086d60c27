//! File and environment → [`Config`], or every mistake that can be found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

use city_protocol::crypto::NotAfter;
use city_protocol::place::PlacePolicy;
use city_protocol::region::RegionPrefix;
use city_protocol::replica::{Clearing, Follow, MAX_CLEARING_LIMITS, MAX_FOLLOW_POLICIES};
use libp2p::{Multiaddr, PeerId};
use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::document::{Document, Leaf};
use super::keys::{self, KEYS, NOT_AFTER, PEER, PEER_KEYS};
use super::limits::{FIELDS, SECTION};
use super::mistake::{ConfigError, Mistake, Origin};
use super::model::{Config, Keys, MAX_PEERS, Peer, Terminal};
use super::overrides::Overrides;
use super::values::{self, DAY_MS, HOUR_MS, Read};
use crate::net::Limits;
use crate::trust::{MAX_DEPTH, Role};

/// Largest file, bytes: [`MAX_PEERS`] peers with two addresses each.
pub const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// The least age of bodies that are pruned, in milliseconds: peers may be without a network for weeks, and ask then.
const MIN_BODIES_MS: u64 = 30 * DAY_MS;

/// How long an answer to a ping may take, in seconds.
const PONG_S: u64 = 20;

/// The section that the protocol's policy reads itself.
const POLICY: &str = "place.policy";

impl Config {
    /// Reads a file, and this process's environment over it.
    ///
    /// # Errors
    /// A [`ConfigError`] that names file, key and remedy of every mistake.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::load_with(file, &Overrides::from_env())
    }

    /// Reads a file with these overrides.
    ///
    /// # Errors
    /// A [`ConfigError`] that names file, key and remedy of every mistake.
    pub fn load_with(file: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read {
            file: file.into(),
            source,
        };
        let not_text = |what| ConfigError::NotAConfiguration {
            file: file.into(),
            what,
        };
        let mut bytes = Vec::new();
        let opened = File::open(file).map_err(failed)?;
        opened
            .take(MAX_CONFIG_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > MAX_CONFIG_BYTES {
            return Err(not_text("larger than 4 MiB"));
        }
        let text = String::from_utf8(bytes).map_err(|_| not_text("not UTF-8 text"))?;
        Self::from_text(file, &text, overrides)
    }

    /// Reads a file's text; `file` stands in the errors.
    ///
    /// # Errors
    /// [`ConfigError::Mistakes`].
    pub fn from_text(file: &Path, text: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        read(text, overrides).map_err(|mistakes| ConfigError::Mistakes {
            file: file.into(),
            mistakes,
        })
    }
}

fn read(text: &str, overrides: &Overrides) -> Result<Config, Vec<Mistake>> {
    let mut reader = Reader {
        document: Document::read(text, overrides),
    };
    let region = reader.value("node.region", values::parsed);
    if region.is_none() && !reader.noted("node.region") {
        reader.refuse("node.region", Origin::Absent, "is missing".into());
    }
    // Something must stand in its place while the other keys are looked at; it is never returned.
    let stand_in = "x/x/x/x".parse().expect("four plain codes");
    let mut config = Config::for_region(region.unwrap_or(stand_in));

    reader.put("network.quic", values::switch, &mut config.network.quic);
    let quic = config.network.quic;
    let listen = |value: &DeValue<'_>| values::listen_address(value, quic);
    if let Some(listen) = reader.list("network.listen", listen) {
        config.network.listen = listen;
    }
    reader.put("network.mdns", values::switch, &mut config.network.mdns);
    reader.put(
        "network.accept_whitelist_requests",
        values::switch,
        &mut config.network.accept_whitelist_requests,
    );
    reader.put(
        "network.auto_share_keys",
        values::switch,
        &mut config.network.auto_share_keys,
    );
    reader.put(
        "network.auto_request_keys",
        values::switch,
        &mut config.network.auto_request_keys,
    );
    reader.put(
        "network.max_message_age_hours",
        |v| values::whole(v, 1..=24),
        &mut config.network.max_message_age_hours,
    );
    reader.put(
        "network.recommendations_needed",
        |v| values::whole(v, 1..=64),
        &mut config.network.recommendations_needed,
    );
    reader.put(
        "network.recommendations_to_read",
        |v| values::whole(v, 0..=64),
        &mut config.network.recommendations_to_read,
    );
    reader.put(
        "network.recommendation_depth",
        |v| values::whole(v, 1..=MAX_DEPTH),
        &mut config.network.recommendation_depth,
    );
    config.network.peers = reader.peers(quic);
    reader.limits(&mut config.network.limits);
    reader.put("api.listen", values::parsed, &mut config.api.listen);
    let operators = "api.operator_listen";
    config.api.operator_listen = reader.value(operators, values::parsed);
    let taken = |address: &SocketAddr| *address == config.api.listen && address.port() != 0;
    if config.api.operator_listen.as_ref().is_some_and(taken) {
        let what = "is the same as api.listen".into();
        reader.refuse(operators, Origin::Absent, what);
    }
    if let Some(names) = reader.list("api.operators", values::parsed) {
        config.api.operators = names.into_iter().collect();
    }
    reader.put("api.tls12", values::switch, &mut config.api.tls12);
    config.terminal = reader.terminal();
    config.gnss.device = reader.value("gnss.device", values::device);
    reader.put("gnss.baud", values::baud, &mut config.gnss.baud);
    let configure = &mut config.gnss.configure;
    reader.put("gnss.configure", values::switch, configure);
    reader.put("gnss.recorded", values::switch, &mut config.gnss.recorded);
    reader.put("place.boundary", values::path, &mut config.place.boundary);
    config.place.surveyed = reader.value("place.surveyed", values::point);
    reader.put(
        "place.surveyed_radius_m",
        values::radius_m,
        &mut config.place.surveyed_radius_m,
    );
    config.place.policy = reader.policy();
    reader.put(
        "home.confirm_wait_s",
        |v| values::whole(v, 0..=600),
        &mut config.home.confirm_wait_s,
    );
    reader.put(
        "home.unconfirmed_limit",
        values::parsed,
        &mut config.home.unconfirmed_limit,
    );
    reader.clearing(&mut config.clearing);
    reader.follow(&mut config.follow);
    config.not_after = reader.not_after();
    reader.keys(&mut config.keys);
    reader.fits_terminal(&config);
    reader.put(
        "clock.trust_system",
        values::switch,
        &mut config.clock.trust_system,
    );
    let store = &mut config.store;
    reader.put(
        "store.reserve_mib",
        |v| values::whole(v, 1..=1 << 20),
        &mut store.reserve_mib,
    );
    reader.put(
        "store.cache_mib",
        |v| values::whole(v, 1..=4096),
        &mut store.cache_mib,
    );
    let every = |value: &DeValue<'_>| values::span(value, HOUR_MS);
    let bodies = |value: &DeValue<'_>| values::span(value, MIN_BODIES_MS);
    let (checkpoint, retention) = (&mut config.checkpoint, &mut config.retention);
    reader.put("checkpoint.every", every, &mut checkpoint.every_ms);
    reader.put("retention.bodies", bodies, &mut retention.bodies_ms);
    reader.put("log.level", values::log_level, &mut config.log.level);

    let mistakes = reader.document.finish();
    if mistakes.is_empty() {
        Ok(config)
    } else {
        Err(mistakes)
    }
}

struct Reader<'a> {
    document: Document<'a>,
}

impl<'a> Reader<'a> {
    fn put<T>(&mut self, path: &str, read: impl Fn(&DeValue<'_>) -> Read<T>, into: &mut T) {
        if let Some(value) = self.value(path, read) {
            *into = value;
        }
    }

    /// Takes and reads a value; a mistake is noted.
    fn value<T>(&mut self, path: &str, read: impl Fn(&DeValue<'_>) -> Read<T>) -> Option<T> {
        let Leaf { value, origin } = self.document.take(path)?;
        match read(&value) {
            Ok(value) => Some(value),
            Err(what) => {
                self.refuse(path, origin, what);
                None
            }
        }
    }

    /// Takes and reads a list; each bad item is a mistake of its own.
    fn list<T>(&mut self, path: &str, read: impl Fn(&DeValue<'_>) -> Read<T>) -> Option<Vec<T>> {
        let Leaf { value, origin } = self.document.take(path)?;
        let DeValue::Array(items) = value else {
            let what = format!("has the type {}, not a list of strings", value.type_str());
            self.refuse(path, origin, what);
            return None;
        };
        let mut list = Vec::new();
        for (number, item) in items.iter().enumerate() {
            match read(item.get_ref()) {
                Ok(item) => list.push(item),
                Err(what) => self.refuse(&format!("{path}[{number}]"), origin.clone(), what),
            }
        }
        Some(list)
    }

    fn terminal(&mut self) -> Option<Terminal> {
        let home = self.value("terminal.home", values::parsed);
        let root = self.document.origin_of("terminal.tls_root");
        let tls_root = self.value("terminal.tls_root", values::path);
        let Some(home) = home else {
            if let Some(origin) = root.filter(|_| !self.noted("terminal.home")) {
                let what = "stands there without terminal.home".into();
                self.refuse("terminal.tls_root", origin, what);
            }
            return None;
        };
        let terminal = Terminal::of(home);
        Some(Terminal {
            tls_root: tls_root.unwrap_or(terminal.tls_root),
            ..terminal
        })
    }

    /// What a terminal needs beside its section, and what it must not have.
    fn fits_terminal(&mut self, config: &Config) {
        if config.terminal.is_none() {
            return;
        }
        let unread =
            |mistake: &Mistake| mistake.key == "node.region" || mistake.key.starts_with(PEER);
        if config.own_peers().next().is_none() && !self.document.mistakes.iter().any(unread) {
            let what = "has no peer of node.region: the home's log comes from there".into();
            let remedy = "add a [[network.peer]] with the home's peer id, this node's region and the home's address";
            self.document
                .note("terminal.home", Origin::Absent, what, remedy);
        }
        if config.keys.tpm_counter.is_some() {
            let what = "counts a log, and a terminal has none of its own".into();
            let remedy = "leave the key out at a terminal";
            self.document
                .note("keys.tpm_counter", Origin::Absent, what, remedy);
        }
    }

    fn clearing(&mut self, clearing: &mut Clearing) {
        self.put("clearing.limit", values::parsed, &mut clearing.limit);
        let limits = self.of_regions("clearing.limits", "an amount", MAX_CLEARING_LIMITS);
        if let Some(limits) = limits {
            clearing.limits = limits;
        }
        let days = self.value("clearing.grace_days", |value| values::whole(value, 0..=180));
        if let Some(days) = days {
            clearing.grace_ms = days * DAY_MS;
        }
        self.put(
            "clearing.reject_over_limit",
            values::switch,
            &mut clearing.reject_over_limit,
        );
    }

    fn follow(&mut self, follow: &mut Follow) {
        self.put("follow.policy", values::parsed, &mut follow.policy);
        let policies = "follow.policies";
        let policies = self.of_regions(policies, "full or headers", MAX_FOLLOW_POLICIES);
        if let Some(policies) = policies {
            follow.policies = policies;
        }
    }

    /// A list that says something of each of some regions.
    fn of_regions<T: FromStr<Err: Display>>(
        &mut self,
        path: &'static str,
        what: &str,
        most: usize,
    ) -> Option<Vec<(RegionPrefix, T)>> {
        let list = self.list(path, values::of_region(what))?;
        if list.len() > most {
            let found = format!("has {} items, more than {most}", list.len());
            self.refuse(path, Origin::Absent, found);
        }
        Some(list)
    }

    fn limits(&mut self, limits: &mut Limits) {
        let mut written = BTreeMap::new();
        for field in &FIELDS {
            let path = format!("{SECTION}.{}", field.name);
            let range = field.range.clone();
            written.extend(self.document.origin_of(&path).map(|at| (field.name, at)));
            if let Some(value) = self.value(&path, |value| values::whole(value, range.clone())) {
                field.set(limits, value);
            }
        }
        // What each may be alone, but not together.
        let (ping, silence) = (limits.ping.as_secs(), limits.silence.as_secs());
        let (ban, most) = (limits.ban.as_secs(), limits.ban_max.as_secs());
        let what = format!(
            "is {silence}, and ping_s {ping}: who has just been asked would be taken for gone"
        );
        let remedy = format!("set silence_s to {} or more", ping + PONG_S);
        let silent = (silence <= ping, ["silence_s", "ping_s"], what, remedy);
        let what = format!("is {most}, and ban_s {ban}");
        let banned = (
            most < ban,
            ["ban_max_s", "ban_s"],
            what,
            format!("set ban_max_s to at least {ban}"),
        );
        for (_, names, what, remedy) in [silent, banned].into_iter().filter(|(wrong, ..)| *wrong) {
            let path = format!("{SECTION}.{}", names[0]);
            // What was refused has its default here.
            if names
                .iter()
                .any(|name| self.noted(&format!("{SECTION}.{name}")))
            {
                continue;
            }
            let at = names.iter().find_map(|name| written.get(name));
            let at = at.cloned().unwrap_or(Origin::Absent);
            self.document.note(&path, at, what, &remedy);
        }
    }

    fn keys(&mut self, keys: &mut Keys) {
        self.put("keys.backend", values::parsed, &mut keys.backend);
        self.put("keys.tpm", values::tpm, &mut keys.tpm.address);
        if let Some(Leaf { value, origin }) = self.document.take("keys.tpm_pcrs") {
            match values::registers(&value) {
                Ok(pcrs) => keys.tpm.pcrs = pcrs,
                Err(what) => self.refuse("keys.tpm_pcrs", origin, what),
            }
        }
        keys.tpm_counter = self.value("keys.tpm_counter", values::counter_index);
        if let Some(classes) = self.list("keys.encrypt", values::parsed) {
            keys.encrypt = classes.into_iter().collect();
        }
    }

    fn noted(&self, path: &str) -> bool {
        self.document
            .mistakes
            .iter()
            .any(|mistake| mistake.key == path)
    }

    /// Notes a mistake with the remedy of its key.
    fn refuse(&mut self, path: &str, origin: Origin, what: String) {
        let without_item = path.rsplit_once('[').map_or(path, |(list, _)| list);
        let remedy = match path.strip_prefix("network.peer[") {
            Some(rest) => {
                let name = rest.split_once("].").map_or(rest, |(_, name)| name);
                let name = name.rsplit_once('[').map_or(name, |(list, _)| list);
                PEER_KEYS.iter().find(|key| key.path == name)
            }
            None => keys::find(path).or_else(|| keys::find(without_item)),
        };
        let remedy = remedy.map_or("correct it", |key| key.remedy);
        self.document.note(path, origin, what, remedy);
    }

    fn peers(&mut self, quic: bool) -> Vec<Peer> {
        let lines = self.document.peers.clone();
        if let Some(line) = lines.get(MAX_PEERS) {
            let what = format!("there are {} peers, more than {MAX_PEERS}", lines.len());
            self.document
                .note(PEER, Origin::Line(*line), what, "remove some");
        }
        let mut seen = BTreeSet::new();
        let mut peers = Vec::new();
        for (number, line) in lines.into_iter().enumerate() {
            let peer = self.peer(number, line, quic);
            if let Some(peer) = &peer
                && !seen.insert(peer.peer_id)
            {
                let key = format!("{PEER}[{number}].peer_id");
                let what = format!("{} stands here a second time", peer.peer_id);
                let remedy = "keep one [[network.peer]] of each peer id";
                self.document.note(&key, Origin::Line(line), what, remedy);
            }
            peers.extend(peer);
        }
        peers
    }

    fn peer(&mut self, number: usize, line: usize, quic: bool) -> Option<Peer> {
        let path = |name: &str| format!("{PEER}[{number}].{name}");
        let peer_id: Option<PeerId> = self.needed(&path("peer_id"), line, values::parsed);
        let name = self.needed(&path("name"), line, values::name);
        let region = self.needed(&path("region"), line, values::parsed);
        let read = |value: &DeValue<'_>| values::peer_address(value, peer_id, quic);
        let addresses: Vec<Multiaddr> = self.list(&path("addresses"), read).unwrap_or_default();
        let expires_at = self.value(&path("expires_at"), values::time);
        let roles: Vec<Role> = self
            .list(&path("roles"), values::parsed)
            .unwrap_or_default();
        Some(Peer {
            peer_id: peer_id?,
            name: name?,
            region: region?,
            addresses,
            expires_at,
            // Whoever is listed may sync.
            roles: roles.into_iter().chain(Role::sync_only()).collect(),
        })
    }

    fn needed<T>(
        &mut self,
        path: &str,
        line: usize,
        read: impl Fn(&DeValue<'_>) -> Read<T>,
    ) -> Option<T> {
        let value = self.value(path, read);
        if value.is_none() && !self.noted(path) {
            self.refuse(path, Origin::Line(line), "is missing".into());
        }
        value
    }

    fn not_after(&mut self) -> NotAfter {
        let mut dates = NotAfter::default();
        for id in NotAfter::ids() {
            if let Some(last) = self.value(&format!("{NOT_AFTER}.{id}"), values::time) {
                dates.set(id, last).expect("it is one of its own ids");
            }
        }
        dates
    }

    /// The policy: each key is tried alone, so that every mistake is named; then all together.
    fn policy(&mut self) -> PlacePolicy {
        let mut good = DeTable::new();
        let mut origins = Vec::new();
        for key in KEYS.iter().filter(|key| key.section() == POLICY) {
            let Some(Leaf { value, origin }) = self.document.take(key.path) else {
                continue;
            };
            let mut alone = DeTable::new();
            insert(&mut alone, key.name(), value.clone());
            match deserialize(alone) {
                Ok(_) => {
                    insert(&mut good, key.name(), value);
                    origins.push((key.name(), origin));
                }
                Err(what) => self.refuse(key.path, origin, what),
            }
        }
        let policy = match deserialize(good) {
            Ok(policy) => policy,
            // Each key alone was readable, so this is not reached; the default is never returned then.
            Err(what) => {
                self.refuse(POLICY, Origin::Absent, what);
                PlacePolicy::default()
            }
        };
        if let Err((_, field)) = policy.check() {
            let origin = origins.into_iter().find(|(name, _)| *name == field);
            let origin = origin.map_or(Origin::Absent, |(_, origin)| origin);
            self.refuse(
                &format!("{POLICY}.{field}"),
                origin,
                "makes no sense".into(),
            );
        }
        policy
    }
}

fn insert<'a>(table: &mut DeTable<'a>, name: &'static str, value: DeValue<'a>) {
    table.insert(Spanned::new(0..0, name.into()), Spanned::new(0..0, value));
}

fn deserialize(table: DeTable<'_>) -> Result<PlacePolicy, String> {
    let value = Spanned::new(0..0, DeValue::Table(table));
    PlacePolicy::deserialize(ValueDeserializer::from(value))
        .map_err(|error| format!("is refused: {}", error.message()))
}
