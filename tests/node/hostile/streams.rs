//! Whitelisted peers who open streams as they should not, and frames that are none.

use std::time::Duration;

use libp2p::core::muxing::SubstreamBox;
use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::identity::Keypair;

use super::raw::{AT_ONCE, Target, noise};
use crate::intruder::{Intruder, line, negotiate};
use city_node::net::MAX_FRAME;

/// Bytes on the sync stream, and whether the connection ends for them.
/// How often a frame that is to cut off is sent before it counts as not cut off.
const TRIES: usize = 3;

fn frames() -> Vec<(&'static str, Vec<u8>, bool)> {
    let over = u32::try_from(MAX_FRAME).unwrap() + 1;
    vec![
        ("a frame of 4 GiB", vec![0xff; 64], true),
        (
            "a frame of 1 GiB",
            [&[0x40, 0, 0, 0][..], &[7; 64]].concat(),
            true,
        ),
        (
            "one byte too many",
            [&over.to_be_bytes()[..], &[7; 64]].concat(),
            true,
        ),
        ("an empty frame", vec![0; 4], true),
        (
            "a frame of noise",
            [&[0, 0, 4, 0][..], &noise(1024, 1)].concat(),
            true,
        ),
        (
            "the largest frame of noise",
            [&(over - 1).to_be_bytes()[..], &noise(MAX_FRAME, 1)].concat(),
            true,
        ),
        ("a thousand empty frames", vec![0; 4000], true),
        ("half a length", vec![0, 0], false),
        (
            "half a frame",
            [&[0, 0, 4, 0][..], &noise(100, 1)].concat(),
            false,
        ),
    ]
}

pub(super) async fn play(target: &mut Target<'_>) {
    for (case, bytes, cut) in frames() {
        // A machine that does something else may be slow once; a node that does not cut off never does.
        let mut tries = 0..TRIES;
        while tries.next().is_some() {
            let key = target.key();
            let mut intruder = Intruder::call(&key, &target.address, target.peer).await;
            let (mut sync, live) = intruder.both_streams().await;
            let _broken = sync.write_all(&bytes).await;
            let _broken = sync.flush().await;
            let gone = cut && tokio::time::timeout(AT_ONCE, intruder.gone()).await.is_ok();
            target.held.push(Box::new((intruder, sync, live)));
            if gone == cut {
                break;
            }
            if tries.is_empty() {
                target.wrong.push(format!("{case}: not cut off"));
            }
        }
        target.stands(case).await;
    }

    for protocol in [
        "/city-node/sync/2",
        "/city-node/admin/1",
        "/ipfs/kad/1.0.0",
        "/meshsub/1.1.0",
        "/libp2p/circuit/relay/0.2.0/hop",
        "",
    ] {
        let key = target.key();
        let mut intruder = Intruder::call(&key, &target.address, target.peer).await;
        let mut stream = intruder.stream().await.unwrap();
        assert!(!negotiate(&mut stream, protocol).await, "{protocol}");
        target.held.push(Box::new(intruder));
        target.stands(protocol).await;
    }

    // A thousand streams that nobody needs: of ours, of nobody's, and of those who say nothing.
    for opening in [
        line("/multistream/1.0.0"),
        [line("/multistream/1.0.0"), line("/city-node/live/1")].concat(),
        [line("/multistream/1.0.0"), line("/ipfs/id/1.0.0")].concat(),
        noise(300, 9),
        Vec::new(),
    ] {
        let key = target.key();
        let mut intruder = Intruder::call(&key, &target.address, target.peer).await;
        let mut streams = Vec::new();
        let flood = async {
            for _ in 0..1000 {
                let Some(mut stream) = intruder.stream().await else {
                    break;
                };
                if stream.write_all(&opening).await.is_err() || stream.flush().await.is_err() {
                    break;
                }
                streams.push(stream);
            }
        };
        // It stops by itself when the node takes no more.
        let _held_back = tokio::time::timeout(Duration::from_secs(2), flood).await;
        let case = format!("{} streams of {} bytes", streams.len(), opening.len());
        target.held.push(Box::new((intruder, streams)));
        target.stands(&case).await;
    }

    // Never reads again, on a connection with both streams.
    let key = target.key();
    let mut deaf = Intruder::call(&key, &target.address, target.peer).await;
    let streams = deaf.both_streams().await;
    deaf.hold_still();
    target.held.push(Box::new((deaf, streams)));
    target.stands("who never reads").await;

    // A byte of a frame now and then.
    let key = target.key();
    let mut slow = Intruder::call(&key, &target.address, target.peer).await;
    let (mut sync, live) = slow.both_streams().await;
    target.held.push(Box::new(tokio::spawn(async move {
        let _kept = (&slow, &live);
        let frame = (1_000_000_u32)
            .to_be_bytes()
            .into_iter()
            .chain(std::iter::repeat(7));
        for byte in frame {
            if sync.write_all(&[byte]).await.is_err() || sync.flush().await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })));
    target.stands("a frame byte by byte").await;

    // A name that is longer than any, and an answer that is read to its end.
    let key = target.key();
    let mut intruder = Intruder::call(&key, &target.address, target.peer).await;
    let mut stream = intruder.stream().await.unwrap();
    let _broken = stream
        .write_all(&[&[0xff, 0xff, 0x03][..], &[b'a'; 65_535]].concat())
        .await;
    let _broken = stream.flush().await;
    let mut heard = Vec::new();
    let answer = stream.read_to_end(&mut heard);
    let ended = tokio::time::timeout(Duration::from_secs(12), answer).await;
    assert!(ended.is_ok(), "a long name is waited for");
    target.stands("a protocol's name of 64 KiB").await;

    // Somebody who comes and goes is not spoken to in the end.
    let key = target.key();
    for _ in 0..20 {
        drop(with_both_streams(target, &key).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut last = with_both_streams(target, &key).await;
    let soon = tokio::time::timeout(AT_ONCE, last.0.gone()).await;
    if soon.is_err() {
        target
            .wrong
            .push("who comes and goes is still spoken to".into());
    }
    target.stands("who comes and goes").await;
}

/// Somebody with both streams, as far as it is let; dropping it hangs up.
async fn with_both_streams(target: &Target<'_>, key: &Keypair) -> (Intruder, Vec<SubstreamBox>) {
    let mut caller = Intruder::call(key, &target.address, target.peer).await;
    let mut streams = Vec::new();
    for protocol in ["/city-node/sync/1", "/city-node/live/1"] {
        if let Some(mut stream) = caller.stream().await {
            // A node that does not speak to it may have hung up by now.
            let _spoken = negotiate(&mut stream, protocol).await;
            streams.push(stream);
        }
    }
    (caller, streams)
}
