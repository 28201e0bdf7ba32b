//! Each guard alone, and two at once.

mod plugins;

use super::*;

use plugins::{
    case_of_deploy, case_of_deployment, case_of_load, case_of_register, case_of_revert, case_of_settings,
    case_of_unload, case_of_version,
};

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
    /// The constraint of `p`, or the host of its new version, forbids that: they cannot be set during a deployment.
    Bound(bool, bool),
    /// There is no room for another entry of the schedule, but for admins.
    FullSchedule,
    /// There is no room for another record of an environment.
    FullFeed,
}

/// Commands that succeed in the first block, and one of the second block.
#[derive(Debug)]
struct Case {
    before: Vec<Command>,
    edit: Edit,
    /// What the parameters are when the last command comes.
    params: ParamsChanges,
    /// Whether the block has no work left for it.
    is_full: bool,
    /// Whether the last command runs from the schedule.
    is_scheduled: bool,
    signer: Address,
    last: Vec<u8>,
}

impl Case {
    fn new(before: Vec<Command>, last: &Command) -> Self {
        Self::raw(before, last.kind(), last.to_bytes())
    }

    fn raw(before: Vec<Command>, kind: CommandKind, last: Vec<u8>) -> Self {
        let (params, is_full, is_scheduled) = (ParamsChanges::default(), false, false);
        Self { before, edit: Edit::None, params, is_full, is_scheduled, signer: sender(kind), last }
    }

    fn edited(self, edit: Edit) -> Self {
        Self { edit, ..self }
    }

    fn receipt(&self) -> Receipt {
        let last = raw_tx(self.signer, std::slice::from_ref(&self.last));
        match self.edit {
            Edit::FullFeed => return probe_behind(full_feed(), self.is_full, &last),
            Edit::FullSchedule => return probe_behind(&self.with_params(full_schedule()), self.is_full, &last),
            _ => {}
        }
        let mut world = World::new();
        let payloads = self.before.iter().map(|command| tx(sender(command.kind()), std::slice::from_ref(command)));
        let height = if self.params.round_blocks.is_some() { Height::MAX - 9 } else { 1 };
        let outcome = world.block(height, payloads.collect());
        for (command, receipt) in self.before.iter().zip(outcome.receipts) {
            assert_eq!(receipt, Receipt::Ok, "{command:?} of {self:?}");
        }
        let world = match self.edit {
            Edit::None | Edit::FullFeed | Edit::FullSchedule => world,
            Edit::LastScheduleId => world.edited::<Global>(Key::Global, |global| global.next_schedule_id = u64::MAX),
            Edit::LastDeployment => with_last_deployment(&world),
            Edit::Bound(rule, host) => {
                let mut world = world;
                if rule {
                    world = world
                        .edited::<Plugin>(Key::Plugin(name("p")), |plugin| plugin.constraint = Some(constraint("^1")));
                }
                if host {
                    let key = Key::PluginVersion { plugin: name("p"), version: "2.0.0".parse().unwrap() };
                    world = world.edited::<PluginVersion>(key, |version| {
                        let manifest = Manifest { host: Some(constraint("^9")), ..Manifest::clone(&version.manifest) };
                        version.manifest = manifest.into();
                    });
                }
                world
            }
        };
        let world = self.with_params(&world);
        if self.is_scheduled {
            return run_scheduled(world, self.signer, &self.last);
        }
        probe_behind(&world, self.is_full, &last)
    }

    fn with_params(&self, world: &World) -> World {
        if self.params == ParamsChanges::default() {
            return world.clone();
        }
        world.edited::<Global>(Key::Global, |global| global.params = self.params.apply_to(&global.params))
    }
}

/// The receipt in the next block, in which there may be no work left.
fn probe_behind(world: &World, is_full: bool, last: &Payload) -> Receipt {
    if !is_full {
        return world.probe(last);
    }
    // Each pays 1 024 units, and finds no plugin.
    let filler = tx(ADMIN, &vec![set_rule("nobody", None); 1]);
    let mut payloads = vec![filler; usize::try_from(BLOCK_WORK_MAX / 1_024).unwrap()];
    payloads.push(last.clone());
    let block = Block::from_payloads(world.tip() + 1, payloads).unwrap();
    *world.state.execute(&block).unwrap().outcome().receipts.last().unwrap()
}

