//! Bodies of requests: at most so long, and in time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::http::problem::{Kind, Problem};

/// No body has more bytes.
pub(super) const BODY_MAX: usize = 256 * 1_024;
/// How long a body may take.
pub(super) const BODY_TIME: Duration = Duration::from_secs(10);

/// Reads a body.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::new(Kind::TooLarge, format!("a body has at most {BODY_MAX} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > BODY_MAX)) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::body(format!("it cannot be read: {error}"))),
        Err(_) => Err(Problem::new(Kind::Slow, format!("a body has {} seconds", BODY_TIME.as_secs()))),
    }
}

/// Whether a body says that it is JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Reads a body of JSON.
pub(super) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    if !is_json(headers) {
        return Err(Problem::new(Kind::MediaType, "the body is JSON; say so with Content-Type: application/json"));
    }
    let body = read(headers, body).await?;
    serde_json::from_slice(&body).map_err(Problem::body)
}
