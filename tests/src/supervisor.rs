//! What systemd does for a unit with a descriptor store, as far as culvert can see it.
//!
//! It takes readiness and descriptors by `sd_notify`, keeps them over any end of the process, and
//! hands them to the next one as `LISTEN_FDS`. That is the whole contract of
//! `FileDescriptorStoreMax=`; systemd itself cannot run inside a test.

use std::io::IoSliceMut;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt};

/// First descriptor that a supervised process is handed (`sd_listen_fds(3)`).
const FIRST_HANDED: RawFd = 3;

/// Stored descriptors stay above this, so that handing one over overwrites no other.
const STORED_ABOVE: RawFd = 1000;

/// How many descriptors one message may carry: the kernel's own limit, `SCM_MAX_FD`.
const MESSAGE_DESCRIPTORS: usize = 253;

/// What the store sends itself to learn that all earlier messages are read.
const SETTLE: &[u8] = b"SETTLE=1";

/// What the store sends itself to end its thread.
const END: &[u8] = b"END=1";

/// The store of one unit; a thread of its own reads the unit's messages as they come.
///
/// They must not wait for the test to look: a descriptor in an unread message is open.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    keeps: bool,
    state: Arc<Mutex<State>>,
    settled: mpsc::Receiver<()>,
    reader: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    ready: bool,
    descriptors: Vec<(String, OwnedFd)>,
}

impl Store {
    /// An empty store that listens on `path`; one that does not keep closes what it is sent, as
    /// systemd does for a unit without `FileDescriptorStoreMax=`.
    pub(crate) fn new(path: &Path, keeps: bool) -> Result<Self> {
        let socket = UnixDatagram::bind(path).context("cannot bind the notify socket")?;
        let state = Arc::new(Mutex::new(State::default()));
        let (tell, settled) = mpsc::channel();
        let reader = Reader {
            socket,
            keeps,
            state: Arc::clone(&state),
            settled: tell,
        };
        let reader = thread::Builder::new()
            .name("notify socket".into())
            .spawn(move || reader.run())
            .context("cannot start the thread of the notify socket")?;
        Ok(Self {
            path: path.to_owned(),
            keeps,
            state,
            settled,
            reader: Some(reader),
        })
    }

    /// Puts a descriptor into the store, as a `.socket` unit does before the first start.
    pub fn put(&self, name: &str, descriptor: &OwnedFd) -> Result<()> {
        lock(&self.state).put(name, descriptor)
    }

    /// How many descriptors are stored.
    pub fn count(&self) -> Result<usize> {
        self.settle()?;
        Ok(lock(&self.state).descriptors.len())
    }

    /// Tells, once, that a `READY=1` came since the last time.
    pub(crate) fn take_ready(&self) -> bool {
        mem::take(&mut lock(&self.state).ready)
    }

    /// Returns when all messages are read that were sent before.
    pub(crate) fn settle(&self) -> Result<()> {
        self.send(SETTLE)?;
        self.settled
            .recv()
            .context("the thread of the notify socket is gone")
    }

    fn send(&self, message: &[u8]) -> Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket
            .send_to(message, &self.path)
            .context("cannot write to the notify socket")?;
        Ok(())
    }

    /// Makes `command` start with the stored descriptors.
    ///
    /// `LISTEN_PID` must be the number of the new process, which only that process knows: a shell
    /// sets it and becomes the command.
    pub(crate) fn hand_over(&self, command: &Command) -> Result<Command> {
        self.settle()?;
        let state = lock(&self.state);
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
        let names: Vec<&str> = state
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
        inherit(&mut shell, &state.descriptors);
        Ok(shell)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.send(END).is_ok()
            && let Some(reader) = self.reader.take()
            && reader.join().is_err()
        {
            eprintln!("the thread of the notify socket panicked");
        }
    }
}

impl State {
    fn put(&mut self, name: &str, descriptor: &OwnedFd) -> Result<()> {
        // What a restarted agent stores again is there already (`service_add_fd_store`, systemd's
        // src/core/service.c).
        let number = socket_number(descriptor)?;
        for (_, stored) in &self.descriptors {
            if socket_number(stored)? == number {
                return Ok(());
            }
        }
        let descriptor = rustix::io::fcntl_dupfd_cloexec(descriptor, STORED_ABOVE)
            .context("cannot move a descriptor up")?;
        self.descriptors.push((name.to_owned(), descriptor));
        Ok(())
    }

    fn take(&mut self, text: &str, descriptors: &[OwnedFd]) -> Result<()> {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let name = value("FDNAME=").unwrap_or("stored");
        if value("FDSTOREREMOVE=") == Some("1") {
            self.descriptors.retain(|(stored, _)| stored != name);
        }
        if value("FDSTORE=") == Some("1") {
            descriptors
                .iter()
                .try_for_each(|descriptor| self.put(name, descriptor))?;
        }
        self.ready |= value("READY=") == Some("1");
        Ok(())
    }
}

/// What tells one socket from another, whatever its descriptors.
fn socket_number(descriptor: &OwnedFd) -> Result<u64> {
    sockopt::socket_cookie(descriptor).context("a stored descriptor is no socket")
}

#[expect(
    unsafe_code,
    reason = "std marks every step between fork and exec unsafe"
)]
fn inherit(command: &mut Command, descriptors: &[(String, OwnedFd)]) {
    let numbers: Vec<RawFd> = descriptors.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
    // SAFETY: dup2 is async-signal-safe, and the numbers are open in the parent, whose store keeps
    // them until after the fork. What dup2 may overwrite is the child's own.
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

/// No holder leaves the state half changed, so a panic elsewhere does not spoil it.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's half.
struct Reader {
    socket: UnixDatagram,
    keeps: bool,
    state: Arc<Mutex<State>>,
    settled: mpsc::Sender<()>,
}

impl Reader {
    fn run(self) {
        loop {
            let outcome = match self.message() {
                Ok((text, _)) if text.as_bytes() == END => return,
                Ok((text, _)) if text.as_bytes() == SETTLE => {
                    self.settled.send(()).context("nobody waits")
                }
                Ok((text, descriptors)) => {
                    let kept = if self.keeps {
                        descriptors.as_slice()
                    } else {
                        &[]
                    };
                    lock(&self.state).take(&text, kept)
                }
                Err(error) => return eprintln!("{error:#}"),
            };
            if let Err(error) = outcome {
                eprintln!("{error:#}");
            }
        }
    }

    fn message(&self) -> Result<(String, Vec<OwnedFd>)> {
        let mut bytes = [0; 4096];
        let mut space =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let message = recvmsg(self.socket.as_fd(), &mut parts, &mut ancillary, flags);
        let length = message.context("cannot read the notify socket")?.bytes;
        let mut descriptors = Vec::new();
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                descriptors.extend(rights);
            }
        }
        let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned();
        Ok((text, descriptors))
    }
}
