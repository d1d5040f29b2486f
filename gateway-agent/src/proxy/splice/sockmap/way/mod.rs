//! One direction: what the agent must do for it, a step at a time.
//!
//! A step never waits: it moves what can be moved and says what it needs next. Before the sockets are
//! joined it reads and writes every byte; afterwards only those that the kernel passed. Order holds
//! because nothing passed is written before the peer's socket has all that was redirected, and the
//! kernel redirects again only after all that was passed is written and said to be.
//!
//! Passed bytes are peeked, written, said to be forwarded, and only then taken: taking them opens the
//! sender's window, and what comes then finds nothing left to wait for and is redirected.
//!
//! The end is passed on by proof, not by what a read returns: the peer's socket was given as many
//! bytes as have arrived.

use core::sync::atomic::{AtomicU64, Ordering};
mod end;
mod forward;
mod look;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use gateway_common::abi::splice::Direction;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::super::copy::buffers::{Buffer, Size};
#[cfg(feature = "faults")]
use super::super::faults;
use super::buffers::{Buffers, Most, Sizes};
use super::kernel::Splice;
use crate::sys::tcp;

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Way<'a> {
    pub(super) direction: Direction,
    pub(super) from: &'a TcpStream,
    pub(super) to: &'a TcpStream,
    /// Read, or given to go first, and not yet written.
    pub(super) held: Bytes,
    /// How much of what is held is ours and no byte of the sender's.
    pub(super) uncounted: usize,
    /// Bytes of the sender's that the agent wrote.
    pub(super) moved: &'a AtomicU64,
    /// Bytes that the agent read, ever.
    pub(super) read: u64,
    /// What it needs before the next step.
    pub(super) need: Need,
    /// The sender has said that it is done, by FIN or RST.
    pub(super) closed: bool,
    /// The sender aborted: its end is not passed on as FIN.
    pub(super) aborted: bool,
    pub(super) joined: Option<Joined>,
    /// No segment is read in part: the last read found less than it asked for.
    pub(super) whole: bool,
    /// Its end was passed on.
    passed_on: bool,
    size: Size,
    /// The last write found no room.
    full: bool,
}

/// What a direction needs before its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing but its turn.
    Turn,
    /// Something to read.
    Read,
    /// Room to write.
    Write,
    /// The receiver's socket to take what waits for it in the kernel.
    Drain,
    /// Nothing ever: it is over.
    Nothing,
}

/// What is known since the sockets were joined.
#[derive(Debug)]
pub(super) struct Joined {
    kernel: Arc<dyn Splice>,
    /// What the agent had read before.
    read_before: u64,
    /// What the receiver's socket had been given before.
    given_before: u64,
    /// Bytes that the agent wrote since.
    pub(super) forwarded: u64,
    /// How many of these the kernel knows of.
    told: u64,
    /// Bytes that the agent wrote and has not taken from the sender's socket.
    ahead: usize,
    pub(super) buffers: Buffers,
}

/// A direction at rest: nothing of it is in the agent's hands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rested {
    read_before: u64,
    given_before: u64,
    sizes: Sizes,
}

/// Which side failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Reading from the sender.
    Read(io::Error),
    /// Writing to the receiver.
    Write(io::Error),
    /// The kernel half.
    Kernel(io::Error),
}

/// Most bytes that are read ahead for the kernel to take over, several times the window of a relay.
const MOST_ABSORBED: usize = 512 * 1024;

/// Buffers of bytes in one step, after which other connections of this thread get a turn.
const ROUNDS: usize = 16;

/// How far a step got.
type Step = Result<Option<Need>, Failure>;

impl<'a> Way<'a> {
    pub(super) fn new(
        direction: Direction,
        (from, to): (&'a TcpStream, &'a TcpStream),
        moved: &'a AtomicU64,
    ) -> Self {
        Self {
            direction,
            from,
            to,
            held: Bytes::new(),
            uncounted: 0,
            moved,
            read: 0,
            need: Need::Turn,
            closed: false,
            aborted: false,
            joined: None,
            // Only the client's socket has been read by others.
            whole: direction == Direction::Downstream,
            passed_on: false,
            size: Size::default(),
            full: false,
        }
    }

