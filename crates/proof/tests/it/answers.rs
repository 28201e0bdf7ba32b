//! Answers from bundles: the ones that the node itself gives, and whatever is changed is refused.

use coalmine_core::{
    Address, Block, ChainId, Command, Description, Encode, FeatureChanges, Genesis, Hash, Key, Manifest, Name, Percent,
    Policy, Read, Receipt, Role, Strategy, StrategyKind, Transaction, Valid, Verdict, Version, Why,
};
use coalmine_proof::{Bundle, BundleError, Claim, KeyProof, ProofError, ProveError};
use coalmine_store::{Ledger, MemoryStore};

const ADMIN: Address = Address([0x11; 20]);
const USER: Address = Address([0xaa; 20]);
/// Somebody without an override.
const OTHER: Address = Address([0xbb; 20]);

/// An answer to any question.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Record(Option<Vec<u8>>),
    IsEnabled(Verdict),
    Route(Option<Version>),
}

/// Asks a bundle.
pub(crate) fn ask(bundle: &Bundle, root: &Hash, question: &Claim) -> Result<Answer, BundleError> {
    match question {
        Claim::Key(_) | Claim::Feature(_) | Claim::Plugin(_) => {
            bundle.record(root, &question.key().unwrap()).map(Answer::Record)
        }
        Claim::IsEnabled { feature, user } => bundle.is_enabled(root, feature, user).map(Answer::IsEnabled),
        Claim::Route { plugin, unit } => bundle.route(root, plugin, unit).map(Answer::Route),
    }
}

/// A ledger, and the questions that are asked of it.
struct World {
    ledger: Ledger<MemoryStore>,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

impl World {
    fn new() -> Self {
        let genesis = Genesis::new("example-1", [(ADMIN, Role::Admin.into())]).unwrap();
        let mut world = Self { ledger: Ledger::create(MemoryStore::new(), &genesis).unwrap() };
        let create = |text, prerequisites: &[&str]| {
            let mut prerequisites: Vec<Name> = prerequisites.iter().map(|text| name(text)).collect();
            prerequisites.sort();
            let policy = (!prerequisites.is_empty()).then(|| Policy { prerequisites, ..Policy::default() });
            let changes = FeatureChanges { policy, ..FeatureChanges::default() };
            Command::CreateFeature {
                name: name(text),
                description: Description::new("").unwrap(),
                changes: Valid::new(changes).unwrap(),
            }
        };
        let enable = |text| Command::Enable { name: name(text) };
        let switch = |text, enabled| Command::SetOverride { name: name(text), user: USER, enabled };
        let percent = Percent::new(40).unwrap();
        world.run(vec![create("on", &[]), enable("on"), create("off", &[])]);
        world.run(vec![create("base", &[]), Command::StartCanary { name: name("base"), percent }]);
        world.run(vec![create("middle", &["base", "on"]), enable("middle")]);
        world.run(vec![create("top", &["middle", "base"]), enable("top")]);
        world.run(vec![create("overridden", &[]), enable("overridden"), switch("overridden", false)]);
        world.run(vec![switch("base", true)]);
        let (old, new) = (version("1.0.0"), version("2.0.0"));
        let register = |plugin, version: &Version| {
            Command::register_version(name(plugin), version.clone(), Manifest::of_code(Hash([7; 32]))).unwrap()
        };
        let strategy = Strategy::with_defaults(StrategyKind::Canary);
        let terms = strategy.default_guardrails();
        let deploy = Command::deploy(name("api"), new.clone(), strategy, &terms).unwrap();
        world.run(vec![register("api", &old), register("api", &new), deploy, register("lib", &old)]);
        world
    }

    /// Runs a block of one transaction.
    fn run(&mut self, commands: Vec<Command>) {
        let height = self.ledger.state().tip().map_or(1, |tip| tip + 1);
        let block = Block::new(height, vec![Transaction::new(ADMIN, commands).unwrap()]).unwrap();
        let execution = self.ledger.execute(&block).unwrap();
        assert_eq!(execution.outcome().receipts, [Receipt::Ok]);
        self.ledger.commit(execution).unwrap();
    }

    fn root(&self) -> Hash {
        self.ledger.state().root()
    }

    fn prove(&self, claim: Claim) -> Bundle {
        Bundle::prove(claim, self.ledger.state(), self.ledger.store()).unwrap()
    }

