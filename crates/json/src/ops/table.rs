//! The table: every op, its fields in the order of the encoding, and an example.

use coalmine_core::{
    Bps, CONFIG_SIZE_MAX, CommandKind, Constraint, Description, Encode, FEED_FORGET_IDS_MAX, Feature, FeedBody, FeedId,
    FeedPart, Gate, METADATA_MAX, MaxVersions, Name, PREREQUISITES_MAX, Params, Percent, Policy, REQUIREMENTS_MAX,
    SCHEDULE_COMMANDS_MAX, STAGES_MAX, StrategyKind, Version, VersionReport, Writer,
};

use super::kind::{
    ADVANCE, Absent, BUCKETING, FEED_KIND, FEED_PART, Field, GATE, Kind, LIFETIME, ON_COMPLETE, REASON, ROLE, STRATEGY,
    Unset, Word,
};

/// How deep schedules may be nested in JSON.
pub(super) const SCHEDULE_DEPTH_MAX: usize = 8;

/// A row: what an op takes, besides `op` itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// The fields, in the order of the encoding. A deploy goes on with those of its strategy and the guardrails.
    pub(super) fields: &'static [Field],
    /// A valid command in JSON.
    pub(super) example: &'static str,
}

const fn row(fields: &'static [Field], example: &'static str) -> Row {
    Row { fields, example }
}

const fn required(key: &'static str, kind: Kind, about: &'static str) -> Field {
    Field::new(key, kind, Absent::Error, about)
}

/// A setting that stays as it is if it is left out.
const fn change(key: &'static str, kind: Kind, about: &'static str) -> Field {
    Field::new(key, kind, Absent::Flag(Unset::Unchanged), about)
}

/// A setting that has a default of core if it is left out.
const fn initial(key: &'static str, kind: Kind, about: &'static str, core: fn(&mut Writer)) -> Field {
    Field::new(key, kind, Absent::Flag(Unset::Core(core)), about)
}

/// A number that is whichever is current if it is left out.
const fn current(key: &'static str, kind: Kind, about: &'static str) -> Field {
    Field::new(key, kind, Absent::Flag(Unset::Current), about)
}

const fn default(key: &'static str, kind: Kind, about: &'static str, value: fn(&mut Writer)) -> Field {
    Field::new(key, kind, Absent::Default(value), about)
}

const fn silent(key: &'static str, kind: Kind, about: &'static str, value: fn(&mut Writer)) -> Field {
    Field::new(key, kind, Absent::Silent(value), about)
}

const fn standard(key: &'static str, kind: Kind, about: &'static str) -> Field {
    Field::new(key, kind, Absent::Standard, about)
}

fn percents() -> (u64, u64) {
    (0, Percent::FULL.get().into())
}

/// A step that adds nothing would never end.
fn increments() -> (u64, u64) {
    (1, Percent::FULL.get().into())
}

fn shares() -> (u64, u64) {
    (0, Bps::FULL.get().into())
}

fn at_least_one() -> (u64, u64) {
    (1, u32::MAX.into())
}

fn rounds() -> (u64, u64) {
    (0, Params::BLOCKS_MAX.into())
}

const fn name(key: &'static str, about: &'static str) -> Field {
    required(key, Kind::Word(Word::Name), about).sizes(1, Name::LEN_MAX, "characters A-Z a-z 0-9 _ . : -")
}

const fn version(about: &'static str) -> Field {
    required("version", Kind::Word(Word::Version), about).sizes(1, Version::LEN_MAX, "bytes")
}

const NAME: Field = name("name", "the feature");
const PLUGIN: Field = name("plugin", "the plugin");
const VERSION: Field = version("the version, as SemVer 2.0");
const USER: Field = required("user", Kind::Address, "the user");
const FEED_ID: Field =
    required("id", Kind::Word(Word::FeedId), "the id of the item").sizes(1, FeedId::LEN_MAX, "printable characters");
const FEED_VERSION: Field = required("version", Kind::U64, "the version of the item; an older message changes nothing");
const BODY: Field = required("body", Kind::Bytes, "the content").sizes(0, FeedBody::LEN_MAX, "bytes");

