//! Where a passphrase comes from: a file that was named, a systemd credential, or the terminal. Never the
//! arguments or the environment, where others can read it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use zeroize::Zeroizing;

use crate::keys::credential;
use crate::keys::file::read_secret;
use crate::keys::passphrase::{MAX_PASSPHRASE, Passphrase};

/// How often a new passphrase is asked for until both were typed alike.
const TRIES: usize = 3;

/// The argument that names a file with the passphrase; the other sources need none.
#[derive(Clone, Debug, Default, Args)]
pub struct PassphraseArgs {
    /// Read the passphrase from this file (mode 0600), instead of a systemd credential or the terminal.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// What another argument named.
    pub(super) const fn from_file(passphrase_file: Option<PathBuf>) -> Self {
        Self { passphrase_file }
    }

    /// The passphrase of something that exists. `what` says which in the prompt, such as `the CA's keys`;
    /// `credential` is the name of the systemd credential that is looked for.
    ///
    /// # Errors
    /// What a person must do about it.
    pub(super) fn of(&self, what: &str, credential: &str) -> anyhow::Result<Passphrase> {
        match self.without_asking(credential)? {
            Some(passphrase) => Ok(passphrase),
            None => ask(&format!("Passphrase of {what}: "), credential),
        }
    }

    /// A new passphrase: on a terminal it is asked for twice.
    ///
    /// # Errors
    /// As for [`PassphraseArgs::of`].
    pub(super) fn new_for(&self, what: &str, credential: &str) -> anyhow::Result<Passphrase> {
        if let Some(passphrase) = self.without_asking(credential)? {
            return Ok(passphrase);
        }
        for _ in 0..TRIES {
            let first = ask(&format!("New passphrase for {what}: "), credential)?;
            if ask("The same once more: ", credential)?.is_same(&first) {
                return Ok(first);
            }
            eprintln!("these were not the same; try again");
        }
        bail!("the passphrase was not typed alike twice; nothing was changed")
    }

    /// The passphrase of a file or credential, if there is one.
    ///
    /// # Errors
    /// As for [`PassphraseArgs::of`].
    pub(super) fn without_asking(&self, name: &str) -> anyhow::Result<Option<Passphrase>> {
        let (path, bytes) = if let Some(path) = &self.passphrase_file {
            let bytes = read_secret(path).context("--passphrase-file")?;
            (path.clone(), bytes)
        } else if let Some(path) = credential::path(name).filter(|path| path.exists()) {
            // Its mode is systemd's affair: it can show the mask of an access list.
            let bytes = read_bounded(&path).with_context(|| path.display().to_string())?;
            (path, bytes)
        } else {
            return Ok(None);
        };
        take(&path, &bytes).map(Some)
    }
}

fn take(path: &Path, bytes: &[u8]) -> anyhow::Result<Passphrase> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| anyhow::anyhow!("not text; was another file named by mistake?"))
        .with_context(|| path.display().to_string())?;
    Passphrase::new(Zeroizing::new(text.to_owned())).with_context(|| path.display().to_string())
}

fn read_bounded(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for one byte more than any passphrase and its line break, so that too long is seen and nothing grows.
    let room = MAX_PASSPHRASE + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    File::open(path)?
        .take(room as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn ask(prompt: &str, credential: &str) -> anyhow::Result<Passphrase> {
    let typed = rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .with_context(|| {
            format!(
                "a passphrase is needed and there is no terminal to ask at; give --passphrase-file FILE (mode 0600), \
                 or the systemd credential {credential} (LoadCredentialEncrypted=)"
            )
        })?;
    Ok(Passphrase::new(typed)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_named_file_is_private_short_and_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        let check = |content: &[u8], mode: u32| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let args = PassphraseArgs {
                passphrase_file: Some(path.clone()),
            };
            args.new_for("a test", "test.passphrase")
                .map_err(|error| format!("{error:#}"))
        };
        let given = check(b"correct horse battery\n", 0o600).unwrap();
        let plain = Passphrase::new(Zeroizing::new("correct horse battery".into())).unwrap();
        assert!(given.is_same(&plain));
        let told = |content: &[u8], mode| check(content, mode).unwrap_err();
        assert!(told(b"correct horse battery\n", 0o640).contains("chmod 600"));
        assert!(told(b"short\n", 0o600).contains("at least 12"));
        assert!(told(b"one line too much\nhere\n", 0o600).contains("one line"));
        assert!(told(b"\xff\xfe not text at all", 0o600).contains("not text"));
        assert!(!told(b"a secret\nof two lines", 0o600).contains("secret\n"));
        let args = PassphraseArgs {
            passphrase_file: Some(directory.path().join("missing")),
        };
        let error = args.of("a test", "test.passphrase").unwrap_err();
        assert!(format!("{error:#}").contains("missing"), "{error:#}");
    }
}
