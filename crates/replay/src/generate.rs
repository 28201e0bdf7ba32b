//! Seeded synthetic workloads: features in many states, traffic, and some of everything else; on
//! request also plugins, whose two versions are deployed in turn.
//!
//! The same [`Workload`] gives the same blocks, byte for byte, on every machine. It runs no
//! state machine, so some transactions are rejected, as in practice.

use std::fmt;
use std::iter;
use std::num::NonZeroU32;
use std::str::FromStr;

use coalmine_core::{
    Address, Block, Bps, ChainId, Command, FeatureChanges, FeedBody, FeedKind, Genesis, GenesisError, Guardrails, Hash,
    Height, LimitError, Manifest, Name, Params, Payload, Percent, Reason, Report, Role, Roles, RuleSet, Sequence,
    Strategy, TX_COMMANDS_MAX, Transaction, Valid, ValueError, Version, VersionReport, standard,
};

/// Grants roles, creates the features and registers the versions of plugins.
pub const ADMIN: Address = Address([0x11; Address::LEN]);
/// Starts, advances, overrides and deploys.
pub const OPERATOR: Address = Address([0x22; Address::LEN]);
/// Reports; the first of several if reports are collected in rounds.
pub const REPORTER: Address = Address([0x33; Address::LEN]);
/// Rolls back.
pub const GUARDIAN: Address = Address([0x44; Address::LEN]);

/// The most features that one block creates.
const FEATURES_PER_BLOCK: u32 = 8_192;
/// The most plugins whose versions one block registers.
const PLUGINS_PER_BLOCK: u32 = 8_192;
/// The versions of every plugin.
const VERSIONS: [&str; 2] = ["1.0.0", "2.0.0"];
/// For how many blocks a transaction with a sequence is valid.
const VALID_BLOCKS: u32 = 100;
/// Features are created at a percent of 1 to this.
const CANARY_PERCENT_MAX: u64 = 50;

/// Splitmix64: small, well mixed, and the same everywhere.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.next()).saturating_mul(u128::from(end));
        u64::try_from(wide >> 64).unwrap_or_default()
    }

    /// A number below `end`, which is not 0.
    fn index(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(end.into())).unwrap_or_default()
    }

    fn percent(&mut self, max: u64) -> Percent {
        let percent = self.below(max).saturating_add(1);
        u8::try_from(percent).ok().and_then(|percent| Percent::new(percent).ok()).unwrap_or(Percent::FULL)
    }
}

macro_rules! kinds {
    ($($variant:ident = $weight:literal, $name:literal;)*) => {
        /// A kind of transaction, other than what creates features and plugins.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Kind {
            $($variant,)*
        }

        impl Kind {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];
            const WEIGHTS: &'static [u32] = &[$($weight,)*];

            const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

kinds! {
    Success = 70, "success";
    Error = 10, "error";
    Invariant = 4, "invariant";
    Canary = 4, "canary";
    Rollout = 3, "rollout";
    Advance = 1, "advance";
    Enable = 1, "enable";
    Disable = 1, "disable";
    Rollback = 1, "rollback";
    Override = 3, "override";
    Schedule = 1, "schedule";
    Malformed = 1, "malformed";
    Feed = 0, "feed";
    VersionSuccess = 0, "version_success";
    VersionError = 0, "version_error";
    Deploy = 0, "deploy";
    Register = 0, "register";
    Health = 0, "health";
}

impl Kind {
    const fn is_of_plugins(self) -> bool {
        match self {
            Self::VersionSuccess | Self::VersionError | Self::Deploy | Self::Register | Self::Health => true,
            Self::Success
            | Self::Error
            | Self::Invariant
            | Self::Canary
            | Self::Rollout
            | Self::Advance
            | Self::Enable
            | Self::Disable
            | Self::Rollback
            | Self::Override
            | Self::Schedule
            | Self::Malformed
            | Self::Feed => false,
        }
    }
}

/// How often each kind of transaction occurs: weights with any sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix(Vec<u32>);

impl Default for Mix {
    /// Seven successes and one error in ten, the rest mixed; no plugins and no feed.
    fn default() -> Self {
        Self(Kind::WEIGHTS.to_vec())
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights = self.weights().filter(|(_, weight)| *weight != 0);
        let weights: Vec<String> = weights.map(|(kind, weight)| format!("{}={weight}", kind.name())).collect();
        f.write_str(&weights.join(","))
    }
}

impl Mix {
    fn weights(&self) -> impl Iterator<Item = (Kind, u32)> {
        Kind::ALL.iter().copied().zip(self.0.iter().copied())
    }

    fn has_plugins(&self) -> bool {
        self.weights().any(|(kind, weight)| kind.is_of_plugins() && weight != 0)
    }
}

/// Why a mix is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// Not `kind=weight`.
    #[error("{0:?} is not KIND=WEIGHT with a weight of 0 to 1000000")]
    Part(String),
    /// An unknown kind.
    #[error("unknown kind {0:?}; there are {kinds}", kinds = kinds())]
    Kind(String),
    /// All weights are 0.
    #[error("at least one weight is not 0")]
    Empty,
}

