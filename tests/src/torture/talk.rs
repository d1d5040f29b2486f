//! One conversation between two sockets, and what each side saw of it.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::io;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gateway_tests::peers::pair::Pair;
use gateway_tests::peers::{acknowledged, reset};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};

use crate::stream::{Spoiled, Stream};

/// What one side does.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// Tells its bytes from those of other sides.
    pub(crate) seed: u64,
    /// How much it sends.
    pub(crate) sends: u64,
    /// Sizes of its writes.
    pub(crate) pieces: Range<usize>,
    /// What it does when all is sent.
    pub(crate) ends: Ending,
    /// How it reads.
    pub(crate) reads: Reading,
}

/// How a side ends its own stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// FIN as soon as all is sent.
    Fin,
    /// FIN after the other side's end was read.
    FinLast,
    /// RST once the other side's kernel has acknowledged all.
    Reset,
    /// RST at once, over what is not acknowledged yet.
    ResetAtOnce,
}

/// How a side reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// All that comes, at once.
    Eager,
    /// Nothing for so long from this offset on, then all.
    Stops { at: u64, time: Duration },
    /// So many bytes, a pause, and again.
    Sips { bytes: usize, pause: Duration },
}

/// How the other side's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// By FIN.
    Fin,
    /// By RST.
    Reset,
    /// This side left before.
    Nothing,
}

/// What one side saw of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// Bytes that came, all of them right.
    pub(crate) got: u64,
    /// The end that came.
    pub(crate) end: Seen,
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.end {
            Seen::Fin => "FIN",
            Seen::Reset => "RST",
            Seen::Nothing => "no end",
        };
        write!(f, "{} bytes and {end}", self.got)
    }
}

/// Most bytes of one write or read.
const MOST: usize = 256 * 1024;

impl Side {
    /// A side that sends so much in writes of all sizes, reads eagerly and ends by FIN.
    pub(crate) fn new(seed: u64, sends: u64) -> Self {
        Self {
            seed,
            sends,
            pieces: 1..65_536,
            ends: Ending::Fin,
            reads: Reading::Eager,
        }
    }

    /// The same with another end.
    pub(crate) fn ends(mut self, ends: Ending) -> Self {
        self.ends = ends;
        self
    }

    /// The same with another way to read.
    pub(crate) fn reads(mut self, reads: Reading) -> Self {
        self.reads = reads;
        self
    }

    /// The same with writes of other sizes.
    pub(crate) fn pieces(mut self, pieces: Range<usize>) -> Self {
        self.pieces = pieces;
        self
    }
}

/// Has both sides do what they do: what the client saw, and what the server saw. Fails if bytes are
/// wrong, or if it is not over after `patience`.
pub(crate) async fn converse(
    pair: Pair,
    (client, server): (&Side, &Side),
    patience: Duration,
) -> Result<[View; 2]> {
    let progress = [Progress::default(), Progress::default()];
    let [at_client, at_server] = &progress;
    let mut both = Box::pin(async {
        tokio::try_join!(
            async {
                let played = play(pair.client, client, server, at_client).await;
                played.context("downstream (to the client)")
            },
            async {
                let played = play(pair.server, server, client, at_server).await;
                played.context("upstream (to the server)")
            },
        )
    });
    let Ok(views) = timeout(patience, &mut both).await else {
        // The sockets stay as they are for whoever looks at the agent now.
        core::mem::forget(both);
        let way = |from: &Progress, to: &Progress, side: &Side| {
            let (sent, got) = (from.sent.load(Relaxed), to.got.load(Relaxed));
            match (sent, got) {
                (_, got) if got >= side.sends => format!("all {got} bytes came"),
                (sent, got) if sent >= side.sends => format!("{got} of {sent} bytes came"),
                (sent, got) => format!("{got} of {sent} bytes came, of {}", side.sends),
            }
        };
        bail!(
            "no end came in {patience:?}: upstream {}, downstream {}",
            way(at_client, at_server, client),
            way(at_server, at_client, server)
        );
    };
    let (client, server) = views?;
    Ok([client, server])
}

/// How far one side has come.
#[derive(Debug, Default)]
struct Progress {
    /// Bytes that its socket has taken.
    sent: AtomicU64,
    /// Bytes that it has read, all of them right.
    got: AtomicU64,
}

