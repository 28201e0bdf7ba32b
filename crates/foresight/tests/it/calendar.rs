//! What the calendar says is what the empty blocks do.

use std::num::NonZeroU32;

use coalmine_core::{
    Address, Block, BlockError, Command, Description, Event, FeatureChanges, Genesis, Policy, Role, State, Transaction,
    Valid,
};
use coalmine_foresight::{Calendar, Upcoming, stale_features};

use crate::stories::{Node, all, walk};

/// Feeds empty blocks one by one.
fn by_hand(state: &State, blocks: u32) -> Vec<Upcoming> {
    let mut state = state.clone();
    let mut found = Vec::new();
    for _ in 0..blocks {
        let Some(height) = state.tip().and_then(|tip| tip.checked_add(1)) else { break };
        let expires =
            |name: &coalmine_core::Name| state.policy(name).unwrap().expires_at.map(NonZeroU32::get) == Some(height);
        let names = state.features().map(|feature| feature.name);
        let stale = names.filter(|name| expires(name)).collect::<Vec<_>>();
        let (mut events, mut scheduled, mut unknown_rules) = (Vec::new(), Vec::new(), None);
        match state.execute(&Block::empty(height)) {
            Ok(execution) => {
                events = execution.outcome().events.clone();
                for event in &events {
                    if let Event::ScheduleExecuted { id, .. } = event {
                        let (_, _, entry) = state.schedule().find(|(_, known, _)| known == id).unwrap();
                        scheduled.push((*id, entry.clone()));
                    }
                }
                state.apply(execution).unwrap();
            }
            Err(BlockError::UnknownRules { rules, .. }) => unknown_rules = Some(rules),
            Err(error) => panic!("{error}"),
        }
        if !events.is_empty() || !stale.is_empty() || unknown_rules.is_some() {
            found.push(Upcoming { height, events, scheduled, stale, unknown_rules });
        }
        if unknown_rules.is_some() {
            break;
        }
    }
    found
}

#[test]
fn the_calendar_is_the_events_of_the_empty_blocks_that_follow() {
    let (mut told, mut stale, mut scheduled) = (0, 0, 0);
    for story in all() {
        walk(&story, |node, block| {
            if block.height() % 3 != 0 {
                return;
            }
            let calendar: Vec<Upcoming> = Calendar::new(&node.state, 40).map(Result::unwrap).collect();
            assert_eq!(calendar, by_hand(&node.state, 40), "{} before block {}", story.name, block.height());
            told += calendar.iter().map(|upcoming| upcoming.events.len()).sum::<usize>();
            stale += calendar.iter().map(|upcoming| upcoming.stale.len()).sum::<usize>();
            scheduled += calendar.iter().map(|upcoming| upcoming.scheduled.len()).sum::<usize>();
            let tip = node.state.tip().unwrap_or_default();
            for (at, name) in stale_features(&node.state) {
                assert!(at <= tip && node.state.policy(&name).unwrap().expires_at.unwrap().get() == at);
            }
        });
    }
    assert!(told > 500 && stale > 10 && scheduled > 100, "{told} {stale} {scheduled}");
}

/// A step in each of 485 million heights is not looked for one by one.
#[test]
fn a_calendar_costs_what_happens() {
    let story = crate::stories::fixtures().into_iter().find(|story| story.name == "full-rollout").unwrap();
    let mut node = Node::new(&story.genesis);
    for block in &story.blocks {
        node.advance(block.height().saturating_sub(1), |_| {});
        node.feed(block);
    }
    let started = std::time::Instant::now();
    let count = Calendar::new(&node.state, u32::MAX).count();
    assert!(started.elapsed().as_secs() < 10 && count < 100, "{count} in {:?}", started.elapsed());
}

/// A build that does not know the next rules says where it stops, and tells nothing beyond.
#[test]
fn the_calendar_ends_where_the_rules_are_unknown() {
    let admin = Address([0x11; 20]);
    let genesis = Genesis::new("rules", [(admin, Role::Admin.into())]).unwrap();
    let mut node = Node::new(&genesis);
    let expires = |at| Policy { expires_at: NonZeroU32::new(at), ..Policy::default() };
    let create = |feature: &str, at| Command::CreateFeature {
        name: feature.parse().unwrap(),
        description: Description::new("").unwrap(),
        changes: Valid::new(FeatureChanges { policy: Some(expires(at)), ..FeatureChanges::default() }).unwrap(),
    };
    let change = Command::Schedule { at: 800, commands: Valid::new(vec![Command::SetRules { rules: 9 }]).unwrap() };
    let commands = vec![create("early", 750), create("late", 850), create("gone", 50), change];
    node.feed(&Block::new(100, vec![Transaction::new(admin, commands).unwrap()]).unwrap());
    let calendar: Vec<Upcoming> = Calendar::new(&node.state, 1_000).map(Result::unwrap).collect();
    let shown: Vec<_> = calendar.iter().map(|one| (one.height, one.stale.len(), one.unknown_rules)).collect();
    assert_eq!(shown, [(750, 1, None), (800, 0, Some(9))]);
    assert_eq!(stale_features(&node.state).collect::<Vec<_>>(), [(50, "gone".parse().unwrap())]);
    assert_eq!(Calendar::new(&node.state, 600).count(), 0);
    assert_eq!(Calendar::new(&Node::new(&genesis).state, 600).count(), 0);
}
