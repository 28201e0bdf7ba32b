//! RULES.md and the code say the same.
//!
//! The tables of the document are read here. Every row of a guard table rejects, as its row says, a command that
//! nothing else stops; of two rows that fail at once, the upper one decides; and in random worlds no command meets
//! another reject, emits another event, or emits fewer. Roles, numbers and links are compared too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU32;
use std::sync::OnceLock;

use coalmine_core::{
    ARM_REQUESTS_MAX, Address, Block, Command, CommandKind, Counts, DEPENDENTS_MAX, Decode, Deployment, Encode, Event,
    FEED_RECORDS_MAX, FeatureChanges, FeedItem, FeedKey, FeedKind, FeedPart, FeedTotals, Gate, Global, Guardrails,
    ItemState, Key, LOAD_PLUGINS_MAX, Outcome, Payload, Plugin, Policy, Receipt, Reject, Report, Role, Stage, State,
    Status, Transaction, TxCommand, Writer,
};
use coalmine_model::generate::{Mix, World as RandomWorld};

use crate::common::document::{Document, Table};
use crate::common::plugins::*;
use crate::common::*;

// The document.

/// What the document says of a command.
struct Section {
    roles: Vec<String>,
    scheduled: String,
    /// Guard and rejects, in order.
    guards: Vec<(String, Vec<Reject>)>,
    events: BTreeSet<String>,
}

impl Section {
    fn rejects(&self) -> BTreeSet<Reject> {
        self.guards.iter().flat_map(|(_, rejects)| rejects).copied().collect()
    }
}

struct Rules {
    text: String,
    tables: Vec<Table>,
    sections: BTreeMap<&'static str, Section>,
}

fn path(file: &str) -> String {
    format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(|| read_rules(&fs::read_to_string(path("RULES.md")).unwrap()))
}

/// The words in backticks.
fn ticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What follows `**label**`, up to the next label or the end of the paragraph.
fn labelled<'a>(section: &'a str, label: &str) -> &'a str {
    let start = format!("**{label}**");
    let mut found = section.match_indices(&start);
    let (at, _) = found.next().unwrap_or_else(|| panic!("no {start} in {section}"));
    assert!(found.next().is_none(), "two {start} in {section}");
    let rest = &section[at + start.len()..];
    let end = [rest.find("\n\n"), rest.find("**")].into_iter().flatten().min().unwrap_or(rest.len());
    rest[..end].trim().trim_end_matches('·').trim()
}

fn read_rules(text: &str) -> Rules {
    let Document { tables, .. } = Document::read(text);
    let mut sections = BTreeMap::new();
    for chapter in text.split("\n## ") {
        for section in chapter.split("\n### ").skip(1) {
            let Some((name, body)) = section.strip_prefix('`').and_then(|rest| rest.split_once('`')) else { continue };
            let kind = CommandKind::ALL.iter().find(|kind| kind.name() == name);
            let kind = kind.unwrap_or_else(|| panic!("{name} is no command"));
            let is_guards = |table: &&Table| table.heading == name && table.columns == ["guard", "passes if", "reject"];
            let found: Vec<&Table> = tables.iter().filter(is_guards).collect();
            assert_eq!(found.len(), 1, "tables of guards of {name}");
            let reject = |text: &str| Reject::from_name(text).unwrap_or_else(|| panic!("{name}: {text} is no reject"));
            let guards = found[0].rows.iter().map(|row| (row[0].clone(), row[2].split(", ").map(reject).collect()));
            let section = Section {
                roles: labelled(body, "Sent by").split(", ").map(str::to_owned).collect(),
                scheduled: labelled(body, "scheduled").into(),
                guards: guards.collect(),
                events: ticked(labelled(body, "Events")).map(str::to_owned).collect(),
            };
            assert!(sections.insert(kind.name(), section).is_none(), "two sections of {name}");
        }
    }
    Rules { text: text.into(), tables, sections }
}

impl Rules {
    fn section(&self, kind: CommandKind) -> &Section {
        self.sections.get(kind.name()).unwrap_or_else(|| panic!("no section of {kind}"))
    }
}

/// Commands, roles and schedules that are not those of the code, and sections that are not in the order of the tags.
fn wrong_sections(rules: &Rules) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut last = 0;
    for kind in CommandKind::ALL {
        let Section { roles, scheduled, guards, .. } = rules.section(*kind);
        let code: Vec<&str> = kind.roles().iter().map(|role| role.name()).collect();
        if *roles != code {
            wrong.push(format!("{kind} is sent by {code:?}"));
        }
        if scheduled != if kind.is_schedulable() { "yes" } else { "no" } {
            wrong.push(format!("{kind} scheduled: {scheduled}"));
        }
        let names: BTreeSet<&String> = guards.iter().map(|(guard, _)| guard).collect();
        if names.len() != guards.len() {
            wrong.push(format!("{kind} has a guard twice"));
        }
        let place = rules.text.find(&format!("\n### `{}`\n", kind.name())).unwrap();
        if place < last {
            wrong.push(format!("{kind} is out of order"));
        }
        last = place;
    }
    let roles: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
    let table = rules.tables.iter().find(|table| table.columns == ["role", "of which commands"]).unwrap();
    if table.rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>() != roles {
        wrong.push(format!("the roles are {roles:?}"));
    }
    wrong
}

/// Names in capitals that are no limit of FORMAT.md, or have another number before them.
fn wrong_numbers(rules: &Rules) -> Vec<String> {
    let format = Document::read(&fs::read_to_string(path("FORMAT.md")).unwrap());
    let limits = format.table(None, &["limit", "value"]);
    let limits: BTreeMap<&str, &str> = limits.rows.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let text = rules.text.replace(['\n', '|'], " ");
    let words: Vec<&str> = text.split(' ').collect();
    let mut wrong = Vec::new();
    for pair in words.windows(2) {
        let word = pair[1].trim_matches(|c: char| c.is_ascii_punctuation() && c != '_');
        let is_limit = word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if is_limit && limits.get(word) != Some(&pair[0]) {
            wrong.push(format!("{} {}", pair[0], pair[1]));
        }
    }
    wrong
}

