//! PROXY headers: believed from configured sources only, and sent where a route asks for them.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use gateway_tests::agent::Agent;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::peers::label::{ACCESS_DENIED, Answer, ask, labelled};
use gateway_tests::peers::{connect, connect_from, hellos, listen};
use gateway_tests::topology::{Family, Topology, client, gateway, server};
use gateway_tests::{skip, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const NAME: &str = "web.example.com";
const TRUSTING: &str = r#"accept_proxy = { from = ["10.1.0.2", "fd00:1::2"] }"#;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// A version 2 header that announces a TCP connection (the protocol's section 2.2), with the
/// additional fields `more` at its end.
fn version_2(source: SocketAddr, destination: SocketAddr, more: &[u8]) -> Vec<u8> {
    let mut addresses = Vec::new();
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(address) => addresses.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => addresses.extend_from_slice(&address.octets()),
        }
    }
    addresses.extend_from_slice(&source.port().to_be_bytes());
    addresses.extend_from_slice(&destination.port().to_be_bytes());
    let family = if source.is_ipv4() { 0x11 } else { 0x21 };
    addresses.extend_from_slice(more);
    // No header of these tests is longer than one byte can say.
    let length = addresses.len().to_be_bytes()[7];
    [SIGNATURE.as_slice(), &[0x21, family, 0, length], &addresses].concat()
}

fn announced(family: Family) -> (SocketAddr, SocketAddr) {
    match family {
        Family::V4 => (([192, 0, 2, 7], 4711).into(), ([192, 0, 2, 1], 443).into()),
        Family::V6 => (
            ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 4711).into(),
            ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 443).into(),
        ),
    }
}

fn version_1(family: Family) -> Vec<u8> {
    let (source, destination) = announced(family);
    let kind = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!(
        "PROXY {kind} {from} {to} {} {}\r\n",
        source.port(),
        destination.port()
    )
    .into_bytes()
}

#[tokio::test]
async fn either_version_is_taken_off_before_the_hello() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let address = server(Family::V4, 0, 443);
    let _server = labelled(&net.servers[0], address, "in")?;
    let agent = Agent::start(
        &net.gateway,
        &(listener(TRUSTING) + &route(NAME, &[address], "")),
    )
    .await?;
    let hello = hellos::asking_for(NAME)?;
    for family in Family::BOTH {
        let (source, destination) = announced(family);
        for header in [version_1(family), version_2(source, destination, &[])] {
            let bytes = [header, hello.clone()].concat();
            let stream =
                connect_from(&net.client, client(family, 0), gateway(family, PORT)).await?;
            assert_eq!(ask(stream, &bytes).await?, Answer::server("in"));
        }
        let text = source.ip().to_string();
        agent
            .logged(|record| record.to_string().contains(&text))
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_header_from_anyone_else_is_not_believed() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let address = server(Family::V4, 0, 443);
    let _server = labelled(&net.servers[0], address, "in")?;
    let _agent = Agent::start(
        &net.gateway,
        &(listener(TRUSTING) + &route(NAME, &[address], "")),
    )
    .await?;
    let bytes = [version_1(Family::V4), hellos::asking_for(NAME)?].concat();
    let to = gateway(Family::V4, PORT);
    let got = ask(
        connect_from(&net.client, client(Family::V4, 1), to).await?,
        &bytes,
    )
    .await?;
    assert!(!matches!(got, Answer::Server(_)), "{got:?}");
    Ok(())
}

#[tokio::test]
async fn a_required_header_may_not_be_left_out() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let address = server(Family::V4, 0, 443);
    let _server = labelled(&net.servers[0], address, "in")?;
    let routes = route(NAME, &[address], "");
    let agent = Agent::start(&net.gateway, &(listener(TRUSTING) + &routes)).await?;
    let hello = hellos::asking_for(NAME)?;
    let to = gateway(Family::V4, PORT);
    let got = ask(connect(&net.client, to).await?, &hello).await?;
    assert!(!matches!(got, Answer::Server(_)), "{got:?}");
    let optional = r#"accept_proxy = { from = ["10.1.0.2"], required = false }"#;
    agent.reload(&(listener(optional) + &routes))?;
    assert_eq!(
        ask(connect(&net.client, to).await?, &hello).await?,
        Answer::server("in")
    );
    Ok(())
}

#[tokio::test]
async fn access_rules_see_the_announced_source() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let address = server(Family::V4, 0, 443);
    let _server = labelled(&net.servers[0], address, "in")?;
    let body = listener(TRUSTING) + &route(NAME, &[address], r#"deny = ["192.0.2.7"]"#);
    let _agent = Agent::start(&net.gateway, &body).await?;
    let bytes = [version_1(Family::V4), hellos::asking_for(NAME)?].concat();
    let stream = connect(&net.client, gateway(Family::V4, PORT)).await?;
    assert_eq!(ask(stream, &bytes).await?, ACCESS_DENIED);
    Ok(())
}

#[tokio::test]
async fn a_route_sends_version_2_with_the_clients_address_and_the_name() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for family in Family::BOTH {
        let net = Topology::new(1)?;
        let address = server(Family::V4, 0, 443);
        let far = listen(&net.servers[0], address)?;
        let body = listener("") + &route(NAME, &[address], "send_proxy = \"v2\"");
        let _agent = Agent::start(&net.gateway, &body).await?;
        let hello = hellos::asking_for(NAME)?;
        let mut near = connect(&net.client, gateway(family, PORT)).await?;
        near.write_all(&hello).await?;
        // PP2_TYPE_AUTHORITY (section 2.2.1): the server name, for servers that want it.
        let authority = [&[2, 0, 15], NAME.as_bytes()].concat();
        let header = version_2(near.local_addr()?, near.peer_addr()?, &authority);
        let expected = [header, hello].concat();
        assert_eq!(
            first_bytes(&far, expected.len()).await?,
            expected,
            "{family:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_route_sends_version_1_with_the_clients_address() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let address = server(Family::V4, 0, 443);
    let far = listen(&net.servers[0], address)?;
    let body = listener("") + &route(NAME, &[address], "send_proxy = \"v1\"");
    let _agent = Agent::start(&net.gateway, &body).await?;
    let hello = hellos::asking_for(NAME)?;
    let mut near = connect(&net.client, gateway(Family::V4, PORT)).await?;
    near.write_all(&hello).await?;
    let (source, to) = (near.local_addr()?, near.peer_addr()?);
    let line = format!(
        "PROXY TCP4 {} {} {} {}\r\n",
        source.ip(),
        to.ip(),
        source.port(),
        to.port()
    );
    let expected = [line.into_bytes(), hello].concat();
    assert_eq!(first_bytes(&far, expected.len()).await?, expected);
    Ok(())
}

async fn first_bytes(far: &TcpListener, length: usize) -> Result<Vec<u8>> {
    let (mut server, _agent) = wait::within("the agent's connection", far.accept()).await??;
    let mut bytes = vec![0; length];
    wait::within("header and hello", server.read_exact(&mut bytes)).await??;
    Ok(bytes)
}
