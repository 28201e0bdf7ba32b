//! Early warnings: what an operator has to do something about before it is too late, once each in the log.

use std::collections::BTreeSet;
use std::time::Duration;

use coalmine_core::{Height, Name, State};
use coalmine_foresight::stale_features;

use crate::node::Node;

/// How often the state is looked at.
const EVERY: Duration = Duration::from_secs(10);

/// Something to warn of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Warning {
    /// A change of the rules to ones that this build does not know: it stops at that height.
    Rules(u64, Height, u16),
    /// A feature that is past its `expires_at`.
    Expired(Name, Height),
}

/// Follows a node until it stops.
pub(crate) async fn follow(node: Node) {
    let (mut stop, mut told) = (node.stop(), BTreeSet::new());
    loop {
        let found = node.read(warnings);
        found.difference(&told).for_each(log);
        // What is over and comes again is news.
        told = found;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.stopped() => return,
        }
    }
}

fn warnings(state: &State) -> BTreeSet<Warning> {
    let unknown = state.scheduled_rules().into_iter().filter(|change| change.rules.is_none());
    let rules = unknown.map(|change| Warning::Rules(change.id, change.at, change.number));
    rules.chain(stale_features(state).map(|(at, name)| Warning::Expired(name, at))).collect()
}

fn log(warning: &Warning) {
    match warning {
        Warning::Rules(id, at, number) => tracing::warn!(
            id,
            height = at,
            rules = number,
            "rules are scheduled that this build does not know: it stops before they run; install a newer one"
        ),
        Warning::Expired(name, at) => {
            tracing::warn!(feature = name.as_str(), expires_at = at, "a feature is past its expires_at; remove it");
        }
    }
}
