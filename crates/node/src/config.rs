//! What a node is configured with: flags, then the environment (`COALMINE_*`), then `config.toml`, then defaults.
//!
//! Whatever a file has that is not here is an error, so that no typing error goes unnoticed. No message shows a value of
//! the file, which may hold secrets.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::notify::{SinkConfig, check_sinks};
use crate::reporter::{LocalConfig, ReporterConfig, check_reporters};

/// The most streams that anybody may allow: each holds a connection.
const STREAMS_MAX: u32 = 100_000;
/// A configuration is at most so long, in bytes.
const FILE_SIZE_MAX: u64 = 1 << 20;
/// Shorter blocks than this would be all that a node does.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Heights that far apart are a typing error.
const INTERVAL_MAX: Duration = Duration::from_secs(60 * 60);

/// Where blocks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// The node's own clock.
    #[default]
    Solo,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The configuration of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where blocks come from.
    pub engine: EngineKind,
    /// The time between two heights.
    #[serde(deserialize_with = "read_duration", serialize_with = "write_duration")]
    pub block_interval: Duration,
    /// How many heights back blocks, outcomes and samples are kept; 0: all. The state is never pruned.
    pub keep_blocks: u32,
    /// The HTTP API.
    pub http: Http,
    /// The log.
    pub log: Log,
    /// What only this machine may ask.
    pub local: LocalConfig,
    /// Who is told what happens.
    pub notify: Vec<SinkConfig>,
    /// What is reported of counters.
    pub reporter: Vec<ReporterConfig>,
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// The address that it listens on.
    pub listen: SocketAddr,
    /// How many event streams may be open.
    pub streams: u32,
    /// How many of them to one address.
    pub streams_per_address: u32,
    /// Whether the last address of `X-Forwarded-For` says who asks. Only behind a proxy that sets it.
    pub behind_proxy: bool,
}

/// The log, which goes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Its form.
    pub format: LogFormat,
    /// What it has, as `RUST_LOG` says it.
    pub filter: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: EngineKind::Solo,
            block_interval: Duration::from_secs(1),
            keep_blocks: 0,
            http: Http::default(),
            log: Log::default(),
            local: LocalConfig::default(),
            notify: Vec::new(),
            reporter: Vec::new(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8700));
        Self { listen, streams: 1_000, streams_per_address: 32, behind_proxy: false }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into() }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The file is too long.
    #[error("{}: a configuration has at most {FILE_SIZE_MAX} bytes", .0.display())]
    TooLong(PathBuf),
    /// The text is no configuration.
    #[error("{}: line {line}, column {column}: {message}", .path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A value that makes no sense.
    #[error("{0}")]
    Value(String),
}

