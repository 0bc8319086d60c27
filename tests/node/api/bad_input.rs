//! Bad transfers over HTTPS: a status, a stable code, and nothing stored.

use city_node::client::AdminClient;
use city_node::client::person::Person;
use city_node::engine::utc;
use city_protocol::body::{PersonBody, Transfer};
use city_protocol::crypto::{SecretKey, Signer, TAG_TRANSFER};
use city_protocol::ids::{Digest, LogId, NetworkId};
use city_protocol::json;
use city_protocol::stage::{Draft, Signed};
use city_protocol::vertex::EntrySignature;
use hyper::Method;
use serde_json::{Value, json};

use super::signature;
use super::town::Town;

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
pub(super) struct State {
    frontier: Vec<city_node::admin::pages::Head>,
    blocks: u64,
    available: String,
    next_sequence: u64,
}

pub(super) async fn state(town: &Town, person: &Person) -> State {
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

pub(super) async fn check(
    town: &Town,
    path: &str,
    what: &str,
    form: &Value,
    status: u16,
    code: &str,
) {
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
        ("transfer_id", json!("00"), 400, "bad-id"),
        ("subject", json!(""), 400, "bad-field"),
        ("subject", json!("plain text"), 400, "bad-field"),
        ("from_wallet", json!(""), 400, "bad-field"),
        ("dimension", json!("galactic"), 400, "bad-field"),
        ("version", json!(2), 400, "unknown-version"),
        ("type", json!("accept"), 400, "bad-field"),
        ("unheard_of", json!("x"), 400, "bad-field"),
        ("sender_municipality", json!("17201"), 400, "bad-region"),
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
