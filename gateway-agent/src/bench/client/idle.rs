//! Connections that are held and say nothing, and then have to answer once.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::error::Error;
use super::super::report::Latencies;
use super::super::stream::{Intake, Outlet, Piece, verdict};
use super::dial::Line;
use super::echo::{ended_early, finish};
use super::watch::Clock;
use super::{OURS, Run, Stream, THEIRS, tokio_time};

/// Holds one connection to the end of the run.
pub(super) async fn hold(run: &Run, clock: &Clock, mut line: Line, stream: &mut Stream) {
    let meter = run.meter(stream.number);
    meter.held.store(1, Ordering::Relaxed);
    let until = tokio_time(clock.until.unwrap_or(clock.start));
    let held = async {
        line.go()
            .await
            .map_err(|error| Error::Broken { way: OURS, error })?;
        // Only an end can come: the server has nothing to echo yet.
        let quiet = tokio::time::timeout_at(until, line.inlet.gather(1)).await;
        match quiet {
            Err(_elapsed) => Ok(()),
            Ok(_) => Err(ended(&mut line).await),
        }
    };
    let answered = match held.await {
        Ok(()) => {
            // Thousands at once would measure the queue that they are themselves.
            let turn = run.asking.acquire().await;
            let _turn = turn.expect("the semaphore is never closed");
            let asking = ask(run, &mut line, stream);
            let waited = run.settings.timeout;
            let stalled = |_elapsed| Error::Stalled { waited, moved: 0 };
            let asked = tokio::time::timeout(waited, asking).await;
            asked.map_err(stalled).and_then(|asked| asked)
        }
        Err(error) => {
            meter.held.store(0, Ordering::Relaxed);
            Err(error)
        }
    };
    match answered {
        Ok(()) => line.close().await,
        Err(error) => stream.errors.push(error),
    }
}

/// Why a connection did not stay silent: the server's verdict says, if it gave one.
async fn ended(line: &mut Line) -> Error {
    let mut intake = Intake::new(line.request.downstream());
    match intake.next(&mut line.inlet).await {
        Ok(Piece::End(sum)) => ended_early(verdict(&mut line.inlet, THEIRS).await, sum.length),
        Ok(Piece::Right(_)) => Error::Cut {
            way: THEIRS,
            offset: 0,
        },
        Err(flaw) => flaw.on(THEIRS),
    }
}

/// One round trip: the proof that the connection is more than an entry in a table.
async fn ask(run: &Run, line: &mut Line, stream: &mut Stream) -> Result<(), Error> {
    let meter = run.meter(stream.number);
    let mut outlet = Outlet::new(line.request.upstream(), QUESTION);
    let mut intake = Intake::new(line.request.downstream());
    let since = Instant::now();
    let sent = outlet.send(&mut line.writer, QUESTION).await;
    sent.map_err(|error| Error::Broken { way: OURS, error })?;
    let flushed = tokio::io::AsyncWriteExt::flush(&mut line.writer).await;
    flushed.map_err(|error| Error::Broken { way: OURS, error })?;
    meter.sent.fetch_add(QUESTION as u64, Ordering::Relaxed);
    while intake.length() < QUESTION as u64 {
        match intake.next(&mut line.inlet).await {
            Ok(Piece::Right(count)) => {
                line.inlet.consume(count);
                meter.received.fetch_add(count as u64, Ordering::Relaxed);
            }
            Ok(Piece::End(sum)) => {
                return Err(Error::Cut {
                    way: THEIRS,
                    offset: sum.length,
                });
            }
            Err(flaw) => return Err(flaw.on(THEIRS)),
        }
    }
    let mut latency = Latencies::default();
    latency.record(since.elapsed());
    finish(&outlet, &mut intake, line).await?;
    stream.round_trips = vec![latency];
    stream.upload = QUESTION as u64;
    stream.download = QUESTION as u64;
    Ok(())
}

const QUESTION: usize = 64;
