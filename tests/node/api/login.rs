//! People log in at their home, and only they see what is theirs.

use std::time::{Duration, Instant};

use city_node::api::problem::ProblemBody;
use city_node::api::wire::{AccountPage, ChallengePage};
use city_node::client::ApiClient;
use city_node::client::person::Person;
use city_protocol::body::Login;
use city_protocol::crypto::{Algorithm, SecretKey, Signer as _};
use city_protocol::ids::{AccountId, KeyId};
use city_protocol::vertex::EntrySignature;
use hyper::Method;
use serde_json::{Value, json};

use super::edges::refused;
use super::town::{Plan, Town};

async fn challenge(town: &Town) -> [u8; 32] {
    let path = "/send/api/login/challenge";
    let (status, body) = town.api.raw(Method::POST, path, "").await.unwrap();
    assert_eq!(status.as_u16(), 200);
    let page: ChallengePage = serde_json::from_slice(&body).unwrap();
    page.challenge.try_into().unwrap()
}

fn form((bytes, signature): &(Vec<u8>, EntrySignature)) -> Value {
    json!({"body": std::str::from_utf8(bytes).unwrap(), "signature": {
        "alg": signature.alg, "key": signature.key,
        "sig": data_encoding::BASE64.encode(&signature.sig),
    }})
}

async fn answer(town: &Town, form: &Value) -> (u16, Value) {
    let path = "/send/api/login";
    let answer = town.api.raw(Method::POST, path, form.to_string());
    let (status, body) = answer.await.unwrap();
    (status.as_u16(), serde_json::from_slice(&body).unwrap())
}

/// How an account is seen with this client.
async fn seen(client: &ApiClient, of: &Person) -> Result<AccountPage, (u16, String)> {
    let page = client.account(&of.account()).await;
    page.map_err(|error| (error.status().unwrap(), error.code().unwrap().to_owned()))
}

