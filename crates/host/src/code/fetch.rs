//! Fetches code by HTTP from mirrors: `<base>/<hash>`, or `<base><hash>` where the base ends in `sha256:`, as the URL of
//! a blob in an OCI registry does.
//!
//! A mirror is not trusted: its bytes count only if they have the hash. It can waste a bounded time and as many bytes as
//! code may have, and it cannot send the node elsewhere: a redirect is followed on the same host only.

use std::io::Read;
use std::thread;
use std::time::Duration;

use coalmine_core::Hash;
use ureq::http::Uri;
use ureq::http::header::LOCATION;
use ureq::{Agent, ResponseExt};

use crate::code::{Source, code_hash};

/// How long, and how often.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// For a connection.
    pub connect: Duration,
    /// For everything that one mirror is asked at once, the whole body included.
    pub total: Duration,
    /// How many times the list of mirrors is gone through.
    pub rounds: u32,
    /// The pause before the second round; each further one is twice as long.
    pub pause: Duration,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            total: Duration::from_secs(120),
            rounds: 3,
            pause: Duration::from_secs(1),
        }
    }
}

/// The most redirects of one request.
const REDIRECTS_MAX: usize = 3;

/// Why a mirror cannot be used, or did not give the code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The text is no URL of a mirror.
    #[error("a mirror is a URL like https://plugins.example.org/code, without user, query or fragment")]
    Url,
    /// The mirror does not have it.
    #[error("it does not have it (status {0})")]
    Status(u16),
    /// It sends us elsewhere.
    #[error("it redirects to another host ({0}), which is not followed; name that host as a mirror")]
    Elsewhere(String),
    /// It sends us round.
    #[error("it redirects more than {REDIRECTS_MAX} times")]
    Redirects,
    /// It sends more than code may have.
    #[error("it sends more than {0} bytes")]
    TooLarge(u64),
    /// The bytes are others.
    #[error("it sends bytes with the hash {0}")]
    Damaged(Hash),
    /// Anything else, such as a timeout.
    #[error("{0}")]
    Http(String),
}

impl MirrorError {
    /// Whether another attempt may end better.
    const fn is_transient(&self) -> bool {
        match self {
            Self::Status(status) => *status >= 500 || *status == 429 || *status == 408,
            Self::Http(_) => true,
            Self::Url | Self::Elsewhere(_) | Self::Redirects | Self::TooLarge(_) | Self::Damaged(_) => false,
        }
    }
}

/// A list of mirrors.
#[derive(Debug)]
pub struct Mirrors {
    bases: Vec<String>,
    agent: Agent,
    limits: FetchLimits,
}

impl Mirrors {
    /// Takes the base URLs, in the order in which they are asked.
    ///
    /// # Errors
    /// [`MirrorError::Url`], with the text that is none.
    pub fn new<T: AsRef<str>>(bases: &[T], limits: FetchLimits) -> Result<Self, (String, MirrorError)> {
        for base in bases.iter().map(AsRef::as_ref) {
            check_base(base).ok_or_else(|| (base.to_owned(), MirrorError::Url))?;
        }
        let bases: Vec<String> = bases.iter().map(|base| base.as_ref().to_owned()).collect();
        let agent = Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(None)
            .timeout_connect(Some(limits.connect))
            .timeout_global(Some(limits.total))
            .max_response_header_size(16 << 10)
            .user_agent("coalmine")
            .build()
            .new_agent();
        Ok(Self { bases, agent, limits })
    }

    /// Asks one mirror once.
    fn ask(&self, base: &str, hash: &Hash, size_max: u64) -> Result<Vec<u8>, MirrorError> {
        let slash = if base.ends_with('/') || base.ends_with("sha256:") { "" } else { "/" };
        let mut url: Uri = format!("{base}{slash}{hash}").parse().map_err(|_| MirrorError::Url)?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.agent.get(&url).call().map_err(http)?;
            let status = response.status();
            if status.is_redirection() {
                let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
                url = follow(response.get_uri(), location.unwrap_or_default())?;
                continue;
            }
            if !status.is_success() {
                return Err(MirrorError::Status(status.as_u16()));
            }
            let mut body = response.into_body();
            if body.content_length().is_some_and(|len| len > size_max) {
                return Err(MirrorError::TooLarge(size_max));
            }
            let mut code = Vec::new();
            let reader = body.as_reader().take(size_max.saturating_add(1)).read_to_end(&mut code);
            let read = reader.map_err(|error| MirrorError::Http(error.to_string()))?;
            if u64::try_from(read).map_or(true, |read| read > size_max) {
                return Err(MirrorError::TooLarge(size_max));
            }
            let found = code_hash(&code);
            return if found == *hash { Ok(code) } else { Err(MirrorError::Damaged(found)) };
        }
        Err(MirrorError::Redirects)
    }
}

impl Source for Mirrors {
    fn fetch(&self, hash: &Hash, size_max: u64) -> Result<Vec<u8>, String> {
        if self.bases.is_empty() {
            return Err("no mirror is configured".to_owned());
        }
        let mut left: Vec<&String> = self.bases.iter().collect();
        let (mut said, mut pause) = (Vec::new(), self.limits.pause);
        for round in 0..self.limits.rounds.max(1) {
            if round > 0 && !left.is_empty() {
                thread::sleep(pause);
                pause = pause.saturating_mul(2);
            }
            let mut again = Vec::new();
            for base in left {
                match self.ask(base, hash, size_max) {
                    Ok(code) => return Ok(code),
                    Err(error) => {
                        said.push(format!("{base}: {error}"));
                        again.extend(error.is_transient().then_some(base));
                    }
                }
            }
            left = again;
        }
        said.dedup();
        Err(said.join("; "))
    }
}

fn http(error: ureq::Error) -> MirrorError {
    MirrorError::Http(error.to_string())
}

fn check_base(base: &str) -> Option<()> {
    let url: Uri = base.parse().ok()?;
    let authority = url.authority()?.as_str();
    let is_web = matches!(url.scheme_str(), Some("http" | "https"));
    let is_plain = url.query().is_none() && !base.contains('#') && !authority.contains('@');
    (is_web && is_plain && !authority.is_empty()).then_some(())
}

/// Where a redirect leads: to the same scheme, host and port, or nowhere.
fn follow(from: &Uri, location: &str) -> Result<Uri, MirrorError> {
    let elsewhere = || MirrorError::Elsewhere(location.chars().take(200).collect());
    let mut parts = from.clone().into_parts();
    if location.starts_with('/') && !location.starts_with("//") {
        parts.path_and_query = Some(location.parse().map_err(|_| elsewhere())?);
        return Uri::from_parts(parts).map_err(|_| elsewhere());
    }
    let to: Uri = location.parse().map_err(|_| elsewhere())?;
    if to.scheme() == from.scheme() && to.authority() == from.authority() { Ok(to) } else { Err(elsewhere()) }
}
