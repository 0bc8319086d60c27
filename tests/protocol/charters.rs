//! Later charters: the officers of 金沢 say who decides from now on, and everybody knows since when.

use std::sync::Arc;

use city_protocol::body::{Amendment, Grant, Kind, Label, MAX_CHARTERS, Officer, Officers};
use city_protocol::checkpoint::{Checkpoint, Held};
use city_protocol::crypto::SecretKey;
use city_protocol::ids::{Digest, LogId};
use city_protocol::ledger::{FaultProof, Frozen, Rows as _};
use city_protocol::refusal::Refusal;
use city_protocol::replica::{BookedEntry, Input};
use city_protocol::stage::Submission;
use city_protocol::vertex::{Authority, Booked, Entry, KeySource as _, Receipt, SignedHeader};

use super::epochs::{begin, epoch_body, restart, with_new_key};
use super::faults::cut_off_kanazawa;
use super::keys::signing_key;
use super::liar::{Liar, Vertex, give, start};
use super::people::{Person, decided_by};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const ALL: [usize; 3] = [KANAZAWA, KOMATSU, HAKUSAN];
const HOUR: u64 = 60 * 60 * 1000;

/// 花子 in 金沢 has 1,000.00, 太郎 lives in 小松.
fn story() -> (World, Person, Person) {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    (world, hanako, taro)
}

fn elected(year: u16) -> Vec<Arc<SecretKey>> {
    let officer = |n: u8| signing_key(&format!("officer {n} elected in {year}"));
    (1..=3).map(officer).collect()
}

fn officers(keys: &[Arc<SecretKey>], k: u64) -> Officers {
    let officer = |key: &Arc<SecretKey>| Officer {
        alg: key.public().algorithm(),
        key: key.public().as_bytes().to_vec(),
    };
    let keys = keys.iter().map(officer).collect();
    Officers { k, keys }
}

fn authority(world: &World, home: usize, log: &LogId) -> Arc<Authority> {
    let authorities = world.homes[home].replica.authorities();
    authorities.authority(log).unwrap()
}

/// What the officers of a home would sign for these to follow them, two of them together.
fn amendment(world: &World, home: usize, next: &[Arc<SecretKey>]) -> Amendment {
    let h = &world.homes[home];
    let row = h.row(&h.log());
    let known = authority(world, home, &h.log());
    Amendment {
        version: 1,
        kind: Kind::Charter,
        network: world.network(),
        home: h.log(),
        officers_sequence: row.officers_sequence + 1,
        created_at: world.now,
        number: known.charter_number() + 1,
        before: row.charter.unwrap_or(h.authority.charter_hash),
        region: h.region.clone(),
        officers: officers(next, 2),
        witnesses: Vec::new(),
        reason: Label::new("選挙").unwrap(),
    }
}

fn amend(
    world: &mut World,
    home: usize,
    body: &Amendment,
    signers: &[Arc<SecretKey>],
) -> Result<BookedEntry, Refusal> {
    world.submit(home, Submission::Amend(decided_by(body, signers)))
}

/// Others follow the officers of 金沢, who sign it.
pub(crate) fn elect(world: &mut World, year: u16) -> BookedEntry {
    let next = elected(year);
    let body = amendment(world, KANAZAWA, &next);
    let old = world.homes[KANAZAWA].officers[..2].to_vec();
    let booked = amend(world, KANAZAWA, &body, &old).unwrap();
    world.homes[KANAZAWA].identity.officers = next;
    booked
}

fn in_force(world: &World, home: usize, log: &LogId) -> Option<Digest> {
    world.homes[home].row(log).charter
}

fn hash(booked: &BookedEntry) -> Option<Digest> {
    Some(Digest::of(&[&booked.receipt.entry.body]))
}

#[track_caller]
fn all_agree(world: &mut World, log: &LogId) {
    world.run();
    for _ in 0..8 {
        world.pass(10 * 60 * 1000);
    }
    let expected = world.homes[KANAZAWA].row(log);
    assert_eq!(expected.frozen, None);
    for home in 0..world.homes.len() {
        assert_eq!(world.homes[home].row(log), expected, "home {home}");
        let known = authority(world, home, log);
        let charter = expected.charter.unwrap_or(known.charter_hash);
        assert_eq!(known.in_force(), charter, "home {home}");
    }
    world.audit();
}

