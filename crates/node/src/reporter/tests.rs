//! Reporters that crash between any two steps, servers that lose answers, processes that restart: sums are exact.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coalmine_core::{Command, FeatureChanges, Height, Name, Percent, Receipt, Reject, Report, Role, Status, Valid};
use proptest::prelude::*;

use crate::node::{Node, Options, Submitted};
use crate::reporter::book::{Book, Fate};
use crate::reporter::config::PrometheusConfig;
use crate::reporter::counters::Sample;
use crate::reporter::figures::{MICRO, Owed};
use crate::reporter::local::{Local, LocalError, LocalReport};
use crate::reporter::outbox::Outbox;
use crate::reporter::prometheus::{QueryError, Series};
use crate::reporter::subject::{Subject, Trial, of_feature};
use crate::reporter::worker::{About, Samples, Worker};
use crate::secret::Secret;
use crate::testing::{Manual, address, genesis, key, manual, signed};

/// A process that counts, and a server that scrapes it.
#[derive(Debug, Default)]
struct Server {
    now: u64,
    is_lost: bool,
    /// What the process counts now: successes, errors, and latency in hundredths.
    counts: [u64; 3],
    /// What has been scraped, by what it counts.
    scraped: [Vec<(u64, u64)>; 3],
    /// How much of it there is in all.
    total: [u64; 3],
}

const COUNTERS: [&str; 3] = ["ok_total", "bad_total", "seconds_sum"];

impl Server {
    fn scrape(&mut self) {
        self.now += 5_000;
        for ((scraped, total), value) in self.scraped.iter_mut().zip(&mut self.total).zip(self.counts) {
            let before = scraped.last().map_or(0, |(_, value)| *value);
            *total += value.checked_sub(before).unwrap_or(value);
            scraped.push((self.now, value));
        }
    }
}

#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Server>>);

impl Samples for Shared {
    fn now(&self) -> Result<u64, QueryError> {
        let server = self.0.lock().unwrap();
        if server.is_lost { Err(QueryError::Failed("lost".into())) } else { Ok(server.now) }
    }

    fn samples(&self, selector: &str, end: u64, length: Duration) -> Result<Vec<Series>, QueryError> {
        let server = self.0.lock().unwrap();
        let start = end.saturating_sub(u64::try_from(length.as_millis()).unwrap());
        let place = COUNTERS.iter().position(|name| *name == selector).unwrap();
        // A hundredth of a second is ten thousand millionths.
        let unit = if place == 2 { MICRO / 100 } else { MICRO };
        let samples = server.scraped[place].iter().filter(|(at, _)| (start..=end).contains(at));
        let samples = samples.map(|(at, value)| Sample { at: *at, value: u128::from(*value) * unit }).collect();
        Ok(vec![Series { labels: BTreeMap::from([("instance".into(), "a".into())]), samples }])
    }
}

fn config() -> PrometheusConfig {
    let [successes, errors, latency] = COUNTERS.map(|name| Some(name.to_owned()));
    PrometheusConfig {
        url: Secret::Text("http://127.0.0.1".into()),
        token: None,
        allow_http: false,
        successes,
        requests: None,
        errors,
        latency,
        latency_scale: 1_000,
        version_label: None,
    }
}

struct World {
    node: Node,
    blocks: Manual,
    admin: u64,
    server: Shared,
    worker: Worker<Shared>,
}

fn feature() -> Name {
    "shop".parse().unwrap()
}

fn worker(node: &Node, server: &Shared) -> Worker<Shared> {
    let outbox = Outbox::new(node.clone(), key(2), "test".into());
    Worker::new("test", About::Feature(feature()), 1, config(), server.clone(), outbox).unwrap()
}

impl World {
    fn new() -> Self {
        let (node, blocks) = manual(&genesis(), Options::default());
        let server = Shared(Arc::default());
        server.0.lock().unwrap().now = 1_000_000;
        let worker = worker(&node, &server);
        let mut world = Self { node, blocks, admin: 0, server, worker };
        let changes = FeatureChanges { max_error_rate: Some(10_000), ..FeatureChanges::default() };
        let Command::CreateFeature { name, description, .. } = Command::create_feature(feature(), "").unwrap() else {
            panic!("it creates");
        };
        let create = Command::CreateFeature { name, description, changes: Valid::new(changes).unwrap() };
        world.run(vec![create, Command::GrantRole { address: address(&key(2)), role: Role::Reporter }]);
        world
    }

    fn run(&mut self, commands: Vec<Command>) {
        self.admin += 1;
        self.node.submit(&signed(&self.node, &key(1), self.admin, commands)).unwrap();
        self.blocks.block().unwrap();
    }

