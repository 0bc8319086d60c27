//! Leaves `SSLKEYLOGFILE` behind. libp2p-tls writes session secrets to the file that it names, and a
//! variable cannot be taken out of a process safely: the program starts itself once more without it,
//! before any thread exists.

use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command};

/// The variable that TLS libraries look at.
const KEYLOG: &str = "SSLKEYLOGFILE";

/// Marks the second start. It holds the process id, which exec keeps: a mark that a child inherited is
/// not its own.
pub const KEYLOG_GUARD: &str = "CITY_NODE_RESTARTED";

/// The program could not be started without `SSLKEYLOGFILE`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyLogError {
    /// The variable is there again after the second start.
    #[error("SSLKEYLOGFILE cannot be left out of the environment; unset it and start again")]
    Again,
    /// exec failed.
    #[error("SSLKEYLOGFILE is set, and the program cannot start itself without it ({0}); unset it")]
    Exec(io::Error),
}

/// Starts the program again without `SSLKEYLOGFILE` if it is set. Call it first in `main`.
///
/// # Errors
/// A [`KeyLogError`]; going on would risk that session secrets are written to a file.
pub fn leave_key_logging() -> Result<(), KeyLogError> {
    if env::var_os(KEYLOG).is_none() {
        return Ok(());
    }
    let own = process::id().to_string();
    if env::var_os(KEYLOG_GUARD).is_some_and(|mark| mark == *own) {
        return Err(KeyLogError::Again);
    }
    let program = env::current_exe().map_err(KeyLogError::Exec)?;
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    let error = Command::new(program)
        .arg0(name)
        .args(arguments)
        .env_remove(KEYLOG)
        .env(KEYLOG_GUARD, own)
        .exec();
    Err(KeyLogError::Exec(error))
}
