//! yamux frames by hand, from strangers and from whitelisted peers. The published ones are CVE-2026-32314 (a SYN frame with
//! more data than a window) and CVE-2026-31814 (a window that overflows).

use libp2p::identity::Keypair;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::raw::{AT_ONCE, Target, hung_up, noise};

const DATA: u8 = 0;
const WINDOW: u8 = 1;
const PING: u8 = 2;
const GO_AWAY: u8 = 3;
const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

/// One frame: version 0, this type, these flags, stream and length, and what follows.
fn frame(kind: u8, flags: u16, stream: u32, length: u32, body: &[u8]) -> Vec<u8> {
    [
        &[0, kind][..],
        &flags.to_be_bytes(),
        &stream.to_be_bytes(),
        &length.to_be_bytes(),
        body,
    ]
    .concat()
}

fn data(flags: u16, stream: u32, body: &[u8]) -> Vec<u8> {
    frame(
        DATA,
        flags,
        stream,
        u32::try_from(body.len()).unwrap(),
        body,
    )
}

/// What a whitelisted peer gets for it.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// The node hangs up.
    Cut,
    /// It says GoAway, and hangs up when no streams come about.
    Told,
    /// Nothing in particular.
    None,
}

/// Whether the node says GoAway soon.
async fn told<S: AsyncRead + Unpin>(stream: &mut S) -> bool {
    let listening = async {
        loop {
            let mut header = [0; 12];
            if stream.read_exact(&mut header).await.is_err() {
                return false;
            }
            let length = u32::from_be_bytes(header[8..].try_into().unwrap());
            match header[1] {
                GO_AWAY => return true,
                DATA => {
                    let mut body = vec![0; length as usize];
                    if stream.read_exact(&mut body).await.is_err() {
                        return false;
                    }
                }
                _ => {}
            }
        }
    };
    timeout(AT_ONCE, listening).await.unwrap_or(false)
}

/// What is said, and the answer.
fn table() -> Vec<(String, Vec<u8>, Answer)> {
    use Answer::{Cut, None, Told};

    let open = frame(WINDOW, SYN, 1, 0, &[]);
    let mut cases = Vec::new();
    let mut add =
        |case: &str, bytes: Vec<u8>, answer: Answer| cases.push((case.to_owned(), bytes, answer));
    add("version 1", [&[1], &open[1..]].concat(), Cut);
    add("version 255", [&[255], &open[1..]].concat(), Cut);
    for kind in [4, 5, 127, 255] {
        add(&format!("type {kind}"), frame(kind, 0, 1, 0, &[]), Cut);
    }
    add("data on an unknown stream", data(0, 1, b"x"), None);
    add(
        "data on an unknown stream of the node's",
        data(0, 2, b"x"),
        None,
    );
    add("stream 0 opened", frame(WINDOW, SYN, 0, 0, &[]), Told);
    add("data on stream 0", data(SYN, 0, b"x"), Told);
    add(
        "the node's number opened",
        frame(WINDOW, SYN, 2, 0, &[]),
        Told,
    );
    add("the same stream twice", open.repeat(2), Told);
    add(
        "a length of 4 GiB",
        frame(DATA, SYN, 1, u32::MAX, &[7; 64]),
        Cut,
    );
    add(
        "a length of 1 GiB later",
        [&open[..], &frame(DATA, 0, 1, 1 << 30, &[7; 64])].concat(),
        Cut,
    );
    add(
        "more than a window with SYN",
        data(SYN, 1, &vec![7; (256 << 10) + 1]),
        Told,
    );
    add(
        "more than a window",
        [&open[..], &data(0, 1, &vec![7; (256 << 10) + 1])].concat(),
        Told,
    );
    // If the first piece was read by then, the stream is gone and the rest is for nobody; else the window is overrun.
    add(
        "two windows at once",
        [&open[..], &data(0, 1, &vec![7; 200 << 10]).repeat(3)].concat(),
        None,
    );
    add(
        "a window that overflows",
        [&open[..], &frame(WINDOW, 0, 1, u32::MAX, &[]).repeat(2)].concat(),
        None,
    );
    add(
        "a window that overflows with SYN",
        frame(WINDOW, SYN, 1, u32::MAX, &[]),
        None,
    );
    add(
        "a window for nobody",
        frame(WINDOW, 0, 9, 1 << 20, &[]),
        None,
    );
    add(
        "FIN twice, then data",
        [
            &open[..],
            &frame(DATA, FIN, 1, 0, &[]).repeat(2),
            &data(0, 1, b"x"),
        ]
        .concat(),
        None,
    );
    add(
        "RST, then data",
        [&open[..], &frame(DATA, RST, 1, 0, &[]), &data(0, 1, b"x")].concat(),
        None,
    );
    add("RST of nothing", frame(DATA, RST, 77, 0, &[]), None);
    add(
        "all flags",
        frame(DATA, SYN | ACK | FIN | RST, 1, 0, &[]),
        None,
    );
    add("unknown flags", frame(DATA, 0xfff0, 1, 0, &[]), None);
    add(
        "an answer that nobody asked for",
        frame(PING, ACK, 0, 42, &[]),
        None,
    );
    add("a ping on a stream", frame(PING, SYN, 5, 42, &[]), None);
    add(
        "10,000 pings",
        frame(PING, SYN, 0, 42, &[]).repeat(10_000),
        None,
    );
    add(
        "10,000 streams",
        many(10_000, |id| frame(WINDOW, SYN, id, 0, &[])),
        None,
    );
    add(
        "1,000 streams opened and reset",
        many(1_000, |id| {
            [frame(WINDOW, SYN, id, 0, &[]), frame(DATA, RST, id, 0, &[])].concat()
        }),
        None,
    );
    add(
        "10,000 empty frames",
        [&open[..], &data(0, 1, &[]).repeat(10_000)].concat(),
        None,
    );
    for code in [0, 1, 2, 3, u32::MAX] {
        let bytes = [&frame(GO_AWAY, 0, 0, code, &[])[..], &open].concat();
        add(&format!("GoAway {code}, and on"), bytes, Cut);
    }
    add("half a header", open[..7].to_vec(), None);
    add(
        "data that does not come",
        frame(DATA, SYN, 1, 1000, &[7; 10]),
        None,
    );
    for seed in 0..8 {
        add(
            &format!("noise {seed}"),
            [&[1 + u8::try_from(seed).unwrap()], &noise(4_000, seed)[..]].concat(),
            Cut,
        );
    }
    cases
}

fn many(count: u32, one: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(|number| one(2 * number + 1)).collect()
}

pub(super) async fn play(target: &mut Target<'_>) {
    for (case, bytes, answer) in table() {
        // A stranger is hung up on whatever it says, often before it could.
        let stranger = Keypair::generate_ed25519();
        if let Ok(mut stream) = target.muxer(&stranger).await {
            let _broken = stream.write_all(&bytes).await;
            let _broken = stream.flush().await;
            if !hung_up(&mut stream, AT_ONCE).await {
                target.wrong.push(format!("{case}: a stranger stays"));
            }
        }
        target.stands(&case).await;

        let key = target.key();
        let mut stream = target.muxer(&key).await.unwrap();
        let _broken = stream.write_all(&bytes).await;
        let _broken = stream.flush().await;
        let right = match answer {
            Answer::Cut => hung_up(&mut stream, AT_ONCE).await,
            Answer::Told => told(&mut stream).await,
            Answer::None => true,
        };
        if !right {
            target.wrong.push(format!("{case}: not {answer:?}"));
        }
        target.held.push(Box::new(stream));
        target.stands(&case).await;
    }
}
