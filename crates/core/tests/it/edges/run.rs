//! All cases are run, and planted faults are seen.

use super::*;

// The run.

#[derive(Debug, Default)]
struct Counts {
    cases: usize,
    blocks: usize,
    /// Transactions by the code of their receipt.
    receipts: BTreeMap<u16, usize>,
}

/// Looks at a block: the case, the state before it, its events, and what it leaves.
type Look<'a> = dyn Fn(&Setup, &State, &[Event], &Lockstep) -> Result<(), String> + 'a;

fn run(setup: &Setup, play: &Play, before: &Lockstep, look: &Look<'_>, counts: &mut Counts) -> Result<(), String> {
    let mut both = before.clone();
    for height in EDGE - 1..=END {
        let agreed = both.execute(&play.block(setup, height))?;
        let outcome = agreed.outcome().clone();
        let before = both.state.clone();
        both.commit(agreed);
        look(setup, &before, &outcome.events, &both)
            .map_err(|promise| format!("block {height} breaks a promise: {promise}\n{outcome:?}"))?;
        outcome.receipts.iter().for_each(|receipt| *counts.receipts.entry(receipt.code()).or_default() += 1);
        counts.blocks += 1;
    }
    counts.cases += 1;
    Ok(())
}

/// Runs the cases of a test, or the one of a number; gives the first that fails.
fn run_all(
    (kinds, test): (Kinds, &str),
    only: Option<u64>,
    planted: Option<Planted>,
    look: &Look<'_>,
) -> Result<Counts, String> {
    let plays = Play::all();
    let mut counts = Counts::default();
    for (place, setup) in Setup::all(kinds).iter().enumerate() {
        let mut starts: BTreeMap<[bool; 2], Lockstep> = BTreeMap::new();
        for (index, play) in plays.iter().enumerate() {
            let case = u64::try_from(place * plays.len() + index).unwrap();
            if only.is_some_and(|only| only != case) {
                continue;
            }
            let told = |why: String| {
                let again = format!("cargo test --release -p coalmine-core --test it edges::run::{test}");
                format!("{why}\nin {setup:?} {play:?}\nrepeat: COALMINE_EDGES_CASE={case} {again}")
            };
            let before = match starts.entry(play.late()) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(setup.before(play, planted).map_err(told)?),
            };
            run(setup, play, before, look, &mut counts).map_err(told)?;
        }
    }
    Ok(counts)
}

const FEATURES: (Kinds, &str) = (Kinds::Features, "edges_of_two_features");

const PLUGINS: (Kinds, &str) = (Kinds::Plugins, "edges_of_two_plugins");

const MIXED: (Kinds, &str) = (Kinds::FeatureAndPlugin, "edges_of_a_feature_and_a_plugin");

fn check(cases: (Kinds, &str)) {
    let only = variable("COALMINE_EDGES_CASE");
    let counts = run_all(cases, only, None, &promises).unwrap_or_else(|why| panic!("{why}"));
    println!("{}: {counts:?}", cases.1);
    assert!(counts.cases > 0, "there is no such case");
}

#[test]
fn edges_of_two_features() {
    check(FEATURES);
}

#[test]
fn edges_of_two_plugins() {
    check(PLUGINS);
}

#[test]
fn edges_of_a_feature_and_a_plugin() {
    check(MIXED);
}

/// What the block before the edge and the edge tell when nobody does anything.
#[test]
fn the_edge_is_where_it_should_be() {
    let rows = [
        (
            Kinds::Features,
            Edge::Activation,
            "",
            "status_changed, schedule_executed 1 0, status_changed, schedule_executed 2 0",
        ),
        (Kinds::Features, Edge::Step, "", "stepped, stepped"),
        (Kinds::Features, Edge::LastStep, "", "stepped, status_changed, stepped, status_changed"),
        // A window of the guard ends without a word.
        (Kinds::Features, Edge::Limit, "", ""),
        (Kinds::Features, Edge::Expiry, "", "breaker_closed, stepped, stepped"),
        (Kinds::Features, Edge::Reset, "", "breaker_closed"),
        (
            Kinds::Features,
            Edge::Drain,
            "breaker_tripped consensus_failure",
            "rolled_back, rolled_back, breaker_drained",
        ),
        (Kinds::Features, Edge::RollbackWindow, "", "stepped, stepped"),
        (
            Kinds::Plugins,
            Edge::Activation,
            "",
            "a deployed 2.0.0 custom, schedule_executed 1 0, b deployed 2.0.0 custom, schedule_executed 2 0",
        ),
        (Kinds::Plugins, Edge::Step, "", "a staged 1 6000, b staged 1 6000"),
        (Kinds::Plugins, Edge::LastStep, "", "a promoted 1.0.0 2.0.0, b promoted 1.0.0 2.0.0"),
        (
            Kinds::Plugins,
            Edge::Limit,
            "a stage_held requests 0/0, b stage_held requests 0/0",
            "a deployment_rolled_back 2.0.0 timeout 0/0 0/0 5 by itself, \
             b deployment_rolled_back 2.0.0 timeout 0/0 0/0 5 by itself",
        ),
        (Kinds::Plugins, Edge::Expiry, "", "breaker_closed, a staged 1 6000, b staged 1 6000"),
        (Kinds::Plugins, Edge::Reset, "", "breaker_closed"),
        (
            Kinds::Plugins,
            Edge::Drain,
            "breaker_tripped consensus_failure",
            "a deployment_rolled_back 2.0.0 circuit_breaker 0/0 0/0 0 by itself, \
             b deployment_rolled_back 2.0.0 circuit_breaker 0/0 0/0 0 by itself, breaker_drained",
        ),
        (Kinds::Plugins, Edge::RollbackWindow, "", "a staged 1 6000, b staged 1 6000"),
    ];
    let still = Play { moves: [None, None], is_reversed: false };
    for (kinds, edge, before, at) in rows {
        let setup = Setup { kinds, bond: Bond::Free, is_swapped: false, edge };
        let mut both = setup.before(&still, None).unwrap();
        for (height, told) in [(EDGE - 1, before), (EDGE, at)] {
            let agreed = both.execute(&still.block(&setup, height)).unwrap();
            assert_eq!(lines(agreed.outcome()).join(", "), told, "{setup:?} at {height}");
            both.commit(agreed);
        }
    }
}

