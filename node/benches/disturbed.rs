//! How fast an honest peer gets a log from a node, alone and while others wish the node ill: strangers who call without a
//! pause from one address, with a whole TLS handshake each until the door refuses the address, and a listed peer that says as
//! much as its budget lets it.
//! `cargo bench -p city-node --bench disturbed`
//!
//! The node is a process of its own. The honest peer and the others are this process, on the same cores: what they need is
//! part of every time, so the ratio by the clock falls as well where the node itself did nothing more. How much more it
//! did is told by its own processor time, and by a third run of each round: there the same others hit a decoy, as often as they hit
//! the node before, and the node is left alone. Then both runs share the cores with the same attackers, and what is left between
//! them is what they do to the node. The decoy shuts the door at once, as the node does, and takes the listed peer's words from a
//! bare socket; what it needs for that, which the node is spared, has a row of its own. The honest peer counts what comes and
//! verifies nothing: catching up with verification is `catch_up`.

mod common;

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use city_node::engine::{TransportKey, utc};
use city_node::net::{self, Channel, NetConfig, NetEvent, NetHandle, Whitelist};
use city_protocol::ids::{Digest, LogId};
use city_protocol::sync::{Beacon, Hello, LogPrefix, Message, PROTOCOL_VERSION, Want};
use city_protocol::trust::KeyAnnouncement;
use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::{Endpoint, upgrade::Version};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Transport as _, tcp, tls, yamux};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, timeout};

use common::limits::{cores, median, number, processor_s, processor_s_of};
use common::options::Options;
use common::process::Node;
use common::table::{Bar, Table};
use common::town::{Site, Town};

/// Transfers that the node holds.
const TRANSFERS: usize = 20_000;
/// Senders of them.
const SENDERS: usize = 200;
/// How often the log is fetched in one run, so that a run takes seconds.
const TIMES: usize = 4;
/// Runs alone, and as many disturbed and beside a decoy, one after the other in turn.
const RUNS: usize = 5;
/// Strangers who call at once: as many as one address has places at the door.
const CALLERS: usize = 32;
/// So many messages in each such time: 1,600 a second at most, each of which counts 128 bytes of the 256 KiB that a peer has a second. Whoever
/// goes on beyond that is cut off.
const BEACONS: usize = 80;
const TICK: Duration = Duration::from_millis(50);
/// How often strangers at the decoy are given turns.
const TURNS: Duration = Duration::from_millis(5);
/// How long the others are at it before the honest peer begins.
const BEFORE: Duration = Duration::from_millis(500);
/// Calls of strangers that have ended.
static CALLS: AtomicU64 = AtomicU64::new(0);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(options));
}

/// What one run came to.
struct Run {
    took_s: f64,
    /// Processor time of the node, and of everybody else.
    node_s: f64,
    others_s: f64,
    /// Calls of strangers that ended meanwhile.
    strangers: u64,
}

