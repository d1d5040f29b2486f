//! First step: listening sockets, and the loops that accept on them.
//!
//! Each address is bound once per core with SO_REUSEPORT, and each of these sockets has its own
//! loop, so that accepting uses all cores. A socket belongs to its address, not to a listener: which
//! listener a connection belongs to is asked of the newest snapshot at accept, so that a reload
//! moves an address without closing it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connection::{Accepted, Gateway};
use super::permits::Asked;
use crate::control::snapshot::{Listener, Snapshot};
use crate::drain::Watch;
use crate::sys::tcp;

/// What a listening socket stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A configured address.
    Address(SocketAddr),
    /// Steered destinations of one family, for a listener that binds no address of that family.
    Steered {
        /// The listener's name.
        listener: Arc<str>,
        /// Whether it takes IPv6.
        v6: bool,
    },
}

impl Place {
    /// All places that a listener needs.
    #[must_use]
    pub fn of(listener: &Listener) -> Vec<Self> {
        let mut places: Vec<_> = listener
            .addresses
            .iter()
            .copied()
            .map(Self::Address)
            .collect();
        for v6 in [false, true] {
            let bound = listener
                .addresses
                .iter()
                .any(|address| address.is_ipv6() == v6);
            let steered = listener
                .destinations
                .iter()
                .any(|d| d.prefix.addr().is_ipv6() == v6);
            if steered && !bound {
                places.push(Self::Steered {
                    listener: Arc::clone(&listener.name),
                    v6,
                });
            }
        }
        places
    }

    /// The listener of `snapshot` that has this place.
    fn listener<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a Arc<Listener>> {
        match self {
            Self::Address(address) => snapshot
                .listeners
                .iter()
                .find(|listener| listener.addresses.contains(address)),
            Self::Steered { listener, .. } => snapshot.listener(listener),
        }
    }

    /// The address to bind. Steered connections keep their own destination; the socket that takes
    /// them is bound to loopback, out of reach, on a port of the kernel's choice.
    fn address(&self) -> SocketAddr {
        match self {
            Self::Address(address) => *address,
            Self::Steered { v6: false, .. } => (IpAddr::V4(Ipv4Addr::LOCALHOST), 0).into(),
            Self::Steered { v6: true, .. } => (IpAddr::V6(Ipv6Addr::LOCALHOST), 0).into(),
        }
    }
}

/// Sockets that a service manager kept or made for us.
pub trait Inheritance: Send {
    /// All listening sockets for `place`, each once.
    fn take(&mut self, place: &Place) -> Vec<OwnedFd>;
    /// Socket `index` of `place` is in use: keep it over our own death.
    fn store(&mut self, place: &Place, index: usize, socket: BorrowedFd<'_>);
    /// Every place has its sockets: what is left over is not wanted.
    fn settle(&mut self);
    /// The sockets of `place` are given up.
    fn forget(&mut self, place: &Place);
}

/// All listening sockets and their accept loops.
pub struct Acceptors {
    gateway: Arc<Gateway>,
    drain: Watch,
    runtime: Handle,
    inheritance: Box<dyn Inheritance>,
    open: HashMap<Place, Vec<Shard>>,
    cores: usize,
}

/// One socket of an address and its loop.
struct Shard {
    socket: Arc<TcpListener>,
    order: watch::Sender<Order>,
    /// None until [`Acceptors::serve`].
    task: Option<JoinHandle<()>>,
}

/// What an accept loop is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Accept.
    Accept,
    /// Take what waits and leave the socket to whoever else holds it.
    Leave,
    /// Take what waits and stop listening, whoever else holds the socket: its address is not
    /// configured any more.
    GiveUp,
}

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The call that failed.
    pub error: io::Error,
}

impl core::fmt::Display for BindError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let remedy = match self.error.kind() {
            io::ErrorKind::AddrInUse => "another process listens there: stop it or choose another",
            io::ErrorKind::AddrNotAvailable => "no interface has this address: add it first",
            io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
            _ => "see the error",
        };
        write!(f, "listen on {}: {} ({remedy})", self.address, self.error)
    }
}

impl std::error::Error for BindError {}

impl Acceptors {
    /// Starts with no socket. Loops run on `runtime`, one for each of `cores` and address.
    #[must_use]
    pub fn new(
        gateway: Arc<Gateway>,
        drain: Watch,
        runtime: Handle,
        inheritance: Box<dyn Inheritance>,
        cores: usize,
    ) -> Self {
        Self {
            gateway,
            drain,
            runtime,
            inheritance,
            open: HashMap::new(),
            cores: cores.max(1),
        }
    }

