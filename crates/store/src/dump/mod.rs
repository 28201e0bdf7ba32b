//! Binary dumps: all records of a state in key order, in chunks, behind a header that has their hashes.
//!
//! One form for backups, for the snapshots of a replicated log, and for state sync. The bytes are a function of the state
//! and its height alone, so every node writes the same ones, and a chunk of one node continues those of another. They are
//! described in FORMAT.md under "Dumps".
//!
//! ```
//! use coalmine_core::{Address, Decode, Encode, Genesis, Role};
//! use coalmine_store::dump::{Dump, Header, Restorer, read};
//! use coalmine_store::{Ledger, MemoryStore, Snapshots, Store};
//!
//! let genesis = Genesis::new("example-1", [(Address([0x11; 20]), Role::Admin.into())])?;
//! let ledger = Ledger::create(MemoryStore::new(), &genesis)?;
//!
//! // A file, from a snapshot, while blocks are committed.
//! let reader = ledger.store().reader();
//! let dump = Dump::new(reader.snapshot())?;
//! let mut file = Vec::new();
//! dump.write_to(&mut file)?;
//! let copy = read(file.as_slice())?.into_ledger(MemoryStore::new())?;
//! assert_eq!(copy.last_committed(), ledger.last_committed());
//!
//! // Chunk by chunk, from whoever has them.
//! let header = Header::from_bytes(&dump.header().to_bytes())?;
//! let mut restorer = Restorer::new(header)?;
//! while let Some(chunk) = restorer.next_chunk() {
//!     restorer.push(dump.chunk(chunk.index)?)?;
//! }
//! let restored = restorer.finish()?;
//! assert_eq!(restored.header().tip, ledger.last_committed());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A hash says that a chunk is the one that the header names. That the header is the right one says only the root in it:
//! compare [`Header::tip`] with one that you trust. Restoring takes the memory of the dump and of the state. Not here:
//! where dumps are kept, and how they travel.

mod error;
mod header;
mod restore;
mod write;

pub use error::{DumpError, Part};
pub use header::{CHUNK_SIZE_MAX, CHUNKS_MAX, Chunk, HEADER_SIZE_MAX, Header, MAGIC};
pub use restore::{NextChunk, Restored, Restorer, read};
pub use write::Dump;
