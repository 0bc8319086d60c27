//! Vertices that break a rule or cannot be understood: signed by a lying home (evidence: the log stops
//! before them, alike on every honest home), or proof of nothing but the sender's own fault.

use std::sync::Arc;

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{Kind, Trust};
use city_protocol::codec;
use city_protocol::crypto::SecretKey;
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::json;
use city_protocol::ledger::{Frozen, Rows as _};
use city_protocol::refusal::Refusal;
use city_protocol::vertex::{Cite, Entry, Header, OwnCite, SignedHeader, decode_body, encode_body};
use serde::Serialize;

use super::liar::{Liar, Vertex, give, head, start};
use super::people::{Person, decided_by, signed};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

/// 金沢 with 花子 and 次郎, in step with the others; then its key lies and its replica is gone.
struct Stage {
    world: World,
    hanako: Person,
    jiro: Person,
    liar: Liar,
}

fn stage() -> Stage {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    world.run();
    world.disconnect(KANAZAWA, KOMATSU);
    world.disconnect(KANAZAWA, HAKUSAN);
    let liar = Liar::new(&world, KANAZAWA);
    Stage {
        world,
        hanako,
        jiro,
        liar,
    }
}

impl Stage {
    /// What an honest home would book for this transfer: place and transfer.
    fn transfer(&mut self, amount: &str, balance: u64) -> Vec<Entry> {
        let transfer_id = self.world.next_transfer_id();
        let verdict = self.world.inside(&self.hanako);
        let proof = self.world.prove_place(&self.hanako, transfer_id, verdict);
        let mut body = self.world.transfer_body(&self.hanako, &self.jiro, amount);
        body.transfer_id = transfer_id;
        body.proof_of_place = proof.digest();
        let (_, bytes, sig) = signed(body, &self.hanako).unwrap().into_parts();
        let mut entry = Entry::home_authored(Kind::Transfer, bytes);
        entry.sig = vec![sig];
        entry.booked.received_at = Some(self.world.now);
        entry.booked.balance_after = Some(Amount::from_hundredths(balance));
        entry.booked.debit = Some(501);
        entry.booked.place = Some(city_protocol::place::Grade::Plausible);
        vec![Entry::home_authored(Kind::Place, proof.encode()), entry]
    }

    fn grant(&self, officers: &[Arc<SecretKey>]) -> Entry {
        let grant = decided_by(&self.world.grant_body(&self.hanako, "1.00"), officers);
        let mut entry = Entry::home_authored(Kind::Grant, grant.bytes);
        entry.sig = grant.signatures;
        entry.sig.sort_by_key(|sig| sig.key);
        entry.booked.received_at = Some(self.world.now);
        entry.booked.balance_after = Some(Amount::from_hundredths(1100));
        entry
    }
}

/// Both honest homes get the vertex and stop the log before it, for this reason.
#[track_caller]
fn check_invalid(world: &mut World, liar: &Liar, vertex: &Vertex, expected: Refusal) {
    let cut = liar.seq - 1;
    for home in [KOMATSU, HAKUSAN] {
        give(world, KANAZAWA, home, vertex);
        let h = &world.homes[home];
        assert_eq!(
            h.frozen,
            [(liar.log, Frozen::Invalid(cut), Some(expected))],
            "home {home}"
        );
        assert_eq!(head(world, home, &liar.log).0, cut);
        assert!(
            world.homes[home].disk.blocks.contains_key(&vertex.id),
            "evidence is kept"
        );
    }
    world.run();
    world.assert_in_step(&[KOMATSU, HAKUSAN]);
    world.audit();
}

/// A table of lies about entries: each is one vertex after an honest head.
#[track_caller]
fn lie(expected: Refusal, tell: impl FnOnce(&mut Stage) -> Vec<Entry>) {
    let mut stage = stage();
    let entries = tell(&mut stage);
    let vertex = stage.liar.sign(&entries);
    check_invalid(&mut stage.world, &stage.liar, &vertex, expected);
    // Nobody's signature is believed because its vertex is stored: an index made again says the same.
    for home in [KOMATSU, HAKUSAN] {
        let again = super::sim::fold_again(&stage.world, home, 0);
        let (row, live) = (again.read().log(&stage.liar.log), &stage.world.homes[home]);
        assert_eq!(row, Some(live.row(&stage.liar.log)), "{expected:?}");
    }
}

