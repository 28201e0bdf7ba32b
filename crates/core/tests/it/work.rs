//! What a block costs: prices, also of what fails and of what is undone, and what is free.
//!
//! Instructions are counted by `valgrind`; without it that test says that it is skipped.

use std::process::Command as Process;

use coalmine_core::{
    BLOCK_WORK_MAX, Block, Command, CommandKind, Encode, FeedKind, FeedPart, LoadState, Payload, Receipt, Reject, Role,
    State,
};

use crate::common::plugins::*;
use crate::common::*;

// A world in which the expensive commands have something to do.

/// How many live items the feed has, and how many of them an open put has listed.
const ITEMS: u32 = 1_000;
const LISTED: u32 = 300;
/// How many plugins depend on `base`.
const DEPENDENTS: usize = 60;

/// Everything that a command could walk over.
fn heavy() -> State {
    let mut state = World::new().state;
    let mut run = |commands: Vec<Command>| {
        let height = state.tip().map_or(1, |tip| tip + 1);
        let payloads = commands.into_iter().map(|command| tx(ADMIN, &[command])).collect();
        let execution = state.execute(&Block::from_payloads(height, payloads).unwrap()).unwrap();
        let receipts = &execution.outcome().receipts;
        assert!(receipts.iter().all(|receipt| *receipt == Receipt::Ok), "{receipts:?}");
        state.apply(execution).unwrap();
    };
    let mut plugins = vec![register("base", "1.0.0"), register("base", "2.0.0"), load("base")];
    plugins.push(loaded("base", "1.0.0", true));
    for n in 0..DEPENDENTS {
        let plugin = format!("d{n:03}");
        plugins.extend([register_on(&plugin, "1.0.0", &[("base", "*")]), load(&plugin)]);
    }
    run(plugins);
    // One whose dependents wait for it.
    let mut waiting = vec![register("slow", "1.0.0")];
    for n in 0..DEPENDENTS {
        let plugin = format!("w{n:03}");
        waiting.extend([register_on(&plugin, "1.0.0", &[("slow", "*")]), load(&plugin)]);
    }
    run(waiting);
    run([flood(0, ITEMS), vec![put(FeedPart::Last, &[], &[])], flood(0, LISTED)].concat());
    run(vec![create("f"), canary("f", 5), schedule(9_000, vec![enable("f")])]);
    state
}

/// The most expensive command of each price; what it pays in the heavy state is told apart from the code.
fn prices() -> Vec<(Command, u32)> {
    let records = ITEMS;
    let dependents = u32::try_from(DEPENDENTS).unwrap();
    let one = [("00000", 2)];
    vec![
        (disable("f"), 0),
        (rollback("f"), 0),
        (pause_rollout("f"), 0),
        (roll_back("base"), 0),
        (pause("base"), 0),
        (trip(0, true), 0),
        (revoke(OPERATOR, Role::Operator), 0),
        (cancel(9_000, 1), 0),
        (report("f", 1, 0), 1),
        (configure("f", coalmine_core::FeatureChanges::default()), 1),
        (clear_override("f", USER), 1),
        (grant(USER, Role::Feeder), 1),
        (set_params(None, None, None), 1),
        (max_versions(9), 1),
        (Command::ResetBreaker, 1),
        (unload("base"), 1),
        (tell_version("base", "1.0.0", 1, 0), 1),
        (attest("base", "1.0.0", true), 1),
        (patch(FeedKind::Environment, "00000", 9, b""), 1),
        (gone(FeedKind::Environment, "00000", 9), 1),
        (create("new"), 16),
        (canary("f", 6), 16),
        (rollout("f", 100), 16),
        (advance("f"), 16),
        (enable("f"), 16),
        (set_override("f", USER, true), 16),
        (retire("base", "2.0.0"), 16),
        (load("d000"), 64),
        (unload_force("base"), 64),
        (set_rule("base", Some("^1")), 1_024),
        (set_host("1.0.0"), 1_024),
        (unloaded("base", "1.0.0", false), 1_024),
        (schedule(8_000, vec![enable("f"); 3]), 1 + 3),
        (register("base", "3.0.0"), 16 + dependents),
        (deploy_slowly("base", "2.0.0"), 16 + dependents),
        (resume("base"), 16 + dependents),
        (promote("base"), 16 + dependents),
        (revert("base"), 16 + dependents),
        (deploy_slowly("nobody", "2.0.0"), 16),
        (loaded("slow", "1.0.0", false), 1 + dependents),
        (unloaded("base", "1.0.0", true), 1 + dependents),
        (forget(FeedKind::Environment, &["00000", "00001"]), 1 + 2),
        (put(FeedPart::Only, &one, &[]), 1 + 1 + LISTED + records),
        (put(FeedPart::First, &one, &[]), 1 + 1 + LISTED),
        (put(FeedPart::More, &one, &[]), 1 + 1),
        (put(FeedPart::Last, &one, &[]), 1 + 1 + records),
    ]
}

