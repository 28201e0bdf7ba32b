//! A version that is ready: its code, its instances, how many calls it serves at a time, and what it does when they trap.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use coalmine_core::{Hash, Manifest, Name, Version};

use crate::context::{Context, Identity, Services, cut};
use crate::limits::{Limits, MESSAGE_MAX};
use crate::meter::Served;
use crate::response::{CallError, ErrorKind, Failure, VersionError};
use crate::runtime::{Code, Ended, Instance, Stop};

/// The longest that a quarantined version is left alone.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A version that is ready on this node.
pub(crate) struct Slot {
    pub(crate) identity: Arc<Identity>,
    pub(crate) manifest: Arc<Manifest>,
    code: Arc<dyn Code>,
    services: Weak<dyn Services>,
    limits: Arc<Limits>,
    state: Mutex<State>,
    /// A call has ended.
    ended: Condvar,
    total: Total,
}

/// What a slot has served in all.
#[derive(Default)]
struct Total {
    requests: AtomicU64,
    errors: AtomicU64,
    fuel: AtomicU64,
    nanos: AtomicU64,
}

#[derive(Default)]
struct State {
    idle: Vec<Idle>,
    /// Calls that run, those from other plugins included.
    running: u32,
    /// Calls that run and came from outside.
    in_flight: u32,
    waiting: u32,
    is_closed: bool,
    quarantine: Quarantine,
    /// Bytes that idle instances hold.
    memory: u64,
}

struct Idle {
    instance: Box<dyn Instance>,
    uses: u32,
}

/// After so many traps in a row a version answers at once, and lets one call through now and then.
#[derive(Default)]
struct Quarantine {
    streak: u32,
    until: Option<Instant>,
    pause: Duration,
    /// The salt of the deployment in which the streak began: in another one the version starts anew.
    deployment: Option<u32>,
}

/// What a slot looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// The plugin.
    pub plugin: Name,
    /// The version.
    pub version: Version,
    /// The hash of its code.
    pub hash: Hash,
    /// What it has served since it was loaded, handed on or not.
    pub served: Served,
    /// The time that all of it took.
    pub time: Duration,
    /// Calls that run.
    pub running: u32,
    /// Calls that wait.
    pub waiting: u32,
    /// Idle instances, which are kept warm.
    pub idle: usize,
    /// Bytes of memory that idle instances hold.
    pub memory: u64,
    /// Whether it is left alone after a streak of traps.
    pub is_quarantined: bool,
}

/// Why a slot does not take a call.
pub(crate) enum Turned {
    /// The version goes; another look at the table says what serves now.
    Closed,
    Busy,
    Quarantined,
}

/// A call that a slot has taken. Dropping it gives the place back.
pub(crate) struct Ticket<'a> {
    slot: &'a Slot,
    instance: Option<Idle>,
    is_nested: bool,
}

impl Slot {
    pub(crate) fn new(
        identity: Identity,
        manifest: Arc<Manifest>,
        code: Arc<dyn Code>,
        services: Weak<dyn Services>,
        limits: Arc<Limits>,
    ) -> Self {
        let state = Mutex::new(State::default());
        Self {
            identity: Arc::new(identity),
            manifest,
            code,
            services,
            limits,
            state,
            ended: Condvar::new(),
            total: Total::default(),
        }
    }

    /// Makes the first instance, so that what cannot start is known before anybody asks for it.
    pub(crate) fn warm(&self) -> Result<(), CallError> {
        let instance = self.start()?;
        let mut state = self.lock();
        state.memory = state.memory.saturating_add(instance.memory());
        state.idle.push(Idle { instance, uses: 0 });
        Ok(())
    }

