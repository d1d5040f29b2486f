//! Many sockets watched at little cost: an epoll of our own, which the runtime watches as one.
//!
//! A socket that is registered with the runtime has some hundred bytes of the agent's memory for its
//! readiness. One of which nothing is expected for long needs a number.

use core::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Sockets, each with a number.
#[derive(Debug)]
pub struct Watched {
    epoll: OwnedFd,
}

/// Events that are taken at once.
const EVENTS: usize = 256;

impl Watched {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// Those of epoll_create1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        })
    }

    /// Watches a socket for something to read, an end or an error. Its number is said once, and at once if
    /// there is something already.
    ///
    /// # Errors
    /// Those of epoll_ctl(2): the host's limit on watches, or no memory.
    pub fn add(&self, socket: impl AsFd, number: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ONESHOT;
        epoll::add(
            &self.epoll,
            socket,
            epoll::EventData::new_u64(number),
            flags,
        )?;
        Ok(())
    }

    /// Stops watching a socket: also one that lives on under another descriptor.
    pub fn forget(&self, socket: impl AsFd) {
        if let Err(error) = epoll::delete(&self.epoll, socket) {
            tracing::debug!(%error, "stop watching a socket");
        }
    }

    /// Listens to what is said, on the runtime of the caller.
    ///
    /// # Errors
    /// The runtime's.
    pub fn listen(&self) -> io::Result<Listener<'_>> {
        // SAFETY: the descriptor is borrowed from `self`, so it is open and the same for as long as the
        // listener, which has it registered, lives.
        let epoll =
            unsafe { AsyncFd::register_with_interest(self.epoll.as_fd(), Interest::READABLE) };
        Ok(Listener {
            epoll: epoll.map_err(io::Error::from)?,
        })
    }
}

/// Hears which sockets have something to say.
pub struct Listener<'a> {
    epoll: AsyncFd<BorrowedFd<'a>>,
}

impl fmt::Debug for Listener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

impl Listener<'_> {
    /// Waits for numbers; at times there are none. Cancel safe.
    ///
    /// # Errors
    /// The runtime's, or those of epoll_wait(2).
    pub async fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut ready = self.epoll.readable().await?;
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS);
        let now = Timespec::default();
        epoll::wait(ready.get_inner(), spare_capacity(&mut events), Some(&now))?;
        // Fewer than there is room for: all that there were, and the next one is news.
        if events.len() < EVENTS {
            ready.clear_ready();
        }
        Ok(events.iter().map(|event| event.data.u64()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn connection(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    /// The next numbers that are said.
    async fn next(listener: &Listener<'_>) -> Vec<u64> {
        let some = async {
            loop {
                let numbers = listener.numbers().await.unwrap();
                if !numbers.is_empty() {
                    return numbers;
                }
            }
        };
        timeout(PATIENCE, some).await.unwrap()
    }

    #[tokio::test]
    async fn what_came_before_and_what_comes_after_is_said_once_each() {
        let watched = Watched::new().unwrap();
        let listener = watched.listen().unwrap();
        let (mut early, here) = connection("127.0.0.1:0");
        early.write_all(b"x").unwrap();
        watched.add(&here, 1).unwrap();
        assert_eq!(next(&listener).await, [1]);
        let (late, there) = connection("[::1]:0");
        watched.add(&there, 2).unwrap();
        early.write_all(b"x").unwrap();
        drop(late);
        assert_eq!(next(&listener).await, [2], "not the first one again");
    }

    #[tokio::test]
    async fn more_than_are_taken_at_once_are_all_said() {
        let watched = Watched::new().unwrap();
        let listener = watched.listen().unwrap();
        let many = EVENTS as u64 * 2 + 7;
        let mut pairs: Vec<_> = (0..many).map(|_| connection("127.0.0.1:0")).collect();
        for (number, (near, far)) in (0..).zip(&mut pairs) {
            near.write_all(b"x").unwrap();
            watched.add(far, number).unwrap();
        }
        let mut said = Vec::new();
        while said.len() < pairs.len() {
            said.extend(next(&listener).await);
        }
        said.sort_unstable();
        assert_eq!(said, (0..many).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_forgotten_socket_says_nothing() {
        let watched = Watched::new().unwrap();
        let listener = watched.listen().unwrap();
        let (mut one, here) = connection("127.0.0.1:0");
        let (mut other, there) = connection("127.0.0.1:0");
        watched.add(&here, 1).unwrap();
        watched.add(&there, 2).unwrap();
        watched.forget(&here);
        one.write_all(b"x").unwrap();
        other.write_all(b"x").unwrap();
        assert_eq!(next(&listener).await, [2]);
    }
}
