//! Making listening sockets, and saying why not.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The call that failed.
    pub error: io::Error,
}

impl core::fmt::Display for BindError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let remedy = match self.error.kind() {
            io::ErrorKind::AddrInUse => "another process listens there: stop it or choose another",
            io::ErrorKind::AddrNotAvailable => "no interface has this address: add it first",
            io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
            _ => "see the error",
        };
        write!(f, "listen on {}: {} ({remedy})", self.address, self.error)
    }
}

impl std::error::Error for BindError {}

/// Whether a failure to listen on `[::]` leaves nothing unserved: the host has no IPv6 at all, and
/// the listener has all addresses of the other family. A gateway that names no address asks for both.
pub(crate) fn lacks_only_ipv6(
    address: SocketAddr,
    listener: &[SocketAddr],
    error: &io::Error,
) -> bool {
    let every_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
        && address.ip() == Ipv6Addr::UNSPECIFIED
        && listener.contains(&every_v4)
}

/// SO_REUSEPORT would let a second process of the same user share the address in silence. A bind
/// without it tells.
pub(super) fn refuse_to_share(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let probe = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    probe.set_reuse_address(true)?;
    if address.is_ipv6() {
        probe.set_only_v6(true)?;
    }
    probe.bind(&address.into())
}

/// A listening socket. TCP by name: where the system default is MPTCP, sockets could not be spliced.
pub(super) fn bound(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    adopt(socket)
}

pub(super) fn adopt(socket: Socket) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Whether the two addresses cannot be bound without SO_REUSEPORT: they are one, or one of them is
/// every address.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    same && a.port() == b.port() && a.is_ipv4() == b.is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_ipv6_is_served_where_all_of_ipv4_is_and_nowhere_else() {
        let of = |text: &str| text.parse::<SocketAddr>().unwrap();
        let both = [of("0.0.0.0:8443"), of("[::]:8443")];
        let none = io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
        assert!(lacks_only_ipv6(both[1], &both, &none));
        assert!(!lacks_only_ipv6(both[0], &both, &none));
        assert!(!lacks_only_ipv6(both[1], &both[1..], &none), "all there is");
        let other_port = [of("0.0.0.0:443"), both[1]];
        assert!(!lacks_only_ipv6(both[1], &other_port, &none));
        let meant = [both[0], of("[2001:db8::1]:8443")];
        assert!(!lacks_only_ipv6(meant[1], &meant, &none));
        let taken = io::Error::from_raw_os_error(libc::EADDRINUSE);
        assert!(!lacks_only_ipv6(both[1], &both, &taken));
    }
}
