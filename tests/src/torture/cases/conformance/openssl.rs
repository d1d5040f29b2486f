//! What openssl does beyond a handshake: sessions and large records, which have files of their own here,
//! certificates of clients, and second handshakes in a connection.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::topology::Family;

use super::converse::Conversation;
use super::options::{CHANGING, client, server};
use super::records::{download, upload};
use super::sessions::{early_data, resumed};
use super::{Program, Stage, Visit, same_lines, steady, tells};
use crate::Trial;

const PROGRAMS: &[Program] = &[("openssl", "openssl")];

/// Answers with files.
const FILES: u16 = 4441;
/// Takes early data, and prints what it gets.
const EARLY: u16 = 4442;
/// Serves nobody without a certificate of the authority.
const CLOSED: u16 = 4443;
/// Shakes hands again when asked to, and asks for it itself.
const AGAIN: u16 = 4444;
/// Keeps what it gets.
pub(super) const UPLOAD: u16 = 4445;
const PORTS: [u16; 5] = [FILES, EARLY, CLOSED, AGAIN, UPLOAD];

/// Size of the page: hundreds of the largest records, and no whole number of them.
pub(super) const PAGE: usize = 5_000_001;

/// Early data in bytes: near the server's bound, and larger than a segment.
const EARLY_DATA: usize = 16_000;

/// What a client says once it is told to read on.
const REQUEST: &str = "GET /authority.pem HTTP/1.0\r\n\r\n";

/// The servers whose words matter.
struct Servers {
    early: Conversation,
    again: Conversation,
}

/// Sessions, early data, certificates, renegotiation and large records, over both families.
pub(in super::super) async fn openssl(trial: &mut Trial) -> Result<String> {
    let stage = Stage::new(trial, PROGRAMS, &PORTS, "").await?;
    // Lines without the letters that are commands at their beginning, for a server that prints them.
    let page: String = (0..PAGE)
        .map(|_| {
            if trial.chance.u8(..64) == 0 {
                '\n'
            } else {
                trial.chance.digit(16)
            }
        })
        .collect();
    stage.write("early", &page.as_bytes()[..EARLY_DATA])?;
    stage.write("page", page)?;
    stage.write("request", REQUEST)?;
    stage.write("page-request", "GET /page HTTP/1.0\r\n\r\n")?;
    stage.client_certificates()?;
    let mut others = vec![stage.serve(FILES, &mut server(FILES)).await?];
    let mut closed = server(CLOSED);
    closed.args([
        "-Verify",
        "1",
        "-verify_return_error",
        "-CAfile",
        "authority.pem",
    ]);
    others.push(stage.serve(CLOSED, &mut closed).await?);
    // One ticket: of several, a client that ends at the first has at times seen the second.
    let early = listener(EARLY, &["-early_data", "-num_tickets", "1"]);
    let again = listener(AGAIN, &["-client_renegotiation", "-no_tls1_3"]);
    let mut servers = Servers {
        early: Conversation::serve(&stage, EARLY, (early, "early-server")).await?,
        again: Conversation::serve(&stage, AGAIN, (again, "again-server")).await?,
    };
    let rounds = trial.amount(1, 5);
    for round in 0..rounds {
        for family in Family::BOTH {
            let all = every(&stage, family, &mut servers).await;
            all.with_context(|| format!("{family:?}, round {round}"))?;
        }
    }
    for server in [&mut servers.early, &mut servers.again] {
        ensure!(server.process().ended()?.is_none(), "a server has ended");
    }
    drop(servers);
    stage.rest(others).await?;
    let each = 2 * rounds;
    Ok(format!(
        "directly and through it alike: {} sessions resumed, {each} with early data, {} clients with and without \
         certificates, {} second handshakes, {} pages of {PAGE} bytes in records of 16 KiB",
        each * 6,
        each * 8,
        each * 2,
        each * 4,
    ))
}

