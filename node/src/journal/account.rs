//! One account's movements: every entry that changed what is available to it, with the other side and how far the
//! transfer has come by now.

use std::collections::HashMap;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::body::{
    Adopt, Answer, Correct, Kind, PersonBody as _, Refund, Transfer, identity, read_officers_body,
    read_person_body,
};
use city_protocol::ids::{AccountId, Digest, LogId};
use city_protocol::journal::{AIKA, PAYABLE, Place, Posting, Side};
use city_protocol::ledger::{History, PeopleState, Rows as _};
use city_protocol::vertex::{Cite, Entry, EntryStub};

use super::ask::Ask;
use super::item::Item;
use super::logs::{Names, logs};
use super::pages::{Counterparty, JournalLog, Movement, MovementsPage};
use super::read::each_entry;
use super::state::people_state;
use crate::api::wire::SCHEMA;

/// Movements behind which a page ends: with those of one more vertex some 1,000 of 900 bytes.
const PAGE_MOVEMENTS: usize = 750;

/// Movements of the account that is asked for, a page of them; `now` says which transfers nobody can answer any more.
///
/// # Errors
/// [`Refusal::BadField`] if the question names no account, and those of reading the log.
pub fn movements(
    history: &dyn History,
    names: &Names,
    ask: &Ask,
    now: Timestamp,
) -> Result<MovementsPage, Refusal> {
    if ask.account.is_none() || ask.code.is_some() {
        return Err(Refusal::BadField);
    }
    let homes = logs(history, names).logs.into_iter();
    let reader = Reader {
        history,
        homes: homes.map(|home| (home.log, home)).collect(),
        now,
    };
    let mut movements = Vec::new();
    let next = each_entry(
        history,
        ask,
        &mut movements,
        |movements, place, item, found| {
            movements.extend(reader.movement(place, item, &found)?);
            Ok(movements.len() < PAGE_MOVEMENTS)
        },
    )?;
    Ok(MovementsPage {
        schema: SCHEMA,
        movements,
        next,
    })
}

/// What an entry says about a transfer.
struct About {
    transfer: Digest,
    /// The sender's home.
    log: LogId,
    account: AccountId,
    home: LogId,
    hash: Option<Digest>,
}

struct Reader<'a> {
    history: &'a dyn History,
    homes: HashMap<LogId, JournalLog>,
    now: Timestamp,
}

