//! Who may give which command: every role × every command × every status of what it is about.
//!
//! The statuses are all combinations of those of a feature, a plugin, the feed and the breaker. In each
//! cell the receipt is Unauthorized exactly if [`row`] gives the role no right to the command, and a
//! refused command leaves records, root and state as the block without it.

use std::collections::BTreeSet;

use coalmine_core::{
    Address, Bps, Command, CommandKind, FeatureChanges, FeedKind, FeedPart, Gate, Guardrails, Hold, LoadState, Payload,
    Receipt, Reject, Role, Roles, Stage, Status,
};

use crate::common::plugins::*;
use crate::common::*;

// The table.

/// The roles that may give a command, and the command that is tried. Each is accepted in some world.
fn row(kind: CommandKind) -> (&'static [Role], Command) {
    use Role::{Admin, Feeder, Guardian, Operator, Reporter};
    match kind {
        CommandKind::CreateFeature => (&[Admin], create("f")),
        CommandKind::ConfigureFeature => (&[Admin], configure("f", FeatureChanges::default())),
        CommandKind::StartCanary => (&[Admin, Operator], canary("f", 7)),
        CommandKind::StartRollout => (&[Admin, Operator], rollout("f", 50)),
        CommandKind::AdvanceRollout => (&[Admin, Operator], advance("f")),
        CommandKind::Enable => (&[Admin, Operator], enable("f")),
        CommandKind::Disable => (&[Admin, Operator], disable("f")),
        CommandKind::Rollback => (&[Admin, Operator, Guardian], rollback("f")),
        CommandKind::SetOverride => (&[Admin, Operator], set_override("f", USER, false)),
        CommandKind::ClearOverride => (&[Admin, Operator], clear_override("f", USER)),
        CommandKind::Report => (&[Admin, Reporter], report("f", 1, 0)),
        CommandKind::PauseRollout => (&[Admin, Operator, Guardian], pause_rollout("f")),
        CommandKind::TripBreaker => (&[Admin, Operator, Guardian], trip(0, true)),
        CommandKind::ResetBreaker => (&[Admin], Command::ResetBreaker),
        CommandKind::Schedule => (&[Admin, Operator], schedule(LATER, vec![enable("f")])),
        // The entry holds what raises exposure, so a guardian may take it back.
        CommandKind::CancelSchedule => (&[Admin, Operator, Guardian], cancel(LATER, 1)),
        CommandKind::GrantRole => (&[Admin], grant(USER, Feeder)),
        CommandKind::RevokeRole => (&[Admin], revoke(FEEDER, Feeder)),
        CommandKind::SetParams => (&[Admin], set_params(Some(9), None, None)),
        CommandKind::SetRules => (&[Admin], set_rules(2)),
        CommandKind::RegisterVersion => (&[Admin], register("p", "4.0.0")),
        CommandKind::Deploy => (&[Admin, Operator], deploy_slowly("p", "3.0.0")),
        CommandKind::Pause => (&[Admin, Operator], pause("p")),
        CommandKind::Resume => (&[Admin, Operator], resume("p")),
        CommandKind::Promote => (&[Admin, Operator], promote("p")),
        CommandKind::RollbackDeployment => (&[Admin, Operator, Guardian], roll_back("p")),
        CommandKind::Revert => (&[Admin, Operator], revert("p")),
        CommandKind::RetireVersion => (&[Admin, Operator], retire("p", "1.0.0")),
        CommandKind::SetRule => (&[Admin], set_rule("p", Some("^2"))),
        CommandKind::SetHostVersion => (&[Admin], set_host("1.0.0")),
        CommandKind::SetRegistryParams => (&[Admin], max_versions(9)),
        CommandKind::Load => (&[Admin, Operator], load("p")),
        CommandKind::Unload => (&[Admin, Operator], unload("loaded")),
        CommandKind::ReportVersion => (&[Admin, Reporter], tell_version("p", "3.0.0", 1, 0)),
        CommandKind::AttestHealth => (&[Admin, Reporter], attest("p", "3.0.0", true)),
        CommandKind::ReportLoad => (&[Admin, Reporter], loaded("loading", "1.0.0", true)),
        CommandKind::ReportUnload => (&[Admin, Reporter], unloaded("unloading", "1.0.0", true)),
        CommandKind::FeedPut => (&[Admin, Feeder], put(FeedPart::Last, &[], &[])),
        CommandKind::FeedPatch => (&[Admin, Feeder], patch(FeedKind::Environment, "e", 2, b"")),
        CommandKind::FeedDelete => (&[Admin, Feeder], gone(FeedKind::Environment, "e", 2)),
        CommandKind::FeedForget => (&[Admin], forget(FeedKind::Environment, &["e"])),
    }
}

