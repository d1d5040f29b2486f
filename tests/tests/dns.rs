//! Endpoints given by host name, resolved by a real DNS server in the gateway's namespace.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use gateway_tests::agent::Agent;
use gateway_tests::config::{PORT, listener};
use gateway_tests::netns::Namespace;
use gateway_tests::peers::label::{Answer, ask, labelled};
use gateway_tests::peers::{Server, connect, hellos};
use gateway_tests::process::{Process, find};
use gateway_tests::topology::{Family, Topology, gateway, server};
use gateway_tests::{skip, wait};
use rustix::process::Signal;
use tempfile::TempDir;

const NAME: &str = "web.example.com";
const HOST: &str = "shop.internal";

/// Port of the DNS server on the gateway's loopback device.
const DNS: u16 = 5353;

struct Scene {
    net: Topology,
    dns: Dns,
    _servers: Vec<Server>,
}

impl Scene {
    /// Two servers that listen on both families, labelled by number and family.
    async fn new(records: &[(Family, u8)]) -> Result<Self> {
        let net = Topology::new(2)?;
        let mut servers = Vec::new();
        for n in [0, 1] {
            for family in Family::BOTH {
                let label = format!("{n} {family:?}");
                let space = &net.servers[usize::from(n)];
                servers.push(labelled(space, server(family, n, 443), &label)?);
            }
        }
        let dns = Dns::start(&net.gateway, records).await?;
        Ok(Self {
            net,
            dns,
            _servers: servers,
        })
    }

    async fn ask(&self) -> Result<Answer> {
        let stream = connect(&self.net.client, gateway(Family::V4, PORT)).await?;
        ask(stream, &hellos::asking_for(NAME)?).await
    }

    /// Asks until the answer is the expected one.
    async fn until(&self, expected: &str) -> Result<()> {
        wait::until(expected, || async move {
            Ok((self.ask().await? == Answer::server(expected)).then_some(()))
        })
        .await
    }
}

/// A dnsmasq that knows one host, re-read on SIGHUP.
struct Dns {
    files: TempDir,
    process: Process,
}

impl Dns {
    async fn start(namespace: &Namespace, records: &[(Family, u8)]) -> Result<Self> {
        let files = tempfile::Builder::new().prefix("culvert-dns-").tempdir()?;
        write_records(files.path(), records)?;
        let program = find("dnsmasq").context("dnsmasq is missing: `cargo xtask setup`")?;
        let mut command = Command::new(program);
        command.args([
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
        ]);
        command.args([
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--pid-file",
        ]);
        command.args([format!("--port={DNS}"), "--local-ttl=1".to_owned()]);
        command.arg(format!(
            "--addn-hosts={}",
            files.path().join("hosts").display()
        ));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::start(namespace, &mut command)?;
        let address = ([127, 0, 0, 1], DNS).into();
        wait::until("dnsmasq", || async {
            Ok(connect(namespace, address).await.ok())
        })
        .await?;
        Ok(Self { files, process })
    }

    fn change(&self, records: &[(Family, u8)]) -> Result<()> {
        write_records(self.files.path(), records)?;
        self.process.signal(Signal::HUP)
    }
}

fn write_records(directory: &Path, records: &[(Family, u8)]) -> Result<()> {
    let lines: String = records
        .iter()
        .map(|&(family, n)| format!("{} {HOST}\n", server(family, n, 443).ip()))
        .collect();
    Ok(fs::write(directory.join("hosts"), lines)?)
}

fn body() -> String {
    let route = format!("route \"{NAME}\" {{ endpoints = [\"{HOST}:443\"] }}\n");
    let dns = format!("dns {{\n  servers = [\"127.0.0.1:{DNS}\"]\n  min_ttl = \"1s\"\n}}\n");
    listener("") + &route + &dns
}

#[tokio::test]
async fn a_name_with_addresses_of_either_family_is_reached() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for family in Family::BOTH {
        let scene = Scene::new(&[(family, 0)]).await?;
        let _agent = Agent::start(&scene.net.gateway, &body()).await?;
        scene.until(&format!("0 {family:?}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn every_address_of_a_name_is_an_endpoint() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&[(Family::V4, 0), (Family::V4, 1), (Family::V6, 0)]).await?;
    let _agent = Agent::start(&scene.net.gateway, &body()).await?;
    for expected in ["0 V4", "1 V4", "0 V6"] {
        scene.until(expected).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_record_is_followed_after_its_ttl() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let scene = Scene::new(&[(Family::V4, 0)]).await?;
    let _agent = Agent::start(&scene.net.gateway, &body()).await?;
    scene.until("0 V4").await?;
    scene.dns.change(&[(Family::V4, 1)])?;
    scene.until("1 V4").await
}

#[tokio::test]
async fn the_last_addresses_stay_when_the_server_stops_answering() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let mut scene = Scene::new(&[(Family::V4, 0)]).await?;
    let agent = Agent::start(&scene.net.gateway, &body()).await?;
    scene.until("0 V4").await?;
    scene.dns.process.kill()?;
    wait::until("a failed look-up in the log", || {
        let log = agent.own_log();
        async {
            Ok(log?
                .lines()
                .any(|line| line.contains(HOST) && line.contains("WARN"))
                .then_some(()))
        }
    })
    .await?;
    assert_eq!(scene.ask().await?, Answer::server("0 V4"));
    Ok(())
}
