//! Proofs from the tree, taken by [`verify`] and by `ics23` itself, and what is refused.

use std::cell::RefCell;
use std::collections::BTreeMap;

use coalmine_core::tree::{Branch, DEPTH_MAX, EMPTY_ROOT, Path, Tree};
use coalmine_proof::{PROOF_SIZE_MAX, ProofError, absence, existence, prove, spec, verify};
use ics23::commitment_proof::Proof as Kind;
use ics23::{BatchProof, CommitmentProof, CompressedBatchProof, ExistenceProof, HostFunctionsManager, InnerOp};
use jmt::storage::{HasPreimage, LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, Sha256Jmt};
use proptest::prelude::*;
use prost::Message;

type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// A state, its tree, and the answers to questions about it.
struct Fixture {
    state: State,
    tree: Tree,
}

impl Fixture {
    fn new(state: State) -> Self {
        let tree = Tree::from_entries(&state).unwrap();
        Self { state, tree }
    }

    /// A state of 40 keys, enough for both neighbours and some empty slots.
    fn usual() -> Self {
        Self::new((0_u8..40).map(|number| (key_of(number.into()), vec![number; 20])).collect())
    }

    fn prove(&self, key: &[u8]) -> Vec<u8> {
        prove::<ProofError>(&self.tree, key, |key| Ok(self.state.get(key).cloned())).unwrap()
    }

    fn decoded(&self, key: &[u8]) -> CommitmentProof {
        CommitmentProof::decode(&*self.prove(key)).unwrap()
    }

    fn verify(&self, key: &[u8], proof: &[u8]) -> Result<Option<Vec<u8>>, ProofError> {
        verify(&self.tree.root(), key, proof)
    }

    /// Proves and verifies a key, with `ics23` too as far as that knows the values involved.
    fn check(&self, key: &[u8]) {
        let proof = self.prove(key);
        let value = self.state.get(key);
        assert_eq!(self.verify(key, &proof), Ok(value.cloned()));
        let decoded = CommitmentProof::decode(&*proof).unwrap();
        let root = self.tree.root().to_vec();
        let spec = jmt::ics23_spec();
        let plain = match value {
            Some(value) => ics23::verify_membership::<HostFunctionsManager>(&decoded, &spec, &root, key, value),
            None => ics23::verify_non_membership::<HostFunctionsManager>(&decoded, &spec, &root, key),
        };
        let leaves = leaves_of(&decoded);
        let expected = !leaves.is_empty() && leaves.iter().all(|leaf| !leaf.value.is_empty());
        assert_eq!(plain, expected, "ics23 knows all but empty values and empty trees");
    }
}

fn leaves_of(proof: &CommitmentProof) -> Vec<&ExistenceProof> {
    match proof.proof.as_ref().unwrap() {
        Kind::Exist(exist) => vec![exist],
        Kind::Nonexist(nonexist) => nonexist.left.iter().chain(&nonexist.right).collect(),
        Kind::Batch(_) | Kind::Compressed(_) => panic!("of one key"),
    }
}

fn key_of(number: u16) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

