//! Keys, envelopes and key files against another implementation's vectors, and everything that is refused.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coalmine_auth::{
    Domain, ENVELOPE_SIZE_MAX, Envelope, ImportError, KEY_FILE_SIZE_MAX, KeyError, Multisig, MultisigError, PublicKey,
    SMALL_ORDER, SecretKey, SignError, Signature, Signer, SignerError, VerifyError, address_of_targeting_key,
    check_genesis, check_grants, create_key, create_secret, from_cometbft, is_reserved, read_key, read_secret,
    to_cometbft,
};
use coalmine_core::prelude::*;
use coalmine_core::{Decode, DecodeErrorKind, Encode, Sequence};
use proptest::prelude::*;
use serde_json::Value;

fn vectors() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/auth/auth.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn targeting_keys() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vectors/targeting.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn fixed<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32])
}

fn public(number: u8) -> PublicKey {
    key(number).public_key()
}

fn domain(chain: &str) -> Domain {
    Domain::of(&Genesis::new(chain, [(Address([0x11; 20]), Role::Admin.into())]).unwrap())
}

fn unsequenced(signer: Address) -> Transaction {
    Transaction::new(signer, vec![Command::create_feature("f".parse().unwrap(), "").unwrap()]).unwrap()
}

fn transaction(signer: Address) -> Transaction {
    unsequenced(signer).with_sequence(Sequence { number: 7, valid_until: None })
}

// Vectors.

#[test]
fn the_bytes_that_a_node_signs_for_a_root_name_ledger_and_height() {
    let domain = domain("x");
    let parts: [&[u8]; 6] = [b"coalmine/root/1", &[1, b'x'], &domain.genesis().0, &[0, 0, 1, 2], &[0xab; 32], b""];
    assert_eq!(domain.root_bytes(0x102, &Hash([0xab; 32])), parts.concat());
}

#[test]
fn targeting_keys_stand_for_addresses() {
    let vectors = targeting_keys();
    assert!(rows(&vectors).len() >= 15);
    for row in rows(&vectors) {
        let address = address_of_targeting_key(row["fields"]["key"].as_str().unwrap());
        assert_eq!(address.to_string(), row["address"].as_str().unwrap(), "{}", row["id"]);
    }
}

#[test]
fn keys_are_those_of_another_implementation() {
    let vectors = vectors();
    assert!(rows(&vectors["keys"]).len() >= 5);
    for row in rows(&vectors["keys"]) {
        let key = SecretKey::from_seed(&fixed(&row["seed"]));
        let (public, message, signature) =
            (PublicKey(fixed(&row["public"])), bytes(&row["message"]), fixed(&row["signature"]));
        assert_eq!(key.public_key(), public);
        assert_eq!(public.address(), Address(fixed(&row["address"])));
        assert_eq!(key.sign(&message).unwrap(), Signature(signature), "signatures are deterministic");
        assert!(public.verifies(&message, &Signature(signature)));
        let pem = row["pem"].as_str().unwrap();
        assert_eq!(key.to_pem().unwrap().as_str(), pem);
        assert_eq!(SecretKey::from_pem(pem).unwrap().public_key(), public);
        assert_eq!(
            SecretKey::from_pem(&format!("\n{}\r\n\n", pem.replace('\n', "\r\n"))).unwrap().public_key(),
            public
        );
        let json = row["cometbft"].as_str().unwrap();
        assert_eq!(to_cometbft(&key).as_str(), json);
        assert_eq!(from_cometbft(json).unwrap().public_key(), public);
        assert_eq!(public.to_string().parse(), Ok(public));
        assert_eq!(row["public"].as_str().unwrap().parse(), Ok(public));
    }
}

#[test]
fn multisignatures_have_the_same_addresses_in_any_order() {
    for row in rows(&vectors()["multisigs"]) {
        let keys: Vec<PublicKey> = rows(&row["keys"]).iter().map(|key| PublicKey(fixed(key))).collect();
        let multisig = Multisig::new(row["threshold"].as_u64().unwrap() as u8, keys).unwrap();
        assert_eq!(multisig.address(), Address(fixed(&row["address"])));
        assert_eq!(Multisig::from_bytes(&multisig.to_bytes()), Ok(multisig));
    }
}

