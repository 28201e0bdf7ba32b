//! What a state weighs, and what an idle one costs.
//!
//! The size: spammers give every command there is, as large as it can be, and after each block every
//! kind of record stays under its row of the chapter on size in FORMAT.md. The same spam with one
//! leaked record in a block must be caught.
//!
//! The cost: an empty block over a state full of what waits for nothing takes less than twice the
//! instructions that it takes over a nearly empty one. `valgrind` counts them; without it the test
//! says that it is skipped. A block that looks at every feature must be caught.
//!
//! The long forms are 100 000 blocks, and a million features:
//! `COALMINE_BOUNDS_BLOCKS=100000 cargo test --release -p coalmine-core --test it bounds::size`
//! `COALMINE_BOUNDS_IDLE=1000000 cargo test --release -p coalmine-core --test it bounds::idle`
//! `COALMINE_BOUNDS_SEED` starts the spam from another seed.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::process::Command as Process;
use std::sync::Arc;

use coalmine_core::{
    Address, Advance, Block, Bps, COMMAND_SIZE_MAX, ChainId, Command, CommandKind, Constraint, Decode, Description,
    Encode, Event, FEED_FORGET_IDS_MAX, FEED_LIVE_MAX, FEED_RECORDS_MAX, Feature, FeatureChanges, FeedBody, FeedEntry,
    FeedId, FeedKey, FeedKind, FeedPart, FeedState, Genesis, Global, Hash, Height, Key, LOADED_MAX, Manifest,
    MaxVersions, Metrics, Name, PREREQUISITES_MAX, Params, Payload, Policy, REQUIREMENTS_MAX, Reader, Reason, Receipt,
    Requirement, Role, STAGES_MAX, State, Terms, Valid, Version, Writer,
};

use crate::common::document::{Document, document};
use crate::common::plugins::*;
use crate::common::*;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}

// Formulas.

/// A sum: each term is added or not, and is the product of its words.
type Sum = Vec<(bool, Vec<String>)>;

fn sum(text: &str) -> Sum {
    let mut terms: Sum = Vec::new();
    for part in text.split(" + ").filter(|part| !part.is_empty()) {
        for (index, term) in part.split(" - ").enumerate() {
            terms.push((index == 0, term.split(" × ").map(str::to_owned).collect()));
        }
    }
    terms
}

/// The chapter on size.
struct Formula {
    limits: BTreeMap<String, i64>,
    /// Bytes of a record and how many there can be, in the order of the table.
    records: Vec<(String, (i64, Sum))>,
    /// What a command adds at most.
    commands: BTreeMap<String, Sum>,
}

impl Formula {
    fn of(document: &Document) -> Self {
        let table = |columns: &[&str]| document.table(None, columns).rows.iter();
        let limits = table(&["limit", "value"]).map(|row| (row[0].clone(), row[1].parse().unwrap())).collect();
        let record = |row: &Vec<String>| (row[0].clone(), (row[1].parse().unwrap(), sum(&row[2])));
        let records = table(&["record of a state", "bytes", "at most so many"]).map(record).collect();
        let commands = table(&["command of a growing state", "adds at most"]);
        let commands = commands.map(|row| (row[0].clone(), sum(&row[1]))).collect();
        Self { limits, records, commands }
    }

    fn evaluate(&self, sum: &Sum, word: &impl Fn(&str) -> Option<i64>) -> i64 {
        let number = |text: &String| {
            let known = text.parse().ok().or_else(|| self.limits.get(text).copied());
            known.or_else(|| word(text)).unwrap_or_else(|| panic!("FORMAT.md: what is {text}?"))
        };
        let term = |(is_added, words): &(bool, Vec<String>)| {
            let product = words.iter().map(number).product::<i64>();
            if *is_added { product } else { -product }
        };
        sum.iter().map(term).sum()
    }

    /// How many records of each kind there can be after what was told.
    fn counts(&self, told: &BTreeMap<&'static str, i64>) -> BTreeMap<&str, i64> {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for (record, (_, sum)) in &self.records {
            let count = self.evaluate(sum, &|word| told.get(word).or_else(|| counts.get(word)).copied());
            counts.insert(record, count);
        }
        counts
    }

    /// How many records of a kind a command adds at most.
    fn adds(&self, command: CommandKind, record: &str) -> i64 {
        let is_record = |word: &str| self.records.iter().any(|(name, _)| name == word);
        self.evaluate(&self.commands[command.name()], &|word| is_record(word).then_some(i64::from(word == record)))
    }
}

/// The row of a record in the table.
fn row_of(key: &[u8]) -> &'static str {
    match Key::from_bytes(key).unwrap() {
        Key::Global => "global",
        Key::Roles(_) => "roles",
        Key::Feature(_) => "feature",
        Key::Metrics(_) => "metrics",
        Key::Policy(_) => "policy",
        Key::Active(_) => "active",
        Key::Change { .. } => "change",
        Key::Override { .. } => "override",
        Key::Schedule { .. } => "due 0",
        Key::Step { .. } => "due 1",
        Key::DeploymentDue { .. } => "due 2",
        Key::LoadDue { .. } => "due 3",
        Key::Registry => "registry",
        Key::Plugin(_) => "plugin",
        Key::PluginVersion { .. } => "plugin_version",
        Key::Deployment(_) => "deployment",
        Key::PluginChange { .. } => "plugin_change",
        Key::Dependent { .. } => "dependent",
        Key::Feed => "feed",
        Key::FeedItem(_) => "feed_item",
        Key::FeedIndex(_) => "feed_index",
        Key::FeedListed(_) => "feed_listed",
    }
}

