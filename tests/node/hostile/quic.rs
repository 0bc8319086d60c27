//! Callers over QUIC who keep none of its rules, or use all that it has: datagrams that are none of its, handshakes without an end,
//! streams of kinds that nobody needs. Its reassembly (RUSTSEC-2026-0185) is left to quinn's version: a well-behaved library sends
//! no such gaps.

use std::sync::Arc;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::tls;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::ClientConfig;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::raw::{AT_ONCE, Target, noise};
use crate::intruder::{Intruder, OneWay, line};

/// Handshakes that never end; fewer have a place at the door.
const HALF_OPEN: usize = 60;
/// Streams that one peer may have open, and of which so many are asked at once what they are for.
const STREAMS: usize = 64;
const NEGOTIATING: usize = 8;
/// How long the node has for a handshake, and some.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// A connection as this configuration of TLS has it, as far as the caller sees.
pub(super) async fn call(
    target: &Target<'_>,
    config: ClientConfig,
) -> Result<quinn::Connection, quinn::ConnectionError> {
    let crypto = QuicClientConfig::try_from(config).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    let calling = endpoint.connect_with(config, target.quic.unwrap(), "l");
    timeout(HANDSHAKE, calling.unwrap()).await.expect("an end")
}

/// Whether the node closes it soon.
pub(super) async fn hung_up(connection: &quinn::Connection, soon: Duration) -> bool {
    timeout(soon, connection.closed()).await.is_ok()
}

fn config(target: &Target<'_>, key: &Keypair) -> ClientConfig {
    tls::make_client_config(key, Some(target.peer)).unwrap()
}

pub(super) async fn play(target: &mut Target<'_>) {
    datagrams(target).await;
    strangers(target).await;
    listed(target).await;
}

/// A long header of this version with ids of these lengths, and what follows.
fn long(first: u8, version: u32, ids: [u8; 2], rest: &[u8]) -> Vec<u8> {
    let mut datagram = vec![first];
    datagram.extend(version.to_be_bytes());
    for length in ids {
        datagram.push(length);
        datagram.extend(noise(usize::from(length), 7));
    }
    datagram.extend(rest);
    datagram
}

