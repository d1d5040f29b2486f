//! `Kind = "service-resolver"`

use std::collections::BTreeMap;
use std::time::Duration;

use super::failover;
use super::fields::{flag, inside, labelled, name, named, text};
use super::load_balancer;
use super::{Head, Scope, filter, proxy};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::mesh::entries::ServiceResolver;
use crate::mesh::entries::resolver::{Redirect, Subset};

pub(super) fn read(head: Head, reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> ServiceResolver {
    let subsets = subsets(reader, scope);
    let redirect_at = reader.all("redirect").next().map(|item| item.key.at);
    let resolver = ServiceResolver {
        service: head.service(),
        default_subset: default_subset(reader, &subsets),
        redirect: redirect(reader, scope),
        failover: failover::read(reader, &subsets, scope),
        subsets,
        connect_timeout: timeout(reader, "connect_timeout"),
        request_timeout: timeout(reader, "request_timeout"),
        load_balancer: load_balancer::read(reader, scope),
        prioritize_by_locality: proxy::prioritize_by_locality(reader),
        meta: head.meta,
        at: head.at,
    };
    if let (Some(_), false, Some(at)) = (
        &resolver.redirect,
        resolver.failover.is_empty(),
        redirect_at,
    ) {
        let message = "`redirect` and `failover` exclude each other";
        let expected = "expected one of them: a redirected service has no instances that fail";
        reader.error(Diagnostic::new(at, message, expected));
    }
    resolver
}

/// Consul: 0 is the usual limit.
fn timeout(reader: &mut Reader<'_, '_>, key: &'static str) -> Option<Duration> {
    let (time, _) = reader.weak_duration(key, false)?;
    (!time.is_zero()).then_some(time)
}

fn subsets(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> BTreeMap<String, Subset> {
    let mut subsets = BTreeMap::new();
    for (name, at, table) in named(reader, "subsets") {
        if !is_subset_name(name) {
            let message = format!("`{name}` is no name of a subset");
            let expected = "expected lower-case letters, digits and inner hyphens, 63 at most";
            reader.error(
                Diagnostic::new(at, message, expected)
                    .help("a subset is a label of the service's server name"),
            );
        }
        let subset = labelled(reader, (table, at), "subset", Some(name), |reader| Subset {
            filter: filter::read(reader, "filter", scope),
            only_passing: flag(reader, "only_passing"),
            at: scope.place(at),
        });
        // The first one stays; a second is told already.
        subsets.entry(name.to_owned()).or_insert(subset);
    }
    subsets
}

fn is_subset_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn default_subset(reader: &mut Reader<'_, '_>, subsets: &BTreeMap<String, Subset>) -> String {
    let Some((name, at)) = reader.text("default_subset") else {
        return String::new();
    };
    if !name.is_empty() && !subsets.contains_key(&name) {
        reader.error(no_subset(&name, at, subsets));
    }
    name
}

/// What is told of a subset that the resolver itself does not have.
pub(super) fn no_subset(name: &str, at: Span, subsets: &BTreeMap<String, Subset>) -> Diagnostic {
    let known: Vec<&str> = subsets.keys().map(String::as_str).collect();
    let expected = match &known[..] {
        [] => "expected none: there are no `subsets`".to_owned(),
        known => format!("expected one of: {}", known.join(", ")),
    };
    let message = format!("there is no subset `{name}`");
    Diagnostic::new(at, message, expected).nearest(name, known.into_iter())
}

fn redirect(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<Redirect> {
    let table = reader.single("redirect")?;
    Some(inside(reader, table, "redirect", |reader| {
        let redirect = target(reader, table.1, scope);
        let redirect = Redirect {
            sameness_group: text(reader, "sameness_group"),
            ..redirect
        };
        check(&redirect, reader);
        redirect
    }))
}

/// The fields that redirects and targets of a failover share.
pub(super) fn target(reader: &mut Reader<'_, '_>, at: Span, scope: &Scope<'_>) -> Redirect {
    let target = Redirect {
        service: name(reader, "service"),
        subset: text(reader, "service_subset"),
        namespace: name(reader, "namespace"),
        partition: name(reader, "partition"),
        datacenter: name(reader, "datacenter"),
        peer: name(reader, "peer"),
        sameness_group: String::new(),
        at: scope.place(at),
    };
    // Consul: of a peer, only the service and its namespace there can be named.
    let given = given(&target);
    for other in ["service_subset", "partition", "datacenter"] {
        if given.contains(&"peer") && given.contains(&other) {
            let message = format!("`peer` and `{other}` exclude each other");
            reader.complain(message, "expected one of them");
        }
    }
    target
}

/// The fields of a target that are given.
pub(super) fn given(target: &Redirect) -> Vec<&'static str> {
    [
        ("service", target.service.as_str()),
        ("service_subset", &target.subset),
        ("namespace", target.namespace.as_str()),
        ("partition", target.partition.as_str()),
        ("datacenter", target.datacenter.as_str()),
        ("peer", target.peer.as_str()),
        ("sameness_group", &target.sameness_group),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .map(|(key, _)| key)
    .collect()
}

fn check(redirect: &Redirect, reader: &mut Reader<'_, '_>) {
    let given = given(redirect);
    if given.is_empty() {
        let message = "a redirect leads nowhere".to_owned();
        reader.complain(message, "expected at least one of: service, datacenter");
    }
    if given.contains(&"service") {
        return;
    }
    for key in ["service_subset", "namespace", "partition", "peer"] {
        if given.contains(&key) {
            let message = format!("a redirect has `{key}` without `service`");
            reader.complain(
                message,
                "expected `service` beside it, if only the same one",
            );
        }
    }
}
