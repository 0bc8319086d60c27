//! What has to hold of a valid vertex beside the sums: what it rests on is there, and not beyond a cut; officers and people
//! signed what they have to; its notes are its own; its checkpoint is what the log comes to.

use std::collections::{BTreeMap, BTreeSet};

use city_protocol::body::{
    Adopt, Amendment, Answer, EpochStart, Fault, FaultReason, Kind, MAX_NOTE_VALUE, Note, Refund,
    RefundReason, Settle, is_home_authored, is_officers_revoke, officer_message,
    read_officers_body,
};
use city_protocol::checkpoint::{Checkpoint, Leaf, leaves_of, verify_snapshot, vertex_leaf};
use city_protocol::codec;
use city_protocol::crypto::{self, DomainTag, PublicKey};
use city_protocol::ids::{BlockId, Digest, KeyId, LogId};
use city_protocol::ledger::{ACCEPT_DEADLINE_MS, Changes, Layers, Rows as _};
use city_protocol::vertex::{
    Cite, Entry, EntryCite, KeySource as _, SignedHeader, decode_body, merkle_root,
};
use serde_json::Value;

use super::oracles::{Found, lost_kind};
use crate::town::town;

/// Everything that the vertex rests on is really there, says what is said of it, and is not beyond a cut that the log
/// itself has entered.
pub(super) fn cited(found: &Found<'_>) {
    let rows = found.before.read();
    let mut cuts: BTreeMap<(LogId, u64), u64> = BTreeMap::new();
    let counts = |cuts: &BTreeMap<(LogId, u64), u64>, id: &BlockId| {
        let row = found.vertex_row(id).expect("what is cited is here");
        let cut = cuts.get(&(row.log, row.epoch)).copied();
        let cut = cut.or_else(|| rows.fault_cut(&found.log, &row.log, row.epoch));
        assert!(cut.is_none_or(|cut| row.seq <= cut), "beyond a cut");
        row
    };
    for parent in &found.vertex.header.header.parents {
        assert_ne!(counts(&cuts, parent).log, found.log);
    }
    for (index, entry) in found.entries().iter().enumerate() {
        if entry.kind == Kind::Fault {
            let fault = convicts(entry);
            let place = (fault.log, fault.epoch);
            let entered = cuts.get(&place).copied();
            let entered = entered.or_else(|| rows.fault_cut(&found.log, &fault.log, fault.epoch));
            assert!(entered.is_none_or(|cut| fault.cut < cut), "entered twice");
            cuts.insert(place, fault.cut);
        }
        for (n, cite) in entry.cites.iter().enumerate() {
            match cite {
                Cite::Entry(cite) if entry.kind == Kind::Adopt && n == 0 => lost(found, cite),
                Cite::Entry(cite) => {
                    let row = counts(&cuts, &cite.vertex);
                    assert_ne!(row.log, found.log, "of another log");
                    stands(found, cite);
                }
                Cite::Own(at) if (at.epoch, at.seq) == found.position() => {
                    assert!(at.index < index as u64, "an earlier entry");
                }
                Cite::Own(at) => assert!(rows.entry(&found.log, at).is_some()),
                Cite::Vertex(id) if entry.kind == Kind::Fault => {
                    assert!(found.vertex_row(id).is_some());
                }
                Cite::Vertex(id) => drop(counts(&cuts, id)),
            }
        }
        if matches!(entry.kind, Kind::Settle | Kind::Refund) {
            ends_rightly(found, entry);
        }
    }
}

/// The entry stands in the vertex at its place.
fn stands(found: &Found<'_>, cite: &EntryCite) -> Entry {
    let row = found.vertex_row(&cite.vertex).expect("it is here");
    let body = found.before.blocks.get(&row.body).expect("with its body");
    let entries = decode_body(body).expect("a home wrote it");
    let index = usize::try_from(cite.index).expect("few");
    let entry = entries.into_iter().nth(index).expect("at this place");
    assert_eq!(
        entry.leaf(),
        cite.leaf(),
        "what is cited is what stands there"
    );
    entry
}