/// A heading as the part of a link behind the `#`.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches(['#', ' ']));
    let slug = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    };
    headings.map(slug).collect()
}

/// Links that lead nowhere, and links of a word in backticks to a file that has no function or command of that name.
fn wrong_links(rules: &Rules) -> Vec<String> {
    let mut wrong = Vec::new();
    let links: Vec<(&str, &str)> = rules.text.split("](").zip(rules.text.split("](").skip(1)).collect();
    for (before, after) in links {
        let target = after.split(')').next().unwrap();
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let of_file = if file.is_empty() { Ok(rules.text.clone()) } else { fs::read_to_string(path(file)) };
        let Ok(of_file) = of_file else {
            wrong.push(format!("no file {target}"));
            continue;
        };
        if !anchor.is_empty() && !anchors(&of_file).contains(anchor) {
            wrong.push(format!("no heading {target}"));
        }
        let word = before.rsplit('[').next().and_then(|word| word.strip_prefix('`')?.strip_suffix('`'));
        let has = |start: &str, word: &str, end: &str| of_file.contains(&format!("{start}{word}{end}"));
        let is_there = |word: &str| {
            file.ends_with(word) || has("fn ", word, "(") || has("fn ", word, "<") || has("Command::", word, " ")
        };
        wrong.extend(word.filter(|word| !is_there(word)).map(|word| format!("{file} has no {word}")));
    }
    wrong
}

// Each guard alone, and two at once.

/// The guards that a case breaks, each with the reject of its row.
#[derive(Debug, Clone, Copy)]
struct Broken<'a>(&'a [(&'a str, Reject)]);

impl Broken<'_> {
    fn by(&self, guard: &str) -> Option<Reject> {
        self.0.iter().find(|(name, _)| *name == guard).map(|(_, reject)| *reject)
    }

    fn is(&self, guard: &str) -> bool {
        self.by(guard).is_some()
    }

    fn any(&self, guards: &[&str]) -> bool {
        guards.iter().any(|guard| self.is(guard))
    }
}

/// A state that no few commands reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    None,
    /// No id of the schedule is left.
    LastScheduleId,
    /// `p` has had all deployments that it can have.
    LastDeployment,
    /// The new version of `p` has all requests that an arm can have.
    FullArm,
    /// There is no room for another record of an environment.
    FullFeed,
}

/// Commands that succeed in the first block, and one of the second block.
#[derive(Debug)]
struct Case {
    before: Vec<Command>,
    edit: Edit,
    signer: Address,
    last: Vec<u8>,
}

impl Case {
    fn new(before: Vec<Command>, last: &Command) -> Self {
        Self::raw(before, last.kind(), last.to_bytes())
    }

    fn raw(before: Vec<Command>, kind: CommandKind, last: Vec<u8>) -> Self {
        Self { before, edit: Edit::None, signer: sender(kind), last }
    }

    fn edited(self, edit: Edit) -> Self {
        Self { edit, ..self }
    }

    fn receipt(&self) -> Receipt {
        let mut world = World::new();
        if self.edit == Edit::FullFeed {
            return full_feed().probe(&raw_tx(self.signer, std::slice::from_ref(&self.last)));
        }
        let payloads = self.before.iter().map(|command| tx(sender(command.kind()), std::slice::from_ref(command)));
        let outcome = world.block(1, payloads.collect());
        for (command, receipt) in self.before.iter().zip(outcome.receipts) {
            assert_eq!(receipt, Receipt::Ok, "{command:?} of {self:?}");
        }
        let world = match self.edit {
            Edit::None | Edit::FullFeed => world,
            Edit::LastScheduleId => edited::<Global>(&world, Key::Global, |global| global.next_schedule_id = u64::MAX),
            Edit::LastDeployment => with_last_deployment(&world),
            Edit::FullArm => edited::<Deployment>(&world, Key::Deployment(name("p")), |deployment| {
                deployment.canary = Counts { requests: ARM_REQUESTS_MAX, errors: 0, latency_sum: 0 };
            }),
        };
        world.probe(&raw_tx(self.signer, std::slice::from_ref(&self.last)))
    }
}

/// One that may send a command and no more than it must.
fn sender(kind: CommandKind) -> Address {
    match kind.roles()[0] {
        Role::Admin => ADMIN,
        Role::Operator => OPERATOR,
        Role::Reporter => REPORTER,
        Role::Guardian => GUARDIAN,
        Role::Feeder => FEEDER,
    }
}

fn edited<T: Decode + Encode>(world: &World, key: Key, edit: impl FnOnce(&mut T)) -> World {
    let mut records = world.records.clone();
    let mut value = T::from_bytes(&records.0[&key.to_bytes()]).unwrap();
    edit(&mut value);
    records.0.insert(key.to_bytes(), value.to_bytes());
    World::of_records(records, world.tip())
}

/// Its number is part of the salt of a deployment that goes on.
fn with_last_deployment(world: &World) -> World {
    let mut records = world.records.clone();
    let plugin = Plugin { deployments: u32::MAX, ..world.plugin("p").clone() };
    records.0.insert(Key::Plugin(name("p")).to_bytes(), plugin.to_bytes());
    if let Some(deployment) = world.deployment("p") {
        let deployment = Deployment { salt: deployment.salt | u64::from(u32::MAX), ..deployment.clone() };
        records.0.insert(Key::Deployment(name("p")).to_bytes(), deployment.to_bytes());
    }
    World::of_records(records, world.tip())
}

fn full_feed() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let mut records = World::new().records;
        let item = FeedItem { version: 1, state: ItemState::Forgotten }.to_bytes();
        for n in 0..FEED_RECORDS_MAX {
            let id = feed_id(&format!("{n:05}"));
            records.0.insert(Key::FeedItem(FeedKey { kind: FeedKind::Environment, id }).to_bytes(), item.clone());
        }
        let totals = FeedTotals { environments: FEED_RECORDS_MAX, ..FeedTotals::default() };
        records.0.insert(Key::Feed.to_bytes(), totals.to_bytes());
        World::of_records(records, 1)
    })
}

