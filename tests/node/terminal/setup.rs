//! What goes wrong when a kiosk is set up is told before anything is made.

use std::fs;

use city_node::config::{Config, Overrides, Terminal};
use city_node::setup::write_config;

use super::super::account::{run, text};
use super::super::daemon::city::{alone, directory};
use super::{Town, given, init};

#[test]
fn whoever_sets_up_a_kiosk_wrongly_is_told_what_to_do() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    city.config.network.listen = vec!["/ip4/127.0.0.1/tcp/7420".parse().unwrap()];
    let data = root.path().join("k");
    let good = init(&city, &data, &[]);
    let without = |name: &str| {
        let at = good.iter().position(|part| part == name).unwrap();
        let mut rest = good.clone();
        rest.drain(at..at + 2);
        rest
    };
    let with = |name: &str, value: &str| {
        let at = good.iter().position(|part| part == name).unwrap();
        let mut other = good.clone();
        other[at + 1] = value.into();
        other
    };
    let more = |more: &[&str]| init(&city, &data, more);
    fs::create_dir(root.path().join("o")).unwrap();
    let other = alone(&root.path().join("o"), root.path().join("o/d"));
    let charter = other.data.charter();
    let cases = [
        (without("--home"), 2, "--home URL is needed"),
        (without("--home-charter"), 2, "charter.json"),
        (without("--home-peer"), 2, "--home-peer MULTIADDR"),
        (
            with("--home", "http://node.example"),
            2,
            "is not an address",
        ),
        (
            with("--home", "https://node.example/send/"),
            2,
            "is not an address",
        ),
        (
            more(&["--officer", "a.pub", "--officers-needed", "1"]),
            2,
            "leave them out for a terminal",
        ),
        (with("--role", "home"), 2, "are for --role terminal"),
        (
            with("--region", "Asia/JP/17/17203"),
            1,
            "a terminal belongs to its home's municipality",
        ),
        (
            with("--home-charter", text(&charter)),
            1,
            "copy charter.json from the home's data directory",
        ),
        (
            with("--home-charter", text(&root.path().join("none"))),
            1,
            "none",
        ),
        (with("--home-peer", "/ip4/127.0.0.1/udp/1"), 1, "addresses"),
        (with("--network", text(&data)), 1, "k"),
    ];
    for (arguments, expected, part) in cases {
        let (code, told) = run(root.path(), &given(&arguments));
        assert!(
            code == expected && told.contains(part),
            "{part:?} and {expected} are expected of {arguments:?}: {code}\n{told}"
        );
        assert!(!data.exists(), "{arguments:?} left something behind");
    }
    let (code, told) = run(root.path(), &given(&good));
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("[[network.peer]]"), "{told}");
    let file = data.join("config.toml");
    let check = ["config", "check", text(&file)];
    assert_eq!(run(root.path(), &check).0, 0);
    // It holds no key of the CA, and no log begins there.
    assert!(!data.join("ca").exists() && !data.join("NEVER_BEGUN").exists());
    let (code, told) = run(root.path(), &given(&good));
    assert!(
        code == 1 && told.contains("not an empty directory"),
        "{told}"
    );
}

#[tokio::test]
async fn a_configuration_that_is_not_the_nodes_is_refused_before_it_starts() {
    let town = Town::founded();
    let run_it = |data: &std::path::Path| run(town.root.path(), &["run", "--data-dir", text(data)]);
    let good = Config::load_with(&town.kiosk.config(), &Overrides::none()).unwrap();
    let without = Config {
        terminal: None,
        ..good.clone()
    };
    write_config(&town.kiosk, &without).unwrap();
    let (code, told) = run_it(town.kiosk.path());
    assert!(
        code == 78 && told.contains("terminal.home is missing"),
        "{code} {told}"
    );
    let home = Config {
        terminal: good.terminal.clone(),
        ..town.city.config.clone()
    };
    write_config(&town.city.data, &home).unwrap();
    let (code, told) = run_it(town.city.data.path());
    assert!(
        code == 78 && told.contains("take [terminal] out"),
        "{code} {told}"
    );
    // Without the home among the peers there would be no log to follow.
    let mut lonely = good.clone();
    lonely.network.peers.clear();
    write_config(&town.kiosk, &lonely).unwrap();
    let file = town.kiosk.config();
    let check = ["config", "check", text(&file)];
    let (code, told) = run(town.root.path(), &check);
    assert!(
        code == 4 && told.contains("add a [[network.peer]] with the home's peer id"),
        "{code} {told}"
    );
    // The roots of the home's certificate are read at the start.
    let rootless = Config {
        terminal: good.terminal.clone().map(|terminal| Terminal {
            tls_root: "network/none.pem".into(),
            ..terminal
        }),
        ..good
    };
    write_config(&town.kiosk, &rootless).unwrap();
    let (code, told) = run_it(town.kiosk.path());
    assert!(
        code != 0 && told.contains("terminal.tls_root") && told.contains("none.pem"),
        "{code} {told}"
    );
    assert!(!fs::exists(town.kiosk.path().join("admin.sock")).unwrap_or(true));
}
