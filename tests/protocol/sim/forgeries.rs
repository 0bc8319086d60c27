//! What a trick says: vertices that are formally whole, signed with the node's own key, and untrue.

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{
    Accept, EpochStart, Kind, Label, OwnEntry, PersonBody as _, Refund, RefundReason, Settle,
    StandingAccept, Transfer, identity,
};
use city_protocol::checkpoint::{Leaf, SnapshotWriter, leaves_of, take};
use city_protocol::codec;
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::ledger::{
    ACCEPT_DEADLINE_MS, AnswerRow, Changes, IncomingRow, Layers, Rows as _, Table, TransferRow,
    TransferState, key, read_row, tree_of,
};
use city_protocol::stage::SignedBySeveral;
use city_protocol::vertex::{Cite, Entry, MAX_PARENT_AHEAD_MS, decode_body, merkle_paths};

use super::stage::Sim;
use super::tricks::Trick;
use crate::liar::{Liar, Vertex};
use crate::people::{Person, decided_by, signed};
use crate::world::World;

/// Most transfers or answers of a log that are looked through.
const LOOKED_AT: usize = 256;

/// Something of a table: its key behind the log, and its row.
type Found<T> = (Digest, T);

impl Sim {
    /// The vertex of a trick, if there is what it is about.
    pub(super) fn forged(&mut self, trick: Trick, face: usize) -> Option<Vertex> {
        let mut pen = Liar::new(&self.world, face);
        pen.time = self
            .time_at(face)
            .max(self.world.homes[face].row(&pen.log).time);
        let entries = match trick {
            Trick::FalseSettle => self.false_settle(face, &pen)?,
            Trick::DoubleAccept => self.double_accept(face, &pen)?,
            Trick::GroundlessRefund => self.groundless_refund(face, &pen)?,
            Trick::BeyondCut => {
                // Whoever did not keep it gets it along, so that nobody waits for it.
                let beyond = self.beyond.clone()?;
                for home in self.honest() {
                    if self.world.is_connected(face, home) {
                        self.send_vertex(face, home, &beyond);
                    }
                }
                pen.parents = vec![beyond.id];
                Vec::new()
            }
            Trick::FalseCheckpoint | Trick::FalseSnapshot => {
                vec![self.false_checkpoint(trick, face, &pen)?]
            }
            Trick::UnsignedEpoch => return Some(self.unsigned_epoch(face, pen)),
            Trick::LateAccept | Trick::WithheldBody => return None,
        };
        Some(pen.sign(&entries))
    }

    /// A transfer of the liar's own log to another home that is in this state.
    fn own_transfer(
        &mut self,
        face: usize,
        log: &LogId,
        state: TransferState,
    ) -> Option<Found<TransferRow>> {
        let away = |row: &TransferRow| row.receiver_home != *log && row.state == state;
        let found: Vec<_> = rows_of(&self.world, face, Table::Transfer, log)
            .into_iter()
            .filter(|(_, row)| away(row))
            .collect();
        (!found.is_empty()).then(|| found[self.dice.index(found.len())].clone())
    }

    /// What was sent and not answered is settled: on no word, on its own, or on one that it made up.
    fn false_settle(&mut self, face: usize, pen: &Liar) -> Option<Vec<Entry>> {
        let (transfer, row) = self.own_transfer(face, &pen.log, TransferState::Open)?;
        let body = Settle {
            v: 1,
            transfer,
            own: row.at,
            amount: row.amount,
            reason: Settle::ACCEPTED.into(),
        };
        let mut entry = Entry::home_authored(Kind::Settle, codec::encode(&body));
        match self.dice.below(3) {
            0 => {}
            1 => entry.cites = vec![Cite::Own(row.at)],
            _ => {
                let head = self.world.homes[face]
                    .disk
                    .read()
                    .log(&row.receiver_home)?
                    .head;
                let never = StandingAccept {
                    v: 1,
                    transfer,
                    transfer_id: row.transfer_id,
                    sender: row.sender,
                    sender_home: pen.log,
                    receiver: row.receiver,
                    amount: row.amount,
                    order: OwnEntry {
                        epoch: 1,
                        seq: 1,
                        index: 0,
                    },
                };
                let never = Entry::home_authored(Kind::Accept, codec::encode(&never));
                entry.cites = vec![never.to_cite(head, 0, &[])];
            }
        }
        Some(vec![entry])
    }

