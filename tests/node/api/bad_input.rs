//! Bad input over HTTPS: a status, a stable code, and nothing stored.

use city_node::client::AdminClient;
use city_node::client::officer;
use city_node::client::person::{Person, random};
use city_node::engine::utc;
use city_protocol::body::{Grant, PersonBody, Transfer};
use city_protocol::crypto::{SecretKey, Signer, TAG_GRANT, TAG_TRANSFER};
use city_protocol::ids::{Digest, LogId, NetworkId};
use city_protocol::json;
use city_protocol::stage::{Draft, Signed};
use city_protocol::vertex::EntrySignature;
use hyper::Method;
use serde_json::{Value, json};

use super::signature;
use super::town::{Founded, Town};

/// The request of a signed body.
pub(super) fn form<B: PersonBody>(signed: &Signed<B>) -> Value {
    let body = std::str::from_utf8(signed.bytes()).unwrap();
    json!({"body": body, "signature": signature(signed.signature())})
}

/// The request of any text as this key's transfer.
fn signed_text(text: &str, key: &SecretKey) -> Value {
    let made = key.sign(TAG_TRANSFER, text.as_bytes());
    json!({"body": text, "signature": signature(&EntrySignature::new(key.public().id(), &made))})
}

/// What must not move.
#[derive(Debug, PartialEq)]
struct State {
    frontier: Vec<city_node::admin::pages::Head>,
    blocks: u64,
    available: String,
    next_sequence: u64,
}

async fn state(town: &Town, person: &Person) -> State {
    let admin = AdminClient::connect(&town.admin).await.unwrap();
    let status = admin.status().await.unwrap();
    let account = town.api.account(&person.account()).await.unwrap();
    State {
        frontier: status.frontier,
        blocks: status.store.blocks,
        available: account.available.to_string(),
        next_sequence: account.next_sequence,
    }
}

async fn check(town: &Town, path: &str, what: &str, form: &Value, status: u16, code: &str) {
    let (found, bytes) = town
        .api
        .raw(Method::POST, path, form.to_string())
        .await
        .unwrap();
    let problem = super::problem(&bytes);
    assert_eq!((found.as_u16(), &*problem.code), (status, code), "{what}");
}

const TRANSFERS: &str = "/send/api/transfers";

