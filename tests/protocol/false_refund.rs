//! 金沢 gives back as expired what 小松 had accepted in time: the receipts of both, side by side, show it to whoever has the
//! genesis record.

use city_protocol::body::Kind;
use city_protocol::body::{Refund, RefundReason};
use city_protocol::codec;
use city_protocol::ledger::{
    ACCEPT_DEADLINE_MS, FalseRefund, MAX_FALSE_REFUND, Rows as _, TransferState,
};
use city_protocol::refusal::Refusal;
use city_protocol::replica::BookedEntry;
use city_protocol::vertex::{Cite, Entry, Receipt};

use super::answers::DAY;
use super::faults::cut_off_kanazawa;
use super::liar::{Liar, Vertex, give};
use super::people::Person;
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

struct Story {
    world: World,
    hanako: Person,
    sent: BookedEntry,
    taken: BookedEntry,
    other: BookedEntry,
}

/// 太郎 takes one of two transfers while 金沢 hears nothing; half a year later 金沢's node is patched.
fn story() -> Story {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let sent = world.transfer(&hanako, &taro, "4.00").unwrap();
    let more = world.transfer(&hanako, &taro, "1.00").unwrap();
    world.run();
    cut_off_kanazawa(&mut world);
    let taken = world.accept(&taro, &sent).unwrap();
    let other = world.accept(&taro, &more).unwrap();
    world.run();
    world.pass(181 * DAY);
    world.citizen("hanae", KOMATSU);
    world.run();
    Story {
        world,
        hanako,
        sent,
        taken,
        other,
    }
}

/// What 金沢's node signs: a refund for this reason, with what it has to rest on.
fn refund(s: &Story, reason: RefundReason) -> (Entry, Vertex) {
    let body = Refund {
        v: 1,
        transfer: s.sent.identity,
        own: s.sent.at,
        amount: "4.00".parse().unwrap(),
        reason,
    };
    let mut entry = Entry::home_authored(Kind::Refund, codec::encode(&body));
    let komatsu = s.world.homes[KOMATSU].log();
    let late = s.world.homes[KOMATSU].row(&komatsu).head;
    entry.cites = vec![Cite::Vertex(late)];
    let mut liar = Liar::new(&s.world, KANAZAWA);
    liar.parents = vec![late];
    let vertex = liar.sign(std::slice::from_ref(&entry));
    (entry, vertex)
}

fn receipt_of(like: &Receipt, entry: Entry, vertex: &Vertex) -> Receipt {
    Receipt {
        header: vertex.header.clone(),
        entry,
        index: 0,
        path: Vec::new(),
        ..like.clone()
    }
}

#[track_caller]
fn shows(s: &Story, proof: &FalseRefund) -> Result<(), Refusal> {
    let bytes = proof.to_bytes();
    assert!(bytes.len() <= MAX_FALSE_REFUND);
    let verified = FalseRefund::read(&bytes)?.verify(&s.world.genesis)?;
    assert_eq!(verified.identity, s.sent.identity);
    assert!(verified.accept.header.header.time <= verified.deadline);
    Ok(())
}

#[test]
fn what_was_accepted_in_time_and_given_back_is_shown_offline() {
    let mut s = story();
    let (entry, vertex) = refund(&s, RefundReason::Expired);
    let (sent, taken) = (s.sent.receipt.clone(), s.taken.receipt.clone());
    let back = receipt_of(&sent, entry, &vertex);
    let proof = FalseRefund::of(sent.clone(), taken.clone(), back.clone());
    assert_eq!(shows(&s, &proof), Ok(()));
    // 白山 follows both and judges 金沢's log by that log alone: nobody is convicted, and the evidence stays.
    give(&mut s.world, KANAZAWA, HAKUSAN, &vertex);
    let hakusan = &s.world.homes[HAKUSAN];
    assert_eq!(
        s.world.state(HAKUSAN, &s.sent, &s.hanako),
        TransferState::Refunded
    );
    assert_eq!(hakusan.row(&s.hanako.home_log).frozen, None);

    // Three receipts that hold and are not about one transfer, or not in their places.
    let bad = Err(Refusal::BadEntry);
    let with = |transfer: &Receipt, accept: &Receipt, refund: &Receipt| {
        shows(
            &s,
            &FalseRefund::of(transfer.clone(), accept.clone(), refund.clone()),
        )
    };
    assert_eq!(with(&sent, &s.other.receipt, &back), bad);
    assert_eq!(with(&taken, &sent, &back), bad);
    assert_eq!(with(&sent, &back, &taken), bad);
    // What was turned down goes back rightly.
    let (entry, vertex) = refund(&s, RefundReason::Rejected);
    let rightly = receipt_of(&sent, entry, &vertex);
    assert_eq!(with(&sent, &taken, &rightly), bad);
    // What was taken too late was not taken.
    let mut late = Liar::new(&s.world, KOMATSU);
    let sent_at = s.world.homes[KANAZAWA]
        .disk
        .read()
        .vertex(&s.sent.vertex)
        .unwrap()
        .time;
    late.time = sent_at.plus_ms(ACCEPT_DEADLINE_MS + 1);
    let entry = taken.entry.clone();
    let vertex = late.sign(std::slice::from_ref(&entry));
    let too_late = receipt_of(&taken, entry.clone(), &vertex);
    assert_eq!(with(&sent, &too_late, &back), Err(Refusal::DeadlinePassed));
    late.time = sent_at.plus_ms(ACCEPT_DEADLINE_MS);
    let vertex = late.sign(std::slice::from_ref(&entry));
    assert_eq!(
        with(&sent, &receipt_of(&taken, entry, &vertex), &back),
        Ok(())
    );
    // A byte of it.
    let mut forged = proof.to_bytes();
    let at = forged.len() - 9;
    forged[at] ^= 1;
    let forged = FalseRefund::read(&forged).and_then(|proof| proof.verify(&s.world.genesis));
    assert!(forged.is_err());
}
