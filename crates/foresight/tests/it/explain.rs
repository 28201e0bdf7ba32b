//! An explanation names the rule, counts and threshold that the event had, and who could act.

use std::borrow::Cow;

use coalmine_core::{
    Block, Command, CommandKind, Event, Evidence, Percent, Reason, Reject, RollbackEvidence, Transaction,
};
use coalmine_foresight::{Calendar, FeatureHistory, History, PluginHistory, explain_feature, explain_plugin};

use crate::stories::{Node, all};

/// All numbers of a text, in order, without the spaces in `10 000`.
fn has_number(text: &str, number: u64) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|word| word == number.to_string())
}

#[test]
fn an_explanation_names_what_the_event_had() {
    let (mut features, mut plugins, mut next) = (0, 0, 0);
    for story in all() {
        let mut node = Node::new(&story.genesis);
        for block in &story.blocks {
            let mut seen = Vec::new();
            let known = node
                .advance(block.height().saturating_sub(1), |execution| seen.extend(execution.outcome().events.clone()));
            if !known {
                break;
            }
            seen.extend(node.feed(block).outcome().events.clone());
            let place = format!("{} block {}", story.name, block.height());
            for event in &seen {
                match event {
                    Event::RolledBack { name, rule, errors, successes, value, threshold, reason, .. } => {
                        let history = FeatureHistory::read(&node.records, name, u32::MAX).unwrap();
                        let evidence = RollbackEvidence {
                            rule: *rule,
                            errors: *errors,
                            successes: *successes,
                            value: *value,
                            threshold: *threshold,
                        };
                        assert!(
                            history.verdicts.iter().any(|(entry, _)| entry.change.evidence == Some(evidence)),
                            "{place}"
                        );
                        let Ok(Some(explained)) = explain_feature(Cow::Borrowed(&node.state), history, 0) else {
                            continue;
                        };
                        let found = explained.sentences().iter().any(|sentence| {
                            let figures = match rule.tag() {
                                0 | 5 => has_number(sentence, *errors) && has_number(sentence, *successes),
                                1 => has_number(sentence, *value) && has_number(sentence, *threshold),
                                _ => [errors, successes, value, threshold]
                                    .iter()
                                    .all(|number| has_number(sentence, **number)),
                            };
                            figures && sentence.contains(&format!("rule {rule}")) && sentence.contains(reason.name())
                        });
                        assert!(found, "{place}: {event:?}\n{:#?}", explained.sentences());
                        features += 1;
                    }
                    Event::DeploymentRolledBack { plugin, version, reason, evidence, .. } => {
                        let history = PluginHistory::read(&node.records, plugin, u32::MAX).unwrap();
                        let Ok(Some(explained)) = explain_plugin(Cow::Borrowed(&node.state), history, 0) else {
                            continue;
                        };
                        let Evidence { requests, errors, .. } = *evidence;
                        let found = explained.sentences().iter().any(|sentence| {
                            sentence.contains(&format!("reason {reason}"))
                                && sentence.contains(&version.to_string())
                                && has_number(sentence, requests)
                                && has_number(sentence, errors)
                        });
                        assert!(found, "{place}: {event:?}\n{:#?}", explained.sentences());
                        plugins += 1;
                    }
                    _ => {}
                }
            }
            // What happens next is what the calendar says.
            for feature in node.state.features() {
                let history = FeatureHistory::read(&node.records, &feature.name, u32::MAX).unwrap();
                let Ok(Some(explained)) = explain_feature(Cow::Borrowed(&node.state), history, 30) else { continue };
                let first = Calendar::new(&node.state, 30).map(Result::unwrap).find(|upcoming| {
                    let about = upcoming.events.iter().any(|event| event.feature() == Some(&feature.name));
                    about || upcoming.unknown_rules.is_some()
                });
                assert_eq!(explained.next.upcoming, first, "{place}: {}", feature.name);
                next += usize::from(first.is_some());
            }
        }
    }
    assert!(features > 60 && plugins > 25 && next > 100, "{features} {plugins} {next}");
}

