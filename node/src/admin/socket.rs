//! The socket file: bound with mode 0660, a stale one removed, a live one respected, our own removed at the end.
//! And who operates the node by it.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{AdminState, Caller, router};
use crate::api::serve::{drain, drive};

/// Longest path in bytes: `sockaddr_un` holds 108 with the final zero (unix(7)).
pub const MAX_SOCKET_PATH: usize = 107;
/// Owner and group.
const MODE: u32 = 0o660;
/// Open connections: an operator, a console and a few scripts.
const MAX_CONNECTIONS: usize = 32;
/// How long running answers may take after the stop.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause after accept fails.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The admin socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// More bytes than a Unix socket's name may have.
    #[error(
        "{} has {length} bytes, a Unix socket's path at most {MAX_SOCKET_PATH}: choose a shorter data directory or set the admin socket's path", path.display()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// Another node answers there.
    #[error("{}: another node answers on this admin socket; stop it, or use another data directory", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something that is not a socket stands there.
    #[error("{}: something that is not a socket stands here; move it away", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: the admin socket cannot be made here: {source}; look at the directory and its rights", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Refuses paths that no Unix socket can have.
///
/// # Errors
/// [`SocketError::TooLong`].
pub(crate) fn check_path(path: &Path) -> Result<(), SocketError> {
    let length = path.as_os_str().len();
    if length <= MAX_SOCKET_PATH {
        return Ok(());
    }
    let path = path.to_owned();
    Err(SocketError::TooLong { path, length })
}

/// Who operates the node by its socket; root always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operators {
    /// The user that runs the node. Others whom the file lets in read the status only: a portable run, whose
    /// directory and group belong to a person.
    OwnUser,
    /// Whoever the file lets in, which is the owner's group: the service, whose group `city-node` has its
    /// operators as members and nobody else. SO_PEERCRED names no supplementary groups, so the kernel's check
    /// of the file is the rule.
    WhoeverGetsIn,
}

/// The bound socket. Dropping it removes the file.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
    operators: Operators,
}

/// The file that this process made: removed at the end unless another stands in its place by then.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl AdminSocket {
    /// Binds the socket; one that nobody answers on is removed first.
    ///
    /// # Errors
    /// [`SocketError`].
    pub async fn bind(path: &Path, operators: Operators) -> Result<Self, SocketError> {
        check_path(path)?;
        remove_stale(path).await?;
        let failed = |source| SocketError::Io {
            path: path.to_owned(),
            source,
        };
        let listener = UnixListener::bind(path).map_err(failed)?;
        let identity = identity(path).map_err(failed)?;
        let file = SocketFile {
            path: path.to_owned(),
            identity,
        };
        // Until here the umask holds, which never lets others write, and connecting needs writing.
        let mode = std::fs::Permissions::from_mode(MODE);
        std::fs::set_permissions(path, mode).map_err(failed)?;
        Ok(Self {
            listener,
            file,
            operators,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Answers until `stop`, then removes the socket.
    pub async fn serve(self, state: AdminState, stop: CancellationToken) {
        let app = router(state);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let tracker = TaskTracker::new();
        let cut = CancellationToken::new();
        let accept = async {
            loop {
                let place = Arc::clone(&places).acquire_owned().await;
                let place = place.expect("nobody closes this semaphore");
                let stream = match self.listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "the admin socket cannot accept; trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                let who = self.operators.judge(&stream);
                let serving = drive(stream, app.clone(), who, stop.clone());
                let cut = cut.clone();
                tracker.spawn(async move {
                    cut.run_until_cancelled(serving).await;
                    drop(place);
                });
            }
        };
        stop.run_until_cancelled(accept).await;
        drop(self);
        drain(&tracker, &cut, DRAIN).await;
    }
}

impl Operators {
    /// One whose credentials cannot be read does not operate.
    fn judge(self, stream: &UnixStream) -> Caller {
        let own = rustix::process::geteuid().as_raw();
        match stream.peer_cred() {
            Ok(peer) if self.include(peer.uid(), own) => {
                Caller::Operator(format!("uid {}", peer.uid()).into())
            }
            _ => Caller::Reader,
        }
    }

    fn include(self, peer: u32, own: u32) -> bool {
        self == Self::WhoeverGetsIn || peer == 0 || peer == own
    }
}

async fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NotASocket { path: path.into() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(SocketError::InUse { path: path.into() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = path.symlink_metadata()?;
    Ok((file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // If it stays, the next start finds it stale.
            let _stale = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_a_live_one_and_a_file_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves the file behind");
        let socket = AdminSocket::bind(&path, Operators::OwnUser).await.unwrap();
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, MODE);
        let second = AdminSocket::bind(&path, Operators::OwnUser).await;
        assert!(
            matches!(second, Err(SocketError::InUse { .. })),
            "{second:?}"
        );
        drop(socket);
        assert!(!path.exists());

        std::fs::write(&path, "mine").unwrap();
        let refused = AdminSocket::bind(&path, Operators::OwnUser).await;
        assert!(matches!(refused, Err(SocketError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn a_successors_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let socket = AdminSocket::bind(&path, Operators::OwnUser).await.unwrap();
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        let _successor = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
    }

    #[test]
    fn the_services_group_operates_and_a_persons_does_not() {
        let (node, clerk) = (990, 1000);
        for operators in [Operators::OwnUser, Operators::WhoeverGetsIn] {
            assert!(operators.include(0, node));
            assert!(operators.include(node, node));
        }
        assert!(!Operators::OwnUser.include(clerk, node));
        assert!(Operators::WhoeverGetsIn.include(clerk, node));
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_named_with_its_limit() {
        let check = |length: usize| {
            let path = format!("/{}", "x".repeat(length - 1));
            check_path(Path::new(&path)).map_err(|error| error.to_string())
        };
        assert_eq!(check(MAX_SOCKET_PATH), Ok(()));
        let text = check(MAX_SOCKET_PATH + 1).unwrap_err();
        assert!(
            text.contains("108 bytes") && text.contains("at most 107"),
            "{text}"
        );
    }
}
