//! What is counted about a version: for reports to the ledger, which take what they send, and for the node's metrics.

use std::sync::{Mutex, PoisonError};

use coalmine_core::{Command, Name, Valid, Version, VersionReport};

/// Which reports a count goes into: of the version, in one deployment or outside of any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MeterKey {
    pub(crate) plugin: Name,
    pub(crate) version: Version,
    /// The number of the deployment that was under way.
    pub(crate) deployment: Option<u32>,
}

/// Requests that were served, and what came of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Requests.
    pub requests: u64,
    /// Those of them that were errors of the version.
    pub errors: u64,
    /// The fuel that all of them took.
    pub fuel: u64,
}

/// Counts of one key that have not been reported yet.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Served>);

impl Meter {
    pub(crate) fn count(&self, is_error: bool, fuel: u64) {
        let mut served = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        served.requests = served.requests.saturating_add(1);
        served.errors = served.errors.saturating_add(u64::from(is_error));
        served.fuel = served.fuel.saturating_add(fuel);
    }

    /// The next report: all of the counts, or as much as one command holds. `None` if there is nothing to report.
    pub(crate) fn report(&self) -> Option<VersionReport> {
        let served = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = u32::try_from(served.requests).unwrap_or(u32::MAX);
        // Errors go first, so that the requests that are left are as many as theirs at least.
        let errors = u32::try_from(served.errors).unwrap_or(u32::MAX);
        (requests > 0).then_some(VersionReport { requests, errors, latency_total: served.fuel })
    }

    /// Takes back what has been reported.
    pub(crate) fn take(&self, report: &VersionReport) {
        let mut served = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        served.requests = served.requests.saturating_sub(report.requests.into());
        served.errors = served.errors.saturating_sub(report.errors.into());
        served.fuel = served.fuel.saturating_sub(report.latency_total);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).requests == 0
    }
}

/// The command of a report.
pub(crate) fn command(key: &MeterKey, report: VersionReport, deployment: Option<u32>) -> Option<Command> {
    let report = Valid::new(report).ok()?;
    Some(Command::ReportVersion { plugin: key.plugin, version: key.version.clone(), report, deployment })
}