    fn start(&mut self) {
        self.run(vec![Command::StartCanary { name: feature(), percent: Percent::new(10).unwrap() }]);
    }

    fn with<T>(&self, change: impl FnOnce(&mut Server) -> T) -> T {
        change(&mut self.server.0.lock().unwrap())
    }

    fn traffic(&self, successes: u64, errors: u64) {
        self.with(|server| {
            let [ok, bad, latency] = &mut server.counts;
            (*ok, *bad) = (*ok + successes, *bad + errors);
            *latency += (successes + errors) * 7;
        });
    }

    fn crash(&mut self) {
        self.worker = worker(&self.node, &self.server);
    }

    /// Goes on until everything is reported.
    fn settle(&mut self) {
        self.with(|server| server.is_lost = false);
        for _ in 0..6 {
            self.worker.step().unwrap();
            self.blocks.block().unwrap();
        }
    }

    /// What the ledger has counted in this trial: successes, errors and latency.
    fn counted(&self) -> [u64; 3] {
        self.node.read(|state| {
            let (feature, metrics) = (state.feature(&feature()).unwrap(), state.metrics(&feature()).unwrap());
            [feature.success_count, feature.error_count, metrics.trial_latency_sum]
        })
    }

    fn scraped(&self) -> [u64; 3] {
        self.with(|server| server.total)
    }
}

/// What should be counted, of what was scraped at the start and at the end. A hundredth of a second is 10 ms.
fn between(start: [u64; 3], end: [u64; 3]) -> [u64; 3] {
    [end[0] - start[0], end[1] - start[1], (end[2] - start[2]) * 10]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn sums_are_exact(script in prop::collection::vec((0_u8..14, 0_u64..50), 1..100)) {
        let mut world = World::new();
        world.traffic(5, 5);
        world.with(Server::scrape);
        world.start();
        world.worker.step().unwrap();
        let start = world.scraped();
        for (action, size) in script {
            match action {
                0..=2 => world.traffic(size, size / 7),
                3..=4 => world.with(Server::scrape),
                // A process that begins again is found so by the next scrape.
                5 => world.with(|server| { server.counts = [0; 3]; server.scrape(); }),
                // What fails is tried again.
                6..=7 => drop(world.worker.step()),
                // Signed, written down, and never sent by this process.
                8 => { drop(world.worker.prepare()); world.crash(); }
                9 => world.crash(),
                10..=11 => assert!(world.blocks.block().is_ok()),
                12 => world.with(|server| server.is_lost = size % 2 == 0),
                _ if size % 2 == 0 => {
                    // Another program with the same key.
                    let report = Command::report(feature(), Report::default()).unwrap();
                    let next = world.node.sequence(&address(&key(2))).next;
                    drop(world.node.submit(&signed(&world.node, &key(2), next, vec![report])));
                }
                // Longer than a report is good for.
                _ => (0..110).for_each(|_| assert!(world.blocks.block().is_ok())),
            }
        }
        world.settle();
        let (end, counted) = (world.scraped(), world.counted());
        prop_assert_eq!(counted, between(start, end));
        world.crash();
        world.settle();
        prop_assert_eq!(world.counted(), counted);
    }
}

#[test]
fn what_is_of_another_trial_judges_nobody() {
    let mut world = World::new();
    world.traffic(100, 0);
    world.with(Server::scrape);
    // Nothing is on.
    world.worker.step().unwrap();
    world.start();
    world.settle();
    assert_eq!(world.counted(), [0, 0, 0]);
    world.traffic(7, 1);
    world.with(Server::scrape);
    world.settle();
    assert_eq!(world.counted(), [7, 1, 560]);
    // What came before the reporter sees the new trial belongs to none.
    world.traffic(5, 5);
    world.with(Server::scrape);
    world.run(vec![Command::Disable { name: feature() }]);
    world.start();
    world.settle();
    assert_eq!(world.counted(), [0, 0, 0]);
    world.traffic(3, 0);
    world.with(Server::scrape);
    world.settle();
    assert_eq!(world.counted(), [3, 0, 210]);
}

#[test]
fn a_report_under_way_when_its_trial_ends_is_dropped() {
    let mut world = World::new();
    world.start();
    world.worker.step().unwrap();
    world.traffic(9, 0);
    world.with(Server::scrape);
    world.worker.step().unwrap();
    // The report waits, and is executed behind the end of its trial.
    let disable = signed(&world.node, &key(1), world.admin + 1, vec![Command::Disable { name: feature() }]);
    world.node.submit(&disable).unwrap();
    world.admin += 1;
    world.blocks.block().unwrap();
    world.start();
    world.settle();
    assert_eq!(world.counted(), [0, 0, 0]);
}