#[track_caller]
fn holds(world: &World, booked: &BookedEntry) -> Authority {
    let receipt = Receipt::read(&booked.receipt.to_bytes()).unwrap();
    receipt.verify(&world.genesis).unwrap().authority
}

#[test]
fn officers_are_replaced_and_whoever_follows_knows_since_when() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    let before = world.transfer(&hanako, &taro, "10.00").unwrap();
    let old = world.homes[KANAZAWA].officers.clone();
    let grant = |world: &World, sequence: u64| Grant {
        officers_sequence: sequence,
        ..world.grant_body(&hanako, "5.00")
    };
    let last = world.homes[KANAZAWA].row(&log).officers_sequence;
    // Two decisions are signed by those who go: one for the number that the election takes, one for the next.
    let stale = decided_by(&grant(&world, last + 1), &old[..2]);
    let foreign = decided_by(&grant(&world, last + 2), &old[..2]);
    let elected = elect(&mut world, 2026);
    assert_eq!((elected.at.epoch, elected.at.index), (1, 0));
    let header = SignedHeader::read(&elected.receipt.header).unwrap().header;
    assert_eq!(Some(header.charter), hash(&elected));
    let refused = world.submit(KANAZAWA, Submission::Grant(stale));
    assert_eq!(refused.unwrap_err(), Refusal::SequenceUsed);
    let refused = world.submit(KANAZAWA, Submission::Grant(foreign));
    assert_eq!(refused.unwrap_err(), Refusal::OfficersShort);
    world.grant(&hanako, "5.00").unwrap();
    let after = world.transfer(&hanako, &taro, "20.00").unwrap();
    world.run();
    world.accept(&taro, &before).unwrap();
    world.accept(&taro, &after).unwrap();
    all_agree(&mut world, &log);
    assert_eq!(world.homes[HAKUSAN].available(&hanako), 97_500);
    assert_eq!(in_force(&world, HAKUSAN, &log), hash(&elected));

    // Receipts from before, of the change, and from after hold with the genesis record alone.
    assert_eq!(holds(&world, &before).charter_number(), 1);
    assert_eq!(holds(&world, &elected).charter_number(), 2);
    let verified = holds(&world, &after);
    assert_eq!(verified.officers().len(), 3);
    assert_eq!(
        verified.officers()[0].id(),
        self::elected(2026)[0].public().id()
    );
    // But not with a charter less, or one too many.
    let mut short = after.receipt.clone();
    Arc::make_mut(&mut short.authority).pop();
    let mut long = before.receipt.clone();
    long.authority = after.receipt.authority.clone();
    for receipt in [short, long] {
        let refused = receipt.verify(&world.genesis).unwrap_err();
        assert_eq!(refused, Refusal::BadReceipt);
    }
    // The same decision again is answered with its receipt, whoever is an officer now.
    let again = amend_again(&mut world, &elected);
    assert!(again.repeated && again.receipt == elected.receipt);

    for home in ALL {
        restart(&mut world, home);
    }
    world.transfer(&hanako, &taro, "1.00").unwrap();
    let third = elect(&mut world, 2030);
    world.grant(&hanako, "1.00").unwrap();
    let kaga = world.add_home("17206");
    world.connect(kaga, KOMATSU);
    all_agree(&mut world, &log);
    assert_eq!(authority(&world, kaga, &log).charter_number(), 3);
    assert_eq!(holds(&world, &third).entries(1, hash(&third)).len(), 3);
    // Who has the keys of the first officers decides nothing any more.
    let body = amendment(&world, KANAZAWA, &old);
    let refused = amend(&mut world, KANAZAWA, &body, &old[..2]);
    assert_eq!(refused.unwrap_err(), Refusal::OfficersShort);
}

