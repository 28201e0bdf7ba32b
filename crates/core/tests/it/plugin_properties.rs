//! What holds of plugins whatever is done to them, over random blocks; and the regression test
//! against an exact computation with fractions.
//!
//! The world of `common` checks more after every block, above all that the state is what its records
//! load into, and that each plugin has one current version that is not its canary.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::num::NonZeroU32;
use std::sync::Arc;

use coalmine_core::query;
use coalmine_core::{
    ARM_REQUESTS_MAX, Block, Bps, Command, Counts, Decode, Deployment, Encode, Event, Gate, Guardrails, Hold, Key,
    LoadState, Name, OnComplete, Params, Payload, Plan, Plugin, PluginReason, PluginVersion, Receipt, Reject, Stage,
    State, Strategy, bucket_of_unit,
};

use crate::common::plugins::*;
use crate::common::*;

// Random blocks.

const PLUGINS: [&str; 4] = ["a", "a.b", "lib", "web"];
const VERSIONS: [&str; 6] = ["1.0.0", "1.1.0-rc.1", "1.1.0+build", "1.2.0", "2.0.0", "3.0.0"];
const CONSTRAINTS: [&str; 6] = ["*", "*", "^1", "^1", ">=1.1.0-rc.1", ">=1.2, <3"];

fn any_stages(random: &mut Random) -> Vec<Stage> {
    let mut share_bps = 0;
    let count = 1 + random.below(4);
    let gates = [Gate::Time, Gate::Time, Gate::Manual, Gate::Health];
    let stage = |_| {
        share_bps += 1 + u16::try_from(random.below(2_500)).unwrap();
        let blocks = 1 + u32::try_from(random.below(4)).unwrap();
        Stage {
            share_bps: Bps::new(share_bps).unwrap(),
            blocks,
            min_requests: random.below(3) * 5,
            gate: random.pick(&gates),
        }
    };
    (0..count).map(stage).collect()
}

fn any_deploy(random: &mut Random, plugin: &str, version: &str) -> Command {
    let stages = any_stages(random);
    let blocks: u32 = stages.iter().map(|stage| stage.blocks).sum();
    let terms = Guardrails {
        error_threshold_bps: Bps::new(random.pick(&[0, 1_000, 5_000, 10_000, 10_000])).unwrap(),
        success_threshold_bps: Bps::new(random.pick(&[0, 0, 9_000])).unwrap(),
        min_requests: random.pick(&[0, 1, 10]),
        max_blocks: random.pick(&[None, NonZeroU32::new(blocks + 1), NonZeroU32::new(4 * blocks)]),
        auto_promote: !random.one_in(3),
        auto_rollback: !random.one_in(3),
        regression_z_centi: NonZeroU16::new(random.pick(&[0, 100, 200])),
    };
    let on_complete = random.pick(OnComplete::ALL);
    deploy(plugin, version, Strategy::Custom { on_complete, stages }, terms)
}

fn any_register(random: &mut Random, plugin: &str, version: &str) -> Command {
    let mut required = BTreeMap::new();
    for _ in 0..random.below(3) {
        // Mostly of one that is later in the list, so that most graphs have no cycle.
        let other = random.pick(&["a", "a.b", "lib", "lib", "web", "web", "late"]);
        if plugin < other || random.one_in(8) {
            required.insert(other, random.pick(&CONSTRAINTS));
        }
    }
    let required: Vec<_> = required.into_iter().collect();
    let mut manifest = manifest(&required);
    manifest.host = random.one_in(5).then(|| constraint(random.pick(&["<2", ">=1"])));
    register_with(plugin, version, manifest)
}

/// A report, mostly for an arm of a deployment.
fn any_report(random: &mut Random, state: &State) -> Command {
    let requests = u32::try_from(random.below(12)).unwrap();
    let errors = if random.one_in(2) { 0 } else { u32::try_from(random.below(u64::from(requests) + 1)).unwrap() };
    let arms = state.plugins().filter_map(|(plugin, _)| {
        let deployment = state.deployment(plugin)?;
        Some([&deployment.old, &deployment.new].map(|version| (plugin.to_string(), version.to_string())))
    });
    let arms: Vec<(String, String)> = arms.flatten().collect();
    let (plugin, version) = if arms.is_empty() || random.one_in(8) {
        (random.pick(&PLUGINS).into(), random.pick(&VERSIONS).into())
    } else {
        random.pick(&arms)
    };
    tell_version(&plugin, &version, requests, errors)
}

