//! `proxy { ... }` of a service definition, and its upstreams.

use std::collections::HashMap;

use super::fields::what;
use super::scope::Scope;
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::syntax::Table;
use crate::mesh::catalog::{Proxy, Upstream, UpstreamKind};
use crate::mesh::name::Name;

/// A proxy as written, and where those settings stand that not every kind may have.
#[derive(Default)]
pub(super) struct ProxyDef {
    pub(super) proxy: Proxy,
    pub(super) at: Span,
    /// Settings that only the proxy of an application has, as far as they are given.
    pub(super) of_applications: Vec<(&'static str, Span)>,
    pub(super) destination: Option<Span>,
}

/// Settings that a gateway may not have (Consul: it serves no application of its own).
const OF_APPLICATIONS: &[&str] = &[
    "destination_service_name",
    "destination_service_id",
    "local_service_address",
    "local_service_port",
    "local_service_socket_path",
    "upstreams",
];

/// Reads the block of a service or sidecar, if it is given.
pub(super) fn read(outer: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<ProxyDef> {
    let (table, at) = outer.single("proxy")?;
    let mut reader = Reader::folded(table, at, what("proxy", None), outer.errors());
    let of_applications = OF_APPLICATIONS
        .iter()
        .filter_map(|&key| reader.all(key).next().map(|item| (key, item.key.at)))
        .collect();
    let destination = reader.name("destination_service_name");
    let mode = reader.text("mode");
    let mut proxy = Proxy {
        destination_service: destination
            .as_ref()
            .map_or_else(Name::default, |(name, _)| name.clone()),
        destination_id: plain(&mut reader, "destination_service_id"),
        local_service_address: reader.host("local_service_address"),
        local_service_port: reader.port("local_service_port"),
        local_service_socket_path: plain(&mut reader, "local_service_socket_path"),
        mode: String::new(),
        mesh_gateway: reader.gateway_mode(scope),
        upstreams: Vec::new(),
        config: reader.opaque("config"),
    };
    if let Some((mode, at)) = mode.filter(|(mode, _)| !mode.is_empty()) {
        reader.as_word(&mode, at, "mode", &[("direct", ()), ("transparent", ())]);
        proxy.mode = mode;
    }
    proxy.upstreams = upstreams(&mut reader, scope, &proxy.mode);
    transparent_proxy(&mut reader);
    expose(&mut reader);
    reader.ignored(&["access_logs", "envoy_extensions", "mutual_tls_mode"]);
    reader.finish();
    Some(ProxyDef {
        proxy,
        at,
        of_applications,
        destination: destination.map(|(_, at)| at),
    })
}

fn plain(reader: &mut Reader<'_, '_>, key: &'static str) -> String {
    reader.text(key).map_or_else(String::new, |(text, _)| text)
}

fn upstreams(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, mode: &str) -> Vec<Upstream> {
    let mut upstreams = Vec::new();
    let mut bound: HashMap<String, Span> = HashMap::new();
    for (table, at) in reader.tables("upstreams") {
        let Some(upstream) = upstream(table, at, scope, mode, reader.errors()) else {
            continue;
        };
        let bind = match &*upstream.local_bind_socket_path {
            "" if upstream.local_bind_port == 0 => None,
            "" => Some(format!(
                "{}:{}",
                upstream.local_bind_address, upstream.local_bind_port
            )),
            path => Some(path.to_owned()),
        };
        if let Some(bind) = bind
            && let Some(before) = bound.insert(bind.clone(), at)
        {
            let message = format!("two upstreams listen at {bind}");
            let again = Diagnostic::new(at, message, "expected another port or path");
            reader.error(again.also(before, "the first one"));
        }
        upstreams.push(upstream);
    }
    upstreams
}

fn upstream(
    table: &Table<'_>,
    at: Span,
    scope: &Scope<'_>,
    mode: &str,
    errors: &mut Vec<Diagnostic>,
) -> Option<Upstream> {
    let label = super::fields::label(table, &["destination_name", "DestinationName"]);
    let mut reader = Reader::folded(table, at, what("upstream", label), errors);
    let given = reader.has("destination_name");
    let name = reader.name("destination_name");
    if name.is_none() && (!given || label == Some("")) {
        reader.missing("destination_name", "expected the service that it leads to");
    }
    let kind = reader.text("destination_type");
    let kind = kind
        .filter(|(text, _)| !text.is_empty())
        .and_then(|(text, at)| reader.as_word(&text, at, "destination_type", UPSTREAM_KINDS));
    let mut named = |key| reader.name(key).unwrap_or_default();
    let (namespace, _) = named("destination_namespace");
    let (partition, _) = named("destination_partition");
    let (peer, peer_at) = named("destination_peer");
    let (datacenter, datacenter_at) = named("datacenter");
    let port = reader.weak_number("local_bind_port", 0..=65_535);
    let unreadable = port.is_none() && reader.has("local_bind_port");
    let upstream = Upstream {
        kind: kind.unwrap_or_default(),
        destination: name.map_or_else(Name::default, |(name, _)| name),
        namespace,
        partition,
        peer,
        datacenter,
        local_bind_address: Some(reader.host("local_bind_address"))
            .filter(|address| !address.is_empty())
            .unwrap_or_else(|| "127.0.0.1".to_owned()),
        local_bind_port: port.unwrap_or_default(),
        local_bind_socket_path: plain(&mut reader, "local_bind_socket_path"),
        local_bind_socket_mode: plain(&mut reader, "local_bind_socket_mode"),
        mesh_gateway: reader.gateway_mode(scope),
        config: reader.opaque("config"),
        at: scope.place(at),
    };
    if *upstream.peer.as_str() != *"" && *upstream.datacenter.as_str() != *"" {
        let message = "an upstream is in a datacenter or at a peer, not both";
        let both = Diagnostic::new(peer_at, message, "expected one of the two");
        reader.error(both.also(datacenter_at, "the other"));
    }
    // What could not be read is told already.
    if !unreadable {
        where_it_listens(&mut reader, &upstream, mode);
    }
    reader.finish();
    (*upstream.destination.as_str() != *"").then_some(upstream)
}

const UPSTREAM_KINDS: &[(&str, UpstreamKind)] = &[
    ("service", UpstreamKind::Service),
    ("prepared_query", UpstreamKind::PreparedQuery),
];

/// Exactly one of port and path; a transparent proxy catches connections without either.
fn where_it_listens(reader: &mut Reader<'_, '_>, upstream: &Upstream, mode: &str) {
    let port = upstream.local_bind_port != 0;
    let path = !upstream.local_bind_socket_path.is_empty();
    match (port, path) {
        (true, true) => reader.complain(
            "an upstream listens at a port or at a path, not both".to_owned(),
            "expected one of `local_bind_port` and `local_bind_socket_path`",
        ),
        (false, false) if mode != "transparent" => reader.missing(
            "place to listen at",
            "expected `local_bind_port` or `local_bind_socket_path`",
        ),
        _ => {}
    }
}

fn transparent_proxy(outer: &mut Reader<'_, '_>) {
    if let Some((table, at)) = outer.single("transparent_proxy") {
        let mut reader = Reader::folded(table, at, what("transparent_proxy", None), outer.errors());
        reader.port("outbound_listener_port");
        reader.weak_bool("dialed_directly");
        reader.finish();
    }
}

fn expose(outer: &mut Reader<'_, '_>) {
    let Some((table, at)) = outer.single("expose") else {
        return;
    };
    let mut reader = Reader::folded(table, at, what("expose", None), outer.errors());
    reader.weak_bool("checks");
    for (table, at) in reader.tables("paths") {
        let mut path = Reader::folded(table, at, what("path", None), reader.errors());
        path.port("listener_port");
        path.port("local_path_port");
        path.text("path");
        if let Some((text, at)) = path.text("protocol").filter(|(text, _)| !text.is_empty()) {
            path.as_word(&text, at, "protocol", &[("http", ()), ("http2", ())]);
        }
        path.ignored(&["parsed_from_check"]);
        path.finish();
    }
    reader.finish();
}
