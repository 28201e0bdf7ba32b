//! What a page calls, called as a page calls it; and that the file which pages load is of this source.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use coalmine_proof_web::{END, OFF, ON, QUESTION_SIZE_MAX, REFUSED, answer, clear, push, verify};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The module of a page is its own; those of tests are one.
static PAGE: Mutex<()> = Mutex::new(());

/// Asks byte by byte, as a page does.
fn ask(question: &[u8]) -> (u32, String) {
    let _page = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    clear();
    question.iter().for_each(|byte| push(u32::from(*byte)));
    let result = verify();
    let words: Vec<u8> =
        (0_u32..).map(|at| answer(at)).take_while(|byte| *byte != END).map(|byte| byte.try_into().unwrap()).collect();
    (result, String::from_utf8(words).unwrap())
}

const ROOT: &str = "f4fd3617def9d83b817028164111f61bd5c72d54c80444961a3310a9316e58c6";
const USER: &str = "0x000000000000000000000000000000000000000a";

#[test]
fn answers_are_proven_or_refused() {
    let bundle = |name: &str| fs::read_to_string(top().join("fixtures/proofs").join(name)).unwrap();
    let (there, absent) = (bundle("is-enabled.json"), bundle("is-enabled-absent.json"));
    let other_root = ROOT.replace("f4fd", "f4fe");
    let of = |json: &str, member: &str| {
        serde_json::from_str::<serde_json::Value>(json).unwrap()[member].as_str().unwrap_or_default().to_owned()
    };
    let absent_name = of(&absent, "feature");
    let (absent_root, absent_user) = (of(&absent, "root"), of(&absent, "user"));
    let tampered = there.replacen("\"value\": \"0001", "\"value\": \"0101", 1);
    assert_ne!(tampered, there);
    for (root, feature, user, bundle, result, words) in [
        (ROOT, "checkout_v2", USER, there.as_str(), ON, "on, decided by checkout_v2"),
        (&absent_root, &absent_name, &absent_user, &absent, OFF, "there is no such feature"),
        (&other_root, "checkout_v2", USER, &there, REFUSED, "it is about root"),
        (ROOT, "checkout_v3", USER, &there, REFUSED, "it answers another question"),
        (ROOT, "checkout_v2", "0x000000000000000000000000000000000000000b", &there, REFUSED, "another question"),
        (ROOT, "checkout_v2", USER, &tampered, REFUSED, "another value"),
        (ROOT, "checkout_v2", USER, "{}", REFUSED, "the bundle cannot be read"),
        ("f4", "checkout_v2", USER, &there, REFUSED, "the root is not valid"),
        (ROOT, "<script>", USER, &there, REFUSED, "the feature is not valid"),
        (ROOT, "checkout_v2", "me", &there, REFUSED, "the user is not valid"),
    ] {
        let (found, said) = ask(format!("{root}\n{feature}\n{user}\n{bundle}").as_bytes());
        assert_eq!(found, result, "{root} {feature} {user}: {said}");
        assert!(said.contains(words), "{said}");
    }
    for (question, words) in [
        (b"".as_slice(), "no line for the root"),
        (ROOT.as_bytes(), "no line for the root"),
        (b"\xff\n", "no line for the root"),
    ] {
        assert_eq!(ask(question), (REFUSED, format!("the question has {words}")));
    }
}

#[test]
fn a_question_has_a_limit() {
    let (result, words) = ask(&vec![b'0'; QUESTION_SIZE_MAX + 1]);
    assert_eq!((result, words.as_str()), (REFUSED, "the bundle is longer than 4194304 bytes"));
    assert_eq!(ask(b"again\n").1, "the root is not valid: a hash is 64 hexadecimal digits");
}

/// Takes minutes the first time, and is skipped where the target cannot be installed.
#[test]
fn the_file_that_pages_load_is_of_this_source() {
    let output = Command::new("scripts/proof-web").arg("--check").current_dir(top()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("SKIPPED:") {
        eprintln!("{said}");
    }
    assert!(output.status.success(), "{said}");
}
