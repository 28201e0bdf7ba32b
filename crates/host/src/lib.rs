//! Plugin code that really runs, as the ledger says.
//!
//! The ledger decides which version of which plugin serves whom, in which order plugins load, and when a version goes. It
//! has only the hash of the code. Here is where a node gets the code from ([`code`]).

pub mod code;
