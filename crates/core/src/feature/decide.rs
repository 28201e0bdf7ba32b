//! Is a feature on for a user? One evaluation for the decoded state, a store and a bundle of proofs.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use crate::bucket::{BucketPrefix, bucket_first_byte, bucket_sha256};
use crate::feature::record::{Bucketing, Policy, Status};
use crate::values::{Address, Bps, ChainId, Name, Percent};

/// What the answer depends on: a feature's status, percentage and policy, and the user's override.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The feature's status.
    pub status: Status,
    /// Percentage of users that the feature is on for.
    pub percent: Percent,
    /// The stored policy, or the default one.
    pub policy: Cow<'a, Policy>,
    /// The user's override, if there is one.
    pub user: Option<bool>,
    /// The bucket prefix of the feature, if the source keeps it: it saves work and changes no answer.
    pub(crate) prefix: Option<&'a BucketPrefix>,
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
    if facts.status.is_on() && !facts.policy.prerequisites.is_empty() {
        let mut seen = BTreeSet::new();
        let mut open: Vec<Name> = facts.policy.prerequisites.iter().rev().copied().collect();
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                continue;
            }
            let Some(facts) = source.facts(&next, user)? else {
                return Ok(Verdict { on: false, decided_by: next, why: Why::Unknown });
            };
            let verdict = alone(source, &next, &facts, user)?;
            if !verdict.on {
                return Ok(verdict);
            }
            open.extend(facts.policy.prerequisites.iter().rev());
        }
    }
    alone(source, name, facts, user)
}

/// Evaluates a feature without its prerequisites.
fn alone<L: Lookup>(source: &L, name: &Name, facts: &Facts<'_>, user: &Address) -> Result<Verdict, L::Error> {
    let verdict = |on, why| Ok(Verdict { on, decided_by: *name, why });
    match (facts.status, facts.user) {
        (Status::Disabled | Status::RolledBack, _) => verdict(false, Why::Status(facts.status)),
        (Status::Canary | Status::RollingOut | Status::Enabled, Some(enabled)) => verdict(enabled, Why::Override),
        (Status::Enabled, None) => verdict(true, Why::Status(facts.status)),
        (Status::Canary | Status::RollingOut, None) => {
            let bucket = match (facts.policy.bucketing, facts.prefix) {
                (Bucketing::FirstByte, _) => bucket_first_byte(user),
                (Bucketing::Sha256, Some(prefix)) => prefix.bucket(&user.0),
                (Bucketing::Sha256, None) => bucket_sha256(&source.chain()?, name, facts.policy.salt, user),
            };
            let share = facts.percent.bps();
            verdict(bucket < share, Why::Bucket { bucket, share })
        }
    }
}
