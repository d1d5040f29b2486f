//! The client's half of the mesh: it dials as its agent explains, and knows who may answer.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::net::{Datacenter, GATEWAY, lan};
use super::plan::{self, Target};
use super::state::GATEWAY_PORT;
use super::{World, identity, server_name};
use crate::peers::label::{Answer, ask};
use crate::peers::pump::Pump;
use crate::peers::spiffe::{Meeting, meet};
use crate::peers::tls::greeting;
use crate::peers::{connect, hellos};
use crate::process::Process;
use crate::topology::Family;
use crate::wait;

/// A conversation with an instance that has proved its identity and told its name.
#[derive(Debug)]
pub struct Conversation {
    /// The stream; the instance echoes.
    pub stream: TlsStream<TcpStream>,
    /// The instance's name.
    pub instance: String,
}

impl World {
    /// The LAN address of the client's own gateway.
    #[must_use]
    pub fn near_gateway(&self, family: Family) -> SocketAddr {
        SocketAddr::new(lan(family, GATEWAY), GATEWAY_PORT)
    }

    /// What the client's agent says about dialling `upstream` in `dc2`.
    pub fn targets(&self, upstream: &str) -> Result<Vec<Target>> {
        let answer = self.agent(Datacenter::Dc1).json(&[
            "explain",
            "--service",
            "shop",
            "--upstream",
            upstream,
            "--datacenter",
            "dc2",
        ])?;
        plan::targets(&answer)
    }

    /// Dials `at` from the client and asks for `name`; who answers must be `identity`.
    pub async fn meet(&self, at: SocketAddr, name: &str, identity: &str) -> Result<Meeting> {
        let stream = connect(&self.net.client, at).await?;
        let meeting = meet(stream, name, identity, &self.roots);
        wait::within("the end of a handshake", meeting).await?
    }

    /// Dials an upstream as the client's sidecar would: as its agent says.
    pub async fn dial(&self, upstream: &str) -> Result<Meeting> {
        let targets = self.targets(upstream)?;
        let target = targets.first().context("no target")?;
        let endpoint = target.endpoints.first().context("nothing to dial")?;
        self.meet(*endpoint, &target.name, &target.identity).await
    }

    /// Talks to a service of `dc2` by the near gateway's address of `family`.
    pub async fn talk(&self, service: &str, family: Family) -> Result<Conversation> {
        let plain = service.rsplit('.').next().context("a service has a name")?;
        let (name, identity) = (server_name(service), identity(Datacenter::Dc2, plain));
        let gateway = self.near_gateway(family);
        converse(self.meet(gateway, &name, &identity).await?).await
    }

    /// Which instances answer to so many connections, in order.
    pub async fn answers(&self, service: &str, connections: usize) -> Result<Vec<String>> {
        let mut answers = Vec::new();
        for _ in 0..connections {
            answers.push(self.talk(service, self.state.family).await?.instance);
        }
        Ok(answers)
    }

    /// A pump to an instance of a service of `dc2`, and that instance's name.
    pub async fn pump(&self, service: &str, seed: u64) -> Result<(String, Pump)> {
        let Conversation { stream, instance } = self.talk(service, self.state.family).await?;
        Ok((instance, Pump::start(stream, seed)))
    }

    /// Asks for a name with `openssl s_client`, from the client; returns the instance's name.
    pub async fn openssl(&self, at: SocketAddr, name: &str) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let roots = folder.path().join("authority.pem");
        std::fs::write(&roots, self.authority.pem())?;
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", "-connect"]);
        command.arg(at.to_string()).args(["-servername", name]);
        command.arg("-CAfile").arg(&roots);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null());
        let mut client = Process::start(&self.net.client, &mut command)?;
        let mut said = BufReader::new(client.output().context("a pipe was asked for")?);
        // The instances live on this very runtime: it must not wait for one of them.
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            said.read_line(&mut line).map(|_length| line)
        });
        let line = wait::within("a greeting to openssl", reading).await???;
        ensure!(!line.is_empty(), "openssl heard nothing");
        Ok(line.trim_end().to_owned())
    }

    /// Asks a gateway's address for any name and says what a client hears that is no mesh client.
    pub async fn ask(&self, at: SocketAddr, name: &str) -> Result<Answer> {
        let stream = connect(&self.net.client, at).await?;
        ask(stream, &hellos::spelled(name)?).await
    }
}

/// Waits for the instance's name on a connection to the expected identity.
pub async fn converse(meeting: Meeting) -> Result<Conversation> {
    let mut stream = meeting.expected()?;
    let instance = wait::within("a greeting", greeting(&mut stream)).await??;
    Ok(Conversation { stream, instance })
}

/// Which gateways took a connection, by a piece of its server name: both records.
pub async fn hops(world: &World, name: &str, known: [usize; 2]) -> Result<[Value; 2]> {
    let mut found = Vec::new();
    for (datacenter, known) in Datacenter::BOTH.into_iter().zip(known) {
        let agent = world.agent(datacenter);
        let record = wait::until("the record of a hop", || {
            let log = agent.access_log();
            async {
                Ok(log?
                    .into_iter()
                    .skip(known)
                    .find(|record| record["sni"] == name))
            }
        });
        found.push(record.await?);
    }
    match <[Value; 2]>::try_from(found) {
        Ok(found) => Ok(found),
        Err(found) => bail!("{} gateways", found.len()),
    }
}

/// Fails unless each of `wanted` is among `got` and nobody else is.
pub fn exactly(got: &[String], wanted: &[&str]) -> Result<()> {
    let met: BTreeSet<&str> = got.iter().map(String::as_str).collect();
    let wanted = wanted.iter().copied().collect();
    ensure!(met == wanted, "met {met:?} instead of {wanted:?}");
    Ok(())
}
