//! Framing, parsing and joining epochs, beside the bare `nmea` crate and beside gpsd's `gpsdecode`, on the same captures.
//! `cargo bench -p city-drivers --bench gnss`. Needs ../shared/data; `gpsdecode` (package gpsd-clients) is left out where it is not.
//!
//! The bare crate gets the capture's lines cut already and checks nothing but what `parse_str` checks: no framing of a byte
//! stream, no repair, no fixed point, no epochs, no raw bytes kept for a digest.

#[expect(unreachable_pub, reason = "written for the node's benches")]
#[path = "../../node/benches/common/options.rs"]
mod options;
#[expect(unreachable_pub, dead_code, reason = "written for the node's benches")]
#[path = "../../node/benches/common/table.rs"]
mod table;

mod limits {
    //! What the table asks of its neighbour.

    /// The middle value; sorts.
    pub(crate) fn median(values: &mut [f64]) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

use std::fs;
use std::hint::black_box;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use city_drivers::gnss::Decoder;
use options::Options;
use table::{Bar, Table};

/// Captures of NMEA receivers: eighteen sentences an epoch with many GSV, and twelve of a u-blox M8.
const CAPTURES: [&str; 2] = ["gpsd/quectel-l76k-nmea.log", "gpsd/neo-m8n.log"];
/// So many bytes of it are decoded at a time: the capture over and over.
const BYTES: usize = 8 << 20;
/// The same with `--quick`.
const QUICK: usize = 1 << 18;
/// Runs, each of all three sides.
const RUNS: usize = 9;
/// Bytes of one read, as the serial port's.
const READ: usize = 4096;

fn main() {
    let options = Options::read();
    let Some(folder) = data() else {
        println!("skipped: no ../shared/data");
        return;
    };
    let what = "bytes in → fixes out, on one core. Bare: the nmea crate's parse_str, line by line.";
    let mut table = Table::new("gnss", options, what);
    for name in CAPTURES {
        let capture = fs::read(folder.join(name)).expect("a capture");
        measure(&mut table, options, name, &capture);
    }
    table.end();
}

fn data() -> Option<PathBuf> {
    let root = std::env::var_os("CITY_NODE_TEST_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    Some(root.join("gnss")).filter(|folder| folder.is_dir())
}

fn measure(table: &mut Table, options: Options, name: &str, capture: &[u8]) {
    let size = options.size(BYTES, QUICK);
    let stream: Vec<u8> = capture.iter().copied().cycle().take(size).collect();
    let text = String::from_utf8_lossy(&stream).into_owned();
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let megabytes = stream.len() as f64 / 1e6;
    let (mut beside_bare, mut beside_gpsd) = (Vec::new(), Vec::new());
    let (mut rate, mut epochs) = (Vec::new(), 0);
    for _ in 0..options.size(RUNS, 1) {
        let (ours, found) = ours(&stream);
        let bare = bare(&text);
        epochs = found;
        rate.push(megabytes / ours.as_secs_f64());
        beside_bare.push(bare.as_secs_f64() / ours.as_secs_f64());
        if let Some(gpsd) = gpsdecode(&stream) {
            beside_gpsd.push(gpsd.as_secs_f64() / ours.as_secs_f64());
        }
    }
    assert!(epochs > 100, "{epochs} epochs");
    table.row(
        &format!("{name}: decoded"),
        limits::median(&mut rate),
        "MB/s",
        Bar::None,
    );
    let bar = Bar::AtLeast(0.6);
    table.ratio(&format!("{name}: speed ÷ bare nmea"), &mut beside_bare, bar);
    if beside_gpsd.is_empty() {
        table.progress("gpsdecode is not installed (package gpsd-clients): left out");
    } else {
        let bar = Bar::AtLeast(5.0);
        table.ratio(&format!("{name}: speed ÷ gpsdecode"), &mut beside_gpsd, bar);
    }
}

fn ours(stream: &[u8]) -> (Duration, usize) {
    let started = Instant::now();
    let mut decoder = Decoder::new();
    let mut epochs = 0;
    let mut count = |fix| {
        black_box(fix);
        epochs += 1;
    };
    for read in stream.chunks(READ) {
        decoder.push(read, &mut count);
    }
    decoder.finish(&mut count);
    (started.elapsed(), epochs)
}

fn bare(text: &str) -> Duration {
    let started = Instant::now();
    for line in text.lines() {
        let _ = black_box(nmea::parse_str(black_box(line)));
    }
    started.elapsed()
}

/// The stream through `gpsdecode`, which writes JSON to nowhere; `None` where it is not installed.
fn gpsdecode(stream: &[u8]) -> Option<Duration> {
    let started = Instant::now();
    let mut child = Command::new("gpsdecode")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(stream).ok()?;
    drop(input);
    child.wait().expect("gpsdecode ends");
    Some(started.elapsed())
}
