//! Every pair of actions on every pair of things, in the blocks around the one in which something happens
//! by itself: a block before it, in it, and a block after it.
//!
//! A case is a [`Setup`] (two things, how they hang together, and what falls on the height [`EDGE`] for
//! both) and a [`Play`] (an action or none on the first, an action or none on the second, each in one of
//! the three blocks, in either order if that is the same block). All setups by all plays are run, with
//! the plain model in lockstep. What the rules alone promise is asserted beside that, block by block, by
//! [`promises`]: above all that what was rolled back is on for nobody and that nothing of it happens by
//! itself, until somebody starts it again.
//!
//! `COALMINE_EDGES_CASE` runs one case of a test. There is no longer form: this is all of it.

mod run;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZeroU32;

use coalmine_core::{
    Address, Block, Bps, BreakerClosedBy, Cause, ChainId, Command, Event, EventCode, FeatureChanges, Genesis,
    Guardrails, Height, Key, KeyPrefix, Name, Params, Payload, Policy, Reason, Receipt, Role, Roles, RollbackRule,
    RuleSet, Stage, State, Status,
};
use coalmine_model::Planted;

use coalmine_model::support::Lockstep;

use crate::common::plugins::*;
use crate::common::*;

/// The height at which something happens by itself.
const EDGE: Height = 20;

/// The last block of a case: what was scheduled after the edge has run.
const END: Height = EDGE + 3;

const USERS: [u32; 4] = [0, 1, 2, 3];

// The cases.

/// What the two things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinds {
    Features,
    Plugins,
    FeatureAndPlugin,
}

/// How the two hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bond {
    Free,
    /// The second rests on the first.
    Rests,
    /// An automatic rollback of either opens the breaker.
    Guarded,
    /// A block does one piece of due work.
    Narrow,
}

/// What falls on the height for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// A scheduled start.
    Activation,
    /// A step, or the end of a stage.
    Step,
    /// The step that reaches the target, or the end of the last stage.
    LastStep,
    /// The end of a window of the guard, or a deadline.
    Limit,
    /// The breaker closes by itself, over steps that were due a block before.
    Expiry,
    /// The breaker is reset, over steps that were due a block before.
    Reset,
    /// The breaker drains, over steps that are due.
    Drain,
    /// The end of the window in which rollbacks are counted, over steps that are due.
    RollbackWindow,
}

#[derive(Debug, Clone, Copy)]
struct Setup {
    kinds: Kinds,
    bond: Bond,
    /// Whether the first thing comes second by name.
    is_swapped: bool,
    edge: Edge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    Feature(&'static str),
    Plugin(&'static str),
}

/// What is done to a thing, or in its place to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// The thing is not there before.
    Create,
    Step,
    RollBack,
    TripAndDrain,
    TripUntil,
    ReportAtThreshold,
    ReportAboveThreshold,
    /// Several commands for the next block, the last of which may well be refused there.
    Schedule,
}

/// An action and its height.
type Move = Option<(Action, Height)>;

/// What happens around the edge.
#[derive(Debug, Clone, Copy)]
struct Play {
    moves: [Move; 2],
    /// Whether the second move comes first, in the same block.
    is_reversed: bool,
}

impl Setup {
    fn all(kinds: Kinds) -> Vec<Self> {
        let bonds: &[Bond] = match kinds {
            Kinds::Features | Kinds::Plugins => &[Bond::Free, Bond::Rests, Bond::Guarded, Bond::Narrow],
            Kinds::FeatureAndPlugin => &[Bond::Free, Bond::Guarded, Bond::Narrow],
        };
        // A feature and a plugin never meet by name.
        let orders: &[bool] = if kinds == Kinds::FeatureAndPlugin { &[false] } else { &[false, true] };
        let edges = [
            Edge::Activation,
            Edge::Step,
            Edge::LastStep,
            Edge::Limit,
            Edge::Expiry,
            Edge::Reset,
            Edge::Drain,
            Edge::RollbackWindow,
        ];
        let mut all = Vec::new();
        for bond in bonds {
            for is_swapped in orders {
                all.extend(edges.map(|edge| Self { kinds, bond: *bond, is_swapped: *is_swapped, edge }));
            }
        }
        all
    }

