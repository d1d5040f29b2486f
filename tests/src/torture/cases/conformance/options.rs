//! openssl with many options, and curl with a large page.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::config::PORT;
use gateway_tests::topology::{Family, gateway};

use super::{Program, Stage, Visit, both, bracketed, only, steady};
use crate::Trial;

const PROGRAMS: &[Program] = &[("openssl", "openssl"), ("curl", "curl")];

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

/// Beginnings of the lines of openssl's client that differ from run to run: keys, times, addresses, and
/// tickets in hex.
pub(super) const CHANGING: &[&str] = &[
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
pub(in super::super) async fn conformance(trial: &mut Trial) -> Result<String> {
    let ports = SERVERS.map(|(port, _)| port);
    let stage = Stage::new(trial, PROGRAMS, &ports, "").await?;
    let mut page = vec![0; PAGE];
    trial.chance.fill(&mut page);
    stage.write("page", page)?;
    stage.write("request", "GET /authority.pem HTTP/1.0\r\n\r\n")?;
    let mut servers = Vec::new();
    for (port, arguments) in SERVERS {
        let mut command = server(port);
        servers.push(stage.serve(port, command.args(arguments)).await?);
    }
    let mut count = 0;
    for (family, &port) in both(&ports) {
        for arguments in CLIENTS {
            same(stage.visits((family, port)), arguments).await?;
            count += 1;
        }
    }
    for family in Family::BOTH {
        whole_page(stage.visits((family, ports[0]))[1]).await?;
    }
    stage.rest(servers).await?;
    Ok(format!(
        "{count} handshakes as without a gateway, and a page of {PAGE} bytes"
    ))
}

/// A server that answers with files of the folder.
pub(super) fn server(port: u16) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-WWW", "-accept", &port.to_string()]);
    command.args(["-cert", "certificate.pem", "-key", "key.pem"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A client that asks for the server by its name.
pub(super) fn client(visit: Visit<'_>, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &visit.at().to_string()]);
    command.args(["-servername", &visit.name()]);
    command.args(["-CAfile", "authority.pem"]).args(arguments);
    command
}

/// Runs a client through the gateway and without: it must say the same, in the same order.
async fn same(visits: [Visit<'_>; 2], arguments: &[&str]) -> Result<()> {
    let mut said = Vec::new();
    for visit in visits {
        let mut command = client(visit, arguments);
        command.arg("-ign_eof");
        said.push(steady(
            &visit.run(command, Some("request")).await?,
            CHANGING,
        ));
    }
    let (direct, through) = (&said[0], &said[1]);
    ensure!(
        through == direct,
        "{} with {arguments:?}: openssl says {:?}, and directly {:?}",
        visits[0].name(),
        only(through, direct),
        only(direct, through)
    );
    Ok(())
}

/// Has curl fetch the page through the gateway.
async fn whole_page(visit: Visit<'_>) -> Result<()> {
    let name = visit.name();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--http1.0"]);
    command.args(["--cacert", "authority.pem", "--output", "got"]);
    let at = gateway(visit.family, PORT).ip();
    command.args([
        "--connect-to",
        &format!("{name}:443:{}:{PORT}", bracketed(at)),
    ]);
    command.arg(format!("https://{name}/page"));
    let said = visit.run(command, None).await?;
    let read = |file: &str| fs::read(visit.stage.file(file)).with_context(|| said.clone());
    ensure!(read("got")? == read("page")?, "the page changed on its way");
    Ok(())
}
