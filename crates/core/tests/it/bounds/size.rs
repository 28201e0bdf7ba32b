//! A state under spam stays under the formula.

use super::*;

const BLOCKS: u64 = 2_000;

const SEED: u64 = 5;

/// A name as long as names can be.
fn long(kind: &str, number: u64) -> Name {
    name(&format!("{kind}-{number:0>width$}", width = Name::LEN_MAX - kind.len() - 1))
}

/// A version as long as versions can be. Every one obeys [`any`].
fn long_version(number: u64) -> Version {
    version(&format!("1.0.0-v{number:0>width$}", width = Version::LEN_MAX - "1.0.0-v".len()))
}

fn long_id(number: u64) -> FeedId {
    feed_id(&format!("{number:0>width$}", width = FeedId::LEN_MAX))
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

fn deploy_stages(count: usize, plugin: Name, version: Version, terms: Guardrails) -> Command {
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
            deploy_stages(STAGES_MAX, plugin, new.clone(), Guardrails { max_blocks: NonZeroU32::new(1_000), ..EASY }),
        ],
        // What is said in a round that ends soon.
        vec![
            rounds(3),
            Command::report_version(plugin, new, VersionReport { requests: 1, ..VersionReport::default() }).unwrap(),
            rounds(0),
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

fn rounds(blocks: u32) -> Command {
    change_params(ParamsChanges { round_blocks: Some(blocks), ..ParamsChanges::default() })
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
        let (state, writes) = State::genesis(
            &Genesis::with_params(coalmine_core::RuleSet::LATEST, chain, roles, Params::default()).unwrap(),
        )
        .unwrap();
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

    /// A feature that rolls out, or any.
    fn rolling(&mut self) -> Name {
        let rolling = self.state.features().filter(|feature| feature.status == Status::RollingOut);
        let names: Vec<Name> = rolling.map(|feature| feature.name).collect();
        if names.is_empty() { self.feature() } else { self.random.pick(&names) }
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

    fn terms(&mut self) -> Guardrails {
        let (auto_promote, auto_rollback) = (self.random.one_in(2), self.random.one_in(2));
        let error_threshold_bps = if self.random.one_in(2) { 0 } else { 10_000 };
        Guardrails { auto_promote, auto_rollback, error_threshold_bps: Bps::new(error_threshold_bps).unwrap(), ..EASY }
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
                coalmine_core::Report {
                    errors: 9,
                    successes: 1,
                    invariant_checks: 1,
                    invariant_failures: u32::from(on),
                    ..SILENCE
                },
            ),
            CommandKind::TripBreaker => Command::TripBreaker {
                reason: Reason::Manual,
                until: if on { NonZeroU32::new(at) } else { None },
                drain: on,
            },
            CommandKind::PauseRollout => Command::PauseRollout { name: self.rolling() },
            CommandKind::ResetBreaker => Command::ResetBreaker,
            // No newer rules are known, so this never succeeds.
            CommandKind::SetRules => set_rules(1),
            CommandKind::Schedule => {
                self.schedule.push((at, self.state.global().next_schedule_id));
                if on {
                    return schedule_largest(at);
                }
                // A registration fills a command by itself.
                let fits = |kind: &CommandKind| kind.is_schedulable() && *kind != CommandKind::RegisterVersion;
                let kinds = CommandKind::ALL.iter().copied().filter(fits).collect::<Vec<_>>();
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
                let max_due = Some(self.random.pick(&[1, 3, 1_000]));
                match self.random.below(3) {
                    0 => rounds(self.random.pick(&[0, 0, 2])),
                    _ => set_params(max_due, Some(self.random.pick(&[0, 5])), Some(10)),
                }
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
                    deployment: None,
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
            let number = u64::from(self.height()) << 8 | u64::try_from(payloads.len()).unwrap();
            payloads.push(if on_count(number) {
                sequenced(signer, number, 0, &commands)
            } else {
                tx(signer, &commands)
            });
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
            // A sequence is used whatever becomes of the commands.
            new.remove("sequence");
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

/// Some signers count, and some do not.
const fn on_count(number: u64) -> bool {
    number.is_multiple_of(3)
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
             cargo test --release -p coalmine-core --test it bounds::size::size_stays"
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
    // The spam is one: every kind of command that can succeed has done so, and all that the formula counts was told.
    let can_succeed = CommandKind::ALL.iter().copied().filter(|kind| *kind != CommandKind::SetRules);
    assert_eq!(spam.succeeded, can_succeed.collect());
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
        "due 4" => Key::Round { at, pool: Pool::of_feature(leak) },
        "due 5" => Key::Deadline { at, plugin: long("plugin", 0) },
        "sequence" => Key::Sequence(long_address(u64::MAX - number)),
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
