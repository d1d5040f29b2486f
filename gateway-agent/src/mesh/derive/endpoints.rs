//! From instances to the endpoints of a route.

use std::sync::Arc;

use super::address::{Aim, best};
use super::draft::Draft;
use super::terms::Terms;
use crate::mesh::catalog::Instance;
use crate::mesh::endpoint::health;
use crate::mesh::route::{DnsDiscovery, Health, MeshEndpoint, MeshRoute};

/// Endpoints, and how the host names among them are resolved.
pub(super) struct Endpoints {
    pub(super) list: Vec<MeshEndpoint>,
    pub(super) dns: Option<DnsDiscovery>,
}

impl Endpoints {
    /// Puts them into a route.
    pub(super) fn into_route(self, route: MeshRoute) -> MeshRoute {
        MeshRoute {
            endpoints: self.list,
            dns: self.dns,
            ..route
        }
    }
}

/// An endpoint before it is known whether it counts.
pub(super) struct Candidate {
    pub(super) endpoint: MeshEndpoint,
    pub(super) is_name: bool,
}

impl Candidate {
    pub(super) fn new(aim: Aim, health: Health, weight: u32, instance: &str) -> Self {
        Self {
            is_name: aim.is_name,
            endpoint: MeshEndpoint {
                host: aim.host,
                port: aim.port,
                health,
                weight,
                instance: instance.into(),
            },
        }
    }

    /// An instance by its best address and with the health that its checks tell.
    pub(super) fn checked(instance: &Instance, wan: bool, only_passing: bool) -> Self {
        let (health, weight) = health(instance, only_passing);
        Self::new(best(instance, wan), health, weight, &label(instance))
    }
}

/// The name of an instance: `node/service id`.
pub(super) fn label(instance: &Instance) -> String {
    format!("{}/{}", instance.node.name, instance.service.id)
}

/// The endpoints of instances here, addresses and host names side by side. Consul treats host
/// names only of remote gateways and imported instances; here each name is resolved.
pub(super) fn local<'a>(
    instances: impl IntoIterator<Item = &'a Arc<Instance>>,
    only_passing: bool,
    terms: &Terms,
    draft: &mut Draft,
) -> Endpoints {
    let candidates = instances.into_iter().map(|instance| {
        let wan = instance.peer.is_some() || instance.locality() != terms.here;
        (Candidate::checked(instance, wan, only_passing), instance)
    });
    side_by_side(usable(candidates, terms, draft), terms)
}

/// Addresses and host names that count alike.
pub(super) fn side_by_side(candidates: Vec<Candidate>, terms: &Terms) -> Endpoints {
    let any_name = candidates.iter().any(|candidate| candidate.is_name);
    let list = candidates.into_iter().map(|candidate| candidate.endpoint);
    Endpoints {
        list: sorted(list.collect()),
        dns: (any_name && terms.fidelity.local_hostnames).then_some(DnsDiscovery::StrictDns),
    }
}

/// The endpoints of remote gateways or imported instances, by WAN address.
pub(super) fn remote(instances: &[Arc<Instance>], terms: &Terms, draft: &mut Draft) -> Endpoints {
    let candidates = instances
        .iter()
        .map(|instance| (Candidate::checked(instance, true, false), instance));
    named_first(usable(candidates, terms, draft), terms.dns)
}

/// Consul: as soon as one of a group has a host name, only those with host names count.
pub(super) fn named_first(candidates: Vec<Candidate>, dns: DnsDiscovery) -> Endpoints {
    let (names, addresses): (Vec<_>, Vec<_>) = candidates
        .into_iter()
        .partition(|candidate| candidate.is_name);
    let endpoints = |candidates: Vec<Candidate>| candidates.into_iter().map(|one| one.endpoint);
    if names.is_empty() {
        return Endpoints {
            list: sorted(endpoints(addresses).collect()),
            dns: None,
        };
    }
    let names: Vec<_> = endpoints(names).collect();
    let last = names.last().cloned();
    let mut list: Vec<_> = names
        .into_iter()
        .filter(|endpoint| endpoint.health != Health::Down)
        .collect();
    if list.is_empty() {
        // Consul, 1.8.1 on: none is up, so the last one stays, marked down.
        list.extend(last);
    }
    if dns == DnsDiscovery::LogicalDns {
        list.truncate(1);
    }
    Endpoints {
        list: sorted(list),
        dns: Some(dns),
    }
}

/// Leaves out what cannot be dialled, and of several with one address all but the first (the
/// first that is up, if one is): two would count as two in every choice, and each would have a
/// health of its own.
fn usable<'a>(
    candidates: impl Iterator<Item = (Candidate, &'a Arc<Instance>)>,
    terms: &Terms,
    draft: &mut Draft,
) -> Vec<Candidate> {
    let mut kept: Vec<Candidate> = Vec::new();
    let mut seen = std::collections::HashMap::new();
    for (candidate, instance) in candidates {
        let MeshEndpoint { host, port, .. } = &candidate.endpoint;
        if !terms.fidelity.distinct {
            kept.push(candidate);
            continue;
        }
        if host.is_empty() || *port == 0 {
            let lack = if host.is_empty() { "address" } else { "port" };
            let text = format!(
                "instance {} has no {lack} and is left out; register it with one",
                candidate.endpoint.instance
            );
            draft.note(text, vec![instance.at.clone()]);
            continue;
        }
        let twin = seen
            .entry((Arc::clone(host), *port))
            .or_insert(kept.len())
            .to_owned();
        let Some(first) = kept.get_mut(twin) else {
            kept.push(candidate);
            continue;
        };
        let text = format!(
            "instances {} and {} both have the address {}; it counts once",
            first.endpoint.instance, candidate.endpoint.instance, candidate.endpoint
        );
        draft.note(text, vec![instance.at.clone()]);
        if first.endpoint.health == Health::Down && candidate.endpoint.health != Health::Down {
            *first = candidate;
        }
    }
    kept
}

/// Sorts by the address as it is displayed.
fn sorted(mut list: Vec<MeshEndpoint>) -> Vec<MeshEndpoint> {
    list.sort_by_cached_key(|endpoint| (endpoint.to_string(), Arc::clone(&endpoint.instance)));
    list
}