/// Who holds this role and no other.
fn holder(role: Option<Role>) -> Address {
    match role {
        None => NOBODY,
        Some(Role::Admin) => ADMIN,
        Some(Role::Operator) => OPERATOR,
        Some(Role::Reporter) => REPORTER,
        Some(Role::Guardian) => GUARDIAN,
        Some(Role::Feeder) => FEEDER,
    }
}

// The statuses.

/// A height that no world reaches.
const LATER: u32 = 1_000;

/// How the plugin `p` stands.
#[derive(Debug, Clone, Copy)]
enum Plugin {
    None,
    /// 2.0.0 is current and 1.0.0 before it.
    Idle,
    /// The same, and the deployment of 3.0.0 has this hold.
    Held(Hold),
}

impl Plugin {
    fn all() -> impl Iterator<Item = Self> {
        [Self::None, Self::Idle].into_iter().chain(Hold::ALL.iter().copied().map(Self::Held))
    }
}

/// Whether there is a put or a breaker, and it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Closed,
    Open,
}

/// The statuses of all that a command may be about.
#[derive(Debug, Clone, Copy)]
struct Case {
    feature: Option<Status>,
    plugin: Plugin,
    feed: Is,
    breaker: Is,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for feature in [None].into_iter().chain(Status::ALL.iter().copied().map(Some)) {
            for plugin in Plugin::all() {
                for (feed, breaker) in
                    [(Is::Closed, Is::Closed), (Is::Closed, Is::Open), (Is::Open, Is::Closed), (Is::Open, Is::Open)]
                {
                    all.push(Self { feature, plugin, feed, breaker });
                }
            }
        }
        all
    }

    fn world(&self) -> World {
        let mut world = self.feature.map_or_else(World::new, bring_feature);
        for plugin in ["loaded", "loading", "unloading"] {
            world.next(&[register(plugin, "1.0.0"), load(plugin)]);
        }
        world.next(&[loaded("loaded", "1.0.0", true), loaded("unloading", "1.0.0", true), unload("unloading")]);
        let states = ["loaded", "loading", "unloading"].map(|plugin| world.load_state(plugin));
        assert_eq!(states, [LoadState::Loaded, LoadState::Loading, LoadState::Unloading]);
        world.next(&[schedule(LATER, vec![enable("f")])]);
        match self.plugin {
            Plugin::None => {}
            Plugin::Idle => bring_idle(&mut world),
            Plugin::Held(hold) => bring_hold(&mut world, hold),
        }
        let height = world.tip() + 1;
        world.run(height, FEEDER, &[put(FeedPart::Only, &[("e", 1)], &[])]);
        if self.feed == Is::Open {
            world.run(height + 1, FEEDER, &[put(FeedPart::First, &[], &[])]);
        }
        if self.breaker == Is::Open {
            world.next(&[trip(0, false)]);
        }
        world
    }
}

fn bring_idle(world: &mut World) {
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), register("p", "3.0.0")]);
    world.next(&[deploy_slowly("p", "2.0.0"), promote("p")]);
}

