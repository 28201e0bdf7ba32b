//! What a run came to: the figures that a sweep compares.

use coalmine_core::{Decode, Event, Execution, Height, Key, Name, PluginVersion, State, Status};

use crate::history::Subject;

/// How often something happened, and when first and last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// The first height.
    pub first: Option<Height>,
    /// The last height.
    pub last: Option<Height>,
    /// How often.
    pub count: u64,
}

impl Times {
    fn add(&mut self, height: Height) {
        self.first.get_or_insert(height);
        self.last = Some(height);
        self.count = self.count.saturating_add(1);
    }
}

/// What a run came to, for one feature or plugin or for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rollbacks of features and deployments, whatever decided them.
    pub rolled_back: Times,
    /// Features enabled for everybody and versions promoted.
    pub fully_on: Times,
    /// The circuit breaker opened or became stricter.
    pub breaker_tripped: Times,
    /// Errors that users were served: those of the reports that the ledger accepted about features that were on, and
    /// about new versions while they were deployed.
    pub errors_served: u64,
}

impl Tally {
    /// Counts what an execution does, before it is applied to `state`.
    pub(crate) fn add(&mut self, subject: Option<&Subject>, state: &State, execution: &Execution) {
        let height = execution.height();
        let is_meant = |of: Subject| subject.is_none_or(|subject| *subject == of);
        for event in &execution.outcome().events {
            let subject = match (event.feature(), event.plugin()) {
                (Some(name), _) => Subject::Feature(*name),
                (None, Some(plugin)) => Subject::Plugin(*plugin),
                (None, None) => Subject::Ledger,
            };
            if matches!(event, Event::BreakerTripped { .. }) {
                self.breaker_tripped.add(height);
                continue;
            }
            if !is_meant(subject) {
                continue;
            }
            if matches!(event, Event::RolledBack { .. } | Event::DeploymentRolledBack { .. }) {
                self.rolled_back.add(height);
            } else if matches!(event, Event::StatusChanged { to: Status::Enabled, .. } | Event::Promoted { .. }) {
                self.fully_on.add(height);
            }
        }
        for (key, value) in execution.writes().iter() {
            let (Ok(key), Some(value)) = (Key::from_bytes(key), value) else { continue };
            let mut errors = None;
            if let Key::Metrics(name) = &key
                && is_meant(Subject::Feature(*name))
            {
                errors = feature_errors(state, name, value);
            }
            if let Key::PluginVersion { plugin, version } = &key
                && is_meant(Subject::Plugin(*plugin))
                && (state.deployment(plugin).is_some_and(|deployment| deployment.new.is_same(version))
                    || starts(execution, plugin, version))
            {
                errors = version_errors(state, plugin, value);
            }
            self.errors_served = self.errors_served.saturating_add(errors.unwrap_or_default());
        }
    }
}

/// Whether the block starts a deployment of a version.
fn starts(execution: &Execution, plugin: &Name, version: &coalmine_core::Version) -> bool {
    execution.outcome().events.iter().any(|event| {
        matches!(event, Event::Deployed { plugin: of, version: new, .. } if of == plugin && new.is_same(version))
    })
}

fn feature_errors(state: &State, name: &Name, value: &[u8]) -> Option<u64> {
    let after = coalmine_core::MetricsRecord::from_bytes(value).ok()?.metrics.failed_ops;
    let before = state.metrics(name).map_or(0, |metrics| metrics.failed_ops);
    Some(after.saturating_sub(before))
}

fn version_errors(state: &State, plugin: &Name, value: &[u8]) -> Option<u64> {
    let after = PluginVersion::from_bytes(value).ok()?;
    let before = state.plugin_version(plugin, &after.version).map_or(0, |record| record.counts.errors);
    Some(after.counts.errors.saturating_sub(before))
}
