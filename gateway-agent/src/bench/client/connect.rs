//! New connections: each one is dialled, answered, checked and closed.
//!
//! Closed: each stream dials again when its last connection is closed. Open: each dials when it is
//! due, and the time to the answer counts from then; more streams bear a higher rate.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::error::Error;
use super::super::exchange::Part;
use super::super::report::Interval;
use super::super::stream::{Outlet, Plan};
use super::super::wire::Exchange;
use super::dial::Line;
use super::echo::Schedule;
use super::watch::{Clock, Window, watch};
use super::{OURS, Run, Stream};
use crate::sys::timer::Pacer;

pub(super) async fn run(
    run: &Arc<Run>,
    progress: impl FnMut(&Interval),
) -> Result<(Vec<Stream>, Window), Error> {
    // One connection first: nobody wants to read an error ten thousand times.
    let trial = run.target.dial(&run.purpose(0)).await?;
    converse(run, 0, trial).await?;
    let clock = Clock::start(&run.settings);
    let mut tasks = JoinSet::new();
    for number in 0..run.settings.streams {
        let (run, clock) = (Arc::clone(run), clock);
        tasks.spawn(async move {
            let mut stream = Stream::new(number);
            if let Err(error) = dial_on(&run, &clock, &mut stream).await {
                stream.errors.push(error);
            }
            stream
        });
    }
    Ok(watch(run, &clock, tasks, progress).await)
}

async fn dial_on(run: &Run, clock: &Clock, stream: &mut Stream) -> Result<(), Error> {
    let pacer = Pacer::new().map_err(|error| Error::Local {
        doing: "make a timer",
        error,
    })?;
    let settings = &run.settings;
    let mut schedule = settings
        .rate
        .map(|rate| Schedule::new(rate, settings.streams, stream.number, clock));
    while !clock.is_over() {
        let due = schedule.as_mut().map(Schedule::next);
        if due.is_some_and(|due| clock.until.is_some_and(|until| due >= until)) {
            break;
        }
        let waited = pacer.until(due.unwrap_or(clock.start)).await;
        waited.map_err(|error| Error::Local {
            doing: "wait for a timer",
            error,
        })?;
        let begun = Instant::now();
        let since = due.unwrap_or(begun);
        if let Err(error) = one(run, clock, since, begun, stream).await {
            stream.failed += 1;
            stream.errors.push(error);
            if stream.errors.len() >= MOST_FAILURES {
                break;
            }
            // Not to hammer a gateway that refuses.
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
    Ok(())
}

/// So many failures of one stream tell all that there is to know.
const MOST_FAILURES: usize = 100;
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// One connection from dialling to closing.
async fn one(
    run: &Run,
    clock: &Clock,
    since: Instant,
    begun: Instant,
    stream: &mut Stream,
) -> Result<(), Error> {
    let line = run.target.dial(&run.purpose(stream.number)).await?;
    let (tcp, late) = (line.tcp, begun.saturating_duration_since(since));
    let answer = line.answer + late;
    (stream.address, stream.hello_bytes) = (Some(line.address), line.hello_bytes);
    let closed = tokio::time::timeout(run.settings.timeout, converse(run, stream.number, line));
    closed.await.map_err(|_elapsed| Error::Stalled {
        waited: run.settings.timeout,
        moved: 0,
    })??;
    stream.opened += 1;
    run.meter(stream.number)
        .done
        .fetch_add(1, Ordering::Relaxed);
    if since >= clock.warm && !clock.is_over() {
        stream.tcp.record(tcp);
        stream.answer.record(answer);
    }
    Ok(())
}

/// Exchanges two empty payloads with their verdicts, and closes.
async fn converse(run: &Run, number: u32, mut line: Line) -> Result<(), Error> {
    let part = Part {
        exchange: Exchange::Upload,
        sends: OURS,
        outlet: Outlet::new(line.request.upstream(), 0),
        plan: Plan {
            bytes: 0,
            until: None,
        },
        incoming: line.request.downstream(),
        meter: run.meter(number),
        allowed: &|_count| Ok(()),
        retransmits: &|| 0,
    };
    let outcome = part.run(&mut line.inlet, &mut line.writer).await;
    if let Some(error) = outcome.error {
        return Err(error);
    }
    line.close().await;
    Ok(())
}
