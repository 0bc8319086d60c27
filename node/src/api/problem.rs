//! Refusals as HTTP: RFC 9457 problem JSON with the refusal's stable code. The table of statuses is here,
//! once. A problem tells the caller what is wrong with what it sent, and nothing of the inside.

use std::time::Duration;

use crate::access::Class;
use crate::keys::KeystoreError;
use crate::ledger::proof::ProofError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use city_protocol::Refusal;
use serde::{Deserialize, Serialize};

use crate::net::EnrolError;
use crate::pki::{ClientRefusal, TlsRefusal};
use crate::terminal::{HomeError, OutboxError};
use crate::trust::ChangeError;

/// Where a problem's type begins; the code follows.
const TYPE: &str = "urn:city-node:problem:";
/// Media type of problem JSON (RFC 9457 section 3).
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
/// The code by which a home asks for a person's certificate.
pub const CERTIFICATE_REQUIRED: &str = "certificate-required";
/// The code of a login that is not the account's.
pub const LOGIN_REFUSED: &str = "login-refused";
/// The code of a terminal whose home is not reached: nothing was accepted.
pub const HOME_UNREACHABLE: &str = "home-unreachable";
/// The code of a terminal whose home did not say what became of a submission.
pub const HOME_SILENT: &str = "home-silent";
/// What a client is told to wait when the home is away, in seconds: how often a terminal looks for it.
const HOME_RETRY_S: u64 = 10;
/// What a client is told to wait when the node is busy, in seconds.
const BUSY_RETRY_S: u64 = 1;

/// The body of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// Form of the object: 1.
    pub schema: u64,
    /// Type, a URI that ends with the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means, for people.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// More about this one occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable code of what lies behind: why a certificate was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A refusal on its way out.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: String,
    detail: Option<String>,
    reason: Option<&'static str>,
    retry_after: Option<u64>,
}

/// The status of a refusal.
#[must_use]
pub const fn status(refusal: Refusal) -> StatusCode {
    use Refusal as R;
    match refusal {
        // The form is wrong.
        R::BadId
        | R::BadCbor
        | R::BadJson
        | R::NotCanonical
        | R::BadField
        | R::BadAmount
        | R::BadRegion
        | R::UnknownVersion
        | R::UnknownAlgorithm
        | R::BadKey
        | R::SignatureLength
        | R::BadReceipt => StatusCode::BAD_REQUEST,
        // Whoever signed may not.
        R::WrongAlgorithm
        | R::BadSignature
        | R::WrongKey
        | R::KeyRevoked
        | R::OfficersShort
        | R::BadCertificate => StatusCode::FORBIDDEN,
        // It is not here.
        R::UnknownAccount | R::UnknownLog | R::UnknownTransfer => StatusCode::NOT_FOUND,
        // Something else has its place already.
        R::AccountExists
        | R::KeyUsed
        | R::SequenceUsed
        | R::TransferIdUsed
        | R::AlreadyAccepted
        | R::AlreadyAnswered
        | R::BodyPruned => StatusCode::CONFLICT,
        R::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        // The node cannot at the moment.
        R::Busy | R::ClockUnknown | R::NotSequencing | R::Unconfirmed => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        R::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        // Well formed and well signed, but no rule allows it: wrong-network, overdraft, expired and so on.
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = status(refusal);
        let busy = status == StatusCode::SERVICE_UNAVAILABLE;
        Self {
            status,
            code: refusal.code(),
            title: refusal.to_string(),
            detail: None,
            reason: None,
            retry_after: busy.then_some(BUSY_RETRY_S),
        }
    }
}

impl From<ClientRefusal> for Problem {
    fn from(refusal: ClientRefusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            ClientRefusal::Required => {
                Self::plain(StatusCode::UNAUTHORIZED, CERTIFICATE_REQUIRED, &text)
            }
            ClientRefusal::Refused(reason) => Self {
                detail: Some(text),
                reason: Some(reason.code()),
                ..Refusal::BadCertificate.into()
            },
            ClientRefusal::Other | ClientRefusal::NoTerminal => {
                Self::from(Refusal::BadCertificate).with_detail(text)
            }
            ClientRefusal::Closed => {
                Self::plain(StatusCode::SERVICE_UNAVAILABLE, "trust-store-closed", &text)
            }
        }
    }
}

impl Problem {
    fn plain(status: StatusCode, code: &'static str, title: &str) -> Self {
        let title = title.into();
        Self {
            status,
            code,
            title,
            detail: None,
            reason: None,
            retry_after: None,
        }
    }

    /// No such route.
    #[must_use]
    pub fn not_found() -> Self {
        Self::plain(StatusCode::NOT_FOUND, "not-found", "there is nothing here")
    }

    /// The route exists, the method does not.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let title = "this address does not answer to this method";
        Self::plain(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", title)
    }

