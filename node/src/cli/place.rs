//! `place import` and `place locate`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use city_protocol::place::boundary::MAX_INDEX_BYTES;
use city_protocol::place::{BoundaryIndex, Location, Point, Side};
use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::{Exit, Outcome};
use super::output;
use crate::keys::file::write_public;
use crate::place::import::{Import, ImportOptions, import};
use crate::place::outlines::demo_boundary;
use crate::setup::DataDir;

/// Most omissions that are spelled out for people; `--json` has more.
const MAX_TOLD: usize = 20;

/// What can be done about places.
#[derive(Debug, Subcommand)]
pub enum PlaceCommand {
    /// Make a boundary index from GeoJSON, and tell what was kept and skipped.
    #[command(after_help = "\
Examples:
  city-node place import N03-21_17_210101.geojson --out boundary.cbor
  city-node place import communes.geojson --code-property insee --name-property nom \\
      --credit \"© IGN\" --out boundary.cbor

N03 is 国土数値情報 行政区域データ of MLIT; its credit line is written into the index by itself.")]
    Import(ImportArgs),
    /// Tell in which municipality a point lies and how far it is from the border.
    #[command(after_help = "\
Examples:
  city-node place locate 36.5613 136.6562 --coarse-demo-boundaries
  city-node place locate 36.5613 136.6562 --data-dir data
  city-node place locate -33.86 151.21 --boundaries boundary.cbor --accuracy-m 25")]
    Locate(LocateArgs),
}

/// Arguments of `place import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// GeoJSON files, or directories of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The index to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the index if it is there.
    #[arg(long)]
    replace: bool,
    /// The property with the municipality's code [default: N03_007].
    #[arg(long, value_name = "NAME")]
    code_property: Option<String>,
    /// The property with the municipality's name [default: N03_003 and N03_004].
    #[arg(long, value_name = "NAME")]
    name_property: Option<String>,
    /// The source's credit line.
    #[arg(long, value_name = "LINE")]
    credit: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `place locate`.
#[derive(Debug, Args)]
pub struct LocateArgs {
    /// Latitude, decimal degrees, north positive.
    #[arg(allow_negative_numbers = true)]
    lat: String,
    /// Longitude, decimal degrees, east positive.
    #[arg(allow_negative_numbers = true)]
    lon: String,
    #[command(flatten)]
    source: SourceArgs,
    /// Accuracy of the position, metres: no farther than this from the border is `border`.
    #[arg(long, value_name = "METRES", default_value_t = 0)]
    accuracy_m: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Which boundaries are asked.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// A boundary index, a GeoJSON file or a directory of them.
    #[arg(long, value_name = "PATH")]
    boundaries: Option<PathBuf>,
    /// The boundary index in a data directory.
    // Not from the environment: a variable would contradict a --boundaries beside it.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The demo's hand-drawn outlines: not official.
    #[arg(long)]
    coarse_demo_boundaries: bool,
}

pub(super) fn run(command: &PlaceCommand) -> Outcome {
    match command {
        PlaceCommand::Import(args) => import_index(args),
        PlaceCommand::Locate(args) => locate(args),
    }
}

fn import_index(args: &ImportArgs) -> Outcome {
    if !args.replace && args.out.symlink_metadata().is_ok() {
        return Err(anyhow::anyhow!(
            "{}: exists already; choose another --out, or give --replace",
            args.out.display()
        )
        .into());
    }
    let options = ImportOptions {
        code_property: args.code_property.clone(),
        name_property: args.name_property.clone(),
        credit: args.credit.clone(),
    };
    let progress = output::spinner("reading boundaries");
    let imported = import(&args.paths, &options);
    progress.finish_and_clear();
    let imported = imported?;
    write_public(&args.out, &imported.index.encode())?;
    if args.json {
        output::object(json!({
            "out": args.out,
            "digest": imported.index.digest(),
            "bytes": imported.index.encoded_len(),
            "credit": imported.index.credit(),
            "report": imported.report,
        }))?;
    } else {
        output::text(&told(&args.out, &imported))?;
    }
    Ok(Exit::Ok)
}

fn told(out: &Path, Import { index, report }: &Import) -> String {
    let build = &report.build;
    let mut text = format!(
        "{}: {} municipalities, {} polygons, {} vertices, {} bytes\n\
         from {} files with {} features; digest {}\ncredit: {}\n",
        out.display(),
        build.municipalities,
        build.polygons,
        build.vertices,
        index.encoded_len(),
        report.files,
        report.features,
        index.digest(),
        index.credit(),
    );
    let unread = report
        .unread
        .iter()
        .map(|(_, why)| format!("not read: {why}\n"));
    let skipped = report.skipped.iter().map(|skipped| {
        format!(
            "skipped: {} feature {}: {:?}\n",
            skipped.file.display(),
            skipped.feature,
            skipped.reason
        )
    });
    let problems = build.problems.iter();
    let problems =
        problems.map(|problem| format!("left out: {}: {:?}\n", problem.code, problem.what));
    let lines: Vec<String> = unread.chain(skipped).chain(problems).collect();
    let more = report.more_skipped + build.more_problems + lines.len().saturating_sub(MAX_TOLD);
    text.extend(lines.into_iter().take(MAX_TOLD));
    if more > 0 {
        text += &format!("and {more} more; --json lists them\n");
    }
    text
}

fn locate(args: &LocateArgs) -> Outcome {
    let point = Point::from_decimal(&args.lat, &args.lon).map_err(|_| {
        anyhow::anyhow!(
            "{} {}: not a point; write decimal degrees such as 36.5613 136.6562",
            args.lat,
            args.lon
        )
    })?;
    let index = source(&args.source)?;
    let Location {
        code,
        name,
        side,
        distance_m,
    } = index.locate(point, args.accuracy_m);
    if args.json {
        output::object(json!({
            "lat": point.lat_text(),
            "lon": point.lon_text(),
            "code": code,
            "name": name,
            "side": side,
            "distance_m": distance_m,
            "credit": index.credit(),
        }))?;
    } else {
        let side = match side {
            Side::Inside => "inside",
            Side::Border => "border",
            Side::Outside => "outside",
        };
        let (code, name) = (code.unwrap_or("-"), name.unwrap_or("-"));
        output::text(&format!("{code} {name} {side} {distance_m} m\n"))?;
    }
    Ok(Exit::Ok)
}

fn source(args: &SourceArgs) -> anyhow::Result<BoundaryIndex> {
    if args.coarse_demo_boundaries {
        return Ok(demo_boundary());
    }
    let path = match (&args.boundaries, &args.data_dir) {
        (Some(path), _) => path.clone(),
        (None, Some(directory)) => DataDir::new(directory).boundary(),
        (None, None) => bail!("give --boundaries, --data-dir or --coarse-demo-boundaries"),
    };
    let extension = path.extension().and_then(|extension| extension.to_str());
    if path.is_dir() || matches!(extension, Some("json" | "geojson")) {
        return Ok(import(&[path], &ImportOptions::default())?.index);
    }
    let failed = || {
        format!(
            "{}: cannot be read; check the path and its permissions",
            path.display()
        )
    };
    let mut bytes = Vec::new();
    let file = File::open(&path).with_context(failed)?;
    file.take(MAX_INDEX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(failed)?;
    BoundaryIndex::decode(&bytes).map_err(|refusal| {
        anyhow::anyhow!(
            "{}: not a boundary index ({refusal}); make one with: city-node place import",
            path.display()
        )
    })
}