#[test]
fn a_trial_is_what_reports_belong_to() {
    let mut world = World::new();
    let trial = |world: &World| of_feature(&world.node, &feature()).unwrap().ok();
    let name = feature();
    assert_eq!(trial(&world), None);
    world.start();
    let start = world.node.tip().height.unwrap();
    let of_canary = Some(Trial { mark: start, id: Some(start) });
    assert_eq!(trial(&world), of_canary);
    world.run(vec![Command::Enable { name }]);
    assert_eq!(trial(&world), of_canary, "it goes on");
    // From off to on for everybody, in one block and in two.
    world.run(vec![Command::Disable { name }, Command::Enable { name }]);
    assert_eq!(trial(&world), Some(Trial { mark: start + 2, id: None }));
    world.run(vec![Command::Disable { name }]);
    assert_eq!(trial(&world), None);
    world.run(vec![Command::Enable { name }]);
    assert_eq!(trial(&world), Some(Trial { mark: start + 4, id: None }));
    // A canary that becomes enabled within its block.
    world.run(vec![
        Command::Disable { name },
        Command::StartCanary { name, percent: Percent::new(1).unwrap() },
        Command::Enable { name },
    ]);
    assert_eq!(trial(&world), Some(Trial { mark: start + 5, id: Some(start + 5) }));
    assert_eq!(world.node.read(|state| state.feature(&name).unwrap().status), Status::Enabled);
}

#[test]
fn what_becomes_of_a_report() {
    let trial = Trial { mark: 3, id: Some(3) };
    let seen = Owed { successes: 5 * MICRO, ..Owed::default() };
    let (a, b) = (Subject::Feature("a".parse().unwrap()), Subject::Feature("b".parse().unwrap()));
    let rejected = |reject, index| Fate::Executed(Receipt::Rejected { reject, index });
    for (fate, left) in [
        (Fate::Executed(Receipt::Ok), vec![]),
        (Fate::Never, vec!["a", "b"]),
        // It judges nothing, so it is not said again; the other part was not heard.
        (rejected(Reject::StaleReport, 0), vec!["b"]),
        (rejected(Reject::FeatureDisabled, 1), vec!["a"]),
        (rejected(Reject::FeatureNotFound, 1), vec!["a"]),
        // Somebody can make it count.
        (rejected(Reject::Unauthorized, 0), vec!["a", "b"]),
        (rejected(Reject::BlockFull, 0), vec!["a", "b"]),
        (rejected(Reject::BadSequence, 0), vec!["a", "b"]),
        (rejected(Reject::Expired, 0), vec!["a", "b"]),
    ] {
        let mut book = Book::default();
        assert!(book.add(&a, trial, &seen) && book.add(&b, trial, &seen));
        let parts = book.propose();
        book.sign(pending(parts));
        book.settle(fate);
        let names: Vec<String> = book.propose().iter().map(|part| part.subject.to_string()).collect();
        assert_eq!(names, left, "{fate:?}");
    }
}

fn pending(parts: Vec<crate::reporter::book::Part>) -> crate::reporter::book::Pending {
    let id = coalmine_core::Hash([0; 32]);
    crate::reporter::book::Pending { envelope: vec![1, 2], id, sequence: 1, valid_until: 9, made: 1, parts }
}

#[test]
fn a_report_does_not_strike_what_came_with_another_trial() {
    let (first, second) = (Trial { mark: 3, id: Some(3) }, Trial { mark: 9, id: Some(9) });
    let seen = |count: u128| Owed { successes: count * MICRO, ..Owed::default() };
    let subject = Subject::Feature(feature());
    let mut book = Book::default();
    book.add(&subject, first, &seen(5));
    book.sign(pending(book.propose()));
    book.add(&subject, second, &seen(7));
    book.settle(Fate::Executed(Receipt::Ok));
    let parts = book.propose();
    assert_eq!((parts[0].trial, parts[0].figures.successes), (second, 7));
}

fn local_report(text: &str) -> LocalReport {
    serde_json::from_str(text).unwrap()
}

fn local(node: &Node) -> Local {
    Local::new(Outbox::new(node.clone(), key(2), "local".into())).unwrap()
}

