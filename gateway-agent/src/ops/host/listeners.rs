//! Whether the listeners' addresses can be had.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};

use rustix::thread::{CapabilitySet, capabilities};

use super::{Finding, sysctl};
use crate::control::Snapshot;
use crate::control::snapshot::Listener;
use crate::proxy::accept::lacks_only_ipv6;

pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings: Vec<Finding> = snapshot
        .listeners
        .iter()
        .flat_map(|one| addresses(one))
        .collect();
    findings.extend(ports(snapshot));
    findings.extend(forwarding());
    findings
}

/// Each address must be one of this host.
fn addresses(listener: &Listener) -> Vec<Finding> {
    let name = format!("listener {}", listener.name);
    listener
        .addresses
        .iter()
        .map(|address| local(&name, *address, &listener.addresses))
        .collect()
}

pub(super) fn local(name: &str, address: SocketAddr, all: &[SocketAddr]) -> Finding {
    match TcpListener::bind(SocketAddr::new(address.ip(), 0)) {
        Ok(_) => Finding::ok(name, format!("{} is an address of this host", address.ip())),
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Finding::fail(
            name,
            format!("{} is no address of this host", address.ip()),
            remedy_for(address.ip()),
        ),
        Err(error) if lacks_only_ipv6(address, all, &error) => Finding::warn(
            name,
            "this host has no IPv6: it listens on IPv4 only",
            "if that is not meant: enable IPv6 on this host",
        ),
        Err(error) => Finding::fail(
            name,
            format!("{} cannot be bound: {error}", address.ip()),
            "enable that address family on this host, or remove the address",
        ),
    }
}

fn remedy_for(ip: IpAddr) -> String {
    let length = if ip.is_ipv4() { 32 } else { 128 };
    format!("ip address add {ip}/{length} dev INTERFACE, or correct the address")
}

/// Low ports need a privilege.
fn ports(snapshot: &Snapshot) -> Option<Finding> {
    let first_free = sysctl("net.ipv4.ip_unprivileged_port_start").unwrap_or(1024);
    let bound = snapshot
        .listeners
        .iter()
        .flat_map(|listener| &listener.addresses);
    let low = bound
        .map(SocketAddr::port)
        .filter(|port| u64::from(*port) < first_free)
        .min()?;
    let may = capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_BIND_SERVICE));
    let (name, found) = ("low ports", format!("port {low} is below {first_free}"));
    Some(if may {
        Finding::ok(name, format!("{found}, and this user may bind it"))
    } else {
        Finding::fail(
            name,
            format!("{found}, and this user may not bind it"),
            "run as root or with CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit), or lower \
             net.ipv4.ip_unprivileged_port_start",
        )
    })
}

/// A gateway that also routes lets clients go round it.
fn forwarding() -> Option<Finding> {
    let on: Vec<&str> = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]
        .into_iter()
        .filter(|name| sysctl(name).is_some_and(|value| value != 0))
        .collect();
    let name = "IP forwarding";
    if on.is_empty() {
        return Some(Finding::ok(name, "off: what is not for culvert ends here"));
    }
    let settings: Vec<String> = on
        .iter()
        .map(|name| format!("sysctl -w {name}=0"))
        .collect();
    Some(Finding::warn(
        name,
        format!(
            "{} is on: this host also routes packets past culvert",
            on.join(" and ")
        ),
        format!("if that is not meant: {}", settings.join(" and ")),
    ))
}
