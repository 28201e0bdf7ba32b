//! The records of a feature with their encodings, and the values that commands carry about one.
//!
//! Layouts are documented in FORMAT.md and pinned by `fixtures/vectors`.

use alloc::vec::Vec;
use core::num::{NonZeroU32, NonZeroU64};

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::reject::{Checked, Reject};
use crate::tags::tags;
use crate::valid::{Valid, Validate};
use crate::values::{Address, Bps, Description, Height, Name, Percent, ValueError};

tags! {
    /// Where a feature is in its lifecycle.
    Status {
        /// Off for everybody: never started, or turned off by disable.
        Disabled = 0, "disabled";
        /// On for a fixed percentage of users.
        Canary = 1, "canary";
        /// On for a percentage that grows by steps until it reaches the target.
        RollingOut = 2, "rolling_out";
        /// On for everybody who has no override to the contrary.
        Enabled = 3, "enabled";
        /// Off for everybody after a rollback.
        RolledBack = 4, "rolled_back";
    }
}

impl Status {
    /// Whether the feature may be on for anybody. If not, it satisfies no prerequisite and accepts no reports.
    #[must_use]
    pub const fn is_on(self) -> bool {
        match self {
            Self::Canary | Self::RollingOut | Self::Enabled => true,
            Self::Disabled | Self::RolledBack => false,
        }
    }

    /// Whether the feature is between off and fully on: those are in the active index, and the breaker drains them.
    #[must_use]
    pub const fn is_active(self) -> bool {
        match self {
            Self::Canary | Self::RollingOut => true,
            Self::Disabled | Self::Enabled | Self::RolledBack => false,
        }
    }
}

tags! {
    /// Why a feature was rolled back or the breaker tripped.
    Reason {
        /// No other reason was given; also the initial value of the field.
        Manual = 0, "manual";
        /// The error rate of the trial or window exceeded its limit.
        ErrorRate = 1, "error_rate";
        /// More invariant checks failed than the policy allows.
        InvariantViolation = 2, "invariant_violation";
        /// The circuit breaker drained it.
        CircuitBreaker = 3, "circuit_breaker";
        /// Nodes disagreed about a result.
        ConsensusFailure = 4, "consensus_failure";
        /// The average latency exceeded its limit.
        Performance = 5, "performance";
    }
}

tags! {
    /// What produced a history entry.
    Cause {
        /// By create_feature.
        Created = 0, "created";
        /// By start_canary.
        CanaryStarted = 1, "canary_started";
        /// By start_rollout.
        RolloutStarted = 2, "rollout_started";
        /// By a step, automatic or commanded, that stayed below the target.
        Stepped = 3, "stepped";
        /// By a step that reached the target.
        TargetReached = 4, "target_reached";
        /// By enable.
        Enabled = 5, "enabled";
        /// By disable.
        Disabled = 6, "disabled";
        /// By a rollback: a command, the guard, or the draining breaker.
        RolledBack = 7, "rolled_back";
        /// By pause_rollout.
        Paused = 8, "paused";
    }
}

tags! {
    /// How users are mapped to buckets.
    Bucketing {
        /// Salted SHA-256 over chain id, feature and user: independent for each feature.
        Sha256 = 0, "sha256";
        /// First byte of the address modulo 100, as the reference does: the same users come first in every feature.
        FirstByte = 1, "first_byte";
    }
}

tags! {
    /// Who makes the steps of a rollout.
    Advance {
        /// The first block at or after the due height.
        Automatic = 0, "automatic";
        /// Only advance_rollout.
        Manual = 1, "manual";
    }
}

tags! {
    /// How long a feature is meant to live. Only listings of stale features use it.
    Lifetime {
        /// Meant to stay.
        Permanent = 0, "permanent";
        /// Meant to be removed once its release is complete.
        Release = 1, "release";
        /// Meant to be removed when its experiment ends.
        Experiment = 2, "experiment";
        /// An operational switch.
        Ops = 3, "ops";
    }
}

