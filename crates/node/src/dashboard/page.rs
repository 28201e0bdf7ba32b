//! The frame of all pages, and answers of HTML.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use coalmine_chart::number;

use crate::dashboard::assets;
use crate::dashboard::view::{Failure, View};
use crate::dashboard::words;

/// What a browser may do with a page: load what comes from the node itself, and nothing else. No script and no style stands
/// inside of a page.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The pages that are linked on all of them, with what they are called.
const MENU: [(&str, &str); 4] =
    [("/", "Overview"), ("/schedule", "Schedule"), ("/calendar", "Calendar"), ("/check", "Check")];

/// What stands around the content of a page.
pub(super) struct Frame {
    pub(super) chain: String,
    pub(super) height: String,
    /// The height without spaces, for the script; empty before the first block.
    pub(super) tip: String,
    /// The address in the menu that the page belongs to.
    pub(super) at: &'static str,
    pub(super) menu: [(&'static str, &'static str); 4],
    /// Whether the content follows the ledger.
    pub(super) is_live: bool,
    pub(super) breaker: Option<String>,
    /// Why the node is not ready.
    pub(super) reasons: Vec<String>,
    /// Changes with every build whose assets differ.
    pub(super) version: &'static str,
}

impl Frame {
    pub(super) fn new(view: &View<'_>, at: &'static str) -> Self {
        let tip = view.node.tip().height;
        Self {
            chain: view.state().global().chain.as_str().into(),
            height: tip.map_or_else(|| "none yet".into(), |height| number(height.into())),
            tip: tip.map_or_else(String::new, |height| height.to_string()),
            is_live: true,
            breaker: words::breaker(view.state(), view.height),
            reasons: view.node.health().reasons,
            ..Self::empty(at)
        }
    }

    fn empty(at: &'static str) -> Self {
        Self {
            chain: String::new(),
            height: String::new(),
            tip: String::new(),
            at,
            menu: MENU,
            is_live: false,
            breaker: None,
            reasons: Vec::new(),
            version: assets::version(),
        }
    }
}

/// A page that says why there is no other.
#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    frame: Frame,
    title: &'static str,
    words: String,
    /// The address and the words of a link that may help.
    link: Option<(String, String)>,
}

/// Writes a page.
pub(super) fn write(page: &impl Template) -> Result<String, Failure> {
    page.render().map_err(|error| Failure::Page(error.to_string()))
}

/// The answer of a page, or of a page that says why there is none.
pub(super) fn answer(page: Result<String, Failure>) -> Response {
    match page {
        Ok(html) => html_of(StatusCode::OK, html),
        Err(failure) => refusal(&failure),
    }
}

fn refusal(failure: &Failure) -> Response {
    let (status, title, link) = match failure {
        Failure::Missing { kind, nearest, .. } => {
            let link = nearest.map(|name| match *kind {
                "plugin" => (words::plugin_href(&name), format!("Did you mean {name}?")),
                _ => (words::feature_href(&name), format!("Did you mean {name}?")),
            });
            (StatusCode::NOT_FOUND, "Not found", link)
        }
        Failure::Parameter { .. } => (StatusCode::BAD_REQUEST, "This does not work", None),
        Failure::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Busy", None),
        Failure::Fault(_) | Failure::Store(_) | Failure::Block(_) | Failure::Page(_) => {
            tracing::error!(error = %failure, "a page of the dashboard cannot be made");
            (StatusCode::INTERNAL_SERVER_ERROR, "This node has a problem", None)
        }
    };
    let page = FailurePage { frame: Frame::empty(""), title, words: failure.to_string(), link };
    let mut response = html_of(status, page.render().unwrap_or_else(|_| title.into()));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

fn html_of(status: StatusCode, html: String) -> Response {
    let mut response = Response::new(html.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Sets the headers that all answers of the dashboard have.
pub(super) async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
