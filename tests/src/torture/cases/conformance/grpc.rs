//! Long streams as gRPC has them: HTTP/2 in TLS, messages with a length before each, both ways at once
//! under flow control, and a status in the trailers. Both ends are hyper's `h2`, without gRPC on top:
//! what the wire carries is the same, and each message can be checked where it arrives.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use gateway_tests::topology::Family;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream, client, server};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use super::messages::{receive, send};
use super::secure::Secure;
use super::{Stage, Visit, same_lines};
use crate::Trial;

const PORT: u16 = 4481;

/// Streams that one connection has at a time.
const AT_ONCE: usize = 16;

/// Streams that the server allows: more, because those that end count until both sides know.
const ALLOWED: u32 = 64;

/// How long all streams of a connection may take in the long form, on a busy machine.
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(300);

/// How a stream goes; the server learns it from the request.
#[derive(Clone, Copy, Debug)]
struct Call {
    seed: u64,
    messages: usize,
    ends: Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// Both say all, and the status says so.
    Fine,
    /// The server has no such method: a status and nothing else.
    Unimplemented,
    /// The server gives up in the middle, with a status.
    Aborted,
    /// The client cancels in the middle.
    Cancelled,
}

/// Streams of messages over both families, with and without the agent.
pub(in super::super) async fn grpc(trial: &mut Trial) -> Result<String> {
    let stage = Stage::new(trial, &[], &[PORT], "").await?;
    let secure = Secure::new(&stage, PORT, "h2")?;
    let (streams, messages) = (trial.amount(40, 400), trial.amount(60, 400));
    let long = trial.amount(1_500, 20_000);
    let (mut calls, mut count) = (0, 0);
    for family in Family::BOTH {
        let plan = plan(trial, (streams, messages), long);
        calls += plan.len();
        count += plan.iter().map(|call| 2 * call.messages).sum::<usize>();
        let mut seen = Vec::new();
        for visit in secure.visits(&stage, family) {
            let talked = Box::pin(wait_long(connection(&secure, visit, &plan))).await;
            let talked = talked.with_context(|| format!("{family:?}, through: {}", visit.through));
            seen.push(stage.world.explain(talked)?);
        }
        same_lines("gRPC", &seen[0], &seen[1])?;
    }
    stage.rest(Vec::new()).await?;
    Ok(format!(
        "{calls} streams with {count} messages as without a gateway, the longest with {long} each way"
    ))
}

async fn wait_long<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.with_context(|| format!("the streams did not end in {PATIENCE:?}"))?
}

/// One long stream, and many of all ends beside it.
fn plan(trial: &mut Trial, (streams, messages): (usize, usize), long: usize) -> Vec<Call> {
    let mut plan = vec![Call {
        seed: trial.draw(),
        messages: long,
        ends: Ends::Fine,
    }];
    for n in 0..streams {
        plan.push(Call {
            seed: trial.draw(),
            messages: trial.chance.usize(2..messages),
            ends: match n % 10 {
                7 => Ends::Unimplemented,
                8 => Ends::Aborted,
                9 => Ends::Cancelled,
                _ => Ends::Fine,
            },
        });
    }
    plan
}

/// All streams over one connection; what both sides saw of each.
async fn connection(secure: &Secure, visit: Visit<'_>, plan: &[Call]) -> Result<String> {
    let (asking, accepted) = secure.join(visit).await?;
    let mut served = JoinSet::new();
    served.spawn(serve(accepted));
    let mut builder = client::Builder::new();
    // Until the server's settings come, which say the same, a client may take it for more.
    builder.initial_max_send_streams(ALLOWED as usize);
    let (mut requests, connection) = builder.handshake(asking).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async { Ok(format!("connection of the client: {:?}", connection.await)) });
    let mut seen = String::new();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    for &call in plan {
        let place = Arc::clone(&room).acquire_owned().await?;
        requests = requests.ready().await?;
        let (response, sender) = requests.send_request(request(visit, call)?, false)?;
        tasks.spawn(async move {
            let _until_it_ends = place;
            let told = ask(call, response, sender).await;
            told.with_context(|| format!("{call:?}, seen by the client"))
        });
    }
    drop(requests);
    for tasks in [&mut tasks, &mut served] {
        while let Some(done) = tasks.join_next().await {
            seen += &format!("{}\n", done??);
        }
    }
    Ok(seen)
}

