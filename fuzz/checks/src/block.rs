//! The state machine against the plain model, in lockstep, on a world of the bytes' choice.

use coalmine_model::generate::{Mix, RandomWorld};
use coalmine_model::support::Lockstep;

/// Blocks of a world, without the empty ones between them.
const BLOCKS: usize = 30;

/// Runs the world of the bytes through both. The last byte says what its commands are about, so that
/// what a fuzzer has learned of a world of features holds for the others.
pub fn block(bytes: &[u8]) {
    let mix = Mix::ALL[usize::from(bytes.last().copied().unwrap_or_default()) % Mix::ALL.len()];
    let world = RandomWorld::of_bytes(mix, bytes, BLOCKS);
    let mut both = Lockstep::genesis(&world.genesis, None);
    for block in &world.blocks {
        if both.state.tip().is_some() {
            both.advance(block.height() - 1);
        }
        both.feed(block);
    }
    let units: Vec<[u8; 1]> = (0..=u8::MAX).map(|unit| [unit]).collect();
    let units: Vec<&[u8]> = units.iter().map(<[u8; 1]>::as_slice).collect();
    both.agree_on_answers(&units);
}
