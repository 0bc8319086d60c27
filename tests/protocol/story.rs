//! The main story and the promises of one home: what is submitted, booked, settled and proven.

use std::sync::Arc;

use city_protocol::body::Kind;
use city_protocol::ids::{Digest, NetworkId};
use city_protocol::ledger::{Rows as _, Table, TransferState, key};
use city_protocol::pki::{Crls, verify_client};
use city_protocol::refusal::Refusal;
use city_protocol::replica::{ClockQuality, Input};
use city_protocol::stage::Submission;
use city_protocol::vertex::{Receipt, decode_body};

use super::people::{decided_by, signed};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const ALL: [usize; 3] = [KANAZAWA, KOMATSU, HAKUSAN];

#[test]
fn hanako_in_kanazawa_pays_taro_in_komatsu() {
    let mut world = World::connected();
    world.assert_in_step(&ALL);
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let taro = world.citizen("taro", KOMATSU);
    let (kanazawa, komatsu) = (hanako.home_log, taro.home_log);

    let sent = world.transfer(&hanako, &taro, "123.45").unwrap();
    assert!(!sent.repeated);
    assert_eq!(
        sent.receipt.entry.booked.balance_after.unwrap().to_string(),
        "876.55"
    );
    // 小松 does not know of it before the network carried it.
    assert_eq!(
        world.accept(&taro, &sent).unwrap_err(),
        Refusal::UnknownTransfer
    );
    world.run();
    let taken = world.accept(&taro, &sent).unwrap();
    assert_eq!(
        taken
            .receipt
            .entry
            .booked
            .balance_after
            .unwrap()
            .to_string(),
        "123.45"
    );
    world.run();

    world.assert_in_step(&ALL);
    world.audit();
    for home in &world.homes {
        assert_eq!(
            (home.available(&hanako), home.available(&taro)),
            (87_655, 12_345)
        );
        let sums = home.row(&kanazawa).totals;
        assert_eq!(
            (
                sums.granted,
                sums.available,
                sums.open_out,
                sums.settled_out
            ),
            (100_000, 87_655, 0, 12_345)
        );
        let sums = home.row(&komatsu).totals;
        assert_eq!((sums.available, sums.accepted_in), (12_345, 12_345));
        let state = home
            .disk
            .read()
            .transfer(&kanazawa, &sent.identity)
            .unwrap()
            .state;
        assert_eq!(state, TransferState::Settled);
        // Nothing waits for 太郎 any more.
        let waiting = key(
            Table::Incoming,
            &[&komatsu.0, taro.account.as_str().as_bytes()],
        );
        assert!(home.disk.rows.keys().all(|key| !key.starts_with(&waiting)));
        assert!(home.disconnected.is_empty() && home.frozen.is_empty());
    }
    // 金沢 named 小松 as a receiver's home in the vertex that holds the transfer.
    let receipt = sent.receipt.verify(&world.genesis).unwrap();
    assert_eq!(receipt.header.header.to, [komatsu]);
}

