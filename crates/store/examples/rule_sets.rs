//! Takes the ledger of a file as far as this build knows its rules, and leaves it there for a build that knows more.
//!
//! `cargo run -p coalmine-store --example rule_sets -- FILE` makes the file if there is none. It prints the tip after each
//! block, and exits with 4 where it stops. It is for the test `builds.rs`, which runs it with the cargo feature `test-rules`
//! and without.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    dead_code,
    reason = "a part of a test: to panic is how it fails"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use coalmine_store::{Ledger, MemoryStore};

#[path = "../tests/it/common/rules.rs"]
mod rules;

fn main() -> ExitCode {
    let path = PathBuf::from(std::env::args_os().nth(1).unwrap());
    let ledger: Ledger<MemoryStore> = if path.exists() {
        match rules::read_file(&path, MemoryStore::new()) {
            Ok(ledger) => ledger,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(4);
            }
        }
    } else {
        rules::create()
    };
    let reopened = |store: MemoryStore| {
        let handle = store.handle();
        drop(store);
        MemoryStore::with_handle(handle).unwrap()
    };
    let (ledger, course) = rules::go_on(ledger, reopened);
    for tip in &course.tips {
        println!("{tip}");
    }
    rules::write_file(&path, &ledger);
    course.stopped.map_or(ExitCode::SUCCESS, |error| {
        eprintln!("{error}");
        ExitCode::from(4)
    })
}
