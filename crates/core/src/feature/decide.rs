//! Is a feature on for a user? One evaluation for the decoded state, a store and a bundle of proofs.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::bucket::{BucketPrefix, bucket_first_byte, bucket_sha256};
use crate::feature::record::{Bucketing, Policy, Status};
use crate::values::{Address, Bps, ChainId, Name, Percent};

/// What of a feature decides for whom it is on.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Where it stands in its lifecycle.
    pub status: Status,
    /// The percent of users for whom it is on.
    pub percent: Percent,
    /// Its policy, or the default one.
    pub policy: Cow<'a, Policy>,
    /// The user's own switch.
    pub user: Option<bool>,
    /// What the source has hashed already for buckets of this feature.
    pub(crate) prefix: Option<&'a BucketPrefix>,
}

/// Where the evaluation looks things up.
pub trait Lookup {
    /// What can go wrong.
    type Error;

    /// The id of the ledger.
    ///
    /// # Errors
    /// When the source cannot answer.
    fn chain(&self) -> Result<ChainId, Self::Error>;

    /// The facts of a feature and a user, none if there is no such feature.
    ///
    /// # Errors
    /// When the source cannot answer.
    fn facts(&self, name: &Name, user: &Address) -> Result<Option<Facts<'_>>, Self::Error>;
}

/// Why a feature is on or off for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no such feature.
    Unknown,
    /// Enabled is on for everybody, Disabled and RolledBack are off for everybody.
    Status(Status),
    /// The user has a switch of their own.
    Override,
    /// The bucket of the user against the share of the feature: on below it.
    Bucket {
        /// The bucket.
        bucket: Bps,
        /// The share.
        share: Bps,
    },
}

/// The answer, which feature decided it, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// On or off.
    pub on: bool,
    /// The feature asked for, or the prerequisite that is off.
    pub decided_by: Name,
    /// Why.
    pub why: Why,
}

/// Evaluates whether `name` is on for `user`.
///
/// Off if the feature is off for everybody; else off if a prerequisite is off for this user, each
/// evaluated once; else the user's own switch, the status, or the bucket.
///
/// # Errors
/// When the source cannot answer.
pub fn decide<L: Lookup>(source: &L, name: &Name, user: &Address) -> Result<Verdict, L::Error> {
    match source.facts(name, user)? {
        None => Ok(Verdict { on: false, decided_by: *name, why: Why::Unknown }),
        Some(facts) => decide_from(source, name, &facts, user),
    }
}

/// The same for a feature whose facts have been looked up.
pub(crate) fn decide_from<L: Lookup>(
    source: &L,
    name: &Name,
    facts: &Facts<'_>,
    user: &Address,
) -> Result<Verdict, L::Error> {
    // A feature is on exactly if it and everything that it rests on are on by themselves, so it is
    // enough to evaluate each of them once; the order decides only which one is named.
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

/// Whether a feature is on for a user, its prerequisites left aside.
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
