//! Envelopes: the bytes of a transaction, and who has signed them.
//!
//! `version u8 = 1 ‖ lp32 transaction ‖ scheme u8 ‖ …`, where scheme 1 is `key 32 ‖ signature 64`, and scheme 2 is
//! `threshold u8 ‖ n8 key 32 ‖ n8 (index u8 ‖ signature 64)` with keys and indexes ascending and as many signatures as
//! the threshold says. Big-endian; one value has one encoding.
//!
//! An envelope that decodes is well-formed, no more. The transaction stays encoded: which bytes are one depends on the
//! rules of the block that executes it.

use coalmine_core::{
    Address, COMMAND_SIZE_MAX, ChainId, Decode, DecodeError, DecodeErrorKind, Encode, Genesis, Hash, Height, Reader,
    TX_COMMANDS_MAX, Transaction, Writer,
};
use sha2::{Digest as _, Sha256};

use crate::key::{PublicKey, Signature, Signer, SignerError};
use crate::multisig::{KEYS_MAX, Multisig, MultisigError};

/// The only version.
const VERSION: u8 = 1;
/// The tag of a single signature.
const SINGLE: u8 = 1;
/// The tag of a multisignature.
const MULTI: u8 = 2;
/// What sign bytes begin with.
const DOMAIN: &[u8] = b"coalmine/tx/1";
/// What the bytes begin with that a node signs for a root.
const ROOT_DOMAIN: &[u8] = b"coalmine/root/1";
/// Where a transaction has the count of its commands, and the bit that marks a sequence.
const COUNT_AT: usize = Address::ZERO.0.len();
const SEQUENCED: u8 = 0x80;

/// The largest transaction: signer, count, sequence and last height, then the commands behind their lengths.
const TRANSACTION_SIZE_MAX: usize = 20 + 1 + 8 + 4 + TX_COMMANDS_MAX * (2 + COMMAND_SIZE_MAX);
/// The largest proof: that of a multisignature that all keys have signed.
const PROOF_SIZE_MAX: usize = 1 + 1 + 32 * KEYS_MAX + 1 + 65 * KEYS_MAX;
/// No envelope takes more bytes.
pub const ENVELOPE_SIZE_MAX: usize = 1 + 4 + TRANSACTION_SIZE_MAX + 1 + PROOF_SIZE_MAX;

/// The ledger that signatures are for: one on another ledger is good for nothing on this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    chain: ChainId,
    genesis: Hash,
}

impl Domain {
    /// The ledger that begins with a genesis. Two ledgers of one chain id differ by the SHA-256 of its encoding.
    #[must_use]
    pub fn of(genesis: &Genesis) -> Self {
        Self { chain: *genesis.chain(), genesis: Hash(Sha256::digest(genesis.to_bytes()).into()) }
    }

    /// The ledger of a chain id and the hash of a genesis, for whoever does not have the genesis itself.
    #[must_use]
    pub const fn new(chain: ChainId, genesis: Hash) -> Self {
        Self { chain, genesis }
    }

    /// The hash of the genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Hash {
        &self.genesis
    }

    /// What a node signs to say which root a height of this ledger has: `"coalmine/root/1" ‖ lp8 chain ‖ genesis 32 ‖
    /// height u32 ‖ root 32`.
    #[must_use]
    pub fn root_bytes(&self, height: Height, root: &Hash) -> Vec<u8> {
        let mut out = Writer::default();
        out.raw(ROOT_DOMAIN);
        out.lp8(self.chain.as_bytes());
        out.hash(&self.genesis);
        out.u32(height);
        out.hash(root);
        out.into_bytes()
    }

    /// What is signed for a transaction.
    #[must_use]
    pub fn sign_bytes(&self, transaction: &[u8]) -> Vec<u8> {
        let mut out = Writer::default();
        out.raw(DOMAIN);
        out.lp8(self.chain.as_bytes());
        out.hash(&self.genesis);
        out.raw(transaction);
        out.into_bytes()
    }
}

/// Who has signed, and the signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// One key.
    Single {
        /// The key.
        key: PublicKey,
        /// Its signature.
        signature: Signature,
    },
    /// Several keys together.
    Multi {
        /// All keys, and how many must sign.
        multisig: Multisig,
        /// The places of those that have signed among the keys, ascending, with their signatures: as many as must.
        signatures: Vec<(u8, Signature)>,
    },
}