fn kinds() -> String {
    Kind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Mix {
    type Err = MixError;

    /// Parses `success=90,error=10`; kinds that are not named have the weight 0.
    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut weights = vec![0; Kind::ALL.len()];
        for part in text.split(',') {
            let wrong = || MixError::Part(part.into());
            let (name, weight) = part.split_once('=').ok_or_else(wrong)?;
            let weight = weight.parse().ok().filter(|weight| *weight <= 1_000_000).ok_or_else(wrong)?;
            let found = weights.iter_mut().zip(Kind::ALL).find(|(_, kind)| kind.name() == name);
            let (found, _) = found.ok_or_else(|| MixError::Kind(name.into()))?;
            *found = weight;
        }
        if weights.iter().all(|weight| *weight == 0) { Err(MixError::Empty) } else { Ok(Self(weights)) }
    }
}

/// The parameters of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The number of features, and of plugins if the mix has them: 1 to 1 000 000.
    pub features: u32,
    /// The number of users, at least 1.
    pub users: u32,
    /// The number of blocks after those that create features and plugins.
    pub blocks: u32,
    /// The number of transactions in each of them, at most that of a full block.
    pub txs_per_block: u32,
    /// The seed of the pseudo-random numbers.
    pub seed: u64,
    /// How often each kind of transaction occurs.
    pub mix: Mix,
}

/// Rounds of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    /// The length of a round.
    pub blocks: NonZeroU32,
    /// How many reporters it takes for a round to act.
    pub quorum: u8,
}

impl Rounds {
    /// So many that a round reaches its quorum even if almost half of them are silent, as far as a round takes them.
    fn reporters(self) -> u8 {
        self.quorum.saturating_mul(2).saturating_sub(1).clamp(1, Params::QUORUM_MAX)
    }
}

/// The reporter with this number, from 0.
fn reporter(number: u8) -> Address {
    let mut address = REPORTER;
    if let ([first, .., last], 1..) = (&mut address.0, number) {
        (*first, *last) = (0x34, number);
    }
    address
}

/// Why a workload cannot be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// A block that is too large.
    #[error(transparent)]
    Block(#[from] LimitError),
    /// An invalid value.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// An invalid genesis.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
}

/// An iterator over the blocks of a workload.
///
/// ```
/// use coalmine_replay::generate::{Generator, Workload};
///
/// let workload = Workload { features: 10, users: 100, blocks: 3, txs_per_block: 50, seed: 1, mix: Default::default() };
/// assert_eq!(Generator::new(workload).count(), 4);
/// ```
#[derive(Debug, Clone)]
pub struct Generator {
    workload: Workload,
    random: Random,
    has_standard_names: bool,
    rounds: Option<Rounds>,
    /// The last sequence; `None` if transactions have none.
    sequence: Option<u64>,
    height: Height,
    created: u32,
    registered: u32,
}

