//! The journal for other tools, written while it is read: CSV (RFC 4180), hledger's journal format, JSON.
//!
//! hledger takes a line of the chart, a municipality and a person together as one account, `assets:101 aika
//! 愛貨:Asia/JP/17/17201:…`, declares all of them and the commodity, and so is content with `hledger check --strict`.

use std::collections::BTreeSet;
use std::io::{self, Write};

use city_protocol::journal::{AccountClass, CHART_VERSION, chart_account};
use jiff::tz::TimeZone;

use super::pages::{JournalLog, Line};
use crate::api::wire::SCHEMA;
use crate::config::rfc3339;

/// The commodity in hledger's files. Letters alone need no quotes there.
pub const COMMODITY: &str = "AIKA";

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Comma-separated values, one line a posting.
    Csv,
    /// hledger's journal format.
    Hledger,
    /// One JSON object.
    Json,
}

/// A file that is being written.
pub struct Export<W> {
    to: W,
    format: Format,
    zone: TimeZone,
    /// hledger: the accounts so far, which are declared at the end.
    accounts: BTreeSet<String>,
    /// The entry that is being written.
    entry: Option<(u64, u64, u64)>,
    any: bool,
}

impl<W: Write> Export<W> {
    /// Begins a file; dates are those of this zone.
    ///
    /// # Errors
    /// What writing says.
    pub fn begin(mut to: W, format: Format, zone: TimeZone) -> io::Result<Self> {
        match format {
            Format::Csv => to.write_all(
                b"date,time,log,region,account,epoch,seq,index,vertex,kind,about,code,id,name,debit,credit\r\n",
            )?,
            Format::Hledger => {
                let zone = zone.iana_name().unwrap_or("the system's zone");
                write!(
                    to,
                    "; city-node's journal, chart of accounts version {CHART_VERSION}; dates in {zone}\n\
                     commodity 1000.00 {COMMODITY}\n"
                )?;
            }
            Format::Json => write!(to, "{{\"schema\":{SCHEMA},\"chart\":{CHART_VERSION},\"lines\":[")?,
        }
        Ok(Self {
            to,
            format,
            zone,
            accounts: BTreeSet::new(),
            entry: None,
            any: false,
        })
    }

    /// Goes over to another log.
    pub const fn log(&mut self) {
        self.entry = None;
    }

    /// Writes a posting; those of one entry come one after the other.
    ///
    /// # Errors
    /// What writing says.
    pub fn line(&mut self, home: &JournalLog, line: &Line) -> io::Result<()> {
        match self.format {
            Format::Csv => self.csv(home, line),
            Format::Hledger => self.hledger(home, line),
            Format::Json => {
                if self.any {
                    self.to.write_all(b",\n")?;
                }
                self.any = true;
                serde_json::to_writer(&mut self.to, line)?;
                Ok(())
            }
        }
    }

    fn csv(&mut self, home: &JournalLog, line: &Line) -> io::Result<()> {
        let (id, name) = chart_account(line.code).map_or(("", ""), |a| (a.id, a.name));
        let text = |amount: Option<city_protocol::amount::Amount>| {
            amount.map_or_else(String::new, |amount| amount.to_string())
        };
        let fields = [
            self.date(line),
            rfc3339(line.time),
            line.log.to_string(),
            home.region.clone(),
            line.account.to_string(),
            line.epoch.to_string(),
            line.seq.to_string(),
            line.index.to_string(),
            line.vertex.to_string(),
            line.kind.clone(),
            line.about
                .map_or_else(String::new, |about| about.to_string()),
            line.code.to_string(),
            id.to_owned(),
            name.to_owned(),
            text(line.debit),
            text(line.credit),
        ];
        write!(self.to, "{}\r\n", fields.map(quoted).join(","))
    }

    fn hledger(&mut self, home: &JournalLog, line: &Line) -> io::Result<()> {
        let entry = (line.epoch, line.seq, line.index);
        if self.entry.replace(entry) != Some(entry) {
            let about = line.about.map(|about| format!(", about:{about}"));
            write!(
                self.to,
                "\n{} ({}.{}.{}) {}  ; time:{}, vertex:{}{}\n",
                self.date(line),
                line.epoch,
                line.seq,
                line.index,
                line.kind,
                rfc3339(line.time),
                line.vertex,
                about.unwrap_or_default(),
            )?;
        }
        let account = hledger_account(home, line);
        match (line.debit, line.credit) {
            (Some(debit), _) => writeln!(self.to, "    {account}  {debit} {COMMODITY}")?,
            (None, Some(credit)) => writeln!(self.to, "    {account}  -{credit} {COMMODITY}")?,
            (None, None) => {}
        }
        self.accounts.insert(account);
        Ok(())
    }

