//! A gateway under test as a process: started, proven to work, changed, asked what it takes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gateway_tests::peers::{self, hellos};
use gateway_tests::process::{Process, built, find};
use gateway_tests::request;
use gateway_tests::wait;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::case;
use crate::files::{self, Values};
use crate::host;
use crate::stage::Stage;
use crate::target::{Peer, Target};

/// The content type of a TLS record that carries a handshake: the server answered.
const HANDSHAKE: u8 = 22;

/// A gateway that does not answer a hello for so long does not serve the name yet.
const ANSWER: Duration = Duration::from_secs(1);

/// Lines of a map in one command to HAProxy, which must fit one of its buffers of 16 KB.
const MAP_LINES: usize = 200;

/// Lines of what a gateway said that are told when it fails.
const LAST_LINES: usize = 5;

/// A running gateway.
pub(crate) struct Gateway {
    target: Target,
    port: u16,
    home: TempDir,
    process: Process,
    /// culvert's ended connections by engine, when they were last looked at.
    moved: BTreeMap<String, u64>,
}

impl Gateway {
    /// Starts a gateway on `port` and returns once it serves the last of `names`.
    pub(crate) async fn start(
        stage: &Stage,
        target: &Target,
        port: u16,
        names: &[String],
    ) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("compare-").tempdir()?;
        let values = Values {
            home: home.path(),
            port,
            server: stage.server(),
            names,
        };
        files::write(target, &values)?;
        let mut command = command(target, home.path())?;
        if matches!(target, Target::Culvert { .. }) {
            stage.bpffs.apply(&mut command);
        }
        let said = File::create(home.path().join("said"))?;
        command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said);
        let mut gateway = Self {
            target: target.clone(),
            port,
            process: Process::start(&stage.net.gateway, &mut command)?,
            home,
            moved: BTreeMap::new(),
        };
        let last = names.last().context("a gateway serves a name")?;
        gateway.wait_for(stage, last).await?;
        gateway.check_engine()?;
        Ok(gateway)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Fails if the gateway has ended, with its last words.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        let Some(status) = self.process.ended()? else {
            return Ok(());
        };
        bail!("it ended with {status}: {}", self.last_words());
    }

    /// Fails if another engine than the wanted one moved bytes: the figures would not be its own.
    pub(crate) fn check_engine(&mut self) -> Result<()> {
        let Target::Culvert { engine } = &self.target else {
            return Ok(());
        };
        let (_, metrics) = request(&self.control(), "GET", "/metrics", "")?;
        let unavailable = format!("culvert_engine_available{{engine=\"{engine}\"}} 0");
        ensure!(
            !metrics.lines().any(|line| line == unavailable),
            "the engine {engine} does not work here: `culvert check` says why"
        );
        let moved = moved(&metrics);
        let news = |wanted: bool| -> u64 {
            let counts = moved.iter().filter(|(name, _)| (*name == engine) == wanted);
            let counts = counts.map(|(name, count)| count - self.moved.get(name).unwrap_or(&0));
            counts.sum()
        };
        let (own, others) = (news(true), news(false));
        self.moved.clone_from(&moved);
        // One that ends while it is handed over is nobody's fault.
        ensure!(
            others * 100 <= own,
            "{others} of {} connections were not moved by {engine}",
            own + others
        );
        Ok(())
    }

    /// Replaces all names and returns once the last of them is served.
    pub(crate) async fn change(&mut self, stage: &Stage, names: &[String]) -> Result<()> {
        let values = Values {
            home: self.home.path(),
            port: self.port,
            server: stage.server(),
            names,
        };
        files::write(&self.target, &values)?;
        match &self.target {
            Target::Routing => {}
            Target::Culvert { .. } => self.reload()?,
            Target::Peer(Peer::HaProxy) => self.replace_map(names)?,
            Target::Peer(Peer::Nginx | Peer::SniProxy) => self.signal(Signal::HUP)?,
            // It watches the directory.
            Target::Peer(Peer::Envoy) => {}
        }
        let last = names.last().context("a gateway serves a name")?;
        self.wait_for(stage, last).await
    }

    /// Resident bytes of all its processes.
    pub(crate) fn resident(&self) -> Result<u64> {
        host::resident(self.process.id())
    }

    async fn wait_for(&mut self, stage: &Stage, name: &str) -> Result<()> {
        let port = self.port;
        let hello = hellos::asking_for(name)?;
        let waited = wait::until("the gateway to serve a new name", || {
            let alive = self.check_alive();
            let hello = &hello;
            async move {
                alive?;
                Ok(answers(stage, port, hello)
                    .await
                    .unwrap_or(false)
                    .then_some(()))
            }
        })
        .await;
        // One that has ended has said its last words already.
        match self.process.ended()? {
            Some(_status) => waited,
            None => waited.with_context(|| self.last_words()),
        }
    }

    /// Signals the gateway itself, which is the one child of the process started here.
    fn signal(&self, signal: Signal) -> Result<()> {
        let children = host::children(self.process.id())?;
        let gateway = children.first().copied().and_then(Pid::from_raw);
        let gateway = gateway.with_context(|| format!("{} has ended", self.target))?;
        kill_process(gateway, signal).with_context(|| format!("cannot signal {}", self.target))
    }

    /// culvert's own way: all or nothing, and an answer that says which.
    fn reload(&self) -> Result<()> {
        let output = Command::new(built("culvert")?)
            .args(["reload", "--socket"])
            .arg(self.control())
            .output()
            .context("cannot run culvert reload")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "culvert reload: {}: {said}",
            output.status
        );
        Ok(())
    }

    /// HAProxy's own way: a new version of the map, filled and then committed, without a reload.
    fn replace_map(&self, names: &[String]) -> Result<()> {
        let map = self.home.path().join("names.map");
        let map = map.display();
        let answer = self.order(&format!("prepare map {map}\n"))?;
        let version = answer.rsplit_once(": ").map(|(_, version)| version.trim());
        let version = version.with_context(|| format!("HAProxy said {answer}"))?;
        for part in names.chunks(MAP_LINES) {
            let lines: String = part.iter().map(|name| format!("{name} bench\n")).collect();
            self.order(&format!("add map @{version} {map} <<\n{lines}\n"))?;
        }
        self.order(&format!("commit map @{version} {map}\n"))
            .map(drop)
    }

    fn order(&self, order: &str) -> Result<String> {
        let mut stream =
            UnixStream::connect(self.control()).context("cannot reach HAProxy's socket")?;
        stream.write_all(order.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn control(&self) -> PathBuf {
        self.home.path().join("control.sock")
    }

    fn last_words(&self) -> String {
        let said = ["said", "log"].map(|name| fs::read_to_string(self.home.path().join(name)));
        let said: String = said.into_iter().flatten().collect();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines = said.lines().map(words).filter(|line| !line.is_empty());
        let lines: Vec<String> = lines.collect();
        if lines.is_empty() {
            return "it said nothing".to_owned();
        }
        let last = lines.len().saturating_sub(LAST_LINES);
        lines.get(last..).unwrap_or_default().join("; ")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Its parent here reaps it and then ends by itself; killed at once, it would leave that to
        // whoever adopts orphans, which in a container may be nobody.
        let ended = match self.signal(Signal::KILL) {
            Ok(()) => self.process.reap().map(drop),
            Err(_gone) => Ok(()),
        };
        if let Err(error) = ended {
            eprintln!("cannot end {}: {error}", self.target);
        }
    }
}

/// Ended connections by engine, of culvert's metrics.
fn moved(metrics: &str) -> BTreeMap<String, u64> {
    let samples = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix("culvert_engine_connections_total{engine=\"")?;
        let (engine, count) = rest.split_once("\"} ")?;
        Some((engine.to_owned(), count.parse().ok()?))
    });
    samples.collect()
}

