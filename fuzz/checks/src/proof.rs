//! Of all bytes only the genuine proof of a key verifies, and it says the truth; so does a bundle.

use std::sync::OnceLock;

use coalmine_core::tree::{Hash32, Tree};
use coalmine_core::{Address, Hash, Read};
use coalmine_proof::{Bundle, Claim, ProofError, prove, verify};

use crate::worlds::{Lived, lived};

/// The ledgers of which bundles are made: of features, and of plugins with something deployed.
const SEEDS: [u8; 4] = [1, 33, 195, 242];

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
        bundle(bytes);
    }
}

/// What a bundle proves under any of these roots is so, and it is read back as it was.
fn bundle(bytes: &[u8]) {
    let Ok(bundle) = Bundle::from_json(bytes) else { return };
    let written = serde_json::to_vec(&bundle).unwrap();
    assert_eq!(Bundle::from_json(&written).unwrap(), bundle);
    let holds = SEEDS.iter().filter(|seed| holds_of_ledger(&bundle, lived(**seed))).count();
    let is_genuine = genuine_bundles().contains(&written);
    assert!(holds == 1 || !is_genuine, "a genuine bundle is refused: {bundle:?}");
    for world in worlds() {
        holds_of_tree(&bundle, world);
    }
}

/// Whether a bundle holds of a ledger, which then gives the same answer.
fn holds_of_ledger(bundle: &Bundle, Lived { state, records, .. }: &Lived) -> bool {
    let root = state.root();
    match &bundle.claim {
        Claim::Key(_) | Claim::Feature(_) | Claim::Plugin(_) => {
            let key = bundle.claim.key().unwrap();
            let Ok(value) = bundle.record(&root, &key) else { return false };
            assert_eq!(value, records.get(&key).unwrap(), "{key:02x?}");
        }
        Claim::IsEnabled { feature, user } => {
            let Ok(verdict) = bundle.is_enabled(&root, feature, user) else { return false };
            assert_eq!(verdict, state.check(feature, user), "{feature} {user}");
        }
        Claim::Route { plugin, unit } => {
            let Ok(version) = bundle.route(&root, plugin, unit) else { return false };
            assert_eq!(version.as_ref(), state.route(plugin, unit), "{plugin} {unit:02x?}");
        }
    }
    true
}

/// A bundle that holds of a tree without records is about a key, and shows the key's own value.
fn holds_of_tree(bundle: &Bundle, World { root, proofs }: &World) {
    let root = Hash(*root);
    match &bundle.claim {
        Claim::Key(_) | Claim::Feature(_) | Claim::Plugin(_) => {
            let key = bundle.claim.key().unwrap();
            let Ok(found) = bundle.record(&root, &key) else { return };
            let known = proofs.iter().find(|(known, _, _)| *known == key);
            let (_, value, _) = known.unwrap_or_else(|| panic!("a proof of {key:02x?}, which was never made"));
            assert_eq!(found, *value, "{key:02x?}");
        }
        Claim::IsEnabled { feature, user } => assert!(bundle.is_enabled(&root, feature, user).is_err()),
        Claim::Route { plugin, unit } => assert!(bundle.route(&root, plugin, unit).is_err()),
    }
}

/// Bundles of every kind, as text: of what is there, and of what is not.
pub fn genuine_bundles() -> &'static [Vec<u8>] {
    static BUNDLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BUNDLES.get_or_init(|| {
        let of_ledger = |seed: &u8| {
            let Lived { state, records, .. } = lived(*seed);
            let prove = |claim| serde_json::to_vec(&Bundle::prove(claim, state, records).unwrap()).unwrap();
            claims(lived(*seed)).into_iter().map(prove).collect::<Vec<_>>()
        };
        SEEDS.iter().flat_map(of_ledger).collect()
    })
}

fn claims(Lived { state, .. }: &Lived) -> Vec<Claim> {
    let nothing = "nothing".parse().unwrap();
    let (feature, user) = (state.features().next().map_or(nothing, |feature| feature.name), Address([7; 20]));
    let plugin = state.plugins().next().map_or(nothing, |(name, _)| *name);
    let deployed = state.plugins().find(|(name, _)| state.deployment(name).is_some()).map(|(name, _)| *name);
    let mut claims = vec![
        Claim::Key(vec![0xd4]),
        Claim::Feature(feature),
        Claim::Plugin(plugin),
        Claim::IsEnabled { feature, user },
        Claim::Route { plugin, unit: b"unit".into() },
    ];
    claims.extend(deployed.map(|plugin| Claim::Route { plugin, unit: vec![] }));
    claims
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
