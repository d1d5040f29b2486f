//! How streams end, compared with a connection that has no gateway on its way.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::config::PORT;
use gateway_tests::peers::{connect, reset};
use gateway_tests::topology::{Family, gateway};
use tokio::io::AsyncWriteExt as _;

use crate::Trial;
use crate::hello::Hello;
use crate::talk::{Ending, Reading, Seen, Side};
use crate::world::{Path, World, name};

/// What one side sends: nothing, next to nothing, some segments, and more than any one buffer.
const SENDS: [u64; 4] = [0, 1, 20_000, 3_000_000];

/// Ends in order: each side by FIN, early or last, with bytes pending or none.
pub(crate) async fn in_order(trial: &mut Trial) -> Result<String> {
    let mut world = World::new(trial, "").await?;
    let mut count = 0_usize;
    for round in 0..trial.amount(1, 12) {
        for up in SENDS {
            for down in SENDS {
                for ends in [
                    [Ending::Fin, Ending::Fin],
                    [Ending::Fin, Ending::FinLast],
                    [Ending::FinLast, Ending::Fin],
                ] {
                    let mut side = |sends: u64, ends| {
                        let exact = sends + trial.chance.u64(0..1 + sends / 10);
                        let side = Side::new(trial.draw(), exact).ends(ends);
                        match trial.chance.u8(0..4) {
                            0 => side.reads(Reading::Stops {
                                at: trial.chance.u64(0..100_000),
                                time: Duration::from_millis(trial.chance.u64(0..100)),
                            }),
                            _ => side,
                        }
                    };
                    let (client, server) = (side(up, ends[0]), side(down, ends[1]));
                    let path = Path::GATEWAY[(count + round) % 4];
                    world.same(path, (&client, &server)).await?;
                    count += 1;
                }
            }
        }
    }
    world.rest().await?;
    Ok(format!("{count} conversations, each as without a gateway"))
}

/// Resets: in the hello, right behind it, in the middle, after a half-close, by both.
pub(crate) async fn resets(trial: &mut Trial) -> Result<String> {
    let mut world = World::new(trial, "").await?;
    let rounds = trial.amount(6, 120);
    let mut count = in_hello(trial, &world).await?;
    for round in 0..rounds {
        let path = Path::GATEWAY[round % 4];
        for sends in SENDS {
            for client_resets in [true, false] {
                // All is acknowledged, to the sender, before: the survivor must get all of it.
                let going = Side::new(trial.draw(), sends).ends(Ending::Reset);
                let left = Side::new(trial.draw(), 0).ends(Ending::FinLast);
                let sides = ordered(client_resets, &going, &left);
                world.same(path, sides).await?;
                // What is not acknowledged may be lost; that it was an abort may not.
                let going = going.ends(Ending::ResetAtOnce);
                let left = Side::new(trial.draw(), trial.chance.u64(0..SENDS[3]));
                let left = left.ends(Ending::FinLast);
                let sides = ordered(client_resets, &going, &left);
                let views = world.converse(path, sides).await?;
                let seen = views[usize::from(client_resets)].end;
                ensure!(
                    seen == Seen::Reset,
                    "an end in order where a reset was due: {views:?}, {sides:?}"
                );
                // One side has ended its stream; the other one aborts.
                let left = Side::new(trial.draw(), 1000);
                let going = Side::new(trial.draw(), sends.min(1000)).ends(Ending::Reset);
                let sides = ordered(client_resets, &going, &left);
                let views = world.converse(path, sides).await?;
                let seen = views[usize::from(client_resets)].end;
                ensure!(
                    seen == Seen::Reset,
                    "an end in order where a reset was due after a half-close: {views:?}, {sides:?}"
                );
                count += 3;
            }
        }
        let both = |seed| Side::new(seed, SENDS[2]).ends(Ending::ResetAtOnce);
        let sides = (both(trial.draw()), both(trial.draw()));
        world.converse(path, (&sides.0, &sides.1)).await?;
        count += 1;
    }
    world.rest().await?;
    Ok(format!("{count} resets"))
}

fn ordered<'a>(swap: bool, going: &'a Side, left: &'a Side) -> (&'a Side, &'a Side) {
    match swap {
        true => (going, left),
        false => (left, going),
    }
}

/// The client resets within its hello, or right behind it.
async fn in_hello(trial: &mut Trial, world: &World) -> Result<u64> {
    let mut count = 0;
    for family in Family::BOTH {
        let hello = Hello::asking_for(name(family).as_bytes()).bytes();
        for _ in 0..trial.amount(50, 1000) {
            let mut client = connect(&world.net.client, gateway(family, PORT)).await?;
            let length = trial.chance.usize(0..hello.len());
            client.write_all(&hello[..length]).await?;
            reset(client).context("cannot reset")?;
            count += 1;
        }
    }
    Ok(count)
}
