//! What a node costs that holds 100,000 transfers: memory, opening after `kill -9`, rebuilding the index, disk.
//! `cargo bench -p city-node --bench at_rest`; `-- --long` with 1,000,000.
//!
//! The bench starts itself as a process of its own, which fills a data directory and goes on accepting until it
//! is killed; everything after that is measured on `city-node run`. The bulk is written into the log directly, under
//! signatures of people that nobody made: rebuilding verifies none.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use city_node::daemon::{open_for_reading, set_index_aside};
use city_node::engine::StoreHistory;
use city_node::setup::{DataDir, load_identity};
use city_node::store::{Position, Store};
use city_protocol::body::Kind;
use city_protocol::codec;
use city_protocol::ids::Digest;
use city_protocol::ledger::{History, Rows as _, Table as Tables, key};
use city_protocol::vertex::{SignedHeader, decode_body};

use common::forge;
use common::limits::{median, number, p99, per_s};
use common::options::Options;
use common::process::Node;
use common::table::{Bar, Table};
use common::town::{Site, Town};

/// Transfers at rest.
const TRANSFERS: usize = 100_000;
/// The same with `--long`.
const LONG: usize = 1_000_000;
/// So many of them go through the real engine.
const SIGNED: usize = 10_000;
/// Senders of them.
const SENDERS: usize = 500;
/// Argument with which the bench starts itself: directory, transfers, senders, how many of them are signed.
const FILL: &str = "--fill";
/// How long the filling process goes on accepting before it is killed.
const BUSY: Duration = Duration::from_secs(2);
/// How long a started node is left alone before its memory is looked at.
const REST: Duration = Duration::from_secs(3);
/// Look-ups of each kind.
const LOOK_UPS: u64 = 2_000;
/// Transfers of the smallest vertex for which the bar on the ledger's bytes is meant.
const BATCH: u64 = 64;
/// Rows that are counted at once.
const PAGE: usize = 4096;
/// What the filling process says when everything is in.
const FILLED: &str = "filled";

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == FILL) {
        runtime.block_on(fill(&arguments[1..]));
    } else {
        runtime.block_on(measure(Options::read()));
    }
}

async fn measure(options: Options) {
    let transfers = match options.long {
        true => LONG,
        false => options.size(TRANSFERS, 2_000),
    };
    let signed = options.size(SIGNED, 1_000);
    let what = format!("{transfers} transfers, {signed} of them with good signatures");
    let mut table = Table::new("at_rest", options, &what);
    let dir = tempfile::tempdir().expect("a directory");
    let senders = options.size(SENDERS, 50);
    fill_and_kill(dir.path(), &[transfers, senders, signed]);
    let data = DataDir::new(dir.path().join("city0"));

    let (node, opened) = Node::start(&data).await;
    let opened = opened.as_secs_f64();
    table.row(
        "open after kill -9 under load",
        opened,
        "s",
        Bar::AtMost(if options.long { 5.0 } else { 3.0 }),
    );
    node.stop();
    let found = look_up(&data, &mut table);
    let each = |bytes: u64| number(bytes) / number(found.transfers);
    let (ledger, index) = (each(size(&data.ledger())), each(size(&data.index())));
    table.row("ledger on disk for one transfer", ledger, "B", Bar::None);
    table.row("index on disk for one transfer", index, "B", Bar::None);
    let least = found.signed + 200.0;
    let what = "ledger ÷ (signature + body + 200)";
    table.row(what, ledger / least, "", Bar::AtMost(1.1));
    found.batches.show(&mut table);
    let what = "ledger and index ÷ (signature + body + 200)";
    table.row(what, (ledger + index) / least, "", Bar::AtMost(1.5));

    let (node, opened) = Node::start(&data).await;
    tokio::time::sleep(REST).await;
    table.row(
        "open after a stop in order",
        opened.as_secs_f64(),
        "s",
        Bar::None,
    );
    table.row(
        "memory after that",
        node.megabytes("VmRSS:"),
        "MB",
        Bar::AtMost(if options.long { 200.0 } else { 100.0 }),
    );
    node.stop();

    let (node, _) = Node::start(&data).await;
    // Killed; and its boot is over.
    drop(node);
    fs::write(data.path().join("index.running"), "another boot").expect("written");
    let (node, opened) = Node::start(&data).await;
    table.row(
        "open after a power cut",
        opened.as_secs_f64(),
        "s",
        Bar::AtMost(5.0),
    );
    node.stop();

    let identity = load_identity(&data).expect("an identity");
    set_index_aside(&data, &identity).expect("no index");
    let (node, opened) = Node::start(&data).await;
    table.row("rebuilt and opened", opened.as_secs_f64(), "s", Bar::None);
    table.row(
        "rebuilt transfers",
        per_s(usize::try_from(found.transfers).expect("few"), opened),
        "/s",
        Bar::AtLeast(25_000.0),
    );
    table.row(
        "peak memory while rebuilding",
        node.megabytes("VmHWM:"),
        "MB",
        Bar::AtMost(512.0),
    );
    node.stop();
    table.end();
}

