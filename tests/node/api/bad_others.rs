//! Bad grants, enrolments, place requests and acceptances over HTTPS.

use city_node::client::officer;
use city_node::client::person::random;
use city_node::engine::utc;
use city_protocol::body::{Grant, officer_message};
use city_protocol::crypto::{SecretKey, Signer, TAG_GRANT};
use city_protocol::ids::{Digest, LogId, NetworkId};
use city_protocol::json;
use city_protocol::vertex::EntrySignature;
use hyper::Method;
use serde_json::{Value, json};

use super::bad_input::{check, form, state};
use super::signature;
use super::town::{Founded, Town};

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
                let message = officer_message(public.algorithm(), &public.id(), &text);
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
        deadline: utc(),
        transaction_hash: Digest([0; 32]),
        finality: "sequenced".into(),
        witnesses: 0,
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