const REASON_ABOUT: &str = "the reason, which is stored";
const DESCRIPTION_ABOUT: &str = "what the feature is, for people";
const INCREMENT_PERCENT: &str = "percentage points that each step of a rollout adds";
const INCREMENT_BLOCKS: &str = "blocks from one step to the next";
const MAX_ERROR_RATE: &str = "error rate in basis points above which the guard rolls back";
const MIN_SUCCESS_COUNT: &str = "successes of the trial without which no rollout starts";
const POLICY_ABOUT: &str = "the policy; a field of it that is left out has its default";

pub(super) const STAGE: &[Field] = &[
    required("share_bps", Kind::U16, "share of units that the new version serves, in basis points").within(shares),
    required("blocks", Kind::U32, "its length in blocks").within(at_least_one),
    default("min_requests", Kind::U64, "requests of the new version without which the stage is held", |out| out.u64(0)),
    default("gate", Kind::Tag(GATE), "the condition under which the stage is left", |out| Gate::Time.encode(out)),
];

/// The fields of a deploy before those of its strategy.
const DEPLOY: &[Field] = &[PLUGIN, VERSION, required("strategy", Kind::Tag(STRATEGY), "decides which fields follow")];

/// The fields of a strategy after its tag. Their defaults are those of [`Strategy::with_defaults`].
///
/// [`Strategy::with_defaults`]: coalmine_core::Strategy::with_defaults
pub(super) const fn strategy_fields(kind: StrategyKind) -> &'static [Field] {
    const INITIAL: Field = standard("initial_bps", Kind::U16, "the first share, in basis points").within(shares);
    const INCREMENT: Field = standard("increment_bps", Kind::U16, "basis points that each step adds");
    const INCREMENT_BLOCKS: Field = standard("increment_blocks", Kind::U32, "blocks from one step to the next");
    match kind {
        StrategyKind::Canary => {
            const {
                &[
                    INITIAL,
                    INCREMENT,
                    INCREMENT_BLOCKS,
                    standard("max_bps", Kind::U16, "the last share, in basis points").within(shares),
                    standard("observation_blocks", Kind::U32, "blocks at the last share"),
                ]
            }
        }
        StrategyKind::Rolling => const { &[INITIAL, INCREMENT, INCREMENT_BLOCKS] },
        StrategyKind::BlueGreen => {
            const {
                &[
                    standard("health_blocks", Kind::U32, "blocks without units, at least, before health lets it go on"),
                    standard("bake_blocks", Kind::U32, "blocks with all units before it is promoted"),
                ]
            }
        }
        StrategyKind::AbTest => {
            const {
                &[
                    standard("share_bps", Kind::U16, "share of the new version, in basis points").within(shares),
                    standard("duration_blocks", Kind::U32, "blocks until the verdict"),
                ]
            }
        }
        StrategyKind::Custom => {
            const {
                &[
                    standard("on_complete", Kind::Tag(ON_COMPLETE), "what the end of the last stage does"),
                    required("stages", Kind::Stages, "the stages, whose shares never fall")
                        .sizes(1, STAGES_MAX, "stages"),
                ]
            }
        }
    }
}

/// The guardrails of a deploy. Their defaults are those of [`Strategy::default_guardrails`].
///
/// [`Strategy::default_guardrails`]: coalmine_core::Strategy::default_guardrails
pub(super) const GUARDRAILS: &[Field] = &[
    standard("error_threshold_bps", Kind::U16, "error rate in basis points above which it is rolled back or paused")
        .within(shares),
    standard("success_threshold_bps", Kind::U16, "success rate in basis points without which a stage is held")
        .within(shares),
    standard("min_requests", Kind::U64, "requests below which the rules on errors and regression do not apply"),
    standard(
        "max_blocks",
        Kind::U32,
        "blocks from the start to the deadline, by default eight times those of the stages; 0: none",
    ),
    standard("auto_promote", Kind::Bool, "whether a completed plan takes over without a promote"),
    standard("auto_rollback", Kind::Bool, "whether a broken rule rolls back instead of pausing"),
    standard("regression_z_centi", Kind::U16, "z of the regression test in hundredths; 0: off"),
];

