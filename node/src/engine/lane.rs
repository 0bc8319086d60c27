//! The lane of one connection: decodes its frames, has vertices verified on every core, and hands everything
//! to the engine in the order in which it came, from Connected to Disconnected. What it is sent stands in `outbox`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use city_protocol::Refusal;
use city_protocol::crypto::PublicKey;
use city_protocol::ids::{BlockId, KeyId, LogId};
use city_protocol::ledger::{History, Rows as _};
use city_protocol::region::Region;
use city_protocol::replica::Input;
use city_protocol::sync::{Channel, Hello, Message};
use city_protocol::trust::{PeerId, SignedData};
use city_protocol::vertex::{Authority, KeySource, SignedHeader, VerifiedVertex, verify_header};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::budget::Budget;
use super::commit::Request;
use super::ears::{Ears, Said, Word};
use super::outbox::{Outbox, Pace};
use super::{EngineHandle, libp2p_peer, utc};
use crate::net::{self, Limits, NetCommand, NetHandle};
use crate::private::Post;

/// Frames of one peer that wait to be decoded. With credit an honest peer stays far below.
const PEER_FRAMES: usize = 2048;
/// Bytes of one peer that wait to be verified: twice what credit allows.
const PEER_BYTES: usize = 10 << 20;
/// Frames of one peer that were read and wait for their turn.
const VERIFYING: usize = 32;
/// Seconds' worth of control messages that a peer which may only read can send at once, as others can.
const READER_BURST: usize = 16;

/// A message as it travels, and on which stream.
pub(super) type Frame = (Channel, Vec<u8>);

/// What the engine needs for a new connection's hello.
pub(super) struct Greeting {
    /// Our announcement.
    pub(super) announcement: SignedData,
    /// The region for which the whitelist names the peer.
    pub(super) region: Option<Region>,
    /// Who carries private values, of which the engine hears nothing.
    pub(super) post: Option<mpsc::Sender<Post>>,
    /// What the peer may have this node do for nothing.
    pub(super) limits: Limits,
    /// Who hears what the peer says of others, if anybody; the engine does not.
    pub(super) words: Option<mpsc::Sender<Word>>,
    /// Whether the peer may only read: then it carries nothing private, of what it says to the keeper nothing but recommendations is
    /// heard, and it is sent little at once.
    pub(super) reads_only: bool,
    /// How fast it is sent something, over all its connections; none: as fast as it takes it.
    pub(super) pace: Option<Pace>,
}

/// One connection, as the bridge holds it.
pub(super) struct Lane {
    frames: mpsc::Sender<Frame>,
    waiting: Arc<AtomicUsize>,
    outbox: Outbox,
    ears: Arc<Ears>,
    told: JoinHandle<()>,
    /// What waits to be sent ends with this: it was meant for this connection, and not for the next. So does what a peer that may
    /// only read said.
    _ended: DropGuard,
}

impl Lane {
    /// Starts the tasks of a connection; they end when this is dropped. What the engine is told of it comes
    /// after everything that it was told of the peer's connection before: `earlier`.
    pub(super) fn begin(
        peer: PeerId,
        engine: EngineHandle,
        net: NetHandle,
        greeting: Greeting,
        earlier: Option<JoinHandle<()>>,
    ) -> Self {
        let (frames, inbox) = mpsc::channel(PEER_FRAMES);
        let (turns, in_turn) = mpsc::channel(VERIFYING);
        let waiting = Arc::<AtomicUsize>::default();
        let reads_only = greeting.reads_only;
        let ears = Arc::new(Ears::of(peer, greeting.words.clone(), reads_only));
        let desk = Desk {
            peer,
            engine: engine.clone(),
            net: net.clone(),
            post: greeting.post.clone(),
            ears: Arc::clone(&ears),
            limits: greeting.limits.clone(),
            reads_only,
        };
        let ended = CancellationToken::new();
        let decoding = desk.decode(inbox, turns);
        if reads_only {
            // What it still wanted it wants again, if it comes back.
            tokio::spawn(ended.clone().run_until_cancelled_owned(decoding));
        } else {
            tokio::spawn(decoding);
        }
        let outbox = Outbox::begin(&peer, net, greeting.pace.clone(), &ended);
        let counted = Arc::clone(&waiting);
        let told = tokio::spawn(async move {
            if let Some(earlier) = earlier {
                // If it panicked there is nothing to wait for any more.
                let _over = earlier.await;
            }
            let Greeting {
                announcement,
                region,
                post,
                ..
            } = greeting;
            let announcement = Box::new(announcement);
            let (input, post) = if reads_only {
                (Input::Reader(peer, announcement, region), None)
            } else {
                (Input::Connected(peer, announcement, region), post)
            };
            tell(&engine, input).await;
            hand_on(post.as_ref(), Post::Connected(peer)).await;
            forward(peer, &engine, in_turn, counted).await;
            hand_on(post.as_ref(), Post::Disconnected(peer)).await;
            tell(&engine, Input::Disconnected(peer)).await;
        });
        Self {
            frames,
            waiting,
            outbox,
            ears,
            told,
            _ended: ended.drop_guard(),
        }
    }

