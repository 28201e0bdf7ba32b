//! What is said about a reject: the names and figures that decided.

use std::num::NonZeroU32;

use coalmine_core::{
    Address, Block, Bps, ChainId, Command, CommandKind, Description, Encode, FeatureChanges, Gate, Genesis, Guardrails,
    Name, OnComplete, Params, ParamsChanges, Payload, Percent, Policy, Reason, Receipt, Reject, Report, Role, RuleSet,
    Sequence, Stage, Strategy, StrategyKind, Transaction, Valid, Writer,
};
use coalmine_foresight::{Options, Users, preview, rejections, why};

use crate::stories::{Node, all, walk};

const ADMIN: Address = Address([0x11; 20]);
const GUARDIAN: Address = Address([0x44; 20]);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn node() -> Node {
    let roles = [(ADMIN, Role::Admin.into()), (GUARDIAN, Role::Guardian.into())].into();
    let genesis =
        Genesis::with_params(RuleSet::LATEST, ChainId::new(b"why").unwrap(), roles, Params::default()).unwrap();
    let mut node = Node::new(&genesis);
    let above = Policy { prerequisites: vec![name("base")], ..Policy::default() };
    let create = |feature: &str, policy: Option<Policy>| {
        let changes = FeatureChanges { policy, increment_blocks: Some(10), ..FeatureChanges::default() };
        Command::CreateFeature {
            name: name(feature),
            description: Description::new("").unwrap(),
            changes: Valid::new(changes).unwrap(),
        }
    };
    let commands = vec![create("base", None), create("search_v3", None), create("top", Some(above))];
    let more = vec![
        Command::StartCanary { name: name("search_v3"), percent: Percent::new(5).unwrap() },
        Command::report(name("search_v3"), Report { successes: 9, ..Report::default() }).unwrap(),
        Command::Schedule { at: 200, commands: Valid::new(vec![Command::Disable { name: name("base") }]).unwrap() },
    ];
    let txs = [commands, more].map(|commands| Transaction::new(ADMIN, commands).unwrap());
    node.feed(&Block::new(100, txs.into()).unwrap());
    node
}

#[test]
fn a_reject_says_what_decided() {
    let canary = |feature: &str| Command::StartCanary { name: name(feature), percent: Percent::new(5).unwrap() };
    let rollout = Command::StartRollout { name: name("search_v3"), target_percent: Percent::FULL };
    let trip = Command::TripBreaker { reason: Reason::Manual, until: None, drain: false };
    let tx = |signer: Address, commands: &[Command]| {
        Payload::Transaction(Transaction::new(signer, commands.to_vec()).unwrap())
    };
    let sequenced = |number| {
        let tx = Transaction::new(ADMIN, vec![Command::ResetBreaker]).unwrap();
        Payload::Transaction(tx.with_sequence(Sequence { number, valid_until: std::num::NonZeroU32::new(50) }))
    };
    for (payload, reject, words) in [
        (tx(GUARDIAN, &[canary("search_v3")]), "unauthorized", "holds guardian, needs operator"),
        (tx(Address([0xdd; 20]), &[Command::ResetBreaker]), "unauthorized", "holds no role, needs admin"),
        (
            tx(ADMIN, &[canary("serach_v3")]),
            "feature_not_found",
            "there is no feature serach_v3; the nearest is search_v3",
        ),
        (tx(ADMIN, &[canary("top")]), "prerequisite_not_active", "its prerequisite base is disabled"),
        (
            tx(ADMIN, std::slice::from_ref(&rollout)),
            "insufficient_data",
            "the trial of search_v3 has 9 successes and needs 100",
        ),
        (tx(ADMIN, &[Command::AdvanceRollout { name: name("base") }]), "feature_disabled", "base is disabled"),
        (
            tx(ADMIN, &[trip.clone(), trip.clone()]),
            "invalid_transition",
            "the breaker is open since height 101 (manual), until it is reset, which is no less than this",
        ),
        (tx(ADMIN, &[Command::ResetBreaker]), "invalid_transition", "the breaker is closed"),
        (
            tx(GUARDIAN, &[Command::CancelSchedule { at: 200, id: 1 }]),
            "unauthorized",
            "a guardian cancels only what raises exposure or power",
        ),
        (tx(ADMIN, &[trip, canary("base")]), "circuit_open", "open since height 101 (manual), until it is reset"),
        (tx(ADMIN, &[Command::Pause { plugin: name("api") }]), "plugin_not_found", "there is no plugin api"),
        (
            sequenced(0),
            "bad_sequence",
            "sequence 0 is not above 0, the last one of 0x1111111111111111111111111111111111111111",
        ),
        (sequenced(7), "expired", "it is valid up to height 50, and the block is at 101"),
        (Payload::Malformed(vec![1, 2, 3]), "malformed", "of 3 bytes: the input ends too early"),
    ] {
        let node = node();
        let block = Block::from_payloads(101, vec![payload]).unwrap();
        let options = Options { users: Users::List(Vec::new()), blocks: 0 };
        let foretold = preview(&node.state, &node.records, &block, &options).unwrap();
        let [only] = foretold.transactions.as_slice() else { panic!("one transaction") };
        assert_eq!(only.receipt.name(), reject, "{words}");
        let Receipt::Rejected { reject, .. } = only.receipt else { panic!("{words}") };
        let rejection = only.rejection.as_ref().unwrap();
        assert!(rejection.why.contains(words), "{}", rejection.why);
        assert_eq!(rejection.reject, reject);
    }
}