#[test]
fn the_truth_is_taken() {
    let mut s = stage();
    let mut entries = s.transfer("4.00", 600);
    entries.push(s.grant(&s.world.homes[KANAZAWA].officers[..2]));
    entries[2].booked.balance_after = Some(Amount::from_hundredths(700));
    let vertex = s.liar.sign(&entries);
    for home in [KOMATSU, HAKUSAN] {
        give(&mut s.world, KANAZAWA, home, &vertex);
        assert_eq!(head(&s.world, home, &s.liar.log), (s.liar.seq, vertex.id));
        assert_eq!(s.world.homes[home].available(&s.hanako), 700);
    }
}

#[test]
fn lies_about_money() {
    lie(Refusal::Overdraft, |s| s.transfer("10.01", 0));
    lie(Refusal::BadBooking, |s| s.transfer("4.00", 601));
    lie(Refusal::BadBooking, |s| {
        let mut entries = s.transfer("4.00", 600);
        entries[1].booked.debit = Some(401);
        entries
    });
    lie(Refusal::BadBooking, |s| {
        let mut entries = s.transfer("4.00", 600);
        entries[1].booked.place = Some(city_protocol::place::Grade::Attested);
        entries
    });
    lie(Refusal::BadBooking, |s| {
        let mut entries = s.transfer("4.00", 600);
        entries[1].booked.received_at = None;
        entries
    });
    lie(Refusal::SequenceUsed, |s| {
        let twice = s.transfer("4.00", 600);
        [twice.clone(), twice].concat()
    });
}

#[test]
fn lies_about_signatures() {
    lie(Refusal::BadSignature, |s| {
        let mut entries = s.transfer("4.00", 600);
        entries[1].sig[0].sig[9] ^= 1;
        entries
    });
    lie(Refusal::SignatureLength, |s| {
        let mut entries = s.transfer("4.00", 600);
        entries[1].sig[0].sig.pop();
        entries
    });
    lie(Refusal::WrongKey, |s| {
        let mut entries = s.transfer("4.00", 600);
        entries[1].sig[0].key = s.jiro.key.public().id();
        entries
    });
    lie(Refusal::BadEntry, |s| {
        let mut entries = s.transfer("4.00", 600);
        entries[1].sig.clear();
        entries
    });
    let officers = |s: &Stage| s.world.homes[KANAZAWA].officers.clone();
    lie(Refusal::OfficersShort, |s| vec![s.grant(&officers(s)[..1])]);
    lie(Refusal::OfficersShort, |s| {
        let one = officers(s)[0].clone();
        vec![s.grant(&[one.clone(), one])]
    });
    lie(Refusal::OfficersShort, |s| {
        let foreign = s.world.homes[KOMATSU].officers[0].clone();
        vec![s.grant(&[officers(s)[0].clone(), foreign])]
    });
    lie(Refusal::BadSignature, |s| {
        let mut entry = s.grant(&officers(s)[..2]);
        entry.sig[1].sig[9] ^= 1;
        vec![entry]
    });
    lie(Refusal::OfficersShort, |s| {
        let mut entry = s.grant(&officers(s)[..2]);
        entry.sig.reverse();
        vec![entry]
    });
}

#[test]
fn lies_about_order_and_rest() {
    lie(Refusal::PlaceUnknown, |s| {
        s.transfer("4.00", 600).split_off(1)
    });
    lie(Refusal::BadEntry, |s| s.transfer("4.00", 600)[..1].to_vec());
    lie(Refusal::BadEntry, |s| {
        let entries = s.transfer("4.00", 600);
        vec![entries[0].clone(), entries[0].clone(), entries[1].clone()]
    });
    lie(Refusal::PlaceMismatch, |s| {
        let (one, two) = (s.transfer("4.00", 600), s.transfer("4.00", 600));
        vec![one[0].clone(), two[1].clone()]
    });
    lie(Refusal::BadField, |s| {
        let body = s.world.homes[KANAZAWA].authority.charter_body.clone();
        vec![Entry::home_authored(Kind::Charter, body)]
    });
    lie(Refusal::BadEntry, |_| vec![start("one"), start("two")]);
    lie(Refusal::UnknownTransfer, |_| {
        let own = OwnCite {
            epoch: 1,
            seq: 1,
            index: 0,
        };
        let settle = city_protocol::body::Settle {
            v: 1,
            transfer: Digest([1; 32]),
            own,
            amount: Amount::from_hundredths(1),
            reason: "accepted".into(),
        };
        let mut entry = Entry::home_authored(Kind::Settle, codec::encode(&settle));
        entry.cites = vec![Cite::Own(own)];
        vec![entry]
    });
    lie(Refusal::BadCbor, |_| {
        vec![Entry::home_authored(Kind::Start, vec![0xa0])]
    });
    lie(Refusal::BadJson, |s| {
        let mut entry = s.transfer("4.00", 600).remove(1);
        entry.body.push(b'x');
        vec![entry]
    });
}

