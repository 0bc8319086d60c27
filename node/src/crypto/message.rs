//! What `city-node crypto sign` and the demo service put under a signature: a domain tag of their own, the
//! length-prefixed context, the content. So no signature that somebody was talked into making counts in a ledger.

use city_protocol::crypto::{PublicKey, SecretKey, Signature, Signer as _, TAG_FILE};
use city_protocol::ids::length_prefixed;

use super::case::Reason;

/// The content behind its context, as it follows the tag.
fn body(context: &[u8], content: &[u8]) -> Vec<u8> {
    [&length_prefixed(context), content].concat()
}

/// Signs content in a context, which may be empty.
#[must_use]
pub fn sign(key: &SecretKey, context: &[u8], content: &[u8]) -> Signature {
    key.sign(TAG_FILE, &body(context, content))
}

/// Checks such a signature.
///
/// # Errors
/// [`Reason::SignatureLength`] or [`Reason::BadSignature`].
pub fn verify(
    key: &PublicKey,
    context: &[u8],
    content: &[u8],
    signature: &[u8],
) -> Result<(), Reason> {
    Signature::new(key.algorithm(), signature)
        .and_then(|signature| key.verify(TAG_FILE, &body(context, content), &signature))
        .map_err(Reason::of_signature)
}
