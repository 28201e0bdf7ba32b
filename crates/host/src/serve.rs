//! Serving a request: by the version that the ledger names, or not at all, and counting it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use coalmine_core::{Height, Name};

use crate::context::{Call, Context, Services};
use crate::event::{HostEvent, HostEventKind};
use crate::response::{CallError, ErrorKind, Response, VersionError};
use crate::shared::Shared;
use crate::slot::{Slot, Turned};
use crate::table::Target;

/// How often a call looks at the table again because the version that it was routed to is going: each time a block has
/// changed it meanwhile.
const LOOKS_MAX: usize = 16;

impl Shared {
    pub(crate) fn serve_first(&self, plugin: &Name, unit: &[u8], request: &[u8]) -> Response {
        let height = self.height.load(Ordering::Relaxed);
        self.serve(plugin, unit, request, Way { height, depth: 1, fuel: self.limits.fuel, is_fresh: false })
    }

    pub(crate) fn serve_fresh_first(&self, plugin: &Name, unit: &[u8], request: &[u8]) -> Response {
        let height = self.height.load(Ordering::Relaxed);
        self.serve(plugin, unit, request, Way { height, depth: 1, fuel: self.limits.fuel, is_fresh: true })
    }

    fn serve(&self, plugin: &Name, unit: &[u8], request: &[u8], way: Way) -> Response {
        let begin = Instant::now();
        let mut response = match request.len() > self.limits.request {
            true => refused(CallError::RequestTooLarge { len: request.len(), max: self.limits.request }),
            false => self.serve_routed(plugin, unit, request, way, begin),
        };
        if self.is_stopped.load(Ordering::Relaxed) && matches!(response.outcome, Err(CallError::NoPlugin(_))) {
            response.outcome = Err(CallError::Stopped);
        }
        response.time = begin.elapsed();
        response
    }

    fn serve_routed(&self, plugin: &Name, unit: &[u8], request: &[u8], way: Way, begin: Instant) -> Response {
        for _ in 0..LOOKS_MAX {
            let table = Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner));
            let routed = match table.route(plugin, unit) {
                Ok(routed) => routed,
                Err(error) => return refused(error),
            };
            let answer = |outcome, fuel| Response {
                version: Some(routed.version.clone()),
                arm: Some(routed.arm),
                outcome,
                fuel,
                time: Duration::ZERO,
            };
            let Some(target) = routed.target else {
                return answer(Err(CallError::NotHere(*plugin, routed.version.clone())), 0);
            };
            let start = |context: &mut Context| context.begin(unit, way.height, way.depth, way.is_fresh);
            if way.is_fresh {
                let (outcome, fuel) = target.slot.serve_fresh(request, way.fuel, start);
                return answer(outcome, fuel);
            }
            match target.slot.enter(way.depth > 1) {
                Ok(ticket) => {
                    let (outcome, fuel, is_quarantined) = ticket.serve(request, way.fuel, start);
                    self.count(target, &outcome, fuel, begin);
                    if is_quarantined {
                        self.quarantined(target, &outcome);
                    }
                    return answer(outcome, fuel);
                }
                Err(Turned::Quarantined) => {
                    let error = VersionError::new(ErrorKind::Quarantined, "it has trapped too often in a row");
                    let outcome = Err(CallError::Version(error));
                    self.count(target, &outcome, 0, begin);
                    return answer(outcome, 0);
                }
                Err(Turned::Busy) => return answer(Err(CallError::Busy(*plugin)), 0),
                Err(Turned::Closed) => {}
            }
        }
        refused(CallError::NotLoaded(*plugin))
    }

    fn count(&self, target: &Target, outcome: &Result<Vec<u8>, CallError>, fuel: u64, begin: Instant) {
        let (is_counted, is_error) = match outcome {
            Ok(_) => (true, false),
            Err(error) => (error.is_counted(), error.is_of_version()),
        };
        if is_counted {
            target.meter.count(is_error, fuel);
            target.slot.count(is_error, fuel, begin.elapsed());
        }
    }

    fn quarantined(&self, target: &Target, outcome: &Result<Vec<u8>, CallError>) {
        let Slot { identity, manifest, .. } = &*target.slot;
        let detail = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let version = Some((identity.plugin, identity.version.clone()));
        self.emit(HostEvent { kind: HostEventKind::Quarantined, version, hash: manifest.code_hash, detail });
    }
}

/// How a call is served.
#[derive(Clone, Copy)]
struct Way {
    height: Height,
    depth: u8,
    fuel: u64,
    is_fresh: bool,
}

impl Services for Shared {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        (self.offers)(key)
    }

    fn call(&self, plugin: &Name, request: &[u8], call: &Call, fuel: u64) -> Response {
        let Call { height, depth, is_fresh, .. } = *call;
        self.serve(plugin, &call.unit, request, Way { height, depth, fuel, is_fresh })
    }
}

pub(crate) fn refused(error: CallError) -> Response {
    Response { version: None, arm: None, outcome: Err(error), fuel: 0, time: Duration::ZERO }
}