/// The fields of a policy after its version. Their defaults are those of `Policy::default()`.
pub(super) const POLICY: &[Field] = &[
    standard("bucketing", Kind::Tag(BUCKETING), "how users are mapped to buckets"),
    standard("advance", Kind::Tag(ADVANCE), "who makes the steps of a rollout"),
    standard("salt", Kind::U64, "part of the bucket hash: another salt draws other users"),
    standard("min_samples", Kind::U32, "operations below which the rules on error rate and latency do not apply"),
    standard("window_blocks", Kind::U32, "length in blocks of the guard's sliding window; 0: no window"),
    standard("step_min_operations", Kind::U64, "operations since the last step without which the next one is held"),
    standard(
        "max_invariant_failures",
        Kind::U64,
        "failed invariant checks of a trial above which the guard rolls back",
    ),
    standard("max_latency", Kind::U64, "average latency of a trial above which the guard rolls back; 0: any"),
    standard("lifetime", Kind::Tag(LIFETIME), "how long the feature is meant to live"),
    standard("expires_at", Kind::U32, "the height from which it is listed as stale; 0: never"),
    standard("prerequisites", Kind::Words(Word::Name), "features that must be on for the user too; fixed at creation")
        .sizes(0, PREREQUISITES_MAX, "names"),
];

/// The fields of an item of the feed after its id.
pub(super) const FEED_ITEM: &[Field] = &[FEED_VERSION, BODY];

