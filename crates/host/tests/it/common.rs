//! A ledger in memory, hosts that follow it, and a reporter whose commands go into the next block.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coalmine_core::{
    Address, Block, ChainId, Command, Event, Genesis, Hash, Name, Outcome, Params, Receipt, Role, Roles, RuleSet,
    State, Transaction,
};
use coalmine_host::{Host, HostEvent, HostOptions, NotTaken, Outbox, Response, Runtime};
use coalmine_json::{read_commands, write_command};
use tokio::sync::broadcast::Receiver;

pub(crate) const ADMIN: Address = Address([0xad; 20]);

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The address of the reporter of a host.
pub(crate) fn reporter(number: u8) -> Address {
    Address([number + 1; 20])
}

/// A ledger. Blocks execute at once.
pub(crate) struct Ledger {
    pub(crate) state: State,
}

impl Ledger {
    pub(crate) fn new(params: Params) -> Self {
        let admin: Roles = Role::Admin.into();
        let reporters = (0..5).map(|number| (reporter(number), Role::Reporter.into()));
        let genesis = Genesis::with_params(
            RuleSet::LATEST,
            ChainId::new(b"host").unwrap(),
            reporters.chain([(ADMIN, admin)]).collect(),
            params,
        )
        .unwrap();
        Self { state: State::genesis(&genesis).unwrap().0 }
    }

    pub(crate) fn height(&self) -> u32 {
        self.state.tip().unwrap_or_default()
    }

    /// Executes a block of commands, each in a transaction of its own.
    pub(crate) fn block(&mut self, commands: Vec<(Address, Command)>) -> Outcome {
        let transaction = |(signer, command)| Transaction::new(signer, vec![command]).unwrap();
        let block = Block::new(self.height() + 1, commands.into_iter().map(transaction).collect()).unwrap();
        let execution = self.state.execute(&block).unwrap();
        let outcome = execution.outcome().clone();
        self.state.apply(execution).unwrap();
        outcome
    }
}

/// Keeps what a host says until it goes into a block.
#[derive(Default)]
pub(crate) struct Tray {
    reporter: Address,
    /// How many more commands are taken; `None`: all.
    room: Mutex<Option<usize>>,
    commands: Mutex<Vec<Command>>,
}

impl Tray {
    pub(crate) fn set_room(&self, room: Option<usize>) {
        *self.room.lock().unwrap() = room;
    }

    pub(crate) fn commands(&self) -> Vec<Command> {
        self.commands.lock().unwrap().clone()
    }

    pub(crate) fn empty(&self) -> Vec<Command> {
        std::mem::take(&mut *self.commands.lock().unwrap())
    }
}

impl Outbox for Tray {
    fn take(&self, command: Command) -> Result<(), NotTaken> {
        let mut room = self.room.lock().unwrap();
        match &mut *room {
            Some(0) => return Err(NotTaken),
            Some(left) => *left -= 1,
            None => {}
        }
        self.commands.lock().unwrap().push(command);
        Ok(())
    }

    fn reporter(&self) -> Option<Address> {
        Some(self.reporter)
    }
}

/// A node: a host, its outbox, and a listener.
pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) tray: Arc<Tray>,
    events: Receiver<HostEvent>,
}

impl Node {
    pub(crate) fn start(
        number: u8,
        runtime: Arc<dyn Runtime>,
        folder: &Path,
        set: impl FnOnce(&mut HostOptions),
    ) -> Self {
        let tray = Arc::new(Tray { reporter: reporter(number), ..Tray::default() });
        let mut options = HostOptions::new(folder);
        options.outbox = Arc::<Tray>::clone(&tray);
        options.threads = 2;
        set(&mut options);
        let host = Host::start(runtime, options).unwrap();
        let events = host.subscribe();
        Self { host, tray, events }
    }

    pub(crate) fn settle(&self) {
        assert!(self.host.settle(Duration::from_secs(120)), "jobs hang");
    }

    /// What has happened since, a line each.
    pub(crate) fn events(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(HostEvent { kind, version, hash: _, detail }) = self.events.try_recv() {
            let version = version.map(|(plugin, version)| format!(" {plugin} {version}")).unwrap_or_default();
            let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
            lines.push(format!("{}{version}{detail}", kind.name()));
        }
        lines
    }
}

/// A ledger and one node that follows it.
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) node: Node,
    #[cfg_attr(not(feature = "wasm"), expect(dead_code, reason = "tests of components start other nodes on it"))]
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    #[cfg(feature = "wasm")]
    pub(crate) fn new(runtime: Arc<dyn Runtime>, limits: coalmine_host::Limits) -> Self {
        Self::with(runtime, |options| options.limits = limits)
    }

    pub(crate) fn with(runtime: Arc<dyn Runtime>, set: impl FnOnce(&mut HostOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::start(0, runtime, folder.path(), set);
        Self { ledger: Ledger::new(Params::default()), node, folder }
    }

    /// A block of what the admin sends, in JSON, behind what the host has said; then the host follows. Returns the events
    /// of the ledger, a name each, after rejects of the admin's commands have failed the test.
    pub(crate) fn block(&mut self, commands: &str) -> Vec<Event> {
        let said = self.node.tray.empty().into_iter().map(|command| (reporter(0), command));
        let sent = read_commands(commands).unwrap().into_iter().map(|command| (ADMIN, command));
        let all: Vec<(Address, Command)> = said.chain(sent).collect();
        let shown: Vec<String> = all.iter().map(|(_, command)| write_command(command).unwrap()).collect();
        let outcome = self.ledger.block(all);
        for (receipt, command) in outcome.receipts.iter().zip(shown) {
            assert_eq!(*receipt, Receipt::Ok, "{command}");
        }
        self.node.host.sync(&self.ledger.state);
        self.node.settle();
        outcome.events
    }

    /// Registers a version of code that the store has.
    pub(crate) fn register(&mut self, plugin: &str, version: &str, code: &[u8], rest: &str) -> Hash {
        let hash = self.node.host.put(code).unwrap();
        let op = format!(
            r#"{{"op":"register_version","plugin":"{plugin}","version":"{version}","code_hash":"{hash}"{rest}}}"#
        );
        self.block(&op);
        hash
    }

    /// Loads a plugin, until the ledger says so.
    pub(crate) fn load(&mut self, plugin: &str) {
        self.block(&format!(r#"{{"op":"load","plugin":"{plugin}"}}"#));
        self.block("");
    }

    pub(crate) fn handle(&self, plugin: &str, request: &str) -> Response {
        self.node.host.handle(&name(plugin), b"unit", request.as_bytes())
    }
}

/// What came of a request, in a word or two.
pub(crate) fn outcome(response: &Response) -> String {
    use coalmine_host::CallError;
    match &response.outcome {
        Ok(answer) => String::from_utf8_lossy(answer).into_owned(),
        Err(CallError::Version(error)) => error.kind.name().to_owned(),
        Err(CallError::Refused(message)) => format!("refused: {message}"),
        Err(error) => error.to_string(),
    }
}
