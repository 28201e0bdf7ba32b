//! What the properties are tried on: random worlds, and every story and attack of the fixtures.

use std::fs;
use std::path::Path;

use coalmine_core::{Block, BlockError, Execution, Genesis, Height, State};
use coalmine_json::blockfile::{BlockReader, Limits};
use coalmine_model::generate::{Mix, RandomWorld};
use coalmine_model::support::Records;

/// Seeds of each mix of worlds, if `COALMINE_FORESIGHT_WORLDS` does not say more.
const WORLDS: u64 = 10;
/// Worlds of the long form in which something was found, so that every run has them.
const FOUND: [(Mix, u64); 2] = [
    // What is due fills a block, and no report gets in.
    (Mix::Features, 227),
    // Somebody who has spoken in a round loses the role, and what was said still counts.
    (Mix::Plugins, 283),
];
/// Blocks of a world.
const BLOCKS: usize = 25;

/// A genesis and blocks of rising heights.
pub(crate) struct Story {
    pub(crate) name: String,
    pub(crate) genesis: Genesis,
    pub(crate) blocks: Vec<Block>,
}

/// The worlds of so many seeds of each mix.
fn worlds(seeds: u64) -> impl Iterator<Item = Story> {
    let seeds = std::env::var("COALMINE_FORESIGHT_WORLDS").ok().map_or(seeds, |seeds| seeds.parse().unwrap());
    let few = Mix::ALL.into_iter().flat_map(move |mix| (0..seeds).map(move |seed| (mix, seed)));
    few.chain(FOUND.into_iter().filter(move |(_, seed)| *seed >= seeds)).map(|(mix, seed)| {
        let RandomWorld { genesis, blocks } = RandomWorld::of_seed(mix, seed, BLOCKS);
        Story { name: format!("{mix:?} {seed}"), genesis, blocks }
    })
}

/// The stories and attacks of the fixtures.
pub(crate) fn fixtures() -> Vec<Story> {
    let mut stories = Vec::new();
    for folder in ["scenarios", "attacks"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(folder);
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() > 20);
        for file in files {
            let mut reader = BlockReader::open(&file, Limits::default()).unwrap();
            let genesis = reader.header().genesis.clone();
            let blocks = reader.by_ref().map(|block| block.unwrap().block).collect();
            stories.push(Story { name: file.file_stem().unwrap().to_string_lossy().into(), genesis, blocks });
        }
    }
    stories
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = Story> {
    worlds(WORLDS).chain(fixtures())
}

/// A state and its records.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) state: State,
    pub(crate) records: Records,
}

impl Node {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let (state, writes) = State::genesis(genesis).unwrap();
        let mut records = Records::default();
        records.write(&writes);
        Self { state, records }
    }

    pub(crate) fn apply(&mut self, execution: Execution) {
        self.records.write(execution.writes());
        self.state.apply(execution).unwrap();
    }

    /// Feeds a block.
    pub(crate) fn feed(&mut self, block: &Block) -> Execution {
        let execution = self.state.execute(block).unwrap();
        self.apply(execution.clone());
        execution
    }

    /// Feeds the empty blocks up to a height; false if a block has rules that nobody knows.
    pub(crate) fn advance(&mut self, to: Height, mut see: impl FnMut(&Execution)) -> bool {
        while self.state.tip().is_some_and(|tip| tip < to) {
            match self.state.advance(to) {
                Ok(execution) => {
                    see(&execution);
                    self.apply(execution);
                }
                Err(BlockError::UnknownRules { .. }) => return false,
                Err(error) => panic!("{error}"),
            }
        }
        true
    }
}

/// Goes through a story: `visit` sees the state before each block, and the block.
pub(crate) fn walk(story: &Story, mut visit: impl FnMut(&Node, &Block)) {
    let mut node = Node::new(&story.genesis);
    for block in &story.blocks {
        if !node.advance(block.height().saturating_sub(1), |_| {}) {
            return;
        }
        visit(&node, block);
        node.feed(block);
    }
}
