//! The files that pages load: one style sheet, one script, one icon, and the verifier of proofs.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

/// A file.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: Bytes,
}

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    let sheet = [include_str!("../../assets/dashboard.css"), &coalmine_chart::style_sheet()].concat();
    [
        Asset { name: "dashboard.css", media_type: "text/css; charset=utf-8", bytes: sheet.into() },
        Asset {
            name: "dashboard.js",
            media_type: "text/javascript; charset=utf-8",
            bytes: Bytes::from_static(include_bytes!("../../assets/dashboard.js")),
        },
        Asset {
            name: "proof.wasm",
            media_type: "application/wasm",
            bytes: Bytes::from_static(include_bytes!("../../assets/proof.wasm")),
        },
        Asset {
            name: "icon.svg",
            media_type: "image/svg+xml",
            bytes: Bytes::from_static(include_bytes!("../../assets/icon.svg")),
        },
    ]
});

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    ASSETS.iter().for_each(|asset| hash.update(&asset.bytes));
    hex::encode(hash.finalize()).chars().take(16).collect()
});

/// What the addresses of the files end with, so that browsers keep them for as long as they are these.
pub(super) fn version() -> &'static str {
    &VERSION
}

/// Answers `GET /assets/{name}`.
pub(super) async fn asset(Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = Response::new(asset.bytes.clone().into());
    let headers = response.headers_mut();
    let is_this = query.as_deref() == Some(version());
    let cache = if is_this { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
