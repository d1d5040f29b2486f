//! The answer: plain values, to be printed or written as JSON.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::ModeRules;
use crate::control::snapshot::Place;
use crate::mesh::catalog::{GatewayMode, Kind};
use crate::mesh::name::{Locality, Name, ServiceName};
use crate::mesh::route::MeshEndpoint;

/// How a proxy reaches an upstream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Who dials.
    pub downstream: Asker,
    /// Whom.
    pub upstream: Asked,
    /// The precedence that held.
    #[serde(serialize_with = "as_text")]
    pub rules: ModeRules,
    /// What each level says, highest first; those of level 7 speak of the first target.
    pub levels: Vec<Level>,
    /// The upstream's protocol.
    pub protocol: String,
    /// Where connections go.
    pub targets: Vec<Target>,
    /// Who takes over, in order, when no instance of a target is up.
    pub failover: Vec<Target>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// Who dials.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asker {
    /// The service behind the proxy, or the gateway's own.
    pub service: ServiceName,
    /// What it is.
    pub kind: Kind,
    /// The proxy's `node/service id`; `None`: no proxy is registered.
    pub instance: Option<String>,
    /// Where it is.
    pub locality: Locality,
    /// Where its registration stands.
    #[serde(serialize_with = "as_text_if_any")]
    pub at: Option<Place>,
}

/// Whom it dials.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// The service or prepared query.
    pub service: ServiceName,
    /// Whether it is a prepared query.
    pub prepared_query: bool,
    /// Its datacenter; `None` for a peer's.
    pub datacenter: Option<Name>,
    /// The peer that it is imported from.
    pub peer: Option<Name>,
    /// Where the registration names it; `None`: it does not.
    #[serde(serialize_with = "as_text_if_any")]
    pub at: Option<Place>,
}

/// What one level says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Its number, 1 (asked first) to 7.
    pub number: u8,
    /// Which one it is.
    pub step: Step,
    /// The same in words, with the names of what it is about.
    pub name: String,
    /// What it says; `None`: nothing, so that the next one is asked.
    pub value: Option<GatewayMode>,
    /// Where that stands.
    #[serde(serialize_with = "as_text_if_any")]
    pub at: Option<Place>,
    /// Whether it counts under the rules and for the downstream.
    pub asked: bool,
    /// Whether it decided.
    pub decided: bool,
}

/// A level of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The upstream in the proxy's registration.
    Upstream,
    /// `upstream_config.overrides` of the downstream's service-defaults.
    Override,
    /// `proxy.mesh_gateway` of the registration.
    Registration,
    /// `upstream_config.defaults` of the downstream's service-defaults.
    UpstreamDefaults,
    /// `mesh_gateway` of the downstream's service-defaults.
    ServiceDefaults,
    /// proxy-defaults, for the downstream.
    ProxyDefaults,
    /// The target's service-defaults.
    TargetServiceDefaults,
    /// proxy-defaults, for the target.
    TargetProxyDefaults,
}

impl Step {
    /// Its number; the target's two share the last.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Upstream => 1,
            Self::Override => 2,
            Self::Registration => 3,
            Self::UpstreamDefaults => 4,
            Self::ServiceDefaults => 5,
            Self::ProxyDefaults => 6,
            Self::TargetServiceDefaults | Self::TargetProxyDefaults => 7,
        }
    }
}

/// One place where connections go.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// The service, with its namespace and partition.
    pub service: ServiceName,
    /// Whether it is a prepared query.
    #[serde(rename = "prepared_query")]
    pub query: bool,
    /// Its subset.
    pub subset: Option<String>,
    /// Its datacenter; `None` for a peer's.
    pub datacenter: Option<Name>,
    /// The peer that it is imported from.
    pub peer: Option<Name>,
    /// How the chain came to it, step by step; empty: it is the upstream itself.
    pub way: Vec<String>,
    /// The mode that holds for it; `None`: nobody says one, which is as `none`.
    pub mode: Option<GatewayMode>,
    /// The level that said so.
    pub mode_from: Option<Level>,
    /// How it is reached.
    pub via: Via,
    /// Why it is reached in this way.
    pub reason: String,
    /// The server name to dial with; empty where it is not known.
    pub sni: String,
    /// The identities that may answer.
    pub spiffe: Vec<String>,
    /// What to dial, sorted by address.
    #[serde(serialize_with = "endpoints")]
    pub endpoints: Vec<MeshEndpoint>,
    /// What decides whether these are up.
    pub health: String,
    /// Limit of one dial.
    #[serde(rename = "connect_timeout_ms", serialize_with = "milliseconds")]
    pub connect_timeout: Duration,
    /// Why nothing at all is dialled, where that is so.
    pub refused: Option<String>,
}

/// How a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Its instances.
    Direct,
    /// The mesh gateways of the downstream's datacenter.
    LocalGateways,
    /// The mesh gateways of the target's datacenter.
    RemoteGateways,
    /// What a peer exports, which is the peer's own mesh gateways.
    Peer,
    /// Its instances, by a server name from outside of the mesh.
    ExternalName,
}

fn as_text<S: Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

fn as_text_if_any<S: Serializer>(
    value: &Option<impl ToString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value
        .as_ref()
        .map(ToString::to_string)
        .serialize(serializer)
}

fn milliseconds<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(value.as_millis())
}

fn endpoints<S: Serializer>(value: &[MeshEndpoint], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(value.iter().map(|endpoint| {
        serde_json::json!({
            "address": endpoint.to_string(),
            "health": endpoint.health,
            "weight": endpoint.weight,
            "instance": &*endpoint.instance,
        })
    }))
}
