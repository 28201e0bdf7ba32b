//! Plans: what a strategy compiles to, and the only form in which the engine runs one.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroU32};

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::reject::{Checked, Reject};
use crate::tags::tags;
use crate::values::{Bps, ValueError};

/// The most stages of a plan; the minimum is 1.
pub const STAGES_MAX: usize = 32;
/// The default deadline is this many times the blocks of all stages.
const DEADLINE_FACTOR: u64 = 8;

tags! {
    /// The condition under which a stage is left.
    Gate {
        /// Its blocks have passed, and enough requests were reported, enough of them successful.
        Time = 0, "time";
        /// The same, and then a resume.
        Manual = 1, "manual";
        /// A reporter has attested health before its blocks have passed.
        Health = 2, "health";
    }
}

tags! {
    /// What happens at the end of a plan.
    OnComplete {
        /// The new version takes over.
        Promote = 0, "promote";
        /// The arms are compared; a winning canary takes over if `auto_promote` is on.
        Conclude = 1, "conclude";
    }
}

tags! {
    /// The kinds of strategies.
    StrategyKind {
        /// A share that grows to a maximum and is observed there.
        Canary = 0, "canary";
        /// A share that grows to all units.
        Rolling = 1, "rolling";
        /// No units until the new version is attested healthy, then all of them.
        BlueGreen = 2, "blue_green";
        /// A fixed share for a time, then a verdict.
        AbTest = 3, "ab_test";
        /// Stages as the command gives them.
        Custom = 4, "custom";
    }
}

/// One stage of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// The share of units that are routed to the new version; never below that of the stage before.
    pub share_bps: Bps,
    /// Its length in blocks, at least 1 in a plan. Shortfalls or a manual gate make it last longer.
    pub blocks: u32,
    /// Requests for the new version without which the stage is held.
    pub min_requests: u64,
    /// The condition under which it is left.
    pub gate: Gate,
}

impl Encode for Stage {
    fn encode(&self, out: &mut Writer) {
        out.u16(self.share_bps.get());
        out.u32(self.blocks);
        out.u64(self.min_requests);
        self.gate.encode(out);
    }
}

impl Stage {
    fn read(input: &mut Reader<'_>, range: &mut Range) -> Result<Self, DecodeError> {
        Ok(Self {
            share_bps: range.bps(input)?,
            blocks: input.u32()?,
            min_requests: input.u64()?,
            gate: Gate::decode(input)?,
        })
    }
}

impl Decode for Stage {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Range::strict(input, Self::read)
    }
}

/// Whether a share or rate has been read that is no valid number of basis points.
///
/// In a record such a number makes the bytes malformed. In a command it makes the plan invalid, which rejects the
/// command, but only if everything after it decodes.
#[derive(Default)]
struct Range {
    is_exceeded: bool,
}

impl Range {
    fn bps(&mut self, input: &mut Reader<'_>) -> Result<Bps, DecodeError> {
        let bps = Bps::new(input.u16()?);
        self.is_exceeded |= bps.is_err();
        Ok(bps.unwrap_or_default())
    }

    /// Reads a value of a record, where every number must be in range.
    fn strict<T>(
        input: &mut Reader<'_>,
        read: impl FnOnce(&mut Reader<'_>, &mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut range = Self::default();
        let value = read(input, &mut range)?;
        if range.is_exceeded { Err(input.error(DecodeErrorKind::OutOfRange)) } else { Ok(value) }
    }
}

/// Thresholds, deadline and automatic actions, which every strategy takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guardrails {
    /// Error rate of the new version above which it is rolled back or paused.
    pub error_threshold_bps: Bps,
    /// Success rate without which a stage is held.
    pub success_threshold_bps: Bps,
    /// Requests below which the error and regression rules do not apply; a stage of a growing share is held below it.
    pub min_requests: u64,
    /// Blocks from the start to the deadline; `None`: there is no deadline.
    pub max_blocks: Option<NonZeroU32>,
    /// Whether a completed plan, or a canary that wins, takes over without a promote.
    pub auto_promote: bool,
    /// Whether a broken rule rolls the deployment back; otherwise it pauses it.
    pub auto_rollback: bool,
    /// z of the regression test in hundredths; `None`: that rule is off.
    pub regression_z_centi: Option<NonZeroU16>,
}

