//! Core and the model side by side: every block must have the same effect on both.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use coalmine_core::query::OpenRound;
use coalmine_core::{
    Block, BlockError, DeploymentSummary, Execution, FeedBody, FeedId, FeedItem, FeedKind, Genesis, Height, Name,
    Outcome, RuleSet, State, Version, query,
};

use crate::generate::{ADDRESSES, FEED_IDS, NAMES, PLUGINS};
use crate::support::Records;
use crate::{Model, Planted, Refused, TEST_RULES};

/// How far ahead a change of rules is looked for.
const RULES_SOON: Height = 2_000;

/// A state of core, its records, and a model, after the same blocks.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are named as their types")]
pub struct Lockstep {
    pub state: State,
    pub records: Records,
    pub model: Model,
}

/// The effect of a block, on which both agree.
#[derive(Debug)]
pub struct Agreed {
    /// That of the state machine.
    pub execution: Execution,
    /// The records after the block.
    pub records: Records,
    model: Model,
}

impl Agreed {
    /// Receipts and events.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        self.execution.outcome()
    }
}

impl Lockstep {
    /// Both before the first block; the model may have a fault.
    #[must_use]
    pub fn genesis(genesis: &Genesis, planted: Option<Planted>) -> Self {
        let (state, writes) = State::genesis(genesis).unwrap();
        let mut records = Records::default();
        records.write(&writes);
        let mut model = Model::planted(genesis, planted);
        if RuleSet::from_number(TEST_RULES).is_some() {
            model = model.with_test_rules();
        }
        let both = Self { state, records, model };
        assert_eq!(both.state.root(), both.model.root(), "root of the genesis");
        assert_eq!(both.records.0, both.model.entries(), "records of the genesis");
        both
    }

    /// Executes a block on both; nothing is committed.
    ///
    /// # Errors
    /// The first difference.
    pub fn execute(&self, block: &Block) -> Result<Agreed, String> {
        self.compare(self.state.execute(block).unwrap(), block)
    }

