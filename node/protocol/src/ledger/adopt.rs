//! The rules of what a log writes about faults: `fault` about another's, `adopt` about what its own cut took back.
//!
//! A cut takes entries back on which other homes rest already: a receiver was credited, a sender's transfer is
//! settled. They stay. The home that lost its half answers for it once the officers have begun the next epoch.

use super::checks::{Folded, NEVER, add, exactly, one_signature, subtract};
use super::convict::{board_at, convicts, epoch_signer};
use super::fold::{Fold, FoldContext, FoldError};
use super::judge::Missing;
use super::rows::{AccountRow, AnswerRow, Table, TransferRow, TransferState, key};
use super::view::Rows;
use crate::amount::Amount;
use crate::body::{
    Adopt, Answer, AnsweredBy, Fault, FaultReason, Kind, PersonBody as _, Refund, RefundReason,
    Settle, Transfer, identity, read_person_body,
};
use crate::codec;
use crate::ids::Digest;
use crate::refusal::Refusal;
use crate::vertex::{Board, Booked, Cite, Entry, EntryCite, decode_body, verify_path};

impl Fold {
    pub(super) fn fault(&mut self, ctx: &FoldContext<'_>, entry: &Entry) -> Folded {
        let body = Fault::read(&entry.body)?;
        if !entry.sig.is_empty() || entry.booked != Booked::default() {
            return Err(Refusal::BadEntry.into());
        }
        // A second one only where the fault turned out to be earlier.
        let entered = self.rows(ctx).fault_cut(&self.log, &body.log, body.epoch);
        if entered.is_some_and(|cut| body.cut >= cut) {
            return Err(Refusal::BadEntry.into());
        }
        let Some(accused) = ctx.keys.authority(&body.log) else {
            return Err(FoldError::Waiting(Missing::Log(body.log)));
        };
        let (later, mut boards);
        let mut signer = None;
        let first = accused.board_of(&accused.charter_hash);
        let mut councils: Vec<&Board> = first.into_iter().collect();
        match (body.needs_first(), body.reason, entry.cites.as_slice()) {
            (true, _, [Cite::Vertex(first)]) => {
                let at = (body.log, body.epoch);
                later = epoch_signer(&self.rows(ctx), &accused, at, *first)?;
                signer = Some(&later);
            }
            // Of later charters' officers at most one board signed each.
            (false, FaultReason::EpochStarts, cites) if cites.len() <= 2 => {
                boards = Vec::new();
                for cite in cites {
                    let Cite::Vertex(vertex) = cite else {
                        return Err(Refusal::BadCite.into());
                    };
                    boards.push(board_at(&self.rows(ctx), body.log, *vertex)?);
                }
                councils.extend(&boards);
            }
            (false, _, []) => signer = accused.key_of(1).filter(|_| body.epoch == 1),
            _ => return Err(Refusal::BadCite.into()),
        }
        convicts(&body, &accused, signer, &councils, ctx.network)?;
        let parts = [&self.log.0[..], &body.log.0, &body.epoch.to_be_bytes()];
        self.changes.put(key(Table::FaultEntry, &parts), &body.cut);
        Ok(())
    }

