//! `service-defaults`: settings of one service, as a destination and as a client.

use std::collections::BTreeMap;

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
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
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
    /// How its connections travel.
    pub mesh_gateway: Option<Placed<GatewayMode>>,
    /// Where it stands.
    pub at: Place,
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