/// What the records of one row are.
#[derive(Debug, Clone, Copy, Default)]
struct Mass {
    count: i64,
    bytes: i64,
    /// The largest record there ever was.
    largest: i64,
}

/// The sizes of the records of a state, and what was told while it grew.
#[derive(Default)]
struct Scales {
    records: BTreeMap<Vec<u8>, i64>,
    masses: BTreeMap<&'static str, Mass>,
    told: BTreeMap<&'static str, i64>,
}

impl Scales {
    /// Weighs what is written; gives how many records of each row are new.
    fn write<'w>(
        &mut self,
        writes: impl IntoIterator<Item = (&'w [u8], Option<&'w [u8]>)>,
    ) -> BTreeMap<&'static str, i64> {
        let mut new = BTreeMap::new();
        for (key, value) in writes {
            let row = row_of(key);
            let before = self.records.remove(key);
            let mass = self.masses.entry(row).or_default();
            mass.count -= i64::from(before.is_some());
            mass.bytes -= before.unwrap_or_default();
            if let Some(value) = value {
                let size = i64::try_from(key.len() + value.len()).unwrap();
                mass.count += 1;
                mass.bytes += size;
                mass.largest = mass.largest.max(size);
                *new.entry(row).or_default() += i64::from(before.is_none());
                self.records.insert(key.into(), size);
            }
        }
        new
    }

    fn tell(&mut self, events: &[Event]) {
        for event in events {
            *self.told.entry(event.code().name()).or_default() += 1;
        }
    }

    /// The rows of the table that do not hold.
    fn faults(&self, formula: &Formula) -> Vec<String> {
        let counts = formula.counts(&self.told);
        let mut faults = Vec::new();
        for (record, (bytes, _)) in &formula.records {
            let Mass { count, largest, .. } = self.masses.get(record.as_str()).copied().unwrap_or_default();
            if count > counts[record.as_str()] {
                faults.push(format!("{count} records of {record} are more than {}", counts[record.as_str()]));
            }
            if largest > *bytes {
                faults.push(format!("a record of {record} has {largest} bytes, more than {bytes}"));
            }
        }
        faults
    }
}

// Spam.

const BLOCKS: u64 = 2_000;
const SEED: u64 = 1;

/// A name as long as names can be.
fn long(kind: &str, number: u64) -> Name {
    name(&format!("{kind}-{number:0>width$}", width = Name::LEN_MAX - kind.len() - 1))
}

/// A version as long as versions can be. Every one obeys [`any`].
fn long_version(number: u64) -> Version {
    version(&format!("1.0.0-v{number:0>width$}", width = Version::LEN_MAX - "1.0.0-v".len()))
}

/// A constraint as long as constraints can be.
fn any() -> Constraint {
    constraint(&format!(">={:>width$}", "1.0.0-0", width = Constraint::LEN_MAX - ">=".len()))
}

fn long_id(number: u64) -> FeedId {
    feed_id(&format!("{number:0>width$}", width = FeedId::LEN_MAX))
}

fn long_address(number: u64) -> Address {
    let mut address = Address([0xaa; 20]);
    address.0[..8].copy_from_slice(&number.to_be_bytes());
    address
}

/// The switches that every other feature rests on; they stay on.
fn switches() -> Vec<Name> {
    (0..u64::try_from(PREREQUISITES_MAX).unwrap()).map(|number| long("switch", number)).collect()
}

fn create_largest(name: Name, advance: Advance) -> Command {
    let changes = FeatureChanges {
        increment_percent: Some(percent(1)),
        increment_blocks: Some(1),
        max_error_rate: Some(10_000),
        min_success_count: Some(0),
        policy: Some(Policy { advance, prerequisites: switches(), ..Policy::default() }),
    };
    Command::CreateFeature { name, description: describe(), changes: Valid::new(changes).unwrap() }
}

fn describe() -> Description {
    Description::new(&"d".repeat(Description::LEN_MAX)).unwrap()
}

/// A registration that fills its command to the last byte.
fn register_largest(plugin: Name, version: Version, required: &[Name]) -> Command {
    let requirement = |plugin: &Name| Requirement { plugin: *plugin, constraint: any() };
    let mut manifest =
        Manifest { requirements: required.iter().map(requirement).collect(), ..Manifest::of_code(Hash([0xc0; 32])) };
    let register = |manifest: &Manifest| Command::RegisterVersion {
        plugin,
        version: version.clone(),
        manifest: Valid::new(Arc::new(manifest.clone())).unwrap(),
    };
    let mut rest = COMMAND_SIZE_MAX - register(&manifest).to_bytes().len();
    manifest.config = vec![0xcf; rest.min(coalmine_core::CONFIG_SIZE_MAX)];
    rest -= manifest.config.len();
    // A key of one byte, a text, and their lengths.
    for key in 'a'..='p' {
        let size = if rest > 300 { 258 } else { rest.min(200) };
        manifest.metadata.extend((size > 3).then(|| (name(&key.to_string()), "m".repeat(size - 3))));
        rest -= if size > 3 { size } else { 0 };
    }
    assert_eq!(rest, 0);
    register(&manifest)
}