    /// Moves what can be moved now.
    pub(super) fn step(&mut self) -> Result<(), Failure> {
        if self.need == Need::Nothing {
            return Ok(());
        }
        self.need = Need::Turn;
        for _ in 0..ROUNDS {
            let needs = match self.write_held()? {
                Some(need) => Some(need),
                None => self.move_one()?,
            };
            if let Some(need) = needs {
                self.need = need;
                break;
            }
        }
        Ok(())
    }

    /// Reads all that has arrived, to be written later; whether no segment is read in part then.
    pub(super) fn absorb(&mut self) -> bool {
        if self.whole {
            return true;
        }
        let mut all = Vec::from(core::mem::take(&mut self.held));
        let held = all.len();
        all.resize(held + MOST_ABSORBED, 0);
        let read = match self.from.try_read(all.get_mut(held..).unwrap_or_default()) {
            Ok(0) => {
                self.closed = true;
                0
            }
            Ok(read) => {
                self.whole = read < MOST_ABSORBED;
                read
            }
            // An error shows again in the next step, or has been seen by whoever waits for one.
            Err(error) => {
                self.whole = error.kind() == io::ErrorKind::WouldBlock;
                0
            }
        };
        self.read += read as u64;
        all.truncate(held + read);
        all.shrink_to_fit();
        self.held = all.into();
        self.whole
    }

    /// Takes up that the kernel moves the bytes from here on; `given` is what the receiver's socket had
    /// been given before. What is held still counts as passed and not forwarded, so that the kernel
    /// redirects nothing before it is written.
    pub(super) fn join(&mut self, kernel: Arc<dyn Splice>, given: u64, buffers: Buffers) {
        self.need = Need::Turn;
        let owed = self.owed();
        self.joined = Some(Joined {
            kernel,
            read_before: self.read,
            given_before: given.wrapping_add(self.held.len() as u64),
            forwarded: owed,
            told: owed,
            ahead: 0,
            buffers,
        });
    }

    /// What the count of forwarded bytes begins at: below zero by what is held.
    pub(super) fn owed(&self) -> u64 {
        0_u64.wrapping_sub(self.held.len() as u64)
    }

    /// Bytes that the receiver's socket has been given since the sockets were joined.
    pub(super) fn given(&self, joined: &Joined) -> io::Result<u64> {
        let (given, _) = tcp::given(self.to)?;
        Ok(given.saturating_sub(joined.given_before))
    }

    /// Bytes that were redirected and that the receiver's socket has not taken.
    pub(super) fn backlog(&self) -> io::Result<u64> {
        let Some(joined) = self.joined.as_ref().filter(|_| self.held.is_empty()) else {
            return Ok(0);
        };
        let stream = joined.kernel.stream(self.direction)?;
        let given = self.given(joined)?;
        Ok(stream
            .redirected
            .wrapping_add(joined.forwarded)
            .saturating_sub(given))
    }

    /// Whether bytes were passed that the agent has not forwarded.
    pub(super) fn owes(&self) -> io::Result<bool> {
        if !self.held.is_empty() {
            return Ok(true);
        }
        let Some(joined) = &self.joined else {
            return Ok(false);
        };
        Ok(joined.kernel.stream(self.direction)?.passed != joined.forwarded)
    }

    /// Bytes that were passed and that the agent has not taken.
    fn unread(&self) -> io::Result<u64> {
        let Some(joined) = &self.joined else {
            return Ok(0);
        };
        let passed = joined.kernel.stream(self.direction)?.passed;
        Ok(passed.wrapping_sub(joined.forwarded) + joined.ahead as u64)
    }

    /// Whether nothing of it is in the agent's hands, and its sender may say more.
    pub(super) fn is_done(&self) -> bool {
        let done = |joined: &Joined| joined.ahead == 0 && joined.told == joined.forwarded;
        self.held.is_empty()
            && !self.closed
            && !self.aborted
            && self.joined.as_ref().is_some_and(done)
    }

    /// What is to be kept of it while it rests; nothing of a direction that is not joined.
    pub(super) fn rest(&self) -> Option<Rested> {
        let joined = self.joined.as_ref()?;
        Some(Rested {
            read_before: joined.read_before,
            given_before: joined.given_before,
            sizes: joined.buffers.rest(),
        })
    }

