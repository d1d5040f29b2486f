//! First step: listening sockets, and the loops that accept on them.
//!
//! Each address is bound once per core with SO_REUSEPORT, and each of these sockets has its own
//! loop, so that accepting uses all cores. A socket belongs to its address, not to a listener: which
//! listener a connection belongs to is asked of the newest snapshot at accept, so that a reload
//! moves an address without closing it.

mod place;
mod queue;
mod sockets;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

pub use place::Place;
use queue::{AcceptLoop, Order, stop_listening};
use socket2::Socket;
pub use sockets::BindError;
pub(crate) use sockets::lacks_only_ipv6;
use sockets::{adopt, bound, overlap, refuse_to_share};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connection::Gateway;
use crate::control::snapshot::{Listener, Snapshot};
use crate::drain::Watch;

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
    /// Loops that take the last of an address that was given up.
    leaving: Vec<(SocketAddr, JoinHandle<()>)>,
    /// IPv6 addresses that this host cannot have, and that was said.
    lacking: HashSet<SocketAddr>,
    cores: usize,
}

/// One socket of an address and its loop.
struct Shard {
    socket: Arc<TcpListener>,
    order: watch::Sender<Order>,
    /// None until [`Acceptors::serve`].
    task: Option<JoinHandle<()>>,
}

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
            leaving: Vec::new(),
            lacking: HashSet::new(),
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
        for (listener, place) in next.listeners.iter().flat_map(|listener| {
            let places = Place::of(listener).into_iter();
            places.map(move |place| (listener, place))
        }) {
            if self.open.contains_key(&place) {
                continue;
            }
            let made = bound
                .iter()
                .map(|(place, _): &(Place, _)| place.address())
                .collect();
            match self.sockets(&place, next.limits.backlog, made) {
                Ok(sockets) => bound.push((place, sockets)),
                Err(error) if lacks_only_ipv6(place.address(), &listener.addresses, &error) => {
                    let address = place.address();
                    if self.lacking.insert(address) {
                        tracing::warn!(%address, listener = %listener.name,
                            "this host has no IPv6: listen on IPv4 only");
                    }
                }
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
                    failing: false,
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
                match shard.task {
                    Some(task) => self.leaving.push((place.address(), task)),
                    None => stop_listening(&shard.socket, &place),
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
        let leaving = self.leaving.into_iter().map(|(_, task)| task);
        for task in shards
            .into_iter()
            .filter_map(|shard| shard.task)
            .chain(leaving)
        {
            if let Err(error) = task.await {
                tracing::error!(%error, "accept loop");
            }
        }
    }

    /// The sockets of a place: inherited ones, else new ones. `ours` are addresses bound a moment
    /// ago.
    fn sockets(
        &mut self,
        place: &Place,
        backlog: u32,
        mut ours: Vec<SocketAddr>,
    ) -> io::Result<Vec<TcpListener>> {
        let _runtime = self.runtime.enter();
        let inherited = self.inheritance.take(place);
        if !inherited.is_empty() {
            return inherited
                .into_iter()
                .map(|fd| adopt(Socket::from(fd)))
                .collect();
        }
        let mut address = place.address();
        self.leaving.retain(|(_, task)| !task.is_finished());
        ours.extend(self.open.keys().map(Place::address));
        ours.extend(self.leaving.iter().map(|(address, _)| *address));
        if !ours.iter().any(|ours| overlap(*ours, address)) {
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
