//! Everything at once for long, and then nothing may be left.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::peers::pair::Pair;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::settle;
use crate::Trial;
use crate::kernel::Slab;
use crate::talk::{Ending, Reading, Side, converse, in_order};
use crate::world::{PATIENCE, Path, World};

/// Conversations at a time.
const AT_ONCE: usize = 24;

/// Conversations that pay for what all share: threads, pipes, buffers that are kept.
const FIRST: u64 = 300;

/// Conversations of all kinds; memory, descriptors, map entries and slab return to what they were.
pub(crate) async fn soak(trial: &mut Trial) -> Result<String> {
    let mut world = World::new(trial, "").await?;
    let time = Duration::from_secs(trial.amount(20, 8 * 60));
    let mut bytes = some(trial, &world, (Duration::ZERO, FIRST)).await?.1;
    world.rest().await?;
    let before = (world.memory()?, world.descriptors()?);
    let slab = Slab::now()?;
    let (count, more) = some(trial, &world, (time, FIRST)).await?;
    bytes += more;
    world.rest().await?;
    let after = (world.check_memory(before.0)?, world.descriptors()?);
    ensure!(
        after.1 <= before.1 + 2 * 64,
        "descriptors grew from {} to {} over {count} conversations",
        before.1,
        after.1
    );
    let regained = slab.regained().await?;
    Ok(format!(
        "{count} conversations, {} MB; memory {} -> {} KiB, descriptors {} -> {}, socket objects {} -> {}, slab {} -> {} \
         KiB",
        bytes / 1_000_000,
        before.0 / 1024,
        after.0 / 1024,
        before.1,
        after.1,
        slab.objects,
        regained.objects,
        slab.bytes / 1024,
        regained.bytes / 1024
    ))
}

/// Conversations for so long, and at least so many: how many, and the bytes of them.
async fn some(
    trial: &mut Trial,
    world: &World,
    (time, least): (Duration, u64),
) -> Result<(u64, u64)> {
    let mut tasks = JoinSet::new();
    let (began, mut count, mut bytes) = (Instant::now(), 0, 0);
    while began.elapsed() < time || count < least {
        let path = Path::GATEWAY[trial.chance.usize(..4)];
        let pair = world.pair(path).await?;
        let (client, server) = (any(trial), any(trial));
        bytes += client.sends + server.sends;
        world.explain(settle(&mut tasks, AT_ONCE).await)?;
        tasks.spawn(one(pair, client, server));
        count += 1;
    }
    world.explain(settle(&mut tasks, 0).await)?;
    Ok((count, bytes))
}

/// Some side.
fn any(trial: &mut Trial) -> Side {
    let chance = &mut trial.chance;
    let most = [1, 2000, 50_000, 50_000, 500_000, 4_000_000][chance.usize(..6)];
    let sends = chance.u64(..most);
    let ends = match chance.u8(..8) {
        0 => Ending::Reset,
        1 => Ending::ResetAtOnce,
        2 | 3 => Ending::FinLast,
        _ => Ending::Fin,
    };
    let pause = Duration::from_millis(chance.u64(1..30));
    let reads = match chance.u8(..6) {
        0 => Reading::Stops {
            at: chance.u64(..1 + most),
            time: pause * 10,
        },
        // The longest stream in seconds, far below the patience.
        1 => Reading::Sips {
            bytes: chance.usize(20_000..65_536),
            pause,
        },
        _ => Reading::Eager,
    };
    let pieces = 1..chance.usize(2..100_000);
    Side::new(chance.u64(..), sends)
        .ends(ends)
        .reads(reads)
        .pieces(pieces)
}

async fn one(pair: Pair, client: Side, server: Side) -> Result<()> {
    let (client, server) = settled(client, server);
    let views = converse(pair, (&client, &server), PATIENCE).await;
    let views = views.with_context(|| format!("{client:?}, {server:?}"))?;
    let resets = |side: &Side| matches!(side.ends, Ending::Reset | Ending::ResetAtOnce);
    ensure!(
        resets(&client) || resets(&server) || views == in_order(&client, &server),
        "{views:?}: {client:?}, {server:?}"
    );
    Ok(())
}

/// Not both may wait for the other's end.
fn settled(client: Side, mut server: Side) -> (Side, Side) {
    if client.ends == Ending::FinLast && server.ends == Ending::FinLast {
        server.ends = Ending::Fin;
    }
    (client, server)
}
