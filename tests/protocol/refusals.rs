//! The table of bad input, transfers: each line ends in its stable code, and nothing is stored.

use city_protocol::amount::Timestamp;
use city_protocol::body::{MAX_FUTURE_MS, PersonBody, Transfer};
use city_protocol::crypto::{Algorithm, SecretKey, Signer as _, TAG_ACCEPT};
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::json;
use city_protocol::place::{Grade, Verdict};
use city_protocol::refusal::Refusal;
use city_protocol::stage::{Draft, Signed, Submission, Verified};
use city_protocol::vertex::EntrySignature;
use serde_json::{Value, json};

use super::people::{Person, signed, signed_bytes};
use super::world::{KANAZAWA, KOMATSU, World};

/// 花子 has 10.00 in 金沢, 次郎 lives there too, 太郎 in 小松.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) hanako: Person,
    pub(crate) jiro: Person,
    pub(crate) taro: Person,
}

pub(crate) fn stage() -> Stage {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    Stage {
        world,
        hanako,
        jiro,
        taro,
    }
}

/// A submission is refused with this code, and no row and no block is written anywhere.
#[track_caller]
pub(crate) fn check(
    stage: &mut Stage,
    home: usize,
    input: Result<Submission, Refusal>,
    expected: Refusal,
) {
    let before: Vec<_> = stage
        .world
        .homes
        .iter()
        .map(|home| home.disk.clone())
        .collect();
    let refused = match input {
        Ok(submission) => stage.world.submit(home, submission).err(),
        Err(refusal) => Some(refusal),
    };
    assert_eq!(refused.map(Refusal::code), Some(expected.code()));
    stage.world.run();
    for (home, before) in stage.world.homes.iter().zip(before) {
        assert!(home.disk == before, "{} stored something", home.region);
    }
    assert!(!stage.world.homes[home].replica.has_work());
}

/// A transfer of 花子 to 太郎 with something wrong in its fields.
#[track_caller]
fn transfer(expected: Refusal, change: impl FnOnce(&mut Transfer, &Stage)) {
    let mut stage = stage();
    let (from, to) = (stage.hanako.clone(), stage.taro.clone());
    let mut body = stage.world.transfer_body(&from, &to, "1.00");
    change(&mut body, &stage);
    let input = signed(body, &from).map(Submission::Transfer);
    check(&mut stage, KANAZAWA, input, expected);
}

/// The same with the JSON itself in hand; it is signed as it is.
#[track_caller]
fn transfer_json(expected: Refusal, change: impl FnOnce(&mut Value)) {
    transfer_text(expected, |text| {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        change(&mut value);
        String::from_utf8(json::canonical(&value)).unwrap()
    });
}

/// The same with the text in hand.
#[track_caller]
fn transfer_text(expected: Refusal, change: impl FnOnce(String) -> String) {
    let mut stage = stage();
    let (from, to) = (stage.hanako.clone(), stage.taro.clone());
    let body = stage.world.transfer_body(&from, &to, "1.00");
    let text = change(String::from_utf8(json::canonical(&body)).unwrap());
    let input = signed_bytes::<Transfer>(text.as_bytes(), &from).map(Submission::Transfer);
    check(&mut stage, KANAZAWA, input, expected);
}

/// The same with the signature in hand.
#[track_caller]
fn transfer_signature(expected: Refusal, change: impl FnOnce(&mut EntrySignature, &Stage)) {
    let mut stage = stage();
    let (from, to) = (stage.hanako.clone(), stage.taro.clone());
    let body = stage.world.transfer_body(&from, &to, "1.00");
    let bytes = json::canonical(&body);
    let signature = from.key.sign(Transfer::TAG, &bytes);
    let mut signature = EntrySignature::new(from.key.public().id(), &signature);
    change(&mut signature, &stage);
    let input = Signed::<Transfer>::read(&bytes, signature)
        .and_then(|signed| signed.verify(from.key.public()))
        .map(Submission::Transfer);
    check(&mut stage, KANAZAWA, input, expected);
}

#[test]
fn amounts() {
    let amount = |text: &'static str| {
        transfer_json(Refusal::BadAmount, move |body| body["amount"] = text.into());
    };
    for text in [
        "1e3", "-1", "0.00", "1.234", "01.00", "1", ".5", "1,00", "+1.00", " 1.00", "", "１.00",
    ] {
        amount(text);
    }
    amount("10000000000000.00");
    transfer_json(Refusal::BadField, |body| body["amount"] = 1.into());
    transfer(Refusal::Overdraft, |body, _| {
        body.amount = "10.01".parse().unwrap();
    });
    transfer(Refusal::Overdraft, |body, _| {
        body.amount = "9999999999999.99".parse().unwrap();
    });
}

