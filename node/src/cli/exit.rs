//! Exit codes, and errors that know theirs.

use std::fmt;
use std::process::ExitCode;

/// How a command ends. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Ok,
    /// 1: failed.
    Failed,
    /// 2: wrong usage.
    Usage,
    /// 3: the daemon is not running.
    NotRunning,
    /// 4: it ran, and what was checked does not hold.
    CheckFailed,
    /// 78 (sysexits.h, EX_CONFIG): `run` refused its configuration; systemd need not try again.
    Config,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotRunning => 3,
            Self::CheckFailed => 4,
            Self::Config => 78,
        }
    }
}

impl Exit {
    /// What another command of this program ended with.
    #[must_use]
    pub const fn of_code(code: i32) -> Self {
        match code {
            0 => Self::Ok,
            2 => Self::Usage,
            3 => Self::NotRunning,
            4 => Self::CheckFailed,
            78 => Self::Config,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error and how the process ends with it.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What to tell.
    pub error: anyhow::Error,
}

/// What a command comes to.
pub type Outcome = Result<Exit, Failure>;

impl Failure {
    /// An error that ends with this code.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Exit::Failed, error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The whole chain: the top says what was tried, the bottom why it failed.
        write!(f, "{:#}", self.error)
    }
}