/// It stood in the own log, and a cut took it back; what is adopted with it rests on it.
fn lost(found: &Found<'_>, cite: &EntryCite) {
    let row = found.vertex_row(&cite.vertex).expect("it is here");
    let rows = found.before.read();
    assert_eq!(row.log, found.log, "it was its own");
    assert!(row.epoch < found.finished.row.epoch, "its epoch is closed");
    let counts = rows.vertex_at(&found.log, row.epoch, row.seq);
    assert_ne!(counts, Some(cite.vertex), "what counts is not lost");
    stands(found, cite);
    let adopts = found
        .entries()
        .iter()
        .filter(|entry| entry.kind == Kind::Adopt);
    for entry in adopts {
        let [Cite::Entry(lost), Cite::Entry(foreign)] = entry.cites.as_slice() else {
            panic!("an adoption rests on two entries");
        };
        let amount = Adopt::read(&entry.body).expect("it is valid").amount;
        let there = stands(found, foreign);
        assert_eq!(
            codec::encode(&there.cites),
            codec::encode(&[Cite::Entry(lost.clone())])
        );
        assert!(lost_kind(entry) == Kind::Transfer || entry.booked.shortfall.is_none());
        assert!(entry.booked.shortfall.is_none_or(|short| short <= amount));
    }
}

/// The evidence of a fault: signed by the node of that log, at the place behind the cut, and not the same twice.
fn convicts(entry: &Entry) -> Fault {
    let fault = Fault::read(&entry.body).expect("it is valid");
    let accused = town().keys.authority(&fault.log).expect("of the story");
    let ids: BTreeSet<_> = fault.evidence.iter().collect();
    assert_eq!(ids.len(), fault.evidence.len(), "one thing twice is none");
    if fault.reason != FaultReason::EpochStarts {
        let key = accused.key_of(fault.epoch).expect("an epoch of the story");
        for header in &fault.evidence {
            let header = SignedHeader::read(header).expect("it is valid");
            header.verify(key).expect("its node signed it");
            let h = &header.header;
            assert_eq!(
                (h.log, h.epoch, h.seq),
                (fault.log, fault.epoch, fault.cut + 1)
            );
        }
    }
    fault
}

/// Settled is what the receiver's home says was accepted, refunded what it says was rejected, or what it had not answered
/// when it wrote its first vertex behind the deadline.
fn ends_rightly(found: &Found<'_>, entry: &Entry) {
    let rows = found.before.read();
    let (transfer, reason) = match entry.kind {
        Kind::Settle => (Settle::read(&entry.body).map(|body| body.transfer), None),
        _ => {
            let body = Refund::read(&entry.body).expect("it is valid");
            (Ok(body.transfer), Some(body.reason))
        }
    };
    let transfer = transfer.expect("it is valid");
    let sent = rows.transfer(&found.log, &transfer);
    let receiver_home = sent.as_ref().map_or(found.log, |row| row.receiver_home);
    let answer = match entry.cites.as_slice() {
        [Cite::Entry(cite)] => {
            let row = found.vertex_row(&cite.vertex).expect("it is here");
            assert_eq!(row.log, receiver_home, "the receiver's home answers");
            Some((cite.kind, cite.body.clone()))
        }
        [Cite::Own(at)] => {
            assert_eq!(receiver_home, found.log, "the receiver's home answers");
            let here = (at.epoch, at.seq) == found.position();
            let index = usize::try_from(at.index).expect("few");
            let entry = if here {
                found.entries().get(index).cloned()
            } else {
                rows.entry(&found.log, at)
            };
            entry.map(|entry| (entry.kind, entry.body))
        }
        _ => None,
    };
    let expected = match reason {
        None => Kind::Accept,
        Some(RefundReason::Rejected) => Kind::Reject,
        Some(RefundReason::Expired) => {
            let at = sent.expect("sent long ago").at;
            let sent = rows.vertex_at(&found.log, at.epoch, at.seq);
            let sent = sent
                .and_then(|id| found.vertex_row(&id))
                .expect("it is here");
            let last = sent.time.plus_ms(ACCEPT_DEADLINE_MS);
            if let [Cite::Vertex(id)] = entry.cites.as_slice() {
                let late = found.vertex_row(id).expect("it is here");
                assert_eq!(
                    late.log, receiver_home,
                    "its silence counts, and nobody's else"
                );
                let prev = SignedHeader::read(&found.before.blocks[id]).expect("it is one");
                let prev = found.vertex_row(&prev.header.prev);
                assert!(late.time > last && prev.is_none_or(|prev| prev.time <= last));
            } else {
                assert_eq!(receiver_home, found.log);
                assert!(entry.cites.is_empty() && found.time() > last, "not late");
                assert!(
                    rows.answer(&found.log, &transfer).is_none(),
                    "it was answered"
                );
            }
            return;
        }
    };
    let (kind, body) = answer.expect("it rests on an answer");
    let answer = Answer::read(kind, &body).expect("an answer");
    assert_eq!(
        (kind, answer.transfer),
        (expected, transfer),
        "another answer"
    );
}

