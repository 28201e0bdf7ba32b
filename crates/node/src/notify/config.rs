//! `[[notify]]`: who is told what.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::notify::filter::{Filter, Kind, Pattern};
use crate::secret::Secret;

/// A node tells at most so many sinks.
pub const SINKS_MAX: usize = 64;
/// A sink has at most so many patterns of names, receivers or secrets.
const LIST_MAX: usize = 100;

/// A sink: exactly one of `webhook`, `slack` and `email`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Its name. How far it is, is kept under it.
    pub name: String,
    /// Which kinds of events; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Kind>,
    /// Which features; a `*` may stand at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Pattern>,
    /// Which plugins; a `*` may stand at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<Pattern>,
    /// A CloudEvent for each event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookConfig>,
    /// A message for each block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<SlackConfig>,
    /// A mail for each block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailConfig>,
}

/// A receiver of CloudEvents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Its URL.
    pub url: Secret,
    /// Shared secrets (`whsec_…`), each of which signs: two while one replaces the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// A key file, whose key signs as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Whether the URL may be `http://` beyond this machine.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_http: bool,
}

/// An incoming webhook of Slack, or of what understands the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackConfig {
    /// Its URL, which is a secret.
    pub url: Secret,
}

/// Mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// The host of the SMTP server.
    pub host: String,
    /// Its port; 0: the usual one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub port: u16,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: SmtpTls,
    /// Who logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The sender, such as `coalmine <coalmine@example.org>`.
    pub from: String,
    /// The receivers.
    pub to: Vec<String>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// From its first byte, usually on port 465.
    #[default]
    Implicit,
    /// After STARTTLS, usually on port 587. Without it nothing is sent.
    Starttls,
    /// Not at all: for a server on this machine.
    None,
}

/// Why sinks cannot be used. Says nothing of what may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("notify {sink:?}: {what}")]
pub struct SinkError {
    /// The name of the sink.
    pub sink: String,
    /// What is wrong.
    pub what: String,
}

impl SinkConfig {
    /// The kind of sink.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match (&self.webhook, &self.slack, &self.email) {
            (Some(_), _, _) => "webhook",
            (None, Some(_), _) => "slack",
            (None, None, Some(_)) => "email",
            (None, None, None) => "none",
        }
    }

    /// What it wants.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter { kinds: self.kinds.clone(), features: self.features.clone(), plugins: self.plugins.clone() }
    }

    pub(crate) fn error(&self, what: impl Into<String>) -> SinkError {
        SinkError { sink: self.name.clone(), what: what.into() }
    }
}

/// Checks what can be checked of sinks without their secrets.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_sinks(sinks: &[SinkConfig]) -> Result<(), SinkError> {
    for (place, sink) in sinks.iter().enumerate() {
        if place >= SINKS_MAX {
            return Err(sink.error(format!("there are at most {SINKS_MAX} sinks")));
        }
        if !is_label(&sink.name) {
            return Err(sink.error("a name is 1 to 64 of the characters a-z A-Z 0-9 _ -"));
        }
        if sinks.iter().take(place).any(|before| before.name == sink.name) {
            return Err(sink.error("there are two of this name; how far each is, is kept under it"));
        }
        let kinds = [sink.webhook.is_some(), sink.slack.is_some(), sink.email.is_some()];
        if kinds.iter().filter(|is_there| **is_there).count() != 1 {
            return Err(sink.error("it takes exactly one of [notify.webhook], [notify.slack] and [notify.email]"));
        }
        let secrets = sink.webhook.as_ref().map_or(0, |webhook| webhook.secrets.len());
        let receivers = sink.email.as_ref().map_or(0, |email| email.to.len());
        let longest = [sink.kinds.len(), sink.features.len(), sink.plugins.len(), secrets, receivers];
        if longest.iter().any(|len| *len > LIST_MAX) {
            return Err(sink.error(format!("no list has more than {LIST_MAX} entries")));
        }
        if let Some(email) = &sink.email {
            email.check().map_err(|what| sink.error(what))?;
        }
    }
    Ok(())
}

/// Whether a text can be a label of a metric and a part of a key.
pub(crate) fn is_label(text: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&text.len()) && text.chars().all(is_good)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(value: &u16) -> bool {
    *value == 0
}
