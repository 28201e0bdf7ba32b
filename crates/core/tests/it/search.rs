//! Every command in every state that a few blocks lead to: a breadth-first search with the state machine
//! and the plain model in lockstep.
//!
//! A [`Space`] has some states to start from, all at height 10, and a list of transactions for each height
//! above, of one command each. From each state every transaction is tried as the only one of the next
//! block, and so is the empty block; what each of them leads to is a state of the next height. Two states
//! of one height are one if their records are the same but for the histories, which only grow and which
//! no block reads. The search is closed: it tries everything in every state it reaches, up to its last
//! height.
//!
//! Each transition has the same receipts, events, records and root in both. A refused transaction, and
//! one whose second command is refused, tells, writes and leaves as root what the empty block does, so
//! nothing at all is left of it (a height is in no record). Trying changes no state.
//!
//! `COALMINE_SEARCH_HEIGHTS` sets how many heights are searched. The long form takes some 5 GB of memory:
//! `COALMINE_SEARCH_HEIGHTS=5 cargo test --release -p coalmine-core --test it search:: -- --nocapture`.
//! `COALMINE_SEARCH_PATH` walks one path: the number of the start, then of the transaction of each height.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use coalmine_core::{
    Address, Block, Bps, Command, CommandKind, FeatureChanges, FeedKind, FeedPart, Gate, Guardrails, Hash, Height,
    KeyPrefix, Params, Payload, Policy, Receipt, Role, Stage, Strategy,
};
use coalmine_model::Planted;
use coalmine_model::support::{Agreed, Lockstep, genesis};
use sha2::{Digest, Sha256};

use crate::common::plugins::*;
use crate::common::*;

/// The height of every start.
const START: Height = 10;
/// Heights that are searched when nothing else is said.
const HEIGHTS: u64 = 4;

/// Commands of an admin, each by itself, by height.
type Blocks = Vec<(Height, Vec<Command>)>;

/// What is searched.
struct Space {
    /// The test of this space.
    test: &'static str,
    /// What its commands are about.
    about: Subject,
    /// What its commands schedule; none where the ledger itself is left out.
    scheduled: Option<fn() -> [Vec<Command>; 2]>,
    /// The blocks that lead to each start.
    starts: fn() -> Vec<Blocks>,
}

// The commands. A new kind does not compile before it has its rows here.

