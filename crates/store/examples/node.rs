//! A toy node: it executes and commits every block it makes, and the blocks after it use the result.
//!
//! Run it with `cargo run -p coalmine-store --example node`. The only lines about coalmine are in
//! `open`, in `produce`, which executes and commits, and in `transfer`, which asks.
#![allow(clippy::unwrap_used, reason = "a toy stops at its first error")]

use coalmine_core::{Address, Block, Command, Genesis, Height, Name, Percent, Role, Transaction, standard};
use coalmine_store::{Ledger, MemoryBatch, MemoryHandle, MemoryStore};

const ADMIN: Address = Address([0x11; 20]);

struct Node {
    /// The node's database. A real one would be RocksDB and hold the node's own data too.
    database: MemoryHandle,
    flags: Ledger<MemoryStore>,
    enhanced_audit_logging: Name,
}

impl Node {
    /// Opens the node on its database, at the last block that was committed there.
    fn open(database: MemoryHandle) -> Self {
        let genesis = Genesis::new("toy-1", [(ADMIN, Role::Admin.into())]).unwrap();
        let flags = Ledger::open_or_create(MemoryStore::with_handle(database.clone()).unwrap(), &genesis).unwrap();
        Self { database, flags, enhanced_audit_logging: standard::ENHANCED_AUDIT_LOGGING.parse().unwrap() }
    }

    /// The node's own transaction handler. It asks the state as of the block before, so every
    /// node of the network gets the same answer.
    fn transfer(&self, sender: &Address) -> &'static str {
        if self.flags.state().is_enabled(&self.enhanced_audit_logging, sender) { "full audit" } else { "audit" }
    }

    /// Makes one block: its transfers see the flags as they are, its commands change them.
    fn produce(&mut self, height: Height, senders: &[Address], commands: Vec<Command>) {
        let logged: Vec<_> = senders.iter().map(|sender| self.transfer(sender)).collect();
        let full = logged.iter().filter(|audit| **audit == "full audit").count();

        let txs = if commands.is_empty() { vec![] } else { vec![Transaction::new(ADMIN, commands).unwrap()] };
        let execution = self.flags.execute(&Block::new(height, txs).unwrap()).unwrap();
        let names: Vec<_> = execution.outcome().events.iter().map(|event| event.code().name()).collect();
        println!("block {height}: {full:>3} of {} transfers in the full audit  {}", senders.len(), names.join(", "));

        // The node's own changes would go into the same batch, so that both commit together.
        let mut batch = MemoryBatch::default();
        let staged = self.flags.stage(execution, &mut batch).unwrap();
        self.database.write(batch);
        self.flags.committed(staged).unwrap();
    }
}

fn main() {
    let database = MemoryHandle::default();
    let mut node = Node::open(database.clone());
    let name = node.enhanced_audit_logging;
    let senders: Vec<_> = (0..200).map(|byte| Address([byte; 20])).collect();

    let create = Command::create_feature(name, "audit every transfer in full").unwrap();
    let canary = Command::StartCanary { name, percent: Percent::new(standard::CANARY_PERCENT).unwrap() };
    node.produce(1, &senders, vec![create, canary]);
    node.produce(2, &senders, vec![]);
    node.produce(3, &senders, vec![Command::StartCanary { name, percent: Percent::new(50).unwrap() }]);

    // A restart goes on where the database is.
    drop(node);
    let mut node = Node::open(database);
    node.produce(4, &senders, vec![Command::Enable { name }]);
    node.produce(5, &senders, vec![Command::Disable { name }]);
    node.produce(6, &senders, vec![]);
    println!("{}", node.flags.last_committed());
}
