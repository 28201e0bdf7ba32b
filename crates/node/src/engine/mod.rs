//! Where blocks come from.

mod clock;
mod solo;

pub use clock::{Clock, SystemClock};
pub use solo::{Solo, StartError};