    /// What the node answers from its decoded state and its store.
    fn truth(&self, question: &Claim) -> Answer {
        match question {
            Claim::Key(_) | Claim::Feature(_) | Claim::Plugin(_) => {
                Answer::Record(self.ledger.store().get(&question.key().unwrap()).unwrap())
            }
            Claim::IsEnabled { feature, user } => Answer::IsEnabled(self.ledger.state().check(feature, user)),
            Claim::Route { plugin, unit } => Answer::Route(self.ledger.state().route(plugin, unit).cloned()),
        }
    }

    /// A unit that a version of `api` serves.
    fn unit_of(&self, served: &str) -> Vec<u8> {
        let units = (0..1_000_u16).map(|number| number.to_be_bytes());
        let mut found =
            units.filter(|unit| self.ledger.state().route(&name("api"), unit).unwrap().to_string() == served);
        found.next().unwrap().to_vec()
    }

    /// A question of every kind, whose answers are those of the tests by hand.
    fn questions(&self) -> Vec<Claim> {
        let is_enabled = |feature, user| Claim::IsEnabled { feature: name(feature), user };
        let route = |plugin, unit| Claim::Route { plugin: name(plugin), unit };
        vec![
            Claim::Key(Key::Global.to_bytes()),
            Claim::Key(b"nothing".to_vec()),
            Claim::Key(vec![]),
            // The value of an active feature's entry is empty.
            Claim::Key(Key::Active(name("base")).to_bytes()),
            Claim::Feature(name("on")),
            Claim::Feature(name("nothing")),
            Claim::Plugin(name("api")),
            Claim::Plugin(name("nothing")),
            is_enabled("on", USER),
            is_enabled("off", USER),
            is_enabled("overridden", USER),
            is_enabled("overridden", OTHER),
            is_enabled("top", USER),
            is_enabled("top", OTHER),
            is_enabled("nothing", USER),
            route("api", self.unit_of("1.0.0")),
            route("api", self.unit_of("2.0.0")),
            route("api", vec![]),
            route("lib", b"unit".to_vec()),
            route("nothing", b"unit".to_vec()),
        ]
    }
}

fn assert_refused(bundle: &Bundle, root: &Hash, question: &Claim, expected: &str) {
    let error = ask(bundle, root, question).unwrap_err().to_string();
    assert!(error.contains(expected), "{question:?}: {error}");
}

#[test]
fn answers_are_those_of_the_node() {
    let world = World::new();
    for question in world.questions() {
        let bundle = world.prove(question.clone());
        assert_eq!(ask(&bundle, &world.root(), &question).unwrap(), world.truth(&question), "{question:?}");
    }
}

/// The same, worked out by hand: who is on, what decides it, and how many records it takes.
#[test]
fn features_are_on_for_whom_they_are() {
    let world = World::new();
    let check = |feature: &str, user, on, decided_by: &str, records| {
        let bundle = world.prove(Claim::IsEnabled { feature: name(feature), user });
        let verdict = bundle.is_enabled(&world.root(), &name(feature), &user).unwrap();
        assert_eq!((verdict.on, verdict.decided_by), (on, name(decided_by)), "{feature} {user}: {verdict:?}");
        assert_eq!(bundle.proofs.len(), records, "{feature} {user}");
        assert_eq!(bundle.chain, Some(ChainId::new(b"example-1").unwrap()));
        verdict.why
    };
    check("on", USER, true, "on", 4);
    check("off", USER, false, "off", 4);
    assert_eq!(check("overridden", USER, false, "overridden", 4), Why::Override);
    check("overridden", OTHER, true, "overridden", 4);
    check("top", USER, true, "top", 13);
    let why = check("top", OTHER, false, "base", 13);
    assert!(matches!(why, Why::Bucket { bucket, share } if bucket >= share && share.get() == 4_000), "{why:?}");
    assert_eq!(check("nothing", USER, false, "nothing", 4), Why::Unknown);
}

#[test]
fn units_are_served_by_whom_they_are() {
    let world = World::new();
    let check = |plugin: &str, unit: &[u8], served: Option<&str>| {
        let bundle = world.prove(Claim::Route { plugin: name(plugin), unit: unit.into() });
        assert_eq!(bundle.route(&world.root(), &name(plugin), unit).unwrap(), served.map(version), "{plugin}");
        assert_eq!(bundle.proofs.len(), 3, "the global record, the plugin and its deployment");
    };
    check("api", &world.unit_of("1.0.0"), Some("1.0.0"));
    check("api", &world.unit_of("2.0.0"), Some("2.0.0"));
    check("lib", b"unit", Some("1.0.0"));
    check("nothing", b"unit", None);
}

#[test]
fn the_genesis_can_be_asked() {
    let genesis = Genesis::new("", [(ADMIN, Role::Admin.into())]).unwrap();
    let world = World { ledger: Ledger::create(MemoryStore::new(), &genesis).unwrap() };
    let question = Claim::IsEnabled { feature: name("on"), user: USER };
    let bundle = world.prove(question.clone());
    assert_eq!((bundle.height, bundle.chain), (None, Some(ChainId::new(b"").unwrap())));
    assert_eq!(ask(&bundle, &world.root(), &question).unwrap(), world.truth(&question));
}

#[test]
fn a_bundle_answers_its_own_question_only() {
    let world = World::new();
    let questions = world.questions();
    for (asked, question) in questions.iter().enumerate() {
        let bundle = world.prove(question.clone());
        for (other, question) in questions.iter().enumerate() {
            if asked != other {
                assert_refused(&bundle, &world.root(), question, "it answers another question");
                // A prover may put the question that was asked in the place of its own.
                let changed = Bundle { claim: question.clone(), ..bundle.clone() };
                match ask(&changed, &world.root(), question) {
                    Ok(answer) => assert_eq!(answer, world.truth(question), "{question:?}"),
                    Err(_) => assert_ne!(keys(&changed), keys(&world.prove(question.clone())), "{question:?}"),
                }
            }
        }
    }
}

fn keys(bundle: &Bundle) -> Vec<&[u8]> {
    bundle.proofs.iter().map(|item| item.key.as_slice()).collect()
}

#[test]
fn a_bundle_holds_under_its_root_only() {
    let mut world = World::new();
    let questions = world.questions();
    let bundles: Vec<Bundle> = questions.iter().map(|question| world.prove(question.clone())).collect();
    let before = world.root();
    world.run(vec![Command::Disable { name: name("on") }]);
    for (question, bundle) in questions.iter().zip(bundles) {
        assert_refused(&bundle, &world.root(), question, &format!("it is about root {before}, not {}", world.root()));
        let moved = Bundle { root: world.root(), ..bundle.clone() };
        assert_refused(&moved, &world.root(), question, "proof 0: proof: does not hold under this root");
        // The height is not part of the state, and so is the prover's word.
        let aged = Bundle { height: Some(9_999), ..bundle };
        assert!(ask(&aged, &before, question).is_ok());
    }
}

#[test]
fn a_bundle_has_the_records_of_its_question_and_no_others() {
    let world = World::new();
    let root = world.root();
    let records = |key: Vec<u8>| world.ledger.store().get(&key).map(|value| (key, value)).unwrap();
    let stranger = world.prove(Claim::Key(b"stranger".to_vec())).proofs.remove(0);
    for question in world.questions() {
        let bundle = world.prove(question.clone());
        let changed = |edit: &dyn Fn(&mut Vec<KeyProof>)| {
            let mut changed = bundle.clone();
            edit(&mut changed.proofs);
            changed
        };
        let refused = |edit: &dyn Fn(&mut Vec<KeyProof>), expected: &str| {
            assert_refused(&changed(edit), &root, &question, expected);
        };
        refused(&|proofs| proofs.push(stranger.clone()), "not exactly the ones");
        refused(&|proofs| proofs.insert(0, stranger.clone()), "not exactly the ones");
        refused(&|proofs| proofs.clear(), "");
        let count = bundle.proofs.len();
        for at in 0..count {
            refused(&|proofs| drop(proofs.remove(at)), "");
            refused(&|proofs| proofs[at] = stranger.clone(), "");
            refused(&|proofs| proofs.push(proofs[at].clone()), &format!("proof {count}: the key is there twice"));
            refused(&|proofs| proofs[at].key.push(0), "made for another key");
            let (_, value) = records(bundle.proofs[at].key.clone());
            assert_eq!(bundle.proofs[at].value, value);
            let mismatch = format!("proof {at}: it shows another value");
            let other = if value.is_some() { None } else { Some(vec![]) };
            refused(&|proofs| proofs[at].value = other.clone(), &mismatch);
            refused(&|proofs| proofs[at].value.get_or_insert_default().push(0), &mismatch);
            refused(&|proofs| proofs[at].proof.push(0), "proof");
            refused(&|proofs| proofs[at].proof.clear(), "proof");
            for byte in (0..bundle.proofs[at].proof.len()).step_by(61) {
                refused(&|proofs| proofs[at].proof[byte] ^= 0x10, "proof");
            }
            let next = (at + 1) % count;
            if next != at {
                let proof = bundle.proofs[next].proof.clone();
                refused(&|proofs| proofs[at].proof = proof.clone(), "made for another key");
            }
        }
        // The order of the proofs has no meaning.
        let reversed = changed(&|proofs| proofs.reverse());
        assert_eq!(ask(&reversed, &root, &question).unwrap(), world.truth(&question));
    }
}

/// A policy without a proof is not taken for the default one, by which there would be no prerequisites.
#[test]
fn a_policy_that_is_not_proven_is_not_absent() {
    let (world, question) = (World::new(), Claim::IsEnabled { feature: name("top"), user: OTHER });
    let mut bundle = world.prove(question.clone());
    let policy = Key::Policy(name("top")).to_bytes();
    bundle.proofs.retain(|item| item.key != policy);
    assert_refused(&bundle, &world.root(), &question, "the bundle has no proof for key d5746f70");
}

#[test]
fn the_chain_is_the_proven_one() {
    let world = World::new();
    for question in world.questions() {
        let bundle = world.prove(question.clone());
        let other = Bundle { chain: Some(ChainId::new(b"example-2").unwrap()), ..bundle.clone() };
        let none = Bundle { chain: None, ..bundle };
        if question.key().is_some() {
            assert_refused(&other, &world.root(), &question, "the chain is not part of a claim about a record");
            assert!(ask(&none, &world.root(), &question).is_ok());
        } else {
            assert_refused(&other, &world.root(), &question, "the chain is \"example-1\"");
            assert_refused(&none, &world.root(), &question, "the chain is \"example-1\"");
        }
    }
}

/// Records of another state are noticed by the prover where they are missing, and by the verifier else.
#[test]
fn records_are_those_of_the_state() {
    let (world, question) = (World::new(), Claim::Feature(name("on")));
    let genesis = Genesis::new("example-1", [(ADMIN, Role::Admin.into())]).unwrap();
    let empty = Ledger::create(MemoryStore::new(), &genesis).unwrap();
    let missing = Bundle::prove(question.clone(), world.ledger.state(), empty.store());
    assert!(matches!(missing, Err(ProveError::Proof(ProofError::ValueMissing))), "{missing:?}");

    let mut later = World::new();
    later.run(vec![Command::Disable { name: name("on") }]);
    let mixed = Bundle::prove(question.clone(), world.ledger.state(), later.ledger.store()).unwrap();
    assert_refused(&mixed, &world.root(), &question, "does not hold");
}

#[test]
fn a_root_of_no_ledger_has_no_answers() {
    let question = Claim::Route { plugin: name("api"), unit: vec![] };
    let empty = coalmine_core::tree::Tree::new();
    let root = Hash(empty.root());
    let item = |key: Key| KeyProof::prove::<ProofError>(&empty, key.to_bytes(), |_| Ok(None)).unwrap();
    let proofs = [Key::Global, Key::Plugin(name("api")), Key::Deployment(name("api"))].map(item).into();
    let bundle = Bundle { claim: question.clone(), height: None, root, chain: None, proofs };
    assert_refused(&bundle, &root, &question, "there is no global record");
}

#[cfg(feature = "json")]
mod json {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use coalmine_proof::{BUNDLE_SIZE_MAX, BundleJsonError};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn bundles_are_read_back() {
        let world = World::new();
        for question in world.questions() {
            let bundle = world.prove(question.clone());
            let bytes = serde_json::to_vec(&bundle).unwrap();
            let read = Bundle::from_json(&bytes).unwrap();
            assert_eq!(read, bundle);
            assert_eq!(ask(&read, &world.root(), &question).unwrap(), world.truth(&question));
        }
    }

