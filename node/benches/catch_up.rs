//! How fast an empty node catches up with another over loopback: two processes on the same cores, everything
//! verified and fsynced. `cargo bench -p city-node --bench catch_up`
//!
//! Timed: from the first connection until both say the same heads. The bytes are counted by a proxy between
//! the two, in this process: what it costs is part of the time.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use city_node::daemon::open_for_reading;
use city_node::store::Position;
use city_protocol::vertex::SignedHeader;
use tokio::sync::oneshot;

use common::limits::{number, per_s, verifications_per_s};
use common::options::Options;
use common::process::Node;
use common::proxy::count_between;
use common::table::{Bar, Table};
use common::town::{Site, Town, free_port};

/// Transfers that the first node holds.
const TRANSFERS: usize = 50_000;
/// Senders of them.
const SENDERS: usize = 500;
/// Pause between two looks at the heads.
const POLL: Duration = Duration::from_millis(20);

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(options));
}

async fn run(options: Options) {
    let transfers = options.size(TRANSFERS, 1_000);
    let what =
        format!("{transfers} transfers of one log, dilithium5 (portable C), TLS 1.3 over loopback");
    let mut table = Table::new("catch_up", options, &what);
    let dir = tempfile::tempdir().expect("a directory");
    let mut full = Site::found(dir.path(), 0);
    let mut empty = Site::found(dir.path(), 1);
    let proxy = free_port();
    full.admit(&empty, None);
    empty.admit(&full, Some(proxy));

    let port = full.port();
    let mut town = Town::open(full, options.size(SENDERS, 50)).await;
    town.fill(transfers, |done| {
        if done.is_multiple_of(8_000) {
            table.progress(&format!("{done} transfers accepted"));
        }
    })
    .await;
    // Never handed in: only for the limit.
    let sample = town.prepare(options.size(8, 2)).await;
    let (full, people) = town.close().await;
    let held = Held::of(&full);

    let (giver, _) = Node::start(&full.data).await;
    let counted = Arc::new(AtomicU64::new(0));
    let (met, first) = oneshot::channel();
    tokio::spawn(count_between(proxy, port, met, Arc::clone(&counted)));
    let before = verifications_per_s(&people.senders, &sample);
    let gave = giver.processor_s();
    let (taker, _) = Node::start(&empty.data).await;
    let begun: Instant = first.await.expect("a connection");
    while !same_heads(&giver, &taker, held.vertices).await {
        tokio::time::sleep(POLL).await;
    }
    let took = begun.elapsed();
    let bytes = counted.load(Ordering::Relaxed);
    let (gave, took_s) = (giver.processor_s() - gave, taker.processor_s());
    let after = verifications_per_s(&people.senders, &sample);

    let raw = f64::midpoint(before, after);
    let rate = per_s(transfers, took);
    let count = number(transfers as u64);
    let (vertices, size) = (number(held.vertices), number(held.bytes));
    let each = |seconds: f64| seconds / count * 1e6;
    table.row("raw verifications on all cores", raw, "/s", Bar::None);
    table.row("caught up", rate, "/s", Bar::None);
    table.row(
        "caught up ÷ raw verifications",
        rate / raw,
        "",
        Bar::AtLeast(0.7),
    );
    table.row("transfers in one vertex", count / vertices, "", Bar::None);
    let checks = 1.0 + vertices / count;
    table.row(
        "signatures verified for one transfer",
        checks,
        "",
        Bar::None,
    );
    table.row(
        "bytes on the wire ÷ bytes of the vertices",
        number(bytes) / size,
        "",
        Bar::AtMost(1.05),
    );
    table.row(
        "bytes of the vertices for one transfer",
        size / count,
        "B",
        Bar::None,
    );
    table.row(
        "processor time of the receiver for one transfer",
        each(took_s),
        "µs",
        Bar::None,
    );
    table.row(
        "processor time of the sender for one transfer",
        each(gave),
        "µs",
        Bar::None,
    );
    table.row(
        "peak memory of the receiver",
        taker.megabytes("VmHWM:"),
        "MB",
        Bar::None,
    );
    table.row(
        "peak memory of the sender",
        giver.megabytes("VmHWM:"),
        "MB",
        Bar::None,
    );
    table.end();
    taker.stop();
    giver.stop();
}

/// What a site's ledger holds.
struct Held {
    vertices: u64,
    bytes: u64,
}

impl Held {
    fn of(site: &Site) -> Self {
        let (store, _) = open_for_reading(&site.data, &site.identity()).expect("a store");
        let mut held = Self {
            vertices: 0,
            bytes: 0,
        };
        // The first block is the genesis record, which both have.
        for block in store.blocks_from(Position::START).skip(1) {
            let block = block.expect("a block");
            held.bytes += block.bytes.len() as u64;
            held.vertices += u64::from(SignedHeader::read(&block.bytes).is_ok());
        }
        store.close().expect("closed");
        held
    }
}

/// Whether both know the same heads, among them everything that was held at first.
async fn same_heads(giver: &Node, taker: &Node, vertices: u64) -> bool {
    let taken = taker.status().await;
    let whole = taken.frontier.iter().any(|head| head.seq >= vertices);
    whole && taken.frontier_hash == giver.status().await.frontier_hash
}
