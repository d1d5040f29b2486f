//! WebSocket in TLS: messages of all frame lengths both ways, whole and in fragments, pings in between,
//! and how it is closed. Both ends are tungstenite's, so that each message can be checked where it
//! arrives.

use anyhow::{Context as _, Result, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use gateway_tests::topology::Family;
use gateway_tests::wait;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use super::script::{LENGTHS, Script, next, told};
use super::secure::{Ends, Secure};
use super::{Stage, Visit, same_lines};
use crate::Trial;
use crate::stream::Stream as Bytes;

const PORT: u16 = 4471;

/// Lengths of pings: RFC 6455 allows no more than 125 bytes.
const PINGS: [usize; 4] = [0, 1, 124, 125];

/// Long-lived connections over both families, with and without the agent.
pub(in super::super) async fn websocket(trial: &mut Trial) -> Result<String> {
    let stage = Stage::new(trial, &[], &[PORT], "").await?;
    let secure = Secure::new(&stage, PORT, "http/1.1")?;
    let (at_once, rounds) = (trial.amount(60, 1000), trial.amount(60, 1000));
    let mut count = 0;
    for family in Family::BOTH {
        for by_client in [true, false] {
            let scripts = [trial.draw(), trial.draw()].map(|seed| Script {
                seed,
                messages: at_once,
            });
            let mut seen = Vec::new();
            for visit in secure.visits(&stage, family) {
                let lived = Box::pin(live(&secure, visit, scripts, rounds, by_client)).await;
                let lived = lived.with_context(|| {
                    format!(
                        "{family:?}, through: {}, closed by client: {by_client}",
                        visit.through
                    )
                });
                seen.push(stage.world.explain(lived)?);
            }
            same_lines("WebSocket", &seen[0], &seen[1])?;
            count += 2 * (at_once + rounds);
        }
    }
    stage.rest(Vec::new()).await?;
    Ok(format!(
        "4 connections as without a gateway: {count} messages of up to {} bytes, each checked, {} pings",
        LENGTHS[LENGTHS.len() - 1],
        8 * rounds
    ))
}

/// One connection from the upgrade to the close; what both sides saw.
async fn live(
    secure: &Secure,
    visit: Visit<'_>,
    scripts: [Script; 2],
    rounds: usize,
    by_client: bool,
) -> Result<String> {
    let (asking, accepted): Ends = secure.join(visit).await?;
    let address = format!("wss://{}/torture", visit.name());
    let upgrade =
        Box::pin(async { tokio::try_join!(client_async(address, asking), accept_async(accepted)) });
    let ((mut client, answer), mut server) = wait::within("the upgrade", upgrade).await??;
    let [by_us, by_them] = scripts;
    let crossed = async {
        tokio::try_join!(
            both_ways(&mut client, by_us, by_them),
            both_ways(&mut server, by_them, by_us)
        )
    };
    crossed.await?;
    for round in 0..rounds {
        let turn = turns(&mut client, &mut server, scripts, round);
        wait::within("one round", turn).await??;
    }
    let closed = if by_client {
        close(&mut client, &mut server).await
    } else {
        close(&mut server, &mut client).await
    };
    Ok(format!("{}\n{}", answer.status(), closed?))
}

/// Sends all of one script while all of the other arrives.
async fn both_ways<S>(socket: &mut WebSocketStream<S>, mine: Script, theirs: Script) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut stream) = socket.split();
    let send = async {
        for n in 0..mine.messages {
            mine.send(&mut sink, n).await?;
        }
        anyhow::Ok(())
    };
    let receive = async {
        for n in 0..theirs.messages {
            let next = wait::within("the next message", theirs.receive(&mut stream, n)).await?;
            next.with_context(|| format!("message {n}"))?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(send, receive)?;
    Ok(())
}

/// A message each way and a ping each way, one after the other.
async fn turns<C, S>(
    client: &mut WebSocketStream<C>,
    server: &mut WebSocketStream<S>,
    [ours, theirs]: [Script; 2],
    round: usize,
) -> Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let n = ours.messages + round;
    tokio::try_join!(ours.send(client, n), ours.receive(server, n))?;
    tokio::try_join!(theirs.send(server, n), theirs.receive(client, n))?;
    let ping = Bytes::new(ours.seed).bytes(n as u64, PINGS[round % PINGS.len()]);
    pinged(client, server, &ping).await?;
    pinged(server, client, &ping).await
}

/// A ping arrives, and the pong that the library answers by itself has the same bytes.
async fn pinged<A, B>(
    from: &mut WebSocketStream<A>,
    to: &mut WebSocketStream<B>,
    payload: &[u8],
) -> Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    from.send(Message::Ping(payload.to_vec().into())).await?;
    let ping = next(to).await?;
    ensure!(
        ping == Message::Ping(payload.to_vec().into()),
        "another ping: {}",
        told(&ping)
    );
    to.flush().await?;
    let pong = next(from).await?;
    ensure!(
        pong == Message::Pong(payload.to_vec().into()),
        "another pong: {}",
        told(&pong)
    );
    Ok(())
}

/// One side closes with a code and a reason; what both see, down to the end of the stream.
async fn close<A, B>(from: &mut WebSocketStream<A>, to: &mut WebSocketStream<B>) -> Result<String>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let frame = CloseFrame {
        code: CloseCode::Library(4321),
        reason: "enough of it".into(),
    };
    let wanted = Message::Close(Some(frame.clone()));
    from.close(Some(frame)).await?;
    let ending = async {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        let other = async {
            while let Some(message) = to.next().await {
                there.push(message);
            }
            to.get_mut().shutdown().await
        };
        let one = async {
            while let Some(message) = from.next().await {
                here.push(message);
            }
            from.get_mut().shutdown().await
        };
        // The client waits for the server to end the stream first.
        tokio::try_join!(one, other)?;
        anyhow::Ok((here, there))
    };
    let (here, there) = wait::within("the close", ending).await??;
    for seen in [&here, &there] {
        let first = seen.first().context("no close frame")?;
        ensure!(
            matches!(first, Ok(message) if *message == wanted),
            "another close: {seen:?}"
        );
    }
    Ok(format!("closed by: {here:?}\nseen by the other: {there:?}"))
}