async fn datagrams(target: &mut Target<'_>) {
    let filler = noise(1_200, 3);
    let mut said: Vec<(String, Vec<u8>)> = vec![
        ("an empty datagram".into(), Vec::new()),
        ("one byte".into(), vec![0xc0]),
        ("an Initial of noise".into(), long(0xc3, 1, [8, 8], &filler)),
        (
            "a short Initial".into(),
            long(0xc3, 1, [8, 8], &filler[..40]),
        ),
        ("an Initial with a token of 2^62 bytes".into(), {
            let token = [&[0xff; 8][..], &filler].concat();
            long(0xc3, 1, [8, 8], &token)
        }),
        ("an Initial that announces 2^62 bytes".into(), {
            let length = [&[0][..], &[0xff; 8], &filler].concat();
            long(0xc3, 1, [8, 8], &length)
        }),
        (
            "ids of 255 bytes".into(),
            long(0xc3, 1, [255, 255], &filler),
        ),
        ("an id without bytes".into(), long(0xc3, 1, [0, 0], &filler)),
        ("0-RTT of nobody".into(), long(0xd3, 1, [8, 8], &filler)),
        (
            "a Handshake of nobody".into(),
            long(0xe3, 1, [8, 8], &filler),
        ),
        ("a Retry".into(), long(0xf3, 1, [8, 8], &filler)),
        ("a list of versions".into(), long(0xc3, 0, [8, 8], &filler)),
        (
            "a version that nobody has".into(),
            long(0xc3, 0x1a2a_3a4a, [8, 8], &filler),
        ),
        ("draft 29".into(), long(0xc3, 0xff00_001d, [8, 8], &filler)),
        (
            "QUIC version 2".into(),
            long(0xc3, 0x6b33_43cf, [8, 8], &filler),
        ),
        ("a short header".into(), [&[0x40][..], &filler].concat()),
        ("the largest datagram".into(), noise(65_507, 4)),
        ("HTTP".into(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ];
    for seed in 0..6 {
        said.push((format!("a datagram of noise {seed}"), noise(1_350, seed)));
    }
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    socket.connect(target.quic.unwrap()).await.unwrap();
    for (case, datagram) in said {
        for _ in 0..50 {
            // A full buffer of the kernel's loses it.
            let _lost = socket.send(&datagram).await;
        }
        target.stands(&case).await;
    }
}

async fn strangers(target: &mut Target<'_>) {
    let nobody = Keypair::generate_ed25519();
    let named = |names: &[&[u8]]| {
        let mut config = config(target, &nobody);
        config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
        config
    };
    let cases = [
        ("no protocol", named(&[])),
        ("HTTP/3", named(&[b"h3"])),
        ("a stranger over QUIC", named(&[b"libp2p"])),
    ];
    for (case, config) in cases {
        if let Ok(connection) = call(target, config).await {
            let closed = hung_up(&connection, AT_ONCE).await;
            assert!(closed, "{case}: let in");
        }
        target.stands(case).await;
    }
}

async fn listed(target: &mut Target<'_>) {
    let key = target.key();
    let connection = call(target, config(target, &key)).await.unwrap();
    let soon = Duration::from_millis(500);
    let one_way = timeout(soon, connection.open_uni()).await;
    assert!(one_way.is_err(), "streams of one direction are taken");
    assert_eq!(connection.max_datagram_size(), None, "datagrams are taken");
    target.stands("what QUIC has besides").await;

    // As many streams as it may. The first begin a word and do not end it, so that the rest, filled, are read by nobody.
    let opening = line("/multistream/1.0.0");
    let unfinished = [&opening[..], &[0x7f]].concat();
    let filled = [&opening[..], &[7; 64 << 10]].concat();
    let mut streams = Vec::new();
    let flood = async {
        loop {
            let (mut send, receive) = connection.open_bi().await.unwrap();
            let said = if streams.len() < NEGOTIATING {
                &unfinished
            } else {
                &filled
            };
            let _full = timeout(Duration::from_millis(100), send.write_all(said)).await;
            streams.push((send, receive));
        }
    };
    let _held_back = timeout(Duration::from_secs(3), flood).await;
    assert!(streams.len() <= STREAMS, "{} streams", streams.len());
    target.stands("unread streams").await;
    target.held.push(Box::new((connection, streams)));

    // Streams that are reset as they are opened, thousands of them (as HTTP/2's rapid reset, CVE-2023-44487).
    let key = target.key();
    let connection = call(target, config(target, &key)).await.unwrap();
    let mut reset = 0;
    let resetting = async {
        while let Ok((mut send, mut receive)) = connection.open_bi().await {
            let _gone = send.write_all(&[1]).await;
            let _gone = send.reset(1_u32.into());
            let _gone = receive.stop(1_u32.into());
            reset += 1;
        }
    };
    let _held_back = timeout(Duration::from_secs(3), resetting).await;
    target.stands(&format!("{reset} streams reset")).await;
    target.held.push(Box::new(connection));
}

/// Comes last: its callers take the places that others from this address would need.
pub(super) async fn half_open(target: &mut Target<'_>) {
    let port = target.quic.unwrap().port();
    let mut lines = Vec::new();
    for _ in 0..HALF_OPEN {
        let one_way = OneWay::to(port).await;
        let (address, whom) = (one_way.address.clone(), target.peer);
        let calling = tokio::spawn(async move {
            let key = Keypair::generate_ed25519();
            Intruder::try_call(&key, &address, whom).await.is_some()
        });
        lines.push((one_way, calling));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    target.stands("half-open handshakes").await;
    for (one_way, calling) in lines {
        assert!(!calling.await.unwrap(), "a handshake without an answer");
        let (sent, answered) = one_way.counted();
        // Whoever makes an address up has the node send three times as much to it at most (RFC 9000 section 8.1).
        assert!(answered <= 3 * sent, "{answered} bytes for {sent}");
    }
    target.stands("their end").await;
}