#[test]
fn json_that_is_not_canonical() {
    let with = |head: &'static str| move |text: String| text.replacen('{', head, 1);
    transfer_text(Refusal::NotCanonical, with(r#"{"action_level":"1","#));
    transfer_text(Refusal::NotCanonical, with("{ "));
    transfer_text(Refusal::NotCanonical, with("\n{"));
    transfer_text(Refusal::NotCanonical, |text| text + " ");
    transfer_text(Refusal::NotCanonical, |text| {
        text.replace("\"1\"", "\"\\u0031\"")
    });
    transfer_text(Refusal::NotCanonical, |text| {
        // Two fields change places.
        let dimension = r#""dimension":"local","#;
        text.replace(dimension, "")
            .replacen('{', &format!("{{{dimension}"), 1)
    });
    transfer_text(Refusal::BadJson, |text| format!("\u{feff}{text}"));
    transfer_text(Refusal::BadJson, |text| text + "}");
    transfer_text(Refusal::BadJson, |_| "garbage".into());
    transfer_text(Refusal::BadJson, |_| String::new());
    transfer_text(Refusal::BadJson, |text| {
        text.replace("\"main\"", r#""\ud800""#)
    });
    transfer_text(Refusal::BadField, |_| "[]".into());
    transfer_text(Refusal::BadField, |_| "{}".into());
    transfer_text(Refusal::BadField, |text| {
        text.replace("\"sequence\":1", "\"sequence\":1.0")
    });
    transfer_text(Refusal::BadField, |text| {
        text.replace("\"sequence\":1", "\"sequence\":-1")
    });
    transfer_text(Refusal::BadField, |text| {
        text.replace("\"sequence\":1", "\"sequence\":1e0")
    });
    transfer_text(Refusal::TooLarge, |text| {
        text + &" ".repeat(json::MAX_SIGNED_BODY)
    });
}

#[test]
fn fields() {
    let required = [
        "version",
        "type",
        "network",
        "alg",
        "key",
        "home",
        "receiver_home",
        "sequence",
        "transfer_id",
        "created_at",
        "expires_at",
        "sender",
        "receiver",
        "from_wallet",
        "to_wallet",
        "amount",
        "subject",
        "action_level",
        "dimension",
        "organism_name",
        "sender_municipality",
        "receiver_municipality",
        "goods_or_money",
        "proof_of_place",
        "details",
        "location",
    ];
    for field in required {
        transfer_json(Refusal::BadField, |body| {
            drop(body.as_object_mut().unwrap().remove(field));
        });
    }
    transfer_json(Refusal::BadField, |body| body["bonus"] = 1.into());
    transfer_json(Refusal::BadField, |body| body["Bonus"] = 1.into());
    transfer_json(Refusal::BadField, |body| body["message"] = Value::Null);
    transfer_json(Refusal::BadField, |body| body["from_wallet"] = "".into());
    transfer_json(Refusal::BadField, |body| {
        body["from_wallet"] = "a\u{7}".into();
    });
    transfer_json(Refusal::BadField, |body| {
        body["from_wallet"] = "長".repeat(86).into();
    });
    transfer_json(Refusal::BadField, |body| {
        body["dimension"] = "cosmic".into();
    });
    transfer_json(Refusal::BadField, |body| body["type"] = "accept".into());
    transfer_json(Refusal::BadField, |body| body["subject"] = "雪かき".into());
    transfer_json(Refusal::BadField, |body| body["sequence"] = 0.into());
    transfer_json(Refusal::BadField, |body| {
        body["sequence"] = (1u64 << 53).into();
    });
    transfer_json(Refusal::UnknownVersion, |body| body["version"] = 2.into());
    transfer_json(Refusal::UnknownAlgorithm, |body| {
        body["alg"] = "slh-dsa-256s".into();
    });
    transfer_json(Refusal::BadRegion, |body| {
        body["sender_municipality"] = "金沢市".into();
    });
    transfer_json(Refusal::BadId, |body| body["network"] = "金沢".into());
    transfer_json(Refusal::BadId, |body| body["receiver"] = "taro".into());
    transfer_json(Refusal::BadId, |body| {
        body["transfer_id"] = "AA".repeat(16).into();
    });
    transfer_json(Refusal::BadId, |body| {
        body["home"] = body["home"].as_str().unwrap().to_uppercase().into();
    });
    let deep = json!({"a": {"b": {"c": {"d": 1}}}});
    transfer_json(Refusal::BadField, move |body| body["attributes"] = deep);
}

#[test]
fn signatures_and_keys() {
    transfer_signature(Refusal::BadSignature, |sig, _| sig.sig[7] ^= 1);
    transfer_signature(Refusal::SignatureLength, |sig, _| {
        sig.sig.truncate(sig.sig.len() - 1);
    });
    transfer_signature(Refusal::SignatureLength, |sig, _| sig.sig.clear());
    transfer_signature(Refusal::SignatureLength, |sig, _| sig.sig.push(0));
    transfer_signature(Refusal::WrongKey, |sig, s| {
        sig.key = s.jiro.key.public().id();
    });
    // 次郎 signs for 花子: with his key beside her name, and with her name beside his key.
    let mut s = stage();
    let (hanako, jiro, taro) = (s.hanako.clone(), s.jiro.clone(), s.taro.clone());
    let mut body = s.world.transfer_body(&hanako, &taro, "1.00");
    let forged = Draft(body.clone()).sign(&*jiro.key).map(|_| ());
    assert_eq!(
        forged,
        Err(Refusal::WrongKey),
        "nobody signs with a key that is not in the body"
    );
    body.key = jiro.key.public().id();
    let input = signed(body.clone(), &jiro).map(Submission::Transfer);
    check(&mut s, KANAZAWA, input, Refusal::WrongKey);
    let input = Draft(body)
        .sign(&*jiro.key)
        .unwrap()
        .verify(hanako.key.public());
    check(
        &mut s,
        KANAZAWA,
        input.map(Submission::Transfer),
        Refusal::WrongKey,
    );
    // A signature over the same bytes for another purpose.
    let body = s.world.transfer_body(&hanako, &taro, "1.00");
    let bytes = json::canonical(&body);
    let sig = EntrySignature::new(body.key, &hanako.key.sign(TAG_ACCEPT, &bytes));
    let input = Signed::<Transfer>::read(&bytes, sig)
        .unwrap()
        .verify(hanako.key.public());
    check(
        &mut s,
        KANAZAWA,
        input.map(Submission::Transfer),
        Refusal::BadSignature,
    );
    // An algorithm nobody knows, in a signature as it travels.
    let sig = json!({"alg": "rsa", "key": hanako.key.public().id(), "sig": []});
    assert!(serde_json::from_value::<EntrySignature>(sig).is_err());
    assert_eq!("rsa".parse::<Algorithm>(), Err(Refusal::UnknownAlgorithm));
}

#[test]
fn network_home_and_parties() {
    transfer(Refusal::WrongNetwork, |body, _| {
        body.network = BlockId::of(b"another");
    });
    transfer(Refusal::WrongHome, |body, s| body.home = s.taro.home_log);
    transfer(Refusal::WrongReceiver, |body, _| {
        body.receiver_home = LogId([1; 32]);
    });
    transfer(Refusal::SameAccount, |body, _| body.receiver = body.sender);
    transfer(Refusal::UnknownAccount, |body, s| {
        let nobody = city_protocol::ids::KeyId([5; 32]);
        body.sender = city_protocol::ids::AccountId::new(&s.hanako.home_log, &nobody);
    });
    // What is meant for 金沢 and comes to 小松.
    let mut s = stage();
    let (hanako, taro) = (s.hanako.clone(), s.taro.clone());
    let body = s.world.transfer_body(&hanako, &taro, "1.00");
    let input = signed(body, &hanako).map(Submission::Transfer);
    check(&mut s, KOMATSU, input, Refusal::WrongHome);
}

#[test]
fn time_and_turn() {
    transfer(Refusal::SequenceGap, |body, _| body.sequence = 2);
    transfer(Refusal::FutureDated, |body, s| {
        body.created_at = s.world.now.plus_ms(MAX_FUTURE_MS + 1);
    });
    transfer(Refusal::Expired, |body, s| {
        body.expires_at = s.world.now.minus_ms(1);
    });
    transfer(Refusal::Expired, |body, _| body.expires_at = Timestamp(0));
    let mut s = stage();
    let (hanako, taro) = (s.hanako.clone(), s.taro.clone());
    let mut early = s.world.transfer_body(&hanako, &taro, "1.00");
    early.created_at = s.world.now.plus_ms(MAX_FUTURE_MS);
    let first = signed(early.clone(), &hanako).unwrap();
    s.world
        .submit(KANAZAWA, Submission::Transfer(first))
        .unwrap();
    s.world.run();
    // Another body under a number that is used, and under a transfer id that is used.
    let mut other = s.world.transfer_body(&hanako, &taro, "1.00");
    other.sequence = 1;
    let input = signed(other.clone(), &hanako).map(Submission::Transfer);
    check(&mut s, KANAZAWA, input, Refusal::SequenceUsed);
    other.sequence = 2;
    other.transfer_id = early.transfer_id;
    other.proof_of_place = early.proof_of_place;
    let input = signed(other, &hanako).map(Submission::Transfer);
    check(&mut s, KANAZAWA, input, Refusal::TransferIdUsed);
}

#[test]
fn the_same_body_gets_the_first_receipt_also_with_another_valid_signature() {
    let mut s = stage();
    let (hanako, taro) = (s.hanako.clone(), s.taro.clone());
    let body = s.world.transfer_body(&hanako, &taro, "1.00");
    let first = signed(body.clone(), &hanako).unwrap();
    let booked = s
        .world
        .submit(KANAZAWA, Submission::Transfer(first.clone()))
        .unwrap();
    // Bytes 32 to 64 of a secret key only seed its signatures: with others it signs otherwise, as validly.
    let mut secret = hanako.key.expose_secret().to_vec();
    secret[32] ^= 1;
    let public = hanako.key.public();
    let other = SecretKey::from_parts(public.algorithm(), public.as_bytes(), &secret).unwrap();
    let again = Draft(body).sign(&other).unwrap().verify(public).unwrap();
    let (one, two) = (first.into_parts().2, again.clone().into_parts().2);
    assert_ne!(one.sig, two.sig);
    s.world.run();
    let before = s.world.homes[KANAZAWA].disk.clone();
    let repeated = s
        .world
        .submit(KANAZAWA, Submission::Transfer(again))
        .unwrap();
    assert!(repeated.repeated);
    assert_eq!(repeated.receipt, booked.receipt);
    assert!(s.world.homes[KANAZAWA].disk == before);
}

/// A transfer with a place of this kind.
#[track_caller]
fn place(expected: Refusal, change: impl FnOnce(&mut Verdict)) {
    let mut s = stage();
    let (hanako, taro) = (s.hanako.clone(), s.taro.clone());
    let mut body = s.world.transfer_body(&hanako, &taro, "1.00");
    let mut verdict = s.world.inside(&hanako);
    change(&mut verdict);
    body.proof_of_place = s
        .world
        .prove_place(&hanako, body.transfer_id, verdict)
        .digest();
    let input = signed(body, &hanako).map(Submission::Transfer);
    check(&mut s, KANAZAWA, input, expected);
}

#[test]
fn places() {
    place(Refusal::NoPosition, |verdict| *verdict = Verdict::default());
    place(Refusal::PlaceInsufficient, |verdict| {
        verdict.grade = Grade::Suspect;
    });
    place(Refusal::PlaceInsufficient, |verdict| {
        verdict.grade = Grade::Claimed;
    });
    place(Refusal::PlaceInsufficient, |verdict| {
        verdict.municipality = Some("17203".into());
    });
    place(Refusal::PlaceInsufficient, |verdict| {
        verdict.municipality = None;
    });
    transfer(Refusal::PlaceUnknown, |body, _| {
        body.proof_of_place = Digest([1; 32]);
    });
    transfer(Refusal::PlaceMismatch, |body, _| body.transfer_id.0[0] ^= 1);
    let mut s = stage();
    let (hanako, jiro, taro) = (s.hanako.clone(), s.jiro.clone(), s.taro.clone());
    // 次郎's proof in 花子's transfer.
    let mut body = s.world.transfer_body(&hanako, &taro, "1.00");
    let verdict = s.world.inside(&jiro);
    body.proof_of_place = s
        .world
        .prove_place(&jiro, body.transfer_id, verdict)
        .digest();
    let input = signed(body, &hanako).map(Submission::Transfer);
    check(&mut s, KANAZAWA, input, Refusal::PlaceMismatch);
    // Six minutes are too long: first it counts as a claim only, then it is forgotten.
    let body = s.world.transfer_body(&hanako, &taro, "1.00");
    s.world.now = s.world.now.plus_ms(6 * 60_000);
    let input = signed(body, &hanako).map(Submission::Transfer);
    check(&mut s, KANAZAWA, input.clone(), Refusal::PlaceInsufficient);
    s.world.pass(1);
    check(&mut s, KANAZAWA, input, Refusal::PlaceUnknown);
}

/// Every verified body is one that its own type read: nothing else can be submitted.
#[test]
fn a_verified_body_keeps_its_exact_bytes() {
    let mut s = stage();
    let (hanako, taro) = (s.hanako.clone(), s.taro.clone());
    let body = s.world.transfer_body(&hanako, &taro, "1.00");
    let bytes = json::canonical(&body);
    let verified: Verified<Transfer> = signed_bytes(&bytes, &hanako).unwrap();
    let (_, kept, sig) = verified.into_parts();
    assert_eq!(kept, bytes);
    assert_eq!(sig.key, hanako.key.public().id());
}
