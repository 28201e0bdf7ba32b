//! Bundles: a question about a state, and the proofs of every record on which its answer depends.
//!
//! Invariant: an answer is evaluated from proven records alone, by the same functions of core that
//! answer from a store, and a bundle has exactly the proofs that its question needs. A record that
//! is not proven is never taken for one that is not there.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use coalmine_core::query::{self, Entry, Visit};
use coalmine_core::tree::Tree;
use coalmine_core::{Address, ChainId, Fault, Hash, Height, Name, Read, State, Verdict, Version};
use thiserror::Error;

use crate::claim::Claim;
use crate::proof::{ProofError, prove_value, verify};

/// A question about a state, and what it takes to answer it for somebody who has the root only.
///
/// Nothing in here is true because it stands here: [`Bundle::is_enabled`], [`Bundle::route`] and
/// [`Bundle::record`] verify it against a root that the caller trusts, for instance one that a light
/// client of the chain has taken from a header. The height is the exception: it is the word of the
/// prover, because it is not part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The question.
    pub claim: Claim,
    /// The height of the block after which the state was so; `None` at the genesis. Not proven.
    pub height: Option<Height>,
    /// The root of the state.
    pub root: Hash,
    /// The id of the ledger where the answer may depend on it, and `None` with a single record.
    pub chain: Option<ChainId>,
    /// The keys on which the answer depends, in the order of the prover.
    pub proofs: Vec<KeyProof>,
}

/// A key, its value or `None` for its absence, and the proof of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProof {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// A proof as [`crate::prove`] makes it.
    pub proof: Vec<u8>,
}

/// Why there is no bundle.
#[derive(Debug, Error)]
pub enum ProveError {
    /// The records cannot be read, or do not decode.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A record has no proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// Why a bundle was refused.
///
/// None of these is an answer. In particular, none says that a feature is off.
#[derive(Debug, Error)]
pub enum BundleError {
    /// The bundle answers another question than the one that was asked.
    #[error("it answers another question; ask the prover for the one in hand")]
    ClaimMismatch,
    /// The bundle is of another state.
    #[error("it is about root {found}, not {trusted}")]
    RootMismatch {
        /// The root in the bundle.
        found: Hash,
        /// The root that is trusted.
        trusted: Hash,
    },
    /// A proof was refused.
    #[error("proof {index}: {error}")]
    Proof {
        /// Its place in the bundle, from 0.
        index: usize,
        /// Why.
        error: ProofError,
    },
    /// A value is not the one that its proof shows.
    #[error("proof {index}: it shows another value than the one beside it")]
    ValueMismatch {
        /// Its place in the bundle, from 0.
        index: usize,
    },
    /// A key has two proofs.
    #[error("proof {index}: the key is there twice")]
    Repeated {
        /// The place of the second one, from 0.
        index: usize,
    },
    /// A proof is missing, or one is there that the answer does not depend on.
    #[error("its proofs are not exactly the ones that its claim needs")]
    ProofsMismatch,
    /// There is no global record under this root, so it is not the root of a ledger.
    #[error("there is no global record")]
    GlobalMissing,
    /// The id of the ledger is another one.
    #[error("the chain is {proven:?}")]
    ChainMismatch {
        /// The id in the global record.
        proven: ChainId,
    },
    /// A single record has no id of a ledger beside it.
    #[error("the chain is not part of a claim about a record")]
    ChainUnexpected,
    /// A proven record does not decode, or one that the answer depends on is not proven.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl KeyProof {
    /// Proves the value of a key, or its absence; see [`crate::prove`].
    ///
    /// # Errors
    ///
    /// Those of [`crate::prove`].
    pub fn prove<E: From<ProofError>>(
        tree: &Tree,
        key: Vec<u8>,
        value_of: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Self, E> {
        let (value, proof) = prove_value(tree, &key, value_of)?;
        Ok(Self { key, value, proof })
    }
}

impl Bundle {
    /// Proves the answer to a question about a state.
    ///
    /// `records` are those of the same state: the store at the tip of `state`. If they are not, a
    /// verifier refuses the bundle.
    ///
    /// # Errors
    ///
    /// [`ProveError::Fault`] when the records cannot be read, and [`ProveError::Proof`] when a record
    /// is missing or too large to be proven.
    pub fn prove(claim: Claim, state: &State, records: &impl Read) -> Result<Self, ProveError> {
        let prove = |key| KeyProof::prove(state.tree(), key, |key| Ok::<_, ProveError>(records.get(key)?));
        let proofs = claim.keys(records)?.into_iter().map(prove).collect::<Result<_, _>>()?;
        let chain = claim.key().is_none().then_some(state.global().chain);
        Ok(Self { claim, height: state.tip(), root: state.root(), chain, proofs })
    }

