//! What random worlds show: no other reject, and no other event.

use super::*;

/// What the commands of random worlds have met and emitted, by name, and what due work has emitted.
#[derive(Debug, Default)]
struct Seen {
    blocks: usize,
    rejects: BTreeMap<&'static str, BTreeSet<Reject>>,
    events: BTreeMap<&'static str, BTreeSet<&'static str>>,
    due: BTreeSet<&'static str>,
}

fn names(events: &[Event]) -> impl Iterator<Item = &'static str> {
    events.iter().map(|event| event.code().name())
}

fn kind_of(command: &TxCommand) -> CommandKind {
    match command {
        TxCommand::Valid(command) => command.kind(),
        TxCommand::Invalid { kind, .. } => *kind,
    }
}

/// The transaction with its first commands alone.
fn first_commands(transaction: &Transaction, count: usize) -> Payload {
    let bytes: Vec<Vec<u8>> = transaction.commands()[..count].iter().map(Encode::to_bytes).collect();
    let first = raw_tx(*transaction.signer(), &bytes);
    match (first, transaction.sequence()) {
        (Payload::Transaction(first), Some(sequence)) => Payload::Transaction(first.with_sequence(*sequence)),
        (first, _) => first,
    }
}

impl Seen {
    fn outcome(state: &State, height: u32, payloads: Vec<Payload>) -> Outcome {
        state.execute(&Block::from_payloads(height, payloads).unwrap()).unwrap().outcome().clone()
    }

    fn due(&mut self, outcome: &Outcome) {
        // A scheduled entry emits what its commands emit.
        if !outcome.events.iter().any(|event| matches!(event, Event::ScheduleExecuted { .. })) {
            self.due.extend(names(&outcome.events));
        }
    }

    /// Executes a block and each beginning of it, so that every event has its command.
    fn block(&mut self, state: &mut State, block: &Block) {
        let height = block.height();
        let payloads: Vec<Payload> = block.payloads().collect();
        let mut done = Self::outcome(state, height, vec![]);
        self.due(&done);
        for (index, payload) in payloads.iter().enumerate() {
            let before = &payloads[..index];
            let with = |last: Payload| Self::outcome(state, height, [before, &[last]].concat());
            let outcome = with(payload.clone());
            let receipt = *outcome.receipts.last().unwrap();
            match (payload, receipt) {
                (Payload::Malformed(_), _) => assert_eq!(receipt, refused(Reject::Malformed)),
                (Payload::Transaction(tx), Receipt::Rejected { reject, index }) => {
                    let kind = kind_of(&tx.commands()[usize::from(index)]);
                    self.rejects.entry(kind.name()).or_default().insert(reject);
                    assert_eq!(outcome.events, done.events, "a rejected transaction emits nothing");
                }
                (Payload::Transaction(tx), Receipt::Ok) => {
                    let mut emitted = done.events.len();
                    for (count, command) in (1..).zip(tx.commands()) {
                        let events = match count == tx.commands().len() {
                            true => outcome.events.clone(),
                            false => with(first_commands(tx, count)).events,
                        };
                        let of = self.events.entry(kind_of(command).name()).or_default();
                        of.extend(names(&events[emitted..]));
                        emitted = events.len();
                    }
                }
            }
            done = outcome;
        }
        let execution = state.execute(block).unwrap();
        assert_eq!(execution.outcome().events, done.events);
        state.apply(execution).unwrap();
        self.blocks += 1;
    }

    fn world(&mut self, world: &RandomWorld) {
        let (mut state, _) = State::genesis(&world.genesis).unwrap();
        for block in &world.blocks {
            while state.tip().is_some_and(|tip| tip + 1 < block.height()) {
                let execution = state.advance(block.height() - 1).unwrap();
                self.due(execution.outcome());
                state.apply(execution).unwrap();
            }
            self.block(&mut state, block);
        }
    }

