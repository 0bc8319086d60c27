//! Places: making a boundary index and asking it, captures and the running node's own place.

mod batch;
mod import;
mod locate;
mod proof;
mod replay;
mod source;
mod status;
mod survey;
mod surveyed;
mod watch;

use clap::Subcommand;

use super::exit::Outcome;

/// What can be done about places.
#[derive(Debug, Subcommand)]
pub enum PlaceCommand {
    /// Make a boundary index from GeoJSON, TopoJSON or Shapefiles, and tell what was kept and skipped.
    #[command(after_help = "\
Examples:
  city-node place import N03-21_17_210101.geojson --out boundary.cbor
  city-node place import N03-20240101_17.shp --out boundary.cbor --replace
  city-node place import communes.geojson --code-property insee --name-property nom \\
      --credit \"© IGN\" --out boundary.cbor

N03 is 国土数値情報 行政区域データ of MLIT; its credit line is written into the index by itself.")]
    Import(import::ImportArgs),
    /// Tell in which municipality a point, or each of a file, lies and how far it is from the border.
    #[command(after_help = "\
Examples:
  city-node place locate 36.5613 136.6562 --coarse-demo-boundaries
  city-node place locate 36.5613 136.6562 --data-dir data
  city-node place locate -33.86 151.21 --boundaries boundary.cbor --accuracy 25
  city-node place locate --batch points.csv --boundaries boundary.cbor > answers.csv

A line of answers is code,name,inside|border|outside,distance_m; a line that is no point gets ,,error, and the
command ends with 1.")]
    Locate(locate::LocateArgs),
    /// Judge a receiver's capture epoch by epoch, as fast as it can be read.
    #[command(after_help = "\
Examples:
  city-node place replay capture.nmea
  city-node place replay capture.ubx --json --boundaries boundary.cbor > epochs.jsonl
  cat /dev/ttyACM0 | city-node place replay - --surveyed 36.5613,136.6562

A capture is judged by its own clock: its times among themselves, and whether its satellites were in use on its date. Without
--assume-recorded the grade is what a node would have said at the time; with it, what a node says of a receiver that it
was told plays a recording: at most plausible, reason recorded. Start-up grace does not count.

A line of --json: time, mode (1 no fix, 2 without altitude, 3), lat, lon, alt, satellites_used, satellites_in_view, hdop,
cn0 (of the used satellites), constellations, grade, reasons, municipality, figures. Lines for people begin with ! where the
grade is suspect.")]
    Replay(replay::ReplayArgs),
    /// Average the positions of a fixed receiver and propose its surveyed point.
    #[command(after_help = "\
Examples:
  city-node place survey --seconds 3600 --data-dir data
  city-node place survey capture.nmea

Write the printed lines into the configuration. Positions are left out while a check fails. A survey is worth as much as the
sky was honest while it was made: compare the point with a map.

Exit code 3: the node is not running.")]
    Survey(survey::SurveyArgs),
    /// Tell what the running node's place checking says, with the figures it rests on.
    #[command(after_help = "\
Examples:
  city-node place status
  city-node place status --data-dir data --json

Exit codes: 0 enough for transfers · 4 not enough · 3 the node is not running.")]
    Status(status::StatusArgs),
    /// Watch the receiver: its sky, its signals, the position on the municipality's outline, the grade with its reasons.
    #[command(after_help = "\
Examples:
  city-node place watch
  city-node place watch --data-dir data --json | jq .verdict.grade
  city-node place watch --replay capture.ubx --boundaries boundary.cbor

Keys: q, Escape or Ctrl-C leave. Satellites are named by their system's letter (G GPS, R GLONASS, E Galileo, C BeiDou, J QZSS,
I NavIC, S SBAS) and number, in capitals and filled where they are used. NO_COLOR is honoured.

In a pipe it prints a line per new epoch, of a node at most one a second, with --json an object per line: what `place status --json` prints, or with --replay
what `place replay --json` does.

Exit code 3: the node is not running.")]
    Watch(watch::WatchArgs),
    /// Forget that the receiver indicated spoofing, after a look at the antenna.
    #[command(after_help = "\
Example:
  city-node place clear-spoofing --data-dir data

A receiver notices spoofing at its beginning only. So the node remembers it, over a change of the cable too, until this
command or a restart of the node. First let the receiver start cold, away from the false signal.")]
    ClearSpoofing(status::StatusArgs),
    /// Have the running node prove where it is, for who asks with a nonce.
    #[command(after_help = "\
Example:
  city-node place proof --nonce 00112233445566778899aabbccddeeff --out here.place

The file is signed by the node's ledger key and holds its certificate. It is good for five minutes, and about no transfer unless
one is named: nothing is booked. Exit codes: 1 there is no position · 3 the node is not running.")]
    Proof(proof::ProofArgs),
    /// Check a proof of place with nothing but the genesis record.
    #[command(after_help = "\
Example:
  city-node place verify here.place --genesis genesis.cbor --nonce 00112233445566778899aabbccddeeff --crls crls/

It must have been made at most five minutes before. Without --nonce and --node it only says what is claimed, and by whom.
Exit codes: 0 it holds · 4 it does not.")]
    Verify(proof::VerifyArgs),
}

pub(super) fn run(command: &PlaceCommand) -> Outcome {
    match command {
        PlaceCommand::Import(args) => import::run(args),
        PlaceCommand::Locate(args) => locate::run(args),
        PlaceCommand::Replay(args) => replay::run(args),
        PlaceCommand::Survey(args) => survey::run(args),
        PlaceCommand::Status(args) => status::run(args),
        PlaceCommand::Watch(args) => watch::run(args),
        PlaceCommand::ClearSpoofing(args) => status::clear_spoofing(args),
        PlaceCommand::Proof(args) => proof::prove(args),
        PlaceCommand::Verify(args) => proof::check(args),
    }
}