#[test]
fn envelopes_are_those_of_another_implementation() {
    let vectors = vectors();
    assert!(rows(&vectors["envelopes"]).len() >= 16);
    for row in rows(&vectors["envelopes"]) {
        let genesis = Genesis::from_bytes(&bytes(&row["genesis"])).unwrap();
        let domain = Domain::of(&genesis);
        assert_eq!(domain.genesis().0, fixed::<32>(&row["genesis_hash"]));
        let encoded = bytes(&row["envelope"]);
        let envelope = Envelope::from_bytes(&encoded).unwrap();
        assert_eq!(envelope.to_bytes(), encoded);
        assert_eq!(envelope.id().0, fixed::<32>(&row["id"]));
        assert_eq!(domain.sign_bytes(envelope.transaction()), bytes(&row["sign_bytes"]));
        envelope.verify(&domain).unwrap();
        // Made here it has the same bytes.
        let tx = Transaction::from_bytes(envelope.transaction()).unwrap();
        let keys: Vec<SecretKey> = rows(&row["seeds"]).iter().map(|seed| SecretKey::from_seed(&fixed(seed))).collect();
        let made = match envelope.proof() {
            coalmine_auth::Proof::Single { .. } => Envelope::sign(&domain, &tx, &keys[0]).unwrap(),
            coalmine_auth::Proof::Multi { multisig, .. } => {
                let part = |key| Envelope::sign_part(&domain, &tx, multisig, key).unwrap();
                let parts: Vec<_> = keys.iter().rev().map(|key| part(key)).collect();
                Envelope::combine(&domain, &tx, multisig, &parts).unwrap()
            }
        };
        assert_eq!(made.to_bytes(), encoded);
    }
}

/// Whatever byte of an envelope is another one, or left out, or added: it is not good any more.
#[test]
fn no_byte_of_an_envelope_can_change() {
    let vectors = vectors();
    for row in &rows(&vectors["envelopes"])[..2] {
        let domain = Domain::of(&Genesis::from_bytes(&bytes(&row["genesis"])).unwrap());
        let encoded = bytes(&row["envelope"]);
        for index in 0..encoded.len() {
            let mut changed = encoded.clone();
            changed[index] ^= 1 << (index % 8);
            let is_good = Envelope::from_bytes(&changed).is_ok_and(|envelope| envelope.verify(&domain).is_ok());
            assert!(!is_good, "byte {index}");
            assert!(Envelope::from_bytes(&encoded[..index]).is_err(), "{index} bytes");
        }
        let error = Envelope::from_bytes(&[&encoded[..], &[0]].concat()).unwrap_err();
        assert_eq!((error.kind, error.remaining), (DecodeErrorKind::Leftover, 1));
    }
}

// What ZIP-215 accepts.

#[test]
fn small_order_keys_are_accepted_and_get_no_role() {
    let vectors = &vectors()["small_order"];
    let message = bytes(&vectors["message"]);
    let accepted = rows(&vectors["accepted"]);
    assert_eq!(accepted.len(), 196);
    for row in accepted {
        let (key, signature) = (PublicKey(fixed(&row["key"])), fixed::<64>(&row["signature"]));
        assert!(key.verifies(&message, &Signature(signature)), "{row}");
        // A scalar that is not reduced is refused: else there would be two signatures.
        let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
        let unreduced = [&signature[..32], &order].concat().try_into().unwrap();
        assert!(!key.verifies(&message, &Signature(unreduced)), "{row}");
    }
    let encodings: Vec<PublicKey> = rows(&vectors["encodings"]).iter().map(|key| PublicKey(fixed(key))).collect();
    assert_eq!(encodings, SMALL_ORDER);
    for (key, address) in SMALL_ORDER.iter().zip(rows(&vectors["addresses"])) {
        assert_eq!(key.address(), Address(fixed(address)));
        assert!(is_reserved(&key.address()));
        check_roles(key.address(), Err(()));
    }
    check_roles(public(1).address(), Ok(()));
    assert!(!is_reserved(&Address::ZERO));
    // No point of the curve: no signature is good.
    assert!(!PublicKey([2; 32]).verifies(&message, &Signature([0; 64])));
}