/// The command with all guards passed but these; none if they cannot fail together.
fn case(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    use CommandKind as K;
    let mut case = match kind {
        K::CreateFeature => case_of_create(broken),
        K::ConfigureFeature
        | K::StartCanary
        | K::StartRollout
        | K::AdvanceRollout
        | K::Enable
        | K::Disable
        | K::Rollback
        | K::SetOverride
        | K::ClearOverride
        | K::Report => case_of_feature(kind, broken),
        K::TripBreaker
        | K::ResetBreaker
        | K::Schedule
        | K::CancelSchedule
        | K::GrantRole
        | K::RevokeRole
        | K::SetParams => Some(case_of_ledger(kind, broken)),
        K::RegisterVersion => Some(case_of_register(broken)),
        K::Deploy => case_of_deploy(broken),
        K::Pause | K::Resume | K::Promote | K::RollbackDeployment => case_of_deployment(kind, broken),
        K::Revert => case_of_revert(broken),
        K::RetireVersion | K::ReportVersion | K::AttestHealth => case_of_version(kind, broken),
        K::SetRule | K::SetHostVersion | K::SetRegistryParams => case_of_settings(kind, broken),
        K::Load => case_of_load(broken),
        K::Unload => case_of_unload(broken),
        K::ReportLoad | K::ReportUnload => case_of_attestation(kind, broken),
        K::FeedPut | K::FeedPatch | K::FeedDelete | K::FeedForget => case_of_feed(kind, broken),
    }?;
    if broken.is("signer") {
        case.signer = NOBODY;
    }
    // Names come first in their commands, behind tag and length; a version follows the plugin `p`.
    if broken.is("name") {
        case.last[2] = b'_';
    }
    if broken.is("version") {
        let at = if kind == K::SetHostVersion { 2 } else { 4 + usize::from(case.last[1]) - 1 };
        case.last[at] = b'x';
    }
    Some(case)
}

fn case_of_create(broken: Broken<'_>) -> Option<Case> {
    let target = if broken.is("existence") { "f" } else { "n" };
    let mut prerequisites = Vec::new();
    match broken.by("prerequisites") {
        Some(Reject::PrerequisiteCycle) => prerequisites.push(name(target)),
        Some(_) => prerequisites.push(name("gone")),
        None => {}
    }
    let mut before = vec![create("f")];
    if broken.is("depth") {
        before.push(create("t0"));
        before.extend((1..=8).map(|n| create_on(&format!("t{n}"), &[&format!("t{}", n - 1)])));
        prerequisites.push(name("t8"));
    }
    let changes = FeatureChanges {
        increment_blocks: broken.is("settings").then_some(0),
        ..policy(Policy { prerequisites, ..Policy::default() })
    };
    let description = if broken.is("description") { "d".repeat(1_025) } else { "d".into() };
    let bytes = create_with_bytes(target, &description, &changes);
    Some(Case::raw(before, CommandKind::CreateFeature, bytes))
}

fn case_of_feature(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    use CommandKind as K;
    let needs_feature = ["status", "prerequisites", "successes", "error rate", "target", "due", "override"];
    if broken.is("existence") && broken.any(&needs_feature) {
        return None;
    }
    let target = if broken.is("existence") { "x" } else { "f" };
    let status = match (kind, broken.by("status")) {
        (K::StartRollout | K::Rollback | K::Report, None) => Status::Canary,
        (K::AdvanceRollout, None) => Status::RollingOut,
        (K::Disable, None) => Status::Enabled,
        (_, None) => Status::Disabled,
        (K::ConfigureFeature, Some(_)) => Status::Canary,
        (_, Some(Reject::RolloutInProgress)) => Status::RollingOut,
        (_, Some(Reject::FeatureDisabled)) => Status::Disabled,
        (K::AdvanceRollout, Some(Reject::InvalidTransition)) => Status::Canary,
        (K::Disable, Some(Reject::InvalidTransition)) => Status::Disabled,
        (_, Some(_)) => Status::Enabled,
    };
    if broken.is("successes") && status == Status::RollingOut {
        return None;
    }
    let changes = manual(steps_every(if broken.is("due") { 50 } else { 1 }));
    let of = Policy { prerequisites: vec![name("base")], min_samples: 99, ..changes.policy.clone().unwrap() };
    let changes = FeatureChanges {
        max_error_rate: Some(0),
        min_success_count: Some(if broken.is("successes") { 9 } else { 0 }),
        policy: Some(of),
        ..changes
    };
    let mut before = vec![create("base"), create_with("f", changes), enable("base")];
    let an_error = broken.is("error rate").then(|| report("f", 0, 1));
    match status {
        Status::Disabled if an_error.is_some() => {
            before.extend([canary("f", 5)].into_iter().chain(an_error).chain([disable("f")]));
        }
        Status::Disabled | Status::RolledBack => {}
        Status::Canary => before.extend([canary("f", 5)].into_iter().chain(an_error)),
        Status::RollingOut => before.extend([canary("f", 5), rollout("f", 50)].into_iter().chain(an_error)),
        Status::Enabled => before.extend([enable("f")].into_iter().chain(an_error)),
    }
    if kind == K::ClearOverride && !broken.is("override") {
        before.push(set_override("f", USER, true));
    }
    if broken.is("prerequisites") && kind != K::ConfigureFeature {
        before.push(disable("base"));
    }
    if broken.is("breaker") {
        before.push(trip(0, false));
    }
    let others = policy(Policy::default());
    let command = match kind {
        K::ConfigureFeature => {
            let description = if broken.is("description") { "d".repeat(1_025) } else { "d".into() };
            let changes = FeatureChanges {
                increment_blocks: broken.is("settings").then_some(0),
                ..if broken.is("prerequisites") { others } else { FeatureChanges::default() }
            };
            return Some(Case::raw(before, kind, configure_bytes(target, Some(&description), &changes)));
        }
        K::StartCanary => canary(target, 7),
        K::StartRollout => rollout(target, if broken.is("target") { 5 } else { 50 }),
        K::AdvanceRollout => advance(target),
        K::Enable => enable(target),
        K::Disable => disable(target),
        K::Rollback => rollback(target),
        K::SetOverride => set_override(target, USER, true),
        K::ClearOverride => clear_override(target, USER),
        _ => {
            let report = Report { invariant_failures: u32::from(broken.is("figures")), ..SILENCE };
            return Some(Case::raw(before, kind, tell_bytes(target, report)));
        }
    };
    let mut case = Case::new(before, &command);
    if broken.is("percent") {
        *case.last.last_mut().unwrap() = 101;
    }
    Some(case)
}