    fn things(&self) -> [Thing; 2] {
        let [first, second] = if self.is_swapped { ["b", "a"] } else { ["a", "b"] };
        match self.kinds {
            Kinds::Features => [Thing::Feature(first), Thing::Feature(second)],
            Kinds::Plugins => [Thing::Plugin(first), Thing::Plugin(second)],
            Kinds::FeatureAndPlugin => [Thing::Feature(first), Thing::Plugin(second)],
        }
    }

    /// What a thing rests on, if it does.
    fn ground(&self, thing: Thing) -> Option<&'static str> {
        let [first, second] = self.things();
        let (Thing::Feature(ground) | Thing::Plugin(ground)) = first;
        (self.bond == Bond::Rests && thing == second).then_some(ground)
    }

    fn genesis(&self) -> Genesis {
        let roles: BTreeMap<Address, Roles> = [
            (ADMIN, Role::Admin.into()),
            (OPERATOR, Role::Operator.into()),
            (REPORTER, Role::Reporter.into()),
            (GUARDIAN, Role::Guardian.into()),
        ]
        .into();
        let max_due_per_block = if self.bond == Bond::Narrow { 1 } else { 1_000 };
        let (breaker_rollbacks, breaker_window) = match (self.edge, self.bond) {
            (Edge::RollbackWindow, _) => (2, 4),
            (_, Bond::Guarded) => (1, 10),
            (_, Bond::Free | Bond::Rests | Bond::Narrow) => (0, 0),
        };
        let params = Params {
            max_due_per_block,
            breaker_rollbacks: NonZeroU32::new(breaker_rollbacks),
            breaker_window,
            ..Params::default()
        };
        Genesis::with_params(RuleSet::LATEST, ChainId::new(b"example-1").unwrap(), roles, params).unwrap()
    }

    /// What brings a thing to two blocks before the edge.
    fn way(&self, thing: Thing) -> Vec<(Height, Command)> {
        let mut way: Vec<(Height, Command)> = self.creation(thing).into_iter().map(|command| (1, command)).collect();
        if self.edge == Edge::Activation {
            way.push(self.activation(thing));
        }
        match thing {
            Thing::Feature(f) => {
                way.push((2, set_override(f, USER, true)));
                way.extend(match self.edge {
                    Edge::Activation => vec![],
                    Edge::Step | Edge::Drain | Edge::RollbackWindow => {
                        vec![(EDGE - 5, canary(f, 20)), (EDGE - 4, rollout(f, 100))]
                    }
                    Edge::LastStep => vec![(EDGE - 5, canary(f, 70)), (EDGE - 4, rollout(f, 100))],
                    Edge::Limit => vec![(EDGE - 4, canary(f, 50)), (EDGE - 3, report(f, 3, 1))],
                    Edge::Expiry | Edge::Reset => vec![(EDGE - 6, canary(f, 20)), (EDGE - 4, rollout(f, 100))],
                });
            }
            Thing::Plugin(p) => {
                // What rests on another one is loaded when that is being deployed: once it is, no deployment of what
                // it forbids would begin.
                let height = if self.ground(thing).is_some() { EDGE - 3 } else { 2 };
                way.extend([(height, load(p)), (height + 1, loaded(p, "1.0.0", true))]);
                way.extend(match self.edge {
                    Edge::Activation => vec![],
                    Edge::Step | Edge::Drain | Edge::RollbackWindow | Edge::LastStep => {
                        vec![(EDGE - 4, self.deployment(p))]
                    }
                    Edge::Limit | Edge::Expiry | Edge::Reset => vec![(EDGE - 5, self.deployment(p))],
                });
            }
        }
        way
    }

