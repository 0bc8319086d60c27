//! The audit of one node: every sum, the journal both ways, and every account against its postings.

use std::collections::BTreeMap;

use city_protocol::ids::{AccountId, LogId};
use city_protocol::ledger::{AccountRow, History, LogRow, Rows as _, Table, Totals, key};

use super::{Journal, RebuiltError, available, balances, log_rows, rebuilt, shown};
use crate::store::Store;

/// Accounts read at once.
const PAGE: usize = 1024;

/// How often heads and accounts are read until no commit came between. A node that commits faster than its
/// accounts can be listed is audited when it is quieter, or offline.
const SNAPSHOT_TRIES: u32 = 50;

/// What an audit found.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// Whether Σ available + in transit = Σ grants − Σ taken back + Σ shortfall holds over all logs, and each log's own sums.
    pub conserved: bool,
    /// Whether the journal rebuilt from the segments is the one shown, line by line, and every account's
    /// balance is what its postings give.
    pub journal_matches: bool,
    /// Postings compared.
    pub postings: u64,
    /// What is available to each account of each log, in hundredths.
    pub available: BTreeMap<AccountId, u64>,
    /// Granted over all logs, in hundredths.
    pub granted: u64,
    /// Taken back by officers.
    pub ungranted: u64,
    /// What senders of adopted transfers did not have.
    pub shortfall: u64,
    /// Sum of what is available.
    pub available_sum: u64,
    /// Sent and not yet accepted, as far as the logs here say.
    pub in_transit: i128,
}

/// Audits what is durable. Both journals are held in memory: about 1 kB for each transfer that was settled,
/// so that a ledger of a million needs a machine with some gigabytes.
///
/// # Errors
/// [`RebuiltError`].
pub fn audit(store: &Store, history: &dyn History) -> Result<Audit, RebuiltError> {
    let (heads, accounts) = snapshot(history);
    let shown = shown(history, &heads)?;
    let rebuilt = rebuilt(store, &heads)?;
    let mut audit = Audit {
        conserved: heads.iter().all(|(_, row)| row.totals.conserved()),
        journal_matches: shown == rebuilt,
        postings: shown.values().map(|lines| lines.len() as u64).sum(),
        ..Audit::default()
    };
    for (log, row) in &heads {
        let accounts = accounts.get(log).map_or(&[][..], Vec::as_slice);
        audit_log(*log, row, &shown, accounts, &mut audit);
    }
    let sum =
        |of: fn(&Totals) -> i128| -> i128 { heads.iter().map(|(_, row)| of(&row.totals)).sum() };
    let granted = sum(|t| t.granted.into());
    let ungranted = sum(|t| t.ungranted.into());
    let shortfall = sum(|t| t.shortfall.into());
    let available = sum(|t| t.available.into());
    audit.in_transit =
        sum(|t| i128::from(t.open_out) + i128::from(t.settled_out) - i128::from(t.accepted_in));
    audit.conserved &= available + audit.in_transit == granted - ungranted + shortfall;
    // Of a log that was ever cut, or goes on by headers, what it sent may not be known here while what others took of it is.
    let whole = |(log, row): &(LogId, LogRow)| {
        let cut = (1..=row.epoch).any(|epoch| history.fault(log, epoch).is_some());
        row.frozen.is_none() && !cut && history.headers(log).is_none()
    };
    audit.conserved &= audit.in_transit >= 0 || !heads.iter().all(whole);
    let told = |sum: i128| u64::try_from(sum).unwrap_or(u64::MAX);
    audit.granted = told(granted);
    audit.ungranted = told(ungranted);
    audit.shortfall = told(shortfall);
    audit.available_sum = told(available);
    Ok(audit)
}

/// Compares a log's accounts with its postings and its sum.
fn audit_log(
    log: LogId,
    row: &LogRow,
    shown: &Journal,
    accounts: &[(AccountId, AccountRow)],
    audit: &mut Audit,
) {
    let lines = shown.get(&log).map_or(&[][..], Vec::as_slice);
    let balances = balances(lines);
    let debits_and_credits: i128 = balances.values().sum();
    audit.journal_matches &= debits_and_credits == 0;
    let mut sum = 0_i128;
    for (account, row) in accounts {
        let available_row = i128::from(row.available.hundredths());
        audit.journal_matches &= available(&balances, account) == available_row;
        audit.available.insert(*account, row.available.hundredths());
        sum += available_row;
    }
    audit.conserved &= sum == i128::from(row.totals.available);
}

type Heads = Vec<(LogId, LogRow)>;
type Accounts = BTreeMap<LogId, Vec<(AccountId, AccountRow)>>;

/// Heads and accounts of one moment, while the node goes on: what was read is of one moment if no head moved
/// meanwhile, because a commit moves a head and its accounts at once.
fn snapshot(history: &dyn History) -> (Heads, Accounts) {
    let mut heads = log_rows(history);
    let mut tries = 0;
    loop {
        let all = heads
            .iter()
            .map(|(log, _)| (*log, accounts(*log, history)))
            .collect();
        let after = log_rows(history);
        tries += 1;
        if after == heads || tries == SNAPSHOT_TRIES {
            return (heads, all);
        }
        heads = after;
    }
}

/// All accounts of a log.
fn accounts(log: LogId, history: &dyn History) -> Vec<(AccountId, AccountRow)> {
    let prefix = key(Table::Account, &[&log.0]);
    let mut all = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = history.rows(&prefix, after.as_deref(), PAGE);
        let done = page.len() < PAGE;
        after = page.last().map(|(name, _)| name.clone());
        all.extend(page.into_iter().filter_map(|(name, _)| {
            let account: AccountId = std::str::from_utf8(&name[prefix.len()..])
                .ok()?
                .parse()
                .ok()?;
            Some((account, history.account(&log, &account)?))
        }));
        if done {
            return all;
        }
    }
}
