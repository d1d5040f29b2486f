//! `service-defaults`: settings of one service, as a destination and as a client.

use std::collections::BTreeMap;
use std::time::Duration;

use super::proxy::ProxySettings;
use super::router::PathMatch;
use crate::control::snapshot::Place;
use crate::mesh::catalog::{GatewayMode, Placed};
use crate::mesh::name::{Name, ServiceName};

/// Settings of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceDefaults {
    /// The service.
    pub service: ServiceName,
    /// `tcp`, `http`, `http2` or `grpc`; empty: that of `proxy-defaults`.
    pub protocol: String,
    /// How connections to other datacenters travel.
    pub mesh_gateway: Option<Placed<GatewayMode>>,
    /// The server name outside of the mesh, which replaces the mesh's own; empty: none.
    pub external_sni: String,
    /// Settings of the service's upstreams, as their client.
    pub upstream_config: Option<UpstreamConfiguration>,
    /// Addresses outside of the mesh that are the service; excludes `upstream_config`.
    pub destination: Option<Destination>,
    /// How its sidecars do their work.
    pub proxy: ProxySettings,
    /// What its sidecars allow towards it.
    pub inbound: Inbound,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

impl ServiceDefaults {
    /// One that says nothing.
    #[must_use]
    pub fn new(service: ServiceName, at: Place) -> Self {
        Self {
            service,
            protocol: String::new(),
            mesh_gateway: None,
            external_sni: String::new(),
            upstream_config: None,
            destination: None,
            proxy: ProxySettings::default(),
            inbound: Inbound::default(),
            meta: BTreeMap::new(),
            at,
        }
    }
}

/// Settings of upstreams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamConfiguration {
    /// For named ones.
    pub overrides: Vec<UpstreamConfig>,
    /// For all others.
    pub defaults: Option<UpstreamConfig>,
}

/// Settings of one upstream, or of all.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamConfig {
    /// The upstream; empty in the defaults.
    pub service: ServiceName,
    /// The peer that it is imported from; empty: none.
    pub peer: Name,
    /// Its protocol.
    pub protocol: String,
    /// Limit of one dial, in milliseconds.
    pub connect_timeout_ms: Option<u64>,
    /// Limits on its use.
    pub limits: Option<UpstreamLimits>,
    /// When an instance that fails is left alone.
    pub passive_health_check: Option<PassiveHealthCheck>,
    /// How its connections travel.
    pub mesh_gateway: Option<Placed<GatewayMode>>,
    /// How a proxy's threads share its connections: empty or `exact_balance`.
    pub balance_outbound: String,
    /// Where it stands.
    pub at: Place,
}

impl UpstreamConfig {
    /// One that says nothing.
    #[must_use]
    pub fn new(service: ServiceName, at: Place) -> Self {
        Self {
            service,
            peer: Name::default(),
            protocol: String::new(),
            connect_timeout_ms: None,
            limits: None,
            passive_health_check: None,
            mesh_gateway: None,
            balance_outbound: String::new(),
            at,
        }
    }
}

/// Limits on the use of an upstream. An explicit 0 means none at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct UpstreamLimits {
    /// Connections at one time.
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests at one time.
    pub max_concurrent_requests: Option<u32>,
}

/// When an instance that fails is left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassiveHealthCheck {
    /// Time between looks.
    pub interval: Option<Duration>,
    /// Failures in a row that are too many.
    pub max_failures: Option<u32>,
    /// Percentage of those answers of a server's fault that count.
    pub enforcing_consecutive_5xx: Option<u32>,
    /// Percentage of the instances that may be left alone.
    pub max_ejection_percent: Option<u32>,
    /// For how long the first time.
    pub base_ejection_time: Option<Duration>,
}

/// Addresses outside of the mesh that are a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// IP addresses and host names; at least one.
    pub addresses: Vec<String>,
    /// Port.
    pub port: u16,
    /// Where it stands.
    pub at: Place,
}

/// What a sidecar allows towards its service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inbound {
    /// Connections at one time; 0: no limit of its own.
    pub max_connections: u32,
    /// How threads share connections: empty or `exact_balance`.
    pub balance: String,
    /// Limit of a dial to the application, in milliseconds.
    pub local_connect_timeout_ms: Option<u64>,
    /// Limit of a request to the application, in milliseconds.
    pub local_request_timeout_ms: Option<u64>,
    /// Most kibibytes of request headers.
    pub max_request_headers_kb: Option<u32>,
    /// Limits on requests per second.
    pub rate_limits: Option<RateLimits>,
}

/// Limits on requests to one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateLimits {
    /// For all.
    pub all: RateLimit,
    /// For some.
    pub routes: Vec<RouteRateLimit>,
}

/// A limit on requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second; 0: no limit.
    pub requests_per_second: u32,
    /// Requests at once.
    pub requests_max_burst: u32,
}

/// A limit on requests of some path.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteRateLimit {
    /// The path.
    pub path: PathMatch,
    /// The limit.
    pub limit: RateLimit,
}
