//! The ledger read and folded by other code than the node's: archives section by section, vertices hand over
//! hand, balances by plain sums.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use city_node::api::wire::SubmittedPage;
use city_protocol::amount::Amount;
use city_protocol::body::{
    Accept, Enrol, Grant, Kind, Order, OwnEntry, PersonBody, Refund, RefundReason, Reject, Settle,
    StandingAccept, Transfer, identity, is_home_authored, read_officers_body,
};
use city_protocol::ids::{AccountId, BlockId, Digest, LogId};
use city_protocol::stage::Signed;
use city_protocol::vertex::{Entry, SignedHeader, decode_body, merkle_root};

/// Bytes of a segment's header and of a section's CID (CARv1 with one root of SHA-256).
pub(crate) const HEADER: usize = 59;
pub(crate) const CID: usize = 36;

/// What an account's entries come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) granted: u64,
    pub(crate) available: u64,
    pub(crate) next_sequence: u64,
}

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Accepted,
    Rejected,
    Settled,
    Refunded,
}

/// A transfer of the log.
struct Sent {
    sender: AccountId,
    receiver: AccountId,
    amount: Amount,
    end: Option<End>,
}

impl Sent {
    const fn of(transfer: &Transfer) -> Self {
        Self {
            sender: transfer.sender,
            receiver: transfer.receiver,
            amount: transfer.amount,
            end: None,
        }
    }
}

/// One log, as far as it can be read without a gap.
#[derive(Default)]
pub(crate) struct Book {
    head: Option<(BlockId, u64)>,
    places: HashMap<Digest, (BlockId, OwnEntry)>,
    accounts: BTreeMap<AccountId, Sums>,
    transfers: HashMap<Digest, Sent>,
    /// The newest order of an account, and where it stands.
    orders: HashMap<AccountId, (OwnEntry, Order)>,
    /// What is available to each account after each vertex; the first is the empty log.
    history: Vec<BTreeMap<AccountId, String>>,
}

/// All segments of a ledger, in order.
pub(crate) fn segments(ledger: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(ledger).unwrap();
    let mut segments: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|end| end == "car"));
    segments.sort();
    segments
}

/// All whole blocks of segments in order, each once: after a crash in the middle of a recovery the end may
/// stand there twice.
pub(crate) fn blocks(segments: impl Iterator<Item = Vec<u8>>) -> Vec<(BlockId, Vec<u8>)> {
    let (mut blocks, mut seen) = (Vec::new(), HashSet::new());
    for bytes in segments {
        let mut rest = bytes.get(HEADER..).unwrap_or_default();
        while let Ok((length, section)) = unsigned_varint::decode::usize(rest) {
            let Some(block) = section.get(CID..length) else {
                break;
            };
            let id = BlockId::of(block);
            if section[..CID] != id.to_cid_bytes()[..] {
                break;
            }
            rest = &section[length..];
            if seen.insert(id) {
                blocks.push((id, block.to_vec()));
            }
        }
    }
    blocks
}

impl Book {
    /// Reads a log up to the first vertex that is missing.
    pub(crate) fn read(ledger: &Path, log: &LogId) -> Self {
        let segments = segments(ledger).into_iter();
        Self::of(segments.map(|path| fs::read(path).unwrap()), log)
    }

    /// The same from the content of its segments, in order.
    pub(crate) fn of(segments: impl Iterator<Item = Vec<u8>>, log: &LogId) -> Self {
        let mut book = Self::default();
        book.history.push(BTreeMap::new());
        let mut bodies = HashMap::new();
        for (id, block) in blocks(segments) {
            match SignedHeader::read(&block) {
                Ok(header) if header.header.log == *log => {
                    let body = bodies.remove(&header.header.body);
                    if body.is_none_or(|body: Vec<u8>| !book.take(&header, &body)) {
                        break;
                    }
                }
                _ => drop(bodies.insert(id, block)),
            }
        }
        book
    }

    /// Books a vertex; `false` if it does not follow.
    fn take(&mut self, header: &SignedHeader, body: &[u8]) -> bool {
        let h = &header.header;
        let follows = match self.head {
            Some((head, seq)) => h.prev == head && h.seq == seq + 1,
            None => h.seq == 1,
        };
        if !follows {
            return false;
        }
        let entries = decode_body(body).unwrap();
        let leaves: Vec<[u8; 32]> = entries.iter().map(Entry::leaf).collect();
        assert_eq!(merkle_root(&leaves), h.entries_root.0, "vertex {}", h.seq);
        for (index, entry) in (0..).zip(&entries) {
            let (epoch, seq) = (h.epoch, h.seq);
            self.book(entry, (header.id, OwnEntry { epoch, seq, index }));
        }
        self.head = Some((header.id, h.seq));
        let text = |sums: &Sums| Amount::from_hundredths(sums.available).to_string();
        let accounts = self.accounts.iter();
        let available = accounts.map(|(account, sums)| (*account, text(sums)));
        self.history.push(available.collect());
        true
    }