/// Checks whether an address may have a role, by genesis, command and schedule.
fn check_roles(address: Address, expected: Result<(), ()>) {
    let admin = Address([0x11; 20]);
    let genesis = Genesis::new("x", [(admin, Role::Admin.into()), (address, Role::Reporter.into())]).unwrap();
    assert_eq!(check_genesis(&genesis).map_err(|_| ()), expected, "{address}");
    let grant = || Command::GrantRole { address, role: Role::Guardian };
    let other = || Command::create_feature("f".parse().unwrap(), "").unwrap();
    let scheduled = Command::Schedule { at: 1_000, commands: Valid::new(vec![other(), grant()]).unwrap() };
    for command in [grant(), scheduled] {
        let tx = Transaction::new(admin, vec![other(), command]).unwrap();
        assert_eq!(check_grants(&tx).map_err(|error| assert_eq!(error.0, address)), expected, "{address}");
    }
    let revoke = Command::RevokeRole { address, role: Role::Guardian };
    assert_eq!(check_grants(&Transaction::new(admin, vec![revoke]).unwrap()), Ok(()));
}

/// Why those addresses are reserved: anybody can make an envelope of one.
#[test]
fn anybody_signs_for_the_neutral_point() {
    let (domain, neutral) = (domain("x"), SMALL_ORDER[2]);
    let tx = transaction(neutral.address()).to_bytes();
    let mut encoded = vec![1];
    encoded.extend((tx.len() as u32).to_be_bytes());
    encoded.extend([&tx[..], &[1], &neutral.0, &neutral.0, &[0; 32]].concat());
    Envelope::from_bytes(&encoded).unwrap().verify(&domain).unwrap();
}

// What is refused.

/// An envelope with these parts in place of its own.
fn encoded(version: u8, tx: &[u8], proof: &[&[u8]]) -> Vec<u8> {
    [&[version][..], &(tx.len() as u32).to_be_bytes(), tx, &proof.concat()].concat()
}