    pub(super) fn adopt(&mut self, ctx: &FoldContext<'_>, entry: &Entry) -> Folded {
        let body = Adopt::read(&entry.body)?;
        if !entry.sig.is_empty() {
            return Err(Refusal::BadEntry.into());
        }
        let [Cite::Entry(lost), Cite::Entry(foreign)] = entry.cites.as_slice() else {
            return Err(Refusal::BadCite.into());
        };
        self.was_lost(ctx, lost)?;
        let vertex = self.proven_vertex(ctx, foreign)?;
        // Not just any entry about the same transfer: the one that rests on exactly what was lost.
        if foreign.cites_hash != Digest::of(&[&codec::encode(&[Cite::Entry(lost.clone())])]) {
            return Err(Refusal::BadCite.into());
        }
        match (lost.kind, foreign.kind) {
            (Kind::Transfer, Kind::Accept) => {
                let transfer: Transfer = read_person_body(&lost.body)?;
                let accept = Answer::read(foreign.kind, &foreign.body)?;
                let same = identity(Transfer::TAG, &lost.body) == body.transfer
                    && transfer.amount == body.amount
                    && transfer.home == self.log
                    && transfer.receiver_home == vertex.log
                    && accept.sender_home == self.log
                    && accept.transfer == body.transfer
                    && accept.amount == body.amount;
                if !same {
                    return Err(Refusal::TransferMismatch.into());
                }
                self.adopt_transfer(ctx, entry, &body, lost, &transfer)
            }
            (Kind::Accept | Kind::Reject, Kind::Settle | Kind::Refund) => {
                let answer = Answer::read(lost.kind, &lost.body)?;
                let (transfer, amount) = match foreign.kind {
                    Kind::Settle => {
                        let settle = Settle::read(&foreign.body)?;
                        (settle.transfer, settle.amount)
                    }
                    _ => {
                        let refund = Refund::read(&foreign.body)?;
                        if refund.reason != RefundReason::Rejected {
                            return Err(Refusal::BadCite.into());
                        }
                        (refund.transfer, refund.amount)
                    }
                };
                let same = answer.accepts == (foreign.kind == Kind::Settle)
                    && answer.sender_home == vertex.log
                    && (transfer, amount) == (body.transfer, body.amount)
                    && (answer.transfer, answer.amount) == (body.transfer, body.amount);
                if !same {
                    return Err(Refusal::TransferMismatch.into());
                }
                exactly(entry, Booked::default(), 2)?;
                self.adopt_answer(ctx, &body, &answer)
            }
            _ => Err(Refusal::BadCite.into()),
        }
    }

    /// The entry stood in a vertex of this log, of an epoch that was closed without it.
    fn was_lost(&self, ctx: &FoldContext<'_>, lost: &EntryCite) -> Folded {
        let rows = self.rows(ctx);
        let Some(vertex) = rows.vertex(&lost.vertex) else {
            return Err(FoldError::Waiting(Missing::Vertex(lost.vertex)));
        };
        let path: Vec<[u8; 32]> = lost.path.iter().map(|digest| digest.0).collect();
        let root = &vertex.entries_root.0;
        let proven = verify_path(&lost.leaf(), lost.index, vertex.count, &path, root);
        // What is beyond a cut has no row of its position any more.
        let counts = rows.vertex_at(&self.log, vertex.epoch, vertex.seq) == Some(lost.vertex);
        let closed = vertex.epoch < self.position.0;
        if proven && closed && !counts && vertex.log == self.log {
            Ok(())
        } else {
            Err(Refusal::BadCite.into())
        }
    }

    /// The receiver was credited: the sender pays, and what the sender has not is this municipality's shortfall.
    fn adopt_transfer(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        body: &Adopt,
        lost: &EntryCite,
        transfer: &Transfer,
    ) -> Folded {
        let rows = self.rows(ctx);
        if rows.transfer(&self.log, &body.transfer).is_some() {
            return Err(Refusal::AlreadyAnswered.into());
        }
        let sender = self.who_signed(ctx, lost, transfer)?;
        let has = sender.as_ref().map_or(Amount::ZERO, |row| row.available);
        let paid = has.min(body.amount);
        let short = body.amount.minus(paid)?;
        let booked = Booked {
            shortfall: Some(short).filter(|short| *short > Amount::ZERO),
            ..Booked::default()
        };
        exactly(entry, booked, 2)?;
        let mut totals = self.row.totals;
        totals.available = subtract(totals.available, paid)?;
        totals.settled_out = add(totals.settled_out, body.amount)?;
        totals.shortfall = add(totals.shortfall, short)?;

        let mut clearing = rows.clearing(&self.log, &transfer.receiver_home);
        clearing.settled = add(clearing.settled, body.amount)?;

        let at = self.next_position();
        let by_id = [
            &self.log.0[..],
            transfer.sender.as_str().as_bytes(),
            &transfer.transfer_id.0,
        ];
        let by_id = key(Table::TransferId, &by_id);
        let id_is_free = rows.get(&by_id).is_none();
        if let Some(mut sender) = sender {
            sender.available = sender.available.minus(paid)?;
            self.put_account(&transfer.sender, &sender);
        }
        if id_is_free {
            self.changes.put(by_id, &body.transfer);
        }
        self.changes.put(
            key(Table::Transfer, &[&self.log.0, &body.transfer.0]),
            &TransferRow {
                state: TransferState::Settled,
                at,
                received_at: lost.booked.received_at.unwrap_or(transfer.created_at),
                amount: body.amount,
                sender: transfer.sender,
                receiver: transfer.receiver,
                receiver_home: transfer.receiver_home,
                transfer_id: transfer.transfer_id,
            },
        );
        self.put_clearing(&transfer.receiver_home, &clearing);
        self.row.totals = totals;
        Ok(())
    }

