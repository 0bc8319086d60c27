//! What a home's own log is to say of its CAs: the newest lists and the intermediates that its operator put into
//! `crls/`, as far as they verify under the network's roots.

use std::collections::BTreeMap;
use std::path::Path;

use city_protocol::amount::Timestamp;
use city_protocol::body::{MAX_TRUST_BODY, MAX_TRUST_LISTS, Trust};
use city_protocol::pki::{CertificateRefusal, Crl, Issuers, MAX_INTERMEDIATES, Root};
use city_protocol::region::Region;

use super::trust_store::{MAX_CRL_FILES, TrustStoreError, list_files, read_list_file};

/// What a body takes beside lists and certificates, in bytes: names, lengths and the version, with room.
const AROUND: usize = 256;

/// Reads the directory of lists; `chain` is the node certificate's. None if there is nothing to say.
///
/// # Errors
/// [`TrustStoreError`], which names the file.
pub fn own_trust(
    crls: &Path,
    chain: &[Vec<u8>],
    roots: &[Root],
    region: &Region,
    now: Timestamp,
) -> Result<Option<Trust>, TrustStoreError> {
    let (mut lists, mut certificates) = (Vec::new(), chain.to_vec());
    for path in list_files(crls, MAX_CRL_FILES)? {
        let file = read_list_file(&path)?;
        lists.extend(file.lists);
        certificates.extend(file.certificates);
    }
    certificates.sort();
    certificates.dedup();
    let issuers = Issuers::new(roots, region, &certificates, now);
    let mut number = 0..;
    certificates.retain(|_| {
        issuers
            .refusal(number.next().expect("it never ends"))
            .is_none()
    });
    certificates.truncate(MAX_INTERMEDIATES);

    let mut newest: BTreeMap<[u8; 32], (Crl, Vec<u8>)> = BTreeMap::new();
    for der in lists {
        let list = match issuers.list(&der) {
            Ok(list) => list,
            // That of the classical root, and of other regions' CAs: nobody judges nodes and people by them.
            Err(CertificateRefusal::UnknownIssuer) => continue,
            Err(why) => {
                tracing::warn!(%why, "a list in crls/ is not entered into the log");
                continue;
            }
        };
        let known = newest.get(&list.series().0);
        if known.is_none_or(|(known, _)| list.compare_age(known).is_gt()) {
            newest.insert(list.series().0, (list, der));
        }
    }
    let mut newest: Vec<(Crl, Vec<u8>)> = newest.into_values().collect();
    newest.sort_by_key(|(list, _)| std::cmp::Reverse(list.this_update()));
    newest.truncate(MAX_TRUST_LISTS);
    let mut room = MAX_TRUST_BODY - AROUND - certificates.iter().map(Vec::len).sum::<usize>();
    newest.retain(|(list, der)| {
        let fits = der.len() <= room;
        if fits {
            room -= der.len();
        } else {
            let issuer = list.issuer_name();
            tracing::warn!(
                issuer,
                bytes = der.len(),
                "a list in crls/ is too large for the log: hand it to other nodes by yourself"
            );
        }
        fits
    });
    if newest.is_empty() && certificates.is_empty() {
        return Ok(None);
    }
    Ok(Some(Trust {
        v: 1,
        lists: newest.into_iter().map(|(_, der)| der.into()).collect(),
        certificates: certificates.into_iter().map(Into::into).collect(),
    }))
}
