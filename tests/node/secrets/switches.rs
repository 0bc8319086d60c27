//! There is no switch: names that other software takes for one change nothing, and the program knows none.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use city_node::api::problem::ProblemBody;
use city_node::api::wire::SignatureForm;
use city_node::client::ApiClient;
use city_node::client::person::{Order, Person};
use city_node::engine::utc;
use city_protocol::amount::Amount;
use hyper::Method;
use serde_json::{Value, json};

use crate::daemon::city::{City, Node, alone, directory, run};

/// Variables by which programs are told to check less, or are in a test.
const SWITCHES: [&str; 14] = [
    "TEST_ENV",
    "TEST_MODE",
    "TESTING",
    "INSECURE",
    "DEBUG",
    "DEV",
    "NODE_ENV",
    "RUST_TEST",
    "SKIP_VERIFY",
    "NO_VERIFY",
    "DISABLE_AUTH",
    "CITY_NODE_INSECURE",
    "CITY_NODE_TEST_ENV",
    "CITY_NODE_SKIP_VERIFY",
];

/// A node that has all of them set, to what each of such programs takes for yes.
async fn told_to_be_careless(city: &City, yes: &str) -> Node {
    let mut command = run(&city.data, &[]);
    command.envs(SWITCHES.map(|name| (name, yes)));
    let mut node = city.start_as(command);
    node.comes_up().await.unwrap();
    node
}

/// Status and code of what is answered to a form.
async fn answer(api: &ApiClient, path: &str, form: &Value) -> (u16, String) {
    let answer = api.raw(Method::POST, path, form.to_string()).await;
    let (status, body) = answer.unwrap();
    let problem: ProblemBody = serde_json::from_slice(&body)
        .unwrap_or_else(|_| panic!("{status}: {}", String::from_utf8_lossy(&body)));
    (status.as_u16(), problem.code)
}

/// What a careless node would let in, each with what it is refused with.
async fn refusals(api: &ApiClient, person: &Person) -> Vec<(u16, String)> {
    let home = api.node().await.unwrap();
    let other = Person::generate(&home);
    let neighbour = Person::generate(&home).account();
    let mut order = Order::new(neighbour, &home, Amount::from_hundredths(100));
    order.created_at = utc();
    (order.subject, order.details, order.location) = ("野菜".into(), "葱".into(), "市場".into());
    let form = |person: &Person, break_it: bool| {
        let (signed, _) = person.transfer(&order).unwrap();
        let body = std::str::from_utf8(signed.bytes()).unwrap().to_owned();
        let mut signature = signed.signature().clone();
        if break_it {
            signature.sig[100] ^= 1;
        }
        json!({"body": body, "signature": SignatureForm::from(&signature)})
    };
    let transfers = "/send/api/transfers";
    // A signature that is none; somebody without account or certificate; no account opened without certificate.
    let broken = answer(api, transfers, &form(person, true)).await;
    let nobody = answer(api, transfers, &form(&other, false)).await;
    let enrol = other.enrol(b"no certificate", utc()).unwrap();
    let mut enrolment = json!({
        "body": std::str::from_utf8(enrol.bytes()).unwrap(),
        "signature": SignatureForm::from(enrol.signature()),
        "certificate": "bm8gY2VydGlmaWNhdGU=",
    });
    let uncertified = answer(api, "/send/api/enrol", &enrolment).await;
    enrolment.as_object_mut().unwrap().remove("certificate");
    let missing = answer(api, "/send/api/enrol", &enrolment).await;
    // An account with a token of one's own making, signed by nobody.
    let path = format!("/send/api/accounts/{}", person.account());
    api.take_token(person.account(), "eyJhbGciOiJub25lIn0.e30.");
    let answered = api.raw_as(&person.account(), Method::GET, &path, "").await;
    let forged: ProblemBody = serde_json::from_slice(&answered.unwrap().1).unwrap();
    vec![
        broken,
        nobody,
        uncertified,
        missing,
        (forged.status, forged.code),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_the_environment_lets_anything_in() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let node = city.ready().await;
    let api = city.api(&node);
    let person = city.rich(&api, 10_000).await;
    let expected = refusals(&api, &person).await;
    assert!(
        expected
            .iter()
            .all(|(status, _)| (400..500).contains(status)),
        "{expected:?}"
    );
    assert_eq!(expected[0].1, "bad-signature", "{expected:?}");
    let different: BTreeSet<_> = expected.iter().map(|(_, code)| code).collect();
    assert_eq!(
        different.len(),
        expected.len(),
        "each for its own reason: {expected:?}"
    );
    node.stop().await;
    for yes in ["1", "true"] {
        let node = told_to_be_careless(&city, yes).await;
        let api = city.api(&node);
        assert_eq!(refusals(&api, &person).await, expected, "with {yes}");
        // It says which it does not know.
        assert!(node.log().contains("CITY_NODE_INSECURE"), "{}", node.log());
        node.stop().await;
    }
}

/// What follows the prefix of the program's variables wherever it stands in a text.
fn variables(text: &str) -> BTreeSet<&str> {
    let begins = text.split("CITY_NODE_").skip(1);
    let name = |rest: &str| {
        rest.bytes()
            .take_while(|byte| byte.is_ascii_uppercase() || *byte == b'_')
            .count()
    };
    begins.map(|rest| &rest[..name(rest)]).collect()
}

/// All Rust below a directory.
fn sources(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
    found
}

#[test]
fn the_program_knows_no_such_names() {
    let program = fs::read(env!("CARGO_BIN_EXE_city-node")).unwrap();
    let has = |name: &str| {
        program
            .windows(name.len())
            .any(|window| window == name.as_bytes())
    };
    // The search finds what is there.
    assert!(has("SSLKEYLOGFILE"));
    for name in [
        "TEST_ENV",
        "SKIP_VERIFY",
        "NO_VERIFY",
        "DISABLE_AUTH",
        "CITY_NODE_INSECURE",
    ] {
        assert!(!has(name), "{name} stands in the program");
    }
    // Whatever begins as its variables do is one of these. Read in the sources: in the program the prefix also stands
    // alone, and the linker puts any other text behind it.
    let known = [
        "",
        "CONFIG",
        "DATA_DIR",
        "API_LISTEN",
        "LOG_LEVEL",
        "RESTARTED",
        "BUILD_TIME",
        "TEST_DATA",
        "SEED",
    ];
    let node = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rooms = ["src", "protocol/src", "../drivers/src"];
    let texts: Vec<_> = rooms
        .iter()
        .flat_map(|room| sources(&node.join(room)))
        .collect();
    let names: BTreeSet<_> = texts.iter().flat_map(|text| variables(text)).collect();
    assert!(names.contains("DATA_DIR"), "{names:?}");
    for name in names {
        assert!(
            known.contains(&name),
            "CITY_NODE_{name} is a variable that nobody wrote down"
        );
    }
}