    /// Released files: they are read, say what they said, and are written again with the same bytes.
    #[test]
    fn released_bundles_stay_as_they_are() {
        let features: Hash = "f4fd3617def9d83b817028164111f61bd5c72d54c80444961a3310a9316e58c6".parse().unwrap();
        let plugins: Hash = PLUGINS_ROOT.parse().unwrap();
        let user: Address = "0x000000000000000000000000000000000000000a".parse().unwrap();
        let is_enabled = |feature| Claim::IsEnabled { feature: name(feature), user };
        let check = |file: &str, root: Hash, question: Claim, is_there: bool| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/proofs").join(file);
            let bytes = fs::read(path).unwrap();
            let bundle = Bundle::from_json(&bytes).unwrap();
            assert_eq!(bundle.claim, question);
            let is_so = match ask(&bundle, &root, &question).unwrap() {
                Answer::Record(value) => value.is_some(),
                Answer::IsEnabled(verdict) => verdict.on,
                Answer::Route(version) => version.is_some(),
            };
            assert_eq!(is_so, is_there, "{file}");
            assert_eq!([serde_json::to_vec_pretty(&bundle).unwrap(), vec![b'\n']].concat(), bytes, "{file}");
        };
        check("key.json", features, Claim::Key(vec![0xd4]), true);
        check("key-absent.json", features, Claim::Key(vec![0xd4, 0x62]), false);
        check("feature.json", features, Claim::Feature(name("wallet_v2")), true);
        check("feature-absent.json", features, Claim::Feature(name("nothing")), false);
        check("is-enabled.json", features, is_enabled("checkout_v2"), true);
        check("is-enabled-absent.json", features, is_enabled("nothing"), false);
        check("plugin.json", plugins, Claim::Plugin(name("lib")), true);
        check("plugin-absent.json", plugins, Claim::Plugin(name("nothing")), false);
    }

