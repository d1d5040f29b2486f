//! ClientHello bytes for tests that speak below TLS.
//!
//! They come from rustls, so they are what a real client sends. What real clients of other makes
//! send is captured with the parser's own tests; here the question is what the agent does with a
//! name, and how it takes a hello that arrives in odd pieces.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Bytes before the payload of a TLS record.
const RECORD_HEADER: usize = 5;

/// A hello that asks for `name`.
pub fn asking_for(name: &str) -> Result<Vec<u8>> {
    hello(name, true)
}

/// A hello without a server name.
pub fn nameless() -> Result<Vec<u8>> {
    hello("nobody.example.com", false)
}

/// A hello that asks for `name` letter by letter as written, upper case included.
pub fn spelled(name: &str) -> Result<Vec<u8>> {
    let lower = name.to_ascii_lowercase();
    let mut hello = asking_for(&lower)?;
    let start = hello
        .windows(lower.len())
        .position(|window| window.eq_ignore_ascii_case(name.as_bytes()))
        .context("a hello holds the name it asks for")?;
    hello.splice(start..start + name.len(), name.bytes());
    Ok(hello)
}

/// The same hello cut into TLS records of at most `size` bytes of payload each.
pub fn in_records(hello: &[u8], size: usize) -> Result<Vec<u8>> {
    let (header, payload) = hello
        .split_at_checked(RECORD_HEADER)
        .context("a record has a head")?;
    let kind_and_version = header
        .get(..3)
        .context("a record has a kind and a version")?;
    let mut records = Vec::new();
    for piece in payload.chunks(size) {
        records.extend_from_slice(kind_and_version);
        records.extend_from_slice(&u16::try_from(piece.len())?.to_be_bytes());
        records.extend_from_slice(piece);
    }
    Ok(records)
}

fn hello(name: &str, with_name: bool) -> Result<Vec<u8>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.enable_sni = with_name;
    let name = ServerName::try_from(name.to_owned())?;
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes)?;
    Ok(bytes)
}
