//! What the ledger has: the same answers as of the tool's `show`, in pages.

use std::str::FromStr;

use coalmine_answers as answers;
use coalmine_chart::Subject;
use coalmine_chart::ledger::{FeatureSample, PluginSample, Sample};
use coalmine_core::{Address, Counts, FeedId, FeedKind, Height, Name, query};
use coalmine_foresight::nearest;
use coalmine_json::render::Fields;

use crate::database::Snapshot;
use crate::http::api::{Api, Ask, Reply};
use crate::http::params::{Pair, page};
use crate::http::problem::{Kind, Problem};

/// Answers with a page.
async fn paged(
    ask: Ask,
    read: impl FnOnce(&Ask, &Snapshot<'_>, Option<Height>, usize) -> Result<Fields, Problem> + Send + 'static,
) -> Result<Reply, Problem> {
    let limit = ask.params.limit()?;
    let api = ask.api.clone();
    let read = move |records: &Snapshot<'_>, height| Ok((read(&ask, records, height, limit)?, height));
    let (fields, height) = api.records(read).await?;
    Ok(Reply::fields(fields)?.at(height))
}

/// Answers with one object.
async fn single(
    ask: Ask,
    read: impl FnOnce(&Ask, &Snapshot<'_>, Option<Height>) -> Result<Fields, Problem> + Send + 'static,
) -> Result<Reply, Problem> {
    let api = ask.api.clone();
    let read = move |records: &Snapshot<'_>, height| Ok((read(&ask, records, height)?, height));
    let (fields, height) = api.records(read).await?;
    Ok(Reply::fields(fields)?.at(height))
}

/// The problem of a feature that is not there.
pub(super) fn no_feature(api: &Api, name: &Name) -> Problem {
    let near = api
        .node()
        .read(|state| nearest(name.as_str(), state.features().map(|feature| feature.name.as_str())).map(str::to_owned));
    Problem::new(Kind::Feature, missing("feature", name, near))
}

/// The problem of a plugin that is not there.
pub(super) fn no_plugin(api: &Api, name: &Name) -> Problem {
    let near = api
        .node()
        .read(|state| nearest(name.as_str(), state.plugins().map(|(name, _)| name.as_str())).map(str::to_owned));
    Problem::new(Kind::Plugin, missing("plugin", name, near))
}

fn missing(what: &str, name: &Name, near: Option<String>) -> String {
    let near = near.map_or_else(String::new, |near| format!("; the nearest is {near}"));
    format!("there is no {what} {name}{near}")
}

/// One entry more than a page has shows whether there is another page.
const fn more(limit: usize) -> usize {
    limit.saturating_add(1)
}

/// Answers `GET /v1/features`.
pub(super) async fn features(ask: Ask) -> Result<Reply, Problem> {
    paged(ask, |ask, records, height, limit| {
        let after: Option<Name> = ask.params.get("after")?;
        let found = query::features(records, after.as_ref(), more(limit))?;
        page(
            height,
            found,
            limit,
            |feature| feature.name.to_string(),
            |feature| Ok(answers::feature_standing(&feature.name, feature.status, feature.rollout_percent).object()),
        )
    })
    .await
}

/// Answers `GET /v1/features/{name}`.
pub(super) async fn feature(ask: Ask) -> Result<Reply, Problem> {
    single(ask, |ask, records, height| {
        let name = ask.name()?;
        Ok(answers::feature(records, &name, height)?.ok_or_else(|| no_feature(&ask.api, &name))?.object())
    })
    .await
}

/// Answers `GET /v1/features/{name}/metrics`.
pub(super) async fn metrics(ask: Ask) -> Result<Reply, Problem> {
    single(ask, |ask, records, _| {
        let name = ask.name()?;
        Ok(answers::metrics(records, &name)?.ok_or_else(|| no_feature(&ask.api, &name))?.object())
    })
    .await
}

/// Answers `GET /v1/features/{name}/history`.
pub(super) async fn feature_history(ask: Ask) -> Result<Reply, Problem> {
    paged(ask, |ask, records, height, limit| {
        let name = known_feature(ask, records)?;
        let after = ask.params.get::<Pair<u32>>("after")?.map(|Pair(height, seq)| (height, seq));
        let found = query::history(records, &name, after, more(limit))?;
        page(
            height,
            found,
            limit,
            |entry| format!("{}-{}", entry.height, entry.seq),
            |entry| Ok(answers::feature_change(entry).object()),
        )
    })
    .await
}

/// Answers `GET /v1/features/{name}/overrides`.
pub(super) async fn overrides(ask: Ask) -> Result<Reply, Problem> {
    paged(ask, |ask, records, height, limit| {
        let name = known_feature(ask, records)?;
        let after: Option<Address> = ask.params.get("after")?;
        let found = query::overrides(records, &name, after.as_ref(), more(limit))?;
        page(
            height,
            found,
            limit,
            |(user, _)| user.to_string(),
            |(user, record)| Ok(answers::override_of_user(user, record).object()),
        )
    })
    .await
}

/// Answers `GET /v1/plugins`.
pub(super) async fn plugins(ask: Ask) -> Result<Reply, Problem> {
    paged(ask, |ask, records, height, limit| {
        let after: Option<Name> = ask.params.get("after")?;
        let found = query::plugins(records, after.as_ref(), more(limit))?;
        page(
            height,
            found,
            limit,
            |(name, _)| name.to_string(),
            |(name, plugin)| {
                let deployment = query::deployment(records, name)?;
                Ok(answers::plugin_standing(name, plugin, deployment.as_ref()).object())
            },
        )
    })
    .await
}

/// Answers `GET /v1/plugins/{name}`.
pub(super) async fn plugin(ask: Ask) -> Result<Reply, Problem> {
    single(ask, |ask, records, _| {
        let name = ask.name()?;
        Ok(answers::plugin(records, &name)?.ok_or_else(|| no_plugin(&ask.api, &name))?.object())
    })
    .await
}

/// Answers `GET /v1/plugins/{name}/history`.
pub(super) async fn plugin_history(ask: Ask) -> Result<Reply, Problem> {
    paged(ask, |ask, records, height, limit| {
        let name = known_plugin(ask, records)?;
        let after = ask.params.get::<Pair<u32>>("after")?.map(|Pair(height, seq)| (height, seq));
        let found = query::plugin_history(records, &name, after, more(limit))?;
        page(
            height,
            found,
            limit,
            |entry| format!("{}-{}", entry.height, entry.seq),
            |entry| Ok(answers::plugin_change(entry).object()),
        )
    })
    .await
}

fn known_feature(ask: &Ask, records: &Snapshot<'_>) -> Result<Name, Problem> {
    let name = ask.name()?;
    query::feature(records, &name)?.map(|_| name).ok_or_else(|| no_feature(&ask.api, &name))
}

fn known_plugin(ask: &Ask, records: &Snapshot<'_>) -> Result<Name, Problem> {
    let name = ask.name()?;
    query::plugin(records, &name)?.map(|_| name).ok_or_else(|| no_plugin(&ask.api, &name))
}

/// Answers `GET /v1/features/{name}/samples`.
pub(super) async fn feature_samples(ask: Ask) -> Result<Reply, Problem> {
    samples(ask, Subject::Feature).await
}

/// Answers `GET /v1/plugins/{name}/samples`.
pub(super) async fn plugin_samples(ask: Ask) -> Result<Reply, Problem> {
    samples(ask, Subject::Plugin).await
}

async fn samples(ask: Ask, subject: Subject) -> Result<Reply, Problem> {
    let name = ask.name()?;
    let is_known = ask.api.node().read(|state| match subject {
        Subject::Feature => state.feature(&name).is_some(),
        Subject::Plugin => state.plugin(&name).is_some(),
    });
    if !is_known {
        return Err(match subject {
            Subject::Feature => no_feature(&ask.api, &name),
            Subject::Plugin => no_plugin(&ask.api, &name),
        });
    }
    let from = ask.params.get("from")?.unwrap_or(0);
    let to = ask.params.get("to")?.unwrap_or(Height::MAX);
    let limit = ask.params.limit()?;
    let read = move |node: &crate::node::Node| {
        let height = node.tip().height;
        let found = node.samples(subject, &name, from, to, more(limit))?;
        // The next page begins at a height: that of the first sample which is not in this one.
        let next = found.get(limit).map(|(height, _)| height.to_string());
        page(
            height,
            found,
            limit,
            |_| next.clone().unwrap_or_default(),
            |(height, sample)| {
                Ok(Fields::new().with("type", "sample").with("height", *height).and(sample_fields(sample)))
            },
        )
    };
    Reply::fields(ask.api.ask(read).await?)
}

fn sample_fields(sample: &Sample) -> Fields {
    match sample {
        Sample::Feature(FeatureSample { percent, is_on, errors, successes, window, max_error_rate, min_samples }) => {
            let window = window.map(|window| {
                Fields::new()
                    .with("start", window.start)
                    .with("blocks", window.blocks)
                    .with("errors", window.errors)
                    .with("successes", window.successes)
            });
            Fields::new()
                .with("percent", *percent)
                .with("is_on", *is_on)
                .with("errors", *errors)
                .with("successes", *successes)
                .with("max_error_rate", *max_error_rate)
                .with("min_samples", *min_samples)
                .with("window", window)
        }
        Sample::Plugin(sample) => {
            let deployment = sample.map(|sample| {
                let PluginSample {
                    share,
                    canary,
                    production,
                    stage_requests,
                    stage_errors,
                    error_threshold,
                    min_requests,
                } = sample;
                Fields::new()
                    .with("share_bps", share)
                    .with("canary", arm(&canary))
                    .with("production", arm(&production))
                    .with("stage_requests", stage_requests)
                    .with("stage_errors", stage_errors)
                    .with("error_threshold_bps", error_threshold)
                    .with("min_requests", min_requests)
            });
            Fields::new().with("deployment", deployment)
        }
    }
}

fn arm(counts: &Counts) -> Fields {
    Fields::new()
        .with("requests", counts.requests)
        .with("errors", counts.errors)
        .with("latency_sum", counts.latency_sum)
}

/// Answers `GET /v1/roles`.
pub(super) async fn roles(ask: Ask) -> Result<Reply, Problem> {
    paged(ask, |ask, records, height, limit| {
        let after: Option<Address> = ask.params.get("after")?;
        let found = query::roles(records, after.as_ref(), more(limit))?;
        page(
            height,
            found,
            limit,
            |(address, _)| address.to_string(),
            |(address, roles)| Ok(answers::role_holder(records, address, *roles)?.object()),
        )
    })
    .await
}

/// Answers `GET /v1/schedule`.
pub(super) async fn schedule(ask: Ask) -> Result<Reply, Problem> {
    paged(ask, |ask, records, height, limit| {
        let after = ask.params.get::<Pair<u64>>("after")?.map(|Pair(at, id)| (at, id));
        let found = query::schedule(records, after, more(limit))?;
        page(
            height,
            found,
            limit,
            |(at, id, _)| format!("{at}-{id}"),
            |(at, id, entry)| Ok(answers::scheduled(*at, *id, entry).object()),
        )
    })
    .await
}

/// Answers `GET /v1/global`.
pub(super) async fn global(ask: Ask) -> Result<Reply, Problem> {
    let (fields, height) = ask.api.state(|state, height| (answers::global(state.global()).object(), height));
    Ok(Reply::fields(fields)?.at(height))
}

/// An item of the feed behind which a page begins.
struct AfterItem(FeedKind, FeedId);

impl FromStr for AfterItem {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "take it from next of the page before, such as environment/ID";
        let (kind, id) = text.split_once('/').ok_or(wrong)?;
        Ok(Self(FeedKind::from_name(kind).ok_or(wrong)?, id.parse().map_err(|_| wrong)?))
    }
}

/// Answers `GET /v1/feed`: the totals, and a page of items, environments first.
pub(super) async fn feed(ask: Ask) -> Result<Reply, Problem> {
    paged(ask, |ask, records, height, limit| {
        let after: Option<AfterItem> = ask.params.get("after")?;
        let mut found = Vec::new();
        for kind in FeedKind::ALL {
            let behind = match &after {
                Some(AfterItem(of, _)) if kind < of => continue,
                Some(AfterItem(of, id)) if kind == of => Some(id),
                Some(_) | None => None,
            };
            let wanted = more(limit).saturating_sub(found.len());
            let items = query::feed_items(records, *kind, behind, wanted)?;
            found.extend(items.into_iter().map(|(id, item)| (*kind, id, item)));
        }
        let totals = answers::feed(&query::feed(records)?).object();
        let items = page(
            height,
            found,
            limit,
            |(kind, id, _)| format!("{kind}/{id}"),
            |(kind, id, item)| Ok(answers::feed_item(*kind, *id, item).object()),
        )?;
        Ok(Fields::new().with("feed", totals).and(items))
    })
    .await
}
