//! The operator of 金沢市 writes configurations, good and bad.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use city_drivers::gnss::Baud;
use city_node::config::{Config, ConfigError, Mistake, Origin, Overrides, Peer, keys};
use city_protocol::amount::Timestamp;
use city_protocol::crypto::NotAfter;
use city_protocol::place::{Grade, PlacePolicy};
use libp2p::identity::Keypair;
use std::ffi::OsString;
use std::path::Path;

const REGION: &str = "[node]\nregion = \"Asia/JP/17/17201\"\n";

fn read_with(text: &str, vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let vars = vars
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::from_text(Path::new("config.toml"), text, &Overrides::from_vars(vars))
}

fn read(text: &str) -> Result<Config, ConfigError> {
    read_with(text, &[])
}

/// Every mistake as `key@line`, after it was checked that file and remedy are told.
fn mistakes(result: Result<Config, ConfigError>) -> Vec<String> {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert_eq!(text.lines().count(), error.mistakes().len(), "{text}");
    let short = |mistake: &Mistake| {
        assert!(mistake.remedy.len() > 10, "{mistake:?}");
        assert!(
            text.contains(&mistake.remedy) && text.contains(&mistake.key),
            "{text}"
        );
        let at = match &mistake.origin {
            Origin::Line(line) => {
                assert!(text.contains(&format!("config.toml:{line}: ")), "{text}");
                line.to_string()
            }
            Origin::Variable(name) => name.clone(),
            Origin::Absent => "-".into(),
        };
        format!("{}@{at}", mistake.key)
    };
    error.mistakes().iter().map(short).collect()
}

fn peer() -> String {
    Keypair::generate_ed25519()
        .public()
        .to_peer_id()
        .to_string()
}

#[test]
fn each_region_can_have_its_own_clearing_limit() {
    let section = "[clearing]\nlimit = \"5.00\"\nlimits = [\"Asia/JP/17=7.00\"]\ngrace_days = 2\n";
    let config = read(&format!("{REGION}\n{section}")).unwrap();
    let limit = |region: &str| {
        config
            .clearing
            .limit_of(&region.parse().unwrap())
            .to_string()
    };
    assert_eq!(limit("Asia/JP/17/17203"), "7.00");
    assert_eq!(limit("Asia/JP/13/13101"), "5.00");
    assert_eq!(config.clearing.grace_ms, 2 * 24 * 60 * 60 * 1000);
    assert_eq!(read(&config.to_toml()).unwrap(), config);
    assert_eq!(read(&config.to_plain_toml()).unwrap(), config);
}

#[test]
fn spans_are_written_as_people_say_them() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    let check = |every: &str, bodies: &str, expected: (Option<u64>, Option<u64>)| {
        let sections =
            format!("[checkpoint]\nevery = \"{every}\"\n[retention]\nbodies = \"{bodies}\"\n");
        let config = read(&format!("{REGION}{sections}")).unwrap();
        let found = (config.checkpoint.every_ms, config.retention.bodies_ms);
        assert_eq!(found, expected, "{every}, {bodies}");
        assert_eq!(read(&config.to_toml()).unwrap(), config);
        assert_eq!(read(&config.to_plain_toml()).unwrap(), config);
    };
    check("1 day", "183 days", (Some(DAY), Some(183 * DAY)));
    check("36 hours", "30 days", (Some(DAY * 3 / 2), Some(30 * DAY)));
    check("1 hour", "off", (Some(DAY / 24), None));
    check("off", "36525 days", (None, Some(36_525 * DAY)));
    assert_eq!(read(REGION).unwrap().retention.bodies_ms, Some(183 * DAY));
}

#[test]
fn what_a_home_does_until_it_is_confirmed_can_be_set() {
    let section = "[home]\nconfirm_wait_s = 0\nunconfirmed_limit = \"0.00\"\n";
    let config = read(&format!("{REGION}\n{section}")).unwrap();
    assert_eq!(config.home.confirm_wait_s, 0);
    assert_eq!(config.home.unconfirmed_limit.to_string(), "0.00");
    assert_eq!(read(&config.to_toml()).unwrap(), config);
    assert_eq!(read(&config.to_plain_toml()).unwrap(), config);
    let config = read(REGION).unwrap();
    assert_eq!(config.home.confirm_wait_s, 10);
    assert_eq!(config.home.unconfirmed_limit.to_string(), "1000.00");
}

