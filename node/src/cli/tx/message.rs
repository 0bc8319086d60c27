//! Opening the sealed message of a transfer with the receiver's key.

use std::path::Path;

use city_protocol::Refusal;
use city_protocol::body::Transfer;
use city_protocol::crypto::{KemSecretKey, SealedBoxContext};
use zeroize::Zeroizing;

use super::super::account;
use super::super::exit::{Exit, Failure};
use super::super::passphrase::PassphraseArgs;
use crate::keys::{KeyFileError, load_kem};

/// Opens the message of a transfer with the keys in a wallet, or with a KEM key file.
pub(super) fn open(
    transfer: &Transfer,
    file: &Path,
    passphrase: &PassphraseArgs,
) -> Result<Zeroizing<String>, Failure> {
    let not_for = |why: &str| {
        let why = anyhow::anyhow!("{}: {why}", file.display());
        Failure::new(Exit::CheckFailed, why)
    };
    let sealed = transfer
        .message
        .as_ref()
        .ok_or_else(|| not_for("this transfer carries no message"))?;
    let context = SealedBoxContext {
        network: transfer.network,
        sender: transfer.sender,
        receiver: transfer.receiver,
        transfer_id: transfer.transfer_id,
    };
    let with = |key: &KemSecretKey| key.open(&context, sealed);
    let opened = match load_kem(file) {
        Ok(key) => with(&key),
        // A file of another form is a wallet; what is wrong with that the wallet says.
        Err(KeyFileError::Content { .. }) => with(account::open(file, passphrase)?.kem()),
        Err(error) => return Err(error.into()),
    };
    let opened = opened.map_err(|refusal| {
        not_for(match refusal {
            Refusal::WrongKey => "the message was sealed for another key than this one",
            _ => "the message does not open: it was changed, or moved from another transfer",
        })
    })?;
    let text = std::str::from_utf8(&opened).map_err(|_| not_for("the message is not text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}