    /// The sender's account, if it has the key that signed: a cite carries no signature, and nobody is charged on the
    /// word of a home that has cheated already. Without such an account all of it is the municipality's.
    fn who_signed(
        &self,
        ctx: &FoldContext<'_>,
        lost: &EntryCite,
        transfer: &Transfer,
    ) -> Result<Option<AccountRow>, FoldError> {
        let rows = self.rows(ctx);
        let account = rows.account(&self.log, &transfer.sender);
        let Some(account) = account.filter(|row| row.key == transfer.key) else {
            return Ok(None);
        };
        let body = rows
            .vertex(&lost.vertex)
            .and_then(|vertex| rows.get_block(&vertex.body));
        let body = body.ok_or(FoldError::Waiting(Missing::Vertex(lost.vertex)))?;
        let entry = decode_body(&body)
            .ok()
            .and_then(|entries| entries.into_iter().nth(usize::try_from(lost.index).ok()?))
            .filter(|entry| entry.leaf() == lost.leaf())
            .ok_or(Refusal::BadCite)?;
        one_signature(&entry, transfer.key)?;
        self.check_with_active_key(ctx, &entry, &account.key_at, transfer.key)?;
        Ok(Some(account))
    }

    /// The sender's home closed the transfer by an answer that was lost: it stands as that home took it.
    fn adopt_answer(&mut self, ctx: &FoldContext<'_>, body: &Adopt, answer: &Answer) -> Folded {
        let rows = self.rows(ctx);
        if rows.answer(&self.log, &body.transfer).is_some() {
            return Err(Refusal::AlreadyAnswered.into());
        }
        let account = match &answer.by {
            AnsweredBy::Receiver(common) => rows.account_of_key(&self.log, &common.key),
            AnsweredBy::Order(account, _) | AnsweredBy::Home(account, _) => *account,
        };
        if answer.accepts {
            // Who enrolled beyond the cut enrols again, with the same key under the same id, and is paid then.
            let receiver = rows.account(&self.log, &account);
            let mut receiver = receiver.ok_or(Refusal::UnknownAccount)?;
            receiver.available = receiver.available.plus(body.amount)?;
            let mut totals = self.row.totals;
            totals.available = add(totals.available, body.amount)?;
            totals.accepted_in = add(totals.accepted_in, body.amount)?;
            let mut clearing = rows.clearing(&self.log, &answer.sender_home);
            clearing.accepted = add(clearing.accepted, body.amount)?;
            self.put_account(&account, &receiver);
            self.put_clearing(&answer.sender_home, &clearing);
            self.row.totals = totals;
        }
        let answered = AnswerRow {
            at: self.next_position(),
            rejected: !answer.accepts,
            // That of the transfer is the other log's to know; the answer is remembered for ever.
            deadline: NEVER,
        };
        self.put_answered(&body.transfer, &account, &answered);
        Ok(())
    }
}
