//! Compares what a file expects with the outcome of its blocks. Every difference is reported.

use std::fmt;

use coalmine_core::{DeploymentSummary, FeedBody, Height, Outcome, State, Version, VersionStatus, query};
use coalmine_json::blockfile::{BlockExpect, ExpectedField, FeedExpect, ItemExpect, PluginFacts, StateExpect};
use coalmine_store::{Ledger, Store};

use crate::error::Error;

/// An expectation that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The file, and the line in it.
    pub place: String,
    /// The block; `None` for the expectations at the end.
    pub block: Option<Height>,
    /// What was compared: `features.vita_recovery_v2.status`.
    pub what: String,
    /// The expected value.
    pub expected: String,
    /// The actual value.
    pub got: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, block, what, expected, got } = self;
        match block {
            Some(block) => write!(f, "{place}: block {block}: ")?,
            None => write!(f, "{place}: end: ")?,
        }
        write!(f, "{what}: expected {expected}, got {got}")
    }
}

/// The failures of one `expect`.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// The file, and the line in it.
    pub(crate) place: String,
    /// The block; `None` for the expectations at the end.
    pub(crate) block: Option<Height>,
    pub(crate) found: Vec<Failure>,
}

impl Failures {
    /// Adds a failure.
    pub(crate) fn add(&mut self, what: String, expected: impl ToString, got: impl ToString) {
        let (expected, got) = (expected.to_string(), got.to_string());
        self.found.push(Failure { place: self.place.clone(), block: self.block, what, expected, got });
    }

    /// Adds a failure if the two differ.
    pub(crate) fn compare<T: PartialEq + ToString>(&mut self, what: impl FnOnce() -> String, expected: T, got: T) {
        if expected != got {
            self.add(what(), expected, got);
        }
    }
}

/// Compares the receipts and events of a block.
pub(crate) fn outcome(expect: &BlockExpect, outcome: &Outcome, failures: &mut Failures) {
    if let Some(receipts) = &expect.receipts {
        failures.compare(|| "receipts".into(), Count(receipts.len()), Count(outcome.receipts.len()));
        for (index, (expected, got)) in receipts.iter().zip(&outcome.receipts).enumerate() {
            failures.compare(|| format!("receipts[{index}]"), expected.name(), got.name());
        }
    }
    if let Some(events) = &expect.events {
        failures.compare(|| "events".into(), Count(events.len()), Count(outcome.events.len()));
        for (index, (expected, got)) in events.iter().zip(&outcome.events).enumerate() {
            failures.compare(|| format!("events[{index}]"), expected.name(), got.code().name());
        }
    }
}

/// Compares the state at the end of a block.
pub(crate) fn state<S: Store>(expect: &StateExpect, ledger: &Ledger<S>, failures: &mut Failures) -> Result<(), Error> {
    let state = ledger.state();
    if let Some(root) = expect.root {
        failures.compare(|| "root".into(), root, state.root());
    }
    for (name, fields) in expect.features.iter() {
        let path = format!("features.{name}");
        match state.feature(&name) {
            None => failures.add(path, "a feature", "none"),
            Some(feature) => compare_fields(&path, fields, |of| of(&name, feature), failures),
        }
    }
    for (name, fields) in expect.metrics.iter() {
        let path = format!("metrics.{name}");
        match state.metrics(&name) {
            None => failures.add(path, "a feature", "none"),
            Some(metrics) => compare_fields(&path, fields, |of| of(&name, metrics), failures),
        }
    }
    for (name, expected) in expect.history.iter() {
        // One more than expected is enough to see that there are too many.
        let found = query::history(ledger.store(), &name, None, expected.len().saturating_add(1))?;
        let path = format!("history.{name}");
        if found.len() > expected.len() {
            failures.add(path.clone(), Count(expected.len()), "more");
        } else {
            failures.compare(|| path.clone(), Count(expected.len()), Count(found.len()));
        }
        for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
            let expected = format!("{} {} {} %", expected.height, expected.status, expected.percent);
            let found = format!("{} {} {} %", found.height, found.change.status, found.change.percent);
            failures.compare(|| format!("{path}[{index}]"), expected, found);
        }
    }
    for expected in &expect.enabled {
        let got = state.is_enabled(&expected.name, &expected.user);
        failures.compare(|| format!("enabled.{}.{}", expected.name, expected.user), expected.value, got);
    }
    for (name, expected) in expect.plugins.iter() {
        let path = format!("plugins.{name}");
        let Some(plugin) = state.plugin(&name).cloned() else {
            failures.add(path, "a plugin", "none");
            continue;
        };
        let facts = PluginFacts { plugin, standing: DeploymentSummary::of(state.deployment(&name)) };
        compare_fields(&path, &expected.fields, |of| of(&name, &facts), failures);
        for (version, status) in &expected.versions {
            let got = state.plugin_version(&name, version).map(|record| record.status);
            let shown = |status: Option<VersionStatus>| status.map_or("not registered", VersionStatus::name);
            failures.compare(|| format!("{path}.versions.{version}"), shown(*status), shown(got));
        }
    }
    for expected in &expect.routes {
        let got = state.route(&expected.plugin, &expected.unit);
        let shown =
            |version: Option<&Version>| version.map_or("null".into(), |version| version.without_build().to_string());
        let path = || format!("routes.{}.0x{}", expected.plugin, hex::encode(&expected.unit));
        failures.compare(path, shown(expected.version.as_ref()), shown(got));
    }
    expect.feed.iter().for_each(|expected| feed_item(expected, state, failures));
    Ok(())
}

fn feed_item(FeedExpect { kind, id, item }: &FeedExpect, state: &State, failures: &mut Failures) {
    let path = format!("feed.{kind}s.{id}");
    let found = id.parse().ok().and_then(|id| state.feed_item(*kind, &id));
    match (item.as_deref(), found) {
        (None, None) => {}
        (None, Some(found)) => failures.add(path, "no record", found.state.name()),
        (Some(_), None) => failures.add(path, "a record", "none"),
        (Some(ItemExpect { version, state, body }), Some(found)) => {
            if let Some(version) = version {
                failures.compare(|| format!("{path}.version"), *version, found.version);
            }
            if let Some(state) = state {
                failures.compare(|| format!("{path}.state"), *state, found.state.name());
            }
            if let Some(body) = body {
                let found = found.body().map(FeedBody::as_bytes).unwrap_or_default();
                failures.compare(|| format!("{path}.body"), hex::encode(body), hex::encode(found));
            }
        }
    }
}

type FieldOf<R> = fn(&coalmine_core::Name, &R) -> coalmine_json::blockfile::FieldValue;

fn compare_fields<R>(
    path: &str,
    fields: &[ExpectedField<R>],
    read: impl Fn(FieldOf<R>) -> coalmine_json::blockfile::FieldValue,
    failures: &mut Failures,
) {
    for ExpectedField { field, value } in fields {
        failures.compare(|| format!("{path}.{}", field.key), value.clone(), read(field.of));
    }
}

/// A number of entries, shown with its unit.
#[derive(PartialEq)]
struct Count(usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries", self.0)
    }
}
