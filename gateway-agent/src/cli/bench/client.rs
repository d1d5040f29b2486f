//! `culvert bench client`: the flags, the progress, the result.

use core::time::Duration;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;

use super::super::Failure;
use super::super::output::{json, print};
use super::values::{bytes, message, rate, share, time};
use super::{failure, render, runtime};
use crate::bench::client::{self, Mode, Settings, Share};
use crate::bench::hello::Shape;
use crate::bench::report::Report;

/// What to measure
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Client {
    /// The gateway: address or host name, with its port
    #[arg(value_name = "ADDRESS:PORT")]
    target: String,
    /// The server name in the hello, which the gateway routes by
    #[arg(long, value_name = "NAME")]
    sni: String,
    /// What to do
    #[arg(short, long, value_enum, default_value = "upload", hide_possible_values = true,
          long_help = MODES)]
    mode: Mode,
    /// Connections at once: streams, dialers, or connections held [default: 1; idle: 100]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    streams: Option<u32>,
    /// How long [default: 10s]
    #[arg(short, long, value_name = "TIME", value_parser = time, conflicts_with = "bytes")]
    duration: Option<Duration>,
    /// How much instead: bytes of each stream and direction, such as 100M
    #[arg(short, long, value_name = "BYTES", value_parser = bytes)]
    bytes: Option<u64>,
    /// What is not measured at the beginning [default: a tenth of the duration]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "bytes")]
    warm_up: Option<Duration>,
    /// Bytes of one write of a transfer
    #[arg(long, value_name = "BYTES", value_parser = message, default_value = "128K")]
    block: usize,
    /// Bytes of a message of mode echo
    #[arg(long, value_name = "BYTES", value_parser = message, default_value = "64")]
    size: usize,
    /// Messages of mode mixed, each with its share
    #[arg(long, value_name = "SIZE:SHARE,...", value_parser = share, value_delimiter = ',',
          default_value = "64:50,1K:30,16K:15,256K:5")]
    sizes: Vec<Share>,
    /// Round trips or connections a second, all streams together: an open loop, in which latency
    /// counts from when each was due; without it, each waits for the one before
    #[arg(short, long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// What the hello looks like
    #[arg(long, value_enum, default_value = "pq")]
    hello: Shape,
    /// Go on with a TLS session behind the hello, instead of plain bytes
    #[arg(long)]
    tls: bool,
    /// Believe only these certificates (PEM), as written by the server's --ca-out; without it, any
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,
    /// How long to wait for a connection, an answer, or anything to move
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "10s")]
    timeout: Duration,
    /// Print one JSON object and no progress
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

const MODES: &str = "\
What to do:
  upload    the client sends
  download  the server sends
  both      both send at once
  echo      round trips of messages of one size (--size)
  mixed     round trips of messages of mixed sizes (--sizes)
  connect   new connections, one after the other in each stream
  idle      connections that are held and say nothing, and have to answer at the end
";

const EXAMPLES: &str = "\
Modes: upload, download, both, echo, mixed, connect, idle (--help tells more)

Examples:
  culvert bench client 10.1.0.1:8443 --sni bench.example.com                    upload for 10 s
  culvert bench client 10.1.0.1:8443 --sni bench.example.com -m both -s 4 --tls
  culvert bench client 10.1.0.1:8443 --sni bench.example.com -m download -b 1G --json
  culvert bench client 10.1.0.1:8443 --sni bench.example.com -m echo -s 8 -r 20000
  culvert bench client '[fd00::1]:8443' --sni bench.example.com -m connect -s 16 --hello split
  culvert bench client gw.example.com:8443 --sni bench.example.com -m idle -s 5000 -d 1m

Every byte is checked at both ends. Exit codes: 0 all right; 1 wrong, lost or refused; 2 usage;
3 no gateway there. `culvert bench --help` tells how to start the server.";

pub(super) fn run(arguments: Client) -> Result<(), Failure> {
    let (as_json, quiet) = (arguments.json, arguments.quiet || arguments.json);
    let settings = settings(arguments)?;
    let mut progress = render::Progress::new(settings.mode, io::stderr().is_terminal());
    if !quiet {
        eprintln!("{}", render::head(&settings));
    }
    let run = client::run(settings, |interval| {
        if !quiet {
            eprintln!("{}", progress.line(interval));
        }
    });
    let report = runtime()?.block_on(run).map_err(|error| failure(&error))?;
    print(&if as_json {
        json(&report)
    } else {
        render::report(&report)
    })?;
    outcome(&report)
}

/// What the flags ask for, together.
fn settings(arguments: Client) -> Result<Settings, Failure> {
    let wrong = |text: &str| Err(Failure::Usage(text.to_owned()));
    let mode = arguments.mode;
    let turns = matches!(mode, Mode::Echo | Mode::Mixed);
    if arguments.rate.is_some() && !turns && mode != Mode::Connect {
        return wrong("--rate is for the modes echo, mixed and connect");
    }
    if arguments.bytes.is_some() && !turns && !mode.is_bulk() {
        return wrong("--bytes is not for the modes connect and idle: use --duration");
    }
    if arguments.bytes == Some(0) {
        return wrong("--bytes 0 would measure nothing");
    }
    let duration = arguments.duration.unwrap_or(DURATION);
    let warm_up = arguments.warm_up.unwrap_or_else(|| match mode {
        Mode::Idle => Duration::ZERO,
        _ => duration / 10,
    });
    if warm_up >= duration {
        return wrong("--warm-up is as long as --duration: nothing would be measured");
    }
    let bounded = arguments.bytes.is_none();
    let sizes = match mode {
        Mode::Mixed => arguments.sizes,
        _ => vec![Share {
            bytes: arguments.size,
            weight: 1,
        }],
    };
    let streams = if mode == Mode::Idle { IDLE_STREAMS } else { 1 };
    Ok(Settings {
        target: arguments.target,
        name: arguments.sni,
        mode,
        shape: arguments.hello,
        tls: arguments.tls,
        ca: arguments.ca,
        streams: arguments.streams.unwrap_or(streams),
        duration: bounded.then_some(duration),
        bytes: arguments.bytes,
        warm_up: if bounded { warm_up } else { Duration::ZERO },
        block: arguments.block,
        sizes,
        rate: arguments.rate,
        timeout: arguments.timeout,
    })
}

const DURATION: Duration = Duration::from_secs(10);
const IDLE_STREAMS: u32 = 100;

/// The exit code: any error makes it a no.
fn outcome(report: &Report) -> Result<(), Failure> {
    if report.errors.is_empty() {
        return Ok(());
    }
    let line = |trouble: &crate::bench::report::Trouble| {
        let times = match trouble.count {
            1 => String::new(),
            count => format!(" ({count} times)"),
        };
        format!(
            "error: stream {}: {}{times}\n",
            trouble.stream, trouble.text
        )
    };
    let text: String = report.errors.iter().map(line).collect();
    if report.errors.iter().all(|trouble| trouble.unreachable) {
        Err(Failure::Unreachable(text))
    } else {
        Err(Failure::No(text))
    }
}
