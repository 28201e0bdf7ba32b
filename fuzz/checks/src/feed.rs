//! Any events of the stream, through the manager into a ledger: nothing panics, and the ledger takes all that comes out.

use std::sync::OnceLock;

use coalmine_core::{
    Address, Block, Command, Encode, FeedEntry, FeedKind, Genesis, Receipt, Role, State, Transaction, TxCommand,
};
use coalmine_feed::backoff::Delays;
use coalmine_feed::manager::{Action, Input, Manager};
use coalmine_feed::message::{Environment, Filter};
use coalmine_feed::secret::Salt;

const EVENTS: [&str; 5] = ["put", "patch", "delete", "reconnect", "other"];
const EVENTS_MAX: usize = 8;
const ADMIN: Address = Address([0x11; Address::LEN]);
const FEEDER: Address = Address([0x55; Address::LEN]);

/// Handles events that end with a zero byte each. The first byte of an event is its name, the rest its data.
pub fn feed(bytes: &[u8]) {
    let mut manager = Manager::new(Salt::new(*b"sixteen bytes....").unwrap(), Delays::default());
    let mut state = ledger().clone();
    for event in bytes.split(|byte| *byte == 0).take(EVENTS_MAX) {
        let [name, data @ ..] = event else { continue };
        let Ok(data) = str::from_utf8(data) else { continue };
        let input = Input::Event { name: EVENTS[usize::from(*name) % EVENTS.len()], data, retry_ms: None };
        for action in manager.handle(input, 0, u64::from(*name)) {
            match action {
                Action::Emit(commands) => receive(&mut state, commands),
                Action::Log(log) => assert!(log.text.chars().all(|c| !c.is_control()), "{log:?}"),
                Action::Reconnect(_) => {}
                Action::Stop => panic!("no event stops the stream"),
            }
        }
    }
}

fn ledger() -> &'static State {
    static LEDGER: OnceLock<State> = OnceLock::new();
    LEDGER.get_or_init(|| {
        let genesis = Genesis::new("feed", [(FEEDER, Role::Feeder.into()), (ADMIN, Role::Admin.into())]);
        State::genesis(&genesis.unwrap()).unwrap().0
    })
}

/// One message is one block.
fn receive(state: &mut State, commands: Vec<Command>) {
    let tx = |command: &Command| {
        let read = TxCommand::from_bytes(&command.to_bytes()).expect("what is emitted decodes");
        assert_eq!(read, TxCommand::Valid(command.clone()), "what is emitted obeys the rules");
        Transaction::new(FEEDER, vec![command.clone()]).unwrap()
    };
    let height = state.tip().map_or(1, |tip| tip + 1);
    let block = Block::new(height, commands.iter().map(tx).collect()).unwrap();
    let execution = state.execute(&block).unwrap();
    assert!(execution.outcome().receipts.iter().all(|receipt| *receipt == Receipt::Ok), "{:?}", execution.outcome());
    state.apply(execution).unwrap();
    for command in &commands {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a delete has no entry, and nothing else comes out")]
        match command {
            Command::FeedPut { environments, filters, .. } => {
                environments.iter().for_each(|entry| check(state, FeedKind::Environment, entry));
                filters.iter().for_each(|entry| check(state, FeedKind::Filter, entry));
            }
            Command::FeedPatch { kind, id, version, body } => {
                check(state, *kind, &FeedEntry { id: *id, version: *version, body: body.clone() });
            }
            _ => {}
        }
    }
}

/// The ledger has heard of the entry, and its body is one that can be read, in the one way that it is written.
fn check(state: &State, kind: FeedKind, entry: &FeedEntry) {
    let item = state.feed_item(kind, &entry.id).expect("the ledger knows what it was told");
    assert!(item.version >= entry.version, "{entry:?}");
    let body = entry.body.as_bytes();
    let again = match kind {
        FeedKind::Environment => serde_json::to_vec(&Environment::from_body(body).unwrap()),
        FeedKind::Filter => serde_json::to_vec(&Filter::from_body(body).unwrap()),
    };
    assert_eq!(again.unwrap(), body, "{entry:?}");
}
