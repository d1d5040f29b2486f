//! The demo's second half: a mesh of two datacenters that changes under open connections.

mod steps;
mod table;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use gateway_tests::mesh::client::{Conversation, converse};
use gateway_tests::mesh::net::{CLIENT, Datacenter, lan, wan};
use gateway_tests::mesh::plan::Target;
use gateway_tests::mesh::state::{State, TRUST_DOMAIN};
use gateway_tests::mesh::{NEIGHBOUR, World};
use gateway_tests::peers::pump::Pump;
use gateway_tests::peers::spiffe::Meeting;
use gateway_tests::process::built;
use gateway_tests::topology::Family;
use gateway_tests::wait;
use serde_json::Value;
use tempfile::TempDir;

use steps::{Answered, Client, Step, steps};

/// How many connections each step makes: enough for each of two instances to get some.
const CONNECTIONS: usize = 4;

/// One line of the table.
struct Row {
    step: Step,
    explained: Target,
    /// The client's own address.
    from: String,
    hops: Vec<Hop>,
    answered: Answered,
}

/// One stretch of the way of a connection.
struct Hop {
    to: String,
    whose: String,
}

impl Row {
    /// Whether the right ones answered, and the gateways saw them do it.
    fn as_expected(&self) -> bool {
        let gateways = self.step.gateways.iter().map(|it| gateway_name(*it));
        let last = match &self.answered {
            Answered::Instances(names) => names.clone(),
            Answered::Stranger(_) => vec![NEIGHBOUR.to_owned()],
            Answered::Nobody(_) => Vec::new(),
        };
        let (end, way) = match self.hops.split_last() {
            Some((end, way)) => (end.whose.clone(), way),
            None => return false,
        };
        self.answered == self.step.expected
            && way.iter().map(|hop| hop.whose.clone()).eq(gateways)
            && last.contains(&end)
    }
}

/// The mesh after all steps.
pub(crate) struct Mesh {
    world: World,
    files: TempDir,
    rows: Vec<Row>,
    held: usize,
    bytes: u64,
}

impl Mesh {
    /// Builds the mesh, goes through all steps and prints the table; tells how many went wrong.
    pub(crate) async fn show() -> Result<(Self, usize)> {
        let mut world = World::new(State::new(Family::V4), "").await?;
        let files = tempfile::Builder::new().prefix("culvert-demo-").tempdir()?;
        std::fs::write(files.path().join("authority.pem"), world.authority.pem())?;
        let mut pumps = pumps(&world).await?;
        let mut rows = Vec::new();
        for step in steps() {
            let name = step.change;
            let row = take(&mut world, step).await.with_context(|| name)?;
            rows.push(row);
            for pump in &mut pumps {
                pump.turn()
                    .await
                    .with_context(|| format!("held open: {name}"))?;
            }
        }
        let held = pumps.len();
        let mut bytes = 0;
        for pump in pumps {
            bytes += pump.finish().await?;
        }
        let mesh = Self {
            world,
            files,
            rows,
            held,
            bytes,
        };
        let wrong = mesh.print();
        Ok((mesh, wrong))
    }

    fn print(&self) -> usize {
        println!("\nA mesh of two datacenters, changed step by step:");
        println!("{}", table::render(&self.rows));
        println!("TD is {TRUST_DOMAIN}; both datacenters number their hosts alike.");
        println!(
            "{} connections held open through all changes, {} bytes each way, none dropped",
            self.held, self.bytes
        );
        let wrong = self.rows.iter().filter(|row| !row.as_expected()).count();
        match wrong {
            0 => println!("all {} as expected", self.rows.len()),
            _ => println!("{wrong} of {} NOT as expected", self.rows.len()),
        }
        wrong
    }

    /// Says how to explore the mesh.
    pub(crate) fn describe(&self) {
        let culvert: PathBuf = built("culvert").unwrap_or_else(|_missing| "culvert".into());
        let culvert = culvert.display();
        println!("\nThe mesh, gateway by gateway:\n");
        for datacenter in Datacenter::BOTH {
            let agent = self.world.agent(datacenter);
            let socket = agent.socket();
            let socket = socket.display();
            println!("  # {}", datacenter.name());
            println!("  {culvert} routes --socket {socket}");
            if datacenter == Datacenter::Dc1 {
                println!(
                    "  {culvert} explain --service shop --upstream web --datacenter dc2 --socket {socket}"
                );
            }
            let folder = agent.config().with_file_name("mesh.d");
            println!(
                "  ls {}  # watched: change it and look again\n",
                folder.display()
            );
        }
        let near = self.world.near_gateway(Family::V4);
        println!("A client in dc1 that asks for web in dc2:\n");
        println!(
            "  nsenter --net={} openssl s_client \\",
            self.world.net.client.path()
        );
        println!("    -connect {near} -servername web.default.dc2.internal.{TRUST_DOMAIN} \\");
        println!(
            "    -CAfile {}\n",
            self.files.path().join("authority.pem").display()
        );
    }
}

