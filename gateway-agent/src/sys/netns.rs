//! Sockets in a network namespace of their own.

use std::ffi::c_char;
use std::io;
use std::os::fd::AsRawFd as _;
use std::thread;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Runs `work` on a thread in a new network namespace whose loopback device is up. Sockets made there
/// stay there, and hold the namespace. Without the privilege `work` runs in this one.
///
/// # Errors
/// Those of `work`, or of starting a thread.
pub fn apart<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let inside = thread::Builder::new().spawn_scoped(scope, || {
            // SAFETY: the namespace is this thread's, which ends with this call; the table of
            // descriptors stays shared.
            let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
            if let Err(error) = unshared
                .map_err(io::Error::from)
                .and_then(|()| loopback_up())
            {
                tracing::debug!(%error, "a network namespace of its own");
            }
            work()
        })?;
        inside
            .join()
            .unwrap_or_else(|_panic| Err(io::Error::other("the thread panicked")))
    })
}

fn loopback_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: plain data; zeros are a valid request.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
        *place = byte as c_char;
    }
    let flags = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: the request names a device and its flags, and lives across the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