/// Keys that are absent from a state, with the neighbours that their proofs have: none, left only,
/// right only, both.
fn absent_keys(fixture: &Fixture) -> [Option<Vec<u8>>; 4] {
    let mut found = [const { None }; 4];
    for key in (1_000..3_000).map(key_of) {
        let proof = fixture.decoded(&key);
        let Some(Kind::Nonexist(nonexist)) = proof.proof else {
            panic!("{key:?} is absent");
        };
        found[usize::from(nonexist.left.is_some()) + 2 * usize::from(nonexist.right.is_some())] = Some(key);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_key_is_proven_present_or_absent(
        state in proptest::collection::btree_map(0_u16..300, proptest::collection::vec(any::<u8>(), 0..4), 0..40),
        absent in proptest::collection::vec(300_u16..2_000, 20),
    ) {
        let fixture = Fixture::new(state.into_iter().map(|(number, value)| (key_of(number), value)).collect());
        fixture.state.keys().for_each(|key| fixture.check(key));
        absent.into_iter().for_each(|number| fixture.check(&key_of(number)));
        fixture.check(b"");
    }

    #[test]
    fn proofs_are_those_of_jmt(
        state in proptest::collection::btree_map(0_u16..300, any::<[u8; 3]>(), 1..40),
        others in proptest::collection::vec(0_u16..2_000, 20),
    ) {
        let state: State = state.into_iter().map(|(number, value)| (key_of(number), value.to_vec())).collect();
        let oracle = Oracle::new(&state);
        let fixture = Fixture::new(state);
        for key in others.into_iter().map(key_of).chain(fixture.state.keys().cloned()) {
            let (value, proof) = Sha256Jmt::new(&oracle).get_with_ics23_proof(key.clone(), 0).unwrap();
            prop_assert_eq!(value.as_ref(), fixture.state.get(&key));
            prop_assert_eq!(proof, fixture.decoded(&key));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Fixture::usual().verify(b"key-1", &bytes).is_err());
    }

    /// Whole parts of proofs are moved about, so that the bytes stay well-formed.
    #[test]
    fn no_forgery_holds(
        key in 0_u16..80,
        claimed in 0_u16..80,
        edits in proptest::collection::vec((0_u8..9, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4),
    ) {
        let fixture = Fixture::usual();
        let claimed = key_of(claimed);
        let mut proof = fixture.decoded(&key_of(key));
        for (kind, at, other) in edits {
            forge(&mut proof, kind, at, other);
        }
        if let Some(Kind::Nonexist(nonexist)) = &mut proof.proof {
            nonexist.key.clone_from(&claimed);
        }
        if let Ok(value) = fixture.verify(&claimed, &proof.encode_to_vec()) {
            prop_assert_eq!(value.as_ref(), fixture.state.get(&claimed));
        }
    }
}

fn forge(proof: &mut CommitmentProof, kind: u8, at: prop::sample::Index, other: prop::sample::Index) {
    let leaves: Vec<&mut ExistenceProof> = match proof.proof.as_mut().unwrap() {
        Kind::Exist(exist) => vec![exist],
        Kind::Nonexist(nonexist) => {
            match kind {
                0 => std::mem::swap(&mut nonexist.left, &mut nonexist.right),
                1 => nonexist.left = None,
                2 => nonexist.right.clone_from(&nonexist.left),
                _ => {}
            }
            nonexist.left.iter_mut().chain(&mut nonexist.right).collect()
        }
        Kind::Batch(_) | Kind::Compressed(_) => panic!("of one key"),
    };
    for leaf in leaves {
        if leaf.path.is_empty() {
            continue;
        }
        let (at, other) = (at.index(leaf.path.len()), other.index(leaf.path.len()));
        let step = leaf.path[at].clone();
        match kind {
            3 => leaf.path.swap(at, other),
            4 => leaf.path.insert(other, step),
            5 => drop(leaf.path.remove(at)),
            6 => leaf.path.truncate(at),
            7 => {
                let InnerOp { prefix, suffix, .. } = &mut leaf.path[at];
                match suffix.is_empty() {
                    true => *suffix = prefix.split_off(16),
                    false => prefix.append(suffix),
                }
            }
            8 => leaf.key = key_of(u16::try_from(other).unwrap()),
            _ => {}
        }
    }
}

#[test]
fn the_spec_is_that_of_jmt() {
    assert_eq!(spec(), jmt::ics23_spec());
}

#[test]
fn the_states_at_the_edges_have_proofs() {
    for keys in 0..4 {
        for value in [vec![], vec![7; 300]] {
            let fixture = Fixture::new((0..keys).map(|number| (key_of(number), value.clone())).collect());
            (0..50).for_each(|number| fixture.check(&key_of(number)));
        }
    }
    let found = absent_keys(&Fixture::usual()).map(|key| key.is_some());
    assert_eq!(found, [false, true, true, true], "a state of many keys has outermost leaves too");
}

#[test]
fn a_proof_with_any_byte_changed_is_refused() {
    let fixture = Fixture::usual();
    let keys = absent_keys(&fixture).into_iter().flatten().chain([key_of(3)]);
    let single = Fixture::new(State::from([(key_of(3), vec![])]));
    let empty = Fixture::new(State::new());
    let rows = keys.map(|key| (&fixture, key)).chain([(&single, key_of(3)), (&single, key_of(4)), (&empty, key_of(3))]);
    for (fixture, key) in rows {
        let proof = fixture.prove(&key);
        for at in 0..proof.len() {
            for change in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                let mut mutated = proof.clone();
                mutated[at] ^= change;
                assert!(fixture.verify(&key, &mutated).is_err(), "byte {at} xor {change}");
            }
            assert!(fixture.verify(&key, &proof[..at]).is_err(), "first {at} bytes");
        }
        let longer = [&proof, [0].as_slice()].concat();
        assert!(fixture.verify(&key, &longer).is_err());
    }
}

#[test]
fn a_proof_holds_for_its_key_and_root_only() {
    let fixture = Fixture::usual();
    let other = Fixture::new(State::from([(key_of(3), vec![3; 20])]));
    let [_, left, right, both] = absent_keys(&fixture).map(Option::unwrap_or_default);
    for key in [key_of(3), left, right, both] {
        let proof = fixture.prove(&key);
        assert_eq!(other.verify(&key, &proof), Err(ProofError::DoesNotHold));
        assert_eq!(verify(&EMPTY_ROOT, &key, &proof), Err(ProofError::DoesNotHold));
        assert_eq!(fixture.verify(&key_of(4), &proof), Err(ProofError::KeyMismatch));
        assert_eq!(fixture.verify(b"", &proof), Err(ProofError::KeyMismatch));
    }
    let nothing = absence(&key_of(3), None, None).unwrap();
    assert_eq!(fixture.verify(&key_of(3), &nothing), Err(ProofError::DoesNotHold));
    assert_eq!(verify(&EMPTY_ROOT, &key_of(3), &nothing), Ok(None));
}

#[test]
fn a_proof_shows_one_value_only() {
    let fixture = Fixture::usual();
    let Some(Kind::Exist(exist)) = fixture.decoded(&key_of(3)).proof else {
        panic!("key 3 is there");
    };
    let digest = <HostFunctionsManager as ics23::HostFunctionsProvider>::sha2_256(&exist.value);
    for value in [vec![], vec![3; 19], vec![3; 21], digest.to_vec()] {
        let forged = CommitmentProof { proof: Some(Kind::Exist(ExistenceProof { value, ..exist.clone() })) };
        assert_eq!(fixture.verify(&key_of(3), &forged.encode_to_vec()), Err(ProofError::DoesNotHold));
    }
}

#[test]
fn a_present_key_can_not_be_proven_absent() {
    let fixture = Fixture::usual();
    let mut by_path: Vec<&Vec<u8>> = fixture.state.keys().collect();
    by_path.sort_by_key(|key| Path::of(key));
    let leaf = |key: &[u8]| match fixture.tree.prove(key).unwrap() {
        coalmine_core::tree::Proof::Existence(branch) => (branch, fixture.state[key].clone()),
        coalmine_core::tree::Proof::Absence { .. } => panic!("{key:?} is there"),
    };
    for (at, key) in by_path.iter().enumerate() {
        let before = by_path[..at].last().map(|key| leaf(key));
        let after = by_path.get(at + 1).map(|key| leaf(key));
        let itself = || Some(leaf(key));
        for (left, right) in [
            (before.clone(), after.clone()),
            (before.clone(), itself()),
            (itself(), after.clone()),
            (itself(), itself()),
            (before, None),
            (None, after),
            (itself(), None),
            (None, None),
        ] {
            let proof = absence(key, left, right).unwrap();
            assert_eq!(fixture.verify(key, &proof), Err(ProofError::DoesNotHold));
        }
    }
}

#[test]
fn malformed_proofs_are_refused_by_name() {
    let fixture = Fixture::usual();
    let key = key_of(3);
    let check = |proof: &[u8], expected: &ProofError| {
        let error = fixture.verify(&key, proof).unwrap_err();
        assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(expected), "{error}");
    };
    let check_kind = |kind: Option<Kind>, expected: &ProofError| {
        check(&CommitmentProof { proof: kind }.encode_to_vec(), expected);
    };
    let valid = fixture.prove(&key);
    check(&vec![0; PROOF_SIZE_MAX + 1], &ProofError::TooLarge(0));
    check(&[], &ProofError::KindUnsupported);
    check_kind(Some(Kind::Batch(BatchProof::default())), &ProofError::KindUnsupported);
    check_kind(Some(Kind::Compressed(CompressedBatchProof::default())), &ProofError::KindUnsupported);
    check(&valid[1..], &ProofError::Malformed(prost::DecodeError::new("")));
    check(&[&valid, [0x28, 0x01].as_slice()].concat(), &ProofError::NotCanonical);
    check(&[valid.as_slice(), &valid].concat(), &ProofError::NotCanonical);

    let Some(Kind::Exist(exist)) = fixture.decoded(&key).proof else {
        panic!("key 3 is there");
    };
    let check_edit = |edit: &dyn Fn(&mut ExistenceProof)| {
        let mut forged = exist.clone();
        edit(&mut forged);
        check_kind(Some(Kind::Exist(forged.clone())), &ProofError::NotOfThisTree);
        let nonexist = ics23::NonExistenceProof { key: key.clone(), left: None, right: Some(forged) };
        check_kind(Some(Kind::Nonexist(nonexist)), &ProofError::NotOfThisTree);
    };
    check_edit(&|proof| proof.leaf = None);
    check_edit(&|proof| proof.leaf.as_mut().unwrap().hash = 0);
    check_edit(&|proof| proof.leaf.as_mut().unwrap().prehash_key = 0);
    check_edit(&|proof| proof.leaf.as_mut().unwrap().prehash_value = 0);
    check_edit(&|proof| proof.leaf.as_mut().unwrap().length = 1);
    check_edit(&|proof| proof.leaf.as_mut().unwrap().prefix.push(0));
    check_edit(&|proof| proof.path[0].hash = 0);
    check_edit(&|proof| proof.path[0].hash = 77);
    check_edit(&|proof| proof.path[0].prefix[0] ^= 1);
    check_edit(&|proof| proof.path[0].prefix.clear());
    check_edit(&|proof| proof.path[0].prefix = vec![7; 10_000]);
    for (prefix_len, suffix_len) in [(15, 32), (16, 0), (16, 31), (16, 33), (16, 64), (47, 0), (49, 0), (48, 32)] {
        let prefix = [b"JMT::IntrnalNode".as_slice(), &[7; 33]].concat()[..prefix_len].to_vec();
        check_edit(&|proof| {
            proof.path[0] = InnerOp { hash: 1, prefix: prefix.clone(), suffix: vec![7; suffix_len] };
        });
    }
    check_edit(&|proof| proof.path[0] = InnerOp::default());
    let step = exist.path[0].clone();
    check_edit(&|proof| proof.path = vec![step.clone(); usize::from(DEPTH_MAX) + 1]);
    let mut deepest = exist.clone();
    deepest.path = vec![step; usize::from(DEPTH_MAX)];
    check_kind(Some(Kind::Exist(deepest)), &ProofError::DoesNotHold);
    let keyless = Branch { key: Box::default(), siblings: Vec::new() };
    assert_eq!(fixture.verify(b"", &existence((keyless, vec![1])).unwrap()), Err(ProofError::DoesNotHold));
}

