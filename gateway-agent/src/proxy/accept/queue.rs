//! The loop of one listening socket: from its queue to the connections' tasks.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::place::Place;
use crate::control::snapshot::Listener;
use crate::drain::Watch;
use crate::proxy::close;
use crate::proxy::connection::{Accepted, Gateway};
use crate::proxy::permits::Asked;
use crate::sys::tcp;

/// What an accept loop is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Accept.
    Accept,
    /// Take what waits and leave the socket to whoever else holds it.
    Leave,
    /// Take what waits and stop listening, whoever else holds the socket: its address is not
    /// configured any more.
    GiveUp,
}

/// The loop of one socket.
pub(super) struct AcceptLoop {
    pub(super) gateway: Arc<Gateway>,
    pub(super) drain: Watch,
    pub(super) place: Place,
    /// Whose connections these are, or were last when no listener has the place any more.
    pub(super) listener: Arc<Listener>,
    pub(super) socket: Arc<TcpListener>,
    /// Whether the last accept failed, and that was said.
    pub(super) failing: bool,
}

/// For everybody who holds the socket: its address is not configured any more.
pub(super) fn stop_listening(socket: &TcpListener, place: &Place) {
    if let Err(error) = SockRef::from(socket).shutdown(Shutdown::Both) {
        tracing::warn!(%error, ?place, "stop listening");
    }
}

/// Pause after an accept that failed for want of descriptors or memory: until some come free.
const BREATH: Duration = Duration::from_millis(50);

impl AcceptLoop {
    pub(super) async fn run(mut self, mut orders: watch::Receiver<Order>) {
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
            Ok((client, peer)) => {
                self.failing = false;
                self.admit(client, peer);
            }
            Err(error) if belongs_to_the_connection(&error) => {}
            Err(error) => {
                if !self.failing {
                    tracing::warn!(%error, place = ?self.place, "accept, from now on in vain");
                    self.failing = true;
                }
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
                tracing::warn!(open, limit, "80 % of the connection limit are in use");
                self.gateway
                    .tell(|observer| observer.limit_near(open, limit));
                permit
            }
            Asked::Refused => {
                close::turn_away(&self.gateway, &client, (peer, destination), &listener);
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
        tokio::spawn(crate::proxy::serve(Arc::clone(&self.gateway), accepted));
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
