//! Numbers of a live agent: right after known traffic, and bounded whatever clients send.

use std::net::SocketAddr;

use anyhow::Result;
use gateway_tests::agent::{Agent, Setup};
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::netns::Namespace;
use gateway_tests::peers::label::{ask, labelled};
use gateway_tests::peers::pair::{Pair, cross};
use gateway_tests::peers::{Server, connect, hellos, listen};
use gateway_tests::topology::{Family, Topology, gateway, server};
use gateway_tests::{skip, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const NAME: &str = "web.example.com";

struct Scene {
    net: Topology,
    agent: Agent,
    _server: Server,
}

impl Scene {
    async fn new() -> Result<Self> {
        let net = Topology::new(1)?;
        let address = server(Family::V4, 0, 443);
        let labelled = labelled(&net.servers[0], address, "in")?;
        let agent = Agent::start(&net.gateway, &body()).await?;
        Ok(Self {
            net,
            agent,
            _server: labelled,
        })
    }

    async fn ask_for(&self, name: &str) -> Result<()> {
        let stream = connect(&self.net.client, gateway(Family::V4, PORT)).await?;
        ask(stream, &hellos::asking_for(name)?).await.map(drop)
    }
}

fn body() -> String {
    listener("") + &route(NAME, &[server(Family::V4, 0, 443)], "")
}

async fn reaches(agent: &Agent, sample: &str, value: f64) -> Result<()> {
    wait::until(sample, || {
        let now = agent.metric(sample);
        async move { Ok(((now? - value).abs() < f64::EPSILON).then_some(())) }
    })
    .await
}

#[tokio::test]
async fn connections_are_counted_by_listener_route_and_reason() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new().await?;
    for _ in 0..4 {
        scene.ask_for(NAME).await?;
    }
    scene.ask_for("nobody.example.com").await?;
    let ended = |route: &str, reason: &str| {
        format!(
            "culvert_connections_total{{listener=\"tls\",route=\"{route}\",reason=\"{reason}\"}}"
        )
    };
    reaches(&scene.agent, &ended(NAME, "finished"), 4.0).await?;
    reaches(&scene.agent, &ended("", "unknown_name"), 1.0).await?;
    reaches(
        &scene.agent,
        "culvert_refused_total{reason=\"unknown_name\"}",
        1.0,
    )
    .await
}

#[tokio::test]
async fn bytes_of_an_open_connection_are_counted() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let far = listen(&net.servers[0], server(Family::V4, 0, 443))?;
    let agent = Agent::start(&net.gateway, &body()).await?;
    let mut pair = Pair::join(&net.client, gateway(Family::V4, PORT), NAME, &far).await?;
    cross(&mut pair.server, &mut pair.client, &[7; 5000]).await?;
    let bytes = format!("culvert_bytes_total{{route=\"{NAME}\",direction=\"downstream\"}}");
    reaches(&agent, &bytes, 5000.0).await?;
    reaches(
        &agent,
        &format!("culvert_connections_active{{route=\"{NAME}\"}}"),
        1.0,
    )
    .await
}

#[tokio::test]
async fn names_that_clients_send_never_become_labels() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new().await?;
    for n in 0..20 {
        scene.ask_for(&format!("made-up-{n}.example.com")).await?;
    }
    reaches(
        &scene.agent,
        "culvert_refused_total{reason=\"unknown_name\"}",
        20.0,
    )
    .await?;
    let (status, text) = scene.agent.admin("GET", "/metrics", "")?;
    assert_eq!(status, 200);
    assert!(!text.contains("made-up"), "{text}");
    assert!(text.trim_end().ends_with("# EOF"), "not OpenMetrics");
    Ok(())
}

#[tokio::test]
async fn the_metrics_address_serves_numbers_and_health_and_nothing_else() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    for address in ["127.0.0.1:9102", "[::1]:9102"] {
        let address = address.parse()?;
        let setup = Setup::new(&net.gateway).metrics(address);
        let mut agent = setup.start(&body()).await?;
        for (path, expected) in [
            ("/health", "200 OK"),
            ("/ready", "200 OK"),
            ("/metrics", "200 OK"),
            ("/status", "404 Not Found"),
            ("/connections", "404 Not Found"),
        ] {
            let status = get(&net.gateway, address, path).await?;
            assert_eq!(
                status,
                format!("HTTP/1.1 {expected}"),
                "{path} at {address}"
            );
        }
        agent.stop().await?;
    }
    Ok(())
}

/// The status line of an answer.
async fn get(namespace: &Namespace, address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = connect(namespace, address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: culvert\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    wait::within("the answer", stream.read_to_string(&mut answer)).await??;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
