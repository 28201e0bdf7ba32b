//! Which version serves a unit, reports of versions, and what idle plugins cost.
//!
//! Sketch: a route is one lookup by name in a BTreeMap, one of the deployment, and one SHA-256 of
//! about 80 bytes (two compressions). The baseline is a bare lookup and the hash of the same bytes.
//! A report looks up a plugin, adds to a version and to an arm, judges, and encodes a version of 90
//! bytes and a deployment of 160; the root hashes both and the inner nodes above them. A block in
//! which nothing is due asks an index of each kind for its first entry, whatever there is. At most a thousand plugins have a
//! deployment; those are asked for.

use std::cell::{LazyCell, RefCell};
use std::hint::black_box;

use coalmine_core::{Address, Block, Name, PluginHandle, State};
use coalmine_model::support::Random;

use super::ask::{Asked, QUESTIONS, SIZES, ask, ask_bare, message};
use super::{Shared, shared};
use crate::case::{Case, Ratio, Suite, feed};
use crate::clock::Clock;
use crate::workload::{Size, block, commit, deployed, filled, plugin, report_version, user};

const REPORTS: usize = 1_000;

struct Question {
    plugin: Name,
    handle: PluginHandle,
    unit: Address,
    /// What is hashed for `unit`.
    message: Vec<u8>,
}

fn asked(plugins: u64) -> Asked<Question> {
    let state = filled(Size::plugins(plugins));
    let mut random = Random(7);
    let question = |_| {
        let (plugin, unit) = (plugin(deployed(plugins, random.next())), user(random.next()));
        let salt = state.deployment(&plugin).unwrap().salt;
        let message = message(b"coalmine/route/1", &plugin, salt, &unit);
        Question { plugin, handle: state.resolve_plugin(&plugin).unwrap(), unit, message }
    };
    let questions = (0..QUESTIONS).map(question).collect();
    let bare = (0..plugins).map(|number| (plugin(number), number)).collect();
    Asked { state, bare, questions }
}

pub(super) fn route() -> Suite {
    let cases = SIZES.into_iter().flat_map(|plugins| {
        let world = shared(move || asked(plugins));
        [
            ask(&world, label(plugins, "name"), |world, question| {
                black_box(world.state.route(&question.plugin, &question.unit.0)).is_some()
            }),
            ask(&world, label(plugins, "handle"), |world, question| {
                black_box(world.state.route_by(question.handle, &question.unit.0)).is_some()
            }),
            ask_bare(&world, label, plugins, |question| (&question.plugin, &question.message)),
        ]
    });
    super::ask::suite("route", cases.collect(), label, "name")
}

fn label(plugins: u64, what: &str) -> String {
    format!("{plugins} plugin{}, {what}", if plugins == 1 { "" } else { "s" })
}

pub(super) fn reports() -> Suite {
    let cases = [1, 1_000].into_iter().map(|plugins| {
        let name = format!("blocks of 1 000 reports over {}", label(plugins, "state"));
        Case::new(name, Clock::Thread, REPORTS as u64, move || {
            let state = filled(Size::plugins(plugins));
            let mut random = Random(9);
            let reports = (0..REPORTS).map(|_| report_version(random.below(plugins), 10, 0)).collect();
            let block = block(state.tip().unwrap() + 1, reports);
            let fresh = move |_| state.clone();
            feed(Clock::Thread, 4, fresh, move |state| commit(state, black_box(&block)))
        })
    });
    Suite { name: "reports of versions", unit: "tx", cases: cases.collect(), ratios: Vec::new() }
}

pub(super) fn growth() -> Suite {
    let cases = [100, 100_000].into_iter().flat_map(|plugins| {
        let state: Shared<RefCell<State>> = shared(move || RefCell::new(filled(Size::plugins(plugins))));
        [("empty block", 0), ("report", 1)].into_iter().map(move |(what, reports)| {
            let state = state.clone();
            Case::new(format!("{plugins}: {what}"), Clock::Thread, 1, move || {
                LazyCell::force(&state);
                let make = {
                    let state = state.clone();
                    move |index| {
                        let payloads = (0..reports).map(|_| report_version(0, 10, 0)).collect();
                        block(state.borrow().tip().unwrap() + 1 + index, payloads)
                    }
                };
                feed(Clock::Thread, 1_024, make, move |block: &mut Block| {
                    commit(&mut state.borrow_mut(), black_box(block));
                })
            })
        })
    });
    let ratio = |what: &str, most| {
        let of = |plugins: u32| format!("{plugins}: {what}");
        Ratio::new(format!("{what}, 10^5 : 10^2"), &[&of(100_000)], &[&of(100)], most)
    };
    let ratios = vec![ratio("empty block", Some(2.0)), ratio("report", None)];
    Suite { name: "growth in plugins", unit: "block", cases: cases.collect(), ratios }
}

#[cfg(test)]
mod tests {
    use coalmine_core::{Receipt, bucket_of_unit};
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::workload::genesis;

    #[test]
    fn the_baseline_hashes_what_decides() {
        let world = asked(10);
        for Question { plugin, handle, unit, message } in &world.questions {
            let hash: [u8; 32] = Sha256::digest(message).into();
            let head = u64::from_be_bytes(*hash.first_chunk().unwrap());
            let deployment = world.state.deployment(plugin).unwrap();
            let bucket = bucket_of_unit(genesis().chain(), plugin, deployment.salt, &unit.0).get();
            assert_eq!((u128::from(head) * 10_000) >> 64, u128::from(bucket));
            let version = world.state.route_by(*handle, &unit.0).unwrap();
            assert_eq!(*version == deployment.new, bucket < 5_000);
        }
    }

    #[test]
    fn reports_succeed_and_end_no_deployment() {
        let mut state = filled(Size::plugins(3));
        for _ in 0..100 {
            let block = block(state.tip().unwrap() + 1, (0..3).map(|plugin| report_version(plugin, 10, 0)).collect());
            let execution = state.execute(&block).unwrap();
            assert!(execution.outcome().receipts.iter().all(|receipt| *receipt == Receipt::Ok));
            assert!(execution.outcome().events.is_empty());
            state.apply(execution).unwrap();
        }
        assert_eq!(state.deployment(&plugin(2)).unwrap().canary.requests, 1_000);
    }
}
