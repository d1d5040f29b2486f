//! Captures the ClientHello of a real client for the corpus in `tests/hellos`.
//!
//! Listens on loopback, starts the client with `{port}` in its arguments replaced, records what the
//! first connection sends until the hello is whole, and writes it beside a label for review:
//!
//! ```text
//! cargo run -p gateway-common --example capture -- \
//!     curl "curl 7.88.1, OpenSSL 3.0" curl -k --connect-to ::127.0.0.1:{port} https://web.example.com/
//! ```
//!
//! `rustls` in place of a client's command takes the hello of the rustls that this is built with.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use gateway_common::limits::MAX_HELLO;
use gateway_common::wire::{ClientHello, HelloError, HelloReader, Progress};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, client, command @ ..] = arguments.as_slice() else {
        return Err("usage: capture FILE CLIENT (rustls | COMMAND ARGUMENT...)".into());
    };
    let captured = match command {
        [] => return Err("no command: name the client to start, or rustls".into()),
        [rustls] if rustls == "rustls" => hello_of_rustls()?,
        [program, arguments @ ..] => hello_of(program, arguments)?,
    };
    let base = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/hellos")
        .join(file);
    fs::write(base.with_extension("bin"), &captured)?;
    let mut scratch = vec![0; MAX_HELLO];
    let Progress::Complete(hello) = HelloReader::new(MAX_HELLO).advance(&captured, &mut scratch)?
    else {
        return Err("the client closed before its hello was whole".into());
    };
    let label = label(client, &command.join(" "), &hello)?;
    fs::write(base.with_extension("label"), &label)?;
    println!("{label}");
    Ok(())
}

fn hello_of(program: &str, arguments: &[String]) -> Result<Vec<u8>, Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port().to_string();
    let mut client = Command::new(program)
        .args(
            arguments
                .iter()
                .map(|argument| argument.replace("{port}", &port)),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let (mut connection, _) = listener.accept()?;
    let mut captured = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&captured)? {
        let count = connection.read(&mut buffer)?;
        captured.extend(buffer.iter().take(count));
        if count == 0 {
            break;
        }
    }
    client.kill()?;
    client.wait()?;
    Ok(captured)
}

fn is_whole(captured: &[u8]) -> Result<bool, HelloError> {
    let mut scratch = vec![0; MAX_HELLO];
    let progress = HelloReader::new(MAX_HELLO).advance(captured, &mut scratch)?;
    Ok(matches!(progress, Progress::Complete(_)))
}

fn hello_of_rustls() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = "web.example.com".try_into()?;
    let mut captured = Vec::new();
    rustls::ClientConnection::new(Arc::new(config), name)?.write_tls(&mut captured)?;
    Ok(captured)
}

fn label(client: &str, command: &str, hello: &ClientHello<'_>) -> Result<String, Box<dyn Error>> {
    let alpn: Vec<_> = hello
        .alpn()
        .map(|name| name.escape_ascii().to_string())
        .collect();
    let versions: Vec<_> = hello
        .supported_versions()
        .map(|v| format!("{v:#06x}"))
        .collect();
    let mut label = String::new();
    writeln!(label, "client = {client}")?;
    writeln!(label, "command = {command}")?;
    writeln!(
        label,
        "name = {}",
        hello.server_name().map_or("", |name| name.as_str())
    )?;
    writeln!(label, "alpn = {}", alpn.join(" "))?;
    writeln!(label, "versions = {}", versions.join(" "))?;
    writeln!(
        label,
        "ech = {}",
        hello.ech().map_or(String::new(), |ech| format!("{ech:?}"))
    )?;
    writeln!(label, "post_quantum = {}", hello.has_post_quantum())?;
    writeln!(label, "records = {}", hello.record_count())?;
    Ok(label)
}