impl Encode for Guardrails {
    fn encode(&self, out: &mut Writer) {
        out.u16(self.error_threshold_bps.get());
        out.u16(self.success_threshold_bps.get());
        out.u64(self.min_requests);
        out.nonzero_u32(self.max_blocks);
        out.bool(self.auto_promote);
        out.bool(self.auto_rollback);
        out.nonzero_u16(self.regression_z_centi);
    }
}

impl Guardrails {
    fn read(input: &mut Reader<'_>, range: &mut Range) -> Result<Self, DecodeError> {
        Ok(Self {
            error_threshold_bps: range.bps(input)?,
            success_threshold_bps: range.bps(input)?,
            min_requests: input.u64()?,
            max_blocks: input.nonzero_u32()?,
            auto_promote: input.bool()?,
            auto_rollback: input.bool()?,
            regression_z_centi: input.nonzero_u16()?,
        })
    }
}

impl Decode for Guardrails {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Range::strict(input, Self::read)
    }
}

/// A strategy as a deploy gives it: shares in basis points, lengths in blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as in the format")]
pub enum Strategy {
    /// A share that grows to `max_bps` and is observed there.
    Canary { initial_bps: Bps, increment_bps: u16, increment_blocks: u32, max_bps: Bps, observation_blocks: u32 },
    /// A share that grows to all units.
    Rolling { initial_bps: Bps, increment_bps: u16, increment_blocks: u32 },
    /// No units until the new version is attested healthy, then all of them.
    BlueGreen { health_blocks: u32, bake_blocks: u32 },
    /// A fixed share for a time, then a verdict.
    AbTest { share_bps: Bps, duration_blocks: u32 },
    /// Stages as the command gives them.
    Custom { on_complete: OnComplete, stages: Vec<Stage> },
}

impl Strategy {
    /// The kind of the strategy, without its fields.
    #[must_use]
    pub const fn kind(&self) -> StrategyKind {
        match self {
            Self::Canary { .. } => StrategyKind::Canary,
            Self::Rolling { .. } => StrategyKind::Rolling,
            Self::BlueGreen { .. } => StrategyKind::BlueGreen,
            Self::AbTest { .. } => StrategyKind::AbTest,
            Self::Custom { .. } => StrategyKind::Custom,
        }
    }

    /// The strategy with its default fields; a custom one has no stages yet, so it does not compile.
    #[must_use]
    pub const fn with_defaults(kind: StrategyKind) -> Self {
        match kind {
            StrategyKind::Canary => Self::Canary {
                initial_bps: percent(5),
                increment_bps: 500,
                increment_blocks: 60,
                max_bps: percent(50),
                observation_blocks: 180,
            },
            StrategyKind::Rolling => {
                Self::Rolling { initial_bps: percent(10), increment_bps: 1_000, increment_blocks: 30 }
            }
            StrategyKind::BlueGreen => Self::BlueGreen { health_blocks: 60, bake_blocks: 60 },
            StrategyKind::AbTest => Self::AbTest { share_bps: percent(50), duration_blocks: 8_640 },
            StrategyKind::Custom => Self::Custom { on_complete: OnComplete::Promote, stages: Vec::new() },
        }
    }

    /// The default guardrails of the strategy. The deadline follows from its stages; a strategy that does not
    /// compile has no deadline.
    #[must_use]
    pub fn default_guardrails(&self) -> Guardrails {
        let (success_percent, error_percent, min_requests) = match self.kind() {
            StrategyKind::Canary => (99, 1, 100),
            StrategyKind::Rolling => (95, 5, 50),
            StrategyKind::BlueGreen => (0, 5, 50),
            StrategyKind::AbTest => (95, 5, 1_000),
            StrategyKind::Custom => (95, 5, 100),
        };
        let blocks = self.stages(min_requests).map_or(0, |stages| total_blocks(&stages));
        Guardrails {
            error_threshold_bps: percent(error_percent),
            success_threshold_bps: percent(success_percent),
            min_requests,
            max_blocks: NonZeroU32::new(u32::try_from(blocks.saturating_mul(DEADLINE_FACTOR)).unwrap_or(u32::MAX)),
            auto_promote: self.kind() != StrategyKind::AbTest,
            auto_rollback: true,
            regression_z_centi: None,
        }
    }

