//! What people submit, handed to the home byte for byte, and the home's answer, handed back as it is. An acceptance is
//! checked first: the receipt in it must prove, under the genesis record, that this home booked just what was sent.

use std::time::Duration;

use city_protocol::Refusal;
use city_protocol::ids::BlockId;
use city_protocol::ledger::{History, Rows as _};
use city_protocol::place::SignedPlace;
use city_protocol::vertex::Receipt;
use hyper::body::Bytes;
use hyper::{Method, StatusCode};

use super::Terminal;
use crate::api::problem::ProblemBody;
use crate::api::wire::SubmittedPage;
use crate::client::{ClientError, Reply, Unanswered};

/// How long an answer is held back until the replica has what it tells: whoever asks for their balance next sees it.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What the home said to a submission.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is booked: the page as the home sent it, and the same read and checked.
    Booked(Reply, Box<SubmittedPage>),
    /// It is refused; this is the home's problem, read too.
    Refused(Reply, Box<ProblemBody>),
}

/// Why a terminal has no answer of its home.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HomeError {
    /// Nothing reached it.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// It did not answer in time to what was sent.
    #[error("no answer: {0}")]
    Silent(String),
    /// Who answers there is somebody else.
    #[error("not trusted: {0}")]
    Untrusted(String),
    /// What it answered is wrong.
    #[error("a wrong answer: {0}")]
    Wrong(&'static str),
    /// Too many are being handed on.
    #[error("too many submissions are being handed on")]
    Busy,
    /// The node is stopping.
    #[error(transparent)]
    Here(#[from] Refusal),
}

impl Terminal {
    /// Hands in what somebody signed: `form` goes as it came, `body` is the signed text in it.
    ///
    /// # Errors
    /// [`HomeError`].
    pub async fn submit(&self, path: &str, form: Bytes, body: &str) -> Result<Answer, HomeError> {
        let _place = self.0.at_once.try_acquire().map_err(|_| HomeError::Busy)?;
        let reply = self.ask(Method::POST, path, form).await?;
        if !reply.status.is_success() {
            return refused(reply);
        }
        let page: SubmittedPage = serde_json::from_slice(&reply.body)
            .map_err(|_| HomeError::Wrong("not the form of an acceptance"))?;
        let (genesis, log, sent) = (self.0.genesis.clone(), self.0.log, body.to_owned());
        let check = move || {
            let receipt = Receipt::read(&page.receipt)?.verify(&genesis)?;
            let h = &receipt.header.header;
            let same = receipt.authority.log == log
                && receipt.entry.body == sent.as_bytes()
                && receipt.vertex == page.vertex
                && (h.epoch, h.seq, receipt.index) == (page.at.epoch, page.at.seq, page.at.index)
                && receipt.entry.booked == page.booked;
            if same {
                Ok(page)
            } else {
                Err(Refusal::BadReceipt)
            }
        };
        let checked = self.0.engine.pool().run(check).await;
        let page = checked.ok_or(Refusal::NotSequencing)?.map_err(|refusal| {
            tracing::error!(code = refusal.code(), home = %self.0.home, "the home's receipt does not hold");
            HomeError::Wrong("its receipt does not hold")
        })?;
        self.catch_up(page.vertex).await;
        Ok(Answer::Booked(reply, Box::new(page)))
    }

    /// Offers a proof of place of this terminal; gives the home's problem if it does not take it.
    pub(super) async fn offer(&self, place: &SignedPlace) -> Result<Option<Answer>, HomeError> {
        let form = serde_json::to_vec(&self.place_form(place)).expect("a form has text keys");
        let asked = self.ask(Method::POST, "/send/api/place/signed", form.into());
        // Whatever became of it, no transfer was sent yet.
        let reply = asked.await.map_err(|error| match error {
            HomeError::Silent(why) => HomeError::Unreachable(why),
            other => other,
        })?;
        if reply.status.is_success() {
            return Ok(None);
        }
        refused(reply).map(Some)
    }

    /// Asks the home once, and notes whether it answers.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Reply, HomeError> {
        let answer = self.call(method, path, body).await;
        self.tell(answer.as_ref().err());
        answer
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Reply, HomeError> {
        let answer = self.0.line.call(method, path, body).await;
        answer.map_err(|why| match why {
            Unanswered::NotSent(error @ ClientError::Handshake { .. }) => {
                HomeError::Untrusted(error.to_string())
            }
            Unanswered::NotSent(error) => HomeError::Unreachable(error.to_string()),
            Unanswered::Sent(error) => HomeError::Silent(error.to_string()),
        })
    }

    /// Waits until the replica has the vertex that an answer names; not for long, it may come any time.
    async fn catch_up(&self, vertex: BlockId) {
        let history = self.0.engine.history();
        let has = || (history as &dyn History).vertex(&vertex).is_some();
        let waiting = async {
            while !has() {
                tokio::time::sleep(LOOK).await;
            }
        };
        // Told or not: it is booked.
        let _behind = tokio::time::timeout(CATCH_UP, waiting).await;
    }
}

fn refused(reply: Reply) -> Result<Answer, HomeError> {
    // A home that is stopping, or a machine between: what has no problem's form says nothing.
    let problem: ProblemBody = serde_json::from_slice(&reply.body)
        .map_err(|_| HomeError::Wrong("neither an acceptance nor a problem"))?;
    if problem.status != reply.status.as_u16() || reply.status < StatusCode::BAD_REQUEST {
        return Err(HomeError::Wrong("its problem contradicts itself"));
    }
    Ok(Answer::Refused(reply, Box::new(problem)))
}