fn any_command(random: &mut Random, with_force: bool) -> Command {
    let plugin = random.pick(&PLUGINS);
    let version = random.pick(&VERSIONS);
    match random.below(24) {
        0..=3 => any_register(random, plugin, version),
        4..=7 => any_deploy(random, plugin, version),
        8 => pause(plugin),
        9 => resume(plugin),
        10 | 11 => promote(plugin),
        12 if random.one_in(2) => roll_back(plugin),
        12 | 13 => revert(plugin),
        14 if random.one_in(3) => retire(plugin, version),
        14 | 15 => attest(plugin, version, !random.one_in(4)),
        16..=18 => load(plugin),
        19 if with_force => unload_force(plugin),
        19 => unload(plugin),
        20 => set_rule(plugin, random.pick(&[None, None, Some("*"), Some("^1"), Some("<3")])),
        21 => set_host(random.pick(&["0.9.0", "1.0.0", "1.5.0", "2.0.0"])),
        22 => auto_load(random.one_in(2)),
        _ if random.one_in(6) => register("late", "1.2.0"),
        _ => max_versions(random.pick(&[3, 3, 5])),
    }
}

/// A command about loading.
fn any_load(random: &mut Random, with_force: bool) -> Command {
    let plugin = random.pick(&PLUGINS);
    match random.below(8) {
        0..=4 => load(plugin),
        5 if with_force => unload_force(plugin),
        5 => unload(plugin),
        6 => set_rule(plugin, random.pick(&[None, Some("*"), Some("^1")])),
        _ => any_command(random, with_force),
    }
}

/// A first block in which most of what there is to deploy is registered, and some room is left.
fn any_beginning(random: &mut Random) -> Vec<Payload> {
    let mut commands = Vec::new();
    for plugin in PLUGINS {
        commands.extend(VERSIONS[..4].iter().map(|version| any_register(random, plugin, version)));
    }
    commands.into_iter().map(give).collect()
}

/// Attestations of what the hosts are asked for, mostly good.
fn attestations(random: &mut Random, state: &State) -> Vec<Command> {
    let mut commands = Vec::new();
    for (plugin, record) in state.plugins() {
        let Some(version) = &record.loaded else { continue };
        let ok = !random.one_in(5);
        let (plugin, version) = (plugin.to_string(), version.to_string());
        match record.load_state {
            LoadState::Loading => commands.push(loaded(&plugin, &version, ok)),
            LoadState::Unloading => commands.push(unloaded(&plugin, &version, ok)),
            _ if random.one_in(10) => commands.push(loaded(&plugin, &version, ok)),
            _ => {}
        }
    }
    commands
}

// What must hold.

/// The units that the new version of each deployment serves, by the salt of the deployment.
fn cohorts(state: &State) -> BTreeMap<(Name, u64), BTreeSet<u16>> {
    let mut cohorts = BTreeMap::new();
    for (plugin, _) in state.plugins() {
        let Some(deployment) = state.deployment(plugin) else { continue };
        let serves = |unit: &u16| state.route(plugin, &unit.to_be_bytes()) == Some(&deployment.new);
        cohorts.insert((*plugin, deployment.salt), (0..200).filter(serves).collect());
    }
    cohorts
}

fn shares(state: &State) -> BTreeMap<(Name, u64), u16> {
    let share = |(plugin, _): (&Name, _)| {
        let deployment = state.deployment(plugin)?;
        Some(((*plugin, deployment.salt), deployment.share().get()))
    };
    state.plugins().filter_map(share).collect()
}

/// Nobody leaves the new version while its share grows, and its share never falls.
fn check_growth(before: &State, after: &State) {
    for (key, share) in shares(after) {
        let share_before = shares(before).get(&key).copied().unwrap_or_default();
        assert!((share_before..=10_000).contains(&share), "{key:?}: the share falls from {share_before} to {share}");
    }
    let now = cohorts(after);
    for (key, units) in cohorts(before) {
        if let Some(now) = now.get(&key) {
            assert!(units.is_subset(now), "{key:?}: a unit moved back");
        }
    }
}

