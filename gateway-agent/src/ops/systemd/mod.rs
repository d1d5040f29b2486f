//! The service manager's side of our life: states told (sd_notify(3)), listening sockets taken
//! over from it (sd_listen_fds(3)) and kept by it over a restart (the descriptor store).
//!
//! Everything here does nothing, quietly, where no service manager asks for it. Why the store: a
//! listening socket that the manager keeps goes on queueing connections while the agent is dead,
//! so that after `kill -9` and a restart none was refused.

mod inherited;

use core::time::Duration;
use std::os::fd::{AsFd, BorrowedFd};

use sd_notify::NotifyState;

pub use inherited::{Foreign, Inherited, Leftover, inherited};

/// Whether a service manager takes notifications, and with them descriptors to keep.
#[must_use]
pub fn is_listening() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Start-up is done: listeners are bound and the first snapshot is published.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload began; [`ready`] ends it. The time stamp is what tells two reloads apart
/// (systemd 253 and later).
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot read the clock for the service manager"),
    }
}

/// The drain began.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    // A line break would begin another assignment of the protocol.
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    tell(&[NotifyState::Status(&line)]);
}

/// Feeds the watchdog for as long as it is polled, twice per interval; returns at once when the
/// unit has none. Cancel safe.
pub async fn keep_alive() {
    let mut interval = 0;
    if !sd_notify::watchdog_enabled(false, &mut interval) || interval == 0 {
        return;
    }
    let mut ticks = tokio::time::interval(Duration::from_micros((interval / 2).max(1)));
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// Gives the manager a copy of a listening socket to keep, under [`store_name`]. It is not watched
/// (`FDPOLL=0`): a stored listener must outlive errors on it.
pub fn store(name: &str, socket: impl AsFd) {
    let states = [
        NotifyState::FdStore,
        NotifyState::FdName(name),
        NotifyState::Custom("FDPOLL=0"),
    ];
    tell_with(&states, &[socket.as_fd()]);
}

/// Makes the manager close the sockets it keeps under `name`.
pub fn unstore(name: &str) {
    tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
}

/// The name under which socket `n` of a listener is kept: `culvert-<listener>-<n>`. Bytes that
/// the protocol does not take are written `%XX`, so that no two listeners share a name.
#[must_use]
pub fn store_name(listener: &str, n: usize) -> String {
    format!("{}{n}", store_prefix(listener))
}

fn store_prefix(listener: &str) -> String {
    let mut name = String::from("culvert-");
    for byte in listener.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name.push('-');
    name
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

fn tell_with(states: &[NotifyState<'_>], descriptors: &[BorrowedFd<'_>]) {
    if let Err(error) = sd_notify::notify_with_fds(false, states, descriptors) {
        tracing::warn!(%error, "cannot hand a socket to the service manager");
    }
}

#[cfg(test)]
mod tests;
