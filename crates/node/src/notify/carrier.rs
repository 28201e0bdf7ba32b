//! Carries messages to receivers: by HTTP to webhooks and Slack, by SMTP to mailboxes. One attempt each.

use std::path::Path;
use std::time::{Duration, SystemTime};

use coalmine_auth::read_key;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, header};
use zeroize::Zeroizing;

use crate::notify::config::{SinkConfig, SinkError, SlackConfig, WebhookConfig};
use crate::notify::email::Mailer;
use crate::notify::message::Message;
use crate::notify::progress::Outcome;
use crate::notify::signature::Signatures;
use crate::outgoing::{check_url, client, describe, read_body};
use crate::secret::Secret;

/// How long an attempt takes at most.
const TOTAL: Duration = Duration::from_secs(20);
/// What is read of an answer.
const ANSWER_MAX: u64 = 4 << 10;
/// The length that Slack keeps of a text, with room for what is escaped.
const SLACK_CHARS_MAX: usize = 3_000;

/// The form of a sink's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One for each event.
    CloudEvent,
    /// One for each block.
    Text,
}

/// How an attempt ended, and what to say of it, which holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) outcome: Outcome,
    pub(crate) what: String,
}

impl Attempt {
    pub(crate) fn delivered() -> Self {
        Self { outcome: Outcome::Delivered, what: String::new() }
    }

    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed { retry_after: None }, what: what.into() }
    }
}

/// Something that carries messages to one receiver.
pub(crate) trait Carrier {
    /// The form that it carries.
    fn form(&self) -> Form;

    /// What the receiver is called, shortened to what tells nothing of it.
    fn endpoint(&self) -> [u8; 8];

    /// Tries once.
    fn carry(&mut self, message: &Message, now: SystemTime) -> Attempt;
}

/// The carrier of a sink, with its secrets read.
///
/// # Errors
/// A secret is not there, or an address cannot be used.
pub(crate) fn carrier(sink: &SinkConfig, home: &Path) -> Result<Box<dyn Carrier + Send>, SinkError> {
    if let Some(webhook) = &sink.webhook {
        return Ok(Box::new(Webhook::new(sink, webhook, home)?));
    }
    if let Some(slack) = &sink.slack {
        return Ok(Box::new(Slack::new(sink, slack, home)?));
    }
    match &sink.email {
        Some(email) => Ok(Box::new(Mailer::new(sink, email, home)?)),
        None => Err(sink.error("it has no receiver")),
    }
}

pub(super) fn read(sink: &SinkConfig, secret: &Secret, home: &Path, of: &str) -> Result<Zeroizing<String>, SinkError> {
    secret.read(home).map_err(|error| sink.error(format!("{of}: {error}")))
}

pub(super) fn shortened(parts: &[&str]) -> [u8; 8] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update([part.as_bytes(), &[0]].concat()));
    let mut short = [0; 8];
    short.iter_mut().zip(hash.finalize()).for_each(|(short, byte)| *short = byte);
    short
}

fn url(sink: &SinkConfig, secret: &Secret, home: &Path, allow_http: bool) -> Result<Zeroizing<String>, SinkError> {
    let url = read(sink, secret, home, "url")?;
    check_url(&url, allow_http).map_err(|error| sink.error(format!("url: {error}")))?;
    Ok(url)
}

/// What an answer means to a sender.
fn judged(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Attempt {
    if status.is_success() {
        return Attempt::delivered();
    }
    if status == StatusCode::GONE {
        return Attempt { outcome: Outcome::Gone, what: "it wants nothing any more (status 410)".into() };
    }
    let what = if status.is_redirection() {
        format!("it redirects (status {}), which is not followed; configure where it leads", status.as_u16())
    } else {
        format!("status {}", status.as_u16())
    };
    let retry_after = headers.get(header::RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now));
    Attempt { outcome: Outcome::Failed { retry_after }, what }
}

/// The header Retry-After: seconds, or a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let seconds = text.trim().parse::<u64>().ok().map(Duration::from_secs);
    seconds.or_else(|| httpdate::parse_http_date(text.trim()).ok()?.duration_since(now).ok())
}

/// A webhook.
struct Webhook {
    agent: Agent,
    url: Zeroizing<String>,
    signatures: Signatures,
}

impl Webhook {
    fn new(sink: &SinkConfig, config: &WebhookConfig, home: &Path) -> Result<Self, SinkError> {
        let secrets = config.secrets.iter().map(|secret| read(sink, secret, home, "secrets"));
        let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
        let key = config.key.as_ref().map(|key| read_key(&home.join(key)));
        let key = key.transpose().map_err(|error| sink.error(format!("key: {error}")))?;
        let signatures = Signatures::new(secrets.iter().map(|secret| secret.as_str()), key);
        Ok(Self {
            agent: client(TOTAL).map_err(|error| sink.error(error))?,
            url: url(sink, &config.url, home, config.allow_http)?,
            signatures: signatures.map_err(|error| sink.error(format!("secrets: {error}")))?,
        })
    }
}

