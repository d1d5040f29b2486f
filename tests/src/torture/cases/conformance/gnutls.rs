//! The other large TLS library: GnuTLS at both ends, and against openssl's server.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::options::server as openssl;
use super::{Program, Stage, Visit, both, same_lines, steady, tells};
use crate::Trial;

const PROGRAMS: &[Program] = &[("gnutls-cli", "gnutls-bin"), ("openssl", "openssl")];

/// Echoes, knows two protocols, and would like a certificate.
const ECHO: u16 = 4451;
/// Echoes for those with a certificate of the authority.
const CLOSED: u16 = 4452;
/// openssl's server, which answers with files.
const OPENSSL: u16 = 4453;
const PORTS: [u16; 3] = [ECHO, CLOSED, OPENSSL];

/// Lines of text that the echo returns, a record for each. All of it fits into the sockets' buffers: both
/// ends would wait for each other for good if both were full, because neither reads while it writes.
const LINES: usize = 1000;

const TLS12: &str = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
const TLS13: &str = "NORMAL:-VERS-ALL:+VERS-TLS1.3";

/// What a client is asked to do, and words that prove that it happened.
struct Asked {
    port: u16,
    arguments: &'static [&'static str],
    words: &'static [&'static str],
}

const fn asked(
    port: u16,
    arguments: &'static [&'static str],
    words: &'static [&'static str],
) -> Asked {
    Asked {
        port,
        arguments,
        words,
    }
}

const ASKED: &[Asked] = &[
    asked(
        ECHO,
        &["--priority", TLS12],
        &["(TLS1.2", "certificate is trusted", "last line"],
    ),
    asked(
        ECHO,
        &["--priority", TLS13],
        &["(TLS1.3", "certificate is trusted", "last line"],
    ),
    asked(
        ECHO,
        &["--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.1"],
        &["(TLS1.1", "last line"],
    ),
    // Neither end speaks it: refused by the server's alert.
    asked(
        ECHO,
        &[
            "--priority",
            "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+3DES-CBC",
        ],
        &["Fatal error"],
    ),
    asked(
        ECHO,
        &[
            "--priority",
            "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305",
        ],
        &["(CHACHA20-POLY1305)", "last line"],
    ),
    asked(
        ECHO,
        &[
            "--priority",
            "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-CCM",
        ],
        &["(AES-128-CCM)", "last line"],
    ),
    asked(
        ECHO,
        &["--priority", "NORMAL:-GROUP-ALL:+GROUP-SECP384R1"],
        &["(ECDHE-SECP384R1)", "last line"],
    ),
    asked(
        ECHO,
        &["--priority", "SECURE128:%SERVER_PRECEDENCE"],
        &["last line"],
    ),
    asked(
        ECHO,
        &["--alpn", "h2"],
        &["Application protocol: h2", "last line"],
    ),
    asked(
        ECHO,
        &["--alpn", "spdy/1", "--alpn", "http/1.1"],
        &["Application protocol: http/1.1"],
    ),
    asked(ECHO, &["--alpn", "spdy/1"], &["last line"]),
    asked(
        ECHO,
        &["--resume", "--priority", TLS12],
        &[
            "Resume Handshake was completed",
            "*** This is a resumed session",
            "last line",
        ],
    ),
    asked(
        ECHO,
        &[
            "--resume",
            "--priority",
            "NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_TICKETS",
        ],
        &["*** This is a resumed session", "last line"],
    ),
    asked(
        ECHO,
        &["--resume", "--waitresumption", "--priority", TLS13],
        &[
            "Resume Handshake was completed",
            "*** This is a resumed session",
            "last line",
        ],
    ),
    asked(
        ECHO,
        &["--rehandshake", "--priority", TLS12],
        &["ReHandshake was completed", "last line"],
    ),
    asked(
        CLOSED,
        &[
            "--priority",
            TLS12,
            "--x509certfile",
            "right",
            "--x509keyfile",
            "right",
        ],
        RIGHT,
    ),
    asked(
        CLOSED,
        &[
            "--priority",
            TLS13,
            "--x509certfile",
            "right",
            "--x509keyfile",
            "right",
        ],
        RIGHT,
    ),
    asked(
        CLOSED,
        &[
            "--priority",
            TLS12,
            "--x509certfile",
            "stranger",
            "--x509keyfile",
            "stranger",
        ],
        REFUSED,
    ),
    asked(
        CLOSED,
        &[
            "--priority",
            TLS13,
            "--x509certfile",
            "stranger",
            "--x509keyfile",
            "stranger",
        ],
        REFUSED,
    ),
    asked(CLOSED, &["--priority", TLS12], REFUSED),
    asked(CLOSED, &["--priority", TLS13], REFUSED),
    asked(
        OPENSSL,
        &["--priority", TLS12],
        &["(TLS1.2", "HTTP/1.0 200 ok"],
    ),
    asked(
        OPENSSL,
        &["--priority", TLS13],
        &["(TLS1.3", "HTTP/1.0 200 ok"],
    ),
    asked(
        OPENSSL,
        &["--resume", "--priority", TLS12],
        &["*** This is a resumed session", "HTTP/1.0 200 ok"],
    ),
    asked(
        OPENSSL,
        &["--resume", "--waitresumption", "--priority", TLS13],
        &["*** This is a resumed session", "HTTP/1.0 200 ok"],
    ),
];

