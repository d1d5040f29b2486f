//! Real TLS clients and servers through the gateway: what they report must be what they report without.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::config::{PORT, route};
use gateway_tests::netns::Namespace;
use gateway_tests::peers::connect;
use gateway_tests::peers::tls::Authority;
use gateway_tests::process::{Process, find};
use gateway_tests::topology::{Family, gateway, server};
use gateway_tests::wait;
use tempfile::TempDir;

use crate::Trial;
use crate::world::World;

/// The name of the server.
const NAME: &str = "real.example.com";

/// Ports of the servers, one for each set of arguments.
const SERVERS: [(u16, &[&str]); 3] = [
    (4431, &[]),
    // Asks every client for a certificate, and shakes hands once more if the version is old.
    (4432, &["-Verify", "1", "-no_tls1_3"]),
    (4433, &["-max_send_frag", "512", "-alpn", "h2,http/1.1"]),
];

/// What clients ask for; some of it fails, and must fail the same way.
const CLIENTS: [&[&str]; 12] = [
    &["-tls1_3"],
    &["-tls1_2"],
    &["-tls1_1"],
    &["-tls1_2", "-reconnect"],
    &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
    &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
    &["-tls1_2", "-cipher", "AES128-SHA"],
    &["-alpn", "h2"],
    &["-alpn", "spdy/1"],
    &["-maxfraglen", "512", "-tls1_2"],
    &["-max_send_frag", "512", "-split_send_frag", "512"],
    &["-groups", "P-384", "-status", "-keymatexport", "x"],
];

/// Beginnings of the lines that differ from run to run: keys, times, addresses, and tickets in hex.
const CHANGING: [&str; 10] = [
    "Session-ID:",
    "Master-Key:",
    "Resumption PSK:",
    "Start Time:",
    "Keying material:",
    "Connecting to",
    "CONNECTED(",
    "SSL handshake has read",
    "read R BLOCK",
    "0",
];

/// Size of the page that is fetched whole: larger than all buffers on the way.
const PAGE: usize = 20_000_000;

/// `openssl` with many options, and `curl` with a large page, over both families.
pub(crate) async fn conformance(trial: &mut Trial) -> Result<String> {
    for program in ["openssl", "curl"] {
        find(program).with_context(|| format!("{program} is not installed: install {program}"))?;
    }
    let mut more = String::new();
    for family in Family::BOTH {
        for (port, _) in SERVERS {
            more += &route(&name(family, port), &[server(family, 0, port)], "");
        }
    }
    let mut world = World::new(trial, &more).await?;
    let home = files(trial)?;
    let mut servers = Vec::new();
    for (port, arguments) in SERVERS {
        servers.push(serve(&world.net.servers[0], home.path(), port, arguments).await?);
    }
    let mut count = 0;
    for family in Family::BOTH {
        for (port, _) in SERVERS {
            for client in CLIENTS {
                same(&world, home.path(), (family, port), client).await?;
                count += 1;
            }
        }
        whole_page(&world, home.path(), family).await?;
    }
    for server in &mut servers {
        ensure!(server.ended()?.is_none(), "a server has ended");
    }
    drop(servers);
    world.rest().await?;
    Ok(format!(
        "{count} handshakes as without a gateway, and a page of {PAGE} bytes"
    ))
}

fn name(family: Family, port: u16) -> String {
    format!(
        "{}-{port}.{NAME}",
        if family == Family::V4 { "four" } else { "six" }
    )
}

/// A folder with the server's certificate and a page.
fn files(trial: &mut Trial) -> Result<TempDir> {
    let home = tempfile::tempdir()?;
    let authority = Authority::new()?;
    let names: Vec<String> = Family::BOTH
        .into_iter()
        .flat_map(|family| SERVERS.map(|(port, _)| name(family, port)))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (certificate, key) = authority.issue(&names)?.pem();
    let mut page = vec![0; PAGE];
    trial.chance.fill(&mut page);
    fs::write(home.path().join("page"), page)?;
    for (file, text) in [
        ("request", "GET /authority.pem HTTP/1.0\r\n\r\n".to_owned()),
        ("authority.pem", authority.pem()),
        ("certificate.pem", certificate),
        ("key.pem", key),
    ] {
        fs::write(home.path().join(file), text)?;
    }
    Ok(home)
}

async fn serve(space: &Namespace, home: &Path, port: u16, arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-WWW", "-accept", &port.to_string()]);
    command.args(["-cert", "certificate.pem", "-key", "key.pem"]);
    command.args(arguments).current_dir(home);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let server_process = Process::start(space, &mut command)?;
    wait::until("a server of openssl", || async {
        let up = connect(space, server(Family::V4, 0, port)).await;
        Ok(up.ok().map(drop))
    })
    .await?;
    Ok(server_process)
}

/// Runs a client through the gateway and without: it must say the same.
async fn same(
    world: &World,
    home: &Path,
    (family, port): (Family, u16),
    arguments: &[&str],
) -> Result<()> {
    let name = name(family, port);
    let ask = async |space: &Namespace, at: SocketAddr| {
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-connect",
            &at.to_string(),
            "-servername",
            &name,
        ]);
        command.args(["-CAfile", "authority.pem"]);
        command.arg("-ign_eof").args(arguments);
        anyhow::Ok(steady(&run(space, home, command).await?))
    };
    // The servers' network can be reached from the gateway's without the agent.
    let direct = ask(&world.net.gateway, server(family, 0, port)).await?;
    let through = ask(&world.net.client, gateway(family, PORT)).await?;
    ensure!(
        through == direct,
        "{name} with {arguments:?}: openssl says {:?}, and directly {:?}",
        only(&through, &direct),
        only(&direct, &through)
    );
    Ok(())
}

/// Has curl fetch the page through the gateway.
async fn whole_page(world: &World, home: &Path, family: Family) -> Result<()> {
    let port = SERVERS[0].0;
    let name = name(family, port);
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--http1.0"]);
    command.args(["--cacert", "authority.pem", "--output", "got"]);
    let at = gateway(family, PORT).ip();
    command.args([
        "--connect-to",
        &format!("{name}:443:{}:{PORT}", bracketed(at)),
    ]);
    command.arg(format!("https://{name}/page"));
    let said = run(&world.net.client, home, command).await?;
    let read = |file: &str| fs::read(home.join(file)).with_context(|| said.clone());
    ensure!(read("got")? == read("page")?, "the page changed on its way");
    Ok(())
}

fn bracketed(address: IpAddr) -> String {
    if address.is_ipv6() {
        format!("[{address}]")
    } else {
        address.to_string()
    }
}

/// Runs a client in a namespace to its end; what it said and how it ended.
async fn run(space: &Namespace, home: &Path, mut command: Command) -> Result<String> {
    let path = home.join("said");
    let said = File::create(&path)?;
    command.current_dir(home);
    command.stdin(File::open(home.join("request"))?);
    command.stdout(said.try_clone()?).stderr(said);
    let status = Process::start(space, &mut command)?.wait().await?;
    let said = fs::read(&path)?;
    Ok(format!("{}\n{status}", String::from_utf8_lossy(&said)))
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

/// What does not differ from run to run.
fn steady(said: &str) -> String {
    let lines = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !CHANGING.iter().any(|start| line.starts_with(start)));
    // An error begins with the number of a thread.
    let lines = lines.map(|line| line.find(":error:").map_or(line, |at| &line[at..]));
    lines.collect::<Vec<_>>().join("\n")
}
