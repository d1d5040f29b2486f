//! Socket options and counters of TCP sockets: `TCP_INFO`, the send queue, late binding of the
//! source port, a close that resets.

mod info;

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::RecvFlags;
use socket2::{SockRef, TcpKeepalive};

pub use self::info::{State, TcpInfo, given, info};
use crate::mesh::route::RouteKeepalive;

/// Reads what there is without taking it; `Ok(0)` is the end of the stream.
///
/// # Errors
/// Those of recv(2), `WouldBlock` among them.
pub fn peek(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (_, length) = rustix::net::recv(socket, buffer, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(length)
}

/// Takes what was peeked: the first bytes of a buffer, which are read over.
///
/// # Errors
/// Those of recv(2); fewer bytes than were seen.
pub fn take(socket: impl AsFd, mut seen: &mut [u8]) -> io::Result<()> {
    while !seen.is_empty() {
        let (_, length) = rustix::net::recv(&socket, &mut *seen, RecvFlags::DONTWAIT)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        seen = seen.get_mut(length..).unwrap_or_default();
    }
    Ok(())
}

/// Whether a write would find enough room to be worth it, by the kernel's own measure.
///
/// # Errors
/// Those of poll(2).
pub fn is_writable(socket: impl AsFd) -> io::Result<bool> {
    let mut one = [PollFd::new(&socket, PollFlags::OUT)];
    Ok(poll(&mut one, Some(&Timespec::default()))? > 0)
}

/// Makes a socket look at what has arrived as if it arrived now (`SO_RCVLOWAT` has that effect): a
/// verdict program gets what was there before the socket was put into its map.
///
/// # Errors
/// Those of setsockopt(2).
pub fn kick(socket: impl AsFd) -> io::Result<()> {
    set_int(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 1)
}

/// Sets the largest receive window that a socket announces (`TCP_WINDOW_CLAMP`, tcp(7)). The kernel sets
/// it anew when it learns the size of the sender's segments.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_window(socket: impl AsFd, bytes: u32) -> io::Result<()> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    set_int(socket, libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, bytes)
}

/// Sets what a socket's receive buffer takes, the kernel's own overhead included. The kernel no longer
/// sizes that buffer by itself afterwards. Beyond the host's limit where the privilege allows it.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_receive_buffer(socket: impl AsFd, bytes: u32) -> io::Result<()> {
    // The kernel doubles what it is told.
    let half = i32::try_from(bytes / 2).unwrap_or(i32::MAX / 2);
    set_int(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, half)
        .or_else(|_denied| set_int(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, half))
}

/// Sets what a socket's send buffer takes, the kernel's own overhead included. The kernel no longer sizes
/// that buffer by itself afterwards. Beyond the host's limit where the privilege allows it.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_send_buffer(socket: impl AsFd, bytes: u32) -> io::Result<()> {
    // The kernel doubles what it is told.
    let half = i32::try_from(bytes / 2).unwrap_or(i32::MAX / 2);
    set_int(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, half)
        .or_else(|_denied| set_int(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, half))
}

/// The most that this host lets a send buffer and a receive buffer grow to (`net.ipv4.tcp_wmem`,
/// `net.ipv4.tcp_rmem`), as they were at the first call.
pub fn largest_buffers() -> (u32, u32) {
    static LARGEST: OnceLock<(u32, u32)> = OnceLock::new();
    /// The defaults of a host with little memory.
    const USUAL: u32 = 4 * 1024 * 1024;
    let read = |name: &str| {
        let all = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()?;
        all.split_whitespace().last()?.parse().ok()
    };
    let largest = |name| read(name).unwrap_or(USUAL);
    *LARGEST.get_or_init(|| (largest("tcp_wmem"), largest("tcp_rmem")))
}

fn set_int(socket: impl AsFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    let length = u32::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the option takes one int, which lives across the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
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

/// Memory that a socket's receive buffer is charged with, the kernel's overhead included (`SO_MEMINFO`,
/// include/uapi/linux/sock_diag.h).
///
/// # Errors
/// Those of getsockopt(2).
pub fn charged(socket: impl AsFd) -> io::Result<u32> {
    let [charged, ..] = memory(socket)?;
    Ok(charged)
}

/// Segments that came to a socket and were dropped, as a count that wraps: without room for them, outside
/// of the window, or there already (`SO_MEMINFO`).
///
/// # Errors
/// Those of getsockopt(2).
pub fn dropped(socket: impl AsFd) -> io::Result<u32> {
    let [.., dropped] = memory(socket)?;
    Ok(dropped)
}

/// The words of `SO_MEMINFO`, from `SK_MEMINFO_RMEM_ALLOC` to `SK_MEMINFO_DROPS`.
fn memory(socket: impl AsFd) -> io::Result<[u32; 9]> {
    let mut words = [0; 9];
    let mut length = u32::try_from(size_of_val(&words)).map_err(io::Error::other)?;
    // SAFETY: the kernel writes no more than `length` bytes to `words`; both live across the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(words)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets bind(2) to an address leave the choice of the port to connect(2), so that one port serves
/// several destinations (`IP_BIND_ADDRESS_NO_PORT`, ip(7)). Serves IPv6 sockets too.
///
/// # Errors
/// Those of setsockopt(2).
pub fn bind_address_without_port(socket: impl AsFd) -> io::Result<()> {
    set_int(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
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

/// Has a socket ask after so much silence whether its peer is still there, and as often from then on; one
/// that asks sooner keeps to that.
///
/// # Errors
/// Those of getsockopt(2) and setsockopt(2).
pub fn probe_after(socket: impl AsFd, silence: Duration) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    let asks = socket.keepalive()?;
    let sooner = |time: Duration| if asks { time.min(silence) } else { silence };
    let keepalive = TcpKeepalive::new()
        .with_time(sooner(socket.tcp_keepalive_time()?))
        .with_interval(sooner(socket.tcp_keepalive_interval()?));
    socket.set_tcp_keepalive(&keepalive)
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
