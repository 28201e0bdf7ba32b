//! A toy node: every block it makes is executed, committed, and used by the blocks after it.
//!
//! Run it with `cargo run -p coalmine-store --example node`. The only lines about coalmine are in
//! `produce`: execute and commit; and in `transfer`: ask.
#![allow(clippy::unwrap_used, reason = "a toy stops at its first error")]

use coalmine_core::{Address, Block, Command, Genesis, Height, Name, Percent, Role, Transaction};
use coalmine_store::{Ledger, MemoryStore};

const ADMIN: Address = Address([0x11; 20]);

struct Node {
    flags: Ledger<MemoryStore>,
    cheap_fees: Name,
}

impl Node {
    /// The node's own transaction handler. It asks the state as of the block before, so every
    /// node of the network gets the same answer.
    fn transfer(&self, sender: &Address) -> &'static str {
        if self.flags.state().is_enabled(&self.cheap_fees, sender) { "new fees" } else { "old fees" }
    }

    /// Makes one block: its transfers see the flags as they are, its commands change them.
    fn produce(&mut self, height: Height, senders: &[Address], commands: Vec<Command>) {
        let charged: Vec<_> = senders.iter().map(|sender| self.transfer(sender)).collect();
        let new = charged.iter().filter(|fees| **fees == "new fees").count();

        let txs = if commands.is_empty() { vec![] } else { vec![Transaction::new(ADMIN, commands).unwrap()] };
        let execution = self.flags.execute(&Block::new(height, txs).unwrap()).unwrap();
        let names: Vec<_> = execution.outcome().events.iter().map(|event| event.code().name()).collect();
        println!("block {height}: {new:>3} of {} transfers at new fees  {}", senders.len(), names.join(", "));
        self.flags.commit(execution).unwrap();
    }
}

fn main() {
    let genesis = Genesis::new("toy-1", [(ADMIN, Role::Admin.into())]).unwrap();
    let flags = Ledger::create(MemoryStore::new(), &genesis).unwrap();
    let name: Name = "cheap_fees".parse().unwrap();
    let mut node = Node { flags, cheap_fees: name };
    let senders: Vec<_> = (0..200).map(|byte| Address([byte; 20])).collect();

    let create = Command::create_feature(name, "fees after the new schedule").unwrap();
    let canary = Command::StartCanary { name, percent: Percent::new(5).unwrap() };
    node.produce(1, &senders, vec![create, canary]);
    node.produce(2, &senders, vec![]);
    node.produce(3, &senders, vec![Command::StartCanary { name, percent: Percent::new(50).unwrap() }]);
    node.produce(4, &senders, vec![Command::Enable { name }]);
    node.produce(5, &senders, vec![Command::Disable { name }]);
    node.produce(6, &senders, vec![]);
    println!("{}", node.flags.last_committed());
}
