//! The exchange of the own transport key, cut off behind each of its steps; and what it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use city_node::setup::load_identity;
use city_protocol::pki::Role;

use super::{certified, id, pem, prepared, text};
use crate::daemon::city::{directory, found};

#[test]
fn cut_off_anywhere_the_node_has_one_key_whole_or_the_other() {
    let root = directory();
    let cities = found(root.path(), 2);
    let city = &cities[0];
    let (old, data) = (id(city), &city.data);
    let (new, certificate) = prepared(city, root.path());
    let record = data.rotation(&new);
    let files = [
        record.clone(),
        data.node_certificate(),
        data.transport_key(),
        data.next_transport_key(),
    ];
    let contents = || files.clone().map(|path| fs::read(path).ok());
    let put = |contents: &[Option<Vec<u8>>]| {
        for (path, content) in files.iter().zip(contents) {
            match content {
                Some(content) => {
                    fs::write(path, content).unwrap();
                    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
                }
                None => drop(fs::remove_file(path)),
            }
        }
    };
    let before = contents();
    let finish = ["key", "rotate", "transport", "finish"];
    let copy = root.path().join("copy.cbor");
    let arguments = ["--certificate", text(&certificate), "--out", text(&copy)];
    let done = city.answer(&finish, &arguments, 0);
    assert_eq!(
        (&done["new"], &done["told"]),
        (&new.as_str().into(), &serde_json::json!([]))
    );
    let after = contents();
    assert_eq!(after[0], fs::read(&copy).ok());
    assert_eq!(after[3], None, "nothing lies about");

    // In the order in which they are written: record, certificate, key, and the next one's file goes.
    for steps in 0..=files.len() {
        let cut = [&after[..steps], &before[steps..]].concat();
        put(&cut);
        let found = load_identity(data)
            .unwrap()
            .transport
            .public()
            .to_peer_id()
            .to_string();
        let expected = if steps < 2 { &old } else { &new };
        assert_eq!(found, *expected, "behind {steps} steps");
        if steps < 2 {
            let again = city.answer(&finish, &["--certificate", text(&certificate)], 0);
            assert_eq!(
                again["new"],
                new.as_str(),
                "done again behind {steps} steps"
            );
        }
        assert!(!data.next_transport_key().exists(), "brought to its end");
        let shown = city.answer(&["key", "rotate", "transport", "show"], &[], 0);
        assert_eq!(shown["records"].as_array().unwrap().len(), 1);
    }
    assert!(record.exists());
}

#[test]
fn a_certificate_by_which_nobody_would_follow_changes_nothing() {
    let root = directory();
    let cities = found(root.path(), 2);
    let city = &cities[0];
    let finish = ["key", "rotate", "transport", "finish"];
    let own = city.data.node_certificate();
    let refused = |certificate: &std::path::Path| {
        let said = city.refusal(&finish, &["--certificate", text(certificate)], 1);
        let now = load_identity(&city.data).unwrap();
        assert_eq!(now.transport.public().to_peer_id().to_string(), id(city));
        said
    };
    assert!(refused(&own).contains("prepare"));
    let (next, _) = prepared(city, root.path());
    assert!(refused(&own).contains("not for the new peer id"));
    let region = city.config.node.region.as_str();
    let others = cities[1].config.node.region.as_str();
    let make = |name: &str, region: &str, role| {
        pem(root.path(), name, &certified(city, &next, region, role))
    };
    let said = refused(&make("region", others, Role::Home));
    assert!(said.contains(others), "{said}");
    let said = refused(&make("role", region, Role::Terminal));
    assert!(said.contains("role"), "{said}");
    let of_another = pem(
        root.path(),
        "keys",
        &certified(&cities[1], &next, region, Role::Home),
    );
    let said = refused(&of_another);
    assert!(said.contains("ledger key"), "{said}");
    let nothing = root.path().join("nothing.pem");
    fs::write(&nothing, "nothing").unwrap();
    assert!(refused(&nothing).contains("PEM"));
    let shown = city.answer(&["key", "rotate", "transport", "show"], &[], 0);
    assert_eq!(
        (&shown["records"], &shown["prepared"]),
        (&serde_json::json!([]), &true.into())
    );
}
