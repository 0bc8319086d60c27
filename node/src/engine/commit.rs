//! The commit thread: owns the replica, collects what waits into one vertex, writes with one fsync, indexes,
//! and only then answers, announces and sends. Durable before visible is written here, once.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use city_protocol::Refusal;
use city_protocol::body::Note;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, Digest};
use city_protocol::ledger::Changes;
use city_protocol::place::PlaceProof;
use city_protocol::replica::{
    Action, Announced, BookedEntry, Input, Outcome, PlaceRequest, Replica, ReplicaStatus, Ticket,
};
use city_protocol::stage::{SignedBySeveral, Submission};
use city_protocol::sync::{Channel, Message};
use city_protocol::trust::PeerId;
use city_protocol::vertex::Authority;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::clock::Watch;
use super::guard::Guard;
use super::history::{location_key, location_value};
use super::{Counter, Directory, EngineHandle, Hold, Pool, Pulse, StoreHistory, SystemClock};
use crate::store::{AppendError, IndexError, Store, Watermark};

/// Requests that wait for the commit thread: four full vertices of entries.
const REQUESTS: usize = 1024;
/// How long the thread waits for company while the pool verifies.
const LINGER: Duration = Duration::from_millis(10);
/// How often it looks meanwhile: to be woken for each request would cost more than handling it.
const LOOK: Duration = Duration::from_micros(500);
/// Bytes after which it writes without waiting: half of what the store takes in one group.
const FULL_BATCH: usize = 8 << 20;
/// Entries after which it writes: one full vertex.
const FULL_GROUP: usize = 256;
/// How often the replica is told that time passes.
const TICK: Duration = Duration::from_secs(1);

type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// What the commit thread is asked.
pub(super) enum Request {
    /// Submit something; boxed because a transfer is large.
    Submit(Box<Submission>, Reply<BookedEntry>),
    /// Begin a new epoch of the own log.
    BeginEpoch(Box<SignedBySeveral>, Reply<BookedEntry>),
    Checkpoint(Reply<BookedEntry>),
    /// Write on the board.
    Note(Box<Note>, Reply<BookedEntry>),
    /// Make a proof of place.
    Place(Box<PlaceRequest>, Reply<PlaceProof>),
    /// Hold a terminal's proof of place.
    HoldPlace(Box<PlaceProof>, Reply<PlaceProof>),
    /// A proof of place that is held.
    HeldPlace(Digest, Reply<Option<PlaceProof>>),
    /// Something from the network, or a tick.
    Input(Box<Input>),
    /// How things are.
    Status(Reply<ReplicaStatus>),
    /// What the connected peers announced.
    Announced(Reply<Vec<Announced>>),
    /// Another peer id followed this one: what was heard from it of the own log is said again under the new one.
    Ended(PeerId),
}

/// What the engine wants sent or closed.
#[derive(Debug)]
pub enum Outgoing {
    /// Send a message.
    Send(PeerId, Channel, Message),
    /// Close a connection.
    Disconnect(PeerId, Refusal),
}

/// What the engine is made of.
pub struct EngineConfig {
    /// Genesis record.
    pub genesis: Arc<Genesis>,
    /// Own log's authority.
    pub authority: Arc<Authority>,
    /// The replica, not started yet.
    pub replica: Replica,
    /// The store, its index up to date.
    pub store: Arc<Store>,
    /// The clock.
    pub clock: SystemClock,
    /// How many peers the whitelist has.
    pub peers: usize,
    /// Where outgoing messages go. Without a bound, so that this thread never waits for the network, which
    /// waits for it; the bridge empties it at once into outboxes that have one.
    pub outgoing: mpsc::UnboundedSender<Outgoing>,
}

