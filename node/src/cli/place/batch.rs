//! `place locate --batch`: a table of points in, an answer a line out, with no more than one line in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::Context as _;
use city_protocol::place::{BoundaryIndex, Location, Point, Side};
use serde_json::{Value, json};

use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::SCHEMA;

/// Longest line, bytes: a row of a wide table; what is longer is one bad line.
const MAX_LINE: usize = 64 * 1024;
/// Most bad lines that are explained on standard error; all have a row.
const MAX_TOLD: u64 = 20;
/// Names of the columns, in any case.
const LAT: [&str; 2] = ["lat", "latitude"];
const LON: [&str; 4] = ["lon", "lng", "long", "longitude"];

/// Answers all points of a file, or of standard input where it is `-`.
pub(super) fn run(path: &Path, index: &BoundaryIndex, accuracy_m: u32, json: bool) -> Outcome {
    let out = BufWriter::new(io::stdout().lock());
    let answered = if path == Path::new("-") {
        answer(
            BufReader::new(io::stdin().lock()),
            out,
            index,
            accuracy_m,
            json,
        )
    } else {
        let file = File::open(path).with_context(|| {
            format!(
                "{}: cannot be read; check the path and its permissions",
                path.display()
            )
        })?;
        answer(BufReader::new(file), out, index, accuracy_m, json)
    };
    match answered {
        Ok(Answered { bad: 0, .. }) => Ok(Exit::Ok),
        Ok(Answered { lines, bad }) => Err(Failure::new(
            Exit::Failed,
            anyhow::anyhow!(
                "{bad} of {lines} lines are no points; write decimal degrees such as 36.5613,136.6562, \
                 or name the columns lat and lon in the first line"
            ),
        )),
        // A reader that goes away is not an error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        Err(error) => Err(anyhow::Error::from(error)
            .context(path.display().to_string())
            .into()),
    }
}

/// How many lines were points or should have been.
#[derive(Debug, PartialEq, Eq)]
struct Answered {
    lines: u64,
    bad: u64,
}

fn answer<R: Read>(
    mut input: BufReader<R>,
    out: impl Write,
    index: &BoundaryIndex,
    accuracy_m: u32,
    json: bool,
) -> io::Result<Answered> {
    let mut out = Writer::new(out, json);
    let mut answered = Answered { lines: 0, bad: 0 };
    let mut columns = None;
    let mut line = Vec::new();
    let mut number = 0_u64;
    while let Some(fits) = next_line(&mut input, &mut line)? {
        number += 1;
        let text = if number == 1 {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line)
        } else {
            &line
        };
        if text.trim_ascii().is_empty() {
            continue;
        }
        let fields = fields(text);
        if columns.is_none() {
            let named = named_columns(&fields);
            columns = Some(named.unwrap_or((0, 1)));
            if named.is_some() {
                continue;
            }
        }
        let (lat, lon) = columns.unwrap_or((0, 1));
        answered.lines += 1;
        let point = if fits {
            point(&fields, lat, lon)
        } else {
            Err("longer than 64 KiB")
        };
        match point {
            Ok(point) => out.located(point, &index.locate(point, accuracy_m))?,
            Err(why) => {
                answered.bad += 1;
                if answered.bad <= MAX_TOLD {
                    eprintln!("line {number}: {why}");
                }
                out.failed(number, why)?;
            }
        }
        // Who writes a point at a time gets its answer at once.
        if input.buffer().is_empty() {
            out.flush()?;
        }
    }
    out.flush()?;
    Ok(answered)
}

/// Reads a line; says whether it is short enough, or `None` at the end. Of a longer one the beginning is kept.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let limit = MAX_LINE as u64 + 1;
    if input.by_ref().take(limit).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    let fits = line.ends_with(b"\n") || line.len() <= MAX_LINE;
    if !fits {
        skip_line(input)?;
    }
    Ok(Some(fits))
}

/// Passes over the rest of a line, whatever its length.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let waiting = input.fill_buf()?;
        let end = waiting.iter().position(|&byte| byte == b'\n');
        let done = end.is_some() || waiting.is_empty();
        let read = end.map_or(waiting.len(), |end| end + 1);
        input.consume(read);
        if done {
            return Ok(());
        }
    }
}

/// A line's fields, without blanks around them.
fn fields(line: &[u8]) -> csv::ByteRecord {
    let mut record = csv::ByteRecord::new();
    let read = csv::ReaderBuilder::new()
        .has_headers(false)
        .buffer_capacity(line.len().max(1))
        .trim(csv::Trim::All)
        .from_reader(line)
        .read_byte_record(&mut record);
    // Reading from memory does not fail, and one record may have any number of fields.
    debug_assert!(read.is_ok());
    record
}

