//! What holds over TCP holds over QUIC: the tests beside it, each once over both. And what is QUIC's own.

use city_node::net::DialFailure;
use libp2p::tls;
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use rustls::NamedGroup;
use tokio::net::UdpSocket;

use super::strangers::*;
use super::*;
use crate::intruder::OneWay;

macro_rules! over_both {
    ($($story:ident,)*) => {
        mod tcp {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story(super::Carrier::Tcp).await;
            })*
        }
        mod quic {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story(super::Carrier::Quic).await;
            })*
        }
    };
}

over_both! {
    two_towns_exchange_frames_on_both_streams,
    the_largest_frames_arrive_whole_and_larger_ones_are_not_taken,
    both_towns_dial_at_once_and_one_connection_remains,
    a_stranger_is_denied_and_the_whitelisted_go_on,
    a_stranger_that_opens_streams_at_once_gets_no_answer,
    somebody_else_at_the_address_is_recognised,
    a_peer_taken_off_the_whitelist_is_cut_off,
    a_peer_whose_time_is_over_is_cut_off,
    a_peer_can_be_sent_away_and_may_come_back,
    a_line_that_dies_without_a_word_is_noticed_and_called_again,
    a_ban_ends_the_connection_lasts_and_ends,
    a_reader_that_replaces_its_connection_again_and_again_is_not_spoken_to,
    a_length_beyond_the_limit_ends_the_connection_without_memory,
    a_peer_that_opens_no_streams_is_let_go,
    a_peer_that_does_not_drain_is_cut_off,
    a_slow_consumer_holds_the_sender_back_and_loses_nothing,
    a_town_that_restarts_is_called_again,
    a_shutdown_sends_what_is_queued_and_ends_in_time,
    the_network_stops_when_nobody_takes_its_events,
    a_stranger_gets_one_protocol_and_nothing_else,
    strangers_are_few_and_their_time_is_short,
    a_request_runs_beside_the_whitelisted_and_a_listed_peer_needs_none,
    two_towns_speak_over_ipv6,
}

async fn two_towns_speak_over_ipv6(over: Carrier) {
    let mut plan = Plan::new(over, &[], &[]);
    plan.listen = anywhere("/ip6/::1", over);
    let mut kanazawa = plan.open("金沢市").await;
    let mut plan = Plan::new(over, &[kanazawa.peer], &[&kanazawa]);
    plan.listen = anywhere("/ip6/::1", over);
    let me = plan.keypair.public().to_peer_id();
    kanazawa.net.whitelist().insert(me, None).unwrap();
    let mut komatsu = plan.open("小松市").await;
    kanazawa.settle(&mut komatsu).await;
    komatsu.send(&kanazawa, Channel::Sync, b"hello").await;
    assert_eq!(kanazawa.frame(komatsu.peer).await.1, b"hello");
    let peer = kanazawa.net.stats().peers.remove(0);
    assert!(peer.address.to_string().starts_with("/ip6/::1/"));
    assert_eq!(Carrier::of(&peer.address), over);
}

/// How long the line of [`udp_line`] carries nothing after the signal: longer than the silence in that story.
const DEAD: Duration = Duration::from_secs(3);

/// A line of datagrams to a port of this machine, for one caller; after the signal it carries nothing for a while.
pub(super) async fn udp_line(port: u16, dead: Arc<Notify>) -> Multiaddr {
    let near = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let far = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    far.connect(("127.0.0.1", port)).await.unwrap();
    let own = near.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut there, mut back) = ([0; 65_536], [0; 65_536]);
        let (mut caller, mut until) = (None, Instant::now());
        let signal = dead.notified();
        tokio::pin!(signal);
        let mut signalled = false;
        loop {
            tokio::select! {
                () = &mut signal, if !signalled => {
                    (until, signalled) = (Instant::now() + DEAD, true);
                }
                Ok((length, from)) = near.recv_from(&mut there) => {
                    caller = Some(from);
                    if Instant::now() >= until {
                        let _lost = far.send(&there[..length]).await;
                    }
                }
                Ok(length) = far.recv(&mut back) => {
                    if let Some(caller) = caller.filter(|_| Instant::now() >= until) {
                        let _lost = near.send_to(&back[..length], caller).await;
                    }
                }
            }
        }
    });
    format!("/ip4/127.0.0.1/udp/{own}/quic-v1").parse().unwrap()
}

/// Callers who never hear an answer hold a place each, until their time is over; then there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_handshakes_of_one_address_are_few_and_end() {
    let mut plan = Plan::new(Carrier::Quic, &[], &[]);
    plan.limits.pending_per_source = 3;
    plan.limits.handshake = Duration::from_secs(4);
    let mut kanazawa = plan.open("金沢市").await;
    let (mut calls, mut lines) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let line = OneWay::to(kanazawa.port()).await;
        let (address, whom) = (line.address.clone(), kanazawa.peer);
        lines.push(line);
        calls.push(tokio::spawn(async move {
            let key = Keypair::generate_ed25519();
            Intruder::try_call(&key, &address, whom).await.is_some()
        }));
    }
    until("refusals", || kanazawa.net.stats().refused_sources >= 2).await;
    // They repeat themselves until they give up; the node has given up on them before.
    until("their end", || kanazawa.net.stats().failed_handshakes >= 3).await;
    calls.iter().for_each(JoinHandle::abort);
    // And nobody whose address was made up gets more than three times what came in its name (RFC 9000 section 8.1).
    for line in lines {
        let (sent, answered) = line.counted();
        assert!(
            sent >= 1200 && answered <= 3 * sent,
            "{answered} for {sent}"
        );
    }
    let mut plan = Plan::new(Carrier::Quic, &[kanazawa.peer], &[&kanazawa]);
    plan.limits = Limits::default();
    let me = plan.keypair.public().to_peer_id();
    kanazawa.net.whitelist().insert(me, None).unwrap();
    let mut komatsu = plan.open("小松市").await;
    kanazawa.settle(&mut komatsu).await;
}

