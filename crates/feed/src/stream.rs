//! The connection: a thin driver between a transport and the manager.
//!
//! The manager makes every decision. This driver has the clock, the waiting and the limits of the input: each connection
//! is a new one, a stream that is silent for too long is dropped, and so is one with an event that is too long.
//!
//! The log entries of this crate contain no byte of the stream. But the crate `eventsource-client`, which it uses, writes
//! raw bytes of the stream, and so keys, to the facade `log` at the levels debug and trace. A host that installs a logger
//! must filter the target `eventsource_client` and those below it, as in `eventsource_client=info`.
//!
//! The transport is the host's choice. [`HyperTransport`](launchdarkly_sdk_transport::HyperTransport) takes proxies from
//! the environment unless its builder is told `disable_proxy`, and over `http://` it sends the key unencrypted.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use bytes::Bytes;
use coalmine_core::Command;
use eventsource_client::{Client, ClientBuilder, Error as StreamError, ReconnectOptions, SSE};
use futures_util::{StreamExt, stream};
use launchdarkly_sdk_transport::{ByteStream, HttpTransport, Request, ResponseFuture, TransportError, Uri};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::manager::{Action, Input, Log, Manager};

/// Limits of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest event, in bytes of the stream.
    pub event_size_max: usize,
    /// How long the server may take to start its answer.
    pub answer: Duration,
    /// How long the stream may be silent. Servers send a comment every few minutes.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Half as much again as the bodies of the largest put that the ledger accepts.
            event_size_max: 24 * 1_024 * 1_024,
            answer: Duration::from_secs(30),
            silence: Duration::from_secs(5 * 60),
        }
    }
}

/// Why a client cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The address is invalid.
    #[error("invalid address: {0}")]
    Address(String),
    /// The key has characters that no header can carry.
    #[error("the key has characters that an Authorization header cannot carry")]
    Key,
}

/// The server refuses the key, so that trying again is pointless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server refuses the key")]
pub struct Refused;

/// A client of the stream below a base address. A protocol above 1 is requested in the query, which then replaces that
/// of the address.
///
/// # Errors
/// [`EndpointError`].
pub fn client<T: HttpTransport>(
    base: &str,
    key: &str,
    protocol: i32,
    transport: T,
    limits: Limits,
) -> Result<impl Client + use<T>, EndpointError> {
    let address = |what: String| EndpointError::Address(what);
    let uri: Uri = base.parse().map_err(|error| address(format!("{error}")))?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(address("it must begin with http:// or https:// and a host".into()));
    };
    let query = match (protocol, uri.query()) {
        (2.., _) => format!("?rpacProtocolVersion={protocol}"),
        (_, Some(query)) => format!("?{query}"),
        (_, None) => String::new(),
    };
    let url = format!("{scheme}://{authority}{}/relay_auto_config{query}", uri.path().trim_end_matches('/'));
    let client = ClientBuilder::for_url(&url).map_err(|error| address(error.to_string()))?;
    let client = client.header("Authorization", key).map_err(|_| EndpointError::Key)?;
    // The manager reconnects, and a redirect would disclose the key to its target.
    let once = ReconnectOptions::reconnect(false).retry_initial(false).build();
    Ok(client.reconnect(once).redirect_limit(0).build_with_transport(Guarded { transport, limits }))
}

/// Keeps the stream open and sends its commands on, one message at a time, until the receiver is closed. While a message
/// waits to be received, nothing more is read. For the duties of the receiver see [`Action::Emit`].
///
/// # Errors
/// [`Refused`]: the server refuses the key.
pub async fn run(
    client: &impl Client,
    manager: &mut Manager,
    messages: &mpsc::Sender<Vec<Command>>,
    mut log: impl FnMut(Log),
) -> Result<(), Refused> {
    let started = Instant::now();
    loop {
        let mut events = client.stream();
        let delay_ms = 'connection: loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = messages.closed() => return Ok(()),
            };
            let reason;
            let input = match &event {
                Some(Ok(SSE::Comment(_))) => continue,
                Some(Ok(SSE::Connected(details))) => Input::Response { status: details.response().status() },
                Some(Ok(SSE::Event(event))) => {
                    Input::Event { name: &event.event_type, data: &event.data, retry_ms: event.retry }
                }
                Some(Err(StreamError::UnexpectedResponse(response, _))) => {
                    Input::Response { status: response.status() }
                }
                Some(Err(error)) => {
                    reason = explain(error);
                    Input::Failed { reason: &reason }
                }
                None => Input::Failed { reason: "the stream ended" },
            };
            let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            for action in manager.handle(input, now_ms, random()) {
                match action {
                    Action::Emit(commands) => {
                        if messages.send(commands).await.is_err() {
                            return Ok(());
                        }
                    }
                    Action::Log(entry) => log(entry),
                    Action::Reconnect(delay_ms) => break 'connection delay_ms,
                    Action::Stop => return Err(Refused),
                }
            }
        };
        drop(events);
        tokio::select! {
            () = sleep(Duration::from_millis(delay_ms)) => {}
            () = messages.closed() => return Ok(()),
        }
    }
}

