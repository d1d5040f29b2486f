//! Both directions of one connection behind its hello, the same code at either end.
//!
//! [`Inlet`] gathers bytes, [`Intake`] checks a payload to its end, [`Outlet`] makes one.
//! Whoever finds a fault says so in its verdict at once and reads on without looking, so that the
//! word arrives before the connection is closed.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use xxhash_rust::xxh3::Xxh3;

use super::error::{Error, Way};
use super::pattern::{Fault, Pattern, TELLING};
use super::wire::{END, Sum, VERDICT, Verdict};

/// Either end's socket, with or without TLS on it.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// What moved so far: written by one stream, read by whoever shows progress.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    /// Round trips or new connections.
    pub(super) done: AtomicU64,
    /// Connections that are held idle.
    pub(super) held: AtomicU64,
}

impl Meter {
    /// Counts bytes that came and went back.
    pub(super) fn count_echo(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn moved(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) + self.received.load(Ordering::Relaxed)
    }
}

/// Received bytes that nobody has looked at yet.
#[derive(Debug)]
pub(super) struct Inlet<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// What the buffer may grow to.
    most: usize,
}

impl<R: AsyncRead + Unpin> Inlet<R> {
    /// `most` is what one read takes at most. The buffer grows to it as reads fill it, so that
    /// thousands of silent connections have small ones.
    pub(super) fn new(reader: R, most: usize) -> Self {
        Self {
            reader,
            buffer: vec![0; SMALLEST_ROOM],
            start: 0,
            end: 0,
            most,
        }
    }

    /// What is there.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// Reads until `count` bytes are there, a message's worth at most; fewer only at the end of the
    /// stream.
    ///
    /// Loses nothing when it is cancelled.
    pub(super) async fn gather(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count && self.more().await? > 0 {}
        Ok(self.bytes())
    }

    /// Reads once, and says how many bytes came: none at the end of the stream.
    ///
    /// Loses nothing when it is cancelled.
    async fn more(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let count = self.reader.read(room).await?;
        self.end += count;
        let length = self.buffer.len();
        if self.end == length && length < self.most {
            self.buffer.resize((length * 4).min(self.most), 0);
        }
        Ok(count)
    }

    /// Reads and forgets, so that the far end is not kept from reading, until it closes or the
    /// time is over.
    pub(super) async fn discard(&mut self, patience: Duration) {
        let until_end = async {
            loop {
                (self.start, self.end) = (0, 0);
                if !matches!(self.more().await, Ok(1..)) {
                    return;
                }
            }
        };
        // Either way there is nothing more to learn from this connection.
        if timeout(patience, until_end).await.is_err() {
            tracing::debug!("the far end went on sending");
        }
    }
}

/// Every message of ours fits, with what tells a fault behind it.
const SMALLEST_ROOM: usize = 1024;

/// What comes next of a payload.
#[derive(Debug)]
pub(super) enum Piece {
    /// So many bytes are right: they are the front of [`Inlet::bytes`], to be consumed.
    Right(usize),
    /// The payload is over, and its sum is right.
    End(Sum),
}

/// Why a payload is not received to its end.
#[derive(Debug)]
pub(super) enum Flaw {
    Fault(Fault),
    /// The stream ended there, without an end mark.
    Cut(u64),
    /// Every byte is right, and the far end counted others.
    Sums {
        sent: Sum,
        received: Sum,
    },
    Broken(io::Error),
}

impl Flaw {
    pub(super) fn on(self, way: Way) -> Error {
        match self {
            Self::Fault(fault) => Error::Fault { way, fault },
            Self::Cut(offset) => Error::Cut { way, offset },
            Self::Sums { sent, received } => Error::Sums {
                way,
                sent: sent.length,
                received: received.length,
            },
            Self::Broken(error) => Error::Broken { way, error },
        }
    }
}

/// Checks a payload.
pub(super) struct Intake {
    pattern: Pattern,
    length: u64,
    hash: Xxh3,
}