#[test]
fn a_settlement_without_an_acceptance_is_a_lie() {
    let mut s = stage();
    let entries = s.transfer("4.00", 600);
    let first = s.liar.sign(&entries);
    for home in [KOMATSU, HAKUSAN] {
        give(&mut s.world, KANAZAWA, home, &first);
    }
    let own = OwnCite {
        epoch: 1,
        seq: s.liar.seq,
        index: 1,
    };
    s.liar.follow(&first);
    let settle = city_protocol::body::Settle {
        v: 1,
        transfer: city_protocol::body::identity(
            city_protocol::crypto::TAG_TRANSFER,
            &entries[1].body,
        ),
        own,
        amount: Amount::from_hundredths(400),
        reason: "accepted".into(),
    };
    let mut entry = Entry::home_authored(Kind::Settle, codec::encode(&settle));
    entry.cites = vec![Cite::Own(own)];
    let vertex = s.liar.sign(&[entry]);
    check_invalid(&mut s.world, &s.liar, &vertex, Refusal::BadCite);
}

/// A table of lies in the header of an otherwise good vertex.
#[track_caller]
fn bad_header(expected: Refusal, change: impl FnOnce(&mut Header)) {
    let mut s = stage();
    let entries = [start("one")];
    let good = s.liar.sign(&entries);
    let mut header = SignedHeader::read(&good.header).unwrap().header;
    change(&mut header);
    let vertex = s.liar.sign_header(header, good.body);
    check_invalid(&mut s.world, &s.liar, &vertex, expected);
}

#[test]
fn lies_in_the_header() {
    bad_header(Refusal::BadVertex, |h| h.count += 1);
    bad_header(Refusal::BadVertex, |h| h.entries_root = Digest([7; 32]));
    bad_header(Refusal::BadVertex, |h| h.to = vec![LogId([7; 32])]);
    bad_header(Refusal::BadVertex, |h| h.to = vec![h.log]);
    bad_header(Refusal::BadVertex, |h| {
        h.time = Timestamp(h.time.0 - 1_000_000);
    });
    bad_header(Refusal::BadVertex, |h| h.parents = vec![h.prev]);
    bad_header(Refusal::BadVertex, |h| {
        h.parents = (0..17).map(|n| BlockId::of(&[n])).collect();
    });
    bad_header(Refusal::BadVertex, |h| {
        h.parents = vec![BlockId::of(b"x"), BlockId::of(b"x")];
    });
    bad_header(Refusal::WrongNetwork, |h| {
        h.network = BlockId::of(b"another");
    });
}

#[test]
fn a_body_that_is_none_is_a_lie_too() {
    let mut s = stage();
    for body in [
        &b"\x9a\x40\x00\x00\x00"[..],
        b"garbage",
        b"\x81\xa0",
        &[0x81; 4000],
    ] {
        let vertex = s.liar.sign_body(&[], body.to_vec());
        let verified = s
            .world
            .verify(KOMATSU, &vertex.header, vertex.body.clone())
            .unwrap();
        assert_eq!(verified.entries.unwrap_err(), Refusal::BadCbor);
    }
    let many = vec![start("x"); 257];
    let vertex = s.liar.sign(&many);
    check_invalid(&mut s.world, &s.liar, &vertex, Refusal::TooLarge);
}

/// A header whose body is withheld is nothing that anybody could judge; whoever has the body gives it.
#[test]
fn a_header_without_its_body_stops_nothing() {
    let mut s = stage();
    let vertex = s.liar.sign(&[start("one")]);
    let bare = Vertex {
        body: Vec::new(),
        ..vertex.clone()
    };
    give(&mut s.world, KANAZAWA, KOMATSU, &bare);
    let peer = s.world.homes[KANAZAWA].peer();
    assert_eq!(
        s.world.homes[KOMATSU].disconnected,
        [(peer, Refusal::BadVertex)]
    );
    assert_eq!(s.world.homes[KOMATSU].frozen, []);
    give(&mut s.world, KANAZAWA, HAKUSAN, &vertex);
    s.world.run();
    assert_eq!(
        head(&s.world, KOMATSU, &s.liar.log),
        (s.liar.seq, vertex.id)
    );
    s.world.assert_in_step(&[KOMATSU, HAKUSAN]);
}

