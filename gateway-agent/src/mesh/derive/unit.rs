//! Units: what changes as one, from its inputs to its routes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::draft::Draft;
use super::held::Held;
use super::terms::Terms;
use super::{Note, View, exported, imported, peering, remote, servers, service};
use crate::mesh::name::{Locality, Name, ServiceName};
use crate::mesh::route::MeshRoute;

/// Which unit. Where two derive one name the smaller key's route stays, so what others say about
/// themselves comes last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Remote(Locality),
    Servers,
    PeeringOwn,
    Exported(ServiceName),
    Service(ServiceName),
    /// By server name, lower case.
    PeeringRemote(String),
    Imported(Name, ServiceName),
}

/// All that the routes of a unit depend on, but for the terms.
#[derive(Debug, PartialEq)]
pub(super) enum Inputs {
    Remote(remote::Inputs),
    Servers(servers::Inputs),
    PeeringOwn(peering::Own),
    Exported(exported::Inputs),
    Service(service::Inputs),
    PeeringRemote(peering::Remote),
    Imported(imported::Inputs),
}

/// A unit with what was derived from it.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) inputs: Inputs,
    pub(super) routes: Vec<Arc<MeshRoute>>,
    pub(super) notes: Vec<Note>,
}

impl Unit {
    /// Derives the routes. One that comes out as in the former unit stays the same allocation.
    pub(super) fn derive(inputs: Inputs, terms: &Terms, former: Option<&Arc<Self>>) -> Self {
        let mut draft = Draft::default();
        match &inputs {
            Inputs::Remote(inputs) => inputs.derive(terms, &mut draft),
            Inputs::Servers(inputs) => inputs.derive(terms, &mut draft),
            Inputs::PeeringOwn(inputs) => inputs.derive(terms, &mut draft),
            Inputs::Exported(inputs) => inputs.derive(terms, &mut draft),
            Inputs::Service(inputs) => inputs.derive(terms, &mut draft),
            Inputs::PeeringRemote(inputs) => inputs.derive(terms, &mut draft),
            Inputs::Imported(inputs) => inputs.derive(terms, &mut draft),
        }
        let former = former.map_or(&[][..], |former| &former.routes);
        let routes = draft.routes.into_iter().map(|route| {
            let same = former.iter().find(|former| ***former == route);
            same.map_or_else(|| Arc::new(route), Arc::clone)
        });
        Self {
            routes: routes.collect(),
            notes: draft.notes,
            inputs,
        }
    }
}

/// All units of a view with their inputs.
pub(super) fn all(view: &View, terms: &Terms) -> impl Iterator<Item = (Key, Inputs)> {
    let services = view.connect.iter().map(|(service, instances)| {
        let inputs = service::Inputs {
            service: service.clone(),
            instances: Held::of(instances),
            resolver: view.entries.resolvers.get(service).map(Held::of),
        };
        (Key::Service(service.clone()), Inputs::Service(inputs))
    });
    let imported = view.imported.iter().map(|((peer, service), instances)| {
        let inputs = imported::Inputs {
            peer: peer.clone(),
            service: service.clone(),
            instances: Held::of(instances),
        };
        let key = Key::Imported(peer.clone(), service.clone());
        (key, Inputs::Imported(inputs))
    });
    let exported = exported::Inputs::all(view)
        .map(|(service, inputs)| (Key::Exported(service), Inputs::Exported(inputs)));
    remotes(view, terms)
        .chain(federated_servers(view, terms))
        .chain(peerings(view))
        .chain(exported)
        .chain(services)
        .chain(imported)
}

/// Consul: without the metadata of a WAN federation no federation state is read.
fn remotes(view: &View, terms: &Terms) -> impl Iterator<Item = (Key, Inputs)> {
    let federation = terms.wan_federation.then_some(&view.federation);
    let mut known: BTreeSet<&Locality> = view.remote_gateways.keys().collect();
    known.extend(federation.iter().flat_map(|federation| federation.keys()));
    known.remove(&view.here);
    known.into_iter().map(move |to| {
        let inputs = remote::Inputs {
            to: to.clone(),
            direct: view.remote_gateways.get(to).map(Held::of),
            federation: federation.and_then(|state| state.get(to)).map(Held::of),
        };
        (Key::Remote(to.clone()), Inputs::Remote(inputs))
    })
}

fn federated_servers(view: &View, terms: &Terms) -> Option<(Key, Inputs)> {
    let inputs = servers::Inputs {
        servers: Held::of(&view.servers),
        any: terms.fidelity.any_server || view.federation.contains_key(&view.here),
    };
    terms
        .wan_federation
        .then_some((Key::Servers, Inputs::Servers(inputs)))
}

/// Consul, 1.14 on: only where the mesh entry says so.
fn peerings(view: &View) -> Vec<(Key, Inputs)> {
    let settings = view.entries.mesh.get(&view.here.partition);
    if !settings.is_some_and(|settings| settings.peer_through_mesh_gateways) {
        return Vec::new();
    }
    let mut by_name: BTreeMap<String, Vec<Held<_>>> = BTreeMap::new();
    for peering in view.peerings.values() {
        // A peer that told no address is one that dials us.
        if !peering.server_name.is_empty() && !peering.server_addresses.is_empty() {
            let name = peering
                .server_name
                .trim_end_matches('.')
                .to_ascii_lowercase();
            by_name.entry(name).or_default().push(Held::of(peering));
        }
    }
    let own = peering::Own {
        servers: Held::of(&view.servers),
    };
    std::iter::once((Key::PeeringOwn, Inputs::PeeringOwn(own)))
        .chain(by_name.into_iter().map(|(name, peerings)| {
            let inputs = Inputs::PeeringRemote(peering::Remote { peerings });
            (Key::PeeringRemote(name), inputs)
        }))
        .collect()
}
