//! Where the requests of an upstream may go before any resolver is asked.
//!
//! Consul: only an upstream that speaks http has a router and splitters. A router's routes are
//! followed by one for all other requests, which goes to the service itself; a splitter may name
//! another service that has one of its own, unless it names a subset or a namespace.

use super::chain::{Hop, rewritten};
use crate::control::snapshot::Place;
use crate::mesh::Mesh;
use crate::mesh::entries::Entries;
use crate::mesh::entries::resolver::Redirect;
use crate::mesh::entries::router::RouteDestination;
use crate::mesh::entries::splitter::Split;
use crate::mesh::name::Name;

/// What the router and the splitters of `start` name, in their order; `start` itself without.
pub(super) fn of(mesh: &Mesh, start: Hop) -> Vec<Hop> {
    let http = start.peer.is_none() && Entries::is_http(mesh.entries.protocol(&start.service));
    if !http {
        return vec![start];
    }
    let heads = split(mesh, routes(mesh, &start));
    if heads.is_empty() { vec![start] } else { heads }
}

/// Where the router of a service sends requests.
fn routes(mesh: &Mesh, start: &Hop) -> Vec<Hop> {
    let Some(router) = mesh.entries.routers.get(&start.service) else {
        return vec![start.clone()];
    };
    let routes = (1..).zip(&router.routes).map(|(number, route)| {
        let destination = route.destination.as_ref().map(routed);
        let mut hop = match destination {
            Some(destination) => rewritten(start, &destination),
            None => start.clone(),
        };
        hop.way.push(format!("route {number} at {}", route.at));
        hop
    });
    let mut rest = start.clone();
    rest.way
        .push(format!("no route of the router at {}", router.at));
    routes.chain([rest]).collect()
}

/// Replaces what a splitter splits by its parts, as often as it takes. Each splitter is taken
/// once: met again, its parts are there already, in a circle too.
fn split(mesh: &Mesh, hops: Vec<Hop>) -> Vec<Hop> {
    let mut open: Vec<(Hop, bool)> = hops.into_iter().rev().map(|hop| (hop, true)).collect();
    let mut seen: Vec<Hop> = Vec::new();
    let mut heads = Vec::new();
    while let Some((hop, may_split)) = open.pop() {
        let splitter = mesh.entries.splitters.get(&hop.service);
        let Some(splitter) = splitter.filter(|_| may_split && hop.subset.is_none()) else {
            heads.push(hop);
            continue;
        };
        if hop.is_in(&seen) {
            continue;
        }
        open.extend(splitter.splits.iter().rev().map(|part| {
            let mut next = rewritten(&hop, &shared(part));
            let share = share(part.weight);
            next.way
                .push(format!("{share} by the splitter at {}", part.at));
            let plain = part.subset.is_empty() && part.namespace.as_str().is_empty();
            let elsewhere = next.service != hop.service;
            (next, plain && elsewhere)
        }));
        seen.push(hop);
    }
    heads
}

/// Hundredths of a per cent in words.
fn share(weight: u32) -> String {
    match (weight / 100, weight % 100) {
        (whole, 0) => format!("{whole} %"),
        (whole, rest) => format!("{whole}.{rest:02} %"),
    }
}

fn routed(to: &RouteDestination) -> Redirect {
    let service = (&to.service, &to.namespace, &to.partition);
    within(service, &to.subset, &to.at)
}

fn shared(to: &Split) -> Redirect {
    let service = (&to.service, &to.namespace, &to.partition);
    within(service, &to.subset, &to.at)
}

/// To a service, its namespace and its partition, here.
fn within(service: (&Name, &Name, &Name), subset: &str, at: &Place) -> Redirect {
    let (service, namespace, partition) = service;
    Redirect {
        service: service.clone(),
        subset: subset.to_owned(),
        namespace: namespace.clone(),
        partition: partition.clone(),
        datacenter: Name::default(),
        peer: Name::default(),
        sameness_group: String::new(),
        at: at.clone(),
    }
}
