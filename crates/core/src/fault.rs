//! The store fails, or holds what cannot be.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::codec::DecodeError;

/// The node must stop: the store fails, or holds a record that does not decode.
#[derive(Debug)]
pub enum Fault {
    /// A record that does not decode, or contradicts its key or another record.
    Corrupt {
        /// The key of the record.
        key: Vec<u8>,
        /// What is wrong with it.
        cause: DecodeError,
    },
    /// The store fails.
    Store(Box<dyn core::error::Error + Send + Sync>),
}

impl Fault {
    /// A fault of the store.
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
