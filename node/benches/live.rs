//! How soon a peer has stored what a home booked, and what two nodes that are in step say to each other: two processes
//! over loopback. `cargo bench -p city-node --bench live`
//!
//! Timed: from the home's answer until the peer reads the note from what it stored. It is asked once its ledger has grown, for
//! each question before that takes the processor from the two nodes. The limit is one verification, one fdatasync and one round
//! trip over loopback, measured before and after in the same run. What reading alone costs, and how late the limit itself is at
//! times, have rows of their own: both are part of every time. Bytes are counted by a proxy between the two, which is gone when the
//! times are taken.

mod common;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use city_node::client::AdminClient;
use city_node::ledger::notes::{NoteForm, NoteValue};
use city_node::setup::DataDir;
use city_protocol::crypto::{SecretKey, Signer as _, TAG_VERTEX};
use tokio::sync::oneshot;

use common::limits::{median, number, p99, times};
use common::options::Options;
use common::process::Node;
use common::proxy::count_between;
use common::table::{Bar, Table};
use common::town::{Site, free_port};

/// Notes, one after the other.
const NOTES: usize = 400;
/// Runs of each part of the limit, before and after.
const SAMPLES: usize = 200;
/// How long nothing is booked.
const IDLE: Duration = Duration::from_secs(180);
/// By when everything is said that follows from a start: each home's first words are witnessed by the other after half a minute,
/// and after a minute it enters what it has of its CA.
const SETTLED: Duration = Duration::from_secs(100);
/// The key under which all of them stand: the last counts.
const KEY: &str = "live";
/// Pause between two notes: an open day, no burst.
const PAUSE: Duration = Duration::from_millis(20);
/// Pause between two looks whether the ledger has grown or a note has come: whoever asks without one takes the processor from the
/// two nodes.
const LOOK: Duration = Duration::from_micros(100);
/// Until two nodes that met have compared themselves: only then they know to be in step.
const MET: Duration = Duration::from_secs(5);

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(options));
}

async fn run(options: Options) {
    let notes = options.size(NOTES, 20);
    let what = format!("{notes} notes of one home, one after the other, TLS 1.3 over loopback");
    let mut table = Table::new("live", options, &what);
    let dir = tempfile::tempdir().expect("a directory");
    let mut home = Site::found(dir.path(), 0);
    let mut peer = Site::found(dir.path(), 1);
    let proxy = free_port();
    home.admit(&peer, None);
    peer.admit(&home, Some(proxy));
    let (home_node, _) = Node::start(&home.data).await;
    let said = idle(&options, &peer, (proxy, home.port())).await;
    table.row(
        "both ways between two nodes in step, a minute",
        said,
        "B",
        Bar::AtMost(2048.0),
    );
    // From now on without the proxy.
    peer.config.network.peers.clear();
    peer.admit(&home, Some(home.port()));
    let (peer_node, _) = Node::start(&peer.data).await;
    let (writer, reader) = (home_node.admin().await, peer_node.admin().await);
    // The first ones open both logs and all files.
    for number in 0..8 {
        stored(&writer, (&reader, &peer.data), number).await;
    }
    tokio::time::sleep(MET).await;

    let samples = options.size(SAMPLES, 10);
    let mut limits = limit(dir.path(), home.suite.signing(), samples);
    let mut took = Vec::new();
    for number in 8..notes + 8 {
        took.push(stored(&writer, (&reader, &peer.data), number).await);
        tokio::time::sleep(PAUSE).await;
    }
    limits.extend(limit(dir.path(), home.suite.signing(), samples));
    let mut looks = Vec::new();
    for _ in 0..samples {
        let begun = Instant::now();
        reader.note(KEY).await.expect("it has come");
        looks.push(begun.elapsed().as_secs_f64());
        thread::sleep(LOOK);
    }
    let (raw, raw_late) = (median(&mut limits), p99(&mut limits));
    let (middle, late) = (median(&mut took), p99(&mut took));
    let mut row = |what, seconds: f64| table.row(what, seconds * 1e6, "µs", Bar::None);
    row("one verification + fdatasync + round trip, p50", raw);
    row("the same, p99", raw_late);
    row("one look whether a note has come, p50", median(&mut looks));
    row("the same, p99", p99(&mut looks));
    row("booked here → stored there, p50", middle);
    row("booked here → stored there, p99", late);
    table.row("p50 ÷ that", middle / raw, "", Bar::AtMost(3.0));
    table.row("p99 ÷ that", late / raw, "", Bar::AtMost(5.0));
    table.end();
    peer_node.stop();
    home_node.stop();
}

