//! The link over TCP, and the other end of it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::cluster::{Cluster, ORDER_MAX};
use crate::link::{CallError, Link};
use crate::machine::lock;
use crate::membership::{Order, Status};
use crate::runtime::blocking;
use crate::snapshot::SnapshotFile;
use crate::tls::{Security, is_of, server_name};
use crate::types::{Identity, Incarnation, Member, NodeId};
use crate::wire::{Hello, Request, Response, VERSION, Welcome, receive, send};

/// How long a connection may take to say who it is.
const GREETING_MAX: Duration = Duration::from_secs(5);
/// How long a connection may be silent, and one piece of a snapshot may take.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// How many connections a node has at once. A cluster of nine nodes has some forty.
const CONNECTIONS_MAX: usize = 256;
/// How many connections to one node are kept for the next call.
const IDLE_MAX: usize = 4;
/// How much of a snapshot is sent at once, in bytes.
const PIECE: usize = 256 << 10;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type Connection = Box<dyn Stream>;
/// Connections that wait for the next call, by whom they lead to.
type Idle = BTreeMap<(NodeId, Member), Vec<Connection>>;

/// The way to other nodes over TCP.
#[derive(Clone)]
pub struct TcpLink {
    security: Security,
    genesis: [u8; 32],
    from: NodeId,
    incarnation: Option<Incarnation>,
    idle: Arc<Mutex<Idle>>,
}

impl std::fmt::Debug for TcpLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpLink").field("from", &self.from).finish_non_exhaustive()
    }
}

impl TcpLink {
    /// The way for a node of a ledger.
    #[must_use]
    pub fn new(security: Security, genesis: [u8; 32], from: Identity) -> Self {
        let Identity { id, incarnation } = from;
        Self { security, genesis, from: id, incarnation: Some(incarnation), idle: Arc::default() }
    }

    /// The way for an operator at a node, who has its certificate.
    #[must_use]
    pub fn for_operator(security: Security, genesis: [u8; 32], at: NodeId) -> Self {
        Self { security, genesis, from: at, incarnation: None, idle: Arc::default() }
    }

    /// Gives an order to a node, which has the leader carry it out.
    ///
    /// # Errors
    /// The node cannot be reached, does not listen, or does not do it.
    pub async fn order(&self, to: NodeId, address: &str, order: Order) -> Result<Status, CallError> {
        let member = Member { address: address.into(), incarnation: Incarnation::default() };
        match self.call(to, &member, Request::Order(order), ORDER_MAX).await? {
            Response::Order(status) => Ok(status),
            Response::Failed(why) => Err(CallError::Refused(why)),
            Response::Append(_)
            | Response::Vote(_)
            | Response::Snapshot(_)
            | Response::ReadIndex(_)
            | Response::Submit(_)
            | Response::NotLeader(_) => Err(CallError::Refused("the node answers something else".into())),
        }
    }

    async fn connect(&self, to: NodeId, address: &str) -> io::Result<(Connection, Welcome)> {
        let mut connection: Connection = match &self.security {
            Security::Tls(tls) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(TlsConnector::from(Arc::clone(&tls.client)).connect(server_name(to)?, stream).await?)
            }
            Security::Loopback => {
                let resolved: Vec<SocketAddr> = lookup_host(address).await?.collect();
                if !resolved.iter().all(|address| address.ip().is_loopback()) {
                    return Err(io::Error::other("without certificates, nodes talk within one machine only"));
                }
                let stream = TcpStream::connect(resolved.as_slice()).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        };
        let hello =
            Hello { version: VERSION, genesis: self.genesis, from: self.from, incarnation: self.incarnation, to };
        send(&mut connection, &hello).await?;
        let welcome = receive(&mut connection).await?;
        Ok((connection, welcome))
    }

    async fn welcomed(
        &self,
        to: NodeId,
        address: &str,
        wanted: Option<Incarnation>,
    ) -> Result<(Connection, Identity), CallError> {
        let unreachable =
            |error: io::Error| CallError::Unreachable { to, address: address.into(), why: error.to_string() };
        let (connection, welcome) = self.connect(to, address).await.map_err(unreachable)?;
        let there = match welcome {
            Welcome::Here(there) => there,
            Welcome::Refused(why) => return Err(CallError::Refused(format!("node {to} at {address}: {why}"))),
        };
        if there.id != to {
            return Err(CallError::Refused(format!("at {address} is node {}, not node {to}", there.id)));
        }
        if wanted.is_some_and(|wanted| wanted != there.incarnation) {
            return Err(CallError::Refused(format!(
                "node {to} at {address} has lost its database; remove it, and add it under an id that was never used"
            )));
        }
        Ok((connection, there))
    }

    async fn attempt(connection: &mut Connection, request: &Request) -> io::Result<Response> {
        send(connection, request).await?;
        if let Request::Snapshot { size, file: Some(file), .. } = request {
            send_file(connection, file, *size).await?;
        }
        receive(connection).await
    }

    async fn exchange(&self, to: NodeId, member: &Member, request: &Request) -> Result<Response, CallError> {
        let place = (to, member.clone());
        let idle = lock(&self.idle).get_mut(&place).and_then(Vec::pop);
        // A connection that was idle may have been closed at the other end, which says nothing about the node. Orders are
        // not given twice.
        let is_order = matches!(request, Request::Order(_));
        if let Some(mut connection) = idle.filter(|_| !is_order)
            && let Ok(response) = Self::attempt(&mut connection, request).await
        {
            self.keep(place, connection);
            return Ok(response);
        }
        let wanted = Some(member.incarnation).filter(|incarnation| *incarnation != Incarnation::default());
        let (mut connection, _) = self.welcomed(to, &member.address, wanted).await?;
        let response = Self::attempt(&mut connection, request).await.map_err(|error| CallError::Unreachable {
            to,
            address: member.address.clone(),
            why: error.to_string(),
        })?;
        self.keep(place, connection);
        Ok(response)
    }

