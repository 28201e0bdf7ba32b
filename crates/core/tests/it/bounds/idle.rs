//! An empty block costs the same over few and over many.

use super::*;

/// Features of an idle state when nothing else is said, and of one with hardly any.
const IDLE: u64 = 4_000;

const FEW: u64 = 10;

/// Features of the template, one of each status.
const STATUSES: u64 = 5;

const COUNTED: u32 = 10;

const FAR: Height = 1 << 31;

/// When what waits for the breaker is due.
const NEAR: Height = 20;

/// What makes an empty block look at each feature, and what has each of them wait for an open breaker.
const WALK: &str = "COALMINE_BOUNDS_WALK";
const PARK: &str = "COALMINE_BOUNDS_PARK";

/// One of everything that may be there and waits for nothing that comes soon, but perhaps for an open breaker.
fn template(is_parked: bool) -> World {
    let mut world = World::new();
    let later = if is_parked { NEAR } else { FAR };
    let features = ["disabled", "canary", "rolling", "enabled", "rolled"];
    let creates = features.map(|feature| create_with(feature, manual(steps_every(1))));
    let slow = FeatureChanges { policy: Some(Policy::default()), ..steps_every(later) };
    world.run(1, ADMIN, &creates);
    world.run(2, ADMIN, &[configure("rolling", slow), set_override("canary", USER, true)]);
    world.run(3, ADMIN, &[canary("canary", 50), canary("rolling", 50), canary("rolled", 50), enable("enabled")]);
    world.run(4, ADMIN, &[rollout("rolling", 100), rollback("rolled"), schedule(FAR, vec![enable("disabled")])]);
    world.next(&[register("deploying", "1.0.0"), register("deploying", "2.0.0"), register("loaded", "1.0.0")]);
    world.next(&[deploy("deploying", "2.0.0", custom(&[stage(1_000, later)]), EASY), load("loaded")]);
    world.next(&[loaded("loaded", "1.0.0", true)]);
    let filter = FeedKind::Filter;
    world.run(
        8,
        ADMIN,
        &[
            patch(FeedKind::Environment, "live", 1, b"body"),
            patch(filter, "deleted", 0, b""),
            gone(filter, "deleted", 1),
            change_params(ParamsChanges { round_blocks: Some(Params::BLOCKS_MAX), ..ParamsChanges::default() }),
        ],
    );
    // A round that ends late, and a signer who counts.
    world.block(9, vec![sequenced(REPORTER, 1, 0, &[report("canary", 1, 0)])]);
    if is_parked {
        world.run(10, ADMIN, &[trip(0, false)]);
        world.advance(2 * NEAR);
    }
    world
}

/// The same record about something else; none of what there is one of, and where a limit is reached.
fn copy(key: &Key, value: &[u8], number: u64) -> Option<(Key, Vec<u8>)> {
    let other = |name: &Name| self::name(&format!("{name}-{number}"));
    let limit_of = |name: &Name| if name.as_str() == "loaded" { LOADED_MAX } else { DEPLOYMENTS_MAX };
    let pool = |pool: &Pool| Pool::of_feature(other(pool.subject()));
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
            let record = MetricsRecord::from_bytes(value).unwrap();
            Some(MetricsRecord { name: other(name), ..record }.to_bytes())
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
        Key::Schedule { at, id } => {
            Key::Schedule { at: *at, id: (number < SCHEDULED_MAX.into()).then(|| id + number)? }
        }
        Key::Round { at, pool: of } => Key::Round { at: *at, pool: pool(of) },
        Key::PoolEntry { pool: of, reporter } => Key::PoolEntry { pool: pool(of), reporter: *reporter },
        Key::Sequence(_) => Key::Sequence(long_address(number)),
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
fn idle_state(features: u64, is_parked: bool) -> State {
    let template = template(is_parked);
    let copies = features / STATUSES;
    let entries = template.records.0.iter().flat_map(|(bytes, value)| {
        let key = Key::from_bytes(bytes).unwrap();
        let more = |limit: u32| u32::try_from(copies).unwrap().min(limit);
        let value = match &key {
            Key::Global => {
                let scheduled = more(SCHEDULED_MAX);
                Global { next_schedule_id: u64::MAX, scheduled, ..*template.state.global() }.to_bytes()
            }
            Key::Feed => {
                let (live, deleted) = (more(FEED_LIVE_MAX), more(FEED_RECORDS_MAX));
                FeedTotals { live_environments: live, environments: live, filters: deleted, ..FeedTotals::default() }
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
    let mut state = idle_state(number("COALMINE_BOUNDS_FEATURES").unwrap_or(FEW), number(PARK).is_some());
    let is_walking = number(WALK).is_some();
    (0..COUNTED).for_each(|_| counted_block(&mut state, is_walking));
}

/// Instructions of an empty block over a state of so many features; none without `valgrind`.
fn instructions(features: u64, variable: Option<&str>) -> Option<u64> {
    let mut valgrind = Process::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_block*"]);
    valgrind.arg(std::env::current_exe().unwrap()).args(["--ignored", "--exact", "bounds::idle::idle_blocks"]);
    valgrind.env("COALMINE_BOUNDS_FEATURES", features.to_string());
    valgrind.envs(variable.map(|variable| (variable, "1")));
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
    let Some(few) = instructions(FEW, None) else { return };
    let many = number("COALMINE_BOUNDS_IDLE").unwrap_or(IDLE);
    let cost = instructions(many, None).unwrap();
    assert!(few > 0 && cost < 2 * few, "an empty block over {many} features costs {cost} instructions, not {few}");
}

/// Steps and checks that wait for an open breaker are not looked at.
#[test]
fn what_waits_for_the_breaker_costs_nothing() {
    let Some(few) = instructions(FEW, Some(PARK)) else { return };
    let many = instructions(IDLE, Some(PARK)).unwrap();
    assert!(many < 2 * few, "an empty block over {IDLE} features that wait costs {many} instructions, not {few}");
}

/// A block that looks at every feature is found out.
#[test]
fn idle_features_cost_something_to_look_at() {
    let Some(few) = instructions(FEW, None) else { return };
    assert!(instructions(IDLE, Some(WALK)).unwrap() >= 2 * few);
}
