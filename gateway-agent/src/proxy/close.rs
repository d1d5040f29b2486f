//! Why connections end: the one list of reasons, whose doing each is, and what the client is told.
//!
//! Nothing but a [`CloseReason`] ends a connection. Ordinary ends (both sides finished, a reset
//! passed on, a drain) are reasons like any other, not errors. The ninth step, `close`, is at the
//! end of the file: tell a refused client why, pass on an abort as an abort, lose nothing.

use core::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use gateway_common::wire::{Alert, HelloError, Preamble};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::account::Accounted;
use super::connection::{Ended, Gateway};
use super::record::ConnectionRecord;
use crate::control::snapshot::{Listener, Refuse};
use crate::sys::tcp;

/// Whose doing the end of a connection was; a label of metrics and of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The client's: what it sent, did not send, or closed.
    Client,
    /// The endpoint's, or the network's on the way to it.
    Upstream,
    /// This gateway's: a limit, a fault, a drain.
    Gateway,
    /// The operator's configuration: a route or a policy says no.
    Policy,
}

/// The reason for which a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides closed in order and every byte was delivered.
    Finished,
    /// The client reset the connection; passed on to the upstream side.
    ClientReset,
    /// The endpoint reset the connection; passed on to the client.
    UpstreamReset,
    /// The client vanished: keepalive or retransmission gave up, or its network is unreachable.
    ClientLost,
    /// The endpoint vanished, likewise.
    UpstreamLost,
    /// No byte in either direction for the route's idle timeout.
    IdleTimeout,
    /// One side had closed, and nothing moved for the half-close timeout.
    HalfCloseTimeout,
    /// The drain deadline passed with the connection still open.
    Drained,
    /// The policy changed while the connection was open and no longer allows its source.
    PolicyChanged,
    /// Connected and left without a byte: what health checks do.
    BareConnect,
    /// The client closed in the middle of its hello.
    HelloCutShort,
    /// The hello was not complete within the hello timeout.
    HelloTimeout,
    /// The first bytes are no hello that can be routed.
    Hello(HelloError),
    /// A PROXY header was required from this source, and the first bytes are none.
    ProxyHeaderMissing,
    /// The PROXY header does not parse.
    ProxyHeaderInvalid,
    /// The hello carries no server name and the default action rejects.
    NoServerName,
    /// No route matches the server name and the default action rejects.
    UnknownName,
    /// The listener's policy denies the source.
    ListenerDenied,
    /// The route's policy denies the source.
    RouteDenied,
    /// The route refuses all its connections, and says why.
    RouteRefused,
    /// As many connections of the route are open as its own limit allows.
    RouteLimit,
    /// The route has no endpoint: its host names resolve to nothing.
    NoEndpoint,
    /// The checks of every endpoint say that it is down, and none is used all the same.
    AllDown,
    /// Every endpoint that was tried refused or did not answer.
    ConnectFailed,
    /// As many connections are open as the limit allows.
    ConnectionLimit,
    /// The kernel held more bytes of a spliced connection than it may, without holding back the sender.
    KernelBacklog,
}

impl CloseReason {
    /// The label in metrics and the access log: stable, from a fixed set.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::ClientReset => "client_reset",
            Self::UpstreamReset => "upstream_reset",
            Self::ClientLost => "client_lost",
            Self::UpstreamLost => "upstream_lost",
            Self::IdleTimeout => "idle_timeout",
            Self::HalfCloseTimeout => "half_close_timeout",
            Self::Drained => "drained",
            Self::PolicyChanged => "policy_changed",
            Self::BareConnect => "bare_connect",
            Self::HelloCutShort => "hello_cut_short",
            Self::HelloTimeout => "hello_timeout",
            Self::Hello(error) => error.label(),
            Self::ProxyHeaderMissing => "proxy_header_missing",
            Self::ProxyHeaderInvalid => "proxy_header_invalid",
            Self::NoServerName => "no_server_name",
            Self::UnknownName => "unknown_name",
            Self::ListenerDenied => "listener_denied",
            Self::RouteDenied => "route_denied",
            Self::RouteRefused => "route_refused",
            Self::RouteLimit => "route_limit",
            Self::NoEndpoint => "no_endpoint",
            Self::AllDown => "all_down",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectionLimit => "connection_limit",
            Self::KernelBacklog => "kernel_backlog",
        }
    }

    /// Whose doing it was.
    #[must_use]
    pub fn origin(&self) -> Origin {
        match self {
            Self::Finished
            | Self::ClientReset
            | Self::ClientLost
            | Self::BareConnect
            | Self::HelloCutShort
            | Self::HelloTimeout
            | Self::Hello(_)
            | Self::ProxyHeaderMissing
            | Self::ProxyHeaderInvalid
            | Self::NoServerName => Origin::Client,
            Self::UpstreamReset
            | Self::UpstreamLost
            | Self::NoEndpoint
            | Self::AllDown
            | Self::ConnectFailed => Origin::Upstream,
            Self::IdleTimeout
            | Self::HalfCloseTimeout
            | Self::Drained
            | Self::RouteLimit
            | Self::ConnectionLimit
            | Self::KernelBacklog => Origin::Gateway,
            Self::PolicyChanged
            | Self::UnknownName
            | Self::ListenerDenied
            | Self::RouteDenied
            | Self::RouteRefused => Origin::Policy,
        }
    }

    /// Whether the gateway refused the connection: it ended before an endpoint was reached, and
    /// not because the client went away by itself.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::HelloTimeout
                | Self::Hello(_)
                | Self::ProxyHeaderMissing
                | Self::ProxyHeaderInvalid
                | Self::NoServerName
                | Self::UnknownName
                | Self::ListenerDenied
                | Self::RouteDenied
                | Self::RouteRefused
                | Self::RouteLimit
                | Self::NoEndpoint
                | Self::AllDown
                | Self::ConnectFailed
                | Self::ConnectionLimit
        )
    }

    /// The fatal TLS alert that tells the client, where it speaks TLS and nothing was forwarded
    /// yet (RFC 8446 section 6.2, RFC 6066 section 3 for `unrecognized_name`).
    #[must_use]
    pub fn alert(&self) -> Option<Alert> {
        match self {
            // A refused route is a name that we know of and do not serve.
            Self::NoServerName | Self::UnknownName | Self::RouteRefused => {
                Some(Alert::UnrecognizedName)
            }
            Self::ListenerDenied | Self::RouteDenied => Some(Alert::AccessDenied),
            Self::NoEndpoint
            | Self::AllDown
            | Self::ConnectFailed
            | Self::RouteLimit
            | Self::ConnectionLimit => Some(Alert::InternalError),
            Self::Hello(error) => hello_alert(error),
            _ => None,
        }
    }

    /// Whether both sockets are to be reset rather than closed in order: the end was an abort,
    /// and the other side must be able to tell it from a clean close.
    #[must_use]
    pub fn is_abort(&self) -> bool {
        matches!(
            self,
            Self::ClientReset
                | Self::UpstreamReset
                | Self::ClientLost
                | Self::UpstreamLost
                | Self::Drained
                | Self::PolicyChanged
                | Self::KernelBacklog
        )
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(error) => error.fmt(f),
            other => f.write_str(other.label()),
        }
    }
}

