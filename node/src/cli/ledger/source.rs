//! Where the pages come from: the running node's admin socket, or the store of a stopped one.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use city_protocol::ids::{BlockId, Digest, LogId};
use clap::Args;
use tokio::runtime::Runtime;

use super::super::exit::Failure;
use super::super::launch;
use super::super::passphrase::PassphraseArgs;
use super::super::run::PlaceArgs;
use crate::client::{AdminClient, ClientError};
use crate::daemon;
use crate::engine::StoreHistory;
use crate::ledger::checkpoints::{CheckpointsPage, Provable};
use crate::ledger::equivocation::{EquivocationPage, EquivocationsPage};
use crate::ledger::export::Exported;
use crate::ledger::notes::{NotePage, NotesPage};
use crate::ledger::pages::{HeadsPage, LinesPage, LogName, VertexShown};
use crate::ledger::proof::Prover;
use crate::ledger::read::{MAX_PAGE, Reader};
use crate::setup::Identity;

/// Fewest characters by which a log is named.
const MIN_PREFIX: usize = 4;

/// Which node is looked at.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct SourceArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase of the node's keys, if it is stopped.
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// An opened source.
pub(in crate::cli) enum Source {
    Running(Box<(Runtime, AdminClient)>),
    Stopped(Box<Stopped>),
}

/// The store of a stopped node. It is closed when it was looked at: an index that was left open would be made again.
pub(in crate::cli) struct Stopped {
    history: Option<StoreHistory>,
    identity: Identity,
    names: BTreeMap<String, String>,
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let store = self
            .history
            .take()
            .map(|history| Arc::clone(history.store()));
        if let Some(store) = store.and_then(Arc::into_inner)
            && let Err(error) = store.close()
        {
            eprintln!(
                "city-node: the store could not be closed ({error}); the next start makes its index again"
            );
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    Vertex(BlockId),
    /// A position of a log; with an index, that entry alone.
    Position(LogId, u64, Option<u64>),
    Entry(Digest),
}

impl SourceArgs {
    /// Where the node's genesis record is.
    pub(super) fn genesis(&self) -> PathBuf {
        self.place.locate().data.genesis()
    }

    /// Opens it: the node if it runs, else its store.
    pub(in crate::cli) fn open(&self) -> Result<Source, Failure> {
        let socket = self.place.locate().data.admin_socket();
        let runtime = launch::runtime()?;
        match runtime.block_on(AdminClient::connect(&socket)) {
            Ok(admin) => return Ok(Source::Running(Box::new((runtime, admin)))),
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let (data, config, identity) = launch::read(&self.place, &self.passphrase)?;
        let (store, damage) = daemon::open_for_reading(&data, &identity)?;
        if let Some(damage) = damage {
            eprintln!(
                "city-node: segment {} is damaged at byte {}: something may be missing (city-node ledger verify)",
                damage.at.segment, damage.at.offset
            );
        }
        let Some(mark) = store.watermark() else {
            store.close()?;
            return Err(anyhow::anyhow!(
                "the index of this stopped node is not there; make it again: city-node store rebuild"
            )
            .into());
        };
        if store.blocks_from(mark.position).next().is_some() {
            eprintln!(
                "city-node: the index of this stopped node lacks the end of the log, which is not shown: run the node, or city-node store rebuild"
            );
        }
        let history = Some(StoreHistory::new(Arc::new(store)));
        Ok(Source::Stopped(Box::new(Stopped {
            history,
            identity,
            names: daemon::names(&data, &config),
        })))
    }
}

impl Source {
    /// A stopped node's history and identity.
    pub(super) fn stopped(&self) -> anyhow::Result<(&StoreHistory, &Identity)> {
        match self {
            Self::Stopped(stopped) => {
                let history = stopped.history.as_ref();
                Ok((
                    history.expect("there until it is dropped"),
                    &stopped.identity,
                ))
            }
            Self::Running(..) => bail!(
                "the node is running: stop it for this, or ask a copy of it (city-node store backup)"
            ),
        }
    }