    /// Takes a call, or waits for its turn. Calls from other plugins never wait: whoever holds a place while it waits for
    /// another one's could wait for ever.
    pub(crate) fn enter(&self, is_nested: bool) -> Result<Ticket<'_>, Turned> {
        let mut state = self.lock();
        if !is_nested && state.in_flight >= self.limits.in_flight && !state.is_closed {
            if state.waiting >= self.limits.queue {
                return Err(Turned::Busy);
            }
            state.waiting = state.waiting.saturating_add(1);
            while state.in_flight >= self.limits.in_flight && !state.is_closed {
                state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting = state.waiting.saturating_sub(1);
        }
        if state.is_closed {
            return Err(Turned::Closed);
        }
        if let Some(until) = state.quarantine.until {
            let now = Instant::now();
            if now < until {
                return Err(Turned::Quarantined);
            }
            // This one is let through; the others wait for what comes of it.
            state.quarantine.until = now.checked_add(state.quarantine.pause);
        }
        state.running = state.running.saturating_add(1);
        state.in_flight = state.in_flight.saturating_add(u32::from(!is_nested));
        let instance = state.idle.pop();
        if let Some(idle) = &instance {
            state.memory = state.memory.saturating_sub(idle.instance.memory());
        }
        Ok(Ticket { slot: self, instance, is_nested })
    }

    /// Takes no more calls, and forgets idle instances. Those in flight end.
    pub(crate) fn close(&self) {
        let idle = {
            let mut state = self.lock();
            state.is_closed = true;
            state.memory = 0;
            std::mem::take(&mut state.idle)
        };
        drop(idle);
        self.ended.notify_all();
    }

    /// Whether nothing runs.
    pub(crate) fn is_still(&self) -> bool {
        self.lock().running == 0
    }

    /// Forgets a streak of traps that was in another deployment.
    pub(crate) fn is_in(&self, deployment: Option<u32>) {
        let mut state = self.lock();
        if state.quarantine.deployment != deployment {
            state.quarantine = Quarantine { deployment, ..Quarantine::default() };
        }
    }

    /// Makes an instance and sets it up.
    fn start(&self) -> Result<Box<dyn Instance>, CallError> {
        let context = Context::new(Arc::clone(&self.identity), Weak::clone(&self.services));
        let mut instance = self.code.instance(context, &self.limits).map_err(|stop| error(stop, Vec::new()))?;
        let Ended { result, fuel: _ } = instance.setup(&self.manifest.config, self.limits.setup_fuel);
        match result {
            Ok(Ok(())) => Ok(instance),
            Ok(Err(message)) => Err(of_version(ErrorKind::Failed, format!("setup: {message}"), Vec::new())),
            Err(stop) => Err(error(stop, instance.context().take_log())),
        }
    }

    /// Runs `check` on an instance of its own.
    pub(crate) fn check(&self, begin: impl FnOnce(&mut Context)) -> Result<(), String> {
        let mut instance = self.start().map_err(|error| error.to_string())?;
        begin(instance.context());
        match instance.check(self.limits.fuel).result {
            Ok(result) => result.map_err(|message| cut(message, MESSAGE_MAX)),
            Err(stop) => Err(error(stop, instance.context().take_log()).to_string()),
        }
    }

    /// Serves a call on a fresh instance, whatever else goes on.
    pub(crate) fn serve_fresh(
        &self,
        request: &[u8],
        fuel: u64,
        begin: impl FnOnce(&mut Context),
    ) -> (Result<Vec<u8>, CallError>, u64) {
        match self.start() {
            Ok(mut instance) => run(&mut *instance, request, fuel, begin),
            Err(error) => (Err(error), 0),
        }
    }

