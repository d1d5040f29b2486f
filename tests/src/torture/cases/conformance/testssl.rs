//! testssl.sh judges a server through the gateway as it judges it directly.
//!
//! It makes hellos of its own, of old and new versions and with hundreds of ciphers, and reads the
//! answers byte by byte.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::process::Process;
use gateway_tests::topology::Family;
use serde_json::Value;

use super::converse::Said;
use super::{Program, Stage, Visit, name, same_lines};
use crate::Trial;

const PROGRAMS: &[Program] = &[
    ("testssl", "testssl.sh"),
    ("openssl", "openssl"),
    ("nghttpd", "nghttp2-server"),
    ("hexdump", "bsdextrautils"),
];

const PORT: u16 = 4491;

/// Findings that are about the run and not about the server, and those that change from run to run against
/// the server itself: testssl.sh ends openssl's client at once, and asks whether a ticket or the refusal of
/// another handshake has come by then. `tls-openssl` waits for both.
const CHANGING: [&str; 7] = [
    "scanTime",
    "scanProblem",
    "engine_problem",
    "TLS_session_ticket",
    "sessionresumption_ticket",
    "sessionresumption_ID",
    "secure_client_renego",
];

/// How long one run may take, two at a time, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// The same findings through the gateway as without it.
pub(in super::super) async fn testssl(trial: &mut Trial) -> Result<String> {
    // Some of its hellos have no name: those go where the named ones go.
    let nameless = format!("default {{ route = \"{}\" }}\n", name(Family::V4, PORT));
    let stage = Stage::new(trial, PROGRAMS, &[PORT], &nameless).await?;
    stage.world.net.client.close_off()?;
    // Both runs at a time need a server that does not make one wait for the other.
    let mut server = Command::new("nghttpd");
    server.args([&PORT.to_string(), "key.pem", "certificate.pem"]);
    server
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let servers = vec![stage.serve(PORT, &mut server).await?];
    let checks = [
        "--protocols",
        "--server-defaults",
        "--server-preference",
        "--pfs",
        "--vulnerable",
    ];
    let mut count = 0;
    for family in Family::BOTH {
        let [direct, through] = stage.visits((family, PORT));
        let found = tokio::try_join!(findings(direct, &checks), findings(through, &checks))?;
        count += found.0.lines().count();
        for wanted in ["TLS1_2: offered", "TLS1_3: offered", "SSLv3: not offered"] {
            ensure!(found.0.contains(wanted), "no `{wanted}` in:\n{}", found.0);
        }
        same_lines("testssl", &found.0, &found.1)?;
    }
    stage.rest(servers).await?;
    Ok(format!(
        "{count} findings by {} as without a gateway",
        checks.join(" ")
    ))
}

/// Runs it; what it found, a line each.
async fn findings(visit: Visit<'_>, checks: &[&str]) -> Result<String> {
    let stage = visit.stage;
    // It writes over no file.
    let json = visit.own(&format!("{:?}.json", visit.family));
    let mut command = Command::new("testssl");
    command.args(["--quiet", "--color", "0", "--warnings", "off", "--fast"]);
    command.args(["--nodns", "none", "--ip", &visit.at().ip().to_string()]);
    if visit.family == Family::V6 {
        command.arg("-6");
    }
    command.args(checks).args(["--jsonfile", &json]);
    command.arg(format!("{}:{}", visit.name(), visit.at().port()));
    command.current_dir(stage.home.path()).stdin(Stdio::null());
    let said = Said::by(&mut command, stage.file(&visit.own("said")))?;
    let ended = Process::start(visit.space(), &mut command)?
        .wait_within(PATIENCE)
        .await;
    let said = said.all()?;
    // Its exit code counts what it dislikes; from 240 on it could not do its work.
    let code = ended.with_context(|| said.clone())?.code();
    ensure!(
        code.is_some_and(|code| code < 240),
        "testssl: {code:?}: {said}"
    );
    let found: Value =
        serde_json::from_str(&super::read(&stage.file(&json))?).with_context(|| said.clone())?;
    let found = found.as_array().context("a list of findings")?;
    let text = |finding: &Value, field| finding[field].as_str().unwrap_or_default().to_owned();
    let lines = found.iter().map(|finding| {
        let [id, severity, found] = ["id", "severity", "finding"].map(|field| text(finding, field));
        (id.clone(), format!("{id}: {found} ({severity})"))
    });
    let lasting = lines.filter(|(id, _)| !CHANGING.contains(&id.as_str()));
    Ok(lasting.map(|(_, line)| line).collect::<Vec<_>>().join("\n"))
}
