//! More than fits: connections, descriptors, ports, and rows of the kernel half's maps.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::config::route;
use gateway_tests::topology::{Family, server};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::crowds::{exchange, finish, from_any};
use super::settle;
use crate::Trial;
use crate::world::{World, echo_name};

/// The limit of connections in the configuration of the case.
const LIMIT: usize = 40;

/// Ports that the gateway may dial from, towards each server.
const PORTS: usize = 20;

/// More connections than the configuration, the descriptors and the ports allow.
pub(crate) async fn limits(trial: &mut Trial) -> Result<String> {
    let counts = [
        configured(trial).await?,
        descriptors(trial).await?,
        ports(trial).await?,
    ];
    let [served, refused] = [0, 1].map(|of| counts.iter().map(|count| count[of]).sum::<usize>());
    Ok(format!("{served} served, {refused} turned away"))
}

/// As many are served as the configuration says, and as soon as they have ended, others.
async fn configured(trial: &mut Trial) -> Result<[usize; 2]> {
    let limited = format!("limits {{ connections = {LIMIT} }}");
    let mut world = World::new(trial, &limited).await?;
    let (mut served, mut refused) = (0, 0);
    for _ in 0..trial.amount(3, 25) {
        let (open, turned_away) = crowd(trial, &world, LIMIT * 2).await?;
        ensure!(
            open.len() == LIMIT,
            "{} were served, and the limit is {LIMIT}",
            open.len()
        );
        (served, refused) = (served + open.len(), refused + turned_away);
        leave(open).await?;
        world.rest().await?;
    }
    Ok([served, refused])
}

/// Without descriptors some wait or are turned away, and everybody is served again with them.
async fn descriptors(trial: &mut Trial) -> Result<[usize; 2]> {
    let mut world = World::new(trial, "").await?;
    let (mut served, mut refused) = (0, 0);
    for _ in 0..trial.amount(3, 25) {
        let few = u64::try_from(world.descriptors()?)? + 50;
        let before = limit_descriptors(&mut world, Some(few))?;
        let (open, turned_away) = crowd(trial, &world, 100).await?;
        (served, refused) = (served + open.len(), refused + turned_away);
        limit_descriptors(&mut world, before)?;
        leave(open).await?;
        world.rest().await?;
        all_served(trial, &mut world).await?;
    }
    Ok([served, refused])
}

/// Each port serves one connection to each server; the others are told that there is none.
async fn ports(trial: &mut Trial) -> Result<[usize; 2]> {
    let mut world = World::new(trial, "").await?;
    let range = "ipv4/ip_local_port_range";
    let few = format!("40000 {}", 40_000 + PORTS - 1);
    world.net.gateway.sysctl(range, &few)?;
    let (open, refused) = crowd(trial, &world, PORTS * 4).await?;
    let served = open.len();
    ensure!(
        served == PORTS * Family::BOTH.len(),
        "{served} were served by {PORTS} ports towards each of two servers"
    );
    leave(open).await?;
    world.rest().await?;
    world.net.gateway.sysctl(range, "32768 60999")?;
    all_served(trial, &mut world).await?;
    Ok([served, refused])
}

/// What was short is there again: nobody may be turned away.
async fn all_served(trial: &mut Trial, world: &mut World) -> Result<()> {
    let (open, turned_away) = crowd(trial, world, 30).await?;
    ensure!(
        turned_away == 0,
        "{turned_away} refused though there is room"
    );
    drop(open);
    world.rest().await
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
        let exchanged = exchange(stream, echo_name(family), seed);
        tasks.spawn(async move { timeout(patience, exchanged).await });
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

async fn leave(open: Vec<TcpStream>) -> Result<()> {
    for stream in open {
        finish(stream).await?;
    }
    Ok(())
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

/// Services that the kernel half's maps have rows for (`ROUTES` of the shared layout).
const ROWS: usize = 16_384;

/// Services beyond that.
const BEYOND: usize = 64;

/// Connections at a time.
const AT_ONCE: usize = 64;

/// A connection to each of more services than the kernel half's maps hold: who finds no row there is
/// served all the same.
pub(crate) async fn full_maps(trial: &mut Trial) -> Result<String> {
    let count = ROWS + BEYOND;
    let name = |number: usize| format!("n{number}.full.example.com");
    let mut more = String::new();
    for number in 0..count {
        let echo = server(Family::BOTH[number % 2], 0, 7);
        more += &route(&name(number), &[echo], "");
    }
    let mut world = World::new(trial, &more).await?;
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let stream = from_any(&world, Family::BOTH[number % 2], number as u64).await?;
        let (name, seed) = (name(number), trial.draw());
        settle(&mut tasks, AT_ONCE).await?;
        tasks.spawn(async move {
            // The kernel takes over behind the first bytes: only who stays takes a row.
            let stream = exchange(stream, &name, seed).await?;
            finish(exchange(stream, &name, seed).await?).await
        });
    }
    settle(&mut tasks, 0).await?;
    world.rest().await?;
    if !world.has_maps() {
        return Ok(format!("{count} services"));
    }
    let rows = world.rows("SPLICE_ROUTES")?;
    ensure!(
        rows == ROWS,
        "{rows} of {ROWS} rows are taken by {count} services"
    );
    Ok(format!(
        "{count} services, {rows} rows: no room for {BEYOND}"
    ))
}
