//! Where the node of an installed package stands: one place, so that commands without flags find it. The unit,
//! the tmpfiles and the sysusers file under `systemd/` name the same paths.

/// The data directory: inside the state directory, so that `init` can name it by a rename even where the state
/// directory is a disk of its own.
pub const DATA_DIR: &str = "/var/lib/city-node/data";

/// The admin socket, in the runtime directory, for the group `city-node`: the data directory is closed to all
/// but the node.
pub const ADMIN_SOCKET: &str = "/run/city-node/admin.sock";
