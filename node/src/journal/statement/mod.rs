//! A person's statement (取引明細): what was available at the beginning, every change, what is available at the end. As
//! text for a terminal, as CSV, and as HTML that prints on A4.

mod html;
mod words;

use std::fmt::Write as _;

use city_protocol::amount::Timestamp;
use city_protocol::ids::AccountId;
use jiff::tz::TimeZone;

use super::export::day;
use super::lang::{Lang, amount};
use super::pages::{JournalLog, Movement};
use crate::config::rfc3339;
use words::{other_side, period, what};

/// Most movements on one statement: a shop with 250 customers a day for a year. More than that is asked for by
/// shorter periods.
pub const MAX_MOVEMENTS: usize = 100_000;

/// How a statement is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StatementFormat {
    /// For a terminal.
    Text,
    /// Comma-separated values.
    Csv,
    /// A page that prints on A4.
    Html,
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Whose.
    pub account: AccountId,
    /// Their home.
    pub home: JournalLog,
    /// Begin of the period; none for the beginning of the account.
    pub from: Option<Timestamp>,
    /// End of the period, itself not in it; none for now.
    pub until: Option<Timestamp>,
    /// Available at the beginning, in hundredths.
    pub opening: i64,
    /// Available at the end, in hundredths.
    pub closing: i64,
    /// Sent and not settled yet, as of now, in hundredths.
    pub promised: u64,
    /// The changes, the oldest first.
    pub movements: Vec<Movement>,
    /// When it was made.
    pub made: Timestamp,
}

/// Why there is no statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Too many lines.
    #[error(
        "more than {MAX_MOVEMENTS} movements in this period; ask for a shorter one with --from and --to"
    )]
    TooLong,
    /// The sums do not fit.
    #[error(
        "the account's movements do not add up to what its home says is available; run `city-node journal verify`"
    )]
    DoesNotAddUp,
}

/// Takes the movements since the beginning of a period, also those behind its end: what is available now, less all of
/// them, was available at the beginning.
#[derive(Debug)]
pub struct Collect {
    until: Option<Timestamp>,
    movements: Vec<Movement>,
    later: i64,
    all: i64,
}

impl Collect {
    /// Nothing yet.
    #[must_use]
    pub const fn new(until: Option<Timestamp>) -> Self {
        Self {
            until,
            movements: Vec::new(),
            later: 0,
            all: 0,
        }
    }

    /// Takes one movement.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn take(&mut self, movement: Movement) -> Result<(), StatementError> {
        let change = movement.hundredths;
        let add = |sum: i64| sum.checked_add(change).ok_or(StatementError::DoesNotAddUp);
        self.all = add(self.all)?;
        if self.until.is_some_and(|until| movement.time >= until) {
            self.later = add(self.later)?;
            return Ok(());
        }
        if self.movements.len() == MAX_MOVEMENTS {
            return Err(StatementError::TooLong);
        }
        self.movements.push(movement);
        Ok(())
    }

    /// The movements of the period, and what was available before and after it.
    ///
    /// # Errors
    /// [`StatementError::DoesNotAddUp`] where something would have been less than nothing, or where the period begins
    /// with the account, which began with nothing.
    pub fn end(
        self,
        available: i64,
        from_the_beginning: bool,
    ) -> Result<(Vec<Movement>, i64, i64), StatementError> {
        let (opening, closing) = (available - self.all, available - self.later);
        if opening < 0 || closing < 0 || (from_the_beginning && opening != 0) {
            return Err(StatementError::DoesNotAddUp);
        }
        Ok((self.movements, opening, closing))
    }
}

impl Statement {
    /// Writes it.
    #[must_use]
    pub fn write(&self, format: StatementFormat, lang: Lang, zone: &TimeZone) -> String {
        match format {
            StatementFormat::Text => self.text(lang, zone),
            StatementFormat::Csv => self.csv(lang, zone),
            StatementFormat::Html => self.html(lang, zone),
        }
    }

