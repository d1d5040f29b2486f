//! The clock of a run, and the meters read by it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::report::{Interval, gbit_per_second, rounded};
use super::super::stream::Meter;
use super::{Run, Settings, Stream, tokio_time};

/// When what begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) start: Instant,
    /// From here on it counts.
    pub(super) warm: Instant,
    pub(super) until: Option<Instant>,
}

/// What is measured.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) seconds: f64,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) intervals: Vec<Interval>,
}

impl Clock {
    pub(super) fn start(settings: &Settings) -> Self {
        let start = Instant::now();
        Self {
            start,
            warm: start + settings.warm_up,
            until: settings.duration.map(|duration| start + duration),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// The meters at one time.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    sent: u64,
    received: u64,
    done: u64,
    held: u64,
}

impl Reading {
    fn of(meters: &[Meter]) -> Self {
        let sum = |count: fn(&Meter) -> u64| meters.iter().map(count).sum();
        Self {
            at: Instant::now(),
            sent: sum(|meter| meter.sent.load(Ordering::Relaxed)),
            received: sum(|meter| meter.received.load(Ordering::Relaxed)),
            done: sum(|meter| meter.done.load(Ordering::Relaxed)),
            held: sum(|meter| meter.held.load(Ordering::Relaxed)),
        }
    }
}

/// Waits for all streams and reads the meters meanwhile: each second for `progress`, at the end of
/// the warm-up and at the end of the run for what is measured.
pub(super) async fn watch(
    run: &Arc<Run>,
    clock: &Clock,
    mut tasks: JoinSet<Stream>,
    mut progress: impl FnMut(&Interval),
) -> (Vec<Stream>, Window) {
    let mut streams = Vec::new();
    let mut window = Window::default();
    let meters = &run.meters;
    let mut before = Reading::of(meters);
    let mut first = (clock.warm <= clock.start).then_some(before);
    let mut last = None;
    let mut tick = clock.start + SECOND;
    loop {
        let stops = [Some(clock.warm), clock.until].into_iter().flatten();
        let next = stops
            .filter(|stop| *stop > before.at)
            .fold(tick, Instant::min);
        if gather(&mut tasks, &mut streams, next).await {
            break;
        }
        if next == tick {
            tick += SECOND;
        }
        let now = Reading::of(meters);
        if clock.until.is_none_or(|until| before.at < until) {
            let line = interval(clock, before, now);
            progress(&line);
            window.intervals.push(line);
        }
        if first.is_none() && now.at >= clock.warm {
            first = Some(now);
        }
        if last.is_none() && clock.is_over() {
            last = Some(now);
        }
        before = now;
    }
    let end = Reading::of(meters);
    if last.is_none() && end.at > before.at {
        let line = interval(clock, before, end);
        progress(&line);
        window.intervals.push(line);
    }
    let begin = Reading {
        at: clock.start,
        sent: 0,
        received: 0,
        done: 0,
        held: 0,
    };
    let (first, last) = (first.unwrap_or(begin), last.unwrap_or(end));
    window.seconds = last.at.saturating_duration_since(first.at).as_secs_f64();
    window.sent = last.sent - first.sent;
    window.received = last.received - first.received;
    (streams, window)
}

/// Takes the streams that end until `at`; says whether all have.
async fn gather(tasks: &mut JoinSet<Stream>, streams: &mut Vec<Stream>, at: Instant) -> bool {
    loop {
        let ended = tokio::time::timeout_at(tokio_time(at), tasks.join_next()).await;
        match ended {
            Err(_elapsed) => return false,
            Ok(None) => return true,
            Ok(Some(stream)) => {
                streams.push(stream.expect("a stream does not panic and is not aborted"));
            }
        }
    }
}

fn interval(clock: &Clock, before: Reading, now: Reading) -> Interval {
    let seconds = (now.at - before.at).as_secs_f64();
    let rate = |now: u64, before: u64| rounded(gbit_per_second(now - before, seconds));
    Interval {
        seconds: rounded(seconds),
        at: rounded((now.at - clock.start).as_secs_f64()),
        warm_up: before.at < clock.warm,
        upload_gbit_per_second: rate(now.sent, before.sent),
        download_gbit_per_second: rate(now.received, before.received),
        done: now.done - before.done,
        held: now.held,
    }
}

const SECOND: Duration = Duration::from_secs(1);