/// What a directory holds.
struct Found {
    transfers: u64,
    /// Bytes of body and signature of one transfer, on average over those that were looked up.
    signed: f64,
    batches: Batches,
}

/// Bytes of those vertices of the ledger that hold at least [`BATCH`] transfers. The others are people's enrolments and grants, one
/// to a vertex, each with a node's signature of its own.
#[derive(Default)]
struct Batches {
    transfers: u64,
    /// Bodies and signatures of transfers.
    signed: u64,
    /// Their entries besides.
    booked: u64,
    /// The entries before them: proofs of place.
    places: u64,
    headers: u64,
    /// All of the vertices, with what a CAR file puts around a block.
    all: u64,
}

impl Batches {
    fn of(store: &Store) -> Self {
        let mut found = Self::default();
        let mut before = None;
        for block in store.blocks_from(Position::START) {
            let block = block.expect("a ledger without damage");
            match SignedHeader::read(&block.bytes) {
                // The genesis record is a block alone, as a body is until its header comes.
                Err(_) => before = Some(block),
                Ok(header) => {
                    let body = before.take().filter(|body| body.id == header.header.body);
                    if let Some(body) = body.filter(|_| header.header.count >= 2 * BATCH) {
                        found.add(&body.bytes, block.bytes.len() as u64);
                        found.all += u64::from(body.at.len + block.at.len);
                    }
                }
            }
        }
        found
    }

    fn add(&mut self, body: &[u8], header: u64) {
        self.headers += header;
        for entry in decode_body(body).expect("a body") {
            let bytes = codec::encode(&entry).len() as u64;
            if entry.kind == Kind::Transfer {
                let signed = (entry.body.len() + entry.sig[0].sig.len()) as u64;
                self.transfers += 1;
                self.signed += signed;
                self.booked += bytes - signed;
            } else {
                self.places += bytes;
            }
        }
    }

    fn show(&self, table: &mut Table) {
        let each = |bytes: u64| number(bytes) / number(self.transfers);
        let mut row = |what: &str, bytes| table.row(what, each(bytes), "B", Bar::None);
        row("in vertices of 64 transfers and more, for one", self.all);
        row("… body and signature", self.signed);
        row("… what else stands in its entry", self.booked);
        row("… its proof of place, an entry before it", self.places);
        row("… its share of the header", self.headers);
        let framing = self.all - self.signed - self.booked - self.places - self.headers;
        row("… its share of what a CAR file puts around blocks", framing);
        let least = each(self.signed) + 200.0;
        let what = "ledger in those ÷ (signature + body + 200)";
        table.row(what, each(self.all) / least, "", Bar::AtMost(1.1));
        let without = each(self.all - self.places) / least;
        let what = "the same without proofs of place";
        table.row(what, without, "", Bar::None);
    }
}

