//! Plugins as WebAssembly components of the world `coalmine:plugin`: the engine, what is checked before anything runs, and
//! instances.
//!
//! There is no WASI, no clock, no randomness, no thread and no float that differs between machines. Fuel meters a call and
//! is its only limit of time.

mod code;
mod engine;
mod imports;
mod instance;

pub use engine::{EngineError, EngineOptions, WasmRuntime};

/// The bindings of the world, made from the same file as those of guests.
mod bindings {
    #![allow(missing_docs, unreachable_pub, dead_code, reason = "generated")]
    wasmtime::component::bindgen!({ path: "../plugin/wit", world: "plugin" });
}
