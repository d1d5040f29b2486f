//! Reach: the addresses and ports by which services are reached, where definitions leave them out.

use std::collections::{HashMap, HashSet};

use super::assemble::Stand;
use super::nodes::Nodes;
use super::scope::Realm;
use crate::config::diagnostic::Diagnostic;

/// Every service can be reached at its own address or its node's.
pub(super) fn addresses(stands: &mut [Stand], nodes: &Nodes<'_>, errors: &mut Vec<Diagnostic>) {
    for Stand { node, definition } in stands {
        let Some(node) = nodes.get(*node) else {
            continue;
        };
        let service = &mut definition.service;
        if !service.address.is_empty() {
            continue;
        }
        let on_node = !node.node.address.is_empty();
        if definition.sidecar && !(on_node && node.written) {
            service.address.clone_from(&definition.fallback_address);
        }
        // Gateways may be known to others by their tagged addresses only; the application of a
        // sidecar without an address is told.
        if !on_node && !definition.sidecar && service.tagged.is_empty() {
            let id = &service.id;
            let message = format!("neither service \"{id}\" nor its node has an address");
            let expected = "expected `address = \"10.0.0.5\"`, or `node = \"name\"`";
            errors.push(Diagnostic::new(definition.at, message, expected));
        }
    }
}

/// Ports of sidecars that have none: the first free ones, in the order of the text. Services at
/// addresses of their own do not meet, even on one node.
pub(super) fn ports(stands: &mut [Stand], errors: &mut Vec<Diagnostic>) {
    // Consul: `sidecar_min_port` to `sidecar_max_port`.
    const FIRST: u16 = 21_000;
    const LAST: u16 = 21_255;
    let host = |Stand { node, definition }: &Stand| {
        (definition.realm, *node, definition.service.address.clone())
    };
    let mut used: HashMap<(Realm, usize, String), HashSet<u16>> = HashMap::new();
    for stand in stands.iter().filter(|stand| !stand.definition.wants_port) {
        let ports = used.entry(host(stand)).or_default();
        ports.insert(stand.definition.service.port);
    }
    let waiting = stands.iter_mut();
    for stand in waiting.filter(|stand| stand.definition.wants_port) {
        let used = used.entry(host(stand)).or_default();
        let definition = &mut stand.definition;
        match (FIRST..=LAST).find(|port| !used.contains(port)) {
            Some(port) => {
                used.insert(port);
                definition.service.port = port;
            }
            None => {
                let message = "no port is left for the sidecar";
                let wrong = Diagnostic::new(definition.at, message, "expected a `port` here");
                errors.push(wrong.help(
                    "ports 21000 to 21255 of a node are given to sidecars without one: \
                     say `port`, or to which `node` each service belongs",
                ));
            }
        }
    }
}