/// Routing by name, by handle, by a router and from the records is one.
fn check_routes(world: &World) {
    for plugin in PLUGINS.map(name) {
        let router = world.state.router(&plugin);
        for unit in 0..20_u8 {
            let by_name = world.state.route(&plugin, &[unit]);
            assert_eq!(router.as_ref().map(|router| router.route(&[unit])), by_name);
            let new = world.state.deployment(&plugin).map(|deployment| &deployment.new);
            assert_eq!(
                router.as_ref().and_then(|router| router.canary_for(&[unit])),
                by_name.filter(|_| by_name == new)
            );
            let handle = world.state.resolve_plugin(&plugin);
            assert_eq!(handle.and_then(|handle| world.state.route_by(handle, &[unit])), by_name);
            assert_eq!(query::route(&world.records, &plugin, &[unit]).unwrap().as_ref(), by_name);
            let routing = query::routing(&world.records, &plugin, &[unit]).unwrap();
            assert_eq!(routing.as_ref().map(|routing| &routing.version), by_name);
            let deployment = query::deployment(&world.records, &plugin).unwrap();
            let bucket_and_share = deployment.map(|deployment| {
                let bucket = bucket_of_unit(&world.state.global().chain, &plugin, deployment.salt, &[unit]);
                (bucket, deployment.share())
            });
            assert_eq!(routing.and_then(|routing| routing.bucket_and_share), bucket_and_share);
        }
    }
}

/// Equal marks mean equal plugins, and what a host has to look at are those that are not Unloaded. Returns whether the
/// marks are equal.
fn check_mark(before: &State, now: &State) -> bool {
    let all = |state: &State| {
        let one = |(name, plugin): (&Name, &Plugin)| {
            let versions: Vec<PluginVersion> = state.plugin_versions(name).cloned().collect();
            (*name, plugin.clone(), versions, state.deployment(name).cloned())
        };
        state.plugins().map(one).collect::<Vec<_>>()
    };
    assert_eq!(now.plugins_mark(), now.clone().plugins_mark());
    let is_same = before.plugins_mark() == now.plugins_mark();
    if is_same {
        assert_eq!(all(before), all(now));
    }
    let not_unloaded = now.plugins().filter(|(_, plugin)| plugin.load_state != LoadState::Unloaded);
    assert!(now.plugins_to_host().eq(not_unloaded));
    is_same
}

fn current<'s>(state: &'s State, plugin: &Name) -> Option<&'s PluginVersion> {
    state.plugin_version(plugin, &state.plugin(plugin)?.current)
}

/// A plan of a load has what is required before what requires it, and says what may start; it is
/// that of the same state from its records.
fn check_plans(world: &World) {
    let reloaded = world.records.load(world.state.tip()).unwrap();
    for plugin in PLUGINS.map(name) {
        let plan = world.state.plan_load(&plugin);
        assert_eq!(reloaded.plan_load(&plugin), plan);
        let Ok(plan) = plan else { continue };
        assert_eq!(plan.last().unwrap().plugin, plugin);
        let mut planned: BTreeSet<Name> = BTreeSet::new();
        for load in &plan {
            let record = current(&world.state, &load.plugin).unwrap();
            assert_eq!(record.version, load.version);
            let mut can_start = true;
            for requirement in &record.manifest.requirements {
                let required = world.state.plugin(&requirement.plugin).unwrap();
                assert!(requirement.constraint.allows(&required.current));
                assert!(required.load_state.is_under_way() || planned.contains(&requirement.plugin), "{plan:?}");
                can_start &= required.load_state == LoadState::Loaded;
            }
            assert_eq!(load.state, if can_start { LoadState::Loading } else { LoadState::Pending });
            assert!(planned.insert(load.plugin), "planned twice");
        }
    }
}

