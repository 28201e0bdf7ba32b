//! `[[reporter]]` and `[local]`: who reports what.

use std::net::SocketAddr;
use std::path::PathBuf;

use coalmine_core::Name;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::notify::is_label;
use crate::secret::Secret;

/// A node has at most so many reporters.
pub const REPORTERS_MAX: usize = 64;
/// A selector is at most so long, in bytes.
const SELECTOR_LEN_MAX: usize = 4_096;
/// A report is at most so many blocks behind.
const EVERY_MAX: u32 = 100_000;

/// A reporter that asks a Prometheus server about one feature, or about the versions of one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReporterConfig {
    /// Its name. How far it is, is kept under it.
    pub name: String,
    /// The key file that it signs with. Its address needs the role reporter.
    pub key: PathBuf,
    /// How many blocks there are from one query to the next.
    #[serde(default = "default_every")]
    pub every: u32,
    /// The feature.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "read_name",
        serialize_with = "write_name"
    )]
    pub feature: Option<Name>,
    /// The plugin.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "read_name",
        serialize_with = "write_name"
    )]
    pub plugin: Option<Name>,
    /// Where the counters are.
    pub prometheus: PrometheusConfig,
}

/// A Prometheus server and what it is asked: selectors of counters, to which a time is added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrometheusConfig {
    /// The server, such as `http://127.0.0.1:9090`.
    pub url: Secret,
    /// A token, if it wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Whether the URL may be `http://` beyond this machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_http: bool,
    /// Operations that succeeded; or `requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successes: Option<String>,
    /// All operations; or `successes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// Operations that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<String>,
    /// The sum of latencies, such as `…_seconds_sum`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<String>,
    /// How many units of latency the ledger counts for one of the counter: 1000 for seconds and milliseconds.
    #[serde(default = "default_scale")]
    pub latency_scale: u32,
    /// The label that has the version; of a plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_label: Option<String>,
}

/// What only this machine may ask of the node: reports by applications, and what is about the node itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalConfig {
    /// The address, of this machine alone; none: there is no such API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// The key file that reports of applications are signed with; none: they are not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// Why reporters cannot be used. Says nothing of what may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{of}: {what}")]
pub struct ReporterError {
    /// What is wrong with it.
    pub of: String,
    /// What is wrong.
    pub what: String,
}

impl ReporterConfig {
    pub(crate) fn error(&self, what: impl Into<String>) -> ReporterError {
        ReporterError { of: format!("reporter {:?}", self.name), what: what.into() }
    }

    fn check(&self) -> Result<(), String> {
        if !is_label(&self.name) {
            return Err("a name is 1 to 64 of the characters a-z A-Z 0-9 _ -".into());
        }
        if self.every == 0 || self.every > EVERY_MAX {
            return Err(format!("every is 1 to {EVERY_MAX} blocks, not {}", self.every));
        }
        if self.feature.is_some() == self.plugin.is_some() {
            return Err("it takes exactly one of feature and plugin".into());
        }
        let counters = &self.prometheus;
        if counters.successes.is_some() == counters.requests.is_some() {
            return Err("it takes exactly one of successes and requests".into());
        }
        if self.feature.is_some() && counters.version_label.is_some() {
            return Err("version_label is for a plugin".into());
        }
        if counters.latency_scale == 0 {
            return Err("latency_scale is at least 1".into());
        }
        let selectors = [
            ("successes", &counters.successes),
            ("requests", &counters.requests),
            ("errors", &counters.errors),
            ("latency", &counters.latency),
        ];
        for (name, selector) in selectors {
            if let Some(selector) = selector.as_ref().filter(|selector| !is_selector(selector)) {
                return Err(format!(
                    "{name}: {selector:?} is no selector of series, such as http_requests_total{{job=\"shop\"}}; sums and rates are made by the node"
                ));
            }
        }
        Ok(())
    }
}

/// Checks reporters.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_reporters(reporters: &[ReporterConfig], local: &LocalConfig) -> Result<(), ReporterError> {
    for (place, reporter) in reporters.iter().enumerate() {
        if place >= REPORTERS_MAX {
            return Err(reporter.error(format!("there are at most {REPORTERS_MAX} reporters")));
        }
        reporter.check().map_err(|what| reporter.error(what))?;
        if reporters.iter().take(place).any(|before| before.name == reporter.name) {
            return Err(reporter.error("there are two of this name; how far each is, is kept under it"));
        }
    }
    let error = |what: &str| Err(ReporterError { of: "local".into(), what: what.into() });
    match (local.listen, &local.key) {
        (Some(listen), _) if !listen.ip().is_loopback() => error(
            "listen: whoever reaches it is believed, so it is an address of this machine alone, such as 127.0.0.1:8701",
        ),
        (None, Some(_)) => error("key: without listen nobody can report"),
        _ => Ok(()),
    }
}

/// Whether a text is the selector of an instant vector, to which a range can be added.
fn is_selector(text: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    let name_len = text.find(|c: char| !(is_start(c) || c.is_ascii_digit())).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(name_len).unwrap_or_default();
    let is_name = name.is_empty() || name.starts_with(is_start);
    let is_matchers = rest.is_empty() || (rest.starts_with('{') && closes(rest));
    text.len() <= SELECTOR_LEN_MAX && is_name && is_matchers && !text.is_empty()
}

/// Whether the brace at the beginning closes at the end, and not before. Braces in quotes are text.
fn closes(text: &str) -> bool {
    let (mut quote, mut is_escaped) = (None, false);
    let last = text.len().saturating_sub(1);
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(quoted) => {
                is_escaped = c == '\\' && quoted != '`';
                if c == quoted {
                    quote = None;
                }
            }
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '{' && at > 0 => return false,
            None if c == '}' => return at == last,
            None => {}
        }
    }
    false
}

const fn default_every() -> u32 {
    10
}

const fn default_scale() -> u32 {
    1_000
}

fn read_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Name>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
}

fn write_name<S: Serializer>(name: &Option<Name>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(name.as_ref().map_or("", |name| name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_selectors() {
        for (text, is_one) in [
            ("a_total", true),
            ("a:b{}", true),
            (r#"a_total{code=~"5..",path="/{id}"}"#, true),
            (r#"{__name__="a"}"#, true),
            (r#"a{b="\"}"}"#, true),
            ("", false),
            ("1a", false),
            ("sum(a)", false),
            ("a + b", false),
            ("a[5m]", false),
            (r#"a{b="c"} offset 5m"#, false),
            (r#"a{b="c"} or b{c="d"}"#, false),
            ("a{", false),
            (r#"a{b="}"#, false),
        ] {
            assert_eq!(is_selector(text), is_one, "{text}");
        }
    }
}