fn amend_again(world: &mut World, booked: &BookedEntry) -> BookedEntry {
    let signed = city_protocol::stage::SignedBySeveral {
        bytes: booked.receipt.entry.body.clone(),
        signatures: booked.receipt.entry.sig.clone(),
    };
    world.submit(KANAZAWA, Submission::Amend(signed)).unwrap()
}

#[test]
fn who_stays_an_officer_can_still_hand_in_what_was_signed_before() {
    let (mut world, hanako, _) = story();
    let old = world.homes[KANAZAWA].officers.clone();
    let last = world.homes[KANAZAWA]
        .row(&hanako.home_log)
        .officers_sequence;
    let grant = Grant {
        officers_sequence: last + 2,
        ..world.grant_body(&hanako, "5.00")
    };
    let signed = decided_by(&grant, &old[1..]);
    let next = vec![old[1].clone(), old[2].clone(), signing_key("a fourth")];
    let body = amendment(&world, KANAZAWA, &next);
    amend(&mut world, KANAZAWA, &body, &old[..2]).unwrap();
    world.submit(KANAZAWA, Submission::Grant(signed)).unwrap();
}

#[test]
fn witnesses_change_with_the_charter() {
    let (mut world, hanako, _) = story();
    let log = hanako.home_log;
    let old = world.homes[KANAZAWA].officers.clone();
    let witness = world.homes[HAKUSAN].log();
    let body = Amendment {
        witnesses: vec![witness],
        ..amendment(&world, KANAZAWA, &old)
    };
    amend(&mut world, KANAZAWA, &body, &old[..2]).unwrap();
    world.run();
    assert_eq!(authority(&world, KOMATSU, &log).witnesses(), [witness]);
    let before = world.homes[HAKUSAN].row(&witness).seq;
    world.grant(&hanako, "1.00").unwrap();
    world.run();
    world.pass(60_000);
    world.pass(60_000);
    // A vertex for nothing but to be a witness.
    assert_eq!(world.homes[HAKUSAN].row(&witness).seq, before + 1);
    all_agree(&mut world, &log);
}

#[track_caller]
fn refused(expected: Refusal, change: impl FnOnce(&World, &mut Amendment)) {
    let (mut world, ..) = story();
    let old = world.homes[KANAZAWA].officers.clone();
    let mut body = amendment(&world, KANAZAWA, &elected(2026));
    change(&world, &mut body);
    let before = world.homes[KANAZAWA].disk.clone();
    let answer = amend(&mut world, KANAZAWA, &body, &old[..2]);
    assert_eq!(answer.unwrap_err(), expected);
    assert!(world.homes[KANAZAWA].disk == before, "nothing is stored");
    // And the node, and its officers, go on as before.
    world.rich_citizen("saburo", KANAZAWA, "1.00");
}

#[test]
fn a_charter_that_does_not_fit_is_refused() {
    refused(Refusal::CharterMismatch, |_, body| {
        body.before = Digest::of(&[b"another"]);
    });
    refused(Refusal::CharterMismatch, |_, body| body.number += 1);
    refused(Refusal::CharterMismatch, |_, body| {
        body.region = "Asia/JP/17/17203".parse().unwrap();
    });
    refused(Refusal::BadField, |_, body| body.number = 1);
    refused(Refusal::BadField, |_, body| body.number = MAX_CHARTERS + 1);
    refused(Refusal::BadField, |_, body| body.officers.k = 4);
    refused(Refusal::BadField, |_, body| body.officers.k = 0);
    refused(Refusal::BadField, |_, body| {
        body.officers.keys[1] = body.officers.keys[0].clone();
    });
    refused(Refusal::BadField, |_, body| {
        body.witnesses = vec![body.home; 8];
    });
    refused(Refusal::SequenceGap, |_, body| body.officers_sequence += 1);
    refused(Refusal::SequenceUsed, |_, body| body.officers_sequence -= 1);
    refused(Refusal::WrongHome, |world, body| {
        body.home = world.homes[KOMATSU].log();
    });
    refused(Refusal::WrongNetwork, |_, body| {
        body.network = city_protocol::ids::BlockId::of(b"elsewhere");
    });
    refused(Refusal::FutureDated, |world, body| {
        body.created_at = world.now.plus_ms(6 * 60 * 1000);
    });
    refused(Refusal::SuiteNotAdmitted, |_, body| {
        let key = SecretKey::generate(city_protocol::crypto::Algorithm::MlDsa87);
        body.officers.keys[0] = Officer {
            alg: key.public().algorithm(),
            key: key.public().as_bytes().to_vec(),
        };
    });

    let (mut world, ..) = story();
    let old = world.homes[KANAZAWA].officers.clone();
    let body = amendment(&world, KANAZAWA, &elected(2026));
    let short = amend(&mut world, KANAZAWA, &body, &old[..1]);
    assert_eq!(short.unwrap_err(), Refusal::OfficersShort);
    // Those who come do not elect themselves.
    let themselves = amend(&mut world, KANAZAWA, &body, &elected(2026)[..2]);
    assert_eq!(themselves.unwrap_err(), Refusal::OfficersShort);
    let mut forged = decided_by(&body, &old[..2]);
    forged.signatures[0].sig[9] ^= 1;
    let forged = world.submit(KANAZAWA, Submission::Amend(forged));
    assert_eq!(forged.unwrap_err(), Refusal::BadSignature);
}