    fn date(&self, line: &Line) -> String {
        day(line.time, &self.zone)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// What writing says.
    pub fn end(mut self) -> io::Result<()> {
        match self.format {
            Format::Csv => {}
            Format::Hledger => {
                self.to.write_all(b"\n")?;
                for account in &self.accounts {
                    let class = match account.as_bytes().first() {
                        Some(b'a') => 'A',
                        Some(b'l') => 'L',
                        Some(b'r') => 'R',
                        _ if account.starts_with("eq") => 'E',
                        _ => 'X',
                    };
                    writeln!(self.to, "account {account}  ; type:{class}")?;
                }
            }
            Format::Json => self.to.write_all(b"]}\n")?,
        }
        self.to.flush()
    }
}

/// `class:code id name:region:account`. A code that the chart does not have is written all the same, so that the
/// difference shows.
fn hledger_account(home: &JournalLog, line: &Line) -> String {
    let (region, account) = (&home.region, &line.account);
    match chart_account(line.code) {
        Some(known) => {
            let class: AccountClass = known.class();
            let (class, code, id, name) = (class.id(), known.code, known.id, known.name);
            format!("{class}:{code} {id} {name}:{region}:{account}")
        }
        None => format!("unknown:{}:{region}:{account}", line.code),
    }
}

/// A moment's day in a zone, `2026-04-01`.
#[must_use]
pub fn day(time: city_protocol::amount::Timestamp, zone: &TimeZone) -> String {
    let moment = i64::try_from(time.0).ok();
    let moment = moment.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let moment = moment.unwrap_or(jiff::Timestamp::MAX);
    moment.to_zoned(zone.clone()).date().to_string()
}

/// A field of CSV; quotes where the form asks for them.
fn quoted(field: String) -> String {
    if field.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use city_protocol::amount::{Amount, Timestamp};
    use city_protocol::ids::{AccountId, BlockId, Digest, KeyId, LogId};

    /// 金沢市 grants Hanako 10.00 on the first of April, late in the evening of Greenwich.
    fn written(format: Format, zone: TimeZone) -> String {
        let log = LogId([7; 32]);
        let home = JournalLog {
            log,
            region: "Asia/JP/17/17201".into(),
            name: Some("金沢市".into()),
            epoch: 1,
            seq: 9,
            time: Timestamp(0),
            headers_to: None,
        };
        let debit = Line {
            log,
            time: Timestamp(1_775_080_800_000),
            vertex: BlockId::of(b"v"),
            epoch: 1,
            seq: 4,
            index: 2,
            kind: "grant".into(),
            about: Some(Digest([3; 32])),
            account: AccountId::new(&log, &KeyId([1; 32])),
            code: 101,
            debit: Some(Amount::from_hundredths(1000)),
            credit: None,
        };
        let credit = Line {
            code: 305,
            debit: None,
            credit: debit.debit,
            ..debit.clone()
        };
        let mut file = Vec::new();
        let mut export = Export::begin(&mut file, format, zone).unwrap();
        export.log();
        for line in [debit, credit] {
            export.line(&home, &line).unwrap();
        }
        export.end().unwrap();
        String::from_utf8(file).unwrap()
    }

    #[test]
    fn hledger_gets_one_transaction_an_entry_and_every_name_declared() {
        let file = written(Format::Hledger, TimeZone::UTC);
        let lines: Vec<&str> = file.lines().collect();
        assert_eq!(lines[1], "commodity 1000.00 AIKA");
        assert!(
            lines[3].starts_with("2026-04-01 (1.4.2) grant  ; time:2026-04-01T22:00:00"),
            "{file}"
        );
        let debit = lines[4].strip_prefix("    ").unwrap();
        let (name, amount) = debit.split_once("  ").unwrap();
        assert!(
            name.starts_with("assets:101 aika 愛貨:Asia/JP/17/17201:"),
            "{file}"
        );
        let about = format!(", about:{}", Digest([3; 32]));
        assert!(lines[3].ends_with(&about), "{file}");
        assert_eq!(amount, "10.00 AIKA");
        assert!(lines[5].ends_with("  -10.00 AIKA"), "{file}");
        assert!(
            file.contains(&format!("\naccount {name}  ; type:A\n")),
            "{file}"
        );
        assert!(
            file.contains("\naccount equity:305 grant-difference 愛貨贈与差額:"),
            "{file}"
        );
        assert_eq!(file.matches("\naccount ").count(), 2);
    }

    #[test]
    fn csv_has_a_date_of_the_zone_and_json_is_one_object() {
        let east = TimeZone::fixed(jiff::tz::offset(9));
        let file = written(Format::Csv, east);
        let lines: Vec<&str> = file.split("\r\n").collect();
        assert_eq!(lines.len(), 4, "{file}");
        assert!(
            lines[1].starts_with("2026-04-02,2026-04-01T22:00:00"),
            "{file}"
        );
        let end = format!(",{},101,aika,愛貨,10.00,", Digest([3; 32]));
        assert!(lines[1].ends_with(&end), "{file}");
        assert!(
            lines[2].ends_with(",305,grant-difference,愛貨贈与差額,,10.00"),
            "{file}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&written(Format::Json, TimeZone::UTC)).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["lines"].as_array().unwrap().len(), 2);
        assert_eq!(json["lines"][1]["credit"], "10.00");
        assert_eq!(quoted("a,\"b\"".into()), "\"a,\"\"b\"\"\"");
    }
}
