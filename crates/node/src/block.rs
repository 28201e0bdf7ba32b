//! From envelopes to what core executes: every one is verified again, whoever put it into the block.

use std::num::NonZeroUsize;
use std::thread;

use coalmine_auth::{Domain, Envelope};
use coalmine_core::{Block, Decode as _, Height, LimitError};

/// Fewer envelopes than this are not worth a second thread.
const PER_THREAD_MIN: usize = 64;

/// The block that core executes for envelopes: the transaction of each that is well-formed and signed for this ledger.
///
/// For any other one there are no bytes at all, which are malformed by any rules; its own bytes might be those of a
/// transaction that nobody has signed.
///
/// # Errors
/// More than a block takes.
pub(crate) fn to_execute<E: AsRef<[u8]> + Sync>(
    domain: &Domain,
    height: Height,
    envelopes: &[E],
) -> Result<Block, LimitError> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = envelopes.len().div_ceil(threads.max(1)).max(PER_THREAD_MIN);
    let transactions: Vec<Vec<u8>> = if envelopes.len() <= share {
        envelopes.iter().map(|envelope| verified(domain, envelope.as_ref())).collect()
    } else {
        thread::scope(|scope| {
            let work =
                |part: &'_ [E]| part.iter().map(|envelope| verified(domain, envelope.as_ref())).collect::<Vec<_>>();
            let parts: Vec<_> = envelopes.chunks(share).map(|part| (part, scope.spawn(move || work(part)))).collect();
            // A thread that died has answered nothing: its part is done again here.
            parts.into_iter().flat_map(|(part, thread)| thread.join().unwrap_or_else(|_| work(part))).collect()
        })
    };
    Block::from_encoded(height, transactions)
}

/// The transaction of an envelope; empty if it does not count.
fn verified(domain: &Domain, envelope: &[u8]) -> Vec<u8> {
    let Ok(envelope) = Envelope::from_bytes(envelope) else { return Vec::new() };
    if envelope.verify(domain).is_ok() { envelope.transaction().to_vec() } else { Vec::new() }
}
