//! The demo's clients: curl and `openssl s_client`, told what to ask, and read for what they got.

use std::fmt;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result};
use gateway_tests::topology::{self, Family};

use crate::stage::{DENIED_CLIENT, PORT, Stage};

/// One connection to make, and what must come of it.
pub(crate) struct Attempt {
    pub(crate) program: Program,
    pub(crate) family: Family,
    pub(crate) source: u8,
    pub(crate) name: &'static str,
    /// What the line of the table shows off.
    pub(crate) point: &'static str,
    pub(crate) expected: Outcome,
}

/// What speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// curl with HTTPS.
    Curl,
    /// curl with plain HTTP on the same port.
    CurlPlain,
    /// `openssl s_client`.
    OpenSsl,
}

/// What came of a connection, as the client tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A server answered; it proved this name by a certificate the client trusts.
    Server(String),
    /// The TLS alert that refused the connection.
    Alert(String),
    /// The connection ended without a word.
    Closed,
    /// Anything else, in the client's words.
    Other(String),
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Curl => "curl",
            Self::CurlPlain => "curl (http)",
            Self::OpenSsl => "openssl s_client",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(name) => write!(f, "server {name}"),
            Self::Alert(name) => write!(f, "alert {name}"),
            Self::Closed => f.write_str("closed"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// The demo's programme.
pub(crate) fn attempts() -> Vec<Attempt> {
    use Family::{V4, V6};
    use Program::{Curl, CurlPlain, OpenSsl};
    let server = |name: &str| Outcome::Server(name.to_owned());
    let alert = |name: &str| Outcome::Alert(name.to_owned());
    let shop = "*.shop.example.com";
    let attempt = |program, family, name, point, expected| Attempt {
        program,
        family,
        source: 0,
        name,
        point,
        expected,
    };
    vec![
        attempt(
            Curl,
            V4,
            "web.example.com",
            "exact name",
            server("web.example.com"),
        ),
        attempt(
            OpenSsl,
            V4,
            "WEB.EXAMPLE.COM",
            "upper case",
            server("web.example.com"),
        ),
        attempt(
            Curl,
            V4,
            "basket.shop.example.com",
            "wildcard",
            server(shop),
        ),
        attempt(
            OpenSsl,
            V4,
            "a.b.shop.example.com",
            "wildcard, two labels",
            server(shop),
        ),
        attempt(
            Curl,
            V6,
            "web.example.com",
            "IPv6 to IPv4",
            server("web.example.com"),
        ),
        attempt(
            Curl,
            V4,
            "api.example.com",
            "IPv4 to IPv6",
            server("api.example.com"),
        ),
        attempt(
            OpenSsl,
            V6,
            "api.example.com",
            "IPv6 to IPv6",
            server("api.example.com"),
        ),
        attempt(
            Curl,
            V4,
            "nobody.example.org",
            "unknown name",
            alert("unrecognized_name"),
        ),
        attempt(OpenSsl, V4, "", "no SNI", alert("unrecognized_name")),
        Attempt {
            source: DENIED_CLIENT,
            ..attempt(
                Curl,
                V4,
                "web.example.com",
                "denied source",
                alert("access_denied"),
            )
        },
        attempt(CurlPlain, V4, "web.example.com", "not TLS", Outcome::Closed),
    ]
}

/// Runs the client of one attempt in the client's namespace and reads its output.
pub(crate) fn run(stage: &Stage, attempt: &Attempt) -> Result<Outcome> {
    let gateway = topology::gateway(attempt.family, PORT);
    let mut command = match attempt.program {
        Program::Curl => curl(stage, attempt, "https", gateway),
        Program::CurlPlain => curl(stage, attempt, "http", gateway),
        Program::OpenSsl => openssl(stage, attempt, gateway),
    };
    let output = output(stage, &mut command)?;
    Ok(outcome(&output))
}

fn curl(stage: &Stage, attempt: &Attempt, scheme: &str, gateway: SocketAddr) -> Command {
    let source = topology::client(attempt.family, attempt.source);
    let host = match gateway {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    let mut curl = Command::new("curl");
    curl.args([
        "--verbose",
        "--silent",
        "--show-error",
        "--max-time",
        "10",
        "--noproxy",
        "*",
    ]);
    curl.arg("--cacert").arg(stage.authority());
    curl.args(["--interface", &source.to_string()]);
    curl.args(["--resolve", &format!("{}:{PORT}:{host}", attempt.name)]);
    curl.arg(format!("{scheme}://{}:{PORT}/", attempt.name));
    curl
}

fn openssl(stage: &Stage, attempt: &Attempt, gateway: SocketAddr) -> Command {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-ign_eof", "-verify_return_error", "-connect"]);
    openssl
        .arg(gateway.to_string())
        .arg("-CAfile")
        .arg(stage.authority());
    match attempt.name {
        "" => openssl.arg("-noservername"),
        name => openssl.args(["-servername", name]),
    };
    openssl
}

/// Runs a client to its end with one request on its standard input.
fn output(stage: &Stage, command: &mut Command) -> Result<Output> {
    use std::io::Write as _;
    let name = command.get_program().to_string_lossy().into_owned();
    let inside = stage.net.client.enter()?;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    drop(inside);
    if let Some(mut input) = child.stdin.take()
        && let Err(error) = input.write_all(b"GET / HTTP/1.0\r\n\r\n")
    {
        // A refused client is gone before it has read its request.
        eprintln!("{name} did not read its request: {error}");
    }
    child
        .wait_with_output()
        .with_context(|| format!("cannot wait for {name}"))
}

/// Reads what a client printed; both programs are built on OpenSSL and so speak alike.
fn outcome(output: &Output) -> Outcome {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text);
    let certificate = text.lines().find_map(|line| {
        let line = line.trim_start_matches('*').trim_start();
        line.strip_prefix("subject: CN=")
            .or_else(|| line.strip_prefix("subject=CN = "))
    });
    if let (Some(name), true) = (certificate, output.status.success()) {
        return Outcome::Server(name.trim().to_owned());
    }
    if text.contains("unrecognized name") {
        return Outcome::Alert("unrecognized_name".to_owned());
    }
    if text.contains("access denied") {
        return Outcome::Alert("access_denied".to_owned());
    }
    if text.contains("Empty reply from server") || text.contains("Connection reset by peer") {
        return Outcome::Closed;
    }
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    Outcome::Other(format!(
        "{}: {}",
        output.status,
        last.unwrap_or("no output")
    ))
}
