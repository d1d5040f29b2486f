//! The rig itself: what the other tests take for granted about namespaces and peers.
//!
//! A plain relay stands in for the agent here, so that a fault of the rig is not taken for one of
//! the agent, or the other way round.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Result;
use gateway_tests::mesh::net::{Datacenter, GATEWAY, Net, lan, wan};
use gateway_tests::mesh::{identity, server_name};
use gateway_tests::netns::{self, Namespace};
use gateway_tests::peers::hellos;
use gateway_tests::peers::pump::Pump;
use gateway_tests::peers::spiffe::{Meeting, meet};
use gateway_tests::peers::tls::{self, Authority};
use gateway_tests::peers::transfer::{Pattern, receive};
use gateway_tests::peers::{self, End, Server};
use gateway_tests::skip;
use gateway_tests::topology::{self, Family, Topology};
use gateway_tests::wire::{Weather, Wire};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::timeout;

#[tokio::test]
async fn a_tls_client_reaches_the_server_through_a_relay() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let authority = Authority::new()?;
    let identity = authority.issue(&["web.example.com"])?;
    for family in Family::BOTH {
        let server = topology::server(family, 0, 443);
        let _greeter = tls::greeter(&net.servers[0], server, &identity, "web")?;
        let _relay = relay(&net.gateway, topology::gateway(family, 8443), server)?;
        let stream = peers::connect(&net.client, topology::gateway(family, 8443)).await?;
        let mut stream = tls::handshake(stream, "web.example.com", &authority.client()?).await?;
        assert_eq!(tls::greeting(&mut stream).await?, "web");
    }
    Ok(())
}

#[tokio::test]
async fn a_wire_that_delays_holds_back_every_byte_and_loses_none() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let delay = Duration::from_millis(20);
    let [near, far] = [Namespace::new("near")?, Namespace::new("far")?];
    let address = |family: Family, host: u8| match family {
        Family::V4 => IpAddr::from([10, 3, 0, host]),
        Family::V6 => IpAddr::from([0xfd00, 3, 0, 0, 0, 0, 0, u16::from(host)]),
    };
    let end = |host: u8| netns::End {
        device: "delayed".to_owned(),
        index: 5,
        addresses: Family::BOTH
            .map(|family| (address(family, host), family.link_prefix()))
            .into(),
    };
    let _wire = Wire::join((&near, &end(1)), (&far, &end(2)), Weather::delay(delay), 0)?;
    for family in Family::BOTH {
        let server = SocketAddr::new(address(family, 2), 443);
        let _echo = Server::echo(&far, server)?;
        let start = Instant::now();
        let stream = peers::connect(&near, server).await?;
        assert!(start.elapsed() >= delay * 2, "{:?}", start.elapsed());
        // Large enough for segments that the kernel leaves whole.
        let sent = vec![7; 1 << 20];
        let (mut from, mut to) = stream.into_split();
        let mut came = vec![0; sent.len()];
        let (written, read) = tokio::join!(to.write_all(&sent), from.read_exact(&mut came));
        written?;
        read?;
        assert!(came == sent, "bytes changed on their way");
    }
    Ok(())
}

#[tokio::test]
async fn the_client_has_no_way_around_the_gateway() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let server = topology::server(Family::V4, 0, 443);
    let _server = Server::echo(&net.servers[0], server)?;
    let straight = timeout(Duration::from_secs(1), peers::connect(&net.client, server)).await;
    assert!(
        !matches!(straight, Ok(Ok(_))),
        "the client reached the server without the gateway"
    );
    Ok(())
}

