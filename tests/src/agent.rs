//! The built `culvert` as a process: started, asked, reloaded, stopped, killed, always reaped.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::netns::Namespace;
use crate::process::{Process, built};
use crate::wait;

/// A running agent with files of its own.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    home: Home,
}

/// An agent that is not started yet: what its configuration says beside the test's own text.
#[derive(Debug)]
pub struct Setup<'a> {
    namespace: &'a Namespace,
    steer: &'a str,
    access: &'a str,
    arguments: Vec<String>,
}

impl<'a> Setup<'a> {
    /// An agent for `namespace` that steers nothing and logs connections as JSON.
    #[must_use]
    pub const fn new(namespace: &'a Namespace) -> Self {
        Self {
            namespace,
            steer: "off",
            access: "json",
            arguments: Vec::new(),
        }
    }

    /// Sets the mode of the kernel's steering: `auto`, `off` or `required`.
    #[must_use]
    pub const fn steer(mut self, mode: &'a str) -> Self {
        self.steer = mode;
        self
    }

    /// Sets the form of the access log: `json`, `text` or `off`.
    #[must_use]
    pub const fn access(mut self, form: &'a str) -> Self {
        self.access = form;
        self
    }

    /// Adds an argument to `culvert run`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts the agent with `body` as its listeners and routes; returns once it is ready.
    pub async fn start(self, body: &str) -> Result<Agent> {
        let home = Home::new(self.steer, self.access)?;
        home.configure(body)?;
        let notify = UnixDatagram::bind(home.path("notify.sock"))?;
        notify.set_nonblocking(true)?;
        let mut command = home.command("run")?;
        command
            .args(["--config".as_ref(), home.config().as_os_str()])
            .args(&self.arguments);
        command.env("NOTIFY_SOCKET", home.path("notify.sock"));
        command
            .stdout(home.output("access.log")?)
            .stderr(home.output("agent.log")?);
        let process = Process::start(self.namespace, &mut command)?;
        let mut agent = Agent { process, home };
        agent.ready(&notify).await?;
        Ok(agent)
    }
}

impl Agent {
    /// Starts an agent with the usual settings; see [`Setup`].
    pub async fn start(namespace: &Namespace, body: &str) -> Result<Self> {
        Setup::new(namespace).start(body).await
    }

    /// Replaces the listeners and routes in the file; the agent is not told.
    pub fn configure(&self, body: &str) -> Result<()> {
        self.home.configure(body)
    }

    /// Replaces the listeners and routes and waits until the agent has taken them.
    pub fn reload(&self, body: &str) -> Result<()> {
        self.configure(body)?;
        self.expect(&["reload"]).map(drop)
    }

    /// Runs a command of the CLI against this agent.
    pub fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let (noun, rest) = arguments.split_first().context("a command has a name")?;
        let socket = self.home.path("admin.sock");
        let mut command = self.home.command(noun)?;
        command.args(rest).arg("--socket").arg(socket);
        command
            .output()
            .with_context(|| format!("cannot run culvert {noun}"))
    }

    /// Runs a command of the CLI that must succeed, and returns what it printed.
    pub fn expect(&self, arguments: &[&str]) -> Result<String> {
        let output = self.cli(arguments)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "culvert {arguments:?}: {}: {errors}",
            output.status
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a command of the CLI with `--json` and returns what it printed.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.expect(&[arguments, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("culvert {arguments:?} printed {text}"))
    }

    /// Sends one request to the admin socket: status code and body.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        request(&self.home.path("admin.sock"), method, path, body)
    }

    /// The value of one metric, its labels written as the exposition writes them; 0 if absent.
    pub fn metric(&self, sample: &str) -> Result<f64> {
        let (_, text) = self.admin("GET", "/metrics", "")?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(Ok(0.0), |value| Ok(value.trim().parse()?))
    }

    /// Every access-log record so far.
    pub fn access_log(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.home.path("access.log"))?;
        // The last line may be half written.
        let complete = text.rsplit_once('\n').map_or("", |(lines, _rest)| lines);
        complete
            .lines()
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect()
    }

    /// Waits for the first access-log record that `wanted` accepts.
    pub async fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until("an access-log record", || {
            let found = self.access_log().map(|log| log.into_iter().find(&wanted));
            async { found }
        })
        .await
    }

    /// The agent's own log so far.
    pub fn own_log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.home.path("agent.log"))?)
    }

    /// The agent's process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.home.config()
    }

    /// The instance name, unique among all tests of the machine.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.home.instance
    }

    /// Path of the admin socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.path("admin.sock")
    }

    /// Asks the agent to drain and waits for its end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        self.process.wait().await
    }

    async fn ready(&mut self, notify: &UnixDatagram) -> Result<()> {
        let home = &self.home;
        let process = &mut self.process;
        wait::until("READY=1 from the agent", || {
            let seen = look_for_ready(home, process, notify);
            async { seen }
        })
        .await
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.own_log().unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("last lines of the agent's log:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// One directory with everything an agent needs, and its unique instance name.
#[derive(Debug)]
pub(crate) struct Home {
    directory: TempDir,
    instance: String,
    head: String,
}

impl Home {
    pub(crate) fn new(steer: &str, access: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::Builder::new().prefix("culvert-").tempdir()?;
        let instance = format!("test-{}-{count}", std::process::id());
        let mut head = String::new();
        writeln!(head, "instance = \"{instance}\"")?;
        let socket = directory.path().join("admin.sock");
        writeln!(head, "admin {{ socket = \"{}\" }}", socket.display())?;
        writeln!(
            head,
            "log {{\n  level = \"debug\"\n  access = \"{access}\"\n}}"
        )?;
        writeln!(head, "steer {{ mode = \"{steer}\" }}")?;
        Ok(Self {
            directory,
            instance,
            head,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("culvert.hcl")
    }

    /// Replaces the file in one step, as an editor does: the agent may be watching it.
    pub(crate) fn configure(&self, body: &str) -> Result<()> {
        let aside = self.path("culvert.hcl.new");
        fs::write(&aside, format!("{}\n{body}", self.head))?;
        Ok(fs::rename(aside, self.config())?)
    }

    pub(crate) fn output(&self, name: &str) -> Result<Stdio> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.path(name));
        Ok(file.with_context(|| format!("cannot open {name}"))?.into())
    }

    pub(crate) fn command(&self, noun: &str) -> Result<Command> {
        let mut command = Command::new(built("culvert")?);
        command
            .arg(noun)
            .stdin(Stdio::null())
            .current_dir(self.directory.path());
        Ok(command)
    }
}

/// One look at the notify socket; an agent that ended instead is an error with its last words.
fn look_for_ready(home: &Home, process: &mut Process, notify: &UnixDatagram) -> Result<Option<()>> {
    let mut message = [0; 1024];
    match notify.recv(&mut message) {
        Ok(length) => {
            let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
            return Ok(text.lines().any(|line| line == "READY=1").then_some(()));
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return Err(error).context("cannot read the notify socket"),
    }
    if let Some(status) = process.ended()? {
        let log = fs::read_to_string(home.path("agent.log")).unwrap_or_default();
        bail!("the agent ended at start with {status}:\n{log}");
    }
    Ok(None)
}

/// One HTTP/1.0 request over a Unix socket, so that the answer ends with the stream.
fn request(socket: &Path, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
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
