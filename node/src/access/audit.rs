//! The logs that operators answer for, shown and checked together: the trust log (for ever) and those of the access
//! log (rotated). Shared by the admin socket and by the command line on a node that does not run.

use std::collections::BTreeMap;

use city_protocol::amount::Timestamp;
use city_protocol::body::{Kind, Start};
use city_protocol::ids::{BlockId, LogId};
use serde::{Deserialize, Serialize};

use super::{AccessLog, Checked, Log};
use crate::config::rfc3339;
use crate::daemon::gate::lost_head;
use crate::engine::each_vertex;
use crate::store::{ReadError, Store};
use crate::trust;

/// Most lines of one answer.
pub const MAX_LINES: usize = 2000;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// What operators decided about peers.
    Trust,
    /// Who operated the node.
    Access,
    /// Who logged in and out.
    Logins,
    /// How often strangers were refused.
    Refusals,
}

impl Which {
    /// Every log.
    pub const ALL: [Self; 4] = [Self::Trust, Self::Access, Self::Logins, Self::Refusals];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.of_access() {
            None => "trust",
            Some(log) => log.name(),
        }
    }

    const fn of_access(self) -> Option<Log> {
        match self {
            Self::Trust => None,
            Self::Access => Some(Log::Access),
            Self::Logins => Some(Log::Logins),
            Self::Refusals => Some(Log::Refusals),
        }
    }
}

/// One line of any, as it is shown and exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// 1.
    pub schema: u64,
    /// Which log.
    pub log: Which,
    /// Number of the line, from 1.
    pub n: u64,
    /// The line's id: what the next one links to.
    pub id: BlockId,
    /// The line before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<BlockId>,
    /// When.
    pub at: Timestamp,
    /// What kind of thing.
    pub class: String,
    /// Who; empty where nobody is named.
    pub who: String,
    /// What.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// Some lines in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinesPage {
    /// 1.
    pub schema: u64,
    /// The lines.
    pub lines: Vec<Line>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// What checking a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogVerdict {
    /// Lines.
    pub lines: u64,
    /// Number of the first line that is still there.
    pub first: u64,
    /// What does not hold, in words.
    pub problems: Vec<String>,
}

/// What checking all found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditVerdict {
    /// 1.
    pub schema: u64,
    /// Whether all of it holds.
    pub ok: bool,
    /// The trust log: every link, and every head that a `start` entry of the ledger names.
    pub trust: LogVerdict,
    /// The access log: every number and link, and that it is as long as another says.
    pub access: LogVerdict,
    /// Logins and logouts: the same.
    pub logins: LogVerdict,
    /// What strangers were refused: the same.
    pub refusals: LogVerdict,
    /// How many heads of the trust log the ledger names.
    pub heads_in_ledger: u64,
}

/// The lines of a log behind a number, at most [`MAX_LINES`].
///
/// # Errors
/// [`ReadError`].
pub fn lines(
    store: &Store,
    access: &AccessLog,
    which: Which,
    after: u64,
) -> Result<LinesPage, ReadError> {
    let mut lines = Vec::new();
    let mut more = false;
    let mut take = |line: Line| {
        more = lines.len() == MAX_LINES;
        if !more {
            lines.push(line);
        }
        !more
    };
    match which.of_access() {
        Some(log) => {
            for line in access.lines(log) {
                let (id, record) = line?;
                let shown = Line {
                    schema: 1,
                    log: which,
                    n: record.n,
                    id,
                    prev: record.prev,
                    at: record.at,
                    class: record.class.name().into(),
                    who: record.who,
                    what: record.what,
                    count: record.count,
                };
                if shown.n > after && !take(shown) {
                    break;
                }
            }
        }
        None => {
            for (n, block) in (1..).zip(store.trust().iter()) {
                let block = block?;
                if n > after && !take(trust_line(n, block.id, &block.bytes)) {
                    break;
                }
            }
        }
    }
    Ok(LinesPage {
        schema: 1,
        lines,
        more,
    })
}

fn trust_line(n: u64, id: BlockId, bytes: &[u8]) -> Line {
    let line = Line {
        schema: 1,
        log: Which::Trust,
        n,
        id,
        prev: None,
        at: Timestamp(0),
        class: "unreadable".into(),
        who: String::new(),
        what: String::new(),
        count: 1,
    };
    let Ok(record) = trust::Record::read(bytes) else {
        return line;
    };
    Line {
        prev: record.prev,
        at: record.at,
        class: record.decision.name().into(),
        what: told(&record),
        who: record.by,
        ..line
    }
}

