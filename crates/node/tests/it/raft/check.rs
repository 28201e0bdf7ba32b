//! What clients do, and what must be true of what they were told.

use std::collections::BTreeMap;
use std::time::Duration;

use coalmine_core::{Command, Encode as _, Hash, Height, Name, Sequence, Transaction};
use coalmine_node::testing::{address, key};
use coalmine_node::{Node, Submitted, TxRecord, TxState};
use coalmine_raft::NodeId;
use tokio::time::sleep;

use super::world::World;

/// An acknowledgement: what a client was told by a node.
#[derive(Debug, Clone)]
pub(super) struct Ack {
    pub(super) by: NodeId,
    pub(super) id: Hash,
    pub(super) name: Name,
    pub(super) height: Height,
    pub(super) code: u16,
}

/// The envelope that creates a feature.
pub(super) fn create(node: &Node, signer: u8, sequence: u64, name: &Name) -> Vec<u8> {
    let commands = vec![Command::create_feature(*name, "").unwrap()];
    let tx = Transaction::new(address(&key(signer)), commands).unwrap();
    let tx = tx.with_sequence(Sequence { number: sequence, valid_until: None });
    coalmine_auth::Envelope::sign(node.domain(), &tx, &key(signer)).unwrap().to_bytes()
}

/// Gives an envelope to a node, and waits a while for the acknowledgement.
pub(super) async fn send(by: NodeId, node: &Node, envelope: &[u8], name: &Name, within: Duration) -> Option<Ack> {
    let told =
        |record: TxRecord| Ack { by, id: record.id, name: *name, height: record.height, code: record.receipt.code() };
    match node.submit(envelope) {
        Ok(Submitted::Committed(record)) => Some(told(record)),
        Ok(Submitted::Pending(id)) => node.settled(id, within).await.ok().map(told),
        Err(_) => None,
    }
}

/// Waits until all nodes are up, have one leader, and are at the same entry.
pub(super) async fn settle(world: &World) -> Result<(), String> {
    let mut seen = String::new();
    for _ in 0..1_200 {
        sleep(Duration::from_millis(100)).await;
        let tips: Vec<_> = world.up.values().map(|running| running.node.tip()).collect();
        let applied: Vec<_> = world.up.values().map(|running| running.cluster.status().applied).collect();
        let waiting: usize = world.up.values().map(|running| running.node.pending()).sum();
        let dead: Vec<_> = world.up.iter().filter(|(_, running)| running.task.is_finished()).collect();
        if let Some((id, running)) = dead.first() {
            return Err(format!("node {id} has died: {:?}", running.node.health().reasons));
        }
        if waiting == 0
            && applied.windows(2).all(|pair| pair[0] == pair[1])
            && tips.windows(2).all(|pair| pair[0] == pair[1])
            && applied[0].is_some()
        {
            return Ok(());
        }
        seen = format!("tips {tips:?}, applied {applied:?}, {waiting} wait");
    }
    Err(format!("the nodes do not come together: {seen}"))
}

/// Checks all acknowledgements against all nodes: nothing lost, nothing twice, the same root everywhere.
pub(super) fn check(world: &World, acks: &[Ack]) -> Result<(), String> {
    let mut tips = world.up.iter().map(|(id, running)| (id, running.node.tip()));
    let (first, tip) = tips.next().ok_or("no node is up")?;
    if let Some((id, other)) = tips.find(|(_, other)| *other != tip) {
        return Err(format!("node {first} is at {tip}, node {id} at {other}"));
    }
    for (id, running) in &world.up {
        let node = &running.node;
        let mut executed: BTreeMap<Hash, Vec<Height>> = BTreeMap::new();
        for record in node.outcomes(0, usize::MAX).unwrap() {
            for tx in record.txs.iter().filter(|tx| tx.receipt.code() == 0) {
                executed.entry(tx.id).or_default().push(record.height);
            }
        }
        if let Some((tx, heights)) = executed.iter().find(|(_, heights)| heights.len() > 1) {
            return Err(format!("node {id} has executed {tx} at {heights:?}"));
        }
        for ack in acks {
            let Ack { by, id: tx, name, height, code } = ack;
            if *code != 0 {
                return Err(format!("node {by} has told of receipt {code} for {name}, which was good"));
            }
            if !node.read(|state| state.feature(name).is_some()) {
                return Err(format!("node {by} has acknowledged {name} at {height}, node {id} does not have it"));
            }
            // What came by a snapshot is in the state, and not in the history.
            if *height < node.oldest_outcome() {
                continue;
            }
            let found = node.transaction(tx).unwrap();
            let is_so = matches!(&found, TxState::Committed(record)
                if record.height == *height && record.receipt.code() == *code);
            if !is_so {
                return Err(format!("node {by} has told of {ack:?}, node {id} says {found:?}"));
            }
        }
    }
    Ok(())
}