/// What flags and the environment say.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Overrides {
    /// Where blocks come from [default: solo]
    #[arg(long, env = "COALMINE_ENGINE", value_enum, value_name = "ENGINE")]
    pub engine: Option<EngineKind>,
    /// Time between two heights, such as 500ms or 2s [default: 1s]
    #[arg(long, env = "COALMINE_BLOCK_INTERVAL", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub block_interval: Option<Duration>,
    /// How many heights back blocks are kept; 0: all [default: 0]
    #[arg(long, env = "COALMINE_KEEP_BLOCKS", value_name = "N")]
    pub keep_blocks: Option<u32>,
    /// Address of the HTTP API [default: 127.0.0.1:8700]
    #[arg(long, env = "COALMINE_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Form of the log [default: text]
    #[arg(long, env = "COALMINE_LOG_FORMAT", value_enum, value_name = "FORM")]
    pub log_format: Option<LogFormat>,
    /// What is logged, such as warn or coalmine_node=debug [default: info]
    #[arg(long, env = "COALMINE_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |error| ConfigError::Io { path: path.into(), error };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(FILE_SIZE_MAX.saturating_add(1)).read_to_string(&mut text).map_err(failed)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_SIZE_MAX {
            return Err(ConfigError::TooLong(path.into()));
        }
        let config: Self = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count().saturating_add(1);
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
            ConfigError::Text { path: path.into(), line, column, message: without_text(error.message()) }
        })?;
        config.checked()
    }

    /// The same with what flags and the environment say.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn with(mut self, overrides: &Overrides) -> Result<Self, ConfigError> {
        let Overrides { engine, block_interval, keep_blocks, listen, log_format, log } = overrides.clone();
        self.engine = engine.unwrap_or(self.engine);
        self.block_interval = block_interval.unwrap_or(self.block_interval);
        self.keep_blocks = keep_blocks.unwrap_or(self.keep_blocks);
        self.http.listen = listen.unwrap_or(self.http.listen);
        self.log.format = log_format.unwrap_or(self.log.format);
        self.log.filter = log.unwrap_or(self.log.filter);
        self.checked()
    }

    /// How many heights back the tables go.
    #[must_use]
    pub const fn kept(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.keep_blocks)
    }

    pub(crate) fn checked(self) -> Result<Self, ConfigError> {
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&self.block_interval) {
            let found = humantime::format_duration(self.block_interval);
            return Err(ConfigError::Value(format!("block_interval is 10ms to 1h, not {found}")));
        }
        let streams = self.http.streams;
        if !(1..=STREAMS_MAX).contains(&streams) || !(1..=streams).contains(&self.http.streams_per_address) {
            return Err(ConfigError::Value(format!(
                "http.streams is 1 to {STREAMS_MAX}, and http.streams_per_address is 1 to streams"
            )));
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log.filter) {
            return Err(ConfigError::Value(format!(
                "log filter: {error}; write it as warn, or coalmine_node=debug,info"
            )));
        }
        check_sinks(&self.notify).map_err(|error| ConfigError::Value(error.to_string()))?;
        check_reporters(&self.reporter, &self.local).map_err(|error| ConfigError::Value(error.to_string()))?;
        Ok(self)
    }

    /// Sinks, reporters and the API of this machine, without secrets.
    fn beside_text(&self) -> String {
        let rest = Rest { local: &self.local, notify: &self.notify, reporter: &self.reporter };
        // What was read from such a text can be written as one.
        let text = toml::to_string(&rest).unwrap_or_default();
        if text.is_empty() { text } else { format!("\n{text}") }
    }

    /// The configuration as a file, with what each key is for.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let log_format = match self.log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let engine = match self.engine {
            EngineKind::Solo => "solo",
        };
        let interval = humantime::format_duration(self.block_interval);
        // Writing to a text cannot fail.
        let _written = write!(
            out,
            "\
# Where blocks come from: solo, the clock of this node.
engine = \"{engine}\"
# The time between two heights.
block_interval = \"{interval}\"
# How many heights back blocks, outcomes and samples are kept; 0: all. The state is never pruned.
keep_blocks = {}

[http]
# The address of the API. Beyond this machine only behind a proxy that knows who may ask.
listen = \"{}\"
# How many event streams may be open, and how many of them to one address.
streams = {}
streams_per_address = {}
# Whether the last address of X-Forwarded-For says who asks. Only behind a proxy that sets it.
behind_proxy = {}

[log]
# text or json, to standard error.
format = \"{log_format}\"
# What is logged, such as warn or coalmine_node=debug,info.
filter = {}
",
            self.keep_blocks,
            self.http.listen,
            self.http.streams,
            self.http.streams_per_address,
            self.http.behind_proxy,
            toml::Value::from(self.log.filter.as_str()),
        );
        out.push_str(&self.beside_text());
        out
    }
}

/// What a text of a configuration has only if somebody has asked for it.
#[derive(Serialize)]
struct Rest<'c> {
    #[serde(skip_serializing_if = "is_unset")]
    local: &'c LocalConfig,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notify: &'c [SinkConfig],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reporter: &'c [ReporterConfig],
}

fn is_unset(local: &&LocalConfig) -> bool {
    **local == LocalConfig::default()
}

/// An error of the parser without the text that it quotes, which may be a secret.
fn without_text(message: &str) -> String {
    let Some((before, rest)) = message.split_once("string \"") else { return message.into() };
    let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
    format!("{before}string{after}")
}

fn read_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text)
        .map_err(|error| serde::de::Error::custom(format!("{error}; write a time as 500ms or 2s")))
}

fn write_duration<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_duration(*duration))
}
