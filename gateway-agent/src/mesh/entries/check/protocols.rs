//! Routers and splitters need requests; an ingress listener and its services one protocol.

use super::{Problem, other};
use crate::control::snapshot::Place;
use crate::mesh::entries::Entries;
use crate::mesh::name::ServiceName;

pub(super) fn check(entries: &Entries, problems: &mut Vec<Problem>) {
    for router in entries.routers.values() {
        let what = format!("the service-router of {}", router.service);
        if requests(entries, &what, &router.service, &router.at, problems) {
            for to in router.routes.iter().flat_map(|route| &route.destination) {
                let service = other(&router.service, &to.service, &to.namespace, &to.partition);
                requests(entries, &what, &service, &to.at, problems);
            }
        }
    }
    for splitter in entries.splitters.values() {
        let what = format!("the service-splitter of {}", splitter.service);
        if requests(entries, &what, &splitter.service, &splitter.at, problems) {
            for split in &splitter.splits {
                let service = other(
                    &splitter.service,
                    &split.service,
                    &split.namespace,
                    &split.partition,
                );
                requests(entries, &what, &service, &split.at, problems);
            }
        }
    }
    for gateway in entries.ingress.values() {
        for listener in &gateway.listeners {
            let named = listener
                .services
                .iter()
                .filter(|service| service.service.name != *"*");
            for service in named {
                let speaks = entries.protocol(&service.service);
                if !speaks.eq_ignore_ascii_case(&listener.protocol) {
                    let message = format!(
                        "the listener {} of {} is for {}, and {} speaks {speaks}",
                        listener.port, gateway.gateway, listener.protocol, service.service
                    );
                    let problem = Problem::new(&service.at, message, "expected one protocol");
                    problems.push(spoken(entries, &service.service, problem));
                }
            }
        }
    }
}

/// Whether a service has requests that can be told apart; complains if not.
fn requests(
    entries: &Entries,
    what: &str,
    service: &ServiceName,
    at: &Place,
    problems: &mut Vec<Problem>,
) -> bool {
    let protocol = entries.protocol(service);
    if Entries::is_http(protocol) {
        return true;
    }
    let message = format!("{what} needs requests, and {service} speaks {protocol}");
    let problem = Problem::new(at, message, "expected a service of http, http2 or grpc").help(
        format!("set `Protocol = \"http\"` in the service-defaults of {service}"),
    );
    problems.push(spoken(entries, service, problem));
    false
}

/// Shows where the protocol of a service is from.
fn spoken(entries: &Entries, service: &ServiceName, mut problem: Problem) -> Problem {
    if let Some(defaults) = entries.service_defaults.get(service) {
        let told = format!("the service-defaults of {service}");
        problem.also.push((defaults.at.clone(), told));
    }
    problem
}
