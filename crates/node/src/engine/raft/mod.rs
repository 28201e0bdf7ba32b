//! The engine raft: several nodes with the same blocks, of which a minority may fail.
//!
//! The leader makes the blocks, on its clock, from what waits; the others hand on what was sent to them. A block is
//! acknowledged when a majority has it durably. While nothing happens, the height moves every ten seconds, since a height
//! that only one node knows must not be shown.

mod clock;
mod driver;
mod machine;
mod rows;

pub use driver::{RaftEngine, StartError};
pub use machine::{BlockMachine, RecordsSource};
pub use rows::RaftRows;
