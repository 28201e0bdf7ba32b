//! What a store is: reads, one atomic commit per block, and snapshots for other threads.
//!
//! A store knows keys and values, not what they mean. It holds the state of exactly one tip.

use coalmine_core::Read;

use crate::error::StoreError;
use crate::tip::Tip;

/// The first and the end of the keys of the state. What a store keeps for itself lies outside.
pub(crate) const STATE: (&[u8], &[u8]) = (&[0xD0], &[0xE0]);

/// The state as of one tip.
pub trait View: Read {
    /// The tip; none when the store is empty.
    ///
    /// # Errors
    /// The store failed, or has another format.
    fn tip(&self) -> Result<Option<Tip>, StoreError>;
}

/// Takes snapshots, on any thread, while blocks are committed on another.
pub trait Snapshots: Clone + Send + Sync + 'static {
    /// The state as it was at one tip, whatever is committed meanwhile.
    type Snapshot<'a>: View
    where
        Self: 'a;

    /// The state as it is now.
    fn snapshot(&self) -> Self::Snapshot<'_>;
}

/// A store of one ledger.
pub trait Store: View {
    /// The handle for other threads.
    type Reader: Snapshots;

    /// A handle for other threads.
    fn reader(&self) -> Self::Reader;

    /// Writes the records of a block, and the tip, all or nothing. When it returns, they are as
    /// durable as the store was asked to make them. No key is given twice.
    ///
    /// # Errors
    /// The store failed. Whether the block is in it is known after reopening; until then every
    /// further commit is refused.
    fn commit<'w>(
        &mut self,
        tip: &Tip,
        writes: impl IntoIterator<Item = (&'w [u8], Option<&'w [u8]>)>,
    ) -> Result<(), StoreError>;
}
