//! Many connections: while the engine takes over, and as fast as they can.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::config::PORT;
use gateway_tests::peers::{connect_from, hellos};
use gateway_tests::topology::{CLIENT_ADDRESSES, Family, client, gateway};
use gateway_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::settle;
use crate::Trial;
use crate::stream::Stream;
use crate::talk::{Ending, Side, converse_in_order};
use crate::world::{PATIENCE, Path, World, echo_name};

/// Both sides speak at once and in small pieces, so that bytes arrive at any moment of the take-over.
pub(crate) async fn insertion(trial: &mut Trial) -> Result<String> {
    let mut world = World::new(trial, "").await?;
    let mut tasks = JoinSet::new();
    let count = trial.amount(400, 20_000);
    for number in 0..count {
        let pair = world.pair(Path::GATEWAY[number % 4]).await?;
        let mut side = |most: u64| {
            let pieces = 1..trial.chance.usize(2..3000);
            Side::new(trial.draw(), trial.chance.u64(0..most)).pieces(pieces)
        };
        // Often one side only answers: who speaks first is the other's business.
        let (client, mut server) = (side(30_000), side(30_000));
        if number % 3 == 0 {
            server = server.ends(Ending::FinLast);
        }
        settle(&mut tasks, 6).await?;
        tasks.spawn(converse_in_order(pair, (client, server), PATIENCE));
    }
    settle(&mut tasks, 0).await?;
    world.rest().await?;
    Ok(format!("{count} connections{}", world.split()?))
}

/// Connections at a time in a churn.
const AT_ONCE: usize = 64;

/// Bytes that each of them exchanges.
const EXCHANGED: usize = 3000;

/// Connections as fast as they come.
pub(crate) async fn churn(trial: &mut Trial) -> Result<String> {
    let mut world = World::new(trial, "").await?;
    // Else every port that the gateway dialled from waits for a minute, and after some seconds none is left.
    world.net.gateway.sysctl("ipv4/tcp_tw_reuse", "1")?;
    let time = Duration::from_secs(trial.amount(6, 60));
    let before = world.memory()?;
    let mut tasks = JoinSet::new();
    let (began, mut count) = (Instant::now(), 0_u64);
    while began.elapsed() < time {
        let family = Family::BOTH[usize::try_from(count % 2)?];
        let stream = from_any(&world, family, count).await?;
        let seed = trial.draw();
        settle(&mut tasks, AT_ONCE).await?;
        tasks.spawn(async move {
            let stream = exchange(stream, echo_name(family), seed).await?;
            finish(stream).await
        });
        count += 1;
    }
    settle(&mut tasks, 0).await?;
    world.rest().await?;
    let after = world.check_memory(before)?;
    Ok(format!(
        "{count} connections, {:.0} a second, memory {} -> {} KiB",
        count as f64 / time.as_secs_f64(),
        before / 1024,
        after / 1024
    ))
}

/// A connection from one of the client's addresses, each of which has ports of its own.
pub(super) async fn from_any(world: &World, family: Family, number: u64) -> Result<TcpStream> {
    let nth = u8::try_from(number / 2 % u64::from(CLIENT_ADDRESSES))?;
    let source = client(family, nth);
    connect_from(&world.net.client, source, gateway(family, PORT)).await
}

/// Has the server of a name echo a hello and bytes behind it.
pub(super) async fn exchange(mut stream: TcpStream, name: &str, seed: u64) -> Result<TcpStream> {
    let mut wanted = hellos::asking_for(name)?;
    wanted.extend(Stream::new(seed).bytes(0, EXCHANGED));
    stream.write_all(&wanted).await?;
    let mut got = vec![0; wanted.len()];
    wait::within("the echo", stream.read_exact(&mut got))
        .await?
        .context("the echo broke off")?;
    ensure!(got == wanted, "bytes changed on their way");
    Ok(stream)
}

pub(super) async fn finish(mut stream: TcpStream) -> Result<()> {
    stream.shutdown().await?;
    let rest = wait::within("the end", stream.read(&mut [0; 8])).await??;
    ensure!(rest == 0, "bytes behind the last");
    Ok(())
}
