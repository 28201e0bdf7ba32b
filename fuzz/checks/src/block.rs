//! The state machine against the plain model, in lockstep, on a world of the bytes' choice.

use coalmine_core::{Block, Execution, Fault, Name, Outcome, State, query};
use coalmine_model::Model;
use coalmine_model::generate::{ADDRESSES, Mix, NAMES, PLUGINS, World};

use crate::records::Records;

/// Blocks of a world, without the empty ones between them.
const BLOCKS: usize = 30;

/// Runs the world of the bytes through both. The last byte says what its commands are about, so that
/// what a fuzzer has learned of a world of features holds for the others.
pub fn block(bytes: &[u8]) {
    let mix = Mix::ALL[usize::from(bytes.last().copied().unwrap_or_default()) % Mix::ALL.len()];
    let world = World::of_bytes(mix, bytes, BLOCKS);
    let (state, writes) = State::genesis(&world.genesis).unwrap();
    let mut records = Records::default();
    records.write(&writes);
    let mut both = Lockstep { state, records, model: Model::genesis(&world.genesis) };
    both.agree();
    for block in &world.blocks {
        while both.state.tip().is_some_and(|tip| tip + 1 < block.height()) {
            both.advance(block.height() - 1);
        }
        let execution = both.state.execute(block).unwrap();
        let outcome = both.model.execute(block).unwrap();
        both.commit(execution, &outcome);
    }
    both.agree_on_answers();
}

/// The state machine, its records, and the model, after the same blocks.
struct Lockstep {
    state: State,
    records: Records,
    model: Model,
}

impl Lockstep {
    /// One step of the way to a height, which for the model is every empty block.
    fn advance(&mut self, to: u32) {
        let execution = self.state.advance(to).unwrap();
        let height = execution.height();
        for empty in self.state.tip().unwrap() + 1..height {
            assert_eq!(self.model.execute(&Block::empty(empty)).unwrap(), Outcome::default(), "skips {empty}");
        }
        let outcome = self.model.execute(&Block::empty(height)).unwrap();
        self.commit(execution, &outcome);
    }

    fn commit(&mut self, execution: Execution, outcome: &Outcome) {
        assert_eq!(execution.outcome(), outcome, "outcome of {}", execution.height());
        let root = execution.root();
        self.records.write(execution.writes());
        self.state.apply(execution).unwrap();
        assert_eq!(self.state.root(), root, "root of the execution");
        self.agree();
    }

    fn agree(&self) {
        assert_eq!(self.state.tip(), self.model.tip(), "tip");
        assert_eq!(self.records.0, self.model.entries(), "records at {:?}", self.state.tip());
        assert_eq!(self.state.root(), self.model.root(), "root at {:?}", self.state.tip());
    }

    fn agree_on_answers(&self) {
        let reloaded = State::load(self.records.0.iter().map(Ok::<_, Fault>), self.state.tip()).unwrap();
        assert_eq!(reloaded.root(), self.state.root(), "root of the records");
        for text in NAMES {
            let name: Name = text.parse().unwrap();
            for user in &ADDRESSES {
                let want = self.model.is_enabled(text.as_bytes(), user);
                let got = [
                    self.state.is_enabled(&name, user),
                    reloaded.is_enabled(&name, user),
                    query::check(&self.records, &name, user).unwrap().on,
                ];
                assert_eq!(got, [want; 3], "is {text} on for {user}");
            }
            for (height, ..) in self.model.history(text.as_bytes()) {
                let got = query::feature_at(&self.records, &name, height).unwrap();
                let got = got.map(|(status, percent)| (status, percent.get()));
                assert_eq!(got, self.model.feature_at(text.as_bytes(), height), "{text} at {height}");
            }
        }
        for text in PLUGINS {
            let name: Name = text.parse().unwrap();
            for unit in 0..=u8::MAX {
                let want = self.model.route(text.as_bytes(), &[unit]);
                let got = [
                    self.state.route(&name, &[unit]).map(ToString::to_string),
                    reloaded.route(&name, &[unit]).map(ToString::to_string),
                    query::route(&self.records, &name, &[unit]).unwrap().map(|version| version.to_string()),
                ];
                assert_eq!(got, [want.clone(), want.clone(), want], "what serves {unit} of {text}");
            }
        }
    }
}
