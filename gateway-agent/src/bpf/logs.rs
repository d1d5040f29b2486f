//! The text that a debug build of the object logs, into tracing (through the `log` facade, which the
//! subscriber bridges). A release build of the object logs nothing.

use core::fmt;
use std::io;

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::io::{Interest, unix::AsyncFd};

/// The log of a debug build of the object.
pub struct KernelLog {
    logger: EbpfLogger<&'static dyn log::Log>,
}

impl fmt::Debug for KernelLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelLog").finish_non_exhaustive()
    }
}

impl KernelLog {
    /// Takes the log out of a loaded object; none in a release build, which has none.
    pub(crate) fn take(object: &mut Ebpf) -> Option<Self> {
        EbpfLogger::init(object).ok().map(|logger| Self { logger })
    }

    /// Forwards lines until the ring fails. Runs for good: spawn it and abort it.
    pub async fn forward(self) -> io::Result<()> {
        // SAFETY: the logger owns its map's descriptor, open and the same until it is dropped.
        let ring = unsafe { AsyncFd::register_with_interest(self.logger, Interest::READABLE) };
        let mut ring = ring.map_err(io::Error::from)?;
        loop {
            let mut ready = ring.readable_mut().await?;
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    }
}