    const PLUGINS_ROOT: &str = "7dbd7c6eedbefee315e7cf02eee6c6247bb6724f2f5240f0dbdc1faa1c56edec";

    #[test]
    fn a_text_with_a_byte_changed_gives_no_other_answer() {
        let world = World::new();
        for question in world.questions() {
            let bytes = serde_json::to_vec(&world.prove(question.clone())).unwrap();
            for at in (0..bytes.len()).step_by(47) {
                for change in [1, 0x20] {
                    let mut changed = bytes.clone();
                    changed[at] ^= change;
                    let Ok(bundle) = Bundle::from_json(&changed) else { continue };
                    if let Ok(answer) = ask(&bundle, &world.root(), &question) {
                        assert_eq!(answer, world.truth(&question), "byte {at} xor {change}");
                    }
                }
                assert!(Bundle::from_json(&bytes[..at]).is_err(), "first {at} bytes");
            }
        }
    }

    #[test]
    fn malformed_bundles_are_refused_by_name() {
        let world = World::new();
        let is_enabled = json(&world, Claim::IsEnabled { feature: name("on"), user: USER });
        let route = json(&world, Claim::Route { plugin: name("api"), unit: vec![0xab] });
        let key = json(&world, Claim::Key(vec![0xd4]));
        let check = |bundle: &Value, member: &str, value: Value, expected: &str| {
            let mut changed = bundle.clone();
            *changed.pointer_mut(member).unwrap() = value;
            refused(changed.to_string().as_bytes(), expected);
        };
        check(&key, "/format", json!("coalmine-proof/2"), "unknown format \"coalmine-proof/2\"");
        check(&key, "/kind", json!("keys"), "not those of kind \"keys\"");
        check(&key, "/kind", json!("feature"), "not those of kind \"feature\"");
        check(&key, "/kind", json!(1), "not a bundle: ");
        check(&key, "/height", json!(-1), "not a bundle: ");
        check(&key, "/root", json!("00"), "root: ");
        check(&key, "/root", json!("A".repeat(64)), "root: hex digits are lower-case");
        check(&key, "/proofs", json!([]), "there is no proof in it");
        check(&key, "/proofs/0/key", json!("d"), "proof 0: key: wrong hex");
        check(&key, "/proofs/0/key", json!("D4"), "proof 0: key: hex digits are lower-case");
        check(&key, "/proofs/0/value", json!("0g"), "proof 0: value: wrong hex");
        check(&key, "/proofs/0/proof", json!("*"), "proof 0: wrong base64");
        check(&key, "/proofs/0/proof", json!("AB=="), "proof 0: wrong base64");
        check(&is_enabled, "/chain", json!("a b"), "chain: ");
        check(&is_enabled, "/chain", json!(null), "not those of kind \"is_enabled\"");
        check(&is_enabled, "/feature", json!("a b"), "feature: ");
        check(&is_enabled, "/user", json!("0x00"), "user: ");
        check(&is_enabled, "/user", json!(format!("0x{}", "A".repeat(40))), "user: hex digits are lower-case");
        check(&is_enabled, "/kind", json!("route"), "not those of kind \"route\"");
        check(&route, "/plugin", json!(""), "plugin: ");
        check(&route, "/unit", json!("0xab"), "unit: wrong hex");
        check(&route, "/unit", json!("AB"), "unit: hex digits are lower-case");
        for bundle in [&key, &is_enabled, &route] {
            for member in bundle.as_object().unwrap().keys() {
                let mut changed = bundle.clone();
                changed.as_object_mut().unwrap().remove(member);
                refused(changed.to_string().as_bytes(), "");
            }
            for member in ["more", "chain", "feature", "plugin", "user", "unit"] {
                let mut changed = bundle.clone();
                if changed.get(member).is_none() {
                    changed[member] = json!("aa");
                    refused(changed.to_string().as_bytes(), "");
                }
            }
            for member in ["key", "value", "proof"] {
                let mut changed = bundle.clone();
                changed["proofs"][0].as_object_mut().unwrap().remove(member);
                refused(changed.to_string().as_bytes(), "not a bundle: missing field");
            }
            let mut changed = bundle.clone();
            changed["proofs"][0]["more"] = json!(1);
            refused(changed.to_string().as_bytes(), "not a bundle: unknown field");
            let twice = bundle.to_string().replacen('{', r#"{"height":1,"#, 1);
            refused(twice.as_bytes(), "not a bundle: duplicate field");
        }
        refused(b"", "not a bundle: ");
        refused(b"[]", "not a bundle: ");
        refused("[".repeat(100_000).as_bytes(), "not a bundle: ");
        assert!(matches!(Bundle::from_json(&vec![b' '; BUNDLE_SIZE_MAX]), Err(BundleJsonError::Malformed(_))));
        assert!(matches!(Bundle::from_json(&vec![b' '; BUNDLE_SIZE_MAX + 1]), Err(BundleJsonError::TooLarge)));
    }

    /// The rows of the tables about bundles in FORMAT.md, with the column that each begins with.
    fn rows_of_format() -> Vec<(String, Vec<String>)> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/FORMAT.md");
        let text = fs::read_to_string(path).unwrap();
        let (_, section) = text.split_once("\n### Bundles\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let mut column = String::new();
        let mut rows = Vec::new();
        for line in section.lines().filter(|line| line.starts_with("| ")) {
            let cells: Vec<String> = line.split('|').map(|cell| cell.replace('`', "").trim().into()).collect();
            match cells[1].as_str() {
                "member" | "kind" if cells[2] == "kinds" || cells[2] == "keys" => column.clone_from(&cells[1]),
                _ => rows.push((column.clone(), cells[1..].to_vec())),
            }
        }
        rows
    }

    #[test]
    fn members_and_keys_are_those_of_the_text() {
        let (world, rows) = (World::new(), rows_of_format());
        let is_one = |list: &str, kind: &str| list.split(", ").any(|one| one == kind || one == "all");
        for question in world.questions() {
            let bundle = world.prove(question.clone());
            let text = serde_json::to_string(&bundle).unwrap();
            let object: Value = serde_json::from_str(&text).unwrap();
            let kind = object["kind"].as_str().unwrap();
            let members = rows.iter().filter(|(column, row)| column == "member" && is_one(&row[1], kind));
            let places: Vec<Option<usize>> = members.map(|(_, row)| text.find(&format!("\"{}\":", row[0]))).collect();
            assert!(places.is_sorted() && places.iter().all(Option::is_some), "{kind}: {places:?}");
            assert_eq!(object.as_object().unwrap().len(), places.len(), "{kind}");
            if question.key().is_none() {
                let (_, row) = rows.iter().find(|(column, row)| column == "kind" && is_one(&row[0], kind)).unwrap();
                let prefixes: BTreeSet<String> = keys(&bundle).iter().map(|key| format!("{:02X}", key[0])).collect();
                let listed: BTreeSet<String> = row[1].split([' ', ';', ',']).map(Into::into).collect();
                assert!(prefixes.is_subset(&listed), "{kind}: {prefixes:?}");
                assert_eq!(listed.iter().filter(|word| word.starts_with('D')).count(), prefixes.len(), "{kind}");
            }
        }
    }

    fn json(world: &World, claim: Claim) -> Value {
        serde_json::to_value(world.prove(claim)).unwrap()
    }

    fn refused(bytes: &[u8], expected: &str) {
        let error = Bundle::from_json(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}, not {expected}");
    }
}
