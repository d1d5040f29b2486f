//! Bad paths between client and gateway: weather, small packets only, and no path at all.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::peers::pair::Pair;
use gateway_tests::peers::{End, read_to_end};
use gateway_tests::topology::Topology;
use gateway_tests::wait;
use gateway_tests::wire::{Weather, Wire};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use super::settle;
use crate::Trial;
use crate::stream::Stream;
use crate::talk::{Ending, Side, converse, in_order};
use crate::world::{Path, World};

const MILLISECOND: Duration = Duration::from_millis(1);

/// How long a conversation may take: retransmissions back off to seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// Conversations in weathers of all kinds, and of all kinds at once.
pub(crate) async fn weather(trial: &mut Trial) -> Result<String> {
    let clear = Weather::delay(MILLISECOND);
    let weathers = [
        Weather { lost: 30, ..clear },
        Weather { late: 200, ..clear },
        Weather {
            doubled: 100,
            ..clear
        },
        Weather {
            marked: 50,
            ..clear
        },
        Weather::delay(40 * MILLISECOND),
        Weather::delay(150 * MILLISECOND),
        Weather {
            delay: 5 * MILLISECOND,
            lost: 10,
            doubled: 20,
            late: 100,
            marked: 20,
            largest: None,
        },
    ];
    let count = trial.amount(8, 120);
    let mut all = [0; 5];
    for weather in weathers {
        let (mut world, wire) = outside(trial, weather).await?;
        let talked = talks(trial, &world, (count, 400_000)).await;
        talked.with_context(|| format!("{weather:?}"))?;
        world.rest().await.with_context(|| format!("{weather:?}"))?;
        let tally = wire.tally();
        let counts = [
            &tally.frames,
            &tally.lost,
            &tally.doubled,
            &tally.late,
            &tally.marked,
        ];
        for (sum, count) in all.iter_mut().zip(counts) {
            *sum += count.load(Ordering::Relaxed);
        }
    }
    let [frames, lost, doubled, late, marked] = all;
    let happened = all.iter().all(|count| *count > 0);
    ensure!(happened, "the weather was fine: {all:?}");
    Ok(format!(
        "{} conversations, {frames} frames: {lost} lost, {doubled} doubled, {late} late, {marked} marked",
        weathers.len() * count
    ))
}

async fn outside(trial: &mut Trial, weather: Weather) -> Result<(World, Wire)> {
    let (net, wire) = Topology::in_weather(2, weather, trial.draw())?;
    for space in [&net.gateway, &net.client] {
        // Else no TCP finds out that large packets are dropped.
        space.sysctl("ipv4/tcp_mtu_probing", "1")?;
        // Else none asks to be told of congestion.
        space.sysctl("ipv4/tcp_ecn", "1")?;
    }
    let world = World::on(net, trial, "limits { keepalive = \"1s\" }").await?;
    Ok((world, wire))
}

/// So many conversations of up to so many bytes each way, all of which end in order.
async fn talks(trial: &mut Trial, world: &World, (count, most): (usize, u64)) -> Result<()> {
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let pair = world.pair(Path::GATEWAY[number % 4]).await?;
        let mut side = || Side::new(trial.draw(), trial.chance.u64(0..most));
        let (client, mut server) = (side(), side());
        if number % 2 == 0 {
            server = server.ends(Ending::FinLast);
        }
        settle(&mut tasks, 16).await?;
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
    settle(&mut tasks, 0).await
}

/// Conversations over a path that swallows what is larger than IPv6 promises.
pub(crate) async fn small(trial: &mut Trial) -> Result<String> {
    let weather = Weather {
        largest: Some(1280),
        ..Weather::delay(MILLISECOND)
    };
    let (mut world, wire) = outside(trial, weather).await?;
    let count = trial.amount(8, 200);
    talks(trial, &world, (count, 300_000)).await?;
    world.rest().await?;
    let large = wire.tally().large.load(Ordering::Relaxed);
    ensure!(large > 0, "no packet was too large");
    Ok(format!("{count} conversations, {large} packets too large"))
}

/// Clients vanish: the server is told by a reset, and nothing is left in the gateway.
pub(crate) async fn vanished(trial: &mut Trial) -> Result<String> {
    let rounds = trial.amount(1, 10);
    let mut told = 0;
    for _ in 0..rounds {
        let (mut world, wire) = outside(trial, Weather::default()).await?;
        // Retransmissions give up after seconds and not after a quarter of an hour.
        world.net.gateway.sysctl("ipv4/tcp_retries2", "4")?;
        let mut servers = JoinSet::new();
        let mut clients = Vec::new();
        for number in 0..16 {
            let mut pair = world.pair(Path::GATEWAY[number % 4]).await?;
            pair.check().await?;
            let Pair { client, mut server } = pair;
            let seed = trial.draw();
            clients.push(client);
            servers.spawn(async move {
                // Half of them rest; the others have bytes on their way.
                if number % 8 < 4 {
                    let bytes = Stream::new(seed).bytes(0, 100_000);
                    server.write_all(&bytes).await?;
                }
                let mut rest = Vec::new();
                let end = read_to_end(&mut server, &mut rest);
                let end = wait::within("the end", end).await??;
                ensure!(end == End::Reset, "a vanished client ended by {end:?}");
                Ok(())
            });
        }
        wire.cut(true);
        told += servers.len();
        settle(&mut servers, 0).await?;
        world.rest().await?;
        drop(clients);
    }
    Ok(format!("{told} servers told of clients that were gone"))
}
