//! The two HTTPS doors as rustls configurations. The operators' refuses whoever shows no good certificate by a
//! TLS alert; the app's asks for one, takes the connection whatever was shown, and has it judged afterwards, so
//! that the answer can say what is wrong. Possession of the key is proven in both handshakes.
//!
//! Sessions are never resumed: a resumed one would skip the judgement of the certificate.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, NoKeyLog, ServerConfig, SignatureScheme,
};

use super::tls::{ALPN_HTTP_1_1, TlsError, TlsIdentity, provider};
use super::trust_store::TrustStore;
use crate::engine::SystemClock;

/// What a door asks of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorKind {
    /// The app port: a certificate is asked for, not needed.
    App,
    /// The operator port: nobody without a good certificate.
    Operator,
}

/// A door's configuration and the trust store that judges who comes through; exchanged as a whole.
#[derive(Debug)]
pub struct Door {
    /// What rustls is given.
    pub config: Arc<ServerConfig>,
    /// Who judges.
    pub trust: Arc<TrustStore>,
}

impl Door {
    /// A door of this kind. TLS 1.2 is spoken only where a municipality's configuration says so.
    ///
    /// # Errors
    /// [`TlsError::Rustls`] if chain and key do not fit.
    pub fn new(
        kind: DoorKind,
        identity: TlsIdentity,
        trust: Arc<TrustStore>,
        clock: SystemClock,
        tls12: bool,
    ) -> Result<Self, TlsError> {
        let versions: &[_] = if tls12 {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        } else {
            &[&rustls::version::TLS13]
        };
        let verifier = Verifier {
            kind,
            trust: Arc::clone(&trust),
            clock,
            algorithms: provider().signature_verification_algorithms,
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(identity.chain, identity.key)?;
        config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
        // Said aloud: session secrets are written nowhere, whatever the environment says.
        config.key_log = Arc::new(NoKeyLog {});
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let config = Arc::new(config);
        Ok(Self { config, trust })
    }
}

/// How the node's own clock, with its floor, judges in a handshake.
struct Verifier {
    kind: DoorKind,
    trust: Arc<TrustStore>,
    clock: SystemClock,
    algorithms: WebPkiSupportedAlgorithms,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({:?})", self.kind)
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.kind == DoorKind::Operator
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.trust.tls.hints()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.kind == DoorKind::Operator {
            let mut chain = vec![end_entity.clone()];
            chain.extend_from_slice(intermediates);
            let now = self.clock.now().time;
            let judged = self.trust.tls.judge(&chain, now);
            judged.map_err(|refusal| Error::InvalidCertificate(refusal.into()))?;
        }
        // On the app port nothing is believed yet: whoever serves the connection judges before the first request.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
