//! `place replay`.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use city_drivers::gnss::replay::fixes;
use city_protocol::place::{BoundaryIndex, Grade, PlacePolicy, Site};
use clap::Args;

use super::source;
use super::surveyed::SurveyedArgs;
use crate::cli::exit::{Exit, Outcome};
use crate::engine::utc;
use crate::place::replay::{Epoch, Replay};

/// Largest policy file, bytes: each of its keys takes a line.
const MAX_POLICY_BYTES: u64 = 64 << 10;

/// Arguments of `place replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The capture: NMEA sentences, UBX frames or both; - is standard input.
    file: PathBuf,
    /// A boundary index, a GeoJSON file or a directory of them, to tell the municipality.
    #[arg(long, value_name = "PATH")]
    boundaries: Option<PathBuf>,
    /// Thresholds other than the default: the keys of [place.policy], as TOML.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    surveyed: SurveyedArgs,
    /// Judge it as a node judges a receiver with gnss.recorded = true: at most plausible. Without it: as if it were live.
    #[arg(long)]
    assume_recorded: bool,
    /// Print one JSON object per epoch.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReplayArgs) -> Outcome {
    let boundary = args.boundaries.as_deref().map(source::open).transpose()?;
    let policy = args.policy.as_deref().map(read_policy).transpose()?;
    let policy = policy.unwrap_or_default();
    let site = Site {
        boundary: boundary.as_ref(),
        home: None,
        survey: args.surveyed.survey()?,
        policy: &policy,
        purpose_allows_recorded: true,
    };
    let name = args.file.display();
    let from_stdin = args.file == Path::new("-");
    let source: Box<dyn Read> = if from_stdin {
        Box::new(io::stdin().lock())
    } else {
        let failed = || format!("{name}: cannot be read; check the path and its permissions");
        Box::new(File::open(&args.file).with_context(failed)?)
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut replay = Replay::new(site, utc(), args.assume_recorded);
    let mut capture = fixes(source);
    let mut epochs = 0_u64;
    for fix in capture.by_ref() {
        let fix = fix.with_context(|| format!("{name}: cannot be read to its end"))?;
        let epoch = replay.epoch(&fix);
        epochs += 1;
        let written = if args.json {
            serde_json::to_writer(&mut out, &epoch)
                .map_err(io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
        } else {
            out.write_all(told(&epoch, boundary.as_ref()).as_bytes())
        };
        // Who types or pipes a live receiver wants to see each epoch.
        let written = written.and_then(|()| if from_stdin { out.flush() } else { Ok(()) });
        if !goes_on(written)? {
            return Ok(Exit::Ok);
        }
    }
    goes_on(out.flush())?;
    if epochs == 0 {
        let counters = capture.decoder().counters();
        return Err(anyhow::anyhow!(
            "{name}: no epoch in it ({} bytes were neither NMEA nor UBX, {} checksums wrong); \
             give a receiver's own output, not gpsd's JSON or another protocol",
            counters.noise_bytes,
            counters.bad_checksums
        )
        .into());
    }
    Ok(Exit::Ok)
}

/// Whether somebody still reads.
fn goes_on(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

fn read_policy(path: &Path) -> anyhow::Result<PlacePolicy> {
    let name = path.display();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_POLICY_BYTES + 1).read_to_string(&mut text))
        .with_context(|| format!("{name}: cannot be read; check the path and its permissions"))?;
    if text.len() as u64 > MAX_POLICY_BYTES {
        anyhow::bail!("{name}: too long for a policy; write the keys of [place.policy] alone");
    }
    let policy: PlacePolicy = toml::from_str(&text).with_context(|| {
        format!(
            "{name}: not a policy; write the keys of [place.policy], such as min_satellites = 6"
        )
    })?;
    policy.check().map_err(|(_, field)| {
        anyhow::anyhow!("{name}: {field} makes no sense; `city-node config show` tells its range")
    })?;
    Ok(policy)
}

/// An epoch in a line for people.
fn told(epoch: &Epoch, boundary: Option<&BoundaryIndex>) -> String {
    let unknown = || "-".to_owned();
    let time = epoch.time.clone().unwrap_or_else(unknown);
    let position = match (epoch.lat, epoch.lon) {
        (Some(lat), Some(lon)) => format!("{lat:.7} {lon:.7}"),
        _ => "no position".to_owned(),
    };
    let count = |n: Option<u8>| n.map_or_else(unknown, |n| n.to_string());
    let signals = epoch.figures.cn0.map_or_else(unknown, |cn0| {
        format!("{}±{}", tenths(cn0.mean_centi), tenths(cn0.spread_centi))
    });
    let municipality = match (&epoch.municipality, boundary) {
        (Some(code), Some(index)) => {
            let name = index.municipality(code).map_or("", |m| m.name.as_str());
            format!("  {code} {name}")
        }
        (None, Some(_)) if epoch.point.is_some() => "  outside".to_owned(),
        _ => String::new(),
    };
    let reasons: Vec<_> = epoch.reasons.iter().map(|reason| reason.code()).collect();
    let mark = if epoch.grade == Grade::Suspect {
        "!"
    } else {
        " "
    };
    format!(
        "{mark}{time}  {position}  {} of {} satellites, C/N0 {signals}  {}{municipality}  [{}]\n",
        count(epoch.satellites_used),
        count(epoch.satellites_in_view),
        epoch.grade,
        reasons.join(" "),
    )
}

/// Hundredths as tenths, rounded.
fn tenths(centi: u32) -> String {
    let tenths = (centi + 5) / 10;
    format!("{}.{}", tenths / 10, tenths % 10)
}