async fn run(options: Options) {
    let transfers = options.size(TRANSFERS, 500);
    let what = format!(
        "{transfers} transfers of one log, fetched by a peer that counts them, beside {CALLERS} strangers and one listed peer"
    );
    let mut table = Table::new("disturbed", options, &what);
    let dir = tempfile::tempdir().expect("a directory");
    let mut full = Site::found(dir.path(), 0);
    let (honest, bad) = (Site::found(dir.path(), 1), Site::found(dir.path(), 2));
    full.admit(&honest, None);
    full.admit(&bad, None);
    let mut town = Town::open(full, options.size(SENDERS, 20)).await;
    town.fill(transfers, |done| {
        if done.is_multiple_of(4_000) {
            table.progress(&format!("{done} transfers accepted"));
        }
    })
    .await;
    let (full, _) = town.close().await;
    let (node, _) = Node::start(&full.data).await;
    let log = full.report.log;
    let head = node.status().await.frontier;
    let last = head.iter().find(|head| head.log == log);
    let last = last.expect("its own log").seq;

    let (mut peer, mut enemy) = (
        Peer::call(&full, &honest).await,
        Peer::call(&full, &bad).await,
    );
    let times = options.size(TIMES, 1);
    let (mut alone, mut disturbed, mut decoyed) = (Vec::new(), Vec::new(), Vec::new());
    let mut decoys = Vec::new();
    // The first time the node reads its log from the disk.
    measure(&node, &mut peer, log, last, times).await;
    for _ in 0..options.size(RUNS, 1) {
        alone.push(measure(&node, &mut peer, log, last, times).await);
        let attack = Attack::begin(&full, enemy);
        tokio::time::sleep(BEFORE).await;
        let run = measure(&node, &mut peer, log, last, times).await;
        enemy = attack.end(&node).await;
        let rate = (run.strangers, Duration::from_secs_f64(run.took_s));
        disturbed.push(run);
        let decoy = Decoy::open();
        let hits = decoy.hits(rate).await;
        tokio::time::sleep(BEFORE).await;
        decoyed.push(measure(&node, &mut peer, log, last, times).await);
        hits.end().await;
        decoys.push(decoy.close());
    }

    let vertices = number(last) * number(times as u64);
    let figures = |runs: &[Run], of: fn(&Run) -> f64| -> f64 {
        median(&mut runs.iter().map(of).collect::<Vec<_>>())
    };
    let pairs = || alone.iter().zip(&disturbed);
    let rate = |runs| vertices / figures(runs, |run| run.took_s);
    table.row(
        "vertices to an honest peer, alone",
        rate(&alone),
        "/s",
        Bar::None,
    );
    table.row("the same, disturbed", rate(&disturbed), "/s", Bar::None);
    table.row(
        "the same, while the others hit a decoy",
        rate(&decoyed),
        "/s",
        Bar::None,
    );
    let mut ratios: Vec<f64> = pairs().map(|(a, d)| a.took_s / d.took_s).collect();
    table.ratio(
        "disturbed ÷ alone, by the clock",
        &mut ratios,
        Bar::AtLeast(0.8),
    );
    let beside = decoyed.iter().zip(&disturbed);
    let mut ratios: Vec<f64> = beside.map(|(a, d)| a.took_s / d.took_s).collect();
    table.ratio(
        "disturbed ÷ beside the same attackers at a decoy, by the clock",
        &mut ratios,
        Bar::AtLeast(0.8),
    );
    let mut spent: Vec<f64> = pairs().map(|(a, d)| a.node_s / d.node_s).collect();
    table.ratio(
        "node's processor time for the same, alone ÷ disturbed",
        &mut spent,
        Bar::None,
    );
    // Had everybody else cores of their own, only what the node itself needs besides could hold the peer up.
    let cores = number(cores() as u64);
    let besides = |(a, d): (&Run, &Run)| 1.0 - ((d.node_s - a.node_s) / d.took_s / cores).max(0.0);
    let mut left: Vec<f64> = pairs().map(besides).collect();
    table.ratio(
        "share of the cores that the others leave the node",
        &mut left,
        Bar::AtLeast(0.8),
    );
    let busy = |runs| figures(runs, |run| run.others_s / run.took_s);
    table.row(
        "cores that this process took meanwhile",
        busy(&disturbed),
        "",
        Bar::None,
    );
    table.row(
        "the same beside a decoy, with the decoy",
        busy(&decoyed),
        "",
        Bar::None,
    );
    table.row("of these the decoy", median(&mut decoys), "", Bar::None);
    let strangers = |runs| figures(runs, |run| number(run.strangers) / run.took_s);
    table.row(
        "calls of strangers, most of them refused before TLS",
        strangers(&disturbed),
        "/s",
        Bar::None,
    );
    table.row(
        "calls of strangers at the decoy",
        strangers(&decoyed),
        "/s",
        Bar::None,
    );
    table.end();
    drop((peer, enemy));
    node.stop();
}

/// Fetches the whole log so many times.
async fn measure(node: &Node, peer: &mut Peer, log: LogId, last: u64, times: usize) -> Run {
    let strangers = CALLS.load(Ordering::Relaxed);
    let (node_s, others_s, begun) = (node.processor_s(), processor_s(), Instant::now());
    for _ in 0..times {
        peer.fetch(log, last).await;
    }
    let took_s = begun.elapsed().as_secs_f64();
    Run {
        took_s,
        node_s: node.processor_s() - node_s,
        others_s: processor_s() - others_s,
        strangers: CALLS.load(Ordering::Relaxed) - strangers,
    }
}

/// A listed peer with a network of its own.
struct Peer {
    net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
    node: PeerId,
}

