//! A story: the blocks of a seeded world at consecutive heights, and the tips that the model gives them.

use std::fs;
use std::path::Path;

use coalmine_core::{Block, Genesis, Height};
use coalmine_model::Model;
use coalmine_model::generate::{Mix, RandomWorld};
use coalmine_store::{Durability, Ledger, OpenError, Problem, RocksStore, StoreError, Tip};

/// Blocks of every story whose heights do not end before.
pub(crate) const BLOCKS: usize = 25;

/// A genesis and the blocks on it.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) genesis: Genesis,
    pub(crate) blocks: Vec<Block>,
}

impl Story {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let RandomWorld { genesis, blocks } = RandomWorld::of_seed(Mix::Both, seed, BLOCKS);
        let mut written = blocks.into_iter().peekable();
        let heights = written.peek().map_or(0, Block::height)..=Height::MAX;
        let at = |height| written.next_if(|block| block.height() == height).unwrap_or_else(|| Block::empty(height));
        Self { genesis, blocks: heights.map(at).take(BLOCKS).collect() }
    }

    /// The tip after each block, by the model; the first is that of the genesis.
    pub(crate) fn tips(&self) -> Vec<Tip> {
        let mut model = Model::genesis(&self.genesis);
        let mut tips = vec![Tip { height: model.tip(), root: model.root() }];
        for block in &self.blocks {
            model.execute(block).unwrap();
            tips.push(Tip { height: model.tip(), root: model.root() });
        }
        tips
    }
}

/// How far the store of a folder is, as an index of `tips`; nothing if it has never been finished and
/// may be made anew. It must be at the last acknowledged tip or at the one after.
pub(crate) fn judge(
    folder: &Path,
    tips: &[Tip],
    acknowledged: Option<usize>,
    durability: Durability,
) -> Result<Option<usize>, String> {
    let lost = |found: &dyn std::fmt::Display| match acknowledged {
        Some(index) => Err(format!("acknowledged {} is lost: {found}", tips[index])),
        None => Ok(None),
    };
    let opened = RocksStore::open(folder, durability).map_err(OpenError::from).and_then(Ledger::open);
    let found = match opened {
        Ok(ledger) => ledger.last_committed(),
        Err(error) if unfinished(&error) => return lost(&error),
        Err(error) => return Err(format!("does not open: {error}")),
    };
    let index = tips.iter().position(|tip| *tip == found).ok_or(format!("{found} is not the model's"))?;
    match acknowledged {
        Some(last) if index < last => Err(format!("acknowledged {} is lost: found {found}", tips[last])),
        _ if index > acknowledged.map_or(0, |last| last + 1) => Err(format!("{found} is not the next one")),
        _ => Ok(Some(index)),
    }
}

/// Whether a store is only half created, which its error tells to delete and create again.
fn unfinished(error: &OpenError) -> bool {
    let half =
        |error: &StoreError| matches!(error.problem(), Problem::Missing | Problem::NotAStore | Problem::NoColumn(_));
    matches!(error, OpenError::Empty) || matches!(error, OpenError::Store(error) if half(error))
}

/// Copies a folder of files, if there is one, to where nothing else is left.
pub(crate) fn copy(from: &Path, to: &Path) {
    let _absent = fs::remove_dir_all(to);
    if !from.exists() {
        return;
    }
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
