//! The client: dials, runs one mode, measures, and says what it found.
//!
//! Each stream is a task with a meter of its own; `watch` reads the meters each second and cuts
//! off the warm-up. One file a mode: `bulk`, `echo`, `connect`, `idle`.

mod bulk;
mod connect;
mod dial;
mod echo;
mod idle;
mod total;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::dial::{Line, Purpose, Target};
use self::watch::{Clock, Window};
use super::error::{Error, Way};
use super::hello::Shape;
use super::report::{Interval, Latencies, Report};
use super::stream::Meter;
use super::tls;
use super::wire::{Exchange, Request};

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// The client sends
    Upload,
    /// The server sends
    Download,
    /// Both send at once
    Both,
    /// Round trips of messages of one size
    Echo,
    /// Round trips of messages of mixed sizes
    Mixed,
    /// New connections, one after the other
    Connect,
    /// Connections that are held and say nothing
    Idle,
}

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Both => "both",
            Self::Echo => "echo",
            Self::Mixed => "mixed",
            Self::Connect => "connect",
            Self::Idle => "idle",
        }
    }

    pub(crate) const fn is_bulk(self) -> bool {
        matches!(self, Self::Upload | Self::Download | Self::Both)
    }
}

/// A size of message and how often it comes, relative to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) bytes: usize,
    pub(crate) weight: u32,
}

/// What a run is asked for.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) target: String,
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) shape: Shape,
    pub(crate) tls: bool,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) streams: u32,
    /// How long; none with `bytes`.
    pub(crate) duration: Option<Duration>,
    /// Bytes of each stream and direction.
    pub(crate) bytes: Option<u64>,
    pub(crate) warm_up: Duration,
    pub(crate) block: usize,
    pub(crate) sizes: Vec<Share>,
    /// Round trips or connections a second, of all streams together; none is a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) timeout: Duration,
}

/// What all streams of a run share.
struct Run {
    settings: Settings,
    target: Target,
    nonce: u64,
    meters: Vec<Meter>,
    /// Idle connections that may ask at once at the end.
    asking: Semaphore,
}

/// What one stream found.
struct Stream {
    number: u32,
    opened: u64,
    failed: u64,
    tcp: Latencies,
    answer: Latencies,
    /// Payload that arrived and was right.
    upload: u64,
    download: u64,
    client_retransmits: Option<u64>,
    server_retransmits: Option<u64>,
    /// Round trips by size, in the order of the settings' sizes.
    round_trips: Vec<Latencies>,
    errors: Vec<Error>,
    address: Option<SocketAddr>,
    hello_bytes: usize,
}

impl Stream {
    fn new(number: u32) -> Self {
        Self {
            number,
            opened: 0,
            failed: 0,
            tcp: Latencies::default(),
            answer: Latencies::default(),
            upload: 0,
            download: 0,
            client_retransmits: None,
            server_retransmits: None,
            round_trips: Vec::new(),
            errors: Vec::new(),
            address: None,
            hello_bytes: 0,
        }
    }

    fn opened(&mut self, line: &Line) {
        self.opened += 1;
        self.address = Some(line.address);
        self.hello_bytes = line.hello_bytes;
        self.tcp.record(line.tcp);
        self.answer.record(line.answer);
    }
}

/// Runs to the end. `progress` is told each second.
///
/// # Errors
/// Nothing could be measured: no name, no address, no connection.
pub(crate) async fn run(
    settings: Settings,
    progress: impl FnMut(&Interval),
) -> Result<Report, Error> {
    let target = target(&settings).await?;
    let meters = (0..settings.streams).map(|_| Meter::default()).collect();
    let run = Arc::new(Run {
        nonce: fastrand::u64(..),
        settings,
        target,
        meters,
        asking: Semaphore::new(AT_ONCE),
    });
    let (streams, window) = match run.settings.mode {
        Mode::Connect => connect::run(&run, progress).await?,
        _ => prepared(&run, progress).await?,
    };
    Ok(total::report(&run, &streams, &window))
}

async fn target(settings: &Settings) -> Result<Target, Error> {
    let name = settings.name.clone();
    let wrong = |_| {
        Error::Setting(format!(
            "--sni {}: no host name; a hello carries names, not addresses",
            settings.name
        ))
    };
    let name = ServerName::try_from(name).map_err(wrong)?;
    if !matches!(name, ServerName::DnsName(_)) {
        return Err(Error::Setting(format!(
            "--sni {}: expected a host name; a hello carries no addresses",
            settings.name
        )));
    }
    let config = tls::client(settings.shape, settings.ca.as_deref())?;
    let found = tokio::net::lookup_host(&settings.target).await;
    let found = found.map_err(|error| Error::Resolve {
        target: settings.target.clone(),
        error,
    })?;
    Ok(Target {
        addresses: found.collect(),
        name,
        shape: settings.shape,
        config: Arc::new(config),
        tls: settings.tls,
        timeout: settings.timeout,
    })
}

