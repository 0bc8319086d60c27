//! How answers are printed: text for people, one JSON object for programs. A reader that goes away
//! (`| head`) is not an error.

use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::ProgressBar;
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

/// Shows on a terminal's standard error that long work is going on; elsewhere it shows nothing.
pub(super) fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}
