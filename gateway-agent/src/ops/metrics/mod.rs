//! Metrics: what Prometheus reads.
//!
//! `counts` counts as connections happen; `scrape` adds, when asked, what others know already
//! (open connections, the snapshot, the kernel). All names are in `names`.

mod counts;
mod names;
mod scrape;
mod series;
mod shown;
mod spliced;

use core::fmt;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prometheus_client::registry::Registry as Exposition;

use super::access_log::Dropped;
use crate::control::Control;
use crate::control::snapshot::Route;
use crate::proxy::record::{ConnectionRecord, Observer};
use crate::proxy::registry::Registry;
use crate::proxy::splice::fallback::Fallback;
use counts::Counts;
use scrape::Scrape;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the agent; one of the data path's observers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    scrape: Arc<Scrape>,
    exposition: Arc<Exposition>,
}

/// What is read from others at each scrape.
pub struct Sources {
    /// The configuration in force.
    pub control: Control,
    /// Open connections.
    pub registry: Arc<Registry>,
    /// Lost lines of the access log.
    pub dropped: Dropped,
    /// What the kernel steered, by datacenter and service; nothing where it does not steer.
    pub steer: Box<dyn Fn() -> Vec<SteerCount> + Send + Sync>,
}

/// What the kernel counts for one datacenter and service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SteerCount {
    /// Label of the configuration, may be empty.
    pub datacenter: String,
    /// Label of the configuration.
    pub service: String,
    /// Look-ups that were steered.
    pub lookups: u64,
    /// Connections accepted.
    pub connections: u64,
}

/// Numbers that the wiring sets as they change.
#[derive(Debug, Default)]
struct Gauges {
    connection_limit: AtomicU64,
    draining: AtomicBool,
    sockmap: AtomicBool,
}

impl Metrics {
    /// All metrics, at zero.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let scrape = Arc::new(Scrape::new(sources));
        let mut exposition = Exposition::with_prefix("culvert");
        exposition.register_collector(Box::new(Arc::clone(&scrape)));
        Self {
            scrape,
            exposition: Arc::new(exposition),
        }
    }

    /// The whole exposition, in OpenMetrics text.
    ///
    /// # Panics
    /// Never: writing to memory does not fail.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.exposition)
            .expect("text goes to memory");
        text
    }

    /// Says how many connections may be open at once.
    pub fn set_connection_limit(&self, connections: u64) {
        self.scrape
            .gauges
            .connection_limit
            .store(connections, Ordering::Relaxed);
    }

    /// Says that the drain began.
    pub fn set_draining(&self) {
        self.scrape.gauges.draining.store(true, Ordering::Relaxed);
    }

    /// Says whether the sockmap engine can be used.
    pub fn set_sockmap_available(&self, available: bool) {
        self.scrape
            .gauges
            .sockmap
            .store(available, Ordering::Relaxed);
    }

    fn counts(&self) -> &Counts {
        &self.scrape.counts
    }
}

impl Observer for Metrics {
    fn accepted(&self, listener: &str, arrived_at: SocketAddr) {
        self.counts().accepted(listener, arrived_at);
    }

    fn routed(&self, route: &Route) {
        self.counts().routed(route);
    }

    fn greeted(&self, bytes: u32, took: Duration) {
        self.counts().greeted(bytes, took);
    }

    fn endpoint_failed(&self, route: &Route, endpoint: SocketAddr, ejected: bool) {
        self.counts().endpoint_failed(route, endpoint, ejected);
    }

    fn retried(&self, route: &Route) {
        self.counts().retried(route);
    }

    fn fell_back(&self, fallback: &Fallback) {
        self.counts().fell_back(fallback);
    }

    fn limit_near(&self, open: u64, limit: u64) {
        self.counts().limit_near(open, limit);
    }

    fn closed(&self, record: &ConnectionRecord) {
        self.counts().closed(record);
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