/// What a command takes.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) const fn command(kind: CommandKind) -> Row {
    match kind {
        CommandKind::CreateFeature => row(
            const {
                &[
                    NAME,
                    required("description", Kind::Text, DESCRIPTION_ABOUT).sizes(0, Description::LEN_MAX, "bytes"),
                    initial("increment_percent", Kind::U8, INCREMENT_PERCENT, |out| {
                        out.u8(Feature::INCREMENT_PERCENT.get());
                    })
                    .within(increments),
                    initial("increment_blocks", Kind::U32, INCREMENT_BLOCKS, |out| out.u32(Feature::INCREMENT_BLOCKS))
                        .within(at_least_one),
                    initial("max_error_rate", Kind::U32, MAX_ERROR_RATE, |out| out.u32(Feature::MAX_ERROR_RATE))
                        .within(shares),
                    initial("min_success_count", Kind::U64, MIN_SUCCESS_COUNT, |out| {
                        out.u64(Feature::MIN_SUCCESS_COUNT);
                    }),
                    initial("policy", Kind::Policy, POLICY_ABOUT, |out| Policy::default().encode(out)),
                ]
            },
            r#"{"op":"create_feature","name":"search_v3","description":"the new search","max_error_rate":200,"policy":{"window_blocks":100}}"#,
        ),
        CommandKind::ConfigureFeature => row(
            const {
                &[
                    NAME,
                    change("description", Kind::Text, DESCRIPTION_ABOUT).sizes(0, Description::LEN_MAX, "bytes"),
                    change("increment_percent", Kind::U8, INCREMENT_PERCENT).within(increments),
                    change("increment_blocks", Kind::U32, INCREMENT_BLOCKS).within(at_least_one),
                    change("max_error_rate", Kind::U32, MAX_ERROR_RATE).within(shares),
                    change("min_success_count", Kind::U64, MIN_SUCCESS_COUNT),
                    change("policy", Kind::Policy, POLICY_ABOUT),
                ]
            },
            r#"{"op":"configure_feature","name":"search_v3","increment_percent":20,"increment_blocks":1200}"#,
        ),
        CommandKind::StartCanary => row(
            const { &[NAME, required("percent", Kind::U8, "percent of users for whom it is on").within(percents)] },
            r#"{"op":"start_canary","name":"search_v3","percent":5}"#,
        ),
        CommandKind::StartRollout => row(
            const { &[NAME, required("target_percent", Kind::U8, "percent at which it ends").within(percents)] },
            r#"{"op":"start_rollout","name":"search_v3","target_percent":100}"#,
        ),
        CommandKind::AdvanceRollout => row(const { &[NAME] }, r#"{"op":"advance_rollout","name":"search_v3"}"#),
        CommandKind::Enable => row(const { &[NAME] }, r#"{"op":"enable","name":"search_v3"}"#),
        CommandKind::Disable => row(const { &[NAME] }, r#"{"op":"disable","name":"search_v3"}"#),
        CommandKind::PauseRollout => row(const { &[NAME] }, r#"{"op":"pause_rollout","name":"search_v3"}"#),
        CommandKind::Rollback => row(
            const { &[NAME, required("reason", Kind::Tag(REASON), REASON_ABOUT)] },
            r#"{"op":"rollback","name":"search_v3","reason":"performance"}"#,
        ),
        CommandKind::SetOverride => row(
            const { &[NAME, USER, required("enabled", Kind::Bool, "whether the feature is on for the user")] },
            r#"{"op":"set_override","name":"search_v3","user":"0x00000000000000000000000000000000000000aa","enabled":true}"#,
        ),
        CommandKind::ClearOverride => row(
            const { &[NAME, USER] },
            r#"{"op":"clear_override","name":"search_v3","user":"0x00000000000000000000000000000000000000aa"}"#,
        ),
        CommandKind::Report => row(
            const {
                &[
                    NAME,
                    required("successes", Kind::U32, "operations that succeeded"),
                    required("errors", Kind::U32, "operations that failed"),
                    required("latency_total", Kind::U64, "sum of their latencies, in the unit of max_latency"),
                    required("latency_peak", Kind::U64, "the highest of these latencies"),
                    required("invariant_checks", Kind::U32, "invariant checks made"),
                    required("invariant_failures", Kind::U32, "invariant checks that failed"),
                    current("trial", Kind::U32, "the start_block of the trial in which they were seen"),
                ]
            },
            r#"{"op":"report","name":"search_v3","successes":990,"errors":10,"latency_total":42000,"latency_peak":180,"invariant_checks":0,"invariant_failures":0}"#,
        ),
        CommandKind::TripBreaker => row(
            const {
                &[
                    required("reason", Kind::Tag(REASON), REASON_ABOUT),
                    silent("until", Kind::U32, "the height at which it closes by itself; 0: never", |out| out.u32(0)),
                    required("drain", Kind::Bool, "whether to roll back everything that is not fully on"),
                ]
            },
            r#"{"op":"trip_breaker","reason":"consensus_failure","drain":true}"#,
        ),
        CommandKind::ResetBreaker => row(&[], r#"{"op":"reset_breaker"}"#),
        CommandKind::Schedule => row(
            const {
                &[
                    required("at", Kind::U32, "the height at which they run, above the current one"),
                    required("commands", Kind::Commands, "what runs then, as one atomic transaction of the signer")
                        .sizes(1, SCHEDULE_COMMANDS_MAX, "commands"),
                ]
            },
            r#"{"op":"schedule","at":5000,"commands":[{"op":"start_rollout","name":"search_v3","target_percent":100}]}"#,
        ),
        CommandKind::CancelSchedule => row(
            const {
                &[
                    required("at", Kind::U32, "the height of the entry"),
                    required("id", Kind::U64, "the id of the entry, which show schedule prints"),
                ]
            },
            r#"{"op":"cancel_schedule","at":5000,"id":1}"#,
        ),
        CommandKind::GrantRole => row(
            const {
                &[
                    required("address", Kind::Address, "who gets the role; not the zero address"),
                    required("role", Kind::Tag(ROLE), "the role"),
                ]
            },
            r#"{"op":"grant_role","address":"0x2222222222222222222222222222222222222222","role":"operator"}"#,
        ),
        CommandKind::RevokeRole => row(
            const {
                &[
                    required("address", Kind::Address, "who loses the role"),
                    required("role", Kind::Tag(ROLE), "the role"),
                ]
            },
            r#"{"op":"revoke_role","address":"0x2222222222222222222222222222222222222222","role":"operator"}"#,
        ),
        CommandKind::SetParams => row(
            const {
                &[
                    change("max_due_per_block", Kind::U32, "pieces of due work of one kind that a block does at most")
                        .within(at_least_one),
                    change(
                        "breaker_rollbacks",
                        Kind::U32,
                        "automatic rollbacks within the window that open the breaker; 0: never",
                    ),
                    change("breaker_window", Kind::U32, "length of that window in blocks"),
                    change("timelock", Kind::U32, "blocks that a raising command waits on the schedule; 0: none")
                        .within(rounds),
                    change("sequenced", Kind::Bool, "whether every transaction needs a sequence"),
                    change("round_blocks", Kind::U32, "length of a round of reports in blocks; 0: each acts at once")
                        .within(rounds),
                    change("quorum", Kind::U8, "reporters that it takes for a round to act")
                        .within(|| (1, Params::QUORUM_MAX.into())),
                ]
            },
            r#"{"op":"set_params","breaker_rollbacks":3,"breaker_window":1000}"#,
        ),
        CommandKind::SetRules => row(
            const { &[required("rules", Kind::U16, "the number of the rule set, above the current one")] },
            r#"{"op":"set_rules","rules":2}"#,
        ),
        CommandKind::RegisterVersion => row(
            const {
                &[
                    PLUGIN,
                    VERSION,
                    required("code_hash", Kind::Hash, "SHA-256 of the code"),
                    silent(
                        "host",
                        Kind::Word(Word::Constraint),
                        "versions of the host that it runs on; empty: any",
                        |out| out.lp8(&[]),
                    )
                    .sizes(0, Constraint::LEN_MAX, "bytes"),
                    silent(
                        "requirements",
                        Kind::Pairs("plugin to constraint"),
                        "plugins that must be loaded before it",
                        |out| out.u8(0),
                    )
                    .sizes(0, REQUIREMENTS_MAX, "requirements"),
                    silent("config", Kind::Bytes, "bytes for the plugin", |out| out.lp16(&[])).sizes(
                        0,
                        CONFIG_SIZE_MAX,
                        "bytes",
                    ),
                    silent("metadata", Kind::Pairs("name to text"), "anything for people", |out| out.u8(0)).sizes(
                        0,
                        METADATA_MAX,
                        "entries",
                    ),
                ]
            },
            r#"{"op":"register_version","plugin":"api","version":"2.0.0","code_hash":"2222222222222222222222222222222222222222222222222222222222222222","requirements":{"storage":"^1.2"}}"#,
        ),
        CommandKind::Deploy => {
            row(DEPLOY, r#"{"op":"deploy","plugin":"api","version":"2.0.0","strategy":"canary","initial_bps":500}"#)
        }
        CommandKind::Pause => row(const { &[PLUGIN] }, r#"{"op":"pause","plugin":"api"}"#),
        CommandKind::Resume => row(const { &[PLUGIN] }, r#"{"op":"resume","plugin":"api"}"#),
        CommandKind::Promote => row(const { &[PLUGIN] }, r#"{"op":"promote","plugin":"api"}"#),
        CommandKind::RollbackDeployment => row(const { &[PLUGIN] }, r#"{"op":"rollback_deployment","plugin":"api"}"#),
        CommandKind::Revert => row(const { &[PLUGIN] }, r#"{"op":"revert","plugin":"api"}"#),
        CommandKind::Load => row(const { &[PLUGIN] }, r#"{"op":"load","plugin":"api"}"#),
        CommandKind::RetireVersion => {
            row(const { &[PLUGIN, VERSION] }, r#"{"op":"retire_version","plugin":"api","version":"1.0.0"}"#)
        }
        CommandKind::SetRule => row(
            const {
                &[
                    PLUGIN,
                    silent(
                        "constraint",
                        Kind::Word(Word::Constraint),
                        "versions that may become current; empty: all",
                        |out| out.lp8(&[]),
                    )
                    .sizes(0, Constraint::LEN_MAX, "bytes"),
                ]
            },
            r#"{"op":"set_rule","plugin":"api","constraint":">=1.4, <3"}"#,
        ),
        CommandKind::SetHostVersion => row(
            const { &[version("the version of the host, as SemVer 2.0")] },
            r#"{"op":"set_host_version","version":"1.8.0"}"#,
        ),
        CommandKind::SetRegistryParams => row(
            const {
                &[
                    change("max_versions", Kind::U16, "versions kept of each plugin")
                        .within(|| (MaxVersions::MIN.get().into(), MaxVersions::MAX.get().into())),
                    change("auto_load", Kind::Bool, "whether a new plugin is loaded without a load command"),
                ]
            },
            r#"{"op":"set_registry_params","max_versions":8,"auto_load":true}"#,
        ),
        CommandKind::Unload => row(
            const {
                &[
                    PLUGIN,
                    default("force", Kind::Bool, "whether to unload all that depends on it too", |out| out.bool(false)),
                ]
            },
            r#"{"op":"unload","plugin":"api","force":true}"#,
        ),
        CommandKind::ReportVersion => row(
            const {
                &[
                    PLUGIN,
                    VERSION,
                    required("requests", Kind::U32, "requests served"),
                    default("errors", Kind::U32, "requests that failed", |out| {
                        out.u32(VersionReport::default().errors)
                    }),
                    default("latency_total", Kind::U64, "sum of their latencies", |out| {
                        out.u64(VersionReport::default().latency_total);
                    }),
                    current("deployment", Kind::U32, "the number of the deployment in which they were seen"),
                ]
            },
            r#"{"op":"report_version","plugin":"api","version":"2.0.0","requests":1000,"errors":4,"latency_total":9000}"#,
        ),
        CommandKind::AttestHealth => row(
            const { &[PLUGIN, VERSION, required("healthy", Kind::Bool, "whether it is healthy")] },
            r#"{"op":"attest_health","plugin":"api","version":"2.0.0","healthy":true}"#,
        ),
        CommandKind::ReportLoad => row(
            const { &[PLUGIN, VERSION, required("ok", Kind::Bool, "whether it was loaded")] },
            r#"{"op":"report_load","plugin":"api","version":"2.0.0","ok":true}"#,
        ),
        CommandKind::ReportUnload => row(
            const { &[PLUGIN, VERSION, required("ok", Kind::Bool, "whether it was unloaded")] },
            r#"{"op":"report_unload","plugin":"api","version":"2.0.0","ok":true}"#,
        ),
        CommandKind::FeedPut => row(
            const {
                &[
                    default("part", Kind::Tag(FEED_PART), "which part of the put it is", |out| {
                        FeedPart::Only.encode(out)
                    }),
                    default("environments", Kind::FeedItems, "all environments", |out| out.u16(0)),
                    default("filters", Kind::FeedItems, "all filters", |out| out.u16(0)),
                ]
            },
            r#"{"op":"feed_put","environments":{"production":{"version":7,"body":"7b7d"}}}"#,
        ),
        CommandKind::FeedPatch => row(
            const { &[required("kind", Kind::Tag(FEED_KIND), "environment or filter"), FEED_ID, FEED_VERSION, BODY] },
            r#"{"op":"feed_patch","kind":"environment","id":"production","version":8,"body":"7b7d"}"#,
        ),
        CommandKind::FeedDelete => row(
            const { &[required("kind", Kind::Tag(FEED_KIND), "environment or filter"), FEED_ID, FEED_VERSION] },
            r#"{"op":"feed_delete","kind":"environment","id":"production","version":9}"#,
        ),
        CommandKind::FeedForget => row(
            const {
                &[
                    required("kind", Kind::Tag(FEED_KIND), "environment or filter"),
                    required("ids", Kind::Words(Word::FeedId), "the ids of deleted items").sizes(
                        1,
                        FEED_FORGET_IDS_MAX,
                        "ids",
                    ),
                ]
            },
            r#"{"op":"feed_forget","kind":"environment","ids":["production","staging"]}"#,
        ),
    }
}

/// Sugar that means a report without a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shorthand {
    /// Operations that succeeded.
    Success,
    /// Operations that failed.
    Error,
    /// Invariant checks, without operations.
    Invariant,
}

impl Shorthand {
    pub(super) const ALL: [Self; 3] = [Self::Success, Self::Error, Self::Invariant];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Success => "record_success",
            Self::Error => "record_error",
            Self::Invariant => "record_invariant",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shorthand| shorthand.name() == name)
    }

    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Success => "Short for a report of operations that succeeded.",
            Self::Error => "Short for a report of operations that failed.",
            Self::Invariant => "Short for a report of invariant checks.",
        }
    }

    pub(super) const fn row(self) -> Row {
        const COUNT: Field = default("count", Kind::U32, "how many", |out| out.u32(1));
        const LATENCY: Field = default("latency", Kind::U64, "latency of each of them, and the peak", |out| out.u64(0));
        const OPERATIONS: &[Field] = &[NAME, COUNT, LATENCY];
        match self {
            Self::Success => row(OPERATIONS, r#"{"op":"record_success","name":"search_v3","count":990,"latency":42}"#),
            Self::Error => row(OPERATIONS, r#"{"op":"record_error","name":"search_v3","count":10}"#),
            Self::Invariant => row(
                const { &[NAME, required("ok", Kind::Bool, "whether they passed"), COUNT] },
                r#"{"op":"record_invariant","name":"search_v3","ok":false}"#,
            ),
        }
    }
}
