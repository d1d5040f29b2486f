//! The network of a mesh of two datacenters, whose private address ranges are the same.
//!
//! Each datacenter has a LAN, and both LANs are numbered alike: `10.0.0.0/24` and `fd00:a::/64`.
//! A WAN joins the two gateways, the client and those hosts that a client may dial without any
//! gateway. No host forwards packets, so what comes from one LAN into the other went through
//! both gateways; and what was dialled by a LAN address ended in the dialler's own datacenter.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::netns::{End, Namespace};
use crate::topology::Family;

/// A datacenter of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Datacenter {
    /// Where the client is.
    Dc1,
    /// Where the services are that it wants.
    Dc2,
}

/// The host number of each gateway on its LAN.
pub const GATEWAY: u8 = 1;
/// The host number of the client, on the LAN of `dc1` and on the WAN.
pub const CLIENT: u8 = 50;

/// Index of a host's device on its LAN, and of the first bridge.
const LAN_DEVICE: u32 = 2;
/// Index of a host's device on the WAN.
const WAN_DEVICE: u32 = 3;
/// Index of the first port of a bridge: above the bridges.
const FIRST_PORT: u32 = 10;

/// All namespaces of the mesh.
#[derive(Debug)]
pub struct Net {
    /// Where the client runs: in `dc1`, and on the WAN.
    pub client: Namespace,
    gateways: [Namespace; 2],
    wires: Wires,
}

impl Datacenter {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::Dc1, Self::Dc2];

    /// Its name in the mesh.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dc1 => "dc1",
            Self::Dc2 => "dc2",
        }
    }

    /// The number of its gateway's first address on the WAN.
    #[must_use]
    pub const fn wan_number(self) -> u8 {
        match self {
            Self::Dc1 => 1,
            Self::Dc2 => 2,
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// The WAN number that the gateway of `dc2` has besides its first one, to move to.
pub const SPARE: u8 = 3;

impl Net {
    /// Makes the three networks, the client and the gateways; needs root.
    pub fn new() -> Result<Self> {
        let mut wires = Wires::new()?;
        let client = wires.host("client", Datacenter::Dc1, CLIENT, &[CLIENT])?;
        let gateways = [
            wires.host("gateway of dc1", Datacenter::Dc1, GATEWAY, &[1])?,
            wires.host("gateway of dc2", Datacenter::Dc2, GATEWAY, &[2, SPARE])?,
        ];
        Ok(Self {
            client,
            gateways,
            wires,
        })
    }

    /// Where the agent of a datacenter runs.
    #[must_use]
    pub const fn gateway(&self, datacenter: Datacenter) -> &Namespace {
        &self.gateways[datacenter.index()]
    }

    /// Adds a host to a LAN, and to the WAN if `wan` holds; its number is the same on both.
    pub fn host(
        &mut self,
        name: &str,
        datacenter: Datacenter,
        number: u8,
        wan: bool,
    ) -> Result<Namespace> {
        let on_wan: &[u8] = if wan { &[number] } else { &[] };
        self.wires.host(name, datacenter, number, on_wan)
    }
}

/// The address of a host on its LAN: the same one in both datacenters.
#[must_use]
pub fn lan(family: Family, number: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)),
        Family::V6 => v6([0xfd00, 0xa], number),
    }
}

/// The address of a host on the WAN (RFC 5737 and RFC 3849).
#[must_use]
pub fn wan(family: Family, number: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)),
        Family::V6 => v6([0x2001, 0xdb8], number),
    }
}

/// The number is written as in IPv4: host 11 is `::11` and not `::b`.
fn v6(prefix: [u16; 2], number: u8) -> IpAddr {
    let digits = u16::from(number / 10) * 0x10 + u16::from(number % 10);
    IpAddr::V6(Ipv6Addr::new(prefix[0], prefix[1], 0, 0, 0, 0, 0, digits))
}

/// One namespace with a bridge per network and no address at all.
#[derive(Debug)]
struct Wires {
    space: Namespace,
    next: u32,
}

impl Wires {
    fn new() -> Result<Self> {
        let space = Namespace::new("the wires")?;
        for (device, index) in [("dc1", 2), ("dc2", 3), ("wan", 4)] {
            space.bridge(device, index)?;
        }
        Ok(Self {
            space,
            next: FIRST_PORT,
        })
    }

    fn host(
        &mut self,
        name: &str,
        datacenter: Datacenter,
        number: u8,
        on_wan: &[u8],
    ) -> Result<Namespace> {
        let host = Namespace::new(name)?;
        host.sysctl("ipv4/ip_forward", "0")?;
        host.sysctl("ipv6/conf/all/forwarding", "0")?;
        let bridge = LAN_DEVICE + u32::try_from(datacenter.index())?;
        self.plug(&host, ("lan", LAN_DEVICE), bridge, &[number], lan)?;
        if !on_wan.is_empty() {
            self.plug(&host, ("wan", WAN_DEVICE), 4, on_wan, wan)?;
        }
        Ok(host)
    }

    fn plug(
        &mut self,
        host: &Namespace,
        (device, index): (&str, u32),
        bridge: u32,
        numbers: &[u8],
        address: fn(Family, u8) -> IpAddr,
    ) -> Result<()> {
        let port = self.next;
        self.next += 1;
        let there = End {
            device: format!("port{port}"),
            index: port,
            addresses: Vec::new(),
        };
        let addresses = numbers.iter().flat_map(|&number| {
            Family::BOTH.map(|family| (address(family, number), family.link_prefix()))
        });
        let here = End {
            device: device.to_owned(),
            index,
            addresses: addresses.collect(),
        };
        host.link(&here, &self.space, &there)?;
        self.space.attach(port, bridge)
    }
}
