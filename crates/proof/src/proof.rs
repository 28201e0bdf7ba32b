//! The proof of one key: its encoding in ICS-23, and its verification.

use alloc::vec;
use alloc::vec::Vec;

use coalmine_core::tree::{Branch, DEPTH_MAX, EMPTY_ROOT, Hash32, Proof, Sibling, Side, Tree, TreeError};
use ics23::commitment_proof::Proof as Kind;
use ics23::{
    CommitmentProof, ExistenceProof, HashOp, InnerOp, InnerSpec, LeafOp, LengthOp, NonExistenceProof, ProofSpec,
};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use thiserror::Error;

use crate::sha256::{Sha256Only, sha256};

/// The greatest size of an encoded proof in bytes; [`verify`] looks at nothing longer.
pub const PROOF_SIZE_MAX: usize = 65_536;

const LEAF_PREFIX: &[u8] = b"JMT::LeafNode";
const INNER_PREFIX: &[u8] = b"JMT::IntrnalNode";
const HASH_SIZE: usize = 32;

/// Why there is no proof, or why a proof was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProofError {
    /// The tree can not prove anything.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The values do not belong to the tree.
    #[error("proof: no value for a key that is in the tree; read values from the state that the tree is of")]
    ValueMissing,
    /// The proof is longer than [`PROOF_SIZE_MAX`].
    #[error("proof: {0} bytes, more than {PROOF_SIZE_MAX}; no proof of a key is that long")]
    TooLarge(usize),
    /// The bytes are not protobuf of a proof.
    #[error("proof: not an ICS-23 CommitmentProof ({0}); pass the bytes as the prover gave them")]
    Malformed(prost::DecodeError),
    /// The bytes are not the ones that an encoder of protobuf makes of their content.
    #[error("proof: not in canonical form; pass the bytes as the prover gave them")]
    NotCanonical,
    /// The proof is neither of existence nor of absence.
    #[error("proof: batch, compressed or empty; ask for the proof of a single key")]
    KindUnsupported,
    /// The proof is that of another key.
    #[error("proof: made for another key; ask for the proof of the key in question")]
    KeyMismatch,
    /// A step of the proof is none that the tree has.
    #[error("proof: a leaf or inner operation unlike those of coalmine's tree; it is from elsewhere or forged")]
    NotOfThisTree,
    /// The proof does not show what it claims under the root.
    #[error("proof: does not hold under this root; compare the heights of root and proof")]
    DoesNotHold,
}

/// Returns the ICS-23 spec of the proofs, which is that of the `jmt` crate.
pub fn spec() -> ProofSpec {
    ProofSpec {
        leaf_spec: Some(leaf_op()),
        inner_spec: Some(InnerSpec {
            child_order: vec![0, 1],
            child_size: 32,
            min_prefix_length: 16,
            max_prefix_length: 16,
            empty_child: EMPTY_ROOT.to_vec(),
            hash: HashOp::Sha256.into(),
        }),
        min_depth: 0,
        max_depth: 64,
        prehash_key_before_comparison: true,
    }
}

/// Proves from a tree that a key has its value, or that it has none.
///
/// The values of the key and its neighbours come from `value_of`, which is asked for keys in the
/// tree only.
///
/// # Errors
///
/// [`ProofError::ValueMissing`] when `value_of` does not know a key, [`ProofError::Tree`] and
/// [`ProofError::TooLarge`] when there is no proof to be had, and whatever `value_of` fails with.
pub fn prove<E: From<ProofError>>(
    tree: &Tree,
    key: &[u8],
    value_of: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
) -> Result<Vec<u8>, E> {
    prove_value(tree, key, value_of).map(|(_, proof)| proof)
}

/// Does what [`prove`] does, and returns the value of the key as well.
pub(crate) fn prove_value<E: From<ProofError>>(
    tree: &Tree,
    key: &[u8],
    mut value_of: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
) -> Result<(Option<Vec<u8>>, Vec<u8>), E> {
    let mut leaf = |branch: Branch| match value_of(&branch.key)? {
        Some(value) => Ok((branch, value)),
        None => Err(E::from(ProofError::ValueMissing)),
    };
    match tree.prove(key).map_err(ProofError::from)? {
        Proof::Existence(branch) => {
            let (branch, value) = leaf(branch)?;
            Ok((Some(value.clone()), existence((branch, value))?))
        }
        Proof::Absence { left, right } => {
            let (left, right) = (left.map(&mut leaf).transpose()?, right.map(&mut leaf).transpose()?);
            Ok((None, absence(key, left, right)?))
        }
    }
}

