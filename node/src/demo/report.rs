//! What the demo found, as one JSON object and as the closing table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::admin::pages;

/// One step of the story and how long it took.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) ms: u64,
}

/// One node at the end of the story.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NodeReport {
    pub(super) region: String,
    #[serde(skip)]
    pub(super) name: String,
    pub(super) peer_id: String,
    pub(super) heads: BTreeMap<String, String>,
    pub(super) balances: BTreeMap<String, String>,
    pub(super) place: pages::Place,
    #[serde(skip)]
    pub(super) postings: u64,
    #[serde(skip)]
    pub(super) signatures: u64,
}

/// A refusal that the story ran into.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RefusalReport {
    pub(super) code: String,
    pub(super) detail: String,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: u32,
    pub(super) ok: bool,
    pub(super) conserved: bool,
    pub(super) journal_matches: bool,
    pub(super) nodes: Vec<NodeReport>,
    pub(super) steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<RefusalReport>,
}

/// Prints a line. A reader that goes away (`| head`) does not end the story: everything still stops in order.
pub(super) fn say(line: &str) {
    use std::io::Write as _;
    let _nobody_reads = writeln!(std::io::stdout(), "{line}");
}

/// The teller: prints the story as it happens, unless only JSON is wanted.
pub(super) struct Teller {
    quiet: bool,
    begun: Instant,
    pub(super) steps: Vec<Step>,
}

impl Teller {
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            begun: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// A line of the story.
    pub(super) fn say(&self, line: &str) {
        if !self.quiet {
            say(line);
        }
    }

    /// A line below a step.
    pub(super) fn detail(&self, line: &str) {
        self.say(&format!("      {line}"));
    }

    /// Ends a step that began at `begun`.
    pub(super) fn done(&mut self, name: &'static str, begun: Instant, line: &str) {
        let ms = millis(begun.elapsed());
        self.steps.push(Step { name, ms });
        let number = self.steps.len();
        self.say(&format!("{number:>3}. {line}  ({})", seconds(ms)));
    }

    /// Time since the story began.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds while they are few, then seconds.
fn seconds(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        _ => format!("{}.{:02} s", ms / 1000, ms % 1000 / 10),
    }
}

impl Report {
    /// The object for a story that came to no end.
    pub(super) fn failed(error: &anyhow::Error, teller: &Teller) -> serde_json::Value {
        serde_json::json!({
            "schema": 1,
            "ok": false,
            "error": format!("{error:#}"),
            "steps": teller.steps,
        })
    }

    /// The closing table.
    pub(super) fn table(&self, people: &[(String, String)]) -> String {
        let mut out = String::new();
        let rule = "─".repeat(78);
        let _ = writeln!(out, "{rule}");
        let _ = writeln!(out, "what each node says, asked by itself");
        for node in &self.nodes {
            let _ = writeln!(out, "\n  {} ({})", node.name, node.region);
            for (name, account) in people {
                let balance = node.balances.get(account).map_or("–", String::as_str);
                let _ = writeln!(out, "      {name:<28} {balance:>12} 愛貨");
            }
            let _ = writeln!(
                out,
                "      place {}, municipality {}, {} postings, {} signatures checked",
                node.place.grade,
                node.place.municipality.as_deref().unwrap_or("–"),
                node.postings,
                node.signatures
            );
        }
        let yes = |holds: bool| if holds { "yes" } else { "NO" };
        let equal = self
            .nodes
            .windows(2)
            .all(|pair| pair[0].heads == pair[1].heads);
        let _ = writeln!(out, "\n  same heads everywhere        {}", yes(equal));
        let _ = writeln!(
            out,
            "  nothing made, nothing lost   {}",
            yes(self.conserved)
        );
        let _ = writeln!(
            out,
            "  journal rebuilt = shown      {}",
            yes(self.journal_matches)
        );
        let _ = write!(out, "{rule}");
        out
    }
}
