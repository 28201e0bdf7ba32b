//! What core must not use is refused: by its lints, by the compiler, by the list of its dependencies.
//!
//! Each rule proves itself on a copy of core with a planted violation. The copy stands in a copy of
//! the workspace whose other files are links, so that manifests, lock file and lints are the real ones.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// Every direct dependency of core. There are at most five.
const DEPENDENCIES: [&str; 4] = ["byteorder", "hex", "sha2", "thiserror"];
/// Those that come with a feature, beside them.
const OPTIONAL: [&str; 2] = ["p3-sha256", "p3-symmetric"];
/// A target without an operating system, and so without std.
const BARE: &str = "x86_64-unknown-none";

fn top() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// Links to every entry of a folder but one.
fn link_all_but(except: &str, from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        if name != except && name != "target" {
            symlink(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

/// Copies a folder.
fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy_all(&path, &to) } else { assert!(fs::copy(&path, &to).is_ok()) }
    }
}

/// A copy of the workspace in which the manifest and the sources of core may be changed. There is one
/// at a time, so that what clippy has compiled for one is not taken for another.
struct Copy {
    top: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

impl Copy {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, to) = (top(), Path::new(env!("CARGO_TARGET_TMPDIR")).join("core"));
        drop(fs::remove_dir_all(&to));
        link_all_but("crates", &from, &to);
        link_all_but("core", &from.join("crates"), &to.join("crates"));
        let copy = Self { top: to, _turn: turn };
        link_all_but("src", &from.join("crates/core"), &copy.core());
        copy_all(&from.join("crates/core/src"), &copy.core().join("src"));
        copy
    }

    fn core(&self) -> PathBuf {
        self.top.join("crates/core")
    }

    /// Adds a module to core.
    fn plant(&self, module: &str, text: &str) {
        let root = self.core().join("src/lib.rs");
        fs::write(&root, fs::read_to_string(&root).unwrap() + &format!("pub mod {module};\n")).unwrap();
        fs::write(self.core().join(format!("src/{module}.rs")), text).unwrap();
    }

    /// The errors of clippy and the compiler: a module and a code each.
    fn errors(&self, target: &[&str]) -> BTreeSet<(String, String)> {
        let mut clippy = Command::new(env!("CARGO"));
        clippy.args(["clippy", "--offline", "--locked", "--quiet", "-p", "coalmine-core", "--message-format=json"]);
        clippy.args(target).arg("--target-dir").arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("lints"));
        let output = clippy.current_dir(&self.top).output().unwrap();
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| serde_json::from_slice(line).unwrap());
        let errors: BTreeSet<(String, String)> = lines.filter_map(|line: Value| error(&line["message"])).collect();
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), errors.is_empty(), "{log}");
        errors
    }
}

/// The module and the code of a message, if it is an error of its own.
fn error(message: &Value) -> Option<(String, String)> {
    let code = message["code"]["code"].as_str()?;
    let spans = message["spans"].as_array()?;
    let file = spans.iter().find(|span| span["is_primary"] == true)?["file_name"].as_str()?;
    let module = Path::new(file).file_stem()?.to_str()?;
    (message["level"] == "error").then(|| (module.into(), code.into()))
}

