//! What every page is made from: the node at one moment, and why there may be no page.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use coalmine_core::query::Fault;
use coalmine_core::{BlockError, Event, Height, Name, State};
use coalmine_foresight::{Calendar, Upcoming, nearest};
use coalmine_store::StoreError;
use tokio::sync::Semaphore;

use crate::database::Snapshot;
use crate::node::Node;

/// How many pages are made at once: those who ask for more wait.
const PAGES: usize = 2;
/// How long a page waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// How many blocks are looked ahead for what is due.
pub(super) const AHEAD: u32 = 100_000;
/// At how many heights something is foretold at most.
pub(super) const DUE_MAX: usize = 32;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There is nothing of that name.
    #[error("There is no {kind} {name:?}.")]
    Missing {
        /// What was asked for.
        kind: &'static str,
        /// Its name, as it was asked for.
        name: String,
        /// The name that is most like it.
        nearest: Option<Name>,
    },
    /// A parameter of the request cannot be used.
    #[error("The parameter {parameter} cannot be used: {problem}.")]
    Parameter {
        /// Which one.
        parameter: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Too many pages are being made.
    #[error("Too many pages are being made; try again in a moment.")]
    Busy,
    /// The records cannot be read.
    #[error("The records of this node cannot be read: {0}.")]
    Fault(#[from] Fault),
    /// The tables cannot be read.
    #[error("The tables of this node cannot be read: {0}.")]
    Store(#[from] StoreError),
    /// The next blocks cannot be run.
    #[error("The next blocks cannot be foretold: {0}.")]
    Block(#[from] BlockError),
    /// A picture or a page cannot be made.
    #[error("The page cannot be made: {0}.")]
    Page(String),
}

impl Failure {
    /// A feature or plugin that does not exist.
    pub(super) fn missing<'n>(kind: &'static str, name: &str, known: impl Iterator<Item = &'n Name>) -> Self {
        let known: Vec<&Name> = known.collect();
        let nearest = nearest(name, known.iter().map(|name| name.as_str()));
        let nearest = nearest.and_then(|nearest| nearest.parse().ok());
        Self::Missing { kind, name: name.chars().take(Name::LEN_MAX).collect(), nearest }
    }
}

/// The dashboard of a node.
#[derive(Clone)]
pub(super) struct Dashboard(Arc<Inner>);

struct Inner {
    node: Node,
    turns: Semaphore,
    /// The last state that was cloned, for all who ask at its root.
    last: Mutex<Option<Arc<Moment>>>,
}

/// A state of its own, so that no block waits for what takes long.
pub(super) struct Moment {
    pub(super) state: State,
    due: OnceLock<Result<Due, String>>,
}

/// What happens without traffic.
#[derive(Clone)]
pub(super) struct Due {
    /// The heights at which something does, ascending.
    pub(super) upcoming: Vec<Upcoming>,
    /// The last height of which all is known.
    pub(super) until: Height,
}

impl Moment {
    /// What happens in the next blocks if they are empty, at the first [`DUE_MAX`] heights.
    pub(super) fn due(&self) -> Result<&Due, Failure> {
        let due = self.due.get_or_init(|| foretell(&self.state, AHEAD, DUE_MAX).map_err(|error| error.to_string()));
        due.as_ref().map_err(|error| Failure::Page(error.clone()))
    }

    /// The first height at which something happens that an event tells of.
    pub(super) fn next(&self, is_mine: impl Fn(&Event) -> bool) -> Result<(Option<&Upcoming>, Height), Failure> {
        let due = self.due()?;
        let is_next = |one: &&Upcoming| one.unknown_rules.is_some() || one.events.iter().any(&is_mine);
        Ok((due.upcoming.iter().find(is_next), due.until))
    }
}

/// Looks so many blocks ahead, and stops at so many heights.
pub(super) fn foretell(state: &State, blocks: u32, heights: usize) -> Result<Due, BlockError> {
    let calendar = Calendar::new(state, blocks);
    let mut until = calendar.until();
    let mut upcoming = Vec::new();
    for one in calendar {
        let one = one?;
        let height = one.height;
        upcoming.push(one);
        if upcoming.len() >= heights {
            until = height;
            break;
        }
    }
    Ok(Due { upcoming, until })
}

/// What one page is made from.
pub(super) struct View<'n> {
    pub(super) node: &'n Node,
    pub(super) moment: Arc<Moment>,
    pub(super) records: &'n Snapshot<'n>,
    /// The height of the node, which moves also when nothing happens.
    pub(super) height: Height,
}

impl View<'_> {
    pub(super) fn state(&self) -> &State {
        &self.moment.state
    }
}

impl Dashboard {
    pub(super) fn new(node: Node) -> Self {
        Self(Arc::new(Inner { node, turns: Semaphore::new(PAGES), last: Mutex::new(None) }))
    }

    /// Makes a page on a thread that may block.
    pub(super) async fn view<T: Send + 'static>(
        &self,
        make: impl FnOnce(&View<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = tokio::time::timeout(TURN, self.0.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Failure::Busy) };
        let dashboard = self.clone();
        let made = tokio::task::spawn_blocking(move || {
            let node = &dashboard.0.node;
            let moment = dashboard.moment();
            let height = node.tip().height.max(moment.state.tip()).unwrap_or_default();
            node.records(|records| make(&View { node, moment, records, height }))
        });
        made.await.unwrap_or_else(|error| Err(Failure::Page(error.to_string())))
    }

    fn moment(&self) -> Arc<Moment> {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.clone();
        let state = self.0.node.read(|state| {
            let is_known = known
                .as_ref()
                .is_some_and(|known| known.state.tip() == state.tip() && known.state.root() == state.root());
            (!is_known).then(|| state.clone())
        });
        match (state, known) {
            (None, Some(known)) => known,
            (state, _) => {
                let state = state.unwrap_or_else(|| self.0.node.read(State::clone));
                let moment = Arc::new(Moment { state, due: OnceLock::new() });
                *last = Some(Arc::clone(&moment));
                moment
            }
        }
    }
}

/// The parameters of a request. Of one that is there twice the last one counts.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// A parameter without white space around it; none if it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// A number in a range.
    pub(super) fn number(&self, name: &'static str, least: u32, most: u32) -> Result<Option<u32>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            Ok(_) | Err(_) => Err(Failure::Parameter {
                parameter: name,
                problem: format!("it is a number from {least} to {most}, not {text:?}"),
            }),
        }
    }

    /// The place of an entry of a history: `HEIGHT-SEQ`.
    pub(super) fn place(&self, name: &'static str) -> Result<Option<(Height, u32)>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let place = text.split_once('-').and_then(|(height, seq)| Some((height.parse().ok()?, seq.parse().ok()?)));
        let problem = || format!("it is the height and the number of an entry, as 120-0, not {text:?}");
        place.map(Some).ok_or_else(|| Failure::Parameter { parameter: name, problem: problem() })
    }
}
