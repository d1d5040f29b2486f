//! The built `culvert` as a process: started, asked, reloaded, stopped, killed, always reaped.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::bpffs::BpfFilesystem;
use crate::home::{Home, request};
use crate::netns::Namespace;
use crate::process::Process;
use crate::supervisor::Store;
use crate::wait;

/// A running agent with files of its own.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    home: Home,
    store: Store,
    arguments: Vec<String>,
    bpffs: Option<BpfFilesystem>,
}

/// An agent that is not started yet: what its configuration says beside the test's own text.
#[derive(Debug)]
pub struct Setup<'a> {
    namespace: &'a Namespace,
    steer: &'a str,
    access: &'a str,
    metrics: Option<SocketAddr>,
    arguments: Vec<String>,
    bpffs: Option<BpfFilesystem>,
    handed: Vec<(String, OwnedFd)>,
    files: Vec<(String, String)>,
    keeps: bool,
    program: &'static str,
}

impl<'a> Setup<'a> {
    /// An agent for `namespace` that steers nothing and logs connections as JSON.
    #[must_use]
    pub const fn new(namespace: &'a Namespace) -> Self {
        Self {
            namespace,
            steer: "off",
            access: "json",
            metrics: None,
            arguments: Vec::new(),
            bpffs: None,
            handed: Vec::new(),
            files: Vec::new(),
            keeps: false,
            program: "culvert",
        }
    }

    /// Runs another build of the agent than `culvert`, one that lies beside it.
    #[must_use]
    pub const fn program(mut self, program: &'static str) -> Self {
        self.program = program;
        self
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

    /// Gives the agent an address for metrics and health.
    #[must_use]
    pub const fn metrics(mut self, address: SocketAddr) -> Self {
        self.metrics = Some(address);
        self
    }

    /// Adds an argument to `culvert run`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Gives the agent a bpffs of the test's own.
    #[must_use]
    pub fn bpffs(mut self, bpffs: &BpfFilesystem) -> Self {
        self.bpffs = Some(bpffs.clone());
        self
    }

    /// Puts a file beside the configuration file before the start; see [`Agent::write`].
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Hands a listening socket to the agent, as systemd's socket activation does.
    #[must_use]
    pub fn hand(mut self, name: &str, descriptor: OwnedFd) -> Self {
        self.handed.push((name.to_owned(), descriptor));
        self
    }

    /// Gives the agent's unit a descriptor store.
    #[must_use]
    pub const fn descriptor_store(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// Starts the agent with `body` as its listeners and routes; returns once it is ready.
    pub async fn start(self, body: &str) -> Result<Agent> {
        let mut home = Home::new(self.steer, self.access, self.metrics)?;
        home.set_program(self.program);
        home.configure(body)?;
        for (name, text) in &self.files {
            home.write(name, text)?;
        }
        let store = Store::new(&home.path("notify.sock"), self.keeps)?;
        for (name, descriptor) in self.handed {
            store.put(&name, &descriptor)?;
        }
        // Pins would outlive a killed agent on the host. Without root there are none.
        let bpffs = self.bpffs.or_else(|| BpfFilesystem::new().ok());
        let arguments = self.arguments;
        let process = launch(self.namespace, &home, &store, &arguments, bpffs.as_ref())?;
        let mut agent = Agent {
            process,
            home,
            store,
            arguments,
            bpffs,
        };
        agent.ready().await?;
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

    /// Replaces a file beside the configuration file; the agent is not told.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        self.home.write(name, text)
    }

    /// Removes a file beside the configuration file; the agent is not told.
    pub fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.home.path(name)).with_context(|| format!("cannot remove {name}"))
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
        if let Some(bpffs) = &self.bpffs {
            bpffs.apply(&mut command);
        }
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

    /// Runs `culvert maps` for this agent's instance, which asks the kernel and not the agent.
    pub fn maps(&self, bpffs: &BpfFilesystem, arguments: &[&str]) -> Result<String> {
        let mut command = self.home.command("maps")?;
        command
            .args(arguments)
            .args(["--instance", self.instance()]);
        bpffs.apply(&mut command);
        let output = command.output().context("cannot run culvert maps")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "culvert maps: {}: {errors}",
            output.status
        );
        Ok(String::from_utf8(output.stdout)?)
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

    /// Fails with the agent's own words if it does not use an engine.
    pub fn has_engine(&self, name: &str) -> Result<()> {
        let status = self.json(&["status"])?;
        let engines = status["engines"].as_array().context("engines")?;
        let engine = engines.iter().find(|one| one["name"] == name);
        let engine = engine.with_context(|| format!("no engine {name}: {status}"))?;
        ensure!(engine["available"] == true, "not available: {engine}");
        Ok(())
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

    /// Starts the agent again after it ended, as its unit would: with the stored descriptors.
    pub async fn restart(&mut self, namespace: &Namespace) -> Result<()> {
        let bpffs = self.bpffs.as_ref();
        // A reload of the former process may have said it as well.
        self.store.settle()?;
        self.store.take_ready();
        self.process = launch(namespace, &self.home, &self.store, &self.arguments, bpffs)?;
        self.ready().await
    }

    /// How many descriptors the agent has left with its supervisor.
    pub fn stored(&self) -> Result<usize> {
        self.store.count()
    }

    async fn ready(&mut self) -> Result<()> {
        let Self {
            process,
            home,
            store,
            ..
        } = self;
        wait::until("READY=1 from the agent", || {
            let seen = look_for_ready(home, process, store);
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

/// Starts `culvert run` on the files in `home`.
fn launch(
    namespace: &Namespace,
    home: &Home,
    store: &Store,
    arguments: &[String],
    bpffs: Option<&BpfFilesystem>,
) -> Result<Process> {
    let mut command = home.command("run")?;
    command.arg("-c").arg(home.config()).args(arguments);
    command.env("NOTIFY_SOCKET", home.path("notify.sock"));
    let mut command = store.hand_over(&command)?;
    command.stdin(Stdio::null());
    command
        .stdout(home.output("access.log")?)
        .stderr(home.output("agent.log")?);
    if let Some(bpffs) = bpffs {
        bpffs.apply(&mut command);
    }
    Process::start(namespace, &mut command)
}

/// One look at the notify socket; an agent that ended instead is an error with its last words.
fn look_for_ready(home: &Home, process: &mut Process, store: &Store) -> Result<Option<()>> {
    if store.take_ready() {
        return Ok(Some(()));
    }
    if let Some(status) = process.ended()? {
        let log = fs::read_to_string(home.path("agent.log")).unwrap_or_default();
        bail!("the agent ended at start with {status}:\n{log}");
    }
    Ok(None)
}
