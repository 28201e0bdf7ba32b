//! Decoded reads of features and the ledger.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode};
use crate::fault::Fault;
use crate::feature::decide::{Exposure, Facts, Lookup, Verdict, decide};
use crate::feature::lifecycle::{Progress, automatic_step_due};
use crate::feature::record::{Change, Feature, Metrics, MetricsRecord, Override, Policy, Status};
use crate::key::{DueKind, Key, KeyPrefix, KeyRange};
use crate::ledger::Global;
use crate::query::source::{Read, corrupt, last, list, record};
use crate::schedule::Scheduled;
use crate::values::{Address, ChainId, Height, Name, Percent, Roles};

/// One entry of the history of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The height of the change.
    pub height: Height,
    /// The index of the change within its block, from 0.
    pub seq: u32,
    /// The change.
    pub change: Change,
}

/// Returns a feature; `None` if it does not exist.
///
/// # Errors
/// A fault, as for all functions of this module.
pub fn feature(source: &impl Read, name: &Name) -> Result<Option<Feature>, Fault> {
    let key = Key::Feature(*name);
    let Some(feature) = record::<Feature>(source, &key)? else { return Ok(None) };
    same_name(&key, &feature.name, name)?;
    Ok(Some(feature))
}

/// Returns the metrics of a feature.
///
/// # Errors
/// A fault.
pub fn metrics(source: &impl Read, name: &Name) -> Result<Option<Metrics>, Fault> {
    let key = Key::Metrics(*name);
    let Some(record) = record::<MetricsRecord>(source, &key)? else { return Ok(None) };
    same_name(&key, &record.name, name)?;
    Ok(Some(record.metrics))
}

/// A record that repeats its name must have that of its key.
fn same_name(key: &Key, inner: &Name, name: &Name) -> Result<(), Fault> {
    if inner == name { Ok(()) } else { Err(corrupt(&key.to_bytes(), DecodeError::whole(DecodeErrorKind::Mismatch))) }
}

/// Returns the policy of a feature; the default policy if none is stored.
///
/// # Errors
/// A fault.
pub fn policy(source: &impl Read, name: &Name) -> Result<Policy, Fault> {
    Ok(record(source, &Key::Policy(*name))?.unwrap_or_default())
}

/// Returns the override of a user.
///
/// # Errors
/// A fault.
pub fn override_of(source: &impl Read, name: &Name, user: &Address) -> Result<Option<Override>, Fault> {
    record(source, &Key::Override { name: *name, user: *user })
}

/// Returns the global record; `None` for an empty store.
///
/// # Errors
/// A fault.
pub fn global(source: &impl Read) -> Result<Option<Global>, Fault> {
    record(source, &Key::Global)
}

/// Returns the roles of an address.
///
/// # Errors
/// A fault.
pub fn roles_of(source: &impl Read, address: &Address) -> Result<Roles, Fault> {
    Ok(record(source, &Key::Roles(*address))?.unwrap_or_default())
}

/// Lists at most `limit` features in name order, starting behind `after`.
///
/// # Errors
/// A fault.
pub fn features(source: &impl Read, after: Option<&Name>, limit: usize) -> Result<Vec<Feature>, Fault> {
    let range = KeyRange::all(KeyPrefix::Feature).after(after.map(|name| Key::Feature(*name)));
    list(source, &range, limit, |_, value| Feature::from_bytes(value))
}

/// Lists the names of at most `limit` features in Canary or RollingOut, starting behind `after`.
///
/// # Errors
/// A fault.
pub fn active(source: &impl Read, after: Option<&Name>, limit: usize) -> Result<Vec<Name>, Fault> {
    let range = KeyRange::all(KeyPrefix::Active).after(after.map(|name| Key::Active(*name)));
    list(source, &range, limit, |key, _| {
        let Key::Active(name) = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok(name)
    })
}

/// Lists at most `limit` overrides of a feature in address order, starting behind `after`.
///
/// # Errors
/// A fault.
pub fn overrides(
    source: &impl Read,
    name: &Name,
    after: Option<&Address>,
    limit: usize,
) -> Result<Vec<(Address, Override)>, Fault> {
    let range = KeyRange::overrides(name).after(after.map(|user| Key::Override { name: *name, user: *user }));
    list(source, &range, limit, |key, value| {
        let Key::Override { user, .. } = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok((user, Override::from_bytes(value)?))
    })
}

/// Lists at most `limit` addresses and their roles, starting behind `after`.
///
/// # Errors
/// A fault.
pub fn roles(source: &impl Read, after: Option<&Address>, limit: usize) -> Result<Vec<(Address, Roles)>, Fault> {
    let range = KeyRange::all(KeyPrefix::Roles).after(after.map(|address| Key::Roles(*address)));
    list(source, &range, limit, |key, value| {
        let Key::Roles(address) = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok((address, Roles::from_bytes(value)?))
    })
}

