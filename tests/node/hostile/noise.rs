//! Strangers who do not even get to TLS.

use tokio::io::AsyncWriteExt as _;

use super::raw::{Target, hung_up, noise};
use crate::intruder::line;

/// Longer than a handshake may take.
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(20);
/// Fewer than the places that one address has at the door.
const SILENT: usize = 16;

pub(super) async fn play(target: &mut Target<'_>) {
    let opening = [line("/multistream/1.0.0"), line("/tls/1.0.0")].concat();
    let mut said: Vec<(String, Vec<u8>)> = vec![
        ("http".into(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("ssh".into(), b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("zeroes".into(), vec![0; 4096]),
        ("ones".into(), vec![0xff; 4096]),
        ("a length without end".into(), vec![0x80; 64]),
        (
            "a long line".into(),
            [&[0xff, 0x7f][..], &[b'a'; 16_383]].concat(),
        ),
        ("no protocols".into(), line("/multistream/1.0.0")),
        ("another multistream".into(), line("/multistream/9.9.9")),
        (
            "asks for a list".into(),
            [line("/multistream/1.0.0"), line("ls")].concat(),
        ),
        (
            "twice the header".into(),
            line("/multistream/1.0.0").repeat(2),
        ),
    ];
    for protocol in [
        "/noise",
        "/plaintext/2.0.0",
        "/secio/1.0.0",
        "/yamux/1.0.0",
        "",
    ] {
        let asked = [line("/multistream/1.0.0"), line(protocol)].concat();
        said.push((format!("asks for {protocol:?}"), asked));
    }
    for length in [1, 2, 5, 6, 43, 200] {
        // A handshake record that announces more than comes, or another length than it has.
        let hello = [
            &opening[..],
            &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3],
            &noise(length, 1),
        ]
        .concat();
        said.push((
            format!("a ClientHello that ends after {length} bytes"),
            hello,
        ));
    }
    for kind in [20, 21, 23, 24, 255] {
        let record = [&opening[..], &[kind, 3, 3, 0, 16], &noise(16, 2)].concat();
        said.push((format!("a TLS record of kind {kind} first"), record));
    }
    let long = [&opening[..], &[22, 3, 1, 0xff, 0xff], &noise(70_000, 3)].concat();
    said.push(("a TLS record of 65,535 bytes".into(), long));
    for seed in 0..12 {
        said.push((format!("noise {seed}"), noise(3_000, seed)));
        let inside = [&opening[..], &noise(3_000, seed)].concat();
        said.push((format!("noise {seed} instead of TLS"), inside));
    }
    for (case, bytes) in said {
        let mut socket = target.tcp().await;
        // It may have been hung up on before it has said everything.
        let _broken = socket.write_all(&bytes).await;
        let _broken = socket.shutdown().await;
        assert!(hung_up(&mut socket, HANDSHAKE).await, "{case}");
        target.stands(&case).await;
    }
    // Half-open: they stay until the node has enough of them.
    for _ in 0..SILENT {
        let socket = target.tcp().await;
        target.held.push(Box::new(socket));
    }
    target.stands("callers who say nothing").await;
    let mut slow = target.tcp().await;
    target.held.push(Box::new(tokio::spawn(async move {
        for byte in opening.iter().cycle() {
            if slow.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    })));
    target.stands("a byte now and then").await;
}
