//! A mesh of two datacenters: a gateway in each, services in one, and their client in the other.
//!
//! Everything is real but the client's sidecar, whose part the test plays: it asks the agent of
//! its own datacenter which endpoint, server name and identity an upstream has, and dials that.
//! Instances prove who they are by SPIFFE certificates, so a connection that went astray shows.

pub mod net;
pub mod plan;
pub mod state;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::RootCertStore;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::agent::{Agent, Setup};
use crate::netns::Namespace;
use crate::peers::label::{Answer, ask};
use crate::peers::pump::Pump;
use crate::peers::spiffe::{Meeting, meet};
use crate::peers::tls::{Authority, greeter, greeting};
use crate::peers::{Server, connect, hellos};
use crate::topology::Family;
use crate::wait;
use net::{Datacenter, GATEWAY, Net, SPARE, lan, wan};
use plan::Target;
use state::{GATEWAY_PORT, INSTANCE_PORT, Registration, State, TRUST_DOMAIN};

/// The service in `dc1` that stands where `web-1` stands in `dc2`.
pub const NEIGHBOUR: &str = "billing";

/// The mesh, all of it running.
#[derive(Debug)]
pub struct World {
    /// Its namespaces.
    pub net: Net,
    /// What its gateways have been told.
    pub state: State,
    /// Who signed every certificate.
    pub authority: Authority,
    agents: [Agent; 2],
    running: BTreeMap<&'static str, Instance>,
    roots: Arc<RootCertStore>,
    more: String,
}

/// A conversation with an instance that has proved its identity and told its name.
#[derive(Debug)]
pub struct Conversation {
    /// The stream; the instance echoes.
    pub stream: TlsStream<TcpStream>,
    /// The instance's name.
    pub instance: String,
}

#[derive(Debug)]
struct Instance {
    server: Server,
    _host: Namespace,
}

impl World {
    /// Starts instances and gateways in the given state; `more` goes into both configurations.
    pub async fn new(state: State, more: &str) -> Result<Self> {
        let mut net = Net::new()?;
        let authority = Authority::new()?;
        let neighbour = start(&mut net, &authority, Datacenter::Dc1, &neighbour())?;
        let agents = [
            gateway(&net, Datacenter::Dc1, &state, more).await?,
            gateway(&net, Datacenter::Dc2, &state, more).await?,
        ];
        let mut world = Self {
            roots: authority.roots()?,
            net,
            state,
            authority,
            agents,
            running: BTreeMap::from([(NEIGHBOUR, neighbour)]),
            more: more.to_owned(),
        };
        for instance in world.state.instances.clone() {
            world.run(&instance)?;
        }
        Ok(world)
    }

    /// Starts an instance in `dc2`; that it is there is not told to anybody.
    pub fn run(&mut self, instance: &Registration) -> Result<()> {
        let started = start(&mut self.net, &self.authority, Datacenter::Dc2, instance)?;
        self.running.insert(instance.name, started);
        Ok(())
    }

    /// Ends an instance and all of its connections.
    pub fn end(&mut self, name: &str) {
        self.running.remove(name);
    }

    /// How many connections an instance has taken.
    pub fn accepted(&self, name: &str) -> Result<usize> {
        let instance = self.running.get(name).context("no such instance")?;
        Ok(instance.server.accepted())
    }

    /// The agent of a datacenter.
    #[must_use]
    pub const fn agent(&self, datacenter: Datacenter) -> &Agent {
        &self.agents[datacenter.index()]
    }

    /// The agent of a datacenter, to stop and start.
    pub const fn agent_mut(&mut self, datacenter: Datacenter) -> (&mut Agent, &Namespace) {
        let agent = &mut self.agents[datacenter.index()];
        (agent, self.net.gateway(datacenter))
    }

    /// Changes the state and waits until both gateways have taken it.
    pub fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<()> {
        self.tell(change)?;
        for agent in &self.agents {
            agent.expect(&["reload"])?;
        }
        Ok(())
    }

    /// Changes the state and the files of both gateways; nobody is told.
    pub fn tell(&mut self, change: impl FnOnce(&mut State)) -> Result<()> {
        let before = self.state.files();
        change(&mut self.state);
        let after = self.state.files();
        for agent in &self.agents {
            for (name, text) in after.iter().filter(|file| !before.contains(file)) {
                agent.write(&in_source(name), text)?;
            }
            let kept = |name| after.iter().any(|(other, _)| other == name);
            for (name, _) in before.iter().filter(|(name, _)| !kept(name)) {
                agent.remove(&in_source(name))?;
            }
        }
        Ok(())
    }

