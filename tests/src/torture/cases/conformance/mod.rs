//! Real TLS clients and servers through the gateway: what they report must be what they report without.
//!
//! Here is what these cases share: servers at ports of the first server's namespace, and each client
//! run twice, once through the agent and once from beside it. The programs' own words decide, less
//! what differs from run to run; and words that prove that a thing happened are asked for by name,
//! because two runs that fail alike are alike, too.

mod converse;
mod gnutls;
mod grpc;
mod http2;
mod messages;
mod openssl;
mod options;
mod records;
mod script;
mod secure;
mod sessions;
mod testssl;
mod websocket;

pub(super) use gnutls::gnutls;
pub(super) use grpc::grpc;
pub(super) use http2::http2;
pub(super) use openssl::openssl;
pub(super) use options::conformance;
pub(super) use testssl::testssl;
pub(super) use websocket::websocket;

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::config::{PORT, route};
use gateway_tests::netns::Namespace;
use gateway_tests::peers::connect;
use gateway_tests::peers::tls::Authority;
use gateway_tests::process::{Process, find};
use gateway_tests::topology::{Family, gateway, server};
use gateway_tests::wait;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use self::converse::Said;
use crate::Trial;
use crate::world::World;

/// A program of the distribution, and the package that brings it.
type Program = (&'static str, &'static str);

/// The world, and a folder with what programs read and write: the authority's certificate, and the
/// server's with its key.
struct Stage {
    world: World,
    home: TempDir,
    authority: Authority,
}

/// One run of a client: to which server, and whether through the agent.
#[derive(Clone, Copy)]
struct Visit<'a> {
    stage: &'a Stage,
    family: Family,
    port: u16,
    through: bool,
}

impl Stage {
    /// Starts an agent that knows the servers at these ports, each by a name for each family.
    async fn new(trial: &Trial, programs: &[Program], ports: &[u16], more: &str) -> Result<Self> {
        for (program, package) in programs {
            find(program)
                .with_context(|| format!("{program} is not installed: install {package}"))?;
        }
        let mut body = more.to_owned();
        let mut names = Vec::new();
        for (family, &port) in both(ports) {
            let name = name(family, port);
            body += &route(&name, &[server(family, 0, port)], "");
            names.push(name);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let stage = Self {
            world: World::new(trial, &body).await?,
            home: tempfile::tempdir()?,
            authority: Authority::new()?,
        };
        let (certificate, key) = stage.authority.issue(&names)?.pem();
        stage.write("authority.pem", stage.authority.pem())?;
        stage.write("certificate.pem", certificate)?;
        stage.write("key.pem", key)?;
        Ok(stage)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        fs::write(self.file(name), bytes).with_context(|| format!("cannot write {name}"))
    }

    /// Writes certificates for clients, each with its key: `right` is of the authority, `forged` of
    /// another one by the same name, `stranger` of nobody; and a file of `nothing`.
    fn client_certificates(&self) -> Result<()> {
        let other = Authority::new()?;
        for (file, authority) in [("right", &self.authority), ("forged", &other)] {
            let (certificate, key) = authority.issue(&["client.example.com"])?.pem();
            self.write(file, certificate + &key)?;
        }
        let key = KeyPair::generate()?;
        let parameters = CertificateParams::new(["stranger.example.com".to_owned()])?;
        let stranger = parameters.self_signed(&key)?.pem();
        self.write("stranger", stranger + &key.serialize_pem())?;
        self.write("nothing", "")
    }

    /// Where the servers are.
    fn servers(&self) -> &Namespace {
        &self.world.net.servers[0]
    }

    /// Starts a server in the folder and waits until it accepts.
    async fn serve(&self, port: u16, command: &mut Command) -> Result<Process> {
        command.current_dir(self.home.path());
        let mut process = Process::start(self.servers(), command)?;
        let what = format!("a server at port {port}");
        wait::until(&what, || {
            let ended = process.ended();
            async {
                ensure!(ended?.is_none(), "{what} has ended");
                let up = connect(self.servers(), server(Family::V4, 0, port)).await;
                Ok(up.ok().map(drop))
            }
        })
        .await?;
        Ok(process)
    }

    /// A visit from beside the agent and one through it.
    const fn visits(&self, (family, port): (Family, u16)) -> [Visit<'_>; 2] {
        let direct = Visit {
            stage: self,
            family,
            port,
            through: false,
        };
        [
            direct,
            Visit {
                through: true,
                ..direct
            },
        ]
    }

    /// Ends servers that should have lived until now, and waits until the agent is at rest.
    async fn rest(mut self, servers: Vec<Process>) -> Result<()> {
        for mut process in servers {
            ensure!(process.ended()?.is_none(), "a server has ended by itself");
        }
        self.world.rest().await
    }
}

impl Visit<'_> {
    /// Where the client is: the servers' network can be reached from the gateway's without the agent.
    fn space(&self) -> &Namespace {
        let net = &self.stage.world.net;
        if self.through {
            &net.client
        } else {
            &net.gateway
        }
    }

