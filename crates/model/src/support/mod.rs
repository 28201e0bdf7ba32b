//! What tests, fuzz checks and benches share. It is no part of the model.

mod random;

pub use random::Random;
