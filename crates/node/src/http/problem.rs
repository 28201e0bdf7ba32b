//! Problem documents (RFC 9457): what every error of the API is.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use coalmine_core::{Fault, Reject};
use coalmine_json::render::Fields;
use coalmine_store::StoreError;

use crate::mempool::Refusal;
use crate::node::{Behind, SubmitError};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $status:literal, $name:literal, $reject:expr, $title:literal;)*) => {
        /// What kind of problem it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// Every kind, in the order of the documentation.
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The status of the answer.
            pub(super) const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }

            /// The last part of its type. It never changes.
            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The reject that a block would have given, if it is one.
            pub(super) const fn reject(self) -> Option<Reject> {
                match self {
                    $(Self::$variant => $reject,)*
                }
            }

            /// What it is, in a few words.
            pub(super) const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                }
            }
        }
    };
}

kinds! {
    Parameter = 400, "bad_parameter", None, "A parameter is missing, unknown, repeated or has no such value";
    Body = 400, "bad_body", None, "The body is not what this request takes";
    Envelope = 400, "malformed", Some(Reject::Malformed), "The bytes are no envelope with a transaction";
    Signature = 400, "bad_signature", Some(Reject::Malformed), "A signature is not good for this transaction on this ledger";
    Name = 400, "invalid_name", Some(Reject::InvalidName), "This cannot be a name";
    NoRole = 403, "unauthorized", Some(Reject::Unauthorized), "The signer holds no role";
    Reserved = 403, "reserved_address", None, "Anybody can sign for this address, so it gets no role";
    Path = 404, "not_found", None, "There is nothing at this path";
    Feature = 404, "feature_not_found", Some(Reject::FeatureNotFound), "There is no such feature";
    Plugin = 404, "plugin_not_found", Some(Reject::PluginNotFound), "There is no such plugin";
    Method = 405, "method_not_allowed", None, "This path takes another method";
    Slow = 408, "too_slow", None, "The body did not come in time";
    Sequence = 409, "bad_sequence", Some(Reject::BadSequence), "The sequence is used up or taken";
    Expired = 409, "expired", Some(Reject::Expired), "The transaction is too late";
    Past = 410, "past_height", None, "What was so at this height is not known any more";
    TooLarge = 413, "too_large", None, "The body or a list in it is too long";
    MediaType = 415, "unsupported_media_type", None, "The body has a media type that this request does not take";
    SignerFull = 429, "signer_full", None, "Too many transactions of this signer wait";
    AddressStreams = 429, "too_many_streams_of_address", None, "Too many streams to this address are open";
    Fault = 500, "fault", None, "The node has failed; its log says how";
    Behind = 503, "behind", None, "The node has not reached this height";
    NotAccepting = 503, "not_accepting", None, "The node takes no transactions";
    Full = 503, "full", None, "Too many transactions wait";
    Busy = 503, "busy", None, "The node has too much to do";
    Streams = 503, "too_many_streams", None, "Too many streams are open";
    NotLinearizable = 503, "not_linearizable", None, "The engine cannot say now what is last";
}

/// What the type of every problem begins with.
pub(super) const TYPE_PREFIX: &str = "urn:coalmine:problem:";
/// The media type of a problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    pub(super) detail: Cow<'static, str>,
    retry_after: Option<Duration>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None }
    }

    pub(super) fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::new(Kind::Parameter, format!("{name}: {why}"))
    }

    pub(super) fn body(why: impl std::fmt::Display) -> Self {
        Self::new(Kind::Body, why.to_string())
    }

    /// With the time after which it may be different.
    pub(super) const fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// What failed is for the log: it may name files.
    pub(super) fn fault(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(Kind::Fault, "it was not your request; ask the operator of the node to read its log")
    }

    fn fields(&self) -> Fields {
        let fields = Fields::new()
            .with("type", format!("{TYPE_PREFIX}{}", self.kind.name()))
            .with("title", self.kind.title())
            .with("status", self.kind.status())
            .with("detail", self.detail.to_string());
        match self.kind.reject() {
            Some(reject) => fields.with("reject", reject.name()).with("code", reject.code()),
            None => fields,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.fields()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(time) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(time.as_secs().max(1)));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::fault(&error)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::fault(&fault)
    }
}

impl From<Behind> for Problem {
    fn from(behind: Behind) -> Self {
        Self::new(Kind::Behind, behind.to_string()).retry_after(Duration::from_secs(1))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::NoRole(_) => Kind::NoRole,
            Refusal::SequenceUsed { .. } | Refusal::SequencePending { .. } => Kind::Sequence,
            Refusal::Expired { .. } => Kind::Expired,
            Refusal::Full => Kind::Full,
            Refusal::SignerFull { .. } => Kind::SignerFull,
        };
        let problem = Self::new(kind, refusal.to_string());
        match refusal {
            Refusal::Full | Refusal::SignerFull { .. } => problem.retry_after(Duration::from_secs(1)),
            Refusal::NoRole(_)
            | Refusal::SequenceUsed { .. }
            | Refusal::SequencePending { .. }
            | Refusal::Expired { .. } => problem,
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let kind = match error {
            SubmitError::Refused(refusal) => return refusal.into(),
            SubmitError::Store(error) => return error.into(),
            SubmitError::TooLarge { .. } => Kind::TooLarge,
            SubmitError::Envelope(_) | SubmitError::Transaction(_) => Kind::Envelope,
            SubmitError::Signature(_) => Kind::Signature,
            SubmitError::Reserved(_) => Kind::Reserved,
            SubmitError::NotAccepting(_) => {
                return Self::new(Kind::NotAccepting, error.to_string()).retry_after(Duration::from_secs(5));
            }
        };
        Self::new(kind, error.to_string())
    }
}