    /// What worlds rarely have: a resume that does all that a check does, and a change of the version of a plugin that
    /// is pending.
    fn stories(&mut self) {
        let gate = Stage { gate: Gate::Manual, ..stage(1_000, 1) };
        let gated =
            |terms| [register("p", "1.0.0"), register("p", "2.0.0"), deploy("p", "2.0.0", custom(&[gate]), terms)];
        let pending = || [register("q", "1.0.0"), register_on("p", "1.0.0", &[("q", "*")]), load("p")];
        self.story(&[&gated(Guardrails { auto_promote: false, ..EASY }), &[resume("p")]]);
        self.story(&[&pending(), &gated(EASY)[1..], &[resume("p")]]);
        self.story(&[&[register_on("d", "1.0.0", &[("p", "^1")])], &gated(EASY), &[load("d"), resume("p")]]);
        self.story(&[
            &gated(EASY)[..2],
            &[deploy("p", "2.0.0", concluding(&[gate]), Guardrails { auto_promote: false, ..EASY })],
            &[],
            &[resume("p")],
        ]);
        // A rollback for its health that opens the breaker.
        self.story(&[&[set_params(None, Some(1), Some(9))], &gated(EASY), &[attest("p", "2.0.0", false)]]);
        // Steps by hand: one that is held, one that reaches its target.
        let slow = Policy { step_min_operations: 1, ..Policy::default() };
        self.story(&[
            &[create_with("f", manual(FeatureChanges { policy: Some(slow), ..steps_every(1) }))],
            &[canary("f", 95), rollout("f", 100)],
            &[advance("f"), report("f", 1, 0)],
            &[advance("f")],
        ]);
        // A rollout whose prerequisite goes off.
        let above = Policy { prerequisites: vec![name("base")], ..Policy::default() };
        self.story(&[
            &[create("base"), create_with("f", FeatureChanges { policy: Some(above), ..steps_every(1) })],
            &[enable("base"), canary("f", 5), rollout("f", 100), disable("base")],
            &[],
        ]);
        // Two deadlines in a block that meets one of them.
        for late in [resume("p"), promote("p")] {
            let brief = Guardrails { max_blocks: NonZeroU32::new(6), ..EASY };
            let begin = |plugin: &str| {
                let plan = custom(&[stage(1_000, 5)]);
                [register(plugin, "1.0.0"), register(plugin, "2.0.0"), deploy(plugin, "2.0.0", plan, brief)]
            };
            self.story(&[
                &[[set_params(Some(1), None, None), pause("none"), pause("none")], begin("a"), begin("p")].concat(),
                &[pause("a"), pause("p")],
                &[],
                &[],
                &[],
                &[],
                &[late],
            ]);
        }
        self.story(&[&pending(), &[register("p", "2.0.0"), deploy_slowly("p", "2.0.0"), promote("p")]]);
        self.story(&[
            &[register("q", "1.0.0"), register("p", "1.0.0"), register_on("p", "2.0.0", &[("q", "*")])],
            &[deploy_slowly("p", "2.0.0"), promote("p"), load("p"), revert("p")],
        ]);
    }

    /// Commands by those who may send them, block by block.
    fn story(&mut self, blocks: &[&[Command]]) {
        let mut state = World::new().state;
        for (height, commands) in (1..).zip(blocks) {
            let payloads = commands.iter().map(|command| tx(sender(command.kind()), std::slice::from_ref(command)));
            self.block(&mut state, &Block::from_payloads(height, payloads.collect()).unwrap());
        }
    }
}

/// Worlds of each mix, and blocks of a world.
const WORLDS: u64 = 160;

const BLOCKS: usize = 30;

fn seen() -> &'static Seen {
    static SEEN: OnceLock<Seen> = OnceLock::new();
    SEEN.get_or_init(|| {
        let mut seen = Seen::default();
        for (mix, seed) in Mix::ALL.iter().flat_map(|mix| (0..WORLDS).map(|seed| (*mix, seed))) {
            seen.world(&RandomWorld::of_seed(mix, seed, BLOCKS));
        }
        println!("{} blocks", seen.blocks);
        seen.stories();
        seen
    })
}

/// Rejects that random worlds show and the document does not have.
pub(super) fn other_rejects(rules: &Rules) -> Vec<String> {
    let mut wrong = Vec::new();
    for kind in CommandKind::ALL {
        let document = &rules.section(*kind).rejects() | &rules.of_transactions();
        let seen = seen().rejects.get(kind.name()).into_iter().flatten();
        wrong.extend(seen.filter(|reject| !document.contains(reject)).map(|reject| format!("{kind} meets {reject}")));
    }
    wrong
}

/// Events that worlds show and the document does not have, and the other way round.
pub(super) fn wrong_events(rules: &Rules) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, document: &BTreeSet<&str>, seen: &BTreeSet<&str>| {
        if document != seen {
            wrong.push(format!("{what}: the document has {document:?}, the worlds have {seen:?}"));
        }
    };
    // No build knows other rules to change to.
    for kind in CommandKind::ALL.iter().filter(|kind| **kind != CommandKind::SetRules) {
        let document = rules.section(*kind).events.iter().map(String::as_str).collect();
        let emitted = seen().events.get(kind.name()).into_iter().flatten().copied().collect();
        check(kind.name(), &document, &emitted);
    }
    let table = rules.tables.iter().find(|table| table.heading == "Due work").unwrap();
    // A scheduled entry emits what its commands emit.
    let rows = table.rows.iter().filter(|row| row[0] != "scheduled entry");
    check("due work", &rows.flat_map(|row| row[4].split(", ")).collect(), &seen().due);
    wrong
}
