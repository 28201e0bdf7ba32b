//! Who may talk to a node: those whose certificate is of the cluster's own authority, and says that they are who they
//! claim to be. Without certificates, nodes talk within one machine only.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::types::NodeId;

/// The most bytes that a file of certificates or a key may have.
const FILE_SIZE_MAX: u64 = 1 << 20;

/// How nodes know each other.
#[derive(Debug, Clone)]
pub enum Security {
    /// By mutual TLS.
    Tls(Box<Tls>),
    /// Not at all, within one machine.
    Loopback,
}

/// Both sides of mutual TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// Others can read the key.
    #[error("{}: others can read this key (mode {mode:03o}); say chmod 600", .path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file without what it should have.
    #[error("{}: {what}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The certificate is not good for this node.
    #[error(
        "{}: the certificate is not good for node {id}: {why}; it must be of the cluster's authority, for both client and server, and have the DNS name {}", .path.display(), dns_name(*.id)
    )]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The node.
        id: NodeId,
        /// What is wrong.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// The name that the certificate of a node must have.
pub(crate) fn dns_name(id: NodeId) -> String {
    format!("node-{id}.coalmine")
}

pub(crate) fn server_name(id: NodeId) -> io::Result<ServerName<'static>> {
    ServerName::try_from(dns_name(id)).map_err(io::Error::other)
}

/// Whether a certificate is that of a node.
pub(crate) fn is_of(certificate: &CertificateDer<'_>, id: NodeId) -> bool {
    let Ok(name) = server_name(id) else { return false };
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
    certificate.verify_is_valid_for_subject_name(&name).is_ok()
}

impl Security {
    /// Mutual TLS with the certificate of the cluster's authority, and certificate and key of a node, as PEM files. All of
    /// it is checked now, and not when the first connection comes.
    ///
    /// # Errors
    /// [`SecurityError`].
    pub fn tls(id: NodeId, authority: &Path, certificate: &Path, key: &Path) -> Result<Self, SecurityError> {
        let tls = |error: &dyn std::fmt::Display| SecurityError::Tls(error.to_string());
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        for root in certificates(authority)? {
            let added = roots.add(root);
            added.map_err(|error| SecurityError::Content { path: authority.into(), what: error.to_string() })?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(certificate)?;
        let (own, issuers) = chain.split_first().ok_or_else(|| no_certificate(certificate))?;
        let secret = private_key(key)?;

        let bad = |error: &dyn std::fmt::Display| SecurityError::Certificate {
            path: certificate.into(),
            id,
            why: error.to_string(),
        };
        let signing = provider.key_provider.load_private_key(secret.clone_key());
        let signing = signing.map_err(|error| SecurityError::Content { path: key.into(), what: error.to_string() })?;
        CertifiedKey::new(chain.clone(), signing).keys_match().map_err(|error| bad(&error))?;
        let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build();
        let servers = servers.map_err(|error| tls(&error))?;
        let name = server_name(id).map_err(|error| tls(&error))?;
        servers.verify_server_cert(own, issuers, &name, &[], UnixTime::now()).map_err(|error| bad(&error))?;
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build();
        let clients = clients.map_err(|error| tls(&error))?;
        clients.verify_client_cert(own, issuers, UnixTime::now()).map_err(|error| bad(&error))?;

        let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13]);
        let client = client.map_err(|error| tls(&error))?.with_root_certificates(roots);
        let client = client.with_client_auth_cert(chain.clone(), secret.clone_key()).map_err(|error| tls(&error))?;
        let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
        let server = server.map_err(|error| tls(&error))?.with_client_cert_verifier(clients);
        let server = server.with_single_cert(chain, secret).map_err(|error| tls(&error))?;
        Ok(Self::Tls(Box::new(Tls { client: Arc::new(client), server: Arc::new(server) })))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SecurityError> {
    let failed = |error| SecurityError::Io { path: path.into(), error };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > FILE_SIZE_MAX {
        let what = format!("it has {size} bytes, more than {FILE_SIZE_MAX}");
        return Err(SecurityError::Content { path: path.into(), what });
    }
    fs::read(path).map_err(failed)
}

fn no_certificate(path: &Path) -> SecurityError {
    SecurityError::Content { path: path.into(), what: "there is no certificate in it, in the form of PEM".into() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| SecurityError::Content { path: path.into(), what: error.to_string() })?;
    if found.is_empty() { Err(no_certificate(path)) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, SecurityError> {
    let bytes = read(path)?;
    let mode = fs::metadata(path).map_err(|error| SecurityError::Io { path: path.into(), error })?.permissions().mode();
    let mode = mode & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecurityError::Readable { path: path.into(), mode });
    }
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| SecurityError::Content { path: path.into(), what: format!("there is no key in it: {error}") })
}