/// Lists at most `limit` scheduled entries in the order they run, starting behind `after`.
///
/// # Errors
/// A fault.
pub fn schedule(
    source: &impl Read,
    after: Option<(Height, u64)>,
    limit: usize,
) -> Result<Vec<(Height, u64, Scheduled)>, Fault> {
    let range = KeyRange::due(DueKind::Schedule).after(after.map(|(at, id)| Key::Schedule { at, id }));
    list(source, &range, limit, |key, value| {
        let Key::Schedule { at, id } = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok((at, id, Scheduled::from_bytes(value)?))
    })
}

/// Returns the height of the block that makes the next step of a feature, from its Due entry.
///
/// # Errors
/// A fault.
pub fn due(source: &impl Read, name: &Name) -> Result<Option<Height>, Fault> {
    let (Some(feature), policy) = (feature(source, name)?, policy(source, name)?) else { return Ok(None) };
    let Some(at) = automatic_step_due(&feature, &policy) else { return Ok(None) };
    let key = Key::Step { at, name: *name }.to_bytes();
    match source.get(&key)? {
        Some(_) => Ok(Some(at)),
        None => Err(corrupt(&key, DecodeError::whole(DecodeErrorKind::Mismatch))),
    }
}

/// Lists at most `limit` history entries of a feature, starting behind `after`.
///
/// # Errors
/// A fault.
pub fn history(
    source: &impl Read,
    name: &Name,
    after: Option<(Height, u32)>,
    limit: usize,
) -> Result<Vec<HistoryEntry>, Fault> {
    let range = KeyRange::history(name).after(after.map(|(height, seq)| Key::Change { name: *name, height, seq }));
    list(source, &range, limit, |key, value| {
        let Key::Change { height, seq, .. } = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok(HistoryEntry { height, seq, change: Change::from_bytes(value)? })
    })
}

/// Returns status and percentage of a feature at the end of block `height`; `None` before its creation.
///
/// One seek: O(log n) in the length of the history.
///
/// # Errors
/// A fault.
pub fn feature_at(source: &impl Read, name: &Name, height: Height) -> Result<Option<(Status, Percent)>, Fault> {
    let entry = last_change(source, name, height)?;
    Ok(entry.map(|HistoryEntry { change, .. }| (change.status, change.percent)))
}

/// Returns the last history entry of a feature at the end of block `height`, by one seek; `None` before its creation.
///
/// # Errors
/// A fault.
pub fn last_change(source: &impl Read, name: &Name, height: Height) -> Result<Option<HistoryEntry>, Fault> {
    let mut end = Key::Change { name: *name, height, seq: u32::MAX }.to_bytes();
    end.push(0);
    let range = KeyRange { end, ..KeyRange::history(name) };
    last(source, &range, |key, value| {
        let Key::Change { height, seq, .. } = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok(HistoryEntry { height, seq, change: Change::from_bytes(value)? })
    })
}

/// Returns the progress of a rollout after block `height`, that of the records; `None` for an unknown feature.
///
/// # Errors
/// A fault.
pub fn progress(source: &impl Read, name: &Name, height: Height) -> Result<Option<Progress>, Fault> {
    let (Some(feature), Some(metrics)) = (feature(source, name)?, metrics(source, name)?) else { return Ok(None) };
    Ok(Some(Progress::of(&feature, &metrics, &policy(source, name)?, height)))
}

/// Tells whether a feature is on for a user, and why.
///
/// # Errors
/// A fault.
pub fn check(source: &impl Read, name: &Name, user: &Address) -> Result<Verdict, Fault> {
    decide(&Records(source), name, user)
}

/// Adapts records by key to a source of facts.
struct Records<'s, R>(&'s R);

impl<R: Read> Lookup for Records<'_, R> {
    type Error = Fault;

    fn chain(&self) -> Result<ChainId, Fault> {
        let missing = || corrupt(&Key::Global.to_bytes(), DecodeError::whole(DecodeErrorKind::Mismatch));
        global(self.0)?.map(|global| global.chain).ok_or_else(missing)
    }

    fn facts(&self, name: &Name, user: &Address) -> Result<Option<Facts<'_>>, Fault> {
        let Some(feature) = feature(self.0, name)? else { return Ok(None) };
        let policy = policy(self.0, name)?;
        Ok(Some(Facts {
            exposure: Exposure::of(&feature, &policy),
            prerequisites: Cow::Owned(policy.prerequisites),
            user: override_of(self.0, name, user)?.map(|record| record.enabled),
        }))
    }
}
