//! Proofs that a key has a value, or has none, under a coalmine state root.
//!
//! A proof is an ICS-23 `CommitmentProof` in protobuf, and [`spec`] is the one that the `jmt` crate
//! publishes, so that light clients which know Jellyfish Merkle Trees can verify it. [`verify`]
//! needs the root, the key and the proof, and no store.
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
//! SHA-256 is the only hash function that is linked. Deciding what a set of proven keys means is not
//! here.
//!
//! ```
//! use coalmine_core::tree::Tree;
//!
//! let tree = Tree::from_entries([(b"name", b"value")])?;
//! let value_of = |_: &[u8]| Ok::<_, coalmine_proof::ProofError>(Some(b"value".to_vec()));
//! let proof = coalmine_proof::prove(&tree, b"name", value_of)?;
//! assert_eq!(coalmine_proof::verify(&tree.root(), b"name", &proof)?, Some(b"value".to_vec()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]

extern crate alloc;

mod proof;
mod sha256;

pub use proof::{PROOF_SIZE_MAX, ProofError, absence, existence, prove, spec, verify};
