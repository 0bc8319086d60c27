//! What a municipality's CA has revoked, on its way to all who judge that CA's certificates.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec;
use crate::pki::{Crl, MAX_CERTIFICATE_DER, MAX_INTERMEDIATES};
use crate::refusal::Refusal;

/// Longest body in bytes: it stands in one vertex, of at most 1 MiB, with others. A list of some 12,000 certificates
/// fits.
pub const MAX_TRUST_BODY: usize = 512 * 1024;
/// Most lists: the newest of the root and of each intermediate.
pub const MAX_TRUST_LISTS: usize = 1 + MAX_INTERMEDIATES;

/// The newest lists of the CAs above the home's own node certificate, and these CAs' certificates. Whether they verify
/// is judged by whoever admits by them, and never by the ledger: its verdicts ask no certificate's date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Form of the body: 1.
    pub v: u64,
    /// X.509 lists of revoked certificates, DER; at least one of lists and certificates.
    pub lists: Vec<ByteBuf>,
    /// Certificates of intermediate CAs, DER.
    pub certificates: Vec<ByteBuf>,
}

impl Trust {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`], [`Refusal::UnknownVersion`] or [`Refusal::BadField`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body: Self = codec::decode_version(bytes, MAX_TRUST_BODY, super::BODY_VERSION)?;
        let distinct = |all: &[ByteBuf]| {
            let mut sorted: Vec<_> = all.iter().collect();
            sorted.sort_unstable();
            sorted.dedup();
            sorted.len() == all.len() && all.iter().all(|der| !der.is_empty())
        };
        let small = |der: &ByteBuf| der.len() <= MAX_CERTIFICATE_DER;
        let plausible = !(body.lists.is_empty() && body.certificates.is_empty())
            && body.lists.len() <= MAX_TRUST_LISTS
            && body.certificates.len() <= MAX_INTERMEDIATES
            && body.certificates.iter().all(small)
            && distinct(&body.lists)
            && distinct(&body.certificates);
        if plausible {
            Ok(body)
        } else {
            Err(Refusal::BadField)
        }
    }

    /// The lists that can be read, whoever signed them.
    pub fn read_lists(&self) -> impl Iterator<Item = Crl> {
        self.lists.iter().filter_map(|der| Crl::read(der).ok())
    }

    /// Whether it says something that an earlier one did not: another CA, or a list newer than that one's of its series.
    #[must_use]
    pub fn says_more_than(&self, earlier: &Self) -> bool {
        let known: Vec<Crl> = earlier.read_lists().collect();
        let mut certificates = self.certificates.iter();
        certificates.any(|der| !earlier.certificates.contains(der))
            || self.read_lists().any(|list| {
                let mut series = known.iter().filter(|one| one.series() == list.series());
                series.all(|one| list.compare_age(one).is_gt())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lists: &[&[u8]], certificates: &[&[u8]], expected: Result<(), Refusal>) {
        let owned = |all: &[&[u8]]| all.iter().map(|der| ByteBuf::from(*der)).collect();
        let body = Trust {
            v: 1,
            lists: owned(lists),
            certificates: owned(certificates),
        };
        let read = Trust::read(&codec::encode(&body));
        assert_eq!(read, expected.map(|()| body));
    }

    #[test]
    fn a_trust_body_has_something_and_nothing_twice() {
        let bad = Err(Refusal::BadField);
        check(&[b"list"], &[], Ok(()));
        check(&[b"list"], &[b"list"], Ok(()));
        check(&[], &[b"certificate"], Ok(()));
        check(&[], &[], bad);
        check(&[b""], &[], bad);
        check(&[b"a", b"b", b"a"], &[], bad);
        check(&[b"a", b"b", b"c", b"d", b"e"], &[], Ok(()));
        check(&[b"a", b"b", b"c", b"d", b"e", b"f"], &[], bad);
        check(&[], &[b"a", b"b", b"c", b"d", b"e"], bad);
        check(&[], &[&[7; MAX_CERTIFICATE_DER]], Ok(()));
        check(&[], &[&[7; MAX_CERTIFICATE_DER + 1]], bad);
        check(&[&[7; MAX_TRUST_BODY]], &[], Err(Refusal::TooLarge));
    }
}