#[test]
fn malformed_envelopes_are_refused_with_reason_and_place() {
    let mut keys: Vec<[u8; 32]> = (1..=3).map(|number| public(number).0).collect();
    keys.sort_unstable();
    let (k, s) = (|index: usize| &keys[index][..], &[9_u8; 64][..]);
    let tx = transaction(public(1).address()).to_bytes();
    let single: &[&[u8]] = &[&[1], k(0), s];
    let multi: &[&[u8]] = &[&[2, 2, 3], k(0), k(1), k(2), &[2, 0], s, &[2], s];
    for good in [single, multi] {
        Envelope::from_bytes(&encoded(1, &tx, good)).unwrap();
    }
    use DecodeErrorKind::{Leftover, NotCanonical, OutOfRange, Short, TooLarge, UnknownTag, Unsorted};
    let neutral = &SMALL_ORDER[0].0[..];
    let many: Vec<&[u8]> = [&[&[2_u8, 1, 17][..]][..], &[k(0); 17]].concat();
    for (what, bytes, kind, remaining) in [
        ("nothing", vec![], Short, 0),
        ("version", encoded(2, &tx, single), UnknownTag, tx.len() + 4 + 97),
        ("length of the transaction", [&[1, 0xff, 0xff, 0xff, 0xff][..], &tx].concat(), Short, tx.len()),
        ("no scheme", encoded(1, &tx, &[]), Short, 0),
        ("scheme 0", encoded(1, &tx, &[&[0], k(0), s]), UnknownTag, 96),
        ("scheme 3", encoded(1, &tx, &[&[3]]), UnknownTag, 0),
        ("half a signature", encoded(1, &tx, &[&[1], k(0), &s[..63]]), Short, 63),
        ("two signatures", encoded(1, &tx, &[&[1], k(0), s, s]), Leftover, 64),
        ("one key", encoded(1, &tx, &[&[2, 1, 1], k(0), &[1, 0], s]), TooLarge, 32 + 66),
        ("no key", encoded(1, &tx, &[&[2, 0, 0, 0]]), TooLarge, 1),
        ("17 keys", encoded(1, &tx, &many), TooLarge, 17 * 32),
        ("keys not ascending", encoded(1, &tx, &[&[2, 1, 2], k(1), k(0), &[1, 0], s]), Unsorted, 66),
        ("a key twice", encoded(1, &tx, &[&[2, 1, 2], k(1), k(1), &[1, 0], s]), Unsorted, 66),
        ("threshold 0", encoded(1, &tx, &[&[2, 0, 2], k(0), k(1), &[0]]), OutOfRange, 1),
        ("threshold above the keys", encoded(1, &tx, &[&[2, 3, 2], k(0), k(1), &[3]]), OutOfRange, 1),
        ("a key of small order", encoded(1, &tx, &[&[2, 1, 2], neutral, k(1), &[1, 1], s]), OutOfRange, 66),
        ("too few signatures", encoded(1, &tx, &[&[2, 2, 2], k(0), k(1), &[1, 0], s]), NotCanonical, 65),
        ("too many signatures", encoded(1, &tx, &[&[2, 1, 2], k(0), k(1), &[2, 0], s, &[1], s]), NotCanonical, 130),
        ("a signature twice", encoded(1, &tx, &[&[2, 2, 2], k(0), k(1), &[2, 1], s, &[1], s]), Unsorted, 64),
        ("signatures not ascending", encoded(1, &tx, &[&[2, 2, 2], k(0), k(1), &[2, 1], s, &[0], s]), Unsorted, 64),
        ("the signature of no key", encoded(1, &tx, &[&[2, 1, 2], k(0), k(1), &[1, 2], s]), OutOfRange, 64),
        ("a long transaction", encoded(1, &vec![0; ENVELOPE_SIZE_MAX - 1_560], &[&[1]]), TooLarge, 1),
        ("a long envelope", vec![1; ENVELOPE_SIZE_MAX + 1], TooLarge, ENVELOPE_SIZE_MAX + 1),
    ] {
        let error = Envelope::from_bytes(&bytes).expect_err(what);
        assert_eq!((error.kind, error.remaining), (kind, remaining), "{what}");
    }
}

/// The largest transaction that all sixteen keys have signed fits.
#[test]
fn the_largest_envelope_fits() {
    let keys: Vec<SecretKey> = (1..=16).map(key).collect();
    let multisig = Multisig::new(16, keys.iter().map(Signer::public_key).collect()).unwrap();
    let body: Vec<u8> = (0..16).flat_map(|_| [&8_192_u16.to_be_bytes()[..], &[0; 8_192]].concat()).collect();
    let tx = [&multisig.address().0[..], &[0x90], &[0; 12], &body].concat();
    let message = domain("x").sign_bytes(&tx);
    let mut proof: Vec<u8> = [&[2][..], &multisig.to_bytes(), &[16]].concat();
    for (index, public) in multisig.keys().iter().enumerate() {
        let signer = keys.iter().find(|key| key.public_key() == *public).unwrap();
        proof.push(index as u8);
        proof.extend(signer.sign(&message).unwrap().0);
    }
    let bytes = encoded(1, &tx, &[&proof]);
    assert_eq!(bytes.len(), ENVELOPE_SIZE_MAX);
    Envelope::from_bytes(&bytes).unwrap().verify(&domain("x")).unwrap();
}