/// Connections to every instance and over both families, busy until the end.
async fn pumps(world: &World) -> Result<Vec<Pump>> {
    let mut pumps = Vec::new();
    for (seed, (service, family)) in (0..).zip([
        ("v1.web", Family::V4),
        ("v1.web", Family::V6),
        ("v2.web", Family::V4),
        ("v2.web", Family::V6),
        ("api", Family::V4),
        ("api", Family::V6),
    ]) {
        let Conversation { stream, .. } = world.talk(service, family).await?;
        // Streams of different seeds have no block in common for thousands of rounds.
        pumps.push(Pump::start(stream, seed << 32));
    }
    Ok(pumps)
}

/// Takes one step and asks for its upstream as the client's agent explains.
async fn take(world: &mut World, step: Step) -> Result<Row> {
    world.change(step.apply)?;
    let explained = world.targets(step.upstream)?;
    let explained = explained.into_iter().next().context("nothing to dial")?;
    let before = known(world)?;
    let answered = ask(world, &step, &explained).await?;
    let (from, hops) = way(world, &step, &explained, before).await?;
    Ok(Row {
        step,
        explained,
        from,
        hops,
        answered,
    })
}

/// Makes the step's connections and gathers who answered; one stranger outweighs all.
async fn ask(world: &World, step: &Step, explained: &Target) -> Result<Answered> {
    let mut names = BTreeSet::new();
    for _ in 0..CONNECTIONS {
        if step.client == Client::OpenSsl {
            let (at, name) = (first(explained)?, explained.name.to_uppercase());
            names.insert(world.openssl(at, &name).await?);
            continue;
        }
        match world.dial(step.upstream).await? {
            meeting @ Meeting::Expected(_) => {
                names.insert(converse(meeting).await?.instance);
            }
            Meeting::Stranger(identity) => return Ok(Answered::Stranger(identity)),
            Meeting::Alert(alert) => return Ok(Answered::Nobody(format!("alert {alert}"))),
            Meeting::Closed => return Ok(Answered::Nobody("closed".to_owned())),
        }
    }
    Ok(Answered::Instances(names.into_iter().collect()))
}

fn first(explained: &Target) -> Result<SocketAddr> {
    let endpoint = explained.endpoints.first();
    endpoint.copied().context("explain names no endpoint")
}

fn known(world: &World) -> Result<[usize; 2]> {
    let [near, far] = Datacenter::BOTH.map(|it| world.agent(it).access_log().map(|log| log.len()));
    Ok([near?, far?])
}

/// The way of the step's first connection, from the records of the gateways that it passed.
async fn way(
    world: &World,
    step: &Step,
    explained: &Target,
    known: [usize; 2],
) -> Result<(String, Vec<Hop>)> {
    let dialled = first(explained)?;
    let inside = (0..=u8::MAX).any(|number| lan(Family::V4, number) == dialled.ip());
    let own = if inside { lan } else { wan }(Family::V4, CLIENT);
    let (mut from, mut to) = (own.to_string(), dialled.to_string());
    let mut hops = Vec::new();
    for (datacenter, known) in Datacenter::BOTH.into_iter().zip(known) {
        if !step.gateways.contains(&datacenter) {
            continue;
        }
        let record = record(world, datacenter, &explained.name, known).await?;
        if hops.is_empty() {
            from = ip(&text(&record, "src")?);
        }
        hops.push(Hop {
            to: std::mem::replace(&mut to, text(&record, "endpoint")?),
            whose: gateway_name(datacenter),
        });
    }
    let whose = who_is_at(world, &to, step.gateways.is_empty());
    hops.push(Hop { to, whose });
    Ok((from, hops))
}

fn ip(address: &str) -> String {
    let parsed: Result<SocketAddr, _> = address.parse();
    parsed.map_or_else(|_| address.to_owned(), |it| it.ip().to_string())
}

async fn record(world: &World, datacenter: Datacenter, name: &str, known: usize) -> Result<Value> {
    wait::until("a gateway's record of a connection", || {
        let log = world.agent(datacenter).access_log();
        async move {
            let mut new = log?.into_iter().skip(known);
            Ok(new.find(|record| record["sni"] == name))
        }
    })
    .await
}

fn text(record: &Value, field: &str) -> Result<String> {
    let text = record.get(field).and_then(Value::as_str);
    text.map(str::to_owned)
        .with_context(|| format!("no {field} in {record}"))
}

/// Whose address it is: seen from the client, or from the gateway of `dc2`.
fn who_is_at(world: &World, address: &str, from_client: bool) -> String {
    let Ok(address) = address.parse::<SocketAddr>() else {
        return address.to_owned();
    };
    let at = |inside| {
        let family = world.state.family;
        world.state.instances.iter().find(|instance| {
            let own = if inside { lan } else { wan };
            own(family, instance.number) == address.ip()
        })
    };
    match (at(false), at(true)) {
        (Some(instance), _) => instance.name.to_owned(),
        (None, Some(_)) if from_client => NEIGHBOUR.to_owned(),
        (None, Some(instance)) => instance.name.to_owned(),
        (None, None) => "nobody".to_owned(),
    }
}

fn gateway_name(datacenter: Datacenter) -> String {
    format!("gateway {}", datacenter.name())
}