/// A feature (key `D0`), byte for byte the record of the reference implementation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Equal to the name in the key.
    pub name: Name,
    /// Free text for people; no rule reads it.
    pub description: Description,
    /// Where it is in its lifecycle. Each change of it or of the percentage has a history entry.
    pub status: Status,
    /// Percentage of users that it is on for; 0 when off, 100 when Enabled.
    pub rollout_percent: Percent,
    /// Percentage at which the rollout ends; written by start_rollout only.
    pub target_percent: Percent,
    /// Percentage points that a step adds, 1 to 100.
    pub increment_percent: Percent,
    /// Blocks from one step to the next, at least 1.
    pub increment_blocks: u32,
    /// The height of the last start_canary; 0 before the first. Windows are counted from here.
    pub start_block: Height,
    /// The height of the last start, or of the last due step whether it was made or held.
    pub last_increment_block: Height,
    /// Errors reported in the current trial; saturates.
    pub error_count: u64,
    /// Successes reported in the current trial; saturates.
    pub success_count: u64,
    /// Error rate in 1/10 000 above which the guard rolls back; at most 10 000.
    pub max_error_rate: u32,
    /// Successes of the trial that start_rollout requires.
    pub min_success_count: u64,
    /// The signer that created the feature. The name is that of the reference.
    pub enabled_by: Address,
    /// The reason of the last rollback; Manual before the first.
    pub rollback_reason: Reason,
}

impl Feature {
    /// Default of `increment_percent`.
    pub const INCREMENT_PERCENT: Percent = Percent::TEN;
    /// Default of `increment_blocks`.
    pub const INCREMENT_BLOCKS: u32 = 8_640;
    /// Default maximum error rate, in 1/10 000.
    pub const MAX_ERROR_RATE: u32 = 100;
    /// Default of `min_success_count`.
    pub const MIN_SUCCESS_COUNT: u64 = 100;
    const RESERVED: [u8; 5] = [0; 5];
}

impl Encode for Feature {
    fn encode(&self, out: &mut Writer) {
        out.lp32(self.name.as_bytes());
        out.lp32(self.description.as_str().as_bytes());
        self.status.encode(out);
        out.u8(self.rollout_percent.get());
        out.u8(self.target_percent.get());
        out.u8(self.increment_percent.get());
        out.u32(self.increment_blocks);
        out.u32(self.start_block);
        out.u32(self.last_increment_block);
        out.u64(self.error_count);
        out.u64(self.success_count);
        out.u32(self.max_error_rate);
        out.u64(self.min_success_count);
        out.address(&self.enabled_by);
        self.rollback_reason.encode(out);
        out.raw(&Self::RESERVED);
    }
}

impl Decode for Feature {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name = long_name(input)?;
        let description = input.lp32()?;
        let description = input.text(description)?;
        let feature = Self {
            name,
            description: Description::new(description).map_err(|_| input.error(DecodeErrorKind::TooLarge))?,
            status: Status::decode(input)?,
            rollout_percent: input.percent()?,
            target_percent: input.percent()?,
            increment_percent: input.percent()?,
            increment_blocks: input.u32()?,
            start_block: input.u32()?,
            last_increment_block: input.u32()?,
            error_count: input.u64()?,
            success_count: input.u64()?,
            max_error_rate: input.u32()?,
            min_success_count: input.u64()?,
            enabled_by: input.address()?,
            rollback_reason: Reason::decode(input)?,
        };
        if input.raw(Self::RESERVED.len())? != Self::RESERVED {
            return Err(input.error(DecodeErrorKind::NotCanonical));
        }
        if feature.increment_percent == Percent::ZERO
            || feature.increment_blocks == 0
            || feature.max_error_rate > u32::from(Bps::FULL.get())
        {
            return Err(input.error(DecodeErrorKind::OutOfRange));
        }
        Ok(feature)
    }
}

fn long_name(input: &mut Reader<'_>) -> Result<Name, DecodeError> {
    let bytes = input.lp32()?;
    Name::new(bytes).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
}

/// Totals of the reports about a feature. Counters saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Operations since the feature was created.
    pub total_operations: u64,
    /// Successful operations since the feature was created.
    pub successful_ops: u64,
    /// Failed operations since the feature was created.
    pub failed_ops: u64,
    /// The highest latency ever reported.
    pub peak_latency: u64,
    /// Invariant checks since the feature was created.
    pub invariant_checks: u64,
    /// Failed invariant checks since the feature was created.
    pub invariant_failures: u64,
    /// Sum of the latencies of all operations since the feature was created.
    pub latency_sum: u64,
    /// Failed invariant checks in the current trial.
    pub trial_invariant_failures: u64,
    /// Sum of the latencies of all operations in the current trial.
    pub trial_latency_sum: u64,
    /// Operations in the current trial.
    pub trial_operations: u64,
    /// Operations since the last step that was made; a held step does not reset it.
    pub step_operations: u64,
    /// The height at which the current window starts; 0 while windows are off.
    pub window_start: Height,
    /// Successes in the current window.
    pub current_successes: u64,
    /// Errors in the current window.
    pub current_errors: u64,
    /// Successes in the window before the current one.
    pub previous_successes: u64,
    /// Errors in the window before the current one.
    pub previous_errors: u64,
}

