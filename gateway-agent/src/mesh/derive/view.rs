//! View: the part of a mesh that its gateway reads.
//!
//! Plain maps of shared values: what a live source would watch, query by query. Lists of
//! instances are in the order of node and ID, which decides where the first one counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mesh::catalog::{Instance, Peering};
use crate::mesh::entries::Entries;
use crate::mesh::name::{Locality, Name, ServiceName};
use crate::mesh::state::{Gateway, Mesh};

/// The part of a mesh that its gateway reads.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Where the gateway is.
    pub here: Locality,
    /// The trust domain, `<uuid>.consul`.
    pub trust_domain: Arc<str>,
    /// The DNS domain of the agents.
    pub domain: Arc<str>,
    /// The gateway.
    pub gateway: Gateway,
    /// Config entries.
    pub entries: Arc<Entries>,
    /// Who answers for each service here.
    pub connect: BTreeMap<ServiceName, Arc<[Arc<Instance>]>>,
    /// The mesh gateways of other datacenters and partitions, by direct query.
    pub remote_gateways: BTreeMap<Locality, Arc<[Arc<Instance>]>>,
    /// The mesh gateways of all datacenters, by federation state.
    pub federation: BTreeMap<Locality, Arc<[Arc<Instance>]>>,
    /// The servers here.
    pub servers: Arc<[Arc<Instance>]>,
    /// Instances imported from peers, by the peer's name here and the service's there.
    pub imported: BTreeMap<(Name, ServiceName), Arc<[Arc<Instance>]>>,
    /// Peerings, by the peer's name here.
    pub peerings: BTreeMap<Name, Arc<Peering>>,
}

impl View {
    /// Picks what the gateway of a mesh reads.
    #[must_use]
    pub fn of(mesh: &Mesh) -> Self {
        let catalog = &mesh.catalog;
        let own = catalog.localities.get(&mesh.here);
        let remote_gateways = catalog
            .localities
            .iter()
            .filter(|(locality, census)| **locality != mesh.here && !census.gateways.is_empty())
            .map(|(locality, census)| (locality.clone(), Arc::clone(&census.gateways)))
            .collect();
        Self {
            here: mesh.here.clone(),
            trust_domain: Arc::clone(&mesh.trust_domain),
            domain: Arc::clone(&mesh.domain),
            gateway: mesh.gateway.clone(),
            entries: Arc::new(mesh.entries.clone()),
            connect: own.map(|own| own.connect.clone()).unwrap_or_default(),
            remote_gateways,
            federation: sorted(&catalog.federation),
            servers: own.map(|own| Arc::clone(&own.servers)).unwrap_or_default(),
            imported: sorted(&catalog.imported),
            peerings: catalog.peerings.clone(),
        }
    }
}

/// Sorts lists that the catalog keeps as they came. One that is sorted stays the same allocation.
fn sorted<K: Ord + Clone>(
    lists: &BTreeMap<K, Arc<[Arc<Instance>]>>,
) -> BTreeMap<K, Arc<[Arc<Instance>]>> {
    // A peer may tell of nodes with one name in several places.
    let place = |instance: &Arc<Instance>| {
        let (node, id) = (instance.node.name.clone(), instance.service.id.clone());
        (node, id, instance.locality())
    };
    lists
        .iter()
        .map(|(key, list)| {
            let list = if list.is_sorted_by_key(place) {
                Arc::clone(list)
            } else {
                let mut list = list.to_vec();
                list.sort_by_cached_key(place);
                list.into()
            };
            (key.clone(), list)
        })
        .collect()
}
