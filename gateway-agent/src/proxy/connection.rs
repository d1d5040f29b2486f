//! What the steps hand on: the connection itself, the gateway it belongs to, and its end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::close::CloseReason;
use super::park::{self, Lot};
use super::permits::{Permit, Permits};
use super::record::{ConnectionRecord, Observer};
use super::registry::{Registration, Registry};
use super::splice::{Pipes, sockmap::Availability};
use crate::control::Control;
use crate::control::snapshot::{EnginePreference, Limits, Listener, Refuse, Snapshot};
use crate::drain::Watch;

/// What every connection shares.
pub struct Gateway {
    /// Where snapshots come from.
    pub control: Control,
    /// The open connections.
    pub registry: Arc<Registry>,
    /// Metrics and access log.
    pub observers: Vec<Arc<dyn Observer>>,
    /// How many connections may be open.
    pub permits: Permits,
    /// Pipes of the copy engine.
    pub pipes: Pipes,
    /// Whether the sockmap engine can be used.
    pub sockmap: Availability,
    /// Where connections rest, once it has a keeper.
    pub lot: OnceLock<Arc<Lot>>,
    next_id: AtomicU64,
}

impl Gateway {
    /// Puts the shared parts together.
    #[must_use]
    pub fn new(
        control: Control,
        registry: Arc<Registry>,
        observers: Vec<Arc<dyn Observer>>,
        permits: Permits,
        pipes: Pipes,
    ) -> Self {
        Self {
            control,
            registry,
            observers,
            permits,
            pipes,
            sockmap: Availability::default(),
            lot: OnceLock::new(),
            next_id: AtomicU64::new(1),
        }
    }

    /// Tells every observer.
    pub(super) fn tell(&self, say: impl Fn(&dyn Observer)) {
        self.observers
            .iter()
            .for_each(|observer| say(observer.as_ref()));
    }

    /// How long a connection is left alone before it rests; never, where nobody keeps it.
    pub(super) fn rests_after(&self) -> Option<Duration> {
        self.lot.get().map(|_lot| park::AFTER)
    }

    /// The next connection's number.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

/// A client's connection on its way through the steps.
#[derive(Debug)]
pub struct Connection {
    /// The client's socket.
    pub(super) client: TcpStream,
    /// What is known so far.
    pub(super) record: ConnectionRecord,
    /// Sizes and times it lives by, for its whole life.
    pub(super) limits: Arc<Limits>,
    /// The engines that may move its bytes.
    pub(super) engine: Arc<EnginePreference>,
    /// The listener, as the snapshot had it when it was accepted.
    pub(super) listener: Arc<Listener>,
    /// When it was accepted.
    pub(super) accepted: Instant,
    /// Its share of the connection limit.
    pub(super) permit: Permit,
    /// Tells of the drain, and holds it open.
    pub(super) drain: Watch,
}

impl Connection {
    /// Ends here, before an endpoint was connected.
    pub(super) fn end(self: Box<Self>, reason: CloseReason) -> Ended {
        Ended {
            connection: self,
            upstream: None,
            registration: None,
            reason,
        }
    }

    /// Time since it was accepted.
    pub(super) fn age(&self) -> Duration {
        self.accepted.elapsed()
    }

    /// Whether refusals are told by a TLS alert.
    pub(super) fn tells_refusals(&self) -> bool {
        self.listener.refuse == Refuse::Alert
    }
}

/// First of the nine: an accepted connection, of which nothing is read yet.
#[derive(Debug)]
pub struct Accepted {
    connection: Box<Connection>,
    snapshot: Arc<Snapshot>,
}

impl Accepted {
    /// Takes up an accepted socket. `drain` is held for the connection's life.
    #[must_use]
    pub fn new(
        gateway: &Gateway,
        client: TcpStream,
        (peer, destination): (SocketAddr, SocketAddr),
        (snapshot, listener): (Arc<Snapshot>, Arc<Listener>),
        permit: Permit,
        drain: Watch,
    ) -> Self {
        let record = ConnectionRecord::new(gateway.next_id(), &listener.name, (peer, destination));
        let accepted = Instant::now();
        let connection = Connection {
            client,
            record,
            limits: Arc::clone(&snapshot.limits),
            engine: Arc::clone(&snapshot.engine),
            listener,
            accepted,
            permit,
            drain,
        };
        Self {
            connection: Box::new(connection),
            snapshot,
        }
    }

    /// The connection, and the snapshot that it is routed with.
    pub(super) fn into_parts(self) -> (Box<Connection>, Arc<Snapshot>) {
        (self.connection, self.snapshot)
    }
}

/// A connection that ended, with all that is left of it.
#[derive(Debug)]
pub struct Ended {
    /// The client's side.
    pub(super) connection: Box<Connection>,
    /// The upstream socket, where there was one.
    pub(super) upstream: Option<TcpStream>,
    /// Its place among the open connections, where it had one.
    pub(super) registration: Option<Registration>,
    /// Why.
    pub(super) reason: CloseReason,
}
