//! An instance of a component in a store of its own, and what stopped it.

use wasmtime::{Error, PoolConcurrencyLimitError, ResourceLimiter, Store, Trap};

use crate::context::Context;
use crate::context::cut;
use crate::limits::{Limits, MESSAGE_MAX};
use crate::response::{CallError, ErrorKind, Failure};
use crate::runtime::{Ended, Instance, Stop};
use crate::wasm::bindings::{Plugin, PluginPre};
use crate::wasm::imports::Abort;

/// The most elements of the tables of one instance together.
const TABLES_MAX: usize = 131_072;

/// What belongs to one instance.
pub(crate) struct Data {
    pub(crate) context: Context,
    limiter: Limiter,
}

/// Counts the memory of an instance, and remembers when it was refused more: a plugin that gets none stops by itself, and
/// that looks like any other trap.
struct Limiter {
    memory: usize,
    memory_max: usize,
    tables: usize,
    was_refused: bool,
}

impl Limiter {
    /// Grants the growth of one of the memories, or refuses it.
    fn grow(total: &mut usize, max: usize, current: usize, desired: usize) -> bool {
        let grown = total.saturating_sub(current).saturating_add(desired);
        let is_granted = grown <= max;
        if is_granted {
            *total = grown;
        }
        is_granted
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let is_granted = Self::grow(&mut self.memory, self.memory_max, current, desired);
        self.was_refused |= !is_granted;
        Ok(is_granted)
    }

    fn memory_grow_failed(&mut self, _: Error) -> wasmtime::Result<()> {
        self.was_refused = true;
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let is_granted = Self::grow(&mut self.tables, TABLES_MAX, current, desired);
        self.was_refused |= !is_granted;
        Ok(is_granted)
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

/// An instance. It has a store of its own, so dropping it gives everything back.
pub(crate) struct WasmInstance {
    store: Store<Data>,
    plugin: Plugin,
    response_max: usize,
}

impl WasmInstance {
    pub(crate) fn new(pre: &PluginPre<Data>, context: Context, limits: &Limits) -> Result<Self, Stop> {
        let memory_max = usize::try_from(limits.memory).unwrap_or(usize::MAX);
        let limiter = Limiter { memory: 0, memory_max, tables: 0, was_refused: false };
        let mut store = Store::new(pre.engine(), Data { context, limiter });
        store.limiter(|data| &mut data.limiter);
        let made = store.set_fuel(limits.setup_fuel).and_then(|()| pre.instantiate(&mut store));
        match made {
            Ok(plugin) => Ok(Self { store, plugin, response_max: limits.response }),
            Err(error) => Err(stop(&error, store.data_mut())),
        }
    }

    /// Runs a function with so much fuel.
    fn run<T>(
        &mut self,
        fuel: u64,
        function: impl FnOnce(&Plugin, &mut Store<Data>) -> wasmtime::Result<T>,
    ) -> Ended<T> {
        let Self { store, plugin, .. } = self;
        store.data_mut().limiter.was_refused = false;
        let result = store.set_fuel(fuel).and_then(|()| function(plugin, store));
        let used = fuel.saturating_sub(store.get_fuel().unwrap_or_default());
        Ended { result: result.map_err(|error| stop(&error, store.data_mut())), fuel: used }
    }
}

impl Instance for WasmInstance {
    fn context(&mut self) -> &mut Context {
        &mut self.store.data_mut().context
    }

    fn setup(&mut self, config: &[u8], fuel: u64) -> Ended<Result<(), String>> {
        self.run(fuel, |plugin, store| plugin.call_setup(store, config))
    }

    fn check(&mut self, fuel: u64) -> Ended<Result<(), String>> {
        self.run(fuel, |plugin, store| plugin.call_check(store))
    }

    fn handle(&mut self, request: &[u8], fuel: u64) -> Ended<Result<Vec<u8>, Failure>> {
        let Ended { result, fuel } = self.run(fuel, |plugin, store| plugin.call_handle(store, request));
        let result = match result {
            Ok(Ok(answer)) if answer.len() > self.response_max => {
                let message = format!("{} bytes, and at most {} go out", answer.len(), self.response_max);
                Err(Stop::Plugin(ErrorKind::ResponseTooLarge, message))
            }
            Ok(answer) => Ok(answer.map_err(Failure::from)),
            Err(stop) => Err(stop),
        };
        Ended { result, fuel }
    }

    fn memory(&self) -> u64 {
        u64::try_from(self.store.data().limiter.memory).unwrap_or(u64::MAX)
    }
}

/// What stopped an instance, and whose fault that is.
fn stop(error: &Error, data: &mut Data) -> Stop {
    if let Some(Abort(error)) = error.downcast_ref::<Abort>() {
        return Stop::Call(Box::new(error.clone()));
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return Stop::Call(Box::new(CallError::Busy(*data.context.plugin())));
    }
    let message = error.root_cause().to_string();
    let message = cut(message.strip_prefix("wasm trap: ").map(str::to_owned).unwrap_or(message), MESSAGE_MAX);
    let kind = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => ErrorKind::OutOfFuel,
        Some(Trap::StackOverflow) => ErrorKind::StackOverflow,
        _ if data.limiter.was_refused => ErrorKind::OutOfMemory,
        _ => ErrorKind::Trap,
    };
    Stop::Plugin(kind, message)
}
