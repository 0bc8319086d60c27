//! The tricks of a lying home (DESIGN §6): entries that it writes out of what it knows, each of which holds where the liar
//! changes nothing of it, and is a lie where he does. Whose word it takes to make one is asked for: people and officers
//! sign whatever they are given.

use arbitrary::Arbitrary;
use city_protocol::amount::Amount;
use city_protocol::body::{
    Accept, Adopt, Answer, Fault, Kind, Label, MAX_NOTE_VALUE, Note, OwnEntry, PersonBody as _,
    Refund, RefundReason, Reject, Settle, Transfer, identity, read_person_body,
};
use city_protocol::checkpoint::{Checkpoint, take};
use city_protocol::codec;
use city_protocol::crypto::Signer as _;
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::json;
use city_protocol::ledger::{Changes, Layers, Rows as _, tree_of};
use city_protocol::vertex::{Cite, Entry, EntrySignature, Header, KeySource as _};

use crate::disk::Disk;
use crate::town::town;

/// What a lying home writes.
#[derive(Arbitrary, Debug)]
pub(super) enum Trick {
    /// Settles some transfer by some answer.
    Settle(Pick, Pick, Changed),
    /// Gives some transfer back by some answer, or because some vertex came late.
    Refund(Pick, Pick, bool, Changed),
    /// Some receiver takes some transfer, or turns it down, in their turn or so far from it.
    Answer(Pick, bool, i8, Changed),
    /// Answers for something that some foreign entry rests on.
    Adopt(Pick, Pick, Changed, Option<u16>),
    /// Some other log is at fault, by the evidence of some fault entry of the story.
    Fault(Pick, i8, Option<u8>, bool),
    /// The state, but for one thing.
    Checkpoint(Option<StateLie>),
    /// A key and the length of a value; none where it is deleted.
    Note(u8, Option<u32>),
    /// A grant, an ungrant or a correction by some of the officers.
    Decides(u8, Pick, u32, Decided),
    /// Others follow the officers.
    Elects(i8, bool, Decided),
    /// The officers begin the next epoch.
    Begins(i8, i8, Decided),
}

/// One of several, by number.
pub(super) type Pick = u8;

/// What the liar changes of an amount and of what an entry says about where its transfer stands.
#[derive(Arbitrary, Debug)]
pub(super) struct Changed {
    pub(super) amount: Option<u16>,
    pub(super) at: Option<(i8, i8)>,
}

#[derive(Arbitrary, Debug)]
pub(super) enum StateLie {
    Epoch(i8),
    Seq(i8),
    Leaves(i8),
    Root,
    Vertices,
    Snapshot,
}

/// Who signs what officers decide, and under which number.
#[derive(Arbitrary, Debug)]
pub(super) struct Decided {
    /// Two of the home's officers, unless the liar says who.
    pub(super) officers: Option<[bool; 4]>,
    pub(super) sequence: i8,
}

/// The place where the liar writes.
pub(super) struct Scene<'a> {
    pub(super) before: &'a Disk,
    pub(super) header: &'a mut Header,
}