    fn keep(&self, place: (NodeId, Member), connection: Connection) {
        let mut idle = lock(&self.idle);
        let kept = idle.entry(place).or_default();
        if kept.len() < IDLE_MAX {
            kept.push(connection);
        }
    }
}

impl Link for TcpLink {
    async fn call(
        &self,
        to: NodeId,
        member: &Member,
        request: Request,
        within: Duration,
    ) -> Result<Response, CallError> {
        let late = |_| CallError::Late { to, address: member.address.clone() };
        timeout(within, self.exchange(to, member, &request)).await.map_err(late)?
    }

    async fn meet(&self, to: NodeId, address: &str, within: Duration) -> Result<Identity, CallError> {
        let late = |_| CallError::Late { to, address: address.into() };
        timeout(within, self.welcomed(to, address, None)).await.map_err(late)?.map(|(_, there)| there)
    }
}

async fn send_file(to: &mut Connection, file: &SnapshotFile, size: u64) -> io::Result<()> {
    let mut at = 0_u64;
    while at < size {
        let piece = usize::try_from(size.saturating_sub(at)).unwrap_or(PIECE).min(PIECE);
        let file = file.clone();
        let read = move || {
            let mut bytes = vec![0; piece];
            file.file().read_exact_at(&mut bytes, at).map(|()| bytes)
        };
        let bytes = blocking(read).await??;
        timeout(SILENCE_MAX, to.write_all(&bytes)).await??;
        at = at.saturating_add(u64::try_from(piece).unwrap_or(u64::MAX));
    }
    timeout(SILENCE_MAX, to.flush()).await?
}

async fn receive_file(from: &mut Connection, file: &SnapshotFile, size: u64) -> io::Result<()> {
    let mut at = 0_u64;
    while at < size {
        let piece = usize::try_from(size.saturating_sub(at)).unwrap_or(PIECE).min(PIECE);
        let mut bytes = vec![0; piece];
        timeout(SILENCE_MAX, from.read_exact(&mut bytes)).await??;
        let file = file.clone();
        blocking(move || file.file().write_all_at(&bytes, at)).await??;
        at = at.saturating_add(u64::try_from(piece).unwrap_or(u64::MAX));
    }
    Ok(())
}

/// Where the other nodes reach this one.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    security: Security,
}

impl Listener {
    /// Listens on an address.
    ///
    /// # Errors
    /// It is in use, or it is beyond this machine and there are no certificates.
    pub async fn bind(address: SocketAddr, security: Security) -> io::Result<Self> {
        if matches!(security, Security::Loopback) && !address.ip().is_loopback() {
            let why = format!("{address} is beyond this machine, for which raft takes certificates");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(Self { listener: TcpListener::bind(address).await?, security })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers the other nodes until this is dropped.
    pub async fn serve<L: Link>(self, cluster: Cluster<L>) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let (security, cluster) = (self.security.clone(), cluster.clone());
                    connections.spawn(async move {
                        if let Err(error) = converse(stream, &security, &cluster).await {
                            tracing::debug!(%from, %error, "a connection ended");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn converse<L: Link>(stream: TcpStream, security: &Security, cluster: &Cluster<L>) -> io::Result<()> {
    let (mut connection, hello) = timeout(GREETING_MAX, greeted(stream, security)).await??;
    let welcome = match cluster.admit(&hello) {
        Ok(me) => Welcome::Here(me),
        Err(why) => Welcome::Refused(why),
    };
    timeout(GREETING_MAX, send(&mut connection, &welcome)).await??;
    if let Welcome::Refused(why) = welcome {
        tracing::warn!(node = hello.from, %why, "a node is not listened to");
        return Ok(());
    }
    loop {
        let mut request: Request = timeout(SILENCE_MAX, receive(&mut connection)).await??;
        if hello.incarnation.is_none() {
            send(&mut connection, &obey(request, cluster).await).await?;
            continue;
        }
        if let Request::Snapshot { size, file, .. } = &mut request {
            let arriving = cluster.new_snapshot()?;
            receive_file(&mut connection, &arriving, *size).await?;
            *file = Some(arriving);
        }
        let response = cluster.answer(request).await;
        timeout(SILENCE_MAX, send(&mut connection, &response)).await??;
    }
}

/// Answers an operator, for whom the node goes to the leader.
async fn obey<L: Link>(request: Request, cluster: &Cluster<L>) -> Response {
    let Request::Order(order) = request else {
        return Response::Failed("an operator gives orders, and takes no part".into());
    };
    cluster.order(order).await.map_or_else(|error| Response::Failed(error.to_string()), Response::Order)
}

async fn greeted(stream: TcpStream, security: &Security) -> io::Result<(Connection, Hello)> {
    stream.set_nodelay(true)?;
    let Security::Tls(tls) = security else {
        let mut connection: Connection = Box::new(stream);
        let hello = receive(&mut connection).await?;
        return Ok((connection, hello));
    };
    let mut stream = TlsAcceptor::from(Arc::clone(&tls.server)).accept(stream).await?;
    let hello: Hello = receive(&mut stream).await?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    if !certificates.first().is_some_and(|certificate| is_of(certificate, hello.from)) {
        let why = format!("who calls itself node {} has the certificate of another one", hello.from);
        send(&mut stream, &Welcome::Refused(why.clone())).await?;
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok((Box::new(stream), hello))
}