/// The transactions that are tried at a height, of a kind of command; what is scheduled is given. They are about
/// `f`, and `g` that rests on it; about `p`, which requires `lib`; about the environments `a` and `b`, and a filter `a`.
fn commands(kind: CommandKind, height: Height, [next, after]: [Vec<Command>; 2]) -> Vec<Command> {
    use FeedKind::{Environment, Filter};
    match kind {
        CommandKind::CreateFeature => vec![create_with("f", plain()), create_with("g", resting())],
        CommandKind::ConfigureFeature => vec![configure("f", steps_every(1)), configure("g", manual(resting()))],
        CommandKind::StartCanary => vec![canary("f", 50), canary("g", 50)],
        CommandKind::StartRollout => vec![rollout("f", 100), rollout("g", 60)],
        CommandKind::AdvanceRollout => vec![advance("f"), advance("g")],
        CommandKind::Enable => vec![enable("f"), enable("g")],
        CommandKind::Disable => vec![disable("f"), disable("g")],
        CommandKind::Rollback => vec![rollback("f"), rollback("g")],
        CommandKind::SetOverride => vec![set_override("f", USER, true), set_override("g", USER, false)],
        CommandKind::ClearOverride => vec![clear_override("f", USER), clear_override("g", USER)],
        // Below the threshold, at it and above it.
        CommandKind::Report => {
            vec![report("f", 2, 1), report("f", 1, 1), report("f", 0, 2), report("g", 0, 1), report("g", 0, 2)]
        }
        CommandKind::SetRules => vec![set_rules(2)],
        CommandKind::PauseRollout => vec![pause_rollout("f"), pause_rollout("g")],
        CommandKind::RegisterVersion => {
            vec![register_on("p", "2.0.0", &[("lib", "^1")]), register_for_host("lib", "2.0.0", "^1")]
        }
        CommandKind::Deploy => vec![deploy_p(), deploy_lib()],
        CommandKind::Pause => vec![pause("p"), pause("lib")],
        CommandKind::Resume => vec![resume("p"), resume("lib")],
        CommandKind::Promote => vec![promote("p"), promote("lib")],
        CommandKind::RollbackDeployment => vec![roll_back("p"), roll_back("lib")],
        CommandKind::Revert => vec![revert("p"), revert("lib")],
        CommandKind::RetireVersion => vec![retire("p", "1.0.0"), retire("lib", "2.0.0")],
        CommandKind::SetRule => vec![set_rule("p", Some("^1")), set_rule("lib", None)],
        CommandKind::SetHostVersion => vec![set_host("1.0.0")],
        CommandKind::SetRegistryParams => vec![auto_load(true)],
        CommandKind::Load => vec![load("p"), load("lib")],
        CommandKind::Unload => vec![unload("p"), unload("lib"), unload_force("lib")],
        CommandKind::ReportVersion => vec![
            tell_version("p", "1.0.0", 2, 0),
            tell_version("p", "2.0.0", 2, 1),
            tell_version("p", "2.0.0", 2, 2),
            tell_version("lib", "2.0.0", 2, 2),
        ],
        CommandKind::AttestHealth => {
            vec![attest("p", "2.0.0", false), attest("lib", "2.0.0", true), attest("lib", "2.0.0", false)]
        }
        CommandKind::ReportLoad => vec![
            loaded("p", "1.0.0", true),
            loaded("p", "2.0.0", true),
            loaded("lib", "1.0.0", true),
            loaded("lib", "1.0.0", false),
        ],
        CommandKind::ReportUnload => {
            vec![unloaded("p", "1.0.0", true), unloaded("lib", "1.0.0", true), unloaded("lib", "1.0.0", false)]
        }
        CommandKind::FeedPut => vec![
            put(FeedPart::Only, &[("a", 2)], &[("a", 1)]),
            put(FeedPart::First, &[("a", 1)], &[]),
            put(FeedPart::More, &[("b", 1)], &[("a", 2)]),
            put(FeedPart::Last, &[], &[("a", 3)]),
        ],
        CommandKind::FeedPatch => vec![
            patch(Environment, "a", 1, b"1"),
            patch(Environment, "a", 2, b"2"),
            patch(Environment, "b", 3, b"3"),
            patch(Filter, "a", 2, b""),
        ],
        CommandKind::FeedDelete => {
            vec![gone(Environment, "a", 2), gone(Environment, "a", 3), gone(Environment, "b", 1), gone(Filter, "a", 2)]
        }
        CommandKind::FeedForget => vec![forget(Environment, &["a", "b"]), forget(Filter, &["a"])],
        CommandKind::TripBreaker => vec![trip(0, true), trip(height + 1, false), trip(height, false)],
        CommandKind::ResetBreaker => vec![Command::ResetBreaker],
        CommandKind::Schedule => vec![schedule(height + 1, next), schedule(height + 2, after)],
        // What the block before has scheduled for two blocks later.
        CommandKind::CancelSchedule => vec![cancel(height + 1, 1)],
        CommandKind::GrantRole => vec![grant(GUARDIAN, Role::Operator)],
        CommandKind::RevokeRole => vec![revoke(OPERATOR, Role::Operator), revoke(ADMIN, Role::Admin)],
        CommandKind::SetParams => vec![set_params(Some(1), Some(1), Some(2))],
    }
}

/// Steps of 40 % every two blocks, with an error rate of a half.
fn plain() -> FeatureChanges {
    FeatureChanges {
        increment_percent: Some(percent(40)),
        increment_blocks: Some(2),
        max_error_rate: Some(5_000),
        min_success_count: Some(1),
        policy: Some(Policy { min_samples: 2, ..Policy::default() }),
    }
}

fn resting() -> FeatureChanges {
    let policy = Policy {
        prerequisites: vec![name("f")],
        min_samples: 2,
        window_blocks: NonZeroU32::new(2),
        ..Policy::default()
    };
    FeatureChanges { min_success_count: Some(0), policy: Some(policy), ..plain() }
}

