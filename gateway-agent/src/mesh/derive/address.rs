//! Addresses as endpoints have them: one spelling each, host names told from IP addresses.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::mesh::catalog::Instance;
use crate::mesh::endpoint::best_address;

/// An address or host name, and a port.
pub(super) struct Aim {
    /// IPv6 without brackets; host names in lower case; empty when nothing is registered.
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) is_name: bool,
}

impl Aim {
    pub(super) fn new(host: &str, port: u16) -> Self {
        let host = host.trim();
        let bare = unbracketed(host);
        match bare.parse::<IpAddr>() {
            Ok(ip) => Self {
                host: ip.to_string().into(),
                port,
                is_name: false,
            },
            Err(_) => Self {
                host: host.to_ascii_lowercase().into(),
                port,
                is_name: !host.is_empty(),
            },
        }
    }

    /// Reads `host:port`, an IPv6 address in brackets.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let in_brackets = host.starts_with('[');
        let bare = unbracketed(host);
        let is_v6 = bare.parse::<Ipv6Addr>().is_ok();
        if bare.is_empty() || in_brackets != is_v6 {
            return None;
        }
        Some(Self::new(host, port))
    }
}

/// The address by which an instance is dialled; `wan` as for [`best_address`].
pub(super) fn best(instance: &Instance, wan: bool) -> Aim {
    let (host, port) = best_address(instance, wan);
    Aim::new(&host, port)
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}
