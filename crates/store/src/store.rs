//! What a store is: reads, one atomic commit per block, and snapshots for other threads.
//!
//! A store knows keys and values, not their meaning. It holds the state of exactly one tip.

use coalmine_core::Read;

use crate::error::StoreError;
use crate::tip::Tip;

/// A record to write: its key and its new value, or no value to delete it.
pub type Write<'w> = (&'w [u8], Option<&'w [u8]>);

/// The state as of one tip.
pub trait View: Read {
    /// Returns the tip, or `None` for an empty store.
    ///
    /// # Errors
    /// The store failed, or has another format.
    fn tip(&self) -> Result<Option<Tip>, StoreError>;
}

impl<V: View + ?Sized> View for &V {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        (**self).tip()
    }
}

/// Takes snapshots, on any thread, while blocks are committed on another.
pub trait Snapshots: Clone + Send + Sync + 'static {
    /// The state as it was at one tip, whatever is committed in the meantime.
    type Snapshot<'a>: View
    where
        Self: 'a;

    /// Takes a snapshot of the state as it is now.
    fn snapshot(&self) -> Self::Snapshot<'_>;
}

/// A store of one ledger.
///
/// It is the only writer of its records: a type whose handles can share a store refuses a second
/// handle while the first exists. Other threads read through [`Store::reader`].
pub trait Store: View {
    /// The handle for other threads.
    type Reader: Snapshots;

    /// Returns a handle for other threads.
    fn reader(&self) -> Self::Reader;

    /// Says where the store is, as its errors do.
    fn place(&self) -> String;

    /// Writes the records of a block and its tip, all or nothing, on top of the tip `base` (`None`
    /// for an empty store). When it returns, they are as durable as the store was asked to make
    /// them. No key occurs twice.
    ///
    /// # Errors
    /// [`Problem::Moved`](crate::Problem::Moved) if the store is not at `base`; then nothing is
    /// written. After any other error only reopening shows whether the block is in the store, and
    /// until then every further commit is refused.
    fn commit<'w>(
        &mut self,
        base: Option<&Tip>,
        tip: &Tip,
        writes: impl IntoIterator<Item = Write<'w>>,
    ) -> Result<(), StoreError>;
}

/// A store that can put a block into a batch of its host, which writes it together with data of its own.
pub trait Staging: Store {
    /// The host's batch. It is written whole or not at all.
    type Batch;

    /// Puts the records of a block and its tip into a batch, to be written on top of the tip `base`.
    ///
    /// # Errors
    /// As for [`Store::commit`]; the batch is left as it was.
    fn stage<'w>(
        &mut self,
        base: Option<&Tip>,
        tip: &Tip,
        writes: impl IntoIterator<Item = Write<'w>>,
        batch: &mut Self::Batch,
    ) -> Result<(), StoreError>;
}