#[test]
fn between_two_people_of_kanazawa_accept_and_settle_stand_in_one_vertex() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    let sent = world.transfer(&hanako, &jiro, "4.00").unwrap();
    let taken = world.accept(&jiro, &sent).unwrap();
    let home = &world.homes[KANAZAWA];
    let vertex = home.disk.read().vertex(&taken.vertex).unwrap();
    let entries = decode_body(&home.disk.blocks[&vertex.body]).unwrap();
    let kinds: Vec<_> = entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Accept, Kind::Settle]);
    assert_eq!((home.available(&hanako), home.available(&jiro)), (600, 400));
    world.run();
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn a_whole_life_fits_into_one_vertex() {
    // Everything is asked before the first commit: enrol, grant, transfer and accept in one batch.
    let mut world = World::new();
    let hanako = world.person("hanako", KANAZAWA);
    let jiro = world.person("jiro", KANAZAWA);
    let mut tickets = Vec::new();
    for person in [&hanako, &jiro] {
        let body = world.enrol_body(person);
        let certificate = world
            .ca
            .client(&person.account, person.key.public(), &person.kem);
        let roots = world.genesis.roots.clone();
        let certificate = verify_client(
            &roots,
            &certificate,
            &[],
            &Crls::none(),
            world.now,
            &person.region,
        );
        let draft = city_protocol::stage::Draft(body)
            .sign(&*person.key)
            .unwrap();
        let enrol = draft
            .verify_enrolment(&certificate.unwrap().certificate)
            .unwrap();
        tickets.push(world.ask(KANAZAWA, Submission::Enrol(enrol)));
    }
    let grant = world.grant_body(&hanako, "5.00");
    let officers = world.homes[KANAZAWA].officers.clone();
    tickets.push(world.ask(
        KANAZAWA,
        Submission::Grant(decided_by(&grant, &officers[1..])),
    ));
    let transfer = world.transfer_body(&hanako, &jiro, "5.00");
    let transfer = signed(transfer, &hanako).unwrap();
    tickets.push(world.ask(KANAZAWA, Submission::Transfer(transfer.clone())));
    // The same again, before anything is durable: both get the same receipt.
    tickets.push(world.ask(KANAZAWA, Submission::Transfer(transfer)));
    for ticket in &tickets {
        assert!(
            world.answer(KANAZAWA, *ticket).is_none(),
            "durable before visible"
        );
    }
    world.commit(KANAZAWA);
    let answers: Vec<_> = tickets
        .iter()
        .map(|t| world.answer(KANAZAWA, *t).unwrap().unwrap())
        .collect();
    assert!(
        answers
            .iter()
            .all(|answer| answer.vertex == answers[0].vertex)
    );
    assert_eq!(answers[3].receipt, answers[4].receipt);
    assert!(answers[4].repeated && !answers[3].repeated);
    for answer in &answers {
        let receipt = answer.receipt.verify(&world.genesis).unwrap();
        assert_eq!(receipt.vertex, answer.vertex);
    }
    world.accept(&jiro, &answers[3]).unwrap();
    world.audit();
}

#[test]
fn a_receipt_is_verified_with_the_genesis_only_and_no_byte_of_it_may_change() {
    let mut world = World::new();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    let sent = world.transfer(&hanako, &jiro, "4.00").unwrap();
    let bytes = sent.receipt.to_bytes();
    let verify = |bytes: &[u8]| Receipt::read(bytes).and_then(|r| r.verify(&world.genesis));
    let verified = verify(&bytes).unwrap();
    assert_eq!(
        (verified.vertex, verified.index),
        (sent.vertex, sent.at.index)
    );
    assert_eq!(verified.authority.region().as_str(), "Asia/JP/17/17201");

    // Every byte is too slow with this many signatures; all of the small fields and a comb over the rest.
    let comb = |i: &usize| i.is_multiple_of(37) || *i < 200 || *i > bytes.len() - 600;
    for i in (0..bytes.len()).filter(comb) {
        let mut forged = bytes.clone();
        forged[i] ^= 1 << (i % 8);
        assert!(verify(&forged).is_err(), "byte {i}");
    }
    assert!(verify(&bytes[..bytes.len() - 1]).is_err());

    let mut other = (*world.genesis).clone();
    other.name = "another network".into();
    assert_eq!(
        sent.receipt.verify(&other).unwrap_err(),
        Refusal::WrongNetwork
    );
    let mut dressed = sent.receipt.clone();
    Arc::make_mut(&mut dressed.authority)[0].booked.received_at = Some(world.now);
    assert_eq!(
        dressed.verify(&world.genesis).unwrap_err(),
        Refusal::BadReceipt
    );
    let mut moved = sent.receipt.clone();
    moved.index += 1;
    assert_eq!(
        moved.verify(&world.genesis).unwrap_err(),
        Refusal::BadReceipt
    );
}

#[test]
fn a_submission_that_comes_again_gets_its_first_receipt() {
    let mut world = World::new();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    let body = world.transfer_body(&hanako, &jiro, "4.00");
    let submit = |world: &mut World| {
        let transfer = signed(body.clone(), &hanako).unwrap();
        world
            .submit(KANAZAWA, Submission::Transfer(transfer))
            .unwrap()
    };
    let first = submit(&mut world);
    let accept = world.accept(&jiro, &first).unwrap();
    world.pass(3_600_000);
    world.restart(KANAZAWA);
    let before = world.homes[KANAZAWA].disk.clone();
    // After its proof of place was forgotten and its expiry passed.
    let second = submit(&mut world);
    assert!(second.repeated);
    assert_eq!(
        (second.receipt, second.identity),
        (first.receipt.clone(), first.identity)
    );
    let body = world.accept_body(&jiro, &first);
    let again = city_protocol::body::Accept {
        sequence: 1,
        created_at: accepted_at(&accept),
        ..body
    };
    let again = world
        .submit(KANAZAWA, Submission::Accept(signed(again, &jiro).unwrap()))
        .unwrap();
    assert_eq!((again.repeated, again.receipt), (true, accept.receipt));
    assert!(
        world.homes[KANAZAWA].disk == before,
        "nothing is stored for a repetition"
    );
}