/// Why the engine stopped by itself. The process exits, systemd restarts it, and opening recovers.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log cannot be written any more.
    #[error("the ledger cannot be written any more; the node stops and recovers at its next start")]
    Append(#[source] AppendError),
    /// The index failed.
    #[error("the index failed; the node stops and makes it again at its next start")]
    Index(#[from] IndexError),
    /// A stored block cannot be read. Ending is the simplest that is right: the note is durable, and the next
    /// start makes the index again from what can be read, asks peers for the rest, and signs nothing before
    /// the own log is whole.
    #[error(
        "a stored block cannot be read; the node stops, and fetches it from peers at its next start"
    )]
    Damaged,
    /// The own log was begun, but that could not be noted.
    #[error(
        "NEVER_BEGUN could not be removed; look at the data directory's rights and at the disk"
    )]
    Begun(#[source] std::io::Error),
    /// A thread could not be started.
    #[error("the engine's threads could not be started")]
    Thread(#[source] std::io::Error),
    /// The thread panicked (where a panic does not end the process).
    #[error("the commit thread ended by a bug; its report stands above; the node stops")]
    Died,
}

/// The running engine.
pub struct Engine {
    handle: EngineHandle,
    pulse: Pulse,
    /// How the commit thread ends; none once that was told.
    thread: Option<oneshot::Receiver<Result<(), EngineError>>>,
}

impl Engine {
    /// Starts the commit thread.
    ///
    /// # Errors
    /// [`EngineError::Thread`].
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        Self::start_counting(config, None)
    }

    /// The same with a counter outside of the data directory, which is moved as the own log grows.
    ///
    /// # Errors
    /// [`EngineError::Thread`].
    pub fn start_counting(
        config: EngineConfig,
        counter: Option<Box<dyn Counter>>,
    ) -> Result<Self, EngineError> {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let history = StoreHistory::new(Arc::clone(&config.store));
        let directory = Arc::new(Directory::default());
        let pool = Pool::new().map_err(EngineError::Thread)?;
        let handle = EngineHandle {
            requests: requests.clone(),
            history: history.clone(),
            directory: Arc::clone(&directory),
            pool: pool.clone(),
            genesis: config.genesis,
            authority: Arc::clone(&config.authority),
        };
        let guard = Guard::new(&config.store, config.authority.log, config.peers, counter);
        let pulse = Pulse::default();
        Handle::current().spawn(ticks(requests.downgrade()));
        let mut thread = CommitThread {
            replica: config.replica,
            store: config.store,
            history: history.beating(pulse.clone()),
            directory,
            pool,
            clock: Watch::new(config.clock),
            outgoing: config.outgoing,
            waiting: HashMap::new(),
            next_ticket: 0,
            handled: 0,
            ticked: false,
            guard,
            pulse: pulse.clone(),
        };
        let (ended, end) = oneshot::channel();
        thread::Builder::new()
            .name("commit".into())
            .spawn(move || {
                let end = thread.run(inbox);
                // Whoever waits for the end may close the store: nothing here holds it any more.
                drop(thread);
                // The receiver may be gone when the daemon is stopping; then nobody asks.
                let _unheard = ended.send(end);
            })
            .map_err(EngineError::Thread)?;
        Ok(Self {
            handle,
            pulse,
            thread: Some(end),
        })
    }

    /// The handle.
    #[must_use]
    pub const fn handle(&self) -> &EngineHandle {
        &self.handle
    }

    /// How often the commit thread went round. Holding it keeps nothing alive.
    #[must_use]
    pub const fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Waits until the engine stops: after the last handle is gone, or by a fault. When it has ended, neither
    /// the thread nor any handle holds the store.
    ///
    /// # Errors
    /// The fault, unless [`Self::fault`] told it.
    pub async fn stopped(self) -> Result<(), EngineError> {
        let Self { handle, thread, .. } = self;
        drop(handle);
        match thread {
            Some(thread) => thread.await.unwrap_or(Err(EngineError::Died)),
            None => Ok(()),
        }
    }

    /// Waits for a fault without giving up the handle; pends for ever while all is well.
    pub async fn fault(&mut self) -> EngineError {
        let Some(thread) = &mut self.thread else {
            return std::future::pending().await;
        };
        let ended = thread.await;
        self.thread = None;
        match ended {
            Ok(Err(error)) => error,
            // It ends by itself only when every handle is gone, and here is one.
            Ok(Ok(())) | Err(_) => EngineError::Died,
        }
    }
}

/// Tells the thread that time passes, as long as somebody else still speaks to it.
async fn ticks(requests: mpsc::WeakSender<Request>) {
    let mut ticker = tokio::time::interval(TICK);
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticker.tick().await;
        let Some(requests) = requests.upgrade() else {
            return;
        };
        if requests
            .send(Request::Input(Box::new(Input::Tick)))
            .await
            .is_err()
        {
            return;
        }
    }
}

enum Waiting {
    Booked(Reply<BookedEntry>),
    Place(Reply<PlaceProof>),
}