/// The version that a gateway tells of itself, or why it cannot be had.
pub(crate) fn version(target: &Target) -> Result<String> {
    let (program, argument) = match target {
        Target::Routing => return Ok(String::new()),
        Target::Culvert { .. } => (built("culvert")?, "--version"),
        Target::Peer(peer) => (
            installed(*peer)?,
            match peer {
                Peer::HaProxy | Peer::Nginx => "-v",
                Peer::SniProxy => "-V",
                Peer::Envoy => "--version",
            },
        ),
    };
    let output = Command::new(&program)
        .arg(argument)
        .stdin(Stdio::null())
        .output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().map(str::trim).find(|line| !line.is_empty());
    Ok(line
        .unwrap_or_default()
        .rsplit_once("version: ")
        .map_or_else(
            || line.unwrap_or_default().to_owned(),
            |(_, version)| version.to_owned(),
        ))
}

fn command(target: &Target, home: &Path) -> Result<Command> {
    let config = home.join(files::main(target));
    let (program, arguments): (PathBuf, &[&str]) = match target {
        Target::Routing => bail!("routing has no process"),
        Target::Culvert { .. } => (built("culvert")?, &["run", "-c"]),
        Target::Peer(peer) => (
            installed(*peer)?,
            match peer {
                Peer::HaProxy => &["-db", "-f"],
                Peer::Nginx => &["-c"],
                Peer::SniProxy => &["-f", "-c"],
                Peer::Envoy => &["--disable-hot-restart", "--log-level", "warning", "-c"],
            },
        ),
    };
    // Whatever a gateway starts must end with it, however that ends: the first process of a process
    // namespace takes all others along.
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]);
    command
        .arg(program)
        .args(arguments)
        .arg(config)
        .current_dir(home);
    Ok(command)
}

fn installed(peer: Peer) -> Result<PathBuf> {
    let program = peer.program();
    find(program).with_context(|| {
        format!("{program} is not installed: `cargo xtask bench` installs it on Debian")
    })
}

/// Asks once whether the server's answer to a hello comes through.
async fn answers(stage: &Stage, port: u16, hello: &[u8]) -> Result<bool> {
    let (client, address) = stage.path(case::Path::Near, port)?;
    let mut stream = peers::connect(client, address).await?;
    stream.write_all(hello).await?;
    let first = timeout(ANSWER, stream.read_u8()).await??;
    Ok(first == HANDSHAKE)
}