impl Metrics {
    /// Average latency since the feature was created, rounded down; 0 without operations.
    #[must_use]
    pub const fn average_latency(&self) -> u64 {
        match self.latency_sum.checked_div(self.total_operations) {
            Some(average) => average,
            None => 0,
        }
    }

    /// The metrics at the start of a new trial: everything but the totals since creation is zero.
    #[must_use]
    pub const fn new_trial(self) -> Self {
        Self {
            trial_invariant_failures: 0,
            trial_latency_sum: 0,
            trial_operations: 0,
            step_operations: 0,
            window_start: 0,
            current_successes: 0,
            current_errors: 0,
            previous_successes: 0,
            previous_errors: 0,
            ..self
        }
    }
}

/// The record of a feature's metrics (key `D1`). As in the reference it repeats the name and stores the average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsRecord {
    /// Equal to the name in the key.
    pub name: Name,
    /// The totals; the stored average latency must follow from them.
    pub metrics: Metrics,
}

impl Encode for MetricsRecord {
    fn encode(&self, out: &mut Writer) {
        let Self { name, metrics } = self;
        out.lp32(name.as_bytes());
        for value in [
            metrics.total_operations,
            metrics.successful_ops,
            metrics.failed_ops,
            metrics.average_latency(),
            metrics.peak_latency,
            metrics.invariant_checks,
            metrics.invariant_failures,
            metrics.latency_sum,
            metrics.trial_invariant_failures,
            metrics.trial_latency_sum,
            metrics.trial_operations,
            metrics.step_operations,
        ] {
            out.u64(value);
        }
        out.u32(metrics.window_start);
        out.u64(metrics.current_successes);
        out.u64(metrics.current_errors);
        out.u64(metrics.previous_successes);
        out.u64(metrics.previous_errors);
    }
}

impl Decode for MetricsRecord {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name = long_name(input)?;
        let total_operations = input.u64()?;
        let successful_ops = input.u64()?;
        let failed_ops = input.u64()?;
        let average_latency = input.u64()?;
        let metrics = Metrics {
            total_operations,
            successful_ops,
            failed_ops,
            peak_latency: input.u64()?,
            invariant_checks: input.u64()?,
            invariant_failures: input.u64()?,
            latency_sum: input.u64()?,
            trial_invariant_failures: input.u64()?,
            trial_latency_sum: input.u64()?,
            trial_operations: input.u64()?,
            step_operations: input.u64()?,
            window_start: input.u32()?,
            current_successes: input.u64()?,
            current_errors: input.u64()?,
            previous_successes: input.u64()?,
            previous_errors: input.u64()?,
        };
        if metrics.average_latency() != average_latency {
            return Err(input.error(DecodeErrorKind::NotCanonical));
        }
        Ok(Self { name, metrics })
    }
}

/// One history entry of a feature (key `D2`): what it was from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The status after the change.
    pub status: Status,
    /// The percentage after the change.
    pub percent: Percent,
    /// What made the change.
    pub cause: Cause,
    /// Why it was rolled back; Manual for every other cause.
    pub reason: Reason,
    /// Who made the change; zero for automatic ones.
    pub actor: Address,
    /// What decided a rollback; `None` for every other cause.
    pub evidence: Option<RollbackEvidence>,
}

tags! {
    /// What decided a rollback.
    RollbackRule {
        /// A rollback command.
        Command = 0, "command";
        /// Failed invariant checks of the trial.
        Invariants = 1, "invariants";
        /// The error rate of the trial.
        ErrorRate = 2, "error_rate";
        /// The error rate of the current and previous window.
        WindowErrorRate = 3, "window_error_rate";
        /// The average latency of the trial.
        Latency = 4, "latency";
        /// The draining breaker.
        Breaker = 5, "breaker";
    }
}

