//! Bodies that a node prunes: which may go, what is left of one, and folding that again.
//!
//! No verdict about a vertex rests on this: it was found valid with its body. What is left of it brings the log to the
//! same state, and the checkpoint above it says whether it did. What others left of a body may have been made up: what it
//! says is held to the log's state as far as it can be, and refused like an entry that breaks a rule.

use super::ACCEPT_DEADLINE_MS;
use super::checks::{Folded, NEVER};
use super::fold::{Fold, FoldContext, FoldError};
use super::rows::{AnswerRow, CheckpointRow, Table, TransferRow, TransferState, VertexRow, key};
use super::view::{History, Rows, try_read_row};
use crate::amount::Timestamp;
use crate::body::{
    Answer, AnsweredBy, Kind, OwnEntry, PersonBody as _, Refund, Settle, Transfer, identity,
    read_person_body,
};
use crate::ids::{BlockId, Digest, LogId};
use crate::journal::is_expense;
use crate::refusal::Refusal;
use crate::vertex::{AnsweredStub, Cite, ClosedStub, Entry, EntryStub, Known, SentStub, Stub};

/// Checkpoints of a log that are looked through for the newest: one an hour for a century.
const MAX_CHECKPOINTS: usize = 1_000_000;

/// Why a body stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stays {
    /// It holds something besides transfers and their answers: whose keys count, who decided, evidence.
    Kept,
    /// A transfer in it is open, or its sender's home is not known here.
    Open,
    /// It proves a fault of its log.
    Evidence,
    /// The index does not say the same of it: it was not found valid here, or does not count.
    Elsewhere,
}

/// The position up to which bodies of a log may be pruned: that of the newest checkpoint which this node found to be
/// its state. None for a log without one, and for one that stands still.
#[must_use]
pub fn prunable_to(history: &dyn History, log: &LogId) -> Option<CheckpointRow> {
    history.log(log).filter(|row| row.frozen.is_none())?;
    let prefix = key(Table::Checkpoint, &[&log.0]);
    let rows = history.rows(&prefix, None, MAX_CHECKPOINTS);
    try_read_row(&rows.last()?.1)
}

/// What is to be left of a vertex's body, whose entries these are.
///
/// # Errors
/// Why it [stays](Stays).
pub fn stub_of(
    history: &dyn History,
    (id, vertex): (BlockId, &VertexRow),
    entries: &[Entry],
) -> Result<Stub, Stays> {
    let log = &vertex.log;
    if history.vertex_on_chain(log, history.log(log).map_or(1, |row| row.epoch), vertex.seq)
        != Some(id)
    {
        return Err(Stays::Elsewhere);
    }
    if !Stub::may_replace(entries) {
        return Err(Stays::Kept);
    }
    let proves = history
        .fault(log, vertex.epoch)
        .is_some_and(|fault| fault.vertices.contains(&id));
    if proves || history.invalid(log, vertex.epoch) == Some(id) {
        return Err(Stays::Evidence);
    }
    let place = |index| OwnEntry {
        epoch: vertex.epoch,
        seq: vertex.seq,
        index,
    };
    let stubs = (0..)
        .zip(entries)
        .map(|(index, entry)| entry_stub(history, log, place(index), entry));
    Ok(Stub {
        v: 1,
        pruned: Digest(*vertex.body.digest()),
        leaves: entries.iter().map(|entry| Digest(entry.leaf())).collect(),
        entries: stubs.collect::<Result<_, _>>()?,
    })
}

fn entry_stub(
    history: &dyn History,
    log: &LogId,
    at: OwnEntry,
    entry: &Entry,
) -> Result<EntryStub, Stays> {
    let unknown = |_: Refusal| Stays::Elsewhere;
    match entry.kind {
        Kind::Place => Ok(EntryStub::Place),
        Kind::Transfer => {
            let body: Transfer = read_person_body(&entry.body).map_err(unknown)?;
            let transfer = identity(Transfer::TAG, &entry.body);
            let row = complete(history, log, &transfer)?;
            let booked = entry.booked.debit.zip(entry.booked.received_at);
            let booked = booked.filter(|_| row.at == at);
            let (debit, received_at) = booked.ok_or(Stays::Elsewhere)?;
            // Of the body, not of the row: that may itself have been made of a stub.
            Ok(EntryStub::Transfer(SentStub {
                transfer,
                transfer_id: body.transfer_id,
                hash: body.transaction_hash(),
                received_at,
                amount: body.amount,
                sender: body.sender,
                receiver: body.receiver,
                receiver_home: body.receiver_home,
                debit,
            }))
        }
        Kind::Accept | Kind::Reject => {
            let answer = Answer::read(entry.kind, &entry.body).map_err(unknown)?;
            complete(history, &answer.sender_home, &answer.transfer)?;
            let row = history.answer(log, &answer.transfer);
            let row: AnswerRow = row.filter(|row| row.at == at).ok_or(Stays::Elsewhere)?;
            let deadline = cited_deadline(history, log, at, entry);
            let deadline = deadline.filter(|deadline| row.deadline == *deadline);
            let (account, signed) = match &answer.by {
                AnsweredBy::Receiver(common) => (history.account_of_key(log, &common.key), true),
                AnsweredBy::Order(account, _) | AnsweredBy::Home(account, _) => (*account, false),
            };
            let stub = AnsweredStub {
                transfer: answer.transfer,
                sender: answer.sender,
                sender_home: answer.sender_home,
                account,
                amount: answer.amount,
                deadline: deadline.ok_or(Stays::Elsewhere)?,
                signed,
            };
            Ok(if answer.accepts {
                EntryStub::Accept(stub)
            } else {
                EntryStub::Reject(stub)
            })
        }
        Kind::Settle => {
            let Settle {
                transfer, amount, ..
            } = Settle::read(&entry.body).map_err(unknown)?;
            complete(history, log, &transfer)?;
            Ok(EntryStub::Settle(ClosedStub { transfer, amount }))
        }
        Kind::Refund => {
            let Refund {
                transfer, amount, ..
            } = Refund::read(&entry.body).map_err(unknown)?;
            complete(history, log, &transfer)?;
            Ok(EntryStub::Refund(ClosedStub { transfer, amount }))
        }
        _ => Err(Stays::Kept),
    }
}

