//! How fast a home accepts transfers, against what all cores could verify at most.
//! `cargo bench -p city-node --bench accept`
//!
//! Not timed: drafting, proofs of place, signing. Timed: encoded bytes in → durable reply.

mod common;

use common::https;
use common::limits::{median, one_acknowledgement, verifications_per_s};
use common::options::Options;
use common::table::{Bar, Table};
use common::town::{Site, Town};

/// Senders that work at once.
const SENDERS: usize = 512;
/// Transfers of each: together they stay below the proofs of place that a node holds.
const EACH: usize = 6;
/// Transfers sent one at a time for the acknowledgement.
const ALONE: usize = 200;
/// Runs, of which the median counts.
const RUNS: usize = 3;

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let senders = options.size(SENDERS, 32);
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::found(dir.path(), 0);
    let mut town = runtime.block_on(Town::open(site, senders));
    let what = format!("{senders} senders × {EACH} transfers a run, dilithium5 (portable C)");
    let mut table = Table::new("accept", options, &what);

    let (mut rates, mut raws, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.size(RUNS, 1) {
        let work = runtime.block_on(town.prepare(EACH));
        let raw = verifications_per_s(&town.people.senders, &work);
        let accepted = runtime.block_on(town.accept(work));
        rates.push(accepted);
        raws.push(raw);
        ratios.push(accepted / raw);
    }
    table.row(
        "raw verifications on all cores",
        median(&mut raws),
        "/s",
        Bar::None,
    );
    table.row("accepted in process", median(&mut rates), "/s", Bar::None);
    table.ratio(
        "accepted ÷ raw verifications",
        &mut ratios,
        Bar::AtLeast(0.6),
    );

    let address = runtime.block_on(https::serve(&town));
    let mut rates = Vec::new();
    for _ in 0..options.size(RUNS, 1) {
        let work = runtime.block_on(town.prepare(EACH));
        rates.push(runtime.block_on(https::accept(&town, &address, work)));
    }
    let what = format!("accepted over HTTPS, {} connections", https::CLIENTS);
    table.row(&what, median(&mut rates), "/s", Bar::None);

    let alone = options.size(ALONE, 32);
    let work = runtime.block_on(town.prepare(alone.div_ceil(senders)));
    let mut times = runtime.block_on(town.one_at_a_time(work));
    let p50 = median(&mut times);
    let limit = one_acknowledgement(dir.path());
    table.row(
        "acknowledgement, one client at a time, p50",
        p50 * 1e6,
        "µs",
        Bar::None,
    );
    table.row(
        "one verification + vertex signature + fdatasync",
        limit * 1e6,
        "µs",
        Bar::None,
    );
    table.row("acknowledgement ÷ that", p50 / limit, "", Bar::AtMost(2.0));
    table.end();
}