/// The rule that decided a rollback, the counts that it judged, and what it compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollbackEvidence {
    /// The cause.
    pub rule: RollbackRule,
    /// The errors that were judged: those of the window for rule 3, else those of the trial.
    pub errors: u64,
    /// The successes that were judged, over the same period.
    pub successes: u64,
    /// The value above its limit: failures, a rate in 1/10 000, or a latency; 0 without a rule.
    pub value: u64,
    /// The limit; 0 without a rule.
    pub threshold: u64,
}

impl Encode for RollbackEvidence {
    fn encode(&self, out: &mut Writer) {
        self.rule.encode(out);
        [self.errors, self.successes, self.value, self.threshold].into_iter().for_each(|number| out.u64(number));
    }
}

impl Decode for RollbackEvidence {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            rule: RollbackRule::decode(input)?,
            errors: input.u64()?,
            successes: input.u64()?,
            value: input.u64()?,
            threshold: input.u64()?,
        })
    }
}

impl Encode for Change {
    fn encode(&self, out: &mut Writer) {
        self.status.encode(out);
        out.u8(self.percent.get());
        self.cause.encode(out);
        self.reason.encode(out);
        out.address(&self.actor);
        if let Some(evidence) = &self.evidence {
            evidence.encode(out);
        }
    }
}

impl Decode for Change {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (status, percent, cause) = (Status::decode(input)?, input.percent()?, Cause::decode(input)?);
        let (reason, actor) = (Reason::decode(input)?, input.address()?);
        if cause != Cause::RolledBack && reason != Reason::Manual {
            return Err(input.error(DecodeErrorKind::NotCanonical));
        }
        let evidence = (cause == Cause::RolledBack).then(|| RollbackEvidence::decode(input)).transpose()?;
        Ok(Self { status, percent, cause, reason, actor, evidence })
    }
}

/// A user's own switch of a feature (key `D3`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// Whether the feature is on for the user, provided that it is on for anybody.
    pub enabled: bool,
    /// The height at which it was set.
    pub since: Height,
    /// The operator that set it.
    pub actor: Address,
}

impl Encode for Override {
    fn encode(&self, out: &mut Writer) {
        out.bool(self.enabled);
        out.u32(self.since);
        out.address(&self.actor);
    }
}

impl Decode for Override {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { enabled: input.bool()?, since: input.u32()?, actor: input.address()? })
    }
}

/// The most prerequisites of one feature.
pub const PREREQUISITES_MAX: usize = 16;

/// The longest path of prerequisites, in edges.
pub const PREREQUISITE_DEPTH_MAX: u32 = 8;

/// The most different features below one, over all paths of prerequisites. Bounds the cost of an answer.
pub const PREREQUISITES_BELOW_MAX: usize = 64;

/// How a feature is rolled out and guarded (key `D5`); stored only when not the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How users are mapped to buckets.
    pub bucketing: Bucketing,
    /// Who makes the steps.
    pub advance: Advance,
    /// Part of the bucket hash: another salt draws other users.
    pub salt: u64,
    /// Operations below which the error rate and latency rules do not apply.
    pub min_samples: u32,
    /// Length of the guard's window in blocks; `None`: no window rule.
    pub window_blocks: Option<NonZeroU32>,
    /// Operations since the last step without which the next one is held.
    pub step_min_operations: u64,
    /// Failed invariant checks in a trial above which the guard rolls back.
    pub max_invariant_failures: u64,
    /// Average latency in a trial above which the guard rolls back; `None`: no latency rule.
    pub max_latency: Option<NonZeroU64>,
    /// How long the feature is meant to live.
    pub lifetime: Lifetime,
    /// The height from which it is listed as stale; `None`: never.
    pub expires_at: Option<NonZeroU32>,
    /// Features that must be on for the user too, ascending. Fixed at creation: so no cycle can arise.
    pub prerequisites: Vec<Name>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            bucketing: Bucketing::Sha256,
            advance: Advance::Automatic,
            salt: 0,
            min_samples: 10,
            window_blocks: None,
            step_min_operations: 0,
            max_invariant_failures: 0,
            max_latency: None,
            lifetime: Lifetime::Permanent,
            expires_at: None,
            prerequisites: Vec::new(),
        }
    }
}

impl Policy {
    /// The first byte of the encoding, so that a later policy can have other fields.
    pub const VERSION: u8 = 1;
}

