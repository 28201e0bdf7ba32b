//! Ledgers that have lived a little, made once each.

use std::sync::OnceLock;

use coalmine_core::{Block, State};
use coalmine_model::generate::{Mix, RandomWorld};

use coalmine_model::support::Records;

const BLOCKS: usize = 4;
/// From this seed on the worlds are about plugins too, and longer: until something is deployed.
const PLUGIN_SEED_MIN: u8 = 192;
const PLUGIN_BLOCKS: usize = 12;

/// What is left of a world after its last block.
pub(crate) struct Lived {
    pub(crate) blocks: Vec<Block>,
    pub(crate) state: State,
    pub(crate) records: Records,
}

/// The world of a seed.
pub(crate) fn lived(seed: u8) -> &'static Lived {
    static WORLDS: [OnceLock<Lived>; 256] = [const { OnceLock::new() }; 256];
    WORLDS[usize::from(seed)].get_or_init(|| {
        let world = match seed {
            PLUGIN_SEED_MIN.. => RandomWorld::of_seed(Mix::Both, seed.into(), PLUGIN_BLOCKS),
            _ => RandomWorld::from_seed(seed.into(), BLOCKS),
        };
        run(world)
    })
}

fn run(world: RandomWorld) -> Lived {
    let (mut state, writes) = State::genesis(&world.genesis).unwrap();
    let mut records = Records::default();
    records.write(&writes);
    for block in &world.blocks {
        while state.tip().is_none_or(|tip| tip < block.height()) {
            let execution = match state.tip() {
                Some(tip) if tip + 1 < block.height() => state.advance(block.height() - 1).unwrap(),
                _ => state.execute(block).unwrap(),
            };
            records.write(execution.writes());
            state.apply(execution).unwrap();
        }
    }
    Lived { blocks: world.blocks, state, records }
}
