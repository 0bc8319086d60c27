//! What a TPM says when it does not do what it was asked: each with what to do.

use std::io;

use tss_esapi::Error;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;

use super::TpmAddress;

/// A TPM did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TpmError {
    /// There is none.
    #[error(
        "there is no TPM at {address} ({source}); look whether the firmware has it switched on and the address is right"
    )]
    Missing {
        /// Where it was looked for.
        address: TpmAddress,
        /// The system's reason.
        source: io::Error,
    },
    /// This user may not use it.
    #[error(
        "this user may not use the TPM at {address}; let its user join the group of the device (tss on Debian)"
    )]
    NotAllowed {
        /// Where.
        address: TpmAddress,
    },
    /// Another program has it, or it is busy with itself.
    #[error(
        "the TPM at {address} is busy; use the kernel's resource manager (device:/dev/tpmrm0), end what else holds it, and try again"
    )]
    Busy {
        /// Where.
        address: TpmAddress,
    },
    /// It is there and does not answer as a TPM.
    #[error(
        "the TPM at {address} does not answer ({reason}); look whether it runs and nothing else holds it"
    )]
    Unreachable {
        /// Where.
        address: TpmAddress,
        /// What the library says.
        reason: String,
    },
    /// The machine is in another state than when the secret was sealed.
    #[error(
        "the TPM does not give the secret out: firmware, boot loader or settings are not those that it was sealed under (PCR {pcrs}); \
         boot what was booted then, or restore the node's backup and seal it again"
    )]
    OtherState {
        /// The registers.
        pcrs: String,
    },
    /// It was sealed by another TPM, or its bytes were changed.
    #[error(
        "the TPM at {address} did not seal this, or its bytes were changed; put the disk back into its machine, or restore the node's backup"
    )]
    OtherTpm {
        /// Where.
        address: TpmAddress,
    },
    /// Too many wrong tries, by whomever.
    #[error(
        "the TPM at {address} is locked after too many failed tries; wait, or reset it: tpm2_dictionarylockout --clear-lockout"
    )]
    Lockout {
        /// Where.
        address: TpmAddress,
    },
    /// Its owner set a password.
    #[error(
        "the owner of the TPM at {address} set a password, which is not supported: clear it with tpm2_changeauth -c owner"
    )]
    OwnerPassword {
        /// Where.
        address: TpmAddress,
    },
    /// The index holds something that is no counter of ours.
    #[error("index {index:#010x} of the TPM holds something else; choose another index")]
    NotACounter {
        /// The index.
        index: u32,
    },
    /// The secret is too long or what is stored is not a sealed secret.
    #[error("{0}")]
    Form(&'static str),
    /// Anything else.
    #[error("the TPM at {address} refused: {reason}")]
    Refused {
        /// Where.
        address: TpmAddress,
        /// What it says.
        reason: String,
    },
}

impl TpmError {
    pub(super) fn unreachable(address: &TpmAddress, error: Error) -> Self {
        Self::Unreachable {
            address: address.clone(),
            reason: error.to_string(),
        }
    }

    /// What an answer means.
    pub(super) fn of(address: &TpmAddress, error: Error) -> Self {
        let address = address.clone();
        match kind(error) {
            Some(
                Kind::Retry
                | Kind::Yielded
                | Kind::Testing
                | Kind::Canceled
                | Kind::SessionMemory
                | Kind::SessionHandles
                | Kind::ObjectMemory
                | Kind::ObjectHandles
                | Kind::Memory
                | Kind::NvRate
                | Kind::NvUnavailable,
            ) => Self::Busy { address },
            Some(Kind::Integrity | Kind::Size | Kind::Binding) => Self::OtherTpm { address },
            Some(Kind::Lockout) => Self::Lockout { address },
            Some(Kind::BadAuth | Kind::AuthFail | Kind::AuthMissing) => {
                Self::OwnerPassword { address }
            }
            _ => Self::Refused {
                address,
                reason: error.to_string(),
            },
        }
    }
}

/// Which of the specification's answers it is.
pub(super) fn kind(error: Error) -> Option<Kind> {
    match error {
        Error::Tss2Error(code) => code.kind(),
        Error::WrapperError(_) => None,
    }
}
