//! A ledger whose store fails: nothing is applied, and nothing more is committed.

use crate::common::{FIRST, blocks, genesis};
use coalmine_core::query::Visit;
use coalmine_core::{Block, Fault, Read};
use coalmine_store::{
    AdvanceError, CommitError, Ledger, MemoryReader, MemoryStore, OpenError, Problem, Store, StoreError, Tip, View,
    Write,
};

/// A store whose commits fail from some call on.
#[derive(Debug)]
struct Failing {
    store: MemoryStore,
    commits_left: usize,
}

impl Read for Failing {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.store.get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.store.scan(start, end, visit)
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Fault> {
        self.store.last(start, end)
    }
}

impl View for Failing {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        self.store.tip()
    }
}

impl Store for Failing {
    type Reader = MemoryReader;

    fn reader(&self) -> MemoryReader {
        self.store.reader()
    }

    fn place(&self) -> String {
        "here".into()
    }

    fn commit<'w>(
        &mut self,
        base: Option<&Tip>,
        tip: &Tip,
        writes: impl IntoIterator<Item = Write<'w>>,
    ) -> Result<(), StoreError> {
        match self.commits_left.checked_sub(1) {
            Some(left) => self.commits_left = left,
            None => return Err(StoreError::new(self.place(), Problem::Other("it broke".into()))),
        }
        self.store.commit(base, tip, writes)
    }
}

#[test]
fn after_a_failed_commit_the_ledger_refuses_every_further_one() {
    let fresh = |commits_left| Failing { store: MemoryStore::new(), commits_left };
    let error = Ledger::create(fresh(0), &genesis()).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Store(_)), "{error}");
    assert_eq!(error.to_string(), "here: it broke");

    let mut ledger = Ledger::create(fresh(2), &genesis()).unwrap();
    let blocks = blocks();
    let first = ledger.execute(&blocks[0]).unwrap();
    ledger.commit(first).unwrap();
    let at = ledger.last_committed();
    let second = ledger.execute(&blocks[1]).unwrap();
    assert!(matches!(ledger.commit(second.clone()), Err(CommitError::Store(_))));
    let error = ledger.commit(second).unwrap_err();
    assert!(matches!(error, CommitError::Failed), "{error}");
    assert!(error.to_string().contains("reopen"));
    let advanced = ledger.advance_to(FIRST + 9, |_| ());
    assert!(matches!(advanced, Err(AdvanceError::Commit(CommitError::Failed))));
    assert_eq!(ledger.last_committed(), at);

    let mut reopened = Ledger::open_at(Failing { commits_left: 9, ..ledger.into_store() }, at).unwrap();
    let next = reopened.execute(&Block::empty(FIRST + 1)).unwrap();
    reopened.commit(next).unwrap();
}
