//! The table: the fields of each command in the order of the encoding, each with its key, its [`Kind`]
//! and what it means to leave it out.

use coalmine_core::{
    Advance, Bucketing, CommandKind, FeedKind, FeedPart, Gate, Lifetime, OnComplete, Reason, Role, StrategyKind,
};

use crate::json::{Problem, Val};

/// How deep schedules may be nested in JSON.
pub(super) const SCHEDULE_DEPTH_MAX: usize = 8;

/// The names of an enum and their bytes.
#[derive(Debug)]
pub(super) struct Tags {
    what: &'static str,
    tag: fn(&str) -> Option<u8>,
    pub(super) name: fn(u8) -> Option<&'static str>,
    names: fn() -> Vec<&'static str>,
}

macro_rules! tags {
    ($type:ty, $what:literal) => {
        &Tags {
            what: $what,
            tag: |name| <$type>::from_name(name).map(<$type>::tag),
            name: |tag| <$type>::from_tag(tag).map(<$type>::name),
            names: || <$type>::ALL.iter().map(|value| value.name()).collect(),
        }
    };
}

const REASON: &Tags = tags!(Reason, "reason");
const BUCKETING: &Tags = tags!(Bucketing, "bucketing");
const ADVANCE: &Tags = tags!(Advance, "advance");
const LIFETIME: &Tags = tags!(Lifetime, "lifetime");
const STRATEGY: &Tags = tags!(StrategyKind, "strategy");
const GATE: &Tags = tags!(Gate, "gate");
const ON_COMPLETE: &Tags = tags!(OnComplete, "on_complete");
const FEED_KIND: &Tags = tags!(FeedKind, "kind");
const FEED_PART: &Tags = tags!(FeedPart, "part");
const ROLE: &Tags = &Tags {
    what: "role",
    tag: |name| Role::from_name(name).map(Role::mask),
    name: |mask| Role::from_mask(mask).map(Role::name),
    names: role_names,
};

pub(crate) fn role_names() -> Vec<&'static str> {
    Role::ALL.into_iter().map(Role::name).collect()
}

impl Tags {
    pub(super) fn read(&self, value: Val<'_>) -> Result<u8, Problem> {
        value.one_of(self.what, self.tag, self.names)
    }
}

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Text after a u8 length; whether it is a valid name or id is not checked.
    Name,
    /// Text after a u16 length.
    Text,
    U8,
    U16,
    U32,
    U64,
    Bool,
    /// 32 bytes, hex in JSON.
    Hash,
    /// Bytes after a u16 length, hex in JSON.
    Bytes,
    /// 20 bytes, `0x` and hex in JSON.
    Address,
    /// One byte, a name in JSON.
    Tag(&'static Tags),
    /// A u8 count, then names, in the order given.
    Names,
    /// A u8 count, then ascending pairs of texts, each after a u8 length; an object in JSON.
    Pairs,
    /// The version byte and the fields of a policy.
    Policy,
    /// A u8 count, then the fields of stages.
    Stages,
    /// A u8 count, then commands, each after a u16 length.
    Commands,
    /// A u16 count, then items of the feed, ascending by id; an object in JSON.
    FeedItems,
}

