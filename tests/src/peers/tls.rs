//! TLS servers with a certificate per name, and clients that check them.
//!
//! A certificate that fits the asked name proves that the right server answered, and that nobody
//! in between touched a byte of the handshake.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Server;
use crate::netns::Namespace;

/// A certificate authority made for one test.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: rcgen::Certificate,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    /// Makes an authority with a fresh key.
    pub fn new() -> Result<Self> {
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
            .distinguished_name
            .push(DnType::CommonName, "culvert test authority");
        let key = KeyPair::generate()?;
        let root = parameters.self_signed(&key)?;
        Ok(Self {
            issuer: Issuer::new(parameters, key),
            root,
        })
    }

    /// Issues a certificate for `names`; the first one is also its common name.
    pub fn issue(&self, names: &[&str]) -> Result<Identity> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names.clone())?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        let first = names
            .into_iter()
            .next()
            .context("a certificate names somebody")?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, first);
        self.sign(&parameters)
    }

    /// Issues a certificate that names a workload by its SPIFFE URI alone, as a mesh's do.
    pub fn issue_spiffe(&self, common_name: &str, uri: &str) -> Result<Identity> {
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, common_name);
        parameters.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        self.sign(&parameters)
    }

    fn sign(&self, parameters: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate, key })
    }

    /// The authority's own certificate in PEM, for clients that are programs.
    #[must_use]
    pub fn pem(&self) -> String {
        self.root.pem()
    }

    /// The one root that those who trust this authority have.
    pub fn roots(&self) -> Result<Arc<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone())?;
        Ok(Arc::new(roots))
    }

    /// Settings of a client that trusts this authority only.
    pub fn client(&self) -> Result<Arc<ClientConfig>> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

impl Identity {
    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// Settings of a server with this certificate.
    pub fn server(&self) -> Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)?;
        Ok(Arc::new(config))
    }

    /// Certificate and key in PEM, for servers that are programs.
    #[must_use]
    pub fn pem(&self) -> (String, String) {
        (self.certificate.pem(), self.key.serialize_pem())
    }
}

/// A TLS server that says `greeting` and then sends back whatever it gets.
pub fn greeter(
    namespace: &Namespace,
    address: SocketAddr,
    identity: &Identity,
    greeting: &str,
) -> Result<Server> {
    let acceptor = TlsAcceptor::from(identity.server()?);
    let greeting: Arc<str> = format!("{greeting}\n").into();
    Server::start(namespace, address, move |stream| {
        let acceptor = acceptor.clone();
        let greeting = Arc::clone(&greeting);
        async move {
            let mut stream = acceptor.accept(stream).await?;
            stream.write_all(greeting.as_bytes()).await?;
            let (mut reader, mut writer) = tokio::io::split(stream);
            tokio::io::copy(&mut reader, &mut writer).await?;
            Ok(writer.shutdown().await?)
        }
    })
}

/// Shakes hands over `stream`, asking for `name` and trusting what `config` trusts.
pub async fn handshake(
    stream: TcpStream,
    name: &str,
    config: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>> {
    let name_asked = ServerName::try_from(name.to_owned())?;
    let connector = TlsConnector::from(Arc::clone(config));
    let done = connector.connect(name_asked, stream).await;
    done.with_context(|| format!("no TLS handshake for {name}"))
}

/// Reads the greeting of a [`greeter`].
pub async fn greeting(stream: &mut TlsStream<TcpStream>) -> Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.context("no greeting")? {
            b'\n' => return Ok(String::from_utf8(line)?),
            byte => line.push(byte),
        }
    }
}
