//! A checkpoint as a file for the prefecture and the continent above: a CAR whose root is the checkpoint's receipt, with
//! the blocks of its snapshot. Whoever has the genesis record makes the state again from it and compares the roots.

use std::collections::HashMap;
use std::io::{self, Read};

use city_protocol::Refusal;
use city_protocol::checkpoint::{Held, Leaf, read_list, verify_snapshot};
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::History;
use city_protocol::vertex::{MAX_RECEIPT, Receipt};

use super::proof::{ProofError, Prover};
use crate::store::car;

/// Longest file that is read, in bytes: 4 GiB of state, some 15 million accounts.
pub const MAX_EXPORT: u64 = 4 << 30;
/// Longest varint before a section, in bytes.
const MAX_VARINT: usize = 5;
/// Bytes of a CID.
const CID: usize = 36;

/// Why a checkpoint's file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A block of the snapshot is not stored.
    #[error("a block of the checkpoint is not stored; check the store: city-node ledger verify")]
    Missing,
    /// The file.
    #[error("the file could not be written")]
    Io(#[from] io::Error),
}

/// A checkpoint that is to be written to a file.
pub struct Exported {
    receipt: Vec<u8>,
    snapshot: BlockId,
}

impl Exported {
    /// A log's newest one.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn newest(prover: &Prover<'_>, log: &LogId) -> Result<Self, ProofError> {
        let receipt = prover.checkpoint(log).ok_or(ProofError::NoCheckpoint)?;
        let held = Held::verify(&receipt, prover.genesis).map_err(|_| ProofError::NoCheckpoint)?;
        Ok(Self {
            receipt: receipt.to_bytes(),
            snapshot: held.body.snapshot,
        })
    }

    /// The root of the file.
    #[must_use]
    pub fn root(&self) -> BlockId {
        BlockId::of(&self.receipt)
    }

    /// Gives its blocks one after the other: its receipt, which is the root, and its snapshot.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn blocks(
        &self,
        history: &dyn History,
        put: &mut dyn FnMut(&BlockId, &[u8]) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        let block_of = |id: &BlockId| history.block(id).ok_or(ExportError::Missing);
        let list = block_of(&self.snapshot)?;
        let ids = read_list(&list).map_err(|_| ExportError::Missing)?;
        put(&self.root(), &self.receipt)?;
        put(&self.snapshot, &list)?;
        for id in ids {
            put(&id, &block_of(&id)?)?;
        }
        Ok(())
    }
}

/// Reads such a file and makes its state again; `look` is given every leaf.
///
/// # Errors
/// [`Refusal::BadCbor`] for what is no such file, [`Refusal::TooLarge`] beyond a limit, [`Refusal::BadReceipt`] and those
/// of a receipt, [`Refusal::BadCheckpoint`] where the blocks do not come to the roots.
pub fn verify(
    file: &mut impl Read,
    genesis: &Genesis,
    look: impl FnMut(&Leaf),
) -> Result<Held, Refusal> {
    let mut header = [0; 59];
    file.read_exact(&mut header).map_err(|_| Refusal::BadCbor)?;
    let root = car::root_of(&header).ok_or(Refusal::BadCbor)?;
    let mut blocks: HashMap<BlockId, Vec<u8>> = HashMap::new();
    let mut read = 0;
    while let Some((id, block)) = section(file)? {
        read += block.len() as u64;
        if read > MAX_EXPORT {
            return Err(Refusal::TooLarge);
        }
        blocks.insert(id, block);
    }
    let receipt = Receipt::read(blocks.get(&root).ok_or(Refusal::BadCbor)?)?;
    let held = Held::verify(&receipt, genesis)?;
    verify_snapshot(&held.body, |id| blocks.get(id).cloned(), look)?;
    Ok(held)
}

/// The next section; nothing at the end.
fn section(file: &mut impl Read) -> Result<Option<(BlockId, Vec<u8>)>, Refusal> {
    let mut length = 0_u64;
    for byte in 0..=MAX_VARINT {
        let mut one = [0];
        match file.read_exact(&mut one) {
            Ok(()) => {}
            Err(_) if byte == 0 => return Ok(None),
            Err(_) => return Err(Refusal::BadCbor),
        }
        length |= u64::from(one[0] & 0x7f) << (7 * byte);
        if one[0] & 0x80 == 0 {
            break;
        }
        if byte + 1 == MAX_VARINT {
            return Err(Refusal::BadCbor);
        }
    }
    let length = usize::try_from(length).map_err(|_| Refusal::TooLarge)?;
    if length > CID + MAX_RECEIPT {
        return Err(Refusal::TooLarge);
    }
    // Not believed before it is there.
    let mut content = Vec::new();
    let taken = file.take(length as u64).read_to_end(&mut content);
    if taken.ok() != Some(length) || length < CID {
        return Err(Refusal::BadCbor);
    }
    let block = content.split_off(CID);
    let id = BlockId::of(&block);
    if id.to_cid_bytes()[..] == content[..] {
        Ok(Some((id, block)))
    } else {
        Err(Refusal::BadCbor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_that_lies_about_its_length_or_id_is_refused() {
        let check = |bytes: &[u8]| section(&mut &bytes[..]).map(|found| found.is_some());
        let mut good = Vec::new();
        car::push_section(&mut good, &BlockId::of(b"block"), b"block");
        assert_eq!(check(&good), Ok(true));
        assert_eq!(check(&[]), Ok(false));
        assert_eq!(check(&good[..good.len() - 1]), Err(Refusal::BadCbor));
        let mut other = good.clone();
        *other.last_mut().expect("not empty") ^= 1;
        assert_eq!(check(&other), Err(Refusal::BadCbor));
        // A gibibyte that is not there, a length without end, one that holds no CID.
        assert_eq!(
            check(&[0x80, 0x80, 0x80, 0x80, 0x04]),
            Err(Refusal::TooLarge)
        );
        assert_eq!(check(&[0xff; 8]), Err(Refusal::BadCbor));
        assert_eq!(check(&[0x03, 1, 2, 3]), Err(Refusal::BadCbor));
    }
}
