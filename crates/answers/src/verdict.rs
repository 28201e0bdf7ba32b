//! Is it on for this user, and which version serves this unit?

use std::fmt;

use coalmine_core::query::Routing;
use coalmine_core::{Address, Bps, Height, Name, State, Verdict, bucket_of_unit};
use coalmine_json::render::{self, Fields, Value};

use crate::answer::Answer;

/// Whether a feature is on for a user after the block at `height`, and why.
#[must_use]
pub fn verdict(name: &Name, user: &Address, verdict: &Verdict, height: Option<Height>) -> Answer {
    Answer::single("verdict", render::verdict(name, user, verdict).with("height", height))
}

/// Which version of a plugin serves a unit, from a decoded state; `None` if there is no such plugin.
#[must_use]
pub fn routing(state: &State, plugin: &Name, unit: &[u8]) -> Option<Routing> {
    let version = state.route(plugin, unit)?.clone();
    let bucket_and_share = state
        .deployment(plugin)
        .map(|deployment| (bucket_of_unit(&state.global().chain, plugin, deployment.salt, unit), deployment.share()));
    Some(Routing { version, bucket_and_share })
}

/// Which version of a plugin serves a unit after the block at `height`.
#[must_use]
pub fn route(plugin: &Name, unit: &[u8], routing: &Routing, height: Option<Height>) -> Answer {
    let (bucket, share) = routing.bucket_and_share.unzip();
    let rest = Fields::new()
        .with("unit", format!("0x{}", hex::encode(unit)))
        .text("version", &routing.version)
        .with("bucket", bucket.map(Bps::get))
        .with("share_bps", share.map(Bps::get))
        .with("height", height);
    Answer::new("route", Fields::new().text("plugin", plugin), rest)
}

/// That a unit is served by nothing: there is no such plugin.
#[must_use]
pub fn no_route(plugin: &Name, unit: &[u8], height: Option<Height>) -> Answer {
    let rest = Fields::new()
        .with("unit", format!("0x{}", hex::encode(unit)))
        .with("version", Value::None)
        .with("bucket", Value::None)
        .with("share_bps", Value::None)
        .with("height", height);
    Answer::new("route", Fields::new().text("plugin", plugin), rest)
}

/// Why a text is no unit.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitError(hex::FromHexError);

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for UnitError {}

/// The unit that a text stands for: 0x and hex digits are bytes, anything else is text.
///
/// # Errors
/// What follows 0x is no hex.
pub fn unit_from_text(text: &str) -> Result<Vec<u8>, UnitError> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).map_err(UnitError),
        None => Ok(text.into()),
    }
}