    /// The body is not declared as JSON.
    #[must_use]
    pub fn not_json() -> Self {
        let title = "send application/json";
        Self::plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-declared-json",
            title,
        )
    }

    /// The body did not come in time.
    #[must_use]
    pub fn timeout() -> Self {
        let title = "the request did not arrive in time";
        Self::plain(StatusCode::REQUEST_TIMEOUT, "timeout", title)
    }

    /// Too many requests; the caller is told how long to wait.
    #[must_use]
    pub fn too_many_requests(wait: Duration) -> Self {
        let title = "too many requests; wait and try again";
        let problem = Self::plain(StatusCode::TOO_MANY_REQUESTS, "rate-limited", title);
        let retry_after = Some(
            wait.as_millis()
                .div_ceil(1000)
                .try_into()
                .unwrap_or(u64::MAX),
        );
        Self {
            retry_after,
            ..problem
        }
    }

    /// Nobody is logged in, and what is asked for is somebody's.
    #[must_use]
    pub fn login_required() -> Self {
        let title = "this is for the account itself: log in, or show its TLS client certificate";
        Self::plain(StatusCode::UNAUTHORIZED, "login-required", title)
    }

    /// The token is not good, or not any more.
    #[must_use]
    pub fn token_refused() -> Self {
        let title = "the token is not good, or has ended: log in again";
        Self::plain(StatusCode::UNAUTHORIZED, "token-refused", title)
    }

    /// The challenge of a login is not one that waits.
    #[must_use]
    pub fn challenge_unknown() -> Self {
        let title =
            "the challenge was answered before, is too old, or was never given: ask for a new one";
        Self::plain(StatusCode::UNAUTHORIZED, "challenge-unknown", title)
    }

    /// A login is not the account's, or there is no such account.
    #[must_use]
    pub fn login_refused() -> Self {
        let title = "no account of this home logs in with this signature";
        Self::plain(StatusCode::UNAUTHORIZED, LOGIN_REFUSED, title)
    }

    /// What is asked for is not the account's that asks, or there is none such.
    #[must_use]
    pub fn not_yours() -> Self {
        let title = "this is for the account itself only";
        Self::plain(StatusCode::FORBIDDEN, "not-yours", title)
    }

    /// The client certificate of this connection is not admitted.
    #[must_use]
    pub fn certificate(refusal: TlsRefusal) -> Self {
        Self::plain(
            StatusCode::UNAUTHORIZED,
            refusal.code(),
            &refusal.to_string(),
        )
    }

    /// Private values could only be kept in the clear.
    #[must_use]
    pub fn no_key_ring() -> Self {
        let title = "this node has no key ring, so it keeps no private values; send without them, or have its operator \
                     make one (city-node key seal)";
        Self::plain(StatusCode::UNPROCESSABLE_ENTITY, "no-key-ring", title)
    }

    /// Only the operator may ask this (admin socket).
    #[must_use]
    pub fn operators_only() -> Self {
        let title =
            "only root, the user that runs the node, and operators whom it admits may ask this";
        Self::plain(StatusCode::FORBIDDEN, "operators-only", title)
    }

    /// The key store did not do what an operator asked (admin socket).
    #[must_use]
    pub fn keys(error: &KeystoreError) -> Self {
        Self::plain(StatusCode::CONFLICT, "keys", &error.to_string())
    }

    /// The own node certificate cannot be shown to peers (admin socket).
    #[must_use]
    pub fn own_certificate(why: &str) -> Self {
        Self::plain(StatusCode::CONFLICT, "own-certificate", why)
    }

    /// The whitelist was not changed (admin socket).
    #[must_use]
    pub fn whitelist(error: &ChangeError) -> Self {
        let title = error.to_string();
        match error {
            ChangeError::NotListed(_) => Self::plain(StatusCode::NOT_FOUND, "not-listed", &title),
            ChangeError::NotPending(_) => Self::plain(StatusCode::NOT_FOUND, "not-pending", &title),
            ChangeError::IsListed(_) => Self::plain(StatusCode::CONFLICT, "is-listed", &title),
            ChangeError::IgnoredFull => Self::plain(StatusCode::CONFLICT, "ignored-full", &title),
            ChangeError::InConfig(_) => Self::plain(StatusCode::CONFLICT, "in-config", &title),
            ChangeError::Full => Self::plain(StatusCode::CONFLICT, "whitelist-full", &title),
            ChangeError::Key(_) => Self::plain(StatusCode::BAD_REQUEST, "bad-key-file", &title),
            ChangeError::Trust(error) if error.is_full() => Refusal::StorageFull.into(),
            ChangeError::Trust(error) => {
                tracing::error!(%error, "the trust log");
                Self::internal()
            }
            ChangeError::Seen(error) => {
                tracing::error!(%error, "the list of peers' messages");
                Self::internal()
            }
            ChangeError::List(_) => Self::plain(StatusCode::BAD_REQUEST, "bad-list", &title),
            ChangeError::ListOfAStranger(_) => {
                Self::plain(StatusCode::FORBIDDEN, "list-of-a-stranger", &title)
            }
            ChangeError::NotOnList(_) => Self::plain(StatusCode::NOT_FOUND, "not-on-list", &title),
            ChangeError::NotRecommended(_) => {
                Self::plain(StatusCode::NOT_FOUND, "not-recommended", &title)
            }
            ChangeError::Recommended(_) => Self::plain(StatusCode::CONFLICT, "recommended", &title),
            ChangeError::TooFew { .. } => {
                Self::plain(StatusCode::CONFLICT, "too-few-recommend", &title)
            }
            ChangeError::OwnFull => Self::plain(StatusCode::CONFLICT, "own-full", &title),
            ChangeError::Rotation(_) => {
                Self::plain(StatusCode::BAD_REQUEST, "bad-rotation", &title)
            }
            ChangeError::NotInForce(_)
            | ChangeError::NotBroughtBack(_)
            | ChangeError::NoMunicipality(_)
            | ChangeError::TooMuchSaid => {
                Self::plain(StatusCode::CONFLICT, "rotation-not-followed", &title)
            }
            ChangeError::Contested { .. } => {
                Self::plain(StatusCode::CONFLICT, "rotation-contested", &title)
            }
            ChangeError::Myself(_)
            | ChangeError::RecommendHours
            | ChangeError::Name(_)
            | ChangeError::Hours
            | ChangeError::Address(_)
            | ChangeError::Addresses
            | ChangeError::NoSync => Self {
                title,
                ..Refusal::BadField.into()
            },
        }
    }

    /// Something in a request is not what it should be; `what` says it, and what to write (admin socket).
    #[must_use]
    pub fn bad_field(what: &str) -> Self {
        Self {
            title: what.into(),
            ..Refusal::BadField.into()
        }
    }

    /// Another node gave no answer to a request (admin socket).
    #[must_use]
    pub fn unanswered(error: &EnrolError) -> Self {
        let title = error.to_string();
        match error {
            EnrolError::Busy => Self {
                title,
                ..Refusal::Busy.into()
            },
            EnrolError::Dial(_)
            | EnrolError::NotTaken
            | EnrolError::Silent
            | EnrolError::BadAnswer => {
                Self::plain(StatusCode::BAD_GATEWAY, "peer-unanswered", &title)
            }
        }
    }

    /// There is no such proof (admin socket).
    #[must_use]
    pub fn no_proof(error: &ProofError) -> Self {
        let title = error.to_string();
        match error {
            ProofError::Absent | ProofError::NoAccount | ProofError::NothingFalse => {
                Self::plain(StatusCode::NOT_FOUND, "not-found", &title)
            }
            ProofError::NoCheckpoint => Self::plain(StatusCode::CONFLICT, "no-checkpoint", &title),
            ProofError::Pruned { .. } => Self {
                title,
                ..Refusal::BodyPruned.into()
            },
            ProofError::Blocks => {
                Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "internal", &title)
            }
        }
    }

    /// A terminal has no answer of its home.
    #[must_use]
    pub fn home(error: &HomeError) -> Self {
        let (status, code, title) = match error {
            HomeError::Unreachable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                HOME_UNREACHABLE,
                "the home cannot be reached: nothing was accepted; try again later",
            ),
            HomeError::Silent(_) => (
                StatusCode::GATEWAY_TIMEOUT,
                HOME_SILENT,
                "the home did not answer in time: it may have been accepted; send the same again, which is harmless",
            ),
            HomeError::Untrusted(_) => (
                StatusCode::BAD_GATEWAY,
                "home-untrusted",
                "who answers in the home's place is not trusted: nothing was sent there; tell the operator",
            ),
            HomeError::Wrong(_) => (
                StatusCode::BAD_GATEWAY,
                "home-answer-wrong",
                "the home's answer proves nothing, so this is no acceptance; ask the operator, and send the same again later",
            ),
            HomeError::Busy => return Refusal::Busy.into(),
            HomeError::Here(refusal) => return (*refusal).into(),
        };
        let retry_after = matches!(error, HomeError::Unreachable(_) | HomeError::Silent(_));
        Self {
            retry_after: retry_after.then_some(HOME_RETRY_S),
            ..Self::plain(status, code, title)
        }
    }

    /// What a terminal does not have or do; its home does.
    #[must_use]
    pub fn at_the_home() -> Self {
        let title = "a terminal does not have this: ask the home itself";
        Self::plain(StatusCode::NOT_FOUND, "at-the-home", title)
    }

    /// A transfer is not kept for later.
    #[must_use]
    pub fn outbox(error: &OutboxError) -> Self {
        let title = error.to_string();
        match error {
            OutboxError::Full => Self::plain(StatusCode::CONFLICT, "outbox-full", &title),
            OutboxError::Expired => Refusal::Expired.into(),
            error if error.is_disk_full() => Refusal::StorageFull.into(),
            error => {
                tracing::error!(%error, "the outbox");
                Self::internal()
            }
        }
    }

    /// This is a home, which keeps no drafts.
    #[must_use]
    pub fn no_terminal() -> Self {
        let title = "this node is a home and keeps no drafts; ask a terminal";
        Self::plain(StatusCode::NOT_FOUND, "no-terminal", title)
    }

    /// There is no such draft.
    #[must_use]
    pub fn no_draft() -> Self {
        let title = "no such draft is kept here; list them with: city-node tx outbox list";
        Self::plain(StatusCode::NOT_FOUND, "unknown-draft", title)
    }

    /// Something of this node's own could not be read. What it was stands in the node's log.
    #[must_use]
    pub fn internal() -> Self {
        let title = "the node could not answer; its log says why";
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "internal", title)
    }

    /// Says more about this one occurrence.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> ProblemBody {
        ProblemBody {
            schema: 1,
            kind: format!("{TYPE}{}", self.code),
            title: self.title.clone(),
            status: self.status.as_u16(),
            code: self.code.into(),
            detail: self.detail.clone(),
            reason: self.reason.map(Into::into),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2 asks for it.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(Code(self.code));
        response
    }
}