    /// The stages, or an error if a growing share does not reach its maximum within [`STAGES_MAX`] stages.
    fn stages(&self, min_requests: u64) -> Result<Vec<Stage>, ValueError> {
        let full = Bps::FULL;
        match self {
            Self::Canary { initial_bps, increment_bps, increment_blocks, max_bps, observation_blocks } => {
                let last_blocks = *increment_blocks.max(observation_blocks);
                let ramp = Ramp { initial_bps: *initial_bps, increment_bps: *increment_bps, max_bps: *max_bps };
                ramp.stages(*increment_blocks, last_blocks, min_requests)
            }
            Self::Rolling { initial_bps, increment_bps, increment_blocks } => {
                let ramp = Ramp { initial_bps: *initial_bps, increment_bps: *increment_bps, max_bps: full };
                ramp.stages(*increment_blocks, *increment_blocks, min_requests)
            }
            Self::BlueGreen { health_blocks, bake_blocks } => Ok([
                Stage { share_bps: Bps::ZERO, blocks: *health_blocks, min_requests: 0, gate: Gate::Health },
                Stage { share_bps: full, blocks: *bake_blocks, min_requests: 0, gate: Gate::Time },
            ]
            .into()),
            Self::AbTest { share_bps, duration_blocks } => {
                Ok([Stage { share_bps: *share_bps, blocks: *duration_blocks, min_requests: 0, gate: Gate::Time }]
                    .into())
            }
            Self::Custom { on_complete: _, stages } => Ok(stages.clone()),
        }
    }

    const fn on_complete(&self) -> OnComplete {
        match self {
            Self::Canary { .. } | Self::Rolling { .. } | Self::BlueGreen { .. } => OnComplete::Promote,
            Self::AbTest { .. } => OnComplete::Conclude,
            Self::Custom { on_complete, .. } => *on_complete,
        }
    }
}

impl Encode for Strategy {
    fn encode(&self, out: &mut Writer) {
        self.kind().encode(out);
        match self {
            Self::Canary { initial_bps, increment_bps, increment_blocks, max_bps, observation_blocks } => {
                out.u16(initial_bps.get());
                out.u16(*increment_bps);
                out.u32(*increment_blocks);
                out.u16(max_bps.get());
                out.u32(*observation_blocks);
            }
            Self::Rolling { initial_bps, increment_bps, increment_blocks } => {
                out.u16(initial_bps.get());
                out.u16(*increment_bps);
                out.u32(*increment_blocks);
            }
            Self::BlueGreen { health_blocks, bake_blocks } => {
                out.u32(*health_blocks);
                out.u32(*bake_blocks);
            }
            Self::AbTest { share_bps, duration_blocks } => {
                out.u16(share_bps.get());
                out.u32(*duration_blocks);
            }
            Self::Custom { on_complete, stages } => {
                on_complete.encode(out);
                encode_stages(stages, out);
            }
        }
    }
}

impl Strategy {
    fn read(input: &mut Reader<'_>, range: &mut Range) -> Result<Self, DecodeError> {
        Ok(match StrategyKind::decode(input)? {
            StrategyKind::Canary => Self::Canary {
                initial_bps: range.bps(input)?,
                increment_bps: input.u16()?,
                increment_blocks: input.u32()?,
                max_bps: range.bps(input)?,
                observation_blocks: input.u32()?,
            },
            StrategyKind::Rolling => Self::Rolling {
                initial_bps: range.bps(input)?,
                increment_bps: input.u16()?,
                increment_blocks: input.u32()?,
            },
            StrategyKind::BlueGreen => Self::BlueGreen { health_blocks: input.u32()?, bake_blocks: input.u32()? },
            StrategyKind::AbTest => Self::AbTest { share_bps: range.bps(input)?, duration_blocks: input.u32()? },
            StrategyKind::Custom => {
                Self::Custom { on_complete: OnComplete::decode(input)?, stages: decode_stages(input, range)? }
            }
        })
    }
}

