//! The records of a feature, each with its canonical encoding, and what commands give of them.
//!
//! Layouts are written down in FORMAT.md and pinned by `fixtures/vectors`.

use alloc::vec::Vec;
use core::num::{NonZeroU32, NonZeroU64};

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::reject::{Checked, Reject};
use crate::tags::tags;
use crate::valid::{Valid, Validate};
use crate::values::{Address, Bps, Description, Height, Name, Percent, ValueError};

tags! {
    /// Where a feature stands in its lifecycle.
    Status {
        /// Off, never started or turned off.
        Disabled = 0, "disabled";
        /// On for a fixed percent.
        Canary = 1, "canary";
        /// On for a percent that grows by steps.
        RollingOut = 2, "rolling_out";
        /// On for everybody.
        Enabled = 3, "enabled";
        /// Off after a rollback.
        RolledBack = 4, "rolled_back";
    }
}

impl Status {
    /// Whether a prerequisite in this status is met and reports are taken: Canary, RollingOut or Enabled.
    #[must_use]
    pub const fn is_on(self) -> bool {
        match self {
            Self::Canary | Self::RollingOut | Self::Enabled => true,
            Self::Disabled | Self::RolledBack => false,
        }
    }

    /// Whether the feature is in the index of active features: Canary or RollingOut.
    #[must_use]
    pub const fn is_active(self) -> bool {
        match self {
            Self::Canary | Self::RollingOut => true,
            Self::Disabled | Self::Enabled | Self::RolledBack => false,
        }
    }
}

tags! {
    /// Why a feature was rolled back, or the breaker tripped.
    Reason {
        /// Somebody said so.
        Manual = 0, "manual";
        /// The error rate was exceeded.
        ErrorRate = 1, "error_rate";
        /// An invariant failed.
        InvariantViolation = 2, "invariant_violation";
        /// The circuit breaker drained it.
        CircuitBreaker = 3, "circuit_breaker";
        /// Nodes disagreed.
        ConsensusFailure = 4, "consensus_failure";
        /// Too slow.
        Performance = 5, "performance";
    }
}

tags! {
    /// What made an entry of the history.
    Cause {
        /// create_feature.
        Created = 0, "created";
        /// start_canary.
        CanaryStarted = 1, "canary_started";
        /// start_rollout.
        RolloutStarted = 2, "rollout_started";
        /// A step that did not reach the target.
        Stepped = 3, "stepped";
        /// A step that reached the target.
        TargetReached = 4, "target_reached";
        /// enable.
        Enabled = 5, "enabled";
        /// disable.
        Disabled = 6, "disabled";
        /// A rollback: by command, by the guard, or by the draining breaker.
        RolledBack = 7, "rolled_back";
    }
}

tags! {
    /// How a user is put into a bucket.
    Bucketing {
        /// Salted SHA-256.
        Sha256 = 0, "sha256";
        /// The first byte of the address, as the reference does.
        FirstByte = 1, "first_byte";
    }
}

tags! {
    /// Who makes the steps of a rollout.
    Advance {
        /// The block at which they are due.
        Automatic = 0, "automatic";
        /// advance_rollout only.
        Manual = 1, "manual";
    }
}

tags! {
    /// How long a feature is meant to live. Nothing depends on it but `stale` listings.
    Lifetime {
        /// For ever.
        Permanent = 0, "permanent";
        /// Until its release is complete.
        Release = 1, "release";
        /// Until its experiment ends.
        Experiment = 2, "experiment";
        /// An operational switch.
        Ops = 3, "ops";
    }
}

/// A feature: D0, byte for byte the record of the reference implementation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// The name; equal to the name in the key.
    pub name: Name,
    /// A free text.
    pub description: Description,
    /// Where it stands in its lifecycle.
    pub status: Status,
    /// The percent of users for whom it is on.
    pub rollout_percent: Percent,
    /// Where the rollout ends; written by start_rollout only.
    pub target_percent: Percent,
    /// How much a step adds, 1 to 100.
    pub increment_percent: Percent,
    /// Blocks from step to step, at least 1.
    pub increment_blocks: u32,
    /// The height of the last start_canary.
    pub start_block: Height,
    /// The height of the last start or step.
    pub last_increment_block: Height,
    /// Errors of the current trial.
    pub error_count: u64,
    /// Successes of the current trial.
    pub success_count: u64,
    /// The error rate in 1/10 000 above which the guard rolls back.
    pub max_error_rate: u32,
    /// Successes that start_rollout asks for.
    pub min_success_count: u64,
    /// The signer that created it.
    pub enabled_by: Address,
    /// Why it was rolled back last.
    pub rollback_reason: Reason,
}

impl Feature {
    /// Steps of a new feature add this much.
    pub const INCREMENT_PERCENT: Percent = Percent::TEN;
    /// Blocks between the steps of a new feature.
    pub const INCREMENT_BLOCKS: u32 = 8_640;
    /// The error rate in 1/10 000 that a new feature bears.
    pub const MAX_ERROR_RATE: u32 = 100;
    /// The successes that start_rollout asks of a new feature.
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

/// What was reported of a feature. Counters saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Operations of the lifetime.
    pub total_operations: u64,
    /// Successes of the lifetime.
    pub successful_ops: u64,
    /// Errors of the lifetime.
    pub failed_ops: u64,
    /// The highest latency told.
    pub peak_latency: u64,
    /// Invariant checks of the lifetime.
    pub invariant_checks: u64,
    /// Failed invariant checks of the lifetime.
    pub invariant_failures: u64,
    /// The sum of all latencies of the lifetime.
    pub latency_sum: u64,
    /// Failed invariant checks of the trial.
    pub trial_invariant_failures: u64,
    /// The sum of all latencies of the trial.
    pub trial_latency_sum: u64,
    /// Operations of the trial.
    pub trial_operations: u64,
    /// Operations since the last step that was made; a held one does not count.
    pub step_operations: u64,
    /// Where the current window starts.
    pub window_start: Height,
    /// Successes in the current window.
    pub current_successes: u64,
    /// Errors in the current window.
    pub current_errors: u64,
    /// Successes in the window before.
    pub previous_successes: u64,
    /// Errors in the window before.
    pub previous_errors: u64,
}