#[test]
fn a_charter_that_is_not_durable_is_forgotten() {
    let (mut world, hanako, _) = story();
    let old = world.homes[KANAZAWA].officers.clone();
    let body = amendment(&world, KANAZAWA, &elected(2026));
    world.homes[KANAZAWA].disk_is_full = true;
    let full = amend(&mut world, KANAZAWA, &body, &old[..2]);
    assert_eq!(full.unwrap_err(), Refusal::StorageFull);
    world.homes[KANAZAWA].disk_is_full = false;
    // Nothing was decided: the number and the officers are those of before.
    let grant = world.grant(&hanako, "1.00").unwrap();
    assert_eq!(holds(&world, &grant).charter_number(), 1);
    elect(&mut world, 2026);
    world.grant(&hanako, "1.00").unwrap();
    all_agree(&mut world, &hanako.home_log);
}

/// A vertex that 金沢's node would have to be patched to sign.
fn entry_of(world: &World, body: &Amendment, signers: &[Arc<SecretKey>]) -> Entry {
    let mut signed = decided_by(body, signers);
    signed.signatures.sort_by_key(|sig| sig.key);
    Entry {
        kind: Kind::Charter,
        body: signed.bytes,
        sig: signed.signatures,
        booked: Booked {
            received_at: Some(world.now),
            ..Booked::default()
        },
        cites: Vec::new(),
    }
}

#[track_caller]
fn lie(expected: Refusal, sign: impl FnOnce(&World, &Liar, Entry) -> Vertex) {
    let (mut world, hanako, _) = story();
    let log = hanako.home_log;
    let liar = Liar::new(&world, KANAZAWA);
    let old = world.homes[KANAZAWA].officers.clone();
    let body = amendment(&world, KANAZAWA, &elected(2026));
    let entry = entry_of(&world, &body, &old[..2]);
    let vertex = sign(&world, &liar, entry);
    cut_off_kanazawa(&mut world);
    for home in [KOMATSU, HAKUSAN] {
        give(&mut world, KANAZAWA, home, &vertex);
        let h = &world.homes[home];
        assert_eq!(h.disconnected, [], "who passes a lie on is no liar");
        let frozen = Some(Frozen::Invalid(liar.seq - 1));
        assert_eq!(h.row(&log).frozen, frozen, "home {home}");
        assert!(
            h.frozen
                .iter()
                .any(|(of, _, why)| (*of, *why) == (log, Some(expected))),
            "{:?}",
            h.frozen
        );
    }
    world.run();
    world.audit();
}

/// The vertex of these entries, whose header names this charter.
fn naming(liar: &Liar, entries: &[Entry], charter: Digest) -> Vertex {
    let vertex = liar.sign(entries);
    let mut header = SignedHeader::read(&vertex.header).unwrap().header;
    header.charter = charter;
    liar.sign_header(header, vertex.body)
}

fn named(entry: &Entry) -> Digest {
    Digest::of(&[&entry.body])
}

