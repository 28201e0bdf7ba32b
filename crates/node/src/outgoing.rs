//! Requests that a node makes: to addresses of its configuration alone, through no proxy of the environment, and to
//! nowhere else, whatever is answered. What a secret is in an address is in no error.

use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Error, Timeout};

/// Why an address cannot be used. The address itself is not shown: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    /// The text is no URL.
    #[error("it is no URL like https://example.org/path, without user and fragment")]
    Url,
    /// What is sent can be read by whoever is between.
    #[error("http:// is for this machine only; use https://, or say allow_http = true if nobody can listen")]
    Plain,
}

/// Checks the URL of a receiver.
///
/// # Errors
/// [`AddressError`].
pub(crate) fn check_url(text: &str, allow_http: bool) -> Result<(), AddressError> {
    let url: Uri = text.parse().map_err(|_| AddressError::Url)?;
    let authority = url.authority().ok_or(AddressError::Url)?;
    if text.contains('#') || authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(AddressError::Url);
    }
    match url.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if allow_http || is_loopback(authority.host()) => Ok(()),
        Some("http") => Err(AddressError::Plain),
        Some(_) | None => Err(AddressError::Url),
    }
}

/// Whether a host is this machine, by its name alone.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A client for the addresses of a configuration.
///
/// # Errors
/// The system has no certificates to check others by.
pub(crate) fn client(total: Duration) -> Result<Agent, String> {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&system_certificates()?))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_global(Some(total))
        .max_response_header_size(16 << 10)
        .user_agent(concat!("coalmine/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(config.new_agent())
}

fn system_certificates() -> Result<Vec<Certificate<'static>>, String> {
    let loaded = rustls_native_certs::load_native_certs();
    // A machine that speaks with itself alone needs none; a server elsewhere is then refused.
    if loaded.certs.is_empty() && !loaded.errors.is_empty() {
        let said = loaded.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return Err(format!("the system's certificates cannot be read: {said}"));
    }
    Ok(loaded.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}

/// What went wrong with a request, without anything of its address.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is of a library, and grows")]
pub(crate) fn describe(error: &Error) -> String {
    match error {
        Error::Timeout(Timeout::Connect | Timeout::Resolve) => "it cannot be reached in time".into(),
        Error::Timeout(_) => "it did not answer in time".into(),
        Error::Io(error) => format!("the connection failed: {}", error.kind()),
        Error::HostNotFound => "its host is not found".into(),
        Error::ConnectionFailed => "it does not take connections".into(),
        Error::Tls(_) | Error::Rustls(_) => "TLS failed; is its certificate of a known authority?".into(),
        Error::BodyExceedsLimit(_) => "its answer is too long".into(),
        _ => "the answer is no HTTP".into(),
    }
}

/// The beginning of a body: what is behind `max` bytes is not read. `None` if there is more.
pub(crate) fn read_body(body: &mut ureq::Body, max: u64) -> Result<Option<Vec<u8>>, String> {
    let mut bytes = Vec::new();
    let read = body.as_reader().take(max.saturating_add(1)).read_to_end(&mut bytes);
    let read = read.map_err(|error| format!("the connection failed: {}", error.kind()))?;
    Ok((u64::try_from(read).unwrap_or(u64::MAX) <= max).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_web_addresses_without_secrets_in_the_open() {
        for (text, allow_http, expected) in [
            ("https://example.org", false, Ok(())),
            ("https://example.org:8443/a?b=c", false, Ok(())),
            ("http://127.0.0.1:1/x", false, Ok(())),
            ("http://[::1]:1/x", false, Ok(())),
            ("http://localhost/x", false, Ok(())),
            ("http://10.0.0.1/x", false, Err(AddressError::Plain)),
            ("http://10.0.0.1/x", true, Ok(())),
            ("http://localhost.example.org/", false, Err(AddressError::Plain)),
            ("http://127.0.0.1.example.org/", false, Err(AddressError::Plain)),
            ("https://user:secret@example.org", false, Err(AddressError::Url)),
            ("https://example.org/#x", false, Err(AddressError::Url)),
            ("ftp://example.org", true, Err(AddressError::Url)),
            ("file:///etc/passwd", true, Err(AddressError::Url)),
            ("example.org", true, Err(AddressError::Url)),
            ("/path", true, Err(AddressError::Url)),
            ("", true, Err(AddressError::Url)),
            ("https://", true, Err(AddressError::Url)),
        ] {
            assert_eq!(check_url(text, allow_http), expected, "{text}");
        }
    }
}
