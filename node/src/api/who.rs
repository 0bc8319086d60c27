//! Who asks: an account by its token, or by its TLS client certificate; or nobody.
//!
//! What is private is told to the account itself. For another's and for one that does not exist the answer is the
//! same, so that nobody learns who has an account: 403 `not-yours` for accounts, and for transfers, which are their
//! sender's and their receiver's, 404 `unknown-transfer`.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use city_protocol::ids::AccountId;

use super::peer::Peer;
use super::token::Claims;
use super::{ApiState, Problem};

/// The scheme of the Authorization header (RFC 6750 section 2.1).
const SCHEME: &str = "Bearer ";

/// Who asks, and from where.
#[derive(Debug)]
pub(super) struct Asker {
    /// The account, if it is known.
    pub(super) account: Option<AccountId>,
    /// The address.
    pub(super) source: IpAddr,
}

impl Asker {
    /// The account that asks.
    ///
    /// # Errors
    /// 401 if nobody is logged in.
    pub(super) fn needed(&self) -> Result<AccountId, Problem> {
        self.account.ok_or_else(Problem::login_required)
    }

    /// Whether this account asks.
    ///
    /// # Errors
    /// 401 if nobody is logged in, 403 for another's account.
    pub(super) fn is(&self, account: &AccountId) -> Result<(), Problem> {
        if self.needed()? == *account {
            Ok(())
        } else {
            Err(Problem::not_yours())
        }
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source(pub(super) IpAddr);

impl FromRequestParts<ApiState> for Source {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _api: &ApiState) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_default();
        Ok(Self(peer.source))
    }
}

impl FromRequestParts<ApiState> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_default();
        let account = match claims(parts, api)? {
            Some(claims) => Some(claims.sub),
            None => peer.account().copied(),
        };
        if let Some(account) = account {
            api.bar_revoked(account).await?;
        }
        Ok(Self {
            account,
            source: peer.source,
        })
    }
}

/// The claims of the token that the request came with.
#[derive(Debug)]
pub(super) struct Bearer(pub(super) Claims);

impl FromRequestParts<ApiState> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        let claims = claims(parts, api)?;
        claims.map(Self).ok_or_else(Problem::login_required)
    }
}

/// A token that is sent must be good: one that has ended is told so, and not taken for none.
fn claims(parts: &Parts, api: &ApiState) -> Result<Option<Claims>, Problem> {
    let Some(value) = parts.headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_at_checked(SCHEME.len())?;
        scheme.eq_ignore_ascii_case(SCHEME).then_some(token)
    });
    let now = api.clock.now().time;
    let claims = token.and_then(|token| api.tokens.read(token.trim(), now).ok());
    let claims = claims.ok_or_else(Problem::token_refused)?;
    // A key that was changed or revoked ends what it logged in with.
    let active = api.engine.active_key(&claims.sub);
    if active.is_ok_and(|key| key.id() == claims.key) {
        Ok(Some(claims))
    } else {
        Err(Problem::token_refused())
    }
}
