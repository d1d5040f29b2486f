//! What the engine asks of the kernel half.
//!
//! The kernel half knows cookies and rows, the engine knows streams and ends; the wiring joins them.

use core::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, PoisonError, RwLock};

use gateway_common::abi::splice::{Direction, Stream};

use crate::word::Word;

/// Joins sockets.
pub trait Splicer: Send + Sync + fmt::Debug {
    /// Puts both sockets of a connection where bytes go from one to the other.
    ///
    /// # Errors
    /// The kernel refuses them; they are as they were.
    fn join(
        &self,
        client: BorrowedFd<'_>,
        upstream: BorrowedFd<'_>,
        terms: Terms<'_>,
    ) -> io::Result<Arc<dyn Splice>>;
}

/// What a connection is counted under, and what it may.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Datacenter of its route.
    pub datacenter: &'a str,
    /// Service of its route.
    pub service: &'a str,
    /// Bytes of one direction that may wait in the kernel outside of all buffers.
    pub budget: u32,
    /// How many of these may be redirected ones; none but in a test of the kernel.
    pub beyond: u32,
    /// What a send buffer may grow to, if not the host's own limit.
    pub most_send: Option<u32>,
    /// What a window may grow to, if not the host's own limit.
    pub most_window: Option<u32>,
    /// What the counts of forwarded bytes begin at.
    pub owed: [u64; 2],
}

/// Two joined sockets.
pub trait Splice: Send + Sync + fmt::Debug {
    /// Whether the kernel redirects anything between them, or the agent must forward it all.
    fn is_whole(&self) -> bool;

    /// What the kernel did with a direction.
    ///
    /// # Errors
    /// The kernel's.
    fn stream(&self, direction: Direction) -> io::Result<Stream>;

    /// How many bytes it was told to have been forwarded.
    fn told_forwarded(&self, direction: Direction) -> u64;

    /// Tells how many bytes, of all that were passed, have been forwarded.
    ///
    /// # Errors
    /// The kernel's.
    fn forwarded(&self, direction: Direction, bytes: u64) -> io::Result<()>;

    /// Asks to be told after so many redirected bytes.
    ///
    /// # Errors
    /// The kernel's.
    fn review(&self, direction: Direction, bytes: u64) -> io::Result<()>;

    /// Has the agent relay all of a direction, or the kernel redirect what it can again.
    ///
    /// # Errors
    /// The kernel's.
    fn hold(&self, direction: Direction, held: bool) -> io::Result<()>;

    /// Has the kernel redirect though the sender's socket has no room for more windows, because the agent
    /// announces them; or pass some to it in time, so that it does.
    ///
    /// # Errors
    /// The kernel's.
    fn be_patient(&self, direction: Direction, patient: bool) -> io::Result<()>;

    /// Bytes that may wait in the kernel outside of all buffers.
    fn budget(&self, direction: Direction) -> u32;

    /// Told when the connection is to look at what the kernel does with it.
    fn told(&self) -> &Word;

    /// Takes that so many bytes wait in the kernel for a direction, as its connection found when the kernel
    /// said `noted`.
    fn looked(&self, direction: Direction, noted: u64, waiting: u64);

    /// Bytes that wait in the kernel for a direction: what its connection found, or the kernel's word, which
    /// is of the last segment.
    ///
    /// # Errors
    /// The kernel's.
    fn waiting(&self, direction: Direction) -> io::Result<u64>;
}

/// Whether this host's kernel splices: settled at start, by a self-test.
#[derive(Debug)]
pub struct Availability {
    state: RwLock<Result<Arc<dyn Splicer>, Arc<str>>>,
}

impl Default for Availability {
    fn default() -> Self {
        Self {
            state: RwLock::new(Err("not asked for at start".into())),
        }
    }
}

impl Availability {
    /// Takes what was found: a kernel half that works, or why there is none.
    pub fn settle(&self, found: Result<Arc<dyn Splicer>, String>) {
        let found = found.map_err(Arc::from);
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// The kernel half, or why there is none.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn get(&self) -> Result<Arc<dyn Splicer>, Arc<str>> {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
