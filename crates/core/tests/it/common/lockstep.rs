//! The state machine beside the plain model: what a block makes of both must be the same.

use std::collections::{BTreeMap, BTreeSet};

use coalmine_core::{Block, Execution, Genesis, Outcome, State, WriteSet};
use coalmine_model::{Model, Planted};

use super::Records;

/// The state machine, its records, and the model, after the same blocks.
#[derive(Debug, Clone)]
pub(crate) struct Lockstep {
    pub(crate) state: State,
    pub(crate) records: Records,
    pub(crate) model: Model,
}

/// What a block makes of both.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) execution: Execution,
    pub(crate) records: Records,
    model: Model,
}

impl Agreed {
    pub(crate) fn outcome(&self) -> &Outcome {
        self.execution.outcome()
    }
}

impl Lockstep {
    /// Both before the first block; the model may have a fault.
    pub(crate) fn genesis(genesis: &Genesis, planted: Option<Planted>) -> Self {
        let (state, writes) = State::genesis(genesis).unwrap();
        let mut records = Records::default();
        records.write(&writes);
        let both = Self { state, records, model: Model::planted(genesis, planted) };
        assert_eq!(both.state.root(), both.model.root(), "root of the genesis");
        assert_eq!(both.records.0, both.model.entries(), "records of the genesis");
        both
    }

    /// Executes a block on both; nothing is committed.
    ///
    /// # Errors
    /// What they do not agree on.
    pub(crate) fn execute(&self, block: &Block) -> Result<Agreed, String> {
        self.compare(self.state.execute(block).unwrap(), block)
    }

    /// The same with the execution of the state machine at hand.
    pub(crate) fn compare(&self, execution: Execution, block: &Block) -> Result<Agreed, String> {
        let mut model = self.model.clone();
        let outcome = model.execute(block).unwrap();
        if *execution.outcome() != outcome {
            return Err(format!("outcomes differ:\n core {:?}\nmodel {outcome:?}", execution.outcome()));
        }
        let mut records = self.records.clone();
        records.write(execution.writes());
        let want = model.entries();
        if records.0 != want {
            return Err(format!("records differ:{}", differences(&records.0, &want)));
        }
        // The root follows from the records, so it is the model's only where they have changed.
        let root = if records == self.records { self.state.root() } else { coalmine_model::root(&want) };
        if execution.root() != root {
            return Err(format!("roots differ:\n core {}\nmodel {root}", execution.root()));
        }
        Ok(Agreed { execution, records, model })
    }

    pub(crate) fn commit(&mut self, agreed: Agreed) {
        let Agreed { execution, records, model } = agreed;
        let root = execution.root();
        self.state.apply(execution).unwrap();
        (self.records, self.model) = (records, model);
        assert_eq!((self.state.root(), self.state.tip()), (root, self.model.tip()), "root and tip after commit");
    }

    /// The state that its records make.
    pub(crate) fn reloaded(&self) -> State {
        let state = self.records.load(self.state.tip()).unwrap();
        assert_eq!((state.root(), state.tip()), (self.state.root(), self.state.tip()), "reloaded");
        state
    }
}

impl Records {
    pub(crate) fn write(&mut self, writes: &WriteSet) {
        for (key, value) in writes.iter() {
            match value {
                Some(value) => drop(self.0.insert(key.into(), value.into())),
                None => assert!(self.0.remove(key).is_some(), "deletes {key:02x?}, which is not there"),
            }
        }
    }
}

fn differences(got: &BTreeMap<Vec<u8>, Vec<u8>>, want: &BTreeMap<Vec<u8>, Vec<u8>>) -> String {
    let keys: BTreeSet<_> = got.keys().chain(want.keys()).filter(|key| got.get(*key) != want.get(*key)).collect();
    let line = |key: &Vec<u8>| {
        let of = |map: &BTreeMap<Vec<u8>, Vec<u8>>| map.get(key).map_or("nothing".into(), hex::encode);
        format!("\n  key {}\n core {}\nmodel {}", hex::encode(key), of(got), of(want))
    };
    keys.into_iter().map(line).collect()
}