/// Whom a decision is about, and on what terms.
fn told(record: &trust::Record) -> String {
    let mut what = record.peer.clone();
    let mut say = |text: &str| {
        if !text.is_empty() {
            what.push(' ');
            what.push_str(text);
        }
    };
    let successor = record.successor();
    say(&successor.map_or(String::new(), |new| format!("followed by {new}")));
    let region = record.region.as_ref().map(ToString::to_string);
    say(&region.unwrap_or_default());
    say(&record.name);
    say(&record
        .from
        .as_ref()
        .map_or(String::new(), |from| format!("from {from}")));
    let recommender = record.recommender.as_ref();
    say(&recommender.map_or(String::new(), |peer| format!("says {peer}")));
    if let Some(at) = record.expires_at {
        say(&format!("until {}", rfc3339(at)));
    }
    if !record.keys.is_empty() {
        say(&format!("keys {}", record.keys.len()));
    }
    what
}

/// Checks all logs: their links, and that the trust log still has every head that is known elsewhere.
///
/// # Errors
/// [`ReadError`] of the ledger.
pub fn verify(store: &Store, access: &AccessLog, own: &LogId) -> Result<AuditVerdict, ReadError> {
    let lost = lost_head(access, store.trust());
    let mut checked = access.check();
    let mut of = |log| LogVerdict::from(checked.remove(&log).unwrap_or_default());
    let [access, logins, refusals] = Log::ALL.map(&mut of);
    let mut trust = check_trust(store);
    let heads = heads_in_ledger(store, own)?;
    for (head, seq) in &heads {
        if !store.trust().contains(head) {
            trust.problems.push(format!(
                "the ledger's vertex {seq} names {head} as head of the trust log, which does not have it: it was cut off or exchanged"
            ));
        }
    }
    if let Some(head) = lost {
        trust.problems.push(format!(
            "the last start named {head} as head of the trust log, which does not have it: it was cut off or exchanged"
        ));
    }
    Ok(AuditVerdict {
        schema: 1,
        ok: [&trust, &access, &logins, &refusals]
            .iter()
            .all(|log| log.problems.is_empty()),
        trust,
        access,
        logins,
        refusals,
        heads_in_ledger: heads.len() as u64,
    })
}

impl From<Checked> for LogVerdict {
    fn from(checked: Checked) -> Self {
        let Checked {
            lines,
            first,
            problems,
        } = checked;
        Self {
            lines,
            first,
            problems,
        }
    }
}

fn check_trust(store: &Store) -> LogVerdict {
    let mut verdict = LogVerdict {
        first: 1,
        ..LogVerdict::default()
    };
    let mut before = None;
    for (n, block) in (1_u64..).zip(store.trust().iter()) {
        let block = match block {
            Ok(block) => block,
            Err(error) => {
                verdict
                    .problems
                    .push(format!("line {n} cannot be read: {error}"));
                continue;
            }
        };
        verdict.lines += 1;
        match trust::Record::read(&block.bytes) {
            Ok(record) if record.prev == before => {}
            Ok(_) => verdict.problems.push(format!(
                "line {n} does not follow the line before it: lines are missing or exchanged"
            )),
            Err(refusal) => verdict
                .problems
                .push(format!("line {n} is none: {refusal}")),
        }
        before = Some(block.id);
    }
    verdict
}

/// The heads that the own log's `start` entries name, each with the first position that does.
fn heads_in_ledger(store: &Store, own: &LogId) -> Result<BTreeMap<BlockId, u64>, ReadError> {
    let mut heads = BTreeMap::new();
    each_vertex(store, |header, body, _| {
        let Some(body) = body.filter(|_| header.header.log == *own) else {
            return;
        };
        let entries = city_protocol::vertex::decode_body(&body.bytes).unwrap_or_default();
        // Only the first two entries of a vertex can be one.
        let starts = entries.iter().take(2);
        for start in starts.filter(|entry| entry.kind == Kind::Start) {
            if let Ok(start) = Start::read(&start.body)
                && let Some(head) = start.trust
            {
                heads.entry(head).or_insert(header.header.seq);
            }
        }
    })?;
    Ok(heads)
}