/// What officers decide bears their signatures, k of those in force, and their numbers have no gaps.
pub(super) fn decided(found: &Found<'_>) {
    let authority = &found.vertex.authority;
    let known = town().keys.authority(&found.log).expect("of the story");
    let mut boards: BTreeMap<Digest, (u64, Vec<PublicKey>)> = known
        .boards()
        .map(|(hash, board)| (hash, (board.k(), board.keys().to_vec())))
        .collect();
    let old = found.old.as_ref();
    let mut sequence = old.map_or(0, |old| old.officers_sequence);
    let mut in_force = old
        .and_then(|old| old.charter)
        .unwrap_or(authority.charter_hash);
    for (index, entry) in found.entries().iter().enumerate() {
        let Some(tag) = officers_tag(entry) else {
            continue;
        };
        let (k, keys) = &boards[&in_force];
        let signed = |key: &&PublicKey| {
            let message = officer_message(key.algorithm(), &key.id(), &entry.body);
            let of = |sig: &&city_protocol::vertex::EntrySignature| sig.key == key.id();
            let sig = entry
                .sig
                .iter()
                .find(of)
                .and_then(|sig| sig.signature().ok());
            sig.is_some_and(|sig| key.verify(tag, &message, &sig).is_ok())
        };
        let officers = keys.iter().filter(signed).count() as u64;
        assert!(
            officers >= *k,
            "{officers} officers decided a {}",
            entry.kind
        );
        assert_eq!(officers, entry.sig.len() as u64, "and nobody else did");
        let body: Value = serde_json::from_slice(&entry.body).expect("it is valid");
        sequence += 1;
        assert_eq!(body["officers_sequence"], sequence, "the next number");
        match entry.kind {
            Kind::Charter => {
                let later: Amendment = read_officers_body(&entry.body).expect("it is valid");
                assert_eq!((index, later.before), (0, in_force));
                if known.knows(&in_force) {
                    let number = known.under(Some(in_force)).charter_number();
                    assert_eq!(later.number, number + 1, "charters are numbered");
                }
                in_force = Digest::of(&[&entry.body]);
                let keys = later.officers.public_keys().expect("they are keys");
                boards.insert(in_force, (later.officers.k, keys));
            }
            Kind::EpochStart => {
                let start: EpochStart = read_officers_body(&entry.body).expect("it is valid");
                let cut = (start.old_epoch, start.cut_seq, start.cut);
                let old = old.expect("an epoch ends");
                assert_eq!(
                    (index, cut),
                    (0, (old.epoch, old.seq, old.head)),
                    "the head"
                );
            }
            _ => {}
        }
    }
    let row = &found.finished.row;
    assert_eq!(row.officers_sequence, sequence);
    assert_eq!(row.charter.unwrap_or(authority.charter_hash), in_force);
    assert_eq!(found.vertex.header.header.charter, in_force);
}

/// Under what officers sign an entry, if it is they who do.
fn officers_tag(entry: &Entry) -> Option<DomainTag> {
    Some(match entry.kind {
        Kind::Charter if !entry.sig.is_empty() => crypto::TAG_AMENDMENT,
        Kind::Grant => crypto::TAG_GRANT,
        Kind::Ungrant => crypto::TAG_UNGRANT,
        Kind::Correct => crypto::TAG_CORRECT,
        Kind::Recover => crypto::TAG_RECOVER,
        Kind::EpochStart => crypto::TAG_EPOCH_START,
        Kind::Revoke if is_officers_revoke(&entry.body) => crypto::TAG_REVOKE,
        _ => return None,
    })
}

