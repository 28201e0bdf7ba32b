//! What would be, and what will be: a copy of the state is run forward.

use axum::body::Body;
use coalmine_answers as answers;
use coalmine_core::{Address, Block, BlockError, Height, Role, State};
use coalmine_foresight::{Calendar, Options, Preview, PreviewError, Users, preview as foresee, stale_features};
use coalmine_json::render::{Fields, Value};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::api::{Ask, Reply};
use crate::http::body;
use crate::http::params::PAGE_MAX;
use crate::http::problem::{Kind, Problem};

/// How many blocks a calendar may look ahead.
pub(super) const CALENDAR_MAX: u32 = 100_000;
/// How many blocks a calendar looks ahead unless somebody asks.
pub(super) const CALENDAR: u32 = 10_000;
/// The same for a preview.
pub(super) const PREVIEW_MAX: u32 = 10_000;
pub(super) const PREVIEW: u32 = 100;
/// How many derived addresses a preview may ask, and does unless somebody says.
pub(super) const SAMPLE_MAX: u32 = 10_000;
pub(super) const SAMPLE: u32 = 1_000;

fn at_most(blocks: u32, max: u32) -> Result<u32, Problem> {
    let why = || Problem::parameter("blocks", format!("it is at most {max}, not {blocks}"));
    if blocks > max { Err(why()) } else { Ok(blocks) }
}

fn broken(error: BlockError) -> Problem {
    Problem::fault(&error)
}

/// A state before the first block has no next one, and a state at a height that has passed is that of the last block.
fn objects(answers: impl Iterator<Item = answers::Answer>) -> Vec<Value> {
    answers.map(|answer| answer.object().into()).collect()
}

/// Answers `GET /v1/calendar`.
pub(super) async fn calendar(ask: Ask) -> Result<Reply, Problem> {
    let blocks = at_most(ask.params.get("blocks")?.unwrap_or(CALENDAR), CALENDAR_MAX)?;
    let limit = ask.params.limit()?;
    let run = move |state: &State, height: Option<Height>| -> Result<Fields, Problem> {
        // Heights that have passed without a block of their own are no part of what is to come.
        let tip = state.tip().unwrap_or_default();
        let passed = height.unwrap_or(tip).saturating_sub(tip);
        let mut calendar = Calendar::new(state, blocks.saturating_add(passed));
        let until = calendar.until();
        let mut items = Vec::new();
        let mut has_more = false;
        for upcoming in calendar.by_ref().skip_while(|one| one.as_ref().is_ok_and(|one| Some(one.height) <= height)) {
            if items.len() == limit {
                has_more = true;
                break;
            }
            items.push(answers::upcoming(&upcoming.map_err(broken)?).object().into());
        }
        let stale = objects(stale_features(state).take(PAGE_MAX).map(|(at, name)| answers::past_expiry(&name, at)));
        Ok(Fields::new()
            .with("height", height)
            .with("until", until)
            .with("stale", stale)
            .with("items", items)
            .with("has_more", has_more))
    };
    let run = move |state: &State, _: &crate::database::Snapshot<'_>, height| Ok((run(state, height)?, height));
    let (fields, height) = ask.api.forward(run).await?;
    Ok(Reply::fields(fields)?.at(height))
}

/// The body of `POST /v1/preview`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// A transaction as a block file has it, or a list of them.
    commands: Box<RawValue>,
    #[serde(default)]
    signer: Option<String>,
    #[serde(default)]
    users: Option<Vec<String>>,
    #[serde(default)]
    sample: Option<u32>,
    #[serde(default)]
    blocks: Option<u32>,
}

/// Answers `POST /v1/preview`.
pub(super) async fn preview(ask: Ask, request: Body) -> Result<Reply, Problem> {
    let Request { commands, signer, users, sample, blocks } = body::json(&ask.headers, request).await?;
    let address = |member: &str, text: &str| {
        text.parse::<Address>().map_err(|error| Problem::body(format!("{member}: {text:?}: {error}")))
    };
    let signer = signer.map(|text| address("signer", &text)).transpose()?;
    let users = match (users, sample) {
        (Some(_), Some(_)) => return Err(Problem::body("users or sample, not both")),
        (Some(users), None) if users.len() > PAGE_MAX => {
            let why = format!("users has {} entries and may have {PAGE_MAX}", users.len());
            return Err(Problem::new(Kind::TooLarge, why));
        }
        (Some(users), None) => {
            Users::List(users.iter().map(|text| address("users", text)).collect::<Result<_, Problem>>()?)
        }
        (None, sample) => {
            let sample = sample.unwrap_or(SAMPLE);
            if sample == 0 || sample > SAMPLE_MAX {
                return Err(Problem::body(format!("sample is 1 to {SAMPLE_MAX}, not {sample}")));
            }
            Users::Sample(sample)
        }
    };
    let options = Options { users, blocks: at_most(blocks.unwrap_or(PREVIEW), PREVIEW_MAX)? };
    let run = move |state: &State, records: &crate::database::Snapshot<'_>, height: Option<Height>| {
        let next = height.map_or(Some(0), |height| height.checked_add(1));
        let next = next.ok_or_else(|| Problem::body("there is no next height"))?;
        let admin = state.roles().find(|(_, roles)| roles.contains(Role::Admin)).map(|(address, _)| *address);
        let payloads = coalmine_json::read_transactions(commands.get(), signer.or(admin).as_ref());
        let payloads = payloads.map_err(|error| Problem::body(format!("commands: {error}")))?;
        let block =
            Block::from_payloads(next, payloads).map_err(|error| Problem::body(format!("commands: {error}")))?;
        let state = at_height(state, height)?;
        let foretold = foresee(&state, records, &block, &options).map_err(|error| match error {
            PreviewError::Block(error) => broken(error),
            PreviewError::Fault(fault) => fault.into(),
        })?;
        Ok((fields(&foretold), height))
    };
    let (fields, height) = ask.api.forward(run).await?;
    Ok(Reply::fields(fields)?.at(height))
}

/// The state at a height up to which nothing happens.
fn at_height(state: &State, height: Option<Height>) -> Result<std::borrow::Cow<'_, State>, Problem> {
    let mut state = std::borrow::Cow::Borrowed(state);
    while let Some(height) = height.filter(|height| state.tip() < Some(*height)) {
        let execution = state.advance(height).map_err(broken)?;
        state.to_mut().apply(execution).map_err(|error| Problem::fault(&error))?;
    }
    Ok(state)
}

fn fields(foretold: &Preview) -> Fields {
    let is_estimate = foretold.is_estimate;
    let receipts = (0_u64..).zip(&foretold.transactions).map(|(tx, preview)| answers::receipt(tx, preview));
    let events = answers::events(foretold).into_iter().map(|(event, is_due)| answers::event(event, is_due));
    let records = foretold
        .records
        .iter()
        .map(|record| answers::record_change(&record.key, record.before.as_deref(), record.after.as_deref()));
    let features = foretold.features.iter().map(|shift| answers::feature_shift(shift, is_estimate));
    let plugins = foretold.plugins.iter().map(|shift| answers::plugin_shift(shift, is_estimate));
    let upcoming = answers::upcoming_pairs(foretold).into_iter();
    Fields::new()
        .with("preview", answers::preview(foretold).object())
        .with("receipts", objects(receipts))
        .with("events", objects(events))
        .with("records", objects(records))
        .with("features", objects(features))
        .with("plugins", objects(plugins))
        .with(
            "upcoming",
            objects(upcoming.map(|(height, without, with)| answers::upcoming_pair(height, without, with))),
        )
}