/// Bytes a minute that a peer and a home say to each other while nothing is booked, counted by a proxy at the first port before
/// the second. The peer starts and stops here.
async fn idle(options: &Options, peer: &Site, (proxy, to): (u16, u16)) -> f64 {
    let counted = Arc::new(AtomicU64::new(0));
    let (met, first) = oneshot::channel();
    tokio::spawn(count_between(proxy, to, met, Arc::clone(&counted)));
    let (node, _) = Node::start(&peer.data).await;
    first.await.expect("a connection");
    let (settled, idle) = if options.quick {
        (Duration::from_secs(2), Duration::from_secs(5))
    } else {
        (SETTLED, IDLE)
    };
    tokio::time::sleep(settled).await;
    let before = counted.load(Ordering::Relaxed);
    tokio::time::sleep(idle).await;
    let said = number(counted.load(Ordering::Relaxed) - before);
    node.stop();
    said / idle.as_secs_f64() * 60.0
}

/// Seconds from the home's answer to a note until the peer has it, which keeps it in this directory.
async fn stored(
    writer: &AdminClient,
    (reader, data): (&AdminClient, &DataDir),
    number: usize,
) -> f64 {
    let value = NoteValue(number.to_string().into_bytes());
    let form = NoteForm {
        key: KEY.into(),
        value: Some(value.clone()),
    };
    let before = ledger_bytes(data);
    writer.write_note(&form).await.expect("booked");
    let begun = Instant::now();
    while ledger_bytes(data) == before {
        thread::sleep(LOOK);
    }
    loop {
        // None before the first has come.
        let found = reader.note(KEY).await.ok();
        if found.and_then(|page| page.value) == Some(value.clone()) {
            return begun.elapsed().as_secs_f64();
        }
        thread::sleep(LOOK);
    }
}

/// How long a node's ledger is.
fn ledger_bytes(data: &DataDir) -> u64 {
    let files = fs::read_dir(data.ledger()).expect("a ledger");
    let lengths = files.map(|file| {
        file.and_then(|file| file.metadata())
            .expect("a segment")
            .len()
    });
    lengths.sum()
}

/// How long one verification, one fdatasync and one round trip took together, in seconds, so many times.
fn limit(dir: &Path, algorithm: city_protocol::crypto::Algorithm, samples: usize) -> Vec<f64> {
    let key = SecretKey::generate(algorithm);
    let message = vec![7; 1500];
    let signature = key.sign(TAG_VERTEX, &message);
    let mut file = File::create(dir.join("limit")).expect("a file");
    let bytes = vec![7; 8 * 1024];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let echo = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        stream.set_nodelay(true).expect("a socket");
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            stream.write_all(&byte).expect("it listens");
        }
    });
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let taken = times(samples, || {
        let mut byte = [7];
        stream.write_all(&byte).expect("it listens");
        stream.read_exact(&mut byte).expect("it answers");
        key.public()
            .verify(TAG_VERTEX, &message, &signature)
            .expect("good");
        file.write_all(&bytes).expect("written");
        file.sync_data().expect("synced");
    });
    drop(stream);
    echo.join().expect("it ends with the connection");
    taken
}
