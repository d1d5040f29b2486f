//! One instance of a service on a node, with its checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::registration::Proxy;
use crate::control::snapshot::Place;
use crate::mesh::name::{Locality, Name, ServiceName};

/// One instance of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Where it runs.
    pub node: Arc<Node>,
    /// What is registered.
    pub service: Arc<Service>,
    /// Its own checks and those of its node.
    pub checks: Vec<Check>,
    /// The peer that it was imported from, by its name here.
    pub peer: Option<Name>,
    /// Where it stands.
    pub at: Place,
}

impl Instance {
    /// Datacenter and partition of its node.
    #[must_use]
    pub fn locality(&self) -> Locality {
        Locality {
            datacenter: self.node.datacenter.clone(),
            partition: self.node.partition.clone(),
        }
    }

    /// The service that it is registered as (a sidecar's own name, not its destination's).
    #[must_use]
    pub fn service_name(&self) -> ServiceName {
        ServiceName {
            name: self.service.name.clone(),
            namespace: self.service.namespace.clone(),
            partition: self.node.partition.clone(),
        }
    }
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Name,
    /// Its UUID, if told.
    pub id: String,
    /// Its address; may be empty.
    pub address: String,
    /// Its datacenter.
    pub datacenter: Name,
    /// Its partition.
    pub partition: Name,
    /// Its further addresses by tag: `lan`, `wan`, `lan_ipv4`, ...
    pub tagged: BTreeMap<String, String>,
    /// Its metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

/// What a service is to the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An application, and all else.
    #[default]
    Typical,
    /// The proxy of one application.
    ConnectProxy,
    /// Joins datacenters.
    MeshGateway,
    /// Leads out of the mesh.
    TerminatingGateway,
    /// Leads into the mesh.
    IngressGateway,
    /// Leads into the mesh, by the rules of the Kubernetes gateway interface.
    ApiGateway,
}

impl Kind {
    /// The word of registrations; empty for an application.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Typical => "",
            Self::ConnectProxy => "connect-proxy",
            Self::MeshGateway => "mesh-gateway",
            Self::TerminatingGateway => "terminating-gateway",
            Self::IngressGateway => "ingress-gateway",
            Self::ApiGateway => "api-gateway",
        }
    }
}

/// A service as registered.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// What it is to the mesh.
    pub kind: Kind,
    /// Its ID, one of a kind on its node; the name where none is told.
    pub id: String,
    /// Its name.
    pub name: Name,
    /// Its namespace.
    pub namespace: Name,
    /// Its address; empty: the node's.
    pub address: String,
    /// Its port; 0 when it has none.
    pub port: u16,
    /// Its further addresses by tag: `lan`, `wan`, `virtual`, ...
    pub tagged: BTreeMap<String, TaggedAddress>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its metadata.
    pub meta: BTreeMap<String, String>,
    /// Its weights by state; `None`: 1 and 1.
    pub weights: Option<Weights>,
    /// Whether it speaks the mesh's TLS itself.
    pub native: bool,
    /// What it says as a proxy or gateway.
    pub proxy: Option<Arc<Proxy>>,
    /// What a peer tells about its imported service.
    pub peer_meta: Option<PeerMeta>,
    /// When it last changed; 0 where no source counts.
    pub modify_index: u64,
}

/// An address under a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedAddress {
    /// Address or host name.
    pub address: String,
    /// Port; 0: the service's.
    pub port: u16,
}

/// Shares of the connections, by state. As registered, so possibly below 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// While all checks pass.
    pub passing: i64,
    /// While one warns.
    pub warning: i64,
}

/// What a peer tells about an imported service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerMeta {
    /// Server names to dial it by; the first counts.
    pub sni: Vec<String>,
    /// The identities that answer.
    pub spiffe_ids: Vec<String>,
    /// Its protocol there; empty: tcp.
    pub protocol: String,
}

/// A check of a node or a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The ID of the service that it is about; empty: the node.
    pub service_id: String,
    /// What it found.
    pub status: Status,
    /// What it said.
    pub output: String,
    /// Where it stands.
    pub at: Place,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All is well.
    Passing,
    /// Not quite well.
    Warning,
    /// Not usable; a maintenance mode is this.
    Critical,
}

impl Status {
    /// The word of checks.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}
