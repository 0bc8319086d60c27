//! Proofs of what was signed twice: nobody is convicted but by two signatures of its own at one place. 金沢市 of the
//! story lies at two positions, its officers begin the next epoch in three ways, 能美市 has lied in several epochs, and 小松市
//! does nothing wrong.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::body::{EpochStart, Fault, FaultReason, Kind, Label};
use city_protocol::codec;
use city_protocol::ids::LogId;
use city_protocol::ledger::{FaultProof, MAX_FAULT_PROOF, Rows as _};
use city_protocol::vertex::{Entry, KeySource as _, SignedHeader};

use crate::edits::{Edit, Input, apply};
use crate::liar::{Liar, start};
use crate::memory;
use crate::people::decided_by;
use crate::town::{NOMI, headers, town};
use crate::world::{KANAZAWA, KOMATSU, World};

/// What reading and verifying may hold beside some copies of the bytes: the keys and certificates of one path.
const MEMORY: usize = 2 << 20;

/// How a proof was put together from known pieces.
#[derive(Arbitrary, Debug)]
struct Forgery {
    reason: u8,
    authority: u8,
    evidence: [u8; 2],
    changes: Vec<Change>,
}

#[derive(Arbitrary, Debug)]
enum Change {
    Version(u64),
    Swap,
    Evidence(bool, Edit),
    Charter(Edit),
    AuthorityAgain(u8),
    NoAuthority,
    Signature(u8, u8, Edit),
    ReceivedAt(u8, u64),
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => check(bytes),
        Some(Input::Story(story)) => drop(tell(story)),
        None => {}
    }
}

/// Inputs to begin with: every proof that convicts, and pairs that convict nobody.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let known = known();
    let honest = known.evidence.keys().zip(known.evidence.keys().skip(1));
    let innocent = honest.map(|(a, b)| FaultProof {
        v: 1,
        reason: FaultReason::Equivocation,
        authority: known.authorities[0].clone(),
        evidence: [a.clone().into(), b.clone().into()],
    });
    let innocent: Vec<_> = innocent.map(|proof| proof.to_bytes()).collect();
    let all = known.proofs.iter().chain(&innocent);
    all.map(|bytes| Input::raw(bytes)).collect()
}

struct Known {
    /// 金沢's charter, the same with each beginning of its second epoch, and 小松's.
    authorities: Vec<Vec<Entry>>,
    /// What was signed, and which of it contradicts each other: the same log and place.
    evidence: BTreeMap<Vec<u8>, (LogId, u64, u64)>,
    /// Every proof that convicts.
    proofs: BTreeSet<Vec<u8>>,
}

thread_local! {
    static KNOWN: &'static Known = Box::leak(Box::new(known()));
}

fn known() -> Known {
    let world = &town().world;
    let [kanazawa, komatsu] =
        [KANAZAWA, KOMATSU].map(|home| world.homes[home].authority.entries(1, None));
    let starts = starts(world);
    let begun = starts.iter().map(|start| {
        let mut start = start.clone();
        start.booked.received_at = Some(world.now);
        [kanazawa.clone(), vec![start]].concat()
    });
    let begun: Vec<_> = begun.collect();
    let mut known = Known {
        evidence: BTreeMap::new(),
        proofs: BTreeSet::new(),
        authorities: [vec![kanazawa.clone()], begun.clone(), vec![komatsu]].concat(),
    };
    let holds = "these were signed twice";
    for epoch in [1, 2] {
        let lies = lies(world, epoch);
        let authorities = if epoch == 1 {
            vec![kanazawa.clone()]
        } else {
            begun.clone()
        };
        for pair in lies.chunks(2) {
            for authority in &authorities {
                let proof = FaultProof::of_vertices(authority.clone(), &pair[0], &pair[1]);
                known.proofs.insert(proof.expect(holds).to_bytes());
            }
        }
        let place = |bytes: &Vec<u8>| {
            let h = SignedHeader::read(bytes).expect("it was signed").header;
            (h.log, h.epoch, h.seq)
        };
        let lies = lies.into_iter().map(|lie| (lie.clone(), place(&lie)));
        known.evidence.extend(lies);
    }
    for (i, a) in starts.iter().enumerate() {
        for b in &starts[i + 1..] {
            let proof = FaultProof::of_beginnings(kanazawa.clone(), a, b);
            known.proofs.insert(proof.expect(holds).to_bytes());
        }
        let place = (world.homes[KANAZAWA].log(), 2, 0);
        known.evidence.insert(codec::encode(a), place);
    }
    // What everybody wrote in the story: honest homes once at each place, 能美市 not.
    for header in headers() {
        let h = SignedHeader::read(&header).expect("it was signed").header;
        known.evidence.insert(header, (h.log, h.epoch, h.seq));
    }
    told(&mut known);
    known
}

/// The faults of the story that two vertices prove, in whatever epoch, with who was in charge then.
fn told(known: &mut Known) {
    let nomi = town().world.homes[NOMI].log();
    let authority = town().keys.authority(&nomi).expect("of the story");
    for receipt in town().receipts() {
        if receipt.entry.kind != Kind::Fault {
            continue;
        }
        let fault = Fault::read(&receipt.entry.body).expect("it holds");
        if fault.reason != FaultReason::Equivocation {
            continue;
        }
        let [a, b] = &fault.evidence[..] else {
            panic!("two pieces");
        };
        let h = SignedHeader::read(a).expect("it was signed").header;
        let entries = authority.entries(h.epoch, Some(h.charter));
        let proof = FaultProof::of_vertices(entries.clone(), a, b).expect("it convicts");
        known.proofs.insert(proof.to_bytes());
        if !known.authorities.contains(&entries) {
            known.authorities.push(entries);
        }
    }
}

