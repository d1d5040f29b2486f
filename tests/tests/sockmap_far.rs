//! The sockmap engine and a client that is far: what the path takes must be in its buffers, or it stands still
//! for a part of each round trip.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::config::PORT;
use gateway_tests::engines::Scene;
use gateway_tests::peers::transfer::{Pattern, receive_exact};
use gateway_tests::sockets::{self, Socket};
use gateway_tests::topology::{Family, Leg, Topology};
use gateway_tests::wire::Weather;
use gateway_tests::{skip, wait};
use tokio::net::TcpStream;
use tokio::time::sleep;

const ROUND_TRIP: Duration = Duration::from_millis(40);

/// The send buffer of any client, and the receive buffer of one that is far: three windows of 256 KB.
const LEAST_SEND: u64 = 512 * 1024;
const LEAST_RECEIVE: u64 = 768 * 1024;

/// Bytes each way: many times what the first buffers hold.
const BYTES: u64 = 16_000_003;

/// How often the buffers are looked at meanwhile.
const LOOK: Duration = Duration::from_millis(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_far_client_gets_the_buffers_that_its_path_takes() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for family in Family::BOTH {
        let weather = Weather::delay(ROUND_TRIP / 2);
        let (net, _wire) = Topology::in_weather(1, Leg::Client, weather, 0)?;
        let scene = Scene::on(net, "sockmap", family).await?;
        let sized = buffers_are_large(&scene, family).await;
        sized.with_context(|| format!("{family:?}"))?;
    }
    Ok(())
}

async fn buffers_are_large(scene: &Scene, family: Family) -> Result<()> {
    let mut pair = scene.pair(family).await?;
    pair.check().await?;
    wait::until("the kernel to take over", || async {
        let connections = scene.agent.json(&["connections"])?;
        Ok(connections[0]["spliced"].is_array().then_some(()))
    })
    .await?;
    let first = towards_client(scene, family)?;
    ensure!(first.receive_limit >= LEAST_RECEIVE, "{first:?}");
    ensure!(first.send_limit >= LEAST_SEND, "{first:?}");

    let mut least = u64::MAX;
    tokio::select! {
        moved = move_all(&mut pair.server, &mut pair.client) => moved?,
        failed = keep_looking(scene, family, &mut least) => match failed? {},
    }
    ensure!(
        least >= LEAST_SEND,
        "the send buffer was lowered to {least} bytes"
    );
    let down = towards_client(scene, family)?;
    ensure!(down.send_limit > LEAST_SEND, "{down:?}");

    move_all(&mut pair.client, &mut pair.server).await?;
    let up = towards_client(scene, family)?;
    ensure!(up.receive_limit > first.receive_limit, "{up:?}");
    Ok(())
}

/// Keeps the smallest size of the send buffer in `least`.
async fn keep_looking(scene: &Scene, family: Family, least: &mut u64) -> Result<Infallible> {
    loop {
        *least = towards_client(scene, family)?.send_limit.min(*least);
        sleep(LOOK).await;
    }
}

async fn move_all(from: &mut TcpStream, to: &mut TcpStream) -> Result<()> {
    let pattern = Pattern {
        seed: 9,
        length: BYTES,
    };
    let both = async { tokio::join!(pattern.send(from), receive_exact(to, BYTES)) };
    let (sent, received) = wait::within("a transfer", both).await?;
    ensure!(sent? == received?, "bytes changed on their way");
    Ok(())
}

/// The gateway's socket that has the client at its other end.
fn towards_client(scene: &Scene, family: Family) -> Result<Socket> {
    let sockets = sockets::list(&scene.net.gateway, family)?;
    let found = sockets
        .into_iter()
        .find(|socket| socket.local.port() == PORT);
    found.context("no socket to the client")
}