impl Generator {
    /// Starts a workload. Its first block has height 1.
    #[must_use]
    pub fn new(workload: Workload) -> Self {
        let random = Random(workload.seed);
        Self {
            workload,
            random,
            has_standard_names: false,
            rounds: None,
            sequence: None,
            height: 0,
            created: 0,
            registered: 0,
        }
    }

    /// The same workload, but its first features have the names of [`standard::ALL`].
    #[must_use]
    pub const fn with_standard_names(mut self) -> Self {
        self.has_standard_names = true;
        self
    }

    /// The same workload, but its reports are collected in rounds and come from several reporters.
    #[must_use]
    pub const fn with_rounds(mut self, rounds: Rounds) -> Self {
        self.rounds = Some(rounds);
        self
    }

    /// The same workload, but every transaction has a sequence, which the ledger requires.
    #[must_use]
    pub const fn with_sequences(mut self) -> Self {
        self.sequence = Some(0);
        self
    }

    /// The genesis of the workload.
    ///
    /// # Errors
    /// A quorum that is out of range, or rounds that are too long.
    pub fn genesis(&self) -> Result<Genesis, GenerateError> {
        let roles: [(Address, Roles); 3] =
            [(ADMIN, Role::Admin.into()), (OPERATOR, Role::Operator.into()), (GUARDIAN, Role::Guardian.into())];
        let reporters = (0..self.rounds.map_or(1, Rounds::reporters)).map(|n| (reporter(n), Role::Reporter.into()));
        let params = Params {
            sequenced: self.sequence.is_some(),
            round_blocks: self.rounds.map(|rounds| rounds.blocks),
            quorum: self.rounds.map_or(1, |rounds| rounds.quorum),
            ..Params::default()
        };
        let roles = roles.into_iter().chain(reporters).collect();
        Ok(Genesis::with_params(RuleSet::LATEST, ChainId::new(b"generated")?, roles, params)?)
    }

    /// A transaction of the next block.
    fn sign(&mut self, signer: Address, commands: Vec<Command>) -> Result<Transaction, LimitError> {
        let transaction = Transaction::new(signer, commands)?;
        let Some(last) = self.sequence else { return Ok(transaction) };
        // One count for all signers: it rises for each of them, with gaps.
        let number = last.saturating_add(1);
        self.sequence = Some(number);
        let valid_until = NonZeroU32::new(self.height.saturating_add(VALID_BLOCKS));
        Ok(transaction.with_sequence(Sequence { number, valid_until }))
    }

    /// The feature with this number, from 0.
    ///
    /// # Errors
    /// None that is known.
    pub fn feature(&self, number: u32) -> Result<Name, ValueError> {
        let standard = usize::try_from(number).ok().and_then(|number| standard::ALL.get(number));
        match standard.filter(|_| self.has_standard_names) {
            Some(name) => name.parse(),
            None => format!("feature_{number:06}").parse(),
        }
    }

    /// The plugin with this number, from 0.
    ///
    /// # Errors
    /// None that is known.
    pub fn plugin(number: u32) -> Result<Name, ValueError> {
        format!("plugin_{number:06}").parse()
    }

    /// The user with this number, from 0.
    #[must_use]
    pub fn user(number: u32) -> Address {
        let mut random = Random(u64::from(number));
        let bytes = iter::repeat_with(|| random.next().to_be_bytes()).flatten();
        let mut address = Address::ZERO;
        address.0.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        address
    }

    fn block(&mut self) -> Result<Option<Block>, GenerateError> {
        let blocks = self.workload.blocks;
        if self.created < self.workload.features {
            self.height = self.height.saturating_add(1);
            return self.create_features().map(Some);
        }
        if self.registered < self.workload.features && self.workload.mix.has_plugins() {
            self.height = self.height.saturating_add(1);
            return self.register_plugins().map(Some);
        }
        if blocks == 0 {
            return Ok(None);
        }
        self.workload.blocks = blocks.saturating_sub(1);
        self.height = self.height.saturating_add(1);
        let payloads = (0..self.workload.txs_per_block).map(|_| self.payload()).collect::<Result<_, _>>()?;
        Ok(Some(Block::from_payloads(self.height, payloads)?))
    }

