//! Redirects and splits that lead back to where they began.

use std::collections::{BTreeMap, BTreeSet};

use super::{Problem, other};
use crate::control::snapshot::Place;
use crate::mesh::entries::{Entries, ServiceSplitter};
use crate::mesh::name::{Name, ServiceName};

/// A step of resolving a service. An empty datacenter is our own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    service: ServiceName,
    subset: String,
    datacenter: Name,
}

/// Finds redirects in a circle. Consul: a redirect to what it is about already leads nowhere and is
/// no circle, so that a service can be redirected to one datacenter by an entry that all share.
pub(super) fn redirects(entries: &Entries, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    // The same services may go in a circle in several datacenters.
    let mut told = BTreeSet::new();
    for resolver in entries.resolvers.values() {
        let mut path: Vec<Target> = Vec::new();
        let mut places: BTreeMap<Target, usize> = BTreeMap::new();
        let mut next = Some(Target {
            service: resolver.service.clone(),
            subset: String::new(),
            datacenter: Name::default(),
        });
        while let Some(target) = next {
            if let Some(&start) = places.get(&target) {
                let circle = path.get(start..).unwrap_or_default();
                let problem = redirect_circle(entries, circle);
                problems.extend(problem.filter(|problem| told.insert(problem.message.clone())));
                break;
            }
            // Where an earlier walk went, this one would find nothing new.
            if !seen.insert(target.clone()) {
                break;
            }
            next = step(entries, &target);
            places.insert(target.clone(), path.len());
            path.push(target);
        }
    }
}

/// Consul: the redirect first, then the default subset, until neither changes anything.
fn step(entries: &Entries, from: &Target) -> Option<Target> {
    let resolver = entries.resolvers.get(&from.service)?;
    if let Some(redirect) = &resolver.redirect {
        if !redirect.peer.as_str().is_empty() || !redirect.sameness_group.is_empty() {
            return None;
        }
        let service = other(
            &from.service,
            &redirect.service,
            &redirect.namespace,
            &redirect.partition,
        );
        let subset = if !redirect.subset.is_empty() {
            redirect.subset.clone()
        } else if service == from.service {
            from.subset.clone()
        } else {
            String::new()
        };
        let datacenter = if redirect.datacenter.as_str().is_empty() {
            from.datacenter.clone()
        } else {
            redirect.datacenter.clone()
        };
        let to = Target {
            service,
            subset,
            datacenter,
        };
        if to != *from {
            return Some(to);
        }
    }
    (from.subset.is_empty() && !resolver.default_subset.is_empty()).then(|| Target {
        subset: resolver.default_subset.clone(),
        ..from.clone()
    })
}

fn redirect_circle(entries: &Entries, circle: &[Target]) -> Option<Problem> {
    let places = circle.iter().filter_map(|target| {
        let resolver = entries.resolvers.get(&target.service)?;
        Some((&resolver.service, &resolver.redirect.as_ref()?.at))
    });
    circle_of("redirects", places)
}

/// Finds splits in a circle. Consul: a share of the service itself or of a subset is not split
/// again.
pub(super) fn splits(entries: &Entries, problems: &mut Vec<Problem>) {
    let mut done: BTreeSet<&ServiceName> = BTreeSet::new();
    for start in entries.splitters.values() {
        // A stack of our own: entries may be as deep as a file is long.
        let mut path: Vec<(&ServiceSplitter, usize)> = vec![(&**start, 0)];
        let mut on_path: BTreeMap<&ServiceName, usize> = BTreeMap::from([(&start.service, 0)]);
        while let Some((splitter, at)) = path.last_mut() {
            let splitter = *splitter;
            let Some(split) = splitter.splits.get(*at) else {
                on_path.remove(&splitter.service);
                done.insert(&splitter.service);
                path.pop();
                continue;
            };
            *at += 1;
            let service = other(
                &splitter.service,
                &split.service,
                &split.namespace,
                &split.partition,
            );
            if service == splitter.service || !split.subset.is_empty() || done.contains(&service) {
                continue;
            }
            if let Some(&begin) = on_path.get(&service) {
                let circle = path.get(begin..).unwrap_or_default();
                problems.extend(split_circle(circle));
            } else if let Some(next) = entries.splitters.get(&service) {
                on_path.insert(&next.service, path.len());
                path.push((&**next, 0));
            }
        }
    }
}

fn split_circle(circle: &[(&ServiceSplitter, usize)]) -> Option<Problem> {
    let places = circle.iter().filter_map(|(splitter, after)| {
        let split = splitter.splits.get(after.checked_sub(1)?)?;
        Some((&splitter.service, &split.at))
    });
    circle_of("splits", places)
}

/// Each service of a circle and where it leads on, told from the first by name, so that it is the
/// same circle wherever it was entered.
fn circle_of<'a>(
    what: &str,
    places: impl Iterator<Item = (&'a ServiceName, &'a Place)>,
) -> Option<Problem> {
    let mut circle: Vec<_> = places.collect();
    let (first, _) = circle
        .iter()
        .enumerate()
        .min_by_key(|(_, (service, _))| *service)?;
    circle.rotate_left(first);
    let (begin, at) = *circle.first()?;
    let mut names: Vec<_> = circle
        .iter()
        .map(|(service, _)| service.to_string())
        .collect();
    names.push(begin.to_string());
    let message = format!("{what} go in a circle: {}", names.join(" -> "));
    let mut problem = Problem::new(at, message, "expected an end to them");
    problem.also = circle
        .iter()
        .skip(1)
        .map(|(service, at)| ((*at).clone(), format!("{service} leads on")))
        .collect();
    Some(problem)
}
