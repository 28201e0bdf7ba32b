//! A run of a block file in memory that keeps what came of it.

use std::collections::BTreeMap;
use std::path::Path;

use coalmine_core::{Execution, Outcome};
use coalmine_replay::error::Error;
use coalmine_replay::runner::{self, BlockSource, Failure, Goal, Observer};
use coalmine_store::{Ledger, MemoryStore};

/// What came of the heights that were executed, and the expectations that failed.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) outcomes: BTreeMap<u32, Outcome>,
    pub(crate) failures: Vec<Failure>,
}

impl Observer for Watch {
    fn executed(&mut self, _goal: Goal<'_>, execution: &Execution) -> Result<(), Error> {
        self.outcomes.insert(execution.height(), execution.outcome().clone());
        Ok(())
    }

    fn failed(&mut self, failure: Failure) {
        self.failures.push(failure);
    }
}

pub(crate) fn run(file: &Path) -> (Ledger<MemoryStore>, Watch) {
    let mut blocks = BlockSource::open(vec![file.into()]).unwrap();
    let mut ledger = Ledger::create(MemoryStore::new(), blocks.genesis()).unwrap();
    let mut watch = Watch::default();
    runner::run(&mut ledger, &mut blocks, None, &mut watch).unwrap_or_else(|error| panic!("{error}"));
    (ledger, watch)
}