    fn create_features(&mut self) -> Result<Block, GenerateError> {
        let end = self.created.saturating_add(FEATURES_PER_BLOCK).min(self.workload.features);
        let mut txs = Vec::new();
        let mut commands = Vec::new();
        for number in self.created..end {
            let name = self.feature(number)?;
            let changes = FeatureChanges {
                increment_blocks: Some(self.random.index(20).saturating_add(1)),
                max_error_rate: Some(3_000),
                min_success_count: Some(10),
                ..FeatureChanges::default()
            };
            let mut create = Command::create_feature(name, "generated")?;
            if let Command::CreateFeature { changes: given, .. } = &mut create {
                *given = Valid::new(changes)?;
            }
            commands.extend([create, Command::StartCanary { name, percent: self.random.percent(CANARY_PERCENT_MAX) }]);
            if commands.len() >= TX_COMMANDS_MAX || number.saturating_add(1) == end {
                txs.push(self.sign(ADMIN, std::mem::take(&mut commands))?);
            }
        }
        self.created = end;
        Ok(Block::new(self.height, txs)?)
    }

    fn register_plugins(&mut self) -> Result<Block, GenerateError> {
        let end = self.registered.saturating_add(PLUGINS_PER_BLOCK).min(self.workload.features);
        let numbers = self.registered..end;
        let transaction = |number| {
            let plugin = Self::plugin(number)?;
            let versions = VERSIONS.iter().map(|version| register(plugin, version.parse()?));
            Ok(self.sign(ADMIN, versions.collect::<Result<_, ValueError>>()?)?)
        };
        let txs = numbers.map(transaction).collect::<Result<_, GenerateError>>()?;
        self.registered = end;
        Ok(Block::new(self.height, txs)?)
    }

    fn version(&mut self) -> Result<Version, ValueError> {
        let [old, new] = VERSIONS;
        if self.random.below(2) == 0 { old.parse() } else { new.parse() }
    }

    /// A report of ten requests.
    fn report_version(&mut self, plugin: Name, errors: u32) -> Result<Command, ValueError> {
        let report = VersionReport { requests: 10, errors, latency_total: self.random.below(1_000) };
        Command::report_version(plugin, self.version()?, report)
    }

    /// A strategy whose stages take a few blocks each.
    fn strategy(&mut self) -> Result<Strategy, ValueError> {
        Ok(match self.random.below(4) {
            0 => Strategy::Canary {
                initial_bps: Bps::new(1_000)?,
                increment_bps: 2_000,
                increment_blocks: 3,
                max_bps: Bps::new(5_000)?,
                observation_blocks: 5,
            },
            1 => Strategy::Rolling { initial_bps: Bps::new(2_500)?, increment_bps: 2_500, increment_blocks: 3 },
            2 => Strategy::BlueGreen { health_blocks: 10, bake_blocks: 5 },
            _ => Strategy::AbTest { share_bps: Bps::new(5_000)?, duration_blocks: 10 },
        })
    }

