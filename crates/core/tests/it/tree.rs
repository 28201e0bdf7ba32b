//! The tree against the `jmt` crate, which computes the same root in quite another way, and against
//! itself: bulk and incremental, in any order, with patches that are taken, dropped or too late.

use std::cell::RefCell;
use std::collections::BTreeMap;

use coalmine_core::tree::{Branch, Builder, EMPTY_ROOT, Hash32, KeyChange, Path, Proof, Side, Tree, TreeError};
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, Sha256Jmt};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

type Batch = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// A tree of the `jmt` crate, and the nodes that it keeps.
#[derive(Default)]
struct Oracle {
    nodes: RefCell<BTreeMap<NodeKey, Node>>,
    version: u64,
}

impl TreeReader for Oracle {
    fn get_node_option(&self, node_key: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(self.nodes.borrow().get(node_key).cloned())
    }

    fn get_value_option(&self, _: u64, _: KeyHash) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

impl Oracle {
    fn put(&mut self, changes: impl IntoIterator<Item = (Path, Option<Vec<u8>>)>) -> Hash32 {
        let values = changes.into_iter().map(|(path, value)| (KeyHash(*path.as_bytes()), value));
        let tree = Sha256Jmt::new(&*self);
        let (root, update) = tree.put_value_set(values, self.version).unwrap();
        self.nodes.borrow_mut().extend(update.node_batch.nodes().clone());
        self.version += 1;
        root.0
    }

    fn put_batch(&mut self, batch: &Batch) -> Hash32 {
        self.put(batch.iter().map(|(key, value)| (Path::of(key), value.clone())))
    }
}

fn changes_of(batch: &Batch) -> Vec<KeyChange<'_>> {
    batch.iter().map(|(key, value)| KeyChange::with_path(Path::of(key), key, value.as_deref())).collect()
}

fn write(state: &mut State, batch: &Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => state.insert(key.clone(), value.clone()),
            None => state.remove(key),
        };
    }
}

/// Applies a batch to tree and state, after a look at all that can be said about its root.
fn check(tree: &mut Tree, state: &mut State, oracle: &mut Oracle, batch: &Batch) {
    let root = tree.root();
    let mut changes = changes_of(batch);
    let patch = tree.prepare(&changes).unwrap();
    assert_eq!(patch.root(), oracle.put_batch(batch), "the root of jmt");
    changes.reverse();
    let reversed = tree.prepare(&changes).unwrap();
    assert_eq!(reversed.root(), patch.root(), "another order of changes");
    assert_eq!(tree.root(), root, "prepare leaves the tree as it is");
    let next = patch.root();
    tree.apply(patch).unwrap();
    assert_eq!(tree.root(), next);
    assert_eq!(tree.apply(reversed), Err(TreeError::Stale));
    assert_eq!(tree.root(), next, "a refused patch leaves the tree as it is");
    write(state, batch);
    assert_eq!((tree.len(), tree.is_empty()), (state.len(), state.is_empty()));
    assert_eq!(Tree::from_entries(&*state).unwrap().root(), next, "bulk");
}

/// Batches over a small set of keys, so that updates and deletes hit.
fn batches(keys: u16, batch_len: usize) -> impl Strategy<Value = Vec<Batch>> {
    let key = (0..keys).prop_map(|number| format!("key-{number}").into_bytes());
    let value = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Some),
        2 => Just(None),
    ];
    let batch = proptest::collection::btree_map(key, value, 0..batch_len);
    proptest::collection::vec(batch, 1..8)
}