impl Peer {
    /// Calls the node as this site, and says hello.
    async fn call(node: &Site, site: &Site) -> Self {
        let identity = site.identity();
        let whitelist = Whitelist::default();
        let peer = node.report.peer_id;
        whitelist.insert(peer, None).expect("room");
        let config = NetConfig {
            bootstrap: vec![address(node).with(Protocol::P2p(peer))],
            ..NetConfig::default()
        };
        let (sender, events) = mpsc::channel(64);
        let key = identity.transport.clone();
        let (net, _task) = net::start(config, key, whitelist, sender).expect("a network");
        let mut caller = Self {
            net,
            events,
            node: peer,
        };
        while !matches!(caller.next().await, NetEvent::Connected { .. }) {}
        let key = TransportKey::new(identity.transport.clone()).expect("Ed25519");
        let announcement = KeyAnnouncement {
            certificate: identity.node_certificate.clone(),
            chain: identity.chain.iter().cloned().map(Into::into).collect(),
        };
        let hello = Hello {
            v: PROTOCOL_VERSION,
            network: identity.network,
            software: "bench".into(),
            announcement: announcement.sign(&key, [7; 16], utc()),
            follows: Vec::new(),
            reads_only: false,
        };
        caller.says(&Message::Hello(Box::new(hello))).await;
        caller
    }

    async fn next(&mut self) -> NetEvent {
        let next = timeout(PATIENCE, self.events.recv()).await;
        match next.expect("the node answers").expect("the network runs") {
            NetEvent::Disconnected { .. } => panic!("the node hung up"),
            event => event,
        }
    }

    async fn says(&self, message: &Message) {
        let frame = message.encode();
        let sent = self.net.send(&self.node, Channel::Sync, frame).await;
        sent.expect("it is connected");
    }

    /// Takes a log from its first vertex to this one, as fast as it comes.
    async fn fetch(&mut self, log: LogId, last: u64) {
        let want = Want {
            log: LogPrefix::from(&log),
            epoch: 1,
            from: 1,
            to: last,
        };
        self.says(&Message::Want(vec![want])).await;
        let mut missing = last;
        while missing > 0 {
            let NetEvent::Frame { bytes, .. } = self.next().await else {
                continue;
            };
            if let Ok(Message::Vertex(header, body)) = Message::decode(&bytes) {
                missing -= 1;
                let taken = (header.len() + body.len()) as u64;
                self.says(&Message::Credit(taken)).await;
            }
        }
    }

    /// Takes what comes until the end of the attack, and then until nothing comes any more: its answers are its own to read.
    async fn listens(mut self, over: Arc<AtomicBool>) -> Self {
        loop {
            match timeout(BEFORE, self.events.recv()).await {
                Ok(None | Some(NetEvent::Disconnected { .. })) => {
                    panic!("the node hung up on a peer within its budget")
                }
                Err(_) if over.load(Ordering::Relaxed) => return self,
                _ => {}
            }
        }
    }
}

/// What a listed peer says as long as it is an attack: as much as its budget lets it.
async fn speak(over: Arc<AtomicBool>, mut say: impl AsyncFnMut(&[u8])) {
    let hash = Digest([9; 32]);
    let beacon = Message::Beacon(Beacon { hash, sum: 0 }).encode();
    let mut ticks = tokio::time::interval(TICK);
    // What was missed is not made up for: that would be more than the budget at once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        for _ in 0..BEACONS {
            let _held_back = timeout(BEFORE, say(&beacon)).await;
        }
    }
}

