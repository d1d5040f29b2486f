//! Both ends of the connections that the agent joins: servers and clients with odd habits.
//!
//! Every socket is made inside its namespace and used from wherever the runtime likes: a socket
//! keeps the namespace of its birth.

pub mod hellos;
pub mod label;
pub mod pair;
pub mod pump;
pub mod spiffe;
pub mod tls;
pub mod transfer;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::netns::Namespace;
use crate::wait;

/// Length of the queue of connections that a server has not accepted yet: above the largest
/// number of clients that any test starts at once.
const BACKLOG: u32 = 4096;

/// A server that runs one handler per connection until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `address` in `namespace` and hands every connection to `handler`.
    ///
    /// A handler's error is the peer's habit and not the test's failure: it only ends that
    /// connection.
    pub fn start<H, W>(namespace: &Namespace, address: SocketAddr, handler: H) -> Result<Self>
    where
        H: Fn(TcpStream) -> W + Send + 'static,
        W: Future<Output = Result<()>> + Send + 'static,
    {
        let listener = listen(namespace, address)?;
        let address = listener.local_addr()?;
        let accepted = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(listener, handler, Arc::clone(&accepted)));
        Ok(Self {
            address,
            accepted,
            task,
        })
    }

    /// A server that sends back whatever it gets, and the end of it too.
    pub fn echo(namespace: &Namespace, address: SocketAddr) -> Result<Self> {
        Self::start(namespace, address, echo)
    }

    /// Where the server listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections came so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The task owns the connections: they end with it.
        self.task.abort();
    }
}

/// Opens a listening socket in `namespace`.
pub fn listen(namespace: &Namespace, address: SocketAddr) -> Result<TcpListener> {
    let socket = open(namespace, address)?;
    socket.set_reuseaddr(true)?;
    socket
        .bind(address)
        .with_context(|| format!("cannot bind {address}"))?;
    socket
        .listen(BACKLOG)
        .with_context(|| format!("cannot listen on {address}"))
}

/// Connects from `namespace` to `address`.
pub async fn connect(namespace: &Namespace, address: SocketAddr) -> Result<TcpStream> {
    let socket = open(namespace, address)?;
    socket
        .connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))
}

/// Connects from one address of `namespace`, chosen by the caller.
pub async fn connect_from(
    namespace: &Namespace,
    source: IpAddr,
    address: SocketAddr,
) -> Result<TcpStream> {
    let socket = open(namespace, address)?;
    socket
        .bind(SocketAddr::new(source, 0))
        .with_context(|| format!("cannot bind {source}"))?;
    socket
        .connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))
}

/// Ends a connection by RST instead of FIN, throwing away what is not sent yet.
pub fn reset(stream: TcpStream) -> Result<()> {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    drop(stream);
    Ok(())
}

/// Waits until the other end's kernel has acknowledged all that was sent.
///
/// A reset throws away what is still queued: a test that wants the bytes to arrive waits first.
pub async fn acknowledged(stream: &TcpStream) -> Result<()> {
    wait::until("acknowledgement of all bytes", || {
        let left = unacknowledged(stream);
        async { Ok((left? == 0).then_some(())) }
    })
    .await
}

#[expect(unsafe_code, reason = "no crate of the tree wraps SIOCOUTQ")]
fn unacknowledged(stream: &TcpStream) -> Result<libc::c_int> {
    let mut left = 0;
    // SAFETY: the descriptor is open while `stream` is borrowed, and SIOCOUTQ (TIOCOUTQ by its
    // other name) writes one int.
    let outcome = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut left) };
    anyhow::ensure!(
        outcome == 0,
        "cannot ask for SIOCOUTQ: {}",
        io::Error::last_os_error()
    );
    Ok(left)
}

/// How a connection ended, seen from the side that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The other side finished in order.
    Fin,
    /// The other side reset the connection.
    Reset,
}

/// Reads all that still comes and says how it ended.
pub async fn read_to_end(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<End> {
    match stream.read_to_end(bytes).await {
        Ok(_length) => Ok(End::Fin),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(End::Reset),
        Err(error) => Err(error).context("cannot read to the end"),
    }
}

async fn echo(mut stream: TcpStream) -> Result<()> {
    let (mut reader, mut writer) = stream.split();
    tokio::io::copy(&mut reader, &mut writer).await?;
    Ok(writer.shutdown().await?)
}

async fn serve<H, W>(listener: TcpListener, handler: H, accepted: Arc<AtomicUsize>)
where
    H: Fn(TcpStream) -> W + Send,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok((stream, _client)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        connections.spawn(handler(stream));
        // Forget the ended ones, or a long test keeps them all.
        while connections.try_join_next().is_some() {}
    }
}

fn open(namespace: &Namespace, address: SocketAddr) -> Result<TcpSocket> {
    let _inside = namespace.enter()?;
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let socket = socket.context("cannot open a TCP socket")?;
    socket.set_nodelay(true)?;
    Ok(socket)
}
