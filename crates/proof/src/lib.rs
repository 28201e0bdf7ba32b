//! Proofs of coalmine's answers and records under a state root, and their verification without a store.
//!
//! A light client knows the root of a state from somebody it trusts, such as the header of a block,
//! and gets the rest from anybody. A [`Bundle`] answers one question: is a feature on for a user,
//! which version of a plugin serves a unit, or what is the record under a key.
//!
//! ```
//! use coalmine_core::{Address, Hash, Name};
//! use coalmine_proof::Bundle;
//!
//! # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/proofs/is-enabled.json");
//! # let bytes = std::fs::read(file)?;
//! let root: Hash = "f4fd3617def9d83b817028164111f61bd5c72d54c80444961a3310a9316e58c6".parse()?;
//! let feature: Name = "checkout_v2".parse()?;
//! let user: Address = "0x000000000000000000000000000000000000000a".parse()?;
//! let bundle = Bundle::from_json(&bytes)?;
//! assert!(bundle.is_enabled(&root, &feature, &user)?.on);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A node makes the bundle from its state and its store:
//!
//! ```
//! use coalmine_core::{Address, Genesis, Role};
//! use coalmine_proof::{Bundle, Claim};
//! use coalmine_store::{Ledger, MemoryStore};
//!
//! let genesis = Genesis::new("example-1", [(Address([0x11; 20]), Role::Admin.into())])?;
//! let ledger = Ledger::create(MemoryStore::new(), &genesis)?;
//! let claim = Claim::Feature("vita_recovery_v2".parse()?);
//! let bundle = Bundle::prove(claim.clone(), ledger.state(), ledger.store())?;
//! let key = claim.key().ok_or("an answer takes several records")?;
//! assert_eq!(bundle.record(&ledger.state().root(), &key)?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A client relies on the root and on the question that it asks itself. A bundle that does not prove
//! the answer to this question under this root is an error; an error is never "off" or "not there".
//! The height in a bundle is the word of the prover. An answer is as old as its root, and a client
//! that wants a newer one needs a newer root.
//!
//! # Proofs of single keys
//!
//! [`prove`] and [`verify`] are what bundles are made of. A proof is an ICS-23 `CommitmentProof` in
//! protobuf, and [`spec`] is the one that the `jmt` crate publishes, so that light clients which know
//! Jellyfish Merkle Trees can verify it. [`verify`] needs the root, the key and the proof.
//!
//! Invariant: [`verify`] takes a proof that comes out of here and nothing that differs from it in
//! any byte, and no bytes make it panic. It leaves hashing and the rules of neighbours to the
//! `ics23` crate, after checks that are narrower than that crate's: canonical protobuf only, one of
//! two kinds of proof, leaf and inner operations exactly as the tree has them.
//!
//! One thing differs from plain ICS-23: that standard does not know empty values, and coalmine has
//! keys with nothing to say but that they are there. Their proofs look like all others and are
//! sound, but a standard client refuses them, as it does a proof of absence with such a key for a
//! neighbour. [`verify`] takes them.
//!
//! # Where it runs
//!
//! The crate needs `alloc` and no `std`, links no hash function but SHA-256, and compiles no C. It
//! builds for `wasm32-unknown-unknown`. The cargo feature `json`, which is on by default, is the file
//! form of bundles; without it a client brings an encoding of its own for the public fields of
//! [`Bundle`].
//!
//! Rules are not here: an answer is evaluated by `coalmine_core::query` from proven records, as it is
//! from a store. Getting a trusted root is not here either.
#![no_std]

extern crate alloc;

mod bundle;
mod claim;
#[cfg(feature = "json")]
mod json;
mod proof;
mod sha256;

pub use bundle::{Bundle, BundleError, KeyProof, ProveError};
pub use claim::Claim;
#[cfg(feature = "json")]
pub use json::{BUNDLE_SIZE_MAX, BundleJsonError};
pub use proof::{PROOF_SIZE_MAX, ProofError, absence, existence, prove, spec, verify};
