//! The namespaces, the server behind the gateway, and what can be switched in between.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use gateway_tests::bench::BenchServer;
use gateway_tests::bpffs::BpfFilesystem;
use gateway_tests::netns::{End, Namespace};
use gateway_tests::process::{Process, find};
use gateway_tests::topology::{self, Family, Topology};
use gateway_tests::wire::{Weather, Wire};

use crate::case::{Path, ROUND_TRIP};

/// Port of the server.
const SERVER_PORT: u16 = 443;

/// Everything around the gateways; dropping it removes all of it.
pub(crate) struct Stage {
    pub(crate) family: Family,
    pub(crate) net: Topology,
    pub(crate) bpffs: BpfFilesystem,
    far: Option<Far>,
    _server: BenchServer,
}

/// A client at the other end of a wire that delays.
struct Far {
    client: Namespace,
    _wire: Wire,
}

impl Stage {
    /// Makes the namespaces and starts the server.
    pub(crate) fn build(family: Family, far: bool) -> Result<Self> {
        let net = Topology::new(1)?;
        let server = net.servers.first().context("the topology has one server")?;
        // For routing alone: what a gateway sends comes from an address on the server's own link.
        server.default_route(topology::gateway_towards(family, 0))?;
        for space in [&net.client, &net.gateway, server] {
            many_connections(space)?;
        }
        let far = if far {
            Some(Far::build(&net.gateway)?)
        } else {
            None
        };
        let address = topology::server(family, 0, SERVER_PORT);
        let limits = ["--max-connections", "100000"];
        let bench = BenchServer::start(server, &[address], &limits)?;
        Ok(Self {
            family,
            bpffs: BpfFilesystem::new()?,
            far,
            _server: bench,
            net,
        })
    }

    /// The server's address, which routing is dialled by.
    pub(crate) fn server(&self) -> SocketAddr {
        topology::server(self.family, 0, SERVER_PORT)
    }

    /// Where the client is, and the gateway's address as it sees it.
    pub(crate) fn path(&self, path: Path, port: u16) -> Result<(&Namespace, SocketAddr)> {
        match (path, &self.far) {
            (Path::Far, Some(far)) => Ok((
                &far.client,
                SocketAddr::new(far_address(self.family, 1).0, port),
            )),
            (Path::Far, None) => bail!("the stage was built without the wire that delays"),
            (Path::Near | Path::Plain, _) => {
                Ok((&self.net.client, topology::gateway(self.family, port)))
            }
        }
    }

    /// Has the gateway's namespace forward packets, or not.
    pub(crate) fn route(&self, on: bool) -> Result<()> {
        let name = match self.family {
            Family::V4 => "ipv4/ip_forward",
            Family::V6 => "ipv6/conf/all/forwarding",
        };
        self.net.gateway.sysctl(name, if on { "1" } else { "0" })
    }

    /// Packets that have come to the gateway over `device`.
    pub(crate) fn arrived(&self, device: &str) -> Result<u64> {
        let _inside = self.net.gateway.enter()?;
        let table = fs::read_to_string("/proc/thread-self/net/dev")?;
        arrived(&table, device).with_context(|| format!("the gateway counts nothing of {device}"))
    }

    /// Switches segmentation and receive offload of every device between client and server.
    pub(crate) async fn offloads(&self, on: bool) -> Result<()> {
        let net = &self.net;
        let server = net.servers.first().context("the topology has one server")?;
        let ends = [
            (&net.client, "gateway"),
            (&net.gateway, "client"),
            (&net.gateway, "server0"),
            (server, "gateway"),
        ];
        let state = if on { "on" } else { "off" };
        let ethtool =
            find("ethtool").context("ethtool is not installed: install the package ethtool")?;
        for (space, device) in ends {
            let mut command = Command::new(&ethtool);
            command.args(["-K", device, "tso", state, "gso", state, "gro", state]);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let status = Process::start(space, &mut command)?.wait().await?;
            ensure!(status.success(), "ethtool -K {device}: {status}");
        }
        Ok(())
    }
}

impl Far {
    fn build(gateway: &Namespace) -> Result<Self> {
        let client = Namespace::new("far client")?;
        many_connections(&client)?;
        let end = |device: &str, index, host| End {
            device: device.to_owned(),
            index,
            addresses: Family::BOTH.map(|family| far_address(family, host)).into(),
        };
        // Above the devices that the topology has made.
        let wire = Wire::join(
            (gateway, &end("far", 50, 1)),
            (&client, &end("gateway", 50, 2)),
            Weather::delay(ROUND_TRIP / 2),
            0,
        )?;
        for family in Family::BOTH {
            client.default_route(far_address(family, 1).0)?;
        }
        Ok(Self {
            client,
            _wire: wire,
        })
    }
}

/// The received packets of a device in `/proc/net/dev`: two counts behind its name, bytes and these.
fn arrived(table: &str, device: &str) -> Option<u64> {
    let named = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        (name.trim() == device).then(|| counts.to_owned())
    };
    let counts = table.lines().find_map(named)?;
    counts.split_whitespace().nth(1)?.parse().ok()
}

/// The address of a host on the delayed link, with its prefix length.
fn far_address(family: Family, host: u8) -> (std::net::IpAddr, u8) {
    let address = match family {
        Family::V4 => std::net::Ipv4Addr::new(10, 3, 0, host).into(),
        Family::V6 => std::net::Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, u16::from(host)).into(),
    };
    (address, family.link_prefix())
}

/// Lets one pair of addresses open connections at a high rate for minutes.
fn many_connections(space: &Namespace) -> Result<()> {
    space.sysctl("ipv4/ip_local_port_range", "16384 65535")?;
    // Else every port waits for a minute after its connection, and there are none left.
    space.sysctl("ipv4/tcp_tw_reuse", "1")
}

#[cfg(test)]
mod tests {
    use super::arrived;

    #[test]
    fn packets_are_those_of_the_device_that_is_named() {
        let table = "Inter-|   Receive\n face |bytes packets\n    lo: 1 2 0\nserver0: 30 4 0\n";
        assert_eq!(arrived(table, "server0"), Some(4));
        assert_eq!(arrived(table, "server"), None);
    }
}
