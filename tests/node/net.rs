//! Municipalities talk to each other over real sockets on this machine; strangers and broken peers
//! try to join in.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::intruder::{Intruder, line, negotiate};

mod carriers;
mod strangers;

use city_node::net::{
    Carrier, Channel, DialFailure, Enrolment, Limits, MAX_FRAME, NetCommand, NetConfig, NetError,
    NetEvent, NetHandle, SendError, Whitelist, start,
};
use libp2p::{
    Multiaddr, PeerId, futures::AsyncWriteExt as _, identity::Keypair, multiaddr::Protocol,
};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Events that wait for a town; small, so that a town that does not look is soon a slow consumer.
const EVENTS: usize = 8;

/// A free port of this host.
fn anywhere(host: &str, over: Carrier) -> Multiaddr {
    let port = match over {
        Carrier::Tcp => "tcp/0",
        Carrier::Quic => "udp/0/quic-v1",
    };
    format!("{host}/{port}").parse().unwrap()
}

/// One municipality's network.
struct Town {
    name: &'static str,
    keypair: Keypair,
    peer: PeerId,
    net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
    task: JoinHandle<()>,
    address: Multiaddr,
    clock: Arc<AtomicU64>,
}

/// What a town is opened with.
struct Plan {
    keypair: Keypair,
    listen: Multiaddr,
    friends: Vec<PeerId>,
    bootstrap: Vec<Multiaddr>,
    limits: Limits,
    requests: Option<mpsc::Sender<Enrolment>>,
}

impl Plan {
    fn new(over: Carrier, friends: &[PeerId], bootstrap: &[&Town]) -> Self {
        Self {
            keypair: Keypair::generate_ed25519(),
            listen: anywhere("/ip4/127.0.0.1", over),
            friends: friends.to_vec(),
            bootstrap: bootstrap.iter().map(|town| town.full_address()).collect(),
            limits: Limits {
                backoff_min: Duration::from_millis(50),
                backoff_max: Duration::from_millis(400),
                ..Limits::default()
            },
            requests: None,
        }
    }

    async fn open(self, name: &'static str) -> Town {
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let whitelist = Whitelist::default();
        whitelist
            .set(self.friends.into_iter().map(|peer| (peer, None)))
            .unwrap();
        let ticking = Arc::clone(&clock);
        let config = NetConfig {
            listen: vec![self.listen],
            quic: true,
            bootstrap: self.bootstrap,
            limits: self.limits,
            requests: self.requests,
            clock: Arc::new(move || ticking.load(Ordering::SeqCst)),
            jitter_seed: Some(7),
            ..NetConfig::default()
        };
        let (sender, events) = mpsc::channel(EVENTS);
        let (net, task) = start(config, self.keypair.clone(), whitelist, sender).unwrap();
        until("listening", || !net.stats().listening.is_empty()).await;
        let address = net.stats().listening.remove(0);
        let peer = self.keypair.public().to_peer_id();
        let keypair = self.keypair;
        Town {
            name,
            keypair,
            peer,
            net,
            events,
            task,
            address,
            clock,
        }
    }
}

impl Town {
    fn full_address(&self) -> Multiaddr {
        self.address.clone().with(Protocol::P2p(self.peer))
    }

    fn port(&self) -> u16 {
        match self.address.iter().nth(1) {
            Some(Protocol::Tcp(port) | Protocol::Udp(port)) => port,
            other => panic!("{other:?}"),
        }
    }

    /// The next event that is not about dialling.
    async fn next(&mut self) -> NetEvent {
        loop {
            match within(self.name, self.events.recv())
                .await
                .expect("the network runs")
            {
                NetEvent::DialFailed { .. } | NetEvent::Listening { .. } => {}
                other => return other,
            }
        }
    }

    async fn next_failure(&mut self) -> (PeerId, DialFailure) {
        loop {
            match within(self.name, self.events.recv())
                .await
                .expect("the network runs")
            {
                NetEvent::DialFailed { peer, reason } => return (peer, reason),
                NetEvent::Listening { .. } => {}
                other => panic!("{}: {other:?} instead of a failed dial", self.name),
            }
        }
    }

    /// The denial is heard after the handshake, or on a busy machine while its last message leaves.
    async fn turned_away(&mut self, by: PeerId) {
        match self.next_failure().await {
            (peer, DialFailure::ClosedEarly | DialFailure::Unreachable(_)) if peer == by => {}
            other => panic!("{}: {other:?} instead of a denial", self.name),
        }
    }

