//! Plugins as Rust closures, for tests of hosts and for programs that build their plugins in.
//!
//! They are neither metered nor contained: a closure burns the fuel that it says, and its panics are caught.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use coalmine_core::Hash;

use crate::code::code_hash;
use crate::context::Context;
use crate::limits::Limits;
use crate::response::{CallError, ErrorKind, Failure};
use crate::runtime::{Code, Ended, Instance, LoadError, Runtime, Stop};

type Setup = dyn Fn(&[u8]) -> Result<(), String> + Send + Sync;
type Check = dyn Fn() -> Result<(), String> + Send + Sync;
type Handle = dyn Fn(&mut NativeCall<'_>, &[u8]) -> Result<Vec<u8>, Failure> + Send + Sync;

/// A plugin made of closures.
#[derive(Clone)]
pub struct NativePlugin {
    setup: Arc<Setup>,
    check: Arc<Check>,
    handle: Arc<Handle>,
}

impl NativePlugin {
    /// A plugin that takes any config, is always healthy, and answers so.
    #[must_use]
    pub fn new(
        handle: impl Fn(&mut NativeCall<'_>, &[u8]) -> Result<Vec<u8>, Failure> + Send + Sync + 'static,
    ) -> Self {
        Self { setup: Arc::new(|_| Ok(())), check: Arc::new(|| Ok(())), handle: Arc::new(handle) }
    }

    /// Gives it a `setup`.
    #[must_use]
    pub fn with_setup(mut self, setup: impl Fn(&[u8]) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.setup = Arc::new(setup);
        self
    }

    /// Gives it a `check`.
    #[must_use]
    pub fn with_check(mut self, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.check = Arc::new(check);
        self
    }
}

/// Runs closures. The code of each is a text that stands for it: the ledger has the hash of that.
#[derive(Clone, Default)]
pub struct NativeRuntime {
    plugins: BTreeMap<Hash, NativePlugin>,
}

impl NativeRuntime {
    /// Adds a plugin under the hash of its code, which it returns.
    pub fn add(&mut self, code: &[u8], plugin: NativePlugin) -> Hash {
        let hash = code_hash(code);
        self.plugins.insert(hash, plugin);
        hash
    }
}

impl Runtime for NativeRuntime {
    fn load(&self, code: &[u8], _: &Limits) -> Result<Arc<dyn Code>, LoadError> {
        let plugin = self.plugins.get(&code_hash(code)).cloned();
        let plugin = plugin.ok_or_else(|| LoadError("this program has no closure for the code".to_owned()))?;
        Ok(Arc::new(plugin))
    }
}

impl Code for NativePlugin {
    fn instance(&self, context: Context, limits: &Limits) -> Result<Box<dyn Instance>, Stop> {
        Ok(Box::new(NativeInstance { plugin: self.clone(), context, response_max: limits.response }))
    }
}

/// What a closure can ask of the host.
pub struct NativeCall<'a> {
    context: &'a mut Context,
    left: u64,
    stop: Option<Stop>,
}

impl NativeCall<'_> {
    /// What it knows of the call: height, unit, log, what the embedder offers.
    pub fn context(&mut self) -> &mut Context {
        self.context
    }

    /// Burns fuel. A closure that burns more than there is must return at once, and is stopped in any case.
    ///
    /// # Errors
    /// [`Failure`], when there is no more.
    pub fn burn(&mut self, fuel: u64) -> Result<(), Failure> {
        let left = self.left.checked_sub(fuel);
        self.left = left.unwrap_or_default();
        if left.is_none() {
            self.stop = Some(Stop::Plugin(ErrorKind::OutOfFuel, String::new()));
        }
        left.map(|_| ()).ok_or_else(stopped)
    }

    /// Asks a plugin that this version requires.
    ///
    /// # Errors
    /// [`Failure`]; that of a call that cannot go on is to be returned at once, and ends it in any case.
    pub fn call(&mut self, plugin: &str, request: &[u8]) -> Result<Vec<u8>, Failure> {
        let (result, used) = self.context.call(plugin, request, self.left);
        self.left = self.left.saturating_sub(used);
        result.unwrap_or_else(|error: CallError| {
            self.stop = Some(Stop::Call(Box::new(error)));
            Err(stopped())
        })
    }
}

fn stopped() -> Failure {
    Failure::Failed("the call has ended".to_owned())
}

struct NativeInstance {
    plugin: NativePlugin,
    context: Context,
    response_max: usize,
}

impl Instance for NativeInstance {
    fn context(&mut self) -> &mut Context {
        &mut self.context
    }

    fn setup(&mut self, config: &[u8], _: u64) -> Ended<Result<(), String>> {
        let setup = &self.plugin.setup;
        Ended { result: caught(|| setup(config)), fuel: 0 }
    }

    fn check(&mut self, _: u64) -> Ended<Result<(), String>> {
        let check = &self.plugin.check;
        Ended { result: caught(|| check()), fuel: 0 }
    }

    fn handle(&mut self, request: &[u8], fuel: u64) -> Ended<Result<Vec<u8>, Failure>> {
        let mut call = NativeCall { context: &mut self.context, left: fuel, stop: None };
        let handle = &self.plugin.handle;
        let result = caught(|| handle(&mut call, request));
        let NativeCall { left, stop, .. } = call;
        let result = match (stop, result) {
            (Some(stop), _) => Err(stop),
            (None, Ok(Ok(answer))) if answer.len() > self.response_max => {
                let message = format!("{} bytes, and at most {} go out", answer.len(), self.response_max);
                Err(Stop::Plugin(ErrorKind::ResponseTooLarge, message))
            }
            (None, result) => result,
        };
        Ended { result, fuel: fuel.saturating_sub(left) }
    }

    fn memory(&self) -> u64 {
        0
    }
}

/// Runs a closure, and takes its panic for a trap.
fn caught<T>(closure: impl FnOnce() -> T) -> Result<T, Stop> {
    catch_unwind(AssertUnwindSafe(closure)).map_err(|panic| Stop::Plugin(ErrorKind::Trap, panic_message(&*panic)))
}

/// What a panic says.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}
