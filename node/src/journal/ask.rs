//! What can be asked of the journal: one log up to a position, narrowed by account, code and time; also as the query of
//! an address, in which the admin socket is asked.

use std::fmt;
use std::str::FromStr;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::ids::{AccountId, LogId};

/// A question about one log. Answers come by the page; the next page is asked for with `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Log.
    pub log: LogId,
    /// The newest epoch of the chain that is read.
    pub epoch: u64,
    /// The last position that is read: what is booked meanwhile is not in the answer.
    pub upto: u64,
    /// The position behind which reading goes on.
    pub after: u64,
    /// Only vertices of this moment and later.
    pub from: Option<Timestamp>,
    /// Only vertices before this moment.
    pub until: Option<Timestamp>,
    /// Only postings of this account.
    pub account: Option<AccountId>,
    /// Only postings to this account of the chart.
    pub code: Option<u16>,
}

impl Ask {
    /// Everything of a log up to a position.
    #[must_use]
    pub const fn all(log: LogId, epoch: u64, upto: u64) -> Self {
        Self {
            log,
            epoch,
            upto,
            after: 0,
            from: None,
            until: None,
            account: None,
            code: None,
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            log,
            epoch,
            upto,
            after,
            ..
        } = self;
        write!(f, "log={log}&epoch={epoch}&upto={upto}&after={after}")?;
        for (name, moment) in [("from", self.from), ("until", self.until)] {
            if let Some(Timestamp(ms)) = moment {
                write!(f, "&{name}={ms}")?;
            }
        }
        if let Some(account) = &self.account {
            write!(f, "&account={account}")?;
        }
        if let Some(code) = self.code {
            write!(f, "&code={code}")?;
        }
        Ok(())
    }
}

impl FromStr for Ask {
    type Err = Refusal;

    /// Each name at most once; log, epoch and upto must be there.
    fn from_str(query: &str) -> Result<Self, Refusal> {
        let mut log = None;
        let mut numbers = [None; 6];
        let mut account = None;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').ok_or(Refusal::BadField)?;
            let at = ["epoch", "upto", "after", "from", "until", "code"]
                .iter()
                .position(|known| *known == name);
            match (name, at) {
                ("log", _) if log.is_none() => log = Some(value.parse()?),
                ("account", _) if account.is_none() => account = Some(value.parse()?),
                (_, Some(at)) if numbers[at].is_none() => {
                    let number: u64 = value.parse().map_err(|_| Refusal::BadField)?;
                    numbers[at] = Some(number);
                }
                _ => return Err(Refusal::BadField),
            }
        }
        let [epoch, upto, after, from, until, code] = numbers;
        let code = code.map(u16::try_from).transpose();
        Ok(Self {
            log: log.ok_or(Refusal::BadField)?,
            epoch: epoch.ok_or(Refusal::BadField)?,
            upto: upto.ok_or(Refusal::BadField)?,
            after: after.unwrap_or(0),
            from: from.map(Timestamp),
            until: until.map(Timestamp),
            account,
            code: code.map_err(|_| Refusal::BadField)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use city_protocol::ids::KeyId;

    #[test]
    fn a_question_survives_the_address() {
        let log = LogId([7; 32]);
        let all = Ask::all(log, 2, 40);
        let narrow = Ask {
            after: 12,
            from: Some(Timestamp(1_775_001_600_000)),
            until: Some(Timestamp(1_775_088_000_000)),
            account: Some(AccountId::new(&log, &KeyId([1; 32]))),
            code: Some(101),
            ..all.clone()
        };
        for ask in [all, narrow] {
            assert_eq!(ask.to_string().parse(), Ok(ask));
        }
    }

    #[test]
    fn what_nobody_asks_is_refused() {
        let good = Ask::all(LogId([7; 32]), 1, 9).to_string();
        let check = |query: &str| assert!(query.parse::<Ask>().is_err(), "{query}");
        check("");
        check("log=x&epoch=1&upto=9");
        check(&format!("{good}&upto=10"));
        check(&format!("{good}&code=65536"));
        check(&format!("{good}&code=-1"));
        check(&format!("{good}&limit=3"));
        check(&good.replace("&epoch=1", ""));
    }
}