    /// Verifies whether a feature is on for a user, and why.
    ///
    /// A feature that does not exist is off; that is an answer, and not an error.
    ///
    /// # Errors
    ///
    /// [`BundleError`] when the bundle does not prove the answer to this question under this root.
    pub fn is_enabled(&self, root: &Hash, feature: &Name, user: &Address) -> Result<Verdict, BundleError> {
        self.is_about(&Claim::IsEnabled { feature: *feature, user: *user })?;
        Ok(query::check(&self.verify(root)?, feature, user)?)
    }

    /// Verifies which version of a plugin serves a unit: `None` if there is no such plugin.
    ///
    /// # Errors
    ///
    /// [`BundleError`] when the bundle does not prove the answer to this question under this root.
    pub fn route(&self, root: &Hash, plugin: &Name, unit: &[u8]) -> Result<Option<Version>, BundleError> {
        self.is_about(&Claim::Route { plugin: *plugin, unit: unit.into() })?;
        Ok(query::route(&self.verify(root)?, plugin, unit)?)
    }

    /// Verifies the value of a key, or its absence.
    ///
    /// The claim may be that of the key, or of the feature or plugin whose record is under it.
    ///
    /// # Errors
    ///
    /// [`BundleError`] when the bundle does not prove the answer to this question under this root.
    pub fn record(&self, root: &Hash, key: &[u8]) -> Result<Option<Vec<u8>>, BundleError> {
        if self.claim.key().as_deref() != Some(key) {
            return Err(BundleError::ClaimMismatch);
        }
        Ok(self.verify(root)?.get(key)?)
    }

    fn is_about(&self, asked: &Claim) -> Result<(), BundleError> {
        if self.claim == *asked { Ok(()) } else { Err(BundleError::ClaimMismatch) }
    }

    /// Verifies everything in the bundle but the height, and returns the records.
    fn verify(&self, root: &Hash) -> Result<ProvenRecords, BundleError> {
        if self.root != *root {
            return Err(BundleError::RootMismatch { found: self.root, trusted: *root });
        }
        let mut records = ProvenRecords(BTreeMap::new());
        for (index, KeyProof { key, value, proof }) in self.proofs.iter().enumerate() {
            let proven = verify(&root.0, key, proof).map_err(|error| BundleError::Proof { index, error })?;
            if proven != *value {
                return Err(BundleError::ValueMismatch { index });
            }
            if records.0.insert(key.clone(), proven).is_some() {
                return Err(BundleError::Repeated { index });
            }
        }
        let needed: BTreeSet<Vec<u8>> = self.claim.keys(&records)?.into_iter().collect();
        if !needed.iter().eq(records.0.keys()) {
            return Err(BundleError::ProofsMismatch);
        }
        match (self.claim.key(), self.chain) {
            (Some(_), None) => {}
            (Some(_), Some(_)) => return Err(BundleError::ChainUnexpected),
            (None, chain) => {
                let proven = query::global(&records)?.ok_or(BundleError::GlobalMissing)?.chain;
                if chain != Some(proven) {
                    return Err(BundleError::ChainMismatch { proven });
                }
            }
        }
        Ok(records)
    }
}

/// Proven records, present or absent. What is not proven is an error and never "not there".
#[derive(Debug)]
struct ProvenRecords(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

#[derive(Debug, Error)]
#[error("the bundle has no proof for key {0}")]
struct NotProven(String);

fn not_proven(key: &[u8]) -> Fault {
    Fault::store(NotProven(hex::encode(key)))
}

impl Read for ProvenRecords {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.0.get(key).cloned().ok_or_else(|| not_proven(key))
    }

    fn scan(&self, start: &[u8], _end: &[u8], _visit: &mut Visit<'_>) -> Result<(), Fault> {
        Err(not_proven(start))
    }

    fn last(&self, start: &[u8], _end: &[u8]) -> Result<Option<Entry>, Fault> {
        Err(not_proven(start))
    }
}
