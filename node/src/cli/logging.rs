//! The log: to standard error, filtered by `log.level`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// What peers and strangers make the network stack complain of, a line for each stream or call of theirs: it would fill the
/// log. The node counts such things itself. Directives of `log.level` stand behind these and win.
const QUIET: &str = "libp2p_yamux=off,yamux=off,libp2p_tcp=off,libp2p_tls=off,multistream_select=off,libp2p_identify=error,libp2p_ping=error";

/// Starts the log with a filter that the configuration has checked. A second call changes nothing.
pub(super) fn start(level: &str) {
    let filter = EnvFilter::builder().parse_lossy(format!("{QUIET},{level}"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Escape codes are for people; a journal or a file gets plain text.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Only a log that runs already can refuse, and that one is as good.
    let _ = log.try_init();
}
