//! The chain of an upstream: from a name to the targets that its resolvers lead to.
//!
//! Consul: a router and splitters choose by request among several targets, in an upstream that
//! speaks http; redirects are followed repeatedly, then the default subset applies; failover is looked
//! up by subset, else under `*`, and each of its targets is resolved likewise but has no failover
//! of its own. What a peer exports is taken as it is: entries here say nothing of it.

use super::{ModeRules, heads};
use crate::mesh::Mesh;
use crate::mesh::entries::ServiceResolver;
use crate::mesh::entries::resolver::{Failover, Redirect};
use crate::mesh::name::{Name, ServiceName};

/// A target before it is known how it is reached.
#[derive(Clone)]
pub(super) struct Hop {
    pub(super) service: ServiceName,
    pub(super) subset: Option<String>,
    /// Of no meaning for a peer's.
    pub(super) datacenter: Name,
    pub(super) peer: Option<Name>,
    /// How the chain came here.
    pub(super) way: Vec<String>,
}

impl Hop {
    fn is(&self, other: &Self) -> bool {
        let here = |hop: &Self| hop.peer.is_none().then(|| hop.datacenter.clone());
        let key = |hop: &Self| (hop.service.clone(), hop.subset.clone(), hop.peer.clone());
        key(self) == key(other) && here(self) == here(other)
    }

    pub(super) fn is_in(&self, others: &[Self]) -> bool {
        others.iter().any(|other| other.is(self))
    }
}

/// Follows the chain from `start`: where it leads, and who takes over, in order.
pub(super) fn compile(
    mesh: &Mesh,
    start: Hop,
    rules: ModeRules,
    notes: &mut Vec<String>,
) -> (Vec<Hop>, Vec<Hop>) {
    let mut targets: Vec<Hop> = Vec::new();
    for hop in heads::of(mesh, start) {
        let hop = settle(mesh, hop, notes);
        if !hop.is_in(&targets) {
            targets.push(hop);
        }
    }
    let mut others: Vec<Hop> = Vec::new();
    for target in &targets {
        for hop in failover(mesh, target, notes) {
            let hop = settle(mesh, hop, notes);
            if !hop.is(target) && !hop.is_in(&others) {
                others.push(hop);
            }
        }
    }
    if !others.is_empty() && rules == ModeRules::V1_8 {
        notes.push(
            "before 1.14 a proxy keeps all targets of a failover in one cluster, as priorities"
                .to_owned(),
        );
    }
    (targets, others)
}

/// The resolver of a target; none speaks of what a peer exports.
pub(super) fn resolver<'m>(mesh: &'m Mesh, hop: &Hop) -> Option<&'m ServiceResolver> {
    let resolver = mesh.entries.resolvers.get(&hop.service);
    resolver.filter(|_| hop.peer.is_none()).map(AsRef::as_ref)
}

/// Follows redirects, then takes the default subset.
fn settle(mesh: &Mesh, mut hop: Hop, notes: &mut Vec<String>) -> Hop {
    let mut seen: Vec<Hop> = Vec::new();
    while let Some(resolver) = resolver(mesh, &hop) {
        let next = match &resolver.redirect {
            Some(redirect) => redirected(&hop, redirect, notes),
            None => hop.clone(),
        };
        if next.is(&hop) {
            return with_default_subset(hop, resolver, notes);
        }
        if next.is_in(&seen) {
            notes.push(format!(
                "the redirects of {} lead in a circle: they are followed no further",
                hop.service
            ));
            return hop;
        }
        seen.push(std::mem::replace(&mut hop, next));
    }
    hop
}

fn redirected(hop: &Hop, redirect: &Redirect, notes: &mut Vec<String>) -> Hop {
    note_group(&redirect.sameness_group, &redirect.at.to_string(), notes);
    let mut next = rewritten(hop, redirect);
    next.way.push(format!("redirect at {}", redirect.at));
    next
}

fn with_default_subset(mut hop: Hop, resolver: &ServiceResolver, notes: &mut Vec<String>) -> Hop {
    let default = &resolver.default_subset;
    if hop.subset.is_none() && !default.is_empty() {
        hop.subset = Some(default.clone());
        hop.way
            .push(format!("default subset {default} at {}", resolver.at));
    }
    if let Some(subset) = &hop.subset
        && !resolver.subsets.contains_key(subset)
    {
        notes.push(format!(
            "the resolver of {} at {} has no subset {subset}: nothing belongs to it",
            hop.service, resolver.at
        ));
    }
    hop
}

/// Who takes over for a target, not yet resolved. A target never takes over for itself.
fn failover(mesh: &Mesh, hop: &Hop, notes: &mut Vec<String>) -> Vec<Hop> {
    let failovers = resolver(mesh, hop).map(|resolver| &resolver.failover);
    let subset = hop.subset.as_deref().unwrap_or_default();
    let chosen = failovers.and_then(|all| all.get(subset).or_else(|| all.get("*")));
    let Some(failover) = chosen else {
        return Vec::new();
    };
    note_group(&failover.sameness_group, &failover.at.to_string(), notes);
    let mut others = listed(hop, failover);
    others.retain(|other| !other.is(hop));
    others
}

fn listed(hop: &Hop, failover: &Failover) -> Vec<Hop> {
    let own = |datacenter: &Name| Redirect {
        service: failover.service.clone(),
        subset: failover.subset.clone(),
        namespace: failover.namespace.clone(),
        partition: Name::default(),
        datacenter: datacenter.clone(),
        peer: Name::default(),
        sameness_group: String::new(),
        at: failover.at.clone(),
    };
    let targets = if !failover.datacenters.is_empty() {
        failover.datacenters.iter().map(own).collect()
    } else if !failover.targets.is_empty() {
        failover.targets.clone()
    } else {
        vec![own(&Name::default())]
    };
    let hops = targets.iter().map(|target| Hop {
        way: vec![format!("failover of {} at {}", hop.service, target.at)],
        ..rewritten(hop, target)
    });
    hops.collect()
}

/// A target with what is said in its place. Consul: a subset belongs to its service, and goes
/// with it.
pub(super) fn rewritten(hop: &Hop, to: &Redirect) -> Hop {
    let said = |name: &Name| (!name.as_str().is_empty()).then(|| name.clone());
    let own = &hop.service;
    let service = ServiceName {
        name: said(&to.service).unwrap_or_else(|| own.name.clone()),
        namespace: said(&to.namespace).unwrap_or_else(|| own.namespace.clone()),
        partition: said(&to.partition).unwrap_or_else(|| own.partition.clone()),
    };
    let peer = said(&to.peer).or_else(|| hop.peer.clone());
    let kept = hop.subset.clone().filter(|_| service.name == own.name);
    let subset = if to.subset.is_empty() {
        kept
    } else {
        Some(to.subset.clone())
    };
    Hop {
        service,
        subset: subset.filter(|_| peer.is_none()),
        datacenter: said(&to.datacenter).unwrap_or_else(|| hop.datacenter.clone()),
        peer,
        way: hop.way.clone(),
    }
}

fn note_group(group: &str, at: &str, notes: &mut Vec<String>) {
    if !group.is_empty() {
        notes.push(format!(
            "sameness group {group} at {at} is not known here: its members are left out"
        ));
    }
}