/// What it means to leave a field out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Absent {
    /// An error.
    Error,
    /// The flag byte 0 instead of 1 and the value.
    Flag,
    /// This JSON value. The writer still writes it.
    Default(&'static str),
    /// This JSON value. The writer leaves it out, too.
    Silent(&'static str),
    /// The value of this field in core's default of the record. The writer still writes it.
    Standard,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    pub(super) absent: Absent,
}

const fn required(key: &'static str, kind: Kind) -> Field {
    Field { key, kind, absent: Absent::Error }
}

const fn optional(key: &'static str, kind: Kind) -> Field {
    Field { key, kind, absent: Absent::Flag }
}

const fn default(key: &'static str, kind: Kind, value: &'static str) -> Field {
    Field { key, kind, absent: Absent::Default(value) }
}

const fn standard(key: &'static str, kind: Kind) -> Field {
    Field { key, kind, absent: Absent::Standard }
}

const fn silent(key: &'static str, kind: Kind, value: &'static str) -> Field {
    Field { key, kind, absent: Absent::Silent(value) }
}

const NAME: Field = required("name", Kind::Name);
const PLUGIN: Field = required("plugin", Kind::Name);
const VERSION: Field = required("version", Kind::Name);

pub(super) const STAGE: &[Field] = &[
    required("share_bps", Kind::U16),
    required("blocks", Kind::U32),
    default("min_requests", Kind::U64, "0"),
    default("gate", Kind::Tag(GATE), "\"time\""),
];

/// The fields of a deploy before those of its strategy.
pub(super) const DEPLOY: &[Field] = &[PLUGIN, VERSION, required("strategy", Kind::Tag(STRATEGY))];

/// The fields of a strategy after its tag. Their defaults are those of [`Strategy::with_defaults`].
///
/// [`Strategy::with_defaults`]: coalmine_core::Strategy::with_defaults
pub(super) const fn strategy_fields(kind: StrategyKind) -> &'static [Field] {
    match kind {
        StrategyKind::Canary => {
            const {
                &[
                    standard("initial_bps", Kind::U16),
                    standard("increment_bps", Kind::U16),
                    standard("increment_blocks", Kind::U32),
                    standard("max_bps", Kind::U16),
                    standard("observation_blocks", Kind::U32),
                ]
            }
        }
        StrategyKind::Rolling => {
            const {
                &[
                    standard("initial_bps", Kind::U16),
                    standard("increment_bps", Kind::U16),
                    standard("increment_blocks", Kind::U32),
                ]
            }
        }
        StrategyKind::BlueGreen => {
            const { &[standard("health_blocks", Kind::U32), standard("bake_blocks", Kind::U32)] }
        }
        StrategyKind::AbTest => const { &[standard("share_bps", Kind::U16), standard("duration_blocks", Kind::U32)] },
        StrategyKind::Custom => {
            const { &[standard("on_complete", Kind::Tag(ON_COMPLETE)), required("stages", Kind::Stages)] }
        }
    }
}

/// The guardrails of a deploy. Their defaults are those of [`Strategy::default_guardrails`].
///
/// [`Strategy::default_guardrails`]: coalmine_core::Strategy::default_guardrails
pub(super) const GUARDRAILS: &[Field] = &[
    standard("error_threshold_bps", Kind::U16),
    standard("success_threshold_bps", Kind::U16),
    standard("min_requests", Kind::U64),
    standard("max_blocks", Kind::U32),
    standard("auto_promote", Kind::Bool),
    standard("auto_rollback", Kind::Bool),
    standard("regression_z_centi", Kind::U16),
];

/// The fields of a policy after its version. Their defaults are those of `Policy::default()`.
pub(super) const POLICY: &[Field] = &[
    standard("bucketing", Kind::Tag(BUCKETING)),
    standard("advance", Kind::Tag(ADVANCE)),
    standard("salt", Kind::U64),
    standard("min_samples", Kind::U32),
    standard("window_blocks", Kind::U32),
    standard("step_min_operations", Kind::U64),
    standard("max_invariant_failures", Kind::U64),
    standard("max_latency", Kind::U64),
    standard("lifetime", Kind::Tag(LIFETIME)),
    standard("expires_at", Kind::U32),
    standard("prerequisites", Kind::Names),
];

/// The fields of an item of the feed after its id.
pub(super) const FEED_ITEM: &[Field] = &[required("version", Kind::U64), required("body", Kind::Bytes)];