/// Why a transaction cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It has no sequence, so it could be executed twice.
    #[error("the transaction has no sequence; a signed one needs it, or it could run twice")]
    NotSequenced,
    /// Its signer is another address than that of the keys.
    #[error("the transaction is of {signer}, but the keys are of {keys}")]
    OtherSigner {
        /// The signer of the transaction.
        signer: Address,
        /// The address of the keys.
        keys: Address,
    },
    /// The key is none of the multisignature.
    #[error("key {0} is none of this multisignature")]
    OtherKey(PublicKey),
    /// More or fewer signatures than the threshold.
    #[error("it takes exactly {threshold} signatures of different keys, not {found}")]
    Signatures {
        /// How many it takes.
        threshold: u8,
        /// How many different keys have signed.
        found: usize,
    },
    /// A signer that failed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A signature that is not good for this transaction on this ledger.
    #[error(transparent)]
    Bad(#[from] VerifyError),
    /// Keys that are no multisignature.
    #[error(transparent)]
    Multisig(#[from] MultisigError),
}

/// Why an envelope is refused. It is then as if its transaction were malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The transaction is too short to have a signer and a sequence, or has no sequence.
    #[error("the transaction has no sequence")]
    NotSequenced,
    /// The signer of the transaction is another address than that of the keys.
    #[error("the transaction is of {signer}, but its keys are of {keys}")]
    OtherSigner {
        /// The signer of the transaction.
        signer: Address,
        /// The address of the keys.
        keys: Address,
    },
    /// A signature that is not of its key over this transaction on this ledger.
    #[error("the signature of key {0} is wrong: another transaction, chain or genesis was signed, or by another key")]
    Signature(PublicKey),
}

/// A transaction and the proof of who has signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    transaction: Vec<u8>,
    proof: Proof,
}

impl Envelope {
    /// Signs a transaction with one key.
    ///
    /// # Errors
    /// It has no sequence, its signer is not the address of the key, or the signer fails.
    pub fn sign(domain: &Domain, tx: &Transaction, signer: &dyn Signer) -> Result<Self, SignError> {
        let key = signer.public_key();
        let transaction = signable(tx, key.address())?;
        let signature = signer.sign(&domain.sign_bytes(&transaction))?;
        let envelope = Self { transaction, proof: Proof::Single { key, signature } };
        envelope.verify(domain)?;
        Ok(envelope)
    }

    /// Signs a transaction of a multisignature with one of its keys: the part that this key contributes.
    ///
    /// # Errors
    /// The transaction has no sequence or is of another signer, the key is none of the multisignature, or the signer fails.
    pub fn sign_part(
        domain: &Domain,
        tx: &Transaction,
        multisig: &Multisig,
        signer: &dyn Signer,
    ) -> Result<(PublicKey, Signature), SignError> {
        let key = signer.public_key();
        if !multisig.keys().contains(&key) {
            return Err(SignError::OtherKey(key));
        }
        let transaction = signable(tx, multisig.address())?;
        Ok((key, signer.sign(&domain.sign_bytes(&transaction))?))
    }

    /// Puts the parts of a multisignature together, in whatever order they come.
    ///
    /// # Errors
    /// More or fewer parts than the threshold, a key that is none of the multisignature, or a signature that is wrong.
    pub fn combine(
        domain: &Domain,
        tx: &Transaction,
        multisig: &Multisig,
        parts: &[(PublicKey, Signature)],
    ) -> Result<Self, SignError> {
        let transaction = signable(tx, multisig.address())?;
        let mut signatures: Vec<(u8, Signature)> = Vec::new();
        for (key, signature) in parts {
            let index = multisig.keys().iter().position(|known| known == key).ok_or(SignError::OtherKey(*key))?;
            signatures.push((u8::try_from(index).unwrap_or(u8::MAX), *signature));
        }
        signatures.sort_by_key(|(index, _)| *index);
        signatures.dedup_by_key(|(index, _)| *index);
        if signatures.len() != usize::from(multisig.threshold()) || signatures.len() != parts.len() {
            return Err(SignError::Signatures { threshold: multisig.threshold(), found: signatures.len() });
        }
        let envelope = Self { transaction, proof: Proof::Multi { multisig: multisig.clone(), signatures } };
        envelope.verify(domain)?;
        Ok(envelope)
    }

    /// Checks that the keys are of the signer, that the transaction has a sequence, and every signature.
    ///
    /// # Errors
    /// The first of these that fails, in this order: sequence, signer, signatures.
    pub fn verify(&self, domain: &Domain) -> Result<(), VerifyError> {
        let signer = self.signer().ok_or(VerifyError::NotSequenced)?;
        let keys = self.proof.address();
        if signer != keys {
            return Err(VerifyError::OtherSigner { signer, keys });
        }
        let message = domain.sign_bytes(&self.transaction);
        let wrong = self.proof.signatures().into_iter().find(|(key, signature)| !key.verifies(&message, signature));
        wrong.map_or(Ok(()), |(key, _)| Err(VerifyError::Signature(*key)))
    }

