//! What a bench prints: one row a figure, with its bar and whether that is met.

use serde_json::{Value, json};

use super::options::Options;

/// What a figure has to reach.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// No bar: the figure is for the record.
    None,
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Bar {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::None => None,
            Self::AtLeast(bar) => Some(value >= bar),
            Self::AtMost(bar) => Some(value <= bar),
        }
    }

    fn text(self) -> String {
        match self {
            Self::None => String::new(),
            Self::AtLeast(bar) => format!("≥ {bar}"),
            Self::AtMost(bar) => format!("≤ {bar}"),
        }
    }
}

/// The table of one bench.
pub struct Table {
    options: Options,
    bench: &'static str,
    rows: Vec<Value>,
}

impl Table {
    /// Begins the table; `what` says what is measured and what is not.
    pub fn new(bench: &'static str, options: Options, what: &str) -> Self {
        if !options.json {
            println!("{bench}: {what}");
            if options.quick {
                println!("  --quick: the figures below mean nothing");
            }
        }
        Self {
            options,
            bench,
            rows: Vec::new(),
        }
    }

    /// A figure.
    pub fn row(&mut self, what: &str, value: f64, unit: &str, bar: Bar) {
        let met = bar.is_met(value);
        if !self.options.json {
            let verdict = match met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "",
            };
            let (value, bar) = (figure(value), bar.text());
            println!("  {what:<64} {value:>9} {unit:<3} {bar:<8} {verdict}");
        }
        self.rows.push(json!({
            "what": what, "value": value, "unit": unit, "bar": bar.text(), "met": met,
        }));
    }

    /// A ratio of which several runs were made; the median counts.
    pub fn ratio(&mut self, what: &str, runs: &mut [f64], bar: Bar) {
        let middle = super::limits::median(runs);
        self.row(what, middle, "", bar);
        if !self.options.json && runs.len() > 1 {
            let all: Vec<_> = runs.iter().map(|run| format!("{run:.2}")).collect();
            println!("    runs: {}", all.join(" "));
        }
    }

    /// Says how far a long preparation is, on standard error.
    pub fn progress(&self, what: &str) {
        eprintln!("  … {what}");
    }

    /// Ends the table.
    pub fn end(self) {
        if self.options.json {
            let Self {
                options,
                bench,
                rows,
            } = self;
            let quick = options.quick;
            println!(
                "{}",
                json!({ "schema": 1, "bench": bench, "quick": quick, "rows": rows })
            );
        }
    }
}

/// Three significant digits, or whole numbers with their thousands apart.
fn figure(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 1000.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
