//! A case, the suite it stands in, and what is concluded from several cases.

use std::time::Duration;

use crate::clock::Clock;

/// Runs an operation a number of times and gives the time that it took.
pub(crate) type Runner = Box<dyn FnMut(u64) -> Duration>;

/// One thing that is measured. What it needs is built when it is run first.
pub struct Case {
    /// What it is, unique in its suite.
    pub name: String,
    /// The clock of its time.
    pub clock: Clock,
    /// How many of the suite's unit one run of the operation does.
    pub units: u64,
    /// What the figure is meant to be.
    pub goal: Option<Goal>,
    limit: Option<Limit>,
    runner: Lazy,
}

/// Counts the compressions of SHA-256 that a unit takes at least.
type Limit = Box<dyn FnOnce() -> f64>;

enum Lazy {
    Waiting(Option<Box<dyn FnOnce() -> Runner>>),
    Ready(Runner),
}

/// What a figure is meant to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// At most so many nanoseconds a unit.
    Nanoseconds(f64),
    /// At least so many units a second.
    PerSecond(f64),
}

impl Goal {
    /// Whether a time in nanoseconds a unit reaches the goal.
    #[must_use]
    pub fn holds(self, nanoseconds: f64) -> bool {
        match self {
            Self::Nanoseconds(most) => nanoseconds <= most,
            Self::PerSecond(least) => 1e9 / nanoseconds >= least,
        }
    }
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        clock: Clock,
        units: u64,
        build: impl FnOnce() -> Runner + 'static,
    ) -> Self {
        Self { name: name.into(), clock, units, goal: None, limit: None, runner: Lazy::Waiting(Some(Box::new(build))) }
    }

    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// Says how many compressions of SHA-256 one run takes at least.
    pub(crate) fn limit(self, compressions: impl FnOnce() -> f64 + 'static) -> Self {
        Self { limit: Some(Box::new(compressions)), ..self }
    }

    /// How many compressions of SHA-256 a unit takes at least, if the case says so. To be asked for once.
    pub fn compressions(&mut self) -> Option<f64> {
        Some(self.limit.take()?() / self.units as f64)
    }

    /// Builds what the case needs, if that has not been done.
    pub fn prepare(&mut self) {
        if let Lazy::Waiting(build) = &mut self.runner
            && let Some(build) = build.take()
        {
            self.runner = Lazy::Ready(build());
        }
    }

    /// Runs the operation `times` times and gives the time that it took.
    pub fn run(&mut self, times: u64) -> Duration {
        self.prepare();
        match &mut self.runner {
            Lazy::Ready(run) => run(times),
            Lazy::Waiting(_) => Duration::ZERO,
        }
    }
}

/// Cases that belong together.
pub struct Suite {
    /// What it is about.
    pub name: &'static str,
    /// What is counted: `tx`, `key`.
    pub unit: &'static str,
    /// The cases.
    pub cases: Vec<Case>,
    /// What follows from the figures of the cases.
    pub ratios: Vec<Ratio>,
}

/// Finds the figure of a case, in nanoseconds a unit.
pub type Figures<'a> = dyn Fn(&str) -> Option<f64> + 'a;

/// The figures of some cases over those of others.
pub struct Ratio {
    /// What it says.
    pub name: String,
    /// What it is meant to be at most.
    pub at_most: Option<f64>,
    above: Vec<String>,
    below: Vec<String>,
}

impl Ratio {
    /// The sum of some cases over the sum of some others; a `-` in front of a name subtracts it.
    pub(crate) fn new(name: impl Into<String>, above: &[&str], below: &[&str], at_most: Option<f64>) -> Self {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Self { name: name.into(), at_most, above: own(above), below: own(below) }
    }

    /// The ratio, if all its cases have been measured.
    #[must_use]
    pub fn of(&self, figures: &Figures<'_>) -> Option<f64> {
        Some(sum(&self.above, figures)? / sum(&self.below, figures)?)
    }
}

fn sum(names: &[String], figures: &Figures<'_>) -> Option<f64> {
    let figure = |name: &String| match name.strip_prefix('-') {
        Some(name) => Some(-figures(name)?),
        None => figures(name),
    };
    names.iter().map(figure).sum()
}

/// A runner that times a plain operation as a whole.
pub(crate) fn repeat(clock: Clock, mut operation: impl FnMut() + 'static) -> Runner {
    Box::new(move |times| clock.time(|| (0..times).for_each(|_| operation())))
}

/// A runner of an operation on an input of its own: inputs are made and freed outside of the time,
/// some at a time. `make` is told which of these it makes.
pub(crate) fn feed<I: 'static>(
    clock: Clock,
    at_once: u32,
    mut make: impl FnMut(u32) -> I + 'static,
    mut operation: impl FnMut(&mut I) + 'static,
) -> Runner {
    Box::new(move |times| {
        let mut total = Duration::ZERO;
        let mut left = times;
        while left > 0 {
            let now = at_once.min(u32::try_from(left).unwrap_or(u32::MAX));
            let mut inputs: Vec<I> = (0..now).map(&mut make).collect();
            left -= u64::from(now);
            total += clock.time(|| inputs.iter_mut().for_each(&mut operation));
        }
        total
    })
}
