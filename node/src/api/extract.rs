//! Reading requests: JSON bodies under a size and a deadline, ids out of paths, queries of two known names.
//! Whatever is wrong with them is a problem with a code, never axum's own text.

use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use city_protocol::Refusal;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::Problem;

/// Largest request body in bytes: a Dilithium5 certificate of 9 KB is 12 KB in base64, with its chain 48; a charter of nine
/// officers is 32 KB, and 56 more are their signatures.
pub const MAX_BODY: usize = 96 * 1024;
/// What is read of a larger body and thrown away: a client that still writes would lose the answer.
const MAX_DRAINED: usize = 1024 * 1024;
/// How long a body may take: 96 KiB at 32 kbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(24);

/// A JSON request body.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        read(&receive(request).await?).map(Self)
    }
}

/// A JSON request body as it came, beside what is read of it.
pub(crate) struct RawJson<T>(pub(crate) Vec<u8>, pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for RawJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = receive(request).await?;
        let value = read(&bytes)?;
        Ok(Self(bytes, value))
    }
}

async fn receive(request: Request) -> Result<Vec<u8>, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::not_json());
    }
    tokio::time::timeout(BODY_TIMEOUT, collect(request.into_body()))
        .await
        .map_err(|_| Problem::timeout())?
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let Some(value) = value.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

async fn collect(mut body: Body) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BadJson)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen += data.len();
        if seen <= MAX_BODY {
            bytes.extend_from_slice(&data);
        } else if seen > MAX_DRAINED {
            break;
        }
    }
    if seen > MAX_BODY {
        return Err(Refusal::TooLarge.into());
    }
    Ok(bytes)
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        match error.classify() {
            Category::Data => Refusal::BadField,
            Category::Syntax | Category::Eof | Category::Io => Refusal::BadJson,
        }
        .into()
    })
}

/// The one id in the path.
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr<Err = Refusal>> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| Refusal::BadId)?;
        Ok(Self(text.parse()?))
    }
}

/// Where a listing goes on and how much of it is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) after: Option<T>,
    pub(crate) limit: Option<usize>,
}

impl<S: Send + Sync, T: FromStr<Err = Refusal>> FromRequestParts<S> for Page<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(page(parts.uri.query().unwrap_or_default())?)
    }
}

/// `after=…&limit=…`, each at most once; ids and numbers need no percent encoding.
fn page<T: FromStr<Err = Refusal>>(query: &str) -> Result<Page<T>, Refusal> {
    let mut page = Page {
        after: None,
        limit: None,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("after", id)) if page.after.is_none() => page.after = Some(id.parse()?),
            Some(("limit", number)) if page.limit.is_none() => {
                page.limit = Some(number.parse().map_err(|_| Refusal::BadField)?);
            }
            _ => return Err(Refusal::BadField),
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use city_protocol::ids::Digest;

    #[test]
    fn a_query_has_two_names_each_once() {
        let id = Digest::of(&[b"x"]);
        let check = |query: &str, expected: Result<(Option<Digest>, Option<usize>), Refusal>| {
            let page = page::<Digest>(query).map(|page| (page.after, page.limit));
            assert_eq!(page, expected, "{query}");
        };
        check("", Ok((None, None)));
        check("limit=7", Ok((None, Some(7))));
        check(&format!("limit=7&after={id}"), Ok((Some(id), Some(7))));
        check("limit=7&limit=8", Err(Refusal::BadField));
        check("limit=-1", Err(Refusal::BadField));
        check("offset=1", Err(Refusal::BadField));
        check("after=x", Err(Refusal::BadId));
    }
}
