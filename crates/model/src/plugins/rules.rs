//! What can be checked of a command on plugins without a state: its roles and its values.

use coalmine_core::Reject;
use semver::{BuildMetadata, Version, VersionReq};

use crate::plugins::deployment::plan;
use crate::raw::{PluginCommand, is_name};
use crate::{ADMIN, GUARDIAN, OPERATOR, REPORTER};

/// The roles that may send a command, besides Admin.
pub(crate) fn authority(command: &PluginCommand) -> u8 {
    match command {
        PluginCommand::RegisterVersion { .. }
        | PluginCommand::SetRule { .. }
        | PluginCommand::SetHostVersion { .. }
        | PluginCommand::SetRegistryParams { .. } => ADMIN,
        PluginCommand::Deploy { .. }
        | PluginCommand::Pause { .. }
        | PluginCommand::Resume { .. }
        | PluginCommand::Promote { .. }
        | PluginCommand::Revert { .. }
        | PluginCommand::RetireVersion { .. }
        | PluginCommand::Load { .. }
        | PluginCommand::Unload { .. } => OPERATOR,
        PluginCommand::RollbackDeployment { .. } => GUARDIAN | OPERATOR,
        PluginCommand::ReportVersion { .. }
        | PluginCommand::AttestHealth { .. }
        | PluginCommand::ReportLoad { .. }
        | PluginCommand::ReportUnload { .. } => REPORTER,
    }
}

/// Whether the command may be scheduled: all may but what reporters say.
pub(crate) fn is_schedulable(command: &PluginCommand) -> bool {
    authority(command) != REPORTER
}

/// Checks the values of a command in this order: names, version, constraints, plan, numbers.
pub(crate) fn limits(command: &PluginCommand) -> Result<(), Reject> {
    let check = |holds: bool, reject: Reject| if holds { Ok(()) } else { Err(reject) };
    let name = |bytes: &[u8]| check(is_name(bytes), Reject::InvalidName);
    let version = |bytes: &[u8]| check(parse_version(bytes).is_some(), Reject::InvalidVersion);
    let constraint = |bytes: &[u8]| check(parse_constraint(bytes).is_some(), Reject::InvalidConstraint);
    let optional = |bytes: &[u8]| if bytes.is_empty() { Ok(()) } else { constraint(bytes) };
    match command {
        PluginCommand::RegisterVersion { plugin, version: v, code_hash: _, host, requirements, config, metadata } => {
            name(plugin)?;
            requirements.iter().try_for_each(|(plugin, _)| name(plugin))?;
            metadata.iter().try_for_each(|(key, _)| name(key))?;
            version(v)?;
            optional(host)?;
            requirements.iter().try_for_each(|(_, text)| constraint(text))?;
            check(config.len() <= 4_096, Reject::LimitExceeded)
        }
        PluginCommand::Deploy { plugin, version: v, strategy, terms } => {
            name(plugin)?;
            version(v)?;
            plan(strategy, terms).map(|_| ())
        }
        PluginCommand::Pause { plugin }
        | PluginCommand::Resume { plugin }
        | PluginCommand::Promote { plugin }
        | PluginCommand::RollbackDeployment { plugin }
        | PluginCommand::Revert { plugin }
        | PluginCommand::Load { plugin }
        | PluginCommand::Unload { plugin, .. } => name(plugin),
        PluginCommand::RetireVersion { plugin, version: v }
        | PluginCommand::AttestHealth { plugin, version: v, .. }
        | PluginCommand::ReportLoad { plugin, version: v, .. }
        | PluginCommand::ReportUnload { plugin, version: v, .. } => {
            name(plugin)?;
            version(v)
        }
        PluginCommand::SetRule { plugin, constraint } => {
            name(plugin)?;
            optional(constraint)
        }
        PluginCommand::SetHostVersion { version: v } => version(v),
        PluginCommand::SetRegistryParams { max_versions, auto_load: _ } => {
            check(max_versions.is_none_or(|n| (3..=64).contains(&n)), Reject::InvalidParameter)
        }
        PluginCommand::ReportVersion { plugin, version: v, requests, errors, latency_total, deployment: _ } => {
            name(plugin)?;
            version(v)?;
            check(errors <= requests && (*requests != 0 || *latency_total == 0), Reject::InvalidParameter)
        }
    }
}

pub(crate) fn parse_version(bytes: &[u8]) -> Option<Version> {
    (bytes.len() <= 64).then_some(())?;
    Version::parse(std::str::from_utf8(bytes).ok()?).ok()
}

fn parse_constraint(bytes: &[u8]) -> Option<VersionReq> {
    (bytes.len() <= 128).then_some(())?;
    VersionReq::parse(std::str::from_utf8(bytes).ok()?).ok()
}

/// The version of a spelling that was checked, without build metadata.
pub(crate) fn without_build(bytes: &[u8]) -> Version {
    Version { build: BuildMetadata::EMPTY, ..parse_version(bytes).unwrap() }
}

/// Whether a version satisfies a constraint that was checked. An empty constraint allows all.
pub(crate) fn allows(constraint: &[u8], version: &Version) -> bool {
    constraint.is_empty() || parse_constraint(constraint).unwrap().matches(version)
}

pub(crate) fn event_version(version: &Version) -> coalmine_core::Version {
    coalmine_core::Version::new(version.to_string().as_bytes()).expect("the version was checked")
}
