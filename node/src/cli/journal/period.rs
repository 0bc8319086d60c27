//! Days as arguments. A day is one of the system's time zone, as people who keep books count it; TZ chooses another.

use anyhow::Context as _;
use city_protocol::amount::Timestamp;
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A period.
#[derive(Clone, Copy, Debug, Args)]
pub(in super::super) struct PeriodArgs {
    /// First day, such as 2026-04-01 [default: the beginning].
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// Last day, itself in the period [default: now].
    #[arg(long, value_name = "DATE")]
    to: Option<Date>,
}

impl PeriodArgs {
    /// Its first moment.
    ///
    /// # Errors
    /// A day that the zone or the clock does not have.
    pub(in super::super) fn from(&self, zone: &TimeZone) -> anyhow::Result<Option<Timestamp>> {
        self.from.map(|day| begin(day, zone)).transpose()
    }

    /// The first moment behind it.
    ///
    /// # Errors
    /// A day that the zone or the clock does not have.
    pub(in super::super) fn until(&self, zone: &TimeZone) -> anyhow::Result<Option<Timestamp>> {
        self.to.map(|day| end(day, zone)).transpose()
    }
}

/// The first moment behind a day.
pub(super) fn end(day: Date, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    let next = day
        .tomorrow()
        .with_context(|| format!("{day}: too late a day"))?;
    begin(next, zone)
}

/// The first moment of a day.
fn begin(day: Date, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    let moment = day.to_zoned(zone.clone());
    let moment = moment.with_context(|| format!("{day}: too late a day"))?;
    Ok(booked_at(moment.timestamp()))
}

/// A moment, such as 2026-01-01T12:00:00Z, or the beginning of a day.
pub(in super::super) fn moment(text: &str, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    if let Ok(moment) = text.parse() {
        return Ok(booked_at(moment));
    }
    let day: Result<Date, _> = text.parse();
    let day = day.context("neither a day (2026-01-01) nor a moment (2026-01-01T12:00:00Z)")?;
    begin(day, zone)
}

/// Before 1970 nothing was booked.
fn booked_at(moment: jiff::Timestamp) -> Timestamp {
    Timestamp(u64::try_from(moment.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_its_last_day_in_it() {
        let day = |text: &str| Some(text.parse().unwrap());
        let period = PeriodArgs {
            from: day("2026-04-01"),
            to: day("2026-04-01"),
        };
        let check = |hours: i8, from: u64| {
            let zone = TimeZone::fixed(jiff::tz::offset(hours));
            assert_eq!(period.from(&zone).unwrap(), Some(Timestamp(from)));
            let until = from + 86_400_000;
            assert_eq!(period.until(&zone).unwrap(), Some(Timestamp(until)));
        };
        check(0, 1_775_001_600_000);
        check(9, 1_775_001_600_000 - 9 * 3_600_000);
        let old = PeriodArgs {
            from: day("1900-01-01"),
            to: day("9999-12-31"),
        };
        assert_eq!(old.from(&TimeZone::UTC).unwrap(), Some(Timestamp(0)));
        assert!(old.until(&TimeZone::UTC).is_err());
    }
}
