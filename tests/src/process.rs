//! Child processes that never outlive the test, however it ends.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::netns::Namespace;
use crate::wait;

/// A running child; dropping it kills and reaps it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command` inside `namespace`.
    ///
    /// The kernel kills the child when the calling *thread* ends, so start children on the test's
    /// own thread and not on a worker that may go away.
    pub fn start(namespace: &Namespace, command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        die_with_parent(command);
        let _inside = namespace.enter()?;
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// The child's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes the reading end of the child's standard output, if that is a pipe.
    pub const fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Takes the writing end of the child's standard input, if that is a pipe.
    pub const fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("a child has a positive process id")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Says how the child ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Waits for the child to end by itself.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        self.wait_within(wait::PATIENCE).await
    }

    /// The same for a child that may take longer than the patience of the suite.
    pub async fn wait_within(&mut self, patience: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait::until_within(patience, &what, || {
            let ended = self.ended();
            async { ended }
        })
        .await
    }

    /// Reaps the child, which must be about to end: blocks until then.
    pub fn reap(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Kills the child with SIGKILL and reaps it.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("cannot end {}: {error}", self.name);
        }
    }
}

/// Finds a program built beside the running test, such as `culvert`.
pub fn built(program: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("cannot tell where the test itself is")?;
    let mut directory = test.parent().context("a test lies in a directory")?;
    if directory.ends_with("deps") {
        directory = directory.parent().context("`deps` lies in a directory")?;
    }
    let path = directory.join(program);
    ensure!(
        path.is_file(),
        "{} is not built: run `cargo build --workspace` or `cargo xtask test`",
        path.display()
    );
    Ok(path)
}

/// Finds a program of the system, those for administrators included.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut directories = std::env::split_paths(&path).chain(administrators);
    directories.find_map(|it| Some(it.join(program)).filter(|file| file.is_file()))
}

#[expect(
    unsafe_code,
    reason = "std marks every step between fork and exec unsafe"
)]
fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe and the closure does nothing else.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}
