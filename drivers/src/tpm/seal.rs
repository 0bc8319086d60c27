//! A small secret sealed under the storage root key: only this TPM gives it out again, and if registers were named,
//! only while they hold what they held.

use std::fmt;

use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::ObjectHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Digest, KeyedHashScheme, PcrSelectionList, PcrSelectionListBuilder, PcrSlot, Private, Public,
    PublicBuilder, PublicKeyedHashParameters, SensitiveData,
};
use tss_esapi::traits::{Marshall as _, UnMarshall as _};
use tss_esapi::{Context, WrapperErrorKind};
use zeroize::Zeroizing;

use super::error::kind;
use super::{Raw, Tpm, TpmError, with_session};

/// Longest secret, bytes: what every TPM 2.0 seals (`MAX_SYM_DATA`).
pub const MAX_SEALED: usize = 128;
/// Platform configuration registers of a TPM on a PC.
const PCRS: u8 = 24;

/// Registers of the SHA-256 bank that a secret is bound to, in order, each once; none: no policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pcrs(Vec<u8>);

/// A number that is no register, or one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("registers are different numbers from 0 to 23")]
pub struct BadPcrs;

impl Pcrs {
    /// Takes numbers in any order.
    ///
    /// # Errors
    /// [`BadPcrs`].
    pub fn new(numbers: &[u8]) -> Result<Self, BadPcrs> {
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != numbers.len() || sorted.last().is_some_and(|last| *last >= PCRS) {
            return Err(BadPcrs);
        }
        Ok(Self(sorted))
    }

    /// The numbers in order.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    fn selection(&self) -> Raw<PcrSelectionList> {
        let slots: Raw<Vec<PcrSlot>> = self
            .0
            .iter()
            .map(|number| PcrSlot::try_from(1_u32 << number))
            .collect();
        PcrSelectionListBuilder::new()
            .with_selection(HashingAlgorithm::Sha256, &slots?)
            .build()
    }
}

impl fmt::Display for Pcrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&numbers.join(", "))
    }
}

/// A sealed secret as the TPM gave it out: public and private part, and the registers it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// `TPM2B_PRIVATE`'s content, encrypted by the TPM.
    pub private: Vec<u8>,
    /// The registers.
    pub pcrs: Pcrs,
}

impl Tpm {
    /// Seals a secret of 1 to [`MAX_SEALED`] bytes.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn seal(&mut self, secret: &[u8], pcrs: &Pcrs) -> Result<Sealed, TpmError> {
        if secret.is_empty() || secret.len() > MAX_SEALED {
            return Err(TpmError::Form("a TPM seals 1 to 128 bytes"));
        }
        let sealed = self.with_root(|context, root| {
            let policy = match pcrs.as_slice() {
                [] => None,
                _ => Some(with_session(
                    context,
                    SessionType::Trial,
                    None,
                    |context, trial| {
                        let trial = bind(context, trial, pcrs)?;
                        context.policy_get_digest(trial)
                    },
                )?),
            };
            let template = template(policy)?;
            let secret = SensitiveData::try_from(secret.to_vec())?;
            with_session(
                context,
                SessionType::Hmac,
                Some(root),
                |context, session| {
                    context.execute_with_session(Some(session), |context| {
                        context.create(root, template, None, Some(secret), None, None)
                    })
                },
            )
        });
        let sealed = sealed.map_err(|error| TpmError::of(&self.address, error))?;
        let public = sealed
            .out_public
            .marshall()
            .map_err(|error| TpmError::of(&self.address, error))?;
        Ok(Sealed {
            public,
            private: sealed.out_private.value().to_vec(),
            pcrs: pcrs.clone(),
        })
    }

    /// Gives a sealed secret out.
    ///
    /// # Errors
    /// [`TpmError::OtherState`] if the registers differ, [`TpmError::OtherTpm`] if another TPM sealed it, others as
    /// they come.
    pub fn unseal(&mut self, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let form = |_| TpmError::Form("what is stored is not a secret sealed by a TPM");
        let public = Public::unmarshall(&sealed.public).map_err(form)?;
        let private = Private::try_from(sealed.private.clone()).map_err(form)?;
        let pcrs = &sealed.pcrs;
        let secret = self.with_root(|context, root| {
            let loaded = with_session(
                context,
                SessionType::Hmac,
                Some(root),
                |context, session| {
                    context.execute_with_session(Some(session), |context| {
                        context.load(root, private, public)
                    })
                },
            )?;
            let loaded = ObjectHandle::from(loaded);
            let kind = match pcrs.as_slice() {
                [] => SessionType::Hmac,
                _ => SessionType::Policy,
            };
            let secret = with_session(context, kind, Some(root), |context, session| {
                if kind == SessionType::Policy {
                    bind(context, session, pcrs)?;
                }
                context.execute_with_session(Some(session), |context| context.unseal(loaded))
            });
            context.flush_context(loaded)?;
            secret
        });
        match secret {
            Ok(secret) => Ok(Zeroizing::new(secret.value().to_vec())),
            Err(error) if matches!(kind(error), Some(Kind::PolicyFail | Kind::PcrChanged)) => {
                Err(TpmError::OtherState {
                    pcrs: pcrs.to_string(),
                })
            }
            Err(error) => Err(TpmError::of(&self.address, error)),
        }
    }
}

/// Binds a policy session to what the registers hold now.
fn bind(context: &mut Context, session: AuthSession, pcrs: &Pcrs) -> Raw<PolicySession> {
    let session = PolicySession::try_from(session)
        .map_err(|_| tss_esapi::Error::WrapperError(WrapperErrorKind::WrongValueFromTpm))?;
    let selection = pcrs.selection()?;
    context.policy_pcr(session, Digest::default(), selection)?;
    Ok(session)
}

/// A sealed object: with a policy, the policy alone opens it.
fn template(policy: Option<Digest>) -> Raw<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_no_da(true)
        .with_user_with_auth(policy.is_none())
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_auth_policy(policy.unwrap_or_default())
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_different_numbers_below_24() {
        assert_eq!(Pcrs::new(&[7, 0, 2]).unwrap().as_slice(), [0, 2, 7]);
        assert_eq!(Pcrs::new(&[11, 7]).unwrap().to_string(), "7, 11");
        assert_eq!(Pcrs::new(&[]).unwrap(), Pcrs::default());
        assert_eq!(Pcrs::new(&[24]), Err(BadPcrs));
        assert_eq!(Pcrs::new(&[1, 1]), Err(BadPcrs));
    }
}