fn bring_hold(world: &mut World, hold: Hold) {
    bring_idle(world);
    let (gate, blocks) = match hold {
        Hold::Running | Hold::Paused | Hold::PausedByRule => (Gate::Time, LATER),
        Hold::ManualGate => (Gate::Manual, 2),
        Hold::Completed | Hold::Dependents => (Gate::Time, 2),
    };
    let terms = Guardrails {
        error_threshold_bps: Bps::ZERO,
        auto_promote: hold != Hold::Completed,
        auto_rollback: hold != Hold::PausedByRule,
        ..EASY
    };
    world.next(&[deploy("p", "3.0.0", custom(&[Stage { gate, ..stage(1_000, blocks) }]), terms)]);
    match hold {
        Hold::Running | Hold::ManualGate | Hold::Completed => {}
        Hold::Paused => drop(world.next(&[pause("p")])),
        Hold::PausedByRule => drop(world.next(&[attest("p", "3.0.0", false)])),
        Hold::Dependents => drop(world.next(&[register_on("app", "1.0.0", &[("p", "^2")]), load("app")])),
    }
    world.advance(world.tip() + 3);
    assert_eq!(world.hold("p"), Some(hold));
}

// The matrix.

/// The cells of a case whose receipt is not what the roles given for their commands say. `accepted`
/// gets what was accepted.
fn wrong_cells(
    case: Case,
    roles_of: impl Fn(CommandKind) -> &'static [Role],
    accepted: &mut BTreeSet<CommandKind>,
) -> Vec<(CommandKind, Option<Role>)> {
    let world = case.world();
    let (mut wrong, mut refusals) = (Vec::new(), Vec::new());
    for kind in CommandKind::ALL {
        let (_, command) = row(*kind);
        assert_eq!(command.kind(), *kind);
        for role in [None].into_iter().chain(Role::ALL.map(Some)) {
            let payload = tx(holder(role), std::slice::from_ref(&command));
            // The probe compares root, writes and events with those of the empty block.
            let receipt = world.probe(&payload);
            if receipt == Receipt::Ok {
                accepted.insert(*kind);
            } else {
                refusals.push((payload, receipt));
            }
            let is_allowed = role.is_some_and(|role| roles_of(*kind).contains(&role));
            if (receipt != refused(Reject::Unauthorized)) != is_allowed {
                wrong.push((*kind, role));
            }
        }
    }
    check_refusals(&world, refusals);
    wrong
}

/// A block of nothing but what is refused leaves the state that the empty block leaves, and refuses
/// each for the same reason.
fn check_refusals(world: &World, refusals: Vec<(Payload, Receipt)>) {
    let height = world.tip() + 1;
    let (payloads, receipts): (Vec<_>, Vec<_>) = refusals.into_iter().unzip();
    let (mut with, mut without) = (world.clone(), world.clone());
    assert_eq!(with.block(height, payloads).receipts, receipts);
    without.block(height, vec![]);
    assert_eq!(with.records, without.records);
    assert_eq!(format!("{:?}", with.state), format!("{:?}", without.state));
}

#[test]
fn every_role_by_every_command_in_every_status() {
    let mut accepted = BTreeSet::new();
    for case in Case::all() {
        assert_eq!(wrong_cells(case, |kind| row(kind).0, &mut accepted), [], "{case:?}");
    }
    // A command that is refused everywhere would prove nothing of its status. Rules are changed by schedule alone.
    let sent = CommandKind::ALL.iter().filter(|kind| **kind != CommandKind::SetRules);
    assert!(accepted.iter().eq(sent), "accepted somewhere: {accepted:?}");
}

/// The planted fault: a row that allows too much, and one that allows too little.
#[test]
fn a_wrong_row_is_found() {
    let planted = |kind: CommandKind| -> &'static [Role] {
        match kind {
            CommandKind::ResetBreaker => &[Role::Admin, Role::Guardian],
            CommandKind::FeedPut => &[Role::Admin],
            right => row(right).0,
        }
    };
    let expected = [(CommandKind::ResetBreaker, Some(Role::Guardian)), (CommandKind::FeedPut, Some(Role::Feeder))];
    for case in Case::all().into_iter().step_by(37) {
        assert_eq!(wrong_cells(case, planted, &mut BTreeSet::new()), expected, "{case:?}");
    }
}

/// The roles that a command names allow exactly those of its row.
#[test]
fn a_command_names_the_roles_of_its_row() {
    for kind in CommandKind::ALL {
        for role in Role::ALL {
            let named = kind.roles().iter().any(|one| Roles::from(role).allows(*one));
            assert_eq!(named, row(*kind).0.contains(&role), "{kind} by {}", role.name());
        }
    }
}