impl Validate for Policy {
    /// Checks that there are at most 16 prerequisites, strictly ascending.
    fn validate(&self) -> Result<(), ValueError> {
        let is_sorted = self.prerequisites.is_sorted_by(|a, b| a < b);
        if is_sorted && self.prerequisites.len() <= PREREQUISITES_MAX { Ok(()) } else { Err(ValueError::List) }
    }
}

impl Encode for Policy {
    fn encode(&self, out: &mut Writer) {
        out.u8(Self::VERSION);
        self.bucketing.encode(out);
        self.advance.encode(out);
        out.u64(self.salt);
        out.u32(self.min_samples);
        out.nonzero_u32(self.window_blocks);
        out.u64(self.step_min_operations);
        out.u64(self.max_invariant_failures);
        out.nonzero_u64(self.max_latency);
        self.lifetime.encode(out);
        out.nonzero_u32(self.expires_at);
        out.count_u8(self.prerequisites.len());
        self.prerequisites.iter().for_each(|name| out.name(name));
    }
}

impl Decode for Policy {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if input.u8()? != Self::VERSION {
            return Err(input.error(DecodeErrorKind::UnknownTag));
        }
        let mut policy = Self {
            bucketing: Bucketing::decode(input)?,
            advance: Advance::decode(input)?,
            salt: input.u64()?,
            min_samples: input.u32()?,
            window_blocks: input.nonzero_u32()?,
            step_min_operations: input.u64()?,
            max_invariant_failures: input.u64()?,
            max_latency: input.nonzero_u64()?,
            lifetime: Lifetime::decode(input)?,
            expires_at: input.nonzero_u32()?,
            prerequisites: Vec::new(),
        };
        let count = input.count_u8(0..=PREREQUISITES_MAX)?;
        for _ in 0..count {
            let name = input.name()?;
            policy.prerequisites.push(name);
        }
        policy.validate().map(|()| policy).map_err(|_| input.error(DecodeErrorKind::Unsorted))
    }
}

/// Settings that create_feature and configure_feature may set; `None` leaves one as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeatureChanges {
    /// Percentage points that a step adds, 1 to 100.
    pub increment_percent: Option<Percent>,
    /// Blocks from one step to the next, at least 1.
    pub increment_blocks: Option<u32>,
    /// Error rate in 1/10 000 above which the guard rolls back, at most 10 000.
    pub max_error_rate: Option<u32>,
    /// Successes of the trial that start_rollout requires.
    pub min_success_count: Option<u64>,
    /// Replaces the policy as a whole; its prerequisites must be those that it has.
    pub policy: Option<Policy>,
}

impl Encode for FeatureChanges {
    fn encode(&self, out: &mut Writer) {
        out.option(self.increment_percent, |out, percent| out.u8(percent.get()));
        out.option(self.increment_blocks, Writer::u32);
        out.option(self.max_error_rate, Writer::u32);
        out.option(self.min_success_count, Writer::u64);
        out.option(self.policy.as_ref(), |out, policy| policy.encode(out));
    }
}

impl FeatureChanges {
    /// Reads the settings. A value out of range rejects the command, once all of them have decoded.
    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Checked<Valid<Self>>, DecodeError> {
        let increment_percent = input.option(Reader::u8)?.map(Percent::new).transpose();
        let changes = Self {
            increment_percent: increment_percent.unwrap_or_default(),
            increment_blocks: input.option(Reader::u32)?,
            max_error_rate: input.option(Reader::u32)?,
            min_success_count: input.option(Reader::u64)?,
            policy: input.option(Policy::decode)?,
        };
        if increment_percent.is_err() {
            return Ok(Err(Reject::InvalidParameter));
        }
        Ok(Valid::new(changes).map_err(Reject::from))
    }
}

impl Validate for FeatureChanges {
    /// Checks that a step adds 1 to 100 % and takes at least one block, and that the rate is at most 10 000.
    fn validate(&self) -> Result<(), ValueError> {
        let in_range = self.increment_percent != Some(Percent::ZERO)
            && self.increment_blocks != Some(0)
            && self.max_error_rate.is_none_or(|rate| rate <= u32::from(Bps::FULL.get()));
        if !in_range {
            return Err(ValueError::Parameter);
        }
        self.policy.as_ref().map_or(Ok(()), Policy::validate)
    }
}