#[test]
fn bytes_that_prove_nothing_are_the_senders_fault() {
    let s = stage();
    let good = s.liar.sign(&[start("one")]);
    let check = |header: &[u8], body: &[u8], expected: Refusal| {
        let verified = s.world.verify(KOMATSU, header, body.to_vec());
        assert_eq!(verified.unwrap_err(), expected);
    };
    check(&good.header, b"another body", Refusal::BadVertex);
    let mut forged = good.header.clone();
    *forged.last_mut().unwrap() ^= 1;
    check(&forged, &good.body, Refusal::BadSignature);
    check(
        &[good.header.as_slice(), &[0]].concat(),
        &good.body,
        Refusal::BadCbor,
    );
    check(&vec![0x81; 10_000], &good.body, Refusal::BadCbor);
    check(&vec![0; 20_000], &good.body, Refusal::TooLarge);
    check(
        b"\xa1\x61h\x5a\x40\x00\x00\x00",
        &good.body,
        Refusal::BadCbor,
    );
    let mut stranger = SignedHeader::read(&good.header).unwrap().header;
    stranger.log = LogId([9; 32]);
    let unknown = s.liar.sign_header(stranger.clone(), good.body.clone());
    check(&unknown.header, &good.body, Refusal::UnknownLog);
    stranger.log = s.world.homes[KOMATSU].log();
    let foreign = s.liar.sign_header(stranger.clone(), good.body.clone());
    check(&foreign.header, &good.body, Refusal::WrongKey);
    stranger.v = 0;
    let formless = s.liar.sign_header(stranger.clone(), good.body.clone());
    check(&formless.header, &good.body, Refusal::BadVertex);
    stranger.v = 2;
    let later = s.liar.sign_header(stranger, good.body.clone());
    check(&later.header, &good.body, Refusal::UnknownVersion);
    // A vertex of this log that was changed in transit, in any field.
    for (i, _) in good.header.iter().enumerate().step_by(11) {
        let mut changed = good.header.clone();
        changed[i] ^= 0x10;
        assert!(
            s.world
                .verify(KOMATSU, &changed, good.body.clone())
                .is_err(),
            "byte {i}"
        );
    }
}

#[test]
fn a_first_vertex_is_judged_by_its_own_charter_up_to_a_root() {
    let mut world = World::new();
    let first = world.homes[KANAZAWA]
        .row(&world.homes[KANAZAWA].log())
        .first;
    let header = world.homes[KANAZAWA].disk.blocks[&first].to_vec();
    let signed = SignedHeader::read(&header).unwrap().header;
    let body = world.homes[KANAZAWA].disk.blocks[&signed.body].to_vec();
    assert!(world.verify(KOMATSU, &header, body.clone()).is_ok());
    let mut entries = decode_body(&body).unwrap();
    let mut charter: serde_json::Value = serde_json::from_slice(&entries[0].body).unwrap();
    charter["region"] = "Asia/JP/17/17203".into();
    entries[0].body = json::canonical(&charter);
    let forged = encode_body(&entries);
    let mut other = signed;
    other.body = BlockId::of(&forged);
    other.log = city_protocol::body::Charter::log_id(&entries[0].body);
    let liar = Liar::new(&world, KANAZAWA);
    let vertex = liar.sign_header(other, forged.clone());
    let refused = world.verify(KOMATSU, &vertex.header, forged);
    assert_eq!(
        refused.unwrap_err(),
        Refusal::BadCertificate,
        "its certificate is for another region"
    );
    let before = world.homes[KOMATSU].disk.clone();
    give(&mut world, KANAZAWA, KOMATSU, &vertex);
    assert!(world.homes[KOMATSU].disk == before);
}

#[derive(Serialize)]
struct FutureEntry<'a> {
    kind: &'a str,
    body: &'a serde_bytes::Bytes,
    sig: Vec<FutureSignature<'a>>,
    booked: std::collections::BTreeMap<String, u64>,
    cites: Vec<u64>,
}

