//! What is known of one connection: filled in step by step, read once at its end.
//!
//! A record names no socket, so it can outlive both: an engine that takes the sockets away fills
//! the same fields from its own counters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::close::CloseReason;
use super::ja4::Ja4;
use super::registry::Streams;
use super::splice::fallback::Fallback;
use crate::control::routes::MatchKind;
use crate::control::snapshot::{EngineKind, Route};

/// Everything the access log and the metrics say about one connection.
#[derive(Debug, Clone)]
pub struct ConnectionRecord {
    /// Number of the connection, unique while the agent runs.
    pub id: u64,
    /// Name of the listener that accepted it.
    pub listener: Arc<str>,
    /// Address that connected; behind a PROXY-speaking balancer, the balancer's.
    pub peer: SocketAddr,
    /// Address the client is judged and logged by: [`Self::peer`], or what a trusted PROXY header
    /// announced.
    pub source: SocketAddr,
    /// Address that [`Self::peer`] connected to.
    pub arrived_at: SocketAddr,
    /// Address the client connected to: [`Self::arrived_at`], or what a trusted PROXY header
    /// announced.
    pub destination: SocketAddr,
    /// What the hello said; absent when none was read.
    pub hello: Option<HelloFacts>,
    /// The route, and how the name matched it.
    pub route: Option<(Arc<Route>, MatchKind)>,
    /// The endpoint that was connected, or tried last.
    pub endpoint: Option<SocketAddr>,
    /// Endpoints tried, the successful one included.
    pub attempts: u32,
    /// The engine that moved the bytes.
    pub engine: Option<EngineKind>,
    /// Why better engines did not.
    pub fallbacks: Vec<Fallback>,
    /// What the kernel did of it by itself; absent where it did nothing.
    pub streams: Option<Box<Streams>>,
    /// Bytes of PROXY header taken off before the hello: what an engine that maps sequence
    /// numbers adds on the client's leg.
    pub stripped: u32,
    /// Bytes of PROXY header sent before the hello on the upstream leg.
    pub prepended: u32,
    /// Bytes sent to the client.
    pub sent: u64,
    /// Bytes received from the client, the hello included, a PROXY header not.
    pub received: u64,
    /// When it was accepted.
    pub started: SystemTime,
    /// From accept to the complete hello.
    pub hello_took: Option<Duration>,
    /// From the decision to the connected endpoint.
    pub connect_took: Option<Duration>,
    /// From accept to the end.
    pub lasted: Duration,
    /// Why it ended.
    pub reason: CloseReason,
    /// The kernel's view of the client's leg at the end.
    pub client_leg: Option<LegFacts>,
    /// The kernel's view of the upstream leg at the end.
    pub upstream_leg: Option<LegFacts>,
}

impl ConnectionRecord {
    /// The record of a connection that was just accepted. Its reason is what it will be if nothing
    /// ever comes.
    #[must_use]
    pub fn new(
        id: u64,
        listener: &Arc<str>,
        (peer, destination): (SocketAddr, SocketAddr),
    ) -> Self {
        Self {
            id,
            listener: Arc::clone(listener),
            peer,
            source: peer,
            arrived_at: destination,
            destination,
            hello: None,
            route: None,
            endpoint: None,
            attempts: 0,
            engine: None,
            fallbacks: Vec::new(),
            streams: None,
            stripped: 0,
            prepended: 0,
            sent: 0,
            received: 0,
            started: SystemTime::now(),
            hello_took: None,
            connect_took: None,
            lasted: Duration::ZERO,
            reason: CloseReason::BareConnect,
            client_leg: None,
            upstream_leg: None,
        }
    }
}

/// What a ClientHello said, in owned form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelloFacts {
    /// The server name, normalised.
    pub server_name: Option<Arc<str>>,
    /// Offered application protocols in order, lossily as text.
    pub alpn: Vec<String>,
    /// Highest offered version without GREASE, as on the wire (0x0304 is TLS 1.3).
    pub version: u16,
    /// Whether the hello carries an Encrypted ClientHello: the name is then the outer one.
    pub ech: bool,
    /// Whether a post-quantum key share or group is offered.
    pub post_quantum: bool,
    /// JA4 fingerprint.
    pub ja4: Ja4,
    /// Bytes on the wire, record headers included.
    pub bytes: u32,
    /// TLS records that carried it.
    pub records: u32,
}

/// What `TCP_INFO` says of one leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct LegFacts {
    /// Smoothed round-trip time, microseconds.
    pub rtt_us: u32,
    /// Segments retransmitted over the leg's life.
    pub retransmissions: u32,
}

/// Who wants to know what happens to connections: metrics, access log, counts. Called on the data
/// path: must not block. Each takes what it needs and leaves the rest.
pub trait Observer: Send + Sync {
    /// A connection was accepted on `listener`, for the address `arrived_at`.
    fn accepted(&self, listener: &str, arrived_at: SocketAddr) {
        let _ = (listener, arrived_at);
    }
    /// A connection got its route and is about to be connected; paired with one [`Self::closed`]
    /// whose record has a route.
    fn routed(&self, route: &Route) {
        let _ = route;
    }
    /// A hello was read whole: its size in bytes and the time from accept.
    fn greeted(&self, bytes: u32, took: Duration) {
        let _ = (bytes, took);
    }
    /// An endpoint of `route` did not accept a connection; `ejected` when that took it out.
    fn endpoint_failed(&self, route: &Route, endpoint: SocketAddr, ejected: bool) {
        let _ = (route, endpoint, ejected);
    }
    /// Another endpoint of `route` is tried.
    fn retried(&self, route: &Route) {
        let _ = route;
    }
    /// A preferred engine does not move a connection's bytes; told once for each engine.
    fn fell_back(&self, fallback: &Fallback) {
        let _ = fallback;
    }
    /// Open connections passed 80 % of the limit (once per crossing).
    fn limit_near(&self, open: u64, limit: u64) {
        let _ = (open, limit);
    }
    /// A connection ended. Bare connects come here too, with their reason.
    fn closed(&self, record: &ConnectionRecord);
}