/// The code of a problem, beside its answer: what is counted of refusals.
#[derive(Clone, Copy, Debug)]
struct Code(&'static str);

/// The code of a response that refuses.
pub(crate) fn refusal_code(response: &Response) -> Option<&'static str> {
    response.extensions().get::<Code>().map(|Code(code)| *code)
}

/// As what a refusal with this code is counted in the access log, once.
pub(super) fn class(code: &str) -> Class {
    if code == LOGIN_REFUSED {
        Class::LoginRefused
    } else {
        Class::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_status() {
        use Refusal as R;
        let table: [(u16, &[Refusal]); 8] = [
            (
                400,
                &[
                    R::BadId,
                    R::BadCbor,
                    R::BadJson,
                    R::NotCanonical,
                    R::BadField,
                    R::BadAmount,
                    R::BadRegion,
                    R::UnknownVersion,
                    R::UnknownAlgorithm,
                    R::BadKey,
                    R::SignatureLength,
                    R::BadReceipt,
                ],
            ),
            (
                403,
                &[
                    R::WrongAlgorithm,
                    R::BadSignature,
                    R::WrongKey,
                    R::KeyRevoked,
                    R::OfficersShort,
                    R::BadCertificate,
                ],
            ),
            (404, &[R::UnknownAccount, R::UnknownLog, R::UnknownTransfer]),
            (
                409,
                &[
                    R::AccountExists,
                    R::KeyUsed,
                    R::SequenceUsed,
                    R::TransferIdUsed,
                    R::AlreadyAccepted,
                    R::BodyPruned,
                ],
            ),
            (413, &[R::TooLarge]),
            (
                422,
                &[
                    R::WrongNetwork,
                    R::WrongHome,
                    R::SameAccount,
                    R::WrongReceiver,
                    R::SequenceGap,
                    R::Expired,
                    R::FutureDated,
                    R::Overdraft,
                    R::OutOfRange,
                    R::TransferMismatch,
                    R::PrivateMismatch,
                    R::DeadlinePassed,
                    R::LogFrozen,
                    R::PlaceUnknown,
                    R::PlaceMismatch,
                    R::PlaceInsufficient,
                    R::NoPosition,
                    R::BadVertex,
                    R::BadEntry,
                    R::BadCite,
                    R::BadBooking,
                ],
            ),
            (
                503,
                &[R::Busy, R::ClockUnknown, R::NotSequencing, R::Unconfirmed],
            ),
            (507, &[R::StorageFull]),
        ];
        for (expected, refusals) in table {
            for refusal in refusals {
                let problem = Problem::from(*refusal);
                assert_eq!(problem.status.as_u16(), expected, "{}", refusal.code());
                let body = problem.body();
                assert_eq!((body.status, &*body.code), (expected, refusal.code()));
                assert!(body.kind.ends_with(refusal.code()));
            }
        }
        let all: usize = table.iter().map(|(_, refusals)| refusals.len()).sum();
        assert_eq!(all, 54, "a refusal was added: give it its place here");
    }

    #[test]
    fn who_is_too_fast_is_told_full_seconds() {
        let response = Problem::too_many_requests(Duration::from_millis(1200)).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
    }
}