struct CommitThread {
    replica: Replica,
    store: Arc<Store>,
    history: StoreHistory,
    directory: Arc<Directory>,
    pool: Pool,
    clock: Watch,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    waiting: HashMap<Ticket, Waiting>,
    next_ticket: Ticket,
    handled: usize,
    /// Whether time passed in this round.
    ticked: bool,
    guard: Guard,
    pulse: Pulse,
}

impl CommitThread {
    fn run(&mut self, mut inbox: mpsc::Receiver<Request>) -> Result<(), EngineError> {
        self.tell(Input::Started);
        self.commit()?;
        // Also when nothing was written: peers' vertices are verified with what earlier runs stored.
        self.learn();
        while let Some(request) = inbox.blocking_recv() {
            self.check_readable()?;
            self.store.check_index()?;
            self.handled = 0;
            self.take(request);
            self.collect(&mut inbox);
            self.commit()?;
            // Not behind a commit, for others wait for what follows from that: with the time.
            if std::mem::take(&mut self.ticked) {
                self.guard.mark(&self.history);
            }
            self.guard.settle(&self.history);
            self.pulse.beat();
        }
        self.guard.mark(&self.history);
        Ok(())
    }

    /// Takes what waits; lingers for more while something is being verified.
    fn collect(&mut self, inbox: &mut mpsc::Receiver<Request>) {
        let begun = Instant::now();
        while self.handled < FULL_GROUP && self.replica.pending_bytes() < FULL_BATCH {
            if let Ok(request) = inbox.try_recv() {
                self.take(request);
                continue;
            }
            if begun.elapsed() >= LINGER || !self.replica.has_work() || !self.pool.is_busy() {
                return;
            }
            thread::sleep(LOOK);
        }
    }

    fn take(&mut self, request: Request) {
        self.handled += 1;
        self.pulse.beat();
        match request {
            Request::Input(input) => {
                self.ticked |= matches!(*input, Input::Tick);
                self.tell(*input);
            }
            Request::Submit(submission, reply) => {
                let ticket = self.ticket(Waiting::Booked(reply));
                self.tell(Input::Submit(ticket, *submission));
            }
            Request::BeginEpoch(signed, reply) => {
                let ticket = self.ticket(Waiting::Booked(reply));
                self.tell(Input::BeginEpoch(ticket, *signed));
            }
            Request::Checkpoint(reply) => {
                let ticket = self.ticket(Waiting::Booked(reply));
                self.tell(Input::Checkpoint(ticket));
            }
            Request::Note(note, reply) => {
                let ticket = self.ticket(Waiting::Booked(reply));
                self.tell(Input::Note(ticket, note));
            }
            Request::Place(request, reply) => {
                let ticket = self.ticket(Waiting::Place(reply));
                self.tell(Input::Place(ticket, *request));
            }
            Request::HoldPlace(proof, reply) => {
                let ticket = self.ticket(Waiting::Place(reply));
                self.tell(Input::HoldPlace(ticket, proof));
            }
            Request::HeldPlace(digest, reply) => {
                let _gone = reply.send(Ok(self.replica.held_place(&digest)));
            }
            Request::Status(reply) => {
                // Nobody may be waiting any more.
                let _gone = reply.send(Ok(self.replica.status(&self.history)));
            }
            Request::Announced(reply) => {
                let _gone = reply.send(Ok(self.replica.announced()));
            }
            Request::Ended(peer) => self.guard.forget(&peer),
        }
    }