    fn book(&mut self, entry: &Entry, at: (BlockId, OwnEntry)) {
        match entry.kind {
            Kind::Enrol => {
                let enrol = self.signed::<Enrol>(entry, at);
                let account = AccountId::new(&enrol.home, &enrol.key);
                let known = self.accounts.insert(
                    account,
                    Sums {
                        next_sequence: 1,
                        ..Sums::default()
                    },
                );
                assert_eq!(known, None, "enrolled twice");
            }
            Kind::Grant => {
                let grant = read_officers_body::<Grant>(&entry.body).unwrap();
                let sums = self.accounts.get_mut(&grant.account).unwrap();
                sums.granted += grant.amount.hundredths();
                sums.available += grant.amount.hundredths();
            }
            Kind::Transfer => {
                let transfer = self.signed::<Transfer>(entry, at);
                self.transfers
                    .insert(identity(Transfer::TAG, &entry.body), Sent::of(&transfer));
                let sums = self.next(transfer.sender, transfer.sequence);
                let left = sums.available.checked_sub(transfer.amount.hundredths());
                sums.available = left.expect("nobody sends what they do not have");
            }
            Kind::Accept if is_home_authored(&entry.body) => self.book_by_order(entry),
            Kind::Accept => {
                let accept = self.signed::<Accept>(entry, at);
                let receiver = AccountId::new(&accept.home, &accept.key);
                self.end(&accept.transfer, &receiver, accept.amount, End::Accepted);
                self.next(receiver, accept.sequence).available += accept.amount.hundredths();
            }
            Kind::Reject => {
                let reject = self.signed::<Reject>(entry, at);
                let receiver = AccountId::new(&reject.home, &reject.key);
                self.end(&reject.transfer, &receiver, reject.amount, End::Rejected);
                self.next(receiver, reject.sequence);
            }
            Kind::Order => {
                let order = self.signed::<Order>(entry, at);
                self.next(order.account, order.sequence);
                self.orders.insert(order.account, (at.1, order));
            }
            Kind::Settle => {
                let settle = Settle::read(&entry.body).unwrap();
                self.close(&settle.transfer, settle.amount, End::Accepted, End::Settled);
            }
            Kind::Refund => {
                let refund = Refund::read(&entry.body).unwrap();
                assert_eq!(
                    refund.reason,
                    RefundReason::Rejected,
                    "half a year in a minute"
                );
                self.close(
                    &refund.transfer,
                    refund.amount,
                    End::Rejected,
                    End::Refunded,
                );
                let sender = self.transfers[&refund.transfer].sender;
                let sums = self.accounts.get_mut(&sender).unwrap();
                sums.available += refund.amount.hundredths();
            }
            Kind::Rotate | Kind::Revoke | Kind::Recover | Kind::EpochStart => {
                panic!("nobody changes keys in this town")
            }
            Kind::Charter | Kind::Place | Kind::Start | Kind::Fault => {}
            other => panic!("nobody writes {other} in this town"),
        }
    }

    /// The home takes a transfer as the receiver's newest order says.
    fn book_by_order(&mut self, entry: &Entry) {
        let accept = StandingAccept::read(&entry.body).unwrap();
        let (at, order) = &self.orders[&accept.receiver];
        assert_eq!(*at, accept.order, "not the newest order");
        let received_at = entry.booked.received_at.unwrap();
        assert!(
            order.takes(&accept.sender, accept.amount, received_at),
            "{accept:?}"
        );
        self.end(
            &accept.transfer,
            &accept.receiver,
            accept.amount,
            End::Accepted,
        );
        let sums = self.accounts.get_mut(&accept.receiver).unwrap();
        sums.available += accept.amount.hundredths();
    }

    /// The receiver's side answers an open transfer, once.
    fn end(&mut self, transfer: &Digest, receiver: &AccountId, amount: Amount, end: End) {
        let sent = self.transfers.get_mut(transfer).expect("it was sent");
        assert_eq!((sent.receiver, sent.amount), (*receiver, amount));
        assert_eq!(sent.end.replace(end), None, "answered twice");
    }

    /// The sender's side closes what was answered so.
    fn close(&mut self, transfer: &Digest, amount: Amount, answered: End, end: End) {
        let sent = self.transfers.get_mut(transfer).expect("it was sent");
        assert_eq!(sent.amount, amount);
        assert_eq!(
            sent.end.replace(end),
            Some(answered),
            "closed otherwise than answered"
        );
    }

    fn signed<B: PersonBody + Clone>(&mut self, entry: &Entry, at: (BlockId, OwnEntry)) -> B {
        let signed = Signed::<B>::read(&entry.body, entry.sig[0].clone()).unwrap();
        assert_eq!(self.places.insert(signed.identity(), at), None, "twice");
        signed.body().clone()
    }

    fn next(&mut self, account: AccountId, sequence: u64) -> &mut Sums {
        let sums = self.accounts.get_mut(&account).unwrap();
        assert_eq!(sums.next_sequence, sequence, "a gap in an account");
        sums.next_sequence += 1;
        sums
    }

    /// Whether what a receipt says stands here, at the same place.
    pub(crate) fn has(&self, receipt: &SubmittedPage) -> bool {
        self.stands_at(&receipt.identity, receipt.vertex, receipt.at)
    }

    /// Whether a submission is booked at this place.
    pub(crate) fn stands_at(&self, identity: &Digest, vertex: BlockId, at: OwnEntry) -> bool {
        self.places.get(identity) == Some(&(vertex, at))
    }

    /// What an account's entries come to.
    pub(crate) fn sums(&self, account: &AccountId) -> Sums {
        self.accounts.get(account).copied().unwrap_or_default()
    }

    /// Whether it came to what another came to, and went on from there.
    pub(crate) fn continues(&self, other: &Self) -> bool {
        self.history.starts_with(&other.history)
    }

    /// How many vertices there are.
    pub(crate) fn vertices(&self) -> usize {
        self.history.len() - 1
    }

    /// After how many vertices at most the log comes to what a node shows of its accounts.
    pub(crate) fn shown_after(&self, shown: &BTreeMap<AccountId, String>) -> Option<usize> {
        self.history.iter().rposition(|after| after == shown)
    }
}