/// Whatever holds on to requirements has all of them in order, forced or not; rules and hosts bind what is neither
/// unloaded nor failed. Tells how many requirements there are.
fn check_requirements(state: &State) -> usize {
    let mut count = 0;
    for (plugin, record) in state.plugins() {
        if !record.load_state.pins_requirements() {
            continue;
        }
        let manifest = &current(state, plugin).unwrap().manifest;
        assert!(record.constraint.as_ref().is_none_or(|rule| rule.allows(&record.current)), "{plugin} breaks its rule");
        let host = &state.registry().host_version;
        assert!(manifest.host.as_ref().is_none_or(|range| range.allows(host)), "{plugin} has another host");
        for requirement in &manifest.requirements {
            let required = state.plugin(&requirement.plugin).unwrap();
            let is_there = match record.load_state {
                LoadState::Unloading => true,
                // The failure of a requirement reaches what is pending within the next blocks, and nothing else: a
                // promotion does not ask for more than a requirement under way.
                _ => required.load_state.is_under_way() || required.load_state == LoadState::Failed,
            };
            let is_in_order = is_there && requirement.constraint.allows(&required.current);
            assert!(is_in_order, "{plugin} is {} over {required:?}", record.load_state);
            count += 1;
        }
    }
    count
}

/// Whether the counts call for a rollback, from the text of the rules.
fn breaks_a_rule(deployment: &Deployment) -> bool {
    let terms = deployment.plan.guardrails();
    let enough = u128::from(terms.min_requests.max(1));
    let exceeds = |requests: u64, errors: u64| {
        let (requests, errors) = (u128::from(requests), u128::from(errors));
        requests >= enough && errors * 10_000 > u128::from(terms.error_threshold_bps.get()) * requests
    };
    let Deployment { canary, production, .. } = deployment;
    let both = u128::from(canary.requests.min(production.requests)) >= enough;
    exceeds(canary.requests, canary.errors)
        || exceeds(deployment.stage_requests, deployment.stage_errors)
        || terms.regression_z_centi.is_some_and(|z| both && is_regression(canary, production, z.get()))
}

#[test]
fn whatever_is_done_to_plugins() {
    let (mut seen, mut rolled_back, mut held) = (BTreeSet::new(), BTreeSet::new(), 0);
    let (mut requirements, mut unchanged) = (0, 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let with_force = seed % 3 == 0;
        let mut world = World::new();
        // Half of the worlds begin with everything there, the others come to it.
        let beginning = if seed % 2 == 0 { any_beginning(&mut random) } else { Vec::new() };
        world.block(1, beginning);
        for height in 2..=90 {
            let before = world.state.clone();
            // Reports have blocks of their own, so that nothing comes between a report and the end of its block.
            let is_report = random.one_in(4);
            let count = random.below(6);
            // For some blocks most is about loading, so that something gets loaded over something else.
            let is_load = height / 8 % 4 == 1;
            let any = |_| match (is_report, is_load) {
                (true, _) => any_report(&mut random, &before),
                (false, true) => any_load(&mut random, with_force),
                (false, false) => any_command(&mut random, with_force),
            };
            let mut commands: Vec<Command> = (0..count).map(any).collect();
            if !is_report && random.one_in(2) {
                commands.extend(attestations(&mut random, &world.state));
            }
            let payloads: Vec<Payload> = commands.iter().cloned().map(give).collect();
            let outcome = world.block(height, payloads);
            check_growth(&before, &world.state);
            requirements += check_requirements(&world.state);
            check_plans(&world);
            check_routes(&world);
            unchanged += u32::from(check_mark(&before, &world.state));
            for plugin in PLUGINS.map(name) {
                let is_told = outcome.receipts.iter().zip(&commands).any(|(receipt, command)| {
                    let Command::ReportVersion { plugin: of, version, .. } = command else { return false };
                    let arms = before.deployment(&plugin).map(|one| [one.old.clone(), one.new.clone()]);
                    let is_arm = arms.is_some_and(|arms| arms.iter().any(|arm| arm.is_same(version)));
                    *receipt == Receipt::Ok && *of == plugin && is_arm
                });
                if let Some(deployment) = world.state.deployment(&plugin).filter(|one| is_told && breaks_a_rule(one)) {
                    assert!(!deployment.plan.guardrails().auto_rollback, "{plugin} should be rolled back");
                    let is_held = matches!(deployment.hold, Hold::PausedByRule | Hold::Paused);
                    assert!(is_held, "{plugin} should be held");
                    held += 1;
                }
            }
            seen.extend(outcome.events.iter().map(Event::code));
            rolled_back.extend(outcome.events.iter().filter_map(|event| match event {
                Event::DeploymentRolledBack { reason, .. } => Some(*reason),
                _ => None,
            }));
        }
    }
    // The random blocks reach every event of plugins.
    let all = coalmine_core::EventCode::ALL.iter().filter(|code| (40..80).contains(&code.tag()));
    let missed: Vec<_> = all.filter(|code| !seen.contains(code)).collect();
    assert!(missed.is_empty(), "never told: {missed:?}");
    use PluginReason::{ErrorRate, Manual, Regression, Timeout, Unhealthy};
    assert_eq!(rolled_back, BTreeSet::from([Manual, ErrorRate, Regression, Timeout, Unhealthy]));
    assert!(held > 10, "{held} held by a rule");
    assert!(unchanged > 500, "{unchanged} blocks changed no plugin");
    assert!(requirements > 500, "{requirements} requirements in order");
}