/// The fields of a command after its tag, in the order of the encoding.
pub(super) const fn fields(kind: CommandKind) -> &'static [Field] {
    match kind {
        CommandKind::CreateFeature => {
            const {
                &[
                    NAME,
                    required("description", Kind::Text),
                    optional("increment_percent", Kind::U8),
                    optional("increment_blocks", Kind::U32),
                    optional("max_error_rate", Kind::U32),
                    optional("min_success_count", Kind::U64),
                    optional("policy", Kind::Policy),
                ]
            }
        }
        CommandKind::ConfigureFeature => {
            const {
                &[
                    NAME,
                    optional("description", Kind::Text),
                    optional("increment_percent", Kind::U8),
                    optional("increment_blocks", Kind::U32),
                    optional("max_error_rate", Kind::U32),
                    optional("min_success_count", Kind::U64),
                    optional("policy", Kind::Policy),
                ]
            }
        }
        CommandKind::StartCanary => const { &[NAME, required("percent", Kind::U8)] },
        CommandKind::StartRollout => const { &[NAME, required("target_percent", Kind::U8)] },
        CommandKind::AdvanceRollout | CommandKind::Enable | CommandKind::Disable | CommandKind::PauseRollout => {
            const { &[NAME] }
        }
        CommandKind::Rollback => const { &[NAME, required("reason", Kind::Tag(REASON))] },
        CommandKind::SetOverride => const { &[NAME, required("user", Kind::Address), required("enabled", Kind::Bool)] },
        CommandKind::ClearOverride => const { &[NAME, required("user", Kind::Address)] },
        CommandKind::Report => {
            const {
                &[
                    NAME,
                    required("successes", Kind::U32),
                    required("errors", Kind::U32),
                    required("latency_total", Kind::U64),
                    required("latency_peak", Kind::U64),
                    required("invariant_checks", Kind::U32),
                    required("invariant_failures", Kind::U32),
                    optional("trial", Kind::U32),
                ]
            }
        }
        CommandKind::TripBreaker => {
            const { &[required("reason", Kind::Tag(REASON)), silent("until", Kind::U32, "0"), required("drain", Kind::Bool)] }
        }
        CommandKind::ResetBreaker => &[],
        CommandKind::Schedule => const { &[required("at", Kind::U32), required("commands", Kind::Commands)] },
        CommandKind::CancelSchedule => const { &[required("at", Kind::U32), required("id", Kind::U64)] },
        CommandKind::GrantRole | CommandKind::RevokeRole => {
            const { &[required("address", Kind::Address), required("role", Kind::Tag(ROLE))] }
        }
        CommandKind::SetParams => {
            const {
                &[
                    optional("max_due_per_block", Kind::U32),
                    optional("breaker_rollbacks", Kind::U32),
                    optional("breaker_window", Kind::U32),
                    optional("timelock", Kind::U32),
                    optional("sequenced", Kind::Bool),
                    optional("round_blocks", Kind::U32),
                    optional("quorum", Kind::U8),
                ]
            }
        }
        CommandKind::SetRules => const { &[required("rules", Kind::U16)] },
        CommandKind::RegisterVersion => {
            const {
                &[
                    PLUGIN,
                    VERSION,
                    required("code_hash", Kind::Hash),
                    silent("host", Kind::Name, "\"\""),
                    silent("requirements", Kind::Pairs, "{}"),
                    silent("config", Kind::Bytes, "\"\""),
                    silent("metadata", Kind::Pairs, "{}"),
                ]
            }
        }
        // Its strategy and its guardrails follow.
        CommandKind::Deploy => DEPLOY,
        CommandKind::Pause
        | CommandKind::Resume
        | CommandKind::Promote
        | CommandKind::RollbackDeployment
        | CommandKind::Revert
        | CommandKind::Load => const { &[PLUGIN] },
        CommandKind::RetireVersion => const { &[PLUGIN, VERSION] },
        CommandKind::SetRule => const { &[PLUGIN, silent("constraint", Kind::Name, "\"\"")] },
        CommandKind::SetHostVersion => const { &[VERSION] },
        CommandKind::SetRegistryParams => {
            const { &[optional("max_versions", Kind::U16), optional("auto_load", Kind::Bool)] }
        }
        CommandKind::Unload => const { &[PLUGIN, default("force", Kind::Bool, "false")] },
        CommandKind::ReportVersion => {
            const {
                &[
                    PLUGIN,
                    VERSION,
                    required("requests", Kind::U32),
                    default("errors", Kind::U32, "0"),
                    default("latency_total", Kind::U64, "0"),
                    optional("deployment", Kind::U32),
                ]
            }
        }
        CommandKind::AttestHealth => const { &[PLUGIN, VERSION, required("healthy", Kind::Bool)] },
        CommandKind::ReportLoad | CommandKind::ReportUnload => const { &[PLUGIN, VERSION, required("ok", Kind::Bool)] },
        CommandKind::FeedPut => {
            const {
                &[
                    default("part", Kind::Tag(FEED_PART), "\"only\""),
                    default("environments", Kind::FeedItems, "{}"),
                    default("filters", Kind::FeedItems, "{}"),
                ]
            }
        }
        CommandKind::FeedPatch => {
            const {
                &[
                    required("kind", Kind::Tag(FEED_KIND)),
                    required("id", Kind::Name),
                    required("version", Kind::U64),
                    required("body", Kind::Bytes),
                ]
            }
        }
        CommandKind::FeedDelete => {
            const { &[required("kind", Kind::Tag(FEED_KIND)), required("id", Kind::Name), required("version", Kind::U64)] }
        }
        CommandKind::FeedForget => const { &[required("kind", Kind::Tag(FEED_KIND)), required("ids", Kind::Names)] },
    }
}
