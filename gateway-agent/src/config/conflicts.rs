//! Conflicts: what is wrong between blocks that are each right.

use std::collections::HashMap;
use std::net::SocketAddr;

use ipnet::IpNet;

use super::diagnostic::Diagnostic;
use super::listener::{DefaultConfig, ListenerConfig};
use super::mesh::GatewayConfig;
use super::route::RouteConfig;
use super::source::Span;

/// Two listeners of one name; two of one address. The gateway is one of them.
pub(super) fn listeners(
    listeners: &[ListenerConfig],
    gateway: Option<&GatewayConfig>,
    errors: &mut Vec<Diagnostic>,
) {
    let mut names: HashMap<&str, Span> = HashMap::new();
    for listener in listeners {
        if let Some(before) = names.insert(&listener.name, listener.at) {
            let message = format!("two listeners are named \"{}\"", listener.name);
            errors.push(twice(listener.at, message, "expected another name", before));
        }
    }
    if let Some(gateway) = gateway
        && let Some(before) = names.get(&*gateway.name)
    {
        let message = format!("a listener and the gateway are named \"{}\"", gateway.name);
        let other = Diagnostic::new(*before, message, "expected another name");
        errors.push(other.also(gateway.at, "the gateway"));
    }
    addresses(listeners, gateway, errors);
    destinations(listeners, errors);
}

fn addresses(
    listeners: &[ListenerConfig],
    gateway: Option<&GatewayConfig>,
    errors: &mut Vec<Diagnostic>,
) {
    let mut by_port: HashMap<u16, Vec<(SocketAddr, Span)>> = HashMap::new();
    for (&address, &at) in all_bound(listeners, gateway) {
        let others = by_port.entry(address.port()).or_default();
        if let Some((other, before)) = others.iter().find(|(other, _)| overlap(*other, address)) {
            let message = format!("{address} overlaps {other}");
            let expected = "expected every listener address to be bound once";
            errors.push(twice(at, message, expected, *before));
        }
        others.push((address, at));
    }
}

/// Two destinations of one prefix conflict when their port ranges overlap and neither is the
/// narrower: longest prefix first, then narrowest range, decides all else.
fn destinations(listeners: &[ListenerConfig], errors: &mut Vec<Diagnostic>) {
    let mut by_prefix: HashMap<(IpNet, usize), Vec<(u16, Span)>> = HashMap::new();
    let all = listeners
        .iter()
        .flat_map(|listener| listener.destinations.iter().zip(&listener.destinations_at));
    for (destination, &at) in all {
        let (first, width) = (*destination.ports.start(), destination.ports.len());
        let others = by_prefix.entry((destination.prefix, width)).or_default();
        let overlaps = |other: &&(u16, Span)| usize::from(other.0.abs_diff(first)) < width;
        if let Some((_, before)) = others.iter().find(overlaps) {
            let message = format!("the destination {} is taken", destination.prefix);
            let expected = "expected other ports, or a narrower range, which would win";
            errors.push(twice(at, message, expected, *before));
        }
        others.push((first, at));
    }
}

/// Two routes of one name.
pub(super) fn routes(routes: &[RouteConfig], errors: &mut Vec<Diagnostic>) {
    let mut names: HashMap<&str, Span> = HashMap::with_capacity(routes.len());
    for route in routes {
        if let Some(before) = names.insert(&route.name, route.at) {
            let message = format!("two routes are named \"{}\"", route.name);
            let expected = "expected one route of a name; case and trailing dot do not count";
            errors.push(twice(route.at, message, expected, before));
        }
    }
}

/// Defaults that name no route.
pub(super) fn defaults<'d>(
    defaults: impl Iterator<Item = &'d DefaultConfig>,
    routes: &[RouteConfig],
    errors: &mut Vec<Diagnostic>,
) {
    for default in defaults {
        let DefaultConfig::Route(name, at) = default else {
            continue;
        };
        if !routes.iter().any(|route| route.name == *name) {
            let message = format!("no route is named \"{name}\"");
            errors.push(
                Diagnostic::new(*at, message, "expected the name of a configured route")
                    .nearest(name, routes.iter().map(|route| &*route.name)),
            );
        }
    }
}

/// The metrics' address is no listener's.
pub(super) fn metrics(
    (address, at): (SocketAddr, Span),
    listeners: &[ListenerConfig],
    gateway: Option<&GatewayConfig>,
    errors: &mut Vec<Diagnostic>,
) {
    for (&listener, &before) in all_bound(listeners, gateway) {
        if overlap(listener, address) {
            let message = format!("{address} overlaps the listener address {listener}");
            errors.push(twice(at, message, "expected an address of its own", before));
        }
    }
}

fn all_bound<'c>(
    listeners: &'c [ListenerConfig],
    gateway: Option<&'c GatewayConfig>,
) -> impl Iterator<Item = (&'c SocketAddr, &'c Span)> {
    let gateway = gateway.into_iter();
    let gateway = gateway.flat_map(|gateway| gateway.addresses.iter().zip(&gateway.addresses_at));
    gateway.chain(listeners.iter().flat_map(bound))
}

fn bound(listener: &ListenerConfig) -> impl Iterator<Item = (&SocketAddr, &Span)> {
    listener.addresses.iter().zip(&listener.addresses_at)
}

/// Whether one socket could not be bound beside the other. IPv6 sockets are IPv6 only, so
/// families never meet.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn twice(at: Span, message: String, expected: &str, before: Span) -> Diagnostic {
    Diagnostic::new(at, message, expected).also(before, "the first one")
}