fn request(visit: Visit<'_>, call: Call) -> Result<Request<()>> {
    let method = match call.ends {
        Ends::Unimplemented => "Missing",
        Ends::Aborted => "Abort",
        Ends::Fine | Ends::Cancelled => "Talk",
    };
    let request = Request::post(format!("https://{}/torture.Torture/{method}", visit.name()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("seed", call.seed)
        .header("messages", call.messages);
    Ok(request.body(())?)
}

/// The client's side of a stream.
async fn ask(
    call: Call,
    response: client::ResponseFuture,
    mut sender: SendStream<Bytes>,
) -> Result<String> {
    let answered = Notify::new();
    let sends = async {
        let count = if call.ends == Ends::Cancelled {
            call.messages / 2
        } else {
            call.messages
        };
        let sent = send(&mut sender, call.seed, count).await;
        match call.ends {
            Ends::Fine => {
                sent?;
                sender.send_data(Bytes::new(), true)?;
            }
            Ends::Cancelled => {
                sent?;
                // A server that has not answered yet could not answer any more.
                answered.notified().await;
                sender.send_reset(Reason::CANCEL);
            }
            // The server ends without reading all: how far the client comes is a matter of time.
            Ends::Unimplemented | Ends::Aborted => {}
        }
        anyhow::Ok(())
    };
    let receives = async {
        let response = response.await?;
        answered.notify_one();
        ensure!(response.status() == 200, "status {}", response.status());
        let head = response.headers().clone();
        let received = receive(response.into_body(), !call.seed).await;
        if call.ends == Ends::Cancelled {
            // How much came before the reset is a matter of time, but it must have been right.
            if let Err(error) = received {
                ensure!(error.is::<h2::Error>(), "{error:#}");
            }
            return Ok(None);
        }
        let (count, trailers) = received?;
        let status = trailers.or_else(|| head.contains_key("grpc-status").then_some(head));
        Ok(Some((count, status.context("no status")?)))
    };
    let ((), received) = tokio::try_join!(sends, receives)?;
    let Some((count, status)) = received else {
        return Ok(format!("client, {}: cancelled", call.seed));
    };
    let status = (status.get("grpc-status"), status.get("grpc-message"));
    let (wanted, code) = match call.ends {
        Ends::Unimplemented => (0, "12"),
        Ends::Aborted => (call.messages / 2, "10"),
        Ends::Fine | Ends::Cancelled => (call.messages, "0"),
    };
    ensure!(count == wanted, "{count} messages came, not {wanted}");
    ensure!(
        status.0.is_some_and(|status| status == code),
        "status {:?}, not {code}",
        status.0
    );
    Ok(format!(
        "client, {}: {count} messages, {status:?}",
        call.seed
    ))
}

/// Serves all streams of a connection.
async fn serve(stream: TlsStream<TcpStream>) -> Result<String> {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(ALLOWED);
    let mut connection = builder.handshake::<_, Bytes>(stream).await?;
    let mut streams = JoinSet::new();
    let mut seen = Vec::new();
    while let Some(accepted) = connection.accept().await {
        let (request, response) = accepted?;
        streams.spawn(answer(request, response));
    }
    while let Some(done) = streams.join_next().await {
        seen.push(done??);
    }
    Ok(seen.join("\n"))
}

/// The server's side of a stream.
async fn answer(request: Request<RecvStream>, mut response: SendResponse<Bytes>) -> Result<String> {
    let number = |name| {
        let value = request.headers().get(name).context("a header is missing")?;
        anyhow::Ok(value.to_str()?.parse::<u64>()?)
    };
    let (seed, messages) = (number("seed")?, usize::try_from(number("messages")?)?);
    let path = request.uri().path().to_owned();
    let head = Response::builder().header("content-type", "application/grpc");
    if path.ends_with("/Missing") {
        let head = head.header("grpc-status", "12").body(())?;
        response.send_response(head, true)?;
        // With the request dropped, the library tells the client to stop sending, as gRPC's servers do.
        return Ok(format!("server, {seed}: no such method"));
    }
    let mut sender = response.send_response(head.body(())?, false)?;
    if path.ends_with("/Abort") {
        send(&mut sender, !seed, messages / 2).await?;
        sender.send_trailers(status("10", "in the middle")?)?;
        return Ok(format!("server, {seed}: aborted"));
    }
    let (sent, received) = tokio::join!(
        send(&mut sender, !seed, messages),
        receive(request.into_body(), seed)
    );
    let count = match (sent, received) {
        (_, Err(error)) if is_cancelled(&error) => {
            return Ok(format!("server, {seed}: cancelled"));
        }
        (sent, received) => {
            sent?;
            received?.0
        }
    };
    ensure!(
        count == messages,
        "{count} messages came to the server, not {messages}"
    );
    sender.send_trailers(status("0", &format!("{count} messages"))?)?;
    Ok(format!("server, {seed}: {count} messages"))
}

fn status(code: &str, message: &str) -> Result<HeaderMap> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_str(code)?);
    trailers.insert("grpc-message", HeaderValue::from_str(message)?);
    Ok(trailers)
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    let reason = error
        .downcast_ref::<h2::Error>()
        .and_then(h2::Error::reason);
    reason == Some(Reason::CANCEL)
}
