//! Socket options and counters of TCP sockets: `TCP_INFO`, the send queue, late binding of the
//! source port, a close that resets.

use core::mem::size_of;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::mesh::route::RouteKeepalive;

/// The head of the kernel's `struct tcp_info` (include/uapi/linux/tcp.h), as far as we read it.
/// Older kernels fill less and say so by the returned length; the rest stays zero.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct RawTcpInfo {
    bytes: [u8; 8],
    /// rto, ato, snd_mss, rcv_mss, unacked, sacked, lost, retrans, fackets, last_data_sent,
    /// last_ack_sent, last_data_recv, last_ack_recv, pmtu, rcv_ssthresh
    words: [u32; 15],
    rtt: u32,
    rttvar: u32,
    snd_ssthresh: u32,
    snd_cwnd: u32,
    advmss: u32,
    reordering: u32,
    rcv_rtt: u32,
    rcv_space: u32,
    total_retrans: u32,
}

/// What we read of `TCP_INFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// Smoothed round-trip time, microseconds.
    pub rtt_us: u32,
    /// Segments retransmitted since the connection began.
    pub retransmissions: u32,
}

/// Reads `TCP_INFO` of a TCP socket.
///
/// # Errors
/// Those of getsockopt(2): the descriptor is no TCP socket.
pub fn info(socket: impl AsFd) -> io::Result<TcpInfo> {
    let mut raw = RawTcpInfo::default();
    let mut length = u32::try_from(size_of::<RawTcpInfo>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes, the size of `raw`, which is plain
    // integers and so valid whatever is written; both pointers live across the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut raw).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(TcpInfo {
        rtt_us: raw.rtt,
        retransmissions: raw.total_retrans,
    })
}

/// Bytes written to a socket that its peer has not acknowledged yet, sent or not (`SIOCOUTQ`,
/// tcp(7)).
///
/// # Errors
/// Those of ioctl(2).
pub fn unacknowledged(socket: impl AsFd) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ on a socket writes one int, and `bytes` is one that lives across the call.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u32::try_from(bytes).unwrap_or(0))
}

/// Bytes that a socket has received and nobody has read yet (`SIOCINQ`, tcp(7)).
///
/// # Errors
/// Those of ioctl(2).
pub fn unread(socket: impl AsFd) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(socket)?)
}

/// Lets bind(2) to an address leave the choice of the port to connect(2), so that one port serves
/// several destinations (`IP_BIND_ADDRESS_NO_PORT`, ip(7)). Serves IPv6 sockets too.
///
/// # Errors
/// Those of setsockopt(2).
pub fn bind_address_without_port(socket: impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = u32::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the option takes one int, which lives across the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes the coming close(2) send RST and drop what is unsent, instead of FIN.
///
/// # Errors
/// Those of setsockopt(2).
pub fn reset_on_close(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))
}

/// Sets what both legs of a proxied connection get: no Nagle delay, and keepalive probes after
/// `keepalive` of silence (and at the same distance), so that vanished peers are noticed.
///
/// # Errors
/// Those of setsockopt(2).
pub fn tune(socket: impl AsFd, keepalive: Option<Duration>) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    socket.set_tcp_nodelay(true)?;
    if let Some(time) = keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time).with_interval(time))?;
    }
    Ok(())
}

/// As [`tune`], with keepalive as a route asks for it; what it leaves open is the system's.
///
/// # Errors
/// Those of setsockopt(2).
pub fn tune_as(socket: impl AsFd, keepalive: &RouteKeepalive) -> io::Result<()> {
    let RouteKeepalive {
        time,
        interval,
        probes,
    } = *keepalive;
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let mut wanted = TcpKeepalive::new();
    if let Some(time) = time {
        wanted = wanted.with_time(seconds(time));
    }
    if let Some(interval) = interval {
        wanted = wanted.with_interval(seconds(interval));
    }
    if let Some(probes) = probes {
        wanted = wanted.with_retries(probes);
    }
    let socket = SockRef::from(&socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&wanted)
}

/// Writes what fits into the send buffer at once, and never waits. For sockets so new that an event
/// loop does not know yet that they can be written to.
///
/// # Errors
/// Those of send(2).
pub fn send_now(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    SockRef::from(&socket).send(bytes)
}

/// Sends FIN: this side writes no more.
///
/// # Errors
/// Those of shutdown(2); a socket that is gone already is none.
pub fn finish_writing(socket: impl AsFd) -> io::Result<()> {
    match SockRef::from(&socket).shutdown(std::net::Shutdown::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn info_of_a_loopback_connection_has_a_round_trip_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"x").unwrap();
        let info = info(&client).unwrap();
        assert!(info.rtt_us > 0 && info.rtt_us < 10_000_000, "{info:?}");
    }

    #[test]
    fn info_of_something_else_is_an_error() {
        assert!(info(io::stdin()).is_err());
    }

    #[test]
    fn keepalive_of_a_route_sets_what_it_says_and_leaves_the_rest() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = SockRef::from(&client);
        let interval = socket.tcp_keepalive_interval().unwrap();
        assert!(!socket.keepalive().unwrap());
        let wanted = RouteKeepalive {
            time: Some(30),
            interval: None,
            probes: Some(4),
        };
        tune_as(&client, &wanted).unwrap();
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 30);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), interval);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
    }

    #[test]
    fn unacknowledged_counts_what_a_stalled_reader_leaves() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (reader, _) = listener.accept().unwrap();
        assert_eq!(unread(&reader).unwrap(), 0);
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 65_536]).is_ok() {}
        assert!(unacknowledged(&client).unwrap() > 0);
        assert!(unread(&reader).unwrap() > 0);
    }
}
