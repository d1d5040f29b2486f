//! The network of most tests: one client, one gateway, any number of servers.
//!
//! Every server hangs on a link of its own, and neither client nor server has a route to the
//! other: what reaches a server came through the agent. The client's default route leads to the
//! gateway, so that destinations the gateway only steers are reachable. Addresses are the same in
//! every topology, because every topology has namespaces of its own.

use core::ops::Range;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;

use crate::netns::{End, Namespace};
use crate::wire::{Weather, Wire};

/// How many addresses of each family the client has: sources for access rules and hashing.
pub const CLIENT_ADDRESSES: u8 = 8;

/// Index of the first device beside the loopback device.
const FIRST_DEVICE: u32 = 2;

/// Address family of a test that runs on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, for tests that loop over them.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Prefix length of every link.
    #[must_use]
    pub const fn link_prefix(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }
}

/// One of the two connections that the gateway joins, by who is at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// The client.
    Client,
    /// The server.
    Server,
}

impl Leg {
    /// Both, for tests that loop over them.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];
}

/// A client, a gateway and servers, each in a namespace of its own.
#[derive(Debug)]
pub struct Topology {
    /// Where the clients run.
    pub client: Namespace,
    /// Where the agent runs; it forwards no packets by itself.
    pub gateway: Namespace,
    /// Where the servers run, the first one at index 0.
    pub servers: Vec<Namespace>,
}

impl Topology {
    /// Makes the namespaces and links; needs root.
    pub fn new(servers: u8) -> Result<Self> {
        let (gateway, client) = ends()?;
        join_client(&gateway, &client)?;
        Self::with_servers(gateway, client, 0..servers)
    }

    /// The same with a wire of bad weather in the place of one link: the client's, or the first
    /// server's.
    pub fn in_weather(servers: u8, leg: Leg, weather: Weather, seed: u64) -> Result<(Self, Wire)> {
        let (gateway, client) = ends()?;
        let wire = |here: &End, other: &Namespace, there: &End| {
            Wire::join((&gateway, here), (other, there), weather, seed)
        };
        let (first, wire) = match leg {
            Leg::Client => {
                let (here, there) = client_link();
                let wire = wire(&here, &client, &there)?;
                route_client(&client)?;
                (join_server(&gateway, 0)?, wire)
            }
            Leg::Server => {
                join_client(&gateway, &client)?;
                let first = Namespace::new("server 0")?;
                let (here, there) = server_link(0);
                let wire = wire(&here, &first, &there)?;
                (first, wire)
            }
        };
        let mut net = Self::with_servers(gateway, client, 1..servers)?;
        net.servers.insert(0, first);
        Ok((net, wire))
    }

    fn with_servers(gateway: Namespace, client: Namespace, servers: Range<u8>) -> Result<Self> {
        let servers = servers
            .map(|n| join_server(&gateway, n))
            .collect::<Result<_>>()?;
        Ok(Self {
            client,
            gateway,
            servers,
        })
    }
}

/// The gateway's address on the client's link.
#[must_use]
pub fn gateway(family: Family, port: u16) -> SocketAddr {
    let address = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1)),
    };
    SocketAddr::new(address, port)
}

/// The client's `n`th address, counted from 0 up to [`CLIENT_ADDRESSES`].
#[must_use]
pub fn client(family: Family, n: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 1, 0, 2 + n)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 2 + u16::from(n))),
    }
}

/// The address of the `n`th server, counted from 0.
#[must_use]
pub fn server(family: Family, n: u8, port: u16) -> SocketAddr {
    SocketAddr::new(on_server_link(family, n, 2), port)
}

/// An address on the link of the `n`th server that no device has: whoever dials it hears nothing.
#[must_use]
pub fn nobody(family: Family, n: u8, port: u16) -> SocketAddr {
    SocketAddr::new(on_server_link(family, n, 99), port)
}

/// The gateway's own address on the link of the `n`th server.
#[must_use]
pub fn gateway_towards(family: Family, n: u8) -> IpAddr {
    on_server_link(family, n, 1)
}

fn on_server_link(family: Family, n: u8, host: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 2, n, host)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(
            0xfd00,
            2,
            u16::from(n),
            0,
            0,
            0,
            0,
            u16::from(host),
        )),
    }
}

/// The gateway's namespace, which forwards nothing, and the client's.
fn ends() -> Result<(Namespace, Namespace)> {
    let gateway = Namespace::new("gateway")?;
    gateway.sysctl("ipv4/ip_forward", "0")?;
    gateway.sysctl("ipv6/conf/all/forwarding", "0")?;
    Ok((gateway, Namespace::new("client")?))
}

/// Both ends of the link between gateway and client.
fn client_link() -> (End, End) {
    let here = End {
        device: "client".to_owned(),
        index: FIRST_DEVICE,
        addresses: Family::BOTH
            .map(|family| (gateway(family, 0).ip(), family.link_prefix()))
            .into(),
    };
    let there = End {
        device: "gateway".to_owned(),
        index: FIRST_DEVICE,
        addresses: Family::BOTH
            .into_iter()
            .flat_map(|family| {
                (0..CLIENT_ADDRESSES).map(move |n| (client(family, n), family.link_prefix()))
            })
            .collect(),
    };
    (here, there)
}

fn route_client(client_space: &Namespace) -> Result<()> {
    Family::BOTH
        .iter()
        .try_for_each(|&family| client_space.default_route(gateway(family, 0).ip()))
}

fn join_client(gateway_space: &Namespace, client_space: &Namespace) -> Result<()> {
    let (here, there) = client_link();
    gateway_space.link(&here, client_space, &there)?;
    route_client(client_space)
}

/// Both ends of the link between gateway and a server.
fn server_link(n: u8) -> (End, End) {
    let addresses = |host| {
        Family::BOTH
            .map(|family| (on_server_link(family, n, host), family.link_prefix()))
            .into()
    };
    let here = End {
        device: format!("server{n}"),
        index: FIRST_DEVICE + 1 + u32::from(n),
        addresses: addresses(1),
    };
    let there = End {
        device: "gateway".to_owned(),
        index: FIRST_DEVICE,
        addresses: addresses(2),
    };
    (here, there)
}

fn join_server(gateway_space: &Namespace, n: u8) -> Result<Namespace> {
    let space = Namespace::new(&format!("server {n}"))?;
    let (here, there) = server_link(n);
    gateway_space.link(&here, &space, &there)?;
    Ok(space)
}