impl Metrics {
    /// The average latency of the lifetime, rounded down; 0 without operations.
    #[must_use]
    pub const fn average_latency(&self) -> u64 {
        match self.latency_sum.checked_div(self.total_operations) {
            Some(average) => average,
            None => 0,
        }
    }

    /// The same metrics at the start of a new trial.
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

/// The record of the metrics of a feature, which repeats its name and holds the average of the sums: D1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsRecord {
    /// The feature.
    pub name: Name,
    /// Its metrics.
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

/// One entry of the history: D2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The status from here on.
    pub status: Status,
    /// The percent from here on.
    pub percent: Percent,
    /// What made the change.
    pub cause: Cause,
    /// The reason of a rollback, else Manual.
    pub reason: Reason,
    /// Who made the change; zero for automatic ones.
    pub actor: Address,
}

impl Encode for Change {
    fn encode(&self, out: &mut Writer) {
        self.status.encode(out);
        out.u8(self.percent.get());
        self.cause.encode(out);
        self.reason.encode(out);
        out.address(&self.actor);
    }
}

impl Decode for Change {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let change = Self {
            status: Status::decode(input)?,
            percent: input.percent()?,
            cause: Cause::decode(input)?,
            reason: Reason::decode(input)?,
            actor: input.address()?,
        };
        if change.cause != Cause::RolledBack && change.reason != Reason::Manual {
            return Err(input.error(DecodeErrorKind::NotCanonical));
        }
        Ok(change)
    }
}

/// A user's own switch: D3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// On or off.
    pub enabled: bool,
    /// The height at which it was set.
    pub since: Height,
    /// Who set it.
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

/// The longest list of prerequisites.
pub const PREREQUISITES_MAX: usize = 16;

/// The longest path of prerequisites, in edges.
pub const PREREQUISITE_DEPTH_MAX: u32 = 8;

/// How a feature is rolled out and guarded: D5, stored only if it differs from the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How users are put into buckets.
    pub bucketing: Bucketing,
    /// Who makes the steps.
    pub advance: Advance,
    /// Shuffles the buckets of this feature.
    pub salt: u64,
    /// Operations below which the rate and latency rules do not judge.
    pub min_samples: u32,
    /// The length of the guard's window in blocks; none = off.
    pub window_blocks: Option<NonZeroU32>,
    /// Operations that a step asks for since the one before.
    pub step_min_operations: u64,
    /// Failed invariant checks that a trial bears.
    pub max_invariant_failures: u64,
    /// The highest average latency that a trial may have; none = any.
    pub max_latency: Option<NonZeroU64>,
    /// How long the feature is meant to live.
    pub lifetime: Lifetime,
    /// The height from which it counts as stale; none = never.
    pub expires_at: Option<NonZeroU32>,
    /// Features that must be on for a user, ascending; fixed when the feature is created.
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
    /// The first byte of the encoding.
    pub const VERSION: u8 = 1;
}

impl Validate for Policy {
    /// At most 16 prerequisites, strictly ascending.
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
        let count = usize::from(input.u8()?);
        if count > PREREQUISITES_MAX {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        for _ in 0..count {
            let name = input.name()?;
            policy.prerequisites.push(name);
        }
        policy.validate().map(|()| policy).map_err(|_| input.error(DecodeErrorKind::Unsorted))
    }
}

/// The settings of a feature that create_feature and configure_feature may give.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeatureChanges {
    /// How much a step adds, 1 to 100.
    pub increment_percent: Option<Percent>,
    /// Blocks from step to step, at least 1.
    pub increment_blocks: Option<u32>,
    /// The error rate in 1/10 000 above which the guard rolls back, at most 10 000.
    pub max_error_rate: Option<u32>,
    /// Successes that start_rollout asks for.
    pub min_success_count: Option<u64>,
    /// The whole policy.
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
    /// Reads the settings; those of which one is out of its range are a reject.
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
    /// Steps of 1 to 100 % and of at least one block, and a rate of at most 10 000.
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

/// Results of one feature, told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Operations that succeeded.
    pub successes: u32,
    /// Operations that failed.
    pub errors: u32,
    /// The sum of the latencies of all these operations.
    pub latency_total: u64,
    /// The highest of them.
    pub latency_peak: u64,
    /// Invariant checks made.
    pub invariant_checks: u32,
    /// Invariant checks that failed.
    pub invariant_failures: u32,
}

impl Report {
    /// Successes and errors together.
    #[must_use]
    pub fn operations(&self) -> u64 {
        u64::from(self.successes).saturating_add(u64::from(self.errors))
    }
}

impl Validate for Report {
    /// No more failed checks than checks, and no latency without operations.
    fn validate(&self) -> Result<(), ValueError> {
        let silent = self.latency_total == 0 && self.latency_peak == 0;
        let is_sound = self.invariant_failures <= self.invariant_checks && (silent || self.operations() > 0);
        if is_sound { Ok(()) } else { Err(ValueError::Parameter) }
    }
}
