//! Listening sockets that the service manager passed: from its descriptor store after a restart,
//! or from socket units.
//!
//! A socket is recognised by the address it listens on, or by its name: the one it was stored
//! under, or, from a socket unit, `FileDescriptorName=` equal to the listener's name. What is
//! not a listening TCP socket is reported and closed, never used.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::sockopt;
use socket2::{Domain, SockRef, Type};

use super::store_prefix;
use crate::sys::inherit;

/// The sockets that were passed and are not taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Socket>,
    /// What was passed and cannot be used, with the reason.
    pub foreign: Vec<Foreign>,
}

#[derive(Debug)]
struct Socket {
    name: String,
    address: SocketAddr,
    descriptor: OwnedFd,
}

/// A passed descriptor that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The name it was passed under.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// A passed socket that no listener of the configuration wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The name it was passed under; give it to [`super::unstore`].
    pub name: String,
    /// The address it listened on.
    pub address: SocketAddr,
}

/// Takes everything the service manager passed. Call it first in `main`, before anything opens
/// descriptors. A broken environment is reported as one [`Foreign`] entry.
#[must_use]
pub fn inherited() -> Inherited {
    match inherit::passed() {
        Ok(passed) => Inherited::sort(passed),
        Err(error) => {
            tracing::warn!(%error, "cannot take over sockets of the service manager");
            let problem = "LISTEN_FDS or LISTEN_FDNAMES of the environment do not parse";
            let foreign = vec![Foreign {
                name: "LISTEN_FDS".into(),
                problem,
            }];
            Inherited {
                sockets: Vec::new(),
                foreign,
            }
        }
    }
}

impl Inherited {
    pub(super) fn sort(passed: Vec<(OwnedFd, String)>) -> Self {
        let mut inherited = Self::default();
        for (descriptor, name) in passed {
            match listening_address(&descriptor) {
                Ok(address) => inherited.sockets.push(Socket {
                    name,
                    address,
                    descriptor,
                }),
                Err(problem) => inherited.foreign.push(Foreign { name, problem }),
            }
        }
        inherited
    }

    /// Takes every socket that listens on `address`, several when they share it by `SO_REUSEPORT`; each
    /// once, though a socket of a socket unit that was stored as well is passed twice.
    pub fn take(&mut self, address: SocketAddr) -> Vec<OwnedFd> {
        let taken = self
            .sockets
            .extract_if(.., |socket| socket.address == address);
        let mut seen = HashSet::new();
        // What cannot be told apart counts as another one.
        let mut is_new = |socket: &OwnedFd| {
            sockopt::socket_cookie(socket).map_or(true, |cookie| seen.insert(cookie))
        };
        taken
            .map(|socket| socket.descriptor)
            .filter(|socket| is_new(socket))
            .collect()
    }

    /// Takes every socket passed for the listener of this name, wherever it listens: for
    /// listeners that have no address of their own.
    pub fn take_named(&mut self, listener: &str) -> Vec<(SocketAddr, OwnedFd)> {
        let prefix = store_prefix(listener);
        let is_ours = |name: &str| {
            name == listener
                || name
                    .strip_prefix(&prefix)
                    .is_some_and(|n| n.parse::<u32>().is_ok())
        };
        let taken = self.sockets.extract_if(.., |socket| is_ours(&socket.name));
        taken
            .map(|socket| (socket.address, socket.descriptor))
            .collect()
    }

    /// Closes what nothing took, and says what it was.
    #[must_use]
    pub fn finish(self) -> Vec<Leftover> {
        let leftover = |socket: Socket| Leftover {
            name: socket.name,
            address: socket.address,
        };
        self.sockets.into_iter().map(leftover).collect()
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "passed descriptor {:?} is not used: {}",
            self.name, self.problem
        )
    }
}

/// The address of a listening TCP socket, or what is wrong with it.
fn listening_address(descriptor: &OwnedFd) -> Result<SocketAddr, &'static str> {
    let socket = SockRef::from(descriptor);
    match socket.r#type() {
        Ok(Type::STREAM) => {}
        Ok(_) => return Err("it is a datagram socket: set ListenStream= in the socket unit"),
        Err(_) => return Err("it is no socket"),
    }
    if !socket.is_listener().unwrap_or(false) {
        return Err("it does not listen: set Accept=no in the socket unit");
    }
    let address = socket
        .local_addr()
        .ok()
        .and_then(|address| address.as_socket());
    let address = address.ok_or("it is no TCP socket: give the socket unit an address and port")?;
    let both_families = socket.domain().is_ok_and(|domain| domain == Domain::IPV6)
        && address.ip().is_unspecified()
        && !socket.only_v6().unwrap_or(true);
    if both_families {
        return Err("it takes IPv4 as well: set BindIPv6Only=ipv6-only in the socket unit");
    }
    Ok(address)
}
