//! Clusters over real sockets, with and without certificates.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coalmine_core::Name;
use coalmine_node::database::Database;
use coalmine_node::engine::SystemClock;
use coalmine_node::engine::raft::{RaftEngine, RaftRows};
use coalmine_node::{Chain, Node, Options, Stopped, TxState};
use coalmine_raft::{Cluster, Identity, Listener, NodeId, Order, Role, Security, Settings, TcpLink};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::check::{create, send};
use super::world::genesis;

/// The certificates of a cluster in a folder: its authority, and a certificate and a key for each node.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Certificate and key of a node, by the name that the certificate has.
    fn issue(&self, name: &str, mode: u32) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![name.into()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.folder.path().join(format!("{name}.{mode:o}.{end}"));
        fs::write(path("crt"), certificate.pem()).unwrap();
        fs::write(path("key"), key.serialize_pem()).unwrap();
        fs::set_permissions(path("key"), fs::Permissions::from_mode(mode)).unwrap();
        (path("crt"), path("key"))
    }

    fn security(&self, id: NodeId) -> Security {
        let (certificate, key) = self.issue(&format!("node-{id}.coalmine"), 0o600);
        Security::tls(id, &self.ca(), &certificate, &key).unwrap()
    }
}

struct Running {
    node: Node,
    cluster: Cluster<TcpLink>,
    security: Security,
    address: String,
    engine: JoinHandle<Result<(), Stopped>>,
    server: JoinHandle<()>,
}

/// Nodes that run. The founders are all of them, or none.
async fn start(securities: Vec<(NodeId, Security)>, founders: bool) -> BTreeMap<NodeId, Running> {
    let mut listeners = BTreeMap::new();
    for (id, security) in securities {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), security.clone()).await.unwrap();
        listeners.insert(id, (listener, security));
    }
    let addresses: BTreeMap<NodeId, String> =
        listeners.iter().map(|(id, (listener, _))| (*id, listener.address().unwrap().to_string())).collect();
    let mut running = BTreeMap::new();
    for (id, (listener, security)) in listeners {
        let database = Database::memory();
        let identity = Identity::open(&RaftRows(database.0.clone()), id).unwrap();
        let chain = Chain::open(database, &genesis(), Options::default()).unwrap();
        let node = chain.node().clone();
        let genesis = node.domain().genesis().0;
        let link = TcpLink::new(security.clone(), genesis, identity);
        let address = addresses[&id].clone();
        let settings = Settings::new(identity, genesis, address.clone());
        let interval = Duration::from_millis(50);
        let engine = RaftEngine::start(chain, SystemClock::default(), interval, settings, link).await.unwrap();
        let cluster = engine.cluster().clone();
        let founders = if founders { addresses.clone() } else { BTreeMap::new() };
        let server = tokio::spawn(listener.serve(cluster.clone()));
        let engine = tokio::spawn(async move { engine.run(&founders).await });
        running.insert(id, Running { node, cluster, security, address, engine, server });
    }
    running
}