#[test]
fn a_region_is_enough_and_nothing_is_not() {
    let config = read(REGION).unwrap();
    assert_eq!(
        config,
        Config::for_region("Asia/JP/17/17201".parse().unwrap())
    );
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(
        config.network.listen[0].to_string(),
        "/ip4/0.0.0.0/tcp/7420"
    );
    assert_eq!((config.store.reserve_mib, config.store.cache_mib), (64, 32));
    assert_eq!(
        (config.gnss.device, config.gnss.baud, config.gnss.recorded),
        (None, Baud::Fixed(9600), false)
    );
    assert_eq!(mistakes(read("")), ["node.region@-"]);
}

#[test]
fn quic_is_named_where_it_is_off_and_read_where_it_is_on() {
    let peer = peer();
    let addresses = "[\"/dns/a.example/udp/7420/quic-v1\", \"/ip6/2001:db8::1/udp/7420/quic-v1\"]";
    let section = |quic: bool| {
        let network =
            format!("[network]\nquic = {quic}\nlisten = [\"/ip4/0.0.0.0/udp/7420/quic-v1\"]\n");
        let listed = format!("[[network.peer]]\npeer_id = \"{peer}\"\nname = \"小松市\"\n");
        let region = "region = \"Asia/JP/17/17203\"\n";
        format!("{REGION}{network}{listed}{region}addresses = {addresses}\n")
    };
    let config = read(&section(true)).unwrap();
    assert!(config.network.quic);
    assert_eq!(config.network.peers[0].addresses.len(), 2);
    assert_eq!(read(&config.to_toml()).unwrap(), config);
    assert_eq!(read(&config.to_plain_toml()).unwrap(), config);
    assert!(!read(REGION).unwrap().network.quic);
    let error = read(&section(false)).unwrap_err();
    assert_eq!(error.mistakes().len(), 3, "{error}");
    let named = error.mistakes().iter().all(|mistake| {
        mistake.what.contains("network.quic = true") && mistake.remedy.contains("network.quic")
    });
    assert!(named, "{error}");
}