/// Modules, what is in them, and the code that refuses each.
type Rows<'a> = &'a [(&'a str, &'a str, &'a str)];

/// Plants all modules at once: the errors are those of the rows and no others.
fn check(target: &[&str], prelude: &str, rows: Rows<'_>) {
    let copy = Copy::new();
    for (module, text, _) in rows {
        copy.plant(module, &format!("{prelude}{text}"));
    }
    let expected = rows.iter().map(|(module, _, code)| ((*module).into(), (*code).into())).collect();
    assert_eq!(copy.errors(target), expected, "again: cargo test --release -p coalmine-model --test it core::");
}

/// What needs std does not compile, because core does not link it.
#[test]
fn std_is_not_there() {
    let rows = [
        ("clock", "pub fn now() -> std::time::Instant { std::time::Instant::now() }", "E0433"),
        ("date", "pub use std::time::SystemTime;", "E0433"),
        ("thread", "pub fn spawn() { std::thread::spawn(|| ()); }", "E0433"),
        ("environment", "pub fn is_set() -> bool { std::env::var_os(\"X\").is_some() }", "E0433"),
        ("file", "pub fn is_there() -> bool { std::fs::exists(\"x\").is_ok() }", "E0433"),
        ("random", "pub use std::hash::RandomState;", "E0433"),
        ("map", "pub use std::collections::HashMap;", "E0433"),
    ];
    check(&[], "", &rows);
}

/// Where there is no std, core compiles; linking it after all does not.
#[test]
fn std_is_not_linked() {
    let sysroot = Command::new("rustc").args(["--print", "target-libdir", "--target", BARE]).output().unwrap();
    if !Path::new(String::from_utf8_lossy(&sysroot.stdout).trim()).exists() {
        // Not eprintln, of which a test that passes shows nothing.
        let skipped = format!("SKIPPED: core without std: no Rust target {BARE}; rustup target add {BARE}\n");
        io::stderr().write_all(skipped.as_bytes()).unwrap();
        return;
    }
    check(&["--target", BARE], "", &[]);
    check(&["--target", BARE], "", &[("linked", "extern crate std;", "E0463")]);
}

/// With std at hand, lints refuse what is not the same on every node.
#[test]
fn lints_refuse_what_differs() {
    let rows = [
        ("map", "pub fn map() -> std::collections::HashMap<u8, u8> { Default::default() }", "clippy::disallowed_types"),
        ("set", "pub use std::collections::HashSet;", "clippy::disallowed_types"),
        ("random", "pub use std::hash::RandomState;", "clippy::disallowed_types"),
        (
            "clock",
            "pub fn is_late() -> bool { std::time::Instant::now().elapsed().as_secs() > 1 }",
            "clippy::disallowed_types",
        ),
        ("clock_type", "pub use std::time::Instant;", "clippy::disallowed_types"),
        ("date", "pub use std::time::SystemTime;", "clippy::disallowed_types"),
        ("float", "pub fn is_half() -> bool { let x = 1.0 / 3.0; x > 0.5 }", "clippy::float_arithmetic"),
        ("float_type", "pub fn is_half(x: f64) -> bool { x > 0.5 }", "clippy::disallowed_types"),
        ("float_small", "pub fn is_half(x: f32) -> bool { x > 0.5 }", "clippy::disallowed_types"),
        ("conversion", "pub fn short(x: usize) -> u32 { x as u32 }", "clippy::as_conversions"),
        (
            "word",
            "pub fn bytes(x: usize) -> [u8; size_of::<usize>()] { x.to_be_bytes() }",
            "clippy::disallowed_methods",
        ),
        ("order", "pub fn bytes(x: u32) -> [u8; 4] { x.to_ne_bytes() }", "clippy::host_endian_bytes"),
        ("order_little", "pub fn bytes(x: u32) -> [u8; 4] { x.to_le_bytes() }", "clippy::little_endian_bytes"),
        (
            "address",
            "pub fn address(x: &u8) -> bool { core::ptr::from_ref(x).addr() > 9 }",
            "clippy::disallowed_methods",
        ),
        ("overflow", "pub fn next(x: u32) -> u32 { x + 1 }", "clippy::arithmetic_side_effects"),
    ];
    check(&[], "extern crate std;\n", &rows);
}

/// The direct dependencies of core, other than those of its tests: the usual ones, and those of features.
fn dependencies(manifest: &Path) -> [Vec<String>; 2] {
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--offline", "--no-deps", "--format-version=1", "--manifest-path"]).arg(manifest);
    let metadata: Value = serde_json::from_slice(&metadata.output().unwrap().stdout).unwrap();
    let mut packages = metadata["packages"].as_array().unwrap().iter();
    let core = packages.find(|package| package["name"] == "coalmine-core").unwrap();
    [false, true].map(|is_optional| {
        let all = core["dependencies"].as_array().unwrap().iter().filter(|dependency| dependency["kind"] != "dev");
        let some = all.filter(|dependency| dependency["optional"] == is_optional);
        some.map(|dependency| dependency["name"].as_str().unwrap().into()).collect()
    })
}

#[test]
fn core_has_few_dependencies() {
    const { assert!(DEPENDENCIES.len() <= 5) };
    let [usual, optional] = dependencies(&top().join("crates/core/Cargo.toml"));
    assert_eq!(usual, DEPENDENCIES);
    assert_eq!(optional, OPTIONAL);
}

#[test]
fn another_dependency_is_seen() {
    let copy = Copy::new();
    let manifest = copy.core().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap(); // a link to the real one
    for (section, is_seen) in [("dependencies", true), ("build-dependencies", true), ("dev-dependencies", false)] {
        let planted = format!("{text}\n[target.'cfg(all())'.{section}]\nbytes.workspace = true\n");
        fs::write(&manifest, planted).unwrap();
        let [usual, _] = dependencies(&manifest);
        assert_eq!(usual != DEPENDENCIES, is_seen, "{section}");
    }
}
