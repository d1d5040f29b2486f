//! `service-resolver`: subsets, redirect, failover and balance of a service.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::control::snapshot::Place;
use crate::mesh::name::{Name, ServiceName};

/// Where a service's connections go.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceResolver {
    /// The service.
    pub service: ServiceName,
    /// The subset that the plain name stands for; empty: all instances.
    pub default_subset: String,
    /// Subsets, by name.
    pub subsets: BTreeMap<String, Subset>,
    /// Another service that takes its place; excludes `failover`.
    pub redirect: Option<Redirect>,
    /// Who takes over, by subset; `*` for all.
    pub failover: BTreeMap<String, Failover>,
    /// Limit of one dial.
    pub connect_timeout: Option<Duration>,
    /// Limit of one request, of no use here.
    pub request_timeout: Option<Duration>,
    /// How instances are chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

/// A part of a service's instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// The filter as written; empty: all instances. It parses.
    pub filter: String,
    /// Whether a warning is as bad as a critical check.
    pub only_passing: bool,
    /// Where it stands.
    pub at: Place,
}

/// Another service instead of this one. An empty field means: as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The service.
    pub service: Name,
    /// Its subset.
    pub subset: String,
    /// Its namespace.
    pub namespace: Name,
    /// Its partition.
    pub partition: Name,
    /// Its datacenter.
    pub datacenter: Name,
    /// The peer that it is imported from.
    pub peer: Name,
    /// A group of partitions and peers (Enterprise).
    pub sameness_group: String,
    /// Where it stands.
    pub at: Place,
}

/// Who takes over when no instance is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// The service; empty: the same.
    pub service: Name,
    /// Its subset.
    pub subset: String,
    /// Its namespace.
    pub namespace: Name,
    /// Its datacenters, in order; excludes `targets`.
    pub datacenters: Vec<Name>,
    /// The targets, in order.
    pub targets: Vec<Redirect>,
    /// How the next one is chosen: empty, `sequential` or `order-by-locality`.
    pub policy_mode: String,
    /// The regions of that policy.
    pub regions: Vec<String>,
    /// A group of partitions and peers (Enterprise).
    pub sameness_group: String,
    /// Where it stands.
    pub at: Place,
}

/// How instances are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadBalancer {
    /// The rule.
    pub policy: LoadPolicy,
    /// Of how many the least busy is taken; `None`: Envoy's 2.
    pub choice_count: Option<u32>,
    /// Bounds of the ring.
    pub ring_size: (Option<u64>, Option<u64>),
    /// Where it stands.
    pub at: Place,
}

/// A rule of choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadPolicy {
    /// Nothing said: round robin.
    #[default]
    Unset,
    /// At random.
    Random,
    /// In turn.
    RoundRobin,
    /// The least busy.
    LeastRequest,
    /// By hash of a request; a mesh gateway sees none and takes its default.
    RingHash,
    /// By hash of a request; a mesh gateway sees none and takes its default.
    Maglev,
}
