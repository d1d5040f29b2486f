//! What is counted as connections happen: one of the data path's observers.

use core::time::Duration;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::histogram::Histogram;

use super::series::Series;
use super::spliced::Spliced;
use crate::control::snapshot::{Route, Snapshot};
use crate::proxy::close::CloseReason;
use crate::proxy::record::{ConnectionRecord, Observer};
use crate::proxy::splice::fallback::Fallback;

/// A label value that comes from the configuration.
pub(super) type Label = Arc<str>;

/// The numbers. Labels are names of the configuration and reasons of the fixed list, never
/// anything that a client sent.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) accepted: Series<Label>,
    pub(super) bare_connects: Series<Label>,
    /// Listener, route, reason.
    pub(super) connections: Series<(Label, Label, &'static str)>,
    pub(super) active: Series<Label>,
    pub(super) refused: Series<&'static str>,
    /// Bytes of connections that have ended, by route: from the client.
    pub(super) upstream: Series<Label>,
    /// Likewise: to the client.
    pub(super) downstream: Series<Label>,
    /// Ended connections, by engine.
    pub(super) engines: Series<&'static str>,
    /// Engine, reason.
    pub(super) fallbacks: Series<(&'static str, &'static str)>,
    pub(super) spliced: Spliced,
    pub(super) hello_seconds: Histogram,
    pub(super) hello_bytes: Histogram,
    pub(super) connect_seconds: Histogram,
    pub(super) connection_seconds: Histogram,
    pub(super) endpoint_failures: Series<Label>,
    pub(super) endpoint_ejections: Series<Label>,
    pub(super) connect_retries: Series<Label>,
    pub(super) limit_warnings: AtomicU64,
}

/// From a LAN's round trip to the default hello and connect timeout of 5 s.
const HANDSHAKE_SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// A plain hello is 200 to 600 bytes, a post-quantum one 1.2 to 2 KiB, the largest 64 KiB.
const HELLO_BYTES: [f64; 8] = [
    256.0, 512.0, 1024.0, 1536.0, 2048.0, 4096.0, 16384.0, 65536.0,
];

/// From one request to a day.
const LIFE_SECONDS: [f64; 8] = [0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 14400.0, 86400.0];

impl Default for Counts {
    fn default() -> Self {
        Self {
            accepted: Series::default(),
            bare_connects: Series::default(),
            connections: Series::default(),
            active: Series::default(),
            refused: Series::default(),
            upstream: Series::default(),
            downstream: Series::default(),
            engines: Series::default(),
            fallbacks: Series::default(),
            spliced: Spliced::default(),
            hello_seconds: Histogram::new(HANDSHAKE_SECONDS),
            hello_bytes: Histogram::new(HELLO_BYTES),
            connect_seconds: Histogram::new(HANDSHAKE_SECONDS),
            connection_seconds: Histogram::new(LIFE_SECONDS),
            endpoint_failures: Series::default(),
            endpoint_ejections: Series::default(),
            connect_retries: Series::default(),
            limit_warnings: AtomicU64::new(0),
        }
    }
}

impl Counts {
    /// Forgets listeners and routes that `snapshot` does not have, except routes with open
    /// connections.
    pub(super) fn prune(&self, snapshot: &Snapshot) {
        let open: HashSet<Label> = self
            .active
            .list()
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|(route, _)| route)
            .collect();
        let listens = |name: &Label| snapshot.listener(name).is_some();
        // Connections without a route have the empty label.
        let routes = |name: &Label| {
            name.is_empty() || snapshot.routes.get(name).is_some() || open.contains(name)
        };
        self.accepted.retain(listens);
        self.bare_connects.retain(listens);
        self.connections
            .retain(|(listener, route, _)| listens(listener) && routes(route));
        for series in [
            &self.active,
            &self.upstream,
            &self.downstream,
            &self.endpoint_failures,
            &self.endpoint_ejections,
            &self.connect_retries,
        ] {
            series.retain(routes);
        }
        self.spliced.retain(routes);
    }
}

impl Observer for Counts {
    fn accepted(&self, listener: &str, _arrived_at: SocketAddr) {
        self.accepted.add(&listener.into(), 1);
    }

    fn routed(&self, route: &Route) {
        self.active.add(&route.name, 1);
    }

    fn greeted(&self, bytes: u32, took: Duration) {
        self.hello_bytes.observe(f64::from(bytes));
        self.hello_seconds.observe(took.as_secs_f64());
    }

    fn endpoint_failed(&self, route: &Route, _endpoint: SocketAddr, ejected: bool) {
        self.endpoint_failures.add(&route.name, 1);
        if ejected {
            self.endpoint_ejections.add(&route.name, 1);
        }
    }

    fn retried(&self, route: &Route) {
        self.connect_retries.add(&route.name, 1);
    }

    fn fell_back(&self, fallback: &Fallback) {
        let label = (fallback.engine.label(), fallback.why.label());
        self.fallbacks.add(&label, 1);
    }

    fn limit_near(&self, _open: u64, _limit: u64) {
        self.limit_warnings.fetch_add(1, Ordering::Relaxed);
    }

    fn closed(&self, record: &ConnectionRecord) {
        if record.reason == CloseReason::BareConnect {
            self.bare_connects.add(&record.listener, 1);
            return;
        }
        let reason = record.reason.label();
        if record.reason.is_refusal() {
            self.refused.add(&reason, 1);
        }
        if let Some(took) = record.connect_took {
            self.connect_seconds.observe(took.as_secs_f64());
        }
        let Some((route, _)) = &record.route else {
            self.connections
                .add(&(Arc::clone(&record.listener), "".into(), reason), 1);
            return;
        };
        let label = (
            Arc::clone(&record.listener),
            Arc::clone(&route.name),
            reason,
        );
        self.connections.add(&label, 1);
        self.upstream.add(&route.name, record.received);
        self.downstream.add(&route.name, record.sent);
        if let Some(engine) = record.engine {
            self.engines.add(&engine.label(), 1);
        }
        if let Some(streams) = &record.streams {
            self.spliced.add(&route.name, streams);
        }
        self.connection_seconds.observe(record.lasted.as_secs_f64());
        self.active.decrement(&route.name);
    }
}
