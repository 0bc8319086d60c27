//! Where the journal is read: at a running node, or in the data directory of one that is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::ids::AccountId;
use tokio::runtime::Runtime;

use super::super::exit::{Exit, Failure};
use super::super::{launch, output};
use super::NodeArgs;
use crate::client::{AdminClient, ClientError};
use crate::daemon;
use crate::engine::{StoreHistory, utc};
use crate::journal::pages::{BooksPage, JournalLog, Line, Movement};
use crate::journal::{self, Ask, Names};

/// Where the journal is read.
pub(in super::super) enum Source {
    /// A node that runs.
    Running(Box<(Runtime, AdminClient)>),
    /// A data directory, whose index is up to date.
    Stopped(Box<(StoreHistory, Names)>),
}

/// Sums by account and code, debits less credits, in hundredths.
pub(super) type Sums = BTreeMap<(AccountId, u16), i128>;

impl Source {
    /// Asks the node that runs, else opens its data directory; an index that is behind is brought up to date first.
    pub(in super::super) fn open(node: &NodeArgs) -> Result<Self, Failure> {
        let socket = node.place.locate().data.admin_socket();
        let runtime = launch::runtime()?;
        match runtime.block_on(AdminClient::connect(&socket)) {
            Ok(client) => return Ok(Self::Running(Box::new((runtime, client)))),
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let (data, config, identity) = launch::read(&node.place, &node.passphrase)?;
        let bar = output::spinner("the index is brought up to date");
        let store = daemon::open_indexed(&data, &config, &identity, &mut |_| ())?;
        bar.finish_and_clear();
        let history = StoreHistory::new(Arc::new(store));
        let names = daemon::place_names(&data, &config);
        Ok(Self::Stopped(Box::new((history, names))))
    }

    /// The logs that are meant: all, or the one with this id, region or municipality code.
    pub(in super::super) fn logs(&self, which: Option<&str>) -> Result<Vec<JournalLog>, Failure> {
        let mut logs = match self {
            Self::Running(node) => node.0.block_on(node.1.journal_logs())?,
            Self::Stopped(stopped) => journal::logs(&stopped.0, &stopped.1),
        }
        .logs;
        if let Some(which) = which {
            let code = |log: &JournalLog| log.region.rsplit('/').next() == Some(which);
            let meant =
                |log: &JournalLog| log.log.to_string() == which || log.region == which || code(log);
            let known: Vec<_> = logs.iter().map(|log| log.region.clone()).collect();
            logs.retain(meant);
            if logs.is_empty() {
                let known = known.join(", ");
                let why = anyhow::anyhow!("--log {which}: there is none such; there are {known}");
                return Err(Failure::new(Exit::Usage, why));
            }
        }
        for log in &logs {
            if let Some(to) = log.headers_to {
                eprintln!(
                    "{}: the books end at position {} of {to}, for only headers are followed from there ([follow] in the configuration)",
                    log.region, log.seq
                );
            }
        }
        // By region, as people look for them.
        logs.sort_by(|a, b| (&a.region, a.log).cmp(&(&b.region, b.log)));
        Ok(logs)
    }

    /// Gives all postings that are asked for.
    pub(super) fn lines(
        &self,
        mut ask: Ask,
        mut take: impl FnMut(Line) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        loop {
            let page = match self {
                Self::Running(node) => node.0.block_on(node.1.journal_lines(&ask))?,
                Self::Stopped(stopped) => journal::lines(&stopped.0, &ask).map_err(unread)?,
            };
            page.lines.into_iter().try_for_each(&mut take)?;
            match page.next {
                Some(next) => ask.after = next,
                None => return Ok(()),
            }
        }
    }

    /// Adds up what is asked for.
    pub(super) fn sums(&self, mut ask: Ask, sums: &mut Sums) -> anyhow::Result<()> {
        loop {
            let page = match self {
                Self::Running(node) => node.0.block_on(node.1.journal_sums(&ask))?,
                Self::Stopped(stopped) => journal::sums(&stopped.0, &ask).map_err(unread)?,
            };
            for sum in page.sums {
                *sums.entry((sum.account, sum.code)).or_default() += i128::from(sum.hundredths);
            }
            match page.next {
                Some(next) => ask.after = next,
                None => return Ok(()),
            }
        }
    }

    /// An account and its home.
    pub(in super::super) fn account(&self, account: &AccountId) -> Result<BooksPage, Failure> {
        Ok(match self {
            Self::Running(node) => node.0.block_on(node.1.journal_account(account))?,
            Self::Stopped(stopped) => {
                let found = journal::books(&stopped.0, &stopped.1, account);
                found.with_context(|| format!("{account}: no log here has this account"))?
            }
        })
    }

    /// Gives all movements of an account since a moment.
    pub(in super::super) fn movements(
        &self,
        books: &BooksPage,
        from: Option<Timestamp>,
        mut take: impl FnMut(Movement) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut ask = Ask {
            account: Some(books.account),
            from,
            ..Ask::all(books.home.log, books.home.epoch, books.home.seq)
        };
        loop {
            let page = match self {
                Self::Running(node) => node.0.block_on(node.1.journal_movements(&ask))?,
                Self::Stopped(stopped) => {
                    journal::movements(&stopped.0, &stopped.1, &ask, utc()).map_err(unread)?
                }
            };
            page.movements.into_iter().try_for_each(&mut take)?;
            match page.next {
                Some(next) => ask.after = next,
                None => return Ok(()),
            }
        }
    }

    /// Closes a data directory as a node does: the next start believes its index.
    pub(in super::super) fn close(self) -> anyhow::Result<()> {
        if let Self::Stopped(stopped) = self {
            let store = Arc::clone(stopped.0.store());
            drop(stopped);
            Arc::into_inner(store)
                .context("the store is still in use")?
                .close()?;
        }
        Ok(())
    }
}

fn unread(refusal: Refusal) -> anyhow::Error {
    anyhow::anyhow!(
        "the ledger cannot be read here: {refusal} ({}); run city-node store verify",
        refusal.code()
    )
}