fn told(status: u16, code: &str) -> Result<AccountPage, (u16, String)> {
    Err((status, code.into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_somebodys_is_for_them() {
    let town = Town::kanazawa().await;
    let (hanako, taro) = (town.citizen().await, town.citizen().await);
    let (alone, stranger) = (town.client(), town.stranger().await);
    assert_eq!(seen(&alone, &hanako).await, told(401, "login-required"));
    alone.login(&taro).await.unwrap();
    assert!(seen(&alone, &taro).await.is_ok());
    // Another's account and one that does not exist look the same.
    let as_taro = async |of: &Person| {
        let path = format!("/send/api/accounts/{}", of.account());
        let who = taro.account();
        let answer = alone.raw_as(&who, Method::GET, &path, "").await.unwrap();
        serde_json::from_slice::<ProblemBody>(&answer.1).unwrap()
    };
    let others = as_taro(&hanako).await;
    assert_eq!((others.status, &*others.code), (403, "not-yours"));
    assert_eq!(as_taro(&stranger).await, others);

    // A transfer is its sender's and its receiver's.
    town.grant(hanako.account(), "10.00").await;
    let order = town.order(&hanako, &taro, "1.00").await;
    let signed = hanako.transfer(&order).unwrap().0;
    let identity = town.api.transfer(&signed).await.unwrap().identity;
    for who in [&hanako, &taro] {
        let state = town.api.transfer_state(&who.account(), &identity).await;
        assert_eq!(&*state.unwrap().state.code, "pending");
    }
    let third = town.citizen().await;
    let unknown = town.api.transfer_state(&third.account(), &identity).await;
    assert_eq!(unknown.unwrap_err().code(), Some("unknown-transfer"));

    // A token is good until its account logs out, also after a restart, and only that one.
    let (one, other) = (town.client(), town.client());
    one.login(&hanako).await.unwrap();
    let kept = other.login(&hanako).await.unwrap();
    assert!(!format!("{kept:?}").contains(&kept.token));
    one.logout(&hanako.account()).await.unwrap();
    assert_eq!(seen(&one, &hanako).await, told(401, "login-required"));
    let founded = town.close().await;
    let town = founded.open(Plan::default()).await;
    let still = town.client();
    assert_eq!(seen(&still, &hanako).await, told(401, "login-required"));
    let path = format!("/send/api/accounts/{}", hanako.account());
    assert_eq!(bearer(&town, &path, &kept.token).await.0, 200);
    town.close().await;
}

/// Asks with any token.
async fn bearer(town: &Town, path: &str, token: &str) -> (u16, String) {
    let client = town.client();
    let anybody = town.founded.authority.log;
    let anybody = AccountId::new(&anybody, &KeyId([0; 32]));
    client.take_token(anybody, token);
    let answer = client.raw_as(&anybody, Method::GET, path, "").await;
    let (status, body) = answer.unwrap();
    (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ended_or_was_never_ours_is_told_so() {
    let town = Town::kanazawa().await;
    let hanako = town.citizen().await;
    let client = town.client();
    let page = client.login(&hanako).await.unwrap();
    let path = format!("/send/api/accounts/{}", hanako.account());
    assert_eq!(bearer(&town, &path, &page.token).await.0, 200);
    client.logout(&hanako.account()).await.unwrap();
    let forged = format!("{}x", page.token);
    for token in [page.token.as_str(), forged.as_str(), "", "a.b.c"] {
        let (status, body) = bearer(&town, &path, token).await;
        assert!(status == 401 && body.contains("token-refused"), "{body}");
        assert!(!body.contains("eyJ"), "no token is sent back");
    }
    // What needs nobody does not look at a bad token's account, but says that it is bad where one is read.
    assert_eq!(bearer(&town, "/send/api/node", &page.token).await.0, 200);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_answered_once_and_strangers_and_forgers_hear_the_same() {
    let town = Town::kanazawa().await;
    let (hanako, nobody) = (town.citizen().await, town.stranger().await);
    let good = form(&hanako.login(challenge(&town).await));
    assert_eq!(answer(&town, &good).await.0, 200);
    let (status, again) = answer(&town, &good).await;
    assert_eq!((status, &again["code"]), (401, &"challenge-unknown".into()));
    let own = form(&hanako.login([7; 32]));
    assert_eq!(answer(&town, &own).await.1["code"], "challenge-unknown");

    // An unknown account, a wrong signature, a key that is not the account's: one answer, never a fast one.
    let node = town.api.node().await.unwrap();
    let other = SecretKey::generate(Algorithm::Dilithium5);
    let forged = async || {
        let (bytes, mut signature) = hanako.login(challenge(&town).await);
        let tag = city_protocol::crypto::TAG_LOGIN;
        signature.sig = other.sign(tag, &bytes).as_bytes().to_vec();
        form(&(bytes, signature))
    };
    let other_key = async || {
        let challenge = challenge(&town).await;
        let account = hanako.account();
        form(&Login::new(node.network, node.log, account, other.public(), challenge).sign(&other))
    };
    let unknown = async || form(&nobody.login(challenge(&town).await));
    let mut heard = Vec::new();
    for attempt in [unknown().await, forged().await, other_key().await] {
        let begun = Instant::now();
        heard.push(answer(&town, &attempt).await);
        assert!(begun.elapsed() >= Duration::from_millis(100));
    }
    assert_eq!(
        (heard[0].0, &heard[0].1["code"]),
        (401, &"login-refused".into())
    );
    assert!(heard.iter().all(|answer| *answer == heard[0]), "{heard:?}");

    // What is not a login at all.
    let path = "/send/api/login";
    refused(&town, Method::POST, path, "{}", 400, "bad-field").await;
    let mut extra = good.clone();
    extra["token"] = "x".into();
    refused(
        &town,
        Method::POST,
        path,
        &extra.to_string(),
        400,
        "bad-field",
    )
    .await;
    let mut sequenced: Value = serde_json::from_str(good["body"].as_str().unwrap()).unwrap();
    sequenced["sequence"] = 1.into();
    let mut with_sequence = good.clone();
    let body = city_protocol::json::canonical(&sequenced);
    with_sequence["body"] = String::from_utf8(body).unwrap().into();
    let text = with_sequence.to_string();
    refused(&town, Method::POST, path, &text, 400, "bad-field").await;
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_asked_for_only_so_often() {
    let town = Town::kanazawa().await;
    let (hanako, taro) = (town.citizen().await, town.citizen().await);
    let mut allowed = 0;
    let refusal = loop {
        match town.client().login(&hanako).await {
            Ok(_) => allowed += 1,
            Err(error) => break error,
        }
        assert!(allowed < 30, "there is no limit");
    };
    assert_eq!(
        (refusal.status(), refusal.code()),
        (Some(429), Some("rate-limited"))
    );
    assert!(town.client().login(&taro).await.is_ok(), "others log in");
    town.close().await;
}
