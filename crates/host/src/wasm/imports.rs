//! What a plugin may call: the interface `host`. Every question costs fuel by the bytes that it moves, so that asking is no
//! way around the limit of time.

use wasmtime::component::Linker;
use wasmtime::{Engine, Result, StoreContextMut, Trap};

use crate::context::Level;
use crate::response::{CallError, Failure};
use crate::wasm::bindings::coalmine::plugin::host::Level as WitLevel;
use crate::wasm::bindings::coalmine::plugin::types::Failure as WitFailure;
use crate::wasm::instance::Data;

/// The fuel that every question to the host costs, and each byte that goes in or out. A question takes about 50 ns, and a
/// plugin that asks all the time must not outlast one that computes.
const QUESTION_FUEL: u64 = 500;

/// Ends a call for a reason that is not the plugin's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Abort(pub(crate) CallError);

/// Makes the linker of the engine.
pub(crate) fn link(engine: &Engine) -> Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    linker.instance("coalmine:plugin/types@1.0.0")?;
    let mut host = linker.instance("coalmine:plugin/host@1.0.0")?;
    host.func_wrap("log", |mut store: StoreContextMut<'_, Data>, (level, message): (WitLevel, String)| {
        pay(&mut store, message.len())?;
        store.data_mut().context.log(level.into(), &message);
        Ok(())
    })?;
    host.func_wrap("height", |mut store: StoreContextMut<'_, Data>, (): ()| {
        pay(&mut store, 0)?;
        Ok((store.data().context.height(),))
    })?;
    host.func_wrap("unit", |mut store: StoreContextMut<'_, Data>, (): ()| {
        let unit = store.data().context.unit().to_vec();
        pay(&mut store, unit.len())?;
        Ok((unit,))
    })?;
    host.func_wrap("get", |mut store: StoreContextMut<'_, Data>, (key,): (Vec<u8>,)| {
        pay(&mut store, key.len())?;
        let value = store.data().context.get(&key);
        pay(&mut store, value.as_ref().map_or(0, Vec::len))?;
        Ok((value,))
    })?;
    host.func_wrap("call", |mut store: StoreContextMut<'_, Data>, (plugin, request): (String, Vec<u8>)| {
        pay(&mut store, request.len())?;
        let left = store.get_fuel()?;
        let (result, used) = store.data_mut().context.call(&plugin, &request, left);
        store.set_fuel(left.saturating_sub(used))?;
        let answer = result.map_err(Abort)?;
        pay(&mut store, answer.as_ref().map_or(0, Vec::len))?;
        Ok((answer.map_err(WitFailure::from),))
    })?;
    Ok(linker)
}

/// Takes the fuel of a question, or ends the call if there is not as much left.
fn pay(store: &mut StoreContextMut<'_, Data>, bytes: usize) -> Result<()> {
    let price = QUESTION_FUEL.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    let left = store.get_fuel()?.checked_sub(price);
    store.set_fuel(left.unwrap_or_default())?;
    if left.is_none() { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
}

impl From<WitLevel> for Level {
    fn from(level: WitLevel) -> Self {
        match level {
            WitLevel::Debug => Self::Debug,
            WitLevel::Info => Self::Info,
            WitLevel::Warn => Self::Warn,
            WitLevel::Error => Self::Error,
        }
    }
}

impl From<WitFailure> for Failure {
    fn from(failure: WitFailure) -> Self {
        match failure {
            WitFailure::Refused(message) => Self::Refused(message),
            WitFailure::Failed(message) => Self::Failed(message),
        }
    }
}

impl From<Failure> for WitFailure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(message) => Self::Refused(message),
            Failure::Failed(message) => Self::Failed(message),
        }
    }
}
