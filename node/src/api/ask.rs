//! What is only read: the node, accounts, what waits for them, and how far a transfer has come.
//!
//! The node itself is public. An account and what waits for it are for that account, a transfer for its sender and
//! its receiver: logged in, or with the account's TLS client certificate.

use axum::Json;
use axum::extract::State;
use city_protocol::Refusal;
use city_protocol::body::{Order, OwnEntry, Transfer, read_person_body};
use city_protocol::crypto::{NotAfter, PublicKey};
use city_protocol::ids::{AccountId, Digest, LogId};
use city_protocol::ledger::{
    ACCEPT_DEADLINE_MS, Changes, Finality, History, IncomingRow, Layers, Rows, Table, TransferRow,
    key, witnesses_of,
};
use city_protocol::place::FRESH_MS;
use city_protocol::replica::{deadline_of, stored_receipt};

use super::extract::{Id, Page};
use super::who::Asker;
use super::wire::{
    AccountPage, CharterPage, ClockPage, Der, IncomingItem, IncomingPage, NodePage, OfficerPage,
    OfficersPage, OrderPage, SCHEMA, TransferPage,
};
use super::{ApiState, Problem};
use crate::engine::{StoreHistory, utc};
use crate::journal::{log_rows, people_state};
use crate::terminal::Terminal;

/// Most transfers on one page: each reads the vertex that it stands in, up to 1 MiB.
pub(super) const MAX_PAGE: usize = 50;

/// `GET /send/api/node`.
pub(super) async fn node(State(api): State<ApiState>) -> Json<NodePage> {
    let genesis = api.engine.genesis();
    let authority = api.engine.authority_in_force();
    let board = authority.board();
    let row = rows(api.engine.history()).log(&api.engine.log());
    let now = api.clock.now();
    Json(NodePage {
        schema: SCHEMA,
        network: genesis.network(),
        network_name: genesis.name.clone(),
        purpose: genesis.purpose,
        log: api.engine.log(),
        region: authority.region().clone(),
        suite: authority.node_key().algorithm().suite(),
        suites: genesis.suites.clone(),
        officers: OfficersPage {
            k: board.k(),
            n: board.keys().len() as u64,
            officers_sequence: row.map_or(0, |row| row.officers_sequence) + 1,
        },
        clock: ClockPage {
            time: now.time,
            quality: now.quality.as_str().into(),
        },
        place_required: api.antenna.policy().required,
        place_fresh_ms: FRESH_MS,
        accept_deadline_ms: ACCEPT_DEADLINE_MS,
        clearing: api.clearing.as_deref().map(Into::into),
        not_after: NotAfter::ids()
            .filter_map(|id| Some((id.into(), api.not_after.of(id)?)))
            .collect(),
        boundary_credit: api.credit.as_deref().map(Into::into),
        terminal: api.terminal.as_ref().map(Terminal::page),
    })
}

/// `GET /send/api/accounts/{id}`.
pub(super) async fn account(
    State(api): State<ApiState>,
    asker: Asker,
    Id(account): Id<AccountId>,
) -> Result<Json<AccountPage>, Problem> {
    asker.is(&account)?;
    let row = rows(api.engine.history()).account(&api.engine.log(), &account);
    let row = row.ok_or(Refusal::UnknownAccount)?;
    let home = api.engine.log();
    let order = match row.order {
        Some(at) => {
            api.reading(move |history| read_order(history, &home, at))
                .await?
        }
        None => None,
    };
    Ok(Json(AccountPage {
        schema: SCHEMA,
        account,
        key: row.key,
        revoked: row.revoked,
        available: row.available,
        open_out: row.open_out,
        next_sequence: row.next_sequence,
        order,
    }))
}

fn read_order(history: &StoreHistory, home: &LogId, at: OwnEntry) -> Option<OrderPage> {
    let entry = rows(history).entry(home, &at)?;
    let body: Order = read_person_body(&entry.body).ok()?;
    Some(OrderPage {
        at,
        senders: body.senders,
        max_amount: body.max_amount,
        until: body.until,
    })
}

/// `GET /send/api/accounts/{id}/incoming`.
pub(super) async fn incoming(
    State(api): State<ApiState>,
    asker: Asker,
    Id(account): Id<AccountId>,
    page: Page<Digest>,
) -> Result<Json<IncomingPage>, Problem> {
    asker.is(&account)?;
    let home = api.engine.log();
    let limit = api.listed(&account, page.limit)?;
    let page = api
        .reading(move |history| read_incoming(history, &home, &account, page.after, limit))
        .await?;
    Ok(Json(page))
}

fn read_incoming(
    history: &StoreHistory,
    home: &LogId,
    account: &AccountId,
    after: Option<Digest>,
    limit: usize,
) -> IncomingPage {
    let prefix = key(Table::Incoming, &[&home.0, account.as_str().as_bytes()]);
    let after = after.map(|id| [&prefix[..], &id.0].concat());
    let found = history.rows(&prefix, after.as_deref(), limit);
    let ids: Vec<Digest> = found
        .iter()
        .filter_map(|(name, _)| Some(Digest(name.get(prefix.len()..)?.try_into().ok()?)))
        .collect();
    let next = ids.last().copied().filter(|_| found.len() == limit);
    let transfers = ids
        .iter()
        .zip(&found)
        .filter_map(|(id, (name, _))| incoming_item(rows(history), *id, name))
        .collect();
    IncomingPage {
        schema: SCHEMA,
        account: *account,
        transfers,
        next,
    }
}