    /// Where the client connects to.
    fn at(&self) -> SocketAddr {
        if self.through {
            gateway(self.family, PORT)
        } else {
            server(self.family, 0, self.port)
        }
    }

    /// The server's name.
    fn name(&self) -> String {
        name(self.family, self.port)
    }

    /// A file of this visit alone.
    fn own(&self, what: &str) -> String {
        let way = if self.through { "through" } else { "direct" };
        format!("{way}-{what}")
    }

    /// Runs a client to its end; what it said and how it ended.
    async fn run(&self, mut command: Command, input: Option<&str>) -> Result<String> {
        let stage = self.stage;
        let said = Said::by(&mut command, stage.file(&self.own("said")))?;
        command.current_dir(stage.home.path());
        command.stdin(match input {
            Some(name) => File::open(stage.file(name))?.into(),
            None => Stdio::null(),
        });
        let status = Process::start(self.space(), &mut command)?.wait().await;
        let said = said.all()?;
        let status = status.with_context(|| said.clone())?;
        Ok(format!("{said}\n{status}"))
    }
}

/// Both families with each of the ports.
fn both(ports: &[u16]) -> impl Iterator<Item = (Family, &u16)> {
    Family::BOTH
        .into_iter()
        .flat_map(move |family| ports.iter().map(move |port| (family, port)))
}

/// The name of the server at a port.
fn name(family: Family, port: u16) -> String {
    let family = match family {
        Family::V4 => "four",
        Family::V6 => "six",
    };
    format!("{family}-{port}.real.example.com")
}

/// An address as in a URL.
fn bracketed(address: IpAddr) -> String {
    if address.is_ipv6() {
        format!("[{address}]")
    } else {
        address.to_string()
    }
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What does not differ from run to run: lines without those that begin so, or are empty.
fn steady(said: &str, changing: &[&str]) -> String {
    let lines = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !changing.iter().any(|start| line.starts_with(start)));
    // An error begins with the number of a thread.
    let lines = lines.map(|line| line.find(":error:").map_or(line, |at| &line[at..]));
    lines.collect::<Vec<_>>().join("\n")
}

/// Fails unless both said the same lines; their order is that of two streams.
fn same_lines(what: &str, direct: &str, through: &str) -> Result<()> {
    let (more, less) = (only(through, direct), only(direct, through));
    ensure!(
        more.is_empty() && less.is_empty(),
        "{what}: through the gateway it is {more:?}, and directly {less:?}"
    );
    Ok(())
}

/// The lines that one text has and the other has not.
fn only<'a>(one: &'a str, other: &str) -> Vec<&'a str> {
    let mut rest: Vec<&str> = other.lines().collect();
    let mut only = Vec::new();
    for line in one.lines() {
        match rest.iter().position(|it| *it == line) {
            Some(at) => drop(rest.swap_remove(at)),
            None => only.push(line),
        }
    }
    only
}

/// Fails unless a text has all of these words: a thing happened, and did not merely fail alike.
fn tells(what: &str, said: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(said.contains(word), "{what}: no `{word}` in:\n{said}");
    }
    Ok(())
}