/// The modes whose connections are all there before anything is measured.
async fn prepared(
    run: &Arc<Run>,
    progress: impl FnMut(&Interval),
) -> Result<(Vec<Stream>, Window), Error> {
    let (lines, mut failed) = dial_all(run).await?;
    let clock = Clock::start(&run.settings);
    let mut tasks = JoinSet::new();
    for (number, line) in lines {
        let (run, clock) = (Arc::clone(run), clock);
        tasks.spawn(async move {
            let mut stream = Stream::new(number);
            stream.opened(&line);
            match run.settings.mode {
                Mode::Idle => idle::hold(&run, &clock, line, &mut stream).await,
                Mode::Echo | Mode::Mixed => echo::turn(&run, &clock, line, &mut stream).await,
                _ => bulk::transfer(&run, &clock, line, &mut stream).await,
            }
            stream
        });
    }
    let (mut streams, window) = watch::watch(run, &clock, tasks, progress).await;
    streams.append(&mut failed);
    Ok((streams, window))
}

/// Dials every stream, some at a time. All must succeed, but in mode `idle`, where how many do is
/// what one wants to know.
async fn dial_all(run: &Arc<Run>) -> Result<(Vec<(u32, Line)>, Vec<Stream>), Error> {
    let (mut lines, mut failed) = (Vec::new(), Vec::new());
    let mut dialling = JoinSet::new();
    let mut numbers = 0..run.settings.streams;
    loop {
        while dialling.len() < AT_ONCE {
            let Some(number) = numbers.next() else {
                break;
            };
            let run = Arc::clone(run);
            dialling.spawn(async move {
                let purpose = run.purpose(number);
                (number, run.target.dial(&purpose).await)
            });
        }
        let Some(dialled) = dialling.join_next().await else {
            return Ok((lines, failed));
        };
        let (number, dialled) = dialled.expect("dialling does not panic and is not aborted");
        match dialled {
            Ok(line) => lines.push((number, line)),
            Err(error) if run.settings.mode != Mode::Idle || lines.is_empty() => return Err(error),
            Err(error) => {
                let mut stream = Stream::new(number);
                stream.failed = 1;
                stream.errors.push(error);
                failed.push(stream);
            }
        }
    }
}

/// More than a round trip's worth of dialling, and less than any listen queue.
const AT_ONCE: usize = 64;

impl Run {
    fn meter(&self, number: u32) -> &Meter {
        let index = usize::try_from(number).unwrap_or_default();
        self.meters
            .get(index)
            .expect("every stream has a meter of its own")
    }

    fn purpose(&self, number: u32) -> Purpose {
        let settings = &self.settings;
        let exchange = match settings.mode {
            Mode::Upload | Mode::Connect => Exchange::Upload,
            Mode::Download => Exchange::Download,
            Mode::Both => Exchange::Both,
            Mode::Echo | Mode::Mixed | Mode::Idle => Exchange::Echo,
        };
        let largest = settings.sizes.iter().map(|share| share.bytes).max();
        let room = match settings.mode {
            Mode::Upload | Mode::Connect | Mode::Idle => 0,
            Mode::Download | Mode::Both => BULK_ROOM,
            Mode::Echo | Mode::Mixed => largest.unwrap_or(0).clamp(4096, BULK_ROOM),
        };
        let duration = settings.duration.map(|duration| duration.as_millis());
        let seed = fastrand::u64(..);
        Purpose {
            request: Request {
                exchange,
                stream: number,
                nonce: self.nonce ^ seed,
                seed,
                bytes: settings.bytes.unwrap_or(u64::MAX),
                milliseconds: duration.map_or(u32::MAX, |it| u32::try_from(it).unwrap_or(u32::MAX)),
                block: u32::try_from(settings.block).unwrap_or(u32::MAX),
            },
            room,
            at_once: settings.mode == Mode::Connect,
            counted: settings.mode.is_bulk(),
        }
    }
}

/// Twice the usual write: one read takes what two writes brought.
const BULK_ROOM: usize = 256 * 1024;

/// Does `work`, but not while nothing at all moves for `timeout`.
async fn while_moving<T>(
    meter: &Meter,
    patience: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    let mut work = core::pin::pin!(work);
    let mut moved = meter.moved();
    loop {
        let waited = tokio::time::timeout(patience, &mut work).await;
        if let Ok(done) = waited {
            return Ok(done);
        }
        if moved == meter.moved() {
            return Err(Error::Stalled {
                waited: patience,
                moved,
            });
        }
        moved = meter.moved();
    }
}

/// The far end's way.
const THEIRS: Way = Way::Download;
/// This end's way.
const OURS: Way = Way::Upload;

/// When the work of a stream may begin, as the runtime's clock has it.
fn tokio_time(at: Instant) -> tokio::time::Instant {
    tokio::time::Instant::from_std(at)
}