    /// The engine has accepted the peer's hello.
    pub(super) fn accepted(&self) {
        self.ears.accepted();
    }

    /// Takes a frame; says whether there was room.
    pub(super) fn take(&self, channel: net::Channel, frame: Vec<u8>) -> bool {
        let waiting = self.waiting.fetch_add(frame.len(), Ordering::Relaxed);
        waiting <= PEER_BYTES && self.frames.try_send((from_net(channel), frame)).is_ok()
    }

    /// Queues a message; says whether there was room.
    pub(super) fn send(&self, channel: Channel, message: &Message) -> bool {
        self.outbox.put(channel, message)
    }

    /// Ends the lane, and what it has not sent; the handle ends when the engine was told everything.
    pub(super) fn end(self) -> JoinHandle<()> {
        self.told
    }
}

async fn tell(engine: &EngineHandle, input: Input) {
    // The engine's own end is reported by the daemon.
    let _stopping = engine.requests.send(Request::Input(Box::new(input))).await;
}

/// Tells the courier of private values, if there is one.
async fn hand_on(post: Option<&mpsc::Sender<Post>>, event: Post) {
    if let Some(post) = post {
        // It is gone only when the daemon is stopping.
        let _stopping = post.send(event).await;
    }
}

const fn from_net(channel: net::Channel) -> Channel {
    match channel {
        net::Channel::Sync => Channel::Sync,
        net::Channel::Live => Channel::Live,
    }
}

/// What is handed on in turn: a decoded frame and its size.
enum Turn {
    Ready(Box<Input>, usize),
    Verifying(oneshot::Receiver<Verification>, usize),
    /// It was not for the engine.
    HandedOn(usize),
}

/// What holds of what a peer sent: a vertex, or a header that came alone.
enum Holds {
    Vertex(Box<VerifiedVertex>),
    Header(Box<SignedHeader>),
}

/// The verdict on a header block and the body block, if one came with it, and the blocks, in case they have to be looked at again.
type Verification = (Result<Holds, Refusal>, Vec<u8>, Option<Vec<u8>>);

/// Where a peer's frames are read.
struct Desk {
    peer: PeerId,
    engine: EngineHandle,
    net: NetHandle,
    post: Option<mpsc::Sender<Post>>,
    /// Who hears what the peer says of others, if anybody.
    ears: Arc<Ears>,
    limits: Limits,
    reads_only: bool,
}

