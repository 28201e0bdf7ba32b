//! Writes a batch of golden history: small worlds as block files, with the expected outcome of every block.
//!
//! `cargo run --release -p coalmine-replay --example golden -- fixtures/golden/2 1000`
//!
//! The expectations come from the reference model, independently of the state machine. The folder must
//! not exist, because a batch is never written twice. The number is the first seed; another range of
//! seeds gives other worlds.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use coalmine_core::{Block, Encode, Event, EventCode, Outcome};
use coalmine_json::blockfile::{BlockWriter, Form, Header};
use coalmine_model::Model;
use coalmine_model::generate::{Mix, RandomWorld};
use sha2::{Digest, Sha256};

/// The number of worlds of each mix.
const WORLDS: usize = 70;
/// Blocks of the worlds, in turn: most are short to stay small, some last until more falls due.
const BLOCKS: [usize; 5] = [3, 3, 4, 4, 40];
/// How many more worlds of each mix are looked through for kinds of events that the others have not had.
const MORE_WORLDS: usize = 2_000;
/// Longer transactions, such as a flood of ids or a long description, are left out.
const PAYLOAD_SIZE_MAX: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, seed] = arguments.as_slice() else {
        return Err("usage: golden FOLDER FIRST_SEED".into());
    };
    let folder = Path::new(folder);
    let seed: u64 = seed.parse()?;
    fs::create_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;

    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut outcomes = Vec::new();
    let mut events = BTreeSet::new();
    for (number, (seed, blocks)) in (seed..).zip(BLOCKS.into_iter().cycle()).take(WORLDS + MORE_WORLDS).enumerate() {
        for (mix, name) in [(Mix::Features, "features"), (Mix::Plugins, "plugins"), (Mix::Both, "both")] {
            let golden = golden(&RandomWorld::of_seed(mix, seed, blocks))?;
            if number < WORLDS || !golden.events.is_subset(&events) {
                let name = format!("{name}-{seed:04}.jsonl");
                outcomes.push((name.clone(), golden.outcomes));
                files.push((name, golden.file));
                events.extend(golden.events);
            }
        }
    }
    files.push(("outcomes.txt".into(), list(&mut outcomes).into_bytes()));

    let mut sums: Vec<(String, String)> =
        files.iter().map(|(name, file)| (name.clone(), hex::encode(Sha256::digest(file)))).collect();
    files.push(("SHA256SUMS".into(), list(&mut sums).into_bytes()));
    for (name, file) in &files {
        File::create_new(folder.join(name))?.write_all(file)?;
    }
    let (_, sums) = files.last().ok_or("no file")?;
    println!("the SHA-256 of SHA256SUMS, for the table of tests/it/golden.rs: {}", hex::encode(Sha256::digest(sums)));
    Ok(())
}

/// Names and hashes as `sha256sum` prints them, in the order of the names.
fn list(hashes: &mut [(String, String)]) -> String {
    hashes.sort();
    hashes.iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect()
}

/// A world as a file, and the hash of all that came of it, heights between its blocks included.
struct Golden {
    file: Vec<u8>,
    outcomes: String,
    events: BTreeSet<EventCode>,
}

fn golden(world: &RandomWorld) -> Result<Golden, Box<dyn Error>> {
    let mut model = Model::genesis(&world.genesis);
    let mut writer = BlockWriter::new(Vec::new(), Form::Jsonl, &Header::new(world.genesis.clone()))?;
    let mut outcomes = Sha256::new();
    let mut events = BTreeSet::new();
    let mut execute = |model: &mut Model, block: &Block| -> Result<Outcome, Box<dyn Error>> {
        let outcome = model.execute(block).map_err(|error| format!("{error:?}"))?;
        if outcome != Outcome::default() {
            outcomes.update(block.height().to_be_bytes());
            outcomes.update(outcome.to_bytes());
            events.extend(outcome.events.iter().map(Event::code));
        }
        Ok(outcome)
    };
    for block in &world.blocks {
        let gap = model.tip().map_or(block.height(), |tip| tip.saturating_add(1))..block.height();
        for height in gap {
            execute(&mut model, &Block::empty(height))?;
        }
        let mut payloads: Vec<_> = block.payloads().collect();
        payloads.retain(|payload| payload.to_bytes().len() <= PAYLOAD_SIZE_MAX);
        let block = Block::from_payloads(block.height(), payloads)?;
        let outcome = execute(&mut model, &block)?;
        let receipts: Vec<String> = outcome.receipts.iter().map(|receipt| format!("\"{}\"", receipt.name())).collect();
        let expect = format!("{{\"receipts\":[{}],\"root\":\"{}\"}}", receipts.join(","), model.root());
        writer.block(&block, Some(&expect))?;
    }
    let file = writer.finish()?;
    Ok(Golden { file, outcomes: hex::encode(outcomes.finalize()), events })
}
