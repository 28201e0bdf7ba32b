//! Atomic, durable block commits for coalmine: a [`Ledger`] on a [`Store`], in memory or on RocksDB.
//!
//! A node executes each block, commits it, and queries the state as of the last block:
//!
//! ```
//! use coalmine_core::{Address, Block, Command, Genesis, Name, Role, Transaction};
//! use coalmine_store::{Ledger, MemoryStore};
//!
//! let admin = Address([0x11; 20]);
//! let genesis = Genesis::new("example-1", [(admin, Role::Admin.into())])?;
//! let mut ledger = Ledger::create(MemoryStore::new(), &genesis)?;
//!
//! let name: Name = "cheap_fees".parse()?;
//! let commands = vec![Command::create_feature(name, "new fees")?, Command::Enable { name }];
//! let block = Block::new(1, vec![Transaction::new(admin, commands)?])?;
//! let execution = ledger.execute(&block)?;
//! ledger.commit(execution)?;
//! assert!(ledger.state().is_enabled(&name, &Address([0xee; 20])));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * With the cargo feature `rocksdb`, `RocksStore` replaces [`MemoryStore`]: in a folder of its own,
//!   or in a column family of the host's database.
//! * [`Ledger::stage`] puts a block into the host's own batch, so that the host's data and the flags
//!   commit together.
//! * Queries run while blocks are committed: [`Store::reader`] returns a handle for other threads,
//!   and each of its snapshots is the state after one block. `coalmine_core::query` reads from it.
//! * A host with a log of its own replays the blocks after [`Ledger::last_committed`].
//! * [`verify`] reads a store from end to end and recomputes its root.
//! * [`dump`] writes a state as a file or in chunks, the same bytes on every node, and restores it.
//! * A store of your own implements [`Store`] and passes the suite in the module `conformance`, which
//!   the cargo feature of that name enables.
//!
//! An error says where it happened, what is wrong and what to do. This crate has no cache, keeps no
//! tree on disk, and does not know what a record means: that is `coalmine-core`.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests"))]

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod dump;
mod error;
mod lease;
mod ledger;
#[cfg(feature = "rocksdb")]
mod log_check;
mod memory;
#[cfg(feature = "rocksdb")]
mod rocks;
mod store;
mod tip;
#[cfg(feature = "rocksdb")]
mod tip_file;

pub use error::{Problem, StoreError};
pub use ledger::{AdvanceError, CommitError, Ledger, OpenError, Replacement, Staged, Verified, check_rules, verify};
pub use memory::{MemoryBatch, MemoryHandle, MemoryReader, MemorySnapshot, MemoryStore};
#[cfg(feature = "rocksdb")]
pub use rocks::{COLUMN, Columns, Durability, RocksReader, RocksSnapshot, RocksStore};
pub use store::{Snapshots, Staging, Store, View, Write};
pub use tip::{STORE_FORMAT, TIP_KEY, Tip, TipError};

/// HOST.md, whose code is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../HOST.md")]
struct HostMd;