/// The cases see each planted fault that has to do with heights, reports or what is undone.
#[test]
fn the_cases_see_every_planted_fault() {
    for (planted, cases) in [
        (Planted::RateAtThreshold, FEATURES),
        (Planted::StepEarly, FEATURES),
        (Planted::BreakerLate, FEATURES),
        (Planted::RejectLeaves, FEATURES),
        (Planted::StageEarly, PLUGINS),
        (Planted::DeadlineLate, PLUGINS),
    ] {
        let told = run_all(cases, None, Some(planted), &promises).err();
        let told = told.unwrap_or_else(|| panic!("{planted:?} is not seen"));
        let (_, again) = told.split_once("\nrepeat: COALMINE_EDGES_CASE=").unwrap();
        let (case, command) = again.split_once(' ').unwrap();
        assert_eq!(command, format!("cargo test --release -p coalmine-core --test it edges::run::{}", cases.1));
        let alone = run_all(cases, Some(case.parse().unwrap()), Some(planted), &promises).err();
        assert_eq!(alone, Some(told.clone()), "{planted:?} again");
        println!("{planted:?}: case {case}");
    }
}

/// How the events that the promises get to see differ from those of the block.
enum Wrong {
    With(Event),
    Without(&'static [EventCode]),
}

impl Wrong {
    fn of(&self, events: &[Event]) -> Vec<Event> {
        match self {
            Self::With(event) => events.iter().chain([event]).cloned().collect(),
            Self::Without(codes) => events.iter().filter(|event| !codes.contains(&event.code())).cloned().collect(),
        }
    }
}

/// The promises do not hold of events that are not those of the block.
#[test]
fn the_promises_see_wrong_events() {
    let a = name("a");
    let rolled_back = Event::RolledBack {
        name: a,
        rule: RollbackRule::Command,
        reason: Reason::Manual,
        errors: 0,
        successes: 0,
        value: 0,
        threshold: 0,
        actor: GUARDIAN,
    };
    let stepped = Event::Stepped { name: a, from_percent: percent(20), to_percent: percent(60) };
    let staged = Event::Staged { plugin: a, stage: 1, share: Bps::new(6_000).unwrap() };
    let rows = [
        (FEATURES, "only what is on is rolled back", Wrong::With(rolled_back)),
        (FEATURES, "what is off makes no step", Wrong::With(stepped.clone())),
        (FEATURES, "a step is made when it is due", Wrong::With(stepped)),
        (FEATURES, "the status is what the events say", Wrong::Without(&[EventCode::RolledBack])),
        (FEATURES, "what is off is on for nobody", Wrong::Without(&[EventCode::StatusChanged])),
        (FEATURES, "who gets something is told why", Wrong::Without(&[EventCode::Stepped])),
        (FEATURES, "the breaker closes at its height", Wrong::Without(&[EventCode::BreakerClosed])),
        (FEATURES, "nothing goes on while the breaker is open", Wrong::Without(&[EventCode::BreakerClosed])),
        (PLUGINS, "no stage without a deployment", Wrong::With(staged.clone())),
        (PLUGINS, "a stage is left when its blocks have passed", Wrong::With(staged)),
        (PLUGINS, "there is a deployment if the events say so", Wrong::Without(&[EventCode::DeploymentRolledBack])),
        (PLUGINS, "what is current changes by a promotion", Wrong::Without(&[EventCode::Promoted])),
        (PLUGINS, "who is served anew is told why", Wrong::Without(&[EventCode::Staged])),
    ];
    for (cases, promise, wrong) in rows {
        let look = |setup: &Setup, before: &State, events: &[Event], after: &Lockstep| {
            let broken = promises(setup, before, &wrong.of(events), after).err();
            broken.filter(|broken| broken.contains(promise)).map_or(Ok(()), Err)
        };
        assert!(run_all(cases, None, None, &look).is_err(), "{promise}");
    }
}