/// Transactions that pay this much and change nothing.
fn fillers(units: u32) -> Vec<Payload> {
    let (sweeps, rest) = (units / 1_024, units % 1_024);
    let sweeps = vec![tx(ADMIN, &[set_rule("nobody", None)]); usize::try_from(sweeps).unwrap()];
    let rest = vec![tx(ADMIN, &[clear_override("nobody", USER)]); usize::try_from(rest).unwrap()];
    [sweeps, rest].concat()
}

fn receipts(state: &State, payloads: Vec<Payload>) -> Vec<Receipt> {
    let block = Block::from_payloads(state.tip().unwrap() + 1, payloads).unwrap();
    state.execute(&block).unwrap().outcome().receipts.clone()
}

/// With just its price left a command is taken, with one unit less it is not; and what it has paid is gone, also when the
/// transaction is undone.
#[test]
fn every_command_pays_its_price_and_gets_nothing_back() {
    let state = heavy();
    let full = refused(Reject::BlockFull);
    let kinds: std::collections::BTreeSet<CommandKind> = prices().iter().map(|(command, _)| command.kind()).collect();
    let missing: Vec<&CommandKind> = CommandKind::ALL.iter().filter(|kind| !kinds.contains(kind)).collect();
    assert_eq!(missing, [&CommandKind::SetRules], "it pays 1 when it runs");
    let fails = rollback("nobody");
    for (command, price) in prices() {
        let probe = |left: u32, payload: Payload| {
            let payloads =
                [fillers(BLOCK_WORK_MAX - left), vec![payload, tx(ADMIN, &[clear_override("nobody", USER)])]];
            let receipts = receipts(&state, payloads.concat());
            let [.., receipt, next] = receipts[..] else { panic!() };
            (receipt, next == full)
        };
        let alone = tx(ADMIN, std::slice::from_ref(&command));
        let undone = tx(ADMIN, &[command.clone(), fails.clone()]);
        for payload in [&alone, &undone] {
            let (receipt, is_spent) = probe(price, payload.clone());
            assert!(receipt.code() != Reject::BlockFull.code() && is_spent, "{command:?} pays {price}: {receipt:?}");
            let (_, is_spent) = probe(price + 1, payload.clone());
            assert!(!is_spent, "{command:?} pays more than {price}");
            if let Some(less) = price.checked_sub(1) {
                let (receipt, is_spent) = probe(less, payload.clone());
                assert_eq!(
                    (receipt, is_spent),
                    (full, less == 0),
                    "{command:?} pays less than {price}, or pays in vain"
                );
            }
        }
    }
}

/// What is wrong by itself pays 1, whatever it would have paid, and nothing if it is one of the free ones.
#[test]
fn what_is_refused_for_itself_pays_one() {
    let state = heavy();
    let long = |command: Command, at: usize, byte: u8| {
        let mut bytes = command.to_bytes();
        bytes[at] = byte;
        bytes
    };
    for (bytes, price) in [
        (long(enable("f"), 2, b'_'), 1),
        (long(set_rule("base", None), 2, b'_'), 1),
        (long(load("base"), 2, b'_'), 1),
        (nested(9_000, &long(enable("f"), 2, b'_')), 1),
        (long(disable("f"), 2, b'_'), 0),
        (long(pause("base"), 2, b'_'), 0),
    ] {
        for left in 0..=2 {
            let payloads =
                [fillers(BLOCK_WORK_MAX - left), vec![raw_tx(ADMIN, std::slice::from_ref(&bytes))], fillers(1)];
            let receipts = receipts(&state, payloads.concat());
            let [.., receipt, next] = receipts[..] else { panic!() };
            let full = Reject::BlockFull.code();
            assert_eq!(receipt.code() == full, left < price, "{bytes:02x?} with {left} left");
            assert_eq!(next.code() == full, left.saturating_sub(price) == 0, "{bytes:02x?} with {left} left");
        }
    }
}

