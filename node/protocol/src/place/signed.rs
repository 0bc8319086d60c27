//! A proof of place that a terminal made, on its way to its home: the body of a future `place` entry, signed by the
//! terminal's node key. The home judges it, holds it as one of its own, and answers for it: no signature of the terminal is
//! booked, as none of the home's own antenna is.

use super::{PlaceProof, Subject};
use crate::crypto::{PublicKey, Signature, Signer, TAG_PLACE};
use crate::refusal::Refusal;

/// The bytes of a proof of place and a node key's signature over `tag ‖ bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPlace {
    /// The proof's DAG-CBOR.
    pub proof: Vec<u8>,
    /// The signature, with the tag `city-node/place/v1`.
    pub signature: Signature,
}

impl SignedPlace {
    /// Signs a proof.
    #[must_use]
    pub fn sign(proof: &PlaceProof, signer: &dyn Signer) -> Self {
        let proof = proof.encode();
        let signature = signer.sign(TAG_PLACE, &proof);
        Self { proof, signature }
    }

    /// The proof, if this key signed it and it is about where the node stands. The key comes from a certificate that was
    /// judged: a terminal's, of the municipality that is to hold the proof.
    ///
    /// # Errors
    /// [`Refusal::WrongAlgorithm`] or [`Refusal::BadSignature`]; [`Refusal::PlaceMismatch`] for a client's own claim,
    /// which proves nothing about the terminal; those of [`PlaceProof::decode`].
    pub fn verify(&self, key: &PublicKey) -> Result<PlaceProof, Refusal> {
        key.verify(TAG_PLACE, &self.proof, &self.signature)?;
        let proof = PlaceProof::decode(&self.proof)?;
        match proof.subject {
            Subject::Node | Subject::KioskSession => Ok(proof),
            Subject::Client => Err(Refusal::PlaceMismatch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Timestamp;
    use crate::crypto::{Algorithm, SecretKey};
    use crate::ids::{AccountId, KeyId, LogId, NetworkId, TransferId};
    use crate::place::Grade;

    fn proof(subject: Subject) -> PlaceProof {
        PlaceProof {
            v: 1,
            network: NetworkId::of(b"genesis"),
            subject,
            account: AccountId::new(&LogId([1; 32]), &KeyId([2; 32])),
            transfer_id: TransferId([3; 16]),
            nonce: [4; 16],
            grade: Grade::None,
            reasons: Vec::new(),
            municipality: None,
            lat_e7: None,
            lon_e7: None,
            time: Timestamp(5),
            fix_time: None,
            satellites_used: None,
            hdop_centi: None,
            boundary: None,
            policy: 1,
            raw: None,
        }
    }

    #[test]
    fn a_home_takes_what_its_terminal_signed_and_nothing_else() {
        for algorithm in [Algorithm::Dilithium5, Algorithm::MlDsa87] {
            let (kiosk, stranger) = (
                SecretKey::generate(algorithm),
                SecretKey::generate(algorithm),
            );
            let made = proof(Subject::KioskSession);
            let signed = SignedPlace::sign(&made, &kiosk);
            assert_eq!(signed.verify(kiosk.public()), Ok(made));
            assert_eq!(signed.verify(stranger.public()), Err(Refusal::BadSignature));
            let mut other = signed.clone();
            let last = other.proof.len() - 1;
            other.proof[last] ^= 1;
            assert_eq!(other.verify(kiosk.public()), Err(Refusal::BadSignature));
            // Where a remote person says that they are is nothing that a terminal can prove.
            let claim = SignedPlace::sign(&proof(Subject::Client), &kiosk);
            assert_eq!(claim.verify(kiosk.public()), Err(Refusal::PlaceMismatch));
        }
    }
}
