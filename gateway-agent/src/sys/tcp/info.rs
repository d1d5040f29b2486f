//! `TCP_INFO`: what the kernel knows of a connection.

use core::mem::offset_of;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

use super::unacknowledged;

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
    pacing_rate: [u64; 2],
    bytes_acked: u64,
    bytes_received: u64,
    segments: [u32; 2],
    notsent_bytes: u32,
    min_rtt: u32,
    data_segments: [u32; 2],
    /// delivery_rate, busy_time, rwnd_limited, sndbuf_limited
    rates: [u64; 4],
    delivered: [u32; 2],
    /// bytes_sent, bytes_retrans
    sent: [u64; 2],
    /// dsack_dups, reord_seen, rcv_ooopack
    seen: [u32; 3],
    snd_wnd: u32,
    rcv_wnd: u32,
    rehash: u32,
}

/// What we read of `TCP_INFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// Smoothed round-trip time, microseconds.
    pub rtt_us: u32,
    /// Smallest round-trip time of the last minutes, microseconds.
    pub least_rtt_us: u32,
    /// Largest segment that the peer sends.
    pub segment: u32,
    /// Bytes that may be under way to the peer: the congestion window.
    pub congestion_window: u64,
    /// Receive window that was announced last, in bytes; unknown to kernels before 6.2.
    pub announced: Option<u32>,
    /// Segments retransmitted since the connection began.
    pub retransmissions: u32,
    /// The socket's state.
    pub state: State,
    /// Bytes that the peer has acknowledged (the SYN and FIN of this side may count as one each).
    pub acknowledged: u64,
    /// Bytes that have arrived in order, read or not (a FIN counts as one).
    pub received: u64,
    /// Time since a segment with payload was sent or arrived, whichever is less.
    pub silent_for: Duration,
}

/// States of a TCP socket, as far as we tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Both directions are open.
    Established,
    /// The peer has sent FIN, or the socket is closed.
    Finished,
    /// Any other.
    Other,
}

impl State {
    /// Of the kernel's number (include/net/tcp_states.h).
    fn of(number: u8) -> Self {
        match number {
            1 => Self::Established,
            // TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, CLOSING.
            6..=9 | 11 => Self::Finished,
            _ => Self::Other,
        }
    }
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
    let [state, ..] = raw.bytes;
    // Indexes in the order of the list above.
    let [
        _,
        _,
        segment_sent,
        ..,
        last_data_sent,
        _,
        last_data_recv,
        _,
        _,
        _,
    ] = raw.words;
    Ok(TcpInfo {
        rtt_us: raw.rtt,
        // All ones: not measured yet.
        least_rtt_us: raw.min_rtt.min(raw.rtt),
        segment: raw.advmss,
        congestion_window: u64::from(raw.snd_cwnd) * u64::from(segment_sent),
        announced: (length as usize > offset_of!(RawTcpInfo, rcv_wnd)).then_some(raw.rcv_wnd),
        retransmissions: raw.total_retrans,
        state: State::of(state),
        acknowledged: raw.bytes_acked,
        received: raw.bytes_received,
        silent_for: Duration::from_millis(last_data_sent.min(last_data_recv).into()),
    })
}

/// Bytes that a socket was given to send since it was made, with its facts at that moment. Differences
/// of two calls are exact; the value itself may count the SYN.
///
/// # Errors
/// Those of getsockopt(2) and ioctl(2).
pub fn given(socket: impl AsFd) -> io::Result<(u64, TcpInfo)> {
    let mut before = info(&socket)?;
    loop {
        let queued = unacknowledged(&socket)?;
        let after = info(&socket)?;
        // An acknowledgement in between would count bytes neither here nor there.
        if after.acknowledged == before.acknowledged {
            return Ok((after.acknowledged + u64::from(queued), after));
        }
        before = after;
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
        // RFC 6928 begins with ten segments.
        let segments = info.congestion_window / u64::from(info.segment);
        assert!((2..=20).contains(&segments), "{info:?}");
    }

    #[test]
    fn info_of_something_else_is_an_error() {
        assert!(info(io::stdin()).is_err());
    }
}