/// One side to its end.
async fn play(
    mut stream: TcpStream,
    mine: &Side,
    theirs: &Side,
    progress: &Progress,
) -> Result<View> {
    let (reader, mut writer) = stream.split();
    let writing = write(&mut writer, mine, &progress.sent);
    let reading = read(reader, (mine.reads, theirs), &progress.got);
    if matches!(mine.ends, Ending::Reset | Ending::ResetAtOnce) {
        // Read meanwhile: who resets need not be deaf before.
        tokio::select! {
            biased;
            written = writing => match written {
                Err(error) if was_reset(&error) => {
                    let got = progress.got.load(Relaxed);
                    return Ok(View { got, end: Seen::Reset });
                }
                written => written?,
            },
            seen = async {
                match reading.await {
                    // Its FIN keeps nobody from sending.
                    Ok(View { end: Seen::Fin, .. }) => core::future::pending().await,
                    seen => seen,
                }
            } => return seen,
        }
        reset(stream)?;
        let got = progress.got.load(Relaxed);
        return Ok(View {
            got,
            end: Seen::Nothing,
        });
    }
    if mine.ends == Ending::FinLast {
        let (written, view) = tokio::join!(writing, reading);
        let view = seen(view?, written)?;
        if view.end == Seen::Fin {
            writer.shutdown().await.context("cannot send FIN")?;
        }
        return Ok(view);
    }
    let (written, view) = tokio::join!(writing, reading);
    seen(view?, written)
}

/// A socket tells of its reset once: who writes may hear of it, and who reads then sees an end.
fn seen(view: View, written: Result<()>) -> Result<View> {
    let end = match written {
        Ok(()) => view.end,
        Err(error) if was_reset(&error) => Seen::Reset,
        Err(error) => return Err(error).context("cannot send all"),
    };
    Ok(View { end, ..view })
}

fn was_reset(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(is_reset)
}

async fn write(writer: &mut WriteHalf<'_>, side: &Side, told: &AtomicU64) -> Result<()> {
    let stream = Stream::new(side.seed);
    let mut sizes = fastrand::Rng::with_seed(side.seed);
    let mut block = vec![0; MOST];
    let mut sent = 0;
    while sent < side.sends {
        let left = usize::try_from(side.sends - sent).unwrap_or(MOST);
        let size = sizes.usize(side.pieces.clone()).min(left).min(MOST);
        let bytes = &mut block[..size];
        stream.fill(sent, bytes);
        writer.write_all(bytes).await?;
        sent += size as u64;
        told.store(sent, Relaxed);
    }
    match side.ends {
        Ending::Fin => writer.shutdown().await.context("cannot send FIN"),
        Ending::Reset => acknowledged(writer.as_ref()).await,
        Ending::FinLast | Ending::ResetAtOnce => Ok(()),
    }
}

/// Reads to the end and checks each byte.
async fn read(
    mut reader: ReadHalf<'_>,
    (reads, theirs): (Reading, &Side),
    told: &AtomicU64,
) -> Result<View> {
    let stream = Stream::new(theirs.seed);
    let size = match reads {
        Reading::Sips { bytes, .. } => bytes,
        _ => MOST,
    };
    let mut block = vec![0; size];
    let mut got = 0;
    let mut stops = true;
    let end = loop {
        match reads {
            Reading::Stops { at, time } if stops && got >= at => {
                stops = false;
                sleep(time).await;
            }
            Reading::Sips { pause, .. } => sleep(pause).await,
            _ => {}
        }
        match reader.read(&mut block).await {
            Ok(0) => break Seen::Fin,
            Ok(count) => {
                stream.check(got, &block[..count]).map_err(described)?;
                got += count as u64;
                told.store(got, Relaxed);
                if got > theirs.sends {
                    return Err(described(Spoiled::Surplus { at: theirs.sends }));
                }
            }
            Err(error) if is_reset(&error) => break Seen::Reset,
            Err(error) => return Err(error).context("cannot read"),
        }
    };
    Ok(View { got, end })
}

fn described(spoiled: Spoiled) -> anyhow::Error {
    anyhow::anyhow!("{spoiled}")
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// What both sides must have seen of a conversation that ends in order.
pub(crate) fn in_order(client: &Side, server: &Side) -> [View; 2] {
    [server, client].map(|other| View {
        got: other.sends,
        end: Seen::Fin,
    })
}

/// Has both sides do what they do, which ends in order.
pub(crate) async fn converse_in_order(
    pair: Pair,
    (client, server): (Side, Side),
    patience: Duration,
) -> Result<()> {
    let views = converse(pair, (&client, &server), patience).await;
    let views = views.with_context(|| format!("{client:?}, {server:?}"))?;
    ensure!(
        views == in_order(&client, &server),
        "{views:?}: {client:?}, {server:?}"
    );
    Ok(())
}
