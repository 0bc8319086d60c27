//! Receipts: no byte of one is without meaning. Whatever verifies with the genesis record alone is one of the
//! receipts that the homes of the story wrote, byte for byte.

use std::collections::BTreeSet;
use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::vertex::{MAX_RECEIPT, Receipt};

use crate::edits::{Edit, Input, apply};
use crate::memory;
use crate::town::town;

/// What reading and verifying may hold beside some copies of the bytes: the keys and certificates of one path.
const MEMORY: usize = 2 << 20;

/// How a receipt was put together from known ones.
#[derive(Arbitrary, Debug)]
struct Forgery {
    authority: u8,
    header: u8,
    entry: u8,
    index: u8,
    path: u8,
    changes: Vec<Change>,
}

#[derive(Arbitrary, Debug)]
enum Change {
    Index(u64),
    Version(u64),
    Header(Edit),
    Body(Edit),
    Charter(Edit),
    CharterTwice,
    NoCharter,
    /// A later charter or the beginning of an epoch is missing, stands elsewhere, or has signatures of another.
    WithoutNth(u8),
    Swapped(u8, u8),
    SignaturesOfNth(u8, u8),
    Signature(u8, Edit),
    SignatureTwice(u8),
    NoSignatures,
    NoCites,
    CitesOf(u8),
    BookedOf(u8),
    PathHash(u8, [u8; 32]),
    PathLonger([u8; 32]),
    PathShorter,
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => check(bytes),
        Some(Input::Story(story)) => drop(tell(story)),
        None => {}
    }
}

/// Inputs to begin with: every receipt of the story.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let receipts = town().receipts();
    receipts
        .iter()
        .map(|receipt| Input::raw(&receipt.to_bytes()))
        .collect()
}

struct Known {
    receipts: Vec<Receipt>,
    bytes: BTreeSet<Vec<u8>>,
}

thread_local! {
    static KNOWN: &'static Known = Box::leak(Box::new(known()));
}

fn known() -> Known {
    let receipts = town().receipts();
    let bytes = receipts.iter().map(Receipt::to_bytes).collect();
    Known { receipts, bytes }
}

fn tell(mut story: Unstructured<'_>) -> arbitrary::Result<()> {
    let forgery: Forgery = story.arbitrary()?;
    let edits: Vec<Edit> = story.arbitrary()?;
    let known = KNOWN.with(|known| *known);
    let of = |n: u8| &known.receipts[usize::from(n) % known.receipts.len()];
    let mut receipt = Receipt {
        v: 1,
        authority: of(forgery.authority).authority.clone(),
        header: of(forgery.header).header.clone(),
        entry: of(forgery.entry).entry.clone(),
        index: of(forgery.index).index,
        path: of(forgery.path).path.clone(),
    };
    for change in forgery.changes {
        change.apply(&mut receipt, of);
    }
    let mut bytes = receipt.to_bytes();
    apply(&mut bytes, &edits);
    check(&bytes);
    Ok(())
}

impl Change {
    fn apply<'a>(self, receipt: &mut Receipt, of: impl Fn(u8) -> &'a Receipt) {
        let sig = &mut receipt.entry.sig;
        match self {
            Self::Index(index) => receipt.index = index,
            Self::Version(v) => receipt.v = v,
            Self::Header(edit) => apply(&mut receipt.header, &[edit]),
            Self::Body(edit) => apply(&mut receipt.entry.body, &[edit]),
            Self::Charter(edit) => {
                for charter in Arc::make_mut(&mut receipt.authority) {
                    apply(&mut charter.body, std::slice::from_ref(&edit));
                }
            }
            Self::CharterTwice => Arc::make_mut(&mut receipt.authority).extend_from_within(..),
            Self::NoCharter => Arc::make_mut(&mut receipt.authority).clear(),
            Self::WithoutNth(n) => {
                let all = Arc::make_mut(&mut receipt.authority);
                if !all.is_empty() {
                    all.remove(usize::from(n) % all.len());
                }
            }
            Self::Swapped(a, b) => {
                let all = Arc::make_mut(&mut receipt.authority);
                let place = |n: u8| usize::from(n) % all.len().max(1);
                let (a, b) = (place(a), place(b));
                if !all.is_empty() {
                    all.swap(a, b);
                }
            }
            Self::SignaturesOfNth(a, b) => {
                let all = Arc::make_mut(&mut receipt.authority);
                let place = |n: u8| usize::from(n) % all.len().max(1);
                let (a, b) = (place(a), place(b));
                if !all.is_empty() {
                    all[a].sig = all[b].sig.clone();
                }
            }
            Self::Signature(n, edit) => {
                let n = usize::from(n) % sig.len().max(1);
                if let Some(sig) = sig.get_mut(n) {
                    apply(&mut sig.sig, &[edit]);
                }
            }
            Self::SignatureTwice(n) => {
                let again = sig.get(usize::from(n) % sig.len().max(1)).cloned();
                sig.extend(again);
            }
            Self::NoSignatures => sig.clear(),
            Self::NoCites => receipt.entry.cites.clear(),
            Self::CitesOf(n) => receipt.entry.cites = of(n).entry.cites.clone(),
            Self::BookedOf(n) => receipt.entry.booked = of(n).entry.booked.clone(),
            Self::PathHash(n, hash) => {
                let n = usize::from(n) % receipt.path.len().max(1);
                if let Some(at) = receipt.path.get_mut(n) {
                    at.0 = hash;
                }
            }
            Self::PathLonger(hash) => receipt.path.push(city_protocol::ids::Digest(hash)),
            Self::PathShorter => drop(receipt.path.pop()),
        }
        // A receipt that doubled many times is no receipt; the fuzzer shall not spend its time on it.
        Arc::make_mut(&mut receipt.authority).truncate(12);
        receipt.entry.sig.truncate(8);
    }
}

fn check(bytes: &[u8]) {
    let genesis = &town().world.genesis;
    let known = KNOWN.with(|known| *known);
    memory::within(MEMORY + 16 * bytes.len(), || {
        let Ok(receipt) = Receipt::read(bytes) else {
            assert!(!known.bytes.contains(bytes), "what homes write is read");
            return;
        };
        assert!(bytes.len() <= MAX_RECEIPT);
        assert_eq!(receipt.to_bytes(), bytes, "read is what is written");
        let verdict = receipt.verify(genesis);
        assert_eq!(
            verdict.is_ok(),
            known.bytes.contains(bytes),
            "{:?}",
            verdict.err()
        );
        if let Ok(verified) = verdict {
            assert_eq!(verified.entry, receipt.entry);
            assert_eq!(verified.header.block, receipt.header);
        }
    });
}
