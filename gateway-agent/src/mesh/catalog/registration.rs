//! What a proxy or gateway says in its registration.

use std::collections::BTreeMap;
use std::fmt;

use crate::control::snapshot::Place;
use crate::mesh::name::Name;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Place,
}

/// How connections to another datacenter travel. An absent one asks the next level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayMode {
    /// Straight to the instances.
    None,
    /// Through the mesh gateways of the own datacenter.
    Local,
    /// Through the mesh gateways of the target's datacenter.
    Remote,
}

impl GatewayMode {
    /// The word of configuration.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

impl fmt::Display for GatewayMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// An opaque `config` map: what it holds is known to whoever reads a key. Values may be weakly
/// typed (`"5000"` for 5000); unknown keys are ignored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Opaque(pub BTreeMap<String, serde_json::Value>);

impl Opaque {
    /// A whole number, written as one or as text. Consul: of a number with a fraction the whole
    /// part counts.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<i64> {
        match self.0.get(key)? {
            serde_json::Value::Number(number) => number.as_i64().or_else(|| {
                let whole = number.as_f64()?.trunc();
                format!("{whole:.0}").parse().ok()
            }),
            serde_json::Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A truth value, written as one, as 0 or 1, or as text.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.0.get(key)? {
            serde_json::Value::Bool(flag) => Some(*flag),
            serde_json::Value::Number(number) => number.as_i64().map(|number| number != 0),
            serde_json::Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "1" => Some(true),
                "false" | "f" | "0" | "" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }
}

/// A proxy's or gateway's part of a registration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proxy {
    /// The application behind it; empty for gateways.
    pub destination_service: Name,
    /// The ID of that application's instance.
    pub destination_id: String,
    /// Where the application listens.
    pub local_service_address: String,
    /// The application's port.
    pub local_service_port: u16,
    /// The application's unix socket.
    pub local_service_socket_path: String,
    /// How the proxy catches connections: empty, `direct` or `transparent`.
    pub mode: String,
    /// The mode of its upstreams that say nothing themselves.
    pub mesh_gateway: Option<Placed<GatewayMode>>,
    /// Whom it dials.
    pub upstreams: Vec<Upstream>,
    /// Opaque settings.
    pub config: Opaque,
}

/// What an upstream is found by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamKind {
    /// A service.
    #[default]
    Service,
    /// A prepared query.
    PreparedQuery,
}

/// One upstream of a proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// What it is found by.
    pub kind: UpstreamKind,
    /// The service or query.
    pub destination: Name,
    /// Its namespace; empty: the proxy's.
    pub namespace: Name,
    /// Its partition; empty: the proxy's.
    pub partition: Name,
    /// The peer that it is imported from; empty: none.
    pub peer: Name,
    /// Its datacenter; empty: the proxy's.
    pub datacenter: Name,
    /// Address to listen at.
    pub local_bind_address: String,
    /// Port to listen at; 0 with a socket path.
    pub local_bind_port: u16,
    /// Unix socket to listen at.
    pub local_bind_socket_path: String,
    /// Mode of that socket, octal.
    pub local_bind_socket_mode: String,
    /// How its connections travel.
    pub mesh_gateway: Option<Placed<GatewayMode>>,
    /// Opaque settings.
    pub config: Opaque,
    /// Where it stands.
    pub at: Place,
}