/// Every unit stays once it is served, at every block of a rollout to everybody.
#[test]
fn a_rollout_moves_units_once() {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
    let strategy = Strategy::Rolling { initial_bps: Bps::new(400).unwrap(), increment_bps: 700, increment_blocks: 2 };
    world.next(&[deploy("p", "2.0.0", strategy, EASY)]);
    let handle = world.state.resolve_plugin(&name("p")).unwrap();
    let new = version("2.0.0");
    let mut served: BTreeSet<u32> = BTreeSet::new();
    let mut sizes = Vec::new();
    while world.deployment("p").is_some() {
        let units = (0..2_000_u32).filter(|unit| world.state.route_by(handle, &unit.to_be_bytes()) == Some(&new));
        let now: BTreeSet<u32> = units.collect();
        assert!(served.is_subset(&now), "a unit moved back at {}", world.tip());
        let share = usize::from(world.deployment("p").unwrap().share().get());
        assert!(now.len().abs_diff(share * 2_000 / 10_000) < 100, "{} units at {share}", now.len());
        sizes.push(now.len());
        served = now;
        world.advance(world.tip() + 1);
    }
    assert_eq!(*sizes.last().unwrap(), 2_000);
    assert!((0..2_000_u32).all(|unit| world.state.route_by(handle, &unit.to_be_bytes()) == Some(&new)));
    assert_eq!(world.state.route(&name("nobody"), b"unit"), None);
    // Another deployment draws other units.
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), deploy_slowly("p", "2.0.0")]);
    let first = cohorts(&world.state).into_values().next().unwrap();
    world.next(&[roll_back("p"), register("p", "2.0.0"), deploy_slowly("p", "2.0.0")]);
    assert_ne!(cohorts(&world.state).into_values().next().unwrap(), first);
}

// The regression test, exactly.

/// A natural number of any size: digits of 32 bits, the least first, without zeros at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Big(Vec<u32>);

impl Big {
    fn of(mut number: u128) -> Self {
        let mut digits = Vec::new();
        while number > 0 {
            digits.push((number & 0xffff_ffff) as u32);
            number >>= 32;
        }
        Self(digits)
    }

    /// As by hand: each digit by each, and carry.
    fn times(&self, other: &Self) -> Self {
        let mut digits = vec![0_u32; self.0.len() + other.0.len()];
        for (place, a) in self.0.iter().enumerate() {
            let mut carry = 0_u64;
            for (step, b) in
                other.0.iter().chain(std::iter::repeat_n(&0, digits.len() - place - other.0.len())).enumerate()
            {
                let sum = u64::from(*a) * u64::from(*b) + u64::from(digits[place + step]) + carry;
                digits[place + step] = (sum & 0xffff_ffff) as u32;
                carry = sum >> 32;
            }
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Self(digits)
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_len = self.0.len().cmp(&other.0.len());
        by_len.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

/// A fraction: above and below the line.
struct Fraction(Big, Big);

impl Fraction {
    fn of(above: u128, below: u128) -> Self {
        Self(Big::of(above), Big::of(below))
    }

    fn times(&self, other: &Self) -> Self {
        Self(self.0.times(&other.0), self.1.times(&other.1))
    }

    fn is_at_least(&self, other: &Self) -> bool {
        self.0.times(&other.1).compare(&other.0.times(&self.1)) != Ordering::Less
    }
}

/// z² ≥ (centi / 100)² and the canary is worse: z² = (p1 − p2)² / (p (1 − p) (1/n1 + 1/n2)), as it is written.
fn is_regression(canary: &Counts, production: &Counts, centi: u16) -> bool {
    let [n1, e1, n2, e2] = [canary.requests, canary.errors, production.requests, production.errors].map(u128::from);
    if e1 * n2 <= e2 * n1 {
        return false;
    }
    let difference = Fraction::of(e1 * n2 - e2 * n1, n1 * n2);
    let (n, e) = (n1 + n2, e1 + e2);
    let variance = Fraction::of(e, n).times(&Fraction::of(n - e, n)).times(&Fraction::of(n, n1 * n2));
    let threshold = Fraction::of(u128::from(centi), 100);
    // Without the division. The variance is 0 only where the rates are equal, and that was seen above.
    difference.times(&difference).is_at_least(&threshold.times(&threshold).times(&variance))
}

/// Records in which `p` has a deployment, to be filled with counts.
fn deployed() -> World {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), register("p", "3.0.0"), deploy_slowly("p", "2.0.0")]);
    world
}

