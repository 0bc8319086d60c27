//! What is listed: the homes that this one knows, what an account has sent, and what was answered for it.

use axum::Json;
use axum::extract::State;
use city_protocol::Refusal;
use city_protocol::amount::Amount;
use city_protocol::body::{Answer, AnsweredBy, Kind, OwnEntry, RejectReason};
use city_protocol::ids::{AccountId, Digest, LogId, TransferId};
use city_protocol::ledger::{
    Finality, History, PeopleState, Rows as _, Table, TransferState, key, try_read_row,
    witnesses_of,
};
use city_protocol::vertex::{Cite, EntryStub, KeySource as _};

use super::ask::{MAX_PAGE, rows, transfer_page};
use super::extract::{Id, Page};
use super::who::Asker;
use super::wire::{
    AnswerFrom, AnswerSaid, HomesPage, KnownHome, OutgoingPage, ReceivedItem, ReceivedPage, SCHEMA,
};
use super::{ApiState, Problem};
use crate::engine::{StoreHistory, utc};
use crate::journal::{log_rows, people_state};

/// `GET /send/api/homes`: to whom something can be sent from here. Public, as the charters are.
pub(super) async fn homes(State(api): State<ApiState>) -> Json<HomesPage> {
    let directory = api.engine.directory();
    let known = |(log, _)| {
        let authority = directory.authority(&log)?;
        Some(KnownHome {
            log,
            region: authority.region().clone(),
            suite: authority.node_key().algorithm().suite(),
        })
    };
    Json(HomesPage {
        schema: SCHEMA,
        network: api.engine.genesis().network(),
        homes: log_rows(api.engine.history())
            .into_iter()
            .filter_map(known)
            .collect(),
    })
}

/// `GET /send/api/accounts/{id}/outgoing`.
pub(super) async fn outgoing(
    State(api): State<ApiState>,
    asker: Asker,
    Id(account): Id<AccountId>,
    page: Page<TransferId>,
) -> Result<Json<OutgoingPage>, Problem> {
    asker.is(&account)?;
    let home = api.engine.log();
    let limit = api.listed(&account, page.limit)?;
    let page = api
        .reading(move |history| read_outgoing(history, &home, &account, page.after, limit))
        .await?;
    Ok(Json(page))
}

fn read_outgoing(
    history: &StoreHistory,
    home: &LogId,
    account: &AccountId,
    after: Option<TransferId>,
    limit: usize,
) -> OutgoingPage {
    let prefix = key(Table::TransferId, &[&home.0, account.as_str().as_bytes()]);
    let after = after.map(|id| [&prefix[..], &id.0].concat());
    let found = history.rows(&prefix, after.as_deref(), limit);
    let last = found
        .last()
        .and_then(|(name, _)| Some(TransferId(name.get(prefix.len()..)?.try_into().ok()?)));
    let transfer = |value: &[u8]| {
        let transfer: Digest = try_read_row(value)?;
        let row = rows(history).transfer(home, &transfer)?;
        Some(transfer_page(history, transfer, *home, row, None))
    };
    OutgoingPage {
        schema: SCHEMA,
        account: *account,
        next: last.filter(|_| found.len() == limit),
        transfers: found
            .iter()
            .filter_map(|(_, value)| transfer(value))
            .collect(),
    }
}

/// `GET /send/api/accounts/{id}/received`.
pub(super) async fn received(
    State(api): State<ApiState>,
    asker: Asker,
    Id(account): Id<AccountId>,
    page: Page<Digest>,
) -> Result<Json<ReceivedPage>, Problem> {
    asker.is(&account)?;
    let home = api.engine.log();
    let limit = api.listed(&account, page.limit)?;
    let page = api
        .reading(move |history| read_received(history, &home, &account, page.after, limit))
        .await?;
    Ok(Json(page))
}

fn read_received(
    history: &dyn History,
    home: &LogId,
    account: &AccountId,
    after: Option<Digest>,
    limit: usize,
) -> ReceivedPage {
    let prefix = key(Table::Received, &[&home.0, account.as_str().as_bytes()]);
    let after = after.map(|id| [&prefix[..], &id.0].concat());
    let found = history.rows(&prefix, after.as_deref(), limit);
    let identity = |name: &[u8]| Some(Digest(name.get(prefix.len()..)?.try_into().ok()?));
    let last = found.last().and_then(|(name, _)| identity(name));
    let item =
        |name: &[u8], at: &[u8]| received_item(history, home, identity(name)?, try_read_row(at)?);
    ReceivedPage {
        schema: SCHEMA,
        account: *account,
        next: last.filter(|_| found.len() == limit),
        transfers: found
            .iter()
            .filter_map(|(name, at)| item(name, at))
            .collect(),
    }
}