fn deploy_stages(count: usize, plugin: Name, version: Version, terms: Terms) -> Command {
    let share = |number: usize| u16::try_from((number + 1) * 300).unwrap();
    let stages: Vec<_> = (0..count).map(|number| stage(share(number), 1)).collect();
    // Not every plan ends alike.
    let strategy = if terms.auto_promote { custom(&stages) } else { concluding(&stages) };
    Command::deploy(plugin, version, strategy, &terms).unwrap()
}

/// A schedule that fills its command: plans, the last of them as long as still fits, and a name for the rest.
fn schedule_largest(at: Height) -> Command {
    let deploy = |stages: usize| {
        Command::deploy(long("plugin", 0), long_version(0), custom(&vec![stage(1, 1); stages]), &EASY).unwrap()
    };
    let sizes = [1, 2].map(|stages| deploy(stages).to_bytes().len());
    let (stage, head) = (sizes[1] - sizes[0], 2 + 2 * sizes[0] - sizes[1]);
    let enable = |name_len: usize| Command::Enable { name: name(&"n".repeat(name_len)) };
    let enable_head = 2 + enable(1).to_bytes().len() - 1;
    let rest = |commands: &[Command]| COMMAND_SIZE_MAX - schedule(at, commands.to_vec()).to_bytes().len();
    let mut commands = vec![deploy(1)];
    while rest(&commands) > head + stage + enable_head {
        let stages = (rest(&commands) - head - enable_head - 1) / stage;
        commands.push(deploy(stages.min(STAGES_MAX)));
    }
    commands.push(enable(rest(&commands) - enable_head));
    assert_eq!(rest(&commands), 0);
    schedule(at, commands)
}

/// The largest body, and as many empty ones as fit beside it.
fn put_largest(part: FeedPart, first: u64) -> Command {
    let entry =
        |number, body: &[u8]| FeedEntry { id: long_id(number), version: number, body: FeedBody::new(body).unwrap() };
    let mut environments = vec![entry(first, &[0xbb; FeedBody::LEN_MAX])];
    environments.extend((first + 1..first + 20).map(|number| entry(number, &[])));
    Command::FeedPut { part, environments: Valid::new(environments).unwrap(), filters: Valid::new(Vec::new()).unwrap() }
}

/// Blocks after which there has been the largest record of each kind.
fn opening() -> Vec<Vec<Command>> {
    let (feature, by_hand, plugin) = (long("feature", 0), long("feature", 1), long("plugin", 0));
    let [old, new] = [0, 1].map(long_version);
    let create = |name| Command::CreateFeature {
        name,
        description: describe(),
        changes: Valid::new(FeatureChanges::default()).unwrap(),
    };
    let long_host = version(&format!("1.0.0-{:0>58}", "v"));
    let auto = |on| Command::SetRegistryParams { max_versions: Some(MaxVersions::MAX), auto_load: Some(on) };
    let required: Vec<Name> = (1..=16).map(|number| long("plugin", number)).collect();
    vec![
        switches().into_iter().map(create).collect(),
        switches().into_iter().map(|name| Command::Enable { name }).collect(),
        vec![
            create_largest(feature, Advance::Automatic),
            Command::SetOverride { name: feature, user: USER, enabled: true },
            Command::StartCanary { name: feature, percent: percent(1) },
            Command::StartRollout { name: feature, target_percent: percent(100) },
            create_largest(by_hand, Advance::Manual),
            Command::StartCanary { name: by_hand, percent: percent(1) },
            Command::StartRollout { name: by_hand, target_percent: percent(100) },
            grant(long_address(0), Role::Reporter),
            schedule_largest(100),
        ],
        vec![Command::AdvanceRollout { name: by_hand }, Command::SetHostVersion { version: long_host }, auto(true)],
        required.iter().map(|plugin| register_largest(*plugin, old.clone(), &[])).collect(),
        vec![
            register_largest(plugin, old.clone(), &[]),
            register_largest(plugin, new.clone(), &required),
            Command::SetRule { plugin, constraint: Some(any()) },
            deploy_stages(STAGES_MAX, plugin, new.clone(), EASY),
        ],
        // Their turns have come.
        required
            .iter()
            .chain([&plugin])
            .map(|plugin| Command::ReportLoad { plugin: *plugin, version: old.clone(), ok: true })
            .collect(),
        vec![Command::Promote { plugin }, auto(false)],
        vec![put_largest(FeedPart::First, 0)],
    ]
}

struct Spam {
    random: Random,
    state: State,
    scales: Scales,
    /// Numbers of what is made anew.
    next: u64,
    /// Entries of the schedule, run ones included.
    schedule: Vec<(Height, u64)>,
    overrides: Vec<(Name, Address)>,
    grants: Vec<(Address, Role)>,
    /// The kinds of commands that have succeeded.
    succeeded: BTreeSet<CommandKind>,
}

