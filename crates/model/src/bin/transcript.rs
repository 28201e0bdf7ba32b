//! Runs the worlds of seeds through the state machine and prints a hash of all that came of them.
//!
//! `cargo run --release -p coalmine-model --bin transcript -- 10000 0 1 2` runs 10 000 blocks of each
//! of three seeds. The lines are the same on every target, in every profile and every environment:
//! `cargo evidence builds` compares them with `fixtures/transcripts.txt`. Two variables are for that
//! harness: `COALMINE_TRANSCRIPT_BLOCKS` prints a line per block too, to find the first one that
//! differs, and `COALMINE_TRANSCRIPT_FAULT` plants a fault, to see that a difference is found.

use std::env;
use std::error::Error;
use std::fmt;

use coalmine_core::{Encode, Execution, Hash, Receipt, State};
use coalmine_model::generate::{Mix, RandomWorld};
use sha2::{Digest, Sha256};

/// The most blocks of a world, without the empty ones between them. A seed has worlds of every mix in turn.
const WORLD_BLOCKS: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<u64> = env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let [blocks, seeds @ ..] = arguments.as_slice() else {
        return Err("usage: transcript BLOCKS SEED...".into());
    };
    let planted = match env::var("COALMINE_TRANSCRIPT_FAULT") {
        Ok(fault) => planted(&fault)?,
        Err(_) => Vec::new(),
    };
    let is_told = env::var_os("COALMINE_TRANSCRIPT_BLOCKS").is_some();
    for seed in seeds {
        let mut transcript = Transcript::default();
        transcript.hash.update(&planted);
        let mut worlds = (seed << 32..).zip(Mix::ALL.into_iter().cycle());
        while transcript.blocks < *blocks {
            let (world, mix) = worlds.next().ok_or("no more worlds")?;
            let title = is_told.then(|| format!("world {mix:?} {world}"));
            transcript.run(&RandomWorld::of_seed(mix, world, WORLD_BLOCKS), *blocks, title.as_deref())?;
        }
        println!("seed {seed} {transcript}");
    }
    Ok(())
}

/// What differs between targets, profiles or environments, and so must never get into a transcript.
#[expect(clippy::host_endian_bytes, reason = "the fault is the byte order of the host")]
fn planted(fault: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    match fault {
        "word" => Ok(usize::BITS.to_be_bytes().into()),
        "order" => Ok(1_u32.to_ne_bytes().into()),
        "profile" => Ok(vec![u8::from(cfg!(debug_assertions))]),
        "environment" => Ok(["LANG", "TZ", "PWD"].map(|name| env::var(name).unwrap_or_default()).concat().into()),
        _ => Err(format!("no fault is called {fault}").into()),
    }
}

/// What came of the blocks so far.
#[derive(Default)]
struct Transcript {
    blocks: u64,
    transactions: usize,
    rejected: usize,
    root: Hash,
    hash: Sha256,
}

impl Transcript {
    /// Runs a world from its genesis to its end, or until there are enough blocks. Prints each under a title.
    fn run(&mut self, world: &RandomWorld, blocks: u64, title: Option<&str>) -> Result<(), Box<dyn Error>> {
        let (mut state, _) = State::genesis(&world.genesis)?;
        let mut rest = world.blocks.iter().peekable();
        while let Some(block) = rest.peek()
            && self.blocks < blocks
        {
            let execution = match state.tip().and_then(|tip| tip.checked_add(1)) {
                Some(next) if next < block.height() => state.advance(block.height().saturating_sub(1))?,
                _ => state.execute(block)?,
            };
            if execution.height() == block.height() {
                rest.next();
            }
            self.add(&execution);
            if let Some(title) = title {
                println!("{title} height {} {self}", execution.height());
            }
            state.apply(execution)?;
        }
        Ok(())
    }

    fn add(&mut self, execution: &Execution) {
        let outcome = execution.outcome();
        self.root = execution.root();
        self.hash.update(execution.height().to_be_bytes());
        self.hash.update(self.root.0);
        self.hash.update(outcome.to_bytes());
        self.blocks = self.blocks.saturating_add(1);
        self.transactions = self.transactions.saturating_add(outcome.receipts.len());
        let rejected = outcome.receipts.iter().filter(|receipt| **receipt != Receipt::Ok).count();
        self.rejected = self.rejected.saturating_add(rejected);
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blocks, transactions, rejected, root, hash } = self;
        let hash = Hash(hash.clone().finalize().into());
        write!(f, "blocks {blocks} transactions {transactions} rejected {rejected} root {root} transcript {hash}")
    }
}