/// A row whose transfer went away in between is left out.
fn incoming_item(rows: &dyn History, transfer: Digest, name: &[u8]) -> Option<IncomingItem> {
    let waiting: IncomingRow = rows.typed(name)?;
    let row = rows.transfer(&waiting.log, &transfer)?;
    // What came too late to be answered is the sender's again, whether their home says so already or not.
    let deadline = deadline_of(rows, &waiting.log, &waiting.at)?;
    if deadline < utc() {
        return None;
    }
    let signed = rows.transfer_body(&waiting.log, &waiting.at, &transfer)?;
    let body: Transfer = read_person_body(&signed).ok()?;
    Some(IncomingItem {
        transfer,
        transfer_id: row.transfer_id,
        sender: row.sender,
        sender_home: waiting.log,
        amount: row.amount,
        received_at: waiting.received_at,
        deadline,
        transaction_hash: body.transaction_hash(),
        finality: Finality::of_transfer(rows, &waiting.log, &row)
            .code()
            .into(),
        witnesses: witnesses_of(rows, &waiting.log, (row.at.epoch, row.at.seq)),
    })
}

/// `GET /send/api/charter`.
pub(super) async fn charter(State(api): State<ApiState>) -> Json<CharterPage> {
    let authority = api.engine.authority_in_force();
    let row = rows(api.engine.history()).log(&api.engine.log());
    let officer = |key: &PublicKey| OfficerPage {
        alg: key.algorithm(),
        key: key.id(),
        public_key: key.as_bytes().to_vec(),
    };
    Json(CharterPage {
        schema: SCHEMA,
        network: api.engine.genesis().network(),
        log: authority.log,
        region: authority.region().clone(),
        number: authority.charter_number(),
        charter: authority.in_force(),
        k: authority.board().k(),
        officers: authority.officers().iter().map(officer).collect(),
        witnesses: authority.witnesses().to_vec(),
        officers_sequence: row.map_or(0, |row| row.officers_sequence) + 1,
    })
}

/// `GET /send/api/transfers/{identity}`.
pub(super) async fn transfer(
    State(api): State<ApiState>,
    asker: Asker,
    Id(transfer): Id<Digest>,
) -> Result<Json<TransferPage>, Problem> {
    let who = asker.needed()?;
    let home = api.engine.log();
    let authority = api.engine.newest_authority();
    let page = api
        .reading(move |history| {
            let (log, row) = find_transfer(history, &home, &transfer)?;
            // Others' transfers are as unknown as those that do not exist.
            if who != row.sender && who != row.receiver {
                return None;
            }
            let nothing = Changes::default();
            let layers = Layers {
                history,
                batch: &nothing,
                vertex: None,
            };
            let receipt_of = |at| {
                let entry = stored_receipt(&layers, &authority, transfer, at)?;
                Some(Der(entry.receipt.to_bytes()))
            };
            let receipt = (log == home).then(|| receipt_of(row.at)).flatten();
            // In the own log, if this is the receiver's home.
            let answer = rows(history).answer(&home, &transfer);
            let answer_receipt = answer.and_then(|answer| receipt_of(answer.at));
            let body = rows(history).transfer_body(&log, &row.at, &transfer);
            let page = transfer_page(history, transfer, log, row, receipt);
            Some(TransferPage {
                body: body.and_then(|body| String::from_utf8(body).ok()),
                answer_receipt,
                ..page
            })
        })
        .await?;
    Ok(Json(page.ok_or(Refusal::UnknownTransfer)?))
}

/// The transfer in its sender's log: the own log first, then those of the peers. Where several claim it, as somebody's stubs may that
/// were taken on trust, it is that of the log in which the sender's signed body stands.
pub(crate) fn find_transfer(
    history: &StoreHistory,
    home: &LogId,
    transfer: &Digest,
) -> Option<(LogId, TransferRow)> {
    let of = |log: LogId| Some((log, rows(history).transfer(&log, transfer)?));
    of(*home).or_else(|| {
        let logs = log_rows(history).into_iter();
        let mut claims: Vec<_> = logs.filter_map(|(log, _)| of(log)).collect();
        if claims.len() > 1 {
            let signed = |(log, row): &(LogId, TransferRow)| {
                let body = rows(history).transfer_body(log, &row.at, transfer);
                body.is_some()
            };
            claims.retain(signed);
        }
        claims.into_iter().next()
    })
}

/// How far a transfer has come.
pub(crate) fn transfer_page(
    history: &StoreHistory,
    transfer: Digest,
    sender_home: LogId,
    row: TransferRow,
    receipt: Option<Der>,
) -> TransferPage {
    let state = people_state(history, &sender_home, &transfer, &row, utc());
    let finality = Finality::of_transfer(history, &sender_home, &row);
    TransferPage {
        schema: SCHEMA,
        transfer,
        state: state.into(),
        finality: finality.code().into(),
        witnesses: witnesses_of(history, &sender_home, (row.at.epoch, row.at.seq)),
        transfer_id: row.transfer_id,
        sender: row.sender,
        sender_home,
        receiver: row.receiver,
        receiver_home: row.receiver_home,
        amount: row.amount,
        received_at: row.received_at,
        body: None,
        receipt,
        answer_receipt: None,
    }
}

/// The store with the typed questions.
pub(super) fn rows(history: &StoreHistory) -> &dyn History {
    history
}

impl ApiState {
    /// Reads blocks away from the threads that wait for sockets.
    pub(super) async fn reading<T: Send + 'static>(
        &self,
        job: impl FnOnce(&StoreHistory) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let history = self.engine.history().clone();
        tokio::task::spawn_blocking(move || job(&history))
            .await
            .map_err(|_| Problem::internal())
    }
}