    fn look<T>(
        &self,
        ask: impl AsyncFnOnce(&AdminClient) -> Result<T, ClientError>,
        read: impl FnOnce(&Reader<'_>) -> Option<T>,
    ) -> anyhow::Result<Option<T>> {
        match self {
            Self::Running(running) => match running.0.block_on(ask(&running.1)) {
                Ok(page) => Ok(Some(page)),
                Err(error) if error.status() == Some(404) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Stopped(stopped) => {
                let Stopped {
                    history,
                    identity,
                    names,
                } = &**stopped;
                let history = history.as_ref().context("it is open until it is dropped")?;
                let own = identity.authority.log;
                let trusted = history.store().notes().trusted_up_to()?;
                let reader = Reader::new(history, &identity.genesis, own, names);
                Ok(read(&reader.with_trusted(trusted)))
            }
        }
    }

    pub(super) fn heads(&self) -> anyhow::Result<HeadsPage> {
        let heads = self.look(
            async |admin| admin.ledger_heads().await,
            |reader| Some(reader.heads()),
        )?;
        heads.context("a node always has its heads")
    }

    pub(super) fn vertex(&self, wanted: Wanted) -> anyhow::Result<Option<VertexShown>> {
        match wanted {
            Wanted::Vertex(id) => self.look(
                async |admin| admin.ledger_vertex(&id).await,
                |reader| reader.vertex(&id),
            ),
            Wanted::Position(log, seq, index) => {
                let found = self.look(
                    async |admin| admin.ledger_position(&log, seq).await,
                    |reader| reader.at(&log, seq),
                )?;
                Ok(match index {
                    Some(index) => found.and_then(|vertex| entry_alone(vertex, index)),
                    None => found,
                })
            }
            Wanted::Entry(identity) => self.look(
                async |admin| Ok(admin.ledger_entry(&identity).await?.vertex),
                |reader| Some(reader.entry(&identity)?.vertex),
            ),
        }
    }

    /// What counts under a key of the board.
    pub(in crate::cli) fn note(&self, key: &str) -> anyhow::Result<Option<NotePage>> {
        self.look(
            async |admin| admin.note(key).await,
            |reader| reader.note(key),
        )
    }

    /// What counts under the keys with this prefix behind another.
    pub(in crate::cli) fn notes(&self, prefix: &str, after: &str) -> anyhow::Result<NotesPage> {
        let page = self.look(
            async |admin| admin.notes(prefix, after).await,
            |reader| Some(reader.notes(prefix, after)),
        )?;
        page.context("a node always has its board")
    }

    pub(super) fn lines(&self, log: LogId, after: u64) -> anyhow::Result<Option<LinesPage>> {
        self.look(
            async |admin| admin.ledger_lines(&log, after).await,
            |reader| reader.lines(&log, after, MAX_PAGE),
        )
    }

    pub(super) fn last(&self, count: usize) -> anyhow::Result<LinesPage> {
        let page = self.look(
            async |admin| admin.ledger_last(count).await,
            |reader| Some(reader.last(count)),
        )?;
        page.context("a node always has its last vertices")
    }

    pub(super) fn equivocations(&self) -> anyhow::Result<EquivocationsPage> {
        let page = self.look(
            async |admin| admin.equivocations().await,
            |reader| Some(reader.equivocations()),
        )?;
        page.context("a node always has its list")
    }

    pub(super) fn equivocation(
        &self,
        log: LogId,
        epoch: u64,
    ) -> anyhow::Result<Option<EquivocationPage>> {
        self.look(
            async |admin| admin.equivocation(&log, epoch).await,
            |reader| reader.equivocation_of(&log, epoch),
        )
    }

    /// A proof of what stands in the store; without an archive also of a running node.
    pub(super) fn proof(&self, what: &Provable, checkpoint: bool) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Running(running) => {
                let page = running.0.block_on(running.1.proof(what, checkpoint))?;
                Ok(page.proof)
            }
            Self::Stopped(_) => {
                let (history, identity) = self.stopped()?;
                let prover = Prover::new(history, &identity.genesis);
                Ok(prover.prove(what, checkpoint)?.to_bytes())
            }
        }
    }

