//! A headless Chromium, driven through a small script of Node.js. What it needs is installed when it is missing; where that
//! is impossible, tests say SKIPPED.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// What is installed, in these versions: the driver of the browser and the checker of accessibility.
const PACKAGES: [&str; 2] = ["puppeteer-core@24.43.1", "axe-core@4.14.1"];

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    base: String,
}

/// How a page is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) is_dark: bool,
    pub(crate) has_scripts: bool,
}

pub(crate) const DESK: Look = Look { width: 1_280, is_dark: false, has_scripts: true };

/// The path of a program, if there is one.
fn program(names: &[&str]) -> Option<PathBuf> {
    let paths: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    names.iter().flat_map(|name| paths.iter().map(move |path| path.join(name))).find(|path| path.is_file())
}

fn skip(why: &str) -> Option<Browser> {
    eprintln!("SKIPPED: the dashboard in a browser: {why}");
    None
}

/// Installs the packages into a folder of the user's cache.
fn packages() -> Result<PathBuf, String> {
    static ONCE: Mutex<()> = Mutex::new(());
    let _once = ONCE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let folder = cache.ok_or("there is no folder for caches")?.join("coalmine/browser");
    let is_there = |package: &str| {
        let (name, version) = package.split_once('@').unwrap();
        let json = fs::read_to_string(folder.join("node_modules").join(name).join("package.json"));
        json.is_ok_and(|json| json.contains(&format!("\"version\": \"{version}\"")))
    };
    if PACKAGES.iter().all(|package| is_there(package)) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let npm = program(&["npm"]).ok_or("npm is missing (apt-get install npm)")?;
    let flags = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
    let output = Command::new(npm).args(flags).arg(&folder).args(PACKAGES).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(folder) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

impl Browser {
    /// Starts a browser; none where there cannot be one.
    pub(crate) fn start(base: &str) -> Option<Self> {
        let Some(chromium) = program(&["chromium", "chromium-browser", "google-chrome"]) else {
            return skip("chromium is missing (apt-get install chromium)");
        };
        let Some(node) = program(&["node"]) else { return skip("node is missing (apt-get install nodejs)") };
        let folder = match packages() {
            Ok(folder) => folder,
            Err(why) => return skip(&why),
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboard/driver.mjs");
        let child = Command::new(node)
            .arg(script)
            .arg(folder)
            .arg(chromium)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self { child, to, from: BufReader::new(from), base: base.into() })
    }

    /// Does something, and returns what came of it.
    fn call(&mut self, call: &Value) -> Value {
        writeln!(self.to, "{call}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{call}: {line:?}"));
        assert_eq!(answer["error"], Value::Null, "{call}");
        answer["value"].clone()
    }

    /// Opens a page in place of the last one.
    pub(crate) fn open(&mut self, path: &str, look: Look) {
        let Look { width, is_dark, has_scripts } = look;
        let url = format!("{}{path}", self.base);
        self.call(&json!({"do": "open", "url": url, "width": width, "dark": is_dark, "scripts": has_scripts}));
    }

    /// The value of an expression on the page.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        self.call(&json!({"do": "eval", "code": expression}))
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&mut self, expression: &str) {
        self.call(&json!({"do": "wait", "code": expression}));
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        self.call(&json!({"do": "press", "key": key}));
    }

    /// Clicks on something and waits for the page that this leads to.
    pub(crate) fn follow(&mut self, selector: &str) {
        self.call(&json!({"do": "follow", "selector": selector}));
    }

    /// Replaces text in the answers to a path.
    pub(crate) fn tamper(&mut self, path: &str, from: &str, to: &str) {
        self.call(&json!({"do": "tamper", "path": path, "from": from, "to": to}));
    }

    /// What the page has complained about: errors, failed loads, and what its policy forbade.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        let said = self.call(&json!({"do": "complaints"}));
        said.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    }

    /// What axe finds, the worst first: impact, rule, and where.
    pub(crate) fn findings(&mut self) -> Vec<(String, String)> {
        let found = self.call(&json!({"do": "axe"}));
        let one = |one: &Value| (one["impact"].as_str().unwrap().to_owned(), one["words"].as_str().unwrap().to_owned());
        found.as_array().unwrap().iter().map(one).collect()
    }

    /// Takes a picture of the whole page into the folder of the tests' output.
    pub(crate) fn shoot(&mut self, name: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
        fs::create_dir_all(&folder).unwrap();
        self.call(&json!({"do": "shoot", "file": folder.join(format!("{name}.png"))}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ended = writeln!(self.to, "{}", json!({"do": "end"}));
        let _status = self.child.wait();
    }
}