    fn creation(&self, thing: Thing) -> Vec<Command> {
        let ground = self.ground(thing);
        match thing {
            Thing::Feature(f) => {
                let prerequisites = ground.into_iter().map(name).collect();
                let changes = FeatureChanges {
                    increment_percent: Some(percent(40)),
                    increment_blocks: Some(if matches!(self.edge, Edge::Expiry | Edge::Reset) { 3 } else { 4 }),
                    max_error_rate: Some(5_000),
                    min_success_count: Some(0),
                    policy: Some(Policy {
                        min_samples: 2,
                        window_blocks: NonZeroU32::new(2),
                        prerequisites,
                        ..Policy::default()
                    }),
                };
                vec![create_with(f, changes)]
            }
            Thing::Plugin(p) => {
                let range = if self.edge == Edge::Activation { "*" } else { "^1" };
                let requirements: Vec<(&str, &str)> = ground.into_iter().map(|ground| (ground, range)).collect();
                vec![register_on(p, "1.0.0", &requirements), register_on(p, "2.0.0", &requirements)]
            }
        }
    }

    /// The scheduled start of a thing, which may not be there yet.
    fn activation(&self, thing: Thing) -> (Height, Command) {
        let start = match thing {
            Thing::Feature(f) => canary(f, 50),
            Thing::Plugin(p) => self.deployment(p),
        };
        (2, schedule(EDGE, vec![start]))
    }

    fn deployment(&self, p: &str) -> Command {
        let terms = Guardrails { error_threshold_bps: Bps::new(5_000).unwrap(), min_requests: 2, ..EASY };
        match self.edge {
            Edge::LastStep => deploy(p, "2.0.0", custom(&[stage(5_000, 4)]), terms),
            Edge::Limit => {
                let stages = [Stage { min_requests: 10, ..stage(2_000, 4) }];
                deploy(p, "2.0.0", custom(&stages), Guardrails { max_blocks: NonZeroU32::new(5), ..terms })
            }
            Edge::Activation | Edge::Step | Edge::Expiry | Edge::Reset | Edge::Drain | Edge::RollbackWindow => {
                deploy(p, "2.0.0", custom(&[stage(2_000, 4), stage(6_000, 4)]), terms)
            }
        }
    }

    /// What belongs to neither thing, and comes before all else in its block.
    fn frame(&self) -> Vec<(Height, Command)> {
        match self.edge {
            Edge::Activation | Edge::Step | Edge::LastStep | Edge::Limit => vec![],
            Edge::Expiry => vec![(EDGE - 2, trip(EDGE, false))],
            Edge::Reset => vec![(EDGE - 2, trip(0, false)), (EDGE, Command::ResetBreaker)],
            Edge::Drain => vec![(EDGE - 1, trip(0, true))],
            Edge::RollbackWindow => {
                vec![(1, create("z")), (EDGE - 6, canary("z", 5)), (EDGE - 4, bad_report("z"))]
            }
        }
    }

    /// Both two blocks before the edge. Who is created later is not there, nor is what rests on it; a start
    /// may be scheduled nevertheless.
    fn before(&self, play: &Play, planted: Option<Planted>) -> Result<Lockstep, String> {
        let [is_first_late, is_second_late] = play.late();
        let late = [is_first_late, is_second_late || (is_first_late && self.bond == Bond::Rests)];
        let mut due: Vec<(Height, Command)> = self.frame();
        let mut things: Vec<(Thing, bool)> = self.things().into_iter().zip(late).collect();
        if self.is_swapped {
            things.reverse();
        }
        // What rests on another one is created after it, whatever the names.
        things.sort_by_key(|(thing, _)| self.ground(*thing).is_some());
        for (thing, is_late) in things {
            match (is_late, self.edge) {
                (false, _) => due.extend(self.way(thing)),
                (true, Edge::Activation) => due.push(self.activation(thing)),
                (true, _) => {}
            }
        }
        let mut both = Lockstep::genesis(&self.genesis(), planted);
        for height in 1..=EDGE - 2 {
            let commands = due.iter().filter(|(at, _)| *at == height).map(|(_, command)| command.clone());
            let block = Block::from_payloads(height, commands.map(|one| tx(ADMIN, &[one])).collect()).unwrap();
            let agreed = both.execute(&block)?;
            let is_ok = agreed.outcome().receipts.iter().all(|receipt| *receipt == Receipt::Ok);
            assert!(is_ok, "{self:?} at {height}: {:?}", agreed.outcome());
            both.commit(agreed);
        }
        Ok(both)
    }
}