    /// What was taken is taken once more: by the same word again, or by a new one of the same person.
    fn double_accept(&mut self, face: usize, pen: &Liar) -> Option<Vec<Entry>> {
        let disk = &self.world.homes[face].disk;
        let answers: Vec<Found<AnswerRow>> = rows_of(&self.world, face, Table::Answer, &pen.log);
        let taken = answers.into_iter().find(|(_, row)| !row.rejected)?.1;
        let first = disk.read().entry(&pen.log, &taken.at)?;
        let fresh = self
            .dice
            .percent(50)
            .then(|| self.sign_again(face, pen, &first));
        Some(vec![fresh.flatten().unwrap_or(first)])
    }

    /// The same acceptance in its receiver's next turn.
    fn sign_again(&self, face: usize, pen: &Liar, first: &Entry) -> Option<Entry> {
        let body: Accept = serde_json::from_slice(&first.body).ok()?;
        let home = self.liar()?;
        let receiver = self.people[home]
            .iter()
            .find(|person| person.key.public().id() == body.key)?;
        let row = self.world.homes[face]
            .disk
            .read()
            .account(&pen.log, &receiver.account)?;
        let body = Accept {
            sequence: row.next_sequence,
            ..body
        };
        let balance = row.available.plus(body.amount).ok()?;
        self.accepted_by(receiver, body, balance, pen.time, first.cites.clone())
    }

    fn accepted_by(
        &self,
        receiver: &Person,
        body: Accept,
        balance: Amount,
        at: Timestamp,
        cites: Vec<Cite>,
    ) -> Option<Entry> {
        let (_, bytes, sig) = signed(body, receiver).ok()?.into_parts();
        let mut entry = Entry::home_authored(Kind::Accept, bytes);
        entry.sig = vec![sig];
        entry.booked.received_at = Some(at);
        entry.booked.balance_after = Some(balance);
        entry.cites = cites;
        Some(entry)
    }

    /// An acceptance of something that is late by now, dated a minute before it was, by a home that has seen how late
    /// it is: its parent says so.
    pub(super) fn late_accept(&mut self, face: usize) -> Option<Vertex> {
        let mut pen = Liar::new(&self.world, face);
        let disk = self.world.homes[face].disk.read();
        let waiting = |person: &Person| {
            let prefix = key(
                Table::Incoming,
                &[&pen.log.0, person.account.as_str().as_bytes()],
            );
            let rows = disk.rows(&prefix, None, LOOKED_AT).into_iter();
            let rows = rows.map(|(_, row)| read_row::<IncomingRow>(&row));
            rows.filter(|row| row.log != pen.log)
                .map(|row| (person.clone(), row))
                .collect::<Vec<_>>()
        };
        let (receiver, row) = self.people[self.liar()?].iter().flat_map(waiting).next()?;
        let sent = disk.vertex(&disk.vertex_at(&row.log, row.at.epoch, row.at.seq)?)?;
        pen.time = sent.time.plus_ms(ACCEPT_DEADLINE_MS - 60_000);
        let entry = disk.entry(&row.log, &row.at)?;
        let transfer: Transfer = serde_json::from_slice(&entry.body).ok()?;
        let identity = identity(Transfer::TAG, &entry.body);
        let cite = cite_of(&self.world, face, &row.log, &row.at)?;
        // The newest that anybody wrote, which is too late for the date.
        let newest = self.honest().into_iter().map(|home| {
            let home = &self.world.homes[home];
            let row = home.row(&home.log());
            (row.time, row.head)
        });
        let (seen, parent) = newest.max()?;
        let own = self.world.homes[face].row(&pen.log).time;
        if own > pen.time || seen <= pen.time.plus_ms(MAX_PARENT_AHEAD_MS) {
            return None;
        }
        pen.parents = vec![parent];
        let person = Person {
            home: face,
            ..receiver
        };
        let body = self.world.accept_of(&person, identity, &transfer);
        let body = Accept {
            created_at: pen.time,
            ..body
        };
        let available = disk.account(&pen.log, &person.account)?.available;
        let balance = available.plus(body.amount).ok()?;
        let entry = self.accepted_by(&person, body, balance, pen.time, vec![cite])?;
        Some(pen.sign(&[entry]))
    }