    pub(super) fn false_refund(&self, identity: &Digest) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Running(running) => {
                let page = running.0.block_on(running.1.false_refund(identity))?;
                Ok(page.proof)
            }
            Self::Stopped(_) => {
                let (history, node) = self.stopped()?;
                let prover = Prover::new(history, &node.genesis);
                Ok(prover.false_refund(identity)?.to_bytes())
            }
        }
    }

    /// The newest checkpoints of a log.
    pub(super) fn checkpoints(&self, log: &LogId) -> anyhow::Result<CheckpointsPage> {
        match self {
            Self::Running(running) => Ok(running.0.block_on(running.1.checkpoints(log))?),
            Self::Stopped(_) => {
                let (history, identity) = self.stopped()?;
                Ok(Prover::new(history, &identity.genesis).checkpoints(log))
            }
        }
    }

    /// Gives the blocks of a log's newest checkpoint, its receipt first.
    pub(super) fn checkpoint_blocks(
        &self,
        log: &LogId,
        put: &mut dyn FnMut(&BlockId, &[u8]) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        if let Self::Running(running) = self {
            return Ok(running.0.block_on(running.1.export_checkpoint(log, put))?);
        }
        let (history, identity) = self.stopped()?;
        let exported = Exported::newest(&Prover::new(history, &identity.genesis), log)?;
        Ok(exported.blocks(history, put)?)
    }

    /// The log of a name: an id or its beginning, a region or its code; nothing means this home's.
    pub(super) fn log(&self, name: Option<&str>) -> anyhow::Result<LogId> {
        let heads = self.heads()?.heads;
        let found = heads.iter().filter(|head| match name {
            Some(name) => means(&head.of, name),
            None => head.own,
        });
        let found: Vec<LogId> = found.map(|head| head.of.log).collect();
        match (found.as_slice(), name) {
            ([log], _) => Ok(*log),
            ([], Some(name)) => {
                bail!("{name:?} names no log that is known here; city-node ledger heads lists them")
            }
            ([], None) => bail!("this home has not written anything yet"),
            (_, name) => bail!(
                "{:?} names more than one log: give more of its id",
                name.unwrap_or_default()
            ),
        }
    }

    /// What a word on the command line means.
    pub(super) fn wanted(&self, word: &str) -> anyhow::Result<Wanted> {
        if let Ok(identity) = word.parse::<Digest>() {
            return Ok(Wanted::Entry(identity));
        }
        if let Ok(id) = word.parse::<BlockId>() {
            return Ok(Wanted::Vertex(id));
        }
        let parts: Vec<&str> = word.split(':').collect();
        let number = |text: &str| {
            text.parse::<u64>().with_context(|| {
                format!("{text:?} in {word:?} is no number: a position is LOG:SEQ, an entry LOG:SEQ:INDEX")
            })
        };
        match parts.as_slice() {
            [log, seq] => Ok(Wanted::Position(self.log(Some(log))?, number(seq)?, None)),
            [log, seq, index] => {
                let (seq, index) = (number(seq)?, number(index)?);
                Ok(Wanted::Position(self.log(Some(log))?, seq, Some(index)))
            }
            _ => bail!(
                "{word:?} is no vertex (bafyrei…), no position (LOG:SEQ), no entry (LOG:SEQ:INDEX, sha256:…)"
            ),
        }
    }
}

/// Whether a log goes by this name: its id or the beginning of it, its region or the region's code or name.
pub(super) fn means(of: &LogName, name: &str) -> bool {
    let region = of.region.as_deref();
    let code = region.and_then(|region| region.rsplit('/').next());
    let begins = name.len() >= MIN_PREFIX && of.log.to_string().starts_with(name);
    begins || region == Some(name) || code == Some(name) || of.name.as_deref() == Some(name)
}

/// The vertex with one of its entries alone.
fn entry_alone(mut vertex: VertexShown, index: u64) -> Option<VertexShown> {
    let entries = vertex.entries.as_mut()?;
    entries.retain(|entry| entry.index == index);
    (!entries.is_empty()).then_some(vertex)
}
