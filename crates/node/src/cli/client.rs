//! The API of a node, asked from the command line.

use std::io::{self, BufRead, BufReader, Read as _};
use std::time::Duration;

use clap::Args;
use coalmine_core::Address;
use coalmine_json::render::{Fields, Value as Shown};
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::cli::error::Error;

/// Answers are at most so long, in bytes.
const ANSWER_SIZE_MAX: u64 = 16 << 20;
/// A line of a stream is at most so long, in bytes: the events of one block.
const LINE_SIZE_MAX: u64 = 64 << 20;
/// How long a node may take for an answer; it waits for a block for ten seconds at most.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// A stream says something every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Which node is asked.
#[derive(Debug, Clone, Args)]
pub(super) struct At {
    /// The node: http://HOST:PORT, or https:// behind a proxy
    #[arg(long, env = "COALMINE_NODE", default_value = "http://127.0.0.1:8700", value_name = "URL")]
    node: String,
}

/// A node that is asked.
pub(super) struct Client {
    base: String,
    agent: Agent,
}

/// What a node answers: an object, in the order in which it sends it.
pub(super) struct Answer(pub(super) Fields);

impl Answer {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key)? {
            Shown::Text(text) => Some(text),
            Shown::None | Shown::Bool(_) | Shown::Number(_) | Shown::List(_) | Shown::Fields(_) => None,
        }
    }

    pub(super) fn object(&self, key: &str) -> Option<Self> {
        match self.0.get(key)? {
            Shown::Fields(fields) => Some(Self(fields.clone())),
            Shown::None | Shown::Bool(_) | Shown::Number(_) | Shown::Text(_) | Shown::List(_) => None,
        }
    }

    /// The objects of a list; none if there is no such list.
    pub(super) fn objects(&self, key: &str) -> Vec<Self> {
        let Some(Shown::List(list)) = self.0.get(key) else { return Vec::new() };
        let object = |value: &Shown| match value {
            Shown::Fields(fields) => Some(Self(fields.clone())),
            Shown::None | Shown::Bool(_) | Shown::Number(_) | Shown::Text(_) | Shown::List(_) => None,
        };
        list.iter().filter_map(object).collect()
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        match self.0.get(key)? {
            Shown::Number(number) => Some(*number),
            Shown::None | Shown::Bool(_) | Shown::Text(_) | Shown::List(_) | Shown::Fields(_) => None,
        }
    }
}

impl At {
    pub(super) fn client(&self) -> Client {
        Client::new(&self.node)
    }
}

impl Client {
    /// A client of the API at a URL.
    pub(super) fn new(base: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_body(Some(SILENCE_MAX))
            .build();
        Self { base: base.trim_end_matches('/').into(), agent: agent.into() }
    }

    /// Asks for something.
    pub(super) fn get(&self, path: &str) -> Result<Answer, Error> {
        let request = self.agent.get(self.url(path)).config().timeout_recv_response(Some(ANSWER_MAX)).build();
        self.answer(request.call())
    }

    /// Sends JSON.
    pub(super) fn post_json(&self, path: &str, body: &Value) -> Result<Answer, Error> {
        let request = self.agent.post(self.url(path)).config().timeout_recv_response(Some(ANSWER_MAX)).build();
        self.answer(request.content_type("application/json").send(body.to_string()))
    }

    /// Sends bytes.
    pub(super) fn post_bytes(&self, path: &str, body: &[u8]) -> Result<Answer, Error> {
        let request = self.agent.post(self.url(path)).config().timeout_recv_response(Some(ANSWER_MAX)).build();
        self.answer(request.content_type("application/octet-stream").send(body))
    }

    /// Opens a stream of messages.
    pub(super) fn stream(&self, path: &str) -> Result<Lines, Error> {
        let request = self.agent.get(self.url(path)).config().timeout_recv_response(Some(ANSWER_MAX)).build();
        let response =
            request.header("accept", "text/event-stream").call().map_err(|error| self.unreachable(&error))?;
        if response.status() == 200 {
            return Ok(Lines(BufReader::new(response.into_body().into_reader())));
        }
        Err(self
            .answer(Ok(response))
            .err()
            .unwrap_or_else(|| Error::Remote(format!("{}: this is no stream", self.base))))
    }

    /// The next free sequence of a signer.
    pub(super) fn next_sequence(&self, address: &Address) -> Result<u64, Error> {
        let answer = self.get(&format!("/v1/sequence/{address}"))?;
        answer.number("next").ok_or_else(|| self.senseless("sequence"))
    }

    pub(super) fn senseless(&self, of: &str) -> Error {
        Error::Remote(format!("{}: the answer about {of} is not that of a coalmine node", self.base))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn unreachable(&self, error: &ureq::Error) -> Error {
        Error::Remote(format!(
            "{}: cannot be reached: {error}; is the node running? name another one with --node",
            self.base
        ))
    }

    fn answer(&self, response: Result<Response<Body>, ureq::Error>) -> Result<Answer, Error> {
        let mut response = response.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(ANSWER_SIZE_MAX).read_to_string();
        let body = body.map_err(|error| self.unreachable(&error))?;
        let value = match serde_json::from_str(&body) {
            Ok(Shown::Fields(fields)) => Some(Answer(fields)),
            Ok(_) | Err(_) => None,
        };
        if status.is_success() {
            return value.ok_or_else(|| self.senseless("this"));
        }
        let text = |key: &str| value.as_ref()?.text(key).map(str::to_owned);
        let what = text("detail").or_else(|| text("title")).unwrap_or_else(|| status.to_string());
        let what = text("reject").map_or_else(|| what.clone(), |reject| format!("{reject}: {what}"));
        // What the node refuses is bad input; that it cannot now is not.
        Err(if status.is_client_error() && status != 408 && status != 429 {
            Error::Input(what)
        } else {
            Error::Remote(format!("{}: {what}", self.base))
        })
    }
}

/// The lines of a stream.
pub(super) struct Lines(BufReader<ureq::BodyReader<'static>>);

impl Lines {
    /// The next line; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let read = self.0.by_ref().take(LINE_SIZE_MAX).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if line.pop_if(|last| *last == b'\n').is_none() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended within a line"));
        }
        let _end = line.pop_if(|last| *last == b'\r');
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }
}
