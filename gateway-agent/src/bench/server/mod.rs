//! The server: listens, greets, admits, serves, and tells its operator each second what happens.

mod greet;
mod limits;
mod serve;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::greet::Greeted;
pub(crate) use self::limits::Limits;
use self::limits::{Clients, Place};
use super::error::Error;
use super::stream::Meter;
use super::tls;
use super::wire::{Answer, Exchange, Limit, Request, Word};
use crate::sys::tcp;

/// What a server is started with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) limits: Limits,
    /// From accepting to the request.
    pub(crate) greeting_timeout: Duration,
    /// Names that the certificate is for.
    pub(crate) names: Vec<String>,
    /// Where to write the certificate.
    pub(crate) ca_out: Option<PathBuf>,
}

/// What a server tells.
#[derive(Debug)]
pub(crate) enum News {
    /// It listens there, and clients may come.
    Listening(SocketAddr),
    /// Something happened in the last second.
    Second(Second),
    /// One connection did not go as it should.
    Trouble {
        client: Option<SocketAddr>,
        text: String,
    },
}

/// One second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Second {
    pub(crate) open: u64,
    pub(crate) opened: u64,
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// What all connections share.
struct Server {
    tls: Arc<ServerConfig>,
    clients: Arc<Clients>,
    greeting_timeout: Duration,
    /// Connections above a client's limit that are told so; more are closed without a word.
    refusals: Arc<Semaphore>,
    meter: Meter,
    open: AtomicU64,
    opened: AtomicU64,
    tell: mpsc::Sender<News>,
}

const REFUSALS: usize = 64;
/// News that wait to be told; more are dropped, not queued.
const NEWS: usize = 256;
const BACKLOG: i32 = 4096;

/// Serves until it is dropped.
///
/// # Errors
/// An address cannot be listened on, or a file not be written.
pub(crate) async fn run(settings: &Settings, mut tell: impl FnMut(&News)) -> Result<(), Error> {
    let identity = tls::server(&settings.names)?;
    if let Some(path) = &settings.ca_out {
        std::fs::write(path, &identity.pem)
            .map_err(|error| Error::Setting(format!("--ca-out {}: {error}", path.display())))?;
    }
    let (sender, mut news) = mpsc::channel(NEWS);
    let server = Arc::new(Server {
        tls: identity.config,
        clients: Arc::new(Clients::new(settings.limits)),
        greeting_timeout: settings.greeting_timeout,
        refusals: Arc::new(Semaphore::new(REFUSALS)),
        meter: Meter::default(),
        open: AtomicU64::new(0),
        opened: AtomicU64::new(0),
        tell: sender,
    });
    let mut accepting = JoinSet::new();
    for &address in &settings.listen {
        let listener = listen(address).map_err(|error| {
            Error::Setting(format!("--listen {address}: cannot listen there: {error}"))
        })?;
        let address = listener.local_addr().unwrap_or(address);
        tell(&News::Listening(address));
        accepting.spawn(accept(listener, Arc::clone(&server)));
    }
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut before = Second::default();
    loop {
        tokio::select! {
            _at = second.tick() => {
                let now = server.reading();
                let line = now.since(&before);
                if line != (Second { open: line.open, ..Second::default() }) || now.open != before.open {
                    tell(&News::Second(line));
                }
                before = now;
            }
            Some(one) = news.recv() => tell(&one),
        }
    }
}