#[test]
fn applications_are_summed_up_once_a_block() {
    let mut world = World::new();
    let mut applications = local(&world.node);
    let report = local_report(r#"{"feature":"shop","successes":3,"errors":1,"latency_total":40,"latency_peak":30}"#);
    let taken = applications.take(&report, None).unwrap();
    assert_eq!((taken.counted, taken.why.as_deref()), (false, Some("the feature is off")));
    world.start();
    for key in [None, None, Some("a"), Some("a"), Some("b")] {
        assert!(applications.take(&report, key).unwrap().counted);
    }
    // What was answered for outlives the process.
    applications = local(&world.node);
    assert!(applications.take(&report, Some("b")).unwrap().repeated);
    applications.step().unwrap();
    assert_eq!(world.node.pending(), 1);
    world.blocks.block().unwrap();
    assert_eq!(world.counted(), [12, 4, 160]);
    applications.take(&report, Some("c")).unwrap();
    for _ in 0..3 {
        applications.step().unwrap();
        world.blocks.block().unwrap();
    }
    assert_eq!(world.counted(), [15, 5, 200]);
}

#[test]
fn reports_of_applications_are_checked() {
    let world = World::new();
    let applications = local(&world.node);
    for (text, expected) in [
        (r#"{"successes":1}"#, "a report is about a feature, or about a plugin and a version"),
        (
            r#"{"feature":"a","plugin":"b","version":"1.0.0"}"#,
            "a report is about a feature, or about a plugin and a version",
        ),
        (r#"{"plugin":"b"}"#, "a report is about a feature, or about a plugin and a version"),
        (r#"{"feature":"<script>"}"#, "\"<script>\": a name is"),
        (r#"{"plugin":"b","version":"x"}"#, "\"x\": a version is"),
        (
            r#"{"plugin":"b","version":"1.0.0","invariant_checks":1}"#,
            "latency_peak and invariant checks are for features",
        ),
        (r#"{"feature":"a","invariant_failures":1}"#, "invariant_failures is at most"),
        (r#"{"feature":"a","latency_total":1}"#, "only operations have latencies"),
    ] {
        let Err(LocalError::Report(what)) = applications.take(&local_report(text), None) else { panic!("{text}") };
        assert!(what.starts_with(expected), "{text}: {what}");
    }
    for text in [
        r#"{"feature":"a","successes":-1}"#,
        r#"{"feature":"a","successes":4294967296}"#,
        r#"{"feature":"a","x":1}"#,
        "[]",
    ] {
        assert!(serde_json::from_str::<LocalReport>(text).is_err(), "{text}");
    }
}

#[test]
fn records_that_are_damaged_are_refused() {
    let world = World::new();
    for key in ["reporter/test", "reporter-local"] {
        for bytes in [&[][..], &[2], &[1, 2], &[1; 4]] {
            world.node.meta_put(key, Some(bytes)).unwrap();
            let outbox = Outbox::new(world.node.clone(), crate::testing::key(2), "test".into());
            let is_refused = if key == "reporter-local" {
                Local::new(outbox).is_err()
            } else {
                Worker::new("test", About::Feature(feature()), 1, config(), world.server.clone(), outbox).is_err()
            };
            assert!(is_refused, "{key} {bytes:?}");
            world.node.meta_put(key, None).unwrap();
        }
    }
}

#[test]
fn a_pruned_report_counts_as_executed() {
    let options = Options { keep_blocks: std::num::NonZeroU32::new(3), ..Options::default() };
    let (node, mut blocks) = manual(&genesis(), options);
    let run = |blocks: &mut Manual, sequence, commands| {
        node.submit(&signed(&node, &key(1), sequence, commands)).unwrap();
        blocks.block().unwrap();
    };
    let name = feature();
    run(&mut blocks, 1, vec![Command::create_feature(name, "").unwrap(), Command::Enable { name }]);
    run(&mut blocks, 2, vec![Command::GrantRole { address: address(&key(2)), role: Role::Reporter }]);
    let outbox = Outbox::new(node.clone(), key(2), "test".into());
    let mut book = Book::default();
    let trial = of_feature(&node, &name).unwrap().unwrap();
    book.add(&Subject::Feature(name), trial, &Owed { successes: 5 * MICRO, ..Owed::default() });
    assert!(outbox.sign(&mut book));
    assert_eq!(outbox.fate(&book).unwrap(), None);
    let Submitted::Pending(id) = node.submit(&book.pending().unwrap().envelope).unwrap() else { panic!("it is new") };
    assert_eq!(outbox.fate(&book).unwrap(), None);
    let height: Height = blocks.block().unwrap();
    assert_eq!(outbox.fate(&book).unwrap(), Some(Fate::Executed(Receipt::Ok)));
    (0..20).for_each(|_| assert!(blocks.block().is_ok()));
    assert!(node.oldest_outcome() > height && id == book.pending().unwrap().id);
    assert_eq!(outbox.fate(&book).unwrap(), Some(Fate::Executed(Receipt::Ok)));
}
