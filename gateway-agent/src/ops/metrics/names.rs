//! Every metric's name, kind and help: the one list. Names are an interface: changing one is a
//! breaking change.
//!
//! Names are without the prefix `culvert_`; counters get `_total` when written.

use prometheus_client::metrics::MetricType;

/// One metric as its readers know it.
pub(super) struct Name {
    /// Without prefix and suffix.
    pub(super) name: &'static str,
    /// What it is for Prometheus.
    pub(super) kind: MetricType,
    /// What it says, units included.
    pub(super) help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Name {
    Name {
        name,
        kind: MetricType::Counter,
        help,
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Name {
    Name {
        name,
        kind: MetricType::Gauge,
        help,
    }
}

const fn histogram(name: &'static str, help: &'static str) -> Name {
    Name {
        name,
        kind: MetricType::Histogram,
        help,
    }
}

pub(super) const BUILD_INFO: Name = gauge("build_info", "Always 1, the version is a label.");
pub(super) const ACCEPTED: Name = counter(
    "accepted",
    "Connections accepted, by listener. Counts bare connects too, unlike culvert_connections.",
);
pub(super) const BARE_CONNECTS: Name = counter(
    "bare_connects",
    "Connections that left without a byte, as health checks do.",
);
pub(super) const CONNECTIONS: Name = counter(
    "connections",
    "Connections that ended, by listener, route (empty: none was found) and reason.",
);
pub(super) const CONNECTIONS_ACTIVE: Name = gauge(
    "connections_active",
    "Connections open now that have a route.",
);
pub(super) const REFUSED: Name = counter(
    "refused",
    "Connections refused before they reached an endpoint, by reason.",
);
pub(super) const BYTES: Name = counter(
    "bytes",
    "Bytes of connections with a route, open ones included; upstream is from the client.",
);
pub(super) const HELLO_SECONDS: Name = histogram(
    "hello_seconds",
    "Seconds from accept to the complete hello.",
);
pub(super) const HELLO_BYTES: Name = histogram(
    "hello_bytes",
    "Bytes of hellos on the wire, record headers included.",
);
pub(super) const CONNECT_SECONDS: Name = histogram(
    "connect_seconds",
    "Seconds from the decision to the connected endpoint.",
);
pub(super) const CONNECTION_SECONDS: Name = histogram(
    "connection_seconds",
    "Seconds from accept to the end, of connections with a route.",
);
pub(super) const ENDPOINT_FAILURES: Name = counter(
    "endpoint_failures",
    "Dials that an endpoint of the route did not accept.",
);
pub(super) const ENDPOINT_EJECTIONS: Name = counter(
    "endpoint_ejections",
    "Times that failed dials ejected an endpoint of the route.",
);
pub(super) const ENDPOINT_EJECTED: Name = gauge(
    "endpoint_ejected",
    "Endpoints of the route that are ejected now.",
);
pub(super) const ENDPOINT_DOWN: Name = gauge(
    "endpoint_down",
    "Endpoints of the route whose checks say down; routes without one are left out.",
);
pub(super) const CONNECT_RETRIES: Name = counter(
    "connect_retries",
    "Dials to another endpoint after a failed one.",
);
pub(super) const CONNECTION_LIMIT: Name =
    gauge("connection_limit", "Connections that may be open at once.");
pub(super) const LIMIT_WARNINGS: Name = counter(
    "limit_warnings",
    "Times that the open connections passed 80 percent of culvert_connection_limit.",
);
pub(super) const SNAPSHOT_GENERATION: Name = gauge(
    "snapshot_generation",
    "Generation of the configuration in force.",
);
pub(super) const RELOADS: Name = counter("reloads", "Reloads of the configuration, by result.");
pub(super) const LAST_RELOAD_OK: Name = gauge(
    "last_reload_ok",
    "1 if the last reload succeeded, 0 if an older configuration is in force because it failed.",
);
pub(super) const ROUTES: Name = gauge("routes", "Routes of the configuration in force.");
pub(super) const MESH_ROUTES: Name = gauge(
    "mesh_routes",
    "Routes in force that the mesh asks for, by role.",
);
pub(super) const DRAINING: Name = gauge("draining", "1 while the agent drains, else 0.");
pub(super) const ACCESS_LOG_DROPPED: Name = counter(
    "access_log_dropped",
    "Access log lines lost because their reader was too slow or gone.",
);
pub(super) const STEER_LOOKUPS: Name = counter(
    "steer_lookups",
    "Socket look-ups the kernel steered, by datacenter and service; stray segments count too.",
);
pub(super) const STEER_CONNECTIONS: Name = counter(
    "steer_connections",
    "Steered connections accepted, by datacenter and service.",
);
pub(super) const ENGINE_AVAILABLE: Name = gauge(
    "engine_available",
    "1 if this agent can use the engine on this host, else 0: see `culvert status` for the reason.",
);
pub(super) const ENGINE_CONNECTIONS: Name = counter(
    "engine_connections",
    "Connections that ended, by the engine that moved their bytes.",
);
pub(super) const ENGINE_CONNECTIONS_ACTIVE: Name = gauge(
    "engine_connections_active",
    "Connections open now that have an endpoint, by the engine that moves their bytes.",
);
pub(super) const ENGINE_FALLBACKS: Name = counter(
    "engine_fallbacks",
    "Connections that a preferred engine did not take, by engine and reason; open ones included.",
);
pub(super) const SPLICE_BYTES: Name = counter(
    "splice_bytes",
    "Bytes of connections that the kernel had taken over: redirected by it, or passed to the agent.",
);
pub(super) const SPLICE_SEGMENTS: Name = counter(
    "splice_segments",
    "Segments redirected by the kernel; offloads make one of several on the wire.",
);
pub(super) const SPLICE_PAUSES: Name = counter(
    "splice_pauses",
    "Times that too much waited for a reader and the agent took over.",
);
pub(super) const SPLICE_RESUMES: Name = counter(
    "splice_resumes",
    "Times that the kernel took over again after a pause.",
);
pub(super) const SPLICE_ORPHANS: Name = counter(
    "splice_orphans",
    "Segments passed to the agent because the other socket was not there or took no more bytes.",
);
pub(super) const SPLICE_BACKLOG: Name = gauge(
    "splice_backlog_bytes",
    "Bytes redirected that receivers' sockets had not taken, as each direction's last segment came: engine.sockmap_total limits it.",
);
pub(super) const SPLICE_HIDDEN: Name = gauge(
    "splice_hidden_bytes",
    "Bytes passed to the agent that queued in the kernel uncharged, as each direction's last one came.",
);