#[test]
fn a_home_that_lies_about_its_charter_convicts_itself() {
    // Another charter than the one in force.
    lie(Refusal::CharterMismatch, |_, liar, entry| {
        naming(liar, &[start("one")], named(&entry))
    });
    // A charter that the header does not name.
    lie(Refusal::CharterMismatch, |_, liar, entry| {
        liar.sign(&[entry])
    });
    // Not at the beginning of its vertex.
    lie(Refusal::BadEntry, |_, liar, entry| {
        let charter = named(&entry);
        naming(liar, &[start("one"), entry], charter)
    });
    // Twice.
    lie(Refusal::BadEntry, |_, liar, entry| {
        let charter = named(&entry);
        naming(liar, &[entry.clone(), entry], charter)
    });
    // Too few officers.
    lie(Refusal::OfficersShort, |_, liar, mut entry| {
        entry.sig.pop();
        let charter = named(&entry);
        naming(liar, &[entry], charter)
    });
    // Officers of whom nobody knows.
    lie(Refusal::OfficersShort, |world, liar, _| {
        let body = amendment(world, KANAZAWA, &elected(2026));
        let entry = entry_of(world, &body, &elected(2026)[..2]);
        let charter = named(&entry);
        naming(liar, &[entry], charter)
    });
    // Booked as something that has a balance.
    lie(Refusal::BadEntry, |_, liar, mut entry| {
        entry.booked.balance_after = Some("1.00".parse().unwrap());
        let charter = named(&entry);
        naming(liar, &[entry], charter)
    });
    // A number that was used.
    lie(Refusal::SequenceUsed, |world, liar, _| {
        let old = world.homes[KANAZAWA].officers.clone();
        let mut body = amendment(world, KANAZAWA, &elected(2026));
        body.officers_sequence -= 1;
        let entry = entry_of(world, &body, &old[..2]);
        let charter = named(&entry);
        naming(liar, &[entry], charter)
    });
}

#[test]
fn the_charter_that_ended_is_named_no_more() {
    let (mut world, hanako, _) = story();
    let log = hanako.home_log;
    elect(&mut world, 2026);
    world.run();
    // It still names the first charter.
    let liar = Liar::new(&world, KANAZAWA);
    let vertex = liar.sign(&[start("as ever")]);
    cut_off_kanazawa(&mut world);
    give(&mut world, KANAZAWA, KOMATSU, &vertex);
    let frozen = world.homes[KOMATSU].row(&log).frozen;
    assert_eq!(frozen, Some(Frozen::Invalid(liar.seq - 1)));
}

#[test]
fn a_charter_beyond_a_cut_is_gone_with_it() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    let old = world.homes[KANAZAWA].officers.clone();
    let backup = world.homes[KANAZAWA].disk.clone();
    let lost = elect(&mut world, 2026);
    world.grant(&hanako, "5.00").unwrap();
    world.run();
    assert_eq!(in_force(&world, KOMATSU, &log), hash(&lost));
    cut_off_kanazawa(&mut world);
    world.homes[KANAZAWA].disk = backup;
    world.boot(KANAZAWA, false);
    world.pass(1000);
    let body = epoch_body(&world, KANAZAWA);
    // Those whom nobody elected, as the log counts now, do not begin it.
    assert_eq!(
        begin(&mut world, KANAZAWA, &body).unwrap_err(),
        Refusal::OfficersShort
    );
    world.homes[KANAZAWA].identity.officers = old;
    begin(&mut world, KANAZAWA, &body).unwrap();
    let after = world.transfer(&hanako, &taro, "4.00").unwrap();
    world.connect(KANAZAWA, KOMATSU);
    world.connect(KANAZAWA, HAKUSAN);
    all_agree(&mut world, &log);
    assert_eq!(in_force(&world, KOMATSU, &log), None);
    assert_eq!(
        after.receipt.authority.len(),
        2,
        "the first charter and the epoch"
    );
    holds(&world, &after);
    // What was decided before the cut is not sent again; it is decided again.
    let again = world.submit(
        KANAZAWA,
        Submission::Amend(city_protocol::stage::SignedBySeveral {
            bytes: lost.receipt.entry.body.clone(),
            signatures: lost.receipt.entry.sig.clone(),
        }),
    );
    assert_eq!(again.unwrap_err(), Refusal::Expired);
    elect(&mut world, 2027);
    for home in ALL {
        restart(&mut world, home);
    }
    let kaga = world.add_home("17206");
    world.connect(kaga, HAKUSAN);
    all_agree(&mut world, &log);
}

