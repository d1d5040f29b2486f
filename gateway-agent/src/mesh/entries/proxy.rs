//! What `proxy-defaults` and `service-defaults` alike say about sidecar proxies. A mesh gateway
//! reads none of it.

use crate::control::snapshot::Place;
use crate::mesh::catalog::Opaque;

/// How a sidecar does its work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxySettings {
    /// How it catches connections.
    pub mode: ProxyMode,
    /// Settings of transparent proxies.
    pub transparent_proxy: TransparentProxy,
    /// Whether it also takes connections outside of the mesh's TLS.
    pub mutual_tls: MutualTls,
    /// What it offers to everybody.
    pub expose: Expose,
    /// Extensions, in order.
    pub extensions: Vec<Extension>,
}

/// How a proxy catches connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyMode {
    /// Nothing said: the next level's, else direct.
    #[default]
    Unset,
    /// Applications dial its upstream listeners.
    Direct,
    /// The system sends connections to it.
    Transparent,
}

/// Settings of transparent proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TransparentProxy {
    /// Port that connections are sent to; `None`: 15001.
    pub outbound_listener_port: Option<u16>,
    /// Whether instances are dialled one by one.
    pub dialed_directly: bool,
}

/// Whether a proxy takes connections outside of the mesh's TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MutualTls {
    /// Nothing said: the next level's, else strict.
    #[default]
    Unset,
    /// It does not.
    Strict,
    /// It does, where the `mesh` entry allows it.
    Permissive,
}

/// What a proxy offers outside of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expose {
    /// Whether paths of checks are offered.
    pub checks: bool,
    /// Further paths.
    pub paths: Vec<ExposedPath>,
}

/// One path that everybody may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposedPath {
    /// Port that the proxy listens at.
    pub listener_port: u16,
    /// The path.
    pub path: String,
    /// Port of the application.
    pub local_path_port: u16,
    /// `http` or `http2`; empty: `http`.
    pub protocol: String,
    /// Where it stands.
    pub at: Place,
}

/// An extension of a proxy's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    /// Which one.
    pub name: String,
    /// Whether a proxy must not run without it.
    pub required: bool,
    /// Its arguments.
    pub arguments: Opaque,
    /// The versions of Consul that it is for.
    pub consul_version: String,
    /// The versions of Envoy that it is for.
    pub envoy_version: String,
    /// Where it stands.
    pub at: Place,
}

/// How the next target is chosen when one fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailoverPolicy {
    /// Empty, `sequential` or `order-by-locality`.
    pub mode: String,
    /// The regions of that policy.
    pub regions: Vec<String>,
}

/// Whether near instances come first (Enterprise).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PrioritizeByLocality {
    /// Nothing said: they do not.
    #[default]
    Unset,
    /// They do not.
    None,
    /// Far ones take over when near ones fail.
    Failover,
}