/// The sentence that is the same in every tool.
#[test]
fn a_rejection_is_one_sentence() {
    let canary = |feature: &str| Command::StartCanary { name: name(feature), percent: Percent::new(5).unwrap() };
    let dd = Address([0xdd; 20]);
    let node = node();
    let by =
        |signer: Address, commands: Vec<Command>| Payload::Transaction(Transaction::new(signer, commands).unwrap());
    let block = Block::from_payloads(
        101,
        vec![
            by(ADMIN, vec![canary("base")]),
            by(GUARDIAN, vec![canary("search_v3")]),
            by(dd, vec![Command::ResetBreaker]),
            Payload::Malformed(vec![7; 5]),
            by(ADMIN, vec![canary("base"), Command::AdvanceRollout { name: name("base") }]),
        ],
    );
    let block = block.unwrap();
    let execution = node.state.execute(&block).unwrap();
    let told: Vec<String> =
        rejections(&node.state, &block, &execution).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            format!("tx 1 start_canary search_v3 by {GUARDIAN}: unauthorized (holds guardian, needs operator)"),
            format!("tx 2 reset_breaker by {dd}: unauthorized (holds no role, needs admin)"),
            "tx 3: malformed (of 5 bytes: the input ends too early (5 bytes before the end))".into(),
            format!("tx 4 advance_rollout base by {ADMIN}: invalid_transition (base is canary)"),
        ]
    );
}