impl Intake {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            length: 0,
            hash: Xxh3::new(),
        }
    }

    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn sum(&self) -> Sum {
        Sum {
            length: self.length,
            hash: self.hash.digest(),
        }
    }

    /// Waits for bytes and checks them.
    ///
    /// May be cancelled: nothing is counted then.
    pub(super) async fn next(
        &mut self,
        inlet: &mut Inlet<impl AsyncRead + Unpin>,
    ) -> Result<Piece, Flaw> {
        let bytes = inlet.gather(1).await.map_err(Flaw::Broken)?;
        if bytes.is_empty() {
            return Err(Flaw::Cut(self.length));
        }
        let right = self.pattern.mismatch(self.length, bytes);
        let right = bytes.get(..right.unwrap_or(bytes.len())).unwrap_or(bytes);
        if right.is_empty() {
            return self.end(inlet).await.map(Piece::End);
        }
        self.length += right.len() as u64;
        self.hash.update(right);
        Ok(Piece::Right(right.len()))
    }

    /// Reads what stands instead of the next byte of the payload.
    async fn end(&self, inlet: &mut Inlet<impl AsyncRead + Unpin>) -> Result<Sum, Flaw> {
        let bytes = inlet.gather(END).await.map_err(Flaw::Broken)?;
        let received = self.sum();
        if let Some(sent) = Sum::of_end(bytes, self.pattern, self.length) {
            inlet.consume(END);
            return if sent == received {
                Ok(received)
            } else {
                Err(Flaw::Sums { sent, received })
            };
        }
        if bytes.len() < END && received.end(self.pattern).starts_with(bytes) {
            return Err(Flaw::Cut(self.length));
        }
        // More bytes tell more, but there need not be any.
        match timeout(LINGER, inlet.gather(TELLING)).await {
            Ok(Ok(_)) | Ok(Err(_)) | Err(_) => {}
        }
        let telling = inlet.bytes();
        let telling = telling.get(..TELLING).unwrap_or(telling);
        Err(Flaw::Fault(self.pattern.diagnose(self.length, telling)))
    }
}

/// How long a wrong byte waits for the bytes behind it.
const LINGER: Duration = Duration::from_millis(200);

/// Makes a payload.
pub(super) struct Outlet {
    pattern: Pattern,
    length: u64,
    hash: Xxh3,
    block: Vec<u8>,
}

impl Outlet {
    pub(super) fn new(pattern: Pattern, block: usize) -> Self {
        Self {
            pattern,
            length: 0,
            hash: Xxh3::new(),
            block: vec![0; block],
        }
    }

    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Writes the next `count` bytes, at most a block.
    pub(super) async fn send(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        count: usize,
    ) -> io::Result<()> {
        let count = count.min(self.block.len());
        let bytes = self.block.get_mut(..count).unwrap_or_default();
        self.pattern.fill(self.length, bytes);
        self.hash.update(bytes);
        self.length += count as u64;
        writer.write_all(bytes).await
    }

    /// Notes bytes that were sent in another way: those of an echo.
    pub(super) fn count(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }

    pub(super) fn sum(&self) -> Sum {
        Sum {
            length: self.length,
            hash: self.hash.digest(),
        }
    }

    /// Ends the payload where it is.
    pub(super) async fn end(&self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        writer.write_all(&self.sum().end(self.pattern)).await?;
        writer.flush().await
    }
}

/// How much a bulk sender sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) bytes: u64,
    pub(super) until: Option<Instant>,
}

/// Sends until the plan is done or `stop` is set, then the end mark.
pub(super) async fn send_bulk(
    writer: &mut (impl AsyncWrite + Unpin),
    outlet: &mut Outlet,
    plan: Plan,
    meter: &Meter,
    stop: &AtomicBool,
    mut allowed: impl FnMut(u64) -> bool,
) -> io::Result<()> {
    let over = || plan.until.is_some_and(|until| Instant::now() >= until);
    while outlet.length() < plan.bytes && !stop.load(Ordering::Relaxed) && !over() {
        let before = outlet.length();
        let left = usize::try_from(plan.bytes - before).unwrap_or(usize::MAX);
        outlet.send(writer, left).await?;
        let count = outlet.length() - before;
        meter.sent.fetch_add(count, Ordering::Relaxed);
        if !allowed(count) {
            break;
        }
    }
    outlet.end(writer).await
}

/// Receives to the end mark; a limit of `most` bytes ends it early, as `None`.
pub(super) async fn receive_bulk(
    inlet: &mut Inlet<impl AsyncRead + Unpin>,
    intake: &mut Intake,
    meter: &Meter,
    mut allowed: impl FnMut(u64) -> bool,
) -> Result<Option<Sum>, Flaw> {
    loop {
        match intake.next(inlet).await? {
            Piece::Right(count) => {
                inlet.consume(count);
                meter.received.fetch_add(count as u64, Ordering::Relaxed);
                if !allowed(count as u64) {
                    return Ok(None);
                }
            }
            Piece::End(sum) => return Ok(Some(sum)),
        }
    }
}

/// Reads the far end's verdict.
pub(super) async fn verdict(
    inlet: &mut Inlet<impl AsyncRead + Unpin>,
    way: Way,
) -> Result<Verdict, Error> {
    let bytes = inlet.gather(VERDICT).await;
    let bytes = bytes.map_err(|error| Error::Broken { way, error })?;
    if bytes.is_empty() {
        return Err(Error::Broken {
            way,
            error: io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the far end closed without saying what it received",
            ),
        });
    }
    let verdict = Verdict::decode(bytes.get(..VERDICT).unwrap_or(bytes))?;
    inlet.consume(VERDICT);
    Ok(verdict)
}