    /// The sender has back what is neither rejected nor late: on a vertex that shows nothing of it, on its own word,
    /// or on the very acceptance.
    fn groundless_refund(&mut self, face: usize, pen: &Liar) -> Option<Vec<Entry>> {
        let (transfer, row) = self.own_transfer(face, &pen.log, TransferState::Open)?;
        let disk = self.world.homes[face].disk.read();
        let head = disk.log(&row.receiver_home)?.head;
        let answer = disk.answer(&row.receiver_home, &transfer);
        let deadline = disk
            .vertex(&disk.vertex_at(&pen.log, row.at.epoch, row.at.seq)?)?
            .time
            .plus_ms(ACCEPT_DEADLINE_MS);
        if disk.vertex(&head)?.time > deadline || answer.is_some_and(|answer| answer.rejected) {
            // It would be no lie.
            return None;
        }
        let accepted =
            answer.and_then(|answer| cite_of(&self.world, face, &row.receiver_home, &answer.at));
        let (reason, cite) = match self.dice.below(3) {
            0 => (RefundReason::Expired, Cite::Vertex(head)),
            1 => (RefundReason::Rejected, Cite::Own(row.at)),
            _ => (
                RefundReason::Rejected,
                accepted.unwrap_or(Cite::Vertex(head)),
            ),
        };
        let body = Refund {
            v: 1,
            transfer,
            own: row.at,
            amount: row.amount,
            reason,
        };
        let mut entry = Entry::home_authored(Kind::Refund, codec::encode(&body));
        entry.cites = vec![cite];
        Some(vec![entry])
    }

    /// The state of the log with a hundredth more for somebody; or the true root over blocks that say so.
    fn false_checkpoint(&mut self, trick: Trick, face: usize, pen: &Liar) -> Option<Entry> {
        let nothing = Changes::default();
        let rows = Layers {
            history: self.world.homes[face].disk.read(),
            batch: &nothing,
            vertex: None,
        };
        let (network, charter) = (
            self.world.network(),
            self.world.homes[face].authority.charter_hash,
        );
        let tree = tree_of(&rows, &pen.log);
        let (truth, ..) = take(&rows, network, charter, pen.log, tree).ok()?;
        let (mut writer, mut richer) = (SnapshotWriter::default(), false);
        leaves_of(&rows, network, charter, pen.log, |mut leaf| {
            if let Leaf::Account(account) = &mut leaf
                && !std::mem::replace(&mut richer, true)
            {
                let more = account.available.hundredths() + 1;
                account.available = Amount::from_hundredths(more);
            }
            writer.push(&leaf)
        })
        .ok()?;
        let lie = writer.finish().ok()?;
        let mut body = truth;
        body.snapshot = lie.id;
        if trick == Trick::FalseCheckpoint {
            body.state_root = Digest(lie.root);
        }
        Some(Entry::home_authored(Kind::Checkpoint, codec::encode(&body)))
    }

    /// The next epoch of the log, begun by one officer of the two that it takes, or by none.
    fn unsigned_epoch(&mut self, face: usize, mut pen: Liar) -> Vertex {
        let h = &self.world.homes[face];
        let row = h.row(&pen.log);
        let body = EpochStart {
            version: 1,
            kind: Kind::EpochStart,
            network: self.world.network(),
            home: pen.log,
            officers_sequence: row.officers_sequence + 1,
            created_at: pen.time,
            old_epoch: row.epoch,
            cut_seq: row.seq,
            cut: row.head,
            node_certificate: None,
            chain: Vec::new(),
            reason: Label::new("誰も知らない").unwrap(),
        };
        let officers = &h.officers[..self.dice.index(2)];
        let SignedBySeveral { bytes, signatures } = decided_by(&body, officers);
        let mut entry = Entry::home_authored(Kind::EpochStart, bytes);
        entry.sig = signatures;
        entry.booked.received_at = Some(pen.time);
        pen.epoch += 1;
        pen.sign(&[entry])
    }
}

/// The rows of a log in a table whose keys end with an identity.
fn rows_of<T: serde::de::DeserializeOwned>(
    world: &World,
    home: usize,
    table: Table,
    log: &LogId,
) -> Vec<Found<T>> {
    let prefix = key(table, &[&log.0]);
    let rows = world.homes[home].disk.read().rows(&prefix, None, LOOKED_AT);
    let found = rows.into_iter().map(|(name, row)| {
        let identity = Digest(name[prefix.len()..].try_into().unwrap());
        (identity, read_row(&row))
    });
    found.collect()
}

/// The cite of an entry of a log, as a home has it.
fn cite_of(world: &World, home: usize, log: &LogId, at: &OwnEntry) -> Option<Cite> {
    let disk = world.homes[home].disk.read();
    let id: BlockId = disk.vertex_at(log, at.epoch, at.seq)?;
    let entries = decode_body(&disk.block(&disk.vertex(&id)?.body)?).ok()?;
    let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
    let (_, paths) = merkle_paths(&leaves);
    let index = at.index as usize;
    Some(entries.get(index)?.to_cite(id, at.index, &paths[index]))
}