impl Trick {
    /// What the trick writes, if there is anything to begin with; it may change the header, too.
    pub(super) fn entry(self, scene: &mut Scene<'_>) -> Option<Entry> {
        match self {
            Self::Settle(which, by, changed) => {
                let (transfer, own, amount) = scene.sent(which, &changed)?;
                let body = Settle {
                    v: 1,
                    transfer,
                    own,
                    amount,
                    reason: Settle::ACCEPTED.into(),
                };
                let entry = Entry::home_authored(Kind::Settle, codec::encode(&body));
                Some(scene.resting(entry, &transfer, by, Kind::Accept))
            }
            Self::Refund(which, by, late, changed) => {
                let (transfer, own, amount) = scene.sent(which, &changed)?;
                let reason = if late {
                    RefundReason::Expired
                } else {
                    RefundReason::Rejected
                };
                let body = Refund {
                    v: 1,
                    transfer,
                    own,
                    amount,
                    reason,
                };
                let mut entry = Entry::home_authored(Kind::Refund, codec::encode(&body));
                if late {
                    let row = scene.before.read().transfer(&scene.header.log, &transfer)?;
                    if row.receiver_home != scene.header.log {
                        let vertex = scene.vertex_of(&row.receiver_home, by)?;
                        entry.cites = vec![Cite::Vertex(vertex)];
                    }
                    return Some(entry);
                }
                Some(scene.resting(entry, &transfer, by, Kind::Reject))
            }
            Self::Answer(which, takes, turn, changed) => scene.answer(which, takes, turn, &changed),
            Self::Adopt(lost, foreign, changed, short) => {
                scene.adopts(lost, foreign, &changed, short)
            }
            Self::Fault(which, cut, reason, cites) => {
                let faults = of_kind(Kind::Fault);
                let mut entry = nth(&faults, which)?.clone();
                let mut body = Fault::read(&entry.body).ok()?;
                body.cut = body.cut.saturating_add_signed(cut.into());
                if let Some(which) = reason {
                    let other = Fault::read(&nth(&faults, which)?.body).ok()?;
                    (body.reason, body.evidence) = (other.reason, other.evidence);
                }
                if cites {
                    entry.cites.clear();
                }
                entry.body = codec::encode(&body);
                Some(entry)
            }
            Self::Checkpoint(lie) => scene.checkpoint(lie),
            Self::Note(name, len) => {
                let regions = town()
                    .world
                    .homes
                    .iter()
                    .map(|home| home.region.to_string());
                let keys: Vec<_> = regions.map(|region| format!("{region}/k")).collect();
                let key = nth(&keys, name).filter(|_| name > 0);
                let at_most = MAX_NOTE_VALUE + 2;
                let value = len.map(|len| vec![7; usize::try_from(len).unwrap_or(0) % at_most]);
                let body = Note {
                    v: 1,
                    key: Label::new(key.map_or("k", String::as_str)).ok()?,
                    value: value.map(Into::into),
                };
                Some(Entry::home_authored(Kind::Note, codec::encode(&body)))
            }
            Self::Decides(kind, who, amount, by) => scene.decides(kind, who, amount, &by),
            Self::Elects(number, other, by) => scene.elects(number, other, &by),
            Self::Begins(cut, epoch, by) => scene.begins(cut, epoch, &by),
        }
    }

    /// Bytes that make each of them as the liar's tale is read: the truth, and each lie once.
    pub(super) fn seeds() -> Vec<Vec<u8>> {
        // The first byte is mostly what it is about.
        let about = |trick: u64, most: u8, lies: &[&[u8]]| {
            let one = |n: u8| {
                let lies = lies.iter();
                lies.map(move |lie| [&variant(10, trick)[..], &[n], lie].concat())
            };
            (0..most).flat_map(one).collect::<Vec<_>>()
        };
        let one_officer: &[u8] = &[1, 1, 0, 0, 0];
        let wrong = |lie: u64| [&[1], &variant(6, lie)[..], &[1]].concat();
        let mut seeds = [
            about(0, 3, &[&[], &[1], &[2], &[0, 1, 5, 0], &[0, 0, 1, 1, 0]]),
            about(
                1,
                3,
                &[&[], &[1], &[0, 1], &[1, 1], &[2, 1], &[0, 0, 1, 5, 0]],
            ),
            about(2, 12, &[&[0], &[1], &[1, 1]]),
            about(
                3,
                2,
                &[
                    &[],
                    &[1],
                    &[2],
                    &[0, 1, 5, 0],
                    &[0, 0, 0, 1, 9, 0],
                    // All of it, because nothing is left.
                    &[0, 0, 0, 1, 0xa0, 0x0f],
                ],
            ),
            about(4, 4, &[&[], &[1], &[255], &[0, 1, 1], &[0, 0, 1]]),
            about(6, 3, &[&[], &[1, 9, 0, 0, 0], &[1, 1, 0, 1, 0]]),
            about(
                8,
                2,
                &[&[], &[1], &[0, 0, 1], &[&[0], one_officer].concat()],
            ),
            about(
                9,
                1,
                &[&[], &[1], &[0, 0, 1], &[&[0], one_officer].concat()],
            ),
            about(9, 2, &[&[0]]),
        ]
        .concat();
        for kind in 0..4 {
            let amount = [0, 100, 0, 0, 0];
            for lie in [&[][..], one_officer, &[0, 1]] {
                seeds.push([&variant(10, 7)[..], &[kind], &amount, lie].concat());
            }
        }
        seeds.push(variant(10, 5).to_vec());
        seeds.extend((0..6).map(|lie| [&variant(10, 5)[..], &wrong(lie)].concat()));
        seeds
    }

