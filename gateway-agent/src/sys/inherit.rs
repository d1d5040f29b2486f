//! Taking over descriptors that the service manager passed at start.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the descriptors have been taken: each can have one owner only.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The descriptors passed by the sd_listen_fds(3) protocol, with their names (`unknown` where the
/// manager gave none). They are close-on-exec from here on. Empty when none were passed to this
/// process, and on every call but the first.
///
/// Call it before anything else opens descriptors.
///
/// # Errors
/// `LISTEN_PID`, `LISTEN_FDS` or `LISTEN_FDNAMES` do not parse, or name a descriptor that is not
/// open.
pub fn passed() -> io::Result<Vec<(OwnedFd, String)>> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    // None passed: then the list of names, which the crate insists on, may be there and empty.
    if std::env::var_os("LISTEN_FDS").is_none_or(|count| count == "0") {
        return Ok(Vec::new());
    }
    let passed = sd_notify::listen_fds_with_names(false)?;
    Ok(passed
        .map(|(raw, name)| {
            // SAFETY: the protocol hands these numbers to this process alone (LISTEN_PID was
            // compared), each was just found open by setting its flags, nothing of ours opened a
            // descriptor before (the caller's duty), and TAKEN makes us the only taker.
            let owned = unsafe { OwnedFd::from_raw_fd(raw) };
            (owned, name)
        })
        .collect())
}
