//! Plugin code by its hash: the store, the folder that people drop files into, and where missing code is fetched from.
//!
//! The ledger names code by SHA-256 and nothing else does: whatever brings bytes here may be wrong, late or hostile, and
//! what is read back is hashed again, every time.

mod error;
#[cfg(feature = "fetch")]
mod fetch;
mod file;
mod incoming;
mod store;

pub use error::{CodeError, CodeProblem};
#[cfg(feature = "fetch")]
pub use fetch::{FetchLimits, MirrorError, Mirrors};
pub use incoming::{Found, Incoming};
pub use store::{CODE_SIZE_MAX, CodeStore};

use coalmine_core::Hash;
use sha2::{Digest, Sha256};

/// Where missing code is fetched from.
pub trait Source: Send + Sync {
    /// Fetches the code of a hash, at most so many bytes. Whoever asks checks the hash again.
    ///
    /// # Errors
    /// In words, what was tried and what came of it.
    fn fetch(&self, hash: &Hash, size_max: u64) -> Result<Vec<u8>, String>;
}

/// The name of code on the ledger: SHA-256 of its bytes.
#[must_use]
pub fn code_hash(code: &[u8]) -> Hash {
    Hash(Sha256::digest(code).into())
}
