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
    let whose = file.display().to_string();
    match load_kem(file) {
        Ok(key) => open_with(transfer, &key, &whose),
        // A file of another form is a wallet; what is wrong with that the wallet says.
        Err(KeyFileError::Content { .. }) => {
            open_with(transfer, account::open(file, passphrase)?.kem(), &whose)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the transfer carries a message that was sealed for this key.
pub(super) fn is_for(transfer: &Transfer, key: &KemSecretKey) -> bool {
    let sealed = transfer.message.as_ref();
    sealed.is_some_and(|sealed| sealed.key == key.public().id())
}

/// Opens the message with a key; `whose` says which in an error.
pub(super) fn open_with(
    transfer: &Transfer,
    key: &KemSecretKey,
    whose: &str,
) -> Result<Zeroizing<String>, Failure> {
    let not_for = |why: &str| {
        let why = anyhow::anyhow!("{whose}: {why}");
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
    let opened = key.open(&context, sealed).map_err(|refusal| {
        not_for(match refusal {
            Refusal::WrongKey => "the message was sealed for another key than this one",
            _ => "the message does not open: it was changed, or moved from another transfer",
        })
    })?;
    let text = std::str::from_utf8(&opened).map_err(|_| not_for("the message is not text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}