/// Opens one socket; an IPv6 one takes no IPv4, which has a socket of its own.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Forget the ended ones, or a long life keeps them all.
            Some(_ended) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, client)) => {
                connections.spawn(Arc::clone(&server).connection(stream, client));
            }
            Err(error) => {
                let text = format!("cannot accept: {error}");
                server.trouble(None, text);
                // Out of descriptors, most likely: others have to end first.
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

const AFTER_ERROR: Duration = Duration::from_millis(100);

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream, client: SocketAddr) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        if let Err(text) = self.converse(stream, client).await {
            self.trouble(Some(client), text);
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    async fn converse(&self, stream: TcpStream, client: SocketAddr) -> Result<(), String> {
        let admitted = self.clients.admit(client.ip());
        let refusal = admitted
            .is_err()
            .then(|| self.refusals.try_acquire())
            .transpose();
        let Ok(_refusal) = refusal else {
            return Err("closed without a word: too many connections over the limit".to_owned());
        };
        let socket = stream.as_fd().try_clone_to_owned();
        let socket = socket.map_err(|error| format!("cannot copy a descriptor: {error}"))?;
        let greeting = greet::greet(stream, Arc::clone(&self.tls));
        let greeted = timeout(self.greeting_timeout, greeting).await;
        let late = |_elapsed| "sent no hello and request in time (--greeting-timeout)".to_owned();
        let mut greeted = greeted.map_err(late)??;
        let result = self.answer(&mut greeted, admitted, socket).await;
        // The far end has said its last word, or is not to be waited for any longer.
        let closed = timeout(CLOSE, greeted.writer.shutdown()).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::debug!(%client, "could not close in order");
        }
        result
    }

    async fn answer(
        &self,
        greeted: &mut Greeted,
        admitted: Result<Place, Limit>,
        socket: OwnedFd,
    ) -> Result<(), String> {
        let request = match greeted.request {
            Ok(request) => request,
            Err(error) => {
                // The head of an answer says which version this end speaks.
                let answer = Answer {
                    nonce: 0,
                    word: Word::Yes,
                };
                say(greeted, answer).await?;
                greeted.inlet.discard(CLOSE).await;
                return Err(format!("its request cannot be served: {error}"));
            }
        };
        let word = match &admitted {
            Ok(_place) => Word::Yes,
            Err(limit) => Word::No(*limit),
        };
        let nonce = request.nonce;
        say(greeted, Answer { nonce, word }).await?;
        match admitted {
            Ok(place) => self.serve(request, Arc::new(place), greeted, socket).await,
            Err(limit) => {
                greeted.inlet.discard(CLOSE).await;
                Err(format!("refused: {limit}"))
            }
        }
    }

    async fn serve(
        &self,
        request: Request,
        place: Arc<Place>,
        greeted: &mut Greeted,
        socket: OwnedFd,
    ) -> Result<(), String> {
        // Thousands of idle connections need no second descriptor each.
        let socket = Some(socket).filter(|_| request.exchange != Exchange::Echo);
        let retransmits = || {
            let info = socket.as_ref().and_then(|socket| tcp::info(socket).ok());
            info.map_or(0, |info| info.retransmissions)
        };
        let (inlet, writer) = (&mut greeted.inlet, &mut greeted.writer);
        let served = serve::serve(request, &place, inlet, writer, &self.meter, &retransmits);
        served
            .await
            .map_err(|error| format!("stream {}: {error}", request.stream))
    }

    fn reading(&self) -> Second {
        Second {
            open: self.open.load(Ordering::Relaxed),
            opened: self.opened.load(Ordering::Relaxed),
            received: self.meter.received.load(Ordering::Relaxed),
            sent: self.meter.sent.load(Ordering::Relaxed),
        }
    }

    fn trouble(&self, client: Option<SocketAddr>, text: String) {
        if self.tell.try_send(News::Trouble { client, text }).is_err() {
            tracing::debug!(?client, "too many troubles to tell");
        }
    }
}

/// How long the last bytes may take.
const CLOSE: Duration = Duration::from_secs(1);

async fn say(greeted: &mut Greeted, answer: Answer) -> Result<(), String> {
    let io = |error: io::Error| format!("left before its answer: {error}");
    let written = greeted.writer.write_all(&answer.encode()).await;
    written.map_err(io)?;
    greeted.writer.flush().await.map_err(io)
}

impl Second {
    /// Totals become what happened since; what is open stays.
    fn since(&self, before: &Self) -> Self {
        Self {
            open: self.open,
            opened: self.opened - before.opened,
            received: self.received - before.received,
            sent: self.sent - before.sent,
        }
    }
}