fn case_of_ledger(kind: CommandKind, broken: Broken<'_>) -> Case {
    use CommandKind as K;
    let is_open = broken.is("breaker") != (kind == K::ResetBreaker);
    let opened: Vec<Command> = is_open.then(|| trip(0, false)).into_iter().collect();
    match kind {
        K::TripBreaker => Case::new(opened, &trip(if broken.is("until") { 2 } else { 3 }, false)),
        K::ResetBreaker => Case::new(opened, &Command::ResetBreaker),
        K::Schedule => {
            let falling = custom(&[stage(2, 1), stage(1, 1)]);
            let bad = |command: Command, at: usize, byte: u8| {
                let mut bytes = command.to_bytes();
                bytes[at] = byte;
                bytes
            };
            let inner = match broken.by("commands") {
                None => enable("f").to_bytes(),
                Some(Reject::InvalidName) => bad(enable("f"), 2, b'_'),
                Some(Reject::InvalidPercent) => with_byte(&canary("f", 5), 0, 101),
                Some(Reject::InvalidVersion) => bad(retire("p", "1.0.0"), 4, b'x'),
                Some(Reject::InvalidPlan) => deploy_bytes("p", "1.0.0", &falling, &EASY),
                Some(_) => report("f", 1, 0).to_bytes(),
            };
            let edit = if broken.is("ids") { Edit::LastScheduleId } else { Edit::None };
            Case::raw(vec![], kind, nested(if broken.is("at") { 2 } else { 3 }, &inner)).edited(edit)
        }
        K::CancelSchedule => {
            let entry = (!broken.is("entry")).then(|| schedule(9, vec![enable("f")]));
            Case::new(entry.into_iter().collect(), &cancel(9, 1))
        }
        K::GrantRole => Case::new(vec![], &grant(USER, Role::Operator)),
        K::RevokeRole => Case::new(
            vec![],
            &match (broken.is("role"), broken.is("last admin")) {
                (false, false) => revoke(OPERATOR, Role::Operator),
                (false, true) => revoke(ADMIN, Role::Admin),
                (true, false) => revoke(OPERATOR, Role::Reporter),
                (true, true) => revoke(OPERATOR, Role::Admin),
            },
        ),
        _ => {
            let rollbacks = broken.is("window").then_some(1);
            Case::raw(vec![], kind, set_params_bytes(broken.is("budget").then_some(0), rollbacks, None))
        }
    }
}

fn case_of_register(broken: Broken<'_>) -> Case {
    let mut before = vec![max_versions(3), register("p", "1.0.0"), register("p", "3.0.0")];
    if broken.is("existence") {
        before.push(register("p", "2.0.0"));
    } else if broken.is("room") {
        before.push(register("p", "4.0.0"));
    }
    let mut out = Writer::default();
    CommandKind::RegisterVersion.encode(&mut out);
    out.lp8(b"p");
    out.lp8(b"2.0.0");
    out.raw(&[0xc0; 32]);
    out.lp8(if broken.is("constraints") { b"||" } else { b"" });
    out.u8(1);
    out.lp8(if broken.is("names") { b"_q" } else { b"q" });
    out.lp8(b"*");
    out.lp16(&vec![0xcf; if broken.is("config") { 4_097 } else { 0 }]);
    out.u8(0);
    Case::raw(before, CommandKind::RegisterVersion, out.into_bytes())
}

fn case_of_deploy(broken: Broken<'_>) -> Option<Case> {
    if (broken.is("plugin") && broken.any(&["deployment", "status", "number"]))
        || (broken.is("registered") && broken.is("status"))
    {
        return None;
    }
    let mut before = vec![register("p", "1.0.0"), register("p", "2.0.0"), register("p", "3.0.0")];
    let version = match (broken.is("registered"), broken.by("status")) {
        (true, _) => "9.0.0",
        (false, Some(Reject::VersionInUse)) => "1.0.0",
        (false, status) => {
            before.extend(status.map(|_| retire("p", "2.0.0")));
            "2.0.0"
        }
    };
    if broken.is("deployment") {
        before.push(deploy_slowly("p", "3.0.0"));
    }
    if broken.is("breaker") {
        before.push(trip(0, false));
    }
    let strategy = if broken.is("plan") { custom(&[stage(2, 1), stage(1, 1)]) } else { custom(&[stage(1, 1)]) };
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    let case = Case::raw(before, CommandKind::Deploy, deploy_bytes(plugin, version, &strategy, &EASY));
    Some(case.edited(if broken.is("number") { Edit::LastDeployment } else { Edit::None }))
}

/// `q` with as many dependents as there may be, and what they are.
fn crowd() -> Vec<Command> {
    let mut commands = vec![register("q", "1.0.0"), load("q"), loaded("q", "1.0.0", true)];
    for n in 0..DEPENDENTS_MAX {
        let dependent = format!("d{n:03}");
        commands.extend([register_on(&dependent, "1.0.0", &[("q", "*")]), load(&dependent)]);
    }
    commands
}

/// A version against which something stands: its requirements and its host.
fn version_of(plugin: &str, version: &str, broken: Broken<'_>) -> Command {
    let mut requirements = Vec::new();
    requirements.extend(broken.is("requirements").then_some(("gone", "*")));
    requirements.extend(broken.is("totals").then_some(("q", "*")));
    let host = broken.is("host").then(|| constraint("^9"));
    register_with(plugin, version, coalmine_core::Manifest { host, ..manifest(&requirements) })
}

