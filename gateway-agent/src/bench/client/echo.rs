//! Round trips, in a closed loop or at a fixed rate.
//!
//! Closed: the next message goes out when the last one is back. Open: messages go out when they
//! are due, whatever is still on its way, and latency counts from then. A gateway that stops for a
//! second is so seen by all that were due in that second, not by one.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::super::error::Error;
use super::super::exchange::verdict_error;
use super::super::report::{Latencies, Percentiles, Size};
use super::super::stream::{Inlet, Intake, Meter, Outlet, Piece, verdict};
use super::super::wire::{Finding, Verdict};
use super::dial::Line;
use super::watch::Clock;
use super::{OURS, Run, Settings, Share, Stream, THEIRS, while_moving};
use crate::sys::timer::Pacer;

/// Makes round trips until the time or the bytes are over.
pub(super) async fn turn(run: &Run, clock: &Clock, mut line: Line, stream: &mut Stream) {
    let mut loops = Loops {
        settings: &run.settings,
        clock,
        meter: run.meter(stream.number),
        outlet: Outlet::new(line.request.upstream(), largest(&run.settings.sizes)),
        intake: Intake::new(line.request.downstream()),
    };
    stream.round_trips = run
        .settings
        .sizes
        .iter()
        .map(|_| Latencies::default())
        .collect();
    // Between two messages of a slow schedule nothing moves, and nothing is wrong.
    let pause = |rate| Duration::from_secs_f64(f64::from(run.settings.streams) / rate);
    let patience = run.settings.timeout + run.settings.rate.map_or(Duration::ZERO, pause);
    let meter = loops.meter;
    let moving = loops.run(&mut line, stream);
    let ended = while_moving(meter, patience, moving).await;
    stream.upload = loops.intake.sum().length;
    stream.download = stream.upload;
    match ended.and_then(|ended| ended) {
        Ok(()) => line.close().await,
        Err(error) => stream.errors.push(error),
    }
}

fn largest(sizes: &[Share]) -> usize {
    sizes.iter().map(|share| share.bytes).max().unwrap_or(0)
}

/// A message on its way: when its time began to count, and where it ends in the stream.
#[derive(Debug, Clone, Copy)]
struct Message {
    since: Instant,
    end: u64,
    /// Which of the sizes it has.
    size: usize,
}

struct Loops<'a> {
    settings: &'a Settings,
    clock: &'a Clock,
    meter: &'a Meter,
    outlet: Outlet,
    intake: Intake,
}

impl Loops<'_> {
    async fn run(&mut self, line: &mut Line, stream: &mut Stream) -> Result<(), Error> {
        let sent = |error| Error::Broken { way: OURS, error };
        line.go().await.map_err(sent)?;
        match self.settings.rate {
            None => self.closed(line, stream).await?,
            Some(rate) => self.open(rate, line, stream).await?,
        }
        finish(&self.outlet, &mut self.intake, line).await
    }

    async fn closed(&mut self, line: &mut Line, stream: &mut Stream) -> Result<(), Error> {
        let mut waiting = VecDeque::new();
        while let Some(size) = next_size(self.settings, self.clock, self.outlet.length()) {
            let since = Instant::now();
            send(
                &mut self.outlet,
                &mut line.writer,
                self.settings,
                size,
                self.meter,
            )
            .await
            .map_err(|error| Error::Broken { way: OURS, error })?;
            waiting.push_back(Message {
                since,
                end: self.outlet.length(),
                size,
            });
            while !waiting.is_empty() {
                receive(&mut self.intake, &mut line.inlet, self.meter).await?;
                self.account(&mut waiting, stream);
            }
        }
        Ok(())
    }

    async fn open(&mut self, rate: f64, line: &mut Line, stream: &mut Stream) -> Result<(), Error> {
        let mut schedule = Schedule::new(rate, self.settings.streams, stream.number, self.clock);
        let pacer = Pacer::new().map_err(|error| Error::Local {
            doing: "make a timer",
            error,
        })?;
        let (tell, told) = mpsc::unbounded_channel();
        let Loops {
            settings,
            clock,
            meter,
            outlet,
            intake,
        } = self;
        let (settings, clock, meter) = (*settings, *clock, *meter);
        let writer = &mut line.writer;
        let sending = async move {
            while let Some(size) = next_size(settings, clock, outlet.length()) {
                let since = schedule.next();
                if clock.until.is_some_and(|until| since >= until) {
                    break;
                }
                pacer.until(since).await?;
                // Told before it is sent: it may be back before the send returns.
                let end = outlet.length() + bytes(settings, size) as u64;
                if tell.send(Message { since, end, size }).is_err() {
                    break;
                }
                send(outlet, writer, settings, size, meter).await?;
            }
            io::Result::Ok(())
        };
        let inlet = &mut line.inlet;
        let receiving = async {
            // Taken in, so that the sender notices when receiving has failed.
            let mut told = told;
            let mut waiting: VecDeque<Message> = VecDeque::new();
            while let Some(message) = told.recv().await {
                waiting.push_back(message);
                while !waiting.is_empty() {
                    receive(intake, inlet, meter).await?;
                    while let Ok(message) = told.try_recv() {
                        waiting.push_back(message);
                    }
                    account(intake.length(), clock, meter, &mut waiting, stream);
                }
            }
            Ok(())
        };
        let sending = async {
            let sent = sending.await;
            sent.map_err(|error| Error::Broken { way: OURS, error })
        };
        let (received, sent) = tokio::join!(receiving, sending);
        received.and(sent)
    }

    fn account(&self, waiting: &mut VecDeque<Message>, stream: &mut Stream) {
        account(
            self.intake.length(),
            self.clock,
            self.meter,
            waiting,
            stream,
        );
    }
}