fn check_batches(batches: &[Batch]) {
    let (mut tree, mut state, mut oracle) = Default::default();
    for batch in batches {
        check(&mut tree, &mut state, &mut oracle, batch);
    }
    let all = state.keys().map(|key| (key.clone(), None)).collect();
    check(&mut tree, &mut state, &mut oracle, &all);
    assert_eq!(tree.root(), EMPTY_ROOT);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn few_keys_have_the_roots_of_jmt(batches in batches(12, 8)) {
        check_batches(&batches);
    }

    #[test]
    fn many_keys_have_the_roots_of_jmt(batches in batches(200, 60)) {
        check_batches(&batches);
    }

    /// Paths of one family share up to 255 bits; jmt takes them as they are, too.
    #[test]
    fn long_common_prefixes_have_the_roots_of_jmt(
        base in any::<[u8; 32]>(),
        flips in proptest::collection::btree_set((0_usize..256, 0_usize..256), 1..20),
        picks in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..20),
    ) {
        let paths: Vec<(Path, Vec<u8>)> = flips
            .iter()
            .map(|&(a, b)| {
                let mut bytes = base;
                bytes[a / 8] ^= 0x80 >> (a % 8);
                if a != b {
                    bytes[b / 8] ^= 0x80 >> (b % 8);
                }
                (bytes, format!("{a} {b}").into_bytes())
            })
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .map(|(bytes, key)| (Path::precomputed(bytes), key))
            .collect();
        let (mut tree, mut oracle) = (Tree::new(), Oracle::default());
        let puts: Vec<KeyChange> =
            paths.iter().map(|(path, key)| KeyChange::with_path(*path, key, Some(b"1"))).collect();
        let patch = tree.prepare(&puts).unwrap();
        prop_assert_eq!(patch.root(), oracle.put(paths.iter().map(|(path, _)| (*path, Some(b"1".to_vec())))));
        tree.apply(patch).unwrap();
        for (pick, delete) in picks {
            let (path, key) = pick.get(&paths);
            let value = if delete { None } else { Some(b"2".as_slice()) };
            // A leaf that is gone would come back below a neighbour whose path is made up.
            if !delete && tree.prepare(&[KeyChange::with_path(*path, key, None)]).unwrap().root() == tree.root() {
                continue;
            }
            let patch = tree.prepare(&[KeyChange::with_path(*path, key, value)]).unwrap();
            prop_assert_eq!(patch.root(), oracle.put([(*path, value.map(<[u8]>::to_vec))]));
            tree.apply(patch).unwrap();
        }
    }

    #[test]
    fn proofs_lead_to_the_root(
        keys in proptest::collection::btree_set(0_u16..500, 0..60),
        absent in proptest::collection::btree_set(500_u16..1000, 1..60),
    ) {
        let name = |number: &u16| format!("key-{number}").into_bytes();
        let state: State = keys.iter().map(|number| (name(number), number.to_be_bytes().to_vec())).collect();
        let tree = Tree::from_entries(&state).unwrap();
        for key in state.keys() {
            let Proof::Existence(branch) = tree.prove(key).unwrap() else {
                panic!("{key:?} is there");
            };
            prop_assert_eq!(&*branch.key, key.as_slice());
            prop_assert_eq!(root_of(&branch, &state), tree.root());
        }
        for key in absent.iter().map(name) {
            let Proof::Absence { left, right } = tree.prove(&key).unwrap() else {
                panic!("{key:?} is absent");
            };
            for branch in left.iter().chain(&right) {
                prop_assert_eq!(root_of(branch, &state), tree.root());
            }
            let mut paths: Vec<Path> = state.keys().map(|key| Path::of(key)).collect();
            paths.sort();
            let middle = paths.partition_point(|path| *path < Path::of(&key));
            let path_of = |branch: Option<Branch>| branch.map(|branch| Path::of(&branch.key));
            prop_assert_eq!(path_of(left), paths[..middle].last().copied());
            prop_assert_eq!(path_of(right), paths[middle..].first().copied());
        }
    }
}

/// Hashes the way up from a leaf, as FORMAT.md has it.
fn root_of(branch: &Branch, state: &State) -> Hash32 {
    let leaf = Sha256::new()
        .chain_update(b"JMT::LeafNode")
        .chain_update(Sha256::digest(&branch.key))
        .chain_update(Sha256::digest(&state[&*branch.key]));
    branch.siblings.iter().fold(leaf.finalize().into(), |hash: Hash32, sibling| {
        let (left, right) = match sibling.side {
            Side::Left => (sibling.hash, hash),
            Side::Right => (hash, sibling.hash),
        };
        let inner = Sha256::new().chain_update(b"JMT::IntrnalNode");
        inner.chain_update(left).chain_update(right).finalize().into()
    })
}

#[test]
fn a_large_state_has_the_roots_of_jmt() {
    let (mut tree, mut state, mut oracle) = Default::default();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..5 {
        let mut batch = Batch::new();
        for _ in 0..1_000 {
            let value = (random(4) > 0).then(|| random(1 << 40).to_be_bytes().to_vec());
            batch.insert(random(3_000).to_be_bytes().to_vec(), value);
        }
        check(&mut tree, &mut state, &mut oracle, &batch);
    }
}

