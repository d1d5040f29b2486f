//! What all streams together found.

use std::net::SocketAddr;

use super::super::error::Error;
use super::super::report::{
    Connections, Idle, Latencies, Percentiles, Report, RoundTrips, Transfer, gbit_per_second, note,
    per_second, rounded,
};
use super::watch::Window;
use super::{Mode, Run, Stream, echo};

/// Makes the report of all streams.
pub(super) fn report(run: &Run, streams: &[Stream], window: &Window) -> Report {
    let settings = &run.settings;
    let mut troubles = Vec::new();
    for stream in streams {
        for error in &stream.errors {
            note(&mut troubles, stream.number, error);
        }
    }
    let total = Total::of(streams);
    if nothing(settings.mode, &total) && troubles.is_empty() {
        note(&mut troubles, 0, &Error::Nothing);
    }
    let transfer = |bytes, within, retransmits: Option<u64>| Transfer {
        bytes,
        gbit_per_second: rounded(gbit_per_second(within, window.seconds)),
        retransmits,
    };
    let rate = |count| rounded(per_second(count, window.seconds));
    let is_connect = settings.mode == Mode::Connect;
    Report {
        culvert: env!("CARGO_PKG_VERSION"),
        mode: settings.mode.name(),
        address: total.address.map_or_else(String::new, |it| it.to_string()),
        name: settings.name.clone(),
        hello: settings.shape.name(),
        hello_bytes: total.hello_bytes,
        tls: settings.tls,
        streams: settings.streams,
        seconds: rounded(window.seconds),
        warm_up_seconds: rounded(settings.warm_up.as_secs_f64()),
        upload: transfer(total.upload, window.sent, total.client_retransmits),
        download: transfer(total.download, window.received, total.server_retransmits),
        round_trips: matches!(settings.mode, Mode::Echo | Mode::Mixed).then(|| RoundTrips {
            count: total.round_trips.len(),
            per_second: rate(total.round_trips.len()),
            offered_per_second: settings.rate,
            latency: Percentiles::of(&total.round_trips),
            sizes: echo::by_size(settings, streams),
        }),
        idle: (settings.mode == Mode::Idle).then(|| Idle {
            held: total.held,
            lost: total.opened - total.held,
            latency: Percentiles::of(&total.round_trips),
        }),
        connections: Connections {
            opened: total.opened,
            failed: total.failed,
            per_second: is_connect.then(|| rate(total.answer.len())),
            offered_per_second: settings.rate.filter(|_| is_connect),
            tcp: Percentiles::of(&total.tcp),
            answer: Percentiles::of(&total.answer),
        },
        intervals: window.intervals.clone(),
        errors: troubles,
    }
}

/// Whether a run that met no error has moved nothing all the same.
fn nothing(mode: Mode, total: &Total) -> bool {
    match mode {
        Mode::Upload => total.upload == 0,
        Mode::Download => total.download == 0,
        Mode::Both => total.upload == 0 || total.download == 0,
        Mode::Echo | Mode::Mixed => total.round_trips.is_empty(),
        Mode::Connect => total.opened == 0,
        Mode::Idle => total.held == 0,
    }
}

/// All streams together.
struct Total {
    opened: u64,
    failed: u64,
    held: u64,
    upload: u64,
    download: u64,
    client_retransmits: Option<u64>,
    server_retransmits: Option<u64>,
    tcp: Latencies,
    answer: Latencies,
    round_trips: Latencies,
    address: Option<SocketAddr>,
    hello_bytes: usize,
}

impl Total {
    fn of(streams: &[Stream]) -> Self {
        let sum = |count: fn(&Stream) -> u64| streams.iter().map(count).sum();
        let some = |count: fn(&Stream) -> Option<u64>| {
            let known: Vec<u64> = streams.iter().filter_map(count).collect();
            (!known.is_empty()).then(|| known.iter().sum())
        };
        let all = |one: fn(&Stream) -> Vec<&Latencies>| {
            let mut all = Latencies::default();
            for one in streams.iter().flat_map(one) {
                all.add(one);
            }
            all
        };
        let held = streams.iter().map(|one| {
            let trips = one.round_trips.iter().map(Latencies::len).sum::<u64>();
            trips.min(1)
        });
        let last = streams.iter().find(|one| one.address.is_some());
        Self {
            opened: sum(|one| one.opened),
            failed: sum(|one| one.failed),
            held: held.sum(),
            upload: sum(|one| one.upload),
            download: sum(|one| one.download),
            client_retransmits: some(|one| one.client_retransmits),
            server_retransmits: some(|one| one.server_retransmits),
            tcp: all(|one| vec![&one.tcp]),
            answer: all(|one| vec![&one.answer]),
            round_trips: all(|one| one.round_trips.iter().collect()),
            address: last.and_then(|one| one.address),
            hello_bytes: last.map_or(0, |one| one.hello_bytes),
        }
    }
}
