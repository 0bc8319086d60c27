//! A terminal: a kiosk's node, which has its home's log and no log of its own. Index card:
//!
//! `relay` what people submit, byte for byte to the home, and what the home says to it · `reach` whether the home answers ·
//! `outbox` transfers that could not be delivered. Reading is answered from the replica, as at a home; nothing here
//! accepts anything: a receipt is the home's, or there is none.

mod outbox;
mod reach;
mod relay;

use std::sync::Arc;
use std::time::Duration;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::body::{Transfer, read_person_body};
use city_protocol::crypto::SecretKey;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{Digest, LogId};
use city_protocol::place::SignedPlace;
use hyper::body::Bytes;
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;

pub use outbox::{Content, Draft, Outbox, OutboxError, PER_ACCOUNT, seal_again};
pub use reach::Reach;
pub use relay::{Answer, HomeError};

use crate::api::wire::{SignedPlaceForm, TerminalPage};
use crate::client::{Address, ClientError, Line};
use crate::engine::EngineHandle;
use reach::Reached;

/// How long connecting to the home and its handshake may take: three round trips on a bad mobile link.
const CONNECT: Duration = Duration::from_secs(4);
/// How long the home may take for an answer. Twice both, for the proof of place and its transfer, is below what a request may
/// take here (30 s): it is the terminal that says what became of it.
const ANSWER: Duration = Duration::from_secs(9);
/// Submissions under way to the home at once: more people than stand around a kiosk; each holds a connection there, which
/// takes 64 of one address.
const AT_ONCE: usize = 16;

/// What a terminal is made of.
pub struct Config {
    /// Where its home's API is.
    pub home: Address,
    /// The roots by which the home's TLS certificate is judged.
    pub tls_roots: Vec<CertificateDer<'static>>,
    /// The replica.
    pub engine: EngineHandle,
    /// The terminal's own node key, which signs proofs of place.
    pub key: Arc<SecretKey>,
    /// Its certificate.
    pub certificate: Vec<u8>,
    /// Its intermediates.
    pub chain: Vec<Vec<u8>>,
    /// What could not be delivered; none where there is no key ring, because nothing is kept in the clear.
    pub outbox: Option<Outbox>,
}

/// A terminal's line to its home; cheap to clone.
#[derive(Clone)]
pub struct Terminal(Arc<Inner>);

struct Inner {
    home: Address,
    line: Line,
    log: LogId,
    genesis: Arc<Genesis>,
    engine: EngineHandle,
    key: Arc<SecretKey>,
    certificate: Vec<u8>,
    chain: Vec<Vec<u8>>,
    outbox: Option<Outbox>,
    reached: Reached,
    at_once: Semaphore,
}

impl Terminal {
    /// A terminal of this home. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ClientError::Tls`].
    pub fn new(config: Config, now: Timestamp) -> Result<Self, ClientError> {
        let line = Line::new(&config.home, &config.tls_roots, (CONNECT, ANSWER))?;
        Ok(Self(Arc::new(Inner {
            line,
            log: config.engine.log(),
            genesis: Arc::clone(config.engine.genesis()),
            home: config.home,
            engine: config.engine,
            key: config.key,
            certificate: config.certificate,
            chain: config.chain,
            outbox: config.outbox,
            reached: Reached::new(now),
            at_once: Semaphore::new(AT_ONCE),
        })))
    }

    /// Where the home is, and whether it answers.
    #[must_use]
    pub fn page(&self) -> TerminalPage {
        let Reach {
            reachable,
            since,
            why,
        } = self.0.reached.now();
        TerminalPage {
            home: self.0.home.to_string(),
            reachable,
            since,
            why,
        }
    }

    /// What could not be delivered; none where nothing is kept.
    #[must_use]
    pub fn outbox(&self) -> Option<&Outbox> {
        self.0.outbox.as_ref()
    }

    /// The proof of place that a transfer names, if this terminal made it and still holds it, signed.
    ///
    /// # Errors
    /// [`Refusal::NotSequencing`] when the engine is stopping.
    pub async fn place_of(&self, proof_of_place: &Digest) -> Result<Option<SignedPlace>, Refusal> {
        let held = self.0.engine.held_place(*proof_of_place).await?;
        let Some(proof) = held else { return Ok(None) };
        let key = Arc::clone(&self.0.key);
        let signed = move || SignedPlace::sign(&proof, &*key);
        let signed = self.0.engine.pool().run(signed).await;
        signed.map(Some).ok_or(Refusal::NotSequencing)
    }

    /// Hands a transfer to the home, with the proof of place that it names before it if this terminal made that.
    ///
    /// # Errors
    /// [`HomeError`].
    pub async fn transfer(
        &self,
        form: Bytes,
        body: &str,
        place: Option<SignedPlace>,
    ) -> Result<Answer, HomeError> {
        let place = match place {
            Some(place) => Some(place),
            // What cannot be read the home refuses, in its own words.
            None => match read_person_body::<Transfer>(body.as_bytes()) {
                Ok(transfer) => self.place_of(&transfer.proof_of_place).await?,
                Err(_) => None,
            },
        };
        if let Some(place) = place {
            let offered = self.offer(&place).await?;
            if let Some(refused) = offered {
                return Ok(refused);
            }
        }
        self.submit("/send/api/transfers", form, body).await
    }

    /// A proof in the form in which the home takes it.
    fn place_form(&self, place: &SignedPlace) -> SignedPlaceForm {
        let chain = self.0.chain.iter().cloned();
        SignedPlaceForm::of(place, self.0.key.public().id(), &self.0.certificate, chain)
    }
}