impl Action {
    const ALL: [Self; 8] = [
        Self::Create,
        Self::Step,
        Self::RollBack,
        Self::TripAndDrain,
        Self::TripUntil,
        Self::ReportAtThreshold,
        Self::ReportAboveThreshold,
        Self::Schedule,
    ];

    fn payload(self, setup: &Setup, thing: Thing, height: Height) -> Payload {
        match (self, thing) {
            (Self::Create, _) => tx(ADMIN, &setup.creation(thing)),
            (Self::Step, Thing::Feature(f)) => tx(OPERATOR, &[advance(f)]),
            (Self::Step, Thing::Plugin(p)) => tx(OPERATOR, &[promote(p)]),
            (Self::RollBack, Thing::Feature(f)) => tx(GUARDIAN, &[rollback(f)]),
            (Self::RollBack, Thing::Plugin(p)) => tx(GUARDIAN, &[roll_back(p)]),
            (Self::TripAndDrain, _) => tx(GUARDIAN, &[trip(0, true)]),
            (Self::TripUntil, _) => tx(GUARDIAN, &[trip(height + 1, false)]),
            (Self::ReportAtThreshold, Thing::Feature(f)) => tx(REPORTER, &[report(f, 2, 2)]),
            (Self::ReportAtThreshold, Thing::Plugin(p)) => tx(REPORTER, &[tell_version(p, "2.0.0", 4, 2)]),
            (Self::ReportAboveThreshold, Thing::Feature(f)) => tx(REPORTER, &[report(f, 0, 9)]),
            (Self::ReportAboveThreshold, Thing::Plugin(p)) => tx(REPORTER, &[tell_version(p, "2.0.0", 9, 9)]),
            (Self::Schedule, Thing::Feature(f)) => {
                tx(OPERATOR, &[schedule(height + 1, vec![set_override(f, user(0), true), enable(f)])])
            }
            (Self::Schedule, Thing::Plugin(p)) => tx(OPERATOR, &[schedule(height + 1, vec![pause(p), promote(p)])]),
        }
    }
}

impl Play {
    fn all() -> Vec<Self> {
        let heights = [EDGE - 1, EDGE, EDGE + 1];
        let some = Action::ALL.into_iter().flat_map(|action| heights.map(|height| Some((action, height))));
        let moves: Vec<Move> = [None].into_iter().chain(some).collect();
        let pairs = moves.iter().flat_map(|first| moves.iter().map(|second| [*first, *second]));
        let mut all = Vec::new();
        for moves in pairs {
            all.push(Self { moves, is_reversed: false });
            if let [Some((_, first)), Some((_, second))] = moves
                && first == second
            {
                all.push(Self { moves, is_reversed: true });
            }
        }
        all
    }

    /// Which of the two things are created by the play.
    fn late(&self) -> [bool; 2] {
        self.moves.map(|one| matches!(one, Some((Action::Create, _))))
    }

    fn block(&self, setup: &Setup, height: Height) -> Block {
        let frame = setup.frame().into_iter().filter(|(at, _)| *at == height);
        let mut payloads: Vec<Payload> = frame.map(|(_, command)| tx(ADMIN, &[command])).collect();
        let mut moves: Vec<(Thing, Move)> = setup.things().into_iter().zip(self.moves).collect();
        if self.is_reversed {
            moves.reverse();
        }
        for (thing, one) in moves {
            if let Some((action, _)) = one.filter(|(_, at)| *at == height) {
                payloads.push(action.payload(setup, thing, height));
            }
        }
        Block::from_payloads(height, payloads).unwrap()
    }
}

// What the rules promise, whatever the model says.

