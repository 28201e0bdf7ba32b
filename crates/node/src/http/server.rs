//! Serves connections: HTTP/1.1, with a time for everything.
//!
//! Headers have ten seconds, and so has an idle connection; a peer that takes nothing for thirty is gone. When the node
//! stops, streams end, what is being answered is answered, and what is not done after ten seconds is cut.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use crate::http::api::Peer;
use crate::node::StopSignal;

/// How long headers may take, and how long a connection may be idle.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// How long a peer may take nothing.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// How long the rest may take when the node stops.
const STOP_TIME: Duration = Duration::from_secs(10);
/// How many bytes are read before they are parsed: headers that are not whole in three times as many are refused.
const HEADERS_MAX: usize = 16 * 1_024;
/// How many headers there are at most.
const HEADER_COUNT_MAX: usize = 100;
/// How long the server waits when there is no place for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves a router until the node stops.
pub(super) async fn serve(listener: TcpListener, router: Router, connections: usize, stop: StopSignal) {
    let places = Arc::new(Semaphore::new(connections));
    let mut open = JoinSet::new();
    let mut stopped = stop.clone();
    loop {
        // What finds no place waits in the queue of the listener.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stopped.stopped() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped.stopped() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, stop) = (router.clone(), stop.clone());
                open.spawn(async move {
                    connection(stream, peer, router, stop).await;
                    drop(place);
                });
            }
            // A connection that was gone again, or no file is free: others may end.
            Err(error) => {
                tracing::debug!(%error, "no connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
        while open.try_join_next().is_some() {}
    }
    drop(listener);
    let rest = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIME, rest).await.is_err() {
        tracing::warn!("connections were cut: they had not ended in time");
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, mut stop: StopSignal) {
    // An answer is written at once; without this small ones may wait for nothing.
    let _no_delay = stream.set_nodelay(true);
    let service = tower_service(router, peer);
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    builder.max_buf_size(HEADERS_MAX).max_headers(HEADER_COUNT_MAX);
    let connection = builder.serve_connection(TokioIo::new(Stalling::new(stream)), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection has ended");
    }
}

/// The router, which is told who asks.
fn tower_service(
    router: Router,
    peer: SocketAddr,
) -> impl tower_service::Service<
    Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> + Clone {
    WithPeer { router, peer }
}

#[derive(Clone)]
struct WithPeer {
    router: Router,
    peer: SocketAddr,
}

impl tower_service::Service<Request<Incoming>> for WithPeer {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = <Router as tower_service::Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        tower_service::Service::<Request<Body>>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(self.peer.ip()));
        self.router.call(request)
    }
}

/// A connection whose peer has to take something now and then.
struct Stalling {
    stream: TcpStream,
    /// When it is too late, while there is something to take.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Stalling {
    const fn new(stream: TcpStream) -> Self {
        Self { stream, deadline: None }
    }

    fn wrote<T>(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.deadline = None;
            return wrote;
        }
        let now = Instant::now();
        let late = now.checked_add(WRITE_TIME).unwrap_or(now);
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(late)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
    }
}

impl AsyncRead for Stalling {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Stalling {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wrote = Pin::new(&mut self.stream).poll_flush(context);
        self.wrote(context, wrote)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wrote = Pin::new(&mut self.stream).poll_shutdown(context);
        self.wrote(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
