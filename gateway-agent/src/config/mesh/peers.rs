//! Peers: peerings and what is imported by them, each once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gathered::PeeringDef;
use crate::config::diagnostic::Diagnostic;
use crate::config::source::Span;
use crate::mesh::catalog::Catalog;
use crate::mesh::name::{Name, ServiceName};

/// Puts peerings into the catalog.
pub(super) fn insert(
    peerings: Vec<PeeringDef>,
    catalog: &mut Catalog,
    errors: &mut Vec<Diagnostic>,
) {
    let mut names: BTreeMap<Name, Span> = BTreeMap::new();
    let mut services: BTreeMap<(Name, ServiceName), Span> = BTreeMap::new();
    for PeeringDef {
        peering,
        at,
        imported,
    } in peerings
    {
        let peer = peering.name.clone();
        if let Some(before) = names.insert(peer.clone(), at) {
            let message = format!("two peerings are named \"{peer}\"");
            errors.push(twice(at, message, "expected another name", before));
            continue;
        }
        for one in imported {
            let key = (peer.clone(), one.name);
            if let Some(before) = services.insert(key.clone(), one.at) {
                let message = format!("two services of peer {peer} are named \"{}\"", key.1);
                errors.push(twice(one.at, message, "expected one block", before));
            }
            let instances = one.instances.into_iter().map(Arc::new).collect();
            catalog.imported.insert(key, instances);
        }
        catalog.peerings.insert(peer, Arc::new(peering));
    }
}

fn twice(at: Span, message: String, expected: &str, before: Span) -> Diagnostic {
    Diagnostic::new(at, message, expected).also(before, "the first one")
}