#[test]
fn envelopes_of_others_are_refused() {
    let (own, other) = (domain("one"), domain("two"));
    let tx = transaction(public(1).address());
    let good = Envelope::sign(&own, &tx, &key(1)).unwrap();
    assert_eq!(good.signer(), Some(public(1).address()));
    let wrong = Err(VerifyError::Signature(public(1)));
    assert_eq!(good.verify(&other), wrong, "another chain");
    let roles = [(Address([0x22; 20]), Role::Admin.into())];
    assert_eq!(good.verify(&Domain::of(&Genesis::new("one", roles).unwrap())), wrong, "another genesis of that chain");
    // The proof of one transaction around another.
    let around = |tx: &Transaction, key: u8| {
        let message = own.sign_bytes(&tx.to_bytes());
        let signature = self::key(key).sign(&message).unwrap();
        let bytes = encoded(1, &tx.to_bytes(), &[&[1], &public(key).0, &signature.0]);
        Envelope::from_bytes(&bytes).unwrap().verify(&own)
    };
    assert_eq!(around(&tx, 1), Ok(()));
    let keys = public(2).address();
    assert_eq!(around(&tx, 2), Err(VerifyError::OtherSigner { signer: public(1).address(), keys }));
    assert_eq!(around(&unsequenced(public(1).address()), 1), Err(VerifyError::NotSequenced));
    let short = Envelope::from_bytes(&encoded(1, &public(1).address().0, &[&[1], &public(1).0, &[0; 64]])).unwrap();
    assert_eq!((short.signer(), short.verify(&own)), (None, Err(VerifyError::NotSequenced)));
    // Of a multisignature, the first wrong signature is named.
    let multisig = Multisig::new(2, vec![public(1), public(2)]).unwrap();
    let tx = transaction(multisig.address());
    let part = |domain, number| Envelope::sign_part(domain, &tx, &multisig, &key(number)).unwrap();
    let error = Envelope::combine(&own, &tx, &multisig, &[part(&own, 1), part(&other, 2)]).unwrap_err();
    assert!(matches!(error, SignError::Bad(VerifyError::Signature(key)) if key == public(2)), "{error}");
}

/// A signer that fails, and one that signs something else.
struct Broken(bool);

impl Signer for Broken {
    fn public_key(&self) -> PublicKey {
        public(1)
    }

    fn sign(&self, _message: &[u8]) -> Result<Signature, SignerError> {
        if self.0 { Err(SignerError { key: public(1), cause: "unplugged".into() }) } else { Ok(Signature([1; 64])) }
    }
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let domain = domain("x");
    let (one, multisig) = (public(1).address(), Multisig::new(2, vec![public(1), public(2), public(3)]).unwrap());
    let tx = transaction(multisig.address());
    let part = |number| Envelope::sign_part(&domain, &tx, &multisig, &key(number)).unwrap();
    let combine = |parts: &[_]| Envelope::combine(&domain, &tx, &multisig, parts).map(|_| ());
    let sign = |tx: &Transaction, signer: &dyn Signer| Envelope::sign(&domain, tx, signer).map(|_| ());
    let stranger = (public(9), Signature([0; 64]));
    for (what, result, words) in [
        ("no sequence", sign(&unsequenced(one), &key(1)), "has no sequence"),
        ("another signer", sign(&transaction(one), &key(2)), "but the keys are of"),
        ("a signer that fails", sign(&transaction(one), &Broken(true)), "has failed: unplugged"),
        ("a signer that lies", sign(&transaction(one), &Broken(false)), "the signature of key"),
        ("too few", combine(&[part(1)]), "exactly 2 signatures of different keys, not 1"),
        ("too many", combine(&[part(1), part(2), part(3)]), "exactly 2 signatures of different keys, not 3"),
        ("one twice", combine(&[part(1), part(1)]), "exactly 2 signatures of different keys, not 1"),
        ("one twice beside enough", combine(&[part(1), part(2), part(1)]), "exactly 2 signatures"),
        ("a stranger", combine(&[part(1), stranger]), "is none of this multisignature"),
        (
            "a part of a stranger",
            Envelope::sign_part(&domain, &tx, &multisig, &key(9)).map(|_| ()),
            "is none of this multisignature",
        ),
        (
            "a part for another signer",
            Envelope::sign_part(&domain, &transaction(one), &multisig, &key(1)).map(|_| ()),
            "but the keys are of",
        ),
    ] {
        let message = result.expect_err(what).to_string();
        assert!(message.contains(words), "{what}: {message}");
    }
    assert!(combine(&[part(3), part(1)]).is_ok());
}