/// Strangers who call without a pause, or as often as they are let.
fn call(
    tasks: &mut JoinSet<()>,
    at: &Multiaddr,
    let_in: Option<&Arc<Semaphore>>,
    over: &Arc<AtomicBool>,
) {
    for _ in 0..CALLERS {
        let (at, over, let_in) = (at.clone(), Arc::clone(over), let_in.cloned());
        tasks.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                if let Some(let_in) = &let_in {
                    let turn = let_in.acquire().await;
                    turn.expect("nobody closes it").forget();
                }
                stranger(&at).await;
                CALLS.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// Everybody who wishes the node ill.
struct Attack {
    over: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    enemy: JoinHandle<Peer>,
}

impl Attack {
    fn begin(node: &Site, enemy: Peer) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        call(&mut tasks, &address(node), None, &over);
        let (net, peer) = (enemy.net.clone(), enemy.node);
        tasks.spawn(speak(Arc::clone(&over), async move |beacon: &[u8]| {
            let _gone = net.send(&peer, Channel::Sync, beacon.to_vec()).await;
        }));
        let done = Arc::clone(&over);
        Self {
            over,
            tasks,
            enemy: tokio::spawn(enemy.listens(done)),
        }
    }

    /// Ends it; gives back the listed peer.
    async fn end(mut self, node: &Node) -> Peer {
        self.over.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        let stayed = self.enemy.await;
        stayed.unwrap_or_else(|_| panic!("the listed peer is gone:\n{}", node.log()))
    }
}

/// What takes the hits in the node's place: a door that is shut at once, and a socket that swallows what is said.
struct Decoy {
    door: SocketAddr,
    words: SocketAddr,
    over: Arc<AtomicBool>,
    doorman: thread::JoinHandle<f64>,
    listener: thread::JoinHandle<f64>,
}

impl Decoy {
    fn open() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let (door, words) = (bind(), bind());
        let at = |of: &TcpListener| of.local_addr().expect("an address");
        let (door_at, words_at) = (at(&door), at(&words));
        let done = Arc::clone(&over);
        let doorman = thread::spawn(move || {
            let begun = Instant::now();
            while !done.load(Ordering::Relaxed) {
                drop(door.accept().expect("a caller"));
            }
            processor_s_of("thread-self") / begun.elapsed().as_secs_f64()
        });
        let listener = thread::spawn(move || {
            let begun = Instant::now();
            let (mut socket, _) = words.accept().expect("a caller");
            let mut unread = vec![0; 64 << 10];
            while matches!(socket.read(&mut unread), Ok(1..)) {}
            processor_s_of("thread-self") / begun.elapsed().as_secs_f64()
        });
        Self {
            door: door_at,
            words: words_at,
            over,
            doorman,
            listener,
        }
    }

    /// Begins to hit it: so many calls in such a time, and as many words as the node is told.
    async fn hits(&self, (calls, time): (u64, Duration)) -> Hits {
        let over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let let_in = Arc::new(Semaphore::new(0));
        let (turns, done) = (Arc::clone(&let_in), Arc::clone(&over));
        tasks.spawn(async move {
            let (begun, mut given) = (Instant::now(), 0);
            while !done.load(Ordering::Relaxed) {
                tokio::time::sleep(TURNS).await;
                let due = u128::from(calls) * begun.elapsed().as_micros() / time.as_micros();
                let due = usize::try_from(due).expect("calls of some seconds");
                turns.add_permits(due - given);
                given = due;
            }
            // Whoever waits for a turn sees that it is over.
            turns.add_permits(CALLERS);
        });
        let door = format!("/ip4/127.0.0.1/tcp/{}", self.door.port());
        let door = door.parse().expect("an address");
        call(&mut tasks, &door, Some(&let_in), &over);
        let mut socket = TcpStream::connect(self.words).await.expect("it listens");
        tasks.spawn(speak(Arc::clone(&over), async move |beacon: &[u8]| {
            socket.write_all(beacon).await.expect("it reads");
        }));
        Hits { over, tasks }
    }

    /// Shuts it for good; gives the cores that it took.
    fn close(self) -> f64 {
        self.over.store(true, Ordering::Relaxed);
        // The last caller: the doorman looks up.
        drop(std::net::TcpStream::connect(self.door).expect("it listens"));
        let taken = [self.doorman, self.listener].map(|thread| thread.join().expect("no bug"));
        taken.iter().sum()
    }
}

/// The same attackers at a decoy.
struct Hits {
    over: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Hits {
    async fn end(mut self) {
        self.over.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A whole handshake of somebody whom the node does not know.
async fn stranger(at: &Multiaddr) {
    let key = Keypair::generate_ed25519();
    let mut transport = tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(Version::V1Lazy)
        .authenticate(tls::Config::new(&key).expect("a certificate"))
        .multiplex(yamux::Config::default())
        .boxed();
    let call = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let calling = transport.dial(at.clone(), call).expect("it is TCP");
    // It may be refused already at the door.
    let _refused = timeout(Duration::from_secs(5), calling).await;
}

/// Where a site's node listens.
fn address(site: &Site) -> Multiaddr {
    site.config.network.listen[0].clone()
}