/// Encodes the proof that a key has a value.
///
/// # Errors
///
/// [`ProofError::TooLarge`] when the proof would be longer than [`PROOF_SIZE_MAX`].
pub fn existence(leaf: (Branch, Vec<u8>)) -> Result<Vec<u8>, ProofError> {
    encode(Kind::Exist(existence_proof(leaf)))
}

/// Encodes the proof that a key has no value, from the nearest leaves on both sides of its path.
///
/// In an empty tree there are none. ICS-23 has no proof for that case; this one is the key alone.
///
/// # Errors
///
/// [`ProofError::TooLarge`] when the proof would be longer than [`PROOF_SIZE_MAX`].
pub fn absence(
    key: &[u8],
    left: Option<(Branch, Vec<u8>)>,
    right: Option<(Branch, Vec<u8>)>,
) -> Result<Vec<u8>, ProofError> {
    let [left, right] = [left, right].map(|leaf| leaf.map(existence_proof));
    encode(Kind::Nonexist(NonExistenceProof { key: key.to_vec(), left, right }))
}

/// Verifies a proof and returns what it shows: the value of the key, or `None` for its absence.
///
/// # Errors
///
/// One of the refusals of [`ProofError`] when the proof shows neither.
pub fn verify(root: &Hash32, key: &[u8], proof: &[u8]) -> Result<Option<Vec<u8>>, ProofError> {
    if proof.len() > PROOF_SIZE_MAX {
        return Err(ProofError::TooLarge(proof.len()));
    }
    check_outline(proof)?;
    let decoded = CommitmentProof::decode(proof).map_err(ProofError::Malformed)?;
    if decoded.encode_to_vec() != proof {
        return Err(ProofError::NotCanonical);
    }
    match decoded.proof {
        Some(Kind::Exist(exist)) => verify_existence(root, key, exist).map(Some),
        Some(Kind::Nonexist(nonexist)) => verify_absence(root, key, nonexist).map(|()| None),
        Some(Kind::Batch(_) | Kind::Compressed(_)) | None => Err(ProofError::KindUnsupported),
    }
}

/// Refuses lists before they are decoded: empty parts take two bytes in a proof and many times that in memory.
fn check_outline(proof: &[u8]) -> Result<(), ProofError> {
    let mut steps: usize = 0;
    let mut count = |exist: &[u8]| {
        each_field(exist, |tag, _| {
            steps = steps.saturating_add(usize::from(tag == 4));
            Ok(())
        })
    };
    each_field(proof, |tag, part| match tag {
        1 => count(part),
        2 => each_field(part, |tag, part| if matches!(tag, 2 | 3) { count(part) } else { Ok(()) }),
        3 | 4 => Err(ProofError::KindUnsupported),
        _ => Ok(()),
    })?;
    let steps_max = usize::from(DEPTH_MAX).saturating_mul(2);
    if steps > steps_max { Err(ProofError::NotOfThisTree) } else { Ok(()) }
}

/// Shows every part of a protobuf message that has a length, with its tag.
fn each_field<'a>(
    mut message: &'a [u8],
    mut see: impl FnMut(u32, &'a [u8]) -> Result<(), ProofError>,
) -> Result<(), ProofError> {
    while !message.is_empty() {
        let (tag, wire) = decode_key(&mut message).map_err(ProofError::Malformed)?;
        if wire != WireType::LengthDelimited {
            skip_field(wire, tag, &mut message, DecodeContext::default()).map_err(ProofError::Malformed)?;
            continue;
        }
        let len = decode_varint(&mut message).map_err(ProofError::Malformed)?;
        let parts = usize::try_from(len).ok().and_then(|len| message.split_at_checked(len));
        let (part, rest) = parts.ok_or_else(|| ProofError::Malformed(prost::DecodeError::new("a part is cut off")))?;
        see(tag, part)?;
        message = rest;
    }
    Ok(())
}

fn verify_existence(root: &Hash32, key: &[u8], mut exist: ExistenceProof) -> Result<Vec<u8>, ProofError> {
    if exist.key != key {
        return Err(ProofError::KeyMismatch);
    }
    let value = exist.value.clone();
    hash_value(&mut exist)?;
    let value_hash = exist.value.clone();
    let proof = CommitmentProof { proof: Some(Kind::Exist(exist)) };
    let holds =
        ics23::verify_membership::<Sha256Only>(&proof, &spec_of_value_hashes(), &root.to_vec(), key, &value_hash);
    if holds { Ok(value) } else { Err(ProofError::DoesNotHold) }
}

