//! The table of bad input, enrolments, grants and acceptances.

use city_protocol::body::{Accept, Enrol, Grant, Label, MAX_FUTURE_MS, read_officers_body};
use city_protocol::crypto::{Signer as _, TAG_GRANT};
use city_protocol::ids::{BlockId, Digest};
use city_protocol::pki::{Crls, verify_client};
use city_protocol::refusal::Refusal;
use city_protocol::replica::BookedEntry;
use city_protocol::stage::{Draft, SignedBySeveral, Submission};
use city_protocol::vertex::EntrySignature;

use super::people::{decided_by, signed};
use super::refusals::{Stage, check, stage};
use super::world::{KANAZAWA, KOMATSU};

/// An enrolment of 四郎 with something wrong.
#[track_caller]
fn enrol(expected: Refusal, change: impl FnOnce(&mut Enrol, &Stage)) {
    let mut s = stage();
    let shiro = s.world.person("shiro", KANAZAWA);
    let mut body = s.world.enrol_body(&shiro);
    change(&mut body, &s);
    let certificate = s
        .world
        .ca
        .client(&shiro.account, shiro.key.public(), &shiro.kem);
    let roots = s.world.genesis.roots.clone();
    let certificate = verify_client(
        &roots,
        &certificate,
        &[],
        &Crls::none(),
        s.world.now,
        &shiro.region,
    );
    let input = Draft(body)
        .sign(&*shiro.key)
        .and_then(|signed| signed.verify_enrolment(&certificate.unwrap().certificate))
        .map(Submission::Enrol);
    check(&mut s, KANAZAWA, input, expected);
}

#[test]
fn enrolments() {
    enrol(Refusal::WrongNetwork, |body, _| {
        body.network = BlockId::of(b"another");
    });
    enrol(Refusal::BadCertificate, |body, s| {
        body.home = s.taro.home_log;
    });
    enrol(Refusal::BadCertificate, |body, _| {
        body.certificate = Digest([1; 32]);
    });
    enrol(Refusal::BadCertificate, |body, _| body.kem_key[0] ^= 1);
    enrol(Refusal::BadKey, |body, _| {
        body.kem_key.truncate(body.kem_key.len() - 1);
    });
    enrol(Refusal::BadKey, |body, _| {
        body.public_key.truncate(body.public_key.len() - 1);
    });
    enrol(Refusal::WrongKey, |body, s| {
        body.public_key = s.jiro.key.public().as_bytes().to_vec();
    });
    enrol(Refusal::BadField, |body, _| body.sequence = 1);
    enrol(Refusal::FutureDated, |body, s| {
        body.created_at = s.world.now.plus_ms(MAX_FUTURE_MS + 1);
    });
    // 次郎 again, with another body.
    let mut s = stage();
    let jiro = s.jiro.clone();
    let mut body = s.world.enrol_body(&jiro);
    body.created_at = s.world.now.minus_ms(1);
    let before = s.world.homes[KANAZAWA].disk.clone();
    assert_eq!(
        s.world.enrol(&jiro, body).unwrap_err(),
        Refusal::AccountExists
    );
    assert!(s.world.homes[KANAZAWA].disk == before);
}

/// A grant to 花子 with something wrong.
#[track_caller]
fn grant(expected: Refusal, change: impl FnOnce(&mut Grant, &Stage)) {
    let mut s = stage();
    let mut body = s.world.grant_body(&s.hanako, "1.00");
    change(&mut body, &s);
    let grant = decided_by(&body, &s.world.homes[KANAZAWA].officers[..2]);
    check(&mut s, KANAZAWA, Ok(Submission::Grant(grant)), expected);
}

/// A good grant with other signatures.
#[track_caller]
fn officers(expected: Refusal, change: impl FnOnce(&mut SignedBySeveral, &Stage)) {
    let mut s = stage();
    let body = s.world.grant_body(&s.hanako, "1.00");
    let mut grant = decided_by(&body, &s.world.homes[KANAZAWA].officers[..2]);
    change(&mut grant, &s);
    check(&mut s, KANAZAWA, Ok(Submission::Grant(grant)), expected);
}

