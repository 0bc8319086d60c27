//! Proofs read back, are refused when they contradict themselves, and grow old.

use super::super::evidence::Reason;
use super::*;
use crate::ids::{BlockId, KeyId, LogId};

const NOON: Timestamp = Timestamp(1_800_000_000_000);

fn binding(subject: Subject) -> Binding {
    Binding {
        network: BlockId::of(b"genesis"),
        subject,
        account: AccountId::new(&LogId([1; 32]), &KeyId([2; 32])),
        transfer_id: TransferId([3; 16]),
        nonce: [4; 16],
    }
}

fn verdict() -> Verdict {
    Verdict {
        grade: Grade::Plausible,
        reasons: vec![Reason::AccuracyUnknown, Reason::NotSurveyed],
        municipality: Some("17201".into()),
        point: Some(Point::from_decimal("36.5613254", "136.6562051").unwrap()),
        fix_time: Some(NOON),
        satellites_used: Some(9),
        hdop_centi: Some(110),
        boundary: Some(Digest([5; 32])),
        policy: 1,
        ..Verdict::default()
    }
}

fn proof(subject: Subject) -> PlaceProof {
    let raw = raw_digest(&[6; 32], b"$GPRMC");
    PlaceProof::new(
        binding(subject),
        &verdict(),
        &PlacePolicy::default(),
        NOON,
        Some(raw),
    )
}

#[test]
fn a_proof_reads_back_and_its_digest_is_that_of_its_bytes() {
    let proof = proof(Subject::Node);
    let bytes = proof.encode();
    assert_eq!(PlaceProof::decode(&bytes).unwrap(), proof);
    assert_eq!(proof.digest(), Digest::of(&[&bytes]));
    assert_eq!(proof.point().unwrap().to_string(), "36.5613000 136.6562000");
    let nowhere = Verdict {
        reasons: vec![Reason::NoReceiver],
        policy: 1,
        ..Verdict::default()
    };
    let nowhere = PlaceProof::new(
        binding(Subject::KioskSession),
        &nowhere,
        &PlacePolicy::default(),
        NOON,
        None,
    );
    let bytes = nowhere.encode();
    assert_eq!(PlaceProof::decode(&bytes).unwrap(), nowhere);
    for absent in [
        "lat_e7",
        "fix_time",
        "raw",
        "boundary",
        "municipality",
        "hdop_centi",
    ] {
        assert!(
            !bytes.windows(absent.len()).any(|w| w == absent.as_bytes()),
            "{absent}"
        );
    }
}

#[test]
fn the_bytes_are_pinned_and_a_reason_of_earlier_versions_is_still_read() {
    let mut proof = proof(Subject::Node);
    proof.reasons = ["accuracy-unknown", "not-judged-yet"]
        .map(|r| r.parse().unwrap())
        .into();
    assert_eq!(PlaceProof::decode(&proof.encode()).as_ref(), Ok(&proof));
    let digest = proof.digest().to_string();
    assert_eq!(
        digest,
        "sha256:d34b0147591560aa861920b84335fe35672314066653b2f3a80ca2acedf47955"
    );
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
    let check = |change: fn(&mut PlaceProof), expected| {
        let mut proof = proof(Subject::Node);
        change(&mut proof);
        assert_eq!(PlaceProof::decode(&proof.encode()).err(), expected);
    };
    check(|_| {}, None);
    check(
        |p| p.reasons = vec!["a-reason-of-later".parse().unwrap()],
        None,
    );
    let refused = Some(Refusal::BadField);
    check(|p| p.v = 2, Some(Refusal::UnknownVersion));
    check(|p| p.lat_e7 = None, refused);
    check(|p| p.lat_e7 = Some(900_000_001), refused);
    check(|p| (p.lat_e7, p.lon_e7) = (None, None), refused);
    check(|p| p.reasons.reverse(), refused);
    check(|p| p.reasons = vec![Reason::Jump.into(); 2], refused);
    check(|p| p.municipality = Some(String::new()), refused);
    check(|p| p.municipality = Some("金沢".into()), refused);
    check(|p| p.boundary = None, refused);
    check(|p| p.subject = Subject::Client, refused);
    check(
        |p| p.municipality = Some("1".repeat(3000)),
        Some(Refusal::TooLarge),
    );
    let mut unknown_key = proof(Subject::Node).encode();
    unknown_key[0] += 1;
    unknown_key.extend_from_slice(b"\x6fzzzzzzzzzzzzzzz\x01");
    assert_eq!(PlaceProof::decode(&unknown_key), Err(Refusal::BadCbor));
}

#[test]
fn a_late_or_early_proof_counts_as_claimed() {
    let kanazawa: Region = "Asia/JP/17/17201".parse().unwrap();
    let komatsu: Region = "Asia/JP/17/17203".parse().unwrap();
    let policy = PlacePolicy::default();
    let proof = proof(Subject::Node);
    let check = |at, grade, admitted: Result<(), Refusal>| {
        assert_eq!(proof.grade_at(at), grade);
        assert_eq!(proof.admit(&kanazawa, &policy, at), admitted);
    };
    check(NOON, Grade::Plausible, Ok(()));
    check(NOON.plus_ms(300_000), Grade::Plausible, Ok(()));
    check(
        NOON.plus_ms(300_001),
        Grade::Claimed,
        Err(Refusal::PlaceInsufficient),
    );
    check(
        NOON.minus_ms(1),
        Grade::Claimed,
        Err(Refusal::PlaceInsufficient),
    );
    assert_eq!(
        proof.admit(&komatsu, &policy, NOON),
        Err(Refusal::PlaceInsufficient)
    );
    let lenient = PlacePolicy {
        required: Grade::Claimed,
        ..policy
    };
    assert_eq!(
        proof.admit(&kanazawa, &lenient, NOON.plus_ms(300_001)),
        Ok(())
    );
}

#[test]
fn a_client_claims_and_a_proof_serves_one_transfer() {
    assert_eq!(proof(Subject::Client).grade, Grade::Claimed);
    let proof = proof(Subject::KioskSession);
    let Binding {
        network,
        account,
        transfer_id,
        ..
    } = binding(Subject::Node);
    assert_eq!(proof.binds(&network, &account, &transfer_id), Ok(()));
    let other = AccountId::new(&LogId([1; 32]), &KeyId([9; 32]));
    assert_eq!(
        proof.binds(&network, &other, &transfer_id),
        Err(Refusal::PlaceMismatch)
    );
    assert_eq!(
        proof.binds(&network, &account, &TransferId([0; 16])),
        Err(Refusal::PlaceMismatch)
    );
    assert_eq!(
        proof.binds(&BlockId::of(b"x"), &account, &transfer_id),
        Err(Refusal::WrongNetwork)
    );
}