#[test]
fn an_epoch_is_begun_by_the_officers_in_force_at_its_cut() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    let old = world.homes[KANAZAWA].officers.clone();
    let elected = elect(&mut world, 2026);
    let body = epoch_body(&world, KANAZAWA);
    let body = with_new_key(&mut world, KANAZAWA, "kanazawa's second key", body);
    let row = world.homes[KANAZAWA].row(&log);
    let body = city_protocol::body::EpochStart {
        cut_seq: row.seq,
        cut: row.head,
        ..body
    };
    let ticket = world.new_ticket();
    world.tell(
        KANAZAWA,
        Input::BeginEpoch(ticket, decided_by(&body, &old[..2])),
    );
    let refused = world.answer(KANAZAWA, ticket).unwrap();
    assert_eq!(refused.unwrap_err(), Refusal::OfficersShort);
    let begun = begin(&mut world, KANAZAWA, &body).unwrap();
    let second = elect(&mut world, 2030);
    let after = world.transfer(&hanako, &taro, "4.00").unwrap();
    all_agree(&mut world, &log);
    for booked in [&elected, &begun, &second, &after] {
        holds(&world, booked);
    }
    let kinds: Vec<_> = after
        .receipt
        .authority
        .iter()
        .map(|entry| entry.kind)
        .collect();
    let start = Kind::EpochStart;
    assert_eq!(kinds, [Kind::Charter, Kind::Charter, start, Kind::Charter]);
    for home in ALL {
        restart(&mut world, home);
    }
    let kaga = world.add_home("17206");
    world.connect(kaga, KOMATSU);
    all_agree(&mut world, &log);
    world.grant(&hanako, "1.00").unwrap();
    all_agree(&mut world, &log);
}

#[test]
fn what_is_folded_again_from_a_checkpoint_has_the_same_charter() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    let elected = elect(&mut world, 2026);
    world.transfer(&hanako, &taro, "1.00").unwrap();
    world.pass(2 * HOUR);
    let ticket = world.new_ticket();
    world.tell(KANAZAWA, Input::Checkpoint(ticket));
    world.commit(KANAZAWA);
    let held = world.answer(KANAZAWA, ticket).unwrap().unwrap();
    let held = Held::verify(&held.receipt, &world.genesis).unwrap();
    world.run();
    // 小松 lost what stands before the checkpoint.
    let liar_at = world.homes[KANAZAWA].row(&log);
    let rows = world.homes[KOMATSU].disk.read();
    let first = rows.vertex(&liar_at.first).unwrap().body;
    let Checkpoint { position, .. } = held.body;
    assert!(position.seq < liar_at.seq);
    world.homes[KOMATSU].disk.blocks.remove(&first);
    let mut liar = Liar::new(&world, KANAZAWA);
    liar.time = world.now;
    let charter = hash(&elected).unwrap();
    let [one, two] = ["one", "two"].map(|name| naming(&liar, &[start(name)], charter));
    cut_off_kanazawa(&mut world);
    for vertex in [&one, &two] {
        give(&mut world, KANAZAWA, KOMATSU, vertex);
        give(&mut world, KANAZAWA, HAKUSAN, vertex);
    }
    world.run();
    let [komatsu, hakusan] = [KOMATSU, HAKUSAN].map(|home| world.homes[home].row(&log));
    assert_eq!(komatsu.frozen, Some(Frozen::Equivocation(liar_at.seq)));
    assert_eq!(komatsu, hakusan);
    assert_eq!(komatsu.charter, Some(charter));
    // What convicts a node needs no officers: the first charter names its key.
    let known = authority(&world, KOMATSU, &log);
    let proof = FaultProof::of_vertices(known.entries(1, None), &one.header, &two.header).unwrap();
    proof.verify(&world.genesis).unwrap();
    let too_much = known.entries(1, Some(charter));
    let proof = FaultProof::of_vertices(too_much, &one.header, &two.header).unwrap();
    assert_eq!(proof.verify(&world.genesis).unwrap_err(), Refusal::BadEntry);
}