/// How long a balance, and a transfer with its entry, take to be read by somebody who asks for any of them.
fn look_up(data: &DataDir, table: &mut Table) -> Found {
    let identity = load_identity(data).expect("an identity");
    let (store, _) = open_for_reading(data, &identity).expect("a store");
    let history = StoreHistory::new(Arc::new(store));
    let rows: &dyn History = &history;
    let log = identity.authority.log;
    // Nobody answers in this bench.
    let names = key(Tables::Open, &[&log.0]);
    let (mut balances, mut transfers, mut signed) = (Vec::new(), Vec::new(), 0);
    for n in 0..LOOK_UPS {
        let somewhere = [&names[..], &Digest::of(&[&n.to_be_bytes()]).0].concat();
        let Some((name, _)) = rows.rows(&names, Some(&somewhere), 1).pop() else {
            continue;
        };
        let identity = Digest(name[names.len()..].try_into().expect("an identity"));
        let begun = Instant::now();
        let row = rows.transfer(&log, &identity).expect("a transfer");
        rows.transfer_body(&log, &row.at, &identity)
            .expect("what was signed");
        transfers.push(begun.elapsed().as_secs_f64());
        let entry = rows.entry(&log, &row.at).expect("its entry");
        let begun = Instant::now();
        rows.account(&log, &row.sender).expect("an account");
        balances.push(begun.elapsed().as_secs_f64());
        signed += entry.body.len() + entry.sig[0].sig.len();
    }
    let looked_up = number(transfers.len() as u64);
    for (what, times) in [("balance", &mut balances), ("transfer", &mut transfers)] {
        let name = format!("{what} looked up, p50");
        table.row(&name, median(times) * 1e6, "µs", Bar::None);
        let name = format!("{what} looked up, p99");
        table.row(&name, p99(times) * 1e6, "µs", Bar::AtMost(1000.0));
    }
    let mut after: Option<Vec<u8>> = None;
    let mut count = 0;
    loop {
        let page = rows.rows(&names, after.as_deref(), PAGE);
        count += page.len() as u64;
        match page.into_iter().next_back() {
            Some((last, _)) => after = Some(last),
            None => break,
        }
    }
    Found {
        transfers: count,
        signed: number(signed as u64) / looked_up,
        batches: Batches::of(history.store()),
    }
}

/// Has this program fill a data directory in a process of its own, and kills that while it accepts more.
fn fill_and_kill(root: &Path, numbers: &[usize; 3]) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .arg(FILL)
        .arg(root)
        .args(numbers.map(|number| number.to_string()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let output = child.stdout.take().expect("a pipe");
    let said = BufReader::new(output).lines().map_while(Result::ok);
    let filled = said.into_iter().any(|line| line == FILLED);
    assert!(filled, "the filling process ended early");
    std::thread::sleep(BUSY);
    child.kill().expect("killed");
    child.wait().expect("an end");
}

/// Fills a data directory, says so, and goes on accepting until it is killed.
async fn fill(arguments: &[String]) {
    let root = Path::new(&arguments[0]);
    let count = |n: usize| arguments[n].parse::<usize>().expect("a number");
    let (transfers, senders, signed) = (count(1), count(2), count(3));
    let mut town = Town::open(Site::found(root, 0), senders).await;
    let progress = |done: usize| {
        if done.is_multiple_of(64_000) {
            eprintln!("  … {done} transfers written");
        }
    };
    town.fill(signed, progress).await;
    if signed < transfers {
        let (site, mut people) = town.close().await;
        forge::write(&site, &mut people, transfers - signed, progress);
        town = Town::reopen(site, people);
    }
    println!("{FILLED}");
    town.fill(usize::MAX, |_| ()).await;
}

/// Bytes of the files in a directory and below it.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).expect("a directory");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("an entry");
        let about = entry.metadata().expect("a file");
        if about.is_dir() {
            size(&entry.path())
        } else {
            about.len()
        }
    });
    sizes.sum()
}
