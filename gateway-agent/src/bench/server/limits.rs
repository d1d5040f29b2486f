//! What one client may have: connections at once, bytes, time.
//!
//! A client is an address of IPv4 or a network of 64 bits of IPv6, which is what one host can give
//! itself. Behind a gateway that is the gateway: all who come through it are one client.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::wire::Limit;

/// The settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections of one client at once.
    pub(crate) connections: u64,
    /// Bytes both ways of one client, from its first connection until its last one has ended.
    pub(crate) bytes: u64,
    /// How long one connection may last.
    pub(crate) duration: Duration,
}

/// All clients that have connections now.
#[derive(Debug)]
pub(super) struct Clients {
    limits: Limits,
    open: Mutex<HashMap<IpAddr, Client>>,
}

#[derive(Debug, Default)]
struct Client {
    connections: u64,
    bytes: u64,
}

/// One connection's place among its client's.
#[derive(Debug)]
pub(super) struct Place {
    clients: Arc<Clients>,
    client: IpAddr,
    since: Instant,
}

impl Clients {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: Mutex::default(),
        }
    }

    /// A place for one more connection from `address`.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Place, Limit> {
        let client = client(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = open.entry(client).or_default();
        if entry.connections >= self.limits.connections {
            return Err(Limit::Connections(self.limits.connections));
        }
        if entry.bytes >= self.limits.bytes {
            return Err(Limit::Bytes(self.limits.bytes));
        }
        entry.connections += 1;
        Ok(Place {
            clients: Arc::clone(self),
            client,
            since: Instant::now(),
        })
    }
}

impl Place {
    /// Counts bytes that moved, and says which limit ends the connection, if one does.
    pub(super) fn allows(&self, bytes: u64) -> Result<(), Limit> {
        let limits = self.clients.limits;
        let mut open = self.clients.open.lock();
        let open = open.as_mut().unwrap_or_else(|poison| poison.get_mut());
        if let Some(client) = open.get_mut(&self.client) {
            client.bytes = client.bytes.saturating_add(bytes);
            if client.bytes > limits.bytes {
                return Err(Limit::Bytes(limits.bytes));
            }
        }
        if self.since.elapsed() > limits.duration {
            return Err(self.duration());
        }
        Ok(())
    }

    /// When the connection has lasted as long as it may.
    pub(super) fn deadline(&self) -> Instant {
        self.since + self.clients.limits.duration
    }

    pub(super) fn duration(&self) -> Limit {
        let limit = self.clients.limits.duration.as_millis();
        Limit::Duration(u64::try_from(limit).unwrap_or(u64::MAX))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.clients.open.lock();
        let open = open.as_mut().unwrap_or_else(|poison| poison.get_mut());
        if let Some(client) = open.get_mut(&self.client) {
            client.connections -= 1;
            if client.connections == 0 {
                open.remove(&self.client);
            }
        }
    }
}

fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Arc<Clients> {
        Arc::new(Clients::new(Limits {
            connections: 2,
            bytes: 100,
            duration: Duration::from_secs(60),
        }))
    }

    #[test]
    fn one_connection_too_many_is_refused_until_another_ends() {
        let clients = clients();
        let address = IpAddr::from([10, 0, 0, 1]);
        let first = clients.admit(address).unwrap();
        let _second = clients.admit(address).unwrap();
        assert_eq!(clients.admit(address).unwrap_err(), Limit::Connections(2));
        assert!(clients.admit(IpAddr::from([10, 0, 0, 2])).is_ok());
        drop(first);
        assert!(clients.admit(address).is_ok());
    }

    #[test]
    fn bytes_count_for_all_connections_of_a_client() {
        let clients = clients();
        let address = IpAddr::from([10, 0, 0, 1]);
        let first = clients.admit(address).unwrap();
        let second = clients.admit(address).unwrap();
        assert_eq!(first.allows(60), Ok(()));
        assert_eq!(second.allows(40), Ok(()));
        assert_eq!(second.allows(1), Err(Limit::Bytes(100)));
        drop(first);
        assert_eq!(clients.admit(address).unwrap_err(), Limit::Bytes(100));
        drop(second);
        assert!(clients.admit(address).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            client(address("2001:db8::1")),
            client(address("2001:db8::2:3:4:5"))
        );
        assert_ne!(
            client(address("2001:db8::1")),
            client(address("2001:db8:0:1::1"))
        );
        assert_eq!(client(address("::ffff:10.0.0.1")), address("10.0.0.1"));
        assert_ne!(
            client(address("::ffff:10.0.0.1")),
            client(address("::ffff:10.0.0.2"))
        );
    }
}