/// A random number. The standard library seeds its hash maps at random, which is good enough to spread clients.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// An error with its causes, none of which contains a byte of the stream.
fn explain(error: &StreamError) -> String {
    let StreamError::Transport(error) = error else { return error.to_string() };
    let mut text = error.inner().to_string();
    let mut source = error.inner().source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Why this side dropped a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Cut {
    #[error("no answer in {0:?}")]
    NoAnswer(Duration),
    #[error("nothing was received for {0:?}")]
    Silent(Duration),
    #[error("an event is longer than {0} bytes")]
    TooLong(usize),
    #[error("an id is longer than {ID_LINE_SIZE_MAX} bytes")]
    LongId,
}

/// A transport that enforces the limits.
#[derive(Clone)]
struct Guarded<T> {
    transport: T,
    limits: Limits,
}

impl<T: HttpTransport> HttpTransport for Guarded<T> {
    fn request(&self, request: Request<Option<Bytes>>) -> ResponseFuture {
        let Limits { event_size_max, answer, silence } = self.limits;
        let response = self.transport.request(request);
        Box::pin(async move {
            let response = timeout(answer, response).await.map_err(|_| TransportError::new(Cut::NoAnswer(answer)))?;
            Ok(response?.map(|body| guarded(body, EventSize::new(event_size_max), silence)))
        })
    }
}

/// Splits each chunk at the ends of its events. The parser keeps all events of a chunk until they are taken, each with a
/// copy of the last id, so it is never given two at once.
fn guarded(body: ByteStream, size: EventSize, silence: Duration) -> ByteStream {
    let state = (body, size, Bytes::new());
    Box::pin(stream::try_unfold(state, move |(mut body, mut size, mut rest)| async move {
        if rest.is_empty() {
            let chunk = timeout(silence, body.next()).await.map_err(|_| TransportError::new(Cut::Silent(silence)))?;
            let Some(chunk) = chunk.transpose()? else { return Ok(None) };
            rest = chunk;
        }
        let end = size.add(&rest).map_err(TransportError::new)?;
        let piece = rest.split_to(end);
        Ok(Some((piece, (body, size, rest))))
    }))
}

/// The longest line of an id, in bytes. The parser copies the id into every event that follows.
const ID_LINE_SIZE_MAX: usize = 4_096;

/// The byte order mark that may precede the first line of a stream.
const BYTE_ORDER_MARK: [u8; 3] = *b"\xef\xbb\xbf";

/// Counts what a parser of the stream has to keep: the lines of the incomplete event, without comments.
#[derive(Debug)]
struct EventSize {
    max: usize,
    lines: usize,
    line: usize,
    /// The first bytes of the line.
    head: [u8; 3],
    is_first_line: bool,
    /// Whether the last byte was a carriage return: a line feed after it does not end another line.
    is_after_return: bool,
}

impl EventSize {
    const fn new(max: usize) -> Self {
        Self { max, lines: 0, line: 0, head: [0; 3], is_first_line: true, is_after_return: false }
    }

    /// Counts up to the end of the first event that ends in the bytes, and returns the number of these bytes.
    fn add(&mut self, bytes: &[u8]) -> Result<usize, Cut> {
        for (count, byte) in (1..).zip(bytes) {
            let is_return = *byte == b'\r';
            let ends_line = is_return || (*byte == b'\n' && !self.is_after_return);
            self.is_after_return = is_return;
            if ends_line {
                if self.end_line() {
                    return Ok(count);
                }
            } else if *byte != b'\n' {
                self.add_to_line(*byte)?;
            }
        }
        Ok(bytes.len())
    }

    fn add_to_line(&mut self, byte: u8) -> Result<(), Cut> {
        if let Some(place) = self.head.get_mut(self.line) {
            *place = byte;
        }
        self.line = self.line.saturating_add(1);
        if self.lines.saturating_add(self.line) > self.max {
            return Err(Cut::TooLong(self.max));
        }
        if self.line > ID_LINE_SIZE_MAX && self.head == *b"id:" {
            return Err(Cut::LongId);
        }
        if self.line == BYTE_ORDER_MARK.len() && self.is_first_line && self.head == BYTE_ORDER_MARK {
            self.line = 0;
            self.is_first_line = false;
        }
        Ok(())
    }

    /// Ends a line. Returns whether it ends an event, which an empty line does if the event has lines.
    fn end_line(&mut self) -> bool {
        let ends_event = self.line == 0 && self.lines > 0;
        let is_comment = self.line > 0 && self.head.starts_with(b":");
        if ends_event {
            self.lines = 0;
        } else if !is_comment {
            self.lines = self.lines.saturating_add(self.line);
        }
        self.line = 0;
        self.is_first_line = false;
        ends_event
    }
}
