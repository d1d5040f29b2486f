//! A bpffs of the test's own, for agents that load kernel programs.
//!
//! Pins outlive processes by design, so a killed test would leave them on the host. Here the file
//! system is mounted in a mount namespace that only a descriptor holds: it goes with the test.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// Where bpffs is mounted, as on every host.
pub const PATH: &str = "/sys/fs/bpf";

/// Descriptors that a supervisor hands over are below this.
const ABOVE_HANDED: i32 = 900;

/// A mount namespace with an empty bpffs at [`PATH`]; clones share it.
#[derive(Clone, Debug)]
pub struct BpfFilesystem(Arc<OwnedFd>);

impl BpfFilesystem {
    /// Mounts an empty bpffs where nobody else sees it; needs root.
    pub fn new() -> Result<Self> {
        let namespace = thread::spawn(mount_aside)
            .join()
            .map_err(|_panic| anyhow!("the thread that mounts bpffs panicked"))?
            .context("cannot mount a bpffs for the test: run as root")?;
        Ok(Self(Arc::new(namespace)))
    }

    /// Makes `command` see this bpffs instead of the host's.
    #[expect(
        unsafe_code,
        reason = "std marks every step between fork and exec unsafe"
    )]
    pub fn apply(&self, command: &mut Command) {
        let namespace = Arc::clone(&self.0);
        // SAFETY: setns is async-signal-safe, and the descriptor lives as long as the closure.
        unsafe {
            command.pre_exec(move || {
                let kind = Some(LinkNameSpaceType::Mount);
                Ok(move_into_link_name_space(namespace.as_fd(), kind)?)
            });
        }
    }
}

/// Runs on a thread of its own, which leaves the mounts of the process for good.
#[expect(
    unsafe_code,
    reason = "rustix marks unshare unsafe because of its FILES flag"
)]
fn mount_aside() -> Result<OwnedFd> {
    // SAFETY: the descriptor table stays shared; only mounts and the working directory do not.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS | UnshareFlags::NEWNS) }
        .context("cannot unshare the mount namespace")?;
    // Without this the mount below would appear on the host as well.
    let apart = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", apart).context("cannot make the mounts private")?;
    mount("bpf", PATH, "bpf", MountFlags::empty(), None)
        .with_context(|| format!("cannot mount bpffs on {PATH}"))?;
    let own: io::Result<File> = File::open("/proc/thread-self/ns/mnt");
    let own = own.context("cannot open the mount namespace")?;
    // A supervisor hands its descriptors over as the first ones, before the namespace is entered.
    fcntl_dupfd_cloexec(&own, ABOVE_HANDED).context("cannot move a descriptor up")
}