    fn payload(&mut self) -> Result<Payload, GenerateError> {
        let total: u64 = self.workload.mix.weights().map(|(_, weight)| u64::from(weight)).sum();
        let mut drawn = self.random.below(total.max(1));
        let mut kind = Kind::Success;
        for (candidate, weight) in self.workload.mix.weights() {
            match drawn.checked_sub(weight.into()) {
                Some(rest) => drawn = rest,
                None => {
                    kind = candidate;
                    break;
                }
            }
        }
        let number = self.random.index(self.workload.features.max(1));
        let name = self.feature(number)?;
        let user = Self::user(self.random.index(self.workload.users.max(1)));
        let report = Report {
            successes: 0,
            errors: 0,
            latency_total: 0,
            latency_peak: 0,
            invariant_checks: 0,
            invariant_failures: 0,
        };
        let latency = self.random.below(100);
        let report_of = |report| (REPORTER, Command::Report { name, report, trial: None });
        let (signer, command) = match kind {
            Kind::Success => {
                report_of(Valid::new(Report { successes: 1, latency_total: latency, latency_peak: latency, ..report })?)
            }
            Kind::Error => {
                report_of(Valid::new(Report { errors: 1, latency_total: latency, latency_peak: latency, ..report })?)
            }
            Kind::Invariant => report_of(Valid::new(Report { invariant_checks: 1, ..report })?),
            Kind::Canary => (OPERATOR, Command::StartCanary { name, percent: self.random.percent(CANARY_PERCENT_MAX) }),
            Kind::Rollout => (OPERATOR, Command::StartRollout { name, target_percent: Percent::FULL }),
            Kind::Advance => (OPERATOR, Command::AdvanceRollout { name }),
            Kind::Enable => (OPERATOR, Command::Enable { name }),
            Kind::Disable => (OPERATOR, Command::Disable { name }),
            Kind::Rollback => (GUARDIAN, Command::Rollback { name, reason: Reason::Manual }),
            Kind::Override => (OPERATOR, Command::SetOverride { name, user, enabled: self.random.below(2) == 0 }),
            Kind::Schedule => {
                let at = self.height.saturating_add(self.random.index(50)).saturating_add(1);
                (OPERATOR, Command::Schedule { at, commands: Valid::new(vec![Command::Enable { name }])? })
            }
            Kind::Malformed => return Ok(Payload::from_bytes(&user.0)),
            Kind::Feed => (ADMIN, self.message()?),
            Kind::VersionSuccess => (REPORTER, self.report_version(Self::plugin(number)?, 0)?),
            Kind::VersionError => (REPORTER, self.report_version(Self::plugin(number)?, 1)?),
            Kind::Deploy => {
                let (version, strategy) = (self.version()?, self.strategy()?);
                let terms = Guardrails { min_requests: 10, ..strategy.default_guardrails() };
                (OPERATOR, Command::deploy(Self::plugin(number)?, version, strategy, &terms)?)
            }
            Kind::Register => (ADMIN, register(Self::plugin(number)?, self.version()?)?),
            Kind::Health => {
                let version = self.version()?;
                (REPORTER, Command::AttestHealth { plugin: Self::plugin(number)?, version, healthy: true })
            }
        };
        let signer = match self.rounds {
            Some(rounds) if signer == REPORTER => {
                let number = self.random.below(rounds.reporters().into());
                reporter(u8::try_from(number).unwrap_or_default())
            }
            Some(_) | None => signer,
        };
        Ok(Payload::Transaction(self.sign(signer, vec![command])?))
    }
}

impl Generator {
    /// A message about one of a few hundred items, sometimes an outdated one.
    fn message(&mut self) -> Result<Command, GenerateError> {
        let kind = if self.random.below(4) == 0 { FeedKind::Filter } else { FeedKind::Environment };
        let id = format!("item_{:03}", self.random.below(500)).parse()?;
        let version = u64::from(self.height).saturating_add(self.random.below(4));
        if self.random.below(4) == 0 {
            return Ok(Command::FeedDelete { kind, id, version });
        }
        let body = FeedBody::new(&self.random.next().to_be_bytes())?;
        Ok(Command::FeedPatch { kind, id, version, body })
    }
}

/// Registers a version, always of the same code, so that a failed one can be registered again.
fn register(plugin: Name, version: Version) -> Result<Command, ValueError> {
    Command::register_version(plugin, version, Manifest::of_code(Hash([0xc0; Hash::LEN])))
}

impl Iterator for Generator {
    type Item = Result<Block, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.block().transpose()
    }
}