/// What people sign bears the signature of an account's own key, which is not closed, in its turn.
pub(super) fn signed_by_people(found: &Found<'_>) {
    let rows = found.before.read();
    let mut next: BTreeMap<KeyId, u64> = BTreeMap::new();
    for entry in found.entries() {
        let tag = match entry.kind {
            Kind::Transfer => crypto::TAG_TRANSFER,
            Kind::Accept if !is_home_authored(&entry.body) => crypto::TAG_ACCEPT,
            Kind::Reject if !is_home_authored(&entry.body) => crypto::TAG_REJECT,
            Kind::Order => crypto::TAG_ORDER,
            Kind::Enrol => crypto::TAG_ENROL,
            Kind::Rotate => crypto::TAG_ROTATE,
            Kind::Revoke if !is_officers_revoke(&entry.body) => crypto::TAG_REVOKE,
            _ => continue,
        };
        let body: Value = serde_json::from_slice(&entry.body).expect("it is valid");
        let key = body["key"]
            .as_str()
            .and_then(|text| text.parse::<KeyId>().ok());
        let key = key.expect("it is valid");
        for sig in &entry.sig {
            let public = town().keys.public_key(&sig.key).expect("of the story");
            let signature = sig.signature().expect("it is valid");
            public.verify(tag, &entry.body, &signature).expect("signed");
        }
        assert!(entry.sig.iter().any(|sig| sig.key == key));
        let turn = next.entry(key).or_insert_with(|| {
            let account = rows.account_of_key(&found.log, &key);
            let row = rows.account(&found.log, &account);
            let row = row.filter(|row| row.key == key);
            row.map_or(0, |row| {
                assert!(!row.revoked, "a closed key signs nothing");
                row.next_sequence
            })
        });
        if entry.kind == Kind::Enrol {
            *turn = 0;
        }
        // Keys that changed in this very vertex have the turn of the account.
        if *turn > 0 || entry.kind == Kind::Enrol || !found.has(&[Kind::Rotate, Kind::Recover]) {
            assert_eq!(body["sequence"], *turn, "in its turn");
        }
        *turn += 1;
    }
}

/// A home writes under its own name or under nobody's, and not too much.
pub(super) fn board(found: &Found<'_>) {
    let region = found.vertex.authority.region().as_str();
    for entry in found.entries() {
        if entry.kind != Kind::Note {
            continue;
        }
        let note = Note::read(&entry.body).expect("it is valid");
        assert!(note.bytes() <= MAX_NOTE_VALUE);
        let key = note.key.as_str();
        assert!(
            !key.contains('/') || key.starts_with(&format!("{region}/")),
            "{key}"
        );
    }
}

/// A checkpoint is what the log comes to, leaf by leaf, and its blocks hold just that.
pub(super) fn checkpoint(found: &Found<'_>) {
    let Some(entry) = found
        .entries()
        .iter()
        .find(|entry| entry.kind == Kind::Checkpoint)
    else {
        return;
    };
    let body = Checkpoint::read(&entry.body).expect("it is valid");
    let old = found.old.as_ref().expect("there is something before");
    assert_eq!(
        (body.position.epoch, body.position.seq),
        (old.epoch, old.seq)
    );
    let nothing = Changes::default();
    let rows = Layers {
        history: found.before,
        batch: &nothing,
        vertex: None,
    };
    let charter = found.vertex.authority.charter_hash;
    let (mut hashes, mut available) = (Vec::new(), 0);
    leaves_of(&rows, town().world.network(), charter, found.log, |leaf| {
        if let Leaf::Account(account) = &leaf {
            available += account.available.hundredths();
        }
        hashes.push(Leaf::hash(&leaf.to_bytes()));
        Ok(())
    })
    .expect("it is folded");
    assert_eq!(available, old.totals.available, "every account is in it");
    assert_eq!(
        (body.leaves, body.state_root.0),
        (hashes.len() as u64, merkle_root(&hashes)),
        "the state is what was folded"
    );
    let on_chain = |seq| rows.vertex_on_chain(&found.log, old.epoch, seq);
    let chain = (1..=old.seq).map(|seq| vertex_leaf(&on_chain(seq).expect("it is there")));
    assert_eq!(
        body.vertices_root.0,
        merkle_root(&chain.collect::<Vec<_>>())
    );
    let new = &found.finished.changes.blocks;
    let block = |id: &BlockId| {
        let new = new.iter().find(|(name, _)| name == id);
        let new = new.map(|(_, block)| block.clone());
        new.or_else(|| found.before.blocks.get(id).map(|block| block.to_vec()))
    };
    verify_snapshot(&body, block, |_| ()).expect("its blocks hold it");
}