/// What is folded from executions is what is read from a store.
#[test]
fn a_history_is_the_same_from_blocks_and_from_a_store() {
    for story in all() {
        let mut node = Node::new(&story.genesis);
        let (mut features, mut plugins) = (Vec::new(), Vec::new());
        let end = story.blocks.last().unwrap().height();
        // The subjects are known before: a second run watches them from the start.
        for run in 0..2 {
            node = Node::new(&story.genesis);
            let mut watch = |execution: &coalmine_core::Execution| {
                features.iter_mut().for_each(|history: &mut FeatureHistory| history.watch(execution).unwrap());
                plugins.iter_mut().for_each(|history: &mut PluginHistory| history.watch(execution).unwrap());
            };
            for block in &story.blocks {
                if !node.advance(block.height().saturating_sub(1), &mut watch) {
                    break;
                }
                let execution = node.feed(block);
                watch(&execution);
            }
            if run == 0 {
                features = node.state.features().map(|feature| FeatureHistory::new(feature.name)).collect();
                plugins = node.state.plugins().map(|(name, _)| PluginHistory::new(*name)).collect();
            }
        }
        for history in features {
            assert_eq!(history, FeatureHistory::read(&node.records, &history.name, end).unwrap(), "{}", story.name);
        }
        for history in plugins {
            assert_eq!(history, PluginHistory::read(&node.records, &history.name, end).unwrap(), "{}", story.name);
        }
    }
}

/// Whoever is said to be able to send a command is not refused for its role or for the status of the feature.
#[test]
fn who_could_act_could() {
    let mut tried = 0;
    for story in all() {
        crate::stories::walk(&story, |node, block| {
            let params = node.state.global().params;
            if params.sequenced || params.timelock.is_some() || block.height() % 2 == 0 || node.state.tip().is_none() {
                return;
            }
            for feature in node.state.features() {
                let name = feature.name;
                let history = FeatureHistory::read(&node.records, &name, u32::MAX).unwrap();
                let Ok(Some(explained)) = explain_feature(Cow::Borrowed(&node.state), history, 0) else { return };
                let Ok(due) = node.state.execute(&Block::empty(block.height())) else { return };
                // Only where nothing is due that would change what the command meets.
                if !due.outcome().events.is_empty() {
                    continue;
                }
                for (kind, who) in
                    explained.could.iter().flat_map(|could| could.commands.iter().map(|kind| (*kind, &could.who)))
                {
                    let command = match kind {
                        CommandKind::StartCanary => Command::StartCanary { name, percent: Percent::new(5).unwrap() },
                        CommandKind::StartRollout => Command::StartRollout { name, target_percent: Percent::FULL },
                        CommandKind::AdvanceRollout => Command::AdvanceRollout { name },
                        CommandKind::PauseRollout => Command::PauseRollout { name },
                        CommandKind::Enable => Command::Enable { name },
                        CommandKind::Disable => Command::Disable { name },
                        CommandKind::Rollback => Command::Rollback { name, reason: Reason::Manual },
                        _ => continue,
                    };
                    for signer in who {
                        let block =
                            Block::new(block.height(), vec![Transaction::new(*signer, vec![command.clone()]).unwrap()]);
                        let execution = node.state.execute(&block.unwrap()).unwrap();
                        let code = execution.outcome().receipts[0].code();
                        let refused = [
                            Reject::Unauthorized,
                            Reject::InvalidTransition,
                            Reject::FeatureDisabled,
                            Reject::RolloutInProgress,
                        ];
                        assert!(
                            !refused.iter().any(|reject| reject.code() == code),
                            "{} {kind} {signer}: {code}",
                            story.name
                        );
                        tried += 1;
                    }
                }
            }
        });
    }
    assert!(tried > 300, "{tried}");
}
