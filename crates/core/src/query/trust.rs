//! Decoded reads of sequences, open rounds and scheduled changes of the rules.

use alloc::vec::Vec;
use core::num::NonZeroU64;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader};
use crate::fault::Fault;
use crate::key::{DueKind, Key, KeyRange};
use crate::query::features::global;
use crate::query::source::{Read, corrupt, list};
use crate::rounds::{Pool, PoolEntry};
use crate::rules::RuleSet;
use crate::schedule::{ScheduledRules, changes_of_rules};
use crate::values::{Address, Height};

/// What reporters have said in a round that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRound {
    /// The height of the block that closes the pool.
    pub due: Height,
    /// What it is about.
    pub pool: Pool,
    /// By reporter, in address order: never empty.
    pub entries: Vec<(Address, PoolEntry)>,
}

/// Returns the last sequence that a signer has used up; `None` before its first sequenced transaction.
///
/// # Errors
/// A fault.
pub fn sequence_of(source: &impl Read, address: &Address) -> Result<Option<NonZeroU64>, Fault> {
    let key = Key::Sequence(*address).to_bytes();
    let Some(value) = source.get(&key)? else { return Ok(None) };
    sequence(&value).map(Some).map_err(|cause| corrupt(&key, cause))
}

/// Decodes the record of a sequence.
pub(crate) fn sequence(value: &[u8]) -> Result<NonZeroU64, DecodeError> {
    let mut input = Reader::new(value);
    let sequence = input.nonzero_u64()?.ok_or(input.error(DecodeErrorKind::OutOfRange))?;
    input.finish()?;
    Ok(sequence)
}

/// Lists at most `limit` open rounds in the order in which they close, starting behind `after`.
///
/// # Errors
/// A fault.
pub fn pools(source: &impl Read, after: Option<(Height, &Pool)>, limit: usize) -> Result<Vec<OpenRound>, Fault> {
    let after = after.map(|(at, pool)| Key::Round { at, pool: pool.clone() });
    let range = KeyRange::due(DueKind::Round).after(after);
    let mut rounds = list(source, &range, limit, |key, _| {
        let Key::Round { at, pool } = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok(OpenRound { due: at, pool, entries: Vec::new() })
    })?;
    for OpenRound { pool, entries, .. } in &mut rounds {
        *entries = list(source, &KeyRange::pool(pool), Pool::REPORTERS_MAX, |key, value| {
            let Key::PoolEntry { reporter, .. } = key else {
                return Err(DecodeError::whole(DecodeErrorKind::Mismatch));
            };
            Ok((reporter, PoolEntry::from_bytes(pool.kind(), value)?))
        })?;
    }
    Ok(rounds)
}

/// Lists the changes of the rules that are scheduled, in the order of their blocks: an early warning for whoever has to
/// install a newer build in time. Reads the whole schedule.
///
/// # Errors
/// A fault.
pub fn scheduled_rules(source: &impl Read) -> Result<Vec<ScheduledRules>, Fault> {
    let rules = global(source)?.map_or(RuleSet::LATEST, |global| global.rules);
    let changes = list(source, &KeyRange::due(DueKind::Schedule), usize::MAX, |key, value| {
        let Key::Schedule { at, id } = key else { return Err(DecodeError::whole(DecodeErrorKind::Mismatch)) };
        Ok(changes_of_rules(rules, at, id, &Decode::from_bytes(value)?))
    })?;
    Ok(changes.into_iter().flatten().collect())
}