impl Desk {
    /// Decodes a peer's frames and sends vertices to the pool, until one is not what an honest peer sends.
    async fn decode(self, mut frames: mpsc::Receiver<Frame>, turns: mpsc::Sender<Turn>) {
        let Self { peer, post, .. } = &self;
        let verifying = Arc::new(Semaphore::new(self.limits.verifications));
        let mut budget = Budget::new(&self.control(), Instant::now());
        while let Some((channel, frame)) = frames.recv().await {
            let size = frame.len();
            let turn = match Message::decode(&frame) {
                Err(refusal) => {
                    self.ban(refusal).await;
                    Turn::Ready(Box::new(Input::Garbage(*peer, refusal, 0)), size)
                }
                // An honest one sends vertices, too, where it takes a log for forked; passed over, they wait for nothing.
                Ok(Message::Vertex(..) | Message::Header(_)) if self.reads_only => {
                    Turn::HandedOn(size)
                }
                Ok(message) if self.reads_only => {
                    let pause = budget.take(size, Instant::now());
                    tokio::time::sleep(pause).await;
                    self.read(channel, message, size)
                }
                Ok(Message::Vertex(header, body)) => {
                    self.take_again(channel, &header, size, &mut budget).await;
                    let Ok(permit) = Arc::clone(&verifying).acquire_owned().await else {
                        // One was bad: nothing more of this connection is verified.
                        return;
                    };
                    let verified = self.begin(header.into_vec(), Some(body.into_vec()), permit);
                    Turn::Verifying(verified, size)
                }
                Ok(Message::Header(header)) => {
                    self.take_again(channel, &header, size, &mut budget).await;
                    let Ok(permit) = Arc::clone(&verifying).acquire_owned().await else {
                        return;
                    };
                    let verified = self.begin(header.into_vec(), None, permit);
                    Turn::Verifying(verified, size)
                }
                Ok(Message::Private(transfer, values)) => {
                    hand_on(post.as_ref(), Post::Values(*peer, transfer, values)).await;
                    Turn::HandedOn(size)
                }
                Ok(Message::PrivateStored(transfer)) => {
                    hand_on(post.as_ref(), Post::Stored(*peer, transfer)).await;
                    Turn::HandedOn(size)
                }
                Ok(message) => {
                    if let Message::Hello(hello) = &message {
                        self.note(hello);
                        self.ears
                            .say(Said::Announcement(Box::new(hello.announcement.clone())));
                    }
                    let pause = budget.take(size, Instant::now());
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    match Said::of(message) {
                        Ok(word) => {
                            self.ears.say(word);
                            Turn::HandedOn(size)
                        }
                        Err(message) => {
                            let input = Input::Message(*peer, channel, *message);
                            Turn::Ready(Box::new(input), size)
                        }
                    }
                }
            };
            if turns.send(turn).await.is_err() {
                return;
            }
        }
    }

    /// By what its control messages are measured: who may only read says no more in a second than it is sent.
    fn control(&self) -> Limits {
        let mut limits = self.limits.clone();
        if self.reads_only {
            (limits.control_rate, limits.control_burst) =
                (limits.reader_rate, READER_BURST * limits.reader_rate);
        }
        limits
    }

    /// What becomes of a message of a peer that may only read. Nothing of it is verified or carried, and nothing heard but whom it
    /// recommends; what is for the engine, the engine judges.
    fn read(&self, channel: Channel, message: Message, size: usize) -> Turn {
        match message {
            Message::Vertex(..)
            | Message::Header(_)
            | Message::Private(..)
            | Message::PrivateStored(_) => Turn::HandedOn(size),
            message => match Said::of(message) {
                Ok(word) => {
                    if let Said::Recommendation(_) = word {
                        self.ears.hold(word);
                    }
                    Turn::HandedOn(size)
                }
                Err(message) => {
                    Turn::Ready(Box::new(Input::Message(self.peer, channel, *message)), size)
                }
            },
        }
    }

    /// Has a vertex verified, or a header that came alone. Whoever sends a bad one is banned at once, and of what it sent besides
    /// no more is begun than has a permit by then. The verdict goes from the thread that has it to whoever hands it on, with no
    /// task between them.
    fn begin(
        &self,
        header: Vec<u8>,
        body: Option<Vec<u8>>,
        permit: OwnedSemaphorePermit,
    ) -> oneshot::Receiver<Verification> {
        let (peer, engine, net) = (self.peer, self.engine.clone(), self.net.clone());
        let runtime = Handle::current();
        self.engine.pool().begin(move || {
            let verified = verify(&engine, header, body);
            if let Err(refusal) = verified.0
                && !is_ahead(refusal)
            {
                permit.semaphore().close();
                net.wasted();
                runtime.spawn(async move { ban(&net, peer, refusal).await });
            }
            drop(permit);
            verified
        })
    }

    /// Nobody asks whether news was asked for, for it comes unasked; but it is of use once. Backfill may come twice where two
    /// peers were asked, and bodies come behind their headers.
    async fn take_again(&self, channel: Channel, header: &[u8], size: usize, budget: &mut Budget) {
        let history: &dyn History = self.engine.history();
        if channel == Channel::Live && history.vertex(&BlockId::of(header)).is_some() {
            let pause = budget.take(size, Instant::now());
            tokio::time::sleep(pause).await;
        }
    }

    /// Notes what the peer says of itself, for who looks at the network.
    fn note(&self, hello: &Hello) {
        let Some(dated) = hello.announcement.dated() else {
            return;
        };
        let now = i128::from(utc().0);
        let ahead = i64::try_from(i128::from(dated.0) - now).unwrap_or(i64::MAX);
        let greeting = net::Greeting {
            version: hello.v,
            software: hello.software.clone(),
            ahead_ms: ahead,
        };
        self.net.greeted(libp2p_peer(&self.peer), greeting);
    }