#[test]
fn what_can_not_be_proven_is_said() {
    let fixture = Fixture::new(State::from([(key_of(1), vec![0; PROOF_SIZE_MAX])]));
    let prove_with = |key: &[u8], value: Option<Vec<u8>>| prove(&fixture.tree, key, |_| Ok(value.clone()));
    for key in [key_of(1), key_of(2)] {
        assert_eq!(prove_with(&key, None), Err(ProofError::ValueMissing));
        let error = prove_with(&key, Some(vec![0; PROOF_SIZE_MAX])).unwrap_err();
        assert!(matches!(error, ProofError::TooLarge(size) if size > PROOF_SIZE_MAX));
        let other = prove(&fixture.tree, &key, |_| Err(ProofError::KindUnsupported));
        assert_eq!(other, Err(ProofError::KindUnsupported), "an error of the values is passed on");
    }
}

/// A tree of the `jmt` crate with what it needs to make proofs.
struct Oracle {
    nodes: RefCell<BTreeMap<NodeKey, Node>>,
    entries: BTreeMap<KeyHash, (Vec<u8>, Vec<u8>)>,
}

impl Oracle {
    fn new(state: &State) -> Self {
        let entry =
            |(key, value): (&Vec<u8>, &Vec<u8>)| (KeyHash(*Path::of(key).as_bytes()), (key.clone(), value.clone()));
        let oracle = Self { nodes: RefCell::default(), entries: state.iter().map(entry).collect() };
        let values = oracle.entries.iter().map(|(path, (_, value))| (*path, Some(value.clone())));
        let (_, update) = Sha256Jmt::new(&oracle).put_value_set(values, 0).unwrap();
        oracle.nodes.borrow_mut().extend(update.node_batch.nodes().clone());
        oracle
    }
}

impl TreeReader for Oracle {
    fn get_node_option(&self, node_key: &NodeKey) -> ics23::Result<Option<Node>> {
        Ok(self.nodes.borrow().get(node_key).cloned())
    }

    fn get_value_option(&self, _: u64, path: KeyHash) -> ics23::Result<Option<Vec<u8>>> {
        Ok(self.entries.get(&path).map(|(_, value)| value.clone()))
    }

    fn get_rightmost_leaf(&self) -> ics23::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

impl HasPreimage for Oracle {
    fn preimage(&self, path: KeyHash) -> ics23::Result<Option<Vec<u8>>> {
        Ok(self.entries.get(&path).map(|(key, _)| key.clone()))
    }
}
