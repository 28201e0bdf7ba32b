//! What is said about a reject: the names and figures that decided.

use coalmine_core::{
    Address, Block, ChainId, Command, Description, FeatureChanges, Genesis, Name, Params, Payload, Percent, Policy,
    Reason, Receipt, Report, Role, RuleSet, Sequence, Transaction, Valid,
};
use coalmine_foresight::{Options, Users, preview};

use crate::stories::Node;

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
        (
            tx(GUARDIAN, &[canary("search_v3")]),
            "unauthorized",
            "start_canary: 0x4444444444444444444444444444444444444444 holds guardian, and it takes operator or admin",
        ),
        (tx(Address([0xdd; 20]), &[Command::ResetBreaker]), "unauthorized", "holds no role, and it takes admin"),
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
        let why = only.why.as_ref().unwrap();
        assert!(why.contains(words) && why.contains(reject.reason()), "{why}");
    }
}
