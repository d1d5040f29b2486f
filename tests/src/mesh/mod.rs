//! A mesh of two datacenters: a gateway in each, services in one, and their client in the other.
//!
//! Everything is real but the client's sidecar, whose part the test plays: it asks the agent of
//! its own datacenter which endpoint, server name and identity an upstream has, and dials that.
//! Instances prove who they are by SPIFFE certificates, so a connection that went astray shows.

pub mod client;
pub mod net;
pub mod plan;
pub mod state;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::RootCertStore;

use crate::agent::{Agent, Setup};
use crate::engines::ENGINES;
use crate::netns::Namespace;
use crate::peers::Server;
use crate::peers::tls::{Authority, greeter};
use crate::skip;
use crate::topology::Family;
use net::{Datacenter, GATEWAY, Net, lan, wan};
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
    ///
    /// The far gateway is first: who is told where it is finds it there.
    pub fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<()> {
        let before = self.state.clone();
        change(&mut self.state);
        for datacenter in [Datacenter::Dc2, Datacenter::Dc1] {
            self.write(datacenter, &before)?;
            let body = configuration(datacenter, &self.state, &self.more);
            self.agent(datacenter).reload(&body)?;
        }
        Ok(())
    }

    /// Changes the state and the files of both gateways; nobody is told.
    pub fn tell(&mut self, change: impl FnOnce(&mut State)) -> Result<()> {
        let before = self.state.clone();
        change(&mut self.state);
        Datacenter::BOTH
            .into_iter()
            .try_for_each(|datacenter| self.write(datacenter, &before))
    }

    /// Replaces what one configuration says beside the mesh, until the next change.
    pub fn configure(&self, datacenter: Datacenter, more: &str) -> Result<()> {
        let body = configuration(datacenter, &self.state, more);
        self.agent(datacenter).reload(&body)
    }

    /// Writes the files that the state has changed, and removes those that it no longer has.
    fn write(&self, datacenter: Datacenter, before: &State) -> Result<()> {
        let (agent, before, after) = (self.agent(datacenter), before.files(), self.state.files());
        for (name, text) in after.iter().filter(|file| !before.contains(file)) {
            agent.write(&in_source(name), text)?;
        }
        let kept = |name| after.iter().any(|(other, _)| other == name);
        for (name, _) in before.iter().filter(|(name, _)| !kept(name)) {
            agent.remove(&in_source(name))?;
        }
        Ok(())
    }
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

/// Runs a test on a fresh mesh for every engine and each of the families.
pub async fn on_each_engine(
    families: &[Family],
    test: impl AsyncFn(World, &'static str) -> Result<()>,
) -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for &engine in ENGINES {
        for &family in families {
            let more = format!("engine {{ prefer = [\"{engine}\"] }}\n");
            let world = World::new(State::new(family), &more).await?;
            test(world, engine)
                .await
                .with_context(|| format!("engine {engine}, {family:?}"))?;
        }
    }
    Ok(())
}
