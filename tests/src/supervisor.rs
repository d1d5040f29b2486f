//! What systemd does for a unit with a descriptor store, as far as culvert can see it.
//!
//! It takes readiness and descriptors by `sd_notify`, keeps them over any end of the process, and
//! hands them to the next one as `LISTEN_FDS`. That is the whole contract of
//! `FileDescriptorStoreMax=`; systemd itself cannot run inside a test.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// First descriptor that a supervised process is handed (`sd_listen_fds(3)`).
const FIRST_HANDED: RawFd = 3;

/// Stored descriptors stay above this, so that handing one over overwrites no other.
const STORED_ABOVE: RawFd = 1000;

/// How many descriptors one message may carry: the kernel's own limit, `SCM_MAX_FD`.
const MESSAGE_DESCRIPTORS: usize = 253;

/// The store of one unit and the socket by which the unit fills it.
#[derive(Debug)]
pub struct Store {
    socket: UnixDatagram,
    keeps: bool,
    descriptors: Vec<(String, OwnedFd)>,
}

impl Store {
    /// An empty store that listens on `socket`; one that does not keep closes what it is sent, as
    /// systemd does for a unit without `FileDescriptorStoreMax=`.
    pub(crate) fn new(socket: UnixDatagram, keeps: bool) -> Result<Self> {
        socket
            .set_nonblocking(true)
            .context("cannot make the notify socket non-blocking")?;
        Ok(Self {
            socket,
            keeps,
            descriptors: Vec::new(),
        })
    }

    /// Puts a descriptor into the store, as a `.socket` unit does before the first start.
    pub fn put(&mut self, name: &str, descriptor: &OwnedFd) -> Result<()> {
        let descriptor = rustix::io::fcntl_dupfd_cloexec(descriptor, STORED_ABOVE)
            .context("cannot move a descriptor up")?;
        self.descriptors.push((name.to_owned(), descriptor));
        Ok(())
    }

    /// How many descriptors are stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.descriptors.len()
    }

    /// Tells whether nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty()
    }

    /// Reads all messages that wait; tells whether one of them said `READY=1`.
    pub(crate) fn receive(&mut self) -> Result<bool> {
        let mut ready = false;
        while let Some((text, descriptors)) = self.message()? {
            let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
            let name = value("FDNAME=").unwrap_or("stored").to_owned();
            if value("FDSTOREREMOVE=") == Some("1") {
                self.descriptors.retain(|(stored, _)| *stored != name);
            }
            if self.keeps && value("FDSTORE=") == Some("1") {
                for descriptor in descriptors {
                    self.put(&name, &descriptor)?;
                }
            }
            ready |= value("READY=") == Some("1");
        }
        Ok(ready)
    }

    /// Makes `command` start with the stored descriptors.
    ///
    /// `LISTEN_PID` must be the number of the new process, which only that process knows: a shell
    /// sets it and becomes the command.
    pub(crate) fn hand_over(&self, command: &Command) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""])
            .arg(command.get_program());
        shell.args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        let names: Vec<&str> = self
            .descriptors
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        shell
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"));
        if self.keeps {
            // systemd 254 and later say so to the unit's processes.
            shell.env("FDSTORE", "1024");
        }
        self.inherit(&mut shell);
        shell
    }

    #[expect(
        unsafe_code,
        reason = "std marks every step between fork and exec unsafe"
    )]
    fn inherit(&self, command: &mut Command) {
        let numbers: Vec<RawFd> = self
            .descriptors
            .iter()
            .map(|(_, fd)| fd.as_raw_fd())
            .collect();
        // SAFETY: dup2 is async-signal-safe, and the numbers are open in the parent, which keeps
        // them in the store until after the fork. What dup2 may overwrite is the child's own.
        unsafe {
            command.pre_exec(move || {
                for (handed, &stored) in (FIRST_HANDED..).zip(&numbers) {
                    if libc::dup2(stored, handed) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
    }

    fn message(&self) -> Result<Option<(String, Vec<OwnedFd>)>> {
        let mut bytes = [0; 4096];
        let mut space =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let length = match recvmsg(&self.socket, &mut parts, &mut ancillary, flags) {
            Ok(message) => message.bytes,
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error).context("cannot read the notify socket"),
        };
        let mut descriptors = Vec::new();
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                descriptors.extend(rights);
            }
        }
        let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned();
        Ok(Some((text, descriptors)))
    }
}