    /// Binds what `next` has and we have not. Connections wait in the queues until
    /// [`Self::serve`].
    ///
    /// # Errors
    /// All addresses that cannot be bound; nothing of `next` stays bound then.
    pub fn bind(&mut self, next: &Snapshot) -> Result<(), Vec<BindError>> {
        let mut errors = Vec::new();
        let mut bound = Vec::new();
        for place in next
            .listeners
            .iter()
            .flat_map(|listener| Place::of(listener))
        {
            if self.open.contains_key(&place) {
                continue;
            }
            match self.sockets(&place, next.limits.backlog) {
                Ok(sockets) => bound.push((place, sockets)),
                Err(error) => errors.push(BindError {
                    address: place.address(),
                    error,
                }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        for (place, sockets) in bound {
            let mut shards = Vec::new();
            for (index, socket) in sockets.into_iter().enumerate() {
                self.inheritance.store(&place, index, socket.as_fd());
                shards.push(Shard {
                    socket: Arc::new(socket),
                    order: watch::Sender::new(Order::Accept),
                    task: None,
                });
            }
            self.open.insert(place, shards);
        }
        self.inheritance.settle();
        Ok(())
    }

    /// Starts to accept on what [`Self::bind`] added; to be called when its snapshot is in force,
    /// since what is accepted goes by that.
    pub fn serve(&mut self) {
        let snapshot = self.gateway.control.snapshot();
        for (place, shards) in &mut self.open {
            let Some(listener) = place.listener(&snapshot) else {
                continue;
            };
            for shard in shards.iter_mut().filter(|shard| shard.task.is_none()) {
                let accept_loop = AcceptLoop {
                    gateway: Arc::clone(&self.gateway),
                    drain: self.drain.clone(),
                    place: place.clone(),
                    listener: Arc::clone(listener),
                    socket: Arc::clone(&shard.socket),
                };
                let orders = shard.order.subscribe();
                shard.task = Some(self.runtime.spawn(accept_loop.run(orders)));
            }
        }
    }

    /// Gives up what `next` has no more; what waits in those queues is served first.
    pub fn unbind(&mut self, next: &Snapshot) {
        let wanted: HashSet<_> = next
            .listeners
            .iter()
            .flat_map(|listener| Place::of(listener))
            .collect();
        let gone: Vec<_> = self
            .open
            .keys()
            .filter(|place| !wanted.contains(place))
            .cloned()
            .collect();
        for place in gone {
            self.inheritance.forget(&place);
            for shard in self.open.remove(&place).unwrap_or_default() {
                shard.order.send_replace(Order::GiveUp);
                if shard.task.is_none() {
                    stop_listening(&shard.socket, &place);
                }
            }
        }
    }

    /// One socket for each place of `listener`, with its family: what the kernel steers to.
    #[must_use]
    pub fn steer_targets(&self, listener: &Listener) -> Vec<(bool, Arc<TcpListener>)> {
        let mut targets: Vec<(bool, Arc<TcpListener>)> = Vec::new();
        for place in Place::of(listener) {
            let v6 = place.address().is_ipv6();
            let first = self.open.get(&place).and_then(|shards| shards.first());
            if let Some(shard) = first.filter(|_| targets.iter().all(|(have, _)| *have != v6)) {
                targets.push((v6, Arc::clone(&shard.socket)));
            }
        }
        targets
    }

    /// Stops accepting; what waits in the queues is taken first. Sockets that a service manager
    /// keeps go on queueing for the next agent.
    pub async fn close(self) {
        let shards: Vec<_> = self.open.into_values().flatten().collect();
        for shard in &shards {
            shard.order.send_replace(Order::Leave);
        }
        for shard in shards {
            if let Some(task) = shard.task
                && let Err(error) = task.await
            {
                tracing::error!(%error, "accept loop");
            }
        }
    }

    fn sockets(&mut self, place: &Place, backlog: u32) -> io::Result<Vec<TcpListener>> {
        let _runtime = self.runtime.enter();
        let inherited = self.inheritance.take(place);
        if !inherited.is_empty() {
            return inherited
                .into_iter()
                .map(|fd| adopt(Socket::from(fd)))
                .collect();
        }
        let mut address = place.address();
        if !self
            .open
            .keys()
            .any(|ours| overlap(ours.address(), address))
        {
            refuse_to_share(address)?;
        }
        let mut sockets = Vec::with_capacity(self.cores);
        for _ in 0..self.cores {
            let socket = bound(address, backlog)?;
            address = socket.local_addr()?;
            sockets.push(socket);
        }
        Ok(sockets)
    }
}

/// SO_REUSEPORT would let a second process of the same user share the address in silence. A bind
/// without it tells.
fn refuse_to_share(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let probe = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    probe.set_reuse_address(true)?;
    if address.is_ipv6() {
        probe.set_only_v6(true)?;
    }
    probe.bind(&address.into())
}

/// Whether one of the two takes the other's connections too, as before and after a reload from
/// every address to one of them, or back.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    any && a.port() == b.port() && a.is_ipv4() == b.is_ipv4()
}

/// A listening socket. TCP by name: where the system default is MPTCP, sockets could not be spliced.
fn bound(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    adopt(socket)
}

fn adopt(socket: Socket) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// The loop of one socket.
struct AcceptLoop {
    gateway: Arc<Gateway>,
    drain: Watch,
    place: Place,
    /// Whose connections these are, or were last when no listener has the place any more.
    listener: Arc<Listener>,
    socket: Arc<TcpListener>,
}

/// For everybody who holds the socket: its address is not configured any more.
fn stop_listening(socket: &TcpListener, place: &Place) {
    if let Err(error) = SockRef::from(socket).shutdown(Shutdown::Both) {
        tracing::warn!(%error, ?place, "stop listening");
    }
}

/// Pause after an accept that failed for want of descriptors or memory: until some come free.
const BREATH: Duration = Duration::from_millis(50);

impl AcceptLoop {
    async fn run(mut self, mut orders: watch::Receiver<Order>) {
        loop {
            tokio::select! {
                accepted = self.socket.accept() => self.take(accepted).await,
                _changed = orders.changed() => break,
            }
        }
        self.take_waiting();
        if *orders.borrow() == Order::GiveUp {
            stop_listening(&self.socket, &self.place);
        }
    }

    /// Takes what waits already: as many as the queue holds, for under load there is no end.
    fn take_waiting(&mut self) {
        for _ in 0..=self.gateway.control.snapshot().limits.backlog {
            match self.waiting() {
                Ok((client, peer)) => self.admit(client, peer),
                Err(error) if belongs_to_the_connection(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::warn!(%error, place = ?self.place, "accept what waits");
                    return;
                }
            }
        }
    }

    /// Asks the kernel and not the runtime, which may not know yet of what has just arrived, and
    /// whose share for one task is less than a queue.
    fn waiting(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = SockRef::from(&*self.socket).accept()?;
        socket.set_nonblocking(true)?;
        let peer = peer.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok((TcpStream::from_std(socket.into())?, peer))
    }

    async fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((client, peer)) => self.admit(client, peer),
            Err(error) if belongs_to_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, place = ?self.place, "accept");
                tokio::time::sleep(BREATH).await;
            }
        }
    }

    /// Starts the connection's task; never waits for it.
    fn admit(&mut self, client: TcpStream, peer: SocketAddr) {
        let snapshot = self.gateway.control.snapshot();
        if let Some(listener) = self.place.listener(&snapshot) {
            self.listener = Arc::clone(listener);
        }
        let listener = Arc::clone(&self.listener);
        let destination = client.local_addr().unwrap_or_else(|_| self.place.address());
        let (peer, destination) = (canonical(peer), canonical(destination));
        self.gateway
            .tell(|observer| observer.accepted(&listener.name, destination));
        let permit = match self.gateway.permits.ask() {
            Asked::Given(permit) => permit,
            Asked::GivenNearLimit(permit) => {
                let (open, limit) = (self.gateway.permits.open(), self.gateway.permits.limit());
                self.gateway
                    .tell(|observer| observer.limit_near(open, limit));
                permit
            }
            Asked::Refused => {
                super::close::turn_away(&self.gateway, &client, (peer, destination), &listener);
                return;
            }
        };
        if let Err(error) = tcp::tune(&client, snapshot.limits.keepalive) {
            // It is dead already, and the first read will say so.
            tracing::debug!(%error, %peer, "tune an accepted socket");
        }
        let addresses = (peer, destination);
        let configured = (snapshot, listener);
        let drain = self.drain.clone();
        let accepted = Accepted::new(&self.gateway, client, addresses, configured, permit, drain);
        tokio::spawn(super::serve(Arc::clone(&self.gateway), accepted));
    }
}

/// IPv4 as IPv4, also where a socket reports it mapped.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Errors of accept(2) that concern only the connection that would have been accepted.
fn belongs_to_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}