#[test]
fn every_mistake_is_named_with_its_line_and_remedy() {
    let check = |line: &str, expected: &[&str]| {
        assert_eq!(
            mistakes(read(&format!("{REGION}{line}"))),
            expected,
            "{line}"
        );
    };
    check(
        "[network]\nlisten = \"/ip4/0.0.0.0/tcp/1\"",
        &["network.listen@4"],
    );
    check(
        "[network]\nlisten = [\"/ip4/0.0.0.0/udp/1/quic-v1\"]",
        &["network.listen[0]@4"],
    );
    check(
        "[network]\nquic = false\nlisten = [\"/ip6/::/udp/1/quic-v1\", \"/ip4/0.0.0.0/tcp/1\"]",
        &["network.listen[0]@5"],
    );
    check(
        "[network]\nquic = true\nlisten = [\"/ip4/0.0.0.0/udp/1\", \"/dns/a.example/udp/1/quic-v1\"]",
        &["network.listen[0]@5", "network.listen[1]@5"],
    );
    check("[network]\nquic = \"on\"", &["network.quic@4"]);
    check(
        "[network]\nlisten = [\"/ip4/0.0.0.0/tcp/1\", \"x\", 3]",
        &["network.listen[1]@4", "network.listen[2]@4"],
    );
    check(
        "[network]\nlisten = [\"/dns/kanazawa.example/tcp/1\"]",
        &["network.listen[0]@4"],
    );
    check("[network]\nmdns = \"yes\"", &["network.mdns@4"]);
    check(
        "[network.limits]\nstrangers = 0",
        &["network.limits.strangers@4"],
    );
    // Each alone would do.
    check(
        "[network.limits]\nping_s = 35\nban_s = 3601",
        &["network.limits.silence_s@4", "network.limits.ban_max_s@5"],
    );
    check(
        "[network.limits]\nban_max_s = 9",
        &["network.limits.ban_max_s@4"],
    );
    // A mistake alone, not with what it would have been.
    check(
        "[network.limits]\nping_s = 40\nsilence_s = 5000",
        &["network.limits.silence_s@5"],
    );
    check("[api]\nlisten = \"localhost:8443\"", &["api.listen@4"]);
    check("[api]\nlisten = \"127.0.0.1\"", &["api.listen@4"]);
    check("[api]\nlisten = \"127.0.0.1:65536\"", &["api.listen@4"]);
    check("[api]\noperators = \"hanako\"", &["api.operators@4"]);
    check(
        "[api]\noperators = [\"hanako\", \"花子\", \"\"]",
        &["api.operators[1]@4", "api.operators[2]@4"],
    );
    check(
        "[terminal]\nhome = \"http://node.example\"",
        &["terminal.home@4"],
    );
    check(
        "[terminal]\nhome = \"https://node.example/send/\"",
        &["terminal.home@4"],
    );
    check(
        "[terminal]\ntls_root = \"network/tls-root.pem\"",
        &["terminal.tls_root@4"],
    );
    check(
        "[terminal]\nhome = \"https://node.example:8443\"",
        &["terminal.home@-"],
    );
    check("[terminal]\nhoem = \"https://a:1\"", &["terminal.hoem@4"]);
    check("[gnss]\ndevice = \"ttyACM0\"", &["gnss.device@4"]);
    check("[gnss]\ndevice = \"\"", &["gnss.device@4"]);
    check("[gnss]\nbaud = 9601", &["gnss.baud@4"]);
    check("[gnss]\nbaud = \"9600\"", &["gnss.baud@4"]);
    check("[gnss]\nbaud = \"fast\"", &["gnss.baud@4"]);
    check("[gnss]\ndevice = \"automatic\"", &["gnss.device@4"]);
    check("[gnss]\nconfigure = \"yes\"", &["gnss.configure@4"]);
    check("[gnss]\nrecorded = 1", &["gnss.recorded@4"]);
    check("[place]\nboundary = 3", &["place.boundary@4"]);
    check(
        "[place.policy]\nrequired = \"suspect\"",
        &["place.policy.required@4"],
    );
    check(
        "[place.policy]\nrequired = \"good\"",
        &["place.policy.required@4"],
    );
    check(
        "[place.policy]\nmin_satellites = 300",
        &["place.policy.min_satellites@4"],
    );
    check(
        "[place.policy]\nwindow_ms = 0",
        &["place.policy.window_ms@4"],
    );
    check(
        "[place.policy]\nwindow_ms = -1\nversion = \"2\"",
        &["place.policy.window_ms@4", "place.policy.version@5"],
    );
    check(
        "[place.policy]\nmin_satelites = 3",
        &["place.policy.min_satelites@4"],
    );
    check(
        "[crypto.not_after]\nfips = \"2031-01-01\"\nrsa = \"2031-01-01T00:00:00Z\"",
        &["crypto.not_after.fips@4", "crypto.not_after.rsa@5"],
    );
    check("[crypto]\nnot_after = 1", &["crypto.not_after@4"]);
    check("[clock]\ntrust_system = 0", &["clock.trust_system@4"]);
    check(
        "[clearing]\nlimit = \"1e9\"\nlimits = [\"Asia/JP\", \"Asia/JP=5\", \"Asia/JP/17=5.00\"]",
        &[
            "clearing.limit@4",
            "clearing.limits[0]@5",
            "clearing.limits[1]@5",
        ],
    );
    check(
        "[clearing]\ngrace_days = 181\nreject_over_limit = 1",
        &["clearing.grace_days@4", "clearing.reject_over_limit@5"],
    );
    check("[retention]\nbodies = \"29 days\"", &["retention.bodies@4"]);
    check("[retention]\nbodies = 183", &["retention.bodies@4"]);
    check(
        "[retention]\nbodies = \"6 months\"",
        &["retention.bodies@4"],
    );
    check(
        "[retention]\nbodies = \"-40 days\"",
        &["retention.bodies@4"],
    );
    check("[checkpoint]\nevery = \"0 hours\"", &["checkpoint.every@4"]);
    check(
        "[checkpoint]\nevery = \"99999999999999999999 days\"",
        &["checkpoint.every@4"],
    );
    check(
        "[home]\nconfirm_wait_s = 601\nunconfirmed_limit = 5",
        &["home.confirm_wait_s@4", "home.unconfirmed_limit@5"],
    );
    check("[store]\nreserve_mib = 0", &["store.reserve_mib@4"]);
    check("[store]\ncache_mib = 5000", &["store.cache_mib@4"]);
    check("[store]\ncache_mib = 1.5", &["store.cache_mib@4"]);
    check("[log]\nlevel = \"inof\"", &["log.level@4"]);
    check("[log]\nlevel = \"info,city_node\"", &["log.level@4"]);
    check("[gps]\n", &["gps@3"]);
    check("[api]\nport = 3", &["api.port@4"]);
    check("[api.listen]\nport = 3", &["api.listen@3"]);
    check("[gnss]\nbaud = 9600\nbaud = 4800", &["@5"]);
    check("[gnss]\nbaud = ", &["@4"]);
    assert_eq!(
        mistakes(read("store = 3\n[node]\nregion = \"Asia/JP/17/17201\"")),
        ["store@1"]
    );
    assert_eq!(
        mistakes(read("[node]\nregion = \"Asia/JP/17201\"")),
        ["node.region@2"]
    );
    assert_eq!(mistakes(read("[node]\nregion = 17201")), ["node.region@2"]);
}