    fn text(&self, lang: Lang, zone: &TimeZone) -> String {
        let mut out = String::new();
        let mut put = |line: String| writeln!(out, "{line}").expect("a String takes all");
        put(lang.pick("取引明細", "Statement").into());
        put(format!(
            "{}  {}",
            lang.pick("口座    ", "account "),
            self.account
        ));
        put(format!(
            "{}  {}",
            lang.pick("市町村  ", "home    "),
            words::place(&self.home.region, self.home.name.as_deref())
        ));
        put(format!(
            "{}  {}",
            lang.pick("期間    ", "period  "),
            period(self, lang, zone)
        ));
        put(format!(
            "{}  {}",
            lang.pick("期首残高", "opening "),
            amount(self.opening.into())
        ));
        let mut balance = self.opening;
        for movement in &self.movements {
            balance += movement.hundredths;
            put(String::new());
            put(format!(
                "{}  {:>14}  {:>14}  {}",
                moment(movement.time, zone),
                signed(movement.hundredths),
                amount(balance.into()),
                what(movement, lang),
            ));
            if let Some(other) = other_side(movement, lang) {
                put(format!("    {other}"));
            }
            if let Some(state) = &movement.state {
                put(format!("    {}", lang.state(state)));
            }
            if let Some(hash) = &movement.transaction_hash {
                put(format!("    {hash}"));
            }
        }
        put(String::new());
        put(format!(
            "{}  {}",
            lang.pick("期末残高", "closing "),
            amount(self.closing.into())
        ));
        if self.until.is_none() && self.promised > 0 {
            let promised = amount(self.promised.into());
            put(match lang {
                Lang::Ja => format!("ほかに未決済の送付  {promised}"),
                Lang::En => format!("besides, sent and not settled yet: {promised}"),
            });
        }
        out
    }

    fn csv(&self, lang: Lang, zone: &TimeZone) -> String {
        let mut out = String::from(
            "date,time,kind,what,change,available,counterparty,counterparty_region,counterparty_municipality,state,state_name,transaction_hash,transfer,vertex\r\n",
        );
        let mut row = |fields: [String; 14]| {
            writeln!(out, "{}\r", fields.map(cell).join(",")).expect("a String takes all");
        };
        let edge = |kind: &str, what: &str, at: Option<Timestamp>, sum: i64| {
            let mut fields: [String; 14] = Default::default();
            fields[0] = at.map_or_else(String::new, |at| day(at, zone));
            fields[1] = at.map_or_else(String::new, rfc3339);
            (fields[2], fields[3]) = (kind.into(), what.into());
            fields[5] = amount(sum.into());
            fields
        };
        row(edge(
            "opening",
            lang.pick("期首残高", "opening"),
            self.from,
            self.opening,
        ));
        let mut balance = self.opening;
        for movement in &self.movements {
            balance += movement.hundredths;
            let other = movement.counterparty.as_ref();
            let state = movement.state.as_ref();
            let text = |text: Option<String>| text.unwrap_or_default();
            row([
                day(movement.time, zone),
                rfc3339(movement.time),
                movement.kind.clone(),
                what(movement, lang).into(),
                amount(movement.hundredths.into()),
                amount(balance.into()),
                text(other.map(|other| other.account.to_string())),
                text(other.and_then(|other| other.region.clone())),
                text(other.and_then(|other| other.name.clone())),
                text(state.map(|state| state.code.clone())),
                text(state.map(|state| lang.state(state).to_owned())),
                text(movement.transaction_hash.map(|hash| hash.to_string())),
                text(movement.transfer.map(|transfer| transfer.to_string())),
                movement.vertex.to_string(),
            ]);
        }
        let end = self.until.map_or(self.made, |until| until.minus_ms(1));
        row(edge(
            "closing",
            lang.pick("期末残高", "closing"),
            Some(end),
            self.closing,
        ));
        out
    }
}

/// A field of CSV. A name comes from a boundary file; one that a spreadsheet would take for a formula gets an apostrophe.
fn cell(field: String) -> String {
    let number = field.parse::<f64>().is_ok();
    let field = match field.starts_with(['=', '+', '-', '@', '\t', '\r']) && !number {
        true => format!("'{field}"),
        false => field,
    };
    if field.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

/// A moment in a zone, to the minute.
fn moment(time: Timestamp, zone: &TimeZone) -> String {
    let at = i64::try_from(time.0).ok();
    let at = at.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let at = at.unwrap_or(jiff::Timestamp::MAX).to_zoned(zone.clone());
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A change with its sign.
fn signed(hundredths: i64) -> String {
    let plus = if hundredths > 0 { "+" } else { "" };
    format!("{plus}{}", amount(hundredths.into()))
}

#[cfg(test)]
mod tests;