    /// Takes up again what has rested.
    pub(super) fn wake(
        &mut self,
        kernel: Arc<dyn Splice>,
        rested: Rested,
        most: Most,
    ) -> Result<(), Failure> {
        let Rested {
            read_before,
            given_before,
            sizes,
        } = rested;
        let forwarded = kernel.told_forwarded(self.direction);
        let stream = kernel.stream(self.direction).map_err(Failure::Kernel)?;
        let (given, _) = tcp::given(self.to).map_err(Failure::Write)?;
        let counts = (given, stream.redirected);
        let buffers = Buffers::wake(self.from, (sizes, most), counts).map_err(Failure::Read)?;
        self.joined = Some(Joined {
            kernel,
            read_before,
            given_before,
            forwarded,
            told: forwarded,
            ahead: 0,
            buffers,
        });
        self.ask_for_review().map_err(Failure::Kernel)
    }

    /// Counts what the kernel moved, once, at the end.
    pub(super) fn settle(&mut self) {
        let Some(joined) = self.joined.take() else {
            return;
        };
        match self.given(&joined) {
            Ok(given) => {
                // A FIN that was passed on counts as a byte.
                let bytes = given.saturating_sub(u64::from(self.passed_on));
                let redirected = bytes.saturating_sub(joined.forwarded);
                self.moved.fetch_add(redirected, Ordering::Relaxed);
            }
            Err(error) => tracing::debug!(%error, "count the bytes of a connection"),
        }
    }

    fn write_held(&mut self) -> Step {
        while !self.held.is_empty() {
            match self.to.try_write(&self.held) {
                Ok(0) => return Err(Failure::Write(io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    let _written = self.held.split_to(written);
                    self.count(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.blocked();
                }
                Err(error) => return Err(Failure::Write(error)),
            }
        }
        Ok(None)
    }

    fn blocked(&mut self) -> Step {
        self.full = true;
        self.size = Size::default();
        if let Some(joined) = &mut self.joined {
            let made = joined.buffers.make_room(self.from, false);
            made.map_err(Failure::Read)?;
        }
        Ok(Some(Need::Write))
    }

    fn count(&mut self, written: usize) {
        let ours = self.uncounted.min(written);
        self.uncounted -= ours;
        self.moved
            .fetch_add((written - ours) as u64, Ordering::Relaxed);
        if let Some(joined) = &mut self.joined {
            joined.forwarded = joined.forwarded.wrapping_add(written as u64);
        }
    }

    fn move_one(&mut self) -> Step {
        // A receiver that has no room must not make us hold a buffer for it.
        if self.full {
            if !has_room(self.to).map_err(Failure::Write)? {
                return Ok(Some(Need::Write));
            }
            self.full = false;
        }
        if self.joined.is_some() {
            self.relay()
        } else {
            self.copy()
        }
    }

    /// Reads once and writes what was read.
    fn copy(&mut self) -> Step {
        let mut buffer = Buffer::take(self.size);
        let read = match self.from.try_read(buffer.bytes()) {
            Ok(0) => return self.ended(),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.dry(),
            Err(error) => return Err(Failure::Read(error)),
        };
        self.read += read as u64;
        self.whole = read < buffer.bytes().len();
        if !self.whole {
            self.size = self.size.grow_to_copy();
        }
        #[cfg(feature = "faults")]
        faults::spoil(buffer.bytes().get_mut(..read).unwrap_or_default());
        let bytes = buffer.bytes().get(..read).unwrap_or_default();
        let written = self.write(bytes)?;
        if written < read {
            self.held = Bytes::copy_from_slice(bytes.get(written..).unwrap_or_default());
            return self.blocked();
        }
        Ok(None)
    }

    /// Writes until the receiver's socket takes no more; how much it took.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut written = 0;
        while written < bytes.len() {
            match self.to.try_write(bytes.get(written..).unwrap_or_default()) {
                Ok(0) => return Err(Failure::Write(io::ErrorKind::WriteZero.into())),
                Ok(more) => {
                    written += more;
                    self.count(more);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Failure::Write(error)),
            }
        }
        Ok(written)
    }
}

/// Whether a socket can be written to; where it cannot, its next readiness will be news.
pub(super) fn has_room(socket: &TcpStream) -> io::Result<bool> {
    let asked = socket.try_io(Interest::WRITABLE, || {
        // Asking has the kernel tell when there is room: without that, no news would come.
        match tcp::is_writable(socket) {
            Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
            other => other,
        }
    });
    match asked {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        asked => asked,
    }
}