/// A stage that ends by itself and one behind a manual gate.
fn deploy_p() -> Command {
    let stages = [stage(1_000, 1), Stage { gate: Gate::Manual, ..stage(5_000, 1) }];
    let terms = Guardrails {
        error_threshold_bps: Bps::new(5_000).unwrap(),
        min_requests: 2,
        max_blocks: NonZeroU32::new(4),
        ..EASY
    };
    deploy("p", "2.0.0", custom(&stages), terms)
}

/// A health gate, and rules that pause.
fn deploy_lib() -> Command {
    let terms =
        Guardrails { error_threshold_bps: Bps::new(5_000).unwrap(), auto_promote: false, auto_rollback: false, ..EASY };
    deploy("lib", "2.0.0", Strategy::BlueGreen { health_blocks: 2, bake_blocks: 2 }, terms)
}

// The spaces.

const FEATURES: Space = Space {
    test: "features_by_every_command",
    about: Subject::Feature,
    scheduled: Some(|| [vec![enable("g")], vec![rollback("f"), canary("f", 50)]]),
    starts: || {
        let both = [create_with("f", manual(plain())), create_with("g", resting())];
        let on = [canary("f", 20), canary("g", 20), report("f", 1, 0), report("g", 1, 0)];
        vec![
            vec![(1, vec![create_with("f", plain())])],
            // `g` reaches its target with its next step; that of `f` is due a block later, by hand.
            vec![
                (7, both.to_vec()),
                (8, on.to_vec()),
                (9, vec![rollout("g", 60), set_override("f", USER, false)]),
                (10, vec![rollout("f", 100)]),
            ],
        ]
    },
};

const PLUGINS: Space = Space {
    test: "plugins_by_every_command",
    about: Subject::Plugin,
    scheduled: Some(|| [vec![promote("p")], vec![roll_back("p"), load("p")]]),
    starts: || {
        let first = [register_on("p", "1.0.0", &[("lib", "*")]), register("lib", "1.0.0")];
        let second = [register_on("p", "2.0.0", &[("lib", "^1")]), register_for_host("lib", "2.0.0", "^1")];
        vec![
            vec![(1, first.to_vec())],
            // The first stage of `p` has ended by itself, its deadline is near; the gate of `lib` has just been shut.
            vec![
                (1, first.to_vec()),
                (2, second.to_vec()),
                (3, vec![set_host("1.0.0"), load("lib")]),
                (4, vec![loaded("lib", "1.0.0", true), load("p")]),
                (8, vec![deploy_p()]),
                (10, vec![deploy_lib()]),
            ],
        ]
    },
};

const FEED: Space = Space {
    test: "feed_by_every_command",
    about: Subject::Feed,
    scheduled: None,
    starts: || vec![vec![], vec![(1, vec![put(FeedPart::Only, &[("a", 1), ("b", 1)], &[("a", 1)])])]],
};

const SPACES: [Space; 3] = [FEATURES, PLUGINS, FEED];

/// A transaction that is tried, and the same with a second command that is refused.
struct Letter {
    kind: CommandKind,
    alone: Payload,
    undone: Payload,
}

impl Space {
    /// The transactions that are tried at a height, of a kind of command.
    fn commands(&self, kind: CommandKind, height: Height) -> Vec<Command> {
        let scheduled = self.scheduled.map_or_else(Default::default, |scheduled| scheduled());
        let about = subject(kind);
        let is_tried = about == self.about || (about == Subject::Ledger && self.scheduled.is_some());
        if is_tried { commands(kind, height, scheduled) } else { Vec::new() }
    }

