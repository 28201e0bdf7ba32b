//! openraft's own suite, on the log and the state machine of the node.

use std::sync::Arc;

use coalmine_node::database::{Database, LedgerStore};
use coalmine_node::engine::raft::{BlockMachine, RaftRows};
use coalmine_node::testing::genesis;
use coalmine_node::{Chain, Options};
use coalmine_raft::openraft::StorageError;
use coalmine_raft::openraft::testing::{StoreBuilder, Suite};
use coalmine_raft::{LogStore, NodeId, StateMachine, TypeConfig};

/// Makes a new database, and what has to live as long as it.
struct Builder<F>(F);

type Log = LogStore<RaftRows>;
type Machine = StateMachine<BlockMachine>;

impl<G: Send + Sync, F: Fn() -> (G, (Database, LedgerStore)) + Send + Sync> StoreBuilder<TypeConfig, Log, Machine, G>
    for Builder<F>
{
    async fn build(&self) -> Result<(G, Log, Machine), StorageError<NodeId>> {
        let (guard, database) = (self.0)();
        let rows = RaftRows(database.0.clone());
        let chain = Chain::open(database, &genesis(), Options::default()).unwrap();
        let machine = StateMachine::open(BlockMachine::new(chain), None).unwrap();
        Ok((guard, LogStore::new(Arc::new(rows)), machine))
    }
}

#[test]
fn openrafts_suite_in_memory() {
    Suite::test_all(Builder(|| ((), Database::memory()))).unwrap();
}

#[cfg(feature = "rocksdb")]
#[test]
fn openrafts_suite_on_disk() {
    Suite::test_all(Builder(|| {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("data")).unwrap();
        (folder, database)
    }))
    .unwrap();
}
