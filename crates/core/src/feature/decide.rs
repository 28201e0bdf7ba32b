//! Is a feature on for a user? One evaluation for the decoded state, a store and a bundle of proofs.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use crate::bucket::{bucket_first_byte, bucket_sha256};
use crate::feature::record::{Bucketing, Feature, Policy, Status};
use crate::values::{Address, Bps, ChainId, Name, Percent};

/// How far a feature is on, and how the users that it is on for are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// The feature's status.
    pub status: Status,
    /// Percentage of users that the feature is on for.
    pub percent: Percent,
    /// How users are mapped to buckets.
    pub bucketing: Bucketing,
    /// Part of the bucket hash.
    pub salt: u64,
}

impl Exposure {
    /// That of a feature with a policy, stored or default.
    #[must_use]
    pub const fn of(feature: &Feature, policy: &Policy) -> Self {
        let (Feature { status, rollout_percent, .. }, Policy { bucketing, salt, .. }) = (feature, policy);
        Self { status: *status, percent: *rollout_percent, bucketing: *bucketing, salt: *salt }
    }
}

/// What the answer depends on: a feature's exposure and prerequisites, and the user's override.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// How far the feature is on.
    pub exposure: Exposure,
    /// The features that must be on for the user, too.
    pub prerequisites: Cow<'a, [Name]>,
    /// The user's override, if there is one.
    pub user: Option<bool>,
}

/// A source of facts: decoded state, store or bundle of proofs.
pub trait Lookup {
    /// Why the source may fail to answer.
    type Error;

    /// The id of the ledger, part of every bucket hash.
    ///
    /// # Errors
    /// If the source cannot answer.
    fn chain(&self) -> Result<ChainId, Self::Error>;

    /// The facts of a feature and a user; `None` if there is no such feature.
    ///
    /// # Errors
    /// If the source cannot answer.
    fn facts(&self, name: &Name, user: &Address) -> Result<Option<Facts<'_>>, Self::Error>;
}

/// Why a feature is on or off for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no such feature.
    Unknown,
    /// The status decided alone: Enabled is on, Disabled and RolledBack are off, for everybody.
    Status(Status),
    /// The user has an override.
    Override,
    /// The user's bucket decided: on if it is below the share of the feature.
    Bucket {
        /// The bucket of the user in this feature.
        bucket: Bps,
        /// The feature's percentage in basis points.
        share: Bps,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such feature"),
            Self::Status(status) => write!(f, "it is {status}"),
            Self::Override => f.write_str("the user has an override"),
            Self::Bucket { bucket, share } => write!(f, "bucket {bucket} against a share of {share}"),
        }
    }
}

/// The answer, which feature decided it, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the feature is on for the user.
    pub on: bool,
    /// The feature in question, or the prerequisite that is off.
    pub decided_by: Name,
    /// The reason at that feature.
    pub why: Why,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { on, decided_by, why } = self;
        write!(f, "{}, decided by {decided_by}: {why}", if *on { "on" } else { "off" })
    }
}

/// Evaluates whether the feature `name` is on for `user`.
///
/// It is off if its status is off for everybody, or else if any prerequisite, direct or indirect, is off for
/// this user. Otherwise the user's override decides, or else the status or the bucket.
///
/// # Errors
/// If the source cannot answer.
pub fn decide<L: Lookup>(source: &L, name: &Name, user: &Address) -> Result<Verdict, L::Error> {
    match source.facts(name, user)? {
        None => Ok(Verdict { on: false, decided_by: *name, why: Why::Unknown }),
        Some(facts) => decide_from(source, name, &facts, user),
    }
}

/// Evaluates a feature whose facts are already at hand.
pub(crate) fn decide_from<L: Lookup>(
    source: &L,
    name: &Name,
    facts: &Facts<'_>,
    user: &Address,
) -> Result<Verdict, L::Error> {
    // A feature is on exactly if it and all its direct and indirect prerequisites are on when each is taken alone.
    // So evaluating each of them once is enough; the order only determines which one the verdict names.
    if facts.exposure.status.is_on() && !facts.prerequisites.is_empty() {
        let mut seen = BTreeSet::new();
        let mut open: Vec<Name> = facts.prerequisites.iter().rev().copied().collect();
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                continue;
            }
            let Some(facts) = source.facts(&next, user)? else {
                return Ok(Verdict { on: false, decided_by: next, why: Why::Unknown });
            };
            let (on, why) = alone_from(source, &next, &facts, user)?;
            if !on {
                return Ok(Verdict { on, decided_by: next, why });
            }
            open.extend(facts.prerequisites.iter().rev());
        }
    }
    let (on, why) = alone_from(source, name, facts, user)?;
    Ok(Verdict { on, decided_by: *name, why })
}

/// Evaluates a feature without its prerequisites.
fn alone_from<L: Lookup>(source: &L, name: &Name, facts: &Facts<'_>, user: &Address) -> Result<(bool, Why), L::Error> {
    let salt = facts.exposure.salt;
    alone(&facts.exposure, facts.user, user, || Ok(bucket_sha256(&source.chain()?, name, salt, user)))
}

/// The same for a user who has the override `switched` or none. The bucket by SHA-256 is only asked for where it
/// decides.
#[inline]
pub(crate) fn alone<E>(
    exposure: &Exposure,
    switched: Option<bool>,
    user: &Address,
    bucket_sha256: impl FnOnce() -> Result<Bps, E>,
) -> Result<(bool, Why), E> {
    let Exposure { status, percent, bucketing, salt: _ } = *exposure;
    Ok(match (status, switched) {
        (Status::Disabled | Status::RolledBack, _) => (false, Why::Status(status)),
        (Status::Canary | Status::RollingOut | Status::Enabled, Some(enabled)) => (enabled, Why::Override),
        (Status::Enabled, None) => (true, Why::Status(status)),
        (Status::Canary | Status::RollingOut, None) => {
            let bucket = match bucketing {
                Bucketing::FirstByte => bucket_first_byte(user),
                Bucketing::Sha256 => bucket_sha256()?,
            };
            let share = percent.bps();
            (bucket < share, Why::Bucket { bucket, share })
        }
    })
}
