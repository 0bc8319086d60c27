//! Where systemd puts the credentials of a service: files in a directory of memory that only the service sees
//! (systemd.exec(5), `LoadCredential=`, `LoadCredentialEncrypted=`).

use std::path::PathBuf;

/// The variable that names the directory. It names a place, not a secret.
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Where the credential of this name stands, if this process was started with any.
#[must_use]
pub fn path(name: &str) -> Option<PathBuf> {
    let directory = std::env::var_os(DIRECTORY).filter(|directory| !directory.is_empty())?;
    Some(PathBuf::from(directory).join(name))
}