fn verify_absence(root: &Hash32, key: &[u8], mut nonexist: NonExistenceProof) -> Result<(), ProofError> {
    if nonexist.key != key {
        return Err(ProofError::KeyMismatch);
    }
    for neighbour in nonexist.left.iter_mut().chain(&mut nonexist.right) {
        hash_value(neighbour)?;
    }
    let holds = match (&nonexist.left, &nonexist.right) {
        (None, None) => *root == EMPTY_ROOT,
        (Some(left), Some(right)) if !part(&left.path, &right.path) => false,
        (Some(_), _) | (_, Some(_)) => {
            let proof = CommitmentProof { proof: Some(Kind::Nonexist(nonexist)) };
            let spec = spec_of_value_hashes();
            ics23::verify_non_membership::<Sha256Only>(&proof, &spec, &root.to_vec(), key)
        }
    };
    if holds { Ok(()) } else { Err(ProofError::DoesNotHold) }
}

/// Checks that a proof has the form of the spec, and puts the hash of the value in its place.
///
/// The leaf operation then hashes the same bytes as before, as its spec is
/// [`spec_of_value_hashes`]. `ics23` refuses empty values, which are legal here; a hash is never
/// empty.
fn hash_value(exist: &mut ExistenceProof) -> Result<(), ProofError> {
    let of_this_tree = exist.leaf == Some(leaf_op())
        && exist.path.len() <= usize::from(DEPTH_MAX)
        && exist.path.iter().all(is_inner_op);
    if !of_this_tree {
        return Err(ProofError::NotOfThisTree);
    }
    exist.leaf = Some(leaf_op_of_value_hash());
    exist.value = sha256(&exist.value).to_vec();
    Ok(())
}

fn is_inner_op(op: &InnerOp) -> bool {
    let sibling_left = op.prefix.len() == INNER_PREFIX.len().saturating_add(HASH_SIZE) && op.suffix.is_empty();
    let sibling_right = op.prefix.len() == INNER_PREFIX.len() && op.suffix.len() == HASH_SIZE;
    op.hash == i32::from(HashOp::Sha256) && op.prefix.starts_with(INNER_PREFIX) && (sibling_left || sibling_right)
}

/// Tells whether two paths, given from the leaf up, part below the root.
///
/// `ics23` looks for the place where they do and panics when there is none. It asks for valid
/// proofs of two leaves first, and those part unless SHA-256 is broken; this check makes the
/// absence of a panic a matter of reading code, not of cryptography.
fn part(left: &[InnerOp], right: &[InnerOp]) -> bool {
    left.iter().rev().zip(right.iter().rev()).any(|(left, right)| left != right)
}

fn spec_of_value_hashes() -> ProofSpec {
    ProofSpec { leaf_spec: Some(leaf_op_of_value_hash()), ..spec() }
}

fn leaf_op() -> LeafOp {
    LeafOp {
        hash: HashOp::Sha256.into(),
        prehash_key: HashOp::Sha256.into(),
        prehash_value: HashOp::Sha256.into(),
        length: LengthOp::NoPrefix.into(),
        prefix: LEAF_PREFIX.to_vec(),
    }
}

fn leaf_op_of_value_hash() -> LeafOp {
    LeafOp { prehash_value: HashOp::NoHash.into(), ..leaf_op() }
}

fn existence_proof((branch, value): (Branch, Vec<u8>)) -> ExistenceProof {
    ExistenceProof {
        key: branch.key.into(),
        value,
        leaf: Some(leaf_op()),
        path: branch.siblings.iter().map(inner_op).collect(),
    }
}

fn inner_op(sibling: &Sibling) -> InnerOp {
    let hash = HashOp::Sha256.into();
    match sibling.side {
        Side::Left => InnerOp { hash, prefix: [INNER_PREFIX, &sibling.hash].concat(), suffix: Vec::new() },
        Side::Right => InnerOp { hash, prefix: INNER_PREFIX.to_vec(), suffix: sibling.hash.to_vec() },
    }
}

fn encode(kind: Kind) -> Result<Vec<u8>, ProofError> {
    let proof = CommitmentProof { proof: Some(kind) };
    match proof.encoded_len() {
        size if size > PROOF_SIZE_MAX => Err(ProofError::TooLarge(size)),
        _ => Ok(proof.encode_to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_part_where_ics23_can_see_it() {
        let op = |byte| inner_op(&Sibling { side: Side::Left, hash: [byte; 32] });
        let check = |left: &[u8], right: &[u8], expected| {
            let [left, right]: [Vec<InnerOp>; 2] = [left, right].map(|bytes| bytes.iter().copied().map(op).collect());
            assert_eq!(part(&left, &right), expected);
            assert_eq!(part(&right, &left), expected);
        };
        check(&[], &[], false);
        check(&[1], &[], false);
        check(&[1, 2], &[1, 2], false);
        check(&[1, 2], &[2], false);
        check(&[1, 2], &[1], true);
        check(&[1, 2], &[3, 2], true);
        check(&[1, 2, 3], &[4, 3], true);
    }
}