/// The same world with these arms and this z.
fn with_arms(world: &World, canary: Counts, production: Counts, centi: u16) -> World {
    let key = Key::Deployment(name("p")).to_bytes();
    let mut deployment = Deployment::from_bytes(&world.records.0[&key]).unwrap();
    let terms = Guardrails { regression_z_centi: NonZeroU16::new(centi), min_requests: 1, ..EASY };
    let plan = Plan::compile(&custom(deployment.plan.stages()), &terms).unwrap();
    deployment.plan = Arc::new(plan);
    (deployment.canary, deployment.production) = (canary, production);
    let mut records = world.records.clone();
    records.0.insert(key, deployment.to_bytes());
    World::of_records(records, world.tip())
}

/// Whether the next report, which tells nothing, finds a regression.
fn finds_regression(world: &World) -> bool {
    let block = Block::from_payloads(world.tip() + 1, vec![give(tell_version("p", "1.0.0", 0, 0))]);
    let execution = world.state.execute(&block.unwrap()).unwrap();
    assert_eq!(execution.outcome().receipts, [Receipt::Ok]);
    match execution.outcome().events.as_slice() {
        [] => false,
        [Event::DeploymentRolledBack { reason: PluginReason::Regression, .. }] => true,
        other => panic!("{other:?}"),
    }
}

/// The greatest z in hundredths that a plan can ask for and the difference reaches; 0 for none.
fn greatest_centi(canary: &Counts, production: &Counts) -> u16 {
    (0..16).rev().fold(0, |found, bit| {
        let next = found | 1 << bit;
        if is_regression(canary, production, next) { next } else { found }
    })
}

#[test]
fn the_regression_test_is_exact() {
    let world = deployed();
    let mut random = Random(0x5eed);
    let sizes = [1, 2, 3, 100, 1 << 16, (1 << 32) - 1, 1 << 32, 1 << 47, ARM_REQUESTS_MAX - 1, ARM_REQUESTS_MAX];
    let arm = |random: &mut Random| {
        let bits = 1 + random.below(47);
        let requests = if random.one_in(2) { random.pick(&sizes) } else { 1 + random.below(1 << bits) };
        let some = random.below(requests + 1);
        let errors = random.pick(&[0, 1, requests / 2, requests - 1, requests, some, some, requests / 1_000]);
        Counts { requests, errors, latency_sum: 0 }
    };
    let mut found = [0, 0];
    for _ in 0..220 {
        let (canary, production) = (arm(&mut random), arm(&mut random));
        // The last z that is reached and the first that is not, beside others.
        let edge = greatest_centi(&canary, &production);
        for centi in [edge, edge.saturating_add(1), random.pick(&[1, 196, 200, 400, u16::MAX])] {
            if centi == 0 {
                continue;
            }
            let expected = is_regression(&canary, &production, centi);
            assert_eq!(
                finds_regression(&with_arms(&world, canary, production, centi)),
                expected,
                "{canary:?} {production:?} {centi}"
            );
            found[usize::from(expected)] += 1;
        }
    }
    assert!(found.iter().all(|count| *count > 100), "{found:?}");
}

