//! Both ends of one connection through the agent, in one pair of hands.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{connect, hellos};
use crate::netns::Namespace;
use crate::wait;

/// A client and the server that the agent joined it with; the hello is already across.
#[derive(Debug)]
pub struct Pair {
    /// The client's socket.
    pub client: TcpStream,
    /// The server's socket.
    pub server: TcpStream,
}

impl Pair {
    /// Connects `client` to `gateway` asking for `name`, and takes the connection that the agent
    /// makes to `listener`; checks that the hello arrived as it was sent.
    pub async fn join(
        client: &Namespace,
        gateway: SocketAddr,
        name: &str,
        listener: &TcpListener,
    ) -> Result<Self> {
        let hello = hellos::asking_for(name)?;
        let mut client = connect(client, gateway).await?;
        client.write_all(&hello).await?;
        let (mut server, _agent) =
            wait::within("the agent's connection", listener.accept()).await??;
        let mut arrived = vec![0; hello.len()];
        wait::within("the hello at the server", server.read_exact(&mut arrived)).await??;
        ensure!(arrived == hello, "the hello changed on its way");
        Ok(Self { client, server })
    }

    /// Sends a few bytes each way: both directions are open.
    pub async fn check(&mut self) -> Result<()> {
        cross(&mut self.client, &mut self.server, b"to the server").await?;
        cross(&mut self.server, &mut self.client, b"to the client").await
    }
}

/// Sends `bytes` from one end to the other.
pub async fn cross(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    from.write_all(bytes).await?;
    let mut arrived = vec![0; bytes.len()];
    wait::within("bytes at the other end", to.read_exact(&mut arrived)).await??;
    ensure!(arrived == bytes, "bytes changed on their way");
    Ok(())
}
