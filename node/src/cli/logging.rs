//! The log: to standard error, filtered by `log.level`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts the log with a filter that the configuration has checked. A second call changes nothing.
pub(super) fn start(level: &str) {
    let filter = EnvFilter::builder().parse_lossy(level);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Escape codes are for people; a journal or a file gets plain text.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Only a log that runs already can refuse, and that one is as good.
    let _ = log.try_init();
}