/// Nobody buys the block in front of an emergency: with nothing left, what makes things safer is taken.
#[test]
fn an_emergency_is_free() {
    let mut world = World::new();
    world.next(&[create("f"), create("g"), create("h"), canary("f", 5), canary("g", 5), canary("h", 5)]);
    world.next(&[set_params(None, None, None), register("p", "1.0.0"), register("p", "2.0.0")]);
    world.next(&[deploy_slowly("p", "2.0.0"), schedule(9_000, vec![enable("f")]), configure_rollout()]);
    let emergency = [
        disable("f"),
        rollback("g"),
        pause_rollout("r"),
        pause("p"),
        roll_back("p"),
        cancel(9_000, 1),
        revoke(OPERATOR, Role::Operator),
        trip(0, true),
    ];
    let free: Vec<CommandKind> = CommandKind::ALL.iter().copied().filter(|kind| kind.is_free()).collect();
    let mut tried: Vec<CommandKind> = emergency.iter().map(Command::kind).collect();
    tried.sort_unstable();
    assert_eq!(tried, free);
    world.next(&[canary("r", 5)]);
    world.next(&[rollout("r", 50)]);
    let payloads = emergency.iter().map(|command| tx(ADMIN, std::slice::from_ref(command)));
    let payloads = [fillers(BLOCK_WORK_MAX), payloads.collect(), fillers(1)].concat();
    let receipts = receipts(&world.state, payloads);
    let (last, others) = receipts.split_last().unwrap();
    assert_eq!(*last, refused(Reject::BlockFull));
    assert_eq!(others[others.len() - emergency.len()..], [Receipt::Ok; 8]);
}

fn configure_rollout() -> Command {
    create_with("r", steps_every(50))
}

/// Scheduled commands pay, too. One that finds too little left is undone, stays, and comes first in the next block; those
/// behind it have their turns.
#[test]
fn an_entry_that_the_block_has_no_work_for_waits_for_the_next_one() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f"), create("g")]);
    let heavy = schedule(9, vec![set_host("0.0.0"); 16]);
    for height in 2..6 {
        world.run(height, ADMIN, &vec![heavy.clone(); 16]);
    }
    // 64 entries take all of the work. The next one gets as far as its free command; the last ones are free, or not.
    let more = [vec![trip(0, false), Command::ResetBreaker], vec![disable("nobody")], vec![enable("f")]];
    world.run(6, ADMIN, &more.map(|commands| schedule(9, commands)));
    world.advance(8);
    let outcome = world.block(9, vec![tx(ADMIN, &[enable("g")])]);
    let ran: Vec<u64> = outcome.events.iter().filter_map(executed_id).collect();
    assert!(ran.iter().copied().eq((1..=64).chain([66])), "{ran:?}");
    assert_eq!(outcome.receipts, [refused(Reject::BlockFull)]);
    assert_eq!(world.state.global().breaker, None, "undone, without an event");
    let events = world.block(10, vec![]).events;
    let ran: Vec<u64> = events.iter().filter_map(executed_id).collect();
    assert_eq!(ran, [65, 67], "what was left over runs, in its order");
    assert_eq!(world.stands("f").1, 100);
}

fn executed_id(event: &coalmine_core::Event) -> Option<u64> {
    if let coalmine_core::Event::ScheduleExecuted { id, .. } = event { Some(*id) } else { None }
}

// The cost.

/// How many times the instructions of a plain command a unit may take. Prices that were forgotten take hundreds.
const FACTOR: u64 = 16;

/// How often each attack is repeated in a block.
const REPEATED: usize = 4;