/// Arms of 8 k² requests, of which half and d more, or d less, failed: p is a half, and z = d / k.
#[test]
fn the_regression_test_is_exact_at_its_ties() {
    let world = deployed();
    for k in [100_u64, 700, 5_900_000] {
        for centi in [1_u16, 100, 196, 200, 400, 12_345, 32_767] {
            let (requests, d) = (8 * k * k, k * u64::from(centi) / 100);
            let arm = |errors| Counts { requests, errors, latency_sum: 0 };
            let half = requests / 2;
            for (canary, production, centi, expected) in [
                (half + d, half - d, centi, true),
                (half + d, half - d, centi + 1, false),
                (half + d - 1, half - d, centi, false),
                (half + d, half - d + 1, centi, false),
                (half - d, half + d, centi, false),
            ] {
                let what = format!("{canary} and {production} of {requests}, {centi}");
                let (canary, production) = (arm(canary), arm(production));
                assert_eq!(is_regression(&canary, &production, centi), expected, "{what}");
                assert_eq!(finds_regression(&with_arms(&world, canary, production, centi)), expected, "{what}");
            }
        }
    }
}

#[test]
fn a_full_arm_is_halved_and_bad_news_is_taken() {
    const MOST: u64 = ARM_REQUESTS_MAX;
    let arm = |requests| Counts { requests, errors: 7, latency_sum: 9 };
    let half = |requests: u64, more| Counts { requests: requests / 2 + more, errors: 3 + 1, latency_sum: 4 };
    let whole = |requests: u64, more| Counts { requests: requests + more, errors: 7 + 1, latency_sum: 9 };
    for (canary, production, version, requests, then) in [
        (MOST - 7, 9, "2.0.0", 7, [whole(MOST - 7, 7), arm(9)]),
        (MOST - 7, 9, "2.0.0", 8, [half(MOST - 7, 8), arm(9)]),
        (9, MOST - 7, "1.0.0", 7, [arm(9), whole(MOST - 7, 7)]),
        (9, MOST - 7, "1.0.0", 8, [arm(9), half(MOST - 7, 8)]),
        (MOST, MOST, "2.0.0", 1, [half(MOST, 1), arm(MOST)]),
        // A version of neither arm has no such limit.
        (MOST, MOST, "3.0.0", u32::MAX, [arm(MOST), arm(MOST)]),
    ] {
        let mut world = with_arms(&deployed(), arm(canary), arm(production), 0);
        world.next(&[tell_version("p", version, requests, 1)]);
        let deployment = world.deployment("p").unwrap();
        assert_eq!([deployment.canary, deployment.production], then, "{canary} {production} {version} {requests}");
    }
}

/// Lifetime counts and latencies saturate; they are answers, and stop nothing.
#[test]
fn lifetime_counts_saturate() {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0")]);
    let key = Key::PluginVersion { plugin: name("p"), version: version("1.0.0") };
    let counts = Counts { requests: u64::MAX - 1, errors: u64::MAX - 1, latency_sum: u64::MAX };
    let mut world = world.edited::<PluginVersion>(key, |version| version.counts = counts);
    world.next(&[tell_version("p", "1.0.0", 5, 2)]);
    let counts = world.state.plugin_version(&name("p"), &version("1.0.0")).unwrap().counts;
    assert_eq!(counts, Counts { requests: u64::MAX, errors: u64::MAX, latency_sum: u64::MAX });
    assert_eq!((counts.health_score().get(), Counts::default().health_score().get()), (0, 10_000));
}

/// Straight on, or restarted from its records after every block: the same writes and roots.
#[test]
fn a_restart_after_every_block_changes_nothing() {
    for seed in 100..104 {
        let mut random = Random(seed);
        let mut world = World::new();
        world.block(1, any_beginning(&mut random));
        for height in 2..=40 {
            let mut commands: Vec<Command> = (0..random.below(5)).map(|_| any_command(&mut random, true)).collect();
            commands.extend(attestations(&mut random, &world.state));
            commands.push(any_report(&mut random, &world.state));
            let payloads = commands.into_iter().map(give).collect();
            let block = Block::from_payloads(height, payloads).unwrap();
            let straight = world.state.execute(&block).unwrap();
            let tip = world.state.tip();
            let restarted = world.records.load(tip).unwrap().execute(&block).unwrap();
            assert_eq!(straight.outcome(), restarted.outcome());
            assert_eq!(writes(&straight), writes(&restarted));
            assert_eq!(straight.root(), restarted.root());
            world.commit(straight);
        }
    }
}

