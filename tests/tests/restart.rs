//! A crash and a restart under a unit with a descriptor store: who comes meanwhile only waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use gateway_tests::agent::{Agent, Setup};
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::peers::label::{Answer, ask, labelled};
use gateway_tests::peers::{Server, connect, hellos, listen};
use gateway_tests::topology::{Family, Topology, gateway, server};
use gateway_tests::{skip, wait};

const NAME: &str = "web.example.com";

struct Scene {
    net: Arc<Topology>,
    agent: Agent,
    _server: Server,
}

impl Scene {
    async fn new() -> Result<Self> {
        let net = Topology::new(1)?;
        let labelled = labelled(&net.servers[0], server(Family::V4, 0, 443), "in")?;
        let agent = Setup::new(&net.gateway)
            .descriptor_store()
            .start(&body())
            .await?;
        wait::until("sockets in the store", || {
            let stored = agent.stored();
            async { Ok((stored? > 0).then_some(())) }
        })
        .await?;
        Ok(Self {
            net: Arc::new(net),
            agent,
            _server: labelled,
        })
    }
}

fn body() -> String {
    listener("") + &route(NAME, &[server(Family::V4, 0, 443)], "")
}

async fn ask_once(net: &Topology, family: Family) -> Result<Answer> {
    ask(
        connect(&net.client, gateway(family, PORT)).await?,
        &hellos::asking_for(NAME)?,
    )
    .await
}

#[tokio::test]
async fn clients_that_come_while_the_agent_is_dead_are_served_by_the_next_one() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut scene = Scene::new().await?;
    scene.agent.process().kill()?;
    let waiting: Vec<_> = (0..20)
        .map(|n| {
            let net = Arc::clone(&scene.net);
            let family = Family::BOTH[n % 2];
            tokio::spawn(async move { ask_once(&net, family).await })
        })
        .collect();
    // All of them are in the queues before there is anybody to take them.
    wait::until("clients to queue", || async {
        waiting_connections(&scene.net)
    })
    .await?;
    scene.agent.restart(&scene.net.gateway).await?;
    for client in waiting {
        assert_eq!(client.await??, Answer::server("in"));
    }
    Ok(())
}

/// Whether twenty connections to the gateway's port are established and nobody's.
fn waiting_connections(net: &Topology) -> Result<Option<()>> {
    let _inside = net.gateway.enter()?;
    let mut established = 0;
    for table in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{table}"))?;
        let port = format!(":{PORT:04X}");
        established += text
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace().skip(1);
                Some((words.next()?, words.nth(1)?))
            })
            .filter(|(local, state)| local.ends_with(&port) && *state == "01")
            .count();
    }
    Ok((established >= 20).then_some(()))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_refused_over_kills_and_restarts() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut scene = Scene::new().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|n| {
            let (net, stop) = (Arc::clone(&scene.net), Arc::clone(&stop));
            tokio::spawn(keep_connecting(net, Family::BOTH[n % 2], stop))
        })
        .collect();
    for _ in 0..5 {
        scene.agent.process().kill()?;
        scene.agent.restart(&scene.net.gateway).await?;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await??;
    }
    assert_eq!(
        ask_once(&scene.net, Family::V4).await?,
        Answer::server("in")
    );
    Ok(())
}

/// Connects again and again. A connection that the killed agent had already taken dies with it;
/// one that is refused was lost by us.
async fn keep_connecting(net: Arc<Topology>, family: Family, stop: Arc<AtomicBool>) -> Result<()> {
    let mut served = 0;
    while !stop.load(Ordering::Relaxed) {
        let stream = connect(&net.client, gateway(family, PORT)).await?;
        if matches!(
            ask(stream, &hellos::asking_for(NAME)?).await,
            Ok(Answer::Server(_))
        ) {
            served += 1;
        }
    }
    ensure!(served > 0, "no connection was ever served");
    Ok(())
}

#[tokio::test]
async fn a_restart_in_order_hands_the_listeners_on() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut scene = Scene::new().await?;
    assert_eq!(scene.agent.stop().await?.code(), Some(0));
    let net = Arc::clone(&scene.net);
    let waiting = tokio::spawn(async move { ask_once(&net, Family::V4).await });
    scene.agent.restart(&scene.net.gateway).await?;
    assert_eq!(waiting.await??, Answer::server("in"));
    Ok(())
}

#[tokio::test]
async fn a_socket_of_a_socket_unit_is_used() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let _server = labelled(&net.servers[0], server(Family::V4, 0, 443), "in")?;
    // Bound without SO_REUSEPORT: an agent that bound the address itself would fail.
    let bound = listen(&net.gateway, gateway(Family::V4, PORT))?.into_std()?;
    let agent = Setup::new(&net.gateway)
        .hand("tls", bound.into())
        .start(&body())
        .await?;
    assert_eq!(ask_once(&net, Family::V4).await?, Answer::server("in"));
    drop(agent);
    Ok(())
}