#[test]
fn keys_that_are_no_multisignature_are_refused() {
    let keys = |count: u8| (1..=count).map(public).collect::<Vec<_>>();
    for (threshold, keys, expected) in [
        (1, keys(1), MultisigError::Keys(1)),
        (1, keys(17), MultisigError::Keys(17)),
        (0, keys(2), MultisigError::Threshold { threshold: 0, keys: 2 }),
        (3, keys(2), MultisigError::Threshold { threshold: 3, keys: 2 }),
        (2, vec![public(1), public(2), public(1)], MultisigError::Repeated(public(1))),
        (2, vec![public(1), SMALL_ORDER[5]], MultisigError::SmallOrder(SMALL_ORDER[5])),
    ] {
        assert_eq!(Multisig::new(threshold, keys), Err(expected));
    }
}

// Key files.

#[test]
fn key_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    create_key(&path, &key(1)).unwrap();
    let mode = |mode| fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&path).unwrap(), *key(1).to_pem().unwrap());
    assert!(create_key(&path, &key(2)).unwrap_err().to_string().contains("exists"), "a key is never replaced");
    for (allowed, good) in
        [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o660, false), (0o620, false), (0o601, false)]
    {
        mode(allowed);
        let found = read_key(&path);
        assert_eq!(found.is_ok(), good, "{allowed:o}");
        match found {
            Ok(found) => assert_eq!(found.public_key(), public(1)),
            Err(error) => assert!(error.to_string().contains(&format!("(mode {allowed:03o}); chmod 600"))),
        }
    }
    create_secret(&folder.path().join("validator.json"), &to_cometbft(&key(3))).unwrap();
    let json = read_secret(&folder.path().join("validator.json")).unwrap();
    assert_eq!(from_cometbft(&json).unwrap().public_key(), public(3));
    assert!(read_key(folder.path()).unwrap_err().to_string().contains("no regular file"));
    assert!(read_key(&folder.path().join("none")).unwrap_err().to_string().contains("No such file"));
    assert!(create_key(&folder.path().join("none/key"), &key(1)).unwrap_err().to_string().contains("No such file"));
    for (content, words) in [
        (vec![b'x'; KEY_FILE_SIZE_MAX as usize + 1], "at most 16384 bytes"),
        (vec![0xff; 8], "UTF-8"),
        (b"".to_vec(), "no PKCS#8 PEM"),
    ] {
        mode(0o600);
        fs::write(&path, content).unwrap();
        let error = read_key(&path).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("key.pem"), "{error}");
    }
}

/// A PEM of this DER, in lines of 64.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn what_is_no_pem_of_a_key_is_refused() {
    let head = |hex: &str| hex::decode(hex).unwrap();
    let seed = [1; 32];
    let version_1 = [&head("302e020100300506032b657004220420")[..], &seed].concat();
    let with_public =
        |public: &[u8]| [&head("3051020101300506032b657004220420")[..], &seed, &head("812100")[..], public].concat();
    for der in [version_1.clone(), with_public(&public(1).0)] {
        assert_eq!(SecretKey::from_pem(&pem("PRIVATE KEY", &der)).unwrap().public_key(), public(1));
    }
    let x25519 = [&head("302e020100300506032b656e04220420")[..], &seed].concat();
    for (what, text) in [
        ("nothing", String::new()),
        ("text", "a key".into()),
        ("hex", hex::encode(seed)),
        ("another label", pem("PUBLIC KEY", &version_1)),
        ("an encrypted key", pem("ENCRYPTED PRIVATE KEY", &version_1)),
        ("another algorithm", pem("PRIVATE KEY", &x25519)),
        ("a public key of another one", pem("PRIVATE KEY", &with_public(&public(2).0))),
        ("half of it", pem("PRIVATE KEY", &version_1[..40])),
        ("something behind it", pem("PRIVATE KEY", &[&version_1[..], &[0]].concat())),
        ("no end", pem("PRIVATE KEY", &version_1).replace("-----END", "-----")),
        ("two keys", pem("PRIVATE KEY", &version_1).repeat(2)),
    ] {
        assert_eq!(SecretKey::from_pem(&text).map(|key| key.public_key()), Err(KeyError::Pem), "{what}");
    }
    for text in ["", "0x", "12", &hex::encode([7; 33]), &"g".repeat(64), &format!("0x0x{}", hex::encode([7; 31]))] {
        assert_eq!(text.parse::<PublicKey>(), Err(KeyError::PublicText), "{text}");
    }
}