#[test]
fn all_mistakes_are_told_at_once_and_in_order() {
    let text = "[node]\nregion = \"金沢市\"\n[api]\nlisten = 3\nlisen = 4\n[gnss]\nbaud = 1\n[log]\nlevel = \"loud\"\n";
    let expected = [
        "node.region@2",
        "api.listen@4",
        "api.lisen@5",
        "gnss.baud@7",
        "log.level@9",
    ];
    assert_eq!(mistakes(read(text)), expected);
    let text = read(text).unwrap_err().to_string();
    assert!(text.contains("[api] knows listen"), "{text}");
}

#[test]
fn peers_are_checked_one_by_one() {
    let (komatsu, hakusan) = (peer(), peer());
    let good = format!(
        "{REGION}[[network.peer]]\npeer_id = \"{komatsu}\"\nname = \"小松市\"\nregion = \"Asia/JP/17/17203\"\n\
         addresses = [\"/dns/komatsu.example/tcp/7420\", \"/ip6/2001:db8::1/tcp/7420/p2p/{komatsu}\"]\n\
         expires_at = \"2027-04-01T00:00:00+09:00\"\n"
    );
    let config = read(&good).unwrap();
    let [peer] = config.network.peers.as_slice() else {
        panic!("one peer")
    };
    assert_eq!(peer.expires_at, Some(Timestamp(1_806_505_200_000)));
    assert_eq!(peer.addresses[1].to_string(), "/ip6/2001:db8::1/tcp/7420");
    let bootstrap: Vec<String> = config
        .bootstrap()
        .map(|address| address.to_string())
        .collect();
    assert_eq!(
        bootstrap[0],
        format!("/dns/komatsu.example/tcp/7420/p2p/{komatsu}")
    );

    let check = |change: (&str, &str), expected: &[&str]| {
        assert_eq!(
            mistakes(read(&good.replace(change.0, change.1))),
            expected,
            "{change:?}"
        );
    };
    check(("name = \"小松市\"\n", ""), &["network.peer[0].name@3"]);
    check(("小松市", " "), &["network.peer[0].name@5"]);
    check(
        (&komatsu, "12D3"),
        &[
            "network.peer[0].peer_id@4",
            "network.peer[0].addresses[1]@7",
        ],
    );
    check(
        (&format!("p2p/{komatsu}"), &format!("p2p/{hakusan}")),
        &["network.peer[0].addresses[1]@7"],
    );
    check(
        ("/dns/komatsu.example/tcp/7420", "/ip4/192.0.2.1/tcp/0"),
        &["network.peer[0].addresses[0]@7"],
    );
    for listed in ["/dnsaddr/komatsu.example/tcp/7420", "/dnsaddr", "/udp/1"] {
        check(
            ("/dns/komatsu.example/tcp/7420", listed),
            &["network.peer[0].addresses[0]@7"],
        );
    }
    let named = good.replace("/dns/komatsu.example/tcp/7420", "/dnsaddr/komatsu.example");
    let named = read(&named).unwrap();
    let first = named.bootstrap().next().unwrap().to_string();
    assert_eq!(first, format!("/dnsaddr/komatsu.example/p2p/{komatsu}"));
    check(
        ("2027-04-01T00:00:00+09:00", "2027-04-01"),
        &["network.peer[0].expires_at@8"],
    );
    check(("17/17203", "17203"), &["network.peer[0].region@6"]);
    check(("expires_at", "expires"), &["network.peer[0].expires@8"]);
    let twice = format!("{good}{}", good.strip_prefix(REGION).unwrap());
    assert_eq!(mistakes(read(&twice)), ["network.peer[1].peer_id@9"]);
    assert_eq!(
        mistakes(read(&format!("{REGION}[network]\npeer = 3"))),
        ["network.peer@4"]
    );
    let native = good.replace("\"2027-04-01T00:00:00+09:00\"", "2027-04-01T00:00:00+09:00");
    assert_eq!(
        read(&native).unwrap(),
        config,
        "TOML's own times are taken too"
    );
}