/// Places of latitude and longitude, if this line names them.
fn named_columns(fields: &csv::ByteRecord) -> Option<(usize, usize)> {
    let place = |names: &[&str]| {
        let is_one = |field: &[u8]| {
            names
                .iter()
                .any(|name| field.eq_ignore_ascii_case(name.as_bytes()))
        };
        fields.iter().position(is_one)
    };
    Some((place(&LAT)?, place(&LON)?))
}

fn point(fields: &csv::ByteRecord, lat: usize, lon: usize) -> Result<Point, &'static str> {
    let text = |column| {
        let field = fields.get(column).ok_or("a column is missing")?;
        std::str::from_utf8(field).map_err(|_| "not a number")
    };
    Point::from_decimal(text(lat)?, text(lon)?).map_err(|_| "not a point in decimal degrees")
}

/// Rows of CSV or lines of JSON.
enum Writer<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Json(W),
}

impl<W: Write> Writer<W> {
    fn new(out: W, json: bool) -> Self {
        if json {
            Self::Json(out)
        } else {
            Self::Csv(Box::new(csv::Writer::from_writer(out)))
        }
    }

    fn located(&mut self, point: Point, location: &Location<'_>) -> io::Result<()> {
        let Location {
            code,
            name,
            side,
            distance_m,
        } = *location;
        match self {
            Self::Csv(out) => {
                let distance = distance_m.to_string();
                let row = [
                    code.unwrap_or_default(),
                    name.unwrap_or_default(),
                    word(side),
                    &distance,
                ];
                out.write_record(row).map_err(io_error)
            }
            Self::Json(out) => line_of(
                out,
                &json!({
                    "schema": SCHEMA,
                    "lat": point.lat_text(),
                    "lon": point.lon_text(),
                    "code": code,
                    "name": name,
                    "side": side,
                    "distance_m": distance_m,
                }),
            ),
        }
    }

    fn failed(&mut self, number: u64, why: &str) -> io::Result<()> {
        match self {
            Self::Csv(out) => out.write_record(["", "", "error", ""]).map_err(io_error),
            Self::Json(out) => line_of(
                out,
                &json!({ "schema": SCHEMA, "line": number, "error": why }),
            ),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Csv(out) => out.flush(),
            Self::Json(out) => out.flush(),
        }
    }
}

/// The error of the output itself, so that a reader that goes away is known.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn line_of(out: &mut impl Write, value: &Value) -> io::Result<()> {
    writeln!(out, "{value}")
}

/// A side in one word.
pub(super) const fn word(side: Side) -> &'static str {
    match side {
        Side::Inside => "inside",
        Side::Border => "border",
        Side::Outside => "outside",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::outlines::demo_boundary;

    fn answers(input: &[u8], json: bool) -> (String, Answered) {
        let mut out = Vec::new();
        // A buffer of three bytes: lines are in many reads.
        let input = BufReader::with_capacity(3, input);
        let answered = answer(input, &mut out, &demo_boundary(), 0, json).unwrap();
        (String::from_utf8(out).unwrap(), answered)
    }

    #[test]
    fn columns_stand_first_or_where_the_header_says() {
        let kanazawa = "17201,金沢市,inside,";
        for input in [
            "36.5613,136.6562",
            "36.5613,136.6562\r\n\r\n",
            "lat,lon\n36.5613,136.6562\n",
            "\u{feff}name,Longitude,LATITUDE\n\"a, \"\"b\"\"\", 136.6562 ,36.5613\n",
        ] {
            let (text, answered) = answers(input.as_bytes(), false);
            assert!(
                text.starts_with(kanazawa) && text.lines().count() == 1,
                "{input}: {text}"
            );
            assert_eq!(answered, Answered { lines: 1, bad: 0 });
        }
        let (text, _) = answers(b"0,0\n", false);
        assert!(text.starts_with(",,outside,"), "{text}");
    }

    #[test]
    fn a_bad_line_has_a_row_of_its_own_and_the_next_is_answered() {
        let long = [b"1,".as_slice(), &[b'7'; 3 * MAX_LINE]].concat();
        let input = [
            b"36.5613,136.6562\n36.5613\n91,0\n\"36,1\n\xff,\xff\n".as_slice(),
            &long,
            b"\n36.5613,136.6562",
        ]
        .concat();
        let (text, answered) = answers(&input, false);
        let sides: Vec<_> = text
            .lines()
            .map(|line| line.split(',').nth(2).unwrap())
            .collect();
        assert_eq!(
            sides,
            [
                "inside", "error", "error", "error", "error", "error", "inside"
            ]
        );
        assert_eq!(answered, Answered { lines: 7, bad: 5 });
        let (text, _) = answers(&input, true);
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["code"], "17201");
        assert_eq!(
            (&lines[1]["line"], &lines[1]["error"]),
            (&2.into(), &"a column is missing".into())
        );
    }
}