/// What names no field by itself names the field and the limit.
#[test]
fn a_broken_limit_is_named() {
    let lp8 = |bytes: &[u8]| [&[u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let with = |command: &Command, from_end: usize, byte: u8| {
        let mut bytes = command.to_bytes();
        let at = bytes.len() - 1 - from_end;
        bytes[at] = byte;
        bytes
    };
    let changes = |changes: FeatureChanges| Command::ConfigureFeature {
        name: name("base"),
        description: None,
        changes: Valid::new(changes).unwrap(),
    };
    let rate = changes(FeatureChanges { max_error_rate: Some(1), ..FeatureChanges::default() });
    let blocks = changes(FeatureChanges { increment_blocks: Some(1), ..FeatureChanges::default() });
    let percent = changes(FeatureChanges { increment_percent: Some(Percent::FULL), ..FeatureChanges::default() });
    let prerequisites = Policy { prerequisites: vec![name("search_v3")], ..Policy::default() };
    let params = |changes: ParamsChanges| Command::SetParams { changes: Valid::new(changes).unwrap() };
    let quorum = params(ParamsChanges { quorum: Some(9), ..ParamsChanges::default() });
    let due = params(ParamsChanges { max_due_per_block: Some(1), ..ParamsChanges::default() });
    let window =
        params(ParamsChanges { breaker_rollbacks: Some(1), breaker_window: Some(0), ..ParamsChanges::default() });
    let canary = Command::StartCanary { name: name("base"), percent: Percent::FULL };
    let scheduled = |command: &[u8]| {
        let mut bytes = Writer::default();
        CommandKind::Schedule.encode(&mut bytes);
        bytes.u32(200);
        bytes.u8(1);
        bytes.lp16(command);
        bytes.into_bytes()
    };
    let report = |report: Report| Command::report(name("base"), report).unwrap();
    let checked = report(Report { successes: 1, invariant_checks: 3, ..Report::default() });
    let deploy = |strategy: Strategy, guardrails: Guardrails| {
        let mut bytes = Writer::default();
        CommandKind::Deploy.encode(&mut bytes);
        bytes.raw(&lp8(b"api"));
        bytes.raw(&lp8(b"1.0.0"));
        strategy.encode(&mut bytes);
        guardrails.encode(&mut bytes);
        bytes.into_bytes()
    };
    let custom = |stages: &[(u16, u32)]| {
        let stage = |(share, blocks): &(u16, u32)| Stage {
            share_bps: Bps::new(*share).unwrap(),
            blocks: *blocks,
            min_requests: 0,
            gate: Gate::Time,
        };
        Strategy::Custom { on_complete: OnComplete::Promote, stages: stages.iter().map(stage).collect() }
    };
    let easy = Strategy::with_defaults(StrategyKind::Rolling).default_guardrails();
    let timed = |blocks: u32| Guardrails { max_blocks: NonZeroU32::new(blocks), ..easy };
    let ramp = |initial: u16, increment: u16| Strategy::Rolling {
        initial_bps: Bps::new(initial).unwrap(),
        increment_bps: increment,
        increment_blocks: 1,
    };
    let long = |len: usize| {
        let mut bytes = Writer::default();
        CommandKind::CreateFeature.encode(&mut bytes);
        bytes.raw(&lp8(b"new"));
        bytes.lp16(&vec![b'd'; len]);
        bytes.raw(&[0; 5]);
        bytes.into_bytes()
    };
    let zero = Command::GrantRole { address: Address([0; 20]), role: Role::Reporter }.to_bytes();
    for (bytes, reject, words) in [
        (long(1_025), "limit_exceeded", "description has 1025 bytes, and at most 1024"),
        (with(&canary, 0, 101), "invalid_percent", "percent 101 is above 100"),
        (with(&percent, 4, 0), "invalid_parameter", "increment_percent 0 is not 1 to 100"),
        (with(&blocks, 3, 0), "invalid_parameter", "increment_blocks 0 is not at least 1"),
        (with(&rate, 3, 0x28), "invalid_parameter", "max_error_rate 10241 is above 10000"),
        (with(&quorum, 0, 65), "invalid_parameter", "quorum 65 is not 1 to 64"),
        (with(&due, 6, 0), "invalid_parameter", "max_due_per_block 0 is not at least 1"),
        (window.to_bytes(), "invalid_parameter", "breaker_window 0 while breaker_rollbacks is not 0"),
        (
            changes(FeatureChanges { policy: Some(prerequisites), ..FeatureChanges::default() }).to_bytes(),
            "invalid_parameter",
            "prerequisites never change: base has none, the policy says search_v3",
        ),
        (with(&checked, 1, 4), "invalid_parameter", "invariant_failures 4 is above invariant_checks 3"),
        (zero, "invalid_parameter", "stands for what happens without a signer"),
        (scheduled(&with(&canary, 0, 101)), "invalid_percent", "command 0, start_canary: percent 101 is above 100"),
        (scheduled(&checked.to_bytes()), "invalid_parameter", "command 0 is report, which cannot be scheduled"),
        (deploy(custom(&[]), easy), "invalid_plan", "stages are 0, and there are 1 to 32"),
        (deploy(custom(&[(100, 0)]), easy), "invalid_plan", "stages[0]: blocks 0 is not at least 1"),
        (
            deploy(custom(&[(200, 1), (100, 1)]), easy),
            "invalid_plan",
            "stages[1]: share_bps is below that of the stage",
        ),
        (deploy(custom(&[(0, 1)]), easy), "invalid_plan", "the last of the stages has share_bps 0"),
        (
            deploy(custom(&[(100, 40)]), timed(40)),
            "invalid_plan",
            "max_blocks 40 is not above 40, the blocks of its stages",
        ),
        (deploy(ramp(0, 1), timed(90)), "invalid_plan", "initial_bps 0 is not at least 1"),
        (deploy(ramp(1, 1), timed(90)), "invalid_plan", "from 1 to 10000 by 1 takes more than 32 stages"),
    ] {
        let node = node();
        let mut tx = ADMIN.0.to_vec();
        tx.push(1);
        tx.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        tx.extend(bytes);
        let block = Block::from_encoded(101, vec![tx]).unwrap();
        let execution = node.state.execute(&block).unwrap();
        let told = rejections(&node.state, &block, &execution).unwrap();
        let [only] = told.as_slice() else { panic!("{words}: it is accepted") };
        assert_eq!(only.reject.name(), reject, "{words}");
        assert!(only.why.contains(words), "{words}: {}", only.why);
    }
}

/// A block of many rejected transactions is explained as far as that is cheap.
#[test]
fn many_rejections_cost_little() {
    let node = node();
    let advance = Command::AdvanceRollout { name: name("base") };
    let txs = vec![Transaction::new(ADMIN, vec![advance]).unwrap(); 5_000];
    let block = Block::new(101, txs).unwrap();
    let execution = node.state.execute(&block).unwrap();
    let told = rejections(&node.state, &block, &execution).unwrap();
    assert_eq!(told.len(), 5_000);
    assert_eq!(told.first().unwrap().why, "base is disabled");
    assert_eq!(told.last().unwrap().why, Reject::FeatureDisabled.reason());
}

/// What a command found is what a state has to which the block before it was applied.
#[test]
fn what_was_found_is_what_was_applied() {
    let mut compared = 0;
    for story in all() {
        walk(&story, |node, block| {
            let Ok(execution) = node.state.execute(block) else { return };
            let payloads: Vec<Payload> = block.payloads().collect();
            for rejection in rejections(&node.state, block, &execution).unwrap() {
                if rejection.index > 0 || rejection.why == rejection.reject.reason() || rejection.why.starts_with("at ")
                {
                    continue;
                }
                let before = Block::from_payloads(block.height(), payloads[..rejection.tx].to_vec()).unwrap();
                let mut state = node.state.clone();
                state.apply(node.state.execute(&before).unwrap()).unwrap();
                let expected = why(&state, block.height(), &payloads[rejection.tx], rejection.reject, 0);
                assert_eq!(rejection.why, expected, "{}: block {}: {rejection}", story.name, block.height());
                compared += 1;
            }
        });
    }
    assert!(compared > 500, "{compared}");
}