impl Reader<'_> {
    /// None where nothing became more or less: a settlement moves 愛貨 that was promised before.
    fn movement(
        &self,
        place: &Place,
        item: &Item,
        found: &[Posting],
    ) -> Result<Option<Movement>, Refusal> {
        let mut change: i64 = 0;
        let mut against = 0;
        for posting in found {
            if ![AIKA, PAYABLE].contains(&posting.code) {
                against = posting.code;
                continue;
            }
            let amount = i64::try_from(posting.amount.hundredths());
            let amount = amount.map_err(|_| Refusal::OutOfRange)?;
            change += match posting.side {
                Side::Debit => amount,
                Side::Credit => -amount,
            };
        }
        if change == 0 {
            return Ok(None);
        }
        let about = match item {
            Item::Entry(entry) => self.about(place, entry)?,
            Item::Stub(stub) => self.about_stub(place, stub),
        };
        let hash = about.as_ref().and_then(|about| self.hash(about));
        Ok(Some(Movement {
            time: place.time,
            vertex: place.vertex,
            epoch: place.at.epoch,
            seq: place.at.seq,
            index: place.at.index,
            kind: item.kind().as_str().into(),
            code: against,
            hundredths: change,
            counterparty: about.as_ref().map(|about| self.counterparty(about)),
            transfer: about.as_ref().map(|about| about.transfer),
            transaction_hash: hash,
            state: about
                .as_ref()
                .map(|about| self.state(item.kind(), about).into()),
        }))
    }

    fn about(&self, place: &Place, entry: &Entry) -> Result<Option<About>, Refusal> {
        Ok(match entry.kind {
            Kind::Transfer => Some(sent(place.log, &entry.body)?),
            Kind::Accept => Some(received(&Answer::read(entry.kind, &entry.body)?)),
            Kind::Refund => self.given_back(place.log, Refund::read(&entry.body)?.transfer),
            Kind::Correct => {
                let correct = read_officers_body::<Correct>(&entry.body)?;
                let transfer = correct.transfer;
                transfer.and_then(|transfer| self.given_back(place.log, transfer))
            }
            Kind::Adopt => adopted(place.log, entry)?,
            _ => None,
        })
    }

    fn about_stub(&self, place: &Place, stub: &EntryStub) -> Option<About> {
        match stub {
            EntryStub::Transfer(sent) => Some(About {
                transfer: sent.transfer,
                log: place.log,
                account: sent.receiver,
                home: sent.receiver_home,
                hash: Some(sent.hash),
            }),
            EntryStub::Accept(answer) => Some(About {
                transfer: answer.transfer,
                log: answer.sender_home,
                account: answer.sender,
                home: answer.sender_home,
                hash: None,
            }),
            EntryStub::Refund(closed) => self.given_back(place.log, closed.transfer),
            EntryStub::Place | EntryStub::Reject(_) | EntryStub::Settle(_) => None,
        }
    }

    /// A transfer of this log that came back to its sender.
    fn given_back(&self, log: LogId, transfer: Digest) -> Option<About> {
        let row = self.history.transfer(&log, &transfer)?;
        Some(About {
            transfer,
            log,
            account: row.receiver,
            home: row.receiver_home,
            hash: None,
        })
    }

    fn counterparty(&self, about: &About) -> Counterparty {
        let home = self.homes.get(&about.home);
        Counterparty {
            account: about.account,
            home: about.home,
            region: home.map(|home| home.region.clone()),
            name: home.and_then(|home| home.name.clone()),
        }
    }

    fn hash(&self, about: &About) -> Option<Digest> {
        if about.hash.is_some() {
            return about.hash;
        }
        let row = self.history.transfer(&about.log, &about.transfer)?;
        let signed = self
            .history
            .transfer_body(&about.log, &row.at, &about.transfer);
        let Some(signed) = signed else {
            return match self.history.entry_stub(&about.log, &row.at)? {
                EntryStub::Transfer(sent) => Some(sent.hash),
                _ => None,
            };
        };
        let body: Transfer = read_person_body(&signed).ok()?;
        Some(body.transaction_hash())
    }

    /// What was taken is received at least, also where the sender's log is not here.
    fn state(&self, kind: Kind, about: &About) -> PeopleState {
        let row = self.history.transfer(&about.log, &about.transfer);
        let Some(row) = row else {
            return match kind {
                Kind::Transfer => PeopleState::Pending,
                _ => PeopleState::Received,
            };
        };
        people_state(self.history, &about.log, &about.transfer, &row, self.now)
    }
}

fn sent(log: LogId, body: &[u8]) -> Result<About, Refusal> {
    let transfer: Transfer = read_person_body(body)?;
    Ok(About {
        transfer: identity(Transfer::TAG, body),
        log,
        account: transfer.receiver,
        home: transfer.receiver_home,
        hash: Some(transfer.transaction_hash()),
    })
}

const fn received(answer: &Answer) -> About {
    About {
        transfer: answer.transfer,
        log: answer.sender_home,
        account: answer.sender,
        home: answer.sender_home,
        hash: None,
    }
}

fn adopted(log: LogId, entry: &Entry) -> Result<Option<About>, Refusal> {
    Adopt::read(&entry.body)?;
    let Some(Cite::Entry(lost)) = entry.cites.first() else {
        return Ok(None);
    };
    match lost.kind {
        Kind::Transfer => sent(log, &lost.body).map(Some),
        Kind::Accept => Ok(Some(received(&Answer::read(lost.kind, &lost.body)?))),
        _ => Ok(None),
    }
}
