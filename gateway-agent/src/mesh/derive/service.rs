//! A service here: its plain name, and one name per subset of its resolver.
//!
//! Consul: redirect and failover of the resolver play no role, the dialing proxy follows them and
//! asks for the name of where they lead.

use std::sync::Arc;
use std::time::Duration;

use super::draft::{Draft, count, places};
use super::endpoints::{self, Endpoints};
use super::held::Held;
use super::subject::Asked;
use super::terms::Terms;
use crate::mesh::catalog::Instance;
use crate::mesh::entries::ServiceResolver;
use crate::mesh::entries::resolver::{LoadPolicy, Subset};
use crate::mesh::filter::Filter;
use crate::mesh::name::ServiceName;
use crate::mesh::route::{MeshBalance, Reason, Role};
use crate::mesh::sni;

/// What the routes of a service are derived from.
#[derive(Debug, PartialEq)]
pub(super) struct Inputs {
    pub(super) service: ServiceName,
    pub(super) instances: Held<[Arc<Instance>]>,
    pub(super) resolver: Option<Held<ServiceResolver>>,
}

impl Inputs {
    pub(super) fn derive(&self, terms: &Terms, draft: &mut Draft) {
        // Consul: a resolver of a service without instances makes nothing.
        if self.instances.is_empty() {
            return;
        }
        let resolver = self.resolver.as_deref();
        let default = resolver.and_then(|resolver| default_subset(resolver, draft));
        self.add(None, default, terms, draft);
        for (name, subset) in resolver.iter().flat_map(|resolver| &resolver.subsets) {
            self.add(Some(name), Some((name, subset)), terms, draft);
        }
    }

    /// Adds the route of the plain name, or of a subset's name.
    fn add(
        &self,
        label: Option<&str>,
        part: Option<(&str, &Subset)>,
        terms: &Terms,
        draft: &mut Draft,
    ) {
        let resolver = self.resolver.as_deref();
        let (endpoints, reason) = select(&self.service, &self.instances, part, terms, draft);
        let name = sni::service(
            &self.service,
            label,
            &terms.here.datacenter,
            &terms.trust_domain,
        );
        let role = match label {
            None => Role::LocalService,
            Some(_) => Role::LocalSubset,
        };
        let mut reason = reason;
        reason
            .entries
            .extend(resolver.map(|resolver| resolver.at.clone()));
        let mut route = endpoints.into_route(terms.route(name, role, reason));
        route.service = Some(self.service.clone());
        route.subset = part.map(|(name, _)| name.into());
        route.balance = balance(resolver, draft);
        if let Some(timeout) = connect_timeout(resolver) {
            route.connect_timeout = timeout;
        }
        draft.add(route);
    }
}

/// The subset that the plain name stands for.
pub(super) fn default_subset<'a>(
    resolver: &'a ServiceResolver,
    draft: &mut Draft,
) -> Option<(&'a str, &'a Subset)> {
    let name = resolver.default_subset.as_str();
    if name.is_empty() {
        return None;
    }
    let found = resolver.subsets.get(name);
    if found.is_none() {
        let text = format!(
            "service {} has no subset {name}, its default one: all instances are used",
            resolver.service
        );
        draft.note(text, vec![resolver.at.clone()]);
    }
    found.map(|subset| (name, subset))
}

/// The endpoints of a service or of one part of it, and why.
pub(super) fn select(
    service: &ServiceName,
    instances: &[Arc<Instance>],
    part: Option<(&str, &Subset)>,
    terms: &Terms,
    draft: &mut Draft,
) -> (Endpoints, Reason) {
    let here = &terms.here.datacenter;
    let all = count(instances.len(), "instance");
    let Some((name, subset)) = part else {
        let reason = Reason {
            rule: format!("service {service} has {all} in {here}").into(),
            entries: places(instances.iter().map(|instance| &**instance)).collect(),
        };
        return (endpoints::local(instances, false, terms, draft), reason);
    };
    let chosen = matching(service, instances, name, subset, draft);
    let number = chosen.len();
    let reason = Reason {
        rule: format!("subset {name} of service {service} has {number} of {all} in {here}").into(),
        entries: std::iter::once(subset.at.clone())
            .chain(places(chosen.iter().map(|instance| &***instance)))
            .collect(),
    };
    (
        endpoints::local(chosen, subset.only_passing, terms, draft),
        reason,
    )
}

/// The instances that a subset's filter lets through. Consul: each proxy's own registration is
/// asked, not that of the application behind it.
fn matching<'a>(
    service: &ServiceName,
    instances: &'a [Arc<Instance>],
    name: &str,
    subset: &Subset,
    draft: &mut Draft,
) -> Vec<&'a Arc<Instance>> {
    if subset.filter.trim().is_empty() {
        return instances.iter().collect();
    }
    let filter = match Filter::parse(&subset.filter) {
        Ok(filter) => filter,
        Err(why) => {
            let text =
                format!("the filter of subset {name} of {service} lets nothing through: {why}");
            draft.note(text, vec![subset.at.clone()]);
            return Vec::new();
        }
    };
    let chosen: Vec<_> = instances
        .iter()
        .filter(|instance| filter.matches(&Asked::new(instance)))
        .collect();
    if chosen.is_empty() && !instances.is_empty() {
        let hint = other_case(&subset.filter, instances)
            .map(|key| format!("; its instances have the key `{key}`, and case counts"))
            .unwrap_or_default();
        let text = format!("no instance of service {service} is in its subset {name}{hint}");
        draft.note(text, vec![subset.at.clone()]);
    }
    chosen
}

/// A metadata key that the filter names in another case only.
fn other_case<'a>(filter: &str, instances: &'a [Arc<Instance>]) -> Option<&'a str> {
    let folded = filter.to_ascii_lowercase();
    instances
        .iter()
        .flat_map(|instance| {
            instance
                .service
                .meta
                .keys()
                .chain(instance.node.meta.keys())
        })
        .find(|key| !filter.contains(*key) && folded.contains(&key.to_ascii_lowercase()))
        .map(String::as_str)
}

/// Consul: a positive time of the resolver goes before the gateway's.
pub(super) fn connect_timeout(resolver: Option<&ServiceResolver>) -> Option<Duration> {
    resolver?
        .connect_timeout
        .filter(|timeout| !timeout.is_zero())
}

/// Consul, 1.9 on: what needs a look at requests is dropped without a word; here it is said.
pub(super) fn balance(resolver: Option<&ServiceResolver>, draft: &mut Draft) -> MeshBalance {
    let told = resolver.and_then(|resolver| {
        let balancer = resolver.load_balancer.as_ref()?;
        Some((resolver, balancer))
    });
    let Some((resolver, balancer)) = told else {
        return MeshBalance::default();
    };
    match balancer.policy {
        LoadPolicy::Unset | LoadPolicy::RoundRobin => MeshBalance::RoundRobin,
        LoadPolicy::Random => MeshBalance::Random,
        LoadPolicy::LeastRequest => {
            MeshBalance::LeastRequest(balancer.choice_count.filter(|count| *count > 0))
        }
        LoadPolicy::RingHash | LoadPolicy::Maglev => {
            let text = format!(
                "the load balancer of service {} goes by requests, which a mesh gateway does not \
                 see: its endpoints are taken in turn",
                resolver.service
            );
            draft.note(text, vec![balancer.at.clone()]);
            MeshBalance::RoundRobin
        }
    }
}
