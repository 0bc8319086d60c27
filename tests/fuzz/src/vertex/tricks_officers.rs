//! What officers sign for a lying home, all of them or too few.

use city_protocol::amount::Amount;
use city_protocol::body::{
    Correct, Enrol, EpochStart, Grant, Kind, Label, OfficersBody, Ungrant, read_person_body,
};
use city_protocol::ids::Digest;
use city_protocol::ledger::Rows as _;
use city_protocol::vertex::{Entry, KeySource as _};

use super::tricks::{Changed, Decided, Pick, Scene, nth, of_kind};
use crate::people::decided_by;
use crate::town::{NOMI, amendment, town};

impl Scene<'_> {
    /// Others follow the officers, or the liar says something else about what is before.
    pub(super) fn elects(&mut self, number: i8, other: bool, by: &Decided) -> Option<Entry> {
        // Only 能美市 of the story has had an election.
        let next = &town().world.homes[NOMI].officers;
        let mut body = amendment(&town().world, next);
        let known = town().keys.authority(&self.header.log)?;
        let old = self.before.read().log(&self.header.log)?;
        let before = old.charter.unwrap_or(known.charter_hash);
        let until = known.under(Some(before));
        body.home = self.header.log;
        body.region = known.region().clone();
        body.number = until
            .charter_number()
            .saturating_add_signed(1 + i64::from(number));
        body.before = if other { known.in_force() } else { before };
        body.officers_sequence = self.officers_sequence(by)?;
        body.created_at = self.header.time;
        let entry = self.decided(&body, by);
        self.header.charter = Digest::of(&[&entry.body]);
        Some(entry)
    }

    /// The officers begin the next epoch, behind the head or somewhere else.
    pub(super) fn begins(&mut self, cut: i8, epoch: i8, by: &Decided) -> Option<Entry> {
        let old = self.before.read().log(&self.header.log)?;
        self.header.epoch = old.epoch + 1;
        let body = EpochStart {
            version: 1,
            kind: Kind::EpochStart,
            network: self.header.network,
            home: self.header.log,
            officers_sequence: self.officers_sequence(by)?,
            created_at: self.header.time,
            old_epoch: old.epoch.saturating_add_signed(epoch.into()),
            cut_seq: old.seq.saturating_add_signed(cut.into()),
            cut: old.head,
            node_certificate: None,
            chain: Vec::new(),
            reason: Label::new("やり直し").ok()?,
        };
        Some(self.decided(&body, by))
    }

    fn officers_sequence(&self, by: &Decided) -> Option<u64> {
        let row = self.before.read().log(&self.header.log)?;
        Some(
            row.officers_sequence
                .saturating_add_signed(1 + i64::from(by.sequence)),
        )
    }

    /// A decision with the signatures of those whom the liar has asked: of the home's officers in force, and of one of
    /// another home's.
    fn decided<B: OfficersBody>(&self, body: &B, by: &Decided) -> Entry {
        let row = self.before.read().log(&self.header.log);
        let charter = row.and_then(|row| row.charter);
        let known = town()
            .keys
            .authority(&self.header.log)
            .expect("of the story");
        let charter = charter.unwrap_or(known.charter_hash);
        let board = known
            .board_of(&charter)
            .map_or(&[][..], |board| board.keys());
        let stranger = town()
            .world
            .homes
            .iter()
            .find(|home| home.log() != self.header.log);
        let stranger = stranger.expect("there are several").officers[0].public();
        let asked = by.officers.unwrap_or([true, true, false, false]);
        let asked = board.iter().take(3).chain([stranger]).zip(asked);
        let officers: Vec<_> = asked
            .filter(|(_, asked)| *asked)
            .map(|(key, _)| town().secrets[&key.id()].clone())
            .collect();
        let decided = decided_by(body, &officers);
        let mut entry = Entry::home_authored(B::KIND, decided.bytes);
        entry.sig = decided.signatures;
        entry.sig.sort_by_key(|sig| sig.key);
        entry.booked.received_at = Some(self.header.time);
        entry
    }

    /// A grant, an ungrant, a correction of a shortfall or of a transfer.
    pub(super) fn decides(&self, kind: u8, who: Pick, amount: u32, by: &Decided) -> Option<Entry> {
        let rows = self.before.read();
        let log = self.header.log;
        let enrolled = of_kind(Kind::Enrol);
        let accounts = enrolled.iter().filter_map(|entry| {
            let body: Enrol = read_person_body(&entry.body).ok()?;
            Some((body.account(), rows.account(&log, &body.account())?))
        });
        let accounts: Vec<_> = accounts.collect();
        let (account, row) = nth(&accounts, who)?;
        let amount = Amount::from_hundredths(amount.into());
        let grant = Grant {
            version: 1,
            kind: Kind::Grant,
            network: self.header.network,
            home: log,
            officers_sequence: self.officers_sequence(by)?,
            created_at: self.header.time,
            account: *account,
            amount,
            reason: Label::new("地域の応援").ok()?,
        };
        let (mut entry, balance) = match kind % 4 {
            0 => (self.decided(&grant, by), row.available.plus(amount)),
            1 => {
                let body = Ungrant {
                    version: 1,
                    kind: Kind::Ungrant,
                    network: grant.network,
                    home: grant.home,
                    officers_sequence: grant.officers_sequence,
                    created_at: grant.created_at,
                    account: grant.account,
                    amount,
                    reason: grant.reason,
                };
                (self.decided(&body, by), row.available.minus(amount))
            }
            more => {
                let nothing = Changed {
                    amount: None,
                    at: None,
                };
                let sent = (more == 3).then(|| self.sent(who, &nothing)).flatten();
                let transfer = sent
                    .map(|(id, ..)| rows.transfer(&log, &id))
                    .unwrap_or_default();
                let amount = transfer.as_ref().map_or(amount, |row| row.amount);
                let account = transfer.as_ref().map_or(*account, |row| row.sender);
                let row = rows.account(&log, &account)?;
                let body = Correct {
                    version: 1,
                    kind: Kind::Correct,
                    network: grant.network,
                    home: grant.home,
                    officers_sequence: grant.officers_sequence,
                    created_at: grant.created_at,
                    account,
                    amount,
                    transfer: sent.map(|(id, ..)| id),
                    reason: grant.reason,
                };
                let balance = if transfer.is_some() {
                    row.available.plus(amount)
                } else {
                    row.available.minus(amount)
                };
                (self.decided(&body, by), balance)
            }
        };
        entry.booked.balance_after = balance.ok();
        Some(entry)
    }
}
