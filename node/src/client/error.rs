//! Why a call did not give an answer, with what to do about it.

use std::io;
use std::path::PathBuf;

use city_protocol::Refusal;

use crate::api::problem::ProblemBody;
use crate::pki::TlsError;
use crate::store::ArchiveError;

/// A call did not give an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers on the admin socket.
    #[error(
        "no node is running at {}: start it with `systemctl start city-node`, or `city-node run --config FILE`", path.display()
    )]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// This user may not open the admin socket.
    #[error("{}: this user may not ask the node; use sudo, or join the group city-node", path.display())]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The admin socket's path is no Unix socket's.
    #[error(transparent)]
    Socket(#[from] crate::admin::SocketError),
    /// Not an https address.
    #[error("{0:?} is not an address such as https://127.0.0.1:8443")]
    Address(String),
    /// Nobody answers at the address.
    #[error(
        "no node answers at {address}: look whether it runs and the address is right ({source})"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("{address}: no trusted TLS connection ({source}); is this the network's TLS root?")]
    Handshake {
        /// Where.
        address: String,
        /// rustls' reason.
        source: io::Error,
    },
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A token that is none.
    #[error("the token is not one that a home gave")]
    Token,
    /// No answer in time.
    #[error("the node did not answer in time")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// The answer is longer than any of this node's.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// What was answered could not be taken.
    #[error("the answer could not be taken: {0}")]
    Taken(#[from] ArchiveError),
    /// The answer is not what this version understands.
    #[error("status {status}: the answer is not what this version understands; compare versions")]
    BadReply {
        /// HTTP status.
        status: u16,
    },
    /// The node said no.
    #[error("{} ({})", .0.title, .0.code)]
    Problem(Box<ProblemBody>),
    /// What was to be sent would be refused: it was not sent.
    #[error("not sent: {0} ({code})", code = .0.code())]
    Draft(#[from] Refusal),
}

impl ClientError {
    /// Whether no node runs: exit code 3.
    #[must_use]
    pub const fn is_not_running(&self) -> bool {
        matches!(self, Self::NotRunning { .. })
    }

    /// The stable code, if the node or this library refused.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            Self::Draft(refusal) => Some(refusal.code()),
            _ => None,
        }
    }

    /// The HTTP status, if the node refused.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            Self::BadReply { status } => Some(*status),
            _ => None,
        }
    }
}