    /// All that is tried at a height, besides the empty block. A guardian gives what it may, and what it
    /// would have to be an operator for.
    fn letters(&self, height: Height) -> Vec<Letter> {
        let letter = |signer: Address, command: Command| Letter {
            kind: command.kind(),
            alone: tx(signer, std::slice::from_ref(&command)),
            undone: tx(signer, &[command, cancel(height, 0)]),
        };
        let of_kind = |kind: &CommandKind| {
            let signers = match kind.roles()[0] {
                Role::Admin => vec![ADMIN],
                Role::Operator if matches!(kind, CommandKind::StartCanary | CommandKind::Deploy) => {
                    vec![OPERATOR, GUARDIAN]
                }
                Role::Operator => vec![OPERATOR],
                Role::Guardian => vec![OPERATOR, GUARDIAN],
                Role::Reporter => vec![REPORTER],
                Role::Feeder => vec![FEEDER],
            };
            let commands = self.commands(*kind, height);
            signers.into_iter().flat_map(move |signer| commands.clone().into_iter().map(move |one| (signer, one)))
        };
        CommandKind::ALL.iter().flat_map(of_kind).map(|(signer, command)| letter(signer, command)).collect()
    }

    fn start(&self, index: usize, planted: Option<Planted>) -> Result<Lockstep, String> {
        let params = Params { breaker_rollbacks: NonZeroU32::new(2), breaker_window: 3, ..Params::default() };
        let mut both = Lockstep::genesis(&genesis(params), planted);
        let blocks = (self.starts)().swap_remove(index);
        for height in 1..=START {
            let commands = blocks.iter().filter(|(at, _)| *at == height).flat_map(|(_, commands)| commands);
            let payloads = commands.map(|command| tx(ADMIN, std::slice::from_ref(command))).collect();
            let block = Block::from_payloads(height, payloads).unwrap();
            let agreed = both.execute(&block)?;
            assert!(agreed.outcome().receipts.iter().all(|receipt| *receipt == Receipt::Ok), "{:?}", agreed.outcome());
            both.commit(agreed);
        }
        Ok(both)
    }
}

// The search.

#[derive(Debug, Default)]
struct Counts {
    states: usize,
    transitions: usize,
    /// Transitions by the code of their receipt.
    receipts: BTreeMap<u16, usize>,
    accepted: BTreeSet<CommandKind>,
    /// The identities of all states but the starts.
    different: BTreeSet<(Height, Hash)>,
}

/// A state, and how the search came to it.
struct Reached {
    both: Lockstep,
    path: Vec<usize>,
}

/// What no block reads.
const HISTORIES: [KeyPrefix; 2] = [KeyPrefix::Change, KeyPrefix::PluginChange];