fn accepted_at(accept: &city_protocol::replica::BookedEntry) -> city_protocol::amount::Timestamp {
    let body: city_protocol::body::Accept =
        serde_json::from_slice(&accept.receipt.entry.body).unwrap();
    body.created_at
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let sent = world.transfer(&hanako, &taro, "4.00").unwrap();
    world.run();
    let before = world.homes[KANAZAWA].disk.clone();
    world.homes[KANAZAWA].disk_is_full = true;
    let body = world.transfer_body(&hanako, &taro, "1.00");
    let transfer = signed(body, &hanako).unwrap();
    let full = world.submit(KANAZAWA, Submission::Transfer(transfer.clone()));
    assert_eq!(full.unwrap_err(), Refusal::StorageFull);
    // 小松 accepts meanwhile; 金沢 can neither store that nor settle.
    world.accept(&taro, &sent).unwrap();
    world.run();
    world.pass(1000);
    assert!(world.homes[KANAZAWA].disk == before);

    world.homes[KANAZAWA].disk_is_full = false;
    world
        .submit(KANAZAWA, Submission::Transfer(transfer))
        .unwrap();
    for _ in 0..4 {
        world.pass(31_000);
    }
    world.assert_in_step(&ALL);
    world.audit();
    assert_eq!(world.homes[HAKUSAN].available(&hanako), 500);
    assert_eq!(
        world.homes[HAKUSAN]
            .row(&hanako.home_log)
            .totals
            .settled_out,
        400
    );
}

#[test]
fn a_first_vertex_that_could_not_be_written_is_written_later() {
    let mut world = World::new();
    let home = world.add_home("17202");
    world.homes[home].disk_is_full = true;
    world.homes[home].disk = super::disk::Disk::default();
    world.restart(home);
    assert!(world.homes[home].disk.blocks.is_empty());
    world.homes[home].disk_is_full = false;
    world.pass(1000);
    assert_eq!(world.homes[home].row(&world.homes[home].log()).seq, 1);
}

#[test]
fn a_restarted_home_goes_on_and_says_so() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    let before = world.homes[KANAZAWA].row(&hanako.home_log);
    world.restart(KANAZAWA);
    assert_eq!(
        world.homes[KANAZAWA].row(&hanako.home_log),
        before,
        "a start alone writes nothing"
    );
    // A refused submission does not use up the start that is owed.
    assert_eq!(
        world.transfer(&hanako, &taro, "11.00").unwrap_err(),
        Refusal::Overdraft
    );
    let sent = world.transfer(&hanako, &taro, "1.00").unwrap();
    let second = world.transfer(&hanako, &taro, "1.00").unwrap();
    let kinds = |world: &World, vertex| -> Vec<Kind> {
        let disk = &world.homes[KANAZAWA].disk;
        let body = disk.read().vertex(&vertex).unwrap().body;
        decode_body(&disk.blocks[&body])
            .unwrap()
            .iter()
            .map(|entry| entry.kind)
            .collect()
    };
    assert_eq!(
        kinds(&world, sent.vertex),
        [Kind::Start, Kind::Place, Kind::Transfer]
    );
    assert_eq!(kinds(&world, second.vertex), [Kind::Place, Kind::Transfer]);
    world.connect(KANAZAWA, KOMATSU);
    world.connect(KANAZAWA, HAKUSAN);
    world.run();
    world.accept(&taro, &sent).unwrap();
    world.run();
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn what_was_accepted_while_a_home_was_away_is_settled_when_it_returns() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let sent = world.transfer(&hanako, &taro, "4.00").unwrap();
    world.run();
    world.accept(&taro, &sent).unwrap();
    // 金沢 stores the acceptance, but its clock is not to be trusted: it cannot settle.
    world.homes[KANAZAWA].quality = ClockQuality::Floor;
    world.run();
    assert_eq!(world.homes[KANAZAWA].available(&taro), 400);
    assert_eq!(
        world.homes[KANAZAWA].row(&hanako.home_log).totals.open_out,
        400
    );
    assert_eq!(
        world.transfer(&hanako, &taro, "1.00").unwrap_err(),
        Refusal::ClockUnknown
    );
    world.homes[KANAZAWA].quality = ClockQuality::Ntp;
    world.pass(1000);
    assert_eq!(
        world.homes[KANAZAWA]
            .row(&hanako.home_log)
            .totals
            .settled_out,
        400
    );
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn one_transfer_that_expires_soon_does_not_spoil_the_others_of_its_batch() {
    let mut world = World::new();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let jiro = world.rich_citizen("jiro", KANAZAWA, "10.00");
    let mut hasty = world.transfer_body(&hanako, &jiro, "1.00");
    hasty.expires_at = world.now.plus_ms(1);
    let calm = world.transfer_body(&jiro, &hanako, "1.00");
    let hasty = world.ask(
        KANAZAWA,
        Submission::Transfer(signed(hasty, &hanako).unwrap()),
    );
    world.now = world.now.plus_ms(5);
    let calm = world.ask(KANAZAWA, Submission::Transfer(signed(calm, &jiro).unwrap()));
    world.now = world.now.plus_ms(5);
    world.commit(KANAZAWA);
    for ticket in [hasty, calm] {
        let booked = world.answer(KANAZAWA, ticket).unwrap().unwrap();
        booked.receipt.verify(&world.genesis).unwrap();
    }
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    assert!(
        world.homes[KOMATSU].frozen.is_empty(),
        "what 金沢 signed is valid for 小松"
    );
    world.assert_in_step(&[KANAZAWA, KOMATSU]);
}

