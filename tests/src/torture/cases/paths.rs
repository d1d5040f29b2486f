//! Bad paths on either side of the gateway: weather, small packets only, and no path at all.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::peers::pair::Pair;
use gateway_tests::peers::{End, read_to_end};
use gateway_tests::topology::{Leg, Topology};
use gateway_tests::wait;
use gateway_tests::wire::{Weather, Wire};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use super::settle;
use crate::Trial;
use crate::stream::Stream;
use crate::talk::{Ending, Side, converse_in_order};
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
    let count = trial.amount(8, 60);
    let mut all = [0; 5];
    let trials = weathers.iter().flat_map(|weather| {
        // In the short form each weather is on one side, and in the long one on either.
        let one = trial.chance.usize(..2);
        let legs = trial.amount(&Leg::BOTH[one..=one], &Leg::BOTH);
        legs.iter().map(move |leg| (*weather, *leg))
    });
    let trials: Vec<(Weather, Leg)> = trials.collect();
    for (weather, leg) in &trials {
        let (mut world, wire) = outside(trial, *leg, *weather).await?;
        let talked = talks(trial, &world, (count, 400_000)).await;
        talked.with_context(|| format!("{leg:?}: {weather:?}"))?;
        let rested = world.rest().await;
        rested.with_context(|| format!("{leg:?}: {weather:?}"))?;
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
        trials.len() * count
    ))
}

async fn outside(trial: &mut Trial, leg: Leg, weather: Weather) -> Result<(World, Wire)> {
    let (net, wire) = Topology::in_weather(2, leg, weather, trial.draw())?;
    for space in [&net.gateway, &net.client, &net.servers[0]] {
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
        tasks.spawn(converse_in_order(pair, (client, server), PATIENCE));
    }
    settle(&mut tasks, 0).await
}

/// Conversations over a path that swallows what is larger than IPv6 promises.
pub(crate) async fn small(trial: &mut Trial) -> Result<String> {
    let weather = Weather {
        largest: Some(1280),
        ..Weather::delay(MILLISECOND)
    };
    let count = trial.amount(8, 80);
    let mut large = 0;
    for leg in Leg::BOTH {
        let (mut world, wire) = outside(trial, leg, weather).await?;
        let talked = talks(trial, &world, (count, 300_000)).await;
        talked.with_context(|| format!("{leg:?}"))?;
        world.rest().await.with_context(|| format!("{leg:?}"))?;
        let dropped = wire.tally().large.load(Ordering::Relaxed);
        ensure!(dropped > 0, "{leg:?}: no packet was too large");
        large += dropped;
    }
    Ok(format!(
        "{} conversations, {large} packets too large",
        count * Leg::BOTH.len()
    ))
}

/// Clients or servers vanish: the other side is told by a reset, and nothing is left in the gateway.
pub(crate) async fn vanished(trial: &mut Trial) -> Result<String> {
    let mut told = 0;
    for _ in 0..trial.amount(1, 5) {
        for leg in Leg::BOTH {
            let vanished = vanish(trial, leg).await;
            told += vanished.with_context(|| format!("{leg:?}"))?;
        }
    }
    Ok(format!("{told} told that the other side was gone"))
}

/// Connections whose other side is gone from one moment to the next.
async fn vanish(trial: &mut Trial, leg: Leg) -> Result<usize> {
    let (mut world, wire) = outside(trial, leg, Weather::default()).await?;
    // Retransmissions give up after seconds and not after a quarter of an hour.
    world.net.gateway.sysctl("ipv4/tcp_retries2", "4")?;
    let mut left = JoinSet::new();
    let mut gone = Vec::new();
    for number in 0..16 {
        let mut pair = world.pair(Path::GATEWAY[number % 4]).await?;
        pair.check().await?;
        let Pair { client, server } = pair;
        let (goes, mut stays) = match leg {
            Leg::Client => (client, server),
            Leg::Server => (server, client),
        };
        let seed = trial.draw();
        gone.push(goes);
        left.spawn(async move {
            // Half of them rest; the others have bytes on their way.
            if number % 8 < 4 {
                let bytes = Stream::new(seed).bytes(0, 100_000);
                stays.write_all(&bytes).await?;
            }
            let mut rest = Vec::new();
            let end = read_to_end(&mut stays, &mut rest);
            let end = wait::within("the end", end).await??;
            ensure!(end == End::Reset, "who vanished ended by {end:?}");
            Ok(())
        });
    }
    wire.cut(true);
    let told = left.len();
    settle(&mut left, 0).await?;
    world.rest().await?;
    drop(gone);
    Ok(told)
}
