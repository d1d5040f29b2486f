//! Gathered: what all files define, before references between them are followed.

use std::collections::BTreeMap;

use super::scope::Realm;
use crate::config::source::Span;
use crate::mesh::catalog::{Check, Node, Peering, Service};
use crate::mesh::entries::Entries;
use crate::mesh::name::{Locality, Name};

/// Everything that stands in the files of the mesh.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) nodes: Vec<NodeDef>,
    pub(super) services: Vec<ServiceDef>,
    /// Checks that stand for themselves or in a node.
    pub(super) checks: Vec<CheckDef>,
    /// Localities that a block names.
    pub(super) localities: Vec<Locality>,
    /// Localities with a federation state.
    pub(super) federation: Vec<Locality>,
    pub(super) datacenters: BTreeMap<Name, Span>,
    pub(super) partitions: BTreeMap<Locality, Span>,
    /// The datacenter that says `primary = true`.
    pub(super) primary: Option<(Name, Span)>,
    pub(super) peerings: Vec<PeeringDef>,
    pub(super) entries: Entries,
}

/// A node.
pub(super) struct NodeDef {
    pub(super) node: Node,
    pub(super) realm: Realm,
    pub(super) at: Span,
    /// Whether a block made it; else it is the one that services without a node belong to.
    pub(super) written: bool,
}

/// Where a service or check belongs.
#[derive(Clone, Debug)]
pub(super) enum Home {
    /// In the block of the node of this number.
    Node(usize),
    /// On the node of this name.
    Named(Name, Span),
    /// Not said.
    Nowhere,
}

/// A service, or the sidecar of one.
pub(super) struct ServiceDef {
    pub(super) service: Service,
    pub(super) realm: Realm,
    pub(super) locality: Locality,
    pub(super) home: Home,
    /// Its own checks.
    pub(super) checks: Vec<CheckDef>,
    /// Whether the definition of its application made it.
    pub(super) sidecar: bool,
    /// Whether it waits for a port.
    pub(super) wants_port: bool,
    /// For a sidecar on a node without an address: that of its application.
    pub(super) fallback_address: String,
    pub(super) at: Span,
}

/// A check.
pub(super) struct CheckDef {
    pub(super) check: Check,
    /// What it repeats, if it finds nothing by itself.
    pub(super) alias: Option<Alias>,
    pub(super) realm: Realm,
    pub(super) locality: Locality,
    pub(super) home: Home,
    pub(super) at: Span,
}

/// What a check repeats: a service of a node, or (empty) the node.
pub(super) struct Alias {
    /// The node; `None`: its own.
    pub(super) node: Option<Name>,
    pub(super) service_id: String,
}

/// A peering and what is imported by it.
pub(super) struct PeeringDef {
    pub(super) peering: Peering,
    pub(super) at: Span,
    pub(super) imported: Vec<Imported>,
}

/// A service of a peer.
pub(super) struct Imported {
    pub(super) name: crate::mesh::ServiceName,
    pub(super) instances: Vec<crate::mesh::catalog::Instance>,
    pub(super) at: Span,
}
