//! Transfers written straight into the log, under people's signatures that nobody made: what a rebuild reads,
//! which verifies none, without hours of signing. No node would take them from anybody.

use std::sync::Arc;

use city_node::daemon::open_for_reading;
use city_node::engine::{StoreHistory, utc};
use city_node::setup::Identity;
use city_node::store::Store;
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::Kind;
use city_protocol::crypto::Algorithm;
use city_protocol::ids::{BlockId, Digest};
use city_protocol::journal::Expense;
use city_protocol::json;
use city_protocol::ledger::{History, Rows as _};
use city_protocol::place::{Binding, PlacePolicy, PlaceProof, Subject, Verdict};
use city_protocol::vertex::{
    Booked, Entry, EntrySignature, Header, SignedHeader, encode_body, merkle_root,
};

use super::town::{GRANTED, People, Sender, Site};
use super::work::{Drafts, transfer_id};

/// Transfers of one vertex: with their proofs of place, as many entries as it may have.
const IN_ONE: usize = 128;
/// Length of a Dilithium5 signature.
const SIGNATURE: usize = 4627;

/// Appends so many transfers to the log of a site that is closed. The next opening folds them.
pub fn write(site: &Site, people: &mut People, transfers: usize, mut progress: impl FnMut(usize)) {
    let identity = site.identity();
    let (store, _) = open_for_reading(&site.data, &identity).expect("a store");
    let store = Arc::new(store);
    let drafts = Drafts::of(&identity, people.receiver);
    let policy = &site.config.place.policy;
    let mut head = Head::of(&store, &identity);
    let mut done = 0;
    while done < transfers {
        let count = IN_ONE.min(transfers - done);
        let now = utc();
        let mut entries = Vec::new();
        for n in done..done + count {
            let number = n % people.senders.len();
            let sender = &mut people.senders[number];
            let transfer = drafts.next(number, sender, (&people.verdict, policy), now);
            entries.extend(transfer);
        }
        head = head.follow(&store, &identity, &entries, now);
        done += count;
        progress(done);
    }
    let store = Arc::into_inner(store).expect("nobody reads any more");
    store.close().expect("closed");
}

impl Drafts {
    /// The entries of a sender's next transfer, as their home would book them now.
    fn next(
        &self,
        number: usize,
        sender: &mut Sender,
        (verdict, policy): (&Verdict, &PlacePolicy),
        now: Timestamp,
    ) -> [Entry; 2] {
        let id = transfer_id(number, sender.next);
        let binding = Binding {
            network: self.network,
            subject: Subject::Node,
            account: sender.account,
            transfer_id: id,
            nonce: id.0,
        };
        let proof = PlaceProof::new(binding, verdict, policy, now, None);
        let place = Entry::home_authored(Kind::Place, proof.encode());
        let transfer = Entry {
            kind: Kind::Transfer,
            body: json::canonical(&self.transfer(sender, id, proof.digest())),
            sig: vec![EntrySignature {
                alg: Algorithm::Dilithium5,
                key: sender.key.public().id(),
                sig: noise(sender.next),
            }],
            booked: Booked {
                received_at: Some(now),
                balance_after: Some(Amount::from_hundredths(GRANTED - sender.next)),
                debit: Some(Expense::decided(None, None).code()),
                place: Some(proof.grade_at(now)),
                ..Booked::default()
            },
            cites: Vec::new(),
        };
        sender.next += 1;
        [place, transfer]
    }
}

/// Bytes that look like a signature and that no disk compresses.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let words = std::iter::repeat_with(&mut next).take(SIGNATURE.div_ceil(8));
    let mut bytes: Vec<u8> = words.flatten().collect();
    bytes.truncate(SIGNATURE);
    bytes
}

/// The newest vertex of a log.
struct Head {
    seq: u64,
    id: BlockId,
}

impl Head {
    fn of(store: &Arc<Store>, identity: &Identity) -> Self {
        let history = StoreHistory::new(Arc::clone(store));
        let row = (&history as &dyn History).log(&identity.authority.log);
        let row = row.expect("a log that was begun");
        Self {
            seq: row.seq,
            id: row.head,
        }
    }

    /// Signs a vertex of these entries behind this one and appends it.
    fn follow(
        &self,
        store: &Store,
        identity: &Identity,
        entries: &[Entry],
        now: Timestamp,
    ) -> Self {
        let body = encode_body(entries);
        let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
        let header = Header {
            v: 1,
            network: identity.network,
            log: identity.authority.log,
            epoch: 1,
            seq: self.seq + 1,
            prev: self.id,
            parents: Vec::new(),
            to: Vec::new(),
            time: now,
            count: entries.len() as u64,
            entries_root: Digest(merkle_root(&leaves)),
            body: BlockId::of(&body),
            alg: Algorithm::Dilithium5,
            key: identity.signer.public().id(),
            charter: identity.authority.charter_hash,
        };
        let signed = SignedHeader::sign(header, &*identity.signer);
        let group = [
            (signed.header.body, &body[..]),
            (signed.id, &signed.block[..]),
        ];
        store.append_group(&group).expect("appended");
        Self {
            seq: self.seq + 1,
            id: signed.id,
        }
    }
}