impl Spam {
    fn new(seed: u64) -> Self {
        let chain = ChainId::new(&[b'c'; Name::LEN_MAX]).unwrap();
        let roles = BTreeMap::from([(ADMIN, Role::Admin.into())]);
        let (state, writes) = State::genesis(&Genesis::with_params(chain, roles, Params::default()).unwrap()).unwrap();
        let mut scales = Scales::default();
        scales.write(writes.iter());
        // What the tables name and no block may have told.
        scales.told = coalmine_core::EventCode::ALL.iter().map(|code| (code.name(), 0)).collect();
        scales.told.insert("genesis", 1);
        Self {
            random: Random(seed),
            state,
            scales,
            next: 0,
            schedule: Vec::new(),
            overrides: Vec::new(),
            grants: Vec::new(),
            succeeded: BTreeSet::new(),
        }
    }

    fn height(&self) -> Height {
        self.state.tip().map_or(1, |tip| tip + 1)
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// One that was made not long ago.
    fn recent(&mut self) -> u64 {
        self.next.saturating_sub(self.random.below(100))
    }

    fn feature(&mut self) -> Name {
        long("feature", self.random.below(12 + u64::from(self.height()) / 100))
    }

    fn plugin_number(&mut self) -> u64 {
        self.random.below(20 + u64::from(self.height()) / 500)
    }

    fn plugin(&mut self) -> Name {
        long("plugin", self.plugin_number())
    }

    /// A plugin that has a deployment, or any.
    fn deploying(&mut self) -> Name {
        let names = self.state.plugins().map(|(name, _)| *name);
        let deploying: Vec<Name> = names.filter(|name| self.state.deployment(name).is_some()).collect();
        if deploying.is_empty() { self.plugin() } else { self.random.pick(&deploying) }
    }

    /// The version of a plugin that was registered last, or any.
    fn last_version(&self, plugin: &Name) -> Version {
        self.state.plugin_versions(plugin).last().map_or(long_version(0), |one| one.version.clone())
    }

    /// A version of a plugin, or any.
    fn version(&mut self, plugin: &Name) -> Version {
        let versions: Vec<Version> = self.state.plugin_versions(plugin).map(|one| one.version.clone()).collect();
        if versions.is_empty() { long_version(0) } else { self.random.pick(&versions) }
    }

    /// The version that a plugin has loaded or deploys, or any.
    fn version_in_use(&mut self, plugin: &Name) -> Version {
        let new = self.state.deployment(plugin).map(|deployment| deployment.new.clone());
        let current = self.state.plugin(plugin).map(|record| record.current.clone());
        let found: Vec<Version> = [new, current].into_iter().flatten().collect();
        if found.is_empty() { long_version(0) } else { self.random.pick(&found) }
    }

    fn terms(&mut self) -> Terms {
        let (auto_promote, auto_rollback) = (self.random.one_in(2), self.random.one_in(2));
        let error_threshold_bps = if self.random.one_in(2) { 0 } else { 10_000 };
        Terms { auto_promote, auto_rollback, error_threshold_bps: Bps::new(error_threshold_bps).unwrap(), ..EASY }
    }

    fn feed_kind(&mut self) -> FeedKind {
        self.random.pick(FeedKind::ALL)
    }

    /// A command of a kind, as large as it can be, and such that it may succeed.
    fn command(&mut self, kind: CommandKind) -> Command {
        let height = self.height();
        let on = self.random.one_in(2);
        let at = height + 1 + u32::try_from(self.random.below(40)).unwrap();
        let (feature, plugin, deploying) = (self.feature(), self.plugin(), self.deploying());
        let share = percent(u8::try_from(self.random.below(101)).unwrap());
        match kind {
            CommandKind::CreateFeature => create_largest(feature, self.random.pick(Advance::ALL)),
            CommandKind::ConfigureFeature => {
                let policy = self.state.policy(&feature).cloned().unwrap_or_default();
                let changes = FeatureChanges {
                    policy: Some(Policy { salt: policy.salt ^ 1, ..policy }),
                    ..FeatureChanges::default()
                };
                Command::ConfigureFeature {
                    name: feature,
                    description: Some(describe()),
                    changes: Valid::new(changes).unwrap(),
                }
            }
            CommandKind::StartCanary => Command::StartCanary { name: feature, percent: share },
            CommandKind::StartRollout => Command::StartRollout { name: feature, target_percent: share },
            CommandKind::AdvanceRollout => Command::AdvanceRollout { name: feature },
            CommandKind::Enable => Command::Enable { name: feature },
            CommandKind::Disable => Command::Disable { name: feature },
            CommandKind::Rollback => Command::Rollback { name: feature, reason: Reason::Manual },
            CommandKind::SetOverride => {
                let user = long_address(self.next());
                self.overrides.push((feature, user));
                Command::SetOverride { name: feature, user, enabled: on }
            }
            CommandKind::ClearOverride => {
                let (name, user) = self.overrides.pop().unwrap_or((feature, USER));
                Command::ClearOverride { name, user }
            }
            CommandKind::Report => tell(
                feature.as_str(),
                coalmine_core::Report { errors: 9, successes: 1, invariant_failures: u32::from(on), ..SILENCE },
            ),
            CommandKind::TripBreaker => Command::TripBreaker {
                reason: Reason::Manual,
                until: if on { NonZeroU32::new(at) } else { None },
                drain: on,
            },
            CommandKind::ResetBreaker => Command::ResetBreaker,
            CommandKind::Schedule => {
                self.schedule.push((at, self.state.global().next_schedule_id));
                if on {
                    return schedule_largest(at);
                }
                let kinds = CommandKind::ALL.iter().copied().filter(|kind| kind.is_schedulable()).collect::<Vec<_>>();
                let kind = self.random.pick(&kinds);
                schedule(at, vec![self.command(kind)])
            }
            CommandKind::CancelSchedule => {
                let from = self.schedule.len().saturating_sub(20);
                let (at, id) =
                    if self.schedule.is_empty() { (at, 0) } else { self.random.pick(&self.schedule[from..]) };
                Command::CancelSchedule { at, id }
            }
            CommandKind::GrantRole => {
                let (address, role) = (long_address(self.next()), self.random.pick(&Role::ALL));
                self.grants.push((address, role));
                grant(address, role)
            }
            CommandKind::RevokeRole => {
                let granted = if on { self.grants.pop() } else { None };
                let (address, role) = granted.unwrap_or((USER, Role::Reporter));
                revoke(address, role)
            }
            CommandKind::SetParams => {
                set_params(Some(self.random.pick(&[1, 3, 1_000])), Some(self.random.pick(&[0, 5])), Some(10))
            }
            CommandKind::RegisterVersion => {
                let number = self.plugin_number();
                let count = self.random.below(u64::try_from(REQUIREMENTS_MAX).unwrap() + 1).min(number);
                let required: BTreeSet<u64> = (0..count).map(|_| self.random.below(number)).collect();
                let required: Vec<Name> = required.into_iter().map(|number| long("plugin", number)).collect();
                register_largest(long("plugin", number), long_version(self.next()), &required)
            }
            CommandKind::Deploy => {
                let count = self.random.pick(&[1, STAGES_MAX]);
                deploy_stages(count, plugin, self.last_version(&plugin), self.terms())
            }
            CommandKind::Pause => Command::Pause { plugin: deploying },
            CommandKind::Resume => Command::Resume { plugin: deploying },
            CommandKind::Promote => Command::Promote { plugin: deploying },
            CommandKind::RollbackDeployment => Command::RollbackDeployment { plugin: deploying },
            CommandKind::Revert => Command::Revert { plugin },
            CommandKind::RetireVersion => Command::RetireVersion { plugin, version: self.version(&plugin) },
            CommandKind::SetRule => Command::SetRule { plugin, constraint: on.then(any) },
            CommandKind::SetHostVersion => Command::SetHostVersion { version: long_version(self.next()) },
            CommandKind::SetRegistryParams => Command::SetRegistryParams {
                max_versions: Some(self.random.pick(&[MaxVersions::MIN, MaxVersions::MAX])),
                auto_load: Some(on),
            },
            CommandKind::Load => Command::Load { plugin },
            CommandKind::Unload => Command::Unload { plugin, force: on },
            CommandKind::ReportVersion => {
                let report = coalmine_core::VersionReport { requests: 10, errors: u32::from(on), latency_total: 1 };
                Command::ReportVersion {
                    plugin: deploying,
                    version: self.version_in_use(&deploying),
                    report: Valid::new(report).unwrap(),
                }
            }
            CommandKind::AttestHealth => {
                Command::AttestHealth { plugin: deploying, version: self.version_in_use(&deploying), healthy: on }
            }
            CommandKind::ReportLoad => Command::ReportLoad { plugin, version: self.version_in_use(&plugin), ok: on },
            CommandKind::ReportUnload => {
                Command::ReportUnload { plugin, version: self.version_in_use(&plugin), ok: on }
            }
            CommandKind::FeedPut => {
                let first = self.next;
                self.next += 20;
                put_largest(self.random.pick(FeedPart::ALL), first)
            }
            CommandKind::FeedPatch => Command::FeedPatch {
                kind: self.feed_kind(),
                id: long_id(self.next()),
                version: u64::from(height),
                body: FeedBody::new(&[0xbb; FeedBody::LEN_MAX]).unwrap(),
            },
            CommandKind::FeedDelete => {
                Command::FeedDelete { kind: self.feed_kind(), id: long_id(self.next()), version: u64::from(height) }
            }
            CommandKind::FeedForget => {
                let first = self.recent();
                let ids =
                    (0..u64::try_from(FEED_FORGET_IDS_MAX).unwrap()).map(|number| long_id(first + number)).collect();
                Command::FeedForget { kind: self.feed_kind(), ids: Valid::new(ids).unwrap() }
            }
        }
    }

    /// What makes the most of its bytes, and for ever: entries of a history by commands of a few bytes.
    fn toggles(&mut self) -> Payload {
        let (name, plugin) = (self.feature(), self.deploying());
        let mut pair = if self.random.one_in(2) {
            [Command::Enable { name }, Command::Disable { name }]
        } else {
            [Command::Resume { plugin }, Command::Pause { plugin }]
        };
        let block = Block::from_payloads(self.height(), vec![tx(ADMIN, &pair)]).unwrap();
        if self.state.execute(&block).unwrap().outcome().receipts != [Receipt::Ok] {
            pair.reverse();
        }
        tx(ADMIN, &std::iter::repeat_n(pair, 8).flatten().collect::<Vec<_>>())
    }

    /// Transactions of one command, or of the same kind as often as it goes, and bytes that are none.
    fn payloads(&mut self) -> Vec<Payload> {
        let mut payloads = Vec::new();
        if self.state.global().breaker.is_some() && self.random.one_in(2) {
            payloads.push(tx(ADMIN, &[Command::ResetBreaker]));
        }
        payloads.extend(self.random.one_in(2).then(|| self.toggles()));
        for _ in 0..1 + self.random.below(4) {
            let kind = self.random.pick(CommandKind::ALL);
            let count = if self.random.one_in(8) { 16 } else { 1 };
            let commands: Vec<Command> = (0..count).map(|_| self.command(kind)).collect();
            let signer = if self.random.one_in(16) { NOBODY } else { ADMIN };
            payloads.push(tx(signer, &commands));
        }
        payloads.extend(self.random.one_in(16).then(|| Payload::from_bytes(&[0xff; 1_000])));
        payloads
    }

    /// Commits a block, with a record that leaks into it if one is given, and tells which rows of the tables do not hold.
    fn block(
        &mut self,
        formula: &Formula,
        payloads: &[Payload],
        leak: Option<(Key, Vec<u8>)>,
    ) -> (Vec<Receipt>, Vec<String>) {
        let height = self.height();
        let is_quiet = self.state.execute(&Block::empty(height)).unwrap().writes().is_empty();
        let execution = self.state.execute(&Block::from_payloads(height, payloads.to_vec()).unwrap()).unwrap();
        let receipts = execution.outcome().receipts.clone();
        let mut new = self.scales.write(execution.writes().iter());
        if let Some((key, value)) = leak {
            for (row, count) in self.scales.write([(key.to_bytes().as_slice(), Some(value.as_slice()))]) {
                *new.entry(row).or_default() += count;
            }
        }
        self.scales.tell(&execution.outcome().events);
        self.state.apply(execution).unwrap();
        let succeeded = payloads.iter().zip(&receipts).filter(|(_, receipt)| **receipt == Receipt::Ok);
        let kinds: Vec<CommandKind> = succeeded.flat_map(|(payload, _)| kinds_of(payload)).collect();
        self.succeeded.extend(&kinds);
        let mut faults = self.scales.faults(formula);
        // What is due adds to the records too, and nothing tells how much of it was done.
        if is_quiet {
            for (row, count) in new {
                let most: i64 = kinds.iter().map(|kind| formula.adds(*kind, row)).sum();
                if count > most {
                    faults.push(format!("{count} new records of {row} are more than {most}, by {kinds:?}"));
                }
            }
        }
        (receipts, faults)
    }
}

fn kinds_of(payload: &Payload) -> Vec<CommandKind> {
    let Payload::Transaction(tx) = payload else { return Vec::new() };
    let kind = |command: &coalmine_core::TxCommand| match command {
        coalmine_core::TxCommand::Valid(command) => command.kind(),
        coalmine_core::TxCommand::Invalid { kind, .. } => *kind,
    };
    tx.commands().iter().map(kind).collect()
}

/// Spams a state; the first block after which a row of the tables does not hold, if there is one.
fn spam(seed: u64, blocks: u64, leak: impl Fn(u64) -> Option<(Key, Vec<u8>)>) -> Result<Spam, String> {
    let document = document();
    let formula = Formula::of(&document);
    let mut spam = Spam::new(seed);
    for commands in opening() {
        let payloads: Vec<Payload> = commands.iter().map(|command| tx(ADMIN, std::slice::from_ref(command))).collect();
        let (receipts, faults) = spam.block(&formula, &payloads, None);
        assert!(receipts.iter().all(|receipt| *receipt == Receipt::Ok), "{receipts:?}");
        assert_eq!(faults, [""; 0], "the opening");
    }
    for block in 0..blocks {
        let payloads = spam.payloads();
        let (_, faults) = spam.block(&formula, &payloads, leak(block));
        if !faults.is_empty() {
            return Err(format!("after {block} blocks: {}", faults.join(", ")));
        }
    }
    Ok(spam)
}

#[test]
fn size_stays_under_the_formula() {
    let seed = number("COALMINE_BOUNDS_SEED").unwrap_or(SEED);
    let blocks = number("COALMINE_BOUNDS_BLOCKS").unwrap_or(BLOCKS);
    let spam = spam(seed, blocks, |_| None).unwrap_or_else(|fault| {
        panic!(
            "{fault}\nrepeat: COALMINE_BOUNDS_SEED={seed} COALMINE_BOUNDS_BLOCKS={blocks} \
             cargo test --release -p coalmine-core --test it bounds::size_stays"
        )
    });
    let document = document();
    let formula = Formula::of(&document);
    let counts = formula.counts(&spam.scales.told);
    let (mut total, mut most, mut largest_seen) = (0, 0, Vec::new());
    for (record, (bytes, _)) in &formula.records {
        let Mass { count, bytes: mass, largest } = spam.scales.masses.get(record.as_str()).copied().unwrap_or_default();
        println!(
            "{record:14} {count:8} of {:11} records, {mass:11} bytes, {largest:5} at most",
            counts[record.as_str()]
        );
        largest_seen.push((record.as_str(), largest));
        (total, most) = (total + mass, most + bytes * counts[record.as_str()]);
    }
    println!("{blocks} blocks: {total} bytes, {most} at most");
    let largest: Vec<_> = formula.records.iter().map(|(record, (bytes, _))| (record.as_str(), *bytes)).collect();
    assert_eq!(largest_seen, largest, "the largest record that there can be");
    assert!(total <= most);
    assert_eq!(spam.scales.masses.len(), formula.records.len(), "each kind of record has its row");
    // The spam is one: every kind of command has succeeded, and all that the formula counts was told.
    assert_eq!(spam.succeeded, CommandKind::ALL.iter().copied().collect());
    let sums = formula.records.iter().flat_map(|(_, (_, sum))| sum);
    let words: BTreeSet<&str> = sums.flat_map(|(_, words)| words.iter().map(String::as_str)).collect();
    let silent: Vec<_> = words.iter().filter(|word| spam.scales.told.get(**word) == Some(&0)).collect();
    assert!(silent.is_empty(), "never told: {silent:?}");
}

/// The rows of commands are the commands.
#[test]
fn size_has_a_row_for_every_command() {
    let document = document();
    let told: BTreeSet<String> = Formula::of(&document).commands.into_keys().collect();
    assert_eq!(told, CommandKind::ALL.iter().map(|kind| kind.name().to_owned()).collect());
}

/// A record of this row that no rule calls for, another one each time.
fn leaked(row: &str, number: u64) -> Option<Key> {
    let (leak, at) = (long("leak", number), u32::MAX - u32::try_from(number).unwrap());
    Some(match row {
        "roles" => Key::Roles(long_address(u64::MAX - number)),
        "feature" => Key::Feature(leak),
        "metrics" => Key::Metrics(leak),
        "policy" => Key::Policy(leak),
        "active" => Key::Active(leak),
        "change" => Key::Change { name: long("feature", 0), height: at, seq: 0 },
        "override" => Key::Override { name: long("feature", 0), user: long_address(u64::MAX - number) },
        "due 0" => Key::Schedule { at, id: number },
        "due 1" => Key::Step { at, name: long("feature", 0) },
        "due 2" => Key::DeploymentDue { at, plugin: long("plugin", 0) },
        "due 3" => Key::LoadDue { at, plugin: long("plugin", 0) },
        "plugin" => Key::Plugin(leak),
        "plugin_version" => Key::PluginVersion { plugin: long("plugin", 0), version: long_version(u64::MAX - number) },
        "deployment" => Key::Deployment(leak),
        "plugin_change" => Key::PluginChange { plugin: long("plugin", 0), height: at, seq: 0 },
        "dependent" => Key::Dependent { dependency: None, dependent: leak },
        _ => return None,
    })
}

/// One record too many in every block is found, whatever its kind, and whoever writes it.
#[test]
fn size_tells_a_leak() {
    for (row, _) in &Formula::of(&document()).records {
        if leaked(row, 0).is_some() {
            let fault = spam(SEED, BLOCKS, |block| Some((leaked(row, block)?, Vec::new()))).err();
            println!("{row}: {fault:?}");
            assert!(fault.is_some_and(|fault| fault.contains(&format!("of {row} are more than"))), "{row}");
        }
    }
}

// Idleness.

/// Features of an idle state when nothing else is said, and of one with hardly any.
const IDLE: u64 = 4_000;
const FEW: u64 = 10;
/// Features of the template, one of each status.
const STATUSES: u64 = 5;
const COUNTED: u32 = 10;
const FAR: Height = 1 << 31;

/// One of everything that may be there and waits for nothing that comes soon.
fn template() -> World {
    let mut world = World::new();
    let features = ["disabled", "canary", "rolling", "enabled", "rolled"];
    let creates = features.map(|feature| create_with(feature, manual(steps_every(1))));
    let slow = FeatureChanges { policy: Some(Policy::default()), ..steps_every(FAR) };
    world.run(1, ADMIN, &creates);
    world.run(2, ADMIN, &[configure("rolling", slow), set_override("canary", USER, true)]);
    world.run(3, ADMIN, &[canary("canary", 50), canary("rolling", 50), canary("rolled", 50), enable("enabled")]);
    world.run(4, ADMIN, &[rollout("rolling", 100), rollback("rolled"), schedule(FAR, vec![enable("disabled")])]);
    world.next(&[register("deploying", "1.0.0"), register("deploying", "2.0.0"), register("loaded", "1.0.0")]);
    world.next(&[deploy("deploying", "2.0.0", custom(&[stage(1_000, FAR)]), EASY), load("loaded")]);
    world.next(&[loaded("loaded", "1.0.0", true)]);
    world.run(8, ADMIN, &[patch(FeedKind::Environment, "live", 1, b"body"), gone(FeedKind::Filter, "deleted", 1)]);
    world
}

/// The same record about something else; none of what there is one of, and where a limit is reached.
fn copy(key: &Key, value: &[u8], number: u64) -> Option<(Key, Vec<u8>)> {
    let other = |name: &Name| self::name(&format!("{name}-{number}"));
    let limit_of = |name: &Name| if name.as_str() == "loaded" { LOADED_MAX } else { usize::MAX };
    // Nobody has as many plugins as features.
    let plugin = |name: &Name| {
        (number.is_multiple_of(10) && usize::try_from(number).unwrap() < limit_of(name)).then(|| other(name))
    };
    let same = Some(value.to_vec());
    let item = |item: &FeedKey| {
        let limit = if item.kind == FeedKind::Environment { FEED_LIVE_MAX } else { FEED_RECORDS_MAX };
        (number < limit.into()).then(|| FeedKey { id: feed_id(&format!("{}-{number}", item.id)), ..*item })
    };
    let value = match key {
        Key::Feature(name) => {
            let feature = Feature::from_bytes(value).unwrap();
            Some(Feature { name: other(name), ..feature }.to_bytes())
        }
        Key::Metrics(name) => {
            let (_, metrics) = Metrics::decode(&mut Reader::new(value)).unwrap();
            let mut out = Writer::default();
            metrics.encode(&other(name), &mut out);
            Some(out.into_bytes())
        }
        _ => same,
    };
    let key = match key {
        Key::Feature(name) => Key::Feature(other(name)),
        Key::Metrics(name) => Key::Metrics(other(name)),
        Key::Policy(name) => Key::Policy(other(name)),
        Key::Active(name) => Key::Active(other(name)),
        Key::Step { at, name } => Key::Step { at: *at, name: other(name) },
        Key::Override { name, user } => Key::Override { name: other(name), user: *user },
        Key::Roles(address) if *address == REPORTER => Key::Roles(long_address(number)),
        Key::Schedule { at, id } => Key::Schedule { at: *at, id: id + number },
        Key::Plugin(name) => Key::Plugin(plugin(name)?),
        Key::PluginVersion { plugin: name, version } => {
            Key::PluginVersion { plugin: plugin(name)?, version: version.clone() }
        }
        Key::Deployment(name) => Key::Deployment(plugin(name)?),
        Key::DeploymentDue { at, plugin: name } => Key::DeploymentDue { at: *at, plugin: plugin(name)? },
        Key::Dependent { dependency, dependent } => {
            Key::Dependent { dependency: *dependency, dependent: plugin(dependent)? }
        }
        Key::FeedItem(key) => Key::FeedItem(item(key)?),
        Key::FeedIndex(key) => Key::FeedIndex(item(key)?),
        _ => return None,
    };
    Some((key, value?))
}

/// A state of so many features, and as much of everything else as may be beside them.
fn idle_state(features: u64) -> State {
    let template = template();
    let copies = features / STATUSES;
    let entries = template.records.0.iter().flat_map(|(bytes, value)| {
        let key = Key::from_bytes(bytes).unwrap();
        let more = |limit: u32| u32::try_from(copies).unwrap().min(limit);
        let value = match &key {
            Key::Global => Global { next_schedule_id: u64::MAX, ..*template.state.global() }.to_bytes(),
            Key::Feed => {
                let (live, deleted) = (more(FEED_LIVE_MAX), more(FEED_RECORDS_MAX));
                FeedState { live_environments: live, environments: live, filters: deleted, ..FeedState::default() }
                    .to_bytes()
            }
            _ => value.clone(),
        };
        let others = (1..copies).filter_map({
            let (key, value) = (key.clone(), value.clone());
            move |number| copy(&key, &value, number)
        });
        std::iter::once((key, value)).chain(others).map(|(key, value)| Ok((key.to_bytes(), value)))
    });
    State::load(entries, template.state.tip()).unwrap()
}

/// What is counted. Not inlined, because `valgrind` knows it by its name.
#[inline(never)]
fn counted_block(state: &mut State, is_walking: bool) {
    if is_walking {
        assert!(state.features().all(|feature| feature.increment_blocks != 0));
    }
    let execution = state.execute(&Block::empty(state.tip().unwrap() + 1)).unwrap();
    assert!(execution.writes().is_empty());
    state.apply(execution).unwrap();
}

/// Run by the tests below, under `valgrind`.
#[test]
#[ignore = "has nothing to say by itself"]
fn idle_blocks() {
    let mut state = idle_state(number("COALMINE_BOUNDS_FEATURES").unwrap_or(FEW));
    let is_walking = number("COALMINE_BOUNDS_WALK").is_some();
    (0..COUNTED).for_each(|_| counted_block(&mut state, is_walking));
}

/// Instructions of an empty block over a state of so many features; none without `valgrind`.
fn instructions(features: u64, is_walking: bool) -> Option<u64> {
    let mut valgrind = Process::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_block*"]);
    valgrind.arg(std::env::current_exe().unwrap()).args(["--ignored", "--exact", "bounds::idle_blocks"]);
    valgrind.env("COALMINE_BOUNDS_FEATURES", features.to_string());
    if is_walking {
        valgrind.env("COALMINE_BOUNDS_WALK", "1");
    }
    let output = match valgrind.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: instructions of an empty block: there is no valgrind here");
            return None;
        }
        output => output.unwrap(),
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let collected = told.lines().find_map(|line| line.split_once("Collected : ")).unwrap_or_else(|| panic!("{told}"));
    let count = collected.1.trim().parse::<u64>().unwrap() / u64::from(COUNTED);
    println!("{features} features: {count} instructions of an empty block");
    Some(count)
}

#[test]
fn idle_features_cost_nothing() {
    let Some(few) = instructions(FEW, false) else { return };
    let many = number("COALMINE_BOUNDS_IDLE").unwrap_or(IDLE);
    let cost = instructions(many, false).unwrap();
    assert!(few > 0 && cost < 2 * few, "an empty block over {many} features costs {cost} instructions, not {few}");
}

/// A block that looks at every feature is found out.
#[test]
fn idle_features_cost_something_to_look_at() {
    let Some(few) = instructions(FEW, false) else { return };
    assert!(instructions(IDLE, true).unwrap() >= 2 * few);
}
