//! Both ends of a TLS connection in one pair of hands, for protocols that are spoken inside it.

use std::sync::Arc;

use anyhow::{Result, ensure};
use gateway_tests::peers::{connect, listen, tls};
use gateway_tests::topology::{Family, server};
use gateway_tests::wait;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, client, server as accepting};

use super::{Stage, Visit, name};

/// The client's end and the server's.
pub(super) type Ends = (
    client::TlsStream<TcpStream>,
    accepting::TlsStream<TcpStream>,
);

/// A port of the server on both families, and what the two ends agree upon.
pub(super) struct Secure {
    port: u16,
    protocol: &'static str,
    listeners: [TcpListener; 2],
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Secure {
    /// Listens at a port for connections that speak `protocol`.
    pub(super) fn new(stage: &Stage, port: u16, protocol: &'static str) -> Result<Self> {
        let names = Family::BOTH.map(|family| name(family, port));
        let identity = stage
            .authority
            .issue(&names.each_ref().map(String::as_str))?;
        let mut accepts = Arc::unwrap_or_clone(identity.server()?);
        let mut asks = Arc::unwrap_or_clone(stage.authority.client()?);
        accepts.alpn_protocols = vec![protocol.into()];
        asks.alpn_protocols = vec![protocol.into()];
        let [four, six] =
            Family::BOTH.map(|family| listen(stage.servers(), server(family, 0, port)));
        Ok(Self {
            port,
            protocol,
            listeners: [four?, six?],
            server: Arc::new(accepts),
            client: Arc::new(asks),
        })
    }

    /// A visit from beside the agent and one through it.
    pub(super) const fn visits<'a>(&self, stage: &'a Stage, family: Family) -> [Visit<'a>; 2] {
        stage.visits((family, self.port))
    }

    /// Connects, and shakes hands at both ends.
    pub(super) async fn join(&self, visit: Visit<'_>) -> Result<Ends> {
        let stream = connect(visit.space(), visit.at()).await?;
        let (name, listener) = (visit.name(), &self.listeners[visit.family as usize]);
        let asks = tls::handshake(stream, &name, &self.client);
        let accepts = async {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let acceptor = TlsAcceptor::from(Arc::clone(&self.server));
            anyhow::Ok(acceptor.accept(stream).await?)
        };
        let both = async { tokio::try_join!(asks, accepts) };
        let (asking, accepted) = wait::within("a TLS handshake", both).await??;
        let agreed = asking.get_ref().1.alpn_protocol();
        ensure!(
            agreed == Some(self.protocol.as_bytes()),
            "agreed on {agreed:?}"
        );
        Ok((asking, accepted))
    }
}