#[test]
fn a_receiver_may_be_found_by_itself_or_be_gpsds() {
    let gnss = |keys: &str| read(&format!("{REGION}[gnss]\n{keys}\n")).unwrap().gnss;
    let own = gnss("device = \"auto\"\nbaud = \"auto\"\nconfigure = false");
    assert_eq!(own.device.as_deref(), Some(Path::new("auto")));
    assert_eq!((own.baud, own.configure), (Baud::Auto, false));
    let gpsd = gnss("device = \"gpsd://127.0.0.1:2947\"");
    assert_eq!(gpsd.device, Some("gpsd://127.0.0.1:2947".into()));
    let file = gnss("device = \"file:/srv/roof.nmea\"");
    assert_eq!(file.device, Some("file:/srv/roof.nmea".into()));
    assert!(file.is_recorded() && !file.recorded && !gpsd.is_recorded());
    assert_eq!((gpsd.baud, gpsd.configure), (Baud::Fixed(9600), true));
}

#[test]
fn the_environment_overrides_and_is_blamed_by_name() {
    let vars = [
        ("CITY_NODE_API_LISTEN", "[::1]:9443"),
        (
            "CITY_NODE_NETWORK_LISTEN",
            "/ip4/127.0.0.1/tcp/0, /ip6/::1/tcp/0",
        ),
        ("CITY_NODE_NETWORK_MDNS", "true"),
        ("CITY_NODE_GNSS_BAUD", "38400"),
        ("CITY_NODE_PLACE_POLICY_REQUIRED", "attested"),
        ("CITY_NODE_LOG_LEVEL", "warn,city_node::net=debug"),
        ("CITY_NODE_GNSS_DEVICE", ""),
        (
            "CITY_NODE_CRYPTO_NOT_AFTER_DILITHIUM5_NTRU",
            "2030-01-01T00:00:00Z",
        ),
    ];
    let config = read_with(&format!("{REGION}[api]\nlisten = \"127.0.0.1:1\"\n"), &vars).unwrap();
    assert_eq!(config.api.listen.to_string(), "[::1]:9443");
    assert_eq!(config.network.listen.len(), 2);
    assert!(config.network.mdns);
    assert_eq!(config.gnss.baud, Baud::Fixed(38400));
    let last = config.not_after.of("dilithium5-ntru");
    assert_eq!(last, Some(Timestamp(1_893_456_000_000)));
    assert_eq!(config.place.policy.required, Grade::Attested);
    assert_eq!(config.log.level.as_str(), "warn,city_node::net=debug");
    assert_eq!(
        config.gnss.device, None,
        "an empty variable counts as not set"
    );

    let bad = [
        ("CITY_NODE_API_LISTEN", "here"),
        ("CITY_NODE_GNSS_BAUD", "fast"),
        ("CITY_NODE_NODE_REGION", "x"),
    ];
    let expected = [
        "api.listen@CITY_NODE_API_LISTEN",
        "gnss.baud@CITY_NODE_GNSS_BAUD",
        "node.region@CITY_NODE_NODE_REGION",
    ];
    let mut found = mistakes(read_with(REGION, &bad));
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn variables_that_mean_nothing_are_noticed() {
    let names = [
        "CITY_NODE_API_LISTN",
        "CITY_NODE_TEST_DATA",
        "CITY_NODE_SEED",
        "CITY_NODE_DATA_DIR",
        "HOME",
    ];
    let vars = names.map(|name| (OsString::from(name), OsString::from("x")));
    assert_eq!(
        Overrides::from_vars(vars).unknown(),
        ["CITY_NODE_API_LISTN"]
    );
}

#[test]
fn what_is_written_reads_back_and_has_a_word_on_every_key() {
    let mut config = Config::for_region("Asia/JP/17/17201".parse().unwrap());
    let file = config.to_toml();
    assert_eq!(read(&file).unwrap(), config);
    for key in keys::KEYS {
        assert!(
            file.contains(&format!("{} = ", key.name())),
            "{} is not in the file",
            key.path
        );
        for line in key.about.lines() {
            assert!(file.contains(line), "{} is not explained", key.path);
        }
    }
    for key in keys::PEER_KEYS {
        assert!(
            file.contains(&format!("# {} = ", key.path)),
            "{} is not in the file",
            key.path
        );
    }

    config.api.operators = ["jiro", "hanako"].map(|name| name.parse().unwrap()).into();
    config.gnss.device = Some("/dev/serial/by-id/usb \"u-blox\"".into());
    config.place.policy = PlacePolicy {
        version: 2,
        min_satellites: 6,
        ..PlacePolicy::default()
    };
    config.network.peers = vec![
        Peer {
            peer_id: peer().parse().unwrap(),
            name: "小松市 \"home\"".into(),
            region: "Asia/JP/17/17203".parse().unwrap(),
            addresses: vec!["/ip4/192.0.2.1/tcp/7420".parse().unwrap()],
            expires_at: Some(Timestamp(1_806_505_200_123)),
            roles: city_node::trust::Role::ALL.into(),
        },
        Peer {
            peer_id: peer().parse().unwrap(),
            name: "白山市".into(),
            region: "Asia/JP/17/17210".parse().unwrap(),
            addresses: Vec::new(),
            expires_at: None,
            roles: city_node::trust::Role::sync_only(),
        },
    ];
    for (day, id) in NotAfter::ids().enumerate() {
        let at = Timestamp(1_900_000_000_000 + day as u64 * 86_400_000);
        config.not_after.set(id, at).unwrap();
    }
    assert_eq!(read(&config.to_toml()).unwrap(), config);
    assert_eq!(read(&config.to_plain_toml()).unwrap(), config);
    assert!(!config.to_plain_toml().contains('#'));
}

#[test]
fn the_table_of_keys_knows_the_whole_policy() {
    let policy = serde_json::to_value(PlacePolicy::default()).unwrap();
    let mut fields: Vec<&str> = policy
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let section = |key: &&keys::Key| key.section() == "place.policy";
    let mut known: Vec<&str> = keys::KEYS
        .iter()
        .filter(section)
        .map(keys::Key::name)
        .collect();
    fields.sort_unstable();
    known.sort_unstable();
    assert_eq!(
        fields, known,
        "config/keys.rs must say a word on every field of PlacePolicy"
    );
    for key in keys::KEYS.iter().filter(section) {
        let value = policy[key.name()].to_string();
        assert_eq!(value.trim_matches('"'), key.example, "{}", key.path);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nowhere.toml");
    let error = Config::load_with(&path, &Overrides::none())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("nowhere.toml") && error.contains("city-node init"),
        "{error}"
    );
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    let error = Config::load_with(&path, &Overrides::none())
        .unwrap_err()
        .to_string();
    assert!(error.contains("not UTF-8"), "{error}");
}

#[test]
fn a_torn_or_scribbled_file_is_answered_and_never_a_panic() {
    let file = Config::for_region("Asia/JP/17/17201".parse().unwrap()).to_plain_toml();
    let file = format!("{file}[[network.peer]]\npeer_id = \"x\"\naddresses = [\"/ip4/::\"]\n");
    for cut in 0..file.len() {
        let _ = read(&file[..cut]);
        for scribble in ["[", "=", "\"", "[[network.peer]]", "\u{0}", "{", "1e9999"] {
            let _ = read(&format!("{}{scribble}{}", &file[..cut], &file[cut..]));
        }
    }
}

#[test]
fn recommendations_go_one_step_unless_it_is_said_and_three_at_most() {
    let depth = |value: &str| {
        read(&format!(
            "{REGION}[network]\nrecommendation_depth = {value}\n"
        ))
    };
    assert_eq!(read(REGION).unwrap().network.recommendation_depth, 1);
    assert_eq!(depth("3").unwrap().network.recommendation_depth, 3);
    for value in ["0", "4"] {
        assert_eq!(mistakes(depth(value)), ["network.recommendation_depth@4"]);
    }
}
