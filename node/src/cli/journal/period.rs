//! Days as arguments. A day is one of the system's time zone, as people who keep books count it; TZ chooses another.

use anyhow::Context as _;
use city_protocol::amount::Timestamp;
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::super::exit::{Exit, Failure};

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
    /// Its first moment, and the first moment behind it.
    ///
    /// # Errors
    /// [`Exit::Usage`] where it ends before it begins; a day that the zone or the clock does not have.
    pub(in super::super) fn bounds(
        &self,
        zone: &TimeZone,
    ) -> Result<(Option<Timestamp>, Option<Timestamp>), Failure> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            let why = anyhow::anyhow!("--from {from} is later than --to {to}: exchange them");
            return Err(Failure::new(Exit::Usage, why));
        }
        let from = self.from.map(|day| begin(day, zone)).transpose()?;
        let until = self.to.map(|day| end(day, zone)).transpose()?;
        Ok((from, until))
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
            let until = from + 86_400_000;
            let expected = (Some(Timestamp(from)), Some(Timestamp(until)));
            assert_eq!(period.bounds(&zone).unwrap(), expected);
        };
        check(0, 1_775_001_600_000);
        check(9, 1_775_001_600_000 - 9 * 3_600_000);
        let old = |to: &str| PeriodArgs {
            from: day("1900-01-01"),
            to: day(to),
        };
        let (from, _) = old("1900-01-01").bounds(&TimeZone::UTC).unwrap();
        assert_eq!(from, Some(Timestamp(0)));
        assert!(old("9999-12-31").bounds(&TimeZone::UTC).is_err());
    }

    #[test]
    fn a_period_that_ends_before_it_begins_is_wrong_usage() {
        let period = PeriodArgs {
            from: Some("2026-04-02".parse().unwrap()),
            to: Some("2026-04-01".parse().unwrap()),
        };
        let failure = period.bounds(&TimeZone::UTC).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure
                .to_string()
                .contains("--from 2026-04-02 is later than --to 2026-04-01")
        );
    }
}