/// What costs the most for its price, by name: undone by a last command that fails.
fn attacks() -> Vec<(&'static str, Vec<Command>)> {
    let fails = rollback("nobody");
    let with = |commands: Vec<Command>| [commands, vec![fails.clone()]].concat();
    let report_load = |ok| loaded("slow", "1.0.0", ok);
    vec![
        // A plain command, which all others are compared with.
        ("nothing", with(vec![clear_override("nobody", USER)])),
        ("a put", with(vec![put(FeedPart::Only, &[], &[]), put(FeedPart::More, &[], &[])])),
        (
            "puts",
            with(vec![put(FeedPart::First, &[], &[]), put(FeedPart::Last, &[], &[]), put(FeedPart::Only, &[], &[])]),
        ),
        ("a forced unload", with(vec![unload_force("base")])),
        ("a failed load", with(vec![report_load(false)])),
        ("a load", with(vec![report_load(true)])),
        ("a host", with(vec![set_host("1.0.0")])),
        ("a rule", with(vec![set_rule("base", Some("^1")), set_rule("base", None)])),
        ("a deployment", with(vec![deploy_slowly("base", "2.0.0"), promote("base"), revert("base")])),
        ("an enable", with(vec![enable("f"), disable("f"), enable("f")])),
        ("a schedule", with(vec![schedule(8_000, vec![enable("f"); 16])])),
    ]
}

/// What is counted. Not inlined, because `valgrind` knows it by its name.
#[inline(never)]
fn counted_work(state: &State, block: &Block) {
    let execution = state.execute(block).unwrap();
    assert!(execution.writes().is_empty());
}

/// Run by the test below, under `valgrind`.
#[test]
#[ignore = "has nothing to say by itself"]
fn attacked_block() {
    let state = heavy();
    let commands = &attacks()[usize::try_from(variable("COALMINE_WORK_ATTACK").unwrap_or(0)).unwrap()].1;
    let block = Block::from_payloads(state.tip().unwrap() + 1, vec![tx(ADMIN, commands); REPEATED]).unwrap();
    counted_work(&state, &block);
}

/// The instructions of one attack; none without `valgrind`.
fn instructions(index: usize) -> Option<u64> {
    let mut valgrind = Process::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_work*"]);
    valgrind.arg(std::env::current_exe().unwrap()).args(["--ignored", "--exact", "work::attacked_block"]);
    valgrind.env("COALMINE_WORK_ATTACK", index.to_string());
    let output = match valgrind.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: instructions of a block: there is no valgrind here");
            return None;
        }
        output => output.unwrap(),
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let collected = told.lines().find_map(|line| line.split_once("Collected : ")).unwrap_or_else(|| panic!("{told}"));
    Some(collected.1.trim().parse::<u64>().unwrap() / u64::try_from(REPEATED).unwrap())
}

/// CPU of a block ≤ a constant × its price, over transactions that fail.
#[test]
fn the_cost_of_a_block_is_bounded_by_its_price() {
    let Some(plain) = instructions(0) else { return };
    let state = heavy();
    for (index, (what, commands)) in attacks().into_iter().enumerate() {
        let (cost, price) = (instructions(index).unwrap(), u64::from(price_of(&state, &commands)));
        println!("{what}: {cost} instructions for {price} units");
        assert!(cost <= FACTOR * plain * price, "{what}: {cost} instructions for {price} units, and {plain} for one");
    }
}

/// What a transaction pays up to its last command: the least that a block must have left for it.
fn price_of(state: &State, commands: &[Command]) -> u32 {
    let is_enough = |left: u32| {
        let payloads = [fillers(BLOCK_WORK_MAX - left), vec![tx(ADMIN, commands)]].concat();
        receipts(state, payloads).last().is_some_and(|receipt| receipt.code() != Reject::BlockFull.code())
    };
    let (mut low, mut high) = (0, 32_768);
    while low < high {
        let middle = (low + high) / 2;
        if is_enough(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// The heavy state is one.
#[test]
fn the_heavy_state_has_what_commands_walk_over() {
    let state = heavy();
    assert_eq!(state.feed().live_environments, ITEMS);
    assert_eq!(state.feed().listed, LISTED);
    let dependents = state.plugin(&name("slow")).unwrap().dependents;
    assert_eq!(usize::from(dependents), DEPENDENTS);
    assert_eq!(state.plugin(&name("w000")).unwrap().load_state, LoadState::Pending);
}