impl Carrier for Webhook {
    fn form(&self) -> Form {
        Form::CloudEvent
    }

    fn endpoint(&self) -> [u8; 8] {
        shortened(&["webhook", &self.url])
    }

    fn carry(&mut self, message: &Message, now: SystemTime) -> Attempt {
        let timestamp = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut request = self
            .agent
            .post(self.url.as_str())
            .content_type("application/cloudevents+json; charset=utf-8")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp.to_string());
        if let Some(signature) = self.signatures.header(&message.id, timestamp, message.body.as_bytes()) {
            request = request.header("webhook-signature", signature);
        }
        match request.send(message.body.as_bytes()) {
            Err(error) => Attempt::failed(describe(&error)),
            Ok(mut response) => {
                let attempt = judged(response.status(), response.headers(), now);
                // What was answered is read so that the connection can be used again, and not looked at.
                let _read = read_body(response.body_mut(), ANSWER_MAX);
                attempt
            }
        }
    }
}

/// An incoming webhook of Slack.
struct Slack {
    agent: Agent,
    url: Zeroizing<String>,
}

impl Slack {
    fn new(sink: &SinkConfig, config: &SlackConfig, home: &Path) -> Result<Self, SinkError> {
        let agent = client(TOTAL).map_err(|error| sink.error(error))?;
        Ok(Self { agent, url: url(sink, &config.url, home, false)? })
    }
}

impl Carrier for Slack {
    fn form(&self) -> Form {
        Form::Text
    }

    fn endpoint(&self) -> [u8; 8] {
        shortened(&["slack", &self.url])
    }

    fn carry(&mut self, message: &Message, now: SystemTime) -> Attempt {
        let body = json!({ "text": slack_text(message) }).to_string();
        match self.agent.post(self.url.as_str()).content_type("application/json").send(body) {
            Err(error) => Attempt::failed(describe(&error)),
            Ok(mut response) => {
                let mut attempt = judged(response.status(), response.headers(), now);
                let said = read_body(response.body_mut(), ANSWER_MAX).ok().flatten().unwrap_or_default();
                if attempt.outcome != Outcome::Delivered
                    && let Some(reason) = slack_reason(&said)
                {
                    attempt.what = format!("{}: {reason}", attempt.what);
                }
                attempt
            }
        }
    }
}

/// The text of a message, with what Slack would take for a mention or a link escaped.
fn slack_text(message: &Message) -> String {
    let mut text = String::new();
    for (count, c) in message.body.chars().enumerate() {
        if count == SLACK_CHARS_MAX {
            text.push('…');
            break;
        }
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            other => text.push(other),
        }
    }
    text
}

/// The word that Slack gives as a reason. Anything longer or else may echo what was sent.
fn slack_reason(said: &[u8]) -> Option<&str> {
    let is_word = (1..=40).contains(&said.len()) && said.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
    if is_word { std::str::from_utf8(said).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let failed = |seconds: Option<u64>| Outcome::Failed { retry_after: seconds.map(Duration::from_secs) };
        for (status, header, expected) in [
            (200, None, Outcome::Delivered),
            (204, None, Outcome::Delivered),
            (299, None, Outcome::Delivered),
            (301, None, failed(None)),
            (307, Some("7"), failed(Some(7))),
            (400, None, failed(None)),
            (404, None, failed(None)),
            (410, Some("7"), Outcome::Gone),
            (429, Some("120"), failed(Some(120))),
            (503, Some(" 5 "), failed(Some(5))),
            (503, Some("Sun, 06 Nov 1994 08:49:47 GMT"), failed(Some(10))),
            (503, Some("Sun, 06 Nov 1994 08:49:27 GMT"), failed(None)),
            (503, Some("soon"), failed(None)),
            (503, Some("-1"), failed(None)),
            (500, None, failed(None)),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|value| (header::RETRY_AFTER, value.parse().unwrap())));
            let attempt = judged(StatusCode::from_u16(status).unwrap(), &headers, now);
            assert_eq!(attempt.outcome, expected, "{status} {header:?}");
        }
    }

    #[test]
    fn slack_gets_text_and_no_mentions() {
        let message = |body: &str| Message {
            id: String::new(),
            first: crate::notify::message::Position::default(),
            next: crate::notify::message::Position::default(),
            time: 0,
            body: body.into(),
            title: String::new(),
        };
        assert_eq!(slack_text(&message("a <!channel> & <b>")), "a &lt;!channel&gt; &amp; &lt;b&gt;");
        let long = slack_text(&message(&"é".repeat(5_000)));
        assert!(long.chars().count() == SLACK_CHARS_MAX + 1 && long.ends_with('…'));
        assert_eq!(slack_reason(b"invalid_payload"), Some("invalid_payload"));
        assert_eq!(slack_reason(b"https://hooks.slack.com/services/T/B/x"), None);
    }
}
