//! One agent's files, and the questions asked through one of them: its admin socket.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::process::built;

/// One directory with everything an agent needs, and its unique instance name.
#[derive(Debug)]
pub(crate) struct Home {
    directory: TempDir,
    pub(crate) instance: String,
    head: String,
    program: &'static str,
}

impl Home {
    pub(crate) fn new(steer: &str, access: &str, metrics: Option<SocketAddr>) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::Builder::new().prefix("culvert-").tempdir()?;
        let instance = format!("test-{}-{count}", std::process::id());
        let mut head = String::new();
        writeln!(head, "instance = \"{instance}\"")?;
        let socket = directory.path().join("admin.sock");
        let metrics = metrics.map_or_else(String::new, |at| format!("  metrics = \"{at}\""));
        writeln!(
            head,
            "admin {{ socket = \"{}\"{metrics} }}",
            socket.display()
        )?;
        writeln!(
            head,
            "log {{\n  level = \"debug\"\n  access = \"{access}\"\n}}"
        )?;
        writeln!(head, "steer {{ mode = \"{steer}\" }}")?;
        Ok(Self {
            directory,
            instance,
            head,
            program: "culvert",
        })
    }

    /// Runs another build of the agent.
    pub(crate) const fn set_program(&mut self, program: &'static str) {
        self.program = program;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("culvert.hcl")
    }

    /// Replaces the configuration file in one step, as an editor does: the agent may be watching it.
    pub(crate) fn configure(&self, body: &str) -> Result<()> {
        self.write("culvert.hcl", &format!("{}\n{body}", self.head))
    }

    /// Replaces any file in one step; `name` may lie in a folder, which is made.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let (aside, path) = (self.path("new"), self.path(name));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&aside, text)?;
        fs::rename(aside, &path).with_context(|| format!("cannot replace {}", path.display()))
    }

    pub(crate) fn output(&self, name: &str) -> Result<Stdio> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.path(name));
        Ok(file.with_context(|| format!("cannot open {name}"))?.into())
    }

    pub(crate) fn command(&self, noun: &str) -> Result<Command> {
        let mut command = Command::new(built(self.program)?);
        command
            .arg(noun)
            .stdin(Stdio::null())
            .current_dir(self.directory.path());
        Ok(command)
    }
}

/// One HTTP/1.0 request over a Unix socket, so that the answer ends with the stream.
pub fn request(socket: &Path, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("cannot connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: culvert\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .with_context(|| format!("no answer to {method} {path}"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer has a head")?;
    let status = head.split(' ').nth(1).context("a status line has a code")?;
    Ok((status.parse()?, body.to_owned()))
}