#[test]
fn what_is_no_key_of_cometbft_is_refused() {
    let good = to_cometbft(&key(1));
    let other = to_cometbft(&key(2));
    let field = |json: &str, name: &str| {
        let value: Value = serde_json::from_str(json).unwrap();
        if name == "address" { value[name].clone() } else { value[name]["value"].clone() }
    };
    let with = |name: &str| {
        let (from, to) = (field(&good, name), field(&other, name));
        good.replace(from.as_str().unwrap(), to.as_str().unwrap())
    };
    let secret = field(&good, "priv_key");
    let half = STANDARD.encode(&STANDARD.decode(secret.as_str().unwrap()).unwrap()[..32]);
    let mixed = STANDARD.encode([&[1; 32][..], &public(2).0].concat());
    let replaced = |to: &str| good.replace(secret.as_str().unwrap(), to);
    for (json, words) in [
        (String::new(), "no priv_validator_key.json: line 1"),
        ("[]".into(), "no priv_validator_key.json"),
        (good.replace("\"address\"", "\"adress\""), "no priv_validator_key.json: line 2"),
        (with("address"), "address is not that of priv_key"),
        (with("pub_key"), "pub_key is not that of priv_key"),
        (replaced(&mixed), "the second half of the value is not that of priv_key"),
        (replaced(&half), "the value of priv_key is no base64 of 64 bytes"),
        (replaced("???"), "the value of priv_key is no base64 of 64 bytes"),
        (good.replace("PrivKeyEd25519", "PrivKeySecp256k1"), "priv_key is a tendermint/PrivKeySecp256k1, not a"),
        (good.replace("PubKeyEd25519", "PubKeySr25519"), "pub_key is a tendermint/PubKeySr25519, not a"),
    ] {
        let error = from_cometbft(&json).map(|key| key.public_key()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}: {words}");
        assert!(!error.to_string().contains(&half[..8]), "a secret in a message");
    }
    assert_eq!(from_cometbft("{").map(|key| key.public_key()), Err(ImportError::Json { line: 1, column: 1 }));
    // The address in small letters is the same.
    let small = field(&good, "address").as_str().unwrap().to_lowercase();
    assert!(from_cometbft(&good.replace(field(&good, "address").as_str().unwrap(), &small)).is_ok());
}

#[test]
fn secrets_are_not_shown_and_new_keys_differ() {
    let key = key(0x5a);
    let shown = format!("{key:?}");
    assert!(!shown.contains("5a5a5a5a") && shown.contains(&public(0x5a).to_string()), "{shown}");
    let [one, two] = [SecretKey::generate().unwrap(), SecretKey::generate().unwrap()];
    assert_ne!(one.public_key(), two.public_key());
}

proptest! {
    /// What decodes has one encoding, and no bytes make it panic.
    #[test]
    fn one_value_has_one_encoding(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        tx in prop::collection::vec(any::<u8>(), 0..40),
        proof in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        for bytes in [bytes, encoded(1, &tx, &[&[1], &proof]), encoded(1, &tx, &[&[2, 1, 2], &proof])] {
            if let Ok(envelope) = Envelope::from_bytes(&bytes) {
                prop_assert_eq!(envelope.to_bytes(), bytes);
                prop_assert!(envelope.verify(&domain("x")).is_err());
            }
        }
    }
}
