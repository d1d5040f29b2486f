//! The pool of pipes for splice(2): a direction borrows one while it moves bulk data.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

/// Capacity asked for. A pipe of the default size holds 16 segments' worth of pages, which a
/// receive queue of a fast stream exceeds; the kernel's ceiling for everyone is 1 MiB.
const CAPACITY: usize = 1024 * 1024;

/// Capacity from which on a pipe is worth it: the default of a user within the share.
const LEAST: usize = 64 * 1024;

/// Idle pipes kept for the next borrower.
const KEPT: usize = 64;

/// The pool: bounded, because pipes cost descriptors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pipes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    idle: Mutex<Vec<Ends>>,
    made: AtomicU64,
    limit: AtomicU64,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
}

/// A borrowed, empty pipe. Goes back to the pool when dropped, unless bytes are left in it.
#[derive(Debug)]
pub(super) struct Pipe {
    ends: Option<Ends>,
    /// Bytes in it: what was spliced in and not yet out.
    pub(super) held: usize,
    inner: Arc<Inner>,
}

impl Pipes {
    /// A pool of at most `limit` pipes at a time.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        let inner = Inner {
            idle: Mutex::default(),
            made: AtomicU64::new(0),
            limit: AtomicU64::new(limit),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Changes the limit; pipes above a lower one are closed as they come back.
    pub fn set_limit(&self, limit: u64) {
        self.inner.limit.store(limit, Ordering::Relaxed);
        let mut idle = self
            .inner
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while self.made() > limit && idle.pop().is_some() {
            self.inner.made.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Pipes in existence, lent and idle.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.inner.made.load(Ordering::Relaxed)
    }

    /// Lends a pipe; `None` when the limit or the kernel allows no more, and buffers must do.
    pub(super) fn borrow(&self) -> Option<Pipe> {
        #[cfg(feature = "faults")]
        if super::super::faults::spoils() {
            return None;
        }
        let idle = self
            .inner
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let ends = idle.or_else(|| self.make())?;
        Some(Pipe {
            ends: Some(ends),
            held: 0,
            inner: Arc::clone(&self.inner),
        })
    }

    fn make(&self) -> Option<Ends> {
        if self.inner.made.fetch_add(1, Ordering::Relaxed)
            >= self.inner.limit.load(Ordering::Relaxed)
        {
            self.inner.made.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let made = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC);
        let Ok((read, write)) = made else {
            self.inner.made.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        // Refused above the user's share of pipe memory, where new pipes are small too: one that
        // holds less than a buffer is slower than a buffer.
        let size = fcntl_setpipe_size(&write, CAPACITY).or_else(|_| fcntl_getpipe_size(&write));
        let Some(capacity) = size.ok().filter(|size| *size >= LEAST) else {
            self.inner.made.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        Some(Ends {
            read,
            write,
            capacity,
        })
    }
}

impl Pipe {
    /// Most bytes it takes.
    pub(super) fn capacity(&self) -> usize {
        self.ends.as_ref().map_or(0, |ends| ends.capacity)
    }

    /// The end bytes come out of, and the one they go into.
    pub(super) fn ends(&self) -> Option<(BorrowedFd<'_>, BorrowedFd<'_>)> {
        self.ends
            .as_ref()
            .map(|ends| (ends.read.as_fd(), ends.write.as_fd()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take() else { return };
        let limit = self.inner.limit.load(Ordering::Relaxed);
        if self.held == 0 && self.inner.made.load(Ordering::Relaxed) <= limit {
            let mut idle = self
                .inner
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                idle.push(ends);
                return;
            }
        }
        // Another connection must never see these bytes: the pipe is closed with them.
        self.inner.made.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pipe_is_lent_again_and_a_full_one_is_not() {
        let pipes = Pipes::new(8);
        let mut first = pipes.borrow().unwrap();
        first.held = 1;
        drop(first);
        assert_eq!(pipes.made(), 0);
        drop(pipes.borrow());
        assert_eq!(pipes.made(), 1);
        drop(pipes.borrow());
        assert_eq!(pipes.made(), 1);
    }

    #[test]
    fn a_lower_limit_closes_idle_pipes_and_those_that_come_back() {
        let pipes = Pipes::new(8);
        let lent = [pipes.borrow(), pipes.borrow()];
        drop(pipes.borrow());
        pipes.set_limit(1);
        assert_eq!(pipes.made(), 2);
        drop(lent);
        assert_eq!(pipes.made(), 1);
    }

    #[test]
    fn the_limit_holds() {
        let pipes = Pipes::new(1);
        let first = pipes.borrow();
        assert!(first.is_some());
        assert!(pipes.borrow().is_none());
        drop(first);
        assert!(pipes.borrow().is_some());
    }
}