    async fn connected(&mut self, to: PeerId) {
        match self.next().await {
            NetEvent::Connected { peer, .. } if peer == to => {}
            other => panic!("{}: {other:?} instead of Connected", self.name),
        }
    }

    async fn disconnected(&mut self, from: PeerId) {
        match self.next().await {
            NetEvent::Disconnected { peer } if peer == from => {}
            other => panic!("{}: {other:?} instead of Disconnected", self.name),
        }
    }

    async fn frame(&mut self, from: PeerId) -> (Channel, Vec<u8>) {
        match self.next().await {
            NetEvent::Frame {
                peer,
                channel,
                bytes,
            } if peer == from => (channel, bytes),
            other => panic!("{}: {other:?} instead of a frame", self.name),
        }
    }

    async fn send(&self, to: &Town, channel: Channel, frame: &[u8]) {
        within(self.name, self.net.send(&to.peer, channel, frame.to_vec()))
            .await
            .unwrap();
    }

    /// Waits until the towns hold the same one connection, however their first dials crossed.
    async fn settle(&mut self, other: &mut Town) {
        self.connected(other.peer).await;
        other.connected(self.peer).await;
    }
}

async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    timeout(PATIENCE, step)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing for {PATIENCE:?}"))
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(
            begin.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// 金沢市 listens, 小松市 knows its address; both have whitelisted each other.
async fn kanazawa_and_komatsu(over: Carrier, limits: impl Fn(&mut Limits)) -> (Town, Town) {
    let mut plan = Plan::new(over, &[], &[]);
    limits(&mut plan.limits);
    let mut kanazawa = plan.open("金沢市").await;
    let mut plan = Plan::new(over, &[kanazawa.peer], &[&kanazawa]);
    limits(&mut plan.limits);
    let me = plan.keypair.public().to_peer_id();
    kanazawa.net.whitelist().insert(me, None).unwrap();
    let mut komatsu = plan.open("小松市").await;
    kanazawa.settle(&mut komatsu).await;
    (kanazawa, komatsu)
}

fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect()
}

async fn two_towns_exchange_frames_on_both_streams(over: Carrier) {
    let (mut kanazawa, mut komatsu) = kanazawa_and_komatsu(over, |_| {}).await;
    kanazawa.send(&komatsu, Channel::Sync, b"head 12").await;
    assert_eq!(
        komatsu.frame(kanazawa.peer).await,
        (Channel::Sync, b"head 12".to_vec())
    );
    kanazawa.send(&komatsu, Channel::Live, b"").await;
    assert_eq!(
        komatsu.frame(kanazawa.peer).await,
        (Channel::Live, Vec::new())
    );
    komatsu.send(&kanazawa, Channel::Live, b"vertex").await;
    assert_eq!(
        kanazawa.frame(komatsu.peer).await,
        (Channel::Live, b"vertex".to_vec())
    );
    for number in 0..100_u8 {
        komatsu.send(&kanazawa, Channel::Sync, &[number]).await;
        assert_eq!(
            kanazawa.frame(komatsu.peer).await,
            (Channel::Sync, vec![number])
        );
    }
    let agent = || {
        komatsu
            .net
            .stats()
            .peers
            .first()
            .and_then(|peer| peer.agent.clone())
    };
    until("identify", || agent().is_some()).await;
    assert_eq!(
        agent().unwrap(),
        concat!("city-node/", env!("CARGO_PKG_VERSION"))
    );
    let stats = kanazawa.net.stats();
    assert_eq!(stats.listening, [kanazawa.address.clone()]);
    assert_eq!((stats.bytes_in, stats.bytes_out), (106, 7));
    let [peer] = stats.peers.as_slice() else {
        panic!("{stats:?}")
    };
    assert_eq!(
        (peer.peer, peer.dialer, peer.since_ms),
        (komatsu.peer, false, 1_000_000)
    );
    assert_eq!((peer.bytes_in, peer.bytes_out), (106, 7));
}

