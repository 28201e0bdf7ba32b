//! Faults: the store failed, or contains records that no execution could have written.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::codec::DecodeError;

/// Why the node must stop: the store failed, or a record in it is corrupt. Never the result of a command.
#[derive(Debug)]
pub enum Fault {
    /// A record that does not decode, or contradicts its key or another record.
    Corrupt {
        /// The encoded key of the record.
        key: Vec<u8>,
        /// What is wrong with its value.
        cause: DecodeError,
    },
    /// The store itself reported an error.
    Store(Box<dyn core::error::Error + Send + Sync>),
}

impl Fault {
    /// Wraps an error of a store.
    pub fn store(error: impl core::error::Error + Send + Sync + 'static) -> Self {
        Self::Store(Box::new(error))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { key, cause } => {
                write!(
                    f,
                    "corrupt record under key {}: {cause}; restore the store from a backup or replay it",
                    hex::encode(key)
                )
            }
            Self::Store(error) => write!(f, "the store failed: {error}"),
        }
    }
}

impl core::error::Error for Fault {}
