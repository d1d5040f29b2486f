//! Where the connections of an exported service end up: its discovery chain, cut down to what a
//! passthrough follows.
//!
//! Consul compiles the chain of a tcp service from resolvers alone: redirects first, then the
//! default subset. Failover is ignored, since the gateway takes the one target. Routers and
//! splitters need a look at requests and are none of this.

use std::collections::BTreeSet;

use super::View;
use super::held::Held;
use crate::control::snapshot::Place;
use crate::mesh::entries::ServiceResolver;
use crate::mesh::entries::resolver::Redirect;
use crate::mesh::name::{Name, ServiceName};

/// The end of a chain.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) service: ServiceName,
    /// Empty: all instances.
    pub(super) subset: String,
    pub(super) resolver: Option<Held<ServiceResolver>>,
    /// The redirects on the way.
    pub(super) path: Vec<Place>,
}

/// Why a chain has no end here.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DeadEnd {
    pub(super) why: String,
    pub(super) at: Place,
}

/// Follows the chain of a service.
pub(super) fn follow(view: &View, service: &ServiceName) -> Result<Target, DeadEnd> {
    let mut target = Target {
        service: service.clone(),
        subset: String::new(),
        resolver: None,
        path: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    loop {
        let resolver = view.entries.resolvers.get(&target.service);
        target.resolver = resolver.map(Held::of);
        let redirect = resolver.and_then(|resolver| resolver.redirect.as_ref());
        let Some(redirect) = redirect else {
            break;
        };
        let (service, subset) = redirected(view, &target, redirect)?;
        // Consul: a redirect to where one already is ends the search.
        if (&service, &subset) == (&target.service, &target.subset) {
            break;
        }
        if !seen.insert((target.service.clone(), target.subset.clone())) {
            return Err(dead(
                redirect,
                "its redirects go round in a circle".to_owned(),
            ));
        }
        target.path.push(redirect.at.clone());
        (target.service, target.subset) = (service, subset);
    }
    with_subset(target)
}

/// Consul: an empty field of a redirect means "as it was"; another service starts without subset.
fn redirected(
    view: &View,
    from: &Target,
    redirect: &Redirect,
) -> Result<(ServiceName, String), DeadEnd> {
    let here = &view.here;
    if !redirect.peer.as_str().is_empty() {
        let why = format!("it is redirected to the peer {}", redirect.peer);
        return Err(dead(redirect, why));
    }
    if !redirect.sameness_group.is_empty() {
        let why = format!("it is redirected to the group {}", redirect.sameness_group);
        return Err(dead(redirect, why));
    }
    if !redirect.datacenter.as_str().is_empty() && redirect.datacenter != here.datacenter {
        let why = format!("it is redirected to the datacenter {}", redirect.datacenter);
        return Err(dead(redirect, why));
    }
    let or = |told: &Name, former: &Name| {
        if told.as_str().is_empty() {
            former
        } else {
            told
        }
        .clone()
    };
    let service = ServiceName {
        name: or(&redirect.service, &from.service.name),
        namespace: or(&redirect.namespace, &from.service.namespace),
        partition: or(&redirect.partition, &from.service.partition),
    };
    if service.partition != here.partition {
        let why = format!("it is redirected to the partition {}", service.partition);
        return Err(dead(redirect, why));
    }
    let subset = if !redirect.subset.is_empty() {
        redirect.subset.clone()
    } else if service.name == from.service.name {
        from.subset.clone()
    } else {
        String::new()
    };
    Ok((service, subset))
}

/// Consul: the default subset comes last, and a subset that is not there is an error.
fn with_subset(mut target: Target) -> Result<Target, DeadEnd> {
    let resolver = target.resolver.as_deref();
    let at = resolver.map(|resolver| &resolver.at);
    let Some(at) = at.or_else(|| target.path.last()).cloned() else {
        // Neither resolver nor redirect, so nothing that could name a subset.
        return Ok(target);
    };
    if let Some(resolver) = resolver.filter(|_| target.subset.is_empty()) {
        target.subset = resolver.default_subset.clone();
    }
    let known = resolver.is_some_and(|resolver| resolver.subsets.contains_key(&target.subset));
    if target.subset.is_empty() || known {
        return Ok(target);
    }
    let why = format!("service {} has no subset {}", target.service, target.subset);
    Err(DeadEnd { why, at })
}

fn dead(redirect: &Redirect, why: String) -> DeadEnd {
    DeadEnd {
        why,
        at: redirect.at.clone(),
    }
}
