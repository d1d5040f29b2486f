//! Two sockets become one stream: nothing is lost, changed or reordered.
//!
//! Each test runs on every engine; client and server must not be able to tell which. How streams
//! end is in `ends.rs`.

use std::time::Duration;

use anyhow::{Result, ensure};
use gateway_tests::agent::Agent;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::engines::{ENGINES, NAME, Scene, on_each_engine};
use gateway_tests::peers::pair::{Pair, cross};
use gateway_tests::peers::transfer::{Pattern, receive, transfer};
use gateway_tests::peers::{Server, connect, hellos};
use gateway_tests::topology::{Family, Topology, gateway, server};
use gateway_tests::{skip, wait};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Concurrent connections of the crowd test: four sockets each in this process, four in the
/// agent's with pipes, both well below 20 000 descriptors.
const CROWD: usize = 2_000;

/// Lengths around the sizes of segments, pages, pipes and buffers, up to 256 MiB.
const LENGTHS: &[u64] = &[
    1,
    2,
    1_447,
    1_448,
    4_095,
    4_096,
    4_097,
    65_535,
    65_536,
    65_537,
    1_000_003,
    16 * 1024 * 1024 + 1,
    256 * 1024 * 1024,
];

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_any_length_are_byte_exact() -> Result<()> {
    any_length_is_byte_exact(|pair| (pair.client, pair.server)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_of_any_length_are_byte_exact() -> Result<()> {
    any_length_is_byte_exact(|pair| (pair.server, pair.client)).await
}

/// Moves every length from one end of a pair to the other, on each engine.
async fn any_length_is_byte_exact(ends: fn(Pair) -> (TcpStream, TcpStream)) -> Result<()> {
    on_each_engine(|scene| async move {
        for &length in LENGTHS {
            let (from, to) = ends(scene.pair(Family::V4).await?);
            let seed = length;
            transfer(from, to, Pattern { seed, length }).await?;
        }
        scene.record().await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_at_once_are_byte_exact_on_every_pair_of_families() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for engine in ENGINES {
        for upstream in Family::BOTH {
            let scene = Scene::new(engine, upstream, "").await?;
            for downstream in Family::BOTH {
                let pair = scene.pair(downstream).await?;
                let (client_in, client_out) = pair.client.into_split();
                let (server_in, server_out) = pair.server.into_split();
                let length = 8 * 1024 * 1024 + 3;
                let up = one_way(client_out, server_in, Pattern { seed: 1, length });
                let down = one_way(server_out, client_in, Pattern { seed: 2, length });
                tokio::try_join!(up, down)?;
            }
        }
    }
    Ok(())
}

async fn one_way(
    mut from: tokio::net::tcp::OwnedWriteHalf,
    mut to: tokio::net::tcp::OwnedReadHalf,
    pattern: Pattern,
) -> Result<()> {
    let sending = tokio::spawn(async move {
        let sum = pattern.send(&mut from).await?;
        from.shutdown().await?;
        anyhow::Ok(sum)
    });
    let received = receive(&mut to).await?;
    let sent = sending.await??;
    ensure!(sent == received, "sent {sent:?}, received {received:?}");
    Ok(())
}

#[tokio::test]
async fn a_server_may_answer_before_the_client_has_said_all() -> Result<()> {
    on_each_engine(|scene| async move {
        let mut pair = scene.pair(Family::V4).await?;
        for round in 0..100_u8 {
            cross(&mut pair.server, &mut pair.client, &[round; 777]).await?;
            cross(&mut pair.client, &mut pair.server, &[round; 333]).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_stops_the_sender_and_loses_nothing() -> Result<()> {
    on_each_engine(|scene| async move {
        let pair = scene.pair(Family::V4).await?;
        let Pair {
            mut client,
            mut server,
        } = pair;
        SockRef::from(&server).set_recv_buffer_size(64 * 1024)?;
        let pattern = Pattern {
            seed: 6,
            length: 128 * 1024 * 1024,
        };
        let mut sending = tokio::spawn(async move {
            let sum = pattern.send(&mut client).await?;
            client.shutdown().await?;
            anyhow::Ok(sum)
        });
        // Nobody reads: queues on the way fill up, and then the sender must stand still. Far
        // more than they hold is on offer, so a sender that finishes filled someone's memory.
        let finished = timeout(Duration::from_secs(2), &mut sending).await;
        ensure!(
            finished.is_err(),
            "128 MiB went somewhere though nobody reads"
        );
        let received = receive(&mut server).await?;
        assert_eq!(received, sending.await??);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_connections_at_once_are_byte_exact() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for engine in ENGINES {
        let net = Topology::new(1)?;
        let address = server(Family::V4, 0, 443);
        let _echo = Server::echo(&net.servers[0], address)?;
        let body = listener("")
            + &route(NAME, &[address], "")
            + &format!("engine {{ prefer = [\"{engine}\"] }}\n");
        let agent = Agent::start(&net.gateway, &body).await?;
        let hello = hellos::asking_for(NAME)?;
        // All connections stand before the first one ends.
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            let mut client = connect(&net.client, gateway(Family::V4, PORT)).await?;
            client.write_all(&hello).await?;
            crowd.push(client);
        }
        let sample = format!("culvert_connections_active{{route=\"{NAME}\"}}");
        #[expect(clippy::cast_precision_loss, reason = "2 000 is exact")]
        wait::until("all connections at once", || {
            let active = agent.metric(&sample);
            async { Ok((active? >= CROWD as f64).then_some(())) }
        })
        .await?;
        let tasks: Vec<_> = (0..)
            .zip(crowd)
            .map(|(seed, client)| tokio::spawn(echoed(client, hello.len(), seed)))
            .collect();
        for task in tasks {
            task.await??;
        }
    }
    Ok(())
}

/// Has an echo server send back its hello and a stream.
async fn echoed(mut client: TcpStream, hello: usize, seed: u64) -> Result<()> {
    let mut back = vec![0; hello];
    wait::within("the hello back", client.read_exact(&mut back)).await??;
    let (mut reader, mut writer) = client.split();
    let pattern = Pattern {
        seed,
        length: 30_011,
    };
    let sending = async {
        let sum = pattern.send(&mut writer).await?;
        writer.shutdown().await?;
        Ok(sum)
    };
    let receiving = async { receive(&mut reader).await.map_err(anyhow::Error::from) };
    let (sent, received) = tokio::try_join!(sending, receiving)?;
    ensure!(sent == received, "sent {sent:?}, received {received:?}");
    Ok(())
}

#[tokio::test]
async fn the_record_counts_the_bytes_of_both_directions() -> Result<()> {
    on_each_engine(|scene| async move {
        let mut pair = scene.pair(Family::V4).await?;
        cross(&mut pair.client, &mut pair.server, &[1; 1000]).await?;
        cross(&mut pair.server, &mut pair.client, &[2; 2500]).await?;
        drop(pair);
        let record = scene.record().await?;
        let hello = hellos::asking_for(NAME)?.len();
        assert_eq!(record["received"], hello + 1000, "{record}");
        assert_eq!(record["sent"], 2500, "{record}");
        Ok(())
    })
    .await
}
