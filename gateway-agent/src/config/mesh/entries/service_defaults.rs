//! `Kind = "service-defaults"`

use std::net::IpAddr;

use super::fields::{
    balance, block, inside, limits, mesh_gateway, name, passive_health_check, port, protocol,
    refuse_repeated, text,
};
use super::{Head, Scope, proxy, router};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::mesh::entries::ServiceDefaults;
use crate::mesh::entries::router::PathMatch;
use crate::mesh::entries::service_defaults::{
    Destination, Inbound, RateLimit, RateLimits, RouteRateLimit, UpstreamConfig,
    UpstreamConfiguration,
};
use crate::mesh::name::ServiceName;

pub(super) fn read(head: Head, reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> ServiceDefaults {
    // Consul: settings of all services are those of `proxy-defaults`.
    if head.name == "*" {
        let message = "service-defaults are those of one service, not of `*`";
        reader.error(
            Diagnostic::new(head.name_at, message, "expected the name of a service")
                .help("`proxy-defaults` holds for all services"),
        );
    }
    let upstreams_at = reader.all("upstream_config").next().map(|item| item.key.at);
    let defaults = ServiceDefaults {
        service: head.service(),
        protocol: protocol(reader, "protocol"),
        mesh_gateway: mesh_gateway(reader, scope),
        external_sni: text(reader, "external_sni"),
        upstream_config: block(reader, "upstream_config", |reader| {
            upstreams(reader, &head, scope)
        }),
        destination: destination(reader, scope),
        proxy: proxy::settings(reader, scope),
        inbound: inbound(reader),
        meta: head.meta,
        at: head.at,
    };
    if let (Some(_), Some(_), Some(at)) = (
        &defaults.destination,
        &defaults.upstream_config,
        upstreams_at,
    ) {
        let message = "`destination` and `upstream_config` exclude each other";
        let expected = "expected none beside a `destination`: what it names dials nobody";
        reader.error(Diagnostic::new(at, message, expected));
    }
    defaults
}

fn upstreams(reader: &mut Reader<'_, '_>, head: &Head, scope: &Scope<'_>) -> UpstreamConfiguration {
    let mut overrides: Vec<(UpstreamConfig, Span)> = Vec::new();
    for table in reader.tables("overrides") {
        let upstream = inside(reader, table, "an upstream override", |reader| {
            let upstream = upstream(reader, head, table.1, scope);
            if upstream.service.name.as_str().is_empty() {
                reader.missing("name", "expected the upstream's, such as `name = \"db\"`");
            }
            upstream
        });
        overrides.push((upstream, table.1));
    }
    let names = overrides
        .iter()
        .map(|(upstream, at)| match upstream.peer.as_str() {
            "" => (upstream.service.to_string().to_lowercase(), *at),
            peer => {
                let name = format!("{} of peer {peer}", upstream.service);
                (name.to_lowercase(), *at)
            }
        });
    refuse_repeated(reader, "overrides", names);
    let defaults = reader.single("defaults").map(|table| {
        inside(reader, table, "upstream defaults", |reader| {
            if reader.has("name") {
                let message = "upstream defaults have no name".to_owned();
                reader.complain(
                    message,
                    "expected none; `overrides` are for single upstreams",
                );
            }
            upstream(reader, head, table.1, scope)
        })
    });
    UpstreamConfiguration {
        overrides: overrides.into_iter().map(|(one, _)| one).collect(),
        defaults,
    }
}

fn upstream(
    reader: &mut Reader<'_, '_>,
    head: &Head,
    at: Span,
    scope: &Scope<'_>,
) -> UpstreamConfig {
    let service = service(reader, head);
    UpstreamConfig {
        service,
        peer: name(reader, "peer"),
        protocol: protocol(reader, "protocol"),
        // Consul: 0 is the usual limit.
        connect_timeout_ms: reader
            .weak_number("connect_timeout_ms", 0..=u64::MAX)
            .filter(|&limit| limit > 0),
        limits: block(reader, "limits", limits),
        passive_health_check: passive_health_check(reader),
        mesh_gateway: mesh_gateway(reader, scope),
        balance_outbound: balance(reader, "balance_outbound_connections"),
        at: scope.place(at),
    }
}

/// `name`, `namespace` and `partition` of another service; what is not given is as with the entry.
pub(super) fn service(reader: &mut Reader<'_, '_>, head: &Head) -> ServiceName {
    let own = head.service();
    let name = name(reader, "name");
    let or = |given: String, own: &str| {
        if given.is_empty() {
            own.to_owned()
        } else {
            given
        }
    };
    let namespace = or(text(reader, "namespace"), own.namespace.as_str());
    let partition = or(text(reader, "partition"), own.partition.as_str());
    ServiceName::new(name.as_str(), &namespace, &partition)
}

fn destination(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<Destination> {
    let table = reader.single("destination")?;
    Some(inside(reader, table, "a destination", |reader| {
        let mut addresses = Vec::new();
        for (address, at) in reader.texts("addresses") {
            if address.parse::<IpAddr>().is_err() && !is_host(&address) {
                let message = format!("`{address}` is neither an IP address nor a host name");
                let expected = "expected such as \"db.example.com\", without a port or `*`";
                reader.error(Diagnostic::new(at, message, expected));
            }
            addresses.push((address, at));
        }
        refuse_repeated(reader, "addresses", addresses.iter().cloned());
        if addresses.is_empty() {
            reader.missing("addresses", "expected at least one");
        }
        let port = port(reader, "port");
        if !reader.has("port") {
            reader.missing("port", "expected such as `port = 443`");
        }
        Destination {
            addresses: addresses.into_iter().map(|(address, _)| address).collect(),
            port: port.unwrap_or_default(),
            at: scope.place(table.1),
        }
    }))
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    text.len() <= 253 && text.trim_end_matches('.').split('.').all(label)
}

fn inbound(reader: &mut Reader<'_, '_>) -> Inbound {
    let mut milliseconds = |key| {
        reader
            .weak_number(key, 0..=u64::MAX)
            .filter(|&limit| limit > 0)
    };
    Inbound {
        local_connect_timeout_ms: milliseconds("local_connect_timeout_ms"),
        local_request_timeout_ms: milliseconds("local_request_timeout_ms"),
        max_connections: reader
            .weak_number("max_inbound_connections", 0..=u32::MAX)
            .unwrap_or_default(),
        balance: balance(reader, "balance_inbound_connections"),
        max_request_headers_kb: reader.weak_number("max_request_headers_kb", 0..=8192),
        rate_limits: block(reader, "rate_limits", |reader| {
            block(reader, "instance_level", rate_limits)
        })
        .flatten(),
    }
}

fn rate_limits(reader: &mut Reader<'_, '_>) -> RateLimits {
    let all = rate_limit(reader);
    let mut routes = Vec::new();
    for table in reader.tables("routes") {
        routes.push(inside(reader, table, "a rate limit's route", |reader| {
            let path = router::path(reader);
            if path == PathMatch::Any {
                reader.missing(
                    "path",
                    "expected one of: path_exact, path_prefix, path_regex",
                );
            }
            RouteRateLimit {
                path,
                limit: rate_limit(reader),
            }
        }));
    }
    RateLimits { all, routes }
}

fn rate_limit(reader: &mut Reader<'_, '_>) -> RateLimit {
    let mut number = |key| reader.weak_number(key, 0..=u32::MAX).unwrap_or_default();
    RateLimit {
        requests_per_second: number("requests_per_second"),
        requests_max_burst: number("requests_max_burst"),
    }
}
