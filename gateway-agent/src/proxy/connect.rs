//! Sixth step: dial the endpoint; on failure another one, with the hello kept for it.
//!
//! Addresses of one host name race, each with a head start over the next (happy eyeballs, RFC
//! 8305 section 5); different endpoints are tried one after the other. The engines choose after
//! this step, and may hand the connection back (`splice::Bounced`) for another endpoint.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::authorize::Admitted;
use super::close::CloseReason;
use super::connection::{Connection, Ended, Gateway};
use super::endpoint::{self, Aimed};
use super::leg::client_gone;
use super::proxy_header;
use crate::control::cluster::{ActiveGuard, Endpoint, Pick};
use crate::control::snapshot::Route;
use crate::sys::tcp;

/// A connection with both its legs.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) admitted: Admitted,
    pub(super) upstream: TcpStream,
    /// Counts the connection as the endpoint's load.
    pub(super) load: ActiveGuard,
    /// PROXY header for the endpoint, before the hello; empty for none.
    pub(super) header: Vec<u8>,
    pub(super) tried: Vec<SocketAddr>,
}

/// Dials the chosen endpoint, and others while the attempts last.
///
/// # Errors
/// [`CloseReason::ConnectFailed`] when none was reached, [`CloseReason::Drained`] or the reason of
/// a cut when the connection is ended meanwhile.
pub(super) async fn connect(gateway: &Gateway, mut aimed: Aimed) -> Result<Connected, Ended> {
    let begun = Instant::now();
    loop {
        let (mut admitted, pick, mut tried) = aimed.into_parts();
        let dialled = tokio::select! {
            dialled = Race::new(&admitted, &pick).run() => dialled,
            reason = interrupted(&mut admitted) => return Err(admitted.end(reason)),
        };
        let record = &mut admitted.connection.record;
        record.attempts += dialled.begun;
        record.endpoint = Some(pick.endpoint.address);
        for (endpoint, error) in dialled.failed {
            let ejected =
                !is_ours(&error) && admitted.route.cluster.failed(&endpoint, Instant::now());
            tracing::debug!(conn = record.id, endpoint = %endpoint.address, %error, ejected, "dial");
            gateway.tell(|o| o.endpoint_failed(&admitted.route, endpoint.address, ejected));
            tried.push(endpoint.address);
        }
        if let Some((upstream, endpoint)) = dialled.reached {
            admitted.route.cluster.succeeded(&endpoint);
            tried.push(endpoint.address);
            record.endpoint = Some(endpoint.address);
            record.connect_took = Some(begun.elapsed());
            return reached(admitted, upstream, &endpoint, tried);
        }
        aimed = endpoint::next(admitted, tried)?;
        gateway.tell(|observer| observer.retried(aimed.route()));
    }
}

/// What may end a connection while it waits for an endpoint.
async fn interrupted(admitted: &mut Admitted) -> CloseReason {
    let live = Arc::clone(admitted.registration.live());
    let Connection { client, drain, .. } = &mut *admitted.connection;
    tokio::select! {
        () = drain.expired() => CloseReason::Drained,
        reason = client_gone(client) => reason,
        reason = live.cut_requested() => reason,
    }
}

fn reached(
    admitted: Admitted,
    upstream: TcpStream,
    endpoint: &Arc<Endpoint>,
    tried: Vec<SocketAddr>,
) -> Result<Connected, Ended> {
    match header_for(&admitted) {
        Ok(header) => Ok(Connected {
            admitted,
            upstream,
            load: endpoint.begin(),
            header,
            tried,
        }),
        Err(error) => {
            tracing::warn!(conn = admitted.connection.record.id, %error, "build a PROXY header");
            Err(admitted.end(CloseReason::ConnectFailed))
        }
    }
}

fn header_for(admitted: &Admitted) -> io::Result<Vec<u8>> {
    let Some(version) = admitted.route.send_proxy else {
        return Ok(Vec::new());
    };
    let record = &admitted.connection.record;
    let name = record
        .hello
        .as_ref()
        .and_then(|hello| hello.server_name.as_deref());
    proxy_header::build(version, record.source, record.destination, name)
}

