//! Assemble: follows the references between definitions and makes the catalog of them.
//!
//! Every look-up is by a table: ten thousand instances take no longer each than ten.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::gathered::{Gathered, ServiceDef};
use super::health::{self, Found};
use super::nodes::Nodes;
use super::scope::Realm;
use super::{peers, reach};
use crate::config::diagnostic::Diagnostic;
use crate::config::source::{Sources, Span};
use crate::mesh::catalog::{Catalog, Instance, Kind};
use crate::mesh::entries::Entries;
use crate::mesh::name::Locality;

/// The host that the files are on.
pub(super) struct Host<'h> {
    pub(super) sources: &'h Sources,
    pub(super) here: &'h Locality,
    /// Its address, as far as it is known; may be empty.
    pub(super) address: &'h str,
}

/// Makes the catalog. It means something only without errors.
pub(super) fn catalog(
    mut gathered: Gathered,
    entries: &Entries,
    host: &Host<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Catalog {
    let mut nodes = Nodes::new(std::mem::take(&mut gathered.nodes), host, errors);
    // In the order of the text, so that of two the second is the one too many.
    gathered
        .services
        .sort_by_key(|service| service.at.range().start);
    gathered.checks.sort_by_key(|check| check.at.range().start);
    let mut services = place(std::mem::take(&mut gathered.services), &mut nodes, errors);
    reach::addresses(&mut services, &nodes, errors);
    reach::ports(&mut services, errors);
    let checks = std::mem::take(&mut gathered.checks);
    let found = health::attach(checks, &mut services, &mut nodes, errors);
    let (instances, federation) = instances(&services, &nodes, &found, host, errors);

    let known = gathered.localities.iter().cloned();
    let known = known.chain([host.here.clone()]);
    let mut catalog = Catalog::new(instances, known, entries);
    catalog.federation = by_locality(federation, &gathered.federation);
    peers::insert(gathered.peerings, &mut catalog, errors);
    catalog
}

/// A service on its node.
pub(super) struct Stand {
    pub(super) node: usize,
    pub(super) definition: ServiceDef,
}

/// Puts services on their nodes, each ID once on a node.
fn place(
    definitions: Vec<ServiceDef>,
    nodes: &mut Nodes<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Stand> {
    let mut stands = Vec::with_capacity(definitions.len());
    let mut ids: HashMap<(Realm, usize, String), (Span, bool)> = HashMap::new();
    for definition in definitions {
        let whereabouts = (definition.realm, &definition.locality);
        // The sidecar of a lost service is lost with it, without another word.
        let mut unheard = Vec::new();
        let heard = if definition.sidecar {
            &mut unheard
        } else {
            &mut *errors
        };
        let Some(node) = nodes.find(&definition.home, whereabouts, definition.at, heard) else {
            continue;
        };
        let key = (
            definition.realm,
            node,
            definition.service.id.to_ascii_lowercase(),
        );
        let this = (definition.at, definition.sidecar);
        match ids.get(&key) {
            None => {
                ids.insert(key, this);
                stands.push(Stand { node, definition });
            }
            // Their applications have the same ID, which is told.
            Some((_, true)) if definition.sidecar => {}
            Some((before, _)) => {
                let id = &definition.service.id;
                let message = format!(
                    "two services of {} have the ID \"{id}\"",
                    nodes.called(node)
                );
                let again = Diagnostic::new(definition.at, message, "expected another `id`");
                errors.push(again.also(*before, "the first one"));
            }
        }
    }
    stands
}

type Instances = Vec<Arc<Instance>>;

/// The instances of catalogs, and those of federation states.
fn instances(
    stands: &[Stand],
    nodes: &Nodes<'_>,
    found: &Found,
    host: &Host<'_>,
    errors: &mut Vec<Diagnostic>,
) -> (Instances, Instances) {
    let shared: Vec<_> = nodes
        .list
        .iter()
        .map(|node| Arc::new(node.node.clone()))
        .collect();
    let (mut catalog, mut federation) = (Vec::with_capacity(stands.len()), Vec::new());
    for (number, Stand { node, definition }) in stands.iter().enumerate() {
        let Some(shared) = shared.get(*node) else {
            continue;
        };
        let instance = Arc::new(Instance {
            node: Arc::clone(shared),
            service: Arc::new(definition.service.clone()),
            checks: found.of(number, *node),
            peer: None,
            at: host.sources.place(definition.at),
        });
        if definition.realm == Realm::Catalog {
            catalog.push(instance);
            continue;
        }
        if definition.service.kind != Kind::MeshGateway {
            let message = "a federation state holds mesh gateways only";
            let expected = "expected `kind = \"mesh-gateway\"`";
            errors.push(Diagnostic::new(definition.at, message, expected));
        }
        federation.push(instance);
    }
    (catalog, federation)
}

/// Federation states, sorted by node and ID; an empty one is one, too.
fn by_locality(
    instances: Vec<Arc<Instance>>,
    known: &[Locality],
) -> BTreeMap<Locality, Arc<[Arc<Instance>]>> {
    let known = known.iter().map(|locality| (locality.clone(), Vec::new()));
    let mut states: BTreeMap<Locality, Instances> = known.collect();
    for instance in instances {
        states
            .entry(instance.locality())
            .or_default()
            .push(instance);
    }
    let sorted = |mut state: Instances| {
        state.sort_by_cached_key(|one| (one.node.name.clone(), one.service.id.clone()));
        state.into()
    };
    states
        .into_iter()
        .map(|(locality, state)| (locality, sorted(state)))
        .collect()
}