/// What becomes of a command in the schedule of its signer.
fn run_scheduled(world: World, signer: Address, command: &[u8]) -> Receipt {
    let mut world = world;
    let at = world.tip() + 1 + RULES_NOTICE;
    let height = world.tip() + 1;
    assert_eq!(world.block(height, vec![raw_tx(signer, &[nested(at, command)])]).receipts, [Receipt::Ok]);
    let executed = |event: &Event| match event {
        Event::ScheduleExecuted { code, index, .. } => Some((*code, *index)),
        _ => None,
    };
    let (code, index) = world.at(at, vec![]).events.iter().find_map(executed).unwrap();
    Reject::from_code(code).map_or(Receipt::Ok, |reject| Receipt::Rejected { reject, index })
}

/// All entries wait that can for one who is no admin.
fn full_schedule() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let mut world = World::new();
        let sixteen = tx(OPERATOR, &vec![schedule(9_000, vec![enable("f")]); 16]);
        let count = (SCHEDULED_MAX - SCHEDULED_RESERVED) / 16;
        world.block(1, vec![sixteen; usize::try_from(count).unwrap()]);
        world
    })
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
        | K::Report
        | K::PauseRollout => case_of_feature(kind, broken),
        K::TripBreaker
        | K::ResetBreaker
        | K::Schedule
        | K::CancelSchedule
        | K::GrantRole
        | K::RevokeRole
        | K::SetParams
        | K::SetRules => case_of_ledger(kind, broken),
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
    case.is_full = broken.is("price");
    if broken.is("wait") {
        case.params.timelock = Some(99);
    }
    // It would end beyond the last height.
    if broken.is("round") {
        case.params.round_blocks = Some(Params::BLOCKS_MAX);
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
    let needs_feature = ["status", "prerequisites", "successes", "error rate", "target", "due", "override", "trial"];
    if broken.is("existence") && broken.any(&needs_feature) {
        return None;
    }
    let target = if broken.is("existence") { "x" } else { "f" };
    let status = match (kind, broken.by("status")) {
        (K::StartRollout | K::Rollback | K::Report, None) => Status::Canary,
        (K::AdvanceRollout | K::PauseRollout, None) => Status::RollingOut,
        (K::Disable, None) => Status::Enabled,
        (_, None) => Status::Disabled,
        (K::ConfigureFeature, Some(_)) => Status::Canary,
        (_, Some(Reject::RolloutInProgress)) => Status::RollingOut,
        (_, Some(Reject::FeatureDisabled)) => Status::Disabled,
        (K::AdvanceRollout | K::PauseRollout, Some(Reject::InvalidTransition)) => Status::Canary,
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
        before.push(set_override("f", USER, !broken.is("wait")));
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
        K::PauseRollout => pause_rollout(target),
        _ => {
            let report = Report { invariant_failures: u32::from(broken.is("figures")), ..SILENCE };
            let bytes = tell_bytes(target, report);
            return Some(Case::raw(before, kind, if broken.is("trial") { naming(bytes, 99) } else { bytes }));
        }
    };
    let mut case = Case::new(before, &command);
    if broken.is("percent") {
        *case.last.last_mut().unwrap() = 101;
    }
    Some(case)
}

/// A report that ends without a trial or a deployment, with that number of one.
fn naming(mut report: Vec<u8>, number: u8) -> Vec<u8> {
    assert_eq!(report.pop(), Some(0));
    [report, vec![1, 0, 0, 0, number]].concat()
}

