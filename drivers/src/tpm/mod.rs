//! A TPM 2.0: seals small secrets, and counts what can never be counted back.
//!
//! `address` where it is · `seal` secrets under the storage root key · `counter` counters in its memory · `error`
//! what it says, and what to do. Owns the talk with the device by tpm2-tss (cargo feature `tpm`); which registers a
//! secret is bound to and what a counter means is decided elsewhere. A connection is short: the device is left to
//! others in between.

mod address;
mod counter;
mod error;
mod seal;

use std::str::FromStr as _;

use tss_esapi::attributes::{ObjectAttributesBuilder, SessionAttributesBuilder};
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{KeyHandle, ObjectHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    EccPoint, Public, PublicBuilder, PublicEccParametersBuilder, SymmetricDefinition,
    SymmetricDefinitionObject,
};
use tss_esapi::tcti_ldr::TctiNameConf;
use tss_esapi::{Context, WrapperErrorKind};

pub use address::{BadAddress, TpmAddress};
pub use error::TpmError;
pub use seal::{BadPcrs, MAX_SEALED, Pcrs, Sealed};

/// A connection to a TPM; it is given back when this is dropped.
pub struct Tpm {
    context: Context,
    address: TpmAddress,
}

type Raw<T> = tss_esapi::Result<T>;

impl Tpm {
    /// Connects.
    ///
    /// # Errors
    /// [`TpmError::Missing`], [`TpmError::NotAllowed`], [`TpmError::Busy`] or [`TpmError::Unreachable`].
    pub fn open(address: &TpmAddress) -> Result<Self, TpmError> {
        // The library tells nothing apart that the operating system does.
        address.probe()?;
        let name = TctiNameConf::from_str(address.as_str())
            .map_err(|error| TpmError::unreachable(address, error))?;
        let context = Context::new(name).map_err(|error| TpmError::unreachable(address, error))?;
        Ok(Self {
            context,
            address: address.clone(),
        })
    }

    /// The storage root key: the TPM makes the same one each time from its own seed; flushed afterwards.
    fn with_root<T>(&mut self, f: impl FnOnce(&mut Context, KeyHandle) -> Raw<T>) -> Raw<T> {
        let template = root_template()?;
        let root = self
            .context
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.create_primary(Hierarchy::Owner, template, None, None, None, None)
            })?;
        let root = root.key_handle;
        let done = f(&mut self.context, root);
        self.context.flush_context(ObjectHandle::from(root))?;
        done
    }
}

/// Begins a session, and flushes it whatever happens: a TPM holds three. Parameters are encrypted with a key that
/// only the root key's owner can know, so that listening on the bus tells no secret.
fn with_session<T>(
    context: &mut Context,
    kind: SessionType,
    salted_by: Option<KeyHandle>,
    f: impl FnOnce(&mut Context, AuthSession) -> Raw<T>,
) -> Raw<T> {
    let session = context
        .start_auth_session(
            salted_by,
            None,
            None,
            kind,
            SymmetricDefinition::AES_128_CFB,
            HashingAlgorithm::Sha256,
        )?
        .ok_or(tss_esapi::Error::WrapperError(
            WrapperErrorKind::WrongValueFromTpm,
        ))?;
    let done = (|| {
        if kind != SessionType::Trial {
            let (attributes, mask) = SessionAttributesBuilder::new()
                .with_decrypt(true)
                .with_encrypt(true)
                .build();
            context.tr_sess_set_attributes(session, attributes, mask)?;
        }
        f(context, session)
    })();
    context.flush_context(ObjectHandle::from(SessionHandle::from(session)))?;
    done
}

/// The TCG's template of an ECC storage root key (Provisioning Guidance, P-256).
fn root_template() -> Raw<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
        SymmetricDefinitionObject::AES_128_CFB,
        EccCurve::NistP256,
    )
    .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}
