//! Both ends of `culvert bench` as processes, and a gateway that spoils what it forwards.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::netns::Namespace;
use crate::peers;
use crate::process::{Process, built};

/// The name that the server's certificate is for if nothing else is said.
pub const NAME: &str = "bench.example.com";

/// A running `culvert bench server`.
#[derive(Debug)]
pub struct BenchServer {
    _process: Process,
    home: TempDir,
}

/// What a `culvert bench client` left.
#[derive(Debug)]
pub struct BenchResult {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

impl BenchServer {
    /// Starts a server and waits until it listens on every address.
    pub fn start(
        namespace: &Namespace,
        addresses: &[SocketAddr],
        arguments: &[&str],
    ) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let mut command = Command::new(built("culvert")?);
        command.args(["bench", "server"]).args(arguments);
        for address in addresses {
            command.args(["--listen", &address.to_string()]);
        }
        let errors = File::create(home.path().join("errors"))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut process = Process::start(namespace, &mut command)?;
        let output = process.output().context("the output is a pipe")?;
        let mut lines = BufReader::new(output).lines();
        for address in addresses {
            let line = lines.next().context("the server ended at start")??;
            ensure!(line == format!("listening on {address}"), "{line}");
        }
        // The pipe is closed here: what a server says later goes nowhere, and must not end it.
        Ok(Self {
            _process: process,
            home,
        })
    }

    /// What the server said of connections that did not go as they should.
    pub fn errors(&self) -> Result<String> {
        Ok(fs::read_to_string(self.home.path().join("errors"))?)
    }
}

impl BenchResult {
    /// The object of a run with `--json` that must have succeeded.
    pub fn json(&self) -> Result<Value> {
        ensure!(self.code == Some(0), "{self:?}");
        serde_json::from_str(&self.output).with_context(|| format!("no JSON: {self:?}"))
    }
}

/// Runs a client in `namespace` to its end.
pub async fn client(
    namespace: &Namespace,
    gateway: SocketAddr,
    arguments: &[&str],
) -> Result<BenchResult> {
    let home = tempfile::tempdir()?;
    let [output, errors] = ["output", "errors"].map(|name| home.path().join(name));
    let mut command = Command::new(built("culvert")?);
    command
        .args(["bench", "client", &gateway.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(File::create(&output)?)
        .stderr(File::create(&errors)?);
    let status = Process::start(namespace, &mut command)?.wait().await?;
    Ok(BenchResult {
        code: status.code(),
        output: fs::read_to_string(output)?,
        errors: fs::read_to_string(errors)?,
    })
}

/// What a spoiler does, at a position of one direction's bytes, counted from behind the hello.
#[derive(Clone, Copy, Debug)]
pub enum Spoil {
    /// Flips the lowest bit of one byte.
    Flip,
    /// Leaves out so many bytes.
    Lose(u64),
    /// Sends so many bytes twice: those before the position again.
    Double(usize),
    /// Ends the connection.
    Cut,
    /// Forwards nothing for so long, and then everything.
    Stall(Duration),
}

/// Which way is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From client to server.
    Upstream,
    /// From server to client.
    Downstream,
}

/// Forwards every connection to `server` and spoils one direction at `position`.
pub fn spoiler(
    namespace: &Namespace,
    address: SocketAddr,
    server: SocketAddr,
    (direction, position, spoil): (Direction, u64, Spoil),
) -> Result<peers::Server> {
    let path = namespace.path();
    peers::Server::start(namespace, address, move |client| {
        let path = path.clone();
        async move {
            let upstream = dial(&path, server)?.connect(server).await?;
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = upstream.into_split();
            let faithful = (u64::MAX, Spoil::Cut);
            let there = (position, spoil);
            let (up, down) = match direction {
                Direction::Upstream => (there, faithful),
                Direction::Downstream => (faithful, there),
            };
            forward_record(&mut from_client, &mut to_server).await?;
            tokio::try_join!(
                forward(&mut from_client, &mut to_server, up),
                forward(&mut from_server, &mut to_client, down)
            )?;
            Ok(())
        }
    })
}

fn dial(path: &str, address: SocketAddr) -> Result<TcpSocket> {
    let space = Namespace::open(path)?;
    let _inside = space.enter()?;
    Ok(if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    })
}

/// Forwards a hello of one TLS record.
async fn forward_record(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<()> {
    let mut record = vec![0; 5];
    from.read_exact(&mut record).await?;
    let length = u16::from_be_bytes(record[3..].try_into()?);
    record.resize(5 + usize::from(length), 0);
    from.read_exact(record.get_mut(5..).unwrap_or_default())
        .await?;
    Ok(to.write_all(&record).await?)
}

async fn forward(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    (position, spoil): (u64, Spoil),
) -> Result<()> {
    let mut head = from.take(position);
    let mut last = Vec::new();
    let mut block = vec![0; 16 * 1024];
    loop {
        let count = head.read(&mut block).await?;
        let bytes = block.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        to.write_all(bytes).await?;
        last.extend_from_slice(bytes);
        let old = last.len().saturating_sub(REMEMBERED);
        last.drain(..old);
    }
    let from = head.into_inner();
    match spoil {
        Spoil::Flip => {
            // The stream may have ended before it came to that.
            if let Ok(byte) = from.read_u8().await {
                to.write_u8(byte ^ 1).await?;
            }
        }
        Spoil::Lose(count) => {
            tokio::io::copy(&mut from.take(count), &mut tokio::io::sink()).await?;
        }
        Spoil::Double(count) => {
            let again = last.len().saturating_sub(count);
            to.write_all(last.get(again..).unwrap_or_default()).await?;
        }
        Spoil::Stall(time) => tokio::time::sleep(time).await,
        Spoil::Cut => {
            to.shutdown().await?;
            return Ok(());
        }
    }
    tokio::io::copy(from, to).await?;
    Ok(to.shutdown().await?)
}

/// More than any test doubles.
const REMEMBERED: usize = 128 * 1024;
