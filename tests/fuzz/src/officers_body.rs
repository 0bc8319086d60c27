//! What officers decide: JSON without `alg` and `key`, signed by k of n. One spelling each; and an entry holds only with
//! the signatures of two of 金沢市's three officers over exactly these bytes as exactly this kind.

use std::collections::BTreeSet;

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::body::{
    Amendment, Charter, Correct, EpochStart, Grant, Kind, MAX_CHARTERS, MAX_EPOCHS, NewKeys,
    OfficersBody, OfficersRevoke, Recover, Ungrant, is_officers_revoke, read_officers_body,
};
use city_protocol::ids::Digest;
use city_protocol::json;
use city_protocol::vertex::{Entry, EntrySignature};

use crate::edits::{Edit, Input, apply};
use crate::memory;
use crate::people::decided_by;
use crate::respelled::respelled;
use crate::town::{amendment, town};
use crate::world::{KANAZAWA, KOMATSU};

/// What reading and verifying may hold beside some copies of the bytes.
const MEMORY: usize = 2 << 20;
/// What officers decide.
const KINDS: [Kind; 7] = [
    Kind::Charter,
    Kind::Grant,
    Kind::Ungrant,
    Kind::Correct,
    Kind::Recover,
    Kind::Revoke,
    Kind::EpochStart,
];

/// How an entry was put together from known pieces.
#[derive(Arbitrary, Debug)]
struct Forgery {
    body: u8,
    kind: Option<u8>,
    signatures: Vec<(u8, u8)>,
    sorted: bool,
    changes: Vec<Change>,
}

#[derive(Arbitrary, Debug)]
enum Change {
    Body(Edit),
    Signature(u8, Edit),
    KeyOf(u8, u8),
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => check(bytes),
        Some(Input::Story(story)) => drop(tell(story)),
        None => {}
    }
}

/// Inputs to begin with: one decision of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    KNOWN.with(|known| known.bodies.iter().map(|body| Input::raw(body)).collect())
}

struct Known {
    bodies: Vec<Vec<u8>>,
    /// Of each body its kind, and the signatures of 金沢市's three officers and of one of 小松市's.
    signed: Vec<(Kind, Vec<EntrySignature>)>,
}

thread_local! {
    static KNOWN: &'static Known = Box::leak(Box::new(known()));
}

fn known() -> Known {
    let world = &town().world;
    let hanako = &town().hanako;
    let grant = world.grant_body(hanako, "1.00");
    let new = NewKeys {
        alg: hanako.key.public().algorithm(),
        public_key: hanako.key.public().as_bytes().to_vec(),
        kem_alg: hanako.kem.algorithm(),
        kem_key: hanako.kem.as_bytes().to_vec(),
        certificate: Digest([5; 32]),
    };
    let revoke = OfficersRevoke {
        version: 1,
        kind: Kind::Revoke,
        network: grant.network,
        home: grant.home,
        officers_sequence: grant.officers_sequence,
        created_at: grant.created_at,
        account: grant.account,
        reason: grant.reason.clone(),
    };
    let recover = Recover {
        version: 1,
        kind: Kind::Recover,
        network: grant.network,
        home: grant.home,
        officers_sequence: grant.officers_sequence,
        created_at: grant.created_at,
        account: grant.account,
        new,
        reason: grant.reason.clone(),
    };
    let row = world.homes[KANAZAWA].row(&grant.home);
    let epoch = EpochStart {
        version: 1,
        kind: Kind::EpochStart,
        network: grant.network,
        home: grant.home,
        officers_sequence: grant.officers_sequence,
        created_at: grant.created_at,
        old_epoch: row.epoch,
        cut_seq: row.seq,
        cut: row.head,
        node_certificate: None,
        chain: Vec::new(),
        reason: grant.reason.clone(),
    };
    let mut known = Known {
        bodies: Vec::new(),
        signed: Vec::new(),
    };
    known.add(&grant);
    known.add(&world.ungrant_body(hanako, "1.00"));
    known.add(&world.correct_body(hanako, "1.00", None));
    known.add(&world.correct_body(hanako, "1.00", Some(Digest([6; 32]))));
    known.add(&revoke);
    known.add(&recover);
    known.add(&epoch);
    let home = &world.homes[KANAZAWA];
    known.add(&Amendment {
        home: grant.home,
        officers_sequence: grant.officers_sequence,
        number: 2,
        before: home.authority.charter_hash,
        region: home.region.clone(),
        ..amendment(world, &home.officers)
    });
    known
}

impl Known {
    fn add<B: OfficersBody>(&mut self, body: &B) {
        let homes = &town().world.homes;
        let mut officers = homes[KANAZAWA].officers.clone();
        officers.push(homes[KOMATSU].officers[0].clone());
        let decided = decided_by(body, &officers);
        self.bodies.push(decided.bytes);
        self.signed.push((B::KIND, decided.signatures));
    }
}

