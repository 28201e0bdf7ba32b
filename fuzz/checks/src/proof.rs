//! Of all bytes only the genuine proof of a key verifies, and it says the truth.

use std::sync::OnceLock;

use coalmine_core::Hash;
use coalmine_core::tree::{Hash32, Tree};
use coalmine_proof::{ProofError, prove, verify};
use coalmine_replay::bundle::{Bundle, Claim};

/// A key, its value if it has one, and its proof.
type Genuine = (Vec<u8>, Option<Vec<u8>>, Vec<u8>);

struct World {
    root: Hash32,
    proofs: Vec<Genuine>,
}

/// Verifies the bytes as a proof of the key that the first of them chooses, and as a bundle.
pub fn proof(bytes: &[u8]) {
    let [first, bytes @ ..] = bytes else { return };
    let worlds = worlds();
    let all = || worlds.iter().flat_map(|world| world.proofs.iter().map(|genuine| (&world.root, genuine)));
    let Some((root, (key, value, genuine))) = all().nth(usize::from(*first) % all().count()) else { return };
    match verify(root, key, bytes) {
        Ok(proven) => {
            assert_eq!(proven, *value, "a proof of {key:02x?} shows something else");
            assert_eq!(bytes, genuine, "a second proof of {key:02x?}");
        }
        Err(_) => assert_ne!(bytes, genuine, "the proof of {key:02x?} is refused"),
    }
    if bytes.first() == Some(&b'{') {
        bundle(&Hash(*root), bytes);
    }
}

/// A bundle about a key of these worlds is one that shows the key's own value.
fn bundle(root: &Hash, bytes: &[u8]) {
    let Ok(proven) = Bundle::verify(bytes, *root) else { return };
    assert_eq!(proven.root, *root);
    let Claim::Key(key) = proven.claim else { panic!("these worlds have no record: {:?}", proven.claim) };
    let of_root = worlds().iter().filter(|world| world.root == root.0).flat_map(|world| &world.proofs);
    let known = of_root.map(|(known, _, _)| known);
    assert!(known.into_iter().any(|known| *known == key), "a proof of {key:02x?}, which was never made");
}

/// Every genuine proof that [`proof`] knows, in the order in which the first byte counts them.
pub fn genuine_proofs() -> impl Iterator<Item = &'static [u8]> {
    worlds().iter().flat_map(|world| &world.proofs).map(|(_, _, proof)| proof.as_slice())
}

/// A tree with values of several lengths, empty ones among them, one with a single leaf, an empty one.
fn worlds() -> &'static [World] {
    static WORLDS: OnceLock<Vec<World>> = OnceLock::new();
    WORLDS.get_or_init(|| [12, 1, 0].map(world).into())
}

fn world(keys: u8) -> World {
    let entries: Vec<(Vec<u8>, Vec<u8>)> =
        (0..keys).map(|n| (vec![0xd0 + n % 9, n], vec![n; usize::from(n % 4) * 20])).collect();
    let tree = Tree::from_entries(entries.iter().map(|(key, value)| (key, value))).unwrap();
    let value_of = |key: &[u8]| entries.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone());
    let absent = (0..6).map(|n| vec![0xd0 + n, 0xff, n]);
    let keys = entries.iter().map(|(key, _)| key.clone()).chain(absent);
    let proofs = keys
        .map(|key| (key.clone(), value_of(&key), prove::<ProofError>(&tree, &key, |key| Ok(value_of(key))).unwrap()))
        .collect();
    World { root: tree.root(), proofs }
}
