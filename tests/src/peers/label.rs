//! The shortest possible exchange: a hello in, and word of who got it back.
//!
//! Servers here answer the first bytes with their label; what a client gets instead of a label is
//! what the agent did with its hello.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{End, Server, read_to_end};
use crate::netns::Namespace;
use crate::wait;

/// What came back for a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The server with this label got it.
    Server(String),
    /// A fatal TLS alert with this number.
    Alert(u8),
    /// The connection ended in order and without a byte.
    Closed,
    /// The connection was reset without a byte.
    Reset,
}

impl Answer {
    /// The answer of the server with `label`.
    #[must_use]
    pub fn server(label: &str) -> Self {
        Self::Server(label.to_owned())
    }
}

/// TLS alert for a server name that no route knows (RFC 6066 section 3).
pub const UNRECOGNIZED_NAME: Answer = Answer::Alert(112);
/// TLS alert for a source that may not come here (RFC 8446 section 6.2).
pub const ACCESS_DENIED: Answer = Answer::Alert(49);
/// TLS alert for a route without a working endpoint (RFC 8446 section 6.2).
pub const INTERNAL_ERROR: Answer = Answer::Alert(80);

/// A server that answers the first bytes with `label` and closes when the client does.
pub fn labelled(namespace: &Namespace, address: SocketAddr, label: &str) -> Result<Server> {
    let label: Arc<str> = label.into();
    Server::start(namespace, address, move |mut stream| {
        let label = Arc::clone(&label);
        async move {
            let mut hello = [0; 4096];
            if stream.read(&mut hello).await? > 0 {
                stream.write_all(label.as_bytes()).await?;
                stream.shutdown().await?;
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            }
            Ok(())
        }
    })
}

/// Sends `hello` and reads what comes back to its end.
pub async fn ask(mut stream: TcpStream, hello: &[u8]) -> Result<Answer> {
    if let Err(error) = stream.write_all(hello).await {
        return refused_while_writing(&error).context("cannot send the hello");
    }
    answer(stream).await
}

/// Reads what comes back on a connection to its end.
pub async fn answer(mut stream: TcpStream) -> Result<Answer> {
    let mut bytes = Vec::new();
    let end = wait::within("an answer", read_to_end(&mut stream, &mut bytes)).await??;
    Ok(match bytes.as_slice() {
        [] if end == End::Fin => Answer::Closed,
        [] => Answer::Reset,
        // Content type alert, a version, length 2, level fatal (RFC 8446 sections 5.1 and 6).
        [0x15, 3, _, 0, 2, 2, number, ..] => Answer::Alert(*number),
        label => Answer::Server(String::from_utf8(label.to_vec())?),
    })
}

/// A write may already fail when the agent refused before the hello was complete.
fn refused_while_writing(error: &io::Error) -> Result<Answer> {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ok(Answer::Reset),
        _ => bail!("{error}"),
    }
}