/// Takes out the messages that are back up to `back`.
fn account(
    back: u64,
    clock: &Clock,
    meter: &Meter,
    waiting: &mut VecDeque<Message>,
    stream: &mut Stream,
) {
    let now = Instant::now();
    while let Some(message) = waiting.front().copied().filter(|first| first.end <= back) {
        waiting.pop_front();
        meter.done.fetch_add(1, Ordering::Relaxed);
        if message.since >= clock.warm
            && let Some(size) = stream.round_trips.get_mut(message.size)
        {
            size.record(now.saturating_duration_since(message.since));
        }
    }
}

/// When messages are due: in an open loop all streams take turns, so that together they are even.
pub(super) struct Schedule {
    start: Instant,
    every: f64,
    number: f64,
}

impl Schedule {
    pub(super) fn new(rate: f64, streams: u32, number: u32, clock: &Clock) -> Self {
        let every = f64::from(streams) / rate;
        Self {
            start: clock.start + Duration::from_secs_f64(f64::from(number) / rate),
            every,
            number: 0.0,
        }
    }

    /// Counted from the start and not from the last one, so that nothing drifts.
    pub(super) fn next(&mut self) -> Instant {
        let at = self.start + Duration::from_secs_f64(self.every * self.number);
        self.number += 1.0;
        at
    }
}

/// Which size comes next; none when the run is over.
fn next_size(settings: &Settings, clock: &Clock, sent: u64) -> Option<usize> {
    if clock.is_over() || settings.bytes.is_some_and(|bytes| sent >= bytes) {
        return None;
    }
    let weights: u32 = settings.sizes.iter().map(|share| share.weight).sum();
    let mut drawn = fastrand::u32(..weights.max(1));
    settings.sizes.iter().position(|share| {
        let hit = drawn < share.weight;
        drawn = drawn.saturating_sub(share.weight);
        hit
    })
}

fn bytes(settings: &Settings, size: usize) -> usize {
    settings.sizes.get(size).map_or(0, |share| share.bytes)
}

async fn send(
    outlet: &mut Outlet,
    writer: &mut (impl AsyncWrite + Unpin),
    settings: &Settings,
    size: usize,
    meter: &Meter,
) -> io::Result<()> {
    let count = bytes(settings, size);
    outlet.send(writer, count).await?;
    writer.flush().await?;
    meter.sent.fetch_add(count as u64, Ordering::Relaxed);
    Ok(())
}

async fn receive(
    intake: &mut Intake,
    inlet: &mut Inlet<impl AsyncRead + Unpin>,
    meter: &Meter,
) -> Result<(), Error> {
    match intake.next(inlet).await.map_err(|flaw| flaw.on(THEIRS))? {
        Piece::Right(count) => {
            inlet.consume(count);
            meter.received.fetch_add(count as u64, Ordering::Relaxed);
            Ok(())
        }
        Piece::End(sum) => Err(ended_early(verdict(inlet, THEIRS).await, sum.length)),
    }
}

/// Why the server ended an echo before the client did: its verdict says.
pub(super) fn ended_early(verdict: Result<Verdict, Error>, offset: u64) -> Error {
    match verdict {
        Ok(Verdict {
            finding: Finding::Fault(fault),
            ..
        }) => Error::Fault { way: OURS, fault },
        Ok(Verdict {
            finding: Finding::Limit(limit),
            ..
        }) => Error::Limit(limit),
        Ok(_) => Error::Cut {
            way: THEIRS,
            offset,
        },
        Err(error) => error,
    }
}

/// Ends an echo: marks and verdicts of both ends.
pub(super) async fn finish(
    outlet: &Outlet,
    intake: &mut Intake,
    line: &mut Line,
) -> Result<(), Error> {
    let sent = |error| Error::Broken { way: OURS, error };
    outlet.end(&mut line.writer).await.map_err(sent)?;
    let piece = intake.next(&mut line.inlet).await;
    match piece.map_err(|flaw| flaw.on(THEIRS))? {
        Piece::End(_sum) => {}
        // Every message is back already.
        Piece::Right(_) => {
            return Err(Error::Sums {
                way: THEIRS,
                sent: intake.length(),
                received: outlet.length(),
            });
        }
    }
    let ours = Verdict {
        received: intake.sum(),
        finding: Finding::Sound,
        retransmits: 0,
    };
    let written = line.writer.write_all(&ours.encode()).await;
    written.map_err(sent)?;
    line.writer.flush().await.map_err(sent)?;
    let theirs = verdict(&mut line.inlet, THEIRS).await?;
    verdict_error(&theirs, outlet.sum(), OURS).map_or(Ok(()), Err)
}

/// The sizes with what was found for each.
pub(super) fn by_size(settings: &Settings, streams: &[Stream]) -> Vec<Size> {
    let sizes = settings.sizes.iter().enumerate();
    sizes
        .map(|(index, share)| {
            let mut all = Latencies::default();
            for one in streams.iter().filter_map(|it| it.round_trips.get(index)) {
                all.add(one);
            }
            Size {
                bytes: share.bytes,
                count: all.len(),
                latency: Percentiles::of(&all),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_take_turns_and_nothing_drifts() {
        let start = Instant::now();
        let clock = Clock {
            start,
            warm: start,
            until: None,
        };
        let mut second = Schedule::new(1000.0, 4, 1, &clock);
        assert_eq!(second.next(), start + Duration::from_millis(1));
        assert_eq!(second.next(), start + Duration::from_millis(5));
        for _ in 0..9_998 {
            second.next();
        }
        let due = second.next().saturating_duration_since(start);
        assert!(due.abs_diff(Duration::from_millis(40_001)) < Duration::from_nanos(10));
    }
}