#[tokio::test]
async fn one_address_leads_to_two_servers_and_only_gateways_lead_across() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for family in Family::BOTH {
        let mut net = Net::new()?;
        let authority = Authority::new()?;
        let at = |address| SocketAddr::new(address, 8443);
        let server = at(lan(family, 11));
        let mut servers = Vec::new();
        for (datacenter, service) in [(Datacenter::Dc1, "billing"), (Datacenter::Dc2, "web")] {
            let host = net.host(service, datacenter, 11, false)?;
            let certificate = authority.issue_spiffe(service, &identity(datacenter, service))?;
            servers.push((tls::greeter(&host, server, &certificate, service)?, host));
        }
        let near = at(lan(family, GATEWAY));
        let far = at(wan(family, Datacenter::Dc2.wan_number()));
        let _near = relay(net.gateway(Datacenter::Dc1), near, far)?;
        let _far = relay(net.gateway(Datacenter::Dc2), far, server)?;
        let (name, web) = (server_name("web"), identity(Datacenter::Dc2, "web"));
        let roots = authority.roots()?;

        // The same address, dialled in the client's own network.
        let stream = peers::connect(&net.client, server).await?;
        let meeting = meet(stream, &name, &web, &roots).await?;
        let Meeting::Stranger(met) = meeting else {
            panic!("{meeting:?}");
        };
        assert_eq!(met, identity(Datacenter::Dc1, "billing"));

        // And behind both gateways.
        let stream = peers::connect(&net.client, near).await?;
        let mut stream = meet(stream, &name, &web, &roots).await?.expected()?;
        assert_eq!(tls::greeting(&mut stream).await?, "web");
        let mut pump = Pump::start(stream, 1);
        pump.turn().await?;
        // A pump must not be silent about a connection that breaks.
        drop(servers);
        assert!(pump.turn().await.is_err());
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_keeps_its_checksum_on_the_way() -> Result<()> {
    let (mut near, mut far) = tokio::io::duplex(1000);
    let pattern = Pattern {
        seed: 7,
        length: 300_001,
    };
    let sending = tokio::spawn(async move { pattern.send(&mut near).await });
    let received = receive(&mut far).await?;
    assert_eq!(sending.await??, received);
    assert_eq!(received.length, 300_001);
    Ok(())
}

#[tokio::test]
async fn a_swapped_block_changes_the_checksum() -> Result<()> {
    let pattern = Pattern {
        seed: 7,
        length: 256 * 1024,
    };
    let mut bytes = Vec::new();
    let sent = pattern.send(&mut bytes).await?;
    bytes.rotate_left(64 * 1024);
    let received = receive(&mut bytes.as_slice()).await?;
    assert_eq!(received.length, sent.length);
    assert_ne!(received.hash, sent.hash);
    Ok(())
}

#[tokio::test]
async fn a_reset_is_told_from_an_orderly_end() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let space = Namespace::new("alone")?;
    let loopback = SocketAddr::from(([127, 0, 0, 1], 7000));
    for (abrupt, expected) in [(true, End::Reset), (false, End::Fin)] {
        let listener = peers::listen(&space, loopback)?;
        let client = peers::connect(&space, loopback).await?;
        let (mut server, _) = listener.accept().await?;
        if abrupt {
            peers::reset(client)?;
        } else {
            drop(client);
        }
        assert_eq!(
            peers::read_to_end(&mut server, &mut Vec::new()).await?,
            expected
        );
    }
    Ok(())
}

#[tokio::test]
async fn leaving_a_namespace_returns_the_thread_home() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let space = Namespace::new("elsewhere")?;
    let home = std::fs::read_link("/proc/thread-self/ns/net")?;
    let inside = space.enter()?;
    assert_ne!(std::fs::read_link("/proc/thread-self/ns/net")?, home);
    drop(inside);
    assert_eq!(std::fs::read_link("/proc/thread-self/ns/net")?, home);
    Ok(())
}

#[test]
fn a_hello_cut_into_records_keeps_its_payload() -> Result<()> {
    let hello = hellos::asking_for("web.example.com")?;
    let records = hellos::in_records(&hello, 1)?;
    assert_eq!(records.len(), (hello.len() - 5) * 6);
    let payload: Vec<u8> = records.chunks(6).map(|record| record[5]).collect();
    assert_eq!(payload, hello[5..]);
    Ok(())
}

#[test]
fn a_spelled_hello_holds_the_name_as_written() -> Result<()> {
    let hello = hellos::spelled("WEB.example.com")?;
    assert!(hello.windows(15).any(|window| window == b"WEB.example.com"));
    Ok(())
}

/// Forwards every connection to `address` to `server`: the agent's stand-in.
fn relay(gateway: &Namespace, address: SocketAddr, server: SocketAddr) -> Result<Server> {
    let path = gateway.path();
    Server::start(gateway, address, move |mut client| {
        let path = path.clone();
        async move {
            let socket = socket_in(&path, server)?;
            let mut upstream = socket.connect(server).await?;
            tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
            Ok(upstream.shutdown().await?)
        }
    })
}

fn socket_in(path: &str, address: SocketAddr) -> Result<TcpSocket> {
    let space = Namespace::open(path)?;
    let _inside = space.enter()?;
    Ok(if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    })
}
