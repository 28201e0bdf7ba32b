//! Where blocks come from.

mod clock;
#[cfg(feature = "raft")]
pub mod raft;
mod solo;

pub use clock::{Clock, SystemClock};
pub use solo::{Solo, StartError};