/// What an answer says: the entry itself, or what is left of it.
struct Said {
    sender: AccountId,
    sender_home: LogId,
    amount: Amount,
    transfer_id: Option<TransferId>,
    by: AnswerFrom,
    reason: Option<RejectReason>,
}

/// A transfer that was answered. Whatever became of its sender's log, what this home answered stays.
fn received_item(
    history: &dyn History,
    home: &LogId,
    transfer: Digest,
    at: OwnEntry,
) -> Option<ReceivedItem> {
    let row = history.answer(home, &transfer).filter(|row| row.at == at)?;
    let said = said(history, home, &at, row.rejected)?;
    let vertex = history.vertex(&history.vertex_at(home, at.epoch, at.seq)?)?;
    let sent = history.transfer(&said.sender_home, &transfer);
    let (log, position) = match &sent {
        Some(sent) => (said.sender_home, sent.at),
        None => (*home, at),
    };
    let position = (position.epoch, position.seq);
    let (state, finality) = match &sent {
        Some(sent) => (
            people_state(history, &log, &transfer, sent, utc()),
            Finality::of_transfer(history, &log, sent),
        ),
        None => (
            PeopleState::of(TransferState::Open, Some(&row)),
            Finality::at(history, &log, position),
        ),
    };
    Some(ReceivedItem {
        transfer,
        transfer_id: said
            .transfer_id
            .or(sent.as_ref().map(|sent| sent.transfer_id)),
        sender: said.sender,
        sender_home: said.sender_home,
        amount: said.amount,
        received_at: sent.map(|sent| sent.received_at),
        answer: match row.rejected {
            true => AnswerSaid::Rejected,
            false => AnswerSaid::Accepted,
        },
        by: said.by,
        reason: said.reason,
        answered_at: vertex.time,
        state: state.into(),
        finality: finality.code().into(),
        witnesses: witnesses_of(history, &log, position),
    })
}

fn said(history: &dyn History, home: &LogId, at: &OwnEntry, rejected: bool) -> Option<Said> {
    let Some(entry) = history.entry(home, at) else {
        let (EntryStub::Accept(stub) | EntryStub::Reject(stub)) = history.entry_stub(home, at)?
        else {
            return None;
        };
        return Some(Said {
            sender: stub.sender,
            sender_home: stub.sender_home,
            amount: stub.amount,
            transfer_id: None,
            by: match (stub.signed, rejected) {
                (true, _) => AnswerFrom::Receiver,
                (false, false) => AnswerFrom::Order,
                (false, true) => AnswerFrom::Home,
            },
            reason: None,
        });
    };
    let answer = match (entry.kind, entry.cites.first()) {
        // It stands for an answer that was lost at a cut.
        (Kind::Adopt, Some(Cite::Entry(lost))) => Answer::read(lost.kind, &lost.body),
        (kind, _) => Answer::read(kind, &entry.body),
    };
    let answer = answer.ok()?;
    let (by, reason) = match answer.by {
        AnsweredBy::Receiver(_) => (AnswerFrom::Receiver, None),
        AnsweredBy::Order(..) => (AnswerFrom::Order, None),
        AnsweredBy::Home(_, reason) => (AnswerFrom::Home, Some(reason)),
    };
    Some(Said {
        sender: answer.sender,
        sender_home: answer.sender_home,
        amount: answer.amount,
        transfer_id: Some(answer.transfer_id),
        by,
        reason,
    })
}

impl ApiState {
    /// How many transfers of an account of this home are listed at once.
    ///
    /// # Errors
    /// Of an account that is not of this home, and of more than [`MAX_PAGE`].
    pub(super) fn listed(
        &self,
        account: &AccountId,
        limit: Option<usize>,
    ) -> Result<usize, Problem> {
        let row = rows(self.engine.history()).account(&self.engine.log(), account);
        row.ok_or(Refusal::UnknownAccount)?;
        let limit = limit.unwrap_or(MAX_PAGE);
        if (1..=MAX_PAGE).contains(&limit) {
            return Ok(limit);
        }
        let detail = format!("limit is 1 to {MAX_PAGE}");
        Err(Problem::from(Refusal::BadField).with_detail(detail))
    }
}