/// The deadline of the transfer that an answer cites.
fn cited_deadline(
    history: &dyn History,
    log: &LogId,
    at: OwnEntry,
    answer: &Entry,
) -> Option<Timestamp> {
    let vertex = match answer.cites.as_slice() {
        [Cite::Entry(cite)] => cite.vertex,
        // Answered in the very vertex that sent it.
        [Cite::Own(own)] if (own.epoch, own.seq) == (at.epoch, at.seq) => return Some(NEVER),
        [Cite::Own(own)] => history.vertex_at(log, own.epoch, own.seq)?,
        _ => return None,
    };
    let sent = history.vertex(&vertex)?;
    Some(sent.time.plus_ms(ACCEPT_DEADLINE_MS))
}

/// A transfer that its sender's home settled or gave back, as far as is known here.
fn complete(history: &dyn History, log: &LogId, transfer: &Digest) -> Result<TransferRow, Stays> {
    let row = history.transfer(log, transfer);
    row.filter(|row| row.state != TransferState::Open)
        .ok_or(Stays::Open)
}

impl Fold {
    /// What an entry did whose body was pruned, if it was: says whether it was.
    pub(super) fn again_without_body(
        &mut self,
        ctx: &FoldContext<'_>,
        known: &Known,
    ) -> Result<bool, FoldError> {
        let Some(stub) = known.stub() else {
            return Ok(false);
        };
        self.redo(ctx, stub)?;
        self.pruned = true;
        Ok(true)
    }

    fn redo(&mut self, ctx: &FoldContext<'_>, stub: &EntryStub) -> Folded {
        match stub {
            EntryStub::Place => {}
            EntryStub::Transfer(sent) => {
                if self.rows(ctx).transfer(&self.log, &sent.transfer).is_some() {
                    return Err(Refusal::SequenceUsed.into());
                }
                if !is_expense(sent.debit) {
                    return Err(Refusal::BadBooking.into());
                }
                if !sent.sender.is_of(&self.log) || !sent.receiver.is_of(&sent.receiver_home) {
                    return Err(Refusal::WrongHome.into());
                }
                let mut sender = self.account_of(ctx, &sent.sender)?;
                sender.next_sequence += 1;
                let (sender, totals) = self.sent(sender, sent.amount)?;
                let row = TransferRow {
                    state: TransferState::Open,
                    at: self.next_position(),
                    received_at: sent.received_at,
                    amount: sent.amount,
                    sender: sent.sender,
                    receiver: sent.receiver,
                    receiver_home: sent.receiver_home,
                    transfer_id: sent.transfer_id,
                };
                self.put_sent(ctx, &sent.transfer, &row, (&sender, totals));
            }
            EntryStub::Accept(answer) => {
                self.unanswered(ctx, answer)?;
                let mut receiver = self.account_of(ctx, &answer.account)?;
                receiver.next_sequence += u64::from(answer.signed);
                let taken = self.taken(ctx, receiver, &answer.sender_home, answer.amount)?;
                self.put_taken(&answer.account, taken);
                self.put_answer(&answer.transfer, false, &answer.account, answer.deadline);
            }
            EntryStub::Reject(answer) => {
                self.unanswered(ctx, answer)?;
                if answer.signed {
                    let mut receiver = self.account_of(ctx, &answer.account)?;
                    receiver.next_sequence += 1;
                    self.put_account(&answer.account, &receiver);
                }
                self.put_answer(&answer.transfer, true, &answer.account, answer.deadline);
            }
            EntryStub::Settle(closed) => {
                let row = self.open_of(ctx, closed)?;
                self.settled(ctx, &closed.transfer, row)?;
            }
            EntryStub::Refund(closed) => {
                let row = self.open_of(ctx, closed)?;
                let back = self.given_back(ctx, &row)?;
                self.give_back(&closed.transfer, row, back);
            }
        }
        Ok(())
    }

    fn unanswered(&self, ctx: &FoldContext<'_>, answer: &AnsweredStub) -> Result<(), Refusal> {
        let row = self.rows(ctx).answer(&self.log, &answer.transfer);
        row.map_or(Ok(()), |row| Err(row.refuses_another()))
    }

    /// The open transfer that is settled or given back.
    fn open_of(&self, ctx: &FoldContext<'_>, closed: &ClosedStub) -> Result<TransferRow, Refusal> {
        let row = self.rows(ctx).transfer(&self.log, &closed.transfer);
        let row = row.ok_or(Refusal::UnknownTransfer)?;
        if row.state == TransferState::Open && row.amount == closed.amount {
            Ok(row)
        } else {
            Err(Refusal::TransferMismatch)
        }
    }
}