fn tell(mut story: Unstructured<'_>) -> arbitrary::Result<()> {
    let known = KNOWN.with(|known| *known);
    if story.arbitrary()? {
        check(&respelled(&mut story, &known.bodies)?);
        return Ok(());
    }
    let forgery: Forgery = story.arbitrary()?;
    let nth = |n: u8, len: usize| usize::from(n) % len.max(1);
    let body = nth(forgery.body, known.bodies.len());
    let kind = forgery.kind.map(|n| KINDS[nth(n, KINDS.len())]);
    let kind = kind.unwrap_or(known.signed[body].0);
    let mut entry = Entry::home_authored(kind, known.bodies[body].clone());
    // More than nine officers there are in no charter.
    for (of, by) in forgery.signatures.into_iter().take(9) {
        let signed = &known.signed[nth(of, known.signed.len())].1;
        entry.sig.push(signed[nth(by, signed.len())].clone());
    }
    for change in forgery.changes {
        match change {
            Change::Body(edit) => apply(&mut entry.body, &[edit]),
            Change::Signature(n, edit) => {
                let n = nth(n, entry.sig.len());
                if let Some(sig) = entry.sig.get_mut(n) {
                    apply(&mut sig.sig, &[edit]);
                }
            }
            Change::KeyOf(n, other) => {
                let key = known.signed[0].1[nth(other, 4)].key;
                let n = nth(n, entry.sig.len());
                if let Some(sig) = entry.sig.get_mut(n) {
                    sig.key = key;
                }
            }
        }
    }
    if forgery.sorted {
        entry.sig.sort_by_key(|sig| sig.key);
    }
    decided(&entry, known);
    Ok(())
}

/// Only two officers of the home, who signed this, decide it.
fn decided(entry: &Entry, known: &Known) {
    let authority = &town().world.homes[KANAZAWA].authority;
    let as_signed = known.bodies.iter().position(|body| *body == entry.body);
    let as_signed = as_signed.filter(|n| known.signed[*n].0 == entry.kind);
    let officers = as_signed.map_or(&[][..], |n| &known.signed[n].1[..3]);
    let ids: BTreeSet<_> = entry.sig.iter().map(|sig| sig.key).collect();
    let good = entry.sig.len() >= 2
        && ids.len() == entry.sig.len()
        && entry.sig.is_sorted_by_key(|sig| sig.key)
        && entry.sig.iter().all(|sig| officers.contains(sig));
    let verdict = authority.board().signed(entry, &[]);
    assert_eq!(verdict.is_ok(), good, "{verdict:?}");
    // One that was received, and is otherwise as it was signed.
    let mut begun = entry.clone();
    begun.booked.received_at = Some(town().world.now);
    if entry.kind == Kind::Charter {
        let next = authority.amend(&town().world.genesis, &begun, authority.epoch());
        assert_eq!(next.is_ok(), good, "{:?}", next.err());
    }
    if entry.kind == Kind::EpochStart {
        let next = authority.begin_epoch(&town().world.genesis, &begun, authority.charter_hash);
        assert_eq!(next.is_ok(), good, "{:?}", next.err());
    }
}

fn check(bytes: &[u8]) {
    memory::within(MEMORY + 64 * bytes.len(), || {
        let read = [
            spelled::<Grant>(bytes),
            spelled::<Ungrant>(bytes),
            spelled::<Correct>(bytes),
            spelled::<Recover>(bytes),
            spelled::<OfficersRevoke>(bytes),
            spelled::<EpochStart>(bytes),
            spelled::<Amendment>(bytes),
        ];
        let kinds = read.iter().filter(|read| **read).count();
        assert!(kinds <= 1, "one body is of one kind");
        if let Ok(body) = read_officers_body::<EpochStart>(bytes) {
            assert!((1..MAX_EPOCHS).contains(&body.old_epoch) && body.cut_seq >= 1);
        }
        if let Ok(body) = read_officers_body::<Recover>(bytes) {
            assert!(body.account.is_of(&body.home));
            assert!(body.new.signing_key().is_ok());
        }
        if let Ok(later) = read_officers_body::<Amendment>(bytes) {
            assert!((2..=MAX_CHARTERS).contains(&later.number));
            let officers = &later.officers;
            assert!((1..=officers.keys.len() as u64).contains(&officers.k));
            assert!(Charter::read(bytes).is_err(), "the first or a later one");
        }
        if read_officers_body::<OfficersRevoke>(bytes).is_ok() {
            assert!(is_officers_revoke(bytes));
        }
    });
}

/// Whether these bytes are such a body; if so, they are its only spelling.
fn spelled<B: OfficersBody>(bytes: &[u8]) -> bool {
    let Ok(body) = read_officers_body::<B>(bytes) else {
        return false;
    };
    assert!(bytes.len() <= B::MAX);
    assert_eq!(json::canonical(&body), bytes, "one spelling");
    let decision = body.decision();
    assert_eq!((decision.kind, decision.version), (B::KIND, 1));
    assert!(decision.officers_sequence > 0);
    assert_eq!(body.check(), Ok(()));
    true
}