    /// Counts a call, for people.
    pub(crate) fn count(&self, is_error: bool, fuel: u64, time: Duration) {
        let Total { requests, errors, fuel: total, nanos } = &self.total;
        requests.fetch_add(1, Ordering::Relaxed);
        errors.fetch_add(u64::from(is_error), Ordering::Relaxed);
        total.fetch_add(fuel, Ordering::Relaxed);
        nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn status(&self) -> SlotStatus {
        let Total { requests, errors, fuel, nanos } = &self.total;
        let state = self.lock();
        SlotStatus {
            plugin: self.identity.plugin,
            version: self.identity.version.clone(),
            hash: self.manifest.code_hash,
            served: Served {
                requests: requests.load(Ordering::Relaxed),
                errors: errors.load(Ordering::Relaxed),
                fuel: fuel.load(Ordering::Relaxed),
            },
            time: Duration::from_nanos(nanos.load(Ordering::Relaxed)),
            running: state.running,
            waiting: state.waiting,
            idle: state.idle.len(),
            memory: state.memory,
            is_quarantined: state.quarantine.until.is_some_and(|until| Instant::now() < until),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// Serves the call. Returns what came of it, the fuel, and whether the version is quarantined from now on.
    pub(crate) fn serve(
        mut self,
        request: &[u8],
        fuel: u64,
        begin: impl FnOnce(&mut Context),
    ) -> (Result<Vec<u8>, CallError>, u64, bool) {
        let idle = match self.instance.take() {
            Some(idle) => Ok(idle),
            None => self.slot.start().map(|instance| Idle { instance, uses: 0 }),
        };
        let (outcome, used, idle) = match idle {
            Ok(Idle { mut instance, uses }) => {
                let (outcome, used) = run(&mut *instance, request, fuel, begin);
                let is_whole = matches!(outcome, Ok(_) | Err(CallError::Refused(_)))
                    || matches!(&outcome, Err(CallError::Version(error)) if !error.kind.is_trap());
                let idle = is_whole.then_some(Idle { instance, uses: uses.saturating_add(1) });
                (outcome, used, idle)
            }
            Err(error) => (Err(error), 0, None),
        };
        let is_quarantined = self.slot.ended(&outcome, idle);
        (outcome, used, is_quarantined)
    }
}

impl Slot {
    /// Keeps the instance for the next call, and the streak of traps.
    fn ended(&self, outcome: &Result<Vec<u8>, CallError>, idle: Option<Idle>) -> bool {
        let mut state = self.lock();
        let mut gone = None;
        if let Some(idle) = idle {
            if !state.is_closed && idle.uses < self.limits.reuse && state.idle.len() < self.limits.idle {
                state.memory = state.memory.saturating_add(idle.instance.memory());
                state.idle.push(idle);
            } else {
                gone = Some(idle);
            }
        }
        let is_quarantined = match outcome {
            Err(CallError::Version(error)) if error.kind.is_trap() => state.quarantine.trapped(&self.limits),
            Ok(_) | Err(CallError::Version(_) | CallError::Refused(_)) => {
                let deployment = state.quarantine.deployment;
                state.quarantine = Quarantine { deployment, ..Quarantine::default() };
                false
            }
            // It says nothing about the version.
            Err(_) => false,
        };
        drop(state);
        drop(gone);
        is_quarantined
    }
}

impl Quarantine {
    /// Counts a trap. Whether the version is left alone from now on, and was not before.
    fn trapped(&mut self, limits: &Limits) -> bool {
        self.streak = self.streak.saturating_add(1);
        if self.streak < limits.traps {
            return false;
        }
        let is_new = self.until.is_none();
        self.pause = if is_new { limits.pause } else { self.pause.saturating_mul(2).min(PAUSE_MAX) };
        self.until = Instant::now().checked_add(self.pause);
        is_new
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        state.running = state.running.saturating_sub(1);
        state.in_flight = state.in_flight.saturating_sub(u32::from(!self.is_nested));
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.slot.ended.notify_one();
        }
    }
}

fn run(
    instance: &mut dyn Instance,
    request: &[u8],
    fuel: u64,
    begin: impl FnOnce(&mut Context),
) -> (Result<Vec<u8>, CallError>, u64) {
    begin(instance.context());
    let Ended { result, fuel } = instance.handle(request, fuel);
    let outcome = match result {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Failure::Refused(message))) => Err(CallError::Refused(cut(message, MESSAGE_MAX))),
        Ok(Err(Failure::Failed(message))) => {
            Err(of_version(ErrorKind::Failed, cut(message, MESSAGE_MAX), instance.context().take_log()))
        }
        Err(stop) => Err(error(stop, instance.context().take_log())),
    };
    (outcome, fuel)
}

fn of_version(kind: ErrorKind, message: String, log: Vec<String>) -> CallError {
    CallError::Version(VersionError { kind, message, log })
}

fn error(stop: Stop, log: Vec<String>) -> CallError {
    match stop {
        Stop::Plugin(kind, message) => of_version(kind, message, log),
        Stop::Call(error) => *error,
    }
}