    /// Whether the entry has to be the first of its vertex.
    pub(super) const fn goes_first(&self) -> bool {
        matches!(self, Self::Elects(..) | Self::Begins(..))
    }
}

/// The bytes by which one of so many is chosen.
pub(super) fn variant(of: u64, n: u64) -> [u8; 4] {
    let number = u32::try_from((n << 32).div_ceil(of)).expect("below the number of them");
    number.to_le_bytes()
}

thread_local! {
    /// Every entry of the story, with a cite of it.
    static ALL: &'static [(Entry, Cite)] = all().leak();
}

fn all() -> Vec<(Entry, Cite)> {
    let receipts = town().receipts().into_iter();
    let both = receipts.map(|receipt| {
        let path: Vec<_> = receipt.path.iter().map(|hash| hash.0).collect();
        let cite = receipt
            .entry
            .to_cite(BlockId::of(&receipt.header), receipt.index, &path);
        (receipt.entry, cite)
    });
    both.collect()
}

pub(super) fn of_kind(kind: Kind) -> Vec<Entry> {
    let all = ALL.with(|all| *all);
    let of_kind = all.iter().filter(|(entry, _)| entry.kind == kind);
    of_kind.map(|(entry, _)| entry.clone()).collect()
}

pub(super) fn nth<T>(list: &[T], n: u8) -> Option<&T> {
    list.get(usize::from(n) % list.len().max(1))
}