const RIGHT: &[&str] = &["Successfully sent 1 certificate(s)", "last line"];
const REFUSED: &[&str] = &["A TLS fatal alert has been received"];

/// Beginnings of the lines that differ from run to run.
const CHANGING: &[&str] = &["- Session ID:", "Resolving", "Connecting to"];

/// `gnutls-cli` with `gnutls-serv` and with `openssl s_server`, over both families.
pub(in super::super) async fn gnutls(trial: &mut Trial) -> Result<String> {
    let stage = Stage::new(trial, PROGRAMS, &PORTS, "").await?;
    stage.client_certificates()?;
    let mut text: String = (0..LINES).map(|line| format!("{line:>60}\n")).collect();
    text += "last line\n";
    stage.write("text", text)?;
    stage.write("word", "last line\n")?;
    stage.write("request", "GET /authority.pem HTTP/1.0\r\n\r\n")?;
    let mut echo = server(ECHO);
    echo.args(["--alpn", "h2", "--alpn", "http/1.1"]);
    let mut closed = server(CLOSED);
    closed.args(["--require-client-cert", "--verify-client-cert"]);
    let servers = vec![
        stage.serve(ECHO, &mut echo).await?,
        stage.serve(CLOSED, &mut closed).await?,
        stage.serve(OPENSSL, &mut openssl(OPENSSL)).await?,
    ];
    let mut count = 0;
    for _ in 0..trial.amount(1, 5) {
        for (family, &port) in both(&PORTS) {
            for asked in ASKED.iter().filter(|asked| asked.port == port) {
                same(stage.visits((family, port)), asked).await?;
                count += 1;
            }
        }
    }
    stage.rest(servers).await?;
    Ok(format!(
        "{count} clients of GnuTLS told the same as without a gateway"
    ))
}

fn server(port: u16) -> Command {
    let mut command = Command::new("gnutls-serv");
    command.args(["--echo", "--port", &port.to_string()]);
    command.args([
        "--x509certfile",
        "certificate.pem",
        "--x509keyfile",
        "key.pem",
    ]);
    command.args(["--x509cafile", "authority.pem"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

async fn same(visits: [Visit<'_>; 2], asked: &Asked) -> Result<()> {
    let what = format!("{} with {:?}", visits[0].name(), asked.arguments);
    let mut said = Vec::new();
    for visit in visits {
        let mut command = Command::new("gnutls-cli");
        let name = visit.name();
        command.args(["--x509cafile", "authority.pem", "--sni-hostname", &name]);
        command.args([
            "--verify-hostname",
            &name,
            "--port",
            &visit.at().port().to_string(),
        ]);
        command
            .args(asked.arguments)
            .arg(visit.at().ip().to_string());
        let input = match asked.port {
            ECHO => "text",
            // Who is refused while it still sends may get a reset in the place of the alert.
            CLOSED if asked.words == REFUSED => "nothing",
            CLOSED => "word",
            _ => "request",
        };
        let text = visit.run(command, Some(input)).await?;
        tells(&what, &text, asked.words)?;
        said.push(steady(&text, CHANGING));
    }
    ensure!(!said[0].is_empty(), "{what}: nothing said");
    same_lines(&what, &said[0], &said[1])
}