async fn the_largest_frames_arrive_whole_and_larger_ones_are_not_taken(over: Carrier) {
    let (kanazawa, mut komatsu) = kanazawa_and_komatsu(over, |_| {}).await;
    for (length, channel) in [
        (1 << 20, Channel::Sync),
        (MAX_FRAME, Channel::Live),
        (1, Channel::Sync),
    ] {
        let frame = pattern(length, 3);
        kanazawa.send(&komatsu, channel, &frame).await;
        let (on, bytes) = komatsu.frame(kanazawa.peer).await;
        assert!(on == channel && bytes == frame, "{length} bytes differ");
    }
    assert_eq!(
        kanazawa
            .net
            .try_send(&komatsu.peer, Channel::Sync, vec![0; MAX_FRAME + 1]),
        Err(SendError::TooLarge(MAX_FRAME + 1))
    );
}

async fn both_towns_dial_at_once_and_one_connection_remains(over: Carrier) {
    let mut kanazawa = Plan::new(over, &[], &[]).open("金沢市").await;
    let mut komatsu = Plan::new(over, &[], &[]).open("小松市").await;
    for (one, other) in [(&kanazawa, &komatsu), (&komatsu, &kanazawa)] {
        one.net.whitelist().insert(other.peer, None).unwrap();
        let (peer, address) = (other.peer, other.full_address());
        one.net
            .command(NetCommand::AddAddress { peer, address })
            .await
            .unwrap();
    }
    let dialers = |one: &Town| one.net.stats().peers.first().map(|peer| peer.dialer);
    let begin = Instant::now();
    let mut agreed_since = Instant::now();
    let (mut ours, mut theirs) = (0_i32, 0_i32);
    // Events are taken all along; the towns must agree on one connection and stay with it.
    while agreed_since.elapsed() < Duration::from_millis(800) {
        assert!(begin.elapsed() < PATIENCE, "no agreement");
        let agree = matches!((dialers(&kanazawa), dialers(&komatsu)), (Some(a), Some(b)) if a != b);
        let mut quiet = true;
        for (town, balance) in [(&mut kanazawa, &mut ours), (&mut komatsu, &mut theirs)] {
            while let Ok(event) = town.events.try_recv() {
                quiet = false;
                match event {
                    NetEvent::Connected { .. } => *balance += 1,
                    NetEvent::Disconnected { .. } => *balance -= 1,
                    _ => {}
                }
                assert!((0..=1).contains(balance), "{}: unpaired events", town.name);
            }
        }
        if !agree || !quiet {
            agreed_since = Instant::now();
        }
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((ours, theirs), (1, 1));
    kanazawa.send(&komatsu, Channel::Live, b"one way").await;
    assert_eq!(komatsu.frame(kanazawa.peer).await.1, b"one way");
    komatsu.send(&kanazawa, Channel::Live, b"and back").await;
    assert_eq!(kanazawa.frame(komatsu.peer).await.1, b"and back");
}

async fn a_stranger_is_denied_and_the_whitelisted_go_on(over: Carrier) {
    let (mut kanazawa, mut komatsu) = kanazawa_and_komatsu(over, |_| {}).await;
    let mut stranger = Plan::new(over, &[kanazawa.peer], &[&kanazawa])
        .open("stranger")
        .await;
    stranger.turned_away(kanazawa.peer).await;
    stranger.turned_away(kanazawa.peer).await;
    until("denials", || kanazawa.net.stats().denied_strangers >= 2).await;
    assert_eq!(
        stranger
            .net
            .try_send(&kanazawa.peer, Channel::Sync, b"let me in".to_vec()),
        Err(SendError::NotConnected)
    );
    komatsu.send(&kanazawa, Channel::Sync, b"still here").await;
    // The next event is the friend's frame: the stranger has left none.
    assert_eq!(kanazawa.frame(komatsu.peer).await.1, b"still here");
    kanazawa.send(&komatsu, Channel::Sync, b"so am I").await;
    assert_eq!(komatsu.frame(kanazawa.peer).await.1, b"so am I");
    assert_eq!(kanazawa.net.stats().peers.len(), 1);

    // The door is the whitelist and nothing else.
    kanazawa
        .net
        .whitelist()
        .insert(stranger.peer, None)
        .unwrap();
    kanazawa.settle(&mut stranger).await;
}

/// Streams that it opens before it hears of the denial reach no handler, not identify's and not
/// ping's.
async fn a_stranger_that_opens_streams_at_once_gets_no_answer(over: Carrier) {
    let (kanazawa, _komatsu) = kanazawa_and_komatsu(over, |_| {}).await;
    let stranger = Keypair::generate_ed25519();
    // On a busy machine the denial may already break the call off.
    let Some(mut intruder) = Intruder::try_call(&stranger, &kanazawa.address, kanazawa.peer).await
    else {
        return;
    };
    let mut answered = false;
    for protocol in ["/city-node/sync/1", "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"] {
        if let Some(mut stream) = intruder.stream().await {
            answered |= negotiate(&mut stream, protocol).await;
        }
    }
    assert!(!answered);
    intruder.closed().await;
    assert_eq!(kanazawa.net.stats().denied_strangers, 1);
}

async fn somebody_else_at_the_address_is_recognised(over: Carrier) {
    let hakusan = Plan::new(over, &[], &[]).open("白山市").await;
    let expected = Keypair::generate_ed25519().public().to_peer_id();
    let mut plan = Plan::new(over, &[expected, hakusan.peer], &[]);
    plan.bootstrap = vec![hakusan.address.clone().with(Protocol::P2p(expected))];
    let mut kanazawa = plan.open("金沢市").await;
    let (peer, reason) = kanazawa.next_failure().await;
    assert_eq!(peer, expected);
    let DialFailure::WrongPeerId { obtained, .. } = reason else {
        panic!("{reason}")
    };
    assert_eq!(obtained, hakusan.peer);
}

async fn a_peer_taken_off_the_whitelist_is_cut_off(over: Carrier) {
    let (mut kanazawa, mut komatsu) = kanazawa_and_komatsu(over, |_| {}).await;
    assert!(kanazawa.net.whitelist().remove(&komatsu.peer));
    kanazawa.disconnected(komatsu.peer).await;
    komatsu.disconnected(kanazawa.peer).await;
    assert_eq!(
        kanazawa
            .net
            .send(&komatsu.peer, Channel::Sync, vec![1])
            .await,
        Err(SendError::NotConnected)
    );
    komatsu.turned_away(kanazawa.peer).await;
    until("denial", || kanazawa.net.stats().denied_strangers >= 1).await;
    kanazawa.net.whitelist().insert(komatsu.peer, None).unwrap();
    kanazawa.settle(&mut komatsu).await;
}

async fn a_peer_whose_time_is_over_is_cut_off(over: Carrier) {
    let (mut kanazawa, mut komatsu) = kanazawa_and_komatsu(over, |_| {}).await;
    let now = kanazawa.clock.load(Ordering::SeqCst);
    kanazawa
        .net
        .whitelist()
        .insert(komatsu.peer, Some(now + 60_000))
        .unwrap();
    sleep(Duration::from_millis(300)).await;
    komatsu.send(&kanazawa, Channel::Sync, b"in time").await;
    assert_eq!(kanazawa.frame(komatsu.peer).await.1, b"in time");
    kanazawa.clock.store(now + 60_000, Ordering::SeqCst);
    kanazawa.disconnected(komatsu.peer).await;
    komatsu.disconnected(kanazawa.peer).await;
    komatsu.turned_away(kanazawa.peer).await;
}

async fn a_peer_can_be_sent_away_and_may_come_back(over: Carrier) {
    let (mut kanazawa, mut komatsu) = kanazawa_and_komatsu(over, |_| {}).await;
    let peer = komatsu.peer;
    let reason = "breaks the sync rules".to_owned();
    kanazawa
        .net
        .command(NetCommand::Close { peer, reason })
        .await
        .unwrap();
    kanazawa.disconnected(komatsu.peer).await;
    komatsu.disconnected(kanazawa.peer).await;
    kanazawa.settle(&mut komatsu).await;
}

/// A line to a town; a signal makes what is connected carry nothing more, without closing it.
async fn line_to(town: &Town, dead: Arc<Notify>) -> Multiaddr {
    match Carrier::of(&town.address) {
        Carrier::Tcp => {
            let port = tcp_line(town.port(), dead).await;
            format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
        }
        Carrier::Quic => carriers::udp_line(town.port(), dead).await,
    }
}

async fn tcp_line(port: u16, dead: Arc<Notify>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let mut called = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let dead = Arc::clone(&dead);
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut caller, &mut called) => {}
                    () = dead.notified() => std::future::pending().await,
                }
            });
        }
    });
    own
}

