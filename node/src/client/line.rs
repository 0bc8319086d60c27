//! One node that is asked on a connection of its own each time, so that whoever asks knows whether anything was sent.

use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use rustls::pki_types::CertificateDer;

use super::http::{Link, Reply};
use super::{Address, ClientError};

/// Where it is, and how long it may take.
pub struct Line {
    link: Link,
    /// For connecting and the handshake.
    connect: Duration,
    /// For the answer behind that.
    answer: Duration,
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Nothing was sent.
    NotSent(ClientError),
    /// It may have arrived and been done.
    Sent(ClientError),
}

impl Line {
    /// The node at this address; only these roots are trusted.
    ///
    /// # Errors
    /// [`ClientError::Tls`].
    pub fn new(
        address: &Address,
        roots: &[CertificateDer<'static>],
        (connect, answer): (Duration, Duration),
    ) -> Result<Self, ClientError> {
        Ok(Self {
            link: Link::new(address.target(roots)?),
            connect,
            answer,
        })
    }

    /// Asks once.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Reply, Unanswered> {
        let dialled = tokio::time::timeout(self.connect, self.link.dial()).await;
        let dialled = dialled.unwrap_or(Err(ClientError::Timeout));
        let mut sender = dialled.map_err(Unanswered::NotSent)?;
        let exchange = self.link.exchange(&mut sender, &method, path, &body, None);
        let answer = tokio::time::timeout(self.answer, exchange).await;
        answer
            .unwrap_or(Err(ClientError::Timeout))
            .map_err(Unanswered::Sent)
    }
}
