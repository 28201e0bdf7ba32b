//! Compares what a file expects with the outcome of its blocks. Every difference is reported.

use std::fmt;

use coalmine_core::{
    DeploymentSummary, FeedBody, Height, MetricsRecord, Outcome, Roles, State, Version, VersionStatus, query,
};
use coalmine_json::blockfile::{
    BlockExpect, EntryExpect, EntryFacts, ExpectedField, FeedExpect, ItemExpect, OverrideExpect, PluginFacts,
    ScheduleExpect, StateExpect,
};
use coalmine_json::render::{self, Fields, Value};
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

impl Failure {
    /// The same as named values.
    pub(crate) fn fields(&self) -> Fields {
        Fields::new()
            .with("place", self.place.as_str())
            .with("block", self.block)
            .with("what", self.what.as_str())
            .with("expected", self.expected.as_str())
            .with("got", self.got.as_str())
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
            Some(feature) => compare_fields(&path, fields, feature, failures),
        }
    }
    for (name, fields) in expect.metrics.iter() {
        let path = format!("metrics.{name}");
        match state.metrics(&name) {
            None => failures.add(path, "a feature", "none"),
            Some(metrics) => {
                compare_fields(&path, fields, &MetricsRecord { name, metrics: *metrics }, failures);
            }
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
        compare_fields(&path, &expected.fields, &facts, failures);
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
    ledger_records(expect, state, failures);
    for (name, users) in expect.overrides.iter() {
        for OverrideExpect { user, fields } in users {
            let path = format!("overrides.{name}.{user}");
            match (fields, query::override_of(ledger.store(), &name, user)?) {
                (None, None) => {}
                (None, Some(found)) => failures.add(path, "none", if found.enabled { "on" } else { "off" }),
                (Some(_), None) => failures.add(path, "an override", "none"),
                (Some(fields), Some(found)) => compare_fields(&path, fields, &found, failures),
            }
        }
    }
    match &expect.schedule {
        None => Ok(()),
        Some(expected) => schedule(expected, ledger, failures),
    }
}

/// Compares the breaker, roles, parameters and the registry.
fn ledger_records(expect: &StateExpect, state: &State, failures: &mut Failures) {
    let global = state.global();
    match (&expect.breaker, &global.breaker) {
        (None, _) | (Some(None), None) => {}
        (Some(None), Some(_)) => failures.add("breaker".into(), "closed", "open"),
        (Some(Some(_)), None) => failures.add("breaker".into(), "open", "closed"),
        (Some(Some(fields)), Some(breaker)) => compare_fields("breaker", fields, breaker, failures),
    }
    for (address, expected) in &expect.roles {
        let shown = |roles: Roles| {
            let names: Vec<Value> = roles.iter().map(|role| Value::from(role.name())).collect();
            Value::List(names)
        };
        failures.compare(|| format!("roles.{address}"), shown(*expected), shown(state.roles_of(address)));
    }
    compare_fields("params", &expect.params, &global.params, failures);
    compare_fields("registry", &expect.registry, state.registry(), failures);
}

/// Compares the whole schedule.
fn schedule<S: Store>(expected: &ScheduleExpect, ledger: &Ledger<S>, failures: &mut Failures) -> Result<(), Error> {
    // One more than expected is enough to see that there are too many.
    let found = query::schedule(ledger.store(), None, expected.count.saturating_add(1))?;
    if found.len() > expected.count {
        failures.add("schedule".into(), Count(expected.count), "more");
    } else {
        failures.compare(|| "schedule".into(), Count(expected.count), Count(found.len()));
    }
    for (index, (EntryExpect { fields, commands }, (at, id, entry))) in expected.entries().zip(&found).enumerate() {
        let path = format!("schedule[{index}]");
        compare_fields(&path, &fields, &EntryFacts { at: *at, id: *id, actor: entry.actor }, failures);
        let Some(commands) = commands else { continue };
        let of_found = render::scheduled_commands(entry);
        failures.compare(|| format!("{path}.commands"), Count(commands.len()), Count(of_found.len()));
        for (at, (expected, found)) in commands.iter().zip(of_found).enumerate() {
            failures.compare(|| format!("{path}.commands[{at}]"), render::command(expected), found);
        }
    }
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

fn compare_fields<R>(path: &str, fields: &[ExpectedField<R>], record: &R, failures: &mut Failures) {
    for ExpectedField { field, value } in fields {
        failures.compare(|| format!("{path}.{}", field.key), value.clone(), (field.of)(record));
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