/// Checks widths, tags and ranges only; [`Plan::compile`] decides whether the strategy makes a valid plan.
impl Decode for Strategy {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Range::strict(input, Self::read)
    }
}

/// A whole number of percent, for defaults.
const fn percent(percent: u16) -> Bps {
    let bps = Bps::new(percent.saturating_mul(100));
    debug_assert!(bps.is_ok(), "defaults are at most 100 %");
    match bps {
        Ok(bps) => bps,
        Err(_) => Bps::FULL,
    }
}

/// A share that grows from `initial_bps` by `increment_bps` to `max_bps`.
struct Ramp {
    initial_bps: Bps,
    increment_bps: u16,
    max_bps: Bps,
}

impl Ramp {
    fn stages(&self, blocks: u32, last_blocks: u32, min_requests: u64) -> Result<Vec<Stage>, ValueError> {
        let Self { initial_bps, increment_bps, max_bps } = *self;
        if initial_bps == Bps::ZERO || initial_bps > max_bps {
            return Err(ValueError::Plan);
        }
        let stage = |share_bps, blocks| Stage { share_bps, blocks, min_requests, gate: Gate::Time };
        let mut stages = Vec::new();
        let mut share = initial_bps;
        while share < max_bps {
            // This also ends the loop for an increment of zero.
            if stages.len() == STAGES_MAX {
                return Err(ValueError::Plan);
            }
            stages.push(stage(share, blocks));
            share = Bps::new(share.get().saturating_add(increment_bps)).unwrap_or(Bps::FULL).min(max_bps);
        }
        stages.push(stage(max_bps, last_blocks));
        Ok(stages)
    }
}

/// A strategy together with the plan it compiles to, so that a command is compiled once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledStrategy {
    strategy: Strategy,
    plan: Arc<Plan>,
}

impl CompiledStrategy {
    /// Compiles a strategy with its guardrails.
    ///
    /// # Errors
    /// [`ValueError::Plan`] if the plan would be invalid.
    pub fn new(strategy: Strategy, guardrails: &Guardrails) -> Result<Self, ValueError> {
        let plan = Arc::new(Plan::compile(&strategy, guardrails)?);
        Ok(Self { strategy, plan })
    }

    /// Reads the strategy and guardrails of a deploy. An invalid plan rejects the command.
    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Checked<Self>, DecodeError> {
        let mut range = Range::default();
        let strategy = Strategy::read(input, &mut range)?;
        let guardrails = Guardrails::read(input, &mut range)?;
        let plan = if range.is_exceeded { Err(ValueError::Plan) } else { Self::new(strategy, &guardrails) };
        Ok(plan.map_err(Reject::from))
    }

    /// The strategy as it was given: what the command encodes.
    #[must_use]
    pub const fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    /// The compiled plan: what the deployment's record contains.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }
}

/// What the engine runs: stages, guardrails and the action at the end. Always valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    stages: Vec<Stage>,
    guardrails: Guardrails,
    on_complete: OnComplete,
}

impl Plan {
    /// Compiles a strategy.
    ///
    /// # Errors
    /// [`ValueError::Plan`] if the plan would be invalid.
    pub fn compile(strategy: &Strategy, guardrails: &Guardrails) -> Result<Self, ValueError> {
        let stages = strategy.stages(guardrails.min_requests)?;
        let plan = Self { stages, guardrails: *guardrails, on_complete: strategy.on_complete() };
        if plan.is_valid() { Ok(plan) } else { Err(ValueError::Plan) }
    }

    fn is_valid(&self) -> bool {
        let has_time = |max_blocks: NonZeroU32| u64::from(max_blocks.get()) > total_blocks(&self.stages);
        !self.stages.is_empty()
            && self.stages.len() <= STAGES_MAX
            && self.stages.iter().all(|stage| stage.blocks != 0)
            && self.stages.is_sorted_by_key(|stage| stage.share_bps)
            && self.stages.last().is_some_and(|last| last.share_bps != Bps::ZERO)
            && self.guardrails.max_blocks.is_none_or(has_time)
    }

