//! What a listening socket stands for: a configured address, or steered destinations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::control::snapshot::{Listener, Snapshot};

/// What a listening socket stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A configured address.
    Address(SocketAddr),
    /// Steered destinations of one family, for a listener that binds no address of that family.
    Steered {
        /// The listener's name.
        listener: Arc<str>,
        /// Whether it takes IPv6.
        v6: bool,
    },
}

impl Place {
    /// All places that a listener needs.
    #[must_use]
    pub fn of(listener: &Listener) -> Vec<Self> {
        let mut places: Vec<_> = listener
            .addresses
            .iter()
            .copied()
            .map(Self::Address)
            .collect();
        for v6 in [false, true] {
            let bound = listener
                .addresses
                .iter()
                .any(|address| address.is_ipv6() == v6);
            let steered = listener
                .destinations
                .iter()
                .any(|d| d.prefix.addr().is_ipv6() == v6);
            if steered && !bound {
                places.push(Self::Steered {
                    listener: Arc::clone(&listener.name),
                    v6,
                });
            }
        }
        places
    }

    /// The listener of `snapshot` that has this place.
    pub(super) fn listener<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a Arc<Listener>> {
        match self {
            Self::Address(address) => snapshot
                .listeners
                .iter()
                .find(|listener| listener.addresses.contains(address)),
            Self::Steered { listener, .. } => snapshot.listener(listener),
        }
    }

    /// The address to bind. Steered connections keep their own destination; the socket that takes
    /// them is bound to loopback, out of reach, on a port of the kernel's choice.
    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Address(address) => *address,
            Self::Steered { v6: false, .. } => (IpAddr::V4(Ipv4Addr::LOCALHOST), 0).into(),
            Self::Steered { v6: true, .. } => (IpAddr::V6(Ipv6Addr::LOCALHOST), 0).into(),
        }
    }
}