/// The alert for a hello that cannot be routed. What is not TLS at all gets none: the client
/// would not understand it.
fn hello_alert(error: &HelloError) -> Option<Alert> {
    match error {
        HelloError::NotTls(Preamble::SslV2) => Some(Alert::ProtocolVersion),
        HelloError::NotTls(_) | HelloError::UnexpectedAlert => None,
        HelloError::ServerName(_) => Some(Alert::UnrecognizedName),
        _ => Some(Alert::DecodeError),
    }
}

/// How long a refused client may take to read its alert, and a leg to take what was sent before the
/// other one's abort. Two retransmissions of a round trip of 300 ms fit.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// Ninth step: closes the sockets as the reason demands.
pub(super) async fn close(accounted: Accounted) {
    let Ended {
        connection,
        upstream,
        reason,
        ..
    } = accounted.into_ended();
    let alert = reason.alert().filter(|_| connection.tells_refusals());
    match reason {
        CloseReason::ClientReset | CloseReason::ClientLost => {
            if let Some(upstream) = upstream {
                deliver_then_reset(&upstream).await;
            }
        }
        CloseReason::UpstreamReset | CloseReason::UpstreamLost => {
            deliver_then_reset(&connection.client).await;
        }
        _ if reason.is_abort() => {
            reset(&connection.client);
            upstream.iter().for_each(reset);
        }
        _ if reason.is_refusal() => refuse(&connection.client, alert).await,
        _ => {}
    }
}

/// Says why (in one record, which an empty send buffer takes whole), then FIN, then reads away
/// what the client still sends: closing over unread bytes would send RST, and RST makes many
/// clients forget the alert they had received. Whom nothing is said to is not waited for.
async fn refuse(client: &TcpStream, alert: Option<Alert>) {
    let Some(alert) = alert else { return };
    let said = tcp::send_now(client, &alert.record());
    if said.and_then(|_| tcp::finish_writing(client)).is_err() {
        return;
    }
    let enough = sleep(LINGER);
    tokio::pin!(enough);
    let mut sink = [0_u8; 512];
    loop {
        tokio::select! {
            // First, or a client that never stops sending would never be left.
            biased;
            () = &mut enough => return,
            ready = client.readable() => if ready.is_err() { return },
        }
        match client.try_read(&mut sink) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => {}
        }
    }
}

/// Passes on an abort: first what had been read before it, as the peer would have received it
/// without a gateway, then RST. There is no event for an empty send queue, so it is polled, with
/// growing pauses.
async fn deliver_then_reset(socket: &TcpStream) {
    let deadline = Instant::now() + LINGER;
    let mut pause = Duration::from_millis(1);
    while Instant::now() < deadline && tcp::unacknowledged(socket).is_ok_and(|bytes| bytes > 0) {
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    reset(socket);
}

/// A socket that is gone already needs no RST.
pub(super) fn reset(socket: &TcpStream) {
    #[cfg(feature = "faults")]
    if super::splice::faults::ends_for_reset() {
        return;
    }
    if let Err(error) = tcp::reset_on_close(socket) {
        tracing::debug!(%error, "set a socket to reset on close");
    }
}

/// Turns away a connection above the limit: it gets no task, no timer and no descriptor for
/// longer than this call.
pub(super) fn turn_away(
    gateway: &Gateway,
    client: &TcpStream,
    (peer, destination): (SocketAddr, SocketAddr),
    listener: &Listener,
) {
    let reason = CloseReason::ConnectionLimit;
    let mut record = ConnectionRecord::new(gateway.next_id(), &listener.name, (peer, destination));
    record.reason = reason;
    if let Some(alert) = reason.alert().filter(|_| listener.refuse == Refuse::Alert)
        && let Err(error) = tcp::send_now(client, &alert.record())
    {
        tracing::debug!(%error, %peer, "tell a client that the limit is reached");
    }
    gateway.tell(|observer| observer.closed(&record));
}