#[test]
fn an_empty_tree_has_the_placeholder_as_root() {
    let tree = Tree::new();
    assert_eq!(EMPTY_ROOT, *b"SPARSE_MERKLE_PLACEHOLDER_HASH__");
    assert_eq!(tree.root(), EMPTY_ROOT);
    assert_eq!(tree.prepare(&[]).unwrap().root(), EMPTY_ROOT);
    assert_eq!(tree.prepare(&[KeyChange::delete(b"a")]).unwrap().root(), EMPTY_ROOT);
    assert_eq!(Tree::from_entries(&State::new()).unwrap().root(), EMPTY_ROOT);
    let nothing = Proof::Absence { left: None, right: None };
    assert_eq!(tree.prove(b"a").unwrap(), nothing);
}

#[test]
fn a_state_of_one_key_has_its_leaf_as_root() {
    let state = State::from([(b"a".to_vec(), b"1".to_vec())]);
    let tree = Tree::from_entries(&state).unwrap();
    let branch = Branch { key: b"a".as_slice().into(), siblings: Vec::new() };
    assert_eq!(tree.root(), root_of(&branch, &state));
    assert_eq!(tree.prove(b"a").unwrap(), Proof::Existence(branch));
}

#[test]
fn a_put_of_the_value_that_is_there_keeps_the_root() {
    let tree = Tree::from_entries([(b"a", b"1"), (b"b", b"2")]).unwrap();
    let patch = tree.prepare(&[KeyChange::put(b"a", b"1"), KeyChange::delete(b"c")]).unwrap();
    assert_eq!(patch.root(), tree.root());
    assert_ne!(tree.prepare(&[KeyChange::put(b"a", b"")]).unwrap().root(), tree.root());
}

#[test]
fn of_several_changes_of_one_key_the_last_counts() {
    let tree = Tree::from_entries([(b"b", b"2")]).unwrap();
    let root = |changes: &[KeyChange<'_>]| tree.prepare(changes).unwrap().root();
    let (put, put_other) = (KeyChange::put(b"a", b"1"), KeyChange::put(b"a", b"2"));
    assert_eq!(root(&[put_other, put]), root(&[put]));
    assert_eq!(root(&[put, put_other]), root(&[put_other]));
    assert_eq!(root(&[put, KeyChange::delete(b"a")]), tree.root());
    assert_eq!(root(&[KeyChange::delete(b"a"), put]), root(&[put]));
}

#[test]
fn a_path_belongs_to_one_key() {
    let (a, b) = (Path::of(b"a"), Path::of(b"b"));
    let put = |path, key| KeyChange::with_path(path, key, Some(b"1"));
    let clash = |tree: &Tree, changes: &[KeyChange<'_>]| tree.prepare(changes).err();
    let expected = Some(TreeError::PathClash);
    assert_eq!(clash(&Tree::new(), &[put(a, b"a"), put(a, b"b")]), expected);
    let tree = Tree::from_entries([(b"a", b"1")]).unwrap();
    assert_eq!(clash(&tree, &[put(a, b"b")]), expected);
    assert_eq!(clash(&tree, &[put(b, b"b")]), None);
    let mut builder = Builder::new();
    builder.push(b"a", b"1");
    builder.push(b"a", b"2");
    assert_eq!(builder.finish().err(), expected);
}

#[test]
fn a_patch_fits_only_the_state_that_it_was_prepared_from() {
    let mut tree = Tree::from_entries([(b"a", b"1"), (b"b", b"2")]).unwrap();
    let mut twin = tree.clone();
    let [first, second, nothing] = [
        tree.prepare(&[KeyChange::put(b"c", b"3")]).unwrap(),
        tree.prepare(&[KeyChange::put(b"d", b"4")]).unwrap(),
        tree.prepare(&[]).unwrap(),
    ];
    twin.apply(second.clone()).unwrap();
    assert_eq!(twin.root(), second.root(), "a clone is in the same state");
    assert!(tree.accepts(&first) && tree.accepts(&second) && !twin.accepts(&first));
    tree.apply(first.clone()).unwrap();
    assert!(!tree.accepts(&first));
    for stale in [first.clone(), second, nothing] {
        assert_eq!(tree.apply(stale), Err(TreeError::Stale));
    }
    let mut same_root = Tree::from_entries([(b"a", b"1"), (b"b", b"2")]).unwrap();
    assert_eq!(same_root.apply(first), Err(TreeError::Stale), "ids may differ");
    // A patch that changes nothing makes a new state all the same: exactly one patch is taken.
    let [nothing, late] = [tree.prepare(&[]).unwrap(), tree.prepare(&[]).unwrap()];
    tree.apply(nothing).unwrap();
    assert_eq!(tree.apply(late), Err(TreeError::Stale));
}