    async fn ban(&self, refusal: Refusal) {
        ban(&self.net, self.peer, refusal).await;
    }
}

/// Whether honest peers are refused so, too: a vertex of a log that is not known here yet, or of newer software.
const fn is_ahead(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::UnknownLog | Refusal::UnknownVersion)
}

async fn ban(net: &NetHandle, peer: PeerId, refusal: Refusal) {
    let command = NetCommand::Ban {
        peer: libp2p_peer(&peer),
        reason: refusal.code().into(),
    };
    // A network that has stopped speaks to nobody.
    let _stopped = net.command(command).await;
}

fn verify(engine: &EngineHandle, header: Vec<u8>, body: Option<Vec<u8>>) -> Verification {
    let directory = engine.directory();
    let keys = Keys::new(engine, &header);
    let Some(body) = body else {
        let verified = verify_header(engine.genesis(), &keys, &header);
        return (verified.map(|it| Holds::Header(it.into())), header, None);
    };
    let verified = VerifiedVertex::verify(engine.genesis(), &keys, &header, body.clone());
    if let Ok(vertex) = &verified {
        directory.learn_authority(&vertex.authority);
        if let Ok(entries) = &vertex.entries {
            directory.learn_keys(entries);
        }
    }
    (
        verified.map(|it| Holds::Vertex(it.into())),
        header,
        Some(body),
    )
}

/// Keys that are at hand, and those to which the index leads: after a start nobody's are at hand, and the commit
/// thread would check every signature alone.
struct Keys<'a> {
    engine: &'a EngineHandle,
    /// The log whose people sign; none where the header cannot be read.
    log: Option<LogId>,
}

impl<'a> Keys<'a> {
    fn new(engine: &'a EngineHandle, header: &[u8]) -> Self {
        let log = SignedHeader::read(header).map(|header| header.header.log);
        Self {
            engine,
            log: log.ok(),
        }
    }
}

impl KeySource for Keys<'_> {
    fn authority(&self, log: &LogId) -> Option<Arc<Authority>> {
        self.engine.directory().authority(log)
    }

    fn public_key(&self, id: &KeyId) -> Option<Arc<PublicKey>> {
        let Self { engine, log } = self;
        let at_hand = engine.directory().public_key(id);
        at_hand.or_else(|| {
            let log = log.as_ref()?;
            let history: &dyn History = engine.history();
            let account = history.account_of_key(log, id);
            let found = engine.directory().account_key(history, log, &account);
            found.ok().filter(|key| key.id() == *id)
        })
    }
}

/// Hands a peer's messages to the engine, in the order in which they came.
async fn forward(
    peer: PeerId,
    engine: &EngineHandle,
    mut turns: mpsc::Receiver<Turn>,
    waiting: Arc<AtomicUsize>,
) {
    while let Some(turn) = turns.recv().await {
        let (input, size) = match turn {
            Turn::Ready(input, size) => (input, size),
            Turn::HandedOn(size) => {
                waiting.fetch_sub(size, Ordering::Relaxed);
                continue;
            }
            Turn::Verifying(verified, size) => {
                let Some(verdict) = verdict(engine, verified).await else {
                    return;
                };
                let input = match verdict {
                    Ok(Holds::Vertex(vertex)) => Input::Vertex(peer, vertex, size as u64),
                    Ok(Holds::Header(header)) => Input::Header(peer, header, size as u64),
                    Err(refusal) => Input::Garbage(peer, refusal, size as u64),
                };
                (Box::new(input), size)
            }
        };
        waiting.fetch_sub(size, Ordering::Relaxed);
        if engine.requests.send(Request::Input(input)).await.is_err() {
            return;
        }
    }
}

/// Waits for a verification. `None` when the runtime is stopping.
async fn verdict(
    engine: &EngineHandle,
    verified: oneshot::Receiver<Verification>,
) -> Option<Result<Holds, Refusal>> {
    match verified.await.ok()? {
        // Its log's first vertex stood right before it and is known by now.
        (Err(Refusal::UnknownLog), header, body) => {
            let knowing = engine.clone();
            Some(
                engine
                    .pool()
                    .run(move || verify(&knowing, header, body))
                    .await?
                    .0,
            )
        }
        (verdict, ..) => Some(verdict),
    }
}
