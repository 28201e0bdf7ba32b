//! A component: what is checked before anything of it runs.

use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::context::Context;
use crate::limits::Limits;
use crate::runtime::{Code, Instance, LoadError, Stop};
use crate::wasm::bindings::PluginPre;
use crate::wasm::instance::{Data, WasmInstance};

/// The first bytes of a component, and of a module, which is a part of one.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A page of memory.
const PAGE: u64 = 65_536;

/// A compiled component of the world, with its imports resolved.
pub(crate) struct WasmCode {
    pre: PluginPre<Data>,
}

impl WasmCode {
    pub(crate) fn load(
        engine: &Engine,
        linker: &Linker<Data>,
        code: &[u8],
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        let wrong = |message: String| LoadError(message);
        if code.starts_with(MODULE) {
            let message = "this is a core module, not a component: link it with wasm-component-ld, or make one of it with \
                           `wasm-tools component new`";
            return Err(wrong(message.to_owned()));
        }
        if !code.starts_with(COMPONENT) {
            return Err(wrong("this is not a WebAssembly component".to_owned()));
        }
        let component = Component::from_binary(engine, code)
            .map_err(|error| wrong(format!("this is not a valid component: {error:#}")))?;
        check_imports(engine, &component)?;
        check_size(&component, limits)?;
        let pre = linker.instantiate_pre(&component).and_then(PluginPre::new);
        let pre =
            pre.map_err(|error| wrong(format!("this is not a component of the world coalmine:plugin: {error:#}")))?;
        Ok(Self { pre })
    }
}

impl Code for WasmCode {
    fn instance(&self, context: Context, limits: &Limits) -> Result<Box<dyn Instance>, Stop> {
        Ok(Box::new(WasmInstance::new(&self.pre, context, limits)?))
    }
}

/// Refuses every import that is not of our world, by name.
fn check_imports(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    let component = component.component_type();
    let is_ours = |name: &str| {
        let of_world = name.strip_prefix("coalmine:plugin/").and_then(|rest| rest.split_once('@'));
        of_world.is_some_and(|(interface, version)| matches!(interface, "host" | "types") && version.starts_with("1."))
    };
    let foreign: Vec<&str> = component.imports(engine).map(|(name, _)| name).filter(|name| !is_ours(name)).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let is_wasi = foreign.iter().any(|name| name.starts_with("wasi:"));
    let hint = if is_wasi {
        "; there is no WASI here: build Rust for wasm32-unknown-unknown, JavaScript with --backend-qjs-stub-wasi, Python \
         with --stub-wasi"
    } else {
        "; a plugin imports from coalmine:plugin@1 alone"
    };
    Err(LoadError(format!("it imports what is not here: {}{hint}", foreign.join(", "))))
}

/// Refuses what could never be instantiated.
fn check_size(component: &Component, limits: &Limits) -> Result<(), LoadError> {
    // A component that instantiates what it imports has no fixed size; there is nothing of that kind to import.
    let Some(required) = component.resources_required() else {
        return Err(LoadError("it does not say how much memory it takes".to_owned()));
    };
    let pages = required.max_initial_memory_size.unwrap_or_default();
    let bytes = pages.saturating_mul(PAGE);
    if bytes > limits.memory {
        let max = limits.memory;
        return Err(LoadError(format!("it begins with {bytes} bytes of memory, and {max} are all that a plugin gets")));
    }
    Ok(())
}