fn case_of_deployment(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    let of_version = ["gate", "constraint", "host", "requirements", "totals"];
    if (broken.is("plugin") && broken.any(&["deployment", "hold"]))
        || (broken.is("plugin") && broken.any(&of_version))
        || (broken.is("deployment") && (broken.is("hold") || broken.any(&of_version)))
    {
        return None;
    }
    let mut before = if broken.is("totals") { crowd() } else { vec![] };
    before.extend([register("p", "1.0.0"), version_of("p", "2.0.0", broken), load("p")]);
    if broken.is("constraint") {
        before.push(set_rule("p", Some("^1")));
    }
    if !broken.is("deployment") {
        let health = coalmine_core::Strategy::BlueGreen { health_blocks: 90, bake_blocks: 90 };
        before.push(if broken.is("gate") { deploy("p", "2.0.0", health, EASY) } else { deploy_slowly("p", "2.0.0") });
        if (kind == CommandKind::Resume) != broken.is("hold") {
            before.push(pause("p"));
        }
    }
    if broken.is("breaker") {
        before.push(trip(0, false));
    }
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    let command = match kind {
        CommandKind::Pause => pause(plugin),
        CommandKind::Resume => resume(plugin),
        CommandKind::Promote => promote(plugin),
        _ => roll_back(plugin),
    };
    Some(Case::new(before, &command))
}

fn case_of_revert(broken: Broken<'_>) -> Option<Case> {
    let of_version = ["constraint", "host", "requirements", "totals"];
    if (broken.is("plugin") && (broken.any(&["deployment", "previous"]) || broken.any(&of_version)))
        || (broken.is("previous") && broken.any(&of_version))
    {
        return None;
    }
    let mut before = if broken.is("totals") { crowd() } else { vec![] };
    before.extend([version_of("p", "1.0.0", broken), register("p", "2.0.0"), register("p", "3.0.0")]);
    if !broken.is("previous") {
        before.extend([deploy_slowly("p", "2.0.0"), promote("p")]);
    }
    before.push(load("p"));
    if broken.is("constraint") {
        before.push(set_rule("p", Some("^2")));
    }
    before.extend(broken.is("deployment").then(|| deploy_slowly("p", "3.0.0")));
    Some(Case::new(before, &revert(if broken.is("plugin") { "none" } else { "p" })))
}

fn case_of_version(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    use CommandKind as K;
    if broken.any(&["plugin", "registered"]) && broken.any(&["status", "deployment", "arm"]) {
        return None;
    }
    let mut before = vec![register("p", "1.0.0"), register("p", "2.0.0")];
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    let text = match (broken.is("registered"), kind, broken.is("deployment"), broken.by("status")) {
        (true, ..) => "9.0.0",
        (false, K::AttestHealth, true, _) | (false, _, _, Some(Reject::VersionInUse)) => "1.0.0",
        (false, ..) => "2.0.0",
    };
    if kind == K::RetireVersion {
        before.extend((broken.by("status") == Some(Reject::InvalidTransition)).then(|| retire("p", "2.0.0")));
    } else {
        before.push(deploy_slowly("p", "2.0.0"));
    }
    let command = match kind {
        K::RetireVersion => retire(plugin, text),
        K::ReportVersion => {
            let mut case = Case::new(before, &tell_version(plugin, text, 9, 2));
            if broken.is("figures") {
                // Requests, errors and the latency end the command: 10 errors are more than 9 requests.
                let at = case.last.len() - 9;
                case.last[at] = 10;
            }
            return Some(case.edited(if broken.is("arm") { Edit::FullArm } else { Edit::None }));
        }
        _ => attest(plugin, text, true),
    };
    Some(Case::new(before, &command))
}

fn case_of_settings(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    use CommandKind as K;
    if broken.is("plugin") && broken.is("current") {
        return None;
    }
    let before = vec![register_for_host("p", "1.0.0", "^0"), load("p")];
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    Some(match kind {
        K::SetRule => {
            let mut case = Case::new(before, &set_rule(plugin, Some(if broken.is("current") { "^2" } else { "^1" })));
            if broken.is("constraint") {
                *case.last.last_mut().unwrap() = b'|';
            }
            case
        }
        K::SetHostVersion => Case::new(before, &set_host(if broken.is("plugins") { "1.0.0" } else { "0.1.0" })),
        _ => Case::raw(before, kind, max_versions_bytes(if broken.is("versions") { 2 } else { 3 })),
    })
}

