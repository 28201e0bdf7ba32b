//! The engine of the process, with the settings on which fuel and results depend, and the compile cache.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::Linker;
use wasmtime::{Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::code::{CodeError, CodeProblem};
use crate::limits::Limits;
use crate::runtime::{Code, LoadError, Runtime};
use crate::wasm::code::WasmCode;
use crate::wasm::imports::link;
use crate::wasm::instance::Data;

/// The stack of one plugin. With [`DEPTH_MAX`](crate::DEPTH_MAX) of them, one on the other, it fits the threads that run
/// plugins several times.
const STACK: usize = 128 << 10;

/// The core instances, tables and bytes of one component: those of interpreters have dozens.
const CORE_INSTANCES_MAX: u32 = 64;
const TABLES_MAX: u32 = 16;
const INSTANCE_SIZE_MAX: usize = 4 << 20;
const TABLE_ELEMENTS_MAX: usize = 65_536;

/// What is the same for all plugins of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Where compiled code is kept, in a folder of one's own; `None`: it is compiled at every start.
    pub cache: Option<PathBuf>,
    /// How many instances there may be at a time, of all versions together. Each takes 4 GiB of addresses, and memory
    /// only as it uses it.
    pub instances: u32,
    /// The most memory that any instance may have; at least that of [`Limits`].
    pub memory: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { cache: None, instances: 4_000, memory: 128 << 20 }
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The compile cache cannot be used.
    #[error("compile cache {0}")]
    Cache(CodeError),
    /// A process has one engine.
    #[error("this process already runs plugins with other options; one process has one engine, so use the same ones")]
    OtherOptions,
    /// The engine says so.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
}

/// The one engine of the process.
static ENGINE: Mutex<Option<(EngineOptions, WasmRuntime)>> = Mutex::new(None);

/// Runs components. All hosts of a process share it: values of one engine must never reach another.
#[derive(Clone)]
pub struct WasmRuntime {
    engine: Engine,
    linker: Arc<Linker<Data>>,
    cache: Option<Cache>,
}

impl WasmRuntime {
    /// The engine of this process, made at the first call.
    ///
    /// # Errors
    /// If the cache folder is open to others, if there is an engine with other options, or if it does not start.
    pub fn new(options: &EngineOptions) -> Result<Self, EngineError> {
        let mut engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((with, runtime)) = &*engine {
            return if with == options { Ok(runtime.clone()) } else { Err(EngineError::OtherOptions) };
        }
        let runtime = Self::start(options)?;
        *engine = Some((options.clone(), runtime.clone()));
        Ok(runtime)
    }

    fn start(options: &EngineOptions) -> Result<Self, EngineError> {
        let failed = |error: wasmtime::Error| EngineError::Engine(format!("{error:#}"));
        let cache = options.cache.as_deref().map(open_cache).transpose()?;
        let engine = Engine::new(&config(options, cache.clone())).map_err(failed)?;
        let linker = Arc::new(link(&engine).map_err(failed)?);
        Ok(Self { engine, linker, cache })
    }

    /// How often compiled code was found in the cache, and how often it was not.
    #[must_use]
    pub fn cache_hits_and_misses(&self) -> (usize, usize) {
        self.cache.as_ref().map_or((0, 0), |cache| (cache.cache_hits(), cache.cache_misses()))
    }
}

impl Runtime for WasmRuntime {
    fn load(&self, code: &[u8], limits: &Limits) -> Result<Arc<dyn Code>, LoadError> {
        Ok(Arc::new(WasmCode::load(&self.engine, &self.linker, code, limits)?))
    }
}

/// The settings. Those that results and fuel depend on are written out, also where they are the default.
fn config(options: &EngineOptions, cache: Option<Cache>) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(options.instances)
        .total_core_instances(options.instances.saturating_mul(8))
        .total_memories(options.instances)
        .total_tables(options.instances.saturating_mul(4))
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_component_instance_size(INSTANCE_SIZE_MAX)
        .max_core_instance_size(INSTANCE_SIZE_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(options.memory);
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .max_wasm_stack(STACK)
        .cache(cache)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Opens the compile cache. What is in it is run as it is, so nobody else may write there, or read what plugins do.
///
/// Entries are of one version of the engine and one set of options, and torn or stale ones count as not there.
fn open_cache(path: &Path) -> Result<Cache, EngineError> {
    let wrong = |problem| EngineError::Cache(CodeError::new(path, problem));
    let io = |error: std::io::Error| wrong(error.into());
    let make = DirBuilder::new().recursive(true).mode(0o700).create(path);
    make.map_err(|error| match error.kind() == std::io::ErrorKind::AlreadyExists {
        true => wrong(CodeProblem::NotAFolder),
        false => io(error),
    })?;
    let metadata = fs::symlink_metadata(path).map_err(io)?;
    if !metadata.is_dir() {
        return Err(wrong(CodeProblem::NotAFolder));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(wrong(CodeProblem::Open { mode }));
    }
    let owner = metadata.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(wrong(CodeProblem::NotOurs { owner }));
    }
    let mut config = CacheConfig::new();
    config.with_directory(fs::canonicalize(path).map_err(io)?);
    Cache::new(config).map_err(|error| EngineError::Engine(format!("{error:#}")))
}
