//! One direction: from one socket to the other until FIN, which is passed on, or a failure.
//!
//! Small messages go through a borrowed buffer: one read, one write. A read that fills the buffer
//! means bulk, and bulk goes by splice(2) through a pipe, where pages move and bytes do not. The
//! pipe is always emptied before it is filled again, so that its fullness can never be mistaken
//! for a socket without data.

use core::sync::atomic::{AtomicU64, Ordering};
use std::io;

use bytes::Bytes;
use rustix::pipe::{SpliceFlags, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::super::Spare;
#[cfg(feature = "faults")]
use super::super::faults;
use super::buffers::{Buffer, Size};
use super::pipes::{Pipe, Pipes};
use super::{LastMove, Sender};
use crate::sys::tcp;

/// One direction of a connection.
pub(super) struct Lane<'a> {
    pub(super) from: &'a TcpStream,
    pub(super) to: &'a TcpStream,
    /// Written before anything is read.
    pub(super) first_bytes: Bytes,
    /// How many of the first bytes are not counted, being none of the sender's.
    pub(super) uncounted: usize,
    /// Bytes written to `to`.
    pub(super) moved: &'a AtomicU64,
    /// What is known of `from`.
    pub(super) sender: &'a Sender,
    /// When bytes last moved, in either direction.
    pub(super) last: &'a LastMove,
    /// Forgotten at the first byte that is read, from whichever side.
    pub(super) spare: &'a Spare,
    pub(super) pipes: &'a Pipes,
}

/// Which side failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Reading from the sender.
    Read(io::Error),
    /// Writing to the receiver.
    Write(io::Error),
}

/// Rounds of filling and emptying after which other connections of this thread get a turn.
const ROUNDS: usize = 16;

/// Bytes of one turn that make it one of bulk: what fills the smallest buffer.
const BULK: u64 = 16 * 1024;

/// Turns without bulk after which a direction that had it goes back to buffers: a fast sender
/// runs dry between two trains of segments all the time.
const HOPE: u32 = 8;

/// What a turn of moving bytes ended with.
enum Turn {
    /// The sender has nothing more for now.
    Dry,
    /// The sender has sent FIN.
    Finished,
    /// The buffer was filled: there is more than it holds.
    Bulk,
    /// The turn is over though there may be more.
    Yield,
}

/// Moves bytes until the sender's FIN, and passes that on. Cancel safe in so far as bytes in
/// flight are lost with the connection that is dropped.
pub(super) async fn pump(mut lane: Lane<'_>) -> Result<(), Failure> {
    lane.send_first_bytes().await?;
    let mut size = Size::default();
    let mut pipe: Option<Pipe> = None;
    let mut hope = 0;
    loop {
        let before = lane.moved.load(Ordering::Relaxed);
        let turn = match &mut pipe {
            Some(pipe) => lane.splice_turn(pipe).await?,
            None => lane.copy_turn(size).await?,
        };
        match turn {
            Turn::Dry => {
                // Nothing is held while waiting; what waited without bulk starts small again.
                let moved = lane.moved.load(Ordering::Relaxed) - before;
                hope = match pipe.take() {
                    Some(_) if moved >= BULK => HOPE,
                    _ => hope.saturating_sub(1),
                };
                size = Size::default();
                lane.from.readable().await.map_err(Failure::Read)?;
                if hope > 0 {
                    pipe = lane.pipes.borrow();
                }
            }
            Turn::Bulk => {
                (pipe, size, hope) = (lane.pipes.borrow(), size.grow(), HOPE);
                tokio::task::yield_now().await;
            }
            Turn::Yield => tokio::task::yield_now().await,
            Turn::Finished if lane.sender.aborted.load(Ordering::Relaxed) => {
                return Err(Failure::Read(io::ErrorKind::ConnectionReset.into()));
            }
            #[cfg(feature = "faults")]
            Turn::Finished if faults::loses_fin() => return Ok(()),
            Turn::Finished => return tcp::finish_writing(lane.to).map_err(Failure::Write),
        }
    }
}