fn case_of_load(broken: Broken<'_>) -> Option<Case> {
    if broken.is("plugin") && broken.any(&["state", "walk", "depth", "cycles", "totals"]) {
        return None;
    }
    // What is loaded or on its way has been walked already.
    if broken.is("state") && broken.any(&["walk", "depth", "cycles", "totals"]) {
        return None;
    }
    let mut before = if broken.is("totals") { crowd() } else { vec![register("q", "1.0.0")] };
    let mut requirements: BTreeMap<String, &str> = BTreeMap::new();
    if broken.is("totals") {
        requirements.insert("q".into(), "*");
    }
    // A chain of plugins, each of which requires the next one, and the last one `end`.
    let chain = |letter: &str, count: usize, end: &[(&str, &str)]| -> Vec<Command> {
        let of = |n: usize| format!("{letter}{n:02}");
        let command = |n: usize| match n + 1 == count {
            true => register_on(&of(n), "1.0.0", end),
            false => register_on(&of(n), "1.0.0", &[(&of(n + 1), "*")]),
        };
        (0..count).map(command).collect()
    };
    if broken.is("depth") {
        // `a00` is met directly first; the longer path to it, over all of `b`, is not walked.
        before.extend(chain("a", 9, &[]));
        before.extend(chain("b", 9, &[("a00", "*")]));
        requirements.extend([("a00".to_owned(), "*"), ("b00".to_owned(), "*")]);
    }
    let mut host = None;
    match broken.by("walk") {
        None | Some(Reject::RuleViolated) => {}
        Some(Reject::HostTooOld) => host = Some(constraint("^9")),
        Some(Reject::DependencyMissing) => drop(requirements.insert("x".into(), "*")),
        Some(Reject::DependencyCycle) => drop(requirements.insert("p".into(), "*")),
        Some(Reject::DependencyBroken) => {
            before.push(register("z", "1.0.0"));
            requirements.insert("z".into(), "^2");
        }
        Some(Reject::InvalidTransition) => {
            before.extend([register("z", "1.0.0"), load("z"), loaded("z", "1.0.0", true), unload("z")]);
            requirements.insert("z".into(), "*");
        }
        Some(_) => {
            before.extend(chain("c", 17, &[]));
            requirements.insert("c00".into(), "*");
        }
    }
    let is_cyclic = broken.is("cycles");
    if is_cyclic {
        // `r` is loaded and requires `p`, which is not: it was unloaded by force, and `r` stayed.
        before.extend([register("p", "0.1.0"), register_on("r", "1.0.0", &[("p", "*")]), load("r")]);
        before.extend([loaded("p", "0.1.0", true), loaded("r", "1.0.0", true), unload_force("p")]);
        before.extend([unloaded("p", "0.1.0", true), unloaded("r", "1.0.0", false)]);
        requirements.insert("r".into(), "*");
    }
    let requirements: Vec<(&str, &str)> = requirements.iter().map(|(plugin, text)| (plugin.as_str(), *text)).collect();
    let manifest = coalmine_core::Manifest { host, ..manifest(&requirements) };
    if is_cyclic && manifest.host.is_some() {
        return None;
    }
    before.push(register_with("p", "1.0.0", manifest));
    if is_cyclic {
        before.extend([deploy_slowly("p", "1.0.0"), promote("p")]);
    }
    if broken.by("walk") == Some(Reject::RuleViolated) {
        before.push(set_rule("p", Some("^9")));
    }
    match broken.by("state") {
        None => {}
        Some(Reject::AlreadyLoaded) => before.push(load("p")),
        Some(_) => before.extend([load("p"), loaded("p", "1.0.0", true), unload("p")]),
    }
    Some(Case::new(before, &load(if broken.is("plugin") { "none" } else { "p" })))
}

fn case_of_unload(broken: Broken<'_>) -> Option<Case> {
    let is_large = broken.is("size");
    if (broken.is("plugin") && broken.any(&["state", "dependents", "size"]))
        || (is_large && broken.any(&["state", "dependents"]))
    {
        return None;
    }
    let mut before = vec![register("p", "1.0.0"), load("p")];
    if broken.is("dependents") {
        before.extend([register_on("d", "1.0.0", &[("p", "*")]), load("d")]);
    }
    if !broken.is("state") {
        before.push(loaded("p", "1.0.0", true));
    }
    for n in 0..if is_large { LOAD_PLUGINS_MAX } else { 0 } {
        let dependent = format!("d{n:02}");
        let commands = [register_on(&dependent, "1.0.0", &[("p", "*")]), load(&dependent)];
        before.extend(commands.into_iter().chain([loaded(&dependent, "1.0.0", true)]));
    }
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    Some(Case::new(before, &if is_large { unload_force(plugin) } else { unload(plugin) }))
}

fn case_of_attestation(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    if broken.any(&["plugin", "registered"]) && broken.is("loaded") {
        return None;
    }
    let mut before = vec![register("p", "1.0.0")];
    if kind == CommandKind::ReportLoad {
        before.extend((!broken.is("loaded")).then(|| load("p")));
    } else {
        before.extend([load("p"), loaded("p", "1.0.0", true)]);
        before.extend((!broken.is("loaded")).then(|| unload("p")));
    }
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    let text = if broken.is("registered") { "9.0.0" } else { "1.0.0" };
    let command =
        if kind == CommandKind::ReportLoad { loaded(plugin, text, true) } else { unloaded(plugin, text, true) };
    Some(Case::new(before, &command))
}

fn case_of_feed(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    use CommandKind as K;
    let environment = FeedKind::Environment;
    match kind {
        K::FeedPut => {
            let is_full = broken.is("totals");
            if is_full && broken.is("open put") {
                return None;
            }
            let before = if is_full { flood(0, 4_096) } else { vec![] };
            let part = if is_full || broken.is("open put") { FeedPart::Last } else { FeedPart::Only };
            let (id, len): (&[u8], usize) = match broken.by("items") {
                None => (b"~~~", 0),
                Some(Reject::InvalidFeedId) => (b"~ ~", 0),
                Some(_) => (b"~~~", 4_097),
            };
            let mut out = Writer::default();
            kind.encode(&mut out);
            part.encode(&mut out);
            out.u16(1);
            out.lp8(id);
            out.u64(1);
            out.lp16(&vec![0xbb; len]);
            out.u16(0);
            Some(Case::raw(before, kind, out.into_bytes()))
        }
        K::FeedPatch => {
            let id: &[u8] = if broken.is("id") { b"~ ~" } else { b"~~~" };
            let bytes = patch_bytes(id, if broken.is("body") { 4_097 } else { 0 });
            let edit = if broken.is("totals") { Edit::FullFeed } else { Edit::None };
            Some(Case::raw(vec![], kind, bytes).edited(edit))
        }
        K::FeedDelete => {
            let command = gone(environment, "a", 1);
            let bytes = if broken.is("id") { with_byte(&command, 8, b' ') } else { command.to_bytes() };
            let edit = if broken.is("totals") { Edit::FullFeed } else { Edit::None };
            Some(Case::raw(vec![], kind, bytes).edited(edit))
        }
        _ => {
            let command = forget(environment, &["a"]);
            let bytes = if broken.is("ids") { with_byte(&command, 0, b' ') } else { command.to_bytes() };
            Some(Case::raw(vec![], kind, bytes))
        }
    }
}