    /// The same for an execution that core has made already.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, execution: Execution, block: &Block) -> Result<Agreed, String> {
        let mut model = self.model.clone();
        let outcome = model.execute(block).unwrap();
        if *execution.outcome() != outcome {
            return Err(format!("outcomes differ:\n core {:?}\nmodel {outcome:?}", execution.outcome()));
        }
        let mut records = self.records.clone();
        records.write(execution.writes());
        let want = model.entries();
        if records.0 != want {
            return Err(format!("records differ:{}", differences(&records.0, &want)));
        }
        // The root follows from the records, so it is the model's only where they have changed.
        let root = if records == self.records { self.state.root() } else { crate::root(&want) };
        if execution.root() != root {
            return Err(format!("roots differ:\n core {}\nmodel {root}", execution.root()));
        }
        Ok(Agreed { execution, records, model })
    }

    /// Commits what both have agreed on.
    pub fn commit(&mut self, agreed: Agreed) {
        let Agreed { execution, records, model } = agreed;
        let root = execution.root();
        self.state.apply(execution).unwrap();
        (self.records, self.model) = (records, model);
        assert_eq!((self.state.root(), self.state.tip()), (root, self.model.tip()), "root and tip after commit");
    }

    /// Commits an execution of a block, on which both must agree.
    pub fn commit_alike(&mut self, execution: Execution, block: &Block) -> Outcome {
        let agreed = self.compare(execution, block).unwrap_or_else(|difference| panic!("{difference}"));
        let outcome = agreed.outcome().clone();
        self.commit(agreed);
        outcome
    }

    /// Executes and commits a block, on which both must agree.
    pub fn feed(&mut self, block: &Block) -> Outcome {
        self.commit_alike(self.state.execute(block).unwrap(), block)
    }

    /// Advances core to a height, and feeds every empty block to the model. The blocks that core skips must change
    /// nothing in either.
    pub fn advance(&mut self, to: Height) {
        let mut walked = self.state.clone();
        while self.state.tip().unwrap() < to {
            let execution = self.state.advance(to).unwrap();
            let height = execution.height();
            assert!(height <= to, "advance to {to} reaches {height}");
            for empty in self.state.tip().unwrap() + 1..height {
                let unchanged = self.model.execute(&Block::empty(empty)).unwrap();
                assert_eq!(unchanged, Outcome::default(), "advance skips {empty}");
                let execution = walked.execute(&Block::empty(empty)).unwrap();
                assert!(execution.writes().is_empty(), "advance skips the writes of {empty}");
                walked.apply(execution).unwrap();
            }
            let empty = Block::empty(height);
            let walk = walked.execute(&empty).unwrap();
            assert_same(&execution, &walk);
            walked.apply(walk).unwrap();
            self.commit_alike(execution, &empty);
        }
    }

    /// Advances to the block before a change to rules that neither knows, if one is due soon: both must refuse the one
    /// in which it is. Gives whether there is one.
    pub fn agree_on_unknown_rules(&mut self) -> bool {
        self.agree_on_unknown_rules_until(self.state.tip().unwrap().saturating_add(RULES_SOON))
    }

    /// The same for a change that is due up to a height.
    pub fn agree_on_unknown_rules_until(&mut self, soon: Height) -> bool {
        if self.model.scheduled_rules().is_empty() {
            return false;
        }
        let Err(Refused::UnknownRules { rules, height }) = self.model.clone().advance(soon) else {
            let mut state = self.state.clone();
            while state.tip().unwrap() < soon {
                let execution = state.advance(soon).unwrap();
                state.apply(execution).unwrap();
            }
            return false;
        };
        self.advance(height - 1);
        let refuses = |refused: &Result<Execution, BlockError>| matches!(refused, Err(BlockError::UnknownRules { rules: r, height: h }) if (*r, *h) == (rules, height));
        let empty = Block::empty(height);
        for state in [&self.state, &self.reloaded()] {
            assert!(refuses(&state.execute(&empty)), "core goes on to rules {rules} at {height}");
            assert!(refuses(&state.advance(height)), "core advances to rules {rules} at {height}");
        }
        assert_eq!(self.model.clone().execute(&empty), Err(Refused::UnknownRules { rules, height }));
        true
    }

    /// The state that its records make.
    #[must_use]
    pub fn reloaded(&self) -> State {
        let state = self.records.load(self.state.tip()).unwrap();
        assert_eq!((state.root(), state.tip()), (self.state.root(), self.state.tip()), "reloaded");
        state
    }

    /// Asks both everything about the names, ids and addresses of random worlds, and routes these units.
    pub fn agree_on_answers(&self, units: &[&[u8]]) {
        let reloaded = self.reloaded();
        for text in NAMES.into_iter().chain(["unknown"]) {
            let name: Name = text.parse().unwrap();
            for user in &ADDRESSES {
                let want = self.model.is_enabled(text.as_bytes(), user);
                let at = || format!("is {text} on for {user}");
                assert_eq!(self.state.is_enabled(&name, user), want, "{}", at());
                let handle = self.state.resolve(&name);
                assert_eq!(handle.is_some_and(|handle| self.state.is_enabled_by(handle, user)), want, "{}", at());
                assert_eq!(self.state.check(&name, user).on, want, "{}", at());
                assert_eq!(query::check(&self.records, &name, user).unwrap().on, want, "{}", at());
                assert_eq!(reloaded.is_enabled(&name, user), want, "{}", at());
            }
            self.agree_on_history(text, &name);
        }
        self.agree_on_plugins(&reloaded, units);
        self.agree_on_trust(&reloaded);
        for (kind, id) in FeedKind::ALL.iter().flat_map(|kind| FEED_IDS.iter().map(move |id| (*kind, *id))) {
            let want = self.model.feed_item(kind.tag(), id);
            let id = FeedId::new(id).unwrap();
            let stored = query::feed_item(&self.records, kind, &id).unwrap();
            for got in [self.state.feed_item(kind, &id), reloaded.feed_item(kind, &id), stored.as_ref()] {
                let body = |item: &FeedItem| item.body().map_or(Vec::new(), |body| FeedBody::as_bytes(body).into());
                let got = got.map(|item| (item.version, item.state.tag(), body(item)));
                let want = want.map(|(version, tag, body)| (version, tag, body.to_vec()));
                assert_eq!(got, want, "{kind} {id}");
            }
        }
    }

    fn agree_on_plugins(&self, reloaded: &State, units: &[&[u8]]) {
        for text in PLUGINS.into_iter().chain(["unknown"]) {
            let name: Name = text.parse().unwrap();
            for unit in units {
                let want = self.model.route(text.as_bytes(), unit);
                let handle = self.state.resolve_plugin(&name);
                let stored = query::route(&self.records, &name, unit).unwrap();
                for got in [
                    self.state.route(&name, unit),
                    handle.and_then(|handle| self.state.route_by(handle, unit)),
                    reloaded.route(&name, unit),
                    stored.as_ref(),
                ] {
                    assert_eq!(got.map(Version::to_string), want, "{text} for {unit:02x?}");
                }
            }
            let want = self.model.plugin_answer(text.as_bytes());
            assert_eq!(self.state.plugin(&name).is_some(), want.is_some(), "{text}");
            let Some(want) = want else { continue };
            let DeploymentSummary { status, canary, paused, waiting, share, stage } =
                DeploymentSummary::of(self.state.deployment(&name));
            let got = (status.name(), canary.map(|version| version.to_string()), paused, waiting);
            assert_eq!(got, (want.status, want.canary, want.paused, want.waiting), "{text}");
            assert_eq!((share.get(), usize::from(stage)), (want.share_bps, want.stage), "{text}");
            for version in self.state.plugin_versions(&name) {
                let want = self.model.health_score(text.as_bytes(), version.version.to_string().as_bytes());
                assert_eq!(Some(version.counts.health_score().get()), want, "{text} {}", version.version);
            }
        }
    }

    /// Sequences, open rounds and scheduled changes of the rules.
    fn agree_on_trust(&self, reloaded: &State) {
        for address in &ADDRESSES {
            let want = self.model.sequence_of(address);
            let stored = query::sequence_of(&self.records, address).unwrap();
            for got in [self.state.sequence_of(address), reloaded.sequence_of(address), stored] {
                assert_eq!(got.map(NonZeroU64::get), want, "the last sequence of {address}");
            }
        }
        let want = self.model.scheduled_rules();
        let stored = query::scheduled_rules(&self.records).unwrap();
        for got in [self.state.scheduled_rules(), reloaded.scheduled_rules(), stored] {
            let got: Vec<_> = got.iter().map(|change| (change.at, change.id, change.actor, change.number)).collect();
            assert_eq!(got, want, "scheduled changes of the rules");
        }
        let mut rounds: Vec<OpenRound> = Vec::new();
        // A page at a time, so that each begins behind the one before.
        loop {
            let after = rounds.last().map(|round| (round.due, &round.pool));
            let page = query::pools(&self.records, after, 2).unwrap();
            if page.is_empty() {
                break;
            }
            rounds.extend(page);
        }
        let row = |OpenRound { due, pool, entries }: OpenRound| {
            let version = pool.version().map(Version::to_string).unwrap_or_default();
            let reporters = entries.into_iter().map(|(reporter, _)| reporter).collect();
            (due, pool.kind().tag(), pool.subject().to_string(), version, reporters)
        };
        let got: Vec<_> = rounds.into_iter().map(row).collect();
        assert_eq!(got, self.model.open_rounds(), "open rounds");
    }

    fn agree_on_history(&self, text: &str, name: &Name) {
        let want = self.model.history(text.as_bytes());
        let got = query::history(&self.records, name, None, usize::MAX).unwrap();
        let got: Vec<_> =
            got.iter().map(|entry| (entry.height, entry.change.status, entry.change.percent.get())).collect();
        assert_eq!(got, want, "history of {text}");
        let heights =
            want.iter().flat_map(|(height, ..)| [height.saturating_sub(1), *height, height.saturating_add(1)]);
        for height in heights.chain([0, u32::MAX]) {
            let got = query::feature_at(&self.records, name, height).unwrap();
            let want = self.model.feature_at(text.as_bytes(), height);
            assert_eq!(got.map(|(status, percent)| (status, percent.get())), want, "{text} at {height}");
        }
    }
}

/// Asserts that two executions have the same outcome, root and writes.
pub fn assert_same(one: &Execution, other: &Execution) {
    assert_eq!(one.height(), other.height());
    assert_eq!(one.outcome(), other.outcome());
    assert_eq!(one.root(), other.root());
    assert!(one.writes().iter().eq(other.writes().iter()), "write sets differ");
}

fn differences(got: &BTreeMap<Vec<u8>, Vec<u8>>, want: &BTreeMap<Vec<u8>, Vec<u8>>) -> String {
    let hex = |bytes: &Vec<u8>| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let keys: BTreeSet<_> = got.keys().chain(want.keys()).filter(|key| got.get(*key) != want.get(*key)).collect();
    let line = |key: &Vec<u8>| {
        let of = |map: &BTreeMap<Vec<u8>, Vec<u8>>| map.get(key).map_or("nothing".into(), hex);
        format!("\n  key {}\n core {}\nmodel {}", hex(key), of(got), of(want))
    };
    keys.into_iter().map(line).collect()
}