    /// The stages in order; at least one.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The guardrails of the deploy that the plan was compiled from.
    #[must_use]
    pub const fn guardrails(&self) -> &Guardrails {
        &self.guardrails
    }

    /// What happens after the last stage.
    #[must_use]
    pub const fn on_complete(&self) -> OnComplete {
        self.on_complete
    }
}

impl Encode for Plan {
    fn encode(&self, out: &mut Writer) {
        encode_stages(&self.stages, out);
        self.guardrails.encode(out);
        self.on_complete.encode(out);
    }
}

impl Decode for Plan {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let plan = Self {
            stages: Range::strict(input, decode_stages)?,
            guardrails: Guardrails::decode(input)?,
            on_complete: OnComplete::decode(input)?,
        };
        if plan.is_valid() { Ok(plan) } else { Err(input.error(DecodeErrorKind::OutOfRange)) }
    }
}

fn encode_stages(stages: &[Stage], out: &mut Writer) {
    out.count_u8(stages.len());
    stages.iter().for_each(|stage| stage.encode(out));
}

fn decode_stages(input: &mut Reader<'_>, range: &mut Range) -> Result<Vec<Stage>, DecodeError> {
    let count = input.u8()?;
    (0..count).map(|_| Stage::read(input, range)).collect()
}

fn total_blocks(stages: &[Stage]) -> u64 {
    stages.iter().map(|stage| u64::from(stage.blocks)).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: Strategy = Strategy::with_defaults(StrategyKind::Canary);

    fn shares(strategy: &Strategy) -> Vec<(u16, u32)> {
        let plan = Plan::compile(strategy, &strategy.default_guardrails()).unwrap();
        plan.stages().iter().map(|stage| (stage.share_bps.get(), stage.blocks)).collect()
    }

    #[test]
    fn strategies_compile_to_their_stages() {
        let bps = |bps| Bps::new(bps).unwrap();
        let ramp = |initial, increment_bps, max| Strategy::Canary {
            initial_bps: bps(initial),
            increment_bps,
            increment_blocks: 10,
            max_bps: bps(max),
            observation_blocks: 5,
        };
        let canary = shares(&CANARY);
        assert_eq!((canary.len(), canary[0], canary[9]), (10, (500, 60), (5_000, 180)));
        assert_eq!(shares(&ramp(500, 0, 500)), [(500, 10)]);
        assert_eq!(shares(&ramp(1, 1, 2)), [(1, 10), (2, 10)]);
        assert_eq!(shares(&ramp(4_000, 3_500, 10_000)), [(4_000, 10), (7_500, 10), (10_000, 10)]);
        assert_eq!(shares(&ramp(1, 1, 32)).len(), 32);
        assert_eq!(shares(&Strategy::with_defaults(StrategyKind::Rolling)).len(), 10);
        assert_eq!(shares(&Strategy::with_defaults(StrategyKind::BlueGreen)), [(0, 60), (10_000, 60)]);
        assert_eq!(shares(&Strategy::with_defaults(StrategyKind::AbTest)), [(5_000, 8_640)]);
    }

    #[test]
    fn defaults_depend_on_the_strategy() {
        for (kind, success, error, min_requests, max_blocks, auto_promote) in [
            (StrategyKind::Canary, 9_900, 100, 100, 8 * (9 * 60 + 180), true),
            (StrategyKind::Rolling, 9_500, 500, 50, 8 * 300, true),
            (StrategyKind::BlueGreen, 0, 500, 50, 8 * 120, true),
            (StrategyKind::AbTest, 9_500, 500, 1_000, 8 * 8_640, false),
            (StrategyKind::Custom, 9_500, 500, 100, 0, true),
        ] {
            let expected = Guardrails {
                error_threshold_bps: Bps::new(error).unwrap(),
                success_threshold_bps: Bps::new(success).unwrap(),
                min_requests,
                max_blocks: NonZeroU32::new(max_blocks),
                auto_promote,
                auto_rollback: true,
                regression_z_centi: None,
            };
            assert_eq!(Strategy::with_defaults(kind).default_guardrails(), expected, "{}", kind.name());
        }
        let long = Strategy::AbTest { share_bps: Bps::new(1).unwrap(), duration_blocks: 1 << 29 };
        assert_eq!(long.default_guardrails().max_blocks, NonZeroU32::new(u32::MAX));
    }

    /// In a record the bytes are malformed. In a command the plan is rejected, and the rest must still decode.
    #[test]
    fn a_share_above_the_whole_is_no_plan() {
        let stage = Stage { share_bps: Bps::FULL, blocks: 1, min_requests: 0, gate: Gate::Time };
        let strategy = Strategy::Custom { on_complete: OnComplete::Promote, stages: [stage].into() };
        let guardrails = Guardrails {
            error_threshold_bps: Bps::FULL,
            success_threshold_bps: Bps::FULL,
            ..strategy.default_guardrails()
        };
        let bytes = [strategy.to_bytes(), guardrails.to_bytes()].concat();
        let full = Bps::FULL.get().to_be_bytes();
        let places: Vec<usize> = (1..bytes.len()).filter(|at| bytes[at - 1..=*at] == full).collect();
        assert_eq!(places.len(), 3);
        for at in places {
            let mut bytes = bytes.clone();
            bytes[at] += 1;
            let mut input = Reader::new(&bytes);
            assert_eq!(CompiledStrategy::decode(&mut input), Ok(Err(Reject::InvalidPlan)), "{at}");
            input.finish().unwrap();
            let mut input = Reader::new(&bytes);
            let strict = Strategy::decode(&mut input).and_then(|_| Guardrails::decode(&mut input));
            assert_eq!(strict.map_err(|error| error.kind), Err(DecodeErrorKind::OutOfRange), "{at}");
        }
    }

    #[test]
    fn broken_plans_are_refused() {
        let bps = |bps| Bps::new(bps).unwrap();
        let stage = |share, blocks| Stage { share_bps: bps(share), blocks, min_requests: 0, gate: Gate::Time };
        let custom = |stages: &[Stage]| Strategy::Custom { on_complete: OnComplete::Promote, stages: stages.into() };
        let rolling = |initial, increment_bps, increment_blocks| Strategy::Rolling {
            initial_bps: bps(initial),
            increment_bps,
            increment_blocks,
        };
        for (strategy, why) in [
            (custom(&[]), "no stage"),
            (custom(&[stage(1, 1); 33]), "33 stages"),
            (custom(&[stage(2, 1), stage(1, 1)]), "a falling share"),
            (custom(&[stage(0, 1)]), "a last share of 0"),
            (custom(&[stage(1, 0)]), "no blocks"),
            (rolling(0, 1, 1), "an initial share of 0"),
            (rolling(9_999, 0, 1), "a share that does not grow"),
            (rolling(1, 1, 1), "10 000 stages"),
            (rolling(1, 10_000, 0), "no blocks"),
            (Strategy::BlueGreen { health_blocks: 0, bake_blocks: 1 }, "no blocks"),
            (Strategy::AbTest { share_bps: Bps::ZERO, duration_blocks: 1 }, "a last share of 0"),
            (Strategy::AbTest { share_bps: bps(1), duration_blocks: u32::MAX }, "no room for a deadline"),
        ] {
            assert_eq!(Plan::compile(&strategy, &strategy.default_guardrails()), Err(ValueError::Plan), "{why}");
        }
        let guardrails = CANARY.default_guardrails();
        let total = 9 * 60 + 180;
        for (guardrails, good) in [
            (Guardrails { error_threshold_bps: Bps::FULL, ..guardrails }, true),
            (Guardrails { max_blocks: None, ..guardrails }, true),
            (Guardrails { max_blocks: NonZeroU32::new(total), ..guardrails }, false),
            (Guardrails { max_blocks: NonZeroU32::new(total + 1), ..guardrails }, true),
        ] {
            assert_eq!(Plan::compile(&CANARY, &guardrails).is_ok(), good, "{guardrails:?}");
        }
    }
}
