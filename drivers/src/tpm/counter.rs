//! A counter in the TPM's own memory: it only ever rises, whatever becomes of the disk. Its memory wears out after
//! some hundred thousand writes, so its user counts seldom.

use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::NvIndexType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::NvPublicBuilder;

use super::error::kind;
use super::{Raw, Tpm, TpmError};

/// Length of a counter in bytes; the specification's.
const LENGTH: u16 = 8;

impl Tpm {
    /// The counter at this index; none if it was never made.
    ///
    /// # Errors
    /// [`TpmError::NotACounter`] if something else stands there, others as they come.
    pub fn counter(&mut self, index: u32) -> Result<Option<u64>, TpmError> {
        match self.find(index)? {
            Some(handle) => self.read(index, handle).map(Some),
            None => Ok(None),
        }
    }

    /// Makes a counter; it begins above every counter that this TPM ever had.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn make_counter(&mut self, index: u32) -> Result<u64, TpmError> {
        let made = (|| -> Raw<NvIndexHandle> {
            let attributes = NvIndexAttributesBuilder::new()
                .with_nv_index_type(NvIndexType::Counter)
                .with_owner_read(true)
                .with_owner_write(true)
                .with_auth_read(true)
                .with_auth_write(true)
                .with_no_da(true)
                .build()?;
            let public = NvPublicBuilder::new()
                .with_nv_index(NvIndexTpmHandle::new(index)?)
                .with_index_name_algorithm(HashingAlgorithm::Sha256)
                .with_index_attributes(attributes)
                .with_data_area_size(usize::from(LENGTH))
                .build()?;
            self.context
                .execute_with_session(Some(AuthSession::Password), |context| {
                    context.nv_define_space(Provision::Owner, None, public)
                })
        })();
        let handle = made.map_err(|error| match kind(error) {
            Some(Kind::NvDefined) => TpmError::NotACounter { index },
            _ => TpmError::of(&self.address, error),
        })?;
        // It cannot be read before it counted once.
        self.raise(index, handle)
    }

    /// Counts one; gives what it is then.
    ///
    /// # Errors
    /// [`TpmError::NotACounter`] if there is none, others as they come.
    pub fn count(&mut self, index: u32) -> Result<u64, TpmError> {
        let handle = self.find(index)?.ok_or(TpmError::NotACounter { index })?;
        self.raise(index, handle)
    }

    fn find(&mut self, index: u32) -> Result<Option<NvIndexHandle>, TpmError> {
        let handle = NvIndexTpmHandle::new(index)
            .map_err(|_| TpmError::Form("an index of a TPM is from 0x01000000 to 0x01ffffff"))?;
        let found = self.context.execute_without_session(|context| {
            context.tr_from_tpm_public(TpmHandle::NvIndex(handle))
        });
        match found {
            Ok(handle) => Ok(Some(NvIndexHandle::from(handle))),
            Err(error) if kind(error) == Some(Kind::Handle) => Ok(None),
            Err(error) => Err(TpmError::of(&self.address, error)),
        }
    }

    fn raise(&mut self, index: u32, handle: NvIndexHandle) -> Result<u64, TpmError> {
        self.context
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.nv_increment(NvAuth::Owner, handle)
            })
            .map_err(|error| self.refused(index, error))?;
        self.read(index, handle)
    }

    fn read(&mut self, index: u32, handle: NvIndexHandle) -> Result<u64, TpmError> {
        let bytes = self
            .context
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.nv_read(NvAuth::Owner, handle, LENGTH, 0)
            })
            .map_err(|error| self.refused(index, error))?;
        let bytes = bytes.value().try_into();
        bytes
            .map(u64::from_be_bytes)
            .map_err(|_| TpmError::NotACounter { index })
    }

    fn refused(&self, index: u32, error: tss_esapi::Error) -> TpmError {
        match kind(error) {
            Some(
                Kind::NvRange | Kind::Attributes | Kind::NvUninitialized | Kind::NvAuthorization,
            ) => TpmError::NotACounter { index },
            _ => TpmError::of(&self.address, error),
        }
    }
}