/// Datagrams that are none of QUIC's, or its versions that nobody speaks: the friend does not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_in_datagrams_disturbs_nobody() {
    let (mut kanazawa, komatsu) = kanazawa_and_komatsu(Carrier::Quic, |_| {}).await;
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    socket
        .connect(("127.0.0.1", kanazawa.port()))
        .await
        .unwrap();
    for seed in 0..50_u8 {
        for length in [0, 1, 20, 1200, 1472, 60_000] {
            let mut datagram = pattern(length, u64::from(seed));
            let _full = socket.send(&datagram).await;
            // A long header of version 1, an Initial by its bits; and one of a version that is none.
            for head in [
                &[0xc3, 0, 0, 0, 1, 8][..],
                &[0xff, 0x1a, 0x2a, 0x3a, 0x4a, 20],
            ] {
                let many = head.len().min(length);
                datagram[..many].copy_from_slice(&head[..many]);
                let _full = socket.send(&datagram).await;
            }
        }
        komatsu.send(&kanazawa, Channel::Live, &[seed]).await;
        assert_eq!(kanazawa.frame(komatsu.peer).await.1, [seed]);
    }
    assert_eq!(kanazawa.net.stats().peers.len(), 1);
}

/// The group on which both ends agreed.
fn group(connection: &quinn::Connection) -> NamedGroup {
    let data = connection.handshake_data().expect("it is connected");
    let data: Box<HandshakeData> = data.downcast().expect("rustls's");
    data.negotiated_key_exchange_group
}

/// X25519MLKEM768, whoever calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_exchange_is_hybrid_both_ways() {
    let caller = Keypair::generate_ed25519();
    let friend = caller.public().to_peer_id();
    let kanazawa = Plan::new(Carrier::Quic, &[friend], &[])
        .open("金沢市")
        .await;
    let any = "127.0.0.1:0".parse().unwrap();
    let config = tls::make_client_config(&caller, Some(kanazawa.peer)).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let endpoint = quinn::Endpoint::client(any).unwrap();
    let port = ([127, 0, 0, 1], kanazawa.port()).into();
    let called = endpoint.connect_with(config, port, "l").unwrap();
    let called = within("a call", called).await.unwrap();
    assert_eq!(group(&called), NamedGroup::X25519MLKEM768);

    let server = tls::make_server_config(&caller).unwrap();
    let server = QuicServerConfig::try_from(server).unwrap();
    let server = quinn::ServerConfig::with_crypto(Arc::new(server));
    let endpoint = quinn::Endpoint::server(server, any).unwrap();
    let port = endpoint.local_addr().unwrap().port();
    let address: Multiaddr = format!("/ip4/127.0.0.1/udp/{port}/quic-v1")
        .parse()
        .unwrap();
    let command = NetCommand::AddAddress {
        peer: friend,
        address,
    };
    kanazawa.net.command(command).await.unwrap();
    let incoming = within("a call", endpoint.accept()).await.unwrap();
    let incoming = within("a handshake", incoming.accept().unwrap())
        .await
        .unwrap();
    assert_eq!(group(&incoming), NamedGroup::X25519MLKEM768);
}

/// Without QUIC such an address is neither listened on nor called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_is_off_nothing_of_it_is_there() {
    let address = anywhere("/ip4/127.0.0.1", Carrier::Quic);
    let (sender, _events) = mpsc::channel(1);
    let config = NetConfig {
        listen: vec![address],
        ..NetConfig::default()
    };
    let started = start(
        config,
        Keypair::generate_ed25519(),
        Whitelist::default(),
        sender,
    );
    let error = started.map(drop).unwrap_err();
    assert!(error.to_string().contains("/udp/0/quic-v1"), "{error}");

    let komatsu = Plan::new(Carrier::Quic, &[], &[]).open("小松市").await;
    let (sender, _events) = mpsc::channel(EVENTS);
    let whitelist = Whitelist::default();
    whitelist.insert(komatsu.peer, None).unwrap();
    let config = NetConfig {
        bootstrap: vec![komatsu.full_address()],
        ..NetConfig::default()
    };
    let (net, _task) = start(config, Keypair::generate_ed25519(), whitelist, sender).unwrap();
    sleep(Duration::from_secs(1)).await;
    let known = net.look().await;
    assert!(known.values().all(|peer| peer.addresses.is_empty()));
    let stats = komatsu.net.stats();
    assert_eq!((stats.denied_strangers, stats.failed_handshakes), (0, 0));
}

/// A peer with both is reached by either, also where nobody listens at one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_both_addresses_is_reached_by_the_one_that_works() {
    let mut kanazawa = Plan::new(Carrier::Quic, &[], &[]).open("金沢市").await;
    let mut plan = Plan::new(Carrier::Tcp, &[kanazawa.peer], &[&kanazawa]);
    let dead: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    plan.bootstrap
        .insert(0, dead.with(Protocol::P2p(kanazawa.peer)));
    let me = plan.keypair.public().to_peer_id();
    kanazawa.net.whitelist().insert(me, None).unwrap();
    let mut komatsu = plan.open("小松市").await;
    kanazawa.settle(&mut komatsu).await;
    let peer = komatsu.net.stats().peers.remove(0);
    assert_eq!(
        (Carrier::of(&peer.address), peer.dialer),
        (Carrier::Quic, true)
    );
    let known = komatsu.net.look().await.remove(&kanazawa.peer).unwrap();
    assert!(!matches!(known.failure, Some(DialFailure::Refused(_))));
}
