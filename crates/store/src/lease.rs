//! One writer per store: a lease that a store handle takes when it is made and returns when it is dropped.
//!
//! RocksDB's own lock keeps other processes out. Inside one process several handles can share a
//! database, and two ledgers in one column family would overwrite each other's blocks, so a second
//! handle is refused.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A database, by its address, and a column family of it.
type Place = (usize, Arc<str>);

/// The places that are leased now.
static LEASED: Mutex<BTreeSet<Place>> = Mutex::new(BTreeSet::new());

/// A set is whole after each operation, so one behind a poisoned lock is too.
fn leased() -> MutexGuard<'static, BTreeSet<Place>> {
    LEASED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to write to one column family of a database.
///
/// It keeps the database alive, so no other database gets the same address while the lease is out.
#[derive(Debug)]
pub(crate) struct Lease<T> {
    database: Arc<T>,
    column: Arc<str>,
}

impl<T> Lease<T> {
    /// Takes the lease of a database that no other handle can know yet.
    pub(crate) fn of_new(database: &Arc<T>, column: &Arc<str>) -> Self {
        leased().insert((address(database), Arc::clone(column)));
        Self { database: Arc::clone(database), column: Arc::clone(column) }
    }

    /// Takes the lease, unless another handle has it.
    pub(crate) fn take(database: &Arc<T>, column: &Arc<str>) -> Option<Self> {
        let is_free = leased().insert((address(database), Arc::clone(column)));
        is_free.then(|| Self { database: Arc::clone(database), column: Arc::clone(column) })
    }
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        leased().remove(&(address(&self.database), Arc::clone(&self.column)));
    }
}

fn address<T>(database: &Arc<T>) -> usize {
    Arc::as_ptr(database).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_leased_once_until_the_lease_is_dropped() {
        let (one, other) = (Arc::new(1), Arc::new(1));
        let (flags, more): (Arc<str>, Arc<str>) = ("flags".into(), "more".into());
        let lease = Lease::of_new(&one, &flags);
        assert!(Lease::take(&one, &flags).is_none());
        assert!(Lease::take(&Arc::clone(&one), &"flags".into()).is_none());
        // A refusal takes nothing away, and other places are free.
        assert!(Lease::take(&one, &flags).is_none());
        let others = [Lease::take(&one, &more).unwrap(), Lease::take(&other, &flags).unwrap()];
        drop(lease);
        let again = Lease::take(&one, &flags).unwrap();
        assert_eq!(Arc::strong_count(&one), 3);
        drop((again, others));
        assert_eq!(Arc::strong_count(&one), 1);
    }
}
