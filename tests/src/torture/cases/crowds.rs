//! Many connections: while the engine takes over, as fast as they can, and more than fit.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::config::PORT;
use gateway_tests::peers::{connect_from, hellos};
use gateway_tests::topology::{CLIENT_ADDRESSES, Family, client, gateway};
use gateway_tests::wait;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::settle;
use crate::Trial;
use crate::stream::Stream;
use crate::talk::{Ending, Side, converse, in_order};
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
        tasks.spawn(async move {
            let views = converse(pair, (&client, &server), PATIENCE).await;
            let views = views.with_context(|| format!("{client:?}, {server:?}"))?;
            ensure!(
                views == in_order(&client, &server),
                "{views:?}: {client:?}, {server:?}"
            );
            Ok(())
        });
    }
    settle(&mut tasks, 0).await?;
    world.rest().await?;
    Ok(format!("{count} connections"))
}

/// Connections at a time in a churn.
const AT_ONCE: usize = 64;

/// Bytes that each of them exchanges.
const EXCHANGED: usize = 3000;

/// Connections as fast as they come.
pub(crate) async fn churn(trial: &mut Trial) -> Result<String> {
    let mut world = World::new(trial, "").await?;
    let time = Duration::from_secs(trial.amount(6, 120));
    let before = world.memory()?;
    let mut tasks = JoinSet::new();
    let (began, mut count) = (Instant::now(), 0_u64);
    while began.elapsed() < time {
        let family = Family::BOTH[usize::try_from(count % 2)?];
        let stream = from_any(&world, family, count).await?;
        let seed = trial.draw();
        settle(&mut tasks, AT_ONCE).await?;
        tasks.spawn(async move {
            let stream = exchange(stream, family, seed).await?;
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
async fn from_any(world: &World, family: Family, number: u64) -> Result<TcpStream> {
    let nth = u8::try_from(number / 2 % u64::from(CLIENT_ADDRESSES))?;
    let source = client(family, nth);
    connect_from(&world.net.client, source, gateway(family, PORT)).await
}

/// Has a server echo a hello and bytes behind it.
async fn exchange(mut stream: TcpStream, family: Family, seed: u64) -> Result<TcpStream> {
    let mut wanted = hellos::asking_for(echo_name(family))?;
    wanted.extend(Stream::new(seed).bytes(0, EXCHANGED));
    stream.write_all(&wanted).await?;
    let mut got = vec![0; wanted.len()];
    wait::within("the echo", stream.read_exact(&mut got))
        .await?
        .context("the echo broke off")?;
    ensure!(got == wanted, "bytes changed on their way");
    Ok(stream)
}

async fn finish(mut stream: TcpStream) -> Result<()> {
    stream.shutdown().await?;
    let rest = wait::within("the end", stream.read(&mut [0; 8])).await??;
    ensure!(rest == 0, "bytes behind the last");
    Ok(())
}

/// The limit of connections in the configuration of the case.
const LIMIT: usize = 40;

/// More connections than the configuration and the descriptors allow.
pub(crate) async fn limits(trial: &mut Trial) -> Result<String> {
    let limited = format!("limits {{ connections = {LIMIT} }}");
    let mut world = World::new(trial, &limited).await?;
    let (mut served, mut refused) = (0, 0);
    for _ in 0..trial.amount(3, 50) {
        let (open, turned_away) = crowd(trial, &world, LIMIT * 2).await?;
        ensure!(
            open.len() == LIMIT,
            "{} were served, and the limit is {LIMIT}",
            open.len()
        );
        (served, refused) = (served + open.len(), refused + turned_away);
        for stream in open {
            finish(stream).await?;
        }
        world.rest().await?;
    }
    let mut world = World::new(trial, "").await?;
    for _ in 0..trial.amount(3, 50) {
        let descriptors = u64::try_from(world.descriptors()?)? + 50;
        let before = limit_descriptors(&mut world, Some(descriptors))?;
        let (open, turned_away) = crowd(trial, &world, 100).await?;
        (served, refused) = (served + open.len(), refused + turned_away);
        limit_descriptors(&mut world, before)?;
        for stream in open {
            finish(stream).await?;
        }
        world.rest().await?;
        // All that had to wait for descriptors is over: everybody is served again.
        let (open, turned_away) = crowd(trial, &world, 30).await?;
        ensure!(
            turned_away == 0,
            "{turned_away} refused though there is room"
        );
        drop(open);
        world.rest().await?;
    }
    Ok(format!("{served} served, {refused} turned away"))
}

/// Opens connections and keeps those that are served; how many were not.
async fn crowd(trial: &mut Trial, world: &World, count: usize) -> Result<(Vec<TcpStream>, usize)> {
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let family = Family::BOTH[number % 2];
        let stream = from_any(world, family, number as u64).await?;
        let seed = trial.draw();
        // Without descriptors a connection waits in the queue of the listener.
        let patience = Duration::from_secs(2);
        tasks.spawn(async move { timeout(patience, exchange(stream, family, seed)).await });
    }
    let (mut open, mut refused) = (Vec::new(), 0);
    while let Some(ended) = tasks.join_next().await {
        match ended? {
            Ok(Ok(stream)) => open.push(stream),
            Ok(Err(error)) if format!("{error:#}").contains("changed") => return Err(error),
            Ok(Err(_)) | Err(_) => refused += 1,
        }
    }
    Ok((open, refused))
}

/// Sets the most descriptors that the agent may open; what it was before.
fn limit_descriptors(world: &mut World, most: Option<u64>) -> Result<Option<u64>> {
    let id = i32::try_from(world.agent.process().id())?;
    let id = Pid::from_raw(id).context("a process has a number")?;
    let most = Rlimit {
        current: most,
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let before = prlimit(Some(id), Resource::Nofile, most).context("cannot limit descriptors")?;
    Ok(before.current)
}
