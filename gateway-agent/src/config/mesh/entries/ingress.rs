//! `Kind = "ingress-gateway"`

use super::fields::{block, inside, limits, passive_health_check, port, protocol, refuse_repeated};
use super::{Head, Scope, headers, service_defaults, tls};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::mesh::entries::ingress::{
    IngressGateway, IngressLimits, IngressListener, IngressService, IngressTls,
};
use crate::mesh::entries::tls::SdsSource;

pub(super) fn read(head: Head, reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> IngressGateway {
    let tls = block(reader, "tls", |reader| {
        let tls = gateway_tls(reader);
        check_sds(tls.sds.as_ref(), &[], reader);
        tls
    });
    let tls = tls.unwrap_or_default();
    let defaults = block(reader, "defaults", ingress_limits).unwrap_or_default();
    let mut listeners = Vec::new();
    for table in reader.tables("listeners") {
        let listener = inside(reader, table, "a listener", |reader| {
            listener(reader, &head, &tls, (table.1, scope))
        });
        listeners.push((listener, table.1));
    }
    let ports = listeners
        .iter()
        .filter(|(listener, _)| listener.port > 0)
        .map(|(listener, at)| (listener.port, *at));
    refuse_repeated(reader, "port", ports);
    IngressGateway {
        gateway: head.service(),
        tls,
        defaults,
        listeners: listeners
            .into_iter()
            .map(|(listener, _)| listener)
            .collect(),
        meta: head.meta,
        at: head.at,
    }
}

fn gateway_tls(reader: &mut Reader<'_, '_>) -> IngressTls {
    IngressTls {
        enabled: super::fields::flag(reader, "enabled"),
        sds: tls::sds(reader),
        bounds: tls::bounds(reader),
    }
}

/// A certificate needs a name, and a cluster of its own or of an outer level. The outermost level
/// may name a cluster alone.
fn check_sds(own: Option<&SdsSource>, outer: &[Option<&SdsSource>], reader: &mut Reader<'_, '_>) {
    let Some(own) = own else { return };
    let outer_cluster = || outer.iter().flatten().any(|sds| !sds.cluster.is_empty());
    if own.cluster.is_empty() && !outer_cluster() {
        let message = "`sds` names no cluster".to_owned();
        reader.complain(
            message,
            "expected `cluster_name` here or at the gateway's `tls`",
        );
    }
    if own.resource.is_empty() && !outer.is_empty() {
        let message = "`sds` names no certificate".to_owned();
        reader.complain(message, "expected `cert_resource`");
    }
}

fn ingress_limits(reader: &mut Reader<'_, '_>) -> IngressLimits {
    IngressLimits {
        limits: limits(reader),
        passive_health_check: passive_health_check(reader),
    }
}

fn listener(
    reader: &mut Reader<'_, '_>,
    head: &Head,
    gateway: &IngressTls,
    (at, scope): (Span, &Scope<'_>),
) -> IngressListener {
    let given = port(reader, "port");
    if !reader.has("port") {
        reader.missing("port", "expected such as `port = 8080`");
    }
    let protocol = match protocol(reader, "protocol") {
        none if none.is_empty() => "tcp".to_owned(),
        given => given,
    };
    let own = block(reader, "tls", |reader| {
        let own = gateway_tls(reader);
        check_sds(own.sds.as_ref(), &[gateway.sds.as_ref()], reader);
        own
    });
    let level = Level {
        head,
        scope,
        tcp: protocol == "tcp",
        tls: gateway.enabled || own.as_ref().is_some_and(|own| own.enabled),
        sds: [
            own.as_ref().and_then(|own| own.sds.as_ref()),
            gateway.sds.as_ref(),
        ],
    };
    let services = services(reader, &level);
    IngressListener {
        port: given.unwrap_or_default(),
        protocol,
        tls: own,
        services,
        at: scope.place(at),
    }
}

/// What a listener's services depend on.
struct Level<'a> {
    head: &'a Head,
    scope: &'a Scope<'a>,
    tcp: bool,
    tls: bool,
    sds: [Option<&'a SdsSource>; 2],
}

fn services(reader: &mut Reader<'_, '_>, level: &Level<'_>) -> Vec<IngressService> {
    let mut services = Vec::new();
    let mut hosts = Vec::new();
    for table in reader.tables("services") {
        let service = inside(reader, table, "a listener's service", |reader| {
            service(reader, level, table.1, &mut hosts)
        });
        services.push((service, table.1));
    }
    match services.len() {
        0 if !reader.has("services") => {
            reader.missing(
                "services",
                "expected at least one: `services { name = \"web\" }`",
            );
        }
        2.. if level.tcp => {
            let message = "a tcp listener has several services".to_owned();
            let expected = "expected exactly one: tcp does not say which one is meant";
            reader.complain(message, expected);
        }
        _ => {}
    }
    let names = services
        .iter()
        .map(|(service, at)| (service.service.clone(), *at));
    refuse_repeated(reader, "services", names);
    refuse_repeated(reader, "hosts", hosts.into_iter());
    services.into_iter().map(|(service, _)| service).collect()
}

fn service(
    reader: &mut Reader<'_, '_>,
    level: &Level<'_>,
    at: Span,
    all_hosts: &mut Vec<(String, Span)>,
) -> IngressService {
    let hosts = reader.texts("hosts");
    let sds = block(reader, "tls", |reader| {
        let sds = tls::sds(reader);
        check_sds(sds.as_ref(), &level.sds, reader);
        sds
    });
    let service = IngressService {
        service: service_defaults::service(reader, level.head),
        hosts: hosts.iter().map(|(host, _)| host.clone()).collect(),
        sds: sds.flatten(),
        request_headers: headers::changes(reader, "request_headers"),
        response_headers: headers::changes(reader, "response_headers"),
        limits: ingress_limits(reader),
        at: level.scope.place(at),
    };
    check_service(&service, level, reader);
    for (host, at) in &hosts {
        check_host(host, *at, level, reader);
    }
    all_hosts.extend(
        hosts
            .into_iter()
            .map(|(host, at)| (host.to_ascii_lowercase(), at)),
    );
    service
}

fn check_service(service: &IngressService, level: &Level<'_>, reader: &mut Reader<'_, '_>) {
    let wildcard = service.service.name == *"*";
    if service.service.name.as_str().is_empty() {
        reader.missing(
            "name",
            "expected a service, or `*` for all of the listener's protocol",
        );
    }
    if wildcard && level.tcp {
        let message = "`*` stands in a tcp listener".to_owned();
        reader.complain(
            message,
            "expected one service: tcp does not say which one is meant",
        );
    }
    if !service.hosts.is_empty() && (wildcard || level.tcp) {
        let whose = if wildcard {
            "the services of `*`"
        } else {
            "services of a tcp listener"
        };
        let message = format!("{whose} have `hosts`");
        reader.complain(message, "expected none");
    }
    if service.sds.is_some() && service.hosts.is_empty() {
        let message = "a service has its own certificate and no `hosts`".to_owned();
        reader.complain(message, "expected the hosts that it is shown for");
    }
    let changes = [&service.request_headers, &service.response_headers];
    if level.tcp && changes.iter().any(|changes| !changes.is_empty()) {
        let message = "a service of a tcp listener changes headers".to_owned();
        reader.complain(message, "expected no such change: tcp has no headers");
    }
}

fn check_host(host: &str, at: Span, level: &Level<'_>, reader: &mut Reader<'_, '_>) {
    let rest = host.strip_prefix("*.").unwrap_or(host);
    let wrong = if host == "*" {
        level.tls.then_some((
            "the host `*` cannot be in a certificate".to_owned(),
            "expected names, since the listener has TLS",
        ))
    } else if rest.contains('*') || rest.is_empty() {
        Some((
            format!("`{host}` is no host"),
            "expected a name, or `*.` before one; `*` stands only for the leftmost label",
        ))
    } else {
        None
    };
    if let Some((message, expected)) = wrong {
        reader.error(Diagnostic::new(at, message, expected));
    }
}