async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1_200 {
        if let Some(found) = ask() {
            return found;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: not after a minute");
}

fn name(number: u64) -> Name {
    format!("f-{number}").parse().unwrap()
}

/// Every node takes transactions and has all of them in the end; a leader that stops is replaced.
async fn story(securities: Vec<(NodeId, Security)>) {
    let mut nodes = start(securities, true).await;
    let leads = |nodes: &BTreeMap<NodeId, Running>| {
        nodes.iter().find(|(_, running)| running.cluster.is_leader()).map(|(id, _)| *id)
    };
    let mut sequence = 0;
    let mut acks = Vec::new();
    for round in 0..2 {
        let leader = until("a leader", || leads(&nodes)).await;
        for (id, running) in &nodes {
            sequence += 1;
            let envelope = create(&running.node, 1, sequence, &name(sequence));
            let ack = send(*id, &running.node, &envelope, &name(sequence), Duration::from_secs(30)).await;
            acks.push(ack.unwrap_or_else(|| panic!("round {round}, node {id}: {:?}", running.node.health())));
            running.node.linearizable().await.unwrap();
        }
        for (id, running) in &nodes {
            // What any node has acknowledged is there for a linearizable read at every other one.
            running.node.linearizable().await.unwrap();
            assert!(acks.iter().all(|ack| running.node.read(|state| state.feature(&ack.name).is_some())), "node {id}");
        }
        if round == 0 {
            let stopped = nodes.remove(&leader).unwrap();
            stopped.node.begin_stop();
            stopped.engine.await.unwrap().unwrap();
            stopped.server.abort();
        }
    }
    let height = nodes.values().filter_map(|running| running.node.tip().height).max().unwrap();
    let mut roots = Vec::new();
    for running in nodes.values() {
        running.node.wait_for(height, Duration::from_secs(30)).await.unwrap();
        for ack in &acks {
            let TxState::Committed(record) = running.node.transaction(&ack.id).unwrap() else { panic!("{ack:?}") };
            assert_eq!(record.height, ack.height);
        }
        roots.push(running.node.outcomes(0, usize::MAX).unwrap().last().unwrap().root);
    }
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "{roots:?}");
    // An operator asks any node, and the leader answers.
    let (id, running) = nodes.iter().next().unwrap();
    let operator = TcpLink::for_operator(running.security.clone(), running.node.domain().genesis().0, *id);
    let status = operator.order(*id, &running.address, Order::Status).await.unwrap();
    assert_eq!(status.members.iter().filter(|member| member.role == Role::Leader).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_with_certificates() {
    let authority = Authority::new();
    story((1..=3).map(|id| (id, authority.security(id))).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_within_one_machine() {
    story((1..=5).map(|id| (id, Security::Loopback)).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_certificate_of_the_cluster_is_not_listened_to() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let nodes = start(vec![(1, ours.security(1))], false).await;
    let running = &nodes[&1];
    let genesis = running.node.domain().genesis().0;
    let (certificate, key) = ours.issue("node-9.coalmine", 0o600);
    let of_nine = Security::tls(9, &ours.ca(), &certificate, &key).unwrap();
    let check = async |what: &str, security: Security, genesis: [u8; 32], from: NodeId, expected: &str| {
        let operator = TcpLink::for_operator(security, genesis, from);
        let result = operator.order(1, &running.address, Order::LocalStatus).await;
        match result {
            Ok(status) => assert_eq!(("", status.node), (expected, 1), "{what}"),
            Err(error) => {
                assert!(!expected.is_empty() && error.to_string().contains(expected), "{what}: {error}");
            }
        }
    };
    check("of the cluster", of_nine.clone(), genesis, 9, "").await;
    check("as another node", of_nine.clone(), genesis, 2, "certificate of another one").await;
    check("of another ledger", of_nine, [7; 32], 9, "of the ledger with genesis 0707").await;
    check("of another authority", theirs.security(9), genesis, 9, "cannot be reached").await;
    check("without any", Security::Loopback, genesis, 9, "cannot be reached").await;
}

#[test]
fn certificates_are_checked_at_the_start() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (certificate, key) = ours.issue("node-1.coalmine", 0o600);
    let (_, readable) = ours.issue("node-1.coalmine", 0o644);
    let (_, other_key) = ours.issue("node-2.coalmine", 0o600);
    let check = |id: NodeId, ca: &Path, certificate: &Path, key: &Path, expected: &str| {
        let result = Security::tls(id, ca, certificate, key).map(|_| String::new());
        let said = result.unwrap_or_else(|error| error.to_string());
        assert!(if expected.is_empty() { said.is_empty() } else { said.contains(expected) }, "{expected:?}: {said}");
    };
    check(1, &ours.ca(), &certificate, &key, "");
    check(2, &ours.ca(), &certificate, &key, "not good for node 2");
    check(1, &theirs.ca(), &certificate, &key, "not good for node 1");
    check(1, &ours.ca(), &certificate, &other_key, "not good for node 1");
    check(1, &ours.ca(), &certificate, &readable, "chmod 600");
    check(1, &ours.ca(), &key, &key, "no certificate");
    check(1, &ours.ca(), &certificate, &certificate, "others can read");
    check(1, Path::new("/nowhere"), &certificate, &key, "cannot be read");
}

#[tokio::test]
async fn without_certificates_nobody_listens_beyond_the_machine() {
    let error = Listener::bind("0.0.0.0:0".parse().unwrap(), Security::Loopback).await.unwrap_err();
    assert!(error.to_string().contains("takes certificates"), "{error}");
}