    fn ticket(&mut self, waiting: Waiting) -> Ticket {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, waiting);
        self.next_ticket
    }

    fn tell(&mut self, input: Input) {
        // Whoever only reads, and whose hello was not judged yet, proves nothing by its word.
        if let Input::Message(from, _, message) = &input
            && self.replica.hears(from)
        {
            self.guard.hear(*from, message, &self.history);
        }
        let actions = self.replica.handle(input, self.clock.now(), &self.history);
        for action in actions {
            self.apply(action);
        }
    }

    /// Writes until nothing waits: entering a settlement may follow from what was just written.
    fn commit(&mut self) -> Result<(), EngineError> {
        while self.replica.has_work() {
            let actions = self
                .replica
                .handle(Input::Seal, self.clock.now(), &self.history);
            let mut changes = None;
            for action in actions {
                match action {
                    Action::Append(batch) => changes = Some(batch),
                    other => self.apply(other),
                }
            }
            let Some(changes) = changes else {
                return Ok(());
            };
            match self.write(changes)? {
                Ok(()) => {
                    self.learn();
                    self.tell(Input::Committed);
                }
                Err(refusal) => {
                    self.tell(Input::Aborted(refusal));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Appends, fsyncs and indexes. The inner error is a refusal after which the node goes on.
    fn write(&mut self, changes: Changes) -> Result<Result<(), Refusal>, EngineError> {
        // Before the append: what the replica made of a block it could not read must not be signed.
        self.check_readable()?;
        if !self.store.takes_rows() {
            tracing::warn!("disk full: its rows wait, and nothing is stored until there is room");
            return Ok(Err(Refusal::StorageFull));
        }
        let blocks: Vec<(BlockId, &[u8])> = changes
            .blocks
            .iter()
            .map(|(id, bytes)| (*id, bytes.as_slice()))
            .collect();
        let locations = match self.store.append_group(&blocks) {
            Ok(locations) => locations,
            Err(AppendError::Full { needed }) => {
                tracing::warn!(needed, "disk full: nothing is stored until there is room");
                return Ok(Err(Refusal::StorageFull));
            }
            Err(AppendError::Io(error)) => {
                tracing::error!(%error, "the ledger could not be written");
                return Ok(Err(Refusal::StorageFull));
            }
            Err(error) => return Err(EngineError::Append(error)),
        };
        self.guard.begun(&blocks, &self.store)?;
        let before = self.store.watermark();
        let count = before.as_ref().map_or(0, |mark| mark.count) + blocks.len() as u64;
        let watermark = match (blocks.last(), locations.last(), before) {
            (Some((id, _)), Some(at), _) => Watermark::after(at, *id, count),
            (_, _, Some(before)) => before,
            // Rows alone before the first block: nothing of the ledger does that.
            _ => return Ok(Ok(())),
        };
        let mut rows: Vec<(Vec<u8>, Option<Vec<u8>>)> = blocks
            .iter()
            .zip(&locations)
            .map(|((id, _), at)| (location_key(id), Some(location_value(at))))
            .collect();
        rows.extend(changes.rows);
        self.store.commit_rows(rows, &watermark)?;
        Ok(Ok(()))
    }

    fn check_readable(&self) -> Result<(), EngineError> {
        if self.store.ledger().is_damaged() {
            return Err(EngineError::Damaged);
        }
        Ok(())
    }

    fn learn(&self) {
        self.directory
            .learn_authorities(self.replica.authorities().iter());
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Reply(ticket, answer) => self.reply(ticket, answer),
            Action::Send(peer, channel, message) => {
                // The bridge is gone only when the daemon is stopping.
                let _stopping = self.outgoing.send(Outgoing::Send(peer, channel, message));
            }
            Action::Disconnect(peer, refusal) => {
                let _stopping = self.outgoing.send(Outgoing::Disconnect(peer, refusal));
            }
            Action::Frozen(log, frozen, refusal) => {
                let why = refusal.map_or(frozen.as_str(), Refusal::code);
                tracing::error!(%log, why, cut = frozen.cut(), "a log does not count any more");
            }
            Action::RolledBack { here, shown } => {
                tracing::error!(
                    ?here,
                    ?shown,
                    remedy = Hold::RolledBack.remedy(),
                    "an old copy of the data directory was put back: a peer has a later vertex of the own log; this node signs nothing"
                );
                self.guard.rolled_back(&self.store);
            }
            Action::Append(_) => unreachable!("only Seal gives out an append"),
        }
    }

    fn reply(&mut self, ticket: Ticket, answer: Result<Outcome, Refusal>) {
        // A submitter that went away does not wait for its answer.
        match (self.waiting.remove(&ticket), answer) {
            (Some(Waiting::Booked(reply)), Ok(Outcome::Booked(booked))) => {
                drop(reply.send(Ok(*booked)));
            }
            (Some(Waiting::Place(reply)), Ok(Outcome::Place(proof))) => {
                drop(reply.send(Ok(*proof)));
            }
            (Some(Waiting::Booked(reply)), Err(refusal)) => drop(reply.send(Err(refusal))),
            (Some(Waiting::Place(reply)), Err(refusal)) => drop(reply.send(Err(refusal))),
            (_, _) => {}
        }
    }
}