#[derive(Clone, Serialize)]
struct FutureSignature<'a> {
    alg: &'a str,
}

#[test]
fn what_newer_software_writes_stops_the_log_until_the_upgrade_and_is_no_fault() {
    let bytes = serde_bytes::Bytes::new(b"{}");
    let entry = |kind, alg: Option<&'static str>| FutureEntry {
        kind,
        body: bytes,
        sig: alg.map(|alg| FutureSignature { alg }).into_iter().collect(),
        booked: [("bonus".to_owned(), 1)].into(),
        cites: vec![1],
    };
    let mut later_body = serde_json::json!({"version": 2, "type": "accept", "anything": "else"});
    later_body["alg"] = "dilithium5".into();
    let mut later = Entry::home_authored(Kind::Accept, json::canonical(&later_body));
    later.booked.received_at = Some(Timestamp(1));
    let later_start = codec::encode(
        &[("v", 2u64), ("w", 1)]
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>(),
    );
    let bodies = [
        codec::encode(&[entry("birthday", None)]),
        codec::encode(&[entry("transfer", Some("slh-dsa-256s"))]),
        encode_body(&[later]),
        encode_body(&[Entry::home_authored(Kind::Start, later_start)]),
    ];
    for body in bodies {
        let mut s = stage();
        let entries = decode_body(&body).unwrap_or_default();
        let vertex = s.liar.sign_body(&entries, body);
        let frozen = Frozen::Unsupported(s.liar.seq - 1);
        for home in [KOMATSU, HAKUSAN] {
            give(&mut s.world, KANAZAWA, home, &vertex);
            assert_eq!(s.world.homes[home].frozen, [(s.liar.log, frozen, None)]);
        }
        s.world.run();
        s.world.assert_in_step(&[KOMATSU, HAKUSAN]);
        // The upgrade: at its next start the node tries the log again.
        s.world.restart(KOMATSU);
        let row = s.world.homes[KOMATSU].disk.read().log(&s.liar.log).unwrap();
        assert_eq!(row.frozen, None);
    }
}

#[test]
fn an_invalid_vertex_and_a_good_one_at_one_position_are_equivocation() {
    let mut s = stage();
    s.world.disconnect(KOMATSU, HAKUSAN);
    let bad = s.transfer("10.01", 0);
    let bad = s.liar.sign(&bad);
    let good = s.liar.sign(&[start("good")]);
    // 小松 sees only the bad one, 白山 only the good one.
    give(&mut s.world, KANAZAWA, KOMATSU, &bad);
    give(&mut s.world, KANAZAWA, HAKUSAN, &good);
    s.world.connect(KOMATSU, HAKUSAN);
    s.world.run();
    for home in [KOMATSU, HAKUSAN] {
        let frozen = s.world.homes[home].row(&s.liar.log).frozen;
        assert_eq!(
            frozen,
            Some(Frozen::Equivocation(s.liar.seq - 1)),
            "home {home}"
        );
    }
    s.world.assert_in_step(&[KOMATSU, HAKUSAN]);
}

/// A municipality's lists of revoked certificates, as newer software writes them.
fn trust(lists: &[&[u8]]) -> Entry {
    let body = Trust {
        v: 1,
        lists: lists.iter().map(|list| (*list).to_vec().into()).collect(),
        certificates: Vec::new(),
    };
    Entry::home_authored(Kind::Trust, codec::encode(&body))
}

#[test]
fn lists_of_revoked_certificates_are_taken_whatever_they_say() {
    let mut s = stage();
    let vertex = s.liar.sign(&[trust(&[b"no list at all"])]);
    for home in [KOMATSU, HAKUSAN] {
        give(&mut s.world, KANAZAWA, home, &vertex);
        assert_eq!(head(&s.world, home, &s.liar.log), (s.liar.seq, vertex.id));
    }
    s.liar.follow(&vertex);
    let vertex = s.liar.sign(&[trust(&[b"one", b"one"])]);
    check_invalid(&mut s.world, &s.liar, &vertex, Refusal::BadField);
}

#[test]
fn lists_of_revoked_certificates_are_the_homes_own_word() {
    let mut s = stage();
    let mut entry = trust(&[b"a list"]);
    entry.booked.received_at = Some(s.world.now);
    let vertex = s.liar.sign(&[entry]);
    check_invalid(&mut s.world, &s.liar, &vertex, Refusal::BadEntry);
}