/// Rows of guard tables that do not stop, with each of their rejects, a command that passes all others.
fn wrong_guards(rules: &Rules, kind: CommandKind) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |broken: &[(&str, Reject)], expected: Receipt| {
        let receipt = case(kind, Broken(broken)).map(|case| case.receipt());
        if receipt != Some(expected) {
            wrong.push(format!("{kind}, {broken:?}: {receipt:?}"));
        }
    };
    check(&[], Receipt::Ok);
    for (guard, rejects) in &rules.section(kind).guards {
        rejects.iter().for_each(|reject| check(&[(guard, *reject)], refused(*reject)));
    }
    wrong
}

/// Pairs of guards that fail at once, of which the upper one does not decide; and how many pairs there are.
fn wrong_pairs(rules: &Rules, kind: CommandKind) -> (Vec<String>, usize) {
    let guards = &rules.section(kind).guards;
    let (mut wrong, mut pairs) = (Vec::new(), 0);
    for (place, (upper, rejects)) in guards.iter().enumerate() {
        for (lower, lower_rejects) in &guards[place + 1..] {
            for (reject, other) in rejects.iter().flat_map(|one| lower_rejects.iter().map(move |two| (*one, *two))) {
                let broken = [(upper.as_str(), reject), (lower.as_str(), other)];
                let Some(case) = case(kind, Broken(&broken)) else { continue };
                let receipt = case.receipt();
                if receipt != refused(reject) {
                    wrong.push(format!("{kind}: {upper} is above {lower}, but {receipt:?}"));
                }
                pairs += 1;
            }
        }
    }
    (wrong, pairs)
}

// Random worlds.

/// What the commands of random worlds have met and emitted, by name, and what due work has emitted.
#[derive(Debug, Default)]
struct Seen {
    blocks: usize,
    rejects: BTreeMap<&'static str, BTreeSet<Reject>>,
    events: BTreeMap<&'static str, BTreeSet<&'static str>>,
    due: BTreeSet<&'static str>,
}

fn names(events: &[Event]) -> impl Iterator<Item = &'static str> {
    events.iter().map(|event| event.code().name())
}

fn kind_of(command: &TxCommand) -> CommandKind {
    match command {
        TxCommand::Valid(command) => command.kind(),
        TxCommand::Invalid { kind, .. } => *kind,
    }
}

/// The transaction with its first commands alone.
fn first_commands(transaction: &Transaction, count: usize) -> Payload {
    let bytes: Vec<Vec<u8>> = transaction.commands()[..count].iter().map(Encode::to_bytes).collect();
    raw_tx(*transaction.signer(), &bytes)
}

impl Seen {
    fn outcome(state: &State, height: u32, payloads: Vec<Payload>) -> Outcome {
        state.execute(&Block::from_payloads(height, payloads).unwrap()).unwrap().outcome().clone()
    }

    fn due(&mut self, outcome: &Outcome) {
        // A scheduled entry emits what its commands emit.
        if !outcome.events.iter().any(|event| matches!(event, Event::ScheduleExecuted { .. })) {
            self.due.extend(names(&outcome.events));
        }
    }

    /// Executes a block and each beginning of it, so that every event has its command.
    fn block(&mut self, state: &mut State, block: &Block) {
        let height = block.height();
        let payloads: Vec<Payload> = block.payloads().collect();
        let mut done = Self::outcome(state, height, vec![]);
        self.due(&done);
        for (index, payload) in payloads.iter().enumerate() {
            let before = &payloads[..index];
            let with = |last: Payload| Self::outcome(state, height, [before, &[last]].concat());
            let outcome = with(payload.clone());
            let receipt = *outcome.receipts.last().unwrap();
            match (payload, receipt) {
                (Payload::Malformed(_), _) => assert_eq!(receipt, refused(Reject::Malformed)),
                (Payload::Transaction(tx), Receipt::Rejected { reject, index }) => {
                    let kind = kind_of(&tx.commands()[usize::from(index)]);
                    self.rejects.entry(kind.name()).or_default().insert(reject);
                    assert_eq!(outcome.events, done.events, "a rejected transaction emits nothing");
                }
                (Payload::Transaction(tx), Receipt::Ok) => {
                    let mut emitted = done.events.len();
                    for (count, command) in (1..).zip(tx.commands()) {
                        let events = match count == tx.commands().len() {
                            true => outcome.events.clone(),
                            false => with(first_commands(tx, count)).events,
                        };
                        let of = self.events.entry(kind_of(command).name()).or_default();
                        of.extend(names(&events[emitted..]));
                        emitted = events.len();
                    }
                }
            }
            done = outcome;
        }
        let execution = state.execute(block).unwrap();
        assert_eq!(execution.outcome().events, done.events);
        state.apply(execution).unwrap();
        self.blocks += 1;
    }

    fn world(&mut self, world: &RandomWorld) {
        let (mut state, _) = State::genesis(&world.genesis).unwrap();
        for block in &world.blocks {
            while state.tip().is_some_and(|tip| tip + 1 < block.height()) {
                let execution = state.advance(block.height() - 1).unwrap();
                self.due(execution.outcome());
                state.apply(execution).unwrap();
            }
            self.block(&mut state, block);
        }
    }

    /// What worlds rarely have: a resume that does all that a check does, and a change of the version of a plugin that
    /// is pending.
    fn stories(&mut self) {
        let gate = Stage { gate: Gate::Manual, ..stage(1_000, 1) };
        let gated =
            |terms| [register("p", "1.0.0"), register("p", "2.0.0"), deploy("p", "2.0.0", custom(&[gate]), terms)];
        let pending = || [register("q", "1.0.0"), register_on("p", "1.0.0", &[("q", "*")]), load("p")];
        self.story(&[&gated(Guardrails { auto_promote: false, ..EASY }), &[resume("p")]]);
        self.story(&[&pending(), &gated(EASY)[1..], &[resume("p")]]);
        self.story(&[
            &[register("p", "1.0.0"), register_for_host("p", "2.0.0", "^9")],
            &gated(EASY)[2..],
            &[resume("p")],
        ]);
        self.story(&[
            &[set_params(None, Some(1), Some(9))],
            &gated(Guardrails { max_blocks: NonZeroU32::new(2), ..EASY }),
            &[trip(0, false)],
            &[Command::ResetBreaker, resume("p")],
        ]);
        self.story(&[&pending(), &[register("p", "2.0.0"), deploy_slowly("p", "2.0.0"), promote("p")]]);
        self.story(&[
            &[register("q", "1.0.0"), register("p", "1.0.0"), register_on("p", "2.0.0", &[("q", "*")])],
            &[deploy_slowly("p", "2.0.0"), promote("p"), load("p"), revert("p")],
        ]);
    }