#[tokio::test(flavor = "multi_thread")]
async fn bad_transfers_are_refused_and_nothing_is_stored() {
    let town = Town::kanazawa().await;
    let (sender, receiver) = (town.citizen().await, town.citizen().await);
    town.grant(sender.account(), "1000.00").await;
    let order = town.order(&sender, &receiver, "10.00").await;
    let (Draft(body), _) = sender.draft(&order).unwrap();
    let other_place = town.order(&sender, &receiver, "10.00").await.proof_of_place;
    let before = state(&town, &sender).await;
    let key = sender.signing();

    // One field at a time, properly signed.
    let now = utc();
    let far = now.plus_ms(10 * 60 * 1000);
    let log = LogId([9; 32]);
    let fields: [(&str, Value, u16, &str); 29] = [
        ("amount", json!("1e3"), 400, "bad-amount"),
        ("amount", json!("-1"), 400, "bad-amount"),
        ("amount", json!("0.00"), 400, "bad-amount"),
        ("amount", json!("1.234"), 400, "bad-amount"),
        ("amount", json!("01.00"), 400, "bad-amount"),
        ("amount", json!(10), 400, "bad-field"),
        ("amount", json!("1000.01"), 422, "overdraft"),
        ("alg", json!("dilithium9"), 400, "unknown-algorithm"),
        (
            "network",
            json!(NetworkId::of(b"other")),
            422,
            "wrong-network",
        ),
        ("home", json!(log), 422, "wrong-home"),
        ("receiver_home", json!(log), 422, "wrong-receiver"),
        ("receiver", json!(sender.account()), 422, "same-account"),
        ("sender", json!(receiver.account()), 422, "same-account"),
        ("sequence", json!(2), 422, "sequence-gap"),
        ("sequence", json!(0), 400, "bad-field"),
        ("sequence", json!(1.5), 400, "bad-field"),
        ("created_at", json!(far), 422, "future-dated"),
        ("expires_at", json!(now.minus_ms(60_000)), 422, "expired"),
        (
            "proof_of_place",
            json!(Digest([3; 32])),
            422,
            "place-unknown",
        ),
        ("proof_of_place", json!(other_place), 422, "place-mismatch"),
        ("transfer_id", json!("00"), 400, "bad-field"),
        ("subject", json!(""), 400, "bad-field"),
        ("subject", json!("plain text"), 400, "bad-field"),
        ("from_wallet", json!(""), 400, "bad-field"),
        ("dimension", json!("galactic"), 400, "bad-field"),
        ("version", json!(2), 400, "unknown-version"),
        ("type", json!("accept"), 400, "bad-field"),
        ("unheard_of", json!("x"), 400, "bad-field"),
        ("sender_municipality", json!("17201"), 400, "bad-field"),
    ];
    for (field, value, status, code) in fields {
        let mut changed = serde_json::to_value(&body).unwrap();
        changed[field] = value.clone();
        let text = String::from_utf8(json::canonical(&changed)).unwrap();
        let what = format!("{field} = {value}");
        check(
            &town,
            TRANSFERS,
            &what,
            &signed_text(&text, key),
            status,
            code,
        )
        .await;
    }
    for field in [
        "amount",
        "details",
        "proof_of_place",
        "expires_at",
        "organism_name",
    ] {
        let mut changed = serde_json::to_value(&body).unwrap();
        changed.as_object_mut().unwrap().remove(field);
        let text = String::from_utf8(json::canonical(&changed)).unwrap();
        check(
            &town,
            TRANSFERS,
            field,
            &signed_text(&text, key),
            400,
            "bad-field",
        )
        .await;
    }

    // The same fields in other bytes.
    let text = String::from_utf8(json::canonical(&body)).unwrap();
    let twice = text.replacen('{', r#"{"action_level":"1","#, 1);
    let texts = [
        ("duplicate key", twice, "not-canonical"),
        ("blank", text.replacen(':', ": ", 1), "not-canonical"),
        ("line end", format!("{text}\n"), "not-canonical"),
        (
            "escape",
            text.replacen("main", "m\\u0061in", 1),
            "not-canonical",
        ),
        ("order", reversed(&body), "not-canonical"),
        ("byte order mark", format!("\u{feff}{text}"), "bad-json"),
        ("cut off", text[..text.len() - 1].to_owned(), "bad-json"),
        ("a list", format!("[{text}]"), "bad-field"),
    ];
    for (what, text, code) in texts {
        check(&town, TRANSFERS, what, &signed_text(&text, key), 400, code).await;
    }

    // Signatures.
    let good = signed_text(&text, key);
    let with = |field: &str, value: Value| {
        let mut form = good.clone();
        form["signature"][field] = value;
        form
    };
    let made = data_encoding::BASE64.decode(good["signature"]["sig"].as_str().unwrap().as_bytes());
    let made = made.unwrap();
    let base64 = |bytes: &[u8]| json!(data_encoding::BASE64.encode(bytes));
    let mut flipped = made.clone();
    flipped[1000] ^= 1;
    let others = receiver.signing().public().id();
    let forms = [
        (
            "flipped bit",
            with("sig", base64(&flipped)),
            403,
            "bad-signature",
        ),
        (
            "short",
            with("sig", base64(&made[1..])),
            400,
            "signature-length",
        ),
        (
            "long",
            with("sig", base64(&[&made[..], &[0]].concat())),
            400,
            "signature-length",
        ),
        (
            "no signature",
            with("sig", json!("")),
            400,
            "signature-length",
        ),
        ("not base64", with("sig", json!("*")), 400, "bad-field"),
        (
            "unknown algorithm",
            with("alg", json!("rsa")),
            400,
            "unknown-algorithm",
        ),
        (
            "another's key id",
            with("key", json!(others)),
            403,
            "wrong-key",
        ),
        ("no key id", with("key", json!("x")), 400, "bad-id"),
        ("unknown field", with("note", json!("x")), 400, "bad-field"),
    ];
    for (what, form, status, code) in forms {
        check(&town, TRANSFERS, what, &form, status, code).await;
    }
    let mut stolen = body.clone();
    stolen.key = others;
    let text = String::from_utf8(json::canonical(&stolen)).unwrap();
    let form_of_thief = signed_text(&text, receiver.signing());
    check(
        &town,
        TRANSFERS,
        "another's key",
        &form_of_thief,
        403,
        "wrong-key",
    )
    .await;
    let mut extra = good.clone();
    extra["hint"] = json!("x");
    check(
        &town,
        TRANSFERS,
        "unknown field beside",
        &extra,
        400,
        "bad-field",
    )
    .await;

    let nobody = town.stranger().await;
    let (unknown, _) = nobody.transfer(&order).unwrap();
    check(
        &town,
        TRANSFERS,
        "nobody",
        &form(&unknown),
        404,
        "unknown-account",
    )
    .await;
    assert_eq!(state(&town, &sender).await, before);
    // And the untouched one is taken: nothing of the above was refused for another reason.
    town.api
        .transfer(&Draft::<Transfer>(body).sign(key).unwrap())
        .await
        .unwrap();
    assert_ne!(state(&town, &sender).await, before);
}

/// The body with its fields in the wrong order.
fn reversed(body: &Transfer) -> String {
    let value = serde_json::to_value(body).unwrap();
    let fields = value.as_object().unwrap().iter().rev();
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", fields.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_grants_are_refused_and_nothing_is_stored() {
    let town = Town::kanazawa().await;
    let citizen = town.citizen().await;
    let node = town.api.node().await.unwrap();
    let amount = "1000.00".parse().unwrap();
    let body = officer::grant(&node, citizen.account(), amount, "始め", utc()).unwrap();
    let before = state(&town, &citizen).await;
    let officers = &town.founded.officers;
    let stranger = SecretKey::generate(officers[0].public().algorithm());
    let signed = |body: &Grant, keys: &[&SecretKey]| {
        let text = json::canonical(body);
        let signatures: Vec<Value> = keys
            .iter()
            .map(|key| {
                let public = key.public();
                let message = Grant::officer_message(public.algorithm(), &public.id(), &text);
                signature(&EntrySignature::new(
                    public.id(),
                    &key.sign(TAG_GRANT, &message),
                ))
            })
            .collect();
        json!({"body": String::from_utf8(text).unwrap(), "signatures": signatures})
    };
    let (one, two, three) = (&officers[0], &officers[1], &officers[2]);
    let mut forged = signed(&body, &[one, two]);
    forged["signatures"][1]["sig"] = forged["signatures"][0]["sig"].clone();
    let other_network = Grant {
        network: NetworkId::of(b"other"),
        ..body.clone()
    };
    let other_home = Grant {
        home: LogId([9; 32]),
        ..body.clone()
    };
    let nobody = Grant {
        account: town.stranger().await.account(),
        ..body.clone()
    };
    let cases = [
        ("nobody", signed(&body, &[]), 403, "officers-short"),
        ("one of two", signed(&body, &[one]), 403, "officers-short"),
        (
            "one twice",
            signed(&body, &[one, one]),
            403,
            "officers-short",
        ),
        (
            "a stranger",
            signed(&body, &[one, &stranger]),
            403,
            "officers-short",
        ),
        (
            "four",
            signed(&body, &[one, two, three, one]),
            403,
            "officers-short",
        ),
        ("forged", forged, 403, "bad-signature"),
        (
            "network",
            signed(&other_network, &[one, two]),
            422,
            "wrong-network",
        ),
        ("home", signed(&other_home, &[one, two]), 422, "wrong-home"),
        (
            "account",
            signed(&nobody, &[one, two]),
            404,
            "unknown-account",
        ),
    ];
    for (what, form, status, code) in cases {
        check(&town, "/send/api/grants", what, &form, status, code).await;
    }
    assert_eq!(state(&town, &citizen).await, before);
    let good = signed(&body, &[three, one]);
    let (status, _) = town
        .api
        .raw(Method::POST, "/send/api/grants", good.to_string())
        .await
        .unwrap();
    assert_eq!(status.as_u16(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_enrolments_places_and_acceptances_are_refused() {
    let town = Town::kanazawa().await;
    let (citizen, stranger) = (town.citizen().await, town.stranger().await);
    let before = state(&town, &citizen).await;
    let base64 = |bytes: &[u8]| json!(data_encoding::BASE64.encode(bytes));
    let enrolment = |certificate: &[u8]| {
        let mut form = form(&stranger.enrol(certificate, utc()).unwrap());
        form["certificate"] = base64(certificate);
        form
    };
    let good = town.certificate(&stranger);
    let elsewhere = Founded::kanazawa();
    let days = city_node::pki::Validity::days(utc().minus_ms(3_600_000), 1);
    let foreign =
        stranger.request_certificate(|request| elsewhere.ca.issue_client(request, days).unwrap());
    let past = city_node::pki::Validity::days(utc().minus_ms(3 * 86_400_000), 1);
    let expired = stranger
        .request_certificate(|request| town.founded.ca.issue_client(request, past).unwrap());
    let mut exchanged = enrolment(&good);
    exchanged["certificate"] = base64(&town.certificate(&citizen));
    let mut cut = enrolment(&good);
    cut["certificate"] = base64(&good[..good.len() - 1]);
    let mut chain = enrolment(&good);
    chain["chain"] = json!(["", "", "", "", ""]);
    let enrol = "/send/api/enrol";
    check(
        &town,
        enrol,
        "another CA",
        &enrolment(&foreign),
        403,
        "bad-certificate",
    )
    .await;
    check(
        &town,
        enrol,
        "expired",
        &enrolment(&expired),
        403,
        "bad-certificate",
    )
    .await;
    check(
        &town,
        enrol,
        "another's certificate",
        &exchanged,
        403,
        "bad-certificate",
    )
    .await;
    check(&town, enrol, "cut off", &cut, 403, "bad-certificate").await;
    check(
        &town,
        enrol,
        "five intermediates",
        &chain,
        403,
        "bad-certificate",
    )
    .await;

    let account = citizen.account();
    let place = |account: &str, id: &str, nonce: &str| json!({"account": account, "transfer_id": id, "nonce": nonce});
    let hex = "0".repeat(32);
    let path = "/send/api/place";
    let unknown = stranger.account();
    check(
        &town,
        path,
        "nobody",
        &place(unknown.as_str(), &hex, &hex),
        404,
        "unknown-account",
    )
    .await;
    check(
        &town,
        path,
        "account",
        &place("x", &hex, &hex),
        400,
        "bad-id",
    )
    .await;
    check(
        &town,
        path,
        "id",
        &place(account.as_str(), "x", &hex),
        400,
        "bad-id",
    )
    .await;
    check(
        &town,
        path,
        "nonce",
        &place(account.as_str(), &hex, "00"),
        400,
        "bad-field",
    )
    .await;
    let shouting = "A".repeat(32);
    check(
        &town,
        path,
        "nonce",
        &place(account.as_str(), &hex, &shouting),
        400,
        "bad-field",
    )
    .await;

    let item = city_node::api::wire::IncomingItem {
        transfer: Digest(random()),
        transfer_id: city_protocol::ids::TransferId(random()),
        sender: stranger.account(),
        sender_home: citizen.home(),
        amount: "1.00".parse().unwrap(),
        received_at: utc(),
        transaction_hash: Digest([0; 32]),
    };
    let accept = form(&citizen.accept(&item, 1, utc()).unwrap());
    check(
        &town,
        "/send/api/accepts",
        "no transfer",
        &accept,
        404,
        "unknown-transfer",
    )
    .await;
    let accept = form(&stranger.accept(&item, 1, utc()).unwrap());
    check(
        &town,
        "/send/api/accepts",
        "nobody",
        &accept,
        404,
        "unknown-account",
    )
    .await;
    assert_eq!(state(&town, &citizen).await, before);
    town.api
        .enrol(&stranger.enrol(&good, utc()).unwrap(), &good, &[])
        .await
        .unwrap();
}