async fn every(stage: &Stage, family: Family, servers: &mut Servers) -> Result<()> {
    let visits = |port| stage.visits((family, port));
    for (version, more) in [("1_2", ""), ("1_2", "-no_ticket"), ("1_3", "")] {
        resumed(visits(FILES), (version, more)).await?;
    }
    early_data(visits(EARLY), &mut servers.early).await?;
    for version in ["1_2", "1_3"] {
        for certificate in [Shown::Right, Shown::None, Shown::Forged, Shown::Stranger] {
            shown(visits(CLOSED), version, certificate).await?;
        }
    }
    renegotiated(visits(AGAIN), &mut servers.again).await?;
    renegotiation_refused(visits(FILES)).await?;
    for version in ["-tls1_2", "-tls1_3"] {
        download(visits(FILES), version).await?;
        upload(visits(UPLOAD), version).await?;
    }
    Ok(())
}

/// A server that prints what it gets, and says what it is told.
pub(super) fn listener(port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", &port.to_string()]);
    command.args(["-cert", "certificate.pem", "-key", "key.pem"]);
    command.args(arguments);
    command
}

/// What a client shows of itself.
#[derive(Clone, Copy, Debug)]
enum Shown {
    Right,
    None,
    /// One that the authority did not sign, though it says so.
    Forged,
    /// One that its owner signed.
    Stranger,
}

/// A client with a certificate is let in or refused, by the same alert.
async fn shown(visits: [Visit<'_>; 2], version: &str, certificate: Shown) -> Result<()> {
    let what = format!("TLS {version}, certificate: {certificate:?}");
    let tls = format!("-tls{version}");
    let mut said = Vec::new();
    for visit in visits {
        // In brief, because the answer is not buffered and would stand in the middle of a long text.
        let mut command = client(visit, &[&tls, "-brief"]);
        let file = match certificate {
            Shown::Right => Some("right"),
            Shown::None => None,
            Shown::Forged => Some("forged"),
            Shown::Stranger => Some("stranger"),
        };
        if let Some(file) = file {
            command.args(["-cert", file]);
        }
        // A request that nobody reads would end the connection by a reset, at times before the alert.
        let mut talk = Conversation::visit(visit, command)?;
        if matches!(certificate, Shown::Right) {
            talk.hear("Verification: OK", 1).await?;
            talk.say(REQUEST)?;
        }
        let (text, status) = talk.ends().await.with_context(|| what.clone())?;
        let words = match (certificate, version) {
            (Shown::Right, _) => "HTTP/1.0 200 ok",
            (Shown::None, "1_2") => "alert handshake failure",
            (Shown::None, _) => "alert certificate required",
            (Shown::Forged, _) => "alert decrypt error",
            (Shown::Stranger, _) => "alert unknown ca",
        };
        tells(&what, &text, &[words])?;
        said.push(steady(&format!("{text}\n{status}"), CHANGING));
    }
    same_lines(&what, &said[0], &said[1])
}

/// Two handshakes more in one connection, one for each side that asks; bytes pass after each.
async fn renegotiated(visits: [Visit<'_>; 2], server: &mut Conversation) -> Result<()> {
    let mut said = Vec::new();
    for visit in visits {
        let mut talk = Conversation::visit(visit, client(visit, &["-tls1_2", "-state"]))?;
        talk.hear("Verify return code", 1).await?;
        let mut handshakes = 1;
        for by_client in [true, false] {
            if by_client {
                talk.say("R\n")?;
                talk.hear("RENEGOTIATING", 1).await?;
            } else {
                server.say("r\n")?;
            }
            handshakes += 1;
            talk.hear("SSL_connect:SSLv3/TLS read finished", handshakes)
                .await?;
            talk.exchange(server, handshakes).await?;
        }
        let (text, status) = talk.end().await?;
        ensure!(
            text.matches("verify return:1").count() == 4,
            "not two chains verified:\n{text}"
        );
        said.push(steady(&format!("{text}\n{status}"), CHANGING));
    }
    same_lines("renegotiation", &said[0], &said[1])
}

/// A server that does not want another handshake says so in an alert.
async fn renegotiation_refused(visits: [Visit<'_>; 2]) -> Result<()> {
    let what = "renegotiation with a server that wants none";
    let mut said = Vec::new();
    for visit in visits {
        let mut talk = Conversation::visit(visit, client(visit, &["-tls1_2", "-state"]))?;
        talk.hear("Verify return code", 1).await?;
        talk.say("R\n")?;
        let (text, status) = talk.ends().await?;
        tells(what, &text, &["RENEGOTIATING", "no renegotiation"])?;
        said.push(steady(&format!("{text}\n{status}"), CHANGING));
    }
    same_lines(what, &said[0], &said[1])
}
