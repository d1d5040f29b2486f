//! `service-resolver`: subsets, redirect, failover and balance of a service.

use std::collections::BTreeMap;
use std::time::Duration;

use super::proxy::PrioritizeByLocality;
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
    /// Whether near instances come first.
    pub prioritize_by_locality: PrioritizeByLocality,
    /// Metadata.
    pub meta: BTreeMap<String, String>,
    /// Where it stands.
    pub at: Place,
}

impl ServiceResolver {
    /// One that says nothing.
    #[must_use]
    pub fn new(service: ServiceName, at: Place) -> Self {
        Self {
            service,
            default_subset: String::new(),
            subsets: BTreeMap::new(),
            redirect: None,
            failover: BTreeMap::new(),
            connect_timeout: None,
            request_timeout: None,
            load_balancer: None,
            prioritize_by_locality: PrioritizeByLocality::default(),
            meta: BTreeMap::new(),
            at,
        }
    }
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
    /// What of a request is hashed, in order.
    pub hash_policies: Vec<HashPolicy>,
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

/// A part of a request that is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashPolicy {
    /// Which part.
    pub source: HashSource,
    /// Whether the later ones are left out once this one is there.
    pub terminal: bool,
    /// Where it stands.
    pub at: Place,
}

/// What of a request is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashSource {
    /// The client's address.
    SourceIp,
    /// A header.
    Header(String),
    /// A query parameter.
    QueryParameter(String),
    /// A cookie, which is made where there is none.
    Cookie {
        /// Its name.
        name: String,
        /// Whether it ends with the browser's session.
        session: bool,
        /// How long it lives.
        ttl: Option<Duration>,
        /// The path that it is for.
        path: String,
    },
}