/// A transaction that fails leaves nothing behind, what its reports and loads set off included: the
/// block is what it is without it, down to the numbers of the history.
#[test]
fn a_transaction_that_fails_undoes_everything() {
    let mut undone = BTreeSet::new();
    for seed in 200..216 {
        let mut random = Random(seed);
        let params = Params {
            max_due_per_block: 1_000,
            breaker_rollbacks: NonZeroU32::new(3),
            breaker_window: 4,
            ..Params::default()
        };
        let mut world = World::with_params(params);
        world.block(1, any_beginning(&mut random));
        for height in 2..=40 {
            let mut commands: Vec<Command> = (0..random.below(5)).map(|_| any_command(&mut random, true)).collect();
            commands.extend(attestations(&mut random, &world.state));
            commands.push(any_report(&mut random, &world.state));
            if world.state.global().breaker.is_some() {
                commands.push(Command::ResetBreaker);
            }
            let payloads: Vec<Payload> = commands.iter().cloned().map(give).collect();
            let execute =
                |payloads: Vec<Payload>| world.state.execute(&Block::from_payloads(height, payloads).unwrap()).unwrap();
            let without = execute(payloads.clone());
            // The commands that succeed one by one, in one transaction that cannot.
            let receipts = &without.outcome().receipts;
            let good = commands.iter().zip(receipts).filter(|(_, receipt)| **receipt == Receipt::Ok);
            let mut all: Vec<Command> = good.map(|(command, _)| command.clone()).take(15).collect();
            undone.extend(all.iter().map(|command| command.kind().name()));
            all.push(load("nobody"));
            let index = u8::try_from(all.len() - 1).unwrap();
            let with = execute([vec![tx(ADMIN, &all)], payloads].concat());
            let failed = Receipt::Rejected { reject: Reject::PluginNotFound, index };
            assert_eq!(with.outcome().receipts[0], failed);
            assert_eq!(with.outcome().receipts[1..], *receipts);
            assert_eq!(with.outcome().events, without.outcome().events);
            assert_eq!(writes(&with), writes(&without));
            assert_eq!(with.root(), without.root());
            world.commit(without);
        }
    }
    for kind in ["promote", "resume", "revert", "attest_health", "report_version", "report_load", "unload"] {
        assert!(undone.contains(kind), "{kind} is never undone: {undone:?}");
    }
}

/// Heights at which nothing of plugins is due cost nothing and change nothing.
#[test]
fn advancing_equals_empty_blocks() {
    for seed in 300..306 {
        let mut random = Random(seed);
        let mut world = World::with_params(Params {
            max_due_per_block: 2,
            breaker_rollbacks: NonZeroU32::new(3),
            breaker_window: 9,
            ..Params::default()
        });
        world.block(1, any_beginning(&mut random));
        for _ in 0..12 {
            let report = any_report(&mut random, &world.state);
            let commands = (0..6).map(|_| any_command(&mut random, true)).chain([report]);
            let payloads = commands.map(give).collect();
            world.block(world.tip() + 1, payloads);
            let to = world.tip() + 6;
            let mut by_blocks = world.clone();
            for height in world.tip() + 1..=to {
                by_blocks.block(height, vec![]);
            }
            world.advance(to);
            assert_eq!(world.records, by_blocks.records);
            assert_eq!(world.events, by_blocks.events);
        }
    }
}

#[test]
fn a_plugin_can_be_deployed_so_often() {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
    let mut world = world.edited::<Plugin>(Key::Plugin(name("p")), |plugin| plugin.deployments = u32::MAX - 1);
    world.next(&[deploy_slowly("p", "2.0.0")]);
    assert_eq!(world.deployment("p").unwrap().salt, (2 << 32) | u64::from(u32::MAX));
    world.next(&[roll_back("p"), register("p", "2.0.0")]);
    assert_eq!(world.try_next(&deploy_slowly("p", "2.0.0")), refused(Reject::LimitExceeded));
}