fn is_on(status: Status) -> bool {
    matches!(status, Status::Canary | Status::RollingOut | Status::Enabled)
}

fn users() -> impl Iterator<Item = Address> {
    USERS.into_iter().map(user).chain([USER])
}

fn hold(holds: bool, promise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(promise.into()) }
}

/// What one block promises: the state before it, its events, and what it leaves.
fn promises(setup: &Setup, before: &State, events: &[Event], after: &Lockstep) -> Result<(), String> {
    for thing in setup.things() {
        match thing {
            Thing::Feature(f) => feature_promises(setup, f, before, events, &after.state)?,
            Thing::Plugin(p) => plugin_promises(setup, p, before, events, &after.state)?,
        }
    }
    breaker_promises(before, events, &after.state)?;
    nothing_is_left_over(setup, before, after)
}

fn feature_promises(
    setup: &Setup,
    f: &'static str,
    before: &State,
    events: &[Event],
    after: &State,
) -> Result<(), String> {
    let feature = name(f);
    let was_on = before.feature(&feature).is_some_and(|record| is_on(record.status));
    let (mut on, mut steps) = (was_on, 0);
    for event in events {
        match event {
            Event::RolledBack { name, .. } if *name == feature => {
                hold(on, "only what is on is rolled back")?;
                on = false;
            }
            Event::StatusChanged { name, cause, .. } if *name == feature => match cause {
                Cause::CanaryStarted | Cause::Enabled => on = true,
                Cause::Disabled => on = false,
                _ => hold(on, "what is off does not go on by itself")?,
            },
            Event::Stepped { name, .. } | Event::StepHeld { name, .. } if *name == feature => {
                hold(on, "what is off makes no step")?;
                let record = before.feature(&feature).unwrap();
                let is_due = after.tip().unwrap() >= record.last_increment_block + record.increment_blocks;
                hold(record.status == Status::RollingOut && is_due, "a step is made when it is due")?;
                steps += 1;
            }
            _ => {}
        }
    }
    hold(steps <= 1, "one step a block")?;
    for user in users() {
        let has = |state: &State, feature: &str| state.is_enabled(&name(feature), &user);
        if has(after, f) {
            hold(on, "what is off is on for nobody")?;
            hold(has(before, f) || raises(setup, events), "who gets something is told why")?;
            if let Some(ground) = setup.ground(Thing::Feature(f)) {
                hold(has(after, ground), "nobody has something without what it rests on")?;
            }
        }
    }
    let is_on_now = after.feature(&feature).is_some_and(|record| is_on(record.status));
    hold(is_on_now == on, "the status is what the events say")
}

/// Whether one of the features is told to have risen.
fn raises(setup: &Setup, events: &[Event]) -> bool {
    let is_one = |name: &Name| {
        setup.things().iter().any(|thing| matches!(thing, Thing::Feature(f) if *name == crate::common::name(f)))
    };
    events.iter().any(|event| match event {
        Event::StatusChanged { name, cause, .. } => {
            is_one(name) && matches!(cause, Cause::CanaryStarted | Cause::Enabled | Cause::TargetReached)
        }
        Event::Stepped { name, .. } => is_one(name),
        _ => false,
    })
}