#[test]
fn a_big_batch_fills_several_vertices_and_every_receipt_holds() {
    let mut world = World::new();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    let mut bodies = Vec::new();
    for sequence in 1..=300 {
        let mut body = world.transfer_body(&hanako, &jiro, "1.00");
        body.sequence = sequence;
        bodies.push(signed(body, &hanako).unwrap());
    }
    let ask = |body| world.ask(KANAZAWA, Submission::Transfer(body));
    let tickets: Vec<_> = bodies.into_iter().map(ask).collect();
    world.commit(KANAZAWA);
    let mut vertices = std::collections::BTreeSet::new();
    let mut sent = Vec::new();
    for (n, ticket) in tickets.into_iter().enumerate() {
        let booked = world.answer(KANAZAWA, ticket).unwrap().unwrap();
        let balance = booked.receipt.entry.booked.balance_after.unwrap();
        assert_eq!(balance.hundredths(), 100_000 - 100 * (n as u64 + 1));
        vertices.insert(booked.vertex);
        if n % 50 == 0 {
            booked.receipt.verify(&world.genesis).unwrap();
        }
        sent.push(booked);
    }
    assert!(vertices.len() >= 3, "{} vertices", vertices.len());
    // Accepted in one batch too: each `settle` stands beside its `accept`.
    let mut accepts = Vec::new();
    for (n, booked) in sent.iter().enumerate() {
        let mut body = world.accept_body(&jiro, booked);
        body.sequence = n as u64 + 1;
        accepts.push(world.ask(KANAZAWA, Submission::Accept(signed(body, &jiro).unwrap())));
    }
    world.commit(KANAZAWA);
    for ticket in accepts {
        let booked = world.answer(KANAZAWA, ticket).unwrap().unwrap();
        let disk = &world.homes[KANAZAWA].disk;
        let body = disk.read().vertex(&booked.vertex).unwrap().body;
        let entries = decode_body(&disk.blocks[&body]).unwrap();
        assert_eq!(entries[booked.at.index as usize + 1].kind, Kind::Settle);
    }
    world.audit();
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    world.assert_in_step(&[KANAZAWA, KOMATSU]);
}

#[test]
fn nothing_is_given_out_before_it_is_durable() {
    let mut world = World::new();
    let hanako = world.person("hanako", KANAZAWA);
    let stranger = world.grant_body(&hanako, "1.00");
    let officers = world.homes[KANAZAWA].officers[..2].to_vec();
    let ticket = world.ask(
        KANAZAWA,
        Submission::Grant(decided_by(&stranger, &officers)),
    );
    // A refusal that nothing waits for is told at once.
    assert_eq!(
        world.answer(KANAZAWA, ticket).unwrap().unwrap_err(),
        Refusal::UnknownAccount
    );
    assert!(!world.homes[KANAZAWA].replica.has_work());
    world.tell(KANAZAWA, Input::Tick);
    assert!(
        !world.homes[KANAZAWA].replica.has_work(),
        "an idle home writes nothing"
    );
    let network: NetworkId = world.network();
    assert_ne!(Digest(*network.digest()), Digest([0; 32]));
}