    /// Commands by those who may send them, block by block.
    fn story(&mut self, blocks: &[&[Command]]) {
        let mut state = World::new().state;
        for (height, commands) in (1..).zip(blocks) {
            let payloads = commands.iter().map(|command| tx(sender(command.kind()), std::slice::from_ref(command)));
            self.block(&mut state, &Block::from_payloads(height, payloads.collect()).unwrap());
        }
    }
}

/// Worlds of each mix, and blocks of a world.
const WORLDS: u64 = 60;
const BLOCKS: usize = 30;

fn seen() -> &'static Seen {
    static SEEN: OnceLock<Seen> = OnceLock::new();
    SEEN.get_or_init(|| {
        let mut seen = Seen::default();
        for (mix, seed) in Mix::ALL.iter().flat_map(|mix| (0..WORLDS).map(|seed| (*mix, seed))) {
            seen.world(&RandomWorld::of_seed(mix, seed, BLOCKS));
        }
        println!("{} blocks", seen.blocks);
        seen.stories();
        seen
    })
}

/// Rejects that random worlds show and the document does not have.
fn other_rejects(rules: &Rules) -> Vec<String> {
    let mut wrong = Vec::new();
    for kind in CommandKind::ALL {
        let document = rules.section(*kind).rejects();
        let seen = seen().rejects.get(kind.name()).into_iter().flatten();
        wrong.extend(seen.filter(|reject| !document.contains(reject)).map(|reject| format!("{kind} meets {reject}")));
    }
    wrong
}

/// Events that worlds show and the document does not have, and the other way round.
fn wrong_events(rules: &Rules) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, document: &BTreeSet<&str>, seen: &BTreeSet<&str>| {
        if document != seen {
            wrong.push(format!("{what}: the document has {document:?}, the worlds have {seen:?}"));
        }
    };
    for kind in CommandKind::ALL {
        let document = rules.section(*kind).events.iter().map(String::as_str).collect();
        let emitted = seen().events.get(kind.name()).into_iter().flatten().copied().collect();
        check(kind.name(), &document, &emitted);
    }
    let table = rules.tables.iter().find(|table| table.heading == "Due work").unwrap();
    // A scheduled entry emits what its commands emit.
    let rows = table.rows.iter().filter(|row| row[0] != "scheduled entry");
    check("due work", &rows.flat_map(|row| row[4].split(", ")).collect(), &seen().due);
    wrong
}

// The tests.

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn commands_numbers_and_links_are_those_of_the_code() {
    for check in [wrong_sections, wrong_numbers, wrong_links] {
        assert_eq!(check(rules()), none());
    }
}

#[test]
fn every_guard_rejects_as_its_row_says() {
    CommandKind::ALL.iter().for_each(|kind| assert_eq!(wrong_guards(rules(), *kind), none()));
}

#[test]
fn of_two_guards_the_upper_one_decides() {
    let mut pairs = 0;
    for kind in CommandKind::ALL {
        let (wrong, of_kind) = wrong_pairs(rules(), *kind);
        assert_eq!(wrong, none());
        pairs += of_kind;
    }
    println!("{pairs} pairs");
    assert!(pairs >= 535, "{pairs}");
}

#[test]
fn random_worlds_show_no_other_reject_and_no_other_event() {
    assert_eq!(other_rejects(rules()), none());
    assert_eq!(wrong_events(rules()), none());
}

/// A document with a mistake is found out.
#[test]
fn a_wrong_document_is_found() {
    let pairs = |rules: &Rules| wrong_pairs(rules, CommandKind::Enable).0;
    let guards = |rules: &Rules| wrong_guards(rules, CommandKind::Disable);
    let is_off = "| status | not disabled | invalid_transition |\n";
    let (is_closed, is_not_on) =
        ("| breaker | closed | circuit_open |\n", "| status | not enabled | invalid_transition |\n");
    let swapped = (format!("{is_closed}{is_not_on}"), format!("{is_not_on}{is_closed}"));
    type Check<'a> = &'a dyn Fn(&Rules) -> Vec<String>;
    let rows: [(&str, &str, Check<'_>); 13] = [
        ("**Sent by** guardian, operator", "**Sent by** operator, guardian", &wrong_sections),
        ("**Sent by** feeder · **scheduled** no", "**Sent by** feeder · **scheduled** yes", &wrong_sections),
        ("| guardian | only", "| guard | only", &wrong_sections),
        ("at most 8 (PREREQUISITE_DEPTH_MAX)", "at most 9 (PREREQUISITE_DEPTH_MAX)", &wrong_numbers),
        ("(LOADED_MAX)", "(HOSTED_MAX)", &wrong_numbers),
        ("[`disable`](src/", "[`disabled`](src/", &wrong_links),
        ("(#the-guard)", "(#the-guards)", &wrong_links),
        (is_off, "| status | not disabled | feature_disabled |\n", &guards),
        (&swapped.0, &swapped.1, &pairs),
        (is_off, "", &other_rejects),
        ("**Events** `override_set`", "**Events** none", &wrong_events),
        ("**Events** `override_set`", "**Events** `override_set`, `override_cleared`", &wrong_events),
        ("| `load_planned`, `load_failed` |", "| `load_planned` |", &wrong_events),
    ];
    for (right, wrong, check) in rows {
        assert!(rules().text.contains(right), "{right}");
        let document = read_rules(&rules().text.replace(right, wrong));
        assert_ne!(check(&document), none(), "{wrong} in place of {right}");
    }
}
