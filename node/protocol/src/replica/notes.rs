//! What this home's operator writes on the board: into the own log, by the rule by which others judge it.

use super::{Action, Now, Replica, Ticket};
use crate::body::{Kind, Note};
use crate::codec;
use crate::ids::Digest;
use crate::ledger::History;
use crate::vertex::{Entry, Known};

impl Replica {
    /// Books a note. The same again is booked again: the last one counts.
    pub(super) fn admit_note(
        &mut self,
        ticket: Ticket,
        note: &Note,
        now: Now,
        history: &dyn History,
    ) {
        let body = codec::encode(note);
        let identity = Digest::of(&[&body]);
        let booked = Note::read(&body).and_then(|_| {
            let entry = Entry::home_authored(Kind::Note, body);
            let entries = vec![(entry, Known::default())];
            self.book(ticket, identity, entries, now, history)
        });
        if let Err(refusal) = booked {
            self.after.push(Action::Reply(ticket, Err(refusal)));
        }
    }
}