/// Two vertices at each of two positions behind the head.
fn lies(world: &World, epoch: u64) -> Vec<Vec<u8>> {
    let mut liar = Liar::new(world, KANAZAWA);
    let mut lies = Vec::new();
    for software in ["one", "two", "three", "four"] {
        let said = liar.sign(&[start(software)]);
        let mut header = SignedHeader::read(&said.header)
            .expect("it was signed")
            .header;
        header.epoch = epoch;
        lies.push(liar.sign_header(header, said.body).header);
        if lies.len() == 2 {
            liar.seq += 1;
        }
    }
    lies
}

/// Three beginnings of 金沢's second epoch, each signed by two officers.
fn starts(world: &World) -> Vec<Entry> {
    let home = &world.homes[KANAZAWA];
    let row = home.disk.read().log(&home.log()).expect("it has a log");
    let begin = |reason: &str| {
        let body = EpochStart {
            version: 1,
            kind: Kind::EpochStart,
            network: world.network(),
            home: home.log(),
            officers_sequence: row.officers_sequence + 1,
            created_at: world.now,
            old_epoch: 1,
            cut_seq: row.seq,
            cut: row.head,
            node_certificate: None,
            chain: Vec::new(),
            reason: Label::new(reason).expect("a short text"),
        };
        let decided = decided_by(&body, &home.officers[..2]);
        Entry {
            sig: decided.signatures,
            ..Entry::home_authored(Kind::EpochStart, decided.bytes)
        }
    };
    ["一", "二", "三"].map(begin).to_vec()
}

fn tell(mut story: Unstructured<'_>) -> arbitrary::Result<()> {
    let forgery: Forgery = story.arbitrary()?;
    let edits: Vec<Edit> = story.arbitrary()?;
    let known = KNOWN.with(|known| *known);
    let authority = usize::from(forgery.authority) % known.authorities.len();
    let evidence = forgery.evidence.map(|n| {
        let nth = usize::from(n) % known.evidence.len();
        let piece = known.evidence.keys().nth(nth).expect("below their number");
        piece.clone().into()
    });
    let mut proof = FaultProof {
        v: 1,
        reason: match forgery.reason % 3 {
            0 => FaultReason::Equivocation,
            1 => FaultReason::EpochStarts,
            _ => FaultReason::Invalid,
        },
        authority: known.authorities[authority].clone(),
        evidence,
    };
    for change in forgery.changes {
        change.apply(&mut proof, known);
    }
    let mut bytes = proof.to_bytes();
    apply(&mut bytes, &edits);
    check(&bytes);
    Ok(())
}

impl Change {
    fn apply(self, proof: &mut FaultProof, known: &Known) {
        let nth = |n: u8, len: usize| usize::from(n) % len.max(1);
        match self {
            Self::Version(v) => proof.v = v,
            Self::Swap => proof.evidence.reverse(),
            Self::Evidence(second, edit) => {
                let piece = &mut proof.evidence[usize::from(second)];
                let mut bytes = piece.to_vec();
                apply(&mut bytes, &[edit]);
                *piece = bytes.into();
            }
            Self::Charter(edit) => {
                if let Some(charter) = proof.authority.first_mut() {
                    apply(&mut charter.body, &[edit]);
                }
            }
            Self::AuthorityAgain(n) => {
                let more = &known.authorities[nth(n, known.authorities.len())];
                proof.authority.extend(more.iter().skip(1).cloned());
                // One that doubled many times is none; the fuzzer shall not spend its time on it.
                proof.authority.truncate(12);
            }
            Self::NoAuthority => proof.authority.clear(),
            Self::Signature(entry, n, edit) => {
                let entry = nth(entry, proof.authority.len());
                let sig = proof
                    .authority
                    .get_mut(entry)
                    .map_or(&mut [][..], |e| &mut e.sig);
                let n = nth(n, sig.len());
                if let Some(sig) = sig.get_mut(n) {
                    apply(&mut sig.sig, &[edit]);
                }
            }
            Self::ReceivedAt(entry, at) => {
                let entry = nth(entry, proof.authority.len());
                if let Some(entry) = proof.authority.get_mut(entry) {
                    entry.booked.received_at = Some(city_protocol::amount::Timestamp(at));
                }
            }
        }
    }
}

fn check(bytes: &[u8]) {
    let genesis = &town().world.genesis;
    let known = KNOWN.with(|known| *known);
    let liars = [KANAZAWA, NOMI].map(|home| town().world.homes[home].log());
    memory::within(MEMORY + 16 * bytes.len(), || {
        let convicts = known.proofs.contains(bytes);
        let Ok(proof) = FaultProof::read(bytes) else {
            assert!(!convicts, "what convicts is read");
            return;
        };
        assert!(bytes.len() <= MAX_FAULT_PROOF);
        assert_eq!(proof.to_bytes(), bytes, "read is what is written");
        let fault = match proof.verify(genesis) {
            Ok(fault) => fault,
            Err(refusal) => return assert!(!convicts, "{refusal:?}"),
        };
        let lied = liars.contains(&fault.authority.log);
        assert!(lied, "only who lied is convicted");
        let [a, b] = proof.evidence.each_ref().map(|piece| piece.as_slice());
        let place = |piece: &[u8]| known.evidence.get(piece);
        assert!(a != b, "something was signed twice, and not once");
        assert!(place(a).is_some(), "it was signed");
        assert_eq!(place(a), place(b), "at one place");
    });
}