fn plugin_promises(setup: &Setup, p: &str, before: &State, events: &[Event], after: &State) -> Result<(), String> {
    let (name, height) = (name(p), after.tip().unwrap());
    let mut is_deploying = before.deployment(&name).is_some();
    let (mut is_promoted, mut is_raised) = (false, false);
    for event in events {
        match event {
            Event::Deployed { plugin, .. } if *plugin == name => (is_deploying, is_raised) = (true, true),
            Event::Staged { plugin, .. } if *plugin == name => {
                hold(is_deploying, "no stage without a deployment")?;
                let record = before.deployment(&name);
                let end = record.map_or(Height::MAX, |one| one.stage_height + one.current_stage().unwrap().blocks);
                hold(height >= end, "a stage is left when its blocks have passed")?;
                is_raised = true;
            }
            Event::Promoted { plugin, .. } if *plugin == name => {
                hold(is_deploying, "no promotion without a deployment")?;
                (is_deploying, is_promoted, is_raised) = (false, true, true);
            }
            Event::DeploymentRolledBack { plugin, .. } if *plugin == name => {
                hold(is_deploying, "no rollback without a deployment")?;
                is_deploying = false;
            }
            Event::StageHeld { plugin, .. } | Event::Waiting { plugin, .. } | Event::Paused { plugin, .. }
                if *plugin == name =>
            {
                hold(is_deploying, "nothing is told of a deployment that is over")?;
            }
            _ => {}
        }
    }
    if let (Some(was), Some(is)) = (before.plugin(&name), after.plugin(&name)) {
        hold(was.current == is.current || is_promoted, "what is current changes by a promotion")?;
    }
    hold(after.deployment(&name).is_some() == is_deploying, "there is a deployment if the events say so")?;
    for unit in users() {
        let new = version("2.0.0");
        let serves = |state: &State| state.route(&name, &unit.0).is_some_and(|version| version.is_same(&new));
        hold(!serves(after) || serves(before) || is_raised, "who is served anew is told why")?;
        let current = after.plugin(&name).map(|record| &record.current);
        hold(is_deploying || after.route(&name, &unit.0) == current, "without a deployment all have what is current")?;
    }
    let is_open = |state: &State| state.global().breaker.is_some();
    if let Some(one) = before.deployment(&name).filter(|one| one.plan.guardrails().max_blocks.is_some()) {
        let has_passed = one.plan.guardrails().max_blocks.is_some_and(|blocks| height >= one.start + blocks.get());
        let is_same = after.deployment(&name).is_some_and(|now| now.start == one.start);
        let is_stopped = is_open(before) || is_open(after) || setup.bond == Bond::Narrow;
        hold(!has_passed || !is_same || is_stopped, "no deployment outlives its deadline")?;
    }
    Ok(())
}

fn breaker_promises(before: &State, events: &[Event], after: &State) -> Result<(), String> {
    let expiry = Event::BreakerClosed { by: BreakerClosedBy::Expiry };
    let open = before.global().breaker;
    let expires =
        open.is_some_and(|one| one.until.is_some_and(|until| after.tip() >= Some(until.get())) && !one.draining);
    hold((events.first() == Some(&expiry)) == expires, "the breaker closes at its height, before all else")?;
    let is_closed = |event: &Event| matches!(event, Event::BreakerClosed { .. });
    let goes_on = |event: &Event| match event {
        Event::Stepped { .. } | Event::Staged { .. } | Event::Deployed { .. } | Event::Promoted { .. } => true,
        Event::StatusChanged { cause, .. } => *cause != Cause::Disabled,
        _ => false,
    };
    if open.is_some() && !events.iter().any(is_closed) {
        hold(!events.iter().any(goes_on), "nothing goes on while the breaker is open")?;
        hold(after.global().breaker.is_some(), "the breaker is open until it is told to close")?;
    }
    Ok(())
}

/// No work that was due is left, unless a limit or the breaker has stopped it; none is there for what is off.
fn nothing_is_left_over(setup: &Setup, before: &State, after: &Lockstep) -> Result<(), String> {
    let height = after.state.tip().unwrap();
    let was_open = before.global().breaker.is_some() || after.state.global().breaker.is_some();
    for key in after.records.keys(KeyPrefix::Due) {
        let (at, is_parked) = match key {
            Key::Step { at, name } => {
                let record = after.state.feature(&name).unwrap();
                hold(record.status == Status::RollingOut, "a step is due only while something rolls out")?;
                (at, was_open)
            }
            Key::DeploymentDue { at, plugin } => {
                hold(after.state.deployment(&plugin).is_some(), "a look is due only while there is a deployment")?;
                (at, was_open)
            }
            Key::Schedule { at, .. } => (at, false),
            _ => continue,
        };
        hold(at > height || is_parked || setup.bond == Bond::Narrow, "no work is left over")?;
    }
    Ok(())
}