    /// The bytes of the transaction, for a block.
    #[must_use]
    pub fn transaction(&self) -> &[u8] {
        &self.transaction
    }

    /// Who has signed.
    #[must_use]
    pub const fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The signer that the transaction names; `None` if it has no sequence, or is none.
    #[must_use]
    pub fn signer(&self) -> Option<Address> {
        let is_sequenced = self.transaction.get(COUNT_AT).is_some_and(|count| count & SEQUENCED != 0);
        let mut input = Reader::new(&self.transaction);
        input.address().ok().filter(|_| is_sequenced)
    }

    /// The id of the transaction: the SHA-256 of the envelope. Signatures are part of it, so who signs anew makes
    /// another id of the same transaction; its sequence keeps it from running twice.
    #[must_use]
    pub fn id(&self) -> Hash {
        Hash(Sha256::digest(self.to_bytes()).into())
    }
}

/// The bytes of a transaction that may be signed for an address.
fn signable(tx: &Transaction, keys: Address) -> Result<Vec<u8>, SignError> {
    if tx.sequence().is_none() {
        return Err(SignError::NotSequenced);
    }
    if *tx.signer() != keys {
        return Err(SignError::OtherSigner { signer: *tx.signer(), keys });
    }
    Ok(tx.to_bytes())
}

impl Proof {
    /// The address that the keys sign for.
    #[must_use]
    pub fn address(&self) -> Address {
        match self {
            Self::Single { key, .. } => key.address(),
            Self::Multi { multisig, .. } => multisig.address(),
        }
    }

    /// Each signature with its key.
    #[must_use]
    pub fn signatures(&self) -> Vec<(&PublicKey, &Signature)> {
        match self {
            Self::Single { key, signature } => vec![(key, signature)],
            Self::Multi { multisig, signatures } => {
                // Decoding and combining have checked the places.
                let key = |index: u8| multisig.keys().get(usize::from(index));
                signatures.iter().filter_map(|(index, signature)| Some((key(*index)?, signature))).collect()
            }
        }
    }
}

impl Encode for Envelope {
    fn encode(&self, out: &mut Writer) {
        out.u8(VERSION);
        out.lp32(&self.transaction);
        match &self.proof {
            Proof::Single { key, signature } => {
                out.u8(SINGLE);
                out.raw(&key.0);
                out.raw(&signature.0);
            }
            Proof::Multi { multisig, signatures } => {
                out.u8(MULTI);
                multisig.encode(out);
                out.u8(u8::try_from(signatures.len()).unwrap_or(u8::MAX));
                for (index, signature) in signatures {
                    out.u8(*index);
                    out.raw(&signature.0);
                }
            }
        }
    }
}

impl Decode for Envelope {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if input.remaining() > ENVELOPE_SIZE_MAX {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        if input.u8()? != VERSION {
            return Err(input.error(DecodeErrorKind::UnknownTag));
        }
        let transaction = input.lp32()?;
        if transaction.len() > TRANSACTION_SIZE_MAX {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        let proof = match input.u8()? {
            SINGLE => Proof::Single { key: PublicKey(input.hash()?.0), signature: signature(input)? },
            MULTI => {
                let multisig = Multisig::decode(input)?;
                if input.u8()? != multisig.threshold() {
                    return Err(input.error(DecodeErrorKind::NotCanonical));
                }
                let mut signatures: Vec<(u8, Signature)> = Vec::with_capacity(multisig.threshold().into());
                for _ in 0..multisig.threshold() {
                    let index = input.u8()?;
                    if usize::from(index) >= multisig.keys().len() {
                        return Err(input.error(DecodeErrorKind::OutOfRange));
                    }
                    if signatures.last().is_some_and(|(last, _)| *last >= index) {
                        return Err(input.error(DecodeErrorKind::Unsorted));
                    }
                    signatures.push((index, signature(input)?));
                }
                Proof::Multi { multisig, signatures }
            }
            _ => return Err(input.error(DecodeErrorKind::UnknownTag)),
        };
        Ok(Self { transaction: transaction.into(), proof })
    }
}

fn signature(input: &mut Reader<'_>) -> Result<Signature, DecodeError> {
    let mut signature = [0; 64];
    signature.copy_from_slice(input.raw(64)?);
    Ok(Signature(signature))
}