    /// Moves the gateway of `dc2` to its spare address on the WAN, and tells both gateways.
    pub fn move_gateway(&mut self) -> Result<()> {
        self.tell(|state| state.gateway = SPARE)?;
        for datacenter in Datacenter::BOTH {
            let body = configuration(datacenter, &self.state, &self.more);
            self.agent(datacenter).reload(&body)?;
        }
        Ok(())
    }

    /// Replaces what both configurations say beside the mesh.
    pub fn configure(&mut self, datacenter: Datacenter, more: &str) -> Result<()> {
        more.clone_into(&mut self.more);
        let body = configuration(datacenter, &self.state, more);
        self.agent(datacenter).reload(&body)
    }

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

/// The server name of a service, or of a subset as `v2.web`, in `dc2`.
#[must_use]
pub fn server_name(service: &str) -> String {
    format!("{service}.default.dc2.internal.{TRUST_DOMAIN}")
}

/// The identity of a service.
#[must_use]
pub fn identity(datacenter: Datacenter, service: &str) -> String {
    let datacenter = datacenter.name();
    format!("spiffe://{TRUST_DOMAIN}/ns/default/dc/{datacenter}/svc/{service}")
}

/// Which gateways took a connection, by a piece of its server name: both records.
pub async fn hops(world: &World, name: &str, known: [usize; 2]) -> Result<[serde_json::Value; 2]> {
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
    match <[serde_json::Value; 2]>::try_from(found) {
        Ok(found) => Ok(found),
        Err(found) => bail!("{} gateways", found.len()),
    }
}

fn neighbour() -> Registration {
    Registration::new(NEIGHBOUR, NEIGHBOUR, 11, "1")
}

fn in_source(name: &str) -> String {
    format!("mesh.d/{name}")
}

/// Starts an instance: one listener for both families and all networks of its host.
fn start(
    net: &mut Net,
    authority: &Authority,
    datacenter: Datacenter,
    instance: &Registration,
) -> Result<Instance> {
    let Registration {
        name,
        service,
        number,
        wan,
        ..
    } = *instance;
    let host = net.host(name, datacenter, number, wan)?;
    let certificate = authority.issue_spiffe(name, &identity(datacenter, service))?;
    let any = SocketAddr::from(([0_u16; 8], INSTANCE_PORT));
    let server = greeter(&host, any, &certificate, name)?;
    Ok(Instance {
        server,
        _host: host,
    })
}

async fn gateway(net: &Net, datacenter: Datacenter, state: &State, more: &str) -> Result<Agent> {
    let setup = Setup::new(net.gateway(datacenter)).descriptor_store();
    let setup = state.files().iter().fold(setup, |setup, (name, text)| {
        setup.file(&in_source(name), text)
    });
    setup.start(&configuration(datacenter, state, more)).await
}

/// The configuration of a gateway: it listens in its LAN and on the WAN, in both families.
fn configuration(datacenter: Datacenter, state: &State, more: &str) -> String {
    let name = datacenter.name();
    let number = match datacenter {
        Datacenter::Dc1 => datacenter.wan_number(),
        Datacenter::Dc2 => state.gateway,
    };
    let addresses = Family::BOTH.map(|family| {
        let [inside, outside] = [lan(family, GATEWAY), wan(family, number)]
            .map(|address| SocketAddr::new(address, GATEWAY_PORT));
        format!("\"{inside}\", \"{outside}\"")
    });
    let outside = state.gateway_on_wan(datacenter);
    format!(
        r#"datacenter   = "{name}"
trust_domain = "{TRUST_DOMAIN}"
gateway "mesh" {{
  address     = [{}]
  wan_address = "{outside}"
}}
source "files" {{ path = "mesh.d" }}
{more}
"#,
        addresses.join(", ")
    )
}

/// Fails unless each of `wanted` is among `got` and nobody else is.
pub fn exactly(got: &[String], wanted: &[&str]) -> Result<()> {
    let met: std::collections::BTreeSet<&str> = got.iter().map(String::as_str).collect();
    let wanted = wanted.iter().copied().collect();
    ensure!(met == wanted, "met {met:?} instead of {wanted:?}");
    Ok(())
}
