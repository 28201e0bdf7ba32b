//! Sinks that crash between any two steps, and receivers that fail: nothing is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use coalmine_core::Command;
use proptest::prelude::*;

use crate::node::{Node, Options};
use crate::notify::carrier::{Attempt, Carrier, Form};
use crate::notify::filter::Filter;
use crate::notify::message::{Message, Position};
use crate::notify::progress::Outcome;
use crate::notify::worker::{Pause, Worker};
use crate::testing::{Manual, genesis, key, manual, signed};

/// What a receiver answers next, and what it has got.
#[derive(Debug, Default)]
struct Receiver {
    answer: Option<Outcome>,
    /// Whether it has got the message, although it answers that it has not.
    loses_answers: bool,
    got: Vec<Message>,
}

#[derive(Debug, Clone)]
struct ToReceiver(Arc<Mutex<Receiver>>, Form);

impl Carrier for ToReceiver {
    fn form(&self) -> Form {
        self.1
    }

    fn endpoint(&self) -> [u8; 8] {
        *b"receiver"
    }

    fn carry(&mut self, message: &Message, _now: SystemTime) -> Attempt {
        let mut receiver = self.0.lock().unwrap();
        let outcome = receiver.answer.unwrap_or(Outcome::Delivered);
        if outcome == Outcome::Delivered || receiver.loses_answers {
            receiver.got.push(message.clone());
        }
        Attempt { outcome, what: if outcome == Outcome::Delivered { String::new() } else { "no".into() } }
    }
}

struct World {
    node: Node,
    blocks: Manual,
    sequence: u64,
    receiver: Arc<Mutex<Receiver>>,
    form: Form,
    worker: Worker,
    now: u64,
}

impl World {
    fn new(form: Form) -> Self {
        let (node, mut blocks) = manual(&genesis(), Options::default());
        blocks.block().unwrap();
        let receiver = Arc::new(Mutex::new(Receiver::default()));
        let worker = worker(&node, form, &receiver);
        Self { node, blocks, sequence: 0, receiver, form, worker, now: 10_000_000 }
    }

    /// Makes a block with so many events, for which features are created.
    fn block(&mut self, events: u64) {
        let commands = (0..events).map(|place| {
            let name = format!("f{}-{place}", self.sequence).parse().unwrap();
            Command::create_feature(name, "").unwrap()
        });
        let commands: Vec<Command> = commands.collect();
        if !commands.is_empty() {
            self.sequence += 1;
            self.node.submit(&signed(&self.node, &key(1), self.sequence, commands)).unwrap();
        }
        self.blocks.block().unwrap();
    }

    fn step(&mut self) -> Pause {
        self.worker.step(SystemTime::UNIX_EPOCH + Duration::from_millis(self.now), 0).unwrap()
    }

    /// Loses everything that is not durable.
    fn crash(&mut self) {
        self.worker = worker(&self.node, self.form, &self.receiver);
    }

    /// Goes on until there is nothing to do, however long that takes.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            match self.step() {
                Pause::No => {}
                Pause::For(time) => self.now += u64::try_from(time.as_millis()).unwrap(),
                Pause::UntilBlock | Pause::UntilAsked => return,
            }
        }
        panic!("a sink never comes to rest");
    }

    fn answers(&self, answer: Option<Outcome>) {
        self.receiver.lock().unwrap().answer = answer;
    }

    /// The events that were told, each once, in the order in which they first were.
    fn told(&self) -> Vec<Position> {
        let mut seen = BTreeSet::new();
        let got = self.receiver.lock().unwrap().got.clone();
        got.iter().map(|message| message.first).filter(|first| seen.insert(*first)).collect()
    }

    /// What should be told.
    fn expected(&self) -> Vec<Position> {
        let records = self.node.outcomes(0, usize::MAX).unwrap();
        let of = |record: &crate::tables::BlockRecord| {
            let count = u32::try_from(record.events.len()).unwrap();
            let count = if self.form == Form::Text { count.min(1) } else { count };
            (0..count).map(|index| Position { height: record.height, index }).collect::<Vec<_>>()
        };
        records.iter().flat_map(of).collect()
    }

    fn check_messages(&self) {
        let mut bodies: BTreeMap<String, Message> = BTreeMap::new();
        for message in &self.receiver.lock().unwrap().got {
            let known = bodies.entry(message.id.clone()).or_insert_with(|| message.clone());
            assert_eq!(known, message, "one id, one message");
            assert!(!message.id.contains('.'));
        }
    }
}

fn worker(node: &Node, form: Form, receiver: &Arc<Mutex<Receiver>>) -> Worker {
    let carrier = Box::new(ToReceiver(Arc::clone(receiver), form));
    Worker::new(node.clone(), "test", "webhook", Filter::default(), carrier).unwrap()
}