impl Lane<'_> {
    async fn send_first_bytes(&mut self) -> Result<(), Failure> {
        let first = core::mem::take(&mut self.first_bytes);
        let mut uncounted = self.uncounted;
        let mut rest: &[u8] = &first;
        self.sender.held.store(!rest.is_empty(), Ordering::Relaxed);
        while !rest.is_empty() {
            let written = self.write_some(rest).await?;
            rest = rest.get(written..).unwrap_or_default();
            let ours = uncounted.min(written);
            uncounted -= ours;
            self.count(written - ours);
        }
        self.sender.gave();
        Ok(())
    }

    /// Reads into a borrowed buffer and writes all of it, a few times.
    async fn copy_turn(&mut self, size: Size) -> Result<Turn, Failure> {
        let mut buffer = Buffer::take(size);
        for _ in 0..ROUNDS {
            let read = match self.from.try_read(buffer.bytes()) {
                Ok(0) => return Ok(Turn::Finished),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Dry),
                Err(error) => return Err(Failure::Read(error)),
            };
            self.took();
            let full = read == buffer.bytes().len();
            #[cfg(feature = "faults")]
            faults::spoil(buffer.bytes().get_mut(..read).unwrap_or_default());
            let mut rest = buffer.bytes().get(..read).unwrap_or_default();
            while !rest.is_empty() {
                let written = self.write_some(rest).await?;
                rest = rest.get(written..).unwrap_or_default();
                self.count(written);
            }
            self.sender.gave();
            if full {
                return Ok(Turn::Bulk);
            }
        }
        Ok(Turn::Yield)
    }

    /// Fills the pipe from the sender and empties it to the receiver, a few times.
    async fn splice_turn(&self, pipe: &mut Pipe) -> Result<Turn, Failure> {
        for _ in 0..ROUNDS {
            match self.fill(pipe) {
                Ok(0) => return Ok(Turn::Finished),
                Ok(_) => self.empty(pipe).await?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Dry),
                Err(error) => return Err(Failure::Read(error)),
            }
        }
        Ok(Turn::Yield)
    }

    fn fill(&self, pipe: &mut Pipe) -> io::Result<usize> {
        let moved = self.from.try_io(Interest::READABLE, || {
            let (_, write) = pipe.ends().ok_or(io::ErrorKind::BrokenPipe)?;
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            Ok(splice(
                self.from,
                None,
                write,
                None,
                pipe.capacity(),
                flags,
            )?)
        })?;
        pipe.held += moved;
        if moved > 0 {
            self.took();
        }
        Ok(moved)
    }

    async fn empty(&self, pipe: &mut Pipe) -> Result<(), Failure> {
        while pipe.held > 0 {
            let moved = self.to.try_io(Interest::WRITABLE, || {
                let (read, _) = pipe.ends().ok_or(io::ErrorKind::BrokenPipe)?;
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                Ok(splice(read, None, self.to, None, pipe.held, flags)?)
            });
            match moved {
                Ok(0) => return Err(Failure::Write(io::ErrorKind::WriteZero.into())),
                Ok(moved) => {
                    pipe.held -= moved.min(pipe.held);
                    self.count(moved);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.to.writable().await.map_err(Failure::Write)?;
                }
                Err(error) => return Err(Failure::Write(error)),
            }
        }
        self.sender.gave();
        Ok(())
    }

    /// Writes at least one byte, waiting for room.
    async fn write_some(&self, bytes: &[u8]) -> Result<usize, Failure> {
        loop {
            match self.to.try_write(bytes) {
                Ok(0) => return Err(Failure::Write(io::ErrorKind::WriteZero.into())),
                Ok(written) => return Ok(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.to.writable().await.map_err(Failure::Write)?;
                }
                Err(error) => return Err(Failure::Write(error)),
            }
        }
    }

    fn took(&self) {
        if !self.sender.read.load(Ordering::Relaxed) {
            self.spare.forget();
        }
        self.sender.took();
    }

    fn count(&self, moved: usize) {
        self.moved.fetch_add(moved as u64, Ordering::Relaxed);
        self.last.touch();
    }
}
