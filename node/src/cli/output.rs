//! How answers are printed: text for people, one JSON object for programs. A reader that goes away
//! (`| head`) is not an error.

use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};

/// Version of every `--json` object.
pub const SCHEMA: u64 = 1;

/// Prints text as it is.
///
/// # Errors
/// What the system says, but for a reader that went away.
pub(super) fn text(text: &str) -> io::Result<()> {
    bytes(text.as_bytes())
}

/// Prints bytes as they are.
///
/// # Errors
/// What the system says, but for a reader that went away.
pub(super) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Prints an object with `schema` before its other fields.
///
/// # Errors
/// What the system says, but for a reader that went away.
pub(super) fn object(fields: Value) -> io::Result<()> {
    let mut object = Map::from_iter([("schema".to_owned(), SCHEMA.into())]);
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    text(&format!("{}\n", Value::Object(object)))
}

/// How final something is, in words: of the code of [`city_protocol::ledger::Finality`] and the number beside it.
pub(super) fn finality(code: &str, witnesses: u64) -> String {
    match code {
        "witnessed" => format!("witnessed by {witnesses}"),
        code => code.into(),
    }
}

/// Shows on a terminal's standard error that long work is going on; elsewhere it shows nothing.
pub(super) fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// As [`spinner`], with a bar that says how many bytes of how many are done.
pub(super) fn bytes_bar(what: &'static str) -> ProgressBar {
    const FORM: &str = "{msg} [{bar:30}] {bytes} of {total_bytes}";
    let style = ProgressStyle::with_template(FORM).expect("a template of indicatif's words");
    let bar = ProgressBar::new(0).with_message(what).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// What a stranger wrote, for a terminal: without control characters, which could rewrite the screen.
pub(super) fn printable(text: &str) -> String {
    let shown = text.chars().map(|c| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_does_not_rewrite_the_screen() {
        assert_eq!(printable("畑の手伝い"), "畑の手伝い");
        assert_eq!(printable("\x1b[2J\r\n"), "\\u{1b}[2J\\r\\n");
        assert_eq!(printable("\u{9b}31m"), "\\u{9b}31m");
    }
}