const FAILED: Outcome = Outcome::Failed { retry_after: None };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever fails, and whenever it crashes: all is told in the end, in order, and the same each time.
    #[test]
    fn nothing_is_passed_over(
        is_text in any::<bool>(),
        script in prop::collection::vec((0_u8..12, 0_u64..4), 1..120),
    ) {
        let mut world = World::new(if is_text { Form::Text } else { Form::CloudEvent });
        for (action, size) in script {
            match action {
                0..=2 => world.block(size),
                3..=5 => {
                    let _pause = world.step();
                }
                6 => world.crash(),
                7 => world.answers(Some(FAILED)),
                8 => world.answers(None),
                9 => world.answers(Some(Outcome::Gone)),
                10 => world.receiver.lock().unwrap().loses_answers = size % 2 == 0,
                _ => world.now += size * 1_000_000,
            }
        }
        world.crash();
        world.settle();
        let dead = world.worker.shared().status().dead;
        // What is told so far is in order, and what was given up is counted.
        let told = world.told();
        prop_assert!(told.is_sorted(), "{told:?}");
        world.answers(None);
        world.worker.shared().replay();
        world.settle();
        let mut told = world.told();
        told.sort();
        prop_assert_eq!(told, world.expected(), "dead: {}", dead);
        prop_assert_eq!(world.worker.shared().status().dead, 0);
        world.check_messages();
    }
}

#[test]
fn a_receiver_that_never_answers_gets_dead_letters_and_the_next_one_a_try() {
    let mut world = World::new(Form::CloudEvent);
    (0..3).for_each(|_| world.block(2));
    world.answers(Some(FAILED));
    world.settle();
    // Ten attempts for the first event; the others had waited for three days then.
    let status = world.worker.shared().status().clone();
    assert_eq!((status.dead, status.failures), (6, 10 + 5));
    world.block(1);
    world.answers(None);
    world.settle();
    assert_eq!(world.told(), [Position { height: 5, index: 0 }]);
    world.crash();
    let shared = world.worker.shared();
    assert_eq!(shared.status().dead, 6);
    shared.replay();
    world.settle();
    let dead = shared.status().dead;
    assert_eq!((dead, world.told().len()), (0, 7));
}

#[test]
fn a_receiver_that_is_gone_is_left_alone_until_somebody_says_so() {
    let mut world = World::new(Form::CloudEvent);
    world.answers(Some(Outcome::Gone));
    world.block(1);
    world.settle();
    world.crash();
    world.answers(None);
    world.block(1);
    world.settle();
    assert!(world.worker.shared().status().is_disabled);
    assert_eq!(world.told(), []);
    world.worker.shared().replay();
    world.settle();
    assert_eq!(world.told(), world.expected());
}

#[test]
fn a_new_sink_is_told_nothing_of_the_past() {
    let mut world = World::new(Form::Text);
    world.block(3);
    let other = Arc::new(Mutex::new(Receiver::default()));
    let carrier = Box::new(ToReceiver(Arc::clone(&other), Form::Text));
    world.worker = Worker::new(world.node.clone(), "late", "slack", Filter::default(), carrier).unwrap();
    world.block(2);
    world.settle();
    let got = other.lock().unwrap().got.clone();
    assert_eq!(got.iter().map(|message| message.first.height).collect::<Vec<_>>(), [3]);
    assert_eq!(got[0].body, "• f1-0 is created\n• f1-1 is created");
    assert_eq!(got[0].title, "test-1: f1-0 is created (and 1 more)");
}

#[test]
fn what_was_pruned_is_counted_and_not_waited_for() {
    let options = Options { keep_blocks: std::num::NonZeroU32::new(5), ..Options::default() };
    let (node, blocks) = manual(&genesis(), options);
    let receiver = Arc::new(Mutex::new(Receiver::default()));
    let worker = worker(&node, Form::CloudEvent, &receiver);
    let mut world = World { node, blocks, sequence: 0, receiver, form: Form::CloudEvent, worker, now: 10_000_000 };
    (0..20).for_each(|_| world.block(1));
    world.settle();
    assert_eq!(world.told().iter().map(|position| position.height).collect::<Vec<_>>(), [16, 17, 18, 19, 20]);
    assert_eq!(world.worker.shared().status().missed, 16);
}

#[test]
fn an_event_is_a_cloud_event() {
    let mut world = World::new(Form::CloudEvent);
    world.block(1);
    world.settle();
    let got = world.receiver.lock().unwrap().got.clone();
    let genesis = hex::encode(&world.node.domain().genesis().0[..4]);
    assert_eq!(got[0].id, format!("{genesis}-2-0"));
    let body: serde_json::Value = serde_json::from_str(&got[0].body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "specversion": "1.0", "id": "2-0", "source": "/coalmine/test-1",
            "type": "io.coalmine.feature.feature_created.v1", "subject": "f0-0",
            "time": "1970-01-01T00:00:02.000Z", "datacontenttype": "application/json",
            "height": "2", "sequence": "0000000002-0000000",
            "data": { "event": "feature_created", "name": "f0-0", "sentence": "f0-0 is created" },
        })
    );
}