fn case_of_ledger(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    use CommandKind as K;
    if broken.is("commands") && broken.is("notice") {
        return None;
    }
    let is_open = broken.is("breaker") != (kind == K::ResetBreaker);
    let opened: Vec<Command> = is_open.then(|| trip(0, false)).into_iter().collect();
    Some(match kind {
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
                None if broken.is("notice") => set_rules(2).to_bytes(),
                None => enable("f").to_bytes(),
                Some(Reject::InvalidName) => bad(enable("f"), 2, b'_'),
                Some(Reject::InvalidPercent) => with_byte(&canary("f", 5), 0, 101),
                Some(Reject::InvalidVersion) => bad(retire("p", "1.0.0"), 4, b'x'),
                Some(Reject::InvalidConstraint) => with_byte(&set_rule("p", Some("^1")), 0, b'|'),
                Some(Reject::LimitExceeded) => create_bytes("f", 1_025),
                Some(Reject::InvalidPlan) => deploy_bytes("p", "1.0.0", &falling, &EASY),
                Some(_) => report("f", 1, 0).to_bytes(),
            };
            let edit = match (broken.is("room"), broken.is("ids")) {
                (true, _) => Edit::FullSchedule,
                (false, true) => Edit::LastScheduleId,
                (false, false) => Edit::None,
            };
            let case = Case::raw(vec![], kind, nested(if broken.is("at") { 2 } else { 3 }, &inner)).edited(edit);
            // Only an admin schedules a change of rules.
            Case { signer: if broken.is("notice") { ADMIN } else { case.signer }, ..case }
        }
        K::CancelSchedule => {
            let command = if broken.is("raising") { disable("f") } else { enable("f") };
            let entry = (!broken.is("entry")).then(|| schedule(9, vec![command]));
            Case::new(entry.into_iter().collect(), &cancel(9, 1))
        }
        K::GrantRole => {
            let mut case = Case::new(vec![], &grant(USER, Role::Operator));
            if broken.is("address") {
                case.last[1..21].fill(0);
            }
            case
        }
        K::RevokeRole => Case::new(
            vec![],
            &match (broken.is("role"), broken.is("last admin")) {
                (false, false) if broken.is("wait") => revoke(OPERATOR, Role::Admin),
                (true, false) if broken.is("wait") => revoke(OPERATOR, Role::Admin),
                (false, false) => revoke(OPERATOR, Role::Operator),
                (false, true) => revoke(ADMIN, Role::Admin),
                (true, false) => revoke(OPERATOR, Role::Reporter),
                (true, true) => revoke(OPERATOR, Role::Admin),
            },
        ),
        K::SetRules => {
            let is_scheduled = broken.is("rules") && !broken.any(&["signer", "price", "schedule"]);
            Case { is_scheduled, ..Case::new(vec![], &set_rules(1)) }
        }
        _ => {
            let rollbacks = broken.is("window").then_some(1);
            Case::raw(vec![], kind, set_params_bytes(broken.is("ranges").then_some(0), rollbacks, None))
        }
    })
}

fn case_of_attestation(kind: CommandKind, broken: Broken<'_>) -> Option<Case> {
    if broken.any(&["plugin", "registered"]) && broken.any(&["loaded", "state", "dependents"]) {
        return None;
    }
    let mut before = vec![register("p", "1.0.0"), register("p", "2.0.0")];
    if broken.is("dependents") {
        before.extend([register_on("d", "1.0.0", &[("p", "*")]), load("d"), loaded("p", "1.0.0", true)]);
        before.push(loaded("d", "1.0.0", true));
    } else {
        before.push(load("p"));
    }
    let (is_load, has_dependents) = (kind == CommandKind::ReportLoad, broken.is("dependents"));
    let is_loaded = !is_load || broken.is("state");
    before.extend((is_loaded && !has_dependents).then(|| loaded("p", "1.0.0", true)));
    before.extend((is_load == broken.is("state")).then(|| unload_force("p")));
    let plugin = if broken.is("plugin") { "none" } else { "p" };
    let text = match (broken.is("registered"), broken.is("loaded")) {
        (true, _) => "9.0.0",
        (false, true) => "2.0.0",
        (false, false) => "1.0.0",
    };
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
pub(super) fn wrong_guards(rules: &Rules, kind: CommandKind) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |broken: &[(&str, Reject)], expected: Receipt| {
        let receipt = case(kind, Broken(broken)).map(|case| case.receipt());
        if receipt != Some(expected) {
            wrong.push(format!("{kind}, {broken:?}: {receipt:?}"));
        }
    };
    // No build knows other rules to change to.
    if kind != CommandKind::SetRules {
        check(&[], Receipt::Ok);
    }
    for (guard, rejects) in &rules.section(kind).guards {
        rejects.iter().for_each(|reject| check(&[(guard, *reject)], refused(*reject)));
    }
    wrong
}

/// Pairs of guards that fail at once, of which the upper one does not decide; and how many pairs there are.
pub(super) fn wrong_pairs(rules: &Rules, kind: CommandKind) -> (Vec<String>, usize) {
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
