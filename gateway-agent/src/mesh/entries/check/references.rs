//! References to subsets and peers.

use std::collections::BTreeSet;

use super::{Problem, other};
use crate::control::snapshot::Place;
use crate::mesh::entries::exported::Consumer;
use crate::mesh::entries::resolver::{Failover, Redirect};
use crate::mesh::entries::{Entries, ServiceResolver};
use crate::mesh::name::{Name, ServiceName};

pub(super) fn check(entries: &Entries, peers: &BTreeSet<Name>, problems: &mut Vec<Problem>) {
    let mut references = References {
        entries,
        peers,
        problems,
    };
    for resolver in entries.resolvers.values() {
        references.resolver(resolver);
    }
    for splitter in entries.splitters.values() {
        for split in &splitter.splits {
            let service = other(
                &splitter.service,
                &split.service,
                &split.namespace,
                &split.partition,
            );
            references.subset("a split", &service, &split.subset, &split.at);
        }
    }
    for router in entries.routers.values() {
        for to in router.routes.iter().flat_map(|route| &route.destination) {
            let service = other(&router.service, &to.service, &to.namespace, &to.partition);
            references.subset("a route", &service, &to.subset, &to.at);
        }
    }
    for export in entries.exported.values().flat_map(|entry| &entry.services) {
        for consumer in &export.consumers {
            if let Consumer::Peer(peer) = consumer {
                let what = format!("the export of {}", export.service);
                references.peer(&what, peer, &export.at);
            }
        }
    }
}

struct References<'a> {
    entries: &'a Entries,
    peers: &'a BTreeSet<Name>,
    problems: &'a mut Vec<Problem>,
}

impl References<'_> {
    fn resolver(&mut self, resolver: &ServiceResolver) {
        if let Some(redirect) = &resolver.redirect {
            self.target("a redirect", &resolver.service, redirect);
        }
        for failover in resolver.failover.values() {
            self.failover(&resolver.service, failover);
        }
    }

    fn failover(&mut self, from: &ServiceName, failover: &Failover) {
        let service = other(
            from,
            &failover.service,
            &failover.namespace,
            &Name::default(),
        );
        self.subset("a failover", &service, &failover.subset, &failover.at);
        for target in &failover.targets {
            self.target("a failover", from, target);
        }
    }

    fn target(&mut self, what: &str, from: &ServiceName, target: &Redirect) {
        if !target.peer.as_str().is_empty() {
            self.peer(&format!("{what} of {from}"), &target.peer, &target.at);
            // Subsets of a peer are its own affair.
            return;
        }
        let service = other(from, &target.service, &target.namespace, &target.partition);
        self.subset(what, &service, &target.subset, &target.at);
    }

    fn subset(&mut self, what: &str, service: &ServiceName, subset: &str, at: &Place) {
        let resolver = self.entries.resolvers.get(service);
        let known = resolver.map(|resolver| &resolver.subsets);
        if subset.is_empty() || known.is_some_and(|known| known.contains_key(subset)) {
            return;
        }
        let message =
            format!("{what} leads to the subset `{subset}`, which {service} does not have");
        let names: Vec<_> = known
            .iter()
            .flat_map(|known| known.keys().map(String::as_str))
            .collect();
        let expected = match &names[..] {
            [] => format!("expected none: no service-resolver gives {service} subsets"),
            names => format!("expected one of: {}", names.join(", ")),
        };
        let mut problem = Problem::new(at, message, expected);
        if let Some(resolver) = resolver {
            let told = format!("the service-resolver of {service}");
            problem.also.push((resolver.at.clone(), told));
        }
        self.problems.push(problem);
    }

    fn peer(&mut self, what: &str, peer: &Name, at: &Place) {
        // A `*` is told where it is read.
        if self.peers.contains(peer) || *peer == *"*" {
            return;
        }
        let message = format!("{what} names the peer `{peer}`, which there is no peering with");
        let names: Vec<_> = self.peers.iter().map(Name::as_str).collect();
        let expected = match &names[..] {
            [] => "expected none: there are no peerings".to_owned(),
            names => format!("expected one of: {}", names.join(", ")),
        };
        let help = format!("declare it: `peering \"{peer}\" {{ }}`");
        self.problems
            .push(Problem::new(at, message, expected).help(help));
    }
}
