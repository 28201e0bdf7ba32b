//! The box "is it on for …?": the node's answer, which the page's script then verifies by its proof.

use askama::Template;
use coalmine_auth::address_of_targeting_key;
use coalmine_chart::{number, rate};
use coalmine_core::{Address, Hash, Name, Why};

use crate::dashboard::page::{Frame, write};
use crate::dashboard::view::{Failure, Query, View};
use crate::dashboard::words::{feature_badge, feature_href};

/// The longest targeting key.
const KEY_MAX: usize = 256;
/// How many features the list of the box offers.
const OFFERED_MAX: usize = 200;

/// The answer of this node.
struct Answer {
    feature: String,
    href: String,
    user: Address,
    /// The targeting key that the address stands for; empty if an address was given.
    key: String,
    is_on: bool,
    why: String,
    height: String,
    root: Hash,
}

#[derive(Template)]
#[template(path = "check.html")]
struct CheckPage {
    frame: Frame,
    offered: Vec<String>,
    /// What was asked, as it was typed.
    feature: String,
    user: String,
    root: String,
    /// Why there is no answer.
    problem: Option<(&'static str, String)>,
    answer: Option<Answer>,
}

/// The page.
pub(super) fn page(view: &View<'_>, query: &Query) -> Result<String, Failure> {
    let state = view.state();
    let typed = |name: &str| query.text(name).unwrap_or_default().to_owned();
    let (feature, user, root) = (typed("feature"), typed("user"), typed("root"));
    let (answer, problem) = match ask(view, &feature, &user, &root) {
        Ok(answer) => (answer, None),
        Err(problem) => (None, Some(problem)),
    };
    let frame = Frame { is_live: false, ..Frame::new(view, "/check") };
    let offered = state.features().take(OFFERED_MAX).map(|feature| feature.name.to_string()).collect();
    write(&CheckPage { frame, offered, feature, user, root, problem, answer })
}

/// The answer, or the field that cannot be used and why. Nothing was asked if both fields are empty.
fn ask(view: &View<'_>, feature: &str, user: &str, root: &str) -> Result<Option<Answer>, (&'static str, String)> {
    if feature.is_empty() && user.is_empty() {
        return Ok(None);
    }
    let state = view.state();
    let known = || state.features().map(|feature| &feature.name);
    let missing = || ("feature", Failure::missing("feature", feature, known()));
    let words = |(field, failure): (&'static str, Failure)| {
        let Failure::Missing { nearest: Some(nearest), .. } = &failure else { return (field, failure.to_string()) };
        (field, format!("{failure} Did you mean {nearest}?"))
    };
    let name: Name = feature.parse().map_err(|_| words(missing()))?;
    let record = state.feature(&name).ok_or_else(|| words(missing()))?;
    if user.is_empty() {
        return Err(("user", "Say for whom: an address, or a targeting key.".into()));
    }
    if user.len() > KEY_MAX {
        return Err(("user", format!("A targeting key has at most {KEY_MAX} bytes.")));
    }
    let parsed: Option<Address> = user.parse().ok();
    // As a targeting key it would stand for somebody, but hardly for whom was meant.
    if parsed.is_none() && user.starts_with("0x") {
        return Err(("user", format!("{user:?} is no address, which is 0x and 40 hex digits.")));
    }
    let key = if parsed.is_some() { String::new() } else { user.to_owned() };
    let address = parsed.unwrap_or_else(|| address_of_targeting_key(user));
    if !root.is_empty() && root.parse::<Hash>().is_err() {
        return Err(("root", format!("{root:?} is no root, which is 64 hex digits.")));
    }
    let verdict = state.check(&name, &address);
    let by = if verdict.decided_by == name {
        "It".to_owned()
    } else {
        format!("{}, on which it rests,", verdict.decided_by)
    };
    let status = |status| feature_badge(status).words;
    let why = match verdict.why {
        Why::Unknown => format!("{by} does not exist."),
        Why::Status(of) => format!("{by} is {} for everybody.", status(of)),
        Why::Override => format!("{by} has an override for this user."),
        Why::Bucket { bucket, share } => {
            let (bucket, share) = (bucket.get(), share.get());
            let side = if bucket < share { "below" } else { "not below" };
            let status = state.feature(&verdict.decided_by).map_or(record.status, |feature| feature.status);
            format!(
                "{by} is {}: this user's bucket is {} of 10\u{a0}000, which is {side} the share of {}, {}.",
                feature_badge(status).words,
                number(bucket.into()),
                number(share.into()),
                rate(share.into()),
            )
        }
    };
    Ok(Some(Answer {
        feature: name.to_string(),
        href: feature_href(&name),
        user: address,
        key,
        is_on: verdict.on,
        why,
        height: number(view.height.into()),
        root: state.root(),
    }))
}
