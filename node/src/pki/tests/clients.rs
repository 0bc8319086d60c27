//! What becomes of the certificate that a home kept when its owner has a newer one.

use std::path::Path;
use std::sync::Arc;

use city_protocol::crypto::{PublicKey, Suite};
use city_protocol::pki::Crl;
use x509_cert::der::pem::{LineEnding, encode_string};

use super::*;
use crate::engine::SystemClock;
use crate::pki::ca_keys::CaLock;
use crate::pki::clients::{ClientRefusal, Clients, ShownCertificate};
use crate::pki::reload::{DoorKeeper, DoorTerms};
use crate::pki::revocation::Reason;
use crate::pki::trust_store::TrustStore;
use crate::pki::{Authority, authority::Selector};

/// A home in 金沢市 with a directory for its people's certificates, and the CA that issues them.
struct Home {
    ca: Authority,
    dir: tempfile::TempDir,
    hanako: AccountId,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let years = Validity::days(APRIL, 3650);
        let lock = CaLock::Unencrypted;
        let ca = dir.path().join("ca");
        let ca = Authority::create(&ca, "石川県 CA", Suite::Dilithium5Ntru, &lock, years);
        let hanako = SecretKey::generate(Algorithm::Dilithium5).public().id();
        Self {
            ca: ca.unwrap(),
            dir,
            hanako: AccountId::new(&LogId([7; 32]), &hanako),
        }
    }

    fn certificate(&self, key: &PublicKey, days: u64) -> ShownCertificate {
        let request = ClientRequest {
            account: &self.hanako,
            key,
            kem: None,
        };
        let leaf = self.ca.issue_client(&request, Validity::days(APRIL, days));
        let (leaf, chain) = (leaf.unwrap(), Vec::new());
        ShownCertificate { leaf, chain }
    }

    /// The home as it is after a start with these lists, or with some that cannot be read.
    fn clients(&self, crls: Option<Crls>) -> Clients {
        let roots: Arc<[Root]> = [self.ca.root("Asia/JP/17".parse().unwrap()).unwrap()].into();
        let identity = self
            .ca
            .tls()
            .server(&["localhost".into()], &[], Validity::days(APRIL, 365));
        let terms = DoorTerms {
            roots: Arc::clone(&roots),
            clock: SystemClock::new(true, at()),
            tls12: false,
            others: Vec::new(),
        };
        let trust = match crls {
            Some(crls) => TrustStore::new(&[self.ca.tls_root().clone()], roots, crls).unwrap(),
            None => TrustStore::closed(roots),
        };
        let keeper = DoorKeeper::fixed(identity.unwrap(), trust, &terms).unwrap();
        let region: Region = "Asia/JP/17/17201".parse().unwrap();
        Clients::open(kept(self.dir.path()), keeper, region).unwrap()
    }

    fn revoke(&self, certificate: &ShownCertificate) -> Crls {
        let pem = encode_string("CERTIFICATE", LineEnding::LF, &certificate.leaf).unwrap();
        let which = Selector::of_certificate(pem.as_bytes()).unwrap();
        self.ca.revoke(&which, Reason::Superseded, at()).unwrap();
        let lists = self.ca.write_lists(Validity::days(at(), 30)).unwrap();
        let lists = lists.iter().map(|list| std::fs::read(&list.path).unwrap());
        let lists = lists.flat_map(|pem| Crl::read_pem(&pem).unwrap());
        Crls::new(lists.collect()).unwrap()
    }
}

fn kept(dir: &Path) -> std::path::PathBuf {
    dir.join("clients")
}

const REVOKED: ClientRefusal = ClientRefusal::Refused(CertificateRefusal::Revoked);

#[test]
fn a_kept_certificate_of_no_use_is_asked_for_anew() {
    let home = Home::new();
    let [old, new] = [(); 2].map(|()| SecretKey::generate(Algorithm::Dilithium5));
    let (old, new) = (old.public(), new.public());
    let certificate = home.certificate(old, 365);
    let clients = home.clients(Some(Crls::none()));
    let admit = |clients: &Clients, key, shown: Option<&ShownCertificate>, at| {
        clients.admit(&home.hanako, key, shown, None, at)
    };
    assert_eq!(
        admit(&clients, old, None, at()),
        Err(ClientRefusal::Required)
    );
    assert_eq!(admit(&clients, old, Some(&certificate), at()), Ok(()));
    assert_eq!(admit(&clients, old, None, at()), Ok(()));

    // 花子 has new keys: the old certificate is no answer, and no bar.
    assert_eq!(
        admit(&clients, new, None, at()),
        Err(ClientRefusal::Required)
    );
    let foreign = admit(&clients, new, Some(&certificate), at());
    assert_eq!(foreign, Err(ClientRefusal::Other));
    // It expired: a newer one is asked for; whoever sends the same is told.
    let later = APRIL.plus_ms(366 * DAY);
    let clients = home.clients(Some(Crls::none()));
    let expired = CertificateRefusal::Expired.into();
    assert_eq!(
        admit(&clients, old, None, later),
        Err(ClientRefusal::Required)
    );
    assert_eq!(
        admit(&clients, old, Some(&certificate), later),
        Err(expired)
    );
    assert_eq!(clients.bar(&home.hanako, old, later), Ok(()));
}

#[test]
fn a_revoked_certificate_bars_the_key_that_it_is_for() {
    let home = Home::new();
    let [old, new] = [(); 2].map(|()| SecretKey::generate(Algorithm::Dilithium5));
    let (old, new) = (old.public(), new.public());
    let certificate = home.certificate(old, 365);
    let crls = home.revoke(&certificate);
    let clients = home.clients(Some(crls));
    clients.keep(&home.hanako, &certificate);
    assert_eq!(clients.bar(&home.hanako, old, at()), Err(REVOKED));
    assert_eq!(clients.bar(&home.hanako, new, at()), Ok(()));
    let admitted = clients.admit(&home.hanako, new, None, None, at());
    assert_eq!(admitted, Err(ClientRefusal::Required));

    // For the same key, too, there may be a newer one, which takes its place.
    let newer = home.certificate(old, 300);
    let admitted = clients.admit(&home.hanako, old, None, None, at());
    assert_eq!(admitted, Err(REVOKED));
    let admitted = clients.admit(&home.hanako, old, Some(&newer), None, at());
    assert_eq!(admitted, Ok(()));
    assert_eq!(clients.bar(&home.hanako, old, at()), Ok(()));
}

#[test]
fn nobody_is_let_in_while_it_cannot_be_known_who_was_revoked() {
    let home = Home::new();
    let key = SecretKey::generate(Algorithm::Dilithium5);
    let clients = home.clients(None);
    let bar = || clients.bar(&home.hanako, key.public(), at());
    assert_eq!(bar(), Err(ClientRefusal::Closed));
    clients.keep(&home.hanako, &home.certificate(key.public(), 365));
    assert_eq!(bar(), Err(ClientRefusal::Closed));
}
