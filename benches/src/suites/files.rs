//! A block file from the first byte to the last root, as `replay run` does it on the store in memory.
//!
//! Sketch: what the blocks cost a ledger in memory, and reading: frames, checksums and decoding for
//! `.blocks`, parsing for `.jsonl`. The blocks are those of `replay generate`.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use coalmine_json::blockfile::{BlockWriter, Form, Header};
use coalmine_replay::generate::{Generator, Workload};
use coalmine_replay::runner::{BlockSource, run};
use coalmine_store::{Ledger, MemoryStore};
use tempfile::TempDir;

use crate::case::{Case, Suite, repeat};
use crate::clock::Clock;

const BLOCKS: u32 = 30;
const TXS: u32 = 1_000;

pub(super) fn suite() -> Suite {
    let cases = [("a .blocks file", Form::Blocks, "blocks"), ("a .jsonl file", Form::Jsonl, "jsonl")].map(
        |(name, form, extension)| {
            let name = format!("{name} of {BLOCKS} blocks of {TXS} tx, run");
            Case::new(name, Clock::Thread, u64::from(BLOCKS * TXS), move || {
                let folder = TempDir::new().unwrap();
                let file = folder.path().join("generated").with_extension(extension);
                write(&file, form);
                repeat(Clock::Thread, move || {
                    let _kept = &folder;
                    let mut blocks = BlockSource::open(vec![file.clone()]).unwrap();
                    let mut ledger = Ledger::create(MemoryStore::new(), blocks.genesis()).unwrap();
                    run(&mut ledger, &mut blocks, None, &mut ()).unwrap();
                })
            })
        },
    );
    Suite { name: "files", unit: "tx", cases: cases.into(), ratios: Vec::new() }
}

fn write(file: &PathBuf, form: Form) {
    let workload = Workload {
        features: 1_000,
        users: 10_000,
        blocks: BLOCKS,
        txs_per_block: TXS,
        seed: 1,
        mix: Default::default(),
    };
    let generator = Generator::new(workload);
    let header = Header::new(generator.genesis().unwrap());
    let mut writer = BlockWriter::new(BufWriter::new(File::create(file).unwrap()), form, &header).unwrap();
    for block in generator {
        writer.block(&block.unwrap(), None).unwrap();
    }
    writer.finish().unwrap();
}
