//! Lists of endpoints: instances of a service, mesh gateways, what a peer exports.

use std::net::IpAddr;
use std::sync::Arc;

use super::chain::{Hop, resolver};
use super::downstream::named;
use super::subset;
use crate::mesh::Mesh;
use crate::mesh::catalog::Instance;
use crate::mesh::endpoint::{best_address, health};
use crate::mesh::name::Locality;
use crate::mesh::route::{Health, MeshEndpoint};

/// The instances of a target in a locality.
pub(super) fn instances(mesh: &Mesh, hop: &Hop, at: &Locality, wan: bool) -> Vec<MeshEndpoint> {
    let (members, only_passing) = members(mesh, hop, at);
    listed(members.into_iter(), |instance| {
        endpoint(instance, wan, only_passing)
    })
}

/// How many instances of a target are up in a locality, and how many there are.
pub(super) fn tally(mesh: &Mesh, hop: &Hop, at: &Locality) -> (usize, usize) {
    let (members, only_passing) = members(mesh, hop, at);
    let up = |instance: &&&Arc<Instance>| health(instance, only_passing).0 == Health::Up;
    (members.iter().filter(up).count(), members.len())
}

/// The instances that belong to a target's subset, and whether only passing checks count. A
/// subset that its resolver does not know is empty.
fn members<'m>(mesh: &'m Mesh, hop: &Hop, at: &Locality) -> (Vec<&'m Arc<Instance>>, bool) {
    let all = mesh.catalog.connect(&hop.service, at).iter();
    let Some(name) = &hop.subset else {
        return (all.collect(), false);
    };
    let subset = resolver(mesh, hop).and_then(|resolver| resolver.subsets.get(name));
    let Some(subset) = subset else {
        return (Vec::new(), false);
    };
    let belonging = all.filter(|instance| subset::holds(subset, instance));
    (belonging.collect(), subset.only_passing)
}

/// The mesh gateways of a locality, by their own health; `None` where the locality is not known.
pub(super) fn gateways(mesh: &Mesh, of: &Locality, wan: bool) -> Option<Vec<MeshEndpoint>> {
    let census = mesh.catalog.localities.get(of)?;
    let all = census.gateways.iter();
    Some(listed(all, |instance| endpoint(instance, wan, false)))
}

/// What a peer exports under the name of a target, by WAN addresses. Host names beat addresses:
/// all that are not down, else the last one.
pub(super) fn imported(instances: &[Arc<Instance>]) -> Vec<MeshEndpoint> {
    let of = |instance: &Arc<Instance>| endpoint(instance, true, false);
    let named: Vec<MeshEndpoint> = instances
        .iter()
        .filter_map(of)
        .filter(|endpoint| endpoint.host.parse::<IpAddr>().is_err())
        .collect();
    let Some(last) = named.last().cloned() else {
        return listed(instances.iter(), of);
    };
    let mut usable = named;
    usable.retain(|endpoint| endpoint.health != Health::Down);
    if usable.is_empty() {
        usable.push(last);
    }
    sorted(usable)
}

fn listed<'m>(
    instances: impl Iterator<Item = &'m Arc<Instance>>,
    of: impl Fn(&'m Arc<Instance>) -> Option<MeshEndpoint>,
) -> Vec<MeshEndpoint> {
    sorted(instances.filter_map(of).collect())
}

fn sorted(mut endpoints: Vec<MeshEndpoint>) -> Vec<MeshEndpoint> {
    endpoints.sort_by_cached_key(|endpoint| (endpoint.to_string(), Arc::clone(&endpoint.instance)));
    endpoints
}

/// An instance as an endpoint; `None` where it has no address to dial.
fn endpoint(instance: &Instance, wan: bool, only_passing: bool) -> Option<MeshEndpoint> {
    let (address, port) = best_address(instance, wan);
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let host = match bare.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => bare.trim_end_matches('.').to_ascii_lowercase(),
    };
    let (health, weight) = health(instance, only_passing);
    (!host.is_empty()).then(|| MeshEndpoint {
        host: host.into(),
        port,
        health,
        weight,
        instance: named(instance).into(),
    })
}