/// What came of dialling one pick.
#[derive(Default)]
struct Dialled {
    /// Addresses dialled, those still under way when another was reached included.
    begun: u32,
    reached: Option<(TcpStream, Arc<Endpoint>)>,
    failed: Vec<(Arc<Endpoint>, io::Error)>,
}

/// The addresses of one pick, on their marks.
struct Race {
    runners: std::vec::IntoIter<Arc<Endpoint>>,
    dial: Dial,
    head_start: Duration,
}

/// How an address is dialled.
#[derive(Clone)]
struct Dial {
    route: Arc<Route>,
    keepalive: Option<Duration>,
}

impl Race {
    fn new(admitted: &Admitted, pick: &Pick) -> Self {
        let limits = &admitted.connection.limits;
        // Each address is a dial: a name with many must not open more sockets than a connection may.
        let left = limits
            .connect_attempts
            .saturating_sub(admitted.connection.record.attempts);
        let alternates = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        let mut runners = vec![Arc::clone(&pick.endpoint)];
        runners.extend(pick.alternates.iter().take(alternates).cloned());
        Self {
            runners: runners.into_iter(),
            dial: Dial {
                route: Arc::clone(&admitted.route),
                keepalive: limits.keepalive,
            },
            head_start: limits.attempt_delay,
        }
    }

    /// Returns at the first connection, or when all failed. Those still under way are dropped.
    async fn run(mut self) -> Dialled {
        let mut outcome = Dialled::default();
        if self.runners.len() == 1 {
            // The common case needs no task of its own.
            if let Some(endpoint) = self.runners.next() {
                outcome.begun = 1;
                match self.dial.dial(endpoint.address).await {
                    Ok(stream) => outcome.reached = Some((stream, endpoint)),
                    Err(error) => outcome.failed.push((endpoint, error)),
                }
            }
            return outcome;
        }
        let mut running = JoinSet::new();
        outcome.begun += self.start_next(&mut running);
        loop {
            tokio::select! {
                ended = running.join_next() => match ended {
                    Some(Ok((endpoint, Ok(stream)))) => {
                        outcome.reached = Some((stream, endpoint));
                        return outcome;
                    }
                    Some(Ok((endpoint, Err(error)))) => {
                        outcome.failed.push((endpoint, error));
                        outcome.begun += self.start_next(&mut running);
                    }
                    Some(Err(_)) => outcome.begun += self.start_next(&mut running),
                    None => return outcome,
                },
                () = sleep(self.head_start), if self.runners.len() > 0 => {
                    outcome.begun += self.start_next(&mut running);
                }
            }
        }
    }

    /// Dials the next address, if one is left; how many that are.
    fn start_next(&mut self, running: &mut JoinSet<(Arc<Endpoint>, io::Result<TcpStream>)>) -> u32 {
        let Some(endpoint) = self.runners.next() else {
            return 0;
        };
        let dial = self.dial.clone();
        running.spawn(async move {
            let dialled = dial.dial(endpoint.address).await;
            (endpoint, dialled)
        });
        1
    }
}

impl Dial {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(local) = self.route.source_for(address.ip()) {
            bind(&socket, local)?;
        }
        let stream = timeout(self.route.connect_timeout, socket.connect(address))
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        match &self.route.keepalive {
            Some(keepalive) => tcp::tune_as(&stream, keepalive)?,
            None => tcp::tune(&stream, self.keepalive)?,
        }
        Ok(stream)
    }
}

/// Whether a dial failed for want of something of our own (descriptors, memory, a source address
/// or port), which says nothing of the endpoint.
fn is_ours(error: &io::Error) -> bool {
    let ours = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOMEM,
        libc::ENOBUFS,
        libc::EADDRNOTAVAIL,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| ours.contains(&code))
}

/// Takes a source address and leaves the port to connect(2), which can then use one port towards
/// several endpoints.
fn bind(socket: &TcpSocket, local: IpAddr) -> io::Result<()> {
    tcp::bind_address_without_port(socket)?;
    socket.bind(SocketAddr::new(local, 0))
}