#[test]
fn grants() {
    grant(Refusal::WrongNetwork, |body, _| {
        body.network = BlockId::of(b"another");
    });
    grant(Refusal::WrongHome, |body, s| body.home = s.taro.home_log);
    grant(Refusal::UnknownAccount, |body, s| {
        body.account = s.taro.account;
    });
    grant(Refusal::SequenceGap, |body, _| body.officers_sequence += 1);
    grant(Refusal::SequenceUsed, |body, _| body.officers_sequence -= 1);
    grant(Refusal::BadField, |body, _| body.officers_sequence = 0);
    grant(Refusal::FutureDated, |body, s| {
        body.created_at = s.world.now.plus_ms(MAX_FUTURE_MS + 1);
    });
    grant(Refusal::BadAmount, |body, _| {
        body.amount = city_protocol::amount::Amount::ZERO;
    });
    // More than thirteen digits: what does not fit into a sum cannot even be written.
    grant(Refusal::BadAmount, |body, _| {
        body.amount = city_protocol::amount::Amount::from_hundredths(u64::MAX);
    });
    officers(Refusal::OfficersShort, |grant, _| {
        grant.signatures.truncate(grant.signatures.len() - 1);
    });
    officers(Refusal::OfficersShort, |grant, _| grant.signatures.clear());
    officers(Refusal::OfficersShort, |grant, _| {
        grant.signatures[1] = grant.signatures[0].clone();
    });
    officers(Refusal::OfficersShort, |grant, s| {
        grant.signatures[1].key = s.hanako.key.public().id();
    });
    officers(Refusal::OfficersShort, |grant, s| {
        let foreign = s.world.homes[KOMATSU].officers[0].clone();
        let body = read_officers_body::<Grant>(&grant.bytes).unwrap();
        grant
            .signatures
            .push(decided_by(&body, &[foreign]).signatures.remove(0));
    });
    officers(Refusal::BadSignature, |grant, _| {
        grant.signatures[0].sig[7] ^= 1;
    });
    officers(Refusal::SignatureLength, |grant, _| {
        grant.signatures[0].sig.clear();
    });
    officers(Refusal::BadSignature, |grant, s| {
        // A signature over the bare body: without algorithm and key id in front.
        let officer = &s.world.homes[KANAZAWA].officers[0];
        let sig = officer.sign(TAG_GRANT, &grant.bytes);
        let at = grant
            .signatures
            .iter()
            .position(|sig| sig.key == officer.public().id())
            .unwrap();
        grant.signatures[at] = EntrySignature::new(officer.public().id(), &sig);
    });
    officers(Refusal::NotCanonical, |grant, _| grant.bytes.push(b' '));
    let long = "長".repeat(100);
    assert_eq!(Label::new(&long).unwrap_err(), Refusal::BadField);
}

/// An acceptance by 太郎 of what 花子 sent him, with something wrong.
#[track_caller]
fn accept(expected: Refusal, change: impl FnOnce(&mut Accept, &Stage)) {
    let mut s = stage();
    let (hanako, taro) = (s.hanako.clone(), s.taro.clone());
    let sent = s.world.transfer(&hanako, &taro, "1.00").unwrap();
    s.world.run();
    let mut body = s.world.accept_body(&taro, &sent);
    change(&mut body, &s);
    let input = signed(body, &taro).map(Submission::Accept);
    check(&mut s, KOMATSU, input, expected);
}

/// 花子 sends 次郎 something, and somebody else takes it.
pub(crate) fn sent_to_jiro(s: &mut Stage) -> BookedEntry {
    let (hanako, jiro) = (s.hanako.clone(), s.jiro.clone());
    let sent = s.world.transfer(&hanako, &jiro, "1.00").unwrap();
    s.world.run();
    sent
}

#[test]
fn acceptances() {
    accept(Refusal::WrongNetwork, |body, _| {
        body.network = BlockId::of(b"another");
    });
    accept(Refusal::WrongHome, |body, s| body.home = s.hanako.home_log);
    accept(Refusal::TransferMismatch, |body, _| {
        body.amount = "1.01".parse().unwrap();
    });
    accept(Refusal::TransferMismatch, |body, s| {
        body.sender = s.jiro.account;
    });
    accept(Refusal::TransferMismatch, |body, _| {
        body.transfer_id.0[0] ^= 1;
    });
    accept(Refusal::UnknownTransfer, |body, s| {
        body.sender_home = s.taro.home_log;
    });
    accept(Refusal::UnknownTransfer, |body, _| {
        body.transfer = Digest([1; 32]);
    });
    accept(Refusal::SequenceGap, |body, _| body.sequence = 2);
    accept(Refusal::BadField, |body, _| body.sequence = 0);
    accept(Refusal::BadAmount, |body, _| {
        body.amount = city_protocol::amount::Amount::ZERO;
    });
    accept(Refusal::FutureDated, |body, s| {
        body.created_at = s.world.now.plus_ms(MAX_FUTURE_MS + 1);
    });
    // A stranger of the same home, and one of another.
    let mut s = stage();
    let sent = sent_to_jiro(&mut s);
    let (hanako, taro) = (s.hanako.clone(), s.taro.clone());
    let body = s.world.accept_body(&hanako, &sent);
    let input = signed(body, &hanako).map(Submission::Accept);
    check(&mut s, KANAZAWA, input, Refusal::UnknownTransfer);
    let body = s.world.accept_body(&taro, &sent);
    let input = signed(body, &taro).map(Submission::Accept);
    check(&mut s, KOMATSU, input, Refusal::UnknownTransfer);
    // Twice, with another body.
    let jiro = s.jiro.clone();
    s.world.accept(&jiro, &sent).unwrap();
    s.world.run();
    let body = s.world.accept_body(&jiro, &sent);
    let input = signed(body, &jiro).map(Submission::Accept);
    check(&mut s, KANAZAWA, input, Refusal::AlreadyAccepted);
    // 181 days later.
    let late = sent_to_jiro(&mut s);
    s.world.pass(181 * 86_400_000);
    let body = s.world.accept_body(&jiro, &late);
    let input = signed(body, &jiro).map(Submission::Accept);
    check(&mut s, KANAZAWA, input, Refusal::DeadlinePassed);
}