/// Nobody says goodbye: both sides notice, and the one that knows an address calls again. Its session used to wait for ever,
/// because yamux wakes no reader of a connection that this side closes, and a peer with a session is not called.
async fn a_line_that_dies_without_a_word_is_noticed_and_called_again(over: Carrier) {
    let impatient = |limits: &mut Limits| {
        limits.ping = Duration::from_millis(300);
        limits.silence = Duration::from_millis(1_500);
    };
    let mut plan = Plan::new(over, &[], &[]);
    impatient(&mut plan.limits);
    let mut kanazawa = plan.open("金沢市").await;
    let dead = Arc::new(Notify::new());
    let address = line_to(&kanazawa, Arc::clone(&dead)).await;
    let mut plan = Plan::new(over, &[kanazawa.peer], &[]);
    impatient(&mut plan.limits);
    plan.bootstrap = vec![address.with(Protocol::P2p(kanazawa.peer))];
    let me = plan.keypair.public().to_peer_id();
    kanazawa.net.whitelist().insert(me, None).unwrap();
    let mut komatsu = plan.open("小松市").await;
    kanazawa.settle(&mut komatsu).await;
    // It lives as long as pings are answered.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(komatsu.net.stats().peers.len(), 1);
    dead.notify_waiters();
    komatsu.disconnected(kanazawa.peer).await;
    kanazawa.disconnected(komatsu.peer).await;
    kanazawa.settle(&mut komatsu).await;
    kanazawa.send(&komatsu, Channel::Live, b"again").await;
    assert_eq!(komatsu.frame(kanazawa.peer).await.1, b"again");
}

