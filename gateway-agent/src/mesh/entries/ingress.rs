//! `ingress-gateway`: what enters the mesh, and where.

use std::collections::BTreeMap;

use super::headers::HeaderChanges;
use super::service_defaults::{PassiveHealthCheck, UpstreamLimits};
use super::tls::{SdsSource, TlsBounds};
use crate::control::snapshot::Place;
use crate::mesh::name::ServiceName;

/// What enters the mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressGateway {
    /// The gateway's service.
    pub gateway: ServiceName,
    /// TLS of all listeners.
    pub tls: IngressTls,
    /// Limits on each service.
    pub defaults: IngressLimits,
    /// The listeners, each of its own port.
    pub listeners: Vec<IngressListener>,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

/// TLS of a gateway or listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngressTls {
    /// Whether the mesh's own certificate is shown; a listener cannot switch it off.
    pub enabled: bool,
    /// Another certificate.
    pub sds: Option<SdsSource>,
    /// Versions and ciphers.
    pub bounds: TlsBounds,
}

/// Limits towards a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngressLimits {
    /// Limits on its use.
    pub limits: UpstreamLimits,
    /// When an instance that fails is left alone.
    pub passive_health_check: Option<PassiveHealthCheck>,
}

/// One listener.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressListener {
    /// Its port.
    pub port: u16,
    /// `tcp`, `http`, `http2` or `grpc`.
    pub protocol: String,
    /// Its own TLS.
    pub tls: Option<IngressTls>,
    /// The services; exactly one for tcp.
    pub services: Vec<IngressService>,
    /// Where it stands.
    pub at: Place,
}

/// A service that is reached through a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressService {
    /// The service; the name `*` stands for all of the listener's protocol.
    pub service: ServiceName,
    /// The hosts it answers for; empty: its usual ones.
    pub hosts: Vec<String>,
    /// A certificate for these hosts.
    pub sds: Option<SdsSource>,
    /// Changes to requests.
    pub request_headers: HeaderChanges,
    /// Changes to answers.
    pub response_headers: HeaderChanges,
    /// Limits, over the gateway's.
    pub limits: IngressLimits,
    /// Where it stands.
    pub at: Place,
}
