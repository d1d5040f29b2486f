//! `failover { "*" { ... } }` of a resolver.

use std::collections::BTreeMap;

use super::fields::{inside, labelled, name, named, text};
use super::resolver::{given, no_subset, target};
use super::{Scope, proxy};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::mesh::entries::resolver::{Failover, Redirect, Subset};
use crate::mesh::name::Name;

pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    subsets: &BTreeMap<String, Subset>,
    scope: &Scope<'_>,
) -> BTreeMap<String, Failover> {
    let mut failovers = BTreeMap::new();
    for (subset, at, table) in named(reader, "failover") {
        if subset != "*" && !subsets.contains_key(subset) {
            reader.error(no_subset(subset, at, subsets).help("`*` stands for all"));
        }
        let failover = labelled(reader, (table, at), "failover", Some(subset), |reader| {
            let failover = one(reader, at, scope);
            check(&failover, reader);
            failover
        });
        failovers.entry(subset.to_owned()).or_insert(failover);
    }
    failovers
}

fn one(reader: &mut Reader<'_, '_>, at: Span, scope: &Scope<'_>) -> Failover {
    let policy = proxy::failover_policy(reader, "policy");
    Failover {
        service: name(reader, "service"),
        subset: text(reader, "service_subset"),
        namespace: name(reader, "namespace"),
        datacenters: datacenters(reader),
        targets: targets(reader, scope),
        policy_mode: policy.mode,
        regions: policy.regions,
        sameness_group: text(reader, "sameness_group"),
        at: scope.place(at),
    }
}

fn datacenters(reader: &mut Reader<'_, '_>) -> Vec<Name> {
    let mut datacenters = Vec::new();
    for (name, at) in reader.texts("datacenters") {
        if name.is_empty() {
            let message = "a datacenter of a failover has no name";
            reader.error(Diagnostic::new(at, message, "expected a name"));
        }
        datacenters.push(Name::new(&name));
    }
    datacenters
}

fn targets(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Vec<Redirect> {
    let mut targets = Vec::new();
    for table in reader.tables("targets") {
        targets.push(inside(reader, table, "a failover's target", |reader| {
            let target = target(reader, table.1, scope);
            if given(&target).is_empty() {
                let message = "a failover's target is the service itself".to_owned();
                let expected = "expected one of: service, service_subset, datacenter, peer";
                reader.complain(message, expected);
            }
            target
        }));
    }
    targets
}

fn check(failover: &Failover, reader: &mut Reader<'_, '_>) {
    let given: Vec<&str> = [
        ("service", failover.service.as_str().is_empty()),
        ("service_subset", failover.subset.is_empty()),
        ("namespace", failover.namespace.as_str().is_empty()),
        ("datacenters", failover.datacenters.is_empty()),
        ("targets", failover.targets.is_empty()),
        ("sameness_group", failover.sameness_group.is_empty()),
    ]
    .into_iter()
    .filter(|(_, empty)| !empty)
    .map(|(key, _)| key)
    .collect();
    if given.is_empty() {
        let message = "a failover leads nowhere".to_owned();
        let expected = "expected one of: service, service_subset, namespace, datacenters, targets";
        reader.complain(message, expected);
    }
    for only in ["targets", "sameness_group"] {
        let others: Vec<_> = given.iter().filter(|&&key| key != only).copied().collect();
        if given.contains(&only) && !others.is_empty() && !others.contains(&"targets") {
            let message = format!("`{only}` of a failover excludes `{}`", others.join("`, `"));
            reader.complain(message, "expected one way to say where it leads");
        }
    }
}