/// Who breaks the rules is not spoken to for a while, however often it calls, and then it is.
async fn a_ban_ends_the_connection_lasts_and_ends(over: Carrier) {
    let (mut kanazawa, mut komatsu) =
        kanazawa_and_komatsu(over, |limits| limits.ban = Duration::from_secs(2)).await;
    let (peer, reason) = (komatsu.peer, "bad-signature".to_owned());
    kanazawa
        .net
        .command(NetCommand::Ban { peer, reason })
        .await
        .unwrap();
    let begin = Instant::now();
    kanazawa.disconnected(komatsu.peer).await;
    komatsu.disconnected(kanazawa.peer).await;
    // It keeps calling, whatever its own consumer does.
    let mut theirs = komatsu.events;
    tokio::spawn(async move { while theirs.recv().await.is_some() {} });
    let known = kanazawa.net.look().await.remove(&peer).unwrap();
    let banned = known.banned.unwrap();
    assert!(banned.left <= Duration::from_secs(2));
    assert_eq!(banned.why, "bad-signature");
    assert_eq!(known.sent_away, None, "that is over with the ban");
    until("its calls", || kanazawa.net.stats().banned_calls >= 2).await;
    assert!(kanazawa.net.stats().peers.is_empty());
    kanazawa.connected(peer).await;
    assert!(
        begin.elapsed() >= Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(kanazawa.net.stats().bans, 1);
}

/// Each new connection of a peer takes the place of the one before. Who may only read comes and goes that way, too.
async fn a_reader_that_replaces_its_connection_again_and_again_is_not_spoken_to(over: Carrier) {
    let keypair = Keypair::generate_ed25519();
    let reader = keypair.public().to_peer_id();
    let mut kanazawa = Plan::new(over, &[], &[]).open("金沢市").await;
    kanazawa.net.whitelist().set_readers([(reader, u64::MAX)]);
    let mut before: Option<(Intruder, _)> = None;
    for _ in 0..16 {
        let mut intruder = Intruder::call(&keypair, &kanazawa.address, kanazawa.peer).await;
        let streams = intruder.both_streams().await;
        if let Some((mut older, _streams)) = before.take() {
            kanazawa.disconnected(reader).await;
            older.closed().await;
        }
        kanazawa.connected(reader).await;
        before = Some((intruder, streams));
    }
    assert_eq!(kanazawa.net.stats().bans, 0);
    let mut last = Intruder::call(&keypair, &kanazawa.address, kanazawa.peer).await;
    let _streams = last.both_streams().await;
    kanazawa.disconnected(reader).await;
    until("the ban", || kanazawa.net.stats().bans == 1).await;
    last.closed().await;
}

async fn a_length_beyond_the_limit_ends_the_connection_without_memory(over: Carrier) {
    for announced in [u32::MAX, 1 << 30, u32::try_from(MAX_FRAME).unwrap() + 1] {
        let keypair = Keypair::generate_ed25519();
        let liar = keypair.public().to_peer_id();
        let mut kanazawa = Plan::new(over, &[liar], &[]).open("金沢市").await;
        let mut intruder = Intruder::call(&keypair, &kanazawa.address, kanazawa.peer).await;
        let (mut sync, _live) = intruder.both_streams().await;
        kanazawa.connected(liar).await;
        sync.write_all(&[0, 0, 0, 2, 7, 7]).await.unwrap();
        sync.flush().await.unwrap();
        assert_eq!(kanazawa.frame(liar).await.1, [7, 7]);
        let before = peak_address_space();
        sync.write_all(&announced.to_be_bytes()).await.unwrap();
        sync.write_all(&[0; 100]).await.unwrap();
        sync.flush().await.unwrap();
        kanazawa.disconnected(liar).await;
        intruder.closed().await;
        // Other tests run beside this one and take some; a gigabyte is not theirs.
        assert!(
            peak_address_space() - before < 900 << 20,
            "{announced} bytes were allocated"
        );
        assert_eq!(kanazawa.net.stats().faulty_streams, 1);
    }
}

/// The most address space this process ever had, in bytes.
fn peak_address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmPeak:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

async fn a_peer_that_opens_no_streams_is_let_go(over: Carrier) {
    let keypair = Keypair::generate_ed25519();
    let idle = keypair.public().to_peer_id();
    let mut plan = Plan::new(over, &[idle], &[]);
    plan.limits.setup = Duration::from_millis(500);
    let mut kanazawa = plan.open("金沢市").await;
    let mut intruder = Intruder::call(&keypair, &kanazawa.address, kanazawa.peer).await;
    // One stream of the two, and a second of the same kind, which does not help.
    for _ in 0..2 {
        let mut stream = intruder.stream().await.unwrap();
        assert!(negotiate(&mut stream, "/city-node/sync/1").await);
    }
    intruder.closed().await;
    // It was never connected: the only event is the town's own.
    match within("listening", kanazawa.events.recv()).await {
        Some(NetEvent::Listening { address }) => assert_eq!(address, kanazawa.address),
        other => panic!("{other:?}"),
    }
    assert!(kanazawa.events.try_recv().is_err());
}

async fn a_peer_that_does_not_drain_is_cut_off(over: Carrier) {
    let keypair = Keypair::generate_ed25519();
    let deaf = keypair.public().to_peer_id();
    let mut plan = Plan::new(over, &[deaf], &[]);
    plan.limits.stall = Duration::from_millis(800);
    let mut kanazawa = plan.open("金沢市").await;
    let mut intruder = Intruder::call(&keypair, &kanazawa.address, kanazawa.peer).await;
    let _streams = intruder.both_streams().await;
    kanazawa.connected(deaf).await;
    // From here on it does not even read its socket.
    intruder.hold_still();
    let mut taken = 0;
    let refused = loop {
        match timeout(
            PATIENCE,
            kanazawa.net.send(&deaf, Channel::Live, vec![0; 100_000]),
        )
        .await
        {
            Ok(Ok(())) => taken += 1,
            Ok(Err(refused)) => break refused,
            Err(_) => panic!("the queue never closed"),
        }
    };
    assert_eq!(refused, SendError::NotConnected);
    // The queue (4 MiB or 64 frames), yamux's first credit (256 KiB) and the socket's buffers, or what QUIC
    // keeps (10 MB): no more than that.
    assert!((40..=200).contains(&taken), "{taken} frames taken");
    kanazawa.disconnected(deaf).await;
    assert_eq!(kanazawa.net.stats().faulty_streams, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_on_the_port_disturbs_nobody() {
    let (mut kanazawa, komatsu) = kanazawa_and_komatsu(Carrier::Tcp, |limits| {
        limits.handshake = Duration::from_secs(2);
    })
    .await;
    let address = ("127.0.0.1", kanazawa.port());
    let mut silent = Vec::new();
    for seed in 0..10 {
        silent.push(TcpStream::connect(address).await.unwrap());
        let mut noisy = TcpStream::connect(address).await.unwrap();
        noisy.write_all(&pattern(5_000, seed)).await.unwrap();
        let mut http = TcpStream::connect(address).await.unwrap();
        http.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        komatsu
            .send(&kanazawa, Channel::Live, &seed.to_be_bytes())
            .await;
        assert_eq!(kanazawa.frame(komatsu.peer).await.1, seed.to_be_bytes());
    }
    until("counted", || {
        let stats = kanazawa.net.stats();
        stats.failed_handshakes + stats.refused_sources >= 30
    })
    .await;
    // Those who said nothing have been hung up on by now, and a friend can still call.
    for mut caller in silent {
        let mut heard = Vec::new();
        let _ = within("hang-up", caller.read_to_end(&mut heard)).await;
    }
    let mut hakusan = Plan::new(Carrier::Tcp, &[kanazawa.peer], &[&kanazawa]);
    hakusan.limits = Limits::default();
    kanazawa
        .net
        .whitelist()
        .insert(hakusan.keypair.public().to_peer_id(), None)
        .unwrap();
    let mut hakusan = hakusan.open("白山市").await;
    kanazawa.settle(&mut hakusan).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_all_the_places_at_the_door() {
    let mut plan = Plan::new(Carrier::Tcp, &[], &[]);
    plan.limits.pending_per_source = 3;
    let kanazawa = plan.open("金沢市").await;
    let mut callers = Vec::new();
    for _ in 0..5 {
        callers.push(
            TcpStream::connect(("127.0.0.1", kanazawa.port()))
                .await
                .unwrap(),
        );
    }
    until("refusals", || kanazawa.net.stats().refused_sources == 2).await;
}

async fn a_slow_consumer_holds_the_sender_back_and_loses_nothing(over: Carrier) {
    const FRAME: usize = 64 * 1024;
    let (kanazawa, mut komatsu) = kanazawa_and_komatsu(over, |limits| {
        limits.queue_frames = 16;
        limits.queue_bytes = MAX_FRAME;
    })
    .await;
    // 小松市 does not look at its events; 金沢市 sends until nothing has been taken for half a second.
    let mut sent = 0_u64;
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(500) {
        let mut frame = pattern(FRAME, sent);
        frame[..8].copy_from_slice(&sent.to_be_bytes());
        match kanazawa.net.try_send(&komatsu.peer, Channel::Sync, frame) {
            Ok(()) => {
                sent += 1;
                last = Instant::now();
                assert!(sent < 120, "nothing holds the sender back");
            }
            Err(SendError::Full) => sleep(Duration::from_millis(5)).await,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(sent > 16);
    // The other stream has its own queue and its own credit, though the consumer is one.
    kanazawa
        .net
        .try_send(&komatsu.peer, Channel::Live, b"overtakes".to_vec())
        .unwrap();
    let mut live = 0;
    let mut next = 0_u64;
    while next < sent || live < 1 {
        let (channel, bytes) = komatsu.frame(kanazawa.peer).await;
        if channel == Channel::Live {
            live += 1;
            continue;
        }
        let mut expected = pattern(FRAME, next);
        expected[..8].copy_from_slice(&next.to_be_bytes());
        assert!(bytes == expected, "frame {next} of {sent}");
        next += 1;
    }
    kanazawa.send(&komatsu, Channel::Sync, b"and on").await;
    assert_eq!(komatsu.frame(kanazawa.peer).await.1, b"and on");
}

async fn a_town_that_restarts_is_called_again(over: Carrier) {
    let mut kanazawa = Plan::new(over, &[], &[]).open("金沢市").await;
    let plan = Plan::new(over, &[kanazawa.peer], &[]);
    kanazawa
        .net
        .whitelist()
        .insert(plan.keypair.public().to_peer_id(), None)
        .unwrap();
    let mut komatsu = plan.open("小松市").await;
    let (peer, address) = (komatsu.peer, komatsu.full_address());
    kanazawa
        .net
        .command(NetCommand::AddAddress { peer, address })
        .await
        .unwrap();
    kanazawa.settle(&mut komatsu).await;

    // Killed: no goodbye. What QUIC ends, it ends in the background, and holds the port meanwhile.
    komatsu.task.abort();
    kanazawa.disconnected(peer).await;
    let mut plan = Plan::new(over, &[kanazawa.peer], &[]);
    plan.keypair = komatsu.keypair.clone();
    plan.listen = komatsu.address.clone();
    let port = komatsu.port();
    drop(komatsu);
    if over == Carrier::Quic {
        let is_free = || std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok();
        until("a free port", is_free).await;
    }
    let mut komatsu = plan.open("小松市").await;
    kanazawa.settle(&mut komatsu).await;
    kanazawa
        .send(&komatsu, Channel::Sync, b"welcome back")
        .await;
    assert_eq!(komatsu.frame(kanazawa.peer).await.1, b"welcome back");
}

async fn a_shutdown_sends_what_is_queued_and_ends_in_time(over: Carrier) {
    let (kanazawa, mut komatsu) = kanazawa_and_komatsu(over, |_| {}).await;
    for number in 0..40_u8 {
        let frame = pattern(50_000, u64::from(number));
        kanazawa.send(&komatsu, Channel::Sync, &frame).await;
    }
    kanazawa.send(&komatsu, Channel::Live, b"last words").await;
    let (begin, port) = (Instant::now(), kanazawa.port());
    kanazawa.net.shutdown().await;
    let (mut sync, mut live) = (0_u8, 0);
    while sync < 40 || live < 1 {
        match komatsu.frame(kanazawa.peer).await {
            (Channel::Live, bytes) => {
                assert_eq!(bytes, b"last words");
                live += 1;
            }
            (Channel::Sync, bytes) => {
                assert!(bytes == pattern(50_000, u64::from(sync)));
                sync += 1;
            }
        }
    }
    komatsu.disconnected(kanazawa.peer).await;
    within("end", kanazawa.task).await.unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(
        kanazawa
            .net
            .send(&komatsu.peer, Channel::Sync, vec![1])
            .await,
        Err(SendError::NotConnected)
    );
    match over {
        Carrier::Tcp => assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err()),
        Carrier::Quic => {
            let is_free = || std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok();
            until("a free port", is_free).await;
        }
    }
}

async fn the_network_stops_when_nobody_takes_its_events(over: Carrier) {
    let (kanazawa, mut komatsu) = kanazawa_and_komatsu(over, |_| {}).await;
    drop(kanazawa.events);
    komatsu.disconnected(kanazawa.peer).await;
    within("end", kanazawa.task).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_tls_is_offered_and_only_version_1_3() {
    let kanazawa = Plan::new(Carrier::Tcp, &[], &[]).open("金沢市").await;
    for (protocol, offered) in [
        ("/noise", false),
        ("/plaintext/2.0.0", false),
        ("/secio/1.0.0", false),
        ("/tls/1.0.0", true),
    ] {
        let mut socket = TcpStream::connect(("127.0.0.1", kanazawa.port()))
            .await
            .unwrap();
        socket.write_all(&line("/multistream/1.0.0")).await.unwrap();
        socket.write_all(&line(protocol)).await.unwrap();
        let expected = [
            line("/multistream/1.0.0"),
            line(if offered { protocol } else { "na" }),
        ]
        .concat();
        let mut answer = vec![0; expected.len()];
        within("answer", socket.read_exact(&mut answer))
            .await
            .unwrap();
        assert_eq!(answer, expected, "{protocol}");
        if offered {
            socket.write_all(&tls_1_2_client_hello()).await.unwrap();
            let mut alert = [0; 7];
            within("alert", socket.read_exact(&mut alert))
                .await
                .unwrap();
            // RFC 8446 section 6: record type 21, and in it fatal (2) protocol_version (70).
            assert_eq!((alert[0], alert[5], alert[6]), (21, 2, 70), "{alert:?}");
        }
    }
}

/// A ClientHello of TLS 1.2 (RFC 5246 section 7.4.1.2) with two ECDHE suites, P-256 and the usual
/// signature schemes.
fn tls_1_2_client_hello() -> Vec<u8> {
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 23][..],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 8, 0, 6, 4, 3, 4, 1, 8, 4],
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u16::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1];
    record.extend((length + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend(length.to_be_bytes());
    record.extend(body);
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_cannot_work_says_why() {
    let taken = Plan::new(Carrier::Tcp, &[], &[]).open("金沢市").await;
    let check = |config: NetConfig, expected: &str| {
        let (sender, _) = mpsc::channel(1);
        let error: NetError = start(
            config,
            Keypair::generate_ed25519(),
            Whitelist::default(),
            sender,
        )
        .map(drop)
        .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(
        NetConfig {
            bootstrap: vec![taken.address.clone()],
            ..NetConfig::default()
        },
        "must end in /p2p/",
    );
    check(
        NetConfig {
            listen: vec!["/ip4/203.0.113.1/tcp/1".parse().unwrap()],
            ..NetConfig::default()
        },
        "cannot listen on /ip4/203.0.113.1/tcp/1",
    );
    check(
        NetConfig {
            limits: Limits {
                queue_bytes: MAX_FRAME - 1,
                ..Limits::default()
            },
            ..NetConfig::default()
        },
        "queue_bytes",
    );
}