/// What tells a state from the others of its height, if some of its records do not count.
fn identity_without(left_out: &[KeyPrefix], records: &Records) -> Hash {
    let counts = |key: &[u8]| left_out.iter().all(|prefix| prefix.byte() != key[0]);
    let mut hash = Sha256::new();
    for bytes in records.0.iter().filter(|(key, _)| counts(key)).flat_map(|(key, value)| [key, value]) {
        hash.update(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        hash.update(bytes);
    }
    Hash(hash.finalize().into())
}

/// Executes a block of at most one transaction, which leaves nothing if it is refused.
fn attempt(both: &Lockstep, payload: Option<&Payload>, empty: Option<&Agreed>) -> Result<Agreed, String> {
    let height = both.state.tip().unwrap().checked_add(1).unwrap();
    let block = Block::from_payloads(height, payload.into_iter().cloned().collect()).unwrap();
    let agreed = both.execute(&block)?;
    let Some(empty) = empty.filter(|_| agreed.outcome().receipts != [Receipt::Ok]) else { return Ok(agreed) };
    let is_empty = agreed.execution.root() == empty.execution.root()
        && agreed.outcome().events == empty.outcome().events
        && writes(&agreed.execution) == writes(&empty.execution);
    if is_empty { Ok(agreed) } else { Err(format!("{:?} leaves something", agreed.outcome())) }
}

/// Tries a letter in a state, 0 is the empty block, and gives what it leads to.
fn step(
    both: &Lockstep,
    letters: &[Letter],
    index: usize,
    empty: &Agreed,
    counts: &mut Counts,
) -> Result<Agreed, String> {
    let Some(letter) = index.checked_sub(1).map(|index| &letters[index]) else { return attempt(both, None, None) };
    let agreed = attempt(both, Some(&letter.alone), Some(empty))?;
    let code = agreed.outcome().receipts[0].code();
    if code == 0 {
        counts.accepted.insert(letter.kind);
        let undone = attempt(both, Some(&letter.undone), Some(empty))?;
        if undone.outcome().receipts == [Receipt::Ok] {
            return Err(format!("{:?} is accepted", letter.undone));
        }
        counts.transitions += 1;
        *counts.receipts.entry(undone.outcome().receipts[0].code()).or_default() += 1;
    }
    *counts.receipts.entry(code).or_default() += 1;
    Ok(agreed)
}

fn agree_on_answers(both: &Lockstep) -> Result<(), String> {
    for (feature, user) in
        ["f", "g"].into_iter().flat_map(|feature| [USER, user(1), user(2)].map(|user| (feature, user)))
    {
        if both.state.is_enabled(&name(feature), &user) != both.model.is_enabled(feature.as_bytes(), &user) {
            return Err(format!("is {feature} on for {user}?"));
        }
    }
    for (plugin, unit) in
        ["p", "lib"].into_iter().flat_map(|plugin| [USER, user(1), user(2)].map(|unit| (plugin, unit)))
    {
        let routed = both.state.route(&name(plugin), &unit.0).map(ToString::to_string);
        if routed != both.model.route(plugin.as_bytes(), &unit.0) {
            return Err(format!("which {plugin} for {unit}?"));
        }
    }
    Ok(())
}

impl Space {
    /// Searches so many heights; gives the first thing that the two do not agree on, and its path.
    fn search(&self, heights: u64, planted: Option<Planted>) -> Result<Counts, String> {
        self.search_without(&HISTORIES, heights, planted)
    }

    /// The same, with states that differ in these records alone taken for one.
    fn search_without(&self, left_out: &[KeyPrefix], heights: u64, planted: Option<Planted>) -> Result<Counts, String> {
        let mut counts = Counts::default();
        let mut level = Vec::new();
        for start in 0..(self.starts)().len() {
            let path = vec![start];
            let both = self.start(start, planted).map_err(|why| self.told(&why, &path))?;
            level.push(Reached { both, path });
        }
        counts.states = level.len();
        let last = START + Height::try_from(heights).unwrap();
        for height in START + 1..=last {
            let letters = self.letters(height);
            let (mut seen, mut next) = (BTreeSet::new(), Vec::new());
            for Reached { both, path } in level {
                let text = format!("{:?}", both.state);
                drop(both.reloaded());
                agree_on_answers(&both).map_err(|why| self.told(&why, &path))?;
                let empty = attempt(&both, None, None).map_err(|why| self.told(&why, &path))?;
                for index in 0..=letters.len() {
                    let path: Vec<usize> = path.iter().copied().chain([index]).collect();
                    let agreed = step(&both, &letters, index, &empty, &mut counts);
                    let agreed = agreed.map_err(|why| self.told(&why, &path))?;
                    counts.transitions += 1;
                    counts.different.insert((height, identity_without(&HISTORIES, &agreed.records)));
                    if seen.insert(identity_without(left_out, &agreed.records)) && height < last {
                        let mut both = both.clone();
                        both.commit(agreed);
                        next.push(Reached { both, path });
                    }
                }
                assert_eq!(format!("{:?}", both.state), text, "trying changed a state");
            }
            counts.states += seen.len();
            level = next;
        }
        Ok(counts)
    }

    /// Walks one path, as the search goes it, and tries the empty block after it.
    fn walk(&self, path: &[usize], planted: Option<Planted>) -> Result<(), String> {
        let mut both = self.start(path[0], planted)?;
        for index in &path[1..] {
            agree_on_answers(&both)?;
            let letters = self.letters(both.state.tip().unwrap() + 1);
            let empty = attempt(&both, None, None)?;
            let agreed = step(&both, &letters, *index, &empty, &mut Counts::default())?;
            let height = agreed.execution.height();
            let what = index.checked_sub(1).map(|index| &letters[index].alone);
            println!("block {height}: {what:?}\n  {:?}", agreed.outcome());
            both.commit(agreed);
        }
        agree_on_answers(&both)?;
        attempt(&both, None, None).map(drop)
    }

    fn told(&self, why: &str, path: &[usize]) -> String {
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        let again = "cargo test --release -p coalmine-core --test it";
        format!("{why}\nrepeat: COALMINE_SEARCH_PATH={} {again} search::{}", path.join("."), self.test)
    }

    fn check(&self) {
        if let Ok(path) = std::env::var("COALMINE_SEARCH_PATH") {
            return self.walk(&path_of(&path), None).unwrap_or_else(|why| panic!("{why}"));
        }
        let heights = variable("COALMINE_SEARCH_HEIGHTS").unwrap_or(HEIGHTS);
        let Counts { states, transitions, receipts, accepted, different: _ } =
            self.search(heights, None).unwrap_or_else(|why| panic!("{why}"));
        println!(
            "{}: {states} states, {transitions} transitions in {heights} heights, by code {receipts:?}",
            self.test
        );
        // Rules are changed by the schedule alone, and no build knows others.
        let has_rows =
            |kind: &&CommandKind| **kind != CommandKind::SetRules && !self.commands(**kind, START).is_empty();
        assert!(accepted.iter().eq(CommandKind::ALL.iter().filter(has_rows)), "accepted somewhere: {accepted:?}");
    }
}

fn path_of(text: &str) -> Vec<usize> {
    text.split('.').map(|number| number.parse().unwrap_or_else(|_| panic!("{text} is no path"))).collect()
}

#[test]
fn features_by_every_command() {
    FEATURES.check();
}

#[test]
fn plugins_by_every_command() {
    PLUGINS.check();
}

#[test]
fn feed_by_every_command() {
    FEED.check();
}

#[test]
fn every_command_is_in_a_space() {
    for kind in CommandKind::ALL {
        assert!(SPACES.iter().any(|space| !space.commands(*kind, START).is_empty()), "{kind}");
    }
}

/// Going on from every history that leads to a state leads to no other states than going on from one. It
/// does, when states count as one that differ in the breaker.
#[test]
fn no_block_reads_a_history() {
    for space in [FEATURES, PLUGINS] {
        let search = |left_out: &[KeyPrefix]| space.search_without(left_out, 3, None).unwrap();
        let (once, each) = (search(&HISTORIES), search(&[]));
        assert!(once.states < each.states, "no state has two histories");
        assert!(once.different == each.different, "a history leads elsewhere");
        let [changes, plugin_changes] = HISTORIES;
        let planted = search(&[changes, plugin_changes, KeyPrefix::Global]);
        assert!(planted.different != once.different, "a breaker leads nowhere");
    }
}

/// The search sees each planted fault that its spaces have room for, and the path that it tells shows the same again.
#[test]
fn the_search_sees_every_planted_fault() {
    let mut unseen = Vec::new();
    for (planted, space) in [
        (Planted::RateAtThreshold, FEATURES),
        (Planted::StepEarly, FEATURES),
        (Planted::BreakerLate, FEATURES),
        (Planted::RejectLeaves, FEATURES),
        (Planted::GuardianStarts, FEATURES),
        (Planted::OpenBreakerStays, FEATURES),
        (Planted::ResetKeepsCount, FEATURES),
        (Planted::DrainLast, FEATURES),
        (Planted::StepIgnoresPrerequisite, FEATURES),
        (Planted::PauseLosesPercent, FEATURES),
        (Planted::HistoryWithoutFigures, FEATURES),
        (Planted::StageEarly, PLUGINS),
        (Planted::DeadlineLate, PLUGINS),
        (Planted::LoadEarly, PLUGINS),
        (Planted::DeadlineCounts, PLUGINS),
        (Planted::DeployOfForbidden, PLUGINS),
    ] {
        let Err(told) = space.search(HEIGHTS, Some(planted)) else {
            unseen.push(planted);
            continue;
        };
        let (why, again) = told.split_once("\nrepeat: COALMINE_SEARCH_PATH=").unwrap();
        let (path, command) = again.split_once(' ').unwrap();
        assert_eq!(command, format!("cargo test --release -p coalmine-core --test it search::{}", space.test));
        assert_eq!(space.walk(&path_of(path), Some(planted)), Err(why.into()), "{planted:?} again");
        println!("{planted:?}: path {path}");
    }
    assert!(unseen.is_empty(), "not seen: {unseen:?}");
}