#[test]
fn who_stood_at_a_fork_learns_the_officers_of_the_branch_that_counts() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    let cut = world.homes[KANAZAWA].row(&log).seq;
    let liar = Liar::new(&world, KANAZAWA);
    // 金沢 elects, and tells only 小松; a second box under its key tells 白山 something else.
    world.disconnect(KANAZAWA, HAKUSAN);
    world.disconnect(KOMATSU, HAKUSAN);
    world.transfer(&hanako, &taro, "1.00").unwrap();
    elect(&mut world, 2026);
    world.run();
    cut_off_kanazawa(&mut world);
    let other = liar.sign(&[start("never happened")]);
    give(&mut world, KANAZAWA, HAKUSAN, &other);
    world.connect(KOMATSU, HAKUSAN);
    world.run();
    for home in [KOMATSU, HAKUSAN] {
        let row = world.homes[home].row(&log);
        assert_eq!(row.frozen, Some(Frozen::Equivocation(cut)), "{home}");
        assert_eq!(row.charter, None, "{home}");
    }
    // Those who were elected begin an epoch behind what 金沢 holds.
    let body = epoch_body(&world, KANAZAWA);
    begin(&mut world, KANAZAWA, &body).unwrap();
    world.transfer(&hanako, &taro, "4.00").unwrap();
    world.connect(KANAZAWA, KOMATSU);
    world.connect(KANAZAWA, HAKUSAN);
    all_agree(&mut world, &log);
    assert_eq!(world.homes[HAKUSAN].available(&hanako), 99_500);
    for home in ALL {
        restart(&mut world, home);
    }
    world.grant(&hanako, "1.00").unwrap();
    all_agree(&mut world, &log);
}

#[test]
fn an_epoch_that_two_boards_began_convicts_and_the_next_heals() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    let lower = world.homes[KANAZAWA].disk.clone();
    let old = world.homes[KANAZAWA].officers.clone();
    let first = epoch_body(&world, KANAZAWA);
    elect(&mut world, 2026);
    world.run();
    let second = epoch_body(&world, KANAZAWA);
    // 小松 sees those who were elected begin the epoch; then an old disk is put back, and 白山 sees the others begin it.
    world.disconnect(KANAZAWA, HAKUSAN);
    world.disconnect(KOMATSU, HAKUSAN);
    begin(&mut world, KANAZAWA, &second).unwrap();
    world.run();
    cut_off_kanazawa(&mut world);
    world.homes[KANAZAWA].disk = lower;
    world.pass(60_000);
    world.boot(KANAZAWA, true);
    world.homes[KANAZAWA].identity.officers = old;
    begin(&mut world, KANAZAWA, &first).unwrap();
    world.connect(KANAZAWA, HAKUSAN);
    world.run();
    world.connect(KOMATSU, HAKUSAN);
    world.connect(KANAZAWA, KOMATSU);
    for _ in 0..8 {
        world.pass(60_000);
    }
    for home in ALL {
        let row = world.homes[home].row(&log);
        assert_eq!((row.epoch, row.seq), (2, first.cut_seq), "{home}");
        let cut = Some(Frozen::Equivocation(first.cut_seq));
        assert_eq!((row.frozen, row.charter), (cut, None), "{home}");
    }
    world.audit();
    let body = epoch_body(&world, KANAZAWA);
    let body = with_new_key(&mut world, KANAZAWA, "a key for the third", body);
    begin(&mut world, KANAZAWA, &body).unwrap();
    let after = world.transfer(&hanako, &taro, "4.00").unwrap();
    all_agree(&mut world, &log);
    holds(&world, &after);
    for home in ALL {
        restart(&mut world, home);
    }
    let kaga = world.add_home("17206");
    world.connect(kaga, KOMATSU);
    all_agree(&mut world, &log);
}