impl Scene<'_> {
    /// A transfer that this log has sent: its identity, its place, and its amount, or what the liar makes of them. The
    /// open ones come first.
    pub(super) fn sent(
        &self,
        which: Pick,
        changed: &Changed,
    ) -> Option<(Digest, OwnEntry, Amount)> {
        let rows = self.before.read();
        let transfers = of_kind(Kind::Transfer);
        let ids = transfers
            .iter()
            .map(|entry| identity(Transfer::TAG, &entry.body));
        let mut sent: Vec<_> = ids
            .filter_map(|id| Some((rows.transfer(&self.header.log, &id)?, id)))
            .collect();
        sent.sort_by_key(|(row, _)| row.state != city_protocol::ledger::TransferState::Open);
        let (row, id) = nth(&sent, which)?;
        let mut at = row.at;
        if let Some((seq, index)) = changed.at {
            at.seq = at.seq.saturating_add_signed(seq.into());
            at.index = at.index.saturating_add_signed(index.into());
        }
        let amount = changed
            .amount
            .map_or(row.amount, |a| Amount::from_hundredths(a.into()));
        Some((*id, at, amount))
    }

    /// With the answer to this transfer as what the entry rests on, unless the liar takes another one.
    fn resting(&self, mut entry: Entry, transfer: &Digest, by: Pick, kind: Kind) -> Entry {
        let rows = self.before.read();
        if let Some(answer) = rows.answer(&self.header.log, transfer).filter(|_| by == 0) {
            entry.cites = vec![Cite::Own(answer.at)];
            return entry;
        }
        let all = ALL.with(|all| *all);
        let answers = |of: &Entry| {
            let answer = Answer::read(of.kind, &of.body).ok();
            answer.is_some_and(|answer| answer.transfer == *transfer)
        };
        let own = all.iter().find(|(of, _)| answers(of)).filter(|_| by == 0);
        let cites: Vec<_> = all.iter().filter(|(of, _)| of.kind == kind).collect();
        let some = nth(&cites, by).copied();
        entry.cites = own
            .or(some)
            .map(|(_, cite)| cite.clone())
            .into_iter()
            .collect();
        entry
    }

    /// A vertex of this log: the newest first.
    fn vertex_of(&self, log: &LogId, by: Pick) -> Option<BlockId> {
        let rows = self.before.read();
        let row = rows.log(log)?;
        let seq = row.seq.checked_sub(by.into())?;
        rows.vertex_on_chain(log, row.epoch, seq)
    }

    /// Some receiver's answer to some transfer to this home, in the receiver's turn, as if it were the first.
    fn answer(&self, which: Pick, takes: bool, turn: i8, changed: &Changed) -> Option<Entry> {
        let all = ALL.with(|all| *all);
        let log = self.header.log;
        let here = |entry: &Entry| {
            let transfer: Transfer = read_person_body(&entry.body).ok()?;
            (transfer.receiver_home == log).then_some(transfer)
        };
        let sent: Vec<_> = all
            .iter()
            .filter(|(entry, _)| entry.kind == Kind::Transfer)
            .filter_map(|(entry, cite)| Some((here(entry)?, entry, cite)))
            .collect();
        let (transfer, entry, cite) = nth(&sent, which)?;
        let rows = self.before.read();
        let row = rows.account(&log, &transfer.receiver)?;
        let key = town().secrets.get(&row.key)?;
        let id = identity(Transfer::TAG, &entry.body);
        let amount = changed.amount;
        let amount = amount.map_or(transfer.amount, |a| Amount::from_hundredths(a.into()));
        let body = Accept {
            version: 1,
            kind: Kind::Accept,
            network: self.header.network,
            alg: key.public().algorithm(),
            key: row.key,
            home: log,
            sequence: row.next_sequence.saturating_add_signed(turn.into()),
            created_at: self.header.time,
            transfer: id,
            transfer_id: transfer.transfer_id,
            sender: transfer.sender,
            sender_home: transfer.home,
            amount,
        };
        let (kind, tag, bytes) = if takes {
            (Kind::Accept, Accept::TAG, json::canonical(&body))
        } else {
            let mut fields = serde_json::to_value(&body).ok()?;
            fields["type"] = "reject".into();
            (Kind::Reject, Reject::TAG, json::canonical(&fields))
        };
        let mut answer = Entry::home_authored(kind, bytes);
        answer.sig = vec![EntrySignature::new(row.key, &key.sign(tag, &answer.body))];
        answer.booked.received_at = Some(self.header.time);
        answer.booked.balance_after = takes.then(|| row.available.plus(amount).ok()).flatten();
        let own = rows.transfer(&log, &id).map(|row| Cite::Own(row.at));
        answer.cites = vec![own.unwrap_or_else(|| (*cite).clone())];
        Some(answer)
    }

    /// Adopts what some adoption of the story, or some entry at all, was about.
    fn adopts(
        &self,
        lost: Pick,
        foreign: Pick,
        changed: &Changed,
        short: Option<u16>,
    ) -> Option<Entry> {
        let known = of_kind(Kind::Adopt);
        let mut entry = nth(&known, lost)?.clone();
        if foreign > 0 {
            let all = ALL.with(|all| *all);
            let cites = all.iter().filter(|(of, _)| of.kind == Kind::Accept);
            let cites: Vec<_> = cites.map(|(_, cite)| cite.clone()).collect();
            entry.cites[usize::from(foreign % 2)] = nth(&cites, foreign)?.clone();
        }
        if let Some(amount) = changed.amount {
            let mut body = Adopt::read(&entry.body).ok()?;
            body.amount = Amount::from_hundredths(amount.into());
            entry.body = codec::encode(&body);
        }
        if let Some(short) = short {
            entry.booked.shortfall = Some(Amount::from_hundredths(short.into()));
        }
        Some(entry)
    }

    fn checkpoint(&self, lie: Option<StateLie>) -> Option<Entry> {
        let log = self.header.log;
        let nothing = Changes::default();
        let rows = Layers {
            history: self.before,
            batch: &nothing,
            vertex: None,
        };
        let charter = town().keys.authority(&log)?.charter_hash;
        let tree = tree_of(&rows, &log);
        let (mut body, ..): (Checkpoint, _, _) =
            take(&rows, self.header.network, charter, log, tree).ok()?;
        let add = |n: &mut u64, more: i8| *n = n.saturating_add_signed(more.into());
        match lie {
            None => {}
            Some(StateLie::Epoch(more)) => add(&mut body.position.epoch, more),
            Some(StateLie::Seq(more)) => add(&mut body.position.seq, more),
            Some(StateLie::Leaves(more)) => add(&mut body.leaves, more),
            Some(StateLie::Root) => body.state_root.0[7] ^= 1,
            Some(StateLie::Vertices) => body.vertices_root.0[7] ^= 1,
            Some(StateLie::Snapshot) => body.snapshot = BlockId::of(b"another snapshot"),
        }
        Some(Entry::home_authored(Kind::Checkpoint, codec::encode(&body)))
    }
}
