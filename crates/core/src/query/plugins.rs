//! Decoded reads of plugins.

use alloc::vec::Vec;

use crate::bucket::bucket_of_unit;
use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode};
use crate::fault::Fault;
use crate::key::{Key, KeyPrefix, KeyRange};
use crate::plugin::deployment::Deployment;
use crate::plugin::record::{DEPENDENTS_MAX, MaxVersions, Plugin, PluginChange, PluginVersion, Registry};
use crate::plugin::version::Version;
use crate::query::source::{Read, corrupt, last, list, record};
use crate::values::{Bps, Height, Name};

const MISMATCH: DecodeError = DecodeError::whole(DecodeErrorKind::Mismatch);

/// Returns the settings shared by all plugins.
///
/// # Errors
/// A fault.
pub fn registry(source: &impl Read) -> Result<Registry, Fault> {
    Ok(record(source, &Key::Registry)?.unwrap_or_default())
}

/// Returns a plugin.
///
/// # Errors
/// A fault.
pub fn plugin(source: &impl Read, name: &Name) -> Result<Option<Plugin>, Fault> {
    record(source, &Key::Plugin(*name))
}

/// Lists at most `limit` plugins in name order, starting behind `after`.
///
/// # Errors
/// A fault.
pub fn plugins(source: &impl Read, after: Option<&Name>, limit: usize) -> Result<Vec<(Name, Plugin)>, Fault> {
    // The record of the registry sorts before that of the first plugin.
    let start = after.map_or(Key::Registry, |name| Key::Plugin(*name));
    list(source, &KeyRange::all(KeyPrefix::Plugin).after(Some(start)), limit, |key, value| {
        let Key::Plugin(name) = key else { return Err(MISMATCH) };
        Ok((name, Plugin::from_bytes(value)?))
    })
}

/// Lists the versions of a plugin by precedence.
///
/// # Errors
/// A fault.
pub fn plugin_versions(source: &impl Read, plugin: &Name) -> Result<Vec<PluginVersion>, Fault> {
    let limit = usize::from(MaxVersions::MAX.get());
    let mut versions = list(source, &KeyRange::versions(plugin), limit, |key, value| {
        let record = PluginVersion::from_bytes(value)?;
        let Key::PluginVersion { version, .. } = key else { return Err(MISMATCH) };
        if version == record.version.without_build() { Ok(record) } else { Err(MISMATCH) }
    })?;
    versions.sort_by(|a, b| a.version.cmp_precedence(&b.version));
    Ok(versions)
}

/// Returns the deployment of a plugin.
///
/// # Errors
/// A fault.
pub fn deployment(source: &impl Read, plugin: &Name) -> Result<Option<Deployment>, Fault> {
    record(source, &Key::Deployment(*plugin))
}

/// Lists the plugins that require a plugin or wait for it, in name order.
///
/// # Errors
/// A fault.
pub fn dependents(source: &impl Read, plugin: &Name) -> Result<Vec<Name>, Fault> {
    list(source, &KeyRange::dependents(plugin), DEPENDENTS_MAX, |key, _| {
        let Key::Dependent { dependent, .. } = key else { return Err(MISMATCH) };
        Ok(dependent)
    })
}

/// One entry of the history of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginHistoryEntry {
    /// The height of the change.
    pub height: Height,
    /// The index of the change within its block, from 0.
    pub seq: u32,
    /// The change.
    pub change: PluginChange,
}

/// Lists at most `limit` history entries of a plugin, starting behind `after`.
///
/// # Errors
/// A fault.
pub fn plugin_history(
    source: &impl Read,
    plugin: &Name,
    after: Option<(Height, u32)>,
    limit: usize,
) -> Result<Vec<PluginHistoryEntry>, Fault> {
    let after = after.map(|(height, seq)| Key::PluginChange { plugin: *plugin, height, seq });
    list(source, &KeyRange::plugin_history(plugin).after(after), limit, |key, value| {
        let Key::PluginChange { height, seq, .. } = key else { return Err(MISMATCH) };
        Ok(PluginHistoryEntry { height, seq, change: PluginChange::from_bytes(value)? })
    })
}

/// Returns the last history entry of a plugin at the end of block `height`, by one seek; `None` before its first version.
///
/// # Errors
/// A fault.
pub fn last_plugin_change(
    source: &impl Read,
    plugin: &Name,
    height: Height,
) -> Result<Option<PluginHistoryEntry>, Fault> {
    let mut end = Key::PluginChange { plugin: *plugin, height, seq: u32::MAX }.to_bytes();
    end.push(0);
    let range = KeyRange { end, ..KeyRange::plugin_history(plugin) };
    last(source, &range, |key, value| {
        let Key::PluginChange { height, seq, .. } = key else { return Err(MISMATCH) };
        Ok(PluginHistoryEntry { height, seq, change: PluginChange::from_bytes(value)? })
    })
}

/// Returns the version of a plugin that serves a unit; `None` for an unknown plugin.
///
/// # Errors
/// A fault.
pub fn route(source: &impl Read, name: &Name, unit: &[u8]) -> Result<Option<Version>, Fault> {
    Ok(routing(source, name, unit)?.map(|routing| routing.version))
}

/// Which version of a plugin serves a unit, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// The version that serves the unit.
    pub version: Version,
    /// The bucket of the unit and the share of the new version; none without a deployment.
    pub bucket_and_share: Option<(Bps, Bps)>,
}

/// The version of a plugin that serves a unit, and why; none without such a plugin.
///
/// # Errors
/// A fault.
pub fn routing(source: &impl Read, name: &Name, unit: &[u8]) -> Result<Option<Routing>, Fault> {
    let Some(plugin) = plugin(source, name)? else { return Ok(None) };
    let Some(deployment) = deployment(source, name)? else {
        return Ok(Some(Routing { version: plugin.current, bucket_and_share: None }));
    };
    let global = super::global(source)?.ok_or_else(|| corrupt(&Key::Global.to_bytes(), MISMATCH))?;
    let bucket = bucket_of_unit(&global.chain, name, deployment.salt, unit);
    let version = deployment.serves(bucket).clone();
    Ok(Some(Routing { version, bucket_and_share: Some((bucket, deployment.share())) }))
}
