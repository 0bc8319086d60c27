//! `place locate`: one point; many are answered in `batch`.

use std::path::PathBuf;

use city_protocol::place::{Location, Point};
use clap::Args;
use serde_json::json;

use super::batch;
use super::source::SourceArgs;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;

/// Arguments of `place locate`.
#[derive(Debug, Args)]
pub struct LocateArgs {
    /// Latitude, decimal degrees, north positive.
    #[arg(
        allow_negative_numbers = true,
        required_unless_present = "batch",
        requires = "lon"
    )]
    lat: Option<String>,
    /// Longitude, decimal degrees, east positive.
    #[arg(allow_negative_numbers = true)]
    lon: Option<String>,
    /// Answer all points of a CSV file (`-`: standard input) with a line `code,name,side,distance_m` each. Columns lat
    /// and lon, named in a first line or the first two.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["lat", "lon"])]
    batch: Option<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
    /// Accuracy of the position, metres: no farther than this from the border is `border`.
    #[arg(long, alias = "accuracy-m", value_name = "METRES", default_value_t = 0)]
    accuracy: u32,
    /// Print one JSON object, or one a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &LocateArgs) -> Outcome {
    let index = args.source.open()?;
    if let Some(path) = &args.batch {
        return batch::run(path, &index, args.accuracy, args.json);
    }
    let lat = args.lat.as_deref().unwrap_or_default();
    let lon = args.lon.as_deref().unwrap_or_default();
    let point = Point::from_decimal(lat, lon).map_err(|_| {
        anyhow::anyhow!("{lat} {lon}: not a point; write decimal degrees such as 36.5613 136.6562")
    })?;
    let Location {
        code,
        name,
        side,
        distance_m,
    } = index.locate(point, args.accuracy);
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
        let side = batch::word(side);
        let (code, name) = (code.unwrap_or("-"), name.unwrap_or("-"));
        output::text(&format!("{code} {name} {side} {distance_m} m\n"))?;
    }
    Ok(Exit::Ok)
}
