//! How fast a home accepts transfers, against what all cores could verify at most, with each suite.
//! `cargo bench -p city-node --bench accept`
//!
//! Not timed: drafting, proofs of place, signing. Timed: encoded bytes in → durable reply.

mod common;

use std::path::Path;

use city_protocol::crypto::Suite;
use tokio::runtime::Runtime;

use common::https;
use common::limits::{median, one_acknowledgement, p99, processor_s, verifications_per_s};
use common::options::Options;
use common::pace::{arrivals, raw_answers};
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
    let runtime = Runtime::new().expect("a runtime");
    let senders = options.size(SENDERS, 32);
    let what = format!("{senders} senders × {EACH} transfers a run");
    let mut table = Table::new("accept", options, &what);
    for suite in Suite::ALL {
        measure(&runtime, options, *suite, &mut table);
    }
    table.end();
}

fn measure(runtime: &Runtime, options: Options, suite: Suite, table: &mut Table) {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::found_with(dir.path(), 0, suite);
    let senders = options.size(SENDERS, 32);
    let mut town = runtime.block_on(Town::open(site, senders));
    let named = |what: &str| format!("{}: {what}", suite.id());

    let (mut rates, mut raws) = (Vec::new(), Vec::new());
    let (mut ratios, mut by_processor) = (Vec::new(), Vec::new());
    for _ in 0..options.size(RUNS, 1) {
        let work = runtime.block_on(town.prepare(EACH));
        let begun = processor_s();
        let raw = verifications_per_s(&town.people.senders, &work);
        let verified = processor_s();
        let accepted = runtime.block_on(town.accept(work));
        by_processor.push((verified - begun) / (processor_s() - verified));
        rates.push(accepted);
        raws.push(raw);
        ratios.push(accepted / raw);
    }
    let raw = named("raw verifications on all cores");
    table.row(&raw, median(&mut raws), "/s", Bar::None);
    let rate = median(&mut rates);
    table.row(&named("accepted in process"), rate, "/s", Bar::None);
    let ratio = named("accepted ÷ raw verifications");
    // fips verifies so fast that everything else counts three times as much: for the record.
    let bar = match suite {
        Suite::Dilithium5Ntru => Bar::AtLeast(0.7),
        Suite::Fips => Bar::None,
    };
    table.ratio(&ratio, &mut ratios, bar);
    let ratio = named("the same by processor time");
    table.ratio(&ratio, &mut by_processor, Bar::None);

    if suite == Suite::Dilithium5Ntru {
        let address = runtime.block_on(https::serve(&town));
        let mut rates = Vec::new();
        for _ in 0..options.size(RUNS, 1) {
            let work = runtime.block_on(town.prepare(EACH));
            rates.push(runtime.block_on(https::accept(&town, &address, work)));
        }
        let what = format!("accepted over HTTPS, {} connections", https::CLIENTS);
        table.row(&named(&what), median(&mut rates), "/s", Bar::None);
    }

    alone(runtime, options, &mut town, (dir.path(), &named), table);
    at_half_load(
        runtime,
        options,
        &mut town,
        rate / 2.0,
        (dir.path(), &named),
        table,
    );
}

/// One client, who waits for each answer.
fn alone(
    runtime: &Runtime,
    options: Options,
    town: &mut Town,
    (dir, named): (&Path, &dyn Fn(&str) -> String),
    table: &mut Table,
) {
    let senders = town.people.senders.len();
    let count = options.size(ALONE, 32);
    let work = runtime.block_on(town.prepare(count.div_ceil(senders)));
    let mut times = runtime.block_on(town.one_at_a_time(work));
    let p50 = median(&mut times);
    let limit = one_acknowledgement(dir, town.site.suite.signing());
    let what = named("acknowledgement, one client at a time, p50");
    table.row(&what, p50 * 1e6, "µs", Bar::None);
    let what = named("one verification + vertex signature + fdatasync");
    table.row(&what, limit * 1e6, "µs", Bar::None);
    let what = named("acknowledgement ÷ that");
    table.row(&what, p50 / limit, "", Bar::AtMost(1.5));
}

/// Clients who come by themselves, half as many as were accepted at most.
fn at_half_load(
    runtime: &Runtime,
    options: Options,
    town: &mut Town,
    rate: f64,
    (dir, named): (&Path, &dyn Fn(&str) -> String),
    table: &mut Table,
) {
    let (mut ours, mut raws, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.size(RUNS, 1) {
        let work = runtime.block_on(town.prepare(EACH));
        let times = arrivals(work.iter().map(Vec::len).sum(), rate);
        let mut raw = raw_answers(dir, &town.people.senders, &work, &times);
        let mut took = runtime.block_on(town.paced(work, times));
        let (took, raw) = (p99(&mut took), p99(&mut raw));
        ours.push(took * 1e6);
        raws.push(raw * 1e6);
        ratios.push(took / raw);
    }
    let what = named("acknowledgement at half load, p99");
    table.row(&what, median(&mut ours), "µs", Bar::None);
    let what = named("the same arrivals verified, signed, fsynced, p99");
    table.row(&what, median(&mut raws), "µs", Bar::None);
    let what = named("acknowledgement p99 ÷ that");
    table.ratio(&what, &mut ratios, Bar::AtMost(3.0));
}
